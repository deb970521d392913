//go:build long

package main

import "time"

// The bounds on a machine that has nothing else to do. What is lost by watching is less
// than one datagram of a thousand: a client on two processors that answers with both of
// them, at the same moment, reads its interface some milliseconds later, whose queue has
// room for 11 ms of these.
func init() {
	thousand = thousandBounds{
		peers: 1000, rounds: 5, spell: 2 * time.Second, rate: 500e6,
		status: 50 * time.Millisecond, scrape: 100 * time.Millisecond, dip: 0.02, loss: 0.001,
	}
}
