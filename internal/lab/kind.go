package lab

import (
	"fmt"
	"strings"
)

// A Kind is a kind of NAT in the old names, which users still know best. What
// each means in the terms of RFC 4787 is told by [Kind.Behaviour].
type Kind uint8

// The kinds of NAT.
const (
	None           Kind = iota // no NAT: a public address
	FullCone                   // any remote address may send to a mapping
	Restricted                 // only addresses that the host has sent to
	PortRestricted             // only addresses and ports that the host has sent to
	Symmetric                  // as PortRestricted, and a new outer port for every destination, at random
	Sequential                 // as Symmetric, but outer ports are handed out in turn
	kindCount
)

var kindNames = [kindCount]string{"none", "full-cone", "restricted", "port-restricted", "symmetric", "sequential"}

// String returns the name that [ParseKind] takes.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ParseKind returns the kind with the given name.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return None, fmt.Errorf("%q is not a kind of NAT: use %s", name, strings.Join(kindNames[:], ", "))
}

// Set makes a Kind a flag of a command line.
func (k *Kind) Set(name string) (err error) {
	parsed, err := ParseKind(name)
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// Type names the value in the help of a command line.
func (k *Kind) Type() string { return "nat" }

// A Dependence says what a NAT looks at: the axis of both mapping (RFC 4787
// section 4.1) and filtering (section 5).
type Dependence uint8

// The values of Dependence, from the friendliest to the strictest.
const (
	EndpointIndependent     Dependence = iota // only the host's own address and port
	AddressDependent                          // also the remote address
	AddressAndPortDependent                   // also the remote address and port
)

// String returns the words of RFC 4787.
func (d Dependence) String() string {
	switch d {
	case EndpointIndependent:
		return "endpoint-independent"
	case AddressDependent:
		return "address-dependent"
	case AddressAndPortDependent:
		return "address-and-port-dependent"
	}
	return fmt.Sprintf("dependence %d", uint8(d))
}

// A Behaviour is what a NAT does to UDP.
type Behaviour struct {
	Mapping   Dependence // which packets of one socket share an outer port
	Filtering Dependence // who may send to that outer port

	// InTurn says that a mapping's outer port is the next one behind that of the
	// mapping before. Only a Mapping that makes several of one socket can show it.
	InTurn bool
}

// String describes b in the words of RFC 4787, as far as it has any.
func (b Behaviour) String() string {
	s := fmt.Sprintf("mapping %v, filtering %v", b.Mapping, b.Filtering)
	if b.InTurn {
		s += ", ports in turn"
	}
	return s
}

// Behaviour returns what a NAT of kind k has to do.
func (k Kind) Behaviour() Behaviour {
	switch k {
	case Restricted:
		return Behaviour{Mapping: EndpointIndependent, Filtering: AddressDependent}
	case PortRestricted:
		return Behaviour{Mapping: EndpointIndependent, Filtering: AddressAndPortDependent}
	case Symmetric, Sequential:
		return Behaviour{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, InTurn: k == Sequential}
	}
	return Behaviour{Mapping: EndpointIndependent, Filtering: EndpointIndependent}
}

// Hard reports whether k takes another outer port for each destination, so that nobody
// can announce the one that a peer will see.
func (k Kind) Hard() bool { return k == Symmetric || k == Sequential }

// Direct reports whether two peers behind NATs of kinds a and b can open a
// direct path when both know the endpoint that a third party saw of the other.
//
// A hard NAT sends from a port that nobody could announce. The packet
// still gets in where the filter does not look at ports, and from there on the
// other side can answer; where it does look at ports, and where the other
// side's own port is unknown as well, neither packet ever gets in.
//
// See [Guessable] for what peers of ours can do beyond that.
func Direct(a, b Kind) bool {
	if a > b {
		a, b = b, a
	}
	return !b.Hard() || a < PortRestricted // the hard ones are the last
}

// Guessable reports whether two peers, both of which know what NATs they are behind, can
// find a direct path by guessing ports: only one of the ports is unknown.
func Guessable(a, b Kind) bool { return a.Hard() != b.Hard() }
