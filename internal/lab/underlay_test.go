package lab

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// TestUnderlayOptions: what the defaults are, and what theory says.
func TestUnderlayOptions(t *testing.T) {
	for _, c := range []struct {
		underlay, mode, wantMode string
		hard                     bool // symmetric meets symmetric
		internet                 string
	}{
		{"", "", "open", false, "203.0.113.0/24"},
		{"ipv4", "mixed", "mixed", false, "203.0.113.0/24"},
		{"ipv6", "", "strict", true, "2001:db8::/64"},
		{"ipv6", "mixed", "mixed", true, "2001:db8::/64"},
		{"dual", "", "open", false, "203.0.113.0/24 and 2001:db8::/64"},
	} {
		o := DemoOptions{Size: minTransfer, Underlay: c.underlay, RDVMode: c.mode}
		if err := o.check(); err != nil {
			t.Errorf("%q, mode %q: %v", c.underlay, c.mode, err)
			continue
		}
		if o.RDVMode != c.wantMode || o.Underlay == "" {
			t.Errorf("%q, mode %q: underlay %q, mode %q, want %q", c.underlay, c.mode, o.Underlay, o.RDVMode, c.wantMode)
		}
		if got := o.direct(Symmetric, Symmetric); got != c.hard {
			t.Errorf("%q: symmetric and symmetric meet: %v, want %v", c.underlay, got, c.hard)
		}
		if !o.direct(PortRestricted, PortRestricted) {
			t.Errorf("%q: port-restricted and port-restricted do not meet", c.underlay)
		}
		if got := o.internet(); got != c.internet {
			t.Errorf("%q: the Internet is %q, want %q", c.underlay, got, c.internet)
		}
	}
}

// TestPlace: how the place of a peer is told.
func TestPlace(t *testing.T) {
	four, six, outer := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("2001:db8:1:1::2"), netip.MustParseAddr("203.0.113.11")
	for _, c := range []struct {
		underlay string
		p        PeerPlace
		want     string
	}{
		{underlayIPv4, PeerPlace{Addr: outer}, "at 203.0.113.11, without NAT"},
		{underlayIPv4, PeerPlace{Addr: four, NAT: "nat1", Outer: outer}, "at 192.168.1.2, behind nat1 with the outer address 203.0.113.11"},
		{underlayDual, PeerPlace{Addr: four, NAT: "nat1", Outer: outer}, "at 192.168.1.2, behind nat1 with the outer address 203.0.113.11"},
		{underlayIPv6, PeerPlace{Addr: six, NAT: "nat1"}, "at 2001:db8:1:1::2, behind the firewall of nat1"},
		{underlayIPv6, PeerPlace{Addr: six}, "at 2001:db8:1:1::2, without NAT"},
	} {
		o := DemoOptions{Underlay: c.underlay}
		if got := o.place(c.p); got != c.want {
			t.Errorf("%s: %q, want %q", c.underlay, got, c.want)
		}
	}
}

// TestDemoUnderlays: over IPv6 no NAT is measured, and no pair is without hope; with
// both families a pair without a path over IPv4 is left alone.
func TestDemoUnderlays(t *testing.T) {
	for _, c := range []struct {
		underlay string
		measured bool
		connect  bool
		text     string
	}{
		{underlayIPv4, true, false, "no direct path expected"},
		{underlayIPv6, false, true, "the Internet 2001:db8::/64"},
		{underlayDual, true, false, "1 pairs have no direct path over IPv4"},
	} {
		t.Run(c.underlay, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				o := DemoOptions{Underlay: c.underlay, NATs: [2]Kind{Symmetric, Symmetric}, Size: minTransfer}
				if c.underlay == underlayIPv6 {
					o.RDVMode, s.miracle = "strict", true
				}
				steps, err := play(t, t.Context(), s, o)
				if err != nil {
					t.Fatal(err)
				}
				all, calls := texts(steps), strings.Join(s.calls, "\n")
				if got := strings.Contains(calls, "Measure"); got != c.measured {
					t.Errorf("the NATs were measured: %v, want %v", got, c.measured)
				}
				connected := false
				for _, step := range steps {
					connected = connected || step.Name == "connect"
				}
				if connected != c.connect {
					t.Errorf("connected: %v, want %v", connected, c.connect)
				}
				if !strings.Contains(all, c.text) {
					t.Errorf("%q is not told in\n%s", c.text, all)
				}
			})
		})
	}
}
