package lab

import (
	"net/netip"
	"testing"
	"time"
)

// TestFamilies: hosts with both families lose one: their own IPv4 address, or IPv6
// behind the router, which does not say so.
func TestFamilies(t *testing.T) {
	l := newLab(t, Options{IPv6: true})
	server, nat := addHost(t, l, "server", nil), addNAT(t, l, "nat", NATOptions{Kind: PortRestricted})
	h := addHost(t, l, "host", nat)
	reaches := func(when string, to netip.Addr, want bool) {
		t.Helper()
		o := PingOptions{Count: 1, Patience: 200 * time.Millisecond}
		if want {
			o.Patience = 10 * time.Second
		}
		r, err := h.Ping(t.Context(), to, o)
		if got := err == nil && r.Received() == 1; got != want {
			t.Errorf("%s: %v is reached: %v (%v), want %v", when, to, got, err, want)
		}
	}
	reaches("at first", server.Addr(), true)
	reaches("at first", server.Addr6(), true)

	if err := nat.BreakIPv6(true); err != nil {
		t.Fatal(err)
	}
	reaches("IPv6 broken", server.Addr6(), false)
	reaches("IPv6 broken", server.Addr(), true)
	if err := nat.BreakIPv6(false); err != nil {
		t.Fatal(err)
	}
	reaches("IPv6 mended", server.Addr6(), true)

	if err := h.DropIPv4(); err != nil {
		t.Fatal(err)
	}
	reaches("without IPv4", server.Addr(), false)
	reaches("without IPv4", server.Addr6(), true)
}

// TestDropIPv4Alone: nothing would be left.
func TestDropIPv4Alone(t *testing.T) {
	h := addHost(t, newLab(t, Options{}), "host", nil)
	if err := h.DropIPv4(); err == nil {
		t.Error("a host without IPv6 has lost IPv4")
	}
}
