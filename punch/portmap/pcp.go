package portmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Numbers of PCP (RFC 6887 section 19).
const (
	pcpVersion  = 2
	opAnnounce  = 0
	opMap       = 1
	pcpResponse = 0x80 // in the byte of the opcode

	pcpHeader = 24   // bytes, of requests and responses (sections 7.1 and 7.2)
	pcpMap    = 60   // with the data of MAP, without options (section 11.1)
	pcpMax    = 1100 // no message is longer (section 7)

	protocolUDP = 17
)

// Result codes that we act on (RFC 6887 section 7.4).
const (
	pcpSuccess            = 0
	pcpUnsupportedVersion = 1
)

// pcpResults says what the result codes of RFC 6887 section 7.4 mean.
var pcpResults = [...]string{
	pcpUnsupportedVersion: "it does not speak this version of PCP",
	2:                     "this host may not ask for that",
	3:                     "it cannot read the request",
	4:                     "it does not know this kind of request",
	5:                     "it does not know an option",
	6:                     "it cannot read an option",
	7:                     "its own network does not work",
	8:                     "it has no room",
	9:                     "it does not know the protocol",
	10:                    "this host has too many ports already",
	11:                    "it cannot give the outer address or port",
	12:                    "there is a NAT between it and this host",
	13:                    "too many remote hosts",
}

// A nonce shows that an answer is to a request of ours, and later requests that they
// come from who made the mapping (RFC 6887 section 11.1).
type nonce [12]byte

// An announcement or a question whether the server is there (RFC 6887 section 14.1):
// the header of a request, and nothing else.
func appendAnnounce(b []byte, local netip.Addr) []byte {
	return appendPCP(b, opAnnounce, 0, local)
}

// appendPCP appends the header of a request (RFC 6887 section 7.1).
func appendPCP(b []byte, op byte, lifetime uint32, local netip.Addr) []byte {
	b = append(b, pcpVersion, op, 0, 0)
	b = binary.BigEndian.AppendUint32(b, lifetime)
	ip := local.WithZone("").As16() // IPv4 as ::ffff:a.b.c.d, section 5
	return append(b, ip[:]...)
}

// A mapRequest asks for a mapping (RFC 6887 section 11.1). A lifetime of 0 ends it.
type mapRequest struct {
	local    netip.AddrPort
	nonce    nonce
	external netip.AddrPort // suggested; its address may be the zero Addr
	lifetime uint32         // seconds
}

// Append appends the request to b.
func (r mapRequest) Append(b []byte) []byte {
	b = appendPCP(b, opMap, r.lifetime, r.local.Addr())
	b = append(b, r.nonce[:]...)
	b = append(b, protocolUDP, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, r.local.Port())
	b = binary.BigEndian.AppendUint16(b, r.external.Port())
	// No wish is written as the unspecified address of the family.
	ip := r.external.Addr().Unmap()
	switch {
	case ip.Is4(), ip.Is6() && !r.local.Addr().Is4():
	case r.local.Addr().Is4():
		ip = netip.IPv4Unspecified()
	default:
		ip = netip.IPv6Unspecified()
	}
	raw := ip.WithZone("").As16()
	return append(b, raw[:]...)
}

// A pcpAnswer is a response of a server.
type pcpAnswer struct {
	op       byte
	result   byte
	lifetime uint32 // seconds: of the mapping, or before the next try after an error
	epoch    uint32 // seconds

	// Of a MAP that has succeeded.
	nonce    nonce
	internal uint16 // our port
	external netip.AddrPort
}

// What is wrong with a datagram.
var (
	errNotPCP  = errors.New("not a response of PCP")
	errOldPCP  = errors.New("the gateway does not speak PCP")
	errShort   = errors.New("the response is too short")
	errNotUDP  = errors.New("the response is about another protocol")
	errForeign = errors.New("the response is not to our request")
)

// parsePCP reads a response (RFC 6887 sections 7.2, 8.3 and 11.1). Options that may
// follow are of no interest.
func parsePCP(b []byte) (a pcpAnswer, err error) {
	switch {
	case len(b) < 4 || b[1]&pcpResponse == 0:
		return a, errNotPCP
	case b[0] != pcpVersion:
		// A server of NAT-PMP alone answers in its version 0 (RFC 6887 appendix A).
		return a, errOldPCP
	case len(b) < pcpHeader || len(b) > pcpMax || len(b)%4 != 0:
		return a, errShort
	}
	a.op, a.result = b[1]&^pcpResponse, b[3]
	a.lifetime = binary.BigEndian.Uint32(b[4:])
	a.epoch = binary.BigEndian.Uint32(b[8:])
	if a.op != opMap {
		return a, nil
	}
	if len(b) < pcpMap {
		if a.result != pcpSuccess {
			return a, nil // without the data that it is about
		}
		return a, errShort
	}
	a.nonce = nonce(b[24:36])
	if b[36] != protocolUDP {
		return a, errNotUDP
	}
	a.internal = binary.BigEndian.Uint16(b[40:])
	ip := netip.AddrFrom16([16]byte(b[44:60])).Unmap()
	a.external = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[42:]))
	return a, nil
}

// answers reports why a is no answer to a request, nil if it is one.
func (a pcpAnswer) answers(op byte, n nonce, port uint16) error {
	if a.op != op {
		return errForeign
	}
	if op == opMap && (a.result == pcpSuccess || a.nonce != nonce{}) && (a.nonce != n || a.internal != port) {
		return errForeign
	}
	return nil
}

// refusal returns what the server says instead of yes, nil if it says yes.
func (a pcpAnswer) refusal() error {
	if a.result == pcpSuccess {
		return nil
	}
	text := "unknown reason"
	if int(a.result) < len(pcpResults) {
		text = pcpResults[a.result]
	}
	return &Refusal{Method: PCP, Code: int(a.result), Text: text, Retry: time.Duration(a.lifetime) * time.Second}
}

// granted returns what the server has given.
func (a pcpAnswer) granted() (grant, error) {
	if !usable(a.external) || a.lifetime == 0 {
		return grant{}, fmt.Errorf("PCP: the gateway gives %v for %d s, which is of no use", a.external, a.lifetime)
	}
	return grant{external: a.external, lifetime: time.Duration(a.lifetime) * time.Second, pulse: a.pulse()}, nil
}

func (a pcpAnswer) pulse() pulse {
	p := pulse{epoch: a.epoch, counted: true}
	if a.op == opMap && a.result == pcpSuccess {
		p.external = a.external.Addr()
	}
	return p
}
