package record

import (
	"encoding/binary"
	"sync/atomic"
)

// A Sealer protects the outbound records of one epoch. It is the only source of
// that epoch's sequence numbers. It is safe for concurrent use.
type Sealer struct {
	protection
	next atomic.Uint64 // sequence number
	id   []byte        // the peer's; empty: none
}

// NewSealer returns a Sealer that numbers its records from first on. The key
// must never have protected a record with that number or a higher one.
func NewSealer(s Suite, key, iv []byte, epoch uint16, first uint64) (*Sealer, error) {
	p, err := newProtection(s, key, iv, epoch)
	if err != nil {
		return nil, err
	}
	sl := &Sealer{protection: p}
	sl.next.Store(first)
	return sl, nil
}

// Overhead returns by how many bytes a record is longer than its payload.
func (s *Sealer) Overhead() int {
	n := HeaderLen + s.explicit + tagLen
	if len(s.id) > 0 {
		n += len(s.id) + typeLen
	}
	return n
}

// Sealed returns how many records could have been sealed so far: the next
// sequence number.
func (s *Sealer) Sealed() uint64 { return min(s.next.Load(), maxSeq+1) }

// reserve returns n consecutive sequence numbers, of which it returns the
// first.
func (s *Sealer) reserve(n uint64) (first uint64, ok bool) {
	// The counter stops moving once it is past the end, so that it cannot
	// come round whatever the number of calls.
	if s.next.Load() > maxSeq {
		return 0, false
	}
	first = s.next.Add(n) - n
	return first, first+n-1 <= maxSeq
}

// Seal appends to dst a record of the given type and payload, and returns the
// extended slice. The free space of dst may be the payload's own place only if
// the payload starts exactly where it will stand in the record (the cipher
// works in place then); else they must not overlap. With a connection ID the byte
// behind the payload, too, is written to in dst.
//
// It fails with ErrSpent at the end of the sequence numbers and ErrTooLong for
// a payload over MaxPayload; dst is then returned as it was.
func (s *Sealer) Seal(dst, payload []byte, typ ContentType, tmp *Scratch) ([]byte, error) {
	if len(payload) > MaxPayload {
		return dst, ErrTooLong
	}
	seq, ok := s.reserve(1)
	if !ok {
		return dst, ErrSpent
	}
	h := Header{Type: typ, Version: Version12, Epoch: s.epoch, Seq: seq, Length: len(payload)}
	if len(s.id) > 0 {
		return s.sealID(dst, payload, h, tmp), nil
	}
	s.fill(tmp, h)

	n := len(dst)
	need := n + HeaderLen + s.explicit
	if cap(dst) < need {
		dst = append(dst, make([]byte, HeaderLen+s.explicit)...)
	}
	dst = dst[:need]
	h.Length += s.explicit + tagLen
	h.put(dst[n:])
	copy(dst[n+HeaderLen:], tmp.nonce[len(tmp.nonce)-s.explicit:])
	return s.aead.Seal(dst, tmp.nonce[:], payload, tmp.aad[:plainAAD]), nil
}

// fill sets the nonce and the additional data of a record with header h, whose
// Length is that of the plaintext.
func (p *protection) fill(tmp *Scratch, h Header) {
	p.number(tmp, h)
	binary.BigEndian.PutUint64(tmp.aad[0:], h.epochSeq())
	tmp.aad[8] = byte(h.Type)
	binary.BigEndian.PutUint16(tmp.aad[9:], h.Version)
	binary.BigEndian.PutUint16(tmp.aad[11:], uint16(h.Length))
}

// number sets the nonce.
func (p *protection) number(tmp *Scratch, h Header) {
	es := h.epochSeq()
	tmp.nonce = p.iv
	if p.explicit == 0 { // RFC 7905 section 2: the number is XORed into the IV
		es ^= binary.BigEndian.Uint64(tmp.nonce[4:])
	} // else RFC 5288 section 3: salt, then the number in clear
	binary.BigEndian.PutUint64(tmp.nonce[4:], es)
}
