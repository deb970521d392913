package tunnel

import (
	"encoding/binary"

	"campagnol/tunnel/record"
)

// ProtocolName is what ALPN agrees on between two of ours. It is authenticated by
// the handshake, so that what only we understand is never sent to an original,
// which one payload that is not IP makes abort.
const ProtocolName = "campagnol/1"

// FrameProtocolName is the same for sessions that carry Ethernet frames: a host that
// carries packets and one that carries frames have nothing to say to each other, and
// learn so in the handshake.
const FrameProtocolName = "campagnol-frames/1"

// A signal is a message of one of ours to another inside the session: application
// data that begins like no IP packet and no frame that is forwarded does.
//
//	offset  size  field
//	0       1     0; in a session of frames the 6 bytes of [frameMark]
//	1       1     type
//	2       -     depends on the type; whoever does not know a type ignores it
//
// A probe asks the peer whether it is there; an echo answers, with the probe's
// content. The first byte of that says what the sender of the probe can do: a set
// of bits, of which those that are not known are ignored. A number may follow, by
// which the sender knows the echo again, see [Session.ProbeNumber]. Groups is what the peer's
// hosts want to hear of multicast, see package tunnel/l2/mcast. A fragment is a part of
// a frame, see package tunnel/l2. Challenges and responses are about paths, see
// [Session.SealChallenge]; relay and relayed carry datagrams of others, see
// [Session.RelayHead].
const (
	signalMark     = 0
	signalProbe    = 1
	signalEcho     = 2
	signalRekey    = 3
	signalGroups   = 4
	signalFragment = 5

	signalChallenge = 6
	signalResponse  = 7

	signalRelay   = 8
	signalRelayed = 9

	featureECN       = 1 << 0 // it reads the ECN field of datagrams
	featureFragments = 1 << 1 // it puts frames together again
	featureRelays    = 1 << 2 // it passes on datagrams for others
	featureRelayed   = 1 << 3 // it understands what a relay passes on to it

	// maxEcho bounds the content that is echoed, in bytes.
	maxEcho = 64
)

// frameMark is what signals begin with among frames: the address to which pauses of
// a link are sent (IEEE 802.3 annex 31B), which no bridge passes on (IEEE 802.1D
// section 7.12.6).
var frameMark = [...]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x01}

// isSignal reports whether a payload of the peer's is a signal. It is for the
// data path.
func (s *Session) isSignal(payload []byte) bool {
	switch {
	case !s.ours:
		return false
	case s.frames:
		return len(payload) > len(frameMark) && [len(frameMark)]byte(payload) == frameMark
	}
	return len(payload) >= 2 && payload[0] == signalMark
}

// signal returns the type and the content of a signal, and false for what is none.
func (s *Session) signal(payload []byte) (typ byte, content []byte, ok bool) {
	if !s.isSignal(payload) {
		return 0, nil, false
	}
	n := s.markLen()
	return payload[n], payload[n+1:], true
}

// markLen returns the length of what the session's signals begin with.
func (s *Session) markLen() int {
	if s.frames {
		return len(frameMark)
	}
	return 1
}

// appendHead appends what a signal begins with.
func (s *Session) appendHead(b []byte, typ byte) []byte {
	if s.frames {
		b = append(b, frameMark[:]...)
	} else {
		b = append(b, signalMark)
	}
	return append(b, typ)
}

// IsOurs reports whether the peer understands signals.
func (s *Session) IsOurs() bool { return s.ours }

// Abilities are what one end of a session tells the other about itself.
type Abilities struct {
	ECN       bool // it reads the ECN field of datagrams, and can be sent any
	Fragments bool // it puts frames together again that are sent in parts
	Relays    bool // it passes on datagrams for others
	Relayed   bool // it understands datagrams that a relay passes on to it
}

// Probe appends to out a datagram that makes a peer of ours answer, and tells it
// what we can do.
func (s *Session) Probe(ours Abilities, out [][]byte) [][]byte {
	return s.appendSignal(out, signalProbe, []byte{ours.features()})
}

// ProbeNumber is Probe with a number, which must not be 0. The peer sends it back, and
// then [Session.Handle] returns it as Echoed.
func (s *Session) ProbeNumber(ours Abilities, number uint64, out [][]byte) [][]byte {
	return s.appendSignal(out, signalProbe, binary.BigEndian.AppendUint64([]byte{ours.features()}, number))
}

// features returns the byte that says so.
func (a Abilities) features() (f byte) {
	if a.ECN {
		f |= featureECN
	}
	if a.Fragments {
		f |= featureFragments
	}
	if a.Relays {
		f |= featureRelays
	}
	if a.Relayed {
		f |= featureRelayed
	}
	return f
}

// parseEcho returns the number of a probe of ours that a signal sends back; 0: none.
func (s *Session) parseEcho(payload []byte) uint64 {
	typ, content, ok := s.signal(payload)
	if !ok || typ != signalEcho || len(content) != 1+8 {
		return 0
	}
	return binary.BigEndian.Uint64(content[1:])
}

// PeerECN reports whether the peer reads the ECN field of datagrams: whether
// packets may be sent with their own (RFC 6040 section 4.1, normal mode). It is
// for the data path.
func (s *Session) PeerECN() bool { return s.peerAbilities.Load()&featureECN != 0 }

// handleSignal takes a probe, and answers it, or the echo of ours.
func (s *Session) handleSignal(payload []byte, out [][]byte) ([][]byte, Event) {
	typ, content, ok := s.signal(payload)
	if !ok || typ != signalProbe || len(content) > maxEcho {
		return out, Event{Echo: ok && typ == signalEcho}
	}
	if len(content) > 0 {
		s.peerAbilities.Store(uint32(content[0]))
	}
	return s.appendSignal(out, signalEcho, content), Event{Probe: true}
}

func (s *Session) appendSignal(out [][]byte, typ byte, content []byte) [][]byte {
	payload := append(s.appendHead(nil, typ), content...)
	rec, err := s.seal.Seal(nil, payload, record.ApplicationData, &s.tmp)
	if err != nil {
		return out
	}
	return append(out, rec)
}

// PeerFragments reports whether the peer puts frames together again that are sent in
// parts. It is for the data path.
func (s *Session) PeerFragments() bool { return s.peerAbilities.Load()&featureFragments != 0 }

// FragmentHead appends to b what a part of a frame travels behind, as what [Session.Seal]
// seals.
func (s *Session) FragmentHead(b []byte) []byte { return s.appendHead(b, signalFragment) }

// Fragment returns the part of a frame that is in what Receive has called control, and
// false if it is something else.
func (s *Session) Fragment(payload []byte) ([]byte, bool) {
	typ, content, ok := s.signal(payload)
	return content, ok && s.frames && typ == signalFragment
}

// Groups appends to out a datagram that tells the peer about multicast: an update of
// package tunnel/l2/mcast.
func (s *Session) Groups(update []byte, out [][]byte) [][]byte {
	return s.appendSignal(out, signalGroups, update)
}
