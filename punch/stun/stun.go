package stun

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"unicode/utf8"

	"github.com/pion/stun/v4"
)

// An ID is what an answer has in common with its request, and what nobody who has
// not seen the request can know.
type ID [12]byte

// IDOf returns the transaction ID of a datagram that wire.KindOf takes for STUN.
func IDOf(b []byte) (id ID) {
	if len(b) >= headerSize {
		copy(id[:], b[8:])
	}
	return id
}

const (
	headerSize = 20
	attrHead   = 4
	cookie     = 0x2112A442

	// maxSize is the length of the longest message that is looked at, in bytes,
	// and maxAttrs how many attributes it may have. What is meant for us has
	// five, in less than 200 bytes.
	maxSize  = 548
	maxAttrs = 32

	// maxUnknown is how many attributes an error names.
	maxUnknown = 4

	// MaxSoftware is the length of the longest SOFTWARE that is sent or kept, in
	// bytes.
	MaxSoftware = 64
)

// attrOtherPort is OTHER-PORT, of the range that is understood by choice
// (0x8000 up) and not assigned by IANA.
const attrOtherPort stun.AttrType = 0xC0CA

// The bits of CHANGE-REQUEST (RFC 5780 section 7.2).
const (
	changeAddr = 4
	changePort = 2
)

// Errors of the parsers.
var (
	ErrMalformed   = errors.New("stun: malformed message")
	ErrNotRequest  = errors.New("stun: not a binding request")
	ErrNotResponse = errors.New("stun: not an answer to a binding request")
)

// A Request is a binding request.
type Request struct {
	ID          ID
	ChangeAddr  bool   // the answer is to come from the server's other address
	ChangePort  bool   // the answer is to come from the server's other port
	Change      bool   // there is a CHANGE-REQUEST, though it may ask for neither
	ReplyPort   uint16 // the port that the answer is to go to; 0: where the request came from
	Software    bool   // it has a SOFTWARE
	Fingerprint bool   // it has a FINGERPRINT

	// Unknown are attributes that the sender wants to be understood and we do not
	// understand. Parsers fill it; they stop at four.
	Unknown  [maxUnknown]uint16
	Unknowns int
}

// A Response is the answer to a binding request. The zero values of its fields say
// that an attribute is not there.
type Response struct {
	ID          ID
	Mapped      netip.AddrPort // where the request came from
	Origin      netip.AddrPort // where the answer comes from
	Other       netip.AddrPort // the other address and port of the server
	OtherPort   uint16         // its other port, of the same address
	Software    string
	Fingerprint bool

	Code    int // of an error; 0: success
	Unknown []uint16
}

// A Codec makes and reads messages. It keeps its memory from one to the next; one
// goroutine owns it. The zero Codec is ready.
type Codec struct{ m stun.Message }

// AppendRequest appends a request to b, with a SOFTWARE unless it is empty.
func (c *Codec) AppendRequest(b []byte, r Request, software string) []byte {
	c.begin(stun.BindingRequest, r.ID)
	if r.ChangeAddr || r.ChangePort || r.Change {
		var v [4]byte
		if r.ChangeAddr {
			v[3] |= changeAddr
		}
		if r.ChangePort {
			v[3] |= changePort
		}
		c.m.Add(stun.AttrChangeRequest, v[:])
	}
	if r.ReplyPort != 0 {
		var v [4]byte
		binary.BigEndian.PutUint16(v[:], r.ReplyPort)
		c.m.Add(stun.AttrResponsePort, v[:])
	}
	return c.end(b, software, r.Fingerprint)
}

// AppendResponse appends an answer to b.
func (c *Codec) AppendResponse(b []byte, r *Response) []byte {
	if r.Code != 0 {
		c.begin(stun.BindingError, r.ID)
		c.addError(r)
		return c.end(b, r.Software, r.Fingerprint)
	}
	c.begin(stun.BindingSuccess, r.ID)
	c.addAddr(stun.AttrXORMappedAddress, r.Mapped, true)
	c.addAddr(stun.AttrResponseOrigin, r.Origin, false)
	c.addAddr(stun.AttrOtherAddress, r.Other, false)
	if r.OtherPort != 0 {
		var v [4]byte
		binary.BigEndian.PutUint16(v[:], r.OtherPort)
		c.m.Add(attrOtherPort, v[:])
	}
	return c.end(b, r.Software, r.Fingerprint)
}

