// Package nat describes how a network address translator (NAT) behaves, in the
// terms of RFC 4787 and RFC 5780: what it maps to what, what it lets in, and which
// ports it takes. It says what such behaviour is, not how it is found out.
package nat

import (
	"fmt"
	"net/netip"
)

// A Dependence says on what of a remote endpoint a NAT's behaviour depends
// (RFC 4787 sections 4.1 and 5).
type Dependence uint8

// The dependences.
const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// String returns the dependence in the RFC's words.
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

// Of returns as much of a as d depends on.
func (d Dependence) Of(a netip.AddrPort) netip.AddrPort {
	switch d {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// A PortChoice says how a NAT finds the public port of a new mapping (RFC 4787
// section 4.2).
type PortChoice uint8

// The choices.
const (
	// Preserving takes the private port if no other mapping has it.
	Preserving PortChoice = iota
	// Sequential takes the next one that is free.
	Sequential
	// Random takes any that is free.
	Random
	// Overloading takes the private port, unless another host uses it towards
	// the same remote endpoint. Several hosts may share a port as long as
	// their remote endpoints differ. Every remote endpoint has a mapping of
	// its own; but as they have the same port, the NAT looks
	// endpoint-independent until two hosts collide. With
	// AddressAndPortDependent filtering, this is masquerading in Linux.
	Overloading
)

// String returns the choice in words.
func (c PortChoice) String() string {
	switch c {
	case Preserving:
		return "preserving"
	case Sequential:
		return "sequential"
	case Random:
		return "random"
	case Overloading:
		return "overloading"
	}
	return fmt.Sprintf("port choice %d", uint8(c))
}

// A Hairpin says what a NAT does with packets from inside that are sent to a
// public endpoint of its own (RFC 4787 section 6).
type Hairpin uint8

// The hairpins. Filtering applies as if the packet came from outside, from the
// sender's public endpoint.
const (
	NoHairpinning  Hairpin = iota // they are dropped
	ExternalSource                // they come from the sender's public endpoint, as REQ-9 demands
	InternalSource                // they come from the sender's private endpoint
)

// String returns the hairpin in words.
func (h Hairpin) String() string {
	switch h {
	case NoHairpinning:
		return "no hairpinning"
	case ExternalSource:
		return "external source"
	case InternalSource:
		return "internal source"
	}
	return fmt.Sprintf("hairpin %d", uint8(h))
}
