package record

import (
	"encoding/binary"
	"fmt"
)

// Connection IDs (RFC 9146). Each end chooses one for what it receives. A record with
// an ID has content type WithID, and
//
//	offset  size  field
//	0       1     25
//	1       2     version
//	3       8     epoch and sequence number
//	11      n     the receiver's ID, n being known to it
//	11+n    2     length of what follows
//	13+n    -     explicit part of the nonce, if the suite has one, and the content,
//	              its type (1 byte) and zeros, sealed
//
// The receiver finds by the ID whose keys open the record, wherever it comes from.
const (
	// IDLen is the length of the IDs that we choose, in bytes. All have the same, or
	// a record could not be told from what follows it (RFC 9146 section 3).
	//
	// It is a cost of every packet: with four bytes, and one for the type, a packet of
	// 1,419 bytes (the default tun_mtu, which is the original's) still makes 1,489
	// over IPv4, and 1,492 are what a line with PPPoE carries. An ID has to be
	// unique among those of one client, and need not be hard to guess: a guess that
	// is right leads to keys which do not open the record.
	IDLen = 4

	// MaxIDLen is the length of the longest ID of a peer's that is accepted, in bytes.
	MaxIDLen = 20

	idAt    = 11 // in a record
	typeLen = 1  // of the content's type, where it is encrypted
	aadIDAt = 21 // in the additional data
)

// An ID is a connection ID of ours.
type ID [IDLen]byte

// Identify makes s seal records for a peer who wants an ID in them: its own. It must
// come before the first record is sealed. An empty one is none.
func (s *Sealer) Identify(id []byte) error {
	if len(id) > MaxIDLen {
		return fmt.Errorf("record: a connection ID of %d bytes, more than %d", len(id), MaxIDLen)
	}
	s.id = append([]byte(nil), id...)
	return nil
}

// Expect makes o open only records with an ID of ours; without it, only records
// without (RFC 9146 section 3). It must come before the first record is opened.
func (o *Opener) Expect(id ID) { o.id, o.withID = id, true }

// sealID is Seal for a peer that wants an ID. h is the header of a record without.
func (s *Sealer) sealID(dst, payload []byte, h Header, tmp *Scratch) []byte {
	n := len(dst)
	content := n + HeaderLen + len(s.id) + s.explicit
	end := content + len(payload) + typeLen
	if cap(dst) < end+tagLen {
		dst = append(dst, make([]byte, end+tagLen-n)...)
	}
	// The cipher takes content and type in one piece, so they are put where they will
	// stand, and sealed there.
	dst = dst[:end]
	copy(dst[content:], payload)
	dst[end-1] = byte(h.Type)

	h.Type, h.Length = WithID, end-content
	aad := s.fillID(tmp, h, s.id)
	h.Length += s.explicit + tagLen
	h.putID(dst[n:], s.id)
	copy(dst[content-s.explicit:content], tmp.nonce[len(tmp.nonce)-s.explicit:])
	return s.aead.Seal(dst[:content], tmp.nonce[:], dst[content:end], aad)
}

// putID writes h to the start of b, with an ID.
func (h *Header) putID(b []byte, id []byte) {
	h.put(b)
	n := copy(b[idAt:], id)
	binary.BigEndian.PutUint16(b[idAt+n:], uint16(h.Length))
}

// fillID is fill for a record with an ID, and returns the additional data (RFC 9146
// section 5.3), which says how long the ID is, so that no other length of it could
// give the same.
func (p *protection) fillID(tmp *Scratch, h Header, id []byte) (aad []byte) {
	p.number(tmp, h)
	aad = tmp.aad[:aadIDAt+len(id)+2]
	binary.BigEndian.PutUint64(aad, 1<<64-1) // in place of the number of a record without
	aad[8], aad[9], aad[10] = byte(WithID), byte(len(id)), byte(WithID)
	binary.BigEndian.PutUint16(aad[11:], h.Version)
	binary.BigEndian.PutUint64(aad[13:], h.epochSeq())
	copy(aad[aadIDAt:], id)
	binary.BigEndian.PutUint16(aad[aadIDAt+len(id):], uint16(h.Length))
	return aad
}

// unwrap returns the content of what was sealed in a record with an ID, and notes its
// type: the last byte that is not padding (RFC 9146 section 4).
func (t *Scratch) unwrap(inner []byte) (content []byte, err error) {
	for i := len(inner) - 1; i >= 0; i-- {
		if inner[i] != 0 {
			t.typ = ContentType(inner[i])
			return inner[:i], nil
		}
	}
	return nil, ErrNoType
}
