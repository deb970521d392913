package program

import (
	"fmt"
	"time"

	"campagnol/internal/lab/clock"
)

// Sent is what a sender has sent.
type Sent struct {
	Run         uint32
	Count       uint64        // datagrams to each of the groups
	Failed      uint64        // of which the kernel refused so many, all groups together
	First, Last clock.Instant // zero before the first
}

// A Tally says what became of all that one sender has sent to one destination.
type Tally struct {
	Sent       int // datagrams
	Received   int // different ones
	Lost       int
	Duplicated int           // further copies
	Overtaken  int           // came after one that was sent later
	Furthest   int           // by how many places at most a datagram was overtaken
	Gap        time.Duration // the longest time in which nothing came, from the first to the last
	Slowest    time.Duration // from the sender to the receiver
}

// NewTally compares what was sent to one destination with what came of it, in the order
// of reception. What others have sent does not count.
func NewTally(sent Sent, all []Reception) Tally {
	t := Tally{Sent: int(sent.Count)}
	seen := make([]bool, sent.Count)
	highest, last := uint64(0), Reception{}
	for _, r := range all {
		if r.Run != sent.Run || r.Seq >= sent.Count {
			continue
		}
		if last.At != 0 {
			t.Gap = max(t.Gap, r.At.Sub(last.At))
		}
		last = r
		if seen[r.Seq] {
			t.Duplicated++
			continue
		}
		seen[r.Seq] = true
		t.Received++
		t.Slowest = max(t.Slowest, r.At.Sub(r.Sent))
		if r.Seq < highest {
			t.Overtaken++
			t.Furthest = max(t.Furthest, int(highest-r.Seq))
		}
		highest = max(highest, r.Seq)
	}
	t.Lost = t.Sent - t.Received
	return t
}

// String gives the figures in a line.
func (t Tally) String() string {
	return fmt.Sprintf("%d sent, %d lost, %d duplicated, %d overtaken (by %d at most), longest gap %v, slowest %v",
		t.Sent, t.Lost, t.Duplicated, t.Overtaken, t.Furthest, t.Gap.Round(time.Millisecond/10), t.Slowest.Round(time.Millisecond/10))
}
