package web

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv"
)

// natsOfMesh are the NATs of meshSample.
var natsOfMesh = []nat.Behaviour{symmetric, portRestricted, symmetric, fullCone, {}}

// TestMesh: all members are drawn, with their names, and all is within the picture; of
// very many, their networks are.
func TestMesh(t *testing.T) {
	for _, n := range []int{1, 2, few, few + 1, 25, 26, maxDrawn} {
		m := meshOf(sample(t, n).o, &layout{})
		if len(m.Nodes) != n || m.Density != nil {
			t.Errorf("of %d members %d are drawn", n, len(m.Nodes))
		}
		size := labelSizes[m.Class]
		for _, a := range m.Nodes {
			if a.X < float64(m.Left)+dot || a.X > float64(m.Left+m.Width)-dot || a.Y < float64(m.Top)+dot || a.Y > float64(m.Top+m.Height)-meshTip-dot {
				t.Errorf("%d members: %s at %g, %g is outside of %d, %d, %d, %d", n, a.Label, a.X, a.Y, m.Left, m.Top, m.Width, m.Height)
			}
			if letters := len([]rune(a.Label)); letters > size.letters || letters == 0 {
				t.Errorf("%d members: the name %q", n, a.Label)
			}
		}
		if m.Width < leastWidth || m.TipY > m.Top+m.Height || m.TipX < m.Left || m.TipX > m.Left+m.Width {
			t.Errorf("%d members: the picture is %d wide, and the words are at %d, %d", n, m.Width, m.TipX, m.TipY)
		}
	}
	for _, n := range []int{maxDrawn + 1, 1000} {
		if m := meshOf(sample(t, n).o, &layout{}); len(m.Nodes) > 0 || m.Density == nil || len(m.Rows) != maxListed {
			t.Errorf("%d members: %d are drawn, and %d rows", n, len(m.Nodes), len(m.Rows))
		}
	}
}

// TestLabels: names hide neither other names nor members, where there is room.
func TestLabels(t *testing.T) {
	for _, n := range []int{3, 12, 25} {
		m := meshOf(sample(t, n).o, &layout{})
		size := labelSizes[m.Class]
		var boxes []box
		for i := range m.Nodes {
			a := &m.Nodes[i]
			for _, p := range labelPlaces(a, letterWidth*size.height*float64(len([]rune(a.Label))), size.height) {
				if round(p.x) == a.TextX && round(p.y) == a.TextY {
					boxes = append(boxes, p.box)
				}
			}
		}
		if len(boxes) != n {
			t.Fatalf("%d names are at a place of theirs, want %d", len(boxes), n)
		}
		hidden := 0.0
		for i, b := range boxes {
			for _, c := range boxes[:i] {
				hidden += b.overlap(c)
			}
		}
		if area := float64(n) * size.height * 100; hidden > 0.02*area {
			t.Errorf("%d members: of names, %.0f are hidden by others", n, hidden)
		}
	}
}

// TestDensity: introductions are counted where they belong, each once, and networks are
// as small as they can be.
func TestDensity(t *testing.T) {
	o := &rdv.Overview{Time: noon}
	for i := range 100 {
		o.Clients = append(o.Clients, rdv.ClientInfo{VPN: []netip.Addr{addrOf(i)}, Channel: true, NAT: fullCone})
	}
	introduce := func(a, b int, relayed bool) {
		p := rdv.PairInfo{Asker: addrOf(a), Asked: addrOf(b), Time: noon}
		if relayed {
			p.RelayedAt = noon
		}
		o.Pairs = append(o.Pairs, p)
	}
	introduce(0, 1, false)
	introduce(1, 0, false) // the same
	introduce(2, 99, true)
	introduce(98, 3, false)
	introduce(1, 97, false)
	introduce(4, 8, false)
	h := rdv.NewHistory()
	h.Add(noon, rdv.Event{Kind: rdv.Forbidden, VPN: addrOf(50), Peer: addrOf(9), Why: "no rule"})
	o.Refusals = h.Refusals()
	d := densityOf(o, linksOf(o))
	if got, want := len(d.Networks), 25; got != want || d.Networks[24].Name != "10.9.0.96/30" || d.Networks[24].Members != 4 {
		t.Fatalf("%d networks, want %d: %+v", got, want, d.Networks)
	}
	var got string
	for _, c := range d.Cells {
		got += fmt.Sprintf("%s; %d %v\n", c.Title, c.Shade, c.Relayed)
	}
	const want = "10.9.0.0/30 with 10.9.0.0/30: 1 introduction, 0 relayed by this server, 0 refused; 2 false\n" +
		"10.9.0.8/30 with 10.9.0.4/30: 1 introduction, 0 relayed by this server, 0 refused; 2 false\n" +
		"10.9.0.48/30 with 10.9.0.8/30: 0 introductions, 0 relayed by this server, 1 refused; 0 false\n" +
		"10.9.0.96/30 with 10.9.0.0/30: 3 introductions, 1 relayed by this server, 0 refused; 4 true\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got, want := fmt.Sprint(d.Shades), "[{2 1} {3 2} {4 3}]"; got != want {
		t.Errorf("the shades are %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(shadesOf(100)), "[{1 1 to 25} {2 26 to 50} {3 51 to 75} {4 76 to 100}]"; got != want {
		t.Errorf("the shades of 100 are %s, want %s", got, want)
	}
	for n := 1; n <= 100; n++ {
		if s := shadeOf(n, 100); s != (n+24)/25 {
			t.Errorf("%d of 100 has the shade %d", n, s)
		}
	}
	for _, n := range []int{maxDrawn + 1, 1000} {
		if d := meshOf(sample(t, n).o, &layout{}).Density; len(d.Networks) > maxNetworks || len(d.Networks) < maxNetworks/3 {
			t.Errorf("%d members are in %d networks", n, len(d.Networks))
		}
	}
	o.Clients = append(o.Clients, rdv.ClientInfo{VPN: []netip.Addr{netip.MustParseAddr("fd00::1")}}, rdv.ClientInfo{VPN: []netip.Addr{netip.MustParseAddr("fe00::1")}})
	if networks, _ := networksOf(o.Clients); len(networks) > maxNetworks {
		t.Errorf("of both families there are %d networks", len(networks))
	}
}

