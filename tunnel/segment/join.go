package segment

import (
	"bytes"
	"encoding/binary"
)

// maxJoined is the largest packet that is made, in bytes, its link header included:
// IPv4's limit, and less than what the kernel hands on in one piece.
const maxJoined = 65535

// maxTails is how many packets may follow the first in a large one. The kernel
// takes up to 1024 pieces of memory in one call.
const maxTails = 200

// A Joiner joins packets of one flow that follow each other: TCP segments without
// a gap, UDP datagrams of one size. The packets of a flow stay in order. It keeps
// the packets until Flush, and changes their headers. It is a value to be reused;
// once its slices have their size, it allocates nothing.
type Joiner struct {
	Link Link // of the packets
	UDP  bool // join UDP datagrams, too: the kernel must take them

	runs   []run
	pieces []piece
	tails  [][]byte
	out    []Packet
	recent [recentSlots]int32 // the last run of a flow, by its hash; one more than the index
}

const recentSlots = 256

// A run is a packet and those that are joined to it.
type run struct {
	data    []byte // the first packet, as it came
	head    []byte // the IP packet in it
	link    int    // where that begins
	l       layout
	size    int    // payload of the first packet
	total   int    // bytes of the large packet, link header included
	nextSeq uint32 // of TCP
	first   int32  // index of the first piece; -1: none
	last    int32
	count   int32
	open    bool // more may follow
}

// A piece is the payload of a packet that was joined.
type piece struct {
	data []byte
	next int32
}

// Add takes a packet. It keeps it until Flush.
func (j *Joiner) Add(b []byte) {
	pkt, link, padding := b, 0, true
	if j.Link == Ethernet {
		start, end := inFrame(b)
		pkt, link = b[start:end], start
		padding = end == len(b) || len(b)-start <= minPayload
	}
	l, ok := parse(pkt)
	if !ok || l.proto == protoUDP && !j.UDP {
		j.alone(b)
		return
	}
	intact := padding && l.intact(pkt) // any other trailer must not get lost
	slot := &j.recent[hash(pkt, l)]
	if i := *slot - 1; i >= 0 {
		r := &j.runs[i]
		if r.sameFlow(pkt, l) {
			if intact && r.open && r.sameLink(b[:link]) && r.follows(pkt, l) {
				j.join(r, pkt, l)
				return
			}
			r.open = false // what comes later must not overtake b
		}
	}
	if !intact {
		j.alone(b)
		return
	}
	j.begin(b, pkt, link, l)
	*slot = int32(len(j.runs))
}

// alone adds a packet to which nothing is joined.
func (j *Joiner) alone(b []byte) {
	j.runs = append(j.runs, run{data: b, first: -1})
}

// begin adds a packet to which others may be joined.
func (j *Joiner) begin(b, pkt []byte, link int, l layout) {
	r := run{data: b, head: pkt, link: link, l: l, size: len(pkt) - l.body, total: link + len(pkt), first: -1, open: len(pkt) > l.body}
	if l.proto == protoTCP {
		r.nextSeq = binary.BigEndian.Uint32(pkt[l.l4+tcpSeq:]) + uint32(r.size)
		// Flags that say more than "data": the segment travels alone.
		r.open = r.open && pkt[l.l4+tcpFlags] == flagACK
	}
	j.runs = append(j.runs, r)
}

// hash returns a slot for a packet's flow. The link header is not part of it: what
// differs in nothing else takes turns in one slot, so that a packet whose priority
// has changed is not overtaken by those after it.
func hash(b []byte, l layout) uint8 {
	h := binary.BigEndian.Uint32(b[l.l4:]) // ports
	if l.v6 {
		h ^= binary.BigEndian.Uint32(b[20:]) ^ binary.BigEndian.Uint32(b[36:])
	} else {
		h ^= binary.BigEndian.Uint32(b[12:]) ^ binary.BigEndian.Uint32(b[16:])
	}
	h *= 0x9e3779b1 // golden ratio
	return uint8(h >> 24)
}

// sameFlow reports whether a packet has the addresses, protocol and ports of r.
func (r *run) sameFlow(b []byte, l layout) bool {
	if r.l.l4 != l.l4 || r.l.v6 != l.v6 || r.l.proto != l.proto || r.l.l4 == 0 {
		return false
	}
	from, to := 12, 20
	if l.v6 {
		from, to = 8, 40
	}
	return bytes.Equal(r.head[from:to], b[from:to]) && bytes.Equal(r.head[l.l4:l.l4+4], b[l.l4:l.l4+4])
}

