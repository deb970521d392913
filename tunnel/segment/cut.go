package segment

import "encoding/binary"

// A Cutter cuts a large packet. It works in the packet's own memory: the header of
// each segment is written over the end of the one before, which has to be used up
// by then. It is a value to be reused; it allocates nothing.
type Cutter struct {
	b       []byte
	l       layout
	size    int // payload of a segment
	next    int // where the payload of the next segment begins
	id      uint16
	seq     uint32
	flags   byte
	header  [maxHeader]byte
	started bool
}

// Begin prepares to cut b, which must be one large packet as g says. The packet's
// checksums need not be right: each segment gets its own.
func (c *Cutter) Begin(b []byte, g GSO) error {
	l, ok := parse(b)
	if !ok || g.Size <= 0 || l.body > maxHeader || !g.fits(l) {
		return ErrMalformed
	}
	*c = Cutter{b: b, l: l, size: g.Size, next: l.body, header: c.header}
	copy(c.header[:l.body], b)
	if !l.v6 {
		c.id = binary.BigEndian.Uint16(b[4:])
	}
	if l.proto == protoTCP {
		c.seq = binary.BigEndian.Uint32(b[l.l4+tcpSeq:])
		c.flags = b[l.l4+tcpFlags]
	}
	return nil
}

// fits reports whether a packet is of the kind that g says.
func (g GSO) fits(l layout) bool {
	switch g.Kind {
	case TCP4:
		return l.proto == protoTCP && !l.v6
	case TCP6:
		return l.proto == protoTCP && l.v6
	case UDP:
		return l.proto == protoUDP
	}
	return false
}

// Count returns how many segments there will be.
func (c *Cutter) Count() int {
	return max(1, (len(c.b)-c.l.body+c.size-1)/c.size)
}

// Next returns the next segment, a whole packet with right checksums, or nil at
// the end. It is valid until the next call.
func (c *Cutter) Next() []byte {
	if c.started && c.next >= len(c.b) {
		return nil
	}
	from := c.next - c.l.body
	to := min(c.next+c.size, len(c.b))
	seg := c.b[from:to:to]
	if c.started {
		copy(seg, c.header[:c.l.body])
	}
	if !c.l.v6 {
		binary.BigEndian.PutUint16(seg[4:], c.id)
		c.id++
	}
	c.l.setLength(seg, len(seg))
	if c.l.proto == protoTCP {
		c.setTCP(seg, to == len(c.b))
	} else {
		binary.BigEndian.PutUint16(seg[c.l.l4+udpSize:], uint16(len(seg)-c.l.l4))
	}
	c.setSum(seg)
	c.next, c.started = to, true
	return seg
}

// setTCP writes what differs from segment to segment: the sequence number, and
// the flags that belong to the first or the last only.
func (c *Cutter) setTCP(seg []byte, last bool) {
	binary.BigEndian.PutUint32(seg[c.l.l4+tcpSeq:], c.seq)
	c.seq += uint32(c.size)
	f := c.flags
	if !last {
		f &^= flagFIN | flagPSH
	}
	if c.started {
		f &^= flagCWR
	}
	seg[c.l.l4+tcpFlags] = f
}

func (c *Cutter) setSum(seg []byte) {
	at := c.l.sumAt()
	binary.BigEndian.PutUint16(seg[at:], 0)
	s := ^fold(sum(seg[c.l.l4:], c.l.pseudo(seg, len(seg)-c.l.l4)))
	if s == 0 && c.l.proto == protoUDP {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(seg[at:], s)
}
