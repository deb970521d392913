package relay

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"

	"github.com/pion/stun/v4"
)

// TestReach: whereto a relay sends.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		addr             string
		public, anywhere bool
	}{
		{"203.0.113.7", true, true},
		{"8.8.8.8", true, true},
		{"2001:db8::1", true, true},
		{"::ffff:8.8.8.8", true, true},
		{"10.1.2.3", false, true},
		{"172.31.255.255", false, true},
		{"172.32.0.1", true, true},
		{"192.168.0.1", false, true},
		{"::ffff:192.168.0.1", false, true},
		{"100.64.0.1", false, true},
		{"198.18.0.1", false, true},
		{"fd00::1", false, true},
		{"fec0::1", false, true},
		{"64:ff9b::808:808", true, true},
		{"64:ff9b::a01:203", false, true},
		{"64:ff9b::7f00:1", false, false},
		{"2002:0808:0808::1", true, true},
		{"2002:c0a8:0001::1", false, true},
		{"2002:7f00:0001::1", false, false},
		{"::808:808", true, true},
		{"::127.0.0.1", false, false},
		{"2001:0:53aa:64c::1", false, false},
		{"64:ff9b:1::1", false, false},
		{"127.0.0.1", false, false},
		{"127.8.8.8", false, false},
		{"::1", false, false},
		{"::", false, false},
		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"::ffff:127.0.0.1", false, false},
		{"169.254.169.254", false, false}, // where clouds keep secrets
		{"192.0.0.192", false, false},     // likewise
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"240.0.0.1", false, false},
		{"ff02::1", false, false},
		{"100::1", false, false},
	} {
		a := netip.MustParseAddr(c.addr)
		if Public(a) != c.public || Anywhere(a) != c.anywhere {
			t.Errorf("%v: public %v, anywhere %v, want %v, %v", a, Public(a), Anywhere(a), c.public, c.anywhere)
		}
	}
	if Public(netip.Addr{}) || Anywhere(netip.Addr{}) {
		t.Error("sends to no address")
	}
}

// TestForbidden: what the relay must not be used for gets no permission and no channel,
// and no data goes there by one that was good for another port.
func TestForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		inside := w.host
		victim, err := inside.Listen(netip.MustParseAddrPort(worldAddr + ":53"))
		if err != nil {
			t.Fatal(err)
		}
		defer victim.Close()
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		for i, p := range []string{"127.0.0.1:80", "10.0.0.1:80", "192.168.1.1:80", "169.254.169.254:80", "224.0.0.1:80", "0.0.0.0:80", "255.255.255.255:80"} {
			c.want(p, 403, c.ask(stun.MethodCreatePermission, peer(p)))
			c.want(p, 403, c.ask(stun.MethodChannelBind, numbered(uint16(0x4000+i)), peer(p)))
		}
		c.want("another family", 443, c.ask(stun.MethodCreatePermission, peer("[2001:db8::1]:80")))
		c.want("the server's port", 403, c.ask(stun.MethodChannelBind, numbered(0x4000), peer(w.at.String())))
		c.want("another port", 403, c.ask(stun.MethodChannelBind, numbered(0x4000), peer(worldAddr+":53")))
		c.want("one good, one not", 403, c.ask(stun.MethodCreatePermission, peer("203.0.113.9:1"), peer("127.0.0.1:1")))

		// For relayed addresses there are permissions for the host.
		c.want("the host", 0, c.ask(stun.MethodCreatePermission, peer(worldAddr+":1")))
		send := func(to string) {
			m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(to), attr{stun.AttrData, []byte("x")})
			say(t, c.conn, c.to, string(m.Raw))
			time.Sleep(time.Second)
		}
		before := w.Stats()
		send(worldAddr + ":53")
		send(w.at.String())
		send("203.0.113.77:0") // no permission
		s := w.Stats()
		if s.ToPeers != before.ToPeers || s.Dropped.Forbidden != before.Dropped.Forbidden+2 {
			t.Errorf("counted %+v, before %+v", s, before)
		}
	})
}

