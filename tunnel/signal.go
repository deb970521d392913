package tunnel

import "campagnol/tunnel/record"

// ProtocolName is what ALPN agrees on between two of ours. It is authenticated by
// the handshake, so that what only we understand is never sent to an original,
// which one payload that is not IP makes abort.
const ProtocolName = "campagnol/1"

// A signal is a message of one of ours to another inside the session: application
// data that begins with a byte which no IP packet begins with.
//
//	offset  size  field
//	0       1     0
//	1       1     type
//	2       -     depends on the type; whoever does not know a type ignores it
//
// A probe asks the peer whether it is there; an echo answers, with the probe's
// content.
const (
	signalMark  = 0
	signalProbe = 1
	signalEcho  = 2

	// maxEcho bounds the content that is echoed, in bytes.
	maxEcho = 64
)

// isSignal reports whether a payload of the peer's is a signal. It is for the
// data path.
func (s *Session) isSignal(payload []byte) bool {
	return s.ours && len(payload) >= 2 && payload[0] == signalMark
}

// IsOurs reports whether the peer understands signals.
func (s *Session) IsOurs() bool { return s.ours }

// Probe appends to out a datagram that makes a peer of ours answer.
func (s *Session) Probe(out [][]byte) [][]byte {
	return s.appendSignal(out, signalProbe, nil)
}

// handleSignal answers a signal.
func (s *Session) handleSignal(payload []byte, out [][]byte) [][]byte {
	if !s.isSignal(payload) || payload[1] != signalProbe || len(payload) > 2+maxEcho {
		return out
	}
	return s.appendSignal(out, signalEcho, payload[2:])
}

func (s *Session) appendSignal(out [][]byte, typ byte, content []byte) [][]byte {
	payload := append([]byte{signalMark, typ}, content...)
	rec, err := s.seal.Seal(nil, payload, record.ApplicationData, &s.tmp)
	if err != nil {
		return out
	}
	return append(out, rec)
}
