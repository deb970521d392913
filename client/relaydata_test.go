package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// newRelayPath returns the data path of a relay with n peers, of whom all pairs may be
// relayed, without limits.
func newRelayPath(t testing.TB, n int) *path {
	t.Helper()
	p := newPath(t, 0)
	p.tab.relays = true
	all := newMeter(0)
	for i := range n {
		vpn, addr := peerAt(i)
		result := loop(t)
		result.Protocol = tunnel.ProtocolName
		s := tunnel.NewSession(began, vpn, result)
		s.Handle(began, record.ApplicationData, []byte{0, 1, 0xff}, nil) // it can do everything
		p.tab = p.tab.withRoute(vpn, &route{session: s, addr: addr})
		p.tab = p.tab.withSource(addr, &source{sessions: []*tunnel.Session{s}})
		for j := range i {
			other, _ := peerAt(j)
			k := relayKeyOf(vpn, other)
			p.tab = p.tab.withPair(k, &relayPair{relayKey: k, allowed: true, meters: [2]*meter{all, all}, all: all, use: new(relayUse)})
		}
	}
	p.in.c.publish(p.tab)
	return p
}

// asks returns records in which a peer asks that each of some datagrams is passed on to
// another.
func (p *path) asks(from, to int, datagrams ...[]byte) (ds []punch.Datagram) {
	vpn, addr := peerAt(from)
	other, _ := peerAt(to)
	r, _ := p.tab.route(vpn)
	for _, b := range datagrams {
		rec, d := r.session.SealRelay(1, nil, append(r.session.RelayHead(nil, other), b...), new(record.Scratch))
		if d != tunnel.Kept {
			panic(d)
		}
		ds = append(ds, punch.Datagram{Addr: addr, Data: rec})
	}
	return ds
}

// TestRelayPath: what is relayed comes out as it went in, in order, with who has sent it,
// and what has one size travels together.
func TestRelayPath(t *testing.T) {
	p := newRelayPath(t, 3)
	var want [][]byte
	for i := range 40 {
		want = append(want, noise(1000+i%2*(i/20)))
	}
	for i := range want {
		want[i] = append(want[i][:13], append([]byte(fmt.Sprint(i%10)), want[i][14:]...)...)
	}
	p.in.batch(began.Add(time.Second), p.tab, p.asks(0, 1, want...))
	sender, _ := peerAt(0)
	_, addr := peerAt(1)
	to := p.session(1)
	var got [][]byte
	for _, d := range p.conn.sent {
		if d.Addr != addr {
			t.Errorf("sent to %v, want %v", d.Addr, addr)
		}
		d.Segments(func(rec []byte) bool {
			h, rec, _, err := record.Split(bytes.Clone(rec))
			if err != nil {
				t.Fatal(err)
			}
			payload, _, drop := to.Receive(2, h, rec, new(record.Scratch))
			sig, ok := to.Relay(2, payload)
			if drop != tunnel.Kept || !ok || !sig.Relayed || sig.Other != sender {
				t.Fatalf("%v, %+v", drop, sig)
			}
			got = append(got, bytes.Clone(sig.Datagram))
			return true
		})
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d datagrams come out, want the %d that went in", len(got), len(want))
	}
	if n := len(p.conn.sent); n > 12 {
		t.Errorf("they travel in %d, want those of one size together", n)
	}
	pair, _ := p.tab.pair(relayKeyOf(sender, to.Peer()))
	if n := pair.use.packets.Load(); n != uint64(len(want)) || pair.use.bytes.Load() < 40_000 || pair.use.drops.Load() != 0 {
		t.Errorf("counted %d packets, %d bytes, %d drops", n, pair.use.bytes.Load(), pair.use.drops.Load())
	}
}

// TestRelayPathUnknown: of a pair that is new, control hears once for each datagram, as
// far as it keeps up, and nothing is sent.
func TestRelayPathUnknown(t *testing.T) {
	p := newRelayPath(t, 2)
	a, _ := peerAt(0)
	b, _ := peerAt(1)
	p.tab = p.tab.withPair(relayKeyOf(a, b), nil)
	for range queueRelays + 10 {
		p.in.batch(began.Add(time.Second), p.tab, p.asks(0, 1, noise(100)))
	}
	if len(p.conn.sent) != 0 || len(p.in.c.relays) != queueRelays {
		t.Errorf("%d datagrams sent, %d events, want none and %d", len(p.conn.sent), len(p.in.c.relays), queueRelays)
	}
	if n := p.in.c.drops.Get(tunnel.DropQueue); n != 10 {
		t.Errorf("%d drops, want 10", n)
	}
	e := <-p.in.c.relays
	if e.session.Peer() != a || e.dst != b || !bytes.Equal(e.data, noise(100)) {
		t.Errorf("event about %v for %v", e.session.Peer(), e.dst)
	}
}

