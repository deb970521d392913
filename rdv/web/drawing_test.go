package web

import (
	"fmt"
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

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}) }

func TestSparkline(t *testing.T) {
	counts := make([]uint32, 60)
	counts[0], counts[59], counts[48], counts[47] = 4, 2, 4, 1
	s := sparklineOf(counts, 5*time.Second)
	if s.Most != 4 || s.Total != 11 || s.PerSecond != "0.10" || s.Minutes != 5 {
		t.Errorf("%+v", s)
	}
	if got, want := s.Line[:6]+" "+s.Line[len(s.Line)-6:], "0,3 5. 300,30"; got != want {
		t.Errorf("points begin and end with %q, want %q", got, want)
	}
	if s = sparklineOf(nil, 0); s.Line != "" || s.PerSecond != "0.00" {
		t.Errorf("of nothing: %+v", s)
	}
}
