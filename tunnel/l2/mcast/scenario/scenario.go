// Package scenario has stories about one host and one group, for tests: what the
// host reports, and what a router has to think of it and a switch to forward then.
//
// They are the cases that Linux checks of its bridge with crafted packets of IGMPv2,
// IGMPv3, MLDv1 and MLDv2, and what RFC 3376 section 6.4 and RFC 3810 section 7.4 say
// about each. The same stories can be told to this program and to a bridge with
// mcast_snooping, mcast_querier and mcast_igmp_version 3, mcast_mld_version 2: both
// have to be of the same opinion.
package scenario

import (
	"net/netip"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// Times that a story assumes: the defaults of the RFCs and of Linux.
const (
	// Membership is how long a report is good for.
	Membership = 260 * time.Second
	// Leave is how long hosts have to object after a leave.
	Leave = 2 * time.Second
)

// A Scenario is one story.
type Scenario struct {
	Name  string
	V6    bool
	Group netip.Addr
	Host  netip.Addr // from which reports come
	Steps []Step
}

// A Step happens at a time after the beginning. Reports come first.
type Step struct {
	At     time.Duration
	Report []gmp.Message
	Want   *State
}

// A State is what is thought of the group.
type State struct {
	Mode    string       // include or exclude; empty: nobody is there
	Sources []netip.Addr // with timers that run: forwarded, sorted
	Blocked []netip.Addr // without: not forwarded
	Forward []netip.Addr // sources that reach the host
	Stop    []netip.Addr // sources that do not
}

// A teller writes the stories for one family.
type teller struct{ v6 bool }

// group returns the group of the stories.
func (t teller) group() netip.Addr {
	if t.v6 {
		return netip.MustParseAddr("ff15::cafe")
	}
	return netip.MustParseAddr("239.10.10.10")
}

func (t teller) host() netip.Addr {
	if t.v6 {
		return netip.MustParseAddr("fe80::1")
	}
	return netip.MustParseAddr("192.0.2.254")
}

// sources returns sources by their numbers.
func (t teller) sources(numbers ...byte) (out []netip.Addr) {
	for _, n := range numbers {
		if t.v6 {
			out = append(out, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, 15: n}))
		} else {
			out = append(out, netip.AddrFrom4([4]byte{192, 0, 2, n}))
		}
	}
	return out
}

// newest is a report with one record of IGMPv3 or MLDv2.
func (t teller) newest(kind gmp.RecordType, numbers ...byte) []gmp.Message {
	m := t.report(kind, 3)
	if t.v6 {
		m.Version = 2
	}
	m.Records[0].Sources = t.sources(numbers...)
	return []gmp.Message{m}
}

// older is a report or leave of IGMPv2 or MLDv1.
func (t teller) older(kind gmp.RecordType) []gmp.Message {
	m := t.report(kind, 2)
	if t.v6 {
		m.Version = 1
	}
	return []gmp.Message{m}
}

func (t teller) report(kind gmp.RecordType, version uint8) gmp.Message {
	return gmp.Message{Kind: gmp.Report, Version: version, Src: t.host(), Records: []gmp.Record{{Type: kind, Group: t.group()}}}
}

// stranger is a source that no report names.
const stranger = 100

// includes is the state of a group that wants some sources.
func (t teller) includes(numbers ...byte) *State {
	return &State{Mode: "include", Sources: t.sources(numbers...), Forward: t.sources(numbers...), Stop: t.sources(stranger)}
}

// excludes is the state of a group that wants all but some sources.
func (t teller) excludes(wanted, blocked []byte) *State {
	return &State{Mode: "exclude", Sources: t.sources(wanted...), Blocked: t.sources(blocked...),
		Forward: append(t.sources(wanted...), t.sources(stranger)...), Stop: t.sources(blocked...)}
}

// nobody is the state of a group without members.
func (t teller) nobody() *State { return &State{Stop: t.sources(1, stranger)} }

// All returns the stories.
func All() (out []Scenario) {
	for _, v6 := range []bool{false, true} {
		t := teller{v6}
		for _, list := range [][]Scenario{t.olderOnes(), t.including(), t.excluding(), t.timeouts()} {
			for _, s := range list {
				s.V6, s.Group, s.Host = v6, t.group(), t.host()
				family := "IPv4 "
				if v6 {
					family = "IPv6 "
				}
				s.Name = family + s.Name
				out = append(out, s)
			}
		}
	}
	return out
}

func (t teller) olderOnes() []Scenario {
	return []Scenario{
		{Name: "older: report and leave", Steps: []Step{
			{Report: t.older(gmp.IsEx), Want: t.excludes(nil, nil)},
			{At: time.Second, Report: t.older(gmp.ToIn), Want: t.excludes(nil, nil)},
			{At: time.Second + Leave - time.Millisecond, Want: t.excludes(nil, nil)},
			{At: time.Second + Leave, Want: t.nobody()},
		}},
		{Name: "older: leave, and somebody stays", Steps: []Step{
			{Report: t.older(gmp.IsEx)},
			{At: time.Second, Report: t.older(gmp.ToIn)},
			{At: 2 * time.Second, Report: t.older(gmp.IsEx)},
			{At: 100 * time.Second, Want: t.excludes(nil, nil)},
		}},
		{Name: "older: leave of a group that nobody has joined", Steps: []Step{
			{Report: t.older(gmp.ToIn), Want: t.nobody()},
		}},
		{Name: "older: silence", Steps: []Step{
			{Report: t.older(gmp.IsEx)},
			{At: Membership - time.Millisecond, Want: t.excludes(nil, nil)},
			{At: Membership, Want: t.nobody()},
		}},
	}
}

