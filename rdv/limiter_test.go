package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

func TestLimiter(t *testing.T) {
	l := limiter{interval: strangerInterval, burst: strangerBurst}
	a, _ := endpointOf(epA)
	neighbour, _ := endpointOf(netip.MustParseAddrPort("203.0.113.200:1"))
	other, _ := endpointOf(netip.MustParseAddrPort("203.0.114.21:49380"))
	count := func(now time.Duration, e endpoint) (n int) {
		for l.allow(now, e) {
			n++
		}
		return n
	}
	if got, want := count(0, a), 8000; got != want {
		t.Errorf("%d answers at once, want %d", got, want)
	}
	if l.allow(0, neighbour) {
		t.Error("the network's limit does not hold for its other addresses")
	}
	if !l.allow(0, other) {
		t.Error("the limit holds for another network")
	}
	if got, want := count(time.Second, a), 4000; got != want {
		t.Errorf("%d answers after a second, want %d", got, want)
	}
	if got, want := count(time.Hour, neighbour), 8000; got != want {
		t.Errorf("%d answers after a long time, want %d", got, want)
	}
}

// TestStrangersAreLimited floods the server with datagrams that seem to come
// from one network, and checks who is affected.
func TestStrangersAreLimited(t *testing.T) {
	b := newBench(t, 1)
	b.run(says(0, epB, hello(ip2), wire.OK))
	answers := 0
	for port := range 20000 {
		victim := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(port+1))
		m := ping
		if port%2 == 0 {
			m = hello(ip9) // refused: the table is full
		}
		answers += len(b.reg.Handle(b.start, In{From: victim, Msg: m}, nil))
	}
	if want := 8000; answers != want {
		t.Errorf("20000 forged datagrams make %d answers, want %d", answers, want)
	}
	if got, want := b.reg.Counters().Limited, uint64(12000); got != want {
		t.Errorf("%d counted as limited, want %d", got, want)
	}
	b.run(
		says(0, epB, ping, wire.Pong),
		says(0, epC, ping, wire.Reconnect), // another network
		says(0, netip.MustParseAddrPort("192.0.2.8:1"), ping, silence),
		says(1, epB, bye, silence),
		says(2, netip.MustParseAddrPort("192.0.2.8:1"), hello(ip9), wire.OK), // what is accepted is answered
	)
}

// TestRestartWith100000Clients lets all of them ping within the 3 s after a
// restart, in the order of their last PING, and register when they are told to.
func TestRestartWith100000Clients(t *testing.T) {
	const n = 100_000
	r := NewRegistry(RegistryConfig{})
	start := time.Unix(1_000_000_000, 0)
	var out []Out
	for i := range n {
		now := start.Add(time.Duration(i) * 3 * time.Second / n)
		out = r.Handle(now, In{From: nthEndpoint(i), Msg: ping}, out[:0])
		if len(out) != 1 || out[0] != to(nthEndpoint(i), wire.Reconnect) {
			t.Fatalf("client %d pings: %s", i, describe(out))
		}
		out = r.Handle(now, In{From: nthEndpoint(i), Msg: hello(nthVPN(i))}, out[:0])
		if len(out) != 1 || out[0] != to(nthEndpoint(i), wire.OK) {
			t.Fatalf("client %d says HELLO: %s", i, describe(out))
		}
	}
	if got := r.Len(); got != n {
		t.Errorf("%d clients after 3 s, want %d", got, n)
	}
}

// TestRestartBehindOneAddress has the worst case: every port of one address is
// a client, and pings every 3 s.
func TestRestartBehindOneAddress(t *testing.T) {
	const n = 65_535
	r := NewRegistry(RegistryConfig{})
	start := time.Unix(1_000_000_000, 0)
	ip := netip.MustParseAddr("192.0.2.7")
	var out []Out
	for round := range 10 {
		for i := range n {
			now := start.Add(time.Duration(round)*3*time.Second + time.Duration(i)*3*time.Second/n)
			at := netip.AddrPortFrom(ip, uint16(i+1))
			out = r.Handle(now, In{From: at, Msg: ping}, out[:0])
			if len(out) == 1 && out[0].Msg.Type == wire.Reconnect {
				out = r.Handle(now, In{From: at, Msg: hello(nthVPN(i))}, out[:0])
			}
		}
		if r.Len() == n {
			if round > 5 {
				t.Errorf("all are registered after %d s, want 18 at most", 3*(round+1))
			}
			return
		}
	}
	t.Errorf("%d of %d clients are registered after 30 s", r.Len(), n)
}
