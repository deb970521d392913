package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"campagnol/internal/control"

	tea "charm.land/bubbletea/v2"
)

// TestTopColumns: columns are as wide as names and addresses need, if there is room; if not,
// those give something up that can, and numbers do not.
func TestTopColumns(t *testing.T) {
	s := topDocument(0)
	s.Peers = []control.Peer{
		{VPNAddress: netip.MustParseAddr("10.9.0.2"), Name: "a-name-of-twenty-six-signs", State: "ESTABLISHED", PathKind: "wan", PathRTTSeconds: 0.123, Since: noon,
			Path: netip.MustParseAddrPort("[2001:db8:1234:5678:9abc:def0:1234:5678]:57888")},
		{VPNAddress: netip.MustParseAddr("10.9.0.3"), State: "NEW"},
	}
	for width, want := range map[int]string{
		60:  "PEER      NAME     PATH       RTT         IN        OUT",
		80:  "PEER     NAME               PATH       RTT         IN        OUT MINUTE",
		120: "PEER      NAME            PATH  ADDRESS",
		170: "PEER            NAME                       PATH      ADDRESS                                        OPEN FOR      RTT",
	} {
		m := newTopModel(topSource{})
		m.plain = true
		m.Update(topLooked{status: s})
		m.Update(tea.WindowSizeMsg{Width: width, Height: 20})
		columns := m.columns(m.peers())
		got := columns.head()
		if !strings.HasPrefix(strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("at %d: %q, want %q", width, got, want)
		}
		row := screen(t, m)
		for _, number := range []string{"123 ms"} {
			if !strings.Contains(row, number) {
				t.Errorf("at %d, %q is missing in\n%s", width, number, row)
			}
		}
		whole := strings.Contains(row, "[2001:db8:1234:5678:9abc:def0:1234:5678]:57888") && strings.Contains(row, "a-name-of-twenty-six-signs")
		if whole != (width == 170) {
			t.Errorf("at %d, all is to be read: %v\n%s", width, whole, row)
		}
		if width >= 80 && !strings.Contains(got, "MINUTE") {
			t.Errorf("at %d there is no room for the last minute: %q", width, got)
		}
	}
}

// TestTopMany: who looks at a part of many peers is told which.
func TestTopMany(t *testing.T) {
	s := topDocument(0)
	s.Peers = nil
	for i := range 200 {
		s.Peers = append(s.Peers, control.Peer{VPNAddress: netip.AddrFrom4([4]byte{10, 9, 1, byte(i)}), State: "NEW"})
	}
	m := newTopModel(topSource{})
	m.plain = true
	m.Update(topLooked{status: s})
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	for _, c := range []struct {
		keys []string
		from int
	}{{nil, 1}, {[]string{"end"}, 200 - m.rows() + 1}, {[]string{"home"}, 1}} {
		m.presses(c.keys...)
		want := fmt.Sprintf("peers %d to %d of 200 are seen", c.from, c.from+m.rows()-1)
		got := screen(t, m)
		if first := fmt.Sprintf(" 10.9.1.%d ", c.from-1); !strings.Contains(got, want) || !strings.Contains(got, first) {
			t.Errorf("after %v: %q and %q are wanted in\n%s", c.keys, want, first, got)
		}
	}
	m.presses("/", "1", ".", "1", "9", "9", "enter")
	if got := screen(t, m); strings.Contains(got, "are seen") {
		t.Errorf("all are seen, and it is said:\n%s", got)
	}
}
