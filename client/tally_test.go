package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// traffic returns what a tally says of packets and bytes.
func (t *Tally) traffic() [4]uint64 {
	return [4]uint64{t.PacketsIn, t.BytesIn, t.PacketsOut, t.BytesOut}
}

// TestTally: the sums are those of the session while it is open, go on when it has got
// fresh keys, stay when it ends, and grow with the next one.
func TestTally(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(20 * time.Second))
		if s := alice.status().Tally; s.traffic() != [4]uint64{} || s.Handshakes != 0 {
			v.t.Errorf("before there was anything: %+v", s)
		}
		for range 60 {
			alice.ping(bob, 5*time.Second)
			pass(time.Second)
		}
		s := alice.status()
		p, sum := alice.peer(bob), s.Tally
		if want := [4]uint64{p.PacketsIn, p.BytesIn, p.PacketsOut, p.BytesOut}; sum.traffic() != want || p.PacketsIn < 60 {
			v.t.Errorf("sums %v, the session %v", sum.traffic(), want)
		}
		if sum.Handshakes != 1 || sum.HandshakesRefused != 0 || sum.HandshakesFailed != 0 || p.Rekeys < 2 || sum.Rekeys != uint64(p.Rekeys) {
			v.t.Errorf("%+v, with %d times fresh keys", sum, p.Rekeys)
		}
		if err := alice.client.Restart(v.t.Context(), alice.client.set); err != nil {
			v.t.Fatal(err)
		}
		pass(20 * time.Second)
		after := alice.status()
		if got := after.Tally; got.PacketsIn < sum.PacketsIn || got.BytesOut < sum.BytesOut || got.Rekeys != sum.Rekeys {
			v.t.Errorf("when the session has ended: %+v, before: %+v", got, sum)
		}
		alice.ping(bob, 10*time.Second)
		if got := alice.status().Tally; got.Handshakes != 2 || got.PacketsIn <= sum.PacketsIn || got.PacketsOut <= sum.PacketsOut {
			v.t.Errorf("with the next session: %+v, before: %+v", got, sum)
		}
	})
}

// TestTallyReplaced: a session that another has replaced counts once, while it ends and
// afterwards.
func TestTallyReplaced(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		for range 10 {
			alice.ping(bob, 5*time.Second)
		}
		first := alice.status().Tally
		if err := bob.client.Restart(v.t.Context(), bob.client.set); err != nil { // alice has both for a while
			v.t.Fatal(err)
		}
		bob.ping(alice, 10*time.Second)
		during := alice.status().Tally
		pass(oldKeysLife + time.Second)
		after := alice.status().Tally
		if during.PacketsIn <= first.PacketsIn || during.PacketsIn > first.PacketsIn+5 {
			v.t.Errorf("packets %d, then %d with the second session", first.PacketsIn, during.PacketsIn)
		}
		if after.PacketsIn != during.PacketsIn || after.BytesOut != during.BytesOut {
			v.t.Errorf("when the first has ended %v, before %v", after.traffic(), during.traffic())
		}
	})
}

// TestTallyMoves: moves of sessions that have ended count, too.
func TestTallyMoves(t *testing.T) {
	inRoam(t, false, nil, func(r *roamers) {
		f := newFlow(r.vpn, r.alice, r.bob, 0)
		r.bob.conn.Host().Site().SetPublic("203.0.113.99")
		f.flowFor(6 * time.Second)
		moves := uint64(r.alice.peer(r.bob).Moves)
		if got := r.alice.status().Tally.Moves; got != moves || moves == 0 {
			r.t.Errorf("%d moves, the session says %d", got, moves)
		}
		if err := r.alice.client.Restart(r.t.Context(), r.alice.client.set); err != nil {
			r.t.Fatal(err)
		}
		pass(time.Second)
		if got := r.alice.status().Tally.Moves; got != moves {
			r.t.Errorf("%d moves when the session has ended, want %d", got, moves)
		}
	})
}

// TestTallyRefusals: who is refused counts by code, on both ends.
func TestTallyRefusals(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, _ := v.pair(nil)
		stranger := pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"))
		mallory := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.66", use(stranger))
		pass(time.Second)
		for range 2 {
			mallory.send(alice.vpn, "let me in")
			pass(20 * time.Second)
		}
		a, m := alice.status().Tally, mallory.status().Tally
		if a.Refusals["unknown_ca"] == 0 || a.HandshakesRefused != a.Refusals["unknown_ca"] || a.Handshakes != 0 {
			v.t.Errorf("alice: %+v", a)
		}
		if m.Refusals[CodeRefusedUs] == 0 || m.HandshakesRefused == 0 {
			v.t.Errorf("mallory: %+v", m)
		}
		a.Refusals["unknown_ca"] = 1000
		if alice.status().Tally.Refusals["unknown_ca"] == 1000 {
			v.t.Error("a snapshot is not one")
		}
	})
}

// TestTallyCounts has what each handshake and refusal counts as, and that there is a
// bound to codes.
func TestTallyCounts(t *testing.T) {
	var tally Tally
	for _, err := range []error{nil, errors.New("timeout"), &RefusedError{Reason: channel.Taken}, nil, nil} {
		tally.handshake(err)
	}
	if tally.Handshakes != 3 || tally.HandshakesFailed != 1 || tally.HandshakesRefused != 1 {
		t.Errorf("%+v", tally)
	}
	for i := range 2 * maxCodes {
		tally.refusal(fmt.Sprint(i))
	}
	tally.refusal("0")
	if len(tally.Refusals) != maxCodes+1 || tally.Refusals[otherCode] != maxCodes || tally.Refusals["0"] != 2 {
		t.Errorf("%d codes, %d others", len(tally.Refusals), tally.Refusals[otherCode])
	}
	sum := uint64(0)
	for n := range maps.Values(tally.Refusals) {
		sum += n
	}
	if sum != 2*maxCodes+1 {
		t.Errorf("%d refusals", sum)
	}
}

// TestCrowdStatus: a look at 1,000 peers holds control for less than 5 ms, so that
// whoever watches the client does not get in the way of handshakes.
func TestCrowdStatus(t *testing.T) {
	const n, limit = 1000, 5 * time.Millisecond * raceFactor
	c := newCrowd(t, &deafConn{closed: make(chan struct{})}, n, 0, nil)
	best := time.Hour // others may have the processor meanwhile
	for tries := 0; tries < 200 && best > limit; tries++ {
		var s Status
		var took time.Duration
		if err := c.client.do(t.Context(), func(time.Time) {
			start := time.Now()
			s = c.client.status()
			took = time.Since(start)
		}); err != nil {
			t.Fatal(err)
		}
		if len(s.Peers) != n {
			t.Fatalf("%d peers, want %d", len(s.Peers), n)
		}
		best = min(best, took)
	}
	t.Logf("control is held for %v", best)
	if best > limit {
		t.Errorf("a look at %d peers holds control for %v, want less than %v", n, best, limit)
	}
}

// BenchmarkCrowdStatus measures the same.
func BenchmarkCrowdStatus(b *testing.B) {
	c := newCrowd(b, &deafConn{closed: make(chan struct{})}, 1000, 0, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.client.Status(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
