package filter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestPerPeer checks that a peer has no more flows than it may, and that the one
// that was idle for the longest time makes room.
func TestPerPeer(t *testing.T) {
	table, pool := newTable(t, onlySSH, Limits{PerPeer: 64})
	for i := range 1000 {
		if v := udp(uint16(i), 53).through(table, start.Add(time.Duration(i)*time.Millisecond), outward); v != Pass {
			t.Fatalf("flow %d: %v, want pass", i, v)
		}
	}
	flows := table.Dump(start.Add(time.Second))
	if len(flows) == 0 || len(flows) > 64 {
		t.Errorf("%d flows, want 64 at most", len(flows))
	}
	c := pool.Counters()
	if c.Flows != len(flows) || c.Evicted != uint64(1000-len(flows)) || int(table.flows.Load()) != len(flows) {
		t.Errorf("counters %+v, table %d, want %d flows and %d evicted", c, table.flows.Load(), len(flows), 1000-len(flows))
	}
	// Each shard keeps its newest flows.
	if v := udp(53, 999).through(table, start.Add(time.Second), inward); v != Pass {
		t.Errorf("reply to the newest flow: %v, want pass", v)
	}
	if v := udp(53, 0).through(table, start.Add(time.Second), inward); v != DropRule {
		t.Errorf("reply to the oldest flow: %v, want it dropped", v)
	}
}

// TestOldestGoes checks that a flow in use outlives younger ones that are idle.
func TestOldestGoes(t *testing.T) {
	table, _ := newTable(t, onlySSH, Limits{PerPeer: 64})
	at := start
	for i := range 2000 {
		at = at.Add(time.Millisecond)
		udp(uint16(1000+i), 53).through(table, at, outward)
		if v := udp(53, 1000).through(table, at, inward); v != Pass {
			t.Fatalf("the flow in use is gone after %d others", i)
		}
	}
}

// TestTotal checks the bound on all tables together: who has the most flows makes
// room, and a peer with few keeps them.
func TestTotal(t *testing.T) {
	pool := NewPool(start, Limits{PerPeer: 1 << 16, Total: 500})
	f := compile(t, onlySSH)
	var tables []*Table
	for range 20 {
		tables = append(tables, pool.NewTable(f))
	}
	quiet, loud := tables[3], tables[7]
	for i := range 10 {
		udp(uint16(i), 53).through(quiet, start, outward)
	}
	for i := range 20_000 {
		if v := udp(uint16(i), 53).through(loud, start.Add(time.Second), outward); v != Pass {
			t.Fatalf("flow %d: %v, want pass", i, v)
		}
		if n := pool.Counters().Flows; n > 500 {
			t.Fatalf("%d flows, want 500 at most", n)
		}
	}
	if n := len(quiet.Dump(start)); n != 10 {
		t.Errorf("the quiet peer has %d flows, want its 10", n)
	}
	if n := len(loud.Dump(start.Add(time.Second))); n != 490 {
		t.Errorf("the loud peer has %d flows, want 490", n)
	}
	// A newcomer finds room, although those that are looked at first have none.
	for i := range 100 {
		if v := udp(uint16(i), 53).through(tables[12], start.Add(2*time.Second), outward); v != Pass {
			t.Fatalf("flow %d of a newcomer: %v, want pass", i, v)
		}
	}
	if n := len(tables[12].Dump(start.Add(2 * time.Second))); n != 100 {
		t.Errorf("the newcomer has %d flows, want 100", n)
	}
	for _, table := range tables {
		table.Close()
	}
	if c := pool.Counters(); c.Flows != 0 || len(pool.tables) != 0 || pool.most != nil {
		t.Errorf("after all are closed: %+v, %d tables, %v as the largest, want none", c, len(pool.tables), pool.most)
	}
}

// A peer without flows finds room, although none of the peers that are looked at
// first has any.
func TestTotalElsewhere(t *testing.T) {
	pool := NewPool(start, Limits{Total: 5})
	f := compile(t, onlySSH)
	var tables []*Table
	for range 100 {
		tables = append(tables, pool.NewTable(f))
	}
	for i := range 5 {
		udp(uint16(i), 53).through(tables[60], start.Add(time.Duration(i)), outward)
	}
	if v := udp(1, 53).through(tables[0], start.Add(time.Second), outward); v != Pass {
		t.Fatalf("new flow: %v, want pass", v)
	}
	if a, b := len(tables[0].Dump(start)), len(tables[60].Dump(start)); a != 1 || b != 4 {
		t.Errorf("%d and %d flows, want 1 and 4", a, b)
	}
	if v := udp(53, 0).through(tables[60], start.Add(time.Second), inward); v != DropRule {
		t.Errorf("reply to the flow that had to go: %v, want %v", v, DropRule)
	}
	if c := pool.Counters(); c.Flows != 5 || c.Evicted != 1 {
		t.Errorf("%+v, want 5 flows and one evicted", c)
	}
}