// TestPairs: of few members, each pair is said, by what was seen or what is expected.
func TestPairs(t *testing.T) {
	o := meshSample()
	var got string
	for _, m := range pairsOf(o).Members {
		for _, c := range m.Cells {
			if c.Same {
				got += "-"
			} else {
				got += c.Kind.Sign
			}
		}
		got += "\n"
	}
	const want = "-◐○●?\n◐-×R?\n○×-●?\n●R●-?\n????-\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	var words []string
	for _, k := range pairsOf(o).Signs {
		words = append(words, k.Class)
	}
	if got, want := fmt.Sprint(words), "[relayed refused direct guess none unknown]"; got != want {
		t.Errorf("explained are %s, want %s", got, want)
	}
	for n, want := range map[int]bool{0: false, 1: false, 2: true, maxInTable: true, maxInTable + 1: false} {
		if got := pairsOf(sample(t, n).o) != nil; got != want {
			t.Errorf("%d members have a table: %v, want %v", n, got, want)
		}
	}
}

// meshSample returns members 0 to 4 with all kinds of links.
func meshSample() *rdv.Overview {
	o := &rdv.Overview{Time: noon}
	for i, b := range natsOfMesh {
		o.Clients = append(o.Clients, rdv.ClientInfo{VPN: []netip.Addr{addrOf(i)}, Channel: true, NAT: b})
	}
	introduce := func(a, b int, old time.Duration, relayed time.Duration) {
		p := rdv.PairInfo{Asker: addrOf(a), Asked: addrOf(b), Time: noon.Add(-old), Relayed: true}
		if relayed > 0 {
			p.RelayedAt = noon.Add(-relayed)
		}
		o.Pairs = append(o.Pairs, p)
	}
	introduce(0, 1, time.Second, 2*time.Minute) // it was relayed, and is not any more
	introduce(1, 0, time.Hour, 0)               // the later one counts
	introduce(0, 2, 2*time.Second, 0)
	introduce(2, 3, time.Hour, 0)
	introduce(3, 1, 20*time.Minute, 5*time.Second)
	introduce(4, 1, 3*time.Second, 0)
	introduce(4, 9, 0, 0) // has left
	introduce(4, 4, 0, 0)
	h := rdv.NewHistory()
	h.Add(noon.Add(-2*time.Minute), rdv.Event{Kind: rdv.Forbidden, VPN: addrOf(1), Peer: addrOf(2), Why: "no rule"})
	h.Add(noon.Add(-5*time.Minute), rdv.Event{Kind: rdv.Forbidden, VPN: addrOf(0), Peer: addrOf(1), Why: "that was before"})
	h.Add(noon.Add(-15*time.Minute), rdv.Event{Kind: rdv.Forbidden, VPN: addrOf(4), Peer: addrOf(0), Why: "long ago"})
	o.Refusals = h.Refusals()
	return o
}

// TestMeshKinds: what the server has seen is told from what NATs let expect, of each pair
// the latest counts, and one of somebody who has left is not drawn.
func TestMeshKinds(t *testing.T) {
	m := meshOf(meshSample(), &layout{})
	var got string
	for _, e := range m.Edges {
		got += e.Title + "; " + e.Class + "\n"
	}
	const want = "10.9.0.0 and 10.9.0.1: guess ports, introduced 1s ago; edge edge-guess\n" +
		"10.9.0.0 and 10.9.0.2: relay only, introduced 2s ago; edge edge-none\n" +
		"10.9.0.4 and 10.9.0.1: not known, introduced 3s ago; edge edge-unknown\n" +
		"10.9.0.1 and 10.9.0.2: refused by the policy 2m0s ago: no rule; edge edge-refused\n" +
		"10.9.0.3 and 10.9.0.1: relayed by this server, introduced 20m0s ago; edge edge-relayed\n" +
		"10.9.0.2 and 10.9.0.3: direct, introduced 1h0m ago; edge edge-direct edge-old\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got, want := fmt.Sprint(m.Seen, m.Expected), "[{{relayed by this server relayed R} 1} {{refused by the policy refused ×} 1}] "+
		"[{{direct direct ●} 1} {{guess ports guess ◐} 1} {{relay only none ○} 1} {{not known unknown ?} 1}]"; got != want {
		t.Errorf("the legend is %s, want %s", got, want)
	}
	if len(m.Rows) != len(m.Edges) || m.Rows[4].Note != "their NATs: direct" || m.Rows[3].Note != "no rule" {
		t.Errorf("in words: %+v", m.Rows)
	}
}
