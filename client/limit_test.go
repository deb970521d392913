package client

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/tunnel/handshake"
)

func TestBucket(t *testing.T) {
	var b bucket
	take := func(at time.Duration) bool { return b.take(began.Add(at), 10, 3) }
	for i, c := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {0, true}, {0, true}, {0, false}, // the burst
		{99 * time.Millisecond, false}, {100 * time.Millisecond, true}, {100 * time.Millisecond, false},
		{50 * time.Millisecond, false}, // a clock that goes back gives nothing
		{time.Hour, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour, false},
	} {
		if got := take(c.at); got != c.want {
			t.Errorf("step %d, %v: %v, want %v", i, c.at, got, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	a, b := netip.MustParseAddr("10.9.0.77"), netip.MustParseAddr("10.9.0.78")
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	var r refusals
	if r.has(began, a) {
		t.Error("refused from the start")
	}
	r.note(at(0), a)
	for _, c := range []struct {
		at   float64
		want bool
	}{{0, true}, {0.9, true}, {1, false}} {
		if got := r.has(at(c.at), a); got != c.want {
			t.Errorf("after %v s: %v, want %v", c.at, got, c.want)
		}
	}
	r.note(at(1), a) // again: longer, up to refusalMax
	r.note(at(3), a)
	r.note(at(5), a)
	if !r.has(at(6.9), a) || r.has(at(7), a) {
		t.Error("the fourth refusal does not last 2 s")
	}
	r.note(at(60), a) // long after: as the first
	if r.has(at(61), a) {
		t.Error("a refusal long after does not last 1 s")
	}
	r.forget(a)
	if r.has(at(60), a) || r.has(at(0), b) {
		t.Error("refused without a reason")
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	for i := range 3 * maxRefused {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.note(began, a)
		if len(r.m) > maxRefused {
			t.Fatalf("%d addresses remembered", len(r.m))
		}
		if !r.has(began, a) {
			t.Fatal("the latest is not remembered")
		}
	}
}

func TestTimers(t *testing.T) {
	var ts timers
	peers := make([]*peer, 5)
	for i := range peers {
		peers[i] = &peer{vpn: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), slot: -1}
	}
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	for i, s := range []int{5, 3, 3, 9, 1} {
		ts.set(peers[i], at(s))
	}
	ts.set(peers[3], at(2))
	ts.set(peers[3], at(2))
	ts.set(peers[4], time.Time{}) // never
	ts.set(peers[4], time.Time{})
	if got := ts.next(); !got.Equal(at(2)) {
		t.Errorf("next = %v, want 2 s", got)
	}
	var order []int
	for p := ts.pop(at(4)); p != nil; p = ts.pop(at(4)) {
		order = append(order, int(p.vpn.As4()[3]))
	}
	if len(order) != 3 || order[0] != 3 || order[1] != 1 || order[2] != 2 {
		t.Errorf("order %v, want [3 1 2]", order)
	}
	ts.drop(peers[0])
	ts.drop(peers[0])
	if !ts.next().IsZero() || ts.pop(at(100)) != nil {
		t.Error("something is left")
	}
}

func TestFailures(t *testing.T) {
	var f failures
	now := time.Unix(1000, 0)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }
	f.note(now, addr(2), "no path", nil)
	f.note(now, addr(1), "handshake failed", &handshake.LegacyError{Legacy: handshake.LegacyVersion, Cause: errors.New("because")})
	got := f.list()
	if len(got) != 2 || got[0].VPNAddr != addr(1) || !got[0].Legacy || got[1].Legacy || got[1].Reason != "no path" {
		t.Errorf("failures %+v, want that of %v, which is legacy, and that of %v", got, addr(1), addr(2))
	}
	if !strings.Contains(got[0].Reason, "install this program there") {
		t.Errorf("the reason %q does not say what to do", got[0].Reason)
	}
	f.forget(addr(1))
	for i := range 2 * maxFailures {
		f.note(now.Add(time.Duration(i)*time.Second), addr(i), "no path", nil)
	}
	if got := f.list(); len(got) != maxFailures || got[0].VPNAddr != addr(maxFailures) {
		t.Errorf("%d failures from %v on, want the last %d", len(got), got[0].VPNAddr, maxFailures)
	}
}

// BenchmarkFailures shows the cost of a flood of them.
func BenchmarkFailures(b *testing.B) {
	var f failures
	now := time.Unix(1000, 0)
	for i := range b.N {
		f.note(now.Add(time.Duration(i)), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "no path", nil)
	}
}
