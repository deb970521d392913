package rdv

import "time"

// What strangers are answered goes to addresses that may be forged: the server
// could be made to send datagrams to a victim. They are no larger than those
// that cause them, so there is nothing to gain but a false trail; even so, the
// rate to one network is limited.
//
// Legitimate strangers come in numbers when the server restarts. All clients
// that were registered then PING within 3 s, and each needs one RECONNECT.
// 100,000 clients in as many networks stay far below the limit of each. The
// worst case, 65,535 clients behind one public address, takes 15 s. Nobody is
// harmed meanwhile, since sessions do not need the server.
const (
	strangerInterval = 250 * time.Microsecond // 4,000 a second to one network, 160 kB/s with headers
	strangerBurst    = 2 * time.Second        // 8,000 at once
)

// A limiter limits the rate of something per [network]. It is
// a table of fixed size, in which networks with the same hash share a limit. An
// attacker could find such networks, but can spend a client's limit as well by
// forging the client's own address.
type limiter struct {
	interval, burst time.Duration

	// due holds for each network when it would have no credit used at all:
	// the generic cell rate algorithm, which needs one number and no timer.
	due [1 << limiterBits]time.Duration
}

const limiterBits = 12 // 32 KiB

// allow reports whether an answer to e may be sent at now, and counts it if so.
func (l *limiter) allow(now time.Duration, e endpoint) bool {
	return l.allowNetwork(now, uint32(e.ip()>>8))
}

// allowNetwork is allow for a network.
func (l *limiter) allowNetwork(now time.Duration, network uint32) bool {
	due := &l.due[network*0x9E3779B1>>(32-limiterBits)]
	next := max(*due, now) + l.interval
	if next > now+l.burst {
		return false
	}
	*due = next
	return true
}
