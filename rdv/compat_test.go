package rdv

import (
	"testing"
	"time"
	"unsafe"

	"campagnol/rdv/wire"
)

// jump returns t with the wall clock moved, as somebody who sets it does, and the
// monotonic one left as it is. There is no function for that: the first word of a
// time.Time with a monotonic reading has the seconds of the wall clock above 30
// bits of nanoseconds.
func jump(test *testing.T, t time.Time, by time.Duration) time.Time {
	test.Helper()
	j := t
	*(*uint64)(unsafe.Pointer(&j)) += uint64(by/time.Second) << 30
	if j.Unix()-t.Unix() != int64(by/time.Second) || j.Sub(t) != 0 {
		test.Fatalf("%v is not %v after %v on the wall clock alone", j, by, t)
	}
	return j
}

// TestD_R6_ClockChanges: somebody sets the clock of the server's host. For the
// original all clients are then long dead, or immortal.
func TestD_R6_ClockChanges(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		b := newBench(t, 0)
		b.start = time.Now()
		b.run(
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
		)
		b.start = jump(t, b.start, by)
		b.run(
			says(3*sec, epA, ping, wire.Pong),
			step{4 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(9*sec, epA, ping, wire.Pong),
			step{10 * sec, epA, ask(ip2), []Out{reject(epA, ip2)}}, // B was silent for 10 s
			says(10*sec, epB, ping, wire.Reconnect),
		)
	}
}

// TestUnusedFields: what a message has no use for is not looked at.
func TestUnusedFields(t *testing.T) {
	ports := func(m wire.Message) wire.Message {
		m.Port, m.IP2 = 4444, ip9
		return m
	}
	withIP := func(m wire.Message) wire.Message {
		m.IP1 = ip9
		return ports(m)
	}
	newBench(t, 0).run(
		says(0, epA, hello(ip1), wire.OK),
		says(0, epB, hello(ip2), wire.OK),
		step{0, epA, ports(ask(ip2)), introduced(epA, ip1, epB, ip2)},
		says(1*sec, epA, withIP(ping), wire.Pong), // and not as one for ip9
		says(1*sec, epA, ports(closing(ip2)), silence),
		says(1*sec, epA, withIP(bye), silence),
		says(1*sec, epA, ping, wire.Reconnect),
	)
}
