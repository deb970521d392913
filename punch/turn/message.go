package turn

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"campagnol/punch/turn/channeldata"
)

const (
	stunHeader = 20
	attrHead   = 4
	stunCookie = 0x2112A442

	// Overhead is what a channel adds to a datagram, in bytes; before there is one, it
	// is up to 51. On a stream up to three bytes of padding follow.
	Overhead = channeldata.Head

	// Types of the indications with data.
	typeSend = 0x0016
	typeData = 0x0017

	// maxControl is the size of the largest answer that is looked at, and maxAttrs how
	// many attributes it may have.
	maxControl = 1500
	maxAttrs   = 32

	// maxText is the size of the largest realm and nonce that are taken (RFC 8489
	// sections 14.9 and 14.10: fewer than 128 characters, which UTF-8 makes 763 bytes).
	maxText = 763
)

type transactionID = [stun.TransactionIDSize]byte

// appendChannel appends data with the header of a channel, and padding up to four bytes
// if it is asked for (section 12.5).
func appendChannel(b []byte, number uint16, data []byte, pad bool) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	if pad {
		b = appendPadding(b, len(data))
	}
	return b
}

// appendPadding fills up n bytes to a multiple of four.
func appendPadding(b []byte, n int) []byte {
	return append(b, "\x00\x00\x00"[:-n&3]...)
}

// appendSend appends a Send indication (section 11.1).
func appendSend(b []byte, id transactionID, peer netip.AddrPort, data []byte) []byte {
	size := attrHead + addrSize(peer) + attrHead + (len(data)+3)&^3
	b = binary.BigEndian.AppendUint16(b, typeSend)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrXORPeerAddress))
	b = binary.BigEndian.AppendUint16(b, uint16(addrSize(peer)))
	b = appendXOR(b, id, peer)
	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrData))
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	return appendPadding(b, len(data))
}

// sendSize returns how long a Send indication with n bytes is.
func sendSize(peer netip.AddrPort, n int) int {
	return stunHeader + attrHead + addrSize(peer) + attrHead + (n+3)&^3
}

// addrSize returns the length of an address in an attribute.
func addrSize(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return 4 + 4
	}
	return 4 + 16
}

// mask is what addresses are XORed with (RFC 8489 section 14.2).
func mask(id transactionID) (m [16]byte) {
	binary.BigEndian.PutUint32(m[:], stunCookie)
	copy(m[4:], id[:])
	return m
}

// appendXOR appends an address as attributes have it.
func appendXOR(b []byte, id transactionID, a netip.AddrPort) []byte {
	m := mask(id)
	family := byte(2)
	if a.Addr().Is4() {
		family = 1
	}
	b = append(b, 0, family, byte(a.Port()>>8)^m[0], byte(a.Port())^m[1])
	if a.Addr().Is4() {
		ip := a.Addr().As4()
		return append(b, ip[0]^m[0], ip[1]^m[1], ip[2]^m[2], ip[3]^m[3])
	}
	ip := a.Addr().As16()
	for i, x := range ip {
		b = append(b, x^m[i])
	}
	return b
}

// parseXOR reads such an address; false for what no peer can have.
func parseXOR(v []byte, id transactionID) (netip.AddrPort, bool) {
	m := mask(id)
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := uint16(v[2]^m[0])<<8 | uint16(v[3]^m[1])
	var a netip.Addr
	switch {
	case v[1] == 1 && len(v) == 4+4:
		a = netip.AddrFrom4([4]byte{v[4] ^ m[0], v[5] ^ m[1], v[6] ^ m[2], v[7] ^ m[3]})
	case v[1] == 2 && len(v) == 4+16:
		var ip [16]byte
		for i := range ip {
			ip[i] = v[4+i] ^ m[i]
		}
		a = netip.AddrFrom16(ip).Unmap()
	default:
		return netip.AddrPort{}, false
	}
	if port == 0 || a.IsUnspecified() || a.IsMulticast() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, port), true
}

