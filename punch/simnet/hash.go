package simnet

import (
	"encoding/binary"
	"net/netip"
)

// mix folds x into h. For a fixed h it is a bijection, and every bit of the
// result depends on every bit of x (the finaliser of MurmurHash3, with x added
// at the front).
func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>29
}

// start is where hashes begin; any number without pattern does.
const start = 0x9e3779b97f4a7c15

// mixAddr folds an address into h.
func mixAddr(h uint64, a netip.Addr) uint64 {
	b := a.As16()
	return mix(mix(h, binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:]))
}

// mixEndpoint folds an address and a port into h.
func mixEndpoint(h uint64, a netip.AddrPort) uint64 {
	return mix(mixAddr(h, a.Addr()), uint64(a.Port()))
}

// mixString folds a string into h.
func mixString(h uint64, s string) uint64 {
	for i := range len(s) {
		h = mix(h, uint64(s[i]))
	}
	return mix(h, uint64(len(s)))
}

// chance turns a hash into a number in [0, 1).
func chance(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// upTo turns a hash into a number from 1 to limit; 0 if limit is not positive.
func upTo(h uint64, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	return 1 + int64(h%uint64(limit))
}