// TestRelayPathFair: one that floods gets what the others leave, and those get all that
// they want, up to half of what there is.
func TestRelayPathFair(t *testing.T) {
	p := newRelayPath(t, 4)
	const rate = 1_000_000
	all := newMeter(rate)
	senders := map[netip.Addr]*meter{}
	pairs := map[relayKey]*relayPair{}
	for _, k := range []struct{ a, b int }{{0, 1}, {2, 3}, {0, 3}} {
		a, _ := peerAt(k.a)
		b, _ := peerAt(k.b)
		key := relayKeyOf(a, b)
		pair := &relayPair{relayKey: key, allowed: true, all: all, use: new(relayUse)}
		for i, v := range []netip.Addr{key.a, key.b} {
			if senders[v] == nil {
				senders[v] = newMeter(rate / relayShare)
			}
			pair.meters[i] = senders[v]
		}
		pairs[key] = pair
		p.tab = p.tab.withPair(key, pair)
	}
	const seconds = 5
	honest := 4 // kB in 10 ms
	for tick := range seconds * 100 {
		var ds []punch.Datagram
		for range 20 { // floods two others
			ds = append(ds, p.asks(0, 1, noise(1000))...)
			ds = append(ds, p.asks(0, 3, noise(1000))...)
		}
		for range honest {
			ds = append(ds, p.asks(2, 3, noise(1000))...)
		}
		p.in.batch(began.Add(time.Second+time.Duration(tick)*10*time.Millisecond), p.tab, ds)
		p.conn.sent = nil
	}
	bytesOf := func(a, b int) int {
		x, _ := peerAt(a)
		y, _ := peerAt(b)
		return int(pairs[relayKeyOf(x, y)].use.bytes.Load())
	}
	flood, other := bytesOf(0, 1)+bytesOf(0, 3), bytesOf(2, 3)
	if want := honest * 100_000 * seconds; other < want*99/100 {
		t.Errorf("another one gets %d bytes, want %d", other, want)
	}
	if want := rate * seconds; flood+other > want+rate/4 || flood+other < want*99/100 {
		t.Errorf("both together get %d bytes, want %d", flood+other, want)
	}
	if n := p.in.c.drops.Get(tunnel.DropRate); n == 0 {
		t.Error("no drops are counted")
	}
}

// relayRound seals a batch of datagrams for a relay, and returns how to repeat it.
func relayRound(t testing.TB, p *path, count, size int) func() {
	r := p.session(0)
	other, _ := peerAt(1)
	_, addr := peerAt(0)
	payload := append(r.RelayHead(nil, other), noise(size)...)
	ds := make([]punch.Datagram, count)
	bufs := make([][]byte, count)
	for i := range bufs {
		bufs[i] = make([]byte, 0, size+200)
	}
	tmp := new(record.Scratch)
	return func() {
		for i := range ds {
			rec, d := r.SealRelay(1, bufs[i], payload, tmp)
			if d != tunnel.Kept {
				t.Fatal(d)
			}
			ds[i] = punch.Datagram{Addr: addr, Data: rec}
		}
		p.in.batch(began.Add(time.Second), p.tab, ds)
		p.conn.sent = p.conn.sent[:0]
	}
}

func TestRelayPathNoAllocs(t *testing.T) {
	p := newRelayPath(t, 2)
	round := relayRound(t, p, 16, 1300)
	round()
	if n := testing.AllocsPerRun(100, round); n > 0.5 {
		t.Errorf("a batch of 16 allocates %.1f times, want 0", n)
	}
}

// BenchmarkRelay passes on batches of datagrams, with the sealing of what comes in.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{100, 1300} {
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			const count = 32
			round := relayRound(b, newRelayPath(b, 2), count, size)
			b.SetBytes(int64(count * size))
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
		})
	}
}

