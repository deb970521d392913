package l2

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBucket: a bucket gives what its rate says, whatever the pauses are.
func TestBucket(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  int
		pause time.Duration // between tries
		tries int
		want  int
	}{
		{"at once", 1000, 0, 5000, 250},
		{"small rates have some at once", 1, 0, 5000, minBurst},
		{"at its rate", 1000, time.Millisecond, 5000, 5000},
		{"twice its rate", 1000, time.Millisecond / 2, 10000, 5250},
		{"slower", 1000, time.Second, 100, 100},
		{"without limit", -1, 0, 5000, 5000},
		{"the largest", math.MaxInt, 0, 5000, 5000},
	} {
		var b bucket
		r := newRate(c.rate)
		got, at := 0, Stamp(1)
		for range c.tries {
			if b.take(at, r) {
				got++
			}
			at += Stamp(c.pause)
		}
		if got < c.want-1 || got > c.want+1 {
			t.Errorf("%s: %d of %d, want %d", c.name, got, c.tries, c.want)
		}
	}
}

// TestBucketConcurrent: several goroutines get no more than one would.
func TestBucketConcurrent(t *testing.T) {
	var b bucket
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10000 {
				if b.take(5, newRate(1000)) {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() != 250 {
		t.Errorf("%d, want 250", got.Load())
	}
}

// TestOnset: one of many, and the next after a pause.
func TestOnset(t *testing.T) {
	var o onset
	at := Stamp(1)
	for i, c := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true}, {0, false}, {quiet, false}, {quiet / 2, false}, {quiet + 1, true}, {1, false},
	} {
		at += Stamp(c.after)
		if got := o.raise(at); got != c.want {
			t.Errorf("occurrence %d: %v, want %v", i, got, c.want)
		}
	}
}
