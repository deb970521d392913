package segment

import (
	"encoding/binary"
	"math/bits"
)

// sum adds the 16-bit words of b, in network order, to a sum. A last odd byte is
// the upper half of a word (RFC 1071). The result is folded to 16 bits by fold.
func sum(b []byte, initial uint64) uint64 {
	acc := swapped(initial)
	acc = addWords(b, acc)
	return swapped(acc)
}

// The sum is made of words in the machine's order, which comes to the same, with
// the bytes of the result swapped (RFC 1071 section 2 B).

// swapped turns a sum in one byte order into one in the other.
func swapped(s uint64) uint64 {
	f := fold(s)
	return uint64(f>>8 | f<<8)
}

// fold reduces a sum to 16 bits with end-around carry.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// addWordsGeneric adds the little-endian words of b to a sum.
func addWordsGeneric(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 64 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[32:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[40:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[48:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(last[:]), carry)
	acc, carry = bits.Add64(acc, 0, carry)
	return acc + carry
}

// Checksum returns the Internet checksum of b (RFC 1071).
func Checksum(b []byte) uint16 { return ^fold(sum(b, 0)) }

// Complete writes the transport checksum of a packet for which the kernel has
// left it to the device: the field at start+offset holds the sum of the
// pseudo-header, and the sum of everything from start on is to replace it. It
// returns false if that is not in the packet.
func Complete(b []byte, start, offset int) bool {
	at := start + offset
	if start < 0 || offset < 0 || at+2 > len(b) {
		return false
	}
	s := ^fold(sum(b[start:], 0))
	if s == 0 && start < len(b) && offset == udpSum {
		s = 0xffff // no checksum at all would be 0 (RFC 768)
	}
	binary.BigEndian.PutUint16(b[at:], s)
	return true
}
