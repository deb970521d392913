package scenario

import (
	"fmt"
	"net/netip"
	"time"

	"campagnol/internal/lab/frame"
)

// A family has the addresses of scenarios.
type family struct {
	name  string
	group netip.Addr
	base  netip.Addr // its last byte is the number of a source
}

var families = []family{
	{"IGMP", netip.MustParseAddr("239.10.10.10"), netip.MustParseAddr("192.0.2.0")},
	{"MLD", netip.MustParseAddr("ff15::1010"), netip.MustParseAddr("2001:db8:1::")},
}

// sources returns the sources with the given numbers.
func (f family) sources(numbers ...byte) []netip.Addr {
	var all []netip.Addr
	for _, n := range numbers {
		b := f.base.AsSlice()
		b[len(b)-1] = n
		a, _ := netip.AddrFromSlice(b)
		all = append(all, a)
	}
	return all
}

// record returns a report of version 3 with one record.
func (f family) record(t frame.RecordType, numbers []byte) frame.Message {
	return frame.Message{Kind: frame.Report, Version: 3, Records: []frame.Record{{Type: t, Group: f.group, Sources: f.sources(numbers...)}}}
}

// report and leave return messages of version 2.
func (f family) report() frame.Message {
	return frame.Message{Kind: frame.Report, Version: 2, Group: f.group}
}

func (f family) leave() frame.Message {
	return frame.Message{Kind: frame.Leave, Version: 2, Group: f.group}
}

// include and exclude return states.
func (f family) include(wanted []byte) State {
	if len(wanted) == 0 {
		return State{}
	}
	return State{Mode: Include, Wanted: f.sources(wanted...)}
}

func (f family) exclude(wanted, refused []byte) State {
	return State{Mode: Exclude, Wanted: f.sources(wanted...), Refused: f.sources(refused...)}
}

// All returns the scenarios.
func All() []Scenario {
	var all []Scenario
	for _, f := range families {
		all = append(all, f.versionTwo()...)
		all = append(all, f.transitions()...)
		all = append(all, f.twoPorts(), f.groupTimer(), f.sourceTimers())
	}
	for i := range all {
		for _, f := range families {
			if all[i].Group == f.group {
				all[i].Sources = f.sources(1, 2, 3, 4, 5, 6)
			}
		}
	}
	return all
}

// versionTwo are scenarios of the old messages, which know no sources.
func (f family) versionTwo() []Scenario {
	any := f.exclude(nil, nil)
	return []Scenario{{
		Name: f.name + " version 2: report and leave", Group: f.group,
		Steps: []Step{
			{Name: "nobody", Want: map[int]State{}},
			{Name: "report", Port: 1, Report: f.report(), Want: map[int]State{1: any}},
			{Name: "report on another port", Port: 2, Report: f.report(), Want: map[int]State{2: any}},
			{Name: "leave", Port: 1, Report: f.leave(), Want: map[int]State{1: any}},
			{Name: "nobody answers", Want: map[int]State{1: {}}, Later: true},
			{Name: "leave of the other", Port: 2, Report: f.leave(), Want: map[int]State{2: any}},
			{Name: "nobody answers", Want: map[int]State{2: {}}, Later: true},
		},
	}, {
		Name: f.name + " version 2: somebody else stays", Group: f.group,
		Steps: []Step{
			{Name: "report", Port: 1, Report: f.report(), Want: map[int]State{1: any}},
			{Name: "leave", Port: 1, Report: f.leave(), Want: map[int]State{1: any}},
			{Name: "another host answers", Port: 1, Host: 1, Report: f.report(), Wait: LastMember + 500*time.Millisecond},
		},
	}, {
		Name: f.name + " version 2: membership ends", Group: f.group, Quick: true,
		Steps: []Step{
			{Name: "report", Port: 1, Report: f.report(), Again: QuickMembership / 4, Want: map[int]State{1: any}},
			{Name: "no report any more", Want: map[int]State{1: {}}, Later: true},
		},
	}}
}

