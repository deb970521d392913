package client

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
)

// A countConn is a punch.Conn that notes where datagrams go.
type countConn struct {
	punch.Conn
	to     []netip.AddrPort
	calls  int
	closed bool
}

func (c *countConn) Send(ds []punch.Datagram) error {
	c.calls++
	for _, d := range ds {
		for range d.Segments {
			c.to = append(c.to, d.Addr)
		}
	}
	return nil
}

func (c *countConn) Close() error { c.closed = true; return nil }

func (c *countConn) forget() { c.to, c.calls = c.to[:0], 0 }

// viaExtras returns a path to four peers, of which the second and the fourth have an extra
// socket each.
func viaExtras(t testing.TB) (p *path, primary *countConn, extras [2]*countConn) {
	t.Helper()
	p, primary = newPath(t, 4), &countConn{}
	p.out.conn = primary
	for i, n := range []int{1, 3} {
		extras[i] = &countConn{}
		vpn, _ := peerAt(n)
		r, _ := p.tab.route(vpn)
		next := *r
		next.conn = extras[i]
		p.tab = p.tab.withRoute(vpn, &next)
	}
	return p, primary, extras
}

// TestSocketsOfRoutes: each packet of a batch leaves by its session's socket, in order.
func TestSocketsOfRoutes(t *testing.T) {
	p, primary, extras := viaExtras(t)
	at := func(n int) netip.AddrPort { _, a := peerAt(n); return a }
	for _, c := range []struct {
		name                  string
		peers                 []int
		primary, first, third int // calls
	}{
		{"all by the primary", []int{0, 2, 0, 0}, 1, 0, 0},
		{"all by one extra", []int{1, 1, 1}, 0, 1, 0},
		{"in turn", []int{0, 1, 2, 3}, 2, 1, 1},
		{"runs", []int{0, 0, 1, 1, 1, 3, 3, 0}, 2, 1, 1},
		{"from one extra to another", []int{1, 3, 1, 3}, 0, 2, 2},
	} {
		primary.forget()
		extras[0].forget()
		extras[1].forget()
		var ps []device.Packet
		want := [3][]netip.AddrPort{}
		for _, n := range c.peers {
			vpn, _ := peerAt(n)
			ps = append(ps, device.Packet{Data: packetTo(vpn, vpn, "text")})
			k := map[int]int{0: 0, 2: 0, 1: 1, 3: 2}[n]
			want[k] = append(want[k], at(n))
		}
		p.out.batch(began.Add(time.Second), p.tab, ps)
		for k, conn := range []*countConn{primary, extras[0], extras[1]} {
			if !slices.Equal(conn.to, want[k]) {
				t.Errorf("%s: socket %d has sent to %v, want %v", c.name, k, conn.to, want[k])
			}
			if calls := []int{c.primary, c.first, c.third}[k]; conn.calls != calls {
				t.Errorf("%s: %d calls of socket %d, want %d", c.name, conn.calls, k, calls)
			}
		}
	}
	if d := p.out.c.drops.Snapshot(); len(d) != 0 {
		t.Errorf("drops %v", d)
	}
}

// TestSocketsNoAllocs: sockets that change in a batch allocate nothing.
func TestSocketsNoAllocs(t *testing.T) {
	p, primary, extras := viaExtras(t)
	ps := packets(batchLen, 4, 1400)
	round := func() {
		primary.forget()
		extras[0].forget()
		extras[1].forget()
		p.out.batch(began.Add(time.Second), p.tab, ps)
	}
	round() // the slices have their size after the first batch
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%.1f allocations for a batch, want 0", n)
	}
	if len(primary.to) != batchLen/2 || len(extras[0].to) != batchLen/4 {
		t.Errorf("%d datagrams by the primary socket and %d by an extra one", len(primary.to), len(extras[0].to))
	}
}