// TestPortGone: a channel to a relayed address that is none any more leads nowhere.
func TestPortGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, b := w.raw("203.0.113.1:5000", alice), w.raw("203.0.113.2:5000", bob)
		a.want("allocate", 0, a.ask(stun.MethodAllocate, overUDP))
		m := b.want("allocate", 0, b.ask(stun.MethodAllocate, overUDP))
		var relayed stun.XORMappedAddress
		if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
			t.Fatal(err)
		}
		a.want("channel", 0, a.ask(stun.MethodChannelBind, numbered(0x4000), peer(relayed.String())))
		b.want("leave", 0, b.ask(stun.MethodRefresh, lasting(0)))
		say(t, a.conn, a.to, "\x40\x00\x00\x01x")
		time.Sleep(time.Second)
		if s := w.Stats(); s.ToPeers != 0 || s.Dropped.Forbidden != 1 {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestQuota: a member has so many allocations, and all together so many.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Clients: 3})
		for i, c := range []struct {
			vpn  netip.Addr
			code int
		}{{alice, 0}, {alice, 0}, {alice, 486}, {bob, 0}, {bob, 508}} {
			x := w.raw(fmt.Sprintf("203.0.113.%d:5000", i+1), c.vpn)
			x.want(fmt.Sprint("number ", i), c.code, x.ask(stun.MethodAllocate, overUDP))
		}
		if s := w.Stats(); s.Allocations != 3 || s.Refused != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestBounds: permissions and channels of an allocation are bounded; those that there
// are can be prolonged.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		ip := func(i int) peerAt { return peer(fmt.Sprintf("203.0.113.%d:%d", 1+i%60, 1000+i)) }
		for i := range maxChannels {
			c.want("channel", 0, c.ask(stun.MethodChannelBind, numbered(uint16(0x4000+i)), ip(i)))
		}
		c.want("a channel too many", 403, c.ask(stun.MethodChannelBind, numbered(0x4ffe), ip(0)))
		c.want("prolonged", 0, c.ask(stun.MethodChannelBind, numbered(0x4000), ip(0)))
		for i := 60; i < maxPermissions; i++ {
			c.want("permission", 0, c.ask(stun.MethodCreatePermission, peer(fmt.Sprintf("203.0.113.%d:1", 1+i))))
		}
		c.want("a permission too many", 403, c.ask(stun.MethodCreatePermission, peer("203.0.113.200:1")))
		c.want("prolonged", 0, c.ask(stun.MethodCreatePermission, peer("203.0.113.1:1")))
	})
}

// TestUnusual: what we do not do is refused.
func TestUnusual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		for i, x := range []struct {
			name  string
			code  int
			attrs []stun.Setter
		}{
			{"over TCP", 508, []stun.Setter{attr{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}}},
			{"over SCTP", 442, []stun.Setter{attr{stun.AttrRequestedTransport, []byte{132, 0, 0, 0}}}},
			{"over nothing", 400, nil},
			{"a port that nobody has reserved", 508, []stun.Setter{overUDP, attr{stun.AttrReservationToken, []byte("12345678")}}},
			{"a family that there is not", 440, []stun.Setter{overUDP, attr{stun.AttrRequestedAddressFamily, []byte{3, 0, 0, 0}}}},
			{"no fragments", 420, []stun.Setter{overUDP, attr{stun.AttrDontFragment, nil}}},
		} {
			c := w.raw(fmt.Sprintf("203.0.113.%d:5000", i+1), alice)
			c.want(x.name, x.code, c.ask(stun.MethodAllocate, x.attrs...))
		}
		if s := w.Stats(); s.Allocations != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestFamilies: which relayed address a client gets, and that data goes by it: the one
// at which it reaches the server, one of the family that it asks for, or the one that
// the NAT before the server has.
func TestFamilies(t *testing.T) {
	for _, c := range []struct {
		name   string
		family byte // 0: it does not say
		addrs  string
		want   string
		peer   string
	}{
		{"its own", 0, "", worldAddr, "203.0.113.9:6000"},
		{"the other", 2, "", worldAddr6, "[2001:db8:2::9]:6000"},
		{"behind a NAT", 1, "192.0.2.77", "192.0.2.77", "203.0.113.9:6000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cfg Config
				if c.addrs != "" {
					cfg.Addrs = []netip.Addr{netip.MustParseAddr(c.addrs)}
				}
				w := newWorld(t, cfg)
				attrs := []stun.Setter{overUDP}
				if c.family != 0 {
					attrs = append(attrs, attr{stun.AttrRequestedAddressFamily, []byte{c.family, 0, 0, 0}})
				}
				x := w.raw("203.0.113.1:5000", alice)
				m := x.want("allocate", 0, x.ask(stun.MethodAllocate, attrs...))
				var relayed stun.XORMappedAddress
				if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil || relayed.IP.String() != c.want {
					t.Fatalf("relayed address %v, %v, want %s", relayed, err, c.want)
				}
				p := w.socket(c.peer)
				x.want("channel", 0, x.ask(stun.MethodChannelBind, numbered(0x4000), peer(c.peer)))
				say(t, x.conn, x.to, "\x40\x00\x00\x02hi")
				if got, _ := hear(t, p); got != "hi" {
					t.Errorf("heard %q", got)
				}
			})
		})
	}
}

