package program

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/internal/lab/clock"
)

// A Reception is a datagram that a receiver got.
type Reception struct {
	At     clock.Instant // when the kernel had it
	Source netip.Addr
	Group  netip.Addr // where it was sent
	Payload
}

// A Summary says what happened to the datagrams of one sender to one group.
type Summary struct {
	Received    int           // different datagrams
	Duplicates  int           // further copies
	Lost        int           // missing between the first and the last
	Overtaken   int           // came after one that was sent later
	First, Last clock.Instant // of receptions
	Slowest     time.Duration // from the sender to the receiver
	Gaps        []Gap         // in the order of time
}

// A Gap is a time without a datagram.
type Gap struct{ From, To clock.Instant }

// Summarise tells what happened to the datagrams that were received from one
// sender in one group, in the order of reception. A time without a datagram
// counts as a gap if it is longer than gap, but for a time in which none was sent.
func Summarise(all []Reception, gap time.Duration) (s Summary) {
	if len(all) == 0 {
		return s
	}
	s.First, s.Last = all[0].At, all[len(all)-1].At
	seen := make(map[uint64]bool, len(all))
	lowest, highest := all[0].Seq, all[0].Seq
	for i, r := range all {
		if i > 0 && quiet(all[i-1], r) > gap {
			s.Gaps = append(s.Gaps, Gap{all[i-1].At, r.At})
		}
		s.Slowest = max(s.Slowest, r.At.Sub(r.Sent))
		if seen[r.Seq] {
			s.Duplicates++
			continue
		}
		seen[r.Seq] = true
		s.Received++
		if r.Seq < highest {
			s.Overtaken++
		}
		lowest, highest = min(lowest, r.Seq), max(highest, r.Seq)
	}
	s.Lost = int(highest-lowest) + 1 - s.Received
	return s
}

// quiet returns how long the second of two receptions was waited for: from the first one
// on, or from when it was sent, if nothing was sent in between.
func quiet(before, r Reception) time.Duration {
	if r.Seq == before.Seq+1 && r.Sent > before.At {
		return r.At.Sub(r.Sent)
	}
	return r.At.Sub(before.At)
}

// A Flow is what one sender sends to one group.
type Flow struct {
	Run    uint32
	Source netip.Addr
	Group  netip.Addr
}

// Flow returns what the datagram belongs to.
func (r Reception) Flow() Flow { return Flow{r.Run, r.Source, r.Group} }

// ByFlow sorts receptions out.
func ByFlow(all []Reception) map[Flow][]Reception {
	flows := map[Flow][]Reception{}
	for _, r := range all {
		flows[r.Flow()] = append(flows[r.Flow()], r)
	}
	return flows
}

// Between returns the receptions of datagrams that were sent at from or later,
// and before to. The zero to is the end.
func Between(all []Reception, from, to clock.Instant) []Reception {
	return slices.DeleteFunc(slices.Clone(all), func(r Reception) bool {
		return r.Sent < from || to != 0 && r.Sent >= to
	})
}
