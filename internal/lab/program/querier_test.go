package program

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
)

var (
	groupA  = netip.MustParseAddr("239.1.1.1")
	source1 = netip.MustParseAddr("10.0.0.1")
	source2 = netip.MustParseAddr("10.0.0.2")
)

func record(t frame.RecordType, sources ...netip.Addr) frame.Message {
	return frame.Message{Kind: frame.Report, Version: 3, Records: []frame.Record{{Type: t, Group: groupA, Sources: sources}}}
}

// describe says what queries ask about.
func describe(queries []frame.Message) string {
	var all []string
	for _, q := range queries {
		text := fmt.Sprintf("v%d %v within %v", q.Version, q.Group, q.MaxResponse)
		if len(q.Sources) > 0 {
			text += fmt.Sprintf(" %v", q.Sources)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// A querierStep is what is heard at a time, and what is asked and wanted then.
type querierStep struct {
	at    time.Duration
	hear  frame.Message
	ask   string
	wants string // sources that the group is wanted from
}

// querierCases are stories of a querier.
func querierCases() []querierCase {
	v2report := frame.Message{Kind: frame.Report, Version: 2, Group: groupA}
	v2leave := frame.Message{Kind: frame.Leave, Version: 2, Group: groupA}
	const general, about = "v3 0.0.0.0 within 10s", "v3 239.1.1.1 within 1s"
	var nothing frame.Message
	return []querierCase{
		{"general queries", 0, []querierStep{
			{0, nothing, general, ""},
			{31249 * ms, nothing, "", ""},
			{31250 * ms, nothing, general, ""}, // a quarter of the interval
			{156249 * ms, nothing, "", ""},
			{156250 * ms, nothing, general, ""},
		}},
		{"version 2", 2, []querierStep{
			{0, nothing, "v2 0.0.0.0 within 10s", ""},
			{1 * time.Second, v2report, "", "1 2"},
			{2 * time.Second, v2leave, "v2 239.1.1.1 within 1s", "1 2"},
			{3 * time.Second, nothing, "v2 239.1.1.1 within 1s", "1 2"},
			{4 * time.Second, nothing, "", ""},
		}},
		{"the answer of another host", 3, []querierStep{
			{0, v2report, general, "1 2"},
			{1 * time.Second, v2leave, about, "1 2"},
			{1500 * ms, v2report, "", "1 2"},
			{20 * time.Second, nothing, "", "1 2"},
		}},
		{"membership ends", 3, []querierStep{
			{0, record(frame.IsEx), general, "1 2"},
			{40 * time.Second, nothing, general, "1 2"},
			{259999 * ms, nothing, general, "1 2"},
			{260 * time.Second, nothing, "", ""},
		}},
		{"sources", 3, []querierStep{
			{0, record(frame.Allow, source1), general, "1"},
			{1 * time.Second, record(frame.IsIn, source2), "", "1 2"},
			{2 * time.Second, record(frame.Block, source1), about + " [10.0.0.1]", "1 2"},
			{3 * time.Second, nothing, about + " [10.0.0.1]", "1 2"},
			{4 * time.Second, nothing, "", "2"},
			{5 * time.Second, record(frame.ToIn), "", "2"}, // nobody wanted it from anybody
			{261 * time.Second, nothing, general, ""},
		}},
		{"from any to a source", 3, []querierStep{
			{0, record(frame.ToEx), general, "1 2"},
			{1 * time.Second, record(frame.ToIn, source1), about, "1 2"},
			{2 * time.Second, nothing, about, "1 2"},
			{3 * time.Second, nothing, "", "1"},
		}},
		{"nothing begins with a leave", 3, []querierStep{
			{0, v2leave, general, ""},
			{1 * time.Second, record(frame.Block, source1), "", ""},
			{2 * time.Second, record(frame.ToIn), "", ""},
			{3 * time.Second, frame.Message{Kind: frame.Report, Version: 2, Group: source1}, "", ""}, // not a group
		}},
	}
}

// A querierCase is one of them.
type querierCase struct {
	name    string
	version uint8
	steps   []querierStep
}

// TestQuerier plays them, with time.
func TestQuerier(t *testing.T) {
	t.Parallel()
	for _, c := range querierCases() {
		start := clock.Instant(0).Add(time.Hour)
		q := newQuerier(start, QuerierOptions{Version: c.version})
		for _, s := range c.steps {
			now := start.Add(s.at)
			q.handle(now, s.hear)
			if got := describe(q.advance(now, nil)); got != s.ask {
				t.Errorf("%s: at %v it asks %q, want %q", c.name, s.at, got, s.ask)
			}
			var wants []string
			for i, source := range []netip.Addr{source1, source2} {
				if q.wants(now, groupA, source) {
					wants = append(wants, fmt.Sprint(i+1))
				}
			}
			if got := strings.Join(wants, " "); got != s.wants {
				t.Errorf("%s: at %v the group is wanted from %q, want %q", c.name, s.at, got, s.wants)
			}
			if q.timeout() <= now {
				t.Errorf("%s: at %v its timeout is past: it would spin", c.name, s.at)
			}
		}
	}
}

// TestQuerierBounds fills the table.
func TestQuerierBounds(t *testing.T) {
	t.Parallel()
	q := newQuerier(1, QuerierOptions{})
	var sources []netip.Addr
	for i := range 2 * maxGroups {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		sources = append(sources, a)
		q.handle(1, frame.Message{Kind: frame.Report, Version: 2, Group: netip.AddrFrom4([4]byte{239, 1, byte(i >> 8), byte(i)})})
	}
	if got := len(q.groups); got != maxGroups {
		t.Errorf("it remembers %d groups, want %d", got, maxGroups)
	}
	q = newQuerier(1, QuerierOptions{})
	q.handle(1, record(frame.Allow, sources...))
	if got := len(q.groups[groupA].sources); got != maxGroups {
		t.Errorf("it remembers %d sources, want %d", got, maxGroups)
	}
	q.advance(clock.Instant(time.Hour), nil)
	if len(q.groups) != 0 {
		t.Errorf("after an hour it remembers %v", q.groups)
	}
}