// sameLink reports whether a link header is that of r: addresses, tags, priority.
func (r *run) sameLink(b []byte) bool {
	return r.link == len(b) && (len(b) == 0 || bytes.Equal(r.data[:r.link], b))
}

// follows reports whether a packet of the same flow can be joined to r: the large
// packet, when it is cut again, gives the same packets, but for padding.
func (r *run) follows(b []byte, l layout) bool {
	n := len(b) - l.body
	switch {
	case n == 0, n > r.size, r.total+n > maxJoined, r.count >= maxTails, l.body != r.l.body:
		return false
	}
	h := r.head
	if l.v6 { // traffic class and flow label, next header and hop limit
		if !bytes.Equal(h[:4], b[:4]) || !bytes.Equal(h[6:8], b[6:8]) {
			return false
		}
	} else if h[1] != b[1] || h[6] != b[6] || h[8] != b[8] || // TOS, DF, TTL
		!bytes.Equal(h[ipv4Len:l.l4], b[ipv4Len:l.l4]) { // options
		return false
	}
	if l.proto == protoUDP {
		return true
	}
	t, u := h[l.l4:l.body], b[l.l4:l.body]
	return binary.BigEndian.Uint32(u[tcpSeq:]) == r.nextSeq &&
		bytes.Equal(t[tcpAck:tcpAck+4], u[tcpAck:tcpAck+4]) &&
		u[tcpFlags]&^flagPSH == flagACK &&
		bytes.Equal(t[14:16], u[14:16]) && // window
		bytes.Equal(t[18:], u[18:]) // urgent pointer, options
}

// join adds a packet to r.
func (j *Joiner) join(r *run, b []byte, l layout) {
	payload := b[l.body:]
	i := int32(len(j.pieces))
	j.pieces = append(j.pieces, piece{payload, -1})
	if r.first < 0 {
		r.first = i
	} else {
		j.pieces[r.last].next = i
	}
	r.last = i
	r.count++
	r.total += len(payload)
	r.nextSeq += uint32(len(payload))
	if len(payload) < r.size {
		r.open = false
	}
	if l.proto == protoTCP && b[l.l4+tcpFlags]&flagPSH != 0 {
		r.head[l.l4+tcpFlags] |= flagPSH // cutting leaves it to the last
		r.open = false
	}
}

// Flush returns what has been made of the packets, in order, and forgets them.
// What it returns is valid until the next Add.
func (j *Joiner) Flush() []Packet {
	j.out, j.tails = j.out[:0], j.tails[:0]
	for i := range j.runs { // first all tails: the slice may move while it grows
		for p := j.runs[i].first; p >= 0; p = j.pieces[p].next {
			j.tails = append(j.tails, j.pieces[p].data)
		}
	}
	used := 0
	for i := range j.runs {
		r := &j.runs[i]
		out := Packet{Data: r.data}
		if r.count > 0 {
			out.Tail = j.tails[used : used+int(r.count) : used+int(r.count)]
			used += int(r.count)
			r.finish(&out)
		}
		j.out = append(j.out, out)
		if r.l.l4 != 0 {
			j.recent[hash(r.head, r.l)] = 0
		}
	}
	j.runs, j.pieces = j.runs[:0], j.pieces[:0]
	return j.out
}

// finish makes the head of a large packet of r's.
func (r *run) finish(out *Packet) {
	h, total := r.head, r.total-r.link
	out.Data = r.data[:r.link+len(h)] // no padding between head and tail
	out.GSO.Size = r.size
	switch {
	case r.l.proto == protoUDP:
		out.GSO.Kind = UDP
		binary.BigEndian.PutUint16(h[r.l.l4+udpSize:], uint16(total-r.l.l4))
	case r.l.v6:
		out.GSO.Kind = TCP6
	default:
		out.GSO.Kind = TCP4
	}
	r.l.setLength(h, total)
	out.SumStart, out.SumOffset = r.link+r.l.l4, r.l.sumAt()-r.l.l4
	binary.BigEndian.PutUint16(h[r.l.sumAt():], fold(r.l.pseudo(h, total-r.l.l4)))
}
