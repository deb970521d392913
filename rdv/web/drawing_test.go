package web

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv"
)

// TestMatrix: classes find each other as their NATs do, and each pair is counted once.
func TestMatrix(t *testing.T) {
	var clients []rdv.ClientInfo
	add := func(n int, b nat.Behaviour) {
		for range n {
			clients = append(clients, rdv.ClientInfo{Channel: true, NAT: b})
		}
	}
	odd := symmetric // of the same name, but lets in who is not asked for
	odd.Filtering = nat.EndpointIndependent
	odd.Mapping, odd.MappingExact = nat.AddressDependent, true
	add(3, portRestricted)
	add(2, symmetric)
	add(2, odd)
	add(1, nat.Behaviour{})
	sequential := portRestricted
	sequential.Ports, sequential.Step = nat.Sequential, 2
	add(1, sequential)
	clients = append(clients, rdv.ClientInfo{}) // in clear
	classes := classesOf(clients)
	var got string
	for _, r := range matrixOf(classes) {
		got += r.Name + ":"
		for _, c := range r.Cells {
			got += fmt.Sprintf(" %s %s (%s);", c.Kind.Word, c.Count, c.More)
		}
		got += "\n"
	}
	const want = "not examined: not known 0 pairs (); not known 4 pairs (); not known 4 pairs ();\n" +
		"port-restricted NAT: not known 4 pairs (); direct 6 pairs (); guess ports 16 pairs ();\n" +
		"symmetric NAT: not known 4 pairs (); guess ports 16 pairs (); relay only 6 pairs (1 direct, 5 relay only);\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if p := classes[1]; p.Count != 4 || p.Percent != 44 {
		t.Errorf("%s: %d members, %d %%", p.Name, p.Count, p.Percent)
	}
}

// TestMesh: members are apart from each other, and all is within the picture.
func TestMesh(t *testing.T) {
	for _, n := range []int{1, 2, 5, 12, 13, 40, 41, 200, 500} {
		m := meshOf(sample(t, n).o)
		if got, want := len(m.Nodes), min(n, maxNodes); got != want || m.Left != n-want {
			t.Errorf("of %d members %d are drawn, and %d left out", n, got, m.Left)
		}
		for i, a := range m.Nodes {
			reach := float64(len([]rune(a.Label))) * letterWidth * m.Font
			if n <= few && (a.X-reach < -1 && a.Anchor == "end" || a.TextX+reach > meshSize+1 && a.Anchor == "start") {
				t.Errorf("%d members: %q does not fit in", n, a.Label)
			}
			if n > few && math.Hypot(a.TextX-meshCentre, a.TextY-meshCentre)+reach > meshCentre+1 {
				t.Errorf("%d members: %q leads out of the picture", n, a.Label)
			}
			if b := m.Nodes[(i+1)%len(m.Nodes)]; n > 1 && math.Hypot(a.X-b.X, a.Y-b.Y) < 2*m.Dot {
				t.Errorf("%d members: %q and %q overlap", n, a.Label, b.Label)
			}
		}
		if len(m.Edges) > maxEdges {
			t.Errorf("%d introductions are drawn", len(m.Edges))
		}
	}
}

// TestMeshKinds: an introduction has the colour of what became of it, as far as the
// server can tell; one of somebody who has left is not drawn, and each pair is once.
func TestMeshKinds(t *testing.T) {
	o := &rdv.Overview{Time: noon}
	for i, b := range []nat.Behaviour{symmetric, portRestricted, symmetric, fullCone, {}} {
		o.Clients = append(o.Clients, rdv.ClientInfo{VPN: []netip.Addr{addrOf(i)}, Channel: true, NAT: b})
	}
	introduce := func(a, b int, old time.Duration, relayed bool) {
		o.Pairs = append(o.Pairs, rdv.PairInfo{Asker: addrOf(a), Asked: addrOf(b), Time: noon.Add(-old), Relayed: relayed})
	}
	introduce(0, 1, 0, false)
	introduce(1, 0, time.Hour, true) // the later one counts
	introduce(0, 2, 0, false)
	introduce(2, 3, time.Hour, false)
	introduce(3, 1, 0, true)
	introduce(4, 1, 0, false)
	introduce(4, 9, 0, false)
	introduce(4, 4, 0, false)
	m := meshOf(o)
	var got string
	for _, e := range m.Edges {
		got += e.Title + "; " + e.Class + "\n"
	}
	const want = "10.9.0.0 to 10.9.0.1: guess ports, 0s ago; edge edge-guess\n" +
		"10.9.0.0 to 10.9.0.2: relay only, 0s ago; edge edge-none\n" +
		"10.9.0.2 to 10.9.0.3: direct, 1h0m ago; edge edge-direct edge-old\n" +
		"10.9.0.3 to 10.9.0.1: relayed, 0s ago; edge edge-relayed\n" +
		"10.9.0.4 to 10.9.0.1: not known, 0s ago; edge edge-unknown\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if len(m.Legend) != 5 {
		t.Errorf("the legend is %v", m.Legend)
	}
}

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}) }

func TestSparkline(t *testing.T) {
	counts := make([]uint32, 60)
	counts[0], counts[59], counts[48], counts[47] = 4, 2, 4, 1
	s := sparklineOf(counts, 5*time.Second)
	if s.Most != 4 || s.Total != 11 || s.PerSecond != "0.10" || s.Minutes != 5 {
		t.Errorf("%+v", s)
	}
	if got, want := s.Points[:6]+" "+s.Points[len(s.Points)-6:], "0,3 5. 300,30"; got != want {
		t.Errorf("points begin and end with %q, want %q", got, want)
	}
	if s = sparklineOf(nil, 0); s.Points != "" || s.PerSecond != "0.00" {
		t.Errorf("of nothing: %+v", s)
	}
}
