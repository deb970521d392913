package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// PingOptions say how [Node.Ping] sends. The zero value of a field takes its
// default.
type PingOptions struct {
	Count    int           // echo requests; default 10
	Interval time.Duration // between two of them; default 25 ms
	Patience time.Duration // for answers after the last one; default 2 s
	Size     int           // payload, in bytes; default 56
}

// withDefaults returns o with zero fields replaced.
func (o PingOptions) withDefaults() PingOptions {
	if o.Count == 0 {
		o.Count = 10
	}
	if o.Interval == 0 {
		o.Interval = 25 * time.Millisecond
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	if o.Size == 0 {
		o.Size = 56
	}
	return o
}

// Lost stands for the round-trip time of an echo request without answer.
const Lost time.Duration = -1

// A PingResult is what became of a series of echo requests.
type PingResult struct {
	To         netip.Addr
	Start      time.Time       // when the first one was sent
	Answer     time.Time       // when the first answer to any of them came; zero if none did
	RTT        []time.Duration // by sequence number; Lost if there was no answer
	Duplicates int             // answers beyond the first to the same request
}

// Received returns how many requests were answered.
func (r PingResult) Received() int { return len(r.answered()) }

// First returns the round-trip time of the first request, which includes all
// that had to be set up for it, or Lost.
func (r PingResult) First() time.Duration {
	if len(r.RTT) == 0 {
		return Lost
	}
	return r.RTT[0]
}

// Reply returns how long it took from the first request to the first answer, to
// whichever request: a network may lose what comes while it finds a way. It
// returns Lost if there is none.
func (r PingResult) Reply() time.Duration {
	if r.Answer.IsZero() {
		return Lost
	}
	return r.Answer.Sub(r.Start)
}

// Median returns the median of the round-trip times, or Lost if there is none.
func (r PingResult) Median() time.Duration {
	rtts := r.answered()
	if len(rtts) == 0 {
		return Lost
	}
	slices.Sort(rtts)
	return rtts[len(rtts)/2]
}

// Gap returns the longest time for which nothing was answered, given the time between
// two requests. It returns Lost if nothing was answered in the end.
func (r PingResult) Gap(interval time.Duration) time.Duration {
	if len(r.RTT) == 0 || r.RTT[len(r.RTT)-1] == Lost {
		return Lost
	}
	longest, run := 0, 0
	for _, d := range r.RTT {
		if run++; d != Lost {
			run = 0
		}
		longest = max(longest, run)
	}
	return time.Duration(longest) * interval
}

// answered returns the round-trip times of answered requests.
func (r PingResult) answered() []time.Duration {
	return slices.DeleteFunc(slices.Clone(r.RTT), func(d time.Duration) bool { return d == Lost })
}

// String gives the figures that ping(8) does.
func (r PingResult) String() string {
	n := r.Received()
	s := fmt.Sprintf("%d of %d answered", n, len(r.RTT))
	if n > 0 {
		s += fmt.Sprintf(", first %v, median %v, slowest %v",
			shortText(r.First()), short(r.Median()), short(slices.Max(r.RTT)))
	}
	if r.Duplicates > 0 {
		s += fmt.Sprintf(", %d duplicates", r.Duplicates)
	}
	return s
}

// A Delivery is what became of a broadcast at one receiver.
type Delivery struct {
	Node   string
	After  time.Duration  // from sending to receiving, or Lost
	Source netip.AddrPort // whom the receiver takes for the sender
	Copies int            // how often it came
}

// BulkOptions say what [Bulk] sends.
type BulkOptions struct {
	Size int64 // bytes

	// NoChecksum saves the processor time of hashing, where the rate alone is
	// of interest. The length is checked in any case.
	NoChecksum bool
}

// A BulkResult is a transfer that was received as it was sent.
type BulkResult struct {
	Bytes  int64
	Took   time.Duration // from the first byte sent to the end received
	SHA256 string        // of what was received, in hexadecimal; empty without checksum
}

// Rate returns the rate in bits per second.
func (r BulkResult) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Bytes) * 8 / r.Took.Seconds()
}

// short rounds a duration to three digits or so, for people.
func short(d time.Duration) time.Duration {
	if d < 0 {
		return d
	}
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// shortText is short for round-trip times, which may be Lost.
func shortText(d time.Duration) string {
	if d == Lost {
		return "lost"
	}
	return short(d).String()
}

// FormatBytes writes a number of bytes for people: 104.9 MB.
func FormatBytes(n uint64) string { return scaled(float64(n), "B") }

// FormatRate writes a rate in bits per second for people: 1.3 Gbit/s.
func FormatRate(bits float64) string { return scaled(bits, "bit/s") }

// scaled writes v with a decimal prefix.
func scaled(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T"}
	i := 0
	for v >= 999.95 && i < len(prefixes)-1 {
		v /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.1f %s%s", v, prefixes[i], unit)
}