// TestThroughPeer: what is sent through a peer goes out in its session, and not at all
// when that is over, or the peer does not relay.
func TestThroughPeer(t *testing.T) {
	p := newRelayPath(t, 2)
	c := p.in.c
	relay, addr := peerAt(0)
	other, _ := peerAt(1)
	conn := &throughPeer{c: c, relay: relay, name: "hub", done: make(chan struct{})}
	if got := conn.Relay(); got != "peer 10.1.0.0 (hub)" {
		t.Errorf("the relay is %q", got)
	}
	if got := conn.LocalAddr(); got != netip.AddrPortFrom(c.cfg.VPNAddr, throughPort) {
		t.Errorf("we are at %v", got)
	}
	train := append(noise(500), append(noise(500), noise(100)...)...)
	out := []punch.Datagram{{Addr: throughAddr(other), Data: noise(300)}, {Addr: throughAddr(other), Data: train, Segment: 500}}
	if err := conn.Send(out); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, d := range p.conn.sent {
		if d.Addr != addr {
			t.Errorf("sent to %v, want %v", d.Addr, addr)
		}
		d.Segments(func(rec []byte) bool {
			h, rec, _, _ := record.Split(bytes.Clone(rec))
			payload, _, _ := p.session(0).Receive(2, h, rec, new(record.Scratch))
			sig, ok := p.session(0).Relay(2, payload)
			if !ok || sig.Relayed || sig.Other != other {
				t.Errorf("sent %+v, %v", sig, ok)
			}
			sizes = append(sizes, len(sig.Datagram))
			return true
		})
	}
	if !slices.Equal(sizes, []int{300, 500, 500, 100}) {
		t.Errorf("sent datagrams of %v bytes", sizes)
	}
	if n := testing.AllocsPerRun(100, func() { conn.Send(out); p.conn.sent = p.conn.sent[:0] }); n > 0.5 {
		t.Errorf("Send allocates %.1f times, want 0", n)
	}

	r, _ := p.tab.route(relay)
	small := *r
	small.limit = 400
	c.publish(p.tab.withRoute(relay, &small))
	p.conn.sent = nil
	if err := conn.Send(out); err != errTooLong || len(p.conn.sent) == 0 {
		t.Errorf("by a path for 400 bytes: %v, %d sent, want %v, and what fits", err, len(p.conn.sent), errTooLong)
	}
	p.conn.sent = nil
	r.session.Handle(began, record.ApplicationData, []byte{0, 1, 0}, nil)
	c.publish(p.tab)
	if err := conn.Send(out); err != errNoRelay {
		t.Errorf("through one that relays no longer: %v, want %v", err, errNoRelay)
	}
	c.publish(p.tab.withRoute(relay, nil))
	if err := conn.Send(out); err == nil {
		t.Error("no error without a session")
	}
	c.publish(p.tab)
	conn.Close()
	conn.Close()
	if err := conn.Send(out); err == nil || len(p.conn.sent) > 0 {
		t.Errorf("after Close: %v, %d sent", err, len(p.conn.sent))
	}
	if _, err := conn.Receive(); err == nil {
		t.Error("Receive goes on after Close")
	}
	select {
	case <-conn.Done():
	default:
		t.Error("not done after Close")
	}
}

// FuzzRelay has a peer send anything as what is to be relayed, or was: nobody is sent more
// than it, and nothing is delivered.
func FuzzRelay(f *testing.F) {
	other, _ := peerAt(1)
	f.Add([]byte{0, 8, 4, 10, 1, 0, 1, 25, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{0, 9, 4, 10, 1, 0, 1}, punchOf(other)...))
	f.Add(append([]byte{0, 9, 4, 10, 1, 0, 1, 0, 8, 4, 10, 1, 0, 1}, noise(40)...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) < 2 || len(payload) > 1400 || payload[0] != 0 {
			return
		}
		p := newRelayPath(t, 3)
		conn := &throughPeer{c: p.in.c, done: make(chan struct{})}
		vpn, addr := peerAt(0)
		p.tab.through = p.tab.through.with(addrPart(vpn), vpn, conn)
		s := p.session(0)
		rec, d := s.SealRelay(1, nil, payload, new(record.Scratch))
		if d != tunnel.Kept {
			return
		}
		size := len(rec)
		p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{{Addr: addr, Data: rec}})
		sent := 0
		for _, d := range p.conn.sent {
			sent += len(d.Data)
		}
		if sent > size {
			t.Errorf("%d bytes sent for %d", sent, size)
		}
		if p.dev.packets > 0 || p.in.conn != nil || p.in.from != addr {
			t.Errorf("%d packets delivered, after %v by %v", p.dev.packets, p.in.from, p.in.conn)
		}
	})
}
