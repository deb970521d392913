package client

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/packet"
)

// A shaped is a shaper under test, whose time passes by hand.
type shaped struct {
	t     *testing.T
	s     *shaper
	now   time.Time
	drops tunnel.Drops
	sent  map[netip.AddrPort]float64 // cost, by destination
	count map[netip.AddrPort]int
}

func newShaped(t *testing.T, all, each Rate) *shaped {
	sh := &shaped{t: t, now: began, sent: map[netip.AddrPort]float64{}, count: map[netip.AddrPort]int{}}
	sh.s = newShaper(began, sh, &sh.drops, all, each, 1419)
	return sh
}

// The rest of punch.Conn is not called.
func (sh *shaped) Receive() ([]punch.Datagram, error) { panic("not called") }
func (sh *shaped) LocalAddr() netip.AddrPort          { panic("not called") }
func (sh *shaped) Close() error                       { return nil }
func (sh *shaped) Send(ds []punch.Datagram) error {
	for _, d := range ds {
		sh.note(d.Addr, d.Data)
	}
	return nil
}

func (sh *shaped) note(to netip.AddrPort, b []byte) {
	sh.sent[to] += costOf(b)
	sh.count[to]++
}

// offer puts a datagram in.
func (sh *shaped) offer(l *lane, to netip.AddrPort, size int) {
	b := make([]byte, size)
	if sh.s.pass(sh.now, l, nil, punch.Datagram{Addr: to, Data: b}) {
		sh.note(to, b)
	}
}

// pass lets time pass, and the shaper work when it wants to.
func (sh *shaped) pass(d time.Duration) {
	for end := sh.now.Add(d); ; {
		wait := sh.s.send(sh.now)
		if next := sh.now.Add(wait); next.Before(end) {
			sh.now = next
			continue
		}
		sh.now = end
		return
	}
}

var toA, toB = netip.MustParseAddrPort("203.0.113.1:1"), netip.MustParseAddrPort("203.0.113.2:2")

func near(got, want, part float64) bool { return math.Abs(got-want) <= part*want }

// TestShaperRate: a sender that offers too much gets its rate, whatever that is.
func TestShaperRate(t *testing.T) {
	for _, rate := range []Rate{5e3, 50e3, 500e3, 5e6} {
		sh := newShaped(t, 0, rate)
		l := sh.s.lane(began)
		size := 1085
		tick := time.Duration(float64(size) / float64(rate) / 2 * float64(time.Second)) // twice the rate
		for sh.now.Sub(began) < 12*time.Second {
			sh.offer(l, toA, size)
			sh.pass(tick)
			if sh.now.Sub(began) > 2*time.Second && sh.sent[toB] == 0 {
				sh.sent[toB] = sh.sent[toA] // what the full bucket let through is behind us
			}
		}
		if got := (sh.sent[toA] - sh.sent[toB]) / 10; !near(got, float64(rate), 0.01) {
			t.Errorf("rate %v: %.0f bytes a second", rate, got)
		}
		if sh.drops.Get(tunnel.DropRate) == 0 {
			t.Errorf("rate %v: nothing was dropped", rate)
		}
	}
}

// TestShaperLikeTheOriginal: 300 records of 1085 bytes at 50 kB/s took the
// original 6.058 s, 60 at 5 kB/s 12.146 s.
func TestShaperLikeTheOriginal(t *testing.T) {
	for _, c := range []struct {
		rate  Rate
		count int
		want  time.Duration
	}{{50e3, 300, 6058 * time.Millisecond}, {5e3, 60, 12146 * time.Millisecond}} {
		sh := newShaped(t, 0, c.rate)
		l := sh.s.lane(began)
		for offered := 0; offered < c.count; {
			if len(l.waiting) == 0 {
				sh.offer(l, toA, 1085)
				offered++
				continue
			}
			sh.pass(time.Millisecond)
		}
		for sh.count[toA] < c.count {
			sh.pass(time.Millisecond)
		}
		if got := sh.now.Sub(began); !near(got.Seconds(), c.want.Seconds(), 0.01) {
			t.Errorf("%d records at %v: %v, want %v", c.count, c.rate, got, c.want)
		}
	}
}

// TestShaperPeersAreApart: a peer at its limit does not delay another.
func TestShaperPeersAreApart(t *testing.T) {
	sh := newShaped(t, 0, 50e3)
	a, b := sh.s.lane(began), sh.s.lane(began)
	for range 1000 {
		sh.offer(a, toA, 1400)
		sh.offer(b, toB, 60)
		if len(b.waiting) != 0 {
			t.Fatal("the second peer's packet waits")
		}
		sh.pass(10 * time.Millisecond)
	}
	if sh.count[toB] != 1000 {
		t.Errorf("%d packets of the second peer sent, want 1000", sh.count[toB])
	}
}

