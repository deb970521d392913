package main

import "time"

// A reading is what the processors had done at a moment.
type reading struct {
	at      time.Time
	machine cpuTimes
	daemons time.Duration // of the tunnel's two daemons
	own     time.Duration // of ourselves, the daemons, and what else we started
	kernel  time.Duration // of the kernel's threads
}

// A usage is what the processors did between two readings.
type usage struct {
	wall    time.Duration
	daemons time.Duration
	foreign float64 // in cores: neither ours nor the kernel's nor idle
}

// until returns what happened from r to a later reading.
//
// The idle time is what the kernel counts exactly, where it only guesses what
// busy time was spent on. Time that the host of a virtual machine took away is
// not idle, and so counts as foreign.
func (r reading) until(later reading) usage {
	u := usage{wall: later.at.Sub(r.at), daemons: later.daemons - r.daemons}
	all := u.wall * time.Duration(later.machine.count)
	idle := later.machine.idle - r.machine.idle
	ours := later.own - r.own + later.kernel - r.kernel
	if u.wall > 0 {
		u.foreign = max(0, (all-idle-ours).Seconds()/u.wall.Seconds())
	}
	return u
}

// An attempt is what one measurement of a step gave.
type attempt struct {
	values  map[string]float64 // by figure
	foreign float64            // load of others meanwhile, in cores
	limited bool               // the generator was the limit
}

// quietest measures until others leave it alone, up to a number of tries, and
// returns the least disturbed attempt and how many there were. An error ends it.
func quietest(limit float64, tries int, measure func() (attempt, error)) (best attempt, made int, err error) {
	for made = 1; ; made++ {
		a, err := measure()
		if err != nil {
			return a, made, err
		}
		if made == 1 || a.foreign < best.foreign {
			best = a
		}
		if best.foreign <= limit || made >= tries {
			return best, made, nil
		}
	}
}
