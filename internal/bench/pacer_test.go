package main

import (
	"math"
	"testing"
	"time"
)

// play lets a sender send for a second, which looks at the pacer whenever it is
// told to and misses the times that asleep says. It returns how much it sent,
// and the largest burst.
func play(rate float64, batch int, asleep func(since time.Duration) bool) (sent, burst int) {
	now := time.Unix(1000, 0)
	p := &pacer{rate: rate, begin: now}
	for since := time.Duration(0); since < time.Second; since = now.Sub(p.begin) {
		if asleep != nil && asleep(since) {
			now = now.Add(100 * time.Microsecond)
			continue
		}
		at := 0
		for n := p.due(now, batch); n > 0; n = p.due(now, batch) {
			p.sent += n
			at += n
		}
		sent += at
		burst = max(burst, at)
		now = p.next(now)
	}
	return sent, burst
}

func TestPacer(t *testing.T) {
	t.Parallel()
	nap := func(since time.Duration) bool { return since%(100*time.Millisecond) < 20*time.Millisecond }
	for _, c := range []struct {
		name   string
		rate   float64
		asleep func(time.Duration) bool
		want   float64 // packets
		burst  int
	}{
		{"slow", 10, nil, 10, 1},
		{"one at a time", 5_000, nil, 5_000, 1},
		{"bursts", 200_000, nil, 200_000, 20},
		{"fast", 3e6, nil, 3e6, 300},
		{"kept from sending for a fifth of the time", 200_000, nap, 161_500, 200},
	} {
		sent, burst := play(c.rate, 64, c.asleep)
		if math.Abs(float64(sent)-c.want) > 1+c.want/100 || burst > c.burst+1 {
			t.Errorf("%s: sent %d, in bursts of %d at most, want about %v and %d", c.name, sent, burst, c.want, c.burst)
		}
	}
}

// TestPacerNext checks that a sender does not wake up more often than it has to.
func TestPacerNext(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := &pacer{rate: 100, begin: now}
	for _, c := range []struct {
		sent int
		want time.Duration
	}{{0, 10 * time.Millisecond}, {1, 20 * time.Millisecond}, {-5, pacerStep}} {
		p.sent = c.sent
		if got := p.next(now).Sub(now); got != c.want {
			t.Errorf("with %d sent the next is due in %v, want %v", c.sent, got, c.want)
		}
	}
	p.sent = 0
	if got := p.due(now.Add(9*time.Millisecond), 64); got != 0 {
		t.Errorf("before its time, %d are due", got)
	}
	if got := p.due(now.Add(time.Hour), 64); got != 1 {
		t.Errorf("after an hour, %d are due, want 1", got)
	}
}
