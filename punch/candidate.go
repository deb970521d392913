package punch

import (
	"fmt"
	"net/netip"
)

// A Candidate is an address at which a client may be reached (RFC 8445 section
// 5.1.1). It proves nothing: whoever answers there has to.
type Candidate struct {
	Addr netip.AddrPort
	Kind CandidateKind

	// Scope names the network from which Addr can be reached, as the owner of the
	// VPN calls it; "": from wherever addresses like it can be.
	Scope string
}

// A CandidateKind says how a candidate was found.
type CandidateKind uint8

// The kinds. Their numbers are those on the wire.
const (
	Host       CandidateKind = 1 // an address of the host itself
	Observed   CandidateKind = 2 // the rendezvous server or a STUN server sees it: server-reflexive
	Mapped     CandidateKind = 3 // a NAT was asked to forward it
	Configured CandidateKind = 4 // the configuration names it
	Reflexive  CandidateKind = 5 // a datagram of the peer came from there: peer-reflexive
	Relayed    CandidateKind = 6 // a relay forwards what is sent there
	Stream     CandidateKind = 7 // it takes connections by TCP (punch/stream); nothing is sent there by UDP
)

var kindNames = [...]string{Host: "host", Observed: "observed", Mapped: "mapped", Configured: "configured", Reflexive: "reflexive", Relayed: "relayed", Stream: "stream"}

// String returns the name of a kind.
func (k CandidateKind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MaxScope is the length of the longest Scope, in bytes.
const MaxScope = 32
