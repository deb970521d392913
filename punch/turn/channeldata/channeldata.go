// Package channeldata reads and writes ChannelData messages of TURN (RFC 8656 section
// 12.4): two bytes of channel number, two of length, the data, and over streams padding
// to four bytes. It is shared by the client (punch/turn) and the server (rdv/relay), both
// of which carry many of them at a time, segments of one size as the kernel's
// segmentation offload has them.
package channeldata

import "encoding/binary"

// Head is the size of a header, in bytes.
const Head = 4

// The numbers that a channel may have (section 12). Those from 0x5000 on are of RFC 5766,
// which some clients still follow; nobody should choose one above Last.
const (
	First = 0x4000
	Last  = 0x4FFF

	lastOfOld = 0x7FFF
)

// Is reports whether b begins as ChannelData does, and neither as STUN nor as DTLS does.
func Is(b []byte) bool { return len(b) > 0 && b[0]>>6 == First>>14 }

// Parse reads a header. Behind it are n bytes of data, all of them in b, and maybe
// padding.
func Parse(b []byte) (number uint16, n int, ok bool) {
	if len(b) < Head {
		return 0, 0, false
	}
	number, n = binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	return number, n, number >= First && number <= lastOfOld && Head+n <= len(b)
}

// Put writes a header.
func Put(b []byte, number uint16, n int) {
	binary.BigEndian.PutUint16(b, number)
	binary.BigEndian.PutUint16(b[2:], uint16(n))
}

// A Run is ChannelData of one channel, in segments of equal size with as much data in
// each, but the last, which may be shorter.
type Run struct {
	Data    []byte // with headers
	Segment int    // bytes of a segment, with its header
	Size    int    // of the data in one
	Last    int    // of that in the last one
	Count   int
}

// RunOf returns the longest run at the beginning of b, which is cut into segments of
// seg bytes. The first has n bytes of data for a channel, as Parse says.
func RunOf(b []byte, seg int, number uint16, n int) Run {
	r := Run{Segment: seg, Size: n, Last: n, Count: 1}
	end := min(seg, len(b))
	for end < len(b) && r.Last == n && n > 0 {
		next := b[end:min(end+seg, len(b))]
		m, size, ok := Parse(next)
		if !ok || m != number || size > n || size == 0 {
			break
		}
		r.Last = size
		r.Count++
		end += len(next)
	}
	r.Data = b[:end]
	return r
}

// Bytes returns how much data the run has.
func (r *Run) Bytes() int { return (r.Count-1)*r.Size + r.Last }

// Keep leaves out all but the first n segments, at least one.
func (r *Run) Keep(n int) {
	if n < r.Count {
		r.Data, r.Count, r.Last = r.Data[:n*r.Segment], n, r.Size
	}
}

// Strip moves the data together, without headers and padding, and returns it. What is
// appended to it overwrites nothing.
func (r *Run) Strip() []byte {
	out := r.Data[Head:]
	for i := 1; i < r.Count; i++ {
		from := i*r.Segment + Head
		copy(out[i*r.Size:], r.Data[from:min(from+r.Size, len(r.Data))])
	}
	n := r.Bytes()
	return out[:n:n]
}

// Readdress writes another channel into all headers, and cuts the padding at the end.
func (r *Run) Readdress(number uint16) []byte {
	for i := range r.Count {
		n := r.Size
		if i == r.Count-1 {
			n = r.Last
		}
		Put(r.Data[i*r.Segment:], number, n)
	}
	return r.Data[:(r.Count-1)*r.Segment+Head+r.Last]
}
