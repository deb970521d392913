package rdv

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/logging"
	"campagnol/punch"
	"campagnol/punch/stun"
)

// ports of the two sockets of a test.
const (
	mainPort  = 57888
	otherPort = 57889
)

var (
	firstAddr  = netip.MustParseAddr("198.51.100.1")
	secondAddr = netip.MustParseAddr("198.51.100.2")
	first6     = netip.MustParseAddr("2001:db8::1")
	second6    = netip.MustParseAddr("2001:db8::2")
	stranger   = netip.MustParseAddrPort("203.0.113.7:40000")
	stranger6  = netip.MustParseAddrPort("[2001:db8:7::7]:40000")
)

// A portConn is a memConn at another port.
type portConn struct {
	*memConn
	port uint16
}

func (c portConn) LocalAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), c.port)
}

// stunRig is a responder on the main port, whose sockets keep what is sent.
type stunRig struct {
	*responder
	conn, other *memConn
	stats       stats
	codec       stun.Codec
}

func newStunRig(now time.Time, second bool, addrs ...netip.Addr) *stunRig {
	g := &stunRig{conn: newMemConn(), other: newMemConn()}
	var other punch.Conn
	if second {
		other = portConn{g.other, otherPort}
	}
	limit := &stunLimiter{begin: now, l: limiter{interval: stunInterval, burst: stunBurst}}
	g.responder = newResponder(&Config{OtherAddrs: addrs, Software: "rdv"}, portConn{g.conn, mainPort}, other, limit, &g.stats)
	return g
}

// ask sends a request from an address to a local one. It returns the answer, which is
// the zero Response for none, where it went, and from where.
func (g *stunRig) ask(t *testing.T, now time.Time, from netip.AddrPort, local netip.Addr, q stun.Request) (r stun.Response, to, source netip.AddrPort) {
	t.Helper()
	q.ID = stun.ID{1, 2, 3}
	software := ""
	if q.Software {
		software = "asker"
	}
	g.receive(now, punch.Datagram{Addr: from, Local: local}, g.codec.AppendRequest(nil, q, software))
	g.flush()
	for _, x := range []struct {
		conn *memConn
		port uint16
	}{{g.conn, mainPort}, {g.other, otherPort}} {
		for _, d := range x.conn.sent {
			var err error
			if r, err = g.codec.ParseResponse(d.Data); err != nil || r.ID != q.ID {
				t.Fatalf("answer %x: %v", d.Data, err)
			}
			to, source = d.Addr, netip.AddrPortFrom(d.Local, x.port)
		}
		x.conn.sent = nil
	}
	return r, to, source
}