// A transition is a line of the tables of RFC 3376 section 6.4, with sets that
// have members in all combinations. What is left in doubt by it is asked about,
// and after is the state when nobody answers.
type transition struct {
	record  frame.RecordType
	sources []byte

	wanted, refused           []byte // the state at once; see transitions
	laterWanted, laterRefused []byte
	laterInclude              bool
	doubt                     bool // something is asked
}

// transitions are the scenarios of the tables.
func (f family) transitions() []Scenario {
	// From INCLUDE(1 2 3).
	fromInclude := []transition{
		{record: frame.IsIn, sources: []byte{3, 4}, wanted: []byte{1, 2, 3, 4}},
		{record: frame.Allow, sources: []byte{3, 4}, wanted: []byte{1, 2, 3, 4}},
		{record: frame.Block, sources: []byte{2, 3, 4}, wanted: []byte{1, 2, 3}, doubt: true, laterWanted: []byte{1}},
		{record: frame.ToIn, sources: []byte{3, 4}, wanted: []byte{1, 2, 3, 4}, doubt: true, laterWanted: []byte{3, 4}},
		{record: frame.ToIn, wanted: []byte{1, 2, 3}, doubt: true},
		{record: frame.IsEx, sources: []byte{2, 3, 4, 5}, wanted: []byte{2, 3}, refused: []byte{4, 5}},
		{record: frame.ToEx, sources: []byte{2, 3, 4, 5}, wanted: []byte{2, 3}, refused: []byte{4, 5}, doubt: true, laterRefused: []byte{2, 3, 4, 5}},
	}
	// From EXCLUDE(1 2; 3 4).
	fromExclude := []transition{
		{record: frame.IsIn, sources: []byte{2, 3, 5}, wanted: []byte{1, 2, 3, 5}, refused: []byte{4}},
		{record: frame.Allow, sources: []byte{2, 3, 5}, wanted: []byte{1, 2, 3, 5}, refused: []byte{4}},
		{record: frame.Block, sources: []byte{2, 3, 5}, wanted: []byte{1, 2, 5}, refused: []byte{3, 4}, doubt: true, laterWanted: []byte{1}, laterRefused: []byte{2, 3, 4, 5}},
		{record: frame.ToIn, sources: []byte{2, 3, 5}, wanted: []byte{1, 2, 3, 5}, refused: []byte{4}, doubt: true, laterInclude: true, laterWanted: []byte{2, 3, 5}},
		{record: frame.IsEx, sources: []byte{2, 3, 5}, wanted: []byte{2, 5}, refused: []byte{3}},
		{record: frame.ToEx, sources: []byte{2, 3, 5}, wanted: []byte{2, 5}, refused: []byte{3}, doubt: true, laterRefused: []byte{2, 3, 5}},
	}
	var all []Scenario
	start := Step{Name: "IS_IN(1 2 3)", Port: 1, Report: f.record(frame.IsIn, []byte{1, 2, 3}), Want: map[int]State{1: f.include([]byte{1, 2, 3})}}
	for _, t := range fromInclude {
		mode := Include
		if t.record == frame.IsEx || t.record == frame.ToEx {
			mode = Exclude
		}
		all = append(all, f.transition("INCLUDE", t, mode, start))
	}
	intoExclude := []Step{
		{Name: "IS_IN(1 2)", Port: 1, Report: f.record(frame.IsIn, []byte{1, 2}), Want: map[int]State{1: f.include([]byte{1, 2})}},
		{Name: "IS_EX(1 2 3 4)", Port: 1, Report: f.record(frame.IsEx, []byte{1, 2, 3, 4}), Want: map[int]State{1: f.exclude([]byte{1, 2}, []byte{3, 4})}},
	}
	for _, t := range fromExclude {
		all = append(all, f.transition("EXCLUDE", t, Exclude, intoExclude...))
	}
	return all
}

