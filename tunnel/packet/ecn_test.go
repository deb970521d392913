package packet

import (
	"encoding/binary"
	"testing"
)

// checksum4 computes the checksum over an IPv4 header; 0 is right (RFC 791).
func checksum4(pkt []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < int(pkt[0]&0xf)*4; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pkt[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// sample returns a packet with a right checksum, which that of the constant is not.
func sample(t *testing.T, hex string) []byte {
	t.Helper()
	b := unhex(t, hex)
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], checksum4(b))
	}
	return b
}

// TestSetECN sets every value over every other, with every DSCP.
func TestSetECN(t *testing.T) {
	v4, v6 := sample(t, ping4), sample(t, rs6)
	for class := range 256 {
		for e := NotECT; e <= CE; e++ {
			for _, b := range [][]byte{v4, v6} {
				want := uint8(class)&^ecnMask | uint8(e)
				got := classAfter(b, uint8(class), e)
				if got != want || ECNOf(b) != e {
					t.Fatalf("class %02x with ECN %d: %02x and %d, want %02x", class, e, got, ECNOf(b), want)
				}
			}
			if c := checksum4(v4); c != 0 {
				t.Fatalf("class %02x with ECN %d: checksum off by %04x", class, e, c)
			}
		}
	}
	if v6[0]>>4 != 6 || v6[1]&0xf != 0 || v6[2] != 0 {
		t.Errorf("version or flow label have changed: % x", v6[:4])
	}
}

// classAfter writes a traffic class as the kernel would, sets the ECN field, and
// returns the class.
func classAfter(b []byte, class uint8, e ECN) uint8 {
	if b[0]>>4 == 6 {
		b[0], b[1] = 0x60|class>>4, b[1]&0xf|class<<4
		SetECN(b, e)
		return b[0]<<4 | b[1]>>4
	}
	b[1] = class
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], checksum4(b))
	SetECN(b, e)
	return b[1]
}

// TestDecapsulate has the table of RFC 6040 section 4.2, figure 4.
func TestDecapsulate(t *testing.T) {
	const drop = 9
	for inner, row := range [][4]ECN{
		//       Not-ECT, ECT(1), ECT(0), CE outside
		NotECT: {NotECT, NotECT, NotECT, drop},
		ECT1:   {ECT1, ECT1, ECT1, CE},
		ECT0:   {ECT0, ECT1, ECT0, CE},
		CE:     {CE, CE, CE, CE},
	} {
		for outer, want := range row {
			for _, hex := range []string{ping4, rs6} {
				b := sample(t, hex)
				SetECN(b, ECN(inner))
				got := ECN(drop)
				if Decapsulate(ECN(outer), b) {
					got = ECNOf(b)
				}
				if got != want {
					t.Errorf("inner %d, outer %d: %d, want %d", inner, outer, got, want)
				}
				if b[0]>>4 == 4 && checksum4(b) != 0 {
					t.Errorf("inner %d, outer %d: wrong checksum", inner, outer)
				}
			}
		}
	}
}
