package load

import (
	"fmt"
	"strings"
	"time"
)

// A Result is what a fleet has measured.
type Result struct {
	Register   time.Duration // from the first HELLO to the last OK
	HellosLost int           // that were not answered in 2 s

	Serve time.Duration // from then until the last PING was sent
	Pings int
	Lost  int // PINGs that were not answered
	Pong  *Latencies

	Asks    int
	Answer  *Latencies // from ASK to ANS
	Forward *Latencies // from ASK to the other client's FWD

	// Rejects counts answers that say that a client is not there, Reconnects
	// answers that say that the sender is not, and Unexpected what did not fit
	// anything that a client had sent. None should occur.
	Rejects, Reconnects, Unexpected int

	// Late is by how much the fleet was late with a PING at most, and Missed
	// how many datagrams found its own receive buffer full. If these are
	// large, the fleet is what was measured.
	Late   time.Duration
	Missed uint64

	Server Usage // of the server's process, during Serve
}

// Usage is what a server's process has used.
type Usage struct {
	User, System time.Duration // processor time
	RSS          int64         // bytes of memory at the end
	Dropped      uint64        // datagrams that found its receive buffer full
}

// CPU returns the processor time.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Sub returns what was used since an earlier reading.
func (u Usage) Sub(earlier Usage) Usage {
	return Usage{
		User:    u.User - earlier.User,
		System:  u.System - earlier.System,
		RSS:     u.RSS,
		Dropped: u.Dropped - earlier.Dropped,
	}
}

// Cores returns how many processors the server kept busy.
func (r Result) Cores() float64 { return r.Server.CPU().Seconds() / r.Serve.Seconds() }

// Unanswered returns how many of the ANSs and FWDs did not come that the ASKs
// should have led to.
func (r Result) Unanswered() int { return 2*r.Asks - r.Answer.Len() - r.Forward.Len() }

func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "registered in %v (%d HELLOs lost)\n", short(r.Register), r.HellosLost)
	fmt.Fprintf(&b, "%d PINGs in %v, %d lost; PONG after %v\n", r.Pings, short(r.Serve), r.Lost, r.Pong)
	fmt.Fprintf(&b, "%d ASKs, %d answers lost; ANS after %v; FWD after %v\n", r.Asks, r.Unanswered(), r.Answer, r.Forward)
	fmt.Fprintf(&b, "REJ %d, RECONNECT %d, unexpected %d\n", r.Rejects, r.Reconnects, r.Unexpected)
	fmt.Fprintf(&b, "fleet: at most %v late, %d datagrams dropped\n", short(r.Late), r.Missed)
	fmt.Fprintf(&b, "server: %.3f cores (user %.3f, system %.3f), %.1f MB, %d datagrams dropped",
		r.Cores(), r.Server.User.Seconds()/r.Serve.Seconds(), r.Server.System.Seconds()/r.Serve.Seconds(),
		float64(r.Server.RSS)/1e6, r.Server.Dropped)
	return b.String()
}
