package simnet

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// A Verdict is what happened to a packet at one place of its way.
type Verdict uint8

// The verdicts. A packet is Sent once; then it may be Translated several times,
// and all the others end its way.
const (
	Sent        Verdict = iota
	Translated          // by a NAT; the addresses are those behind it
	Delivered           // to a socket
	Dropped             // by the function of Net.Drop
	Lost                // by a link, by chance
	Down                // a link is down
	Blocked             // by a gate that lets no UDP pass
	TooBig              // for the MTU of a link
	Congested           // the queue before a link with a rate is full
	NoMapping           // a NAT has no mapping for the port that it was sent to
	Refused             // by the filter of a NAT or a firewall
	TableFull           // a NAT cannot make another mapping
	NoHairpin           // a NAT does not send packets back to where they come from
	Unreachable         // no host has the address
	NoSocket            // the host has no socket at the port
	Overflow            // the queue of the socket is full
	verdicts
)

var verdictNames = [verdicts]string{
	"sent", "translated", "delivered", "dropped", "lost", "link down", "blocked",
	"too big", "congested", "no mapping", "refused", "table full", "no hairpin",
	"unreachable", "no socket", "overflow",
}

// String returns the verdict in words.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// An event is a line of the dump.
type event struct {
	at       int64
	src, dst netip.AddrPort
	place    string
	kind     Kind
	verdict  Verdict
}

// A trace is a running hash over all events, and the latest of them in full.
type trace struct {
	sum    uint64
	turn   uint64 // sum over the events of this turn, so that their order does not count
	events int
	counts [verdicts]int

	keep int
	log  []event // a ring, once it has keep entries: the oldest is at events % keep
}

// add appends an event at a place that has the given key.
func (t *trace) add(e event, key uint64) {
	h := mixEndpoint(mixEndpoint(mix(mix(start, uint64(e.at)), key), e.src), e.dst)
	t.turn += mix(h, uint64(e.kind)<<8|uint64(e.verdict))
	if len(t.log) < t.keep {
		t.log = append(t.log, e)
	} else if t.keep > 0 {
		t.log[t.events%t.keep] = e
	}
	t.events++
	t.counts[e.verdict]++
}

// fold ends a turn: what comes now, comes after it.
func (t *trace) fold() {
	if t.turn != 0 {
		t.sum = mix(t.sum, t.turn)
		t.turn = 0
	}
}

// note records what happened to p. n.mu must be held; it is given up while
// the function of the test runs.
func (n *Net) note(now int64, b *burst, p *packet, v Verdict) {
	n.trace.add(event{at: now, src: b.src, dst: b.dst, place: b.site.name, kind: p.kind, verdict: v}, b.site.key)
	if f := n.observe; f != nil {
		seen := n.packet(now, b, p)
		n.mu.Unlock()
		defer n.mu.Lock()
		f(seen, v)
	}
}

// noteAll records that v happened to all packets of b.
func (n *Net) noteAll(now int64, b *burst, v Verdict) {
	for i := range b.packets {
		n.note(now, b, &b.packets[i], v)
	}
}

// end records that v ended the way of b. It returns false, for steps to
// return.
func (n *Net) end(now int64, b *burst, v Verdict) bool {
	n.noteAll(now, b, v)
	return false
}

// Trace returns a hash over every event so far, and how many there were. An
// event is (time, from, to, kind, verdict): neither the length nor any other
// content of a datagram. Two runs with the same trace were the same, as far as
// the network can tell.
//
// What was sent in the present instant is not in it yet. In a bubble, call
// synctest.Wait first, so that nothing is on the way there.
func (n *Net) Trace() (sum uint64, events int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trace.sum, n.trace.events
}

// Count returns how often v happened so far.
func (n *Net) Count(v Verdict) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trace.counts[v]
}

// Dump writes the latest events as text, one a line, for a person who looks
// for the reason of a failed test:
//
//	if t.Failed() {
//		n.Dump(t.Output())
//	}
//
// A line has the time since the start, what happened, to what kind of
// datagram, its addresses (behind the NAT, if one translated it), and the site
// where it happened, named after its public address.
func (n *Net) Dump(w io.Writer) error {
	n.mu.Lock()
	t := n.trace
	log := make([]event, 0, len(t.log))
	if len(t.log) == t.keep && t.keep > 0 {
		oldest := t.events % t.keep
		log = append(log, t.log[oldest:]...)
		log = append(log, t.log[:oldest]...)
	} else {
		log = append(log, t.log...)
	}
	n.mu.Unlock()

	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "simnet: seed %d, %d events, trace %016x\n", n.seed, t.events, t.sum)
	if hidden := t.events - len(log); hidden > 0 {
		fmt.Fprintf(out, "the first %d events were not kept\n", hidden)
	}
	for _, e := range log {
		fmt.Fprintf(out, "%14.9fs  %-11s  %-16s  %v > %v  at %s\n",
			time.Duration(e.at).Seconds(), e.verdict, e.kind, e.src, e.dst, e.place)
	}
	return out.Flush()
}
