package main

import "math"

// A trial is one run at a fixed rate.
type trial struct {
	offered   float64 // packets per second that were sent in fact
	delivered float64 // packets per second that arrived
	loss      float64 // part of what was sent
	took      float64 // seconds of sending
	cpu       float64 // of the daemons, in microseconds per packet delivered
	foreign   float64 // load of others, in cores
}

// A search looks for the highest rate at which hardly anything is lost. Its
// fields say where and how closely it looks; rates are in packets per second.
type search struct {
	first     float64 // the rate to begin with
	low, high float64 // no rate below or above is tried
	precision float64 // how far apart, as a part, a good rate and a bad one may end up
	limit     float64 // a trial with more foreign load does not count against a rate
	run       func(rate float64) (trial, error)
}

const (
	// maxLoss is the part of the packets that may get lost.
	maxLoss = 0.01

	// A rate is too high when it has lost too much this many times: a loss can
	// be a stall of the machine that has nothing to do with the rate.
	failuresNeeded = 2
	// maxTrials is how often one rate is tried, disturbed trials included.
	maxTrials = 4

	// A generator that sends less than this part of what it was asked for is
	// at its own limit, or has to give way to what it measures.
	honestPart = 0.9
	// worthwhile is by how much a higher rate has to deliver more then, as a
	// factor, for a still higher one to be tried.
	worthwhile = 1.05
)

// A found is the outcome of a search.
type found struct {
	best    trial // the trial that delivered the most without loss; zero if there is none
	limited bool  // the generator would not send faster
	trials  int
	foreign float64 // the load of others for which a rate was given up; 0 if none was
}

// find doubles or halves the rate until it is between a good one and a bad one,
// and then closes in on the border.
//
//	first ──▶ good ──▶ ×2 … ──▶ bad ──▶ between the last two, until they are near
//	      └─▶ bad ───▶ ÷2 … ──▶ good ─┘
func (s *search) find() (found, error) {
	var f found
	good, bad := 0.0, 0.0
	for rate := s.first; s.low <= rate && rate <= s.high && (good == 0 || bad == 0); {
		before := f.best.delivered
		t, ok, err := s.try(rate, &f)
		if err != nil {
			return f, err
		}
		if !ok {
			bad = rate
			rate /= 2
			continue
		}
		good = rate
		if !t.honest(rate) && t.delivered < worthwhile*before {
			f.limited = true
			return f, nil
		}
		rate *= 2
	}
	if good == 0 || bad == 0 {
		f.limited = good > 0
		return f, nil
	}
	for bad/good > 1+s.precision {
		// Rates are near or far as factors.
		rate := math.Sqrt(good * bad)
		_, ok, err := s.try(rate, &f)
		if err != nil {
			return f, err
		}
		if ok {
			good = rate
		} else {
			bad = rate
		}
	}
	return f, nil
}

// try finds out whether a rate is good, and returns its last trial, or the last
// good one if it is.
func (s *search) try(rate float64, f *found) (t trial, ok bool, err error) {
	failures, foreign := 0, 0.0
	for range maxTrials {
		this, err := s.run(rate)
		if err != nil {
			return this, false, err
		}
		f.trials++
		disturbed := this.foreign > s.limit
		if this.loss < maxLoss && this.delivered > 0 {
			if this.delivered > f.best.delivered {
				f.best = this
			}
			if t, ok = this, true; this.honest(rate) || !disturbed {
				return t, true, nil
			}
			continue // others kept the generator from sending; perhaps not again
		}
		if !ok {
			t = this
		}
		if disturbed {
			foreign = max(foreign, this.foreign)
			continue
		}
		if failures++; failures == failuresNeeded {
			return this, false, nil
		}
	}
	if !ok {
		f.foreign = max(f.foreign, foreign)
	}
	return t, ok, nil
}

// honest reports whether the generator has sent about as much as it was asked for.
func (t trial) honest(rate float64) bool { return t.offered >= honestPart*rate }