func (c *Codec) begin(t stun.MessageType, id ID) {
	c.m.Reset()
	c.m.Type, c.m.TransactionID = t, id
	c.m.WriteHeader()
}

func (c *Codec) end(b []byte, software string, fingerprint bool) []byte {
	if len(software) > MaxSoftware {
		software = software[:MaxSoftware]
	}
	if software != "" {
		c.m.Add(stun.AttrSoftware, []byte(software))
	}
	if fingerprint {
		_ = stun.Fingerprint.AddTo(&c.m) // never fails
	}
	return append(b, c.m.Raw...)
}

// addAddr adds an address, which an XOR with cookie and ID hides from NATs that
// rewrite what looks like one (RFC 8489 section 14.2). It adds nothing for the zero
// AddrPort.
func (c *Codec) addAddr(t stun.AttrType, a netip.AddrPort, hide bool) {
	if !a.IsValid() {
		return
	}
	var v [4 + 16]byte
	n := 4 + 4
	v[1] = 1
	if ip := a.Addr().Unmap(); ip.Is4() {
		x := ip.As4()
		copy(v[4:], x[:])
	} else {
		x := ip.As16()
		copy(v[4:], x[:])
		v[1], n = 2, len(v)
	}
	binary.BigEndian.PutUint16(v[2:], a.Port())
	if hide {
		for i := range v[2:4] {
			v[2+i] ^= c.m.Raw[4+i]
		}
		for i := range v[4:n] {
			v[4+i] ^= c.m.Raw[4+i] // the cookie, and the ID behind it
		}
	}
	c.m.Add(t, v[:n])
}

// addError adds what is wrong. The reason is for people, and empty: the number says
// it, and the answer stays short.
func (c *Codec) addError(r *Response) {
	c.m.Add(stun.AttrErrorCode, []byte{0, 0, byte(r.Code / 100), byte(r.Code % 100)})
	if len(r.Unknown) > 0 {
		var v [2 * maxUnknown]byte
		n := 0
		for _, t := range r.Unknown[:min(len(r.Unknown), maxUnknown)] {
			binary.BigEndian.PutUint16(v[n:], t)
			n += 2
		}
		c.m.Add(stun.AttrUnknownAttributes, v[:n])
	}
}

