// Package record is the DTLS 1.2 record layer (RFC 6347 section 4.1) for the
// AEAD cipher suites, as the data path needs it: it seals and opens in caller's
// buffers, checks replay, and allocates nothing.
//
// A handshake (tunnel/handshake) hands over the keys of one epoch; from then on
// every protected record of that epoch, whatever its type, is made by its one
// [Sealer] and draws its sequence number from the Sealer's one counter. Since
// the nonce is made of that number, no nonce is ever used twice.
//
// Records may carry a connection ID (RFC 9146), by which their receiver knows whose
// they are, whatever address they come from. See [ID].
package record

import (
	"encoding/binary"
	"errors"
)

// HeaderLen is the length of a record header without connection ID, in bytes.
const HeaderLen = 13

// MaxPayload is the largest payload of a record, in bytes (RFC 6347 section
// 4.1: 2^14).
const MaxPayload = 1 << 14

// maxSeq is the largest sequence number (48 bits on the wire).
const maxSeq = 1<<48 - 1

// A ContentType is the first byte of a record (RFC 5246 section 6.2.1).
type ContentType uint8

// The content types in use.
const (
	ChangeCipherSpec ContentType = 20
	Alert            ContentType = 21
	Handshake        ContentType = 22
	ApplicationData  ContentType = 23
	WithID           ContentType = 25 // tls12_cid: the type of the content is encrypted (RFC 9146 section 4)
)

// Versions on the wire: the ones' complement of TLS's.
const (
	Version10 = 0xfeff // DTLS 1.0
	Version12 = 0xfefd // DTLS 1.2
)

// Why a record was not opened or sealed. They are values and not formatted,
// since whoever floods us must not make us format text.
var (
	ErrShort   = errors.New("record: shorter than its header says")
	ErrVersion = errors.New("record: not DTLS 1.2")
	ErrEpoch   = errors.New("record: of another epoch")
	ErrReplay  = errors.New("record: replayed, or older than the window")
	ErrAuth    = errors.New("record: authentication failed")
	ErrSpent   = errors.New("record: sequence numbers of the epoch are used up")
	ErrTooLong = errors.New("record: payload longer than 2^14 bytes")
	ErrID      = errors.New("record: connection ID missing, or another one")
	ErrNoType  = errors.New("record: nothing but padding")
)

// A Header is a record header.
type Header struct {
	Type    ContentType
	Version uint16
	Epoch   uint16
	Seq     uint64 // 48 bits
	ID      ID     // of ours, if Type is WithID
	Length  int    // of what follows the header, in bytes
}

// Len returns the length of the header itself, in bytes.
func (h *Header) Len() int {
	if h.Type == WithID {
		return HeaderLen + IDLen
	}
	return HeaderLen
}

// Peek reads those fields of the header at the start of b that stand at the same
// place in every record: all but ID and Length. It is for records whose connection ID
// is not ours, the length of which does not show. It returns false if b is shorter
// than any header.
func Peek(b []byte) (Header, bool) {
	if len(b) < HeaderLen {
		return Header{}, false
	}
	seq := binary.BigEndian.Uint64(b[3:])
	return Header{
		Type:    ContentType(b[0]),
		Version: binary.BigEndian.Uint16(b[1:]),
		Epoch:   uint16(seq >> 48),
		Seq:     seq & maxSeq,
	}, true
}

// ParseHeader reads the header of the record at the start of b, and returns
// ErrShort if b does not hold the whole record. A connection ID is taken to be one of
// ours, of [IDLen] bytes.
func ParseHeader(b []byte) (Header, error) {
	h, ok := Peek(b)
	if !ok {
		return Header{}, ErrShort
	}
	n := HeaderLen
	if h.Type == WithID {
		if n += IDLen; len(b) < n {
			return Header{}, ErrShort
		}
		h.ID = ID(b[idAt:])
	}
	h.Length = int(binary.BigEndian.Uint16(b[n-2:]))
	if n+h.Length > len(b) {
		return Header{}, ErrShort
	}
	return h, nil
}

// Split returns the record at the start of datagram b, with its header, and
// what follows it. A datagram may hold several records (RFC 6347 section
// 4.1.1).
func Split(b []byte) (h Header, rec, rest []byte, err error) {
	h, err = ParseHeader(b)
	if err != nil {
		return h, nil, nil, err
	}
	n := h.Len() + h.Length
	return h, b[:n:n], b[n:], nil
}

// epochSeq returns epoch and sequence number as they stand in a header, a
// nonce and the additional data.
func (h Header) epochSeq() uint64 { return uint64(h.Epoch)<<48 | h.Seq }

// put writes h, which has no ID, to the first HeaderLen bytes of b.
func (h Header) put(b []byte) {
	_ = b[HeaderLen-1]
	b[0] = byte(h.Type)
	binary.BigEndian.PutUint16(b[1:], h.Version)
	binary.BigEndian.PutUint64(b[3:], h.epochSeq())
	binary.BigEndian.PutUint16(b[11:], uint16(h.Length))
}
