package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/segment"
)

// TestIPv6TooBig: the sender of a packet that the path does not carry is told what
// fits; about one that any link of IPv6 has to carry nothing can be said.
func TestIPv6TooBig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t)
		peer6 := netip.MustParseAddr("fd00:9::2")
		n.crowd.client.do(t.Context(), func(now time.Time) {
			c := n.crowd.client
			c.cfg.VPNAddr6, c.cfg.Network6 = netip.MustParseAddr("fd00:9::1"), network6
			p := c.peers[n.peer]
			id := p.id
			id.Addrs = []netip.Addr{n.peer, peer6}
			c.publish(c.claim(c.table.Load(), p, id))
		})
		sends := func(size int) (datagrams []int, told [][]byte) {
			t.Helper()
			dev := n.crowd.client.cfg.Device.(*device.Memory)
			dev.Inject(packetTo(netip.MustParseAddr("fd00:9::1"), peer6, strings.Repeat("x", size-48)))
			synctest.Wait()
			for {
				select {
				case m := <-dev.Delivered():
					told = append(told, m)
					continue
				default:
				}
				return n.conn.take(), told
			}
		}
		if ds, told := sends(1419); len(ds) != 1 || len(told) != 0 {
			t.Fatalf("before: datagrams of %v bytes, %d messages", ds, len(told))
		}
		n.hears(1400)
		const fits = 1400 - 28 - 37
		if ds, told := sends(fits); len(ds) != 1 || len(told) != 0 {
			t.Errorf("a packet that fits: datagrams of %v bytes, %d messages", ds, len(told))
		}
		ds, told := sends(fits + 1)
		if len(ds) != 0 || len(told) != 1 {
			t.Fatalf("one that does not: datagrams of %v bytes, %d messages", ds, len(told))
		}
		info, err := packet.Parse(told[0])
		if err != nil || info.Src != peer6 || info.Dst.String() != "fd00:9::1" || told[0][40] != 2 || binary.BigEndian.Uint32(told[0][44:]) != fits {
			t.Errorf("the host is told % x, want that %d bytes fit", told[0][:48], fits)
		}
		if strings.Contains(n.log.String(), "less than IPv6 needs") {
			t.Error("said that a path for 1335 bytes carries less than IPv6 needs")
		}
		n.hears(1300)
		if ds, told := sends(1280); len(ds) != 0 || len(told) != 0 {
			t.Errorf("1280 bytes on a path for fewer: datagrams of %v bytes, %d messages", ds, len(told))
		}
		if got := strings.Count(n.log.String(), "carries less than IPv6 needs"); got != 1 {
			t.Errorf("said %d times, want once", got)
		}
		if got := n.crowd.client.drops.Snapshot()["too_big"]; got != 2 {
			t.Errorf("%d packets counted, want 2", got)
		}
		n.crowd.stop()
	})
}

// TestIPv6Multicast: with the setting, what this host sends from its address goes over
// every tunnel to a host with IPv6, once.
func TestIPv6Multicast(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		many := func(c *Config) { c.Multicast = true }
		leaf := func(n int, more ...string) *pkitest.Leaf {
			return v.ca.Issue(v.t, "host", pkitest.Addrs(append([]string{addr4(n)}, more...)...))
		}
		alice := v.dualWith(1, leaf(1, addr6(1)), many)
		bob := v.dualWith(2, leaf(2, addr6(2), addr6(22)), many)
		plain := v.node(v.home(3, portRestricted), "192.168.1.2:5000", addr4(3), v.authentic(AuthYes, nil, identifying))
		closed := v.dualWith(4, leaf(4, addr6(4)), many)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		alice.ping(plain, 5*time.Second)
		before := alice.status().Drops["dest"]
		for _, c := range []struct{ src, dst, text string }{
			{addr6(1), "ff02::fb", "mDNS"},
			{addr6(1), "ff0e::1:2", "a group"},
			{addr6(1), "ff01::1", "of this interface"},
			{"fe80::1", "ff02::fb", "link-local"},
			{"::", "ff02::16", "from nobody"},
			{addr6(9), "ff02::fb", "another's"},
		} {
			alice.dev.Inject(packetTo(netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), c.text))
		}
		pass(time.Second)
		if got := bob.texts(); !slices.Equal(got, []string{"mDNS", "a group"}) {
			v.t.Errorf("bob received %q", got)
		}
		for _, n := range []*node{plain, closed} {
			if got := n.texts(); len(got) != 0 {
				v.t.Errorf("%v received %q", n.vpn, got)
			}
		}
		if got := alice.status().Drops["dest"] - before; got != 4 {
			v.t.Errorf("%d dropped, want 4", got)
		}
		if n := plain.logged("level=WARN"); n != 0 {
			v.t.Error("a host without IPv6 complains")
		}
		s := alice.client.set
		s.Multicast = false
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		v.check("without the setting", passage{alice, bob, addr6(1), "ff02::fb", false})
	})
}