// wellFormed reports whether b is a whole message, of attributes that fit in it.
func wellFormed(b []byte) bool {
	if len(b) < headerSize || len(b) > maxSize || b[0] > 0x3f ||
		binary.BigEndian.Uint32(b[4:]) != cookie || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize {
		return false
	}
	n := 0
	for b = b[headerSize:]; len(b) > 0; n++ {
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

// decode reads b into c.m.
func (c *Codec) decode(b []byte) error {
	if !wellFormed(b) || stun.Decode(b, &c.m) != nil {
		return ErrMalformed
	}
	if c.m.Contains(stun.AttrFingerprint) && !c.fingerprintFits() {
		return ErrMalformed
	}
	return nil
}

// fingerprintFits reports whether the FINGERPRINT is right, and the last attribute.
func (c *Codec) fingerprintFits() bool {
	last := c.m.Attributes[len(c.m.Attributes)-1]
	if last.Type != stun.AttrFingerprint || len(last.Value) != 4 {
		return false
	}
	return binary.BigEndian.Uint32(last.Value) == stun.FingerprintValue(c.m.Raw[:len(c.m.Raw)-attrHead-4])
}

// ParseRequest reads a binding request. It allocates nothing.
func (c *Codec) ParseRequest(b []byte) (Request, error) {
	if len(b) < 2 || b[0] != 0 || b[1] != 1 {
		return Request{}, ErrNotRequest
	}
	if err := c.decode(b); err != nil {
		return Request{}, err
	}
	r := Request{ID: c.m.TransactionID}
	for _, a := range c.m.Attributes {
		switch {
		case a.Type == stun.AttrChangeRequest && len(a.Value) == 4:
			r.Change = true
			r.ChangeAddr, r.ChangePort = a.Value[3]&changeAddr != 0, a.Value[3]&changePort != 0
		case a.Type == stun.AttrResponsePort && len(a.Value) == 4:
			r.ReplyPort = binary.BigEndian.Uint16(a.Value)
		case a.Type == stun.AttrChangeRequest, a.Type == stun.AttrResponsePort:
			return Request{}, ErrMalformed
		case a.Type == stun.AttrSoftware:
			r.Software = true
		case a.Type == stun.AttrFingerprint:
			r.Fingerprint = true
		case a.Type.Required() && !credential(a.Type) && r.Unknowns < maxUnknown:
			r.Unknown[r.Unknowns] = a.Type.Value()
			r.Unknowns++
		}
	}
	return r, nil
}

// credential reports whether an attribute says who asks, which is no matter to a
// server that answers everybody.
func credential(t stun.AttrType) bool {
	switch t {
	case stun.AttrUsername, stun.AttrUserhash, stun.AttrRealm, stun.AttrNonce,
		stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256, stun.AttrPasswordAlgorithm:
		return true
	}
	return false
}

// ParseResponse reads the answer to a binding request.
func (c *Codec) ParseResponse(b []byte) (Response, error) {
	if err := c.decode(b); err != nil {
		return Response{}, err
	}
	r := Response{ID: c.m.TransactionID, Fingerprint: c.m.Contains(stun.AttrFingerprint)}
	if text, err := c.m.Get(stun.AttrSoftware); err == nil {
		r.Software = printable(text)
	}
	switch c.m.Type {
	case stun.BindingSuccess:
		return c.success(r)
	case stun.BindingError:
		var code stun.ErrorCodeAttribute
		if code.GetFrom(&c.m) != nil || code.Code < 300 || code.Code > 699 {
			return Response{}, ErrMalformed
		}
		r.Code = int(code.Code)
		var unknown stun.UnknownAttributes
		if unknown.GetFrom(&c.m) == nil {
			for _, t := range unknown[:min(len(unknown), maxUnknown)] {
				r.Unknown = append(r.Unknown, t.Value())
			}
		}
		return r, nil
	}
	return Response{}, ErrNotResponse
}

// success reads what a success response says. Servers from before RFC 5389 know
// MAPPED-ADDRESS only.
func (c *Codec) success(r Response) (Response, error) {
	var hidden stun.XORMappedAddress
	var plain stun.MappedAddress
	switch {
	case hidden.GetFrom(&c.m) == nil:
		r.Mapped = addrPort(hidden.IP, hidden.Port)
	case plain.GetFrom(&c.m) == nil:
		r.Mapped = addrPort(plain.IP, plain.Port)
	}
	if !r.Mapped.IsValid() {
		return Response{}, ErrMalformed
	}
	var origin stun.ResponseOrigin
	if origin.GetFrom(&c.m) == nil {
		r.Origin = addrPort(origin.IP, origin.Port)
	}
	var other stun.OtherAddress
	if other.GetFrom(&c.m) == nil {
		r.Other = addrPort(other.IP, other.Port)
	}
	if v, err := c.m.Get(attrOtherPort); err == nil && len(v) == 4 {
		r.OtherPort = binary.BigEndian.Uint16(v)
	}
	return r, nil
}

// addrPort returns an endpoint; the zero one for what nothing can be sent to.
func addrPort(ip net.IP, port int) netip.AddrPort {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || a.IsUnspecified() || a.Unmap().IsMulticast() || port <= 0 || port > 0xffff {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}

// printable returns as much of text as a person may be shown.
func printable(text []byte) string {
	text = text[:min(len(text), MaxSoftware)]
	if !utf8.Valid(text) || slices.ContainsFunc(text, func(b byte) bool { return b < ' ' || b == 0x7f }) {
		return ""
	}
	return string(text)
}
