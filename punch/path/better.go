package path

import (
	"cmp"
	"net/netip"
	"time"
)

// A View is what counts for the choice between paths.
type View struct {
	Addr   netip.AddrPort // of the peer
	Stream bool           // datagrams go over a connection by TCP
	Relay  bool           // datagrams go through somebody who passes them on
	RTT    time.Duration  // of the round trip; 0: not known
}

// A Class is a kind of path. Lower ones are better, whatever the round trip takes.
type Class uint8

// The classes.
const (
	LAN   Class = iota // both ends are in one private network
	WAN                // direct
	TCP                // direct, over a connection: what is lost holds up what follows
	Relay              // through somebody else
)

// String returns the word for a class in the log and in the status.
func (c Class) String() string { return [...]string{"lan", "wan", "tcp", "relay"}[c] }

// Class returns the class of a path. A private address that has answered is in a
// network that both ends are in: whoever else has the same address has not the keys.
func (v View) Class() Class {
	ip := v.Addr.Addr().Unmap()
	switch {
	case v.Relay:
		return Relay
	case v.Stream:
		return TCP
	case ip.IsPrivate(), ip.IsLinkLocalUnicast(), ip.IsLoopback():
		return LAN
	}
	return WAN
}

// unknownRTT stands for a round trip that has not been measured, after all others.
const unknownRTT = time.Duration(1<<63 - 1)

func (v View) rtt() time.Duration {
	if v.RTT <= 0 {
		return unknownRTT
	}
	return v.RTT
}

// Better reports whether a is the better one of two paths that work: that of the better
// class, and of equals that with the shorter round trip, of either family. It is a strict
// weak order, so that the best of many depends on nothing but them. See [Worth] for
// whether one is worth a move.
func Better(a, b View) bool {
	return cmp.Or(cmp.Compare(a.Class(), b.Class()), cmp.Compare(a.rtt(), b.rtt())) < 0
}

// A session moves to a path of the same class if that saves so much of the round trip.
// Measurements differ by less: two paths that are as good as each other must not take
// turns.
const (
	worthTime = 5 * time.Millisecond
	worthPart = 4 // of the round trip: a quarter
)

// Worth reports whether a session is to move from one path that works to another. It is
// never so in both directions.
func Worth(from, to View) bool {
	if from.Class() != to.Class() {
		return to.Class() < from.Class()
	}
	if from.RTT <= 0 || to.RTT <= 0 {
		return false // no class better, and nobody knows
	}
	return from.RTT-to.RTT > max(worthTime, from.RTT/worthPart)
}
