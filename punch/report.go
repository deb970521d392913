package punch

import (
	"fmt"
	"strings"
)

// An Outcome is what came of a candidate of an [Attempt].
type Outcome struct {
	Candidate
	Conn     Conn // the socket that sees it; nil: the primary one
	Tried    bool // a punch went there
	Heard    bool // a punch, or a ClientHello, came from there
	Chosen   bool // it became the path
	Rejected bool // no session came about on it
}

// Report returns what came of each candidate, in the order in which they are tried.
// It can be read after the attempt has ended, too.
func (a *Attempt) Report() []Outcome {
	list := make([]Outcome, len(a.candidates))
	for i := range a.candidates {
		c := &a.candidates[i]
		list[i] = Outcome{
			Candidate: Candidate{Addr: c.at.Addr, Kind: c.kind, Scope: c.scope}, Conn: c.at.Conn,
			Tried: c.sent, Heard: c.heard, Chosen: c.chosen, Rejected: c.rejected,
		}
	}
	return list
}

// String returns the outcome for people, such as
// "192.168.1.3:5000 (host): heard, chosen".
func (o Outcome) String() string {
	var what []string
	for _, w := range []struct {
		yes  bool
		word string
	}{
		{!o.Tried && !o.Heard, "not tried"},
		{o.Tried && !o.Heard, "silent"},
		{o.Heard, "heard"},
		{o.Chosen, "chosen"},
		{o.Rejected, "no session"},
	} {
		if w.yes {
			what = append(what, w.word)
		}
	}
	kind := o.Kind.String()
	if o.Scope != "" {
		kind += fmt.Sprintf(", scope %s", o.Scope)
	}
	return fmt.Sprintf("%v (%s): %s", Endpoint{o.Addr, o.Conn}, kind, strings.Join(what, ", "))
}