// With room for a single flow, one still comes after the other.
func TestTiny(t *testing.T) {
	pool := NewPool(start, Limits{PerPeer: 1, Total: 1})
	a, b := pool.NewTable(compile(t, onlySSH)), pool.NewTable(compile(t, onlySSH))
	for i := range 50 {
		table := []*Table{a, b}[i%2]
		if v := udp(uint16(i), 53).through(table, start, outward); v != Pass {
			t.Fatalf("flow %d: %v, want pass", i, v)
		}
		if v := udp(53, uint16(i)).through(table, start, inward); v != Pass {
			t.Fatalf("reply %d: %v, want pass", i, v)
		}
		if n := pool.Counters().Flows; n != 1 {
			t.Fatalf("%d flows, want 1", n)
		}
	}
}

func TestClose(t *testing.T) {
	table, pool := newTable(t, onlySSH, Limits{})
	udp(1, 53).through(table, start, outward)
	table.Close()
	table.Close()
	if v := udp(2, 53).through(table, start, outward); v != DropFull {
		t.Errorf("new flow of a closed table: %v, want %v", v, DropFull)
	}
	if v := udp(53, 1).through(table, start, inward); v != DropRule {
		t.Errorf("reply to a flow of a closed table: %v, want %v", v, DropRule)
	}
	if c := pool.Counters(); c.Flows != 0 {
		t.Errorf("%d flows after all, want none", c.Flows)
	}
}

// TestSweep checks that what is idle is forgotten, with its memory.
func TestSweep(t *testing.T) {
	table, pool := newTable(t, onlySSH, Limits{})
	for i := range 100 {
		udp(uint16(i), 53).through(table, start, outward)
	}
	tcp(1, 22, flagSYN).through(table, start, outward)
	pool.Sweep(start.Add(2 * time.Minute))
	if c := pool.Counters(); c.Flows != 101 || c.Expired != 0 {
		t.Errorf("after two minutes: %+v, want all 101 flows", c)
	}
	pool.Sweep(start.Add(3 * time.Minute))
	if c := pool.Counters(); c.Flows != 1 || c.Expired != 100 || table.flows.Load() != 1 {
		t.Errorf("after three minutes: %+v, want the TCP flow", c)
	}
	pool.Sweep(start.Add(5 * time.Minute))
	for i := range table.shards {
		if s := &table.shards[i]; s.flows != nil || s.buckets != nil {
			t.Errorf("shard %d holds memory for %d flows, want none", i, len(s.flows))
		}
	}
	if v := udp(9, 53).through(table, start.Add(5*time.Minute), outward); v != Pass {
		t.Errorf("after it was empty: %v, want pass", v)
	}
}

// TestShardModel compares a shard with a slice in the order of use.
func TestShardModel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s shard
	s.reset()
	var model []key // oldest first
	for step := range 20_000 {
		k := key{lport: uint16(r.IntN(300)), proto: 17}
		h := uint64(k.lport % 7) // collisions
		i := s.find(h, &k)
		at := slices.Index(model, k)
		if (i == none) != (at < 0) {
			t.Fatalf("step %d: entry %d, want that of %d in the model", step, i, at)
		}
		if at >= 0 {
			model = slices.Delete(model, at, at+1)
		}
		switch {
		case i == none:
			s.add(h, &k)
			model = append(model, k)
		case r.IntN(3) == 0:
			s.remove(i)
		default:
			s.refresh(i)
			model = append(model, k)
		}
		if s.count != len(model) || len(model) > 0 && (s.flows[s.oldest].key != model[0] || s.flows[s.newest].key != model[len(model)-1]) {
			t.Fatalf("step %d: %d entries, want %d in the order of use", step, s.count, len(model))
		}
	}
	var order []key
	for i := s.oldest; i != none; i = s.flows[i].newer {
		order = append(order, s.flows[i].key)
	}
	if !slices.Equal(order, model) {
		t.Errorf("order of use %v, want %v", order, model)
	}
}

