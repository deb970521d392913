package l2

import (
	"encoding/binary"
	"errors"
	"time"
)

// Frames that do not fit the path as a whole are cut into fragments, if both ends
// want that. A fragment is:
//
//	+--------+--------+--------+--------+--------+--------+--------+--------+------
//	|  number of the frame (32 bits)    | index  | count  | length of frame | part
//	+--------+--------+--------+--------+--------+--------+--------+--------+------
//
// Of a frame of length bytes in count parts, each has length/count bytes, rounded up,
// but the last, which has the rest: index and count say where a part lies, so that
// parts neither overlap nor leave gaps. Numbers count up and wrap.
const (
	FragmentHeaderLen = 8
	maxFragments      = 64
	maxFragmented     = 0xffff // bytes of a frame
)

// Why a frame or a fragment is refused.
var (
	ErrFragment = errors.New("l2: not a fragment of a frame")
	ErrTooLarge = errors.New("l2: frame too large for fragments")
)

// A Splitter cuts frames into fragments for one peer. It is not safe for concurrent
// use.
type Splitter struct {
	number uint32
	frame  []byte
	part   int // bytes of each but the last
	index  int
	count  int
}

// Begin takes a frame, which it borrows until Next has returned all fragments, each
// of at most limit bytes.
func (s *Splitter) Begin(frame []byte, limit int) error {
	s.count = 0
	room := limit - FragmentHeaderLen
	if room <= 0 || len(frame) == 0 || len(frame) > maxFragmented {
		return ErrTooLarge
	}
	count := (len(frame) + room - 1) / room
	if count > maxFragments {
		return ErrTooLarge
	}
	s.part = (len(frame) + count - 1) / count
	// As many as there is something for: of 5 bytes in 4 parts, each has 2.
	s.count = (len(frame) + s.part - 1) / s.part
	s.frame, s.index = frame, 0
	s.number++
	return nil
}

// Next appends the next fragment to b, and reports false when there is none.
func (s *Splitter) Next(b []byte) ([]byte, bool) {
	if s.index >= s.count {
		s.frame = nil
		return b, false
	}
	b = binary.BigEndian.AppendUint32(b, s.number)
	b = append(b, byte(s.index), byte(s.count))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.frame)))
	from := s.index * s.part
	b = append(b, s.frame[from:min(from+s.part, len(s.frame))]...)
	s.index++
	return b, true
}

// Bounds on what is kept of a peer's frames until they are whole. A path delays some
// packets more than others by milliseconds, not by seconds.
const (
	maxPartial     = 8
	reassemblyTime = Stamp(time.Second)
)

// An Assembler puts the fragments from one peer together again. It keeps a bounded
// number of frames that are not whole, for a bounded time: the oldest makes room. It
// is not safe for concurrent use.
type Assembler struct {
	max     int // bytes of a frame
	partial [maxPartial]partial
	lost    uint64
}

// A partial is a frame of which some fragments have come.
type partial struct {
	number uint32
	count  uint8 // of fragments; 0: this one is free
	length uint16
	have   uint64 // one bit for each fragment
	since  Stamp
	buf    []byte // kept for the next
}

// NewAssembler returns an Assembler for frames of at most max bytes. It has up to
// eight times as much memory.
func NewAssembler(max int) *Assembler { return &Assembler{max: min(max, maxFragmented)} }

// Lost returns how many frames were given up, since not all of them came in time.
func (a *Assembler) Lost() uint64 { return a.lost }

// Add takes a fragment, which it does not keep. It returns the frame if it is whole
// now; the frame is valid until the next Add.
func (a *Assembler) Add(at Stamp, b []byte) (frame []byte, err error) {
	if len(b) <= FragmentHeaderLen {
		return nil, ErrFragment
	}
	number := binary.BigEndian.Uint32(b)
	index, count := int(b[4]), int(b[5])
	length := int(binary.BigEndian.Uint16(b[6:]))
	b = b[FragmentHeaderLen:]
	from, n := place(index, count, length)
	if n != len(b) || length > a.max {
		return nil, ErrFragment
	}
	p := a.find(at, number)
	if p.count == 0 {
		p.number, p.count, p.length, p.have, p.since = number, uint8(count), uint16(length), 0, at
		if cap(p.buf) < length {
			p.buf = make([]byte, length)
		}
	}
	if int(p.count) != count || int(p.length) != length {
		return nil, ErrFragment
	}
	copy(p.buf[from:length], b)
	p.have |= 1 << index
	if p.have != ^uint64(0)>>(64-count) {
		return nil, nil
	}
	p.count = 0
	return p.buf[:length], nil
}

// place returns where a part lies in its frame, and how many bytes it has; 0 if
// there is no such part.
func place(index, count, length int) (from, n int) {
	if count == 0 || count > maxFragments || index >= count || length == 0 {
		return 0, 0
	}
	part := (length + count - 1) / count
	from = index * part
	if index < count-1 {
		n = part
	} else {
		n = length - from
	}
	if n <= 0 || from+n > length {
		return 0, 0
	}
	return from, n
}

// find returns the place of a frame: its own, a free one, or that of the oldest.
func (a *Assembler) find(at Stamp, number uint32) *partial {
	var best *partial
	for i := range a.partial {
		p := &a.partial[i]
		if p.count != 0 && at-p.since > reassemblyTime {
			p.count = 0
			a.lost++
		}
		if p.count != 0 && p.number == number {
			return p
		}
		if best == nil || best.count != 0 && (p.count == 0 || p.since < best.since) {
			best = p
		}
	}
	if best.count != 0 {
		best.count = 0
		a.lost++
	}
	return best
}