// transition returns the scenario of a transition.
func (f family) transition(from string, t transition, mode Mode, start ...Step) Scenario {
	state := func(m Mode, wanted, refused []byte) State {
		if m == Include {
			return f.include(wanted)
		}
		return f.exclude(wanted, refused)
	}
	name := fmt.Sprintf("%v(%d)", t.record, t.sources)
	s := Scenario{Name: fmt.Sprintf("%s version 3: %s, %s", f.name, from, name), Group: f.group}
	s.Steps = append(s.Steps, start...)
	s.Steps = append(s.Steps, Step{
		Name: name, Port: 1, Report: f.record(t.record, t.sources),
		Want: map[int]State{1: state(mode, t.wanted, t.refused)},
	})
	if t.doubt {
		if t.laterInclude {
			mode = Include
		}
		s.Steps = append(s.Steps, Step{Name: "nobody answers", Later: true, Want: map[int]State{1: state(mode, t.laterWanted, t.laterRefused)}})
	}
	return s
}

// twoPorts is what ports want from each other's point of view: one that wants
// the group from anybody gets also what another one asks for by name, and one
// that refuses a source does not, whatever the other says.
func (f family) twoPorts() Scenario {
	return Scenario{
		Name: f.name + " version 3: ports do not disturb each other", Group: f.group,
		Steps: []Step{
			{Name: "port 1 wants all but source 2", Port: 1, Report: f.record(frame.IsEx, []byte{2}), Want: map[int]State{1: f.exclude(nil, []byte{2})}},
			{Name: "port 2 wants source 1", Port: 2, Report: f.record(frame.Allow, []byte{1}), Want: map[int]State{2: f.include([]byte{1})}},
			{Name: "port 2 wants source 2, too", Port: 2, Report: f.record(frame.Allow, []byte{2}), Want: map[int]State{2: f.include([]byte{1, 2})}},
			{Name: "port 3 wants all but source 1", Port: 3, Report: f.record(frame.ToEx, []byte{1}), Want: map[int]State{3: f.exclude(nil, []byte{1})}},
			{Name: "port 2 wants nothing", Port: 2, Report: f.record(frame.Block, []byte{1, 2})},
			{Name: "nobody answers", Want: map[int]State{2: {}}, Later: true},
		},
	}
}

// groupTimer is the end of mode EXCLUDE: what was asked for by name is still
// wanted (RFC 3376 section 6.5).
func (f family) groupTimer() Scenario {
	return Scenario{
		Name: f.name + " version 3: the timer of the group ends", Group: f.group, Quick: true,
		Steps: []Step{
			{
				Name: "IS_EX(1 2 3)", Port: 1, Report: f.record(frame.IsEx, []byte{1, 2, 3}), Again: QuickMembership / 4,
				Want: map[int]State{1: f.exclude(nil, []byte{1, 2, 3})},
			},
			{
				Name: "only source 1 is asked for any more", Port: 1, Report: f.record(frame.IsIn, []byte{1}), Again: QuickMembership / 4,
				Want: map[int]State{1: f.include([]byte{1})}, Later: true,
			},
			{Name: "nothing is asked for any more", Want: map[int]State{1: {}}, Later: true},
		},
	}
}

// sourceTimers is the end of sources one by one.
func (f family) sourceTimers() Scenario {
	return Scenario{
		Name: f.name + " version 3: the timers of sources end", Group: f.group, Quick: true,
		Steps: []Step{
			{
				Name: "IS_IN(1 2 3)", Port: 1, Report: f.record(frame.IsIn, []byte{1, 2, 3}), Again: QuickMembership / 4,
				Want: map[int]State{1: f.include([]byte{1, 2, 3})},
			},
			{
				Name: "only source 2 is asked for any more", Port: 1, Report: f.record(frame.IsIn, []byte{2}), Again: QuickMembership / 4,
				Want: map[int]State{1: f.include([]byte{2})}, Later: true,
			},
			{Name: "nothing is asked for any more", Want: map[int]State{1: {}}, Later: true},
		},
	}
}

// Silence returns scenarios of groups that nobody wants, one of each family: a
// fabric that has just begun may flood, and is ready when they pass.
func Silence() []Scenario {
	var all []Scenario
	for _, f := range families {
		all = append(all, Scenario{Name: f.name + ": nobody wants anything", Group: f.group, Steps: []Step{{Name: "nobody"}}})
	}
	return all
}