// TestConcurrent lets goroutines of the data path meet those that change rules,
// look and clean up.
func TestConcurrent(t *testing.T) {
	pool := NewPool(start, Limits{PerPeer: 128, Total: 300})
	rules := []*Filter{compile(t, onlySSH), compile(t, "filter all -> all: deny icmp")}
	var tables []*Table
	for range 4 {
		tables = append(tables, pool.NewTable(rules[0]))
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			g := traffic{rand.New(rand.NewPCG(uint64(n), 7))}
			for i := range 5000 {
				table, now := tables[g.IntN(len(tables))], start.Add(time.Duration(i)*time.Millisecond)
				d, b := g.packet()
				table.decide(now, b, d)
				udp(uint16(g.IntN(1000)), 53).through(table, now, outward)
			}
		})
	}
	wg.Go(func() {
		for i := range 300 {
			table := tables[i%4]
			table.Use(rules[i/4%2])
			table.Dump(start)
			table.Drops()
			pool.Sweep(start.Add(time.Duration(i) * time.Second))
			pool.NewTable(rules[0]).Close()
		}
	})
	wg.Wait()
	flows := 0
	for _, table := range tables {
		n := 0
		for i := range table.shards {
			n += table.shards[i].count
		}
		if int(table.flows.Load()) != n {
			t.Errorf("a table counts %d flows and has %d", table.flows.Load(), n)
		}
		flows += n
	}
	if c := pool.Counters(); c.Flows != flows || flows > 300 {
		t.Errorf("the pool counts %d flows, the tables have %d, want the same and 300 at most", c.Flows, flows)
	}
}

// paths are what packets can meet, for the counting of allocations and time.
func paths(t testing.TB) []struct {
	name string
	run  func()
} {
	table, _ := newTable(t, onlySSH, Limits{})
	var none *Table
	long := "filter we -> they: allow tcp/22\n"
	for i := range 998 {
		long += fmt.Sprintf("filter we -> they: deny tcp/%d\n", 1000+i)
	}
	slow, _ := newTable(t, long+"filter all -> all: deny", Limits{})
	now := start
	ack, back := tcp(1000, 22, flagACK).from(we, they).bytes(), tcp(22, 1000, flagACK).from(they, we).bytes()
	denied := udp(7, 7).from(they, we).bytes()
	six := tcp(1000, 22, flagACK).from(we6, they6).bytes()
	large := append(slices.Clone(ack), make([]byte, 60_000)...)
	large[2], large[3] = byte(len(large)>>8), byte(len(large)&0xff)
	quoting := segment{src: they, dst: we, proto: 1, sport: unreachable, data: ack[:28]}.bytes()
	first := udp(5000, 53).from(we, they)
	first.more, first.id = true, 1
	later := segment{src: we, dst: they, proto: 17, offset: 16, id: 1}.bytes()
	one, two := first.bytes(), later
	port := uint16(0)
	opens := udp(0, 53).from(we, they).bytes()
	for i := range 1 << 16 { // the table has its size
		opens[20], opens[21] = byte(i>>8), byte(i)
		table.Out(now, opens)
	}
	return []struct {
		name string
		run  func()
	}{
		{"none", func() { none.Out(now, ack) }},
		{"out", func() { table.Out(now, ack) }},
		{"in", func() { table.In(now, back) }},
		{"ipv6", func() { table.Out(now, six) }},
		{"64KiB", func() { table.Out(now, large) }},
		{"denied", func() { table.In(now, denied) }},
		{"denied by the last of 1000", func() { slow.In(now, denied); slow.Out(now, one) }},
		{"error", func() { table.In(now, quoting) }},
		{"malformed", func() { table.In(now, ack[:30]) }},
		{"fragments", func() { table.Out(now, one); table.Out(now, two) }},
		{"new flow", func() {
			port++
			opens[20], opens[21] = byte(port>>8), byte(port)
			table.Out(now, opens)
		}},
	}
}

func TestAllocs(t *testing.T) {
	for _, p := range paths(t) {
		p.run() // the ring of fragments has its place
		if n := testing.AllocsPerRun(200, p.run); n != 0 {
			t.Errorf("%s: %v allocations, want none", p.name, n)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for _, p := range paths(b) {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.run()
			}
		})
	}
}

// BenchmarkParallel has one flow per goroutine, as queues of the data path have.
func BenchmarkParallel(b *testing.B) {
	table, _ := newTable(b, onlySSH, Limits{})
	var mu sync.Mutex
	port := uint16(1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		port++
		ack := tcp(port, 22, flagACK).from(we, they).bytes()
		mu.Unlock()
		for pb.Next() {
			table.Out(start, ack)
		}
	})
}
