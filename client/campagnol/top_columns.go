package main

import (
	"strings"

	"campagnol/internal/control"
	"campagnol/internal/human"

	"charm.land/lipgloss/v2"
)

// A topColumn is one of the table.
type topColumn struct {
	name  string
	width int
	right bool
	cell  func(m *topModel, p *control.Peer) string

	// A column whose cells differ much gets what its peers need, up to most, and gives
	// up what others need more, down to least; most 0: it is always as wide.
	least, most int
	need        int
}

type topColumns []topColumn

// leastSpark is the width that a peer's last minute has left, at least.
const leastSpark, mostSpark = 6, 30

// columns returns those that there is room for, as wide as these peers need. The last one
// takes what is left.
func (m *topModel) columns(list []control.Peer) topColumns {
	cs := m.usualColumns()
	room := m.width - 2 - len(cs) - leastSpark
	for i := range cs {
		cs[i].grow(m, list)
		room -= cs[i].width
	}
	cs.shrink(-room)
	used := 2
	for _, c := range cs {
		used += c.width + 1
	}
	if width := min(m.width-used, mostSpark); width >= leastSpark {
		cs = append(cs, topColumn{name: "MINUTE", width: width, cell: func(m *topModel, p *control.Peer) string { return m.spark(p, width) }})
	}
	return cs
}

// usualColumns returns all columns but the last one, as wide as they usually are.
func (m *topModel) usualColumns() topColumns {
	cs := topColumns{
		{"PEER", 15, false, func(_ *topModel, p *control.Peer) string { return addrText(p.VPNAddress) }, 9, 39, 0},
		{"NAME", 10, false, func(_ *topModel, p *control.Peer) string { return human.OrDash(p.Name) }, 8, 32, 0},
		{"PATH", 9, false, func(_ *topModel, p *control.Peer) string { return pathWord(p) }, 5, 12, 0},
	}
	if m.width >= topWide {
		cs = append(cs,
			topColumn{"ADDRESS", 21, false, func(_ *topModel, p *control.Peer) string {
				if !p.Path.IsValid() {
					return "-"
				}
				return human.Printable(p.Path.String())
			}, 15, 47, 0},
			topColumn{"OPEN FOR", 8, true, func(m *topModel, p *control.Peer) string {
				if p.Since.IsZero() {
					return "-"
				}
				return human.Age(m.status.Time.Sub(p.Since))
			}, 0, 0, 0})
	}
	return append(cs,
		topColumn{"RTT", 8, true, func(_ *topModel, p *control.Peer) string {
			if p.PathRTTSeconds <= 0 {
				return "-"
			}
			return millisText(p.PathRTTSeconds)
		}, 0, 0, 0},
		topColumn{"IN", 10, true, func(m *topModel, p *control.Peer) string {
			return m.rateOf(p, func(h *rateHistory) float64 { return h.in })
		}, 0, 0, 0},
		topColumn{"OUT", 10, true, func(m *topModel, p *control.Peer) string {
			return m.rateOf(p, func(h *rateHistory) float64 { return h.out })
		}, 0, 0, 0})
}

// grow makes a column as wide as the peers need.
func (c *topColumn) grow(m *topModel, list []control.Peer) {
	if c.most == 0 {
		return
	}
	c.need = lipgloss.Width(c.name)
	for i := range list {
		c.need = max(c.need, lipgloss.Width(c.cell(m, &list[i])))
	}
	c.width = max(c.width, min(c.need, c.most))
}

// shrink takes so much from the columns that can give something: first what they do not
// need, then from the one that is the farthest from its least.
func (cs topColumns) shrink(by int) {
	for ; by > 0; by-- {
		best, gives := -1, 0
		for i, c := range cs {
			spare := c.width - c.least
			if c.width > c.need {
				spare += 100
			}
			if c.most > 0 && c.width > c.least && spare > gives {
				best, gives = i, spare
			}
		}
		if best < 0 {
			return
		}
		cs[best].width--
	}
}

// head returns the names of the columns.
func (cs topColumns) head() string {
	var names []string
	for _, c := range cs {
		names = append(names, c.fit(c.name))
	}
	return strings.Join(names, " ")
}

// fit gives a cell the width of its column.
func (c *topColumn) fit(text string) string {
	text = fit(text, c.width)
	gap := strings.Repeat(" ", c.width-lipgloss.Width(text))
	if c.right {
		return gap + text
	}
	return text + gap
}
