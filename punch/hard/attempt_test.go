package hard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var (
	start = time.Unix(0, 0) // any value: the machine never reads a clock
	peer  = netip.MustParseAddrPort("203.0.113.7:40000")
)

// A volley is what is sent at one moment.
type volley struct {
	at  time.Duration
	out []Out
}

// run advances a to its end, or to the given time after start, and returns what was sent.
func run(t *testing.T, a *Attempt, until time.Duration) (sent []volley) {
	t.Helper()
	for calls := 0; ; calls++ {
		next := a.Timeout()
		if next.IsZero() || next.Sub(start) > until || a.Done(next) {
			return sent
		}
		if calls > 10_000 {
			t.Fatal("the attempt does not advance")
		}
		if out := a.Advance(next, nil); len(out) > 0 {
			sent = append(sent, volley{next.Sub(start), out})
		}
	}
}

func count(vs []volley) (n int) {
	for _, v := range vs {
		n += len(v.out)
	}
	return n
}

// checkPace checks that no second has more than 500 punches, and no volley more than ten.
func checkPace(t *testing.T, vs []volley) {
	t.Helper()
	for i, v := range vs {
		if len(v.out) > volleySize {
			t.Errorf("%d punches at %v, want at most %d", len(v.out), v.at, volleySize)
		}
		n := 0
		for _, w := range vs[i:] {
			if w.at < v.at+time.Second {
				n += len(w.out)
			}
		}
		if n > 500 {
			t.Errorf("%d punches in the second from %v on, want at most 500", n, v.at)
		}
	}
}

func TestGuess(t *testing.T) {
	a := NewAttempt(start, Plan{Role: Guess}, peer, DefaultBudget, 1)
	if got := a.Timeout(); !got.Equal(start) {
		t.Errorf("the first volley is due at %v, want at once", got.Sub(start))
	}
	if out := a.Advance(start.Add(-1), nil); out != nil {
		t.Errorf("sends %v before its time", out)
	}
	vs := run(t, a, time.Hour)
	checkPace(t, vs)
	if got := count(vs); got != DefaultBudget.Probes || a.Sent() != got {
		t.Errorf("%d punches, %d counted, want %d", got, a.Sent(), DefaultBudget.Probes)
	}
	if got, want := vs[0].out[0], (Out{Primary, peer}); got != want {
		t.Errorf("the first goes to %v, want %v", got, want)
	}
	seen := map[netip.AddrPort]bool{}
	for _, v := range vs {
		for _, o := range v.out {
			if o.Socket != Primary || o.To.Addr() != peer.Addr() || o.To.Port() < 1024 || seen[o.To] {
				t.Errorf("at %v: %v", v.at, o)
			}
			seen[o.To] = true
		}
	}
	last := vs[len(vs)-1].at
	if last != 139*volleyInterval {
		t.Errorf("the last volley is at %v, want %v", last, 139*volleyInterval)
	}
	end := start.Add(last + volleyInterval + answerTime) // the one that would have been next finds nothing left
	if a.Done(end.Add(-1)) || !a.Done(end) || !a.Timeout().Equal(end) {
		t.Errorf("the end is at %v, want %v", a.Timeout().Sub(start), end.Sub(start))
	}
	if out := a.Advance(end.Add(time.Hour), nil); out != nil {
		t.Errorf("after the end: %v", out)
	}
}

func TestOpen(t *testing.T) {
	a := NewAttempt(start, Plan{Role: Open}, peer, DefaultBudget, 1)
	vs := run(t, a, time.Hour)
	checkPace(t, vs)
	if got := count(vs); got != DefaultBudget.Probes || a.Sent() != got {
		t.Errorf("%d punches, %d counted, want %d", got, a.Sent(), DefaultBudget.Probes)
	}
	opened, times := 0, map[int]int{}
	for _, v := range vs {
		for _, o := range v.out {
			if o.Socket > opened || o.To != peer {
				t.Errorf("at %v: %v with %d sockets", v.at, o, opened)
			}
			opened = max(opened, o.Socket+1)
			times[o.Socket]++
		}
		if all := 25 * volleyInterval; v.at == all && opened != 256 {
			t.Errorf("%d sockets after %v, want 256", opened, all)
		}
	}
	for s, n := range times {
		want := DefaultBudget.Probes / DefaultBudget.Sockets
		if s < DefaultBudget.Probes%DefaultBudget.Sockets {
			want++
		}
		if n != want {
			t.Errorf("%d punches from socket %d, want %d", n, s, want)
		}
	}
	for _, want := range []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second} {
		found := false
		for _, v := range vs {
			found = found || v.at == want && v.out[0].Socket == 0
		}
		if !found {
			t.Errorf("no round begins at %v", want)
		}
	}
	if end := start.Add(openTime); !a.Timeout().Equal(end) || !a.Done(end) || a.Done(end.Add(-1)) {
		t.Errorf("the end is at %v, want %v", a.Timeout().Sub(start), openTime)
	}
}

