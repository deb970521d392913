package guide

import (
	"regexp"
	"time"
)

// questions matches commands that change nothing, of which a reader who gets no answer
// yet tries again.
var questions = regexp.MustCompile(`^(ping|curl|getent|ip route show|campagnol (status|peers|explain|netcheck|ping|fdb|mdb)|campagnol_rdv (clients|status|events))\b`)

// Patience is for how long a reader does so.
const Patience = 30 * time.Second

// again is how long he waits before each time.
const again = 100 * time.Millisecond

// Answer types a command by run, which returns what it prints, and an error if it ends
// otherwise than it should. A question is asked again and again, until it is answered
// as the document shows, or for as long as [Patience]. Answer returns what run has
// returned last; whether that is what the document shows is left to [Guide.Check].
func (c Command) Answer(run func() (string, error), masks ...Mask) (string, error) {
	out, err := run()
	for end := time.Now().Add(Patience); questions.MatchString(c.Line) && time.Now().Before(end); {
		if err == nil && c.Differs(out, masks...) == "" {
			break
		}
		time.Sleep(again)
		out, err = run()
	}
	return out, err
}
