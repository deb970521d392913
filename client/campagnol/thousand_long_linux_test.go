//go:build long

package main

import "time"

// The bounds on a machine that has nothing else to do. Nothing need be lost by watching; one
// datagram of 5,000 is what some other program's moment may cost.
func init() {
	thousand = thousandBounds{
		peers: 1000, rounds: 5, spell: 2 * time.Second, rate: 500e6,
		status: 50 * time.Millisecond, scrape: 100 * time.Millisecond, dip: 0.02, loss: 0.0002,
	}
}
