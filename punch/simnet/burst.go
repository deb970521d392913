package simnet

import (
	"cmp"
	"net/netip"
	"slices"
)

// A packet is one datagram on its way.
type packet struct {
	data []byte
	ecn  uint8
	kind Kind
	nth  uint16 // which of its kind it is in its burst
	copy uint64 // 0, or a number for this copy that a link made
}

// lot is what distinguishes p from the other packets of its burst when luck is
// drawn. Packets of one kind may change places without changing the outcome.
func (p packet) lot() uint64 {
	return p.copy ^ (uint64(p.kind)<<16 | uint64(p.nth))
}

// A flow is what one socket sends from one address to another.
type flow struct {
	key  uint64
	conn *Conn

	bursts uint64 // how many there were; numbers them
	sentAt int64  // instant of the latest burst
	cur    *burst // the latest burst, until it moves
	mtu    int    // largest IP packet that gets through, as far as the sender was told; 0: not told

	// last holds, for each link with a delay along the way, when the latest
	// burst leaves it: later bursts do not overtake it.
	last []int64
}

// A stage says what happens to a burst next.
type stage uint8

const (
	atSource stage = iota // leaves its host
	inSite                // is to be routed at site
	toHost                // crosses the link of host
	atHost                // goes to a socket of host
	toGate                // crosses the link of gate, from outside
	atGate                // goes through gate, inwards
)

// A burst is the packets that one flow sent in one instant. They travel
// together, except for those that a link holds back.
type burst struct {
	at  int64  // when it moves on
	tie uint64 // order among bursts with the same at

	flow     *flow
	number   uint64 // in its flow
	packets  []packet
	one      [1]packet // room for the usual case
	counts   *[kinds]uint16
	src, dst netip.AddrPort // change as it crosses NATs

	stage stage
	site  *Site // where it is
	host  *Host // where it starts, then where it ends
	gate  *Site // of which it crosses the gate inwards

	down   bool   // has been at the top of its way
	loose  bool   // may overtake and be overtaken
	hop    uint8  // delaying links crossed
	inTurn bool   // its order among others of its goroutine counts
	placed bool   // has its place in the order of its batch
	listed *group // the latest that lists it
}

// add appends a packet to b, which is still being gathered.
func (b *burst) add(data []byte, ecn uint8) Kind {
	p := packet{data: data, ecn: ecn, kind: KindOf(data)}
	if len(b.packets) == 0 {
		b.one[0] = p
		b.packets = b.one[:]
		return p.kind
	}
	if b.counts == nil {
		b.counts = new([kinds]uint16)
		b.counts[b.packets[0].kind]++
	}
	p.nth = b.counts[p.kind]
	b.counts[p.kind]++
	b.packets = append(b.packets, p)
	return p.kind
}

// alone returns a burst that takes p on from where b is, apart from b.
func (b *burst) alone(p packet) *burst {
	c := *b
	c.one[0] = p
	c.packets = c.one[:]
	c.loose = true
	c.tie = mix(mix(b.tie, p.lot()), uint64(b.hop))
	return &c
}

// cut shortens b to room packets and returns the others. Which ones stay is
// decided by kind and number, not by the order in the burst, which may be that
// of a race.
func (b *burst) cut(room int) (rest []packet) {
	room = max(room, 0)
	if len(b.packets) <= room {
		return nil
	}
	ranked := slices.Clone(b.packets)
	slices.SortFunc(ranked, func(p, q packet) int { return cmp.Compare(p.lot(), q.lot()) })
	keep := make(map[uint64]bool, room)
	for _, p := range ranked[:room] {
		keep[p.lot()] = true
	}
	b.packets = slices.DeleteFunc(b.packets, func(p packet) bool {
		if keep[p.lot()] {
			return false
		}
		rest = append(rest, p)
		return true
	})
	return rest
}

// before reports whether b moves on before c.
func (b *burst) before(c *burst) bool {
	if b.at != c.at {
		return b.at < c.at
	}
	return b.tie < c.tie
}

// A queue is a heap of bursts; the first is the next to move.
type queue []*burst

func (q *queue) push(b *burst) {
	s := append(*q, b)
	*q = s
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !b.before(s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = b
}

// pop removes and returns the first burst of q, which is not empty.
func (q *queue) pop() *burst {
	s := *q
	first, b := s[0], s[len(s)-1]
	s[len(s)-1] = nil
	s = s[:len(s)-1]
	*q = s
	i := 0
	for {
		kid := 2*i + 1
		if kid >= len(s) {
			break
		}
		if kid+1 < len(s) && s[kid+1].before(s[kid]) {
			kid++
		}
		if !s[kid].before(b) {
			break
		}
		s[i] = s[kid]
		i = kid
	}
	if len(s) > 0 {
		s[i] = b
	}
	return first
}
