package simnet

import (
	"math"
	"slices"
	"testing"
)

func TestQueueOrder(t *testing.T) {
	var q queue
	var want []*burst
	for i := range uint64(500) {
		h := mix(start, i)
		b := &burst{at: int64(h % 50), tie: mix(h, 1)}
		q.push(b)
		want = append(want, b)
	}
	slices.SortFunc(want, func(b, c *burst) int {
		if b.before(c) {
			return -1
		}
		return 1
	})
	for i, w := range want {
		if got := q.pop(); got != w {
			t.Fatalf("burst %d is at %d (tie %x), want %d (tie %x)", i, got.at, got.tie, w.at, w.tie)
		}
	}
	if len(q) != 0 {
		t.Errorf("%d bursts are left", len(q))
	}
}

// TestQueueMixed pushes and pops in turns.
func TestQueueMixed(t *testing.T) {
	var q queue
	last := int64(0)
	for i := range uint64(1000) {
		q.push(&burst{at: last + int64(mix(7, i)%100), tie: i})
		if i%3 == 2 {
			b := q.pop()
			if b.at < last {
				t.Fatalf("step %d: popped %d after %d", i, b.at, last)
			}
			last = b.at
		}
	}
}

func TestHashes(t *testing.T) {
	if mix(start, 0) == 0 || mix(0, 1) == mix(0, 2) || mix(1, 0) == mix(2, 0) {
		t.Error("mix does not mix")
	}
	if mixString(start, "ab") == mixString(start, "ba") || mixString(start, "") == start {
		t.Error("mixString does not depend on the order")
	}
	if mixEndpoint(start, ap("192.0.2.1:1")) == mixEndpoint(start, ap("192.0.2.1:2")) {
		t.Error("mixEndpoint does not depend on the port")
	}
	if mixAddr(start, addr("192.0.2.1")) == mixAddr(start, addr("2001:db8::1")) {
		t.Error("mixAddr does not depend on the address")
	}
	for _, c := range []struct {
		h    uint64
		want float64
	}{{0, 0}, {1 << 63, 0.5}} {
		if got := chance(c.h); got != c.want {
			t.Errorf("chance(%x) = %v, want %v", c.h, got, c.want)
		}
	}
	if got := chance(math.MaxUint64); got >= 1 {
		t.Errorf("the largest chance is %v, want less than 1", got)
	}
	seen := map[int64]bool{}
	for i := range uint64(1000) {
		seen[upTo(mix(start, i), 10)] = true
	}
	if len(seen) != 10 || seen[0] || !seen[10] {
		t.Errorf("upTo(…, 10) gave %v, want 1 to 10", seen)
	}
	if got := upTo(12345, 0); got != 0 {
		t.Errorf("upTo(…, 0) = %d, want 0", got)
	}
}

// TestChanceIsUniform counts in tenths.
func TestChanceIsUniform(t *testing.T) {
	const draws = 10000
	var tenth [10]int
	for i := range uint64(draws) {
		tenth[int(chance(mix(mix(start, 42), i))*10)]++
	}
	for i, got := range tenth {
		if got < draws/10-150 || got > draws/10+150 { // five standard deviations
			t.Errorf("tenth %d has %d draws, want about %d", i, got, draws/10)
		}
	}
}

// gathered returns a burst of payloads.
func gathered(payloads ...string) *burst {
	b := &burst{tie: 1}
	for _, p := range payloads {
		b.add([]byte(p), 0)
	}
	return b
}

func data(b *burst) (ps []string) {
	for _, p := range b.packets {
		ps = append(ps, string(p.data))
	}
	return ps
}

