package simnet

import (
	"cmp"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// A batch is what was sent in one instant.
type batch struct {
	at     int64
	groups []*group // of bursts whose order counts
	others []*burst
}

// A group is what one goroutine sends in one instant, as far as its order
// counts: bursts that may make mappings in a NAT that takes ports in turn.
type group struct {
	goroutine uint64
	key       uint64 // of the flows and kinds sent, in order
	bursts    []*burst
}

// settledFor is how long after it sent something a flow counts as one that has
// its mappings, so that its place in the order of an instant does not count.
// That saves finding out which goroutine sends.
const settledFor = time.Second

// gather adds one datagram of a flow to the batch of instant now. *g is the
// group of the calling goroutine, once it is known. n.mu must be held.
func (n *Net) gather(now int64, f *flow, src, dst netip.AddrPort, data []byte, ecn uint8, g **group) {
	var ba *batch
	if k := len(n.batches); k > 0 && n.batches[k-1].at == now {
		ba = n.batches[k-1]
	} else {
		ba = &batch{at: now}
		n.batches = append(n.batches, ba)
		n.expect(now + 1)
	}
	b := f.cur
	if b == nil || f.sentAt != now {
		b = n.newBurst(now, f, src, dst)
		if !b.inTurn {
			ba.others = append(ba.others, b)
		}
	}
	kind := b.add(data, ecn)
	if b.inTurn {
		if *g == nil {
			*g = ba.group(goroutine())
		}
		(*g).add(b, kind)
	}
}

// newBurst returns an empty burst, to which f adds what it sends at now.
func (n *Net) newBurst(now int64, f *flow, src, dst netip.AddrPort) *burst {
	h := f.conn.host
	b := &burst{
		at:     now,
		tie:    mix(f.key, f.bursts),
		flow:   f,
		number: f.bursts,
		src:    src,
		dst:    dst,
		host:   h,
		site:   h.site,
		inTurn: (f.bursts == 0 || now-f.sentAt > int64(settledFor)) && h.site.inTurn(),
	}
	f.cur, f.sentAt = b, now
	f.bursts++
	return b
}

// inTurn reports whether a NAT between s and the Internet makes mappings that
// depend on the order in which they are asked for.
func (s *Site) inTurn() bool {
	for ; s != nil; s = s.parent {
		if s.nat != nil && s.nat.cfg.inTurn() {
			return true
		}
	}
	return false
}

// group returns the group of a goroutine.
func (ba *batch) group(id uint64) *group {
	for _, g := range ba.groups {
		if g.goroutine == id {
			return g
		}
	}
	g := &group{goroutine: id, key: start}
	ba.groups = append(ba.groups, g)
	return g
}

// add records that the goroutine of g sent a packet of a kind in b.
func (g *group) add(b *burst, kind Kind) {
	g.key = mix(mix(g.key, b.flow.key), uint64(kind))
	if b.listed != g {
		b.listed = g
		g.bursts = append(g.bursts, b)
	}
}

// order ends the gathering of ba and returns its bursts in the order in which
// they move. It does not
// depend on the order in which they were gathered: two groups with equal keys
// sent the same.
func (ba *batch) order() []*burst {
	out := make([]*burst, 0, len(ba.others)+len(ba.groups))
	slices.SortFunc(ba.groups, func(g, h *group) int { return cmp.Compare(g.key, h.key) })
	for _, g := range ba.groups {
		for _, b := range g.bursts {
			if !b.placed {
				b.placed = true
				out = append(out, b)
			}
		}
	}
	slices.SortFunc(ba.others, func(b, c *burst) int { return cmp.Compare(b.tie, c.tie) })
	out = append(out, ba.others...)
	for _, b := range out {
		if b.flow.cur == b { // and not that of a later instant
			b.flow.cur = nil
		}
	}
	return out
}

// goroutine returns a number that no other goroutine has at the moment. The
// order of these numbers means nothing; they only tell which sends are one
// goroutine's, whose order must be kept. There is no other way to learn that:
// the number stands at the start of a stack trace, "goroutine 18 [running]:".
func goroutine() uint64 {
	const prefix = len("goroutine ")
	var buf [prefix + 20]byte
	b := buf[:runtime.Stack(buf[:], false)]
	end := prefix
	for end < len(b) && b[end] != ' ' {
		end++
	}
	id, err := strconv.ParseUint(string(b[prefix:end]), 10, 64)
	if err != nil {
		panic("simnet: a stack trace of this version of Go does not begin with the goroutine's number: " + string(b))
	}
	return id
}
