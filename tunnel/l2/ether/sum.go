package ether

import (
	"encoding/binary"
	"net/netip"
)

// sum adds the 16-bit words of b to a sum that is not folded yet (RFC 1071). An odd
// byte at the end is the upper half of a word.
func sum(b []byte, acc uint64) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		acc += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

// fold reduces a sum to 16 bits with end-around carry.
func fold(acc uint64) uint16 {
	for acc>>16 != 0 {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// ChecksumICMPv6 returns the checksum of msg, a message of ICMPv6 whose field for it
// is 0, or 0 if the field has the right one (RFC 4443 section 2.3).
func ChecksumICMPv6(src, dst netip.Addr, msg []byte) uint16 {
	s, d := src.As16(), dst.As16()
	acc := sum(s[:], sum(d[:], uint64(len(msg))+protoICMPv6))
	return ^fold(sum(msg, acc))
}
