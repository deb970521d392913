package udp

import (
	"errors"
	"net/netip"
	"testing"

	"campagnol/punch"
)

// testDual runs what every kind of socket must pass on sockets for both families:
// with IPv4 and with IPv6 on both ends, and with a socket of one family at one end.
func testDual(t *testing.T, open opener) {
	for _, addr := range loopback {
		for _, c := range []struct {
			name string
			run  func(*testing.T, opener, string)
		}{
			{"sizes", testSizes},
			{"order", testOrder},
			{"segments", testSegments},
			{"concurrent", testConcurrent},
			{"close", testClose},
			{"allocations", testAllocations},
		} {
			t.Run(c.name+"/"+addr, func(t *testing.T) { c.run(t, dual(open), addr) })
		}
	}
	t.Run("one of both", func(t *testing.T) { testOneOfBoth(t, open) })
	t.Run("mixed", func(t *testing.T) { testMixed(t, open) })
	t.Run("port", func(t *testing.T) { testDualPort(t, open) })
}

func TestDual(t *testing.T)         { testDual(t, openListen) }
func TestDualPortable(t *testing.T) { testDual(t, openPortable) }

// testOneOfBoth: a socket for both families talks with one of each, which see it at
// their own family's address; addresses are never IPv4-mapped.
func testOneOfBoth(t *testing.T, open opener) {
	both := mustOpen(t, dual(open), "::").(dualConn)
	if f := both.Features(); !f.IPv4 || !f.IPv6 {
		t.Fatalf("features %+v, want both families", f)
	}
	if got := both.testConn.LocalAddr().Addr(); got != netip.IPv6Unspecified() {
		t.Errorf("LocalAddr %v, want ::", got)
	}
	port := both.LocalAddr().Port()
	for _, addr := range loopback {
		one := mustOpen(t, open, addr)
		ip := netip.MustParseAddr(addr)
		if f := one.Features(); f.IPv4 != ip.Is4() || f.IPv6 != ip.Is6() {
			t.Errorf("features %+v of a socket at %s", f, addr)
		}
		send(t, one, punch.Datagram{Addr: netip.AddrPortFrom(ip, port), Data: []byte("to both")})
		got := receive(t, both, 1)[0]
		if got.from != at(one) || string(got.data) != "to both" {
			t.Errorf("%q from %v, want it from %v", got.data, got.from, at(one))
		}
		send(t, both, punch.Datagram{Addr: got.from, Data: []byte("back"), Local: got.local})
		if got, want := receive(t, one, 1)[0].from, netip.AddrPortFrom(ip, port); got != want {
			t.Errorf("the answer came from %v, want %v", got, want)
		}
		// A mapped address is taken for what it means.
		mapped := netip.AddrPortFrom(netip.AddrFrom16(ip.As16()), at(one).Port())
		send(t, both, punch.Datagram{Addr: mapped, Data: []byte("mapped")})
		if got := receive(t, one, 1)[0]; string(got.data) != "mapped" {
			t.Errorf("%q arrived, want mapped", got.data)
		}
	}
}

// testMixed sends to both families in one call: order is kept for each, and one that
// cannot be sent holds up neither.
func testMixed(t *testing.T, open opener) {
	both := mustOpen(t, dual(open), "::")
	four, six := mustOpen(t, open, "127.0.0.1"), mustOpen(t, open, "::1")
	var ds []punch.Datagram
	for i := range 20 {
		to := four
		if i%2 == 1 {
			to = six
		}
		ds = append(ds, punch.Datagram{Addr: at(to), Data: fill(1000, i), Segment: 400, ECN: 1})
	}
	ds = append(ds, punch.Datagram{Data: []byte("nowhere")})
	if err := both.Send(ds); err == nil {
		t.Error("no error about a datagram without address")
	}
	for family, c := range []testConn{four, six} {
		var got []byte
		for i, p := range receive(t, c, 30) {
			if got = append(got, p.data...); i%3 < 2 {
				continue
			}
			if want := fill(1000, i/3*2+family); string(got) != string(want) {
				t.Fatalf("%v: run %d is not what was sent", c.LocalAddr(), i/3)
			}
			got = got[:0]
		}
	}
}

// testDualPort: the port is taken in both families.
func testDualPort(t *testing.T, open opener) {
	both := mustOpen(t, dual(open), "::")
	for _, addr := range []string{"0.0.0.0", "127.0.0.1", "::", "::1"} {
		cfg := Config{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), both.LocalAddr().Port())}
		if c, err := open(cfg); err == nil {
			c.Close()
			t.Errorf("%v is free beside a socket for both families", cfg.Addr)
		} else if !isAddrInUse(errors.Unwrap(err)) {
			t.Errorf("%v: %v, want that the port is taken", cfg.Addr, err)
		}
	}
}

// TestDualConfig: Dual means something with :: alone.
func TestDualConfig(t *testing.T) {
	for addr, want := range map[string]families{
		"0.0.0.0:1":   {ip4: true},
		"127.0.0.1:1": {ip4: true},
		"[::1]:1":     {ip6: true},
		"[::]:1":      {ip4: true, ip6: true},
	} {
		cfg := Config{Addr: netip.MustParseAddrPort(addr), Dual: true}.withDefaults()
		if got := cfg.families(); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
	only := Config{Addr: netip.MustParseAddrPort("[::]:7"), Dual: true}.onlyIPv4()
	if want := netip.MustParseAddrPort("0.0.0.0:7"); only.Addr != want || only.Dual {
		t.Errorf("without IPv6 %v (dual %v), want %v", only.Addr, only.Dual, want)
	}
	if cfg := (Config{Addr: netip.MustParseAddrPort("[::]:7")}).withDefaults(); cfg.families() != (families{ip6: true}) {
		t.Errorf(":: alone serves %+v, want IPv6", cfg.families())
	}
}

// TestFamilies: an address belongs to one family, and the zero Addr to none.
func TestFamilies(t *testing.T) {
	four, six, none := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.Addr{}
	for _, c := range []struct {
		f          families
		has4, has6 bool
	}{
		{families{}, false, false},
		{families{ip4: true}, true, false},
		{families{ip6: true}, false, true},
		{families{true, true}, true, true},
	} {
		if c.f.has(four) != c.has4 || c.f.has(six) != c.has6 || c.f.has(none) {
			t.Errorf("%+v has IPv4 %v, IPv6 %v, none %v", c.f, c.f.has(four), c.f.has(six), c.f.has(none))
		}
	}
}