// The kinds of test payloads: a ping and a pong of the rendezvous protocol.
const (
	pingText = "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	pongText = "\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

func TestBurstNumbersByKind(t *testing.T) {
	b := gathered(pingText, "x", pingText, pongText, "y", pingText)
	var got []uint16
	for _, p := range b.packets {
		got = append(got, p.nth)
	}
	if want := []uint16{0, 0, 1, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("numbers = %v, want %v", got, want)
	}
	seen := map[uint64]bool{}
	for _, p := range b.packets {
		seen[p.lot()] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d different lots, want 6", len(seen))
	}
}

// TestBurstCutIgnoresOrder checks that what is cut depends on kinds only.
func TestBurstCutIgnoresOrder(t *testing.T) {
	one := gathered(pongText, "x", pingText, pingText)
	two := gathered(pingText, pongText, pingText, "x")
	for _, b := range []*burst{one, two} {
		rest := b.cut(2)
		if got, want := data(b), []string{pingText, pingText}; !slices.Equal(got, want) {
			t.Errorf("cut left %q, want both pings", got)
		}
		if len(rest) != 2 {
			t.Errorf("cut returned %d packets, want 2", len(rest))
		}
	}
	b := gathered("x", "y")
	if rest := b.cut(2); rest != nil || len(b.packets) != 2 {
		t.Errorf("a cut at the length took %d packets away", len(rest))
	}
	if rest := b.cut(-1); len(rest) != 2 || len(b.packets) != 0 {
		t.Errorf("a cut to nothing left %d packets", len(b.packets))
	}
}

func TestBurstAlone(t *testing.T) {
	b := gathered("x", "y")
	x, y := b.alone(b.packets[0]), b.alone(b.packets[1])
	if x.tie == y.tie || x.tie == b.tie {
		t.Error("ties of bursts that were split off are not distinct")
	}
	if got := data(x); len(got) != 1 || got[0] != "x" {
		t.Errorf("the burst of x has %q", got)
	}
	if got := data(b); len(got) != 2 || !x.loose || b.loose {
		t.Errorf("the original became %q, loose %v", got, b.loose)
	}
}

func TestGoroutineNumbers(t *testing.T) {
	mine := goroutine()
	if again := goroutine(); again != mine {
		t.Errorf("one goroutine has the numbers %d and %d", mine, again)
	}
	other := make(chan uint64)
	go func() { other <- goroutine() }()
	if o := <-other; o == mine || o == 0 {
		t.Errorf("another goroutine has the number %d, mine is %d", o, mine)
	}
}

// TestBatchOrder checks that the order of an instant keeps that of each
// goroutine and does not depend on which of them was first.
func TestBatchOrder(t *testing.T) {
	flows := make([]*flow, 6)
	for i := range flows {
		flows[i] = &flow{key: mix(start, uint64(i))}
	}
	// Goroutine 1 sends on flows 0, 1, 2; goroutine 2 on 3, 0, 4; the order of 5 does not count.
	sends := map[uint64][]int{1: {0, 1, 2}, 2: {3, 0, 4}}
	run := func(schedule []uint64) (order []int) {
		ba := &batch{}
		bursts := make([]*burst, len(flows))
		for i, f := range flows {
			bursts[i] = &burst{flow: f, tie: f.key}
		}
		ba.others = append(ba.others, bursts[5])
		next := map[uint64]int{}
		for _, g := range schedule {
			b := bursts[sends[g][next[g]]]
			next[g]++
			ba.group(g).add(b, b.add([]byte("x"), 0))
		}
		for _, b := range ba.order() {
			order = append(order, slices.Index(bursts, b))
		}
		return order
	}
	want := run([]uint64{1, 1, 1, 2, 2, 2})
	for _, s := range [][]uint64{
		{2, 2, 2, 1, 1, 1}, {1, 2, 1, 2, 1, 2}, {2, 1, 1, 2, 2, 1}, {2, 1, 2, 2, 1, 1},
	} {
		if got := run(s); !slices.Equal(got, want) {
			t.Errorf("schedule %v: order %v, want %v", s, got, want)
		}
	}
	if len(want) != 6 || slices.Index(want, 1) > slices.Index(want, 2) || slices.Index(want, 3) > slices.Index(want, 4) {
		t.Errorf("order %v does not keep that of the goroutines", want)
	}
}

// TestKeepOrder checks that a burst does not overtake those before it, and that
// one that was held back neither waits for others nor makes them wait.
func TestKeepOrder(t *testing.T) {
	f := &flow{}
	for _, c := range []struct {
		name     string
		b        burst
		at, last int64
	}{
		{"first", burst{at: 100}, 100, 100},
		{"later", burst{at: 150}, 150, 150},
		{"would overtake", burst{at: 120}, 151, 151},
		{"loose, early", burst{at: 90, loose: true}, 90, 151},
		{"loose, late", burst{at: 900, loose: true}, 900, 151},
		{"after those", burst{at: 160}, 160, 160},
	} {
		c.b.flow = f
		c.b.keepOrder()
		if c.b.at != c.at || f.last[0] != c.last {
			t.Errorf("%s: at %d, the next not before %d; want %d and %d", c.name, c.b.at, f.last[0], c.at, c.last)
		}
	}
	second := burst{at: 10, flow: f, hop: 1}
	if second.keepOrder(); second.at != 10 || second.hop != 2 {
		t.Errorf("on the next link: at %d, hop %d; want 10 and 2: links do not wait for each other", second.at, second.hop)
	}
}

// TestBatchesOfOneFlow checks that a flow begins a new burst in a new instant,
// even if its last one has not moved yet.
func TestBatchesOfOneFlow(t *testing.T) {
	n := &Net{wakeAt: 0}
	f := &flow{conn: &Conn{host: &Host{site: &Site{}}}}
	var g *group
	var sizes []int
	gather := func(now int64) {
		n.gather(now, f, ap("192.0.2.1:1"), ap("192.0.2.2:1"), []byte("x"), 0, &g)
	}
	move := func() {
		for _, b := range n.batches[0].order() {
			sizes = append(sizes, len(b.packets))
			b.at = 7 // of its next step
		}
		n.batches = n.batches[1:]
	}
	gather(5)
	gather(5)
	gather(6)
	move() // of instant 5, while that of 6 is gathered
	gather(6)
	gather(6)
	move()
	if f.cur != nil {
		t.Error("the flow keeps what it sent")
	}
	gather(7)
	move()
	if want := []int{2, 3, 1}; !slices.Equal(sizes, want) || f.bursts != 3 {
		t.Errorf("bursts of %v packets, want %v", sizes, want)
	}
}
