package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// Further IPv6 endpoints: a neighbour of epV6 in another subnet of the same customer,
// and one elsewhere.
var (
	epV6b = netip.MustParseAddrPort("[2001:db8:0:1::8]:4000")
	epV6c = netip.MustParseAddrPort("[2001:db8:1::9]:4000")
)

// TestForeigner: in clear nobody can be registered from IPv6, and everybody there
// learns it.
func TestForeigner(t *testing.T) {
	b := newBench(t, 0)
	b.run(
		says(0, epV6, hello(ip1), wire.NOK),
		says(0, epV6, ping, wire.Reconnect),
		says(0, epV6, ask(ip1), wire.Reconnect),
		says(0, epV6, closing(ip1), wire.Reconnect),
		says(0, epV6, bye, wire.Reconnect),
		// What servers and peers say is never answered.
		says(0, epV6, plain(wire.OK), silence),
		says(0, epV6, plain(wire.Pong), silence),
		says(0, epV6, wire.Message{Type: wire.Punch, IP1: ip1}, silence),
		// A link-local client of the server's own network is as good as any.
		says(0, netip.MustParseAddrPort("[fe80::1%eth0]:5"), ping, wire.Reconnect),
		// The VPN address is still free.
		says(1*sec, epA, hello(ip1), wire.OK),
	)
	if n := b.reg.Len(); n != 1 {
		t.Errorf("%d clients, want the one with IPv4", n)
	}
	if c := b.reg.Counters(); c.Unexpected != 3 || c.Address != 0 {
		t.Errorf("counters %+v, want 3 unexpected", c)
	}
}

// TestForeignersAreLimited: what a forged IPv6 sender makes the server say is limited
// for its network, and for no other.
func TestForeignersAreLimited(t *testing.T) {
	b := newBench(t, 0)
	answers := 0
	for i := range 20000 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[7], a[14], a[15] = byte(i>>16), byte(i>>8), byte(i) // of one customer
		m := ping
		if i%2 == 0 {
			m = hello(ip9)
		}
		answers += len(b.reg.Handle(b.start, In{From: netip.AddrPortFrom(netip.AddrFrom16(a), 7), Msg: m}, nil))
	}
	if want := int(strangerBurst / strangerInterval); answers != want {
		t.Errorf("20000 forged datagrams make %d answers, want %d", answers, want)
	}
	if got, want := b.reg.Counters().Limited, uint64(12000); got != want {
		t.Errorf("%d counted as limited, want %d", got, want)
	}
	b.run(
		says(0, epV6b, ping, silence),
		says(0, epV6c, ping, wire.Reconnect),
		says(0, epA, hello(ip1), wire.OK),
	)
}

// TestMembersIPv6: two members with IPv6 are introduced at their endpoints, and what
// they publish of their own networks is nobody's affair: that both have no IPv4
// endpoint does not mean that they are behind the same NAT.
func TestMembersIPv6(t *testing.T) {
	s := newStage(t, Strict, 0)
	inside := netip.MustParseAddrPort("192.168.1.2:5000")
	a, b := s.join(epV6, alice), s.join(epV6c, bob)
	first, second := register(1, ip1), register(1, ip2)
	first.Endpoints, second.Endpoints = []netip.AddrPort{inside}, []netip.AddrPort{inside}
	s.says(a, first, "alice"+registered+epV6.String())
	s.says(b, second, "bob"+registered+epV6c.String())
	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at "+epV6c.String()+" authentic", "bob INTRODUCE 10.9.0.1 at "+epV6.String()+" authentic")
	// One with IPv4 is introduced to one with IPv6: whether they can meet is theirs to
	// find out.
	c := s.join(epC, carol)
	s.says(c, register(1, ip9), "carol"+registered+epC.String())
	s.says(c, askFor(2, ip1), "carol PEER 10.9.0.1 at "+epV6.String()+" authentic", "alice INTRODUCE 10.9.0.9 at "+epC.String()+" authentic")
	// A PING over IPv6 keeps the registration, and after a restart of the server
	// makes the client come back.
	s.now = 9 * time.Second
	s.clear(epV6, ping, clearly(epV6, wire.Pong))
	s.at(12 * time.Second)
	s.holds(ip1, a)
	s.holds(ip2, nil)
	s.clear(epV6c, ping, clearly(epV6c, wire.Reconnect))
}

// TestFold: the limits of IPv6 networks and those of IPv4 ones are not the same
// number by construction.
func TestFold(t *testing.T) {
	seen := map[uint32]netip.Addr{}
	for _, a := range []string{"203.0.113.1", "203.0.114.1", "2001:db8::1", "2001:db8:1::1", "2001:db8:0:100::1", "fd00::1"} {
		addr := netip.MustParseAddr(a)
		n := networkOf(addr).fold()
		if other, ok := seen[n]; ok {
			t.Errorf("%v and %v share a limit", addr, other)
		}
		seen[n] = addr
	}
}
