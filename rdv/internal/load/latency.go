package load

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Latencies are durations of which quantiles can be asked. All are kept: a
// million of them is 8 MB.
type Latencies struct {
	samples []time.Duration
	sorted  bool
}

// newLatencies returns a Latencies with room for n.
func newLatencies(n int) *Latencies { return &Latencies{samples: make([]time.Duration, 0, n)} }

func (l *Latencies) add(d time.Duration) {
	l.samples = append(l.samples, d)
	l.sorted = false
}

// Len returns how many there are.
func (l *Latencies) Len() int { return len(l.samples) }

// Quantile returns the smallest duration that is not exceeded by the share q of
// them: 0.5 is the median, 1 the maximum. It returns 0 if there are none.
func (l *Latencies) Quantile(q float64) time.Duration {
	if len(l.samples) == 0 {
		return 0
	}
	if !l.sorted {
		slices.Sort(l.samples)
		l.sorted = true
	}
	// The margin keeps a product that should be whole from being rounded up.
	rank := int(math.Ceil(q*float64(len(l.samples))-1e-6)) - 1
	return l.samples[min(max(rank, 0), len(l.samples)-1)]
}

func (l *Latencies) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v", short(l.Quantile(0.5)), short(l.Quantile(0.99)), short(l.Quantile(1)))
}

// short rounds d to what can be read at a glance.
func short(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}
