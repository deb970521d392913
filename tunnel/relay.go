package tunnel

import (
	"net/netip"

	"campagnol/tunnel/record"
)

// A host may pass on datagrams between two others, inside its sessions with both. What it
// passes on is opaque to it: records of a session between the two, or punches.
//
//	user ── relay, names the addressee ──▶ relay ── relayed, names the sender ──▶ addressee
//
// The content of both signals is
//
//	offset  size  field
//	0       1     length of the address: 4 or 16
//	1       -     VPN address of the other end
//	-       -     the datagram
//
// They are two types, so that of two who relay for each other each knows whether it is
// to pass on a datagram or has been sent it; and what is relayed cannot be passed on again
// by mistake.

// MaxRelayHead is the length of the longest head of [Session.RelayHead], in bytes.
const MaxRelayHead = len(frameMark) + 1 + 1 + 16

// RelayHead appends to b what a datagram travels behind that is for another host, in a
// session with a relay. The whole is for [Session.SealRelay].
func (s *Session) RelayHead(b []byte, addressee netip.Addr) []byte {
	return appendOther(s.appendHead(b, signalRelay), addressee)
}

// RelayedHead is [Session.RelayHead] for a relay's session with the addressee.
func (s *Session) RelayedHead(b []byte, sender netip.Addr) []byte {
	return appendOther(s.appendHead(b, signalRelayed), sender)
}

func appendOther(b []byte, other netip.Addr) []byte {
	if other = other.Unmap(); other.Is4() {
		a := other.As4()
		return append(append(b, byte(len(a))), a[:]...)
	}
	a := other.As16()
	return append(append(b, byte(len(a))), a[:]...)
}

// RelayHeadLen returns the length of what a datagram with another host as its other end
// travels behind.
func (s *Session) RelayHeadLen(other netip.Addr) int {
	return s.markLen() + 1 + 1 + other.Unmap().BitLen()/8
}

// A RelaySignal is a datagram that passes a relay.
type RelaySignal struct {
	Relayed  bool       // a relay has passed it on to us; else we are to pass it on
	Other    netip.Addr // who has sent it, or to whom it goes
	Datagram []byte     // borrowed
}

// Relay returns the datagram that passes a relay in what Receive has called control, of a
// type that is application data, and false if it is something else. An address that makes
// no sense is the zero Addr. It counts as use of the session. It is for the data path.
func (s *Session) Relay(now Stamp, payload []byte) (RelaySignal, bool) {
	typ, content, ok := s.signal(payload)
	if !ok || typ != signalRelay && typ != signalRelayed {
		return RelaySignal{}, false
	}
	sig := RelaySignal{Relayed: typ == signalRelayed}
	if len(content) > 0 {
		if n := int(content[0]); (n == 4 || n == 16) && len(content) > 1+n {
			other, _ := netip.AddrFromSlice(content[1 : 1+n])
			sig.Other, sig.Datagram = other.Unmap(), content[1+n:]
		}
	}
	stamp(&s.lastIn, now)
	s.carriedIn.Add(uint64(len(payload)))
	return sig, true
}

// SealRelay appends to dst a record with a datagram that passes a relay, and returns the
// extended slice. It counts as use of the session, and not as a packet of it. It is safe
// for concurrent use, as Seal is.
func (s *Session) SealRelay(now Stamp, dst, payload []byte, tmp *record.Scratch) ([]byte, Drop) {
	dst, err := s.seal.Seal(dst, payload, record.ApplicationData, tmp)
	if err != nil {
		return dst, DropSize
	}
	stamp(&s.lastOut, now)
	s.carriedOut.Add(uint64(len(payload)))
	return dst, Kept
}

// PeerRelays reports whether the peer has said that it passes on datagrams for others.
func (s *Session) PeerRelays() bool { return s.peerAbilities.Load()&featureRelays != 0 }

// PeerTakesRelayed reports whether the peer has said that it understands datagrams that a
// relay passes on to it.
func (s *Session) PeerTakesRelayed() bool { return s.peerAbilities.Load()&featureRelayed != 0 }
