package control

import "net/netip"

// Relaying is what this host passes on for other members, since it has run. Bytes are
// those of the datagrams inside.
type Relaying struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Drops   uint64 `json:"drops"`

	Pairs []RelayedPair `json:"pairs"` // those that both have a tunnel with this host now
}

// A RelayedPair is two members that send each other something through this host, or have
// tried to.
type RelayedPair struct {
	A       netip.Addr `json:"a"`
	B       netip.Addr `json:"b"`
	Allowed bool       `json:"allowed"` // by the policy
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
	Drops   uint64     `json:"drops"`
}
