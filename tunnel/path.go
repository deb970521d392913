package tunnel

import (
	"encoding/binary"

	"campagnol/tunnel/record"
)

// Whether a path carries datagrams both ways is found out by a challenge that is sent
// over it and comes back as a response, over the same path: from the address that the
// challenge was sent to, to the one that it came from. Nobody but the peer can have
// written it. What is returned is what was sent, so that only who receives at an
// address can have it used (return routability, as in RFC 9853, which pion lacks).
//
// A challenge may be padded, to find out how large a datagram the path carries (RFC
// 8899); the response is not, so that it comes back whatever the other direction
// carries. It is never larger than what it answers, and so amplifies nothing.
//
// The content of both signals begins with
//
//	offset  size  field
//	0       8     a number that the challenger has drawn
const pathHead = 8

// A PathSignal is a challenge, or the response to one.
type PathSignal struct {
	Response bool
	Number   uint64 // the challenger's
}

// ChallengeSize returns the length of the smallest datagram with a challenge, in
// bytes.
func (s *Session) ChallengeSize() int { return s.markLen() + 1 + pathHead + s.Overhead() }

// SealChallenge returns a datagram with a challenge. It has size bytes if that is
// more than [Session.ChallengeSize]. It returns nil if the sequence numbers are spent.
func (s *Session) SealChallenge(number uint64, size int, tmp *record.Scratch) []byte {
	payload := make([]byte, 0, max(0, size-s.Overhead(), s.markLen()+1+pathHead))
	payload = s.appendHead(payload, signalChallenge)
	payload = binary.BigEndian.AppendUint64(payload, number)
	return s.sealPath(payload[:cap(payload)], tmp)
}

// SealResponse returns the datagram that answers a challenge, or nil if the sequence
// numbers are spent.
func (s *Session) SealResponse(number uint64, tmp *record.Scratch) []byte {
	return s.sealPath(binary.BigEndian.AppendUint64(s.appendHead(nil, signalResponse), number), tmp)
}

func (s *Session) sealPath(payload []byte, tmp *record.Scratch) []byte {
	rec, err := s.seal.Seal(nil, payload, record.ApplicationData, tmp)
	if err != nil {
		return nil
	}
	return rec
}

// parsePath reads a challenge or a response, and returns nil for another payload.
func (s *Session) parsePath(payload []byte) *PathSignal {
	typ, content, ok := s.signal(payload)
	if !ok || typ != signalChallenge && typ != signalResponse || len(content) < pathHead {
		return nil
	}
	return &PathSignal{Response: typ == signalResponse, Number: binary.BigEndian.Uint64(content)}
}