// parseData reads a Data indication (section 11.6). The data is part of b.
func parseData(b []byte) (peer netip.AddrPort, data []byte, ok bool) {
	if !wellFormed(b) || binary.BigEndian.Uint16(b) != typeData {
		return netip.AddrPort{}, nil, false
	}
	id := transactionID(b[8:stunHeader])
	var from, has bool
	for b = b[stunHeader:]; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		v := b[attrHead : attrHead+n : attrHead+n]
		switch stun.AttrType(binary.BigEndian.Uint16(b)) {
		case stun.AttrXORPeerAddress:
			if peer, from = parseXOR(v, id); !from {
				return netip.AddrPort{}, nil, false
			}
		case stun.AttrData:
			data, has = v, true
		}
		b = b[attrHead+(n+3)&^3:]
	}
	return peer, data, from && has
}

// wellFormed reports whether b is a whole message of STUN, of attributes that fit in it.
func wellFormed(b []byte) bool {
	if len(b) < stunHeader || b[0] > 0x3f || binary.BigEndian.Uint32(b[4:]) != stunCookie ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return false
	}
	n := 0
	for b = b[stunHeader:]; len(b) > 0; n++ {
		if len(b) < attrHead || n == maxAttrs {
			return false
		}
		size := attrHead + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
		if len(b) < size {
			return false
		}
		b = b[size:]
	}
	return true
}

// decode reads an answer. What follows the MESSAGE-INTEGRITY is not protected by it,
// and left out (RFC 8489 section 14.5).
func decode(b []byte, m *stun.Message) bool {
	if len(b) > maxControl || !wellFormed(b) || stun.Decode(b, m) != nil {
		return false
	}
	for i, a := range m.Attributes {
		if a.Type == stun.AttrMessageIntegrity {
			if len(a.Value) != 20 {
				return false
			}
			m.Attributes = m.Attributes[:i+1]
			break
		}
	}
	return true
}

// text returns a realm or a nonce.
func text(m *stun.Message, t stun.AttrType) (string, bool) {
	v, err := m.Get(t)
	return string(v), err == nil && len(v) > 0 && len(v) <= maxText
}

// address returns an address of an answer.
func address(m *stun.Message, t stun.AttrType) (netip.AddrPort, bool) {
	v, err := m.Get(t)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return parseXOR(v, m.TransactionID)
}

// lifetimeOf returns what a LIFETIME says.
func lifetimeOf(m *stun.Message) (time.Duration, bool) {
	v, err := m.Get(stun.AttrLifetime)
	if err != nil || len(v) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(v)) * time.Second, true
}

// codeOf returns the code of an error; 0 for none.
func codeOf(m *stun.Message) int {
	v, err := m.Get(stun.AttrErrorCode)
	if err != nil || len(v) < 4 || v[2]&7 < 3 || v[2]&7 > 6 || v[3] > 99 {
		return 0
	}
	return int(v[2]&7)*100 + int(v[3])
}

// A builder makes requests.
type builder struct{ m stun.Message }

// newRequest begins a request with a new ID.
func newRequest(method stun.Method) *builder {
	q := &builder{}
	rand.Read(q.m.TransactionID[:]) // it never fails: see package crypto/rand
	q.m.Type = stun.NewType(method, stun.ClassRequest)
	q.m.WriteHeader()
	return q
}

func (q *builder) add(t stun.AttrType, v ...byte) { q.m.Add(t, v) }

func (q *builder) addLifetime(d time.Duration) {
	q.add(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))...)
}

func (q *builder) addPeer(a netip.AddrPort) {
	q.m.Add(stun.AttrXORPeerAddress, appendXOR(nil, q.m.TransactionID, a))
}

// sign adds credentials, and ends the request with them.
func (q *builder) sign(user, realm, nonce string, key stun.MessageIntegrity) {
	q.m.Add(stun.AttrUsername, []byte(user))
	q.m.Add(stun.AttrRealm, []byte(realm))
	q.m.Add(stun.AttrNonce, []byte(nonce))
	_ = key.AddTo(&q.m) // fails after a FINGERPRINT, of which there is none
}
