package main

import (
	"errors"
	"math"
	"testing"
)

// A line is a scripted tunnel for searches: it delivers everything up to its
// capacity.
type line struct {
	capacity float64
	sender   float64      // what the generator is able to send; 0: anything
	stalls   map[int]bool // trials, by number, that lose much at any rate
	foreign  map[int]float64
	rates    []float64 // of all trials
}

func (l *line) run(rate float64) (trial, error) {
	n := len(l.rates)
	l.rates = append(l.rates, rate)
	t := trial{offered: rate, foreign: l.foreign[n]}
	if l.sender > 0 {
		t.offered = min(rate, l.sender)
	}
	t.delivered = min(t.offered, l.capacity)
	if l.stalls[n] {
		t.delivered /= 2
	}
	t.loss = 1 - t.delivered/t.offered
	return t, nil
}

// searchOf returns a search on l.
func searchOf(l *line) *search {
	return &search{first: 20_000, low: 500, high: 5e6, precision: 0.05, limit: 0.1, run: l.run}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		line    line
		want    float64 // delivered by the best trial, at least
		limited bool
		trials  int // at most
	}{
		{"faster than the first rate", line{capacity: 90_000}, 85_000, false, 14},
		{"slower than the first rate", line{capacity: 3_000}, 2_800, false, 18},
		{"very fast", line{capacity: 2e6}, 1.9e6, false, 22},
		{"too fast for the search", line{capacity: 1e9}, 2.5e6, true, 9},
		{"too fast for the generator", line{capacity: 1e9, sender: 300_000}, 300_000, true, 7},
		{"dead", line{}, 0, false, 12},
		{"stalls once", line{capacity: 90_000, stalls: map[int]bool{0: true, 3: true}}, 85_000, false, 16},
		{"disturbed", line{capacity: 90_000, stalls: map[int]bool{0: true, 1: true}, foreign: map[int]float64{0: 0.5, 1: 0.5}}, 85_000, false, 17},
	} {
		f, err := searchOf(&c.line).find()
		if err != nil {
			t.Fatal(err)
		}
		if f.best.delivered < c.want || f.best.delivered > c.want*1.07 || f.limited != c.limited {
			t.Errorf("%s: found %+v, want %v to %v, limited %v", c.name, f, c.want, c.want*1.07, c.limited)
		}
		if f.trials > c.trials || f.trials != len(c.line.rates) {
			t.Errorf("%s: %d trials, %d of them counted, want %d at most", c.name, len(c.line.rates), f.trials, c.trials)
		}
	}
}

// TestSearchStall checks that one stall does not halve a rate, and that a rate
// that fails twice is not tried again.
func TestSearchStall(t *testing.T) {
	t.Parallel()
	l := line{capacity: 30_000, stalls: map[int]bool{0: true}}
	if _, err := searchOf(&l).find(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{20_000, 20_000, 40_000, 40_000} {
		if l.rates[i] != want {
			t.Fatalf("the rates are %v, want %v as number %d", l.rates, want, i)
		}
	}
	if got, want := l.rates[4], math.Sqrt(20_000*40_000); got != want {
		t.Errorf("after these comes %v, want %v", got, want)
	}
}

// TestSearchDisturbed checks that a rate that is never tried in peace counts as
// bad in the end, and that the search says so.
func TestSearchDisturbed(t *testing.T) {
	t.Parallel()
	l := line{capacity: 1_000, foreign: map[int]float64{}}
	for i := range 1000 {
		l.foreign[i] = 0.3
	}
	f, err := searchOf(&l).find()
	if err != nil {
		t.Fatal(err)
	}
	if f.foreign != 0.3 || f.best.delivered < 900 {
		t.Errorf("found %+v, want about 1000 with a foreign load of 0.3", f)
	}
	if l.rates[maxTrials-1] != 20_000 || l.rates[maxTrials] != 10_000 {
		t.Errorf("the rates are %v, want %d at the first", l.rates, maxTrials)
	}
}

// TestSearchNearLimit is a generator that gives way to what it measures: it goes
// on as long as that brings more.
func TestSearchNearLimit(t *testing.T) {
	t.Parallel()
	var rates []float64
	s := &search{first: 20_000, low: 500, high: 5e6, precision: 0.05, run: func(rate float64) (trial, error) {
		rates = append(rates, rate)
		sent := rate / (1 + rate/200_000) // approaches 200 000
		return trial{offered: sent, delivered: sent}, nil
	}}
	f, err := s.find()
	if err != nil || !f.limited {
		t.Fatalf("found %+v, %v, want a limited search", f, err)
	}
	if f.best.delivered < 180_000 {
		t.Errorf("the best is %.0f after the rates %v, want 180000 at least", f.best.delivered, rates)
	}
}

// TestSearchSlowed checks that a generator that is kept from sending by others is
// given another chance, and that its limit without them is one.
func TestSearchSlowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		slowed  map[int]float64 // the load of others, by trial
		limited bool
		want    float64
	}{
		{"by others, twice", map[int]float64{2: 0.5, 3: 0.5}, false, 300_000},
		{"by others, all the time", map[int]float64{2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5}, true, 40_000},
		{"by itself", map[int]float64{2: 0}, true, 40_000},
	} {
		n := -1
		s := &search{first: 20_000, low: 500, high: 5e6, precision: 0.05, limit: 0.1, run: func(rate float64) (trial, error) {
			n++
			sent := rate
			foreign, slow := c.slowed[n]
			if slow {
				sent = 30_000
			}
			delivered := min(sent, 310_000)
			return trial{offered: sent, delivered: delivered, loss: 1 - delivered/sent, foreign: foreign}, nil
		}}
		f, err := s.find()
		if err != nil || f.limited != c.limited || f.best.delivered < c.want || f.best.delivered > c.want*1.1 {
			t.Errorf("%s: found %+v, %v, want limited %v and %v", c.name, f, err, c.limited, c.want)
		}
	}
}

func TestSearchError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for fail := range 12 {
		l := line{capacity: 90_000}
		s := searchOf(&l)
		s.run = func(rate float64) (trial, error) {
			if len(l.rates) == fail {
				return trial{}, broken
			}
			return l.run(rate)
		}
		if _, err := s.find(); err != broken {
			t.Errorf("with an error in trial %d: %v, want %v", fail, err, broken)
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add(90_000.0, 1e6, uint64(5))
	f.Add(0.0, 0.0, uint64(1<<63))
	f.Fuzz(func(t *testing.T, capacity, sender float64, stalls uint64) {
		if !(capacity >= 0) || !(sender >= 0) || math.IsInf(capacity+sender, 0) {
			t.Skip()
		}
		l := line{capacity: capacity, sender: sender, stalls: map[int]bool{}}
		for i := range 64 {
			l.stalls[i] = stalls>>i&1 == 1
		}
		got, err := searchOf(&l).find()
		if err != nil {
			t.Fatal(err)
		}
		if got.best.delivered > capacity || got.best.loss >= maxLoss {
			t.Errorf("found %+v on a line of %v", got, capacity)
		}
		if got.trials > 200 {
			t.Errorf("%d trials", got.trials)
		}
	})
}