// TestShaperSockets: what has waited leaves by the socket that it was for, in order.
func TestShaperSockets(t *testing.T) {
	sh := newShaped(t, 1000, 0)
	l := sh.s.lane(began)
	sh.s.charge(began, make([]byte, 20_000)) // nothing passes at once
	extra := &countConn{}
	for i := range 6 {
		var conn punch.Conn
		to := toA
		if i%3 == 2 {
			conn, to = extra, toB
		}
		if sh.s.pass(sh.now, l, conn, punch.Datagram{Addr: to, Data: bytes.Repeat([]byte{byte(i)}, 100)}) {
			t.Fatalf("datagram %d did not wait", i)
		}
	}
	sh.pass(time.Minute)
	if sh.count[toA] != 4 || sh.count[toB] != 0 {
		t.Errorf("the primary socket has sent %v, want 4 to A", sh.count)
	}
	if want := []netip.AddrPort{toB, toB}; !slices.Equal(extra.to, want) {
		t.Errorf("the extra socket has sent to %v, want %v", extra.to, want)
	}
}

// TestOutbox: what control sends leaves in order, each by its socket, and sockets are
// closed after their last word.
func TestOutbox(t *testing.T) {
	p := newPath(t, 0)
	primary, extra := &countConn{}, &countConn{}
	c := p.out.c
	c.cfg.Conn = primary
	c.send(toA, []byte("one"))
	c.sendRecordTo(began, punch.Endpoint{Addr: toA}, []byte("two"))
	c.sendTo(punch.Endpoint{Addr: toB, Conn: extra}, []byte("three"))
	c.closeLater(extra)
	c.closeLater(nil)
	c.sendToPeer(began, &peer{at: punch.Endpoint{Addr: toB, Conn: extra}}, []byte("four"))
	c.send(toA, []byte("five"))
	if extra.closed {
		t.Error("the extra socket was closed before its last word")
	}
	c.flush()
	if !extra.closed || !slices.Equal(extra.to, []netip.AddrPort{toB, toB}) || extra.calls != 1 {
		t.Errorf("closed %v, %d calls to %v; want closed after one to B, B", extra.closed, extra.calls, extra.to)
	}
	if !slices.Equal(primary.to, []netip.AddrPort{toA, toA, toA}) || primary.calls != 2 {
		t.Errorf("%d calls of the primary socket to %v, want two to A, A and A", primary.calls, primary.to)
	}
	if len(c.outbox) != 0 || len(c.closing) != 0 {
		t.Errorf("%d datagrams and %d sockets are left", len(c.outbox), len(c.closing))
	}
	c.flush()
	if primary.calls != 2 {
		t.Error("an empty outbox sends")
	}
}

// TestExtraInbound: what is read from an extra socket says so to control, and messages
// in the rendezvous server's name are dropped there.
func TestExtraInbound(t *testing.T) {
	p := newPath(t, 1)
	c := p.in.c
	p.in.conn = &countConn{}
	_, addr := peerAt(0)
	vpn, _ := peerAt(7)
	tab := p.tab.withPunching(vpn, true)
	called := wire.NewPunch(vpn, wire.Mark{}).Append(nil)
	hello := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1}
	tab.servers = []netip.AddrPort{rdvAddr}
	p.in.batch(began, tab, []punch.Datagram{
		{Addr: addr, Data: hello},
		{Addr: toB, Data: called},
		{Addr: rdvAddr, Data: hello},
		{Addr: rdvAddr, Data: make([]byte, 11)},
	})
	if len(c.records) != 1 || len(c.punches) != 1 || len(c.fromRDV) != 0 || len(c.channel) != 0 {
		t.Fatalf("%d records, %d punches, %d messages of the RDV, %d of its channel; want one record and one punch", len(c.records), len(c.punches), len(c.fromRDV), len(c.channel))
	}
	if e := <-c.records; e.conn != p.in.conn || e.addr != addr {
		t.Errorf("from %v by %v, want %v by the extra socket", e.addr, e.conn, addr)
	}
	if e := <-c.punches; e.conn != p.in.conn || e.addr != toB {
		t.Errorf("a punch from %v by %v, want %v by the extra socket", e.addr, e.conn, toB)
	}
	if n := c.drops.Get(tunnel.DropNoPeer); n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
}
