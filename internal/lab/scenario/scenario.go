package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/internal/lab/frame"
)

// A Fabric is a switch with ports, seen from outside. Its methods are called by
// one goroutine.
type Fabric interface {
	// Ports returns the number of ports.
	Ports() int
	// Send sends a frame into a port.
	Send(port int, b []byte) error
	// Capture returns the frames that came out of a port, from the given
	// number on, in their order.
	Capture(port, from int) [][]byte
	// Await waits until more than n frames came out of a port, or the context
	// ends.
	Await(ctx context.Context, port, n int) error
}

// An Inspector is a fabric that can tell what it believes a port wants.
type Inspector interface {
	State(port int, group netip.Addr) (State, error)
}

// A State is what a port wants of a group.
type State struct {
	Mode Mode

	// Wanted are the sources with a running timer: in mode Include the ones
	// that are wanted, in mode Exclude those that somebody asked for by name.
	// Refused are those that are not wanted in mode Exclude.
	Wanted, Refused []netip.Addr
}

// A Mode says what Wanted and Refused mean.
type Mode uint8

// The modes. A port that wants nothing is in mode None.
const (
	None Mode = iota
	Include
	Exclude
)

// String returns the state as the RFCs write it.
func (s State) String() string {
	switch s.Mode {
	case Include:
		return fmt.Sprintf("INCLUDE(%s)", list(s.Wanted))
	case Exclude:
		return fmt.Sprintf("EXCLUDE(%s; %s)", list(s.Wanted), list(s.Refused))
	}
	return "nothing"
}

// list returns addresses in their order.
func list(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare) {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

// Passes reports whether frames from a source come out of the port.
func (s State) Passes(source netip.Addr) bool {
	switch s.Mode {
	case Include:
		return slices.Contains(s.Wanted, source)
	case Exclude:
		return !slices.Contains(s.Refused, source)
	}
	return false
}

// A Step is a report and what follows from it.
type Step struct {
	Name string

	// Port is where the report arrives. Without a report, the step is about
	// time that passes.
	Port   int
	Report frame.Message

	// Host is the sender of the report behind its port, of several: zero is
	// the first.
	Host byte

	// Again sends the report once more after every such time, until the step
	// ends.
	Again time.Duration

	// Wait lets this time pass before anything is checked.
	Wait time.Duration

	// Want is what ports want after the step. Those that it does not name want
	// what they wanted before.
	Want map[int]State

	// Later says that Want comes about with the end of a timer, and not at
	// once.
	Later bool
}

// A Scenario is a list of steps on a fabric that has no members of the group.
type Scenario struct {
	Name  string
	Group netip.Addr

	// Sources are those that the steps speak of.
	Sources []netip.Addr

	// Quick needs a fabric on which a report is good for a few seconds: see
	// [QuickMembership].
	Quick bool

	Steps []Step
}

// Stranger returns a source that no step speaks of.
func (s Scenario) Stranger() netip.Addr {
	if s.Group.Is6() {
		return netip.MustParseAddr("2001:db8:1::ffff")
	}
	return netip.MustParseAddr("192.0.2.250")
}

// On returns the scenario with another group of the same family. With a group
// for each, scenarios can be played one after the other on one fabric: what one
// leaves behind stays until its timers end.
func (s Scenario) On(group netip.Addr) Scenario {
	steps := slices.Clone(s.Steps)
	for i := range steps {
		m := &steps[i].Report
		if m.Group == s.Group {
			m.Group = group
		}
		m.Records = slices.Clone(m.Records)
		for j := range m.Records {
			m.Records[j].Group = group
		}
	}
	s.Group, s.Steps = group, steps
	return s
}

// Times of fabrics: those that a scenario needs to be over in seconds, and to
// hold on a machine that is busy.
const (
	// QuickMembership is how long a report is good for on a quick fabric. On
	// others it has to be a minute or more.
	QuickMembership = 2500 * time.Millisecond

	// LastMember is the time of all last-member queries together, after which
	// what nobody answered is not wanted any more.
	LastMember = 3 * time.Second
)
