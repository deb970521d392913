package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// TestKindsAreMeasured makes a NAT of each kind and checks that it behaves as
// its kind has to, for two hosts behind it, and the same a second time: what
// the measurement leaves behind must not matter.
func TestKindsAreMeasured(t *testing.T) {
	t.Parallel()
	for kind := None; kind < kindCount; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			var nat *NAT
			if kind != None {
				nat = addNAT(t, l, "nat", NATOptions{Kind: kind})
			}
			for _, h := range []*Host{addHost(t, l, "a", nat), addHost(t, l, "b", nat)} {
				for range 2 {
					wantBehaviour(t, l, h, kind.Behaviour())
				}
			}
		})
	}
}

func wantBehaviour(t *testing.T, l *Lab, h *Host, want Behaviour) {
	t.Helper()
	got, err := l.Measure(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s is behind a NAT with %v, want %v", h.Name(), got, want)
	}
}

// TestNestedNATs measures a home NAT behind a carrier's: each axis is that of
// the stricter of the two.
func TestNestedNATs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		outer, home Kind
		want        Behaviour
	}{
		{"full cone twice", FullCone, FullCone, FullCone.Behaviour()},
		{"a strict carrier", Symmetric, FullCone, Symmetric.Behaviour()},
		{"a carrier's ports in turn", Sequential, Symmetric, Sequential.Behaviour()},
		{"a home's ports in turn, hidden by the carrier's", Symmetric, Sequential, Symmetric.Behaviour()},
		{"a strict home", FullCone, PortRestricted, PortRestricted.Behaviour()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			carrier := addNAT(t, l, "carrier", NATOptions{Kind: c.outer, CarrierGrade: true})
			home := addNAT(t, l, "home", NATOptions{Kind: c.home, Behind: carrier})
			h := addHost(t, l, "h", home)
			if got, want := home.Addr(), netip.MustParseAddr("100.64.1.2"); got != want {
				t.Errorf("the home's outer address is %v, want %v", got, want)
			}
			wantBehaviour(t, l, h, c.want)
		})
	}
}

// TestSameLAN lets two NATs have the same network inside, as in two homes with
// the same brand of router.
func TestSameLAN(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	lan := netip.MustParsePrefix("192.168.178.0/28")
	for _, name := range []string{"1", "2"} {
		nat := addNAT(t, l, "nat"+name, NATOptions{Kind: PortRestricted, LAN: lan})
		h := addHost(t, l, "h"+name, nat)
		if got, want := h.Addr(), netip.MustParseAddr("192.168.178.2"); got != want {
			t.Errorf("%s has %v, want %v", h.Name(), got, want)
		}
		wantPing(t, h, server.Addr(), true)
		if name == "1" {
			for i := range 12 { // up to .14; .15 is for broadcasts
				addHost(t, l, fmt.Sprintf("more%d", i), nat)
			}
			if _, err := l.AddHost("one_too_many", nat); err == nil {
				t.Errorf("a /28 has room for more than 14 nodes")
			}
		}
	}
}

// TestRenumber changes the outer address under a flow: the flow goes on from
// the new address, and nothing comes in through the old one any more.
func TestRenumber(t *testing.T) {
	t.Parallel()
	for _, kind := range natKinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			server := addHost(t, l, "server", nil)
			nat := addNAT(t, l, "nat", NATOptions{Kind: kind})
			h := addHost(t, l, "h", nat)
			flow := newFlow(t, h, server)

			before := flow.outer()
			if before.Addr() != nat.Addr() {
				t.Fatalf("the flow comes from %v, want %v", before, nat.Addr())
			}
			flow.wantBack(before, true)
			fresh, err := nat.Renumber()
			if err != nil {
				t.Fatal(err)
			}
			flow.wantBack(before, false)
			after := flow.outer()
			if after.Addr() != fresh || fresh != nat.Addr() || fresh == before.Addr() {
				t.Errorf("the flow comes from %v, want the new address %v", after, fresh)
			}
			flow.wantBack(after, true)
			flow.wantBack(before, false)
			wantBehaviour(t, l, h, kind.Behaviour())
		})
	}
}

// TestFlush makes NATs forget a flow.
func TestFlush(t *testing.T) {
	t.Parallel()
	for _, kind := range natKinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			server := addHost(t, l, "server", nil)
			nat := addNAT(t, l, "nat", NATOptions{Kind: kind})
			flow := newFlow(t, addHost(t, l, "h", nat), server)
			before := flow.outer()
			flow.wantBack(before, true)
			if n, err := nat.Flows(); err != nil || n != 1 {
				t.Errorf("the NAT knows %d flows (%v), want 1", n, err)
			}
			if err := nat.Flush(); err != nil {
				t.Fatal(err)
			}
			if n, err := nat.Flows(); err != nil || n != 0 {
				t.Errorf("after the flush the NAT knows %d flows (%v), want none", n, err)
			}
			flow.wantBack(before, false)
			after := flow.outer()
			if same := after == before; same == kind.Hard() {
				t.Errorf("after the flush the flow comes from %v, before it came from %v", after, before)
			}
			flow.wantBack(after, true)
		})
	}
}

