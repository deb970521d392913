package mcast

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/scenario"
)

// TestScenarios tells the stories that a Linux bridge is tested with to a snooper,
// and looks at what a peer forwards.
func TestScenarios(t *testing.T) {
	for _, story := range scenario.All() {
		t.Run(story.Name, func(t *testing.T) {
			m := newMesh(t, 2, nil)
			n := m.nodes[1]
			const begin = 10 * time.Second
			for _, step := range story.Steps {
				m.run(begin + step.At)
				for _, report := range step.Report {
					n.do(n.s.Local(m.now, 0, MAC{2, 7}, report.Append(nil), nil))
				}
				n.do(n.s.Advance(m.now, nil))
				if step.Want == nil {
					continue
				}
				checkGroup(t, step, n.s.groups[key{0, story.Group}])
				w := advertised(n, story.Group)
				for _, a := range step.Want.Forward {
					if !w.takes(a) {
						t.Errorf("after %v: %v is not forwarded", step.At, a)
					}
				}
				for _, a := range step.Want.Stop {
					if w.takes(a) {
						t.Errorf("after %v: %v is forwarded", step.At, a)
					}
				}
			}
			m.run(begin + 600*time.Second)
			if p, _ := m.nodes[0].s.View().Ports(0, story.Group, story.Host); len(p) > 0 || len(m.nodes[0].s.mesh) > 0 {
				t.Errorf("in the end the peer sends to %v", p)
			}
		})
	}
}

// advertised is what a node's peers are told about a group.
func advertised(n *node, group netip.Addr) want {
	if g := n.s.groups[key{0, group}]; g != nil {
		return g.told
	}
	return want{}
}

func checkGroup(t *testing.T, step scenario.Step, g *group) {
	t.Helper()
	mode, sources, blocked := "", []netip.Addr(nil), []netip.Addr(nil)
	if g != nil {
		mode, sources, blocked = g.want().mode.String(), g.wanted(), g.blocked()
	}
	w := step.Want
	if mode != w.Mode || !slices.Equal(sources, w.Sources) || !slices.Equal(blocked, w.Blocked) {
		t.Errorf("after %v: %q, sources %v, blocked %v\nwant %q, %v, %v", step.At, mode, sources, blocked, w.Mode, w.Sources, w.Blocked)
	}
}

// TestScenariosForwarded sends packets of the sources of each story over a mesh whose
// updates get lost, and compares what arrives.
func TestScenariosForwarded(t *testing.T) {
	for _, story := range scenario.All() {
		m := newMesh(t, 2, nil)
		m.loss = 10
		n := m.nodes[1]
		const begin, late = 10 * time.Second, 900 * time.Millisecond
		for i, step := range story.Steps {
			m.run(begin + step.At)
			for _, report := range step.Report {
				n.do(n.s.Local(m.now, 0, MAC{2, 7}, report.Append(nil), nil))
			}
			n.do(n.s.Advance(m.now, nil))
			if step.Want == nil || i+1 < len(story.Steps) && story.Steps[i+1].At < step.At+late {
				continue
			}
			m.run(begin + step.At + late)
			for _, c := range []struct {
				list []netip.Addr
				want int
			}{{step.Want.Forward, 1}, {step.Want.Stop, 0}} {
				for _, a := range c.list {
					if p, flood := m.nodes[0].s.View().Ports(0, story.Group, a); len(p) != c.want || flood {
						t.Errorf("%s, after %v: %v goes to %v, want %d", story.Name, step.At, a, fmt.Sprint(p), c.want)
					}
				}
			}
		}
	}
}