// large6 returns a large packet of TCP or UDP over IPv6, to its sender.
func large6(a netip.Addr, kind segment.Kind, payload, size int) device.Packet {
	proto, l4 := byte(6), 20
	if kind == segment.UDP {
		proto, l4 = 17, 8
	}
	b := make([]byte, 40+l4+payload)
	b[0], b[6], b[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(b[4:], uint16(l4+payload))
	as := a.As16()
	copy(b[8:], as[:])
	copy(b[24:], as[:])
	binary.BigEndian.PutUint16(b[40:], 1234)
	binary.BigEndian.PutUint16(b[42:], 80)
	if kind == segment.UDP {
		binary.BigEndian.PutUint16(b[44:], uint16(l4+payload))
	} else {
		b[52], b[53] = 5<<4, 0x10 // ACK
	}
	for i := range payload {
		b[40+l4+i] = byte(i * 7)
	}
	return device.Packet{Data: b, GSO: segment.GSO{Kind: kind, Size: size}}
}

// path6 is a path whose peer has an IPv6 address, too.
func path6(t testing.TB) (*path, netip.Addr) {
	t.Helper()
	p := newPath(t, 1)
	vpn, _ := peerAt(0)
	peer6 := netip.MustParseAddr("fd00:9::2")
	r, _ := p.tab.route(vpn)
	p.tab = p.tab.withRoute(peer6, r)
	r.session.SetSources(tunnel.NewSources([]netip.Prefix{single(peer6)}))
	return p, peer6
}

// TestIPv6Large: large packets of TCP and UDP are cut, and joined again.
func TestIPv6Large(t *testing.T) {
	for kind, size := range map[segment.Kind]int{segment.TCP6: 1359, segment.UDP: 1371} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			p, peer6 := path6(t)
			dev := &largeSink{}
			p.in.large, p.in.joiner.UDP, p.in.queue = true, true, dev
			want := large6(peer6, kind, 40*size, size)
			p.out.batch(began, p.tab, cloned([]device.Packet{want}))
			if len(p.conn.sent) != 1 || p.conn.sent[0].Segment == 0 {
				t.Fatalf("%d runs of datagrams, want one", len(p.conn.sent))
			}
			p.in.batch(began, p.tab, p.conn.sent)
			if len(dev.got) != 1 || dev.gso[0] != want.GSO {
				t.Fatalf("%d packets, %+v", len(dev.got), dev.gso)
			}
			if body := 40 + 8; !bytes.Equal(dev.got[0][body+12:], want.Data[body+12:]) {
				t.Error("the payload is another one")
			}
			if d := p.out.c.drops.Snapshot(); len(d) != 0 {
				t.Errorf("drops %v", d)
			}
		})
	}
}