// TestShaperTurns: at the common limit two greedy peers get half each, and a
// small packet of a third hardly waits.
func TestShaperTurns(t *testing.T) {
	sh := newShaped(t, 200e3, 0)
	a, b, c := sh.s.lane(began), sh.s.lane(began), sh.s.lane(began)
	toC := netip.MustParseAddrPort("203.0.113.3:3")
	worst := time.Duration(0)
	for i := range 5000 {
		sh.offer(a, toA, 1400)
		sh.offer(b, toB, 300)
		sh.offer(b, toB, 300)
		if i%100 == 50 {
			before := sh.count[toC]
			sh.offer(c, toC, 60)
			start := sh.now
			for sh.count[toC] == before {
				sh.pass(100 * time.Microsecond)
			}
			worst = max(worst, sh.now.Sub(start))
		}
		sh.pass(2 * time.Millisecond)
	}
	total := sh.sent[toA] + sh.sent[toB] + sh.sent[toC] - sh.s.all.size // the bucket was full
	if rate := total / sh.now.Sub(began).Seconds(); !near(rate, 200e3, 0.01) {
		t.Errorf("%.0f bytes a second in all", rate)
	}
	if a, b := sh.sent[toA], sh.sent[toB]; !near(a, b, 0.1) {
		t.Errorf("%.0f and %.0f bytes: they do not take turns", a, b)
	}
	if worst > 5*time.Millisecond {
		t.Errorf("a small packet waited %v", worst)
	}
}

// TestShaperBounds: what waits is bounded in time and number.
func TestShaperBounds(t *testing.T) {
	sh := newShaped(t, 0, 1000) // a packet takes more than a second
	l := sh.s.lane(began)
	for range 10 * maxWaiting {
		sh.offer(l, toA, 1400)
	}
	if n := len(l.waiting); n > maxWaiting {
		t.Errorf("%d wait", n)
	}
	sh.pass(waitTime + time.Second)
	if n := len(l.waiting); n > waitPackets {
		t.Errorf("%d still wait after a second", n)
	}
	sh.pass(time.Minute)
	if n := len(l.waiting); n != 0 || l.queued {
		t.Errorf("%d still wait after a minute", n)
	}
	total := sh.count[toA] + int(sh.drops.Get(tunnel.DropRate))
	if total != 10*maxWaiting {
		t.Errorf("%d sent and %d dropped of %d", sh.count[toA], sh.drops.Get(tunnel.DropRate), 10*maxWaiting)
	}
}

func TestShaperOff(t *testing.T) {
	if s := newShaper(began, nil, nil, 0, 0, 1419); s != nil || s.lane(began) != nil {
		t.Error("there is a shaper without a limit")
	}
	var s *shaper
	s.charge(began, nil) // does nothing
	r := &route{}
	if !r.pass(began, packet.NotECT, nil) {
		t.Error("a route without a shaper holds back")
	}
}

// TestShaperCharge: handshakes count, without waiting.
func TestShaperCharge(t *testing.T) {
	sh := newShaped(t, 10e3, 0)
	l := sh.s.lane(began)
	sh.s.charge(began, make([]byte, 20e3))
	sh.offer(l, toA, 100)
	if len(l.waiting) != 1 {
		t.Error("a datagram did not wait for the handshake's cost")
	}
	sh.pass(3 * time.Second)
	if sh.count[toA] != 1 {
		t.Error("it was not sent")
	}
}

// TestShaperNoAllocs: neither what passes nor what waits allocates, once the
// queues have their size.
func TestShaperNoAllocs(t *testing.T) {
	sh := newShaped(t, 1e6, 1e6)
	l := sh.s.lane(began)
	b := make([]byte, 1400)
	step := func() {
		for range 20 {
			sh.s.pass(sh.now, l, nil, punch.Datagram{Addr: toA, Data: b})
		}
		sh.now = sh.now.Add(10 * time.Millisecond)
		sh.s.send(sh.now)
	}
	for range 200 {
		step()
	}
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("%.1f allocations for 20 packets, want 0", n)
	}
}

// TestD_C7_SlowPeer: whole nodes with limits: the rate holds, another peer is not
// held up, and the limit can be changed while they run.
func TestD_C7_SlowPeer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.PeerRate, c.MTU = 100e3, 1419 })
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		alice.ping(carol, 5*time.Second)
		text := string(make([]byte, 1000))
		flood := func(d time.Duration) (received int, worst time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				for range 3 { // 200 kB/s or more
					alice.send(bob.vpn, text)
				}
				alice.send(carol.vpn, "quick")
				worst = max(worst, carol.wants("quick", time.Second))
				received += len(bob.texts())
				pass(4 * time.Millisecond)
			}
			return received, worst
		}
		flood(2 * time.Second)
		got, worst := flood(10 * time.Second)
		perPacket := float64(len(text) + 28 + 37 + datagramCost)
		if rate := float64(got) * perPacket / 10; !near(rate, 100e3, 0.02) {
			v.t.Errorf("%.0f bytes a second, want 100000", rate)
		}
		if worst > 15*time.Millisecond {
			v.t.Errorf("another peer's packet took %v", worst)
		}
		s := alice.client.set
		s.PeerRate = 0
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		if got, _ := flood(2 * time.Second); got < 130 {
			v.t.Errorf("%d packets in 2 s without a limit", got)
		}
	})
}
