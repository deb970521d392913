package segment

import "encoding/binary"

// A Cutter cuts a large packet. It works in the packet's own memory: the header of
// each segment is written over the end of the one before, which has to be used up
// by then. It is a value to be reused; it allocates nothing.
type Cutter struct {
	Link Link // of the packets

	b       []byte
	l       layout
	link    int // length of the link header
	head    int // and of all headers
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
	start, end := 0, len(b)
	if c.Link == Ethernet {
		start, end = inFrame(b)
	}
	pkt := b[start:]
	l, ok := parse(pkt)
	head := start + l.body
	if !ok || end != len(b) || g.Size <= 0 || head > maxHeader || !g.fits(l) {
		return ErrMalformed
	}
	*c = Cutter{Link: c.Link, b: b, l: l, link: start, head: head, size: g.Size, next: head, header: c.header}
	copy(c.header[:head], b)
	if !l.v6 {
		c.id = binary.BigEndian.Uint16(pkt[4:])
	}
	if l.proto == protoTCP {
		c.seq = binary.BigEndian.Uint32(pkt[l.l4+tcpSeq:])
		c.flags = pkt[l.l4+tcpFlags]
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
	return max(1, (len(c.b)-c.head+c.size-1)/c.size)
}

// Next returns the next segment, a whole packet with right checksums, or nil at
// the end. It is valid until the next call.
func (c *Cutter) Next() []byte {
	if c.started && c.next >= len(c.b) {
		return nil
	}
	from := c.next - c.head
	to := min(c.next+c.size, len(c.b))
	seg := c.b[from:to:to]
	if c.started {
		copy(seg, c.header[:c.head])
	}
	pkt := seg[c.link:]
	if !c.l.v6 {
		binary.BigEndian.PutUint16(pkt[4:], c.id)
		c.id++
	}
	c.l.setLength(pkt, len(pkt))
	if c.l.proto == protoTCP {
		c.setTCP(pkt, to == len(c.b))
	} else {
		binary.BigEndian.PutUint16(pkt[c.l.l4+udpSize:], uint16(len(pkt)-c.l.l4))
	}
	c.setSum(pkt)
	c.next, c.started = to, true
	return seg
}

// setTCP writes what differs from segment to segment: the sequence number, and
// the flags that belong to the first or the last only.
func (c *Cutter) setTCP(pkt []byte, last bool) {
	binary.BigEndian.PutUint32(pkt[c.l.l4+tcpSeq:], c.seq)
	c.seq += uint32(c.size)
	f := c.flags
	if !last {
		f &^= flagFIN | flagPSH
	}
	if c.started {
		f &^= flagCWR
	}
	pkt[c.l.l4+tcpFlags] = f
}

func (c *Cutter) setSum(pkt []byte) {
	at := c.l.sumAt()
	binary.BigEndian.PutUint16(pkt[at:], 0)
	s := ^fold(sum(pkt[c.l.l4:], c.l.pseudo(pkt, len(pkt)-c.l.l4)))
	if s == 0 && c.l.proto == protoUDP {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(pkt[at:], s)
}
