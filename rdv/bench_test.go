package rdv

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

const manyClients = 100_000

// fullRegistry returns a registry with manyClients clients, nthVPN(i) at
// nthEndpoint(i), and the endpoints.
func fullRegistry(tb testing.TB, now time.Time) (*Registry, []netip.AddrPort) {
	r := NewRegistry(RegistryConfig{})
	at := make([]netip.AddrPort, manyClients)
	for i := range at {
		at[i] = nthEndpoint(i)
		r.Handle(now, In{From: at[i], Msg: hello(nthVPN(i))}, nil)
	}
	if r.Len() != manyClients {
		tb.Fatalf("%d clients, want %d", r.Len(), manyClients)
	}
	return r, at
}

// TestAllocations counts those of the messages that make nearly all of the load.
func TestAllocations(t *testing.T) {
	now := time.Now()
	r, at := fullRegistry(t, now)
	out := make([]Out, 0, 2)
	i := 0
	next := func() int { i = (i + 7919) % manyClients; return i }
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"PING", func() { out = r.Handle(now, In{From: at[next()], Msg: ping}, out[:0]) }},
		{"ASK for an unknown address", func() { out = r.Handle(now, In{From: at[next()], Msg: ask(netip.Addr{})}, out[:0]) }},
		{"stranger", func() { out = r.Handle(now, In{From: epA, Msg: ping}, out[:0]) }},
		{"refused HELLO", func() { out = r.Handle(now, In{From: epA, Msg: hello(nthVPN(next()))}, out[:0]) }},
		{"HELLO again", func() { n := next(); out = r.Handle(now, In{From: at[n], Msg: hello(nthVPN(n))}, out[:0]) }},
	} {
		if got := testing.AllocsPerRun(1000, c.f); got != 0 {
			t.Errorf("%s allocates %.0f times, want 0", c.name, got)
		}
		if len(out) == 0 {
			t.Errorf("%s was not answered", c.name)
		}
	}
	if got := testing.AllocsPerRun(10, func() {
		for range 1000 { // sessions are made in blocks
			out = r.Handle(now, In{From: at[0], Msg: ask(nthVPN(1))}, out[:0])
			out = r.Handle(now, In{From: at[0], Msg: closing(nthVPN(1))}, out[:0])
		}
	}); got != 0 {
		t.Errorf("1000 times ASK and CLOSE allocate %.0f times, want 0", got)
	}
	if got := testing.AllocsPerRun(10, func() {
		for n := range 100 {
			out = r.Handle(now, In{From: at[n], Msg: ask(nthVPN(n + 1))}, out[:0])
		}
	}); got != 0 {
		t.Errorf("100 ASKs again allocate %.0f times, want 0", got)
	}
}

// TestMemory bounds what a client costs.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, at := fullRegistry(t, time.Now())
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc) - int64(len(at))*32) / manyClients
	t.Logf("%d bytes for each client", each)
	if each > 256 {
		t.Errorf("a client costs %d bytes, want 256 at most", each)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(at)
}

// TestExpiryOfAll lets half of the clients die, and then the others.
func TestExpiryOfAll(t *testing.T) {
	now := time.Now()
	r, at := fullRegistry(t, now)
	for i := range at {
		if i%2 == 0 {
			r.Handle(now.Add(5*time.Second), In{From: at[i], Msg: ping}, nil)
		}
	}
	r.Advance(now.Add(deadAfter), nil)
	if got, want := r.Len(), manyClients/2; got != want {
		t.Errorf("%d clients left, want %d", got, want)
	}
	r.Advance(now.Add(deadAfter+5*time.Second), nil)
	if r.Len() != 0 || r.byAge.first != nil || len(r.byVPN) != 0 {
		t.Errorf("%d clients left, want none", r.Len())
	}
}

func BenchmarkPing(b *testing.B) {
	now := time.Now()
	r, at := fullRegistry(b, now)
	out := make([]Out, 0, 2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		// As many PINGs in 3 s as there are clients: all stay alive.
		now = now.Add(3 * time.Second / manyClients)
		out = r.Handle(now, In{From: at[i%manyClients], Msg: ping}, out[:0])
	}
	if r.Len() != manyClients {
		b.Errorf("%d clients at the end, want %d", r.Len(), manyClients)
	}
}

func BenchmarkAsk(b *testing.B) {
	now := time.Now()
	r, at := fullRegistry(b, now)
	out := make([]Out, 0, 2)
	b.ReportAllocs()
	// Everybody asks for ever new peers, so that sessions come and go.
	for i := 0; b.Loop(); i++ {
		out = r.Handle(now, In{From: at[i*7919%manyClients], Msg: ask(nthVPN(i * 104729 % manyClients))}, out[:0])
		if len(out) != 2 {
			b.Fatalf("ASK %d is answered with %s", i, describe(out))
		}
	}
}

func BenchmarkStranger(b *testing.B) {
	now := time.Now()
	r, _ := fullRegistry(b, now)
	out := make([]Out, 0, 2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out = r.Handle(now, In{From: nthEndpoint(manyClients + i%manyClients), Msg: ping}, out[:0])
	}
}

func BenchmarkRegister(b *testing.B) {
	now := time.Now()
	r, at := fullRegistry(b, now)
	out := make([]Out, 0, 2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % manyClients
		out = r.Handle(now, In{From: at[n], Msg: bye}, out[:0])
		out = r.Handle(now, In{From: at[n], Msg: wire.Message{Type: wire.Hello, IP1: nthVPN(n)}}, out[:0])
	}
}
