package main

import "time"

const (
	// pacerStep is the least time between two bursts of a sender. Shorter ones
	// cost more than they smooth.
	pacerStep = 100 * time.Microsecond

	// pacerDebt is how far a sender that was kept from sending may be behind
	// before it gives up what it owes: a burst of all that would measure the
	// length of a queue, and how the scheduler treats the sender.
	pacerDebt = time.Millisecond
)

// A pacer says when a sender at a fixed rate has to send. It does not know the
// time itself.
type pacer struct {
	rate  float64 // packets per second
	begin time.Time
	sent  int // since begin
}

// due returns how many packets are to be sent now, at most limit.
func (p *pacer) due(now time.Time, limit int) int {
	owed := int(p.rate*now.Sub(p.begin).Seconds()) - p.sent
	if most := max(int(p.rate*pacerDebt.Seconds()), 1); owed > most {
		p.sent += owed - most // forgiven
		owed = most
	}
	return min(owed, limit)
}

// next returns when the next packet is due, and not before a step from now.
func (p *pacer) next(now time.Time) time.Time {
	at := p.begin.Add(time.Duration(float64(p.sent+1) / p.rate * float64(time.Second)))
	if soon := now.Add(pacerStep); at.Before(soon) {
		return soon
	}
	return at
}