// TestIPv6NoAllocs: IPv6 costs no allocation, large or small.
func TestIPv6NoAllocs(t *testing.T) {
	p, peer6 := path6(t)
	dev := &largeSink{}
	p.in.large, p.in.queue = true, quiet{dev}
	ps := []device.Packet{large6(peer6, segment.TCP6, 60000, 1359), {Data: packetTo(peer6, peer6, strings.Repeat("x", 1000))}}
	work := cloned(ps)
	run := func() {
		for i := range ps {
			copy(work[i].Data, ps[i].Data)
		}
		p.round(work)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("packets of IPv6 allocate %.0f times, want 0", n)
	}
	if dev.count == 0 {
		t.Error("nothing was delivered")
	}
}

// TestIPv6Config: an IPv6 network in which no host can be is refused.
func TestIPv6Config(t *testing.T) {
	base := Config{
		VPNAddr: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
		Conn: new(sentConn), Device: new(device.Memory), Settings: Settings{Servers: At(rdvAddr), Verify: believe},
	}
	for _, c := range []struct {
		addr, network string
		good          bool
	}{
		{"fd00:9::1", "fd00:9::/64", true},
		{"2001:db8::1", "2001:db8::/32", true},
		{"fd00:9::", "fd00:9::/127", true},
		{"fd00:9::1", "fd00:9::1/128", true},
		{"fd00:9::", "fd00:9::/64", false}, // that of all routers
		{"fd00:8::1", "fd00:9::/64", false},
		{"fe80::1", "fe80::/64", false},
		{"fd00:9::1", "::/0", false},
		{"ff02::1", "ff02::/16", false},
		{"10.9.0.1", "10.9.0.0/24", false},
		{"::ffff:10.9.0.1", "::ffff:10.9.0.0/120", false},
	} {
		cfg := base
		cfg.VPNAddr6, cfg.Network6 = netip.MustParseAddr(c.addr), netip.MustParsePrefix(c.network)
		if _, err := New(cfg); (err == nil) != c.good {
			t.Errorf("%s in %s: %v", c.addr, c.network, err)
		}
	}
	for name, edit := range map[string]func(*Config){
		"an address only": func(c *Config) { c.VPNAddr6 = netip.MustParseAddr("fd00:9::1") },
		"a network only":  func(c *Config) { c.Network6 = network6 },
	} {
		cfg := base
		edit(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestIPv6LeadIsBounded: a server that says of very many addresses that they are one
// peer's makes a try remember some of them, and packets wait for it within bounds.
func TestIPv6LeadIsBounded(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		alice := v.dual(1, "alice")
		err := alice.client.do(v.t.Context(), func(now time.Time) {
			c := alice.client
			known := netip.MustParseAddr("10.9.0.77")
			for i := range 60 {
				a := netip.MustParseAddr(fmt.Sprintf("fd00:9::77:%x", i))
				c.reach(now, a, packetTo(c.cfg.VPNAddr6, a, "waits"))
				if p := c.peers[a]; p != nil {
					c.lead(now, p, known)
				}
			}
			p := c.peers[known]
			if p == nil || len(p.try.also) > MaxPeerAddrs || len(p.staged) > c.set.FIFOSize {
				v.t.Errorf("%+v", p)
			}
			for a := range c.peers {
				if a.Is6() {
					v.t.Errorf("%v is still looked for by itself", a)
				}
			}
		})
		if err != nil {
			v.t.Fatal(err)
		}
		pass(time.Minute)
		if got := alice.status().Peers; len(got) != 0 {
			v.t.Errorf("peers %+v", got)
		}
	})
}

// BenchmarkIPv6 is the cost of a packet of IPv6 through both directions, without the
// kernel.
func BenchmarkIPv6(b *testing.B) {
	p, peer6 := path6(b)
	pkt := packetTo(peer6, peer6, strings.Repeat("x", 1300))
	work := []device.Packet{{Data: bytes.Clone(pkt)}}
	b.ReportAllocs()
	b.SetBytes(int64(len(pkt)))
	for b.Loop() {
		copy(work[0].Data, pkt)
		p.round(work)
	}
}