// TestSTUN: where answers come from, and what they say.
func TestSTUN(t *testing.T) {
	const unknown = 420
	ap := netip.AddrPortFrom
	both := []netip.Addr{secondAddr, second6}
	for _, c := range []struct {
		name   string
		second bool // there is a second port
		addrs  []netip.Addr
		from   netip.AddrPort
		local  netip.Addr
		q      stun.Request
		source netip.AddrPort // the zero one: that of an error
		want   stun.Response
	}{
		{"one port", false, nil, stranger, firstAddr, stun.Request{},
			ap(firstAddr, mainPort), stun.Response{Mapped: stranger}},
		{"with a name and a fingerprint", false, nil, stranger, firstAddr, stun.Request{Software: true, Fingerprint: true},
			ap(firstAddr, mainPort), stun.Response{Mapped: stranger, Software: "rdv", Fingerprint: true}},
		{"one port cannot change", false, nil, stranger, firstAddr, stun.Request{ChangePort: true},
			ap(firstAddr, mainPort), stun.Response{Code: unknown, Unknown: []uint16{3}}},
		{"two ports", true, nil, stranger, firstAddr, stun.Request{},
			ap(firstAddr, mainPort), stun.Response{Mapped: stranger, Origin: ap(firstAddr, mainPort), OtherPort: otherPort}},
		{"two ports, change", true, nil, stranger, firstAddr, stun.Request{ChangePort: true},
			ap(firstAddr, otherPort), stun.Response{Mapped: stranger, Origin: ap(firstAddr, otherPort), OtherPort: otherPort}},
		{"two ports cannot change the address", true, nil, stranger, firstAddr, stun.Request{ChangeAddr: true, ChangePort: true},
			ap(firstAddr, mainPort), stun.Response{Code: unknown, Unknown: []uint16{3}}},
		{"two addresses", true, both, stranger, firstAddr, stun.Request{},
			ap(firstAddr, mainPort), stun.Response{Mapped: stranger, Origin: ap(firstAddr, mainPort), Other: ap(secondAddr, otherPort)}},
		{"two addresses, change both", true, both, stranger, firstAddr, stun.Request{ChangeAddr: true, ChangePort: true},
			ap(secondAddr, otherPort), stun.Response{Mapped: stranger, Origin: ap(secondAddr, otherPort), Other: ap(secondAddr, otherPort)}},
		{"two addresses, change the address", true, both, stranger, firstAddr, stun.Request{ChangeAddr: true},
			ap(secondAddr, mainPort), stun.Response{Mapped: stranger, Origin: ap(secondAddr, mainPort), Other: ap(secondAddr, otherPort)}},
		{"IPv6", true, both, stranger6, first6, stun.Request{ChangeAddr: true, ChangePort: true},
			ap(second6, otherPort), stun.Response{Mapped: stranger6, Origin: ap(second6, otherPort), Other: ap(second6, otherPort)}},
		{"IPv6 with a second address of IPv4 only", true, both[:1], stranger6, first6, stun.Request{},
			ap(first6, mainPort), stun.Response{Mapped: stranger6, Origin: ap(first6, mainPort), OtherPort: otherPort}},
		{"at the second address", true, both, stranger, secondAddr, stun.Request{},
			ap(secondAddr, mainPort), stun.Response{Mapped: stranger, Origin: ap(secondAddr, mainPort), OtherPort: otherPort}},
		{"at an address that is not known", true, both, stranger, netip.Addr{}, stun.Request{},
			ap(netip.Addr{}, mainPort), stun.Response{Mapped: stranger, OtherPort: otherPort}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now()
			g := newStunRig(now, c.second, c.addrs...)
			got, to, source := g.ask(t, now, c.from, c.local, c.q)
			got.ID = stun.ID{}
			if got.Mapped != c.want.Mapped || got.Origin != c.want.Origin || got.Other != c.want.Other || got.OtherPort != c.want.OtherPort ||
				got.Code != c.want.Code || len(got.Unknown) != len(c.want.Unknown) || got.Software != c.want.Software || got.Fingerprint != c.want.Fingerprint {
				t.Errorf("answer %+v, want %+v", got, c.want)
			}
			if source != c.source || to != c.from {
				t.Errorf("from %v to %v, want from %v to %v", source, to, c.source, c.from)
			}
		})
	}
}

// TestSTUNReplyPort: an answer may go to another port of whoever asks, and only there.
func TestSTUNReplyPort(t *testing.T) {
	now := time.Now()
	g := newStunRig(now, true)
	r, to, _ := g.ask(t, now, stranger, firstAddr, stun.Request{ReplyPort: 777})
	if want := netip.AddrPortFrom(stranger.Addr(), 777); to != want || r.Mapped != stranger {
		t.Errorf("answer %+v to %v, want it at %v", r, to, want)
	}
}

// TestSTUNIsNoAmplifier: the longest answer to the shortest request, headers of IP and
// UDP included, is not much more than twice as long.
func TestSTUNIsNoAmplifier(t *testing.T) {
	const headers4, headers6 = 28, 48
	now := time.Now()
	for _, c := range []struct {
		from    netip.AddrPort
		local   netip.Addr
		headers int
	}{{stranger, firstAddr, headers4}, {stranger6, first6, headers6}} {
		g := newStunRig(now, true, secondAddr, second6)
		request := g.codec.AppendRequest(nil, stun.Request{}, "")
		g.receive(now, punch.Datagram{Addr: c.from, Local: c.local}, request)
		for _, d := range g.out {
			if in, out := len(request)+c.headers, len(d.Data)+c.headers; 10*out > 21*in {
				t.Errorf("%v: %d bytes are answered with %d", c.from, in, out)
			}
		}
		if len(g.out) != 1 {
			t.Errorf("%d answers, want 1", len(g.out))
		}
	}
}