// TestBucket: a bucket lets through what it should, to within 5 %, in whichever pieces.
func TestBucket(t *testing.T) {
	const rate = 1_000_000
	for _, c := range []struct {
		size, count int
		every       time.Duration
	}{
		{1400, 1, 100 * time.Microsecond},
		{1400, 46, time.Millisecond},
		{10, 1, 8 * time.Microsecond},
		{100, 64, 5 * time.Millisecond},
		{1400, 46, 40 * time.Millisecond},
	} {
		var b bucket
		b.setRate(rate, leastBurst)
		passed := 0
		const length = 10 * time.Second
		for now := time.Duration(0); now < length; now += c.every {
			passed += c.size * b.take(now, c.size, c.count)
		}
		want := int(length.Seconds() * rate)
		if passed > want+want/20 || passed < want-want/20 {
			t.Errorf("%+v: %d bytes, want %d", c, passed, want)
		}
	}
	var b bucket
	b.setRate(0, leastBurst)
	if n := b.take(0, 1<<20, 1000); n != 1000 {
		t.Errorf("without a rate %d of 1000 pass", n)
	}
	b.setRate(1<<40, leastBurst) // a terabyte a second
	if n := b.take(0, 1<<10, 100); n != 100 {
		t.Errorf("at a high rate %d of 100 pass", n)
	}
	b = bucket{}
	b.setRate(rate, leastBurst)
	n := b.take(0, 1000, 1000)
	b.give(1000, n)
	if m := b.take(0, 1000, 1000); m != n || n == 0 || n == 1000 {
		t.Errorf("%d passed, were given back, and then %d", n, m)
	}
}

// TestRates: a member gets its rate, and all together theirs, both to within 5 %.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		name        string
		rate, total int64
		want        int // of both
	}{
		{"each", 200_000, 0, 400_000},
		{"in all", 0, 300_000, 300_000},
		{"both", 250_000, 300_000, 300_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{Rate: c.rate, Total: c.total})
				var as []*allocation
				for i, vpn := range []netip.Addr{alice, bob} {
					x := w.raw(fmt.Sprintf("203.0.113.%d:5000", i+1), vpn)
					x.want("allocate", 0, x.ask(stun.MethodAllocate, overUDP))
					x.want("channel", 0, x.ask(stun.MethodChannelBind, numbered(0x4000), peer("203.0.113.9:1")))
					as = append(as, (*w.Door(0).clients.Load())[netip.MustParseAddrPort(fmt.Sprintf("203.0.113.%d:5000", i+1))])
				}
				const seconds = 20
				for range seconds * 100 {
					time.Sleep(10 * time.Millisecond)
					for _, a := range as {
						w.Door(0).Forward(time.Now(), punch.Datagram{Addr: a.client, Data: framed(0x4000, 10, 1000), Segment: 1004})
					}
					w.Door(0).Flush()
				}
				want := c.want * seconds
				if got := int(w.Stats().Bytes); got > want+want/20 || got < want-want/20 {
					t.Errorf("%d bytes, want %d", got, want)
				}
			})
		})
	}
}

// framed returns ChannelData, count times size bytes.
func framed(number uint16, count, size int) []byte {
	var b []byte
	for i := range count {
		b = append(b, byte(number>>8), byte(number), byte(size>>8), byte(size))
		for j := range size {
			b = append(b, byte(i+j))
		}
	}
	return b
}

// TestControlRate: a client that floods with requests takes no time from others.
func TestControlRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, b := w.raw("203.0.113.1:5000", alice), w.raw("203.0.113.2:5000", bob)
		a.want("allocate", 0, a.ask(stun.MethodAllocate, overUDP))
		b.want("allocate", 0, b.ask(stun.MethodAllocate, overUDP))
		flood := a.signed(stun.MethodRefresh)
		for range 10_000 {
			w.Door(0).Request(time.Now(), at(a.conn.LocalAddr()), netip.Addr{}, flood.Raw)
		}
		for i := range 10_000 { // and as a thousand strangers
			w.Door(0).Request(time.Now(), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), uint16(1+i)), netip.Addr{}, flood.Raw)
		}
		b.want("refresh", 0, b.ask(stun.MethodRefresh, lasting(10*time.Minute)))
		if s := w.Stats(); s.Dropped.Queue < 10_000 {
			t.Errorf("%d requests dropped", s.Dropped.Queue)
		}
	})
}
