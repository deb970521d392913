package clock

import (
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	t.Parallel()
	// What is between two readings of Go's clock, which is the same one, is
	// between two readings of ours.
	outer := time.Now()
	first := Now()
	inner := time.Now()
	for time.Since(inner) < 2*time.Millisecond {
	}
	least := time.Since(inner)
	second := Now()
	most := time.Since(outer)
	if got := second.Sub(first); got < least || got > most {
		t.Errorf("%v went by, want %v to %v", got, least, most)
	}
	if got := first.Add(second.Sub(first)); got != second {
		t.Errorf("the way back leads to %v, want %v", got, second)
	}
}

func TestOfStamp(t *testing.T) {
	t.Parallel()
	for _, ago := range []time.Duration{0, time.Millisecond, time.Hour, -time.Second} {
		before := Now()
		stamp := time.Now().Add(-ago)
		got := OfStamp(stamp)
		// Both clocks are read at slightly different times.
		const reading = 100 * time.Millisecond
		if early, late := before.Add(-ago-reading), Now().Add(-ago+reading); got < early || got > late {
			t.Errorf("a stamp of %v ago is at %v, want %v to %v", ago, got, early, late)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	if got, want := Instant(1_500_000_000).String(), "1.500000 s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
