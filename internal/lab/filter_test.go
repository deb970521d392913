package lab

import (
	"net/netip"
	"testing"

	"campagnol/internal/lab/frame"

	"golang.org/x/net/bpf"
)

// TestFilters runs the filters on frames, without a kernel.
func TestFilters(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr
	udp := func(src, dst string, from, to uint16) []byte {
		return frame.UDP(frame.Header{Dst: frame.MAC{2}, SrcIP: ip(src), DstIP: ip(dst)}, from, to, []byte("content"))
	}
	fragment := udp("10.0.0.1", "10.0.0.2", 500, 4500)
	fragment[14+7] = 9
	frames := map[string][]byte{
		"IPv4 to the port":   udp("10.0.0.1", "10.0.0.2", 9, 4500),
		"IPv4 from the port": udp("10.0.0.1", "10.0.0.2", 4500, 9),
		"IPv4 other ports":   udp("10.0.0.1", "10.0.0.2", 7, 9),
		"IPv6 to the port":   udp("fd00::1", "fd00::2", 9, 4500),
		"IPv6 from the port": udp("fd00::1", "fd00::2", 4500, 9),
		"IPv6 other ports":   udp("fd00::1", "fd00::2", 7, 9),
		"a later fragment":   fragment,
		"broadcast":          frame.Raw(frame.Header{Dst: frame.Broadcast}, 0x88b5, make([]byte, 50)),
		"multicast":          frame.Membership(frame.Header{SrcIP: ip("10.0.0.1")}, frame.Message{Kind: frame.Report, Version: 2, Group: testGroup}),
		"unicast, no IP":     frame.Raw(frame.Header{Dst: frame.MAC{2}}, 0x88b5, make([]byte, 50)),
		"MLD":                frame.Membership(frame.Header{SrcIP: ip("fe80::1")}, frame.Message{Kind: frame.Report, Version: 2, Group: ip("ff15::1")}),
	}
	for _, c := range []struct {
		name   string
		filter []bpf.RawInstruction
		pass   []string
	}{
		{"groups", FilterGroups(), []string{"broadcast", "multicast", "MLD"}},
		{"UDP 4500", FilterUDP(4500), []string{"IPv4 to the port", "IPv4 from the port", "IPv6 to the port", "IPv6 from the port"}},
		{"UDP", FilterUDP(0), []string{
			"IPv4 to the port", "IPv4 from the port", "IPv6 to the port", "IPv6 from the port", "IPv4 other ports", "IPv6 other ports",
		}},
	} {
		program, all := bpf.Disassemble(c.filter)
		if !all {
			t.Fatalf("%s: the filter is not understood", c.name)
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want := map[string]bool{}
		for _, name := range c.pass {
			want[name] = true
		}
		for name, b := range frames {
			n, err := vm.Run(b)
			if err != nil || n != 0 != want[name] {
				t.Errorf("filter %s lets %d bytes of %s through (%v), want some: %v", c.name, n, name, err, want[name])
			}
		}
	}
}

// testGroup is the group of most experiments.
var testGroup = netip.MustParseAddr("239.1.2.3")
