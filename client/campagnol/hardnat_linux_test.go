package main

import (
	"slices"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// hardRounds is how often a way through a hard NAT of the kernel is looked for.
var hardRounds = 3

// hardSample is how many rounds it takes to say of 95 of 100 whether it is so: where one of
// a few is missed, which one of 300 is by design, so many are played.
const hardSample = 20

// TestHardNATForReal: one end is behind a NAT that takes a random port for each
// destination, the other behind one that lets in only who was sent to. Both guess, and
// meet within three seconds.
func TestHardNATForReal(t *testing.T) {
	var times []time.Duration
	missed := 0
	rounds := hardRounds
	for i := 0; i < rounds; i++ {
		took, ok := hardRound(t)
		if !ok {
			missed++
			rounds = max(rounds, hardSample)
			continue
		}
		times = append(times, took)
	}
	if missed > rounds/20 {
		t.Errorf("no path within 3 s in %d of %d rounds", missed, rounds)
	}
	if len(times) > 0 {
		slices.Sort(times)
		t.Logf("%d rounds, %d without a path within 3 s; first reply after %v at the median, %v at most", rounds, missed, times[len(times)/2], times[len(times)-1])
	}
}

// hardRound looks for the way in a laboratory of its own.
func hardRound(t *testing.T) (took time.Duration, ok bool) {
	m := newMesh(t, lab.PortRestricted, lab.Symmetric)
	defer m.lab.Close()
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range m.peers {
		m.await(p.process, "The way to the Internet was examined")
	}
	const interval = 10 * time.Millisecond
	r, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: int(3 * time.Second / interval), Interval: interval, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	took = r.Reply()
	if took == lab.Lost || took > 3*time.Second {
		t.Logf("%v\n%s\n%s", r, a.process.Tail(), b.process.Tail())
		return 0, false
	}
	return took, true
}

// TestHardNATMoves: the public address of the end that can be found changes. The other
// one's port is unknown again, and guessed again.
func TestHardNATMoves(t *testing.T) {
	m := newMesh(t, lab.PortRestricted, lab.Symmetric)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range m.peers {
		m.await(p.process, "The way to the Internet was examined")
	}
	if _, err := a.PingUntil(t.Context(), b.vpn, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if _, err := a.nat.Renumber(); err != nil {
		t.Fatal(err)
	}
	const interval, limit = 10 * time.Millisecond, 4 * time.Second
	r, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: int((limit + time.Second) / interval), Interval: interval, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	gap := r.Gap(interval)
	t.Logf("no answer for %v", gap)
	if gap == lab.Lost || gap > limit {
		t.Errorf("no answer for %v after the address has changed, want at most %v", gap, limit)
	}
}