// TestOpenInTurn: with ports in turn the primary socket has its chance first.
func TestOpenInTurn(t *testing.T) {
	a := NewAttempt(start, Plan{Role: Open, Step: 1}, peer, DefaultBudget, 1)
	vs := run(t, a, time.Hour)
	checkPace(t, vs)
	if vs[0].at != primaryTime {
		t.Errorf("the first volley is at %v, want %v", vs[0].at, primaryTime)
	}
	most := 0
	for _, v := range vs {
		for _, o := range v.out {
			most = max(most, o.Socket+1)
		}
	}
	if most != 256 || count(vs) != DefaultBudget.Probes {
		t.Errorf("%d sockets and %d punches, want 256 and %d", most, count(vs), DefaultBudget.Probes)
	}
}

// TestBudget: whatever the budget, it holds.
func TestBudget(t *testing.T) {
	for _, p := range []Plan{{Role: Guess}, {Role: Guess, Step: 1}, {Role: Open}, {Role: Open, Step: -1}, {}} {
		for _, b := range []Budget{{}, {Sockets: 1}, {Probes: 1}, {1, 1}, {7, 20}, {20, 7}, {-1, -1}, DefaultBudget, {1 << 20, 1 << 20}} {
			t.Run(fmt.Sprintf("%v%+d/%+v", p.Role, p.Step, b), func(t *testing.T) {
				a := NewAttempt(start, p, peer, b, 7)
				vs := run(t, a, time.Hour)
				checkPace(t, vs)
				most := 0
				for _, v := range vs {
					for _, o := range v.out {
						most = max(most, o.Socket+1)
					}
				}
				if n := count(vs); n > max(0, min(b.Probes, MaxProbes)) || most > max(0, min(b.Sockets, MaxSockets)) {
					t.Errorf("%d punches from %d sockets", n, most)
				}
				if !a.Done(start.Add(time.Minute)) {
					t.Error("the attempt does not end")
				}
			})
		}
	}
}

// TestLimit: the system may have fewer sockets than the budget.
func TestLimit(t *testing.T) {
	a := NewAttempt(start, Plan{Role: Open}, peer, DefaultBudget, 1)
	a.Advance(start, nil)
	a.Limit(3)
	for _, v := range run(t, a, time.Hour) {
		for _, o := range v.out {
			if o.Socket >= 3 {
				t.Fatalf("at %v: %v, with 3 sockets", v.at, o)
			}
		}
	}
	if a.Sent() <= volleySize {
		t.Error("nothing is sent from the sockets that there are")
	}
	a = NewAttempt(start, Plan{Role: Open}, peer, DefaultBudget, 1)
	a.Advance(start, nil)
	a.Limit(0)
	if vs := run(t, a, time.Hour); len(vs) > 0 {
		t.Errorf("sends %v without a socket", vs)
	}
}

// TestStop: a path is open.
func TestStop(t *testing.T) {
	for _, role := range []Role{Guess, Open} {
		a := NewAttempt(start, Plan{Role: role}, peer, DefaultBudget, 1)
		run(t, a, 100*time.Millisecond)
		before := a.Sent()
		a.Stop()
		if vs := run(t, a, time.Hour); len(vs) > 0 || a.Sent() != before {
			t.Errorf("%v: %v is sent after the end", role, vs)
		}
	}
}

// TestLateAdvance: who is called too late sends no more at once for it.
func TestLateAdvance(t *testing.T) {
	a := NewAttempt(start, Plan{Role: Guess}, peer, DefaultBudget, 1)
	now := start.Add(time.Minute)
	if n := len(a.Advance(now, nil)); n != volleySize {
		t.Errorf("%d punches at once, want %d", n, volleySize)
	}
	if n := len(a.Advance(now, nil)); n != 0 {
		t.Errorf("%d more punches in the same moment", n)
	}
}

// FuzzAttempt drives attempts with anything and checks their bounds.
func FuzzAttempt(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 9, 9, 9})
	f.Add([]byte{2, 1, 200, 200, 4, 4, 3})
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) < 2 {
			return
		}
		p := Plan{Role: Role(steps[0] % 3), Step: int(int8(steps[1]))}
		b := Budget{Sockets: int(steps[0]), Probes: 8 * int(steps[1])}
		a := NewAttempt(start, p, peer, b, uint64(steps[0])<<8|uint64(steps[1]))
		now, sent, opened := start, 0, 0
		limit := b.Sockets
		for _, s := range steps[2:] {
			switch s & 7 {
			case 6:
				limit = min(limit, int(s>>3))
				a.Limit(int(s >> 3))
			case 7:
				a.Stop()
			default:
				now = now.Add(time.Duration(s>>3) * 5 * time.Millisecond)
			}
			out := a.Advance(now, nil)
			sent += len(out)
			for _, o := range out {
				opened = max(opened, o.Socket+1)
				if o.Socket >= limit || o.To.Port() == 0 {
					t.Fatalf("%v with %d sockets", o, limit)
				}
			}
			if sent > b.Probes || opened > b.Sockets || sent != a.Sent() || len(out) > volleySize {
				t.Fatalf("%d punches, %d counted, %d sockets, of %+v", sent, a.Sent(), opened, b)
			}
			if next := a.Timeout(); !next.IsZero() && !next.After(now) && !a.Done(now) {
				t.Fatalf("due at %v, which is over", next.Sub(start))
			}
		}
	})
}
