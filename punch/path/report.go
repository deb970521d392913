package path

import (
	"slices"
	"time"

	"campagnol/punch"
)

// A Report is what a [Keeper] knows of an address at which the peer may be.
type Report struct {
	View
	Conn     punch.Conn // the socket that sees it; nil: the primary one
	Kind     punch.CandidateKind
	Scope    string
	Path     bool      // it is the path
	Named    bool      // by the last introduction
	Sent     int       // challenges
	Answered time.Time // the last response; zero: it has never answered
	Why      string    // it is not the path, for people
}

// Report returns what is known of each address, the path first, then the better ones.
func (k *Keeper) Report(now time.Time) []Report {
	list := make([]Report, 0, len(k.list))
	for i := range k.list {
		c := &k.list[i]
		r := Report{View: c.view(), Conn: c.conn, Kind: c.Kind, Scope: c.Scope, Path: c.at() == k.path, Named: c.named, Sent: c.sent, Answered: c.answered}
		if !r.Path {
			r.Why = k.why(now, c)
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b Report) int {
		switch {
		case a.Path != b.Path && a.Path, a.Path == b.Path && Better(a.View, b.View):
			return -1
		case a.Path != b.Path, Better(b.View, a.View):
			return 1
		}
		return 0
	})
	return list
}

// why returns why a candidate is not the path. It follows choose.
func (k *Keeper) why(now time.Time, c *candidate) string {
	cur, own := k.current().view(), c.view()
	switch {
	case c.sent == 0:
		return "was not tried yet"
	case c.answered.IsZero():
		return "has never answered"
	case c.last.After(c.answered) && now.Sub(c.last) > patience:
		return "does not answer any more"
	case own.Class() > cur.Class():
		return "is a longer way"
	case c.barred(now):
		return "has broken soon after the session had moved there"
	case c.answers < 2:
		return "has answered only once"
	case !Worth(cur, own):
		return "is not faster by enough"
	}
	return "is about to become the path"
}
