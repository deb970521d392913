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
// content. The first byte of that says what the sender of the probe can do: a set
// of bits, of which those that are not known are ignored.
const (
	signalMark  = 0
	signalProbe = 1
	signalEcho  = 2
	signalRekey = 3

	featureECN = 1 << 0 // it reads the ECN field of datagrams

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

// Abilities are what one end of a session tells the other about itself.
type Abilities struct {
	ECN bool // it reads the ECN field of datagrams, and can be sent any
}

// Probe appends to out a datagram that makes a peer of ours answer, and tells it
// what we can do.
func (s *Session) Probe(ours Abilities, out [][]byte) [][]byte {
	var features byte
	if ours.ECN {
		features |= featureECN
	}
	return s.appendSignal(out, signalProbe, []byte{features})
}

// PeerECN reports whether the peer reads the ECN field of datagrams: whether
// packets may be sent with their own (RFC 6040 section 4.1, normal mode). It is
// for the data path.
func (s *Session) PeerECN() bool { return s.peerECN.Load() }

// handleSignal answers a signal.
func (s *Session) handleSignal(payload []byte, out [][]byte) [][]byte {
	if !s.isSignal(payload) || payload[1] != signalProbe || len(payload) > 2+maxEcho {
		return out
	}
	if len(payload) > 2 {
		s.peerECN.Store(payload[2]&featureECN != 0)
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
