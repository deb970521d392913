package probe

import (
	"slices"
	"time"
)

// An End is a client's endpoint: a letter for its host, and a digit if it is
// not the first on that host.
type End string

// The endpoints of checks.
const (
	A  End = "A"
	A2 End = "A2"
	B  End = "B"
	C  End = "C"
)

// Hosts is how many hosts with addresses of their own the checks need at most.
const Hosts = 3

// host returns which host e is on, from 0.
func (e End) host() int { return int(e[0] - 'A') }

// A Check is one thing that the protocol says, and an exchange that shows it.
type Check struct {
	Name  string
	Says  string // the protocol
	Steps []Step

	// Original is the exchange with an original server where that answers
	// something else, or is less exact with time; nil: there is none.
	Original []Step

	// Covers are the differences and defects that this is about.
	Covers []Point

	// Limited says that the server lets two clients register, and that nobody
	// else uses it.
	Limited bool
}

// A Step is a datagram to the server and what comes of it. Datagrams are texts,
// as package documentation describes them.
type Step struct {
	At   time.Duration // after the first step
	From End
	Send string
	Want []Reply // all that anybody receives; those of one endpoint in order
}

// A Reply is a datagram from the server.
type Reply struct {
	To   End
	Data string
}

// steps returns the exchange with a server of ours, or with an original.
func (c Check) steps(original bool) []Step {
	if original && c.Original != nil {
		return c.Original
	}
	return c.Steps
}

// ends returns the endpoints that take part.
func (c Check) ends(original bool) []End {
	var ends []End
	for _, s := range c.steps(original) {
		ends = append(ends, s.From)
		for _, r := range s.Want {
			ends = append(ends, r.To)
		}
	}
	slices.Sort(ends)
	return slices.Compact(ends)
}

// Hosts returns how many hosts with addresses of their own c needs.
func (c Check) Hosts(original bool) int {
	n := 0
	for _, e := range c.ends(original) {
		n = max(n, e.host()+1)
	}
	return n
}

// timed reports whether it matters when the steps are taken.
func (c Check) timed(original bool) bool {
	return slices.ContainsFunc(c.steps(original), func(s Step) bool { return s.At > 0 })
}

// Checks returns all checks.
func Checks() []Check {
	return slices.Concat(
		formatChecks, strangerChecks(), ignoredChecks(),
		helloChecks, staleChecks, contestChecks,
		lifeChecks, askChecks, localChecks, closeChecks,
		limitedChecks, defectChecks,
	)
}
