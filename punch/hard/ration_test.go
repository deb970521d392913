package hard

import (
	"net/netip"
	"testing"
	"time"
)

// member and host return one of many.
func member(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }
func host(i int) netip.Addr   { return netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}) }

// allowed returns when the ration lets attempts to reach a peer begin, if it is asked
// every second.
func allowed(r *Ration, from time.Time, until time.Duration, peer, at netip.Addr) (when []time.Duration) {
	for d := time.Duration(0); d < until; d += time.Second {
		if r.Begin(from.Add(d), peer, at) {
			when = append(when, d)
		}
	}
	return when
}

// TestBackOff: one minute, five, and half an hour.
func TestBackOff(t *testing.T) {
	r := new(Ration)
	got := allowed(r, start, 2*time.Hour, member(1), host(1))
	want := []time.Duration{0, time.Minute, 6 * time.Minute, 36 * time.Minute, 66 * time.Minute, 96 * time.Minute}
	if len(got) != len(want) {
		t.Fatalf("attempts at %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("attempt %d at %v, want %v", i, got[i], want[i])
		}
	}
	if r.Cost.Attempts != uint64(len(want)) {
		t.Errorf("%d attempts counted, want %d", r.Cost.Attempts, len(want))
	}
}

// TestBackOffOfAddress: another VPN address behind the same public one is no excuse,
// nor is another public one.
func TestBackOffOfAddress(t *testing.T) {
	r := new(Ration)
	if !r.Begin(start, member(1), host(1)) {
		t.Fatal("the first attempt may not begin")
	}
	soon := start.Add(time.Second)
	if r.Begin(soon, member(2), host(1)) {
		t.Error("another peer at the same address may be tried at once")
	}
	if r.Begin(soon, member(1), host(2)) {
		t.Error("the same peer at another address may be tried at once")
	}
	if !r.Begin(soon, member(2), host(2)) {
		t.Error("another peer elsewhere may not be tried")
	}
}

// TestSuccessIsForgiven: who has been reached may be tried again at once.
func TestSuccessIsForgiven(t *testing.T) {
	r := new(Ration)
	for i := range 100 {
		if !r.Begin(start.Add(time.Duration(i)*time.Second), member(1), host(1)) {
			t.Fatalf("attempt %d may not begin after so many that succeeded", i)
		}
		r.Succeeded(member(1), host(1))
	}
}

// TestPause: attempts to reach one peer after the other that all come to nothing become
// rare; successes make up for as many.
func TestPause(t *testing.T) {
	r := new(Ration)
	begun := 0
	for d := time.Duration(0); d < time.Hour; d += time.Second {
		if r.Begin(start.Add(d), member(begun), host(begun)) {
			begun++
		}
	}
	if begun != 14 {
		t.Errorf("%d attempts in an hour with a new peer each, want 14", begun)
	}
	day := begun
	for d := time.Hour; d < 24*time.Hour; d += time.Second {
		if r.Begin(start.Add(d), member(begun), host(begun)) {
			begun++
		}
	}
	if n := begun - day; n > 23*6+1 {
		t.Errorf("%d attempts in the rest of the day, want six an hour", n)
	}
	later := start.Add(25 * time.Hour)
	for range begun {
		later = later.Add(11 * time.Minute)
		if !r.Begin(later, member(begun), host(begun)) {
			t.Fatal("the pause does not end")
		}
		r.Succeeded(member(begun), host(begun))
	}
	for i := range freeFailures {
		if !r.Begin(later.Add(time.Second), member(7000+i), host(7000+i)) {
			t.Errorf("after as many successes, attempt %d may not begin", i)
		}
	}
}

// TestRationIsBounded: peers that are invented take no more memory than this, and when
// there is no room, nothing is tried.
func TestRationIsBounded(t *testing.T) {
	r := new(Ration)
	now := start
	for i := range 3 * maxStandings {
		now = now.Add(time.Hour)
		r.Begin(now, member(i), host(i))
		if len(r.peers) > maxStandings || len(r.hosts) > maxStandings {
			t.Fatalf("%d peers and %d addresses are remembered", len(r.peers), len(r.hosts))
		}
	}
	full := new(Ration)
	full.peers, full.hosts = map[netip.Addr]*standing{}, map[netip.Addr]*standing{}
	for i := range maxStandings {
		full.peers[member(i)] = &standing{until: start.Add(time.Hour)}
	}
	if full.Begin(start, member(5000), host(5000)) {
		t.Error("an attempt begins of which nothing could be remembered")
	}
	if !full.Begin(start.Add(time.Hour), member(5000), host(5000)) {
		t.Error("those whose time is over keep others out")
	}
}

// TestLongAgo: what has come to nothing is forgotten some day.
func TestLongAgo(t *testing.T) {
	r := new(Ration)
	allowed(r, start, 40*time.Minute, member(1), host(1))
	again := start.Add(4 * time.Hour)
	if got := allowed(r, again, 2*time.Minute, member(1), host(1)); len(got) != 2 || got[1] != time.Minute {
		t.Errorf("hours later: attempts at %v, want at once and after a minute", got)
	}
}
