package punch

import (
	"cmp"
	"net/netip"
	"slices"
)

// A Class is a group of candidates that are about as likely to work, and to carry
// well. Their order is the one in which they are tried: what is nearest first.
type Class uint8

// The classes.
const (
	Scoped     Class = iota // in a network that the owner of the VPN has named
	Near                    // a host's address in a private network, which both may be in
	Direct6                 // a host's global IPv6 address: no NAT on the way
	Direct4                 // a host's global IPv4 address
	Seen                    // what the rendezvous server or another has seen
	Forwarded               // a NAT forwards it
	Named                   // the configuration names it
	Streamed                // it takes connections by TCP
	Through                 // a relay forwards it
	Unknown                 // of a kind that this program does not know
	classCount = iota
)

// ClassOf returns the class of a candidate.
func ClassOf(c Candidate) Class {
	switch {
	case c.Kind == Stream:
		return Streamed
	case c.Scope != "":
		return Scoped
	case c.Kind == Host && IsPrivate(c.Addr.Addr()):
		return Near
	case c.Kind == Host && c.Addr.Addr().Unmap().Is4():
		return Direct4
	case c.Kind == Host:
		return Direct6
	case c.Kind == Observed, c.Kind == Reflexive:
		return Seen
	case c.Kind == Mapped:
		return Forwarded
	case c.Kind == Configured:
		return Named
	case c.Kind == Relayed:
		return Through
	}
	return Unknown
}

// Sort sorts candidates by class. Those of one class keep their order.
func Sort(list []Candidate) {
	slices.SortStableFunc(list, func(a, b Candidate) int { return cmp.Compare(ClassOf(a), ClassOf(b)) })
}

// perClass is how many candidates of a class are worth a try, so that those of one
// class do not leave out all others.
var perClass = [classCount]int{Scoped: 3, Near: 3, Direct6: 2, Direct4: 2, Seen: 2, Forwarded: 1, Named: 2, Streamed: 2, Through: 2, Unknown: 1}

// Choose returns the candidates that an attempt is to try, the likeliest first: of
// each class the first few, each address once, and no more than an attempt has room
// for. list is sorted by it.
func Choose(list []Candidate) []Candidate {
	Sort(list)
	var chosen []Candidate
	var count [classCount]int
	for _, c := range list {
		class := ClassOf(c)
		known := slices.ContainsFunc(chosen, func(o Candidate) bool { return o.Addr == c.Addr && (o.Kind == Stream) == (c.Kind == Stream) })
		if known || count[class] == perClass[class] || len(chosen) == maxCandidates {
			continue
		}
		count[class]++
		chosen = append(chosen, c)
	}
	return chosen
}

// shared is what providers use between themselves and their customers (RFC 6598):
// like a private network, it is reached from within only.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// IsPrivate reports whether an address is one of a private network: another host in
// another network may have the same (RFC 1918, RFC 4193, RFC 6598).
func IsPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || shared.Contains(a)
}