// including are the stories that begin in INCLUDE (1,2,3).
func (t teller) including() []Scenario {
	begin := Step{Report: t.newest(gmp.IsIn, 1, 2, 3), Want: t.includes(1, 2, 3)}
	return []Scenario{
		{Name: "include", Steps: []Step{begin}},
		{Name: "include, nothing", Steps: []Step{{Report: t.newest(gmp.IsIn), Want: t.nobody()}}},
		{Name: "include, allow", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.Allow, 10, 11, 12), Want: t.includes(1, 2, 3, 10, 11, 12)}}},
		{Name: "include, is_include", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.IsIn, 10, 11, 12), Want: t.includes(1, 2, 3, 10, 11, 12)}}},
		{Name: "include, is_exclude", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.IsEx, 1, 2, 20, 21), Want: t.excludes([]byte{1, 2}, []byte{20, 21})}}},
		{Name: "include, to_exclude", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.ToEx, 1, 20, 30), Want: t.excludes([]byte{1}, []byte{20, 30})},
			{At: time.Second + Leave, Want: t.excludes(nil, []byte{1, 20, 30})}}},
		{Name: "include, to_include", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.ToIn, 3, 4), Want: t.includes(1, 2, 3, 4)},
			{At: time.Second + Leave, Want: t.includes(3, 4)}}},
		{Name: "include, block", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.Block, 1, 20, 30), Want: t.includes(1, 2, 3)},
			{At: time.Second + Leave, Want: t.includes(2, 3)}}},
		{Name: "include, block all", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.Block, 1, 2, 3)},
			{At: time.Second + Leave, Want: t.nobody()}}},
		{Name: "include, leave", Steps: []Step{begin,
			{At: time.Second, Report: t.newest(gmp.ToIn)},
			{At: time.Second + Leave, Want: t.nobody()}}},
	}
}

// excluding are the stories that begin in EXCLUDE (1,2; 20,21).
func (t teller) excluding() []Scenario {
	began := []Step{
		{Report: t.newest(gmp.IsIn, 1, 2, 3)},
		{At: time.Second, Report: t.newest(gmp.IsEx, 1, 2, 20, 21), Want: t.excludes([]byte{1, 2}, []byte{20, 21})},
	}
	then := func(steps ...Step) []Step { return append(began[:2:2], steps...) }
	at := 2 * time.Second
	return []Scenario{
		{Name: "exclude, allow", Steps: then(
			Step{At: at, Report: t.newest(gmp.Allow, 20, 30), Want: t.excludes([]byte{1, 2, 20, 30}, []byte{21})})},
		{Name: "exclude, is_include", Steps: then(
			Step{At: at, Report: t.newest(gmp.IsIn, 20, 30), Want: t.excludes([]byte{1, 2, 20, 30}, []byte{21})})},
		{Name: "exclude, is_exclude", Steps: then(
			Step{At: at, Report: t.newest(gmp.IsEx, 20, 30), Want: t.excludes([]byte{30}, []byte{20})})},
		{Name: "exclude, to_exclude", Steps: then(
			Step{At: at, Report: t.newest(gmp.ToEx, 1, 20, 30), Want: t.excludes([]byte{1, 30}, []byte{20})},
			Step{At: at + Leave, Want: t.excludes(nil, []byte{1, 20, 30})})},
		{Name: "exclude, to_include", Steps: then(
			Step{At: at, Report: t.newest(gmp.ToIn, 2, 20), Want: t.excludes([]byte{1, 2, 20}, []byte{21})},
			Step{At: at + Leave, Want: t.includes(2, 20)})},
		{Name: "exclude, block", Steps: then(
			Step{At: at, Report: t.newest(gmp.Block, 1, 20, 30), Want: t.excludes([]byte{1, 2, 30}, []byte{20, 21})},
			Step{At: at + Leave, Want: t.excludes([]byte{2}, []byte{1, 20, 21, 30})})},
		{Name: "exclude, leave", Steps: then(
			Step{At: at, Report: t.newest(gmp.ToIn)},
			Step{At: at + Leave, Want: t.nobody()})},
	}
}

func (t teller) timeouts() []Scenario {
	return []Scenario{
		{Name: "include, silence", Steps: []Step{
			{Report: t.newest(gmp.IsIn, 1)},
			{At: 10 * time.Second, Report: t.newest(gmp.IsIn, 2)},
			{At: Membership - time.Millisecond, Want: t.includes(1, 2)},
			{At: Membership, Want: t.includes(2)},
			{At: Membership + 10*time.Second, Want: t.nobody()},
		}},
		{Name: "exclude, silence of the group", Steps: []Step{
			{Report: t.newest(gmp.IsEx, 20)},
			{At: 10 * time.Second, Report: t.newest(gmp.Allow, 1, 2), Want: t.excludes([]byte{1, 2}, []byte{20})},
			{At: Membership - time.Millisecond, Want: t.excludes([]byte{1, 2}, []byte{20})},
			{At: Membership, Want: t.includes(1, 2)},
			{At: Membership + 10*time.Second, Want: t.nobody()},
		}},
		{Name: "exclude, silence of a source", Steps: []Step{
			{Report: t.newest(gmp.IsIn, 1)},
			{At: 10 * time.Second, Report: t.newest(gmp.IsEx, 1), Want: t.excludes([]byte{1}, nil)},
			{At: Membership, Want: t.excludes(nil, []byte{1})},
			{At: Membership + 10*time.Second, Want: t.nobody()},
		}},
	}
}