// TestMappingTimeout lets mappings expire. One second is the shortest that the
// kernel can be told.
func TestMappingTimeout(t *testing.T) {
	t.Parallel()
	for _, kind := range natKinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			server := addHost(t, l, "server", nil)
			nat := addNAT(t, l, "nat", NATOptions{Kind: kind, MappingTimeout: time.Second})
			flow := newFlow(t, addHost(t, l, "h", nat), server)
			outer := flow.outer()
			flow.wantBack(outer, true)
			// Nothing is sent meanwhile: a packet would keep the mapping.
			deadline := time.Now().Add(10 * time.Second)
			for n := 1; n > 0; {
				var err error
				if n, err = nat.Flows(); err != nil {
					t.Fatal(err)
				}
				if time.Now().After(deadline) {
					t.Fatalf("the NAT still knows the flow after 10s")
				}
				time.Sleep(20 * ms)
			}
			// The map of hosts has a clock of its own, of the same length.
			time.Sleep(time.Second)
			flow.wantBack(outer, false)
		})
	}
}

// TestUnwelcomePacketsChangeNothing sends to the port that a host is about to
// use. A NAT that let the packet into its own INPUT would keep the port for it.
func TestUnwelcomePacketsChangeNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: PortRestricted})
	flow := newFlow(t, addHost(t, l, "h", nat), server)
	want := netip.AddrPortFrom(nat.Addr(), portOf(flow.inner))
	flow.wantBack(want, false) // nothing came from inside yet
	if got := flow.outer(); got != want {
		t.Errorf("the flow comes from %v, want %v", got, want)
	}
	flow.wantBack(want, true)
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	server := addHost(t, l, "server", nil)
	carrier := addNAT(t, l, "carrier", NATOptions{Kind: FullCone, CarrierGrade: true})
	home := addNAT(t, l, "home", NATOptions{Kind: FullCone, Behind: carrier})
	near := addHost(t, l, "near", carrier)
	far := addHost(t, l, "far", home)
	for _, c := range []struct {
		name string
		got  netip.Addr
		want string
	}{
		{"server", server.Addr6(), "2001:db8::a"},
		{"carrier", carrier.Addr6(), "2001:db8::b"},
		{"near", near.Addr6(), "2001:db8:1:1::3"},
		{"far", far.Addr6(), "2001:db8:1:2::2"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%s has %v, want %v", c.name, c.got, c.want)
		}
	}
	// From inside everybody is reached, to the inside nobody gets uninvited.
	wantPing(t, far, server.Addr6(), true)
	wantPing(t, near, server.Addr6(), true)
	wantPing(t, server, near.Addr6(), false)
	wantPing(t, server, far.Addr6(), false)
	wantPing(t, near, far.Addr6(), false)
	wantPing(t, far, near.Addr6(), true)
	wantPing(t, far, server.Addr(), true)
}

// A flow is a socket of a host behind a NAT and one of a server outside.
type flow struct {
	t             *testing.T
	inner, server *net.UDPConn
	serverAddr    netip.AddrPort
}

func newFlow(t *testing.T, h, server *Host) *flow {
	t.Helper()
	f := &flow{t: t}
	any := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	for _, s := range []struct {
		conn **net.UDPConn
		host *Host
	}{{&f.inner, h}, {&f.server, server}} {
		c, err := s.host.ListenUDP(any)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		*s.conn = c
	}
	f.serverAddr = netip.AddrPortFrom(server.Addr(), portOf(f.server))
	return f
}

// portOf returns the port that a socket is bound to.
func portOf(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// outer sends a packet to the server and returns the source that it sees.
func (f *flow) outer() netip.AddrPort {
	f.t.Helper()
	if _, err := f.inner.WriteToUDPAddrPort([]byte("out"), f.serverAddr); err != nil {
		f.t.Fatal(err)
	}
	f.server.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, src, err := f.server.ReadFromUDPAddrPort(make([]byte, 16))
	if err != nil {
		f.t.Fatalf("the server received nothing: %v", err)
	}
	return netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
}

// wantBack sends a packet from the server to an address and checks whether the
// host gets it.
func (f *flow) wantBack(to netip.AddrPort, arrives bool) {
	f.t.Helper()
	if _, err := f.server.WriteToUDPAddrPort([]byte("back"), to); err != nil {
		f.t.Fatal(err)
	}
	patience := 5 * time.Second
	if !arrives {
		patience = 100 * ms
	}
	f.inner.SetReadDeadline(time.Now().Add(patience))
	_, src, err := f.inner.ReadFromUDPAddrPort(make([]byte, 16))
	switch {
	case arrives && err != nil:
		f.t.Errorf("a packet from the server to %v does not arrive: %v", to, err)
	case arrives && netip.AddrPortFrom(src.Addr().Unmap(), src.Port()) != f.serverAddr:
		f.t.Errorf("a packet arrives from %v, want %v", src, f.serverAddr)
	case !arrives && !errors.Is(err, os.ErrDeadlineExceeded):
		f.t.Errorf("a packet from the server to %v arrives (%v), want nothing", to, err)
	}
}

// TestReplace makes NATs of each kind another one, and a full cone again.
func TestReplace(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: FullCone})
	h := addHost(t, l, "h", nat)
	flow := newFlow(t, h, server)
	before := flow.outer()
	flow.wantBack(before, true)
	for _, kind := range append(slices.Clone(natKinds), FullCone) {
		if err := nat.Replace(kind); err != nil {
			t.Fatal(err)
		}
		if nat.Kind() != kind {
			t.Errorf("the NAT is %v, want %v", nat.Kind(), kind)
		}
		flow.wantBack(before, false)
		wantBehaviour(t, l, h, kind.Behaviour())
	}
	for _, kind := range []Kind{None, kindCount} {
		if err := nat.Replace(kind); err == nil {
			t.Errorf("a NAT is replaced by %v, which is none", kind)
		}
	}
}