// TestSTUNLimited: a network that asks too much is not answered for a while, and
// others are; nothing is kept about either.
func TestSTUNLimited(t *testing.T) {
	now := time.Now()
	g := newStunRig(now, true)
	request := g.codec.AppendRequest(nil, stun.Request{}, "")
	flood := func(from netip.AddrPort, n int) (answered int) {
		for range n {
			g.receive(now, punch.Datagram{Addr: from, Local: firstAddr}, request)
			answered += len(g.out)
			g.out, g.buf = g.out[:0], g.buf[:0]
		}
		return answered
	}
	burst := int(stunBurst / stunInterval)
	if got := flood(stranger, 10*burst); got != burst {
		t.Errorf("%d requests of a network answered at once, want %d", got, burst)
	}
	if got := flood(netip.MustParseAddrPort("203.0.113.200:5"), 10); got != 0 {
		t.Errorf("%d answers to the same network from another address", got)
	}
	if got := flood(netip.MustParseAddrPort("192.0.2.1:5"), 10) + flood(stranger6, 10); got != 20 {
		t.Errorf("%d of 20 requests of other networks answered", got)
	}
	now = now.Add(100 * stunInterval)
	if got := flood(stranger, 1000); got != 100 {
		t.Errorf("%d requests answered after %v, want 100", got, 100*stunInterval)
	}
	if got := g.stats.bindings.Load(); got != uint64(burst+120) {
		t.Errorf("%d counted, want %d", got, burst+120)
	}
	if n := testing.AllocsPerRun(100, func() { flood(stranger, 100) }); n > 0 {
		t.Errorf("a flood takes %v allocations", n)
	}
}

// TestSTUNGarbage: what is no request is dropped and counted.
func TestSTUNGarbage(t *testing.T) {
	now := time.Now()
	g := newStunRig(now, true)
	answer := g.codec.AppendResponse(nil, &stun.Response{Mapped: stranger})
	request := g.codec.AppendRequest(nil, stun.Request{}, "")
	for _, b := range [][]byte{answer, request[:19], append(request, 1)} {
		g.receive(now, punch.Datagram{Addr: stranger, Local: firstAddr}, b)
	}
	if len(g.out)+len(g.moved) > 0 || g.stats.otherProtocol.Load() != 1 || g.stats.malformed.Load() != 2 {
		t.Errorf("%d answers, %d of another protocol, %d malformed, want 0, 1 and 2",
			len(g.out)+len(g.moved), g.stats.otherProtocol.Load(), g.stats.malformed.Load())
	}
}

// TestSTUNServer: a server that runs answers on both ports, each from the other on
// request, and goes on when the second fails.
func TestSTUNServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, other := newMemConn(), newMemConn()
		log := &syncBuffer{}
		r := &running{t: t, conn: conn, log: log, err: make(chan error, 1)}
		r.Server = New(Config{Conn: portConn{conn, mainPort}, OtherConn: portConn{other, otherPort}, Log: logging.New(logging.Options{Stdout: log, Stderr: log})})
		go func() { r.err <- r.Run(t.Context()) }()
		var codec stun.Codec
		ask := func(c *memConn, change bool) {
			c.in <- []punch.Datagram{{Addr: stranger, Local: firstAddr, Data: codec.AppendRequest(nil, stun.Request{ChangePort: change}, "")}}
		}
		sent := func() [2]int { return [2]int{len(conn.take()), len(other.take())} }
		for _, c := range []struct {
			conn   *memConn
			change bool
			want   [2]int
		}{{conn, false, [2]int{1, 0}}, {conn, true, [2]int{0, 1}}, {other, false, [2]int{0, 1}}, {other, true, [2]int{1, 0}}} {
			ask(c.conn, c.change)
			if got := sent(); got != c.want {
				t.Errorf("on the main port %v, change %v: answers %v, want %v", c.conn == conn, c.change, got, c.want)
			}
		}
		other.in <- []punch.Datagram{datagram(stranger, ping)} // not there
		if got := sent(); got != [2]int{} {
			t.Errorf("a PING on the second port was answered: %v", got)
		}
		other.fail(errNoRoute)
		ask(conn, false)
		if got := sent(); got != [2]int{1, 0} {
			t.Errorf("after the second port has failed: answers %v", got)
		}
		if st := r.Stats(); st.Bindings != 5 || st.Dropped.OtherProtocol != 1 {
			t.Errorf("stats %+v, want 5 bindings", st)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-r.err
	})
}
