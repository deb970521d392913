package enroll

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxSize is the size of the longest request, and of the longest answer, in bytes.
const MaxSize = 1024

// MaxAnswer is the size of the longest answer of which messages carry pieces, in
// bytes.
const MaxAnswer = 64 << 10

const (
	version  = 1
	protocol = "campagnol enrolment 1"

	headSize   = 1 + 1 + len(ID{}) + 4
	nonceSize  = 12
	tagSize    = 16
	sealSize   = nonceSize + tagSize
	digestSize = 16
	pieceHead  = 4 + digestSize
	maxPiece   = MaxSize - headSize - sealSize - pieceHead
	maxSealed  = MaxSize - headSize - sealSize // what a request can seal
)

// A Kind says what a host asks for.
type Kind uint8

// The kinds of requests.
const (
	Enrol Kind = 1 // the first certificate, by invitation
	Renew Kind = 2 // another one, by that of the host
)

// A status is the second byte of an answer.
type status uint8

const (
	statusSealed  status = 1 // a piece, sealed with the key of the invitation
	statusPlain   status = 2 // a piece, in clear
	statusUnknown status = 3 // there is no such invitation
	statusBusy    status = 4 // too many requests: later
)

// ErrMalformed is returned for what is no request.
var ErrMalformed = errors.New("enroll: malformed request")

// A head starts every message:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     kind of a request, status of an answer
//	2       8     ID, the same in the answer
//	10      4     offset, the same in the answer
type head struct {
	what   uint8
	id     ID
	offset uint32
}

func (h head) append(b []byte) []byte {
	b = append(b, version, h.what)
	b = append(b, h.id[:]...)
	return binary.BigEndian.AppendUint32(b, h.offset)
}

func parseHead(b []byte) (h head, body []byte, ok bool) {
	if len(b) < headSize || len(b) > MaxSize || b[0] != version {
		return head{}, nil, false
	}
	h = head{what: b[1], id: ID(b[2:]), offset: binary.BigEndian.Uint32(b[10:])}
	return h, b[headSize:], true
}

// aead returns the cipher of one direction.
func (m Master) aead(direction string) cipher.AEAD {
	key, err := hkdf.Expand(sha256.New, m[:], protocol+" "+direction, 32)
	if err != nil {
		panic(err) // of a length that is too large
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // of another length
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return g
}

// The directions.
const (
	toAuthority = "request"
	toHost      = "answer"
)

// appendSealed appends a random nonce, and text sealed with it.
func appendSealed(b []byte, rand io.Reader, g cipher.AEAD, text, additional []byte) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	return g.Seal(append(b, nonce...), nonce, text, additional), nil
}

// openSealed is the inverse of appendSealed.
func openSealed(g cipher.AEAD, b, additional []byte) ([]byte, bool) {
	if len(b) < sealSize {
		return nil, false
	}
	text, err := g.Open(nil, b[:nonceSize], b[nonceSize:], additional)
	return text, err == nil
}

// A Request is what a host has sent, as the authority sees it.
type Request struct {
	Kind Kind
	ID   ID // of the invitation, or of the request

	head head
	body []byte // a copy
}

// ParseRequest reads a request, without looking into it: that is cheap. It accepts
// any input.
func ParseRequest(b []byte) (*Request, error) {
	h, body, ok := parseHead(b)
	if !ok || len(body) == 0 || h.offset > MaxAnswer || h.what != uint8(Enrol) && h.what != uint8(Renew) {
		return nil, ErrMalformed
	}
	return &Request{Kind: Kind(h.what), ID: h.id, head: h, body: bytes.Clone(body)}, nil
}

// ErrSeal is returned for a request that was not made with the token of the
// invitation.
var ErrSeal = errors.New("enroll: the request is not sealed with the key of the invitation")

// Open returns the signing request (PKCS #10, DER) in a request to enrol, whose
// invitation has the key m.
func (r *Request) Open(m Master) ([]byte, error) {
	csr, ok := openSealed(m.aead(toAuthority), r.body, r.head.append(nil))
	if !ok {
		return nil, ErrSeal
	}
	return csr, nil
}

// Key identifies a request among others, whichever piece of its answer it wants.
func (r *Request) Key(text []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{byte(r.Kind)})
	h.Write(r.ID[:])
	h.Write(text)
	return [sha256.Size]byte(h.Sum(nil))
}

// Seal returns the answer to a request to enrol: the piece that it wants of a
// whole, which [Grant.Append] or [Refusal.Append] has made. csr is what Open has
// returned: no answer fits another request.
func (r *Request) Seal(rand io.Reader, m Master, csr, whole []byte) ([]byte, error) {
	h := r.answerHead(statusSealed)
	return appendSealed(h, rand, m.aead(toHost), r.piece(whole), sealedHead(h, csr))
}

// sealedHead is what an answer authenticates beside the piece.
func sealedHead(h, csr []byte) []byte {
	sum := sha256.Sum256(csr)
	return append(bytes.Clone(h), sum[:]...)
}

// Plain is Seal for a renewal, in clear.
func (r *Request) Plain(whole []byte) []byte {
	return append(r.answerHead(statusPlain), r.piece(whole)...)
}

// Unknown returns the answer that there is no such invitation.
func (r *Request) Unknown() []byte { return r.answerHead(statusUnknown) }

// Busy returns the answer that there is too much to do.
func (r *Request) Busy() []byte { return r.answerHead(statusBusy) }

func (r *Request) answerHead(s status) []byte {
	return head{uint8(s), r.ID, r.head.offset}.append(make([]byte, 0, MaxSize))
}

// piece returns the piece of a whole that r asks for:
//
//	0   4   length of the whole
//	4   16  the first bytes of its SHA-256
//	20  -   its bytes from the offset on
func (r *Request) piece(whole []byte) []byte {
	sum := sha256.Sum256(whole)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(whole)))
	b = append(b, sum[:digestSize]...)
	from := min(int(r.head.offset), len(whole))
	return append(b, whole[from:min(from+maxPiece, len(whole))]...)
}

// An assembly puts the pieces of an answer together. It asks for one after the
// other, so that it takes no piece that it did not ask for.
type assembly struct {
	total  uint32
	digest [digestSize]byte
	got    []byte
}

// take takes the next piece, and returns the whole when it has it. A piece of
// another answer begins from the start.
func (a *assembly) take(b []byte) []byte {
	if len(b) < pieceHead {
		return nil
	}
	total, digest := binary.BigEndian.Uint32(b), [digestSize]byte(b[4:])
	data := b[pieceHead:]
	if len(a.got) == 0 {
		a.total, a.digest = total, digest
	}
	if total != a.total || digest != a.digest || total > MaxAnswer || len(data) == 0 || len(a.got)+len(data) > int(total) {
		*a = assembly{}
		return nil
	}
	a.got = append(a.got, data...)
	if len(a.got) < int(total) {
		return nil
	}
	whole := a.got
	*a = assembly{}
	if sum := sha256.Sum256(whole); [digestSize]byte(sum[:]) != digest {
		return nil
	}
	return whole
}
