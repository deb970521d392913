package segment

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// ip6 returns an IPv6 packet whose next header is the first of its extensions, or
// proto.
func ip6(proto byte, body []byte) []byte {
	h := make([]byte, ipv6Header, ipv6Header+len(body))
	h[0], h[6], h[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	for i := range 16 {
		h[8+i], h[24+i] = byte(i+1), byte(0xf0-i)
	}
	return append(h, body...)
}

// sum6 returns the checksum over a message of ICMPv6 in a packet and what RFC 8200
// section 8.1 puts before it; 0 is right. It is written without the code that it is
// to check.
func sum6(pkt []byte) uint16 {
	b := append(bytes.Clone(pkt[8:40]), 0, 0, pkt[4], pkt[5], 0, 0, 0, 58)
	b = append(b, pkt[40:]...)
	acc := uint32(0)
	for i := range b {
		if i%2 == 0 {
			acc += uint32(b[i]) << 8
		} else {
			acc += uint32(b[i])
		}
	}
	for acc>>16 != 0 {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

func TestTooBig6(t *testing.T) {
	for _, size := range []int{1380, 1381, 100, 101, 0} {
		pkt := ip6(17, random(size, 1))
		m := AppendTooBig([]byte("before"), pkt, 1335)[6:]
		quoted := min(len(pkt), MinIPv6-ipv6Header-8)
		switch {
		case len(m) != 48+quoted || int(binary.BigEndian.Uint16(m[4:])) != 8+quoted || sum6(m) != 0:
			t.Fatalf("%d bytes, of which the header says %d; checksum off by %04x", len(m), binary.BigEndian.Uint16(m[4:]), sum6(m))
		case m[0] != 0x60 || m[6] != 58 || m[40] != 2 || m[41] != 0 || binary.BigEndian.Uint32(m[44:]) != 1335:
			t.Errorf("message % x", m[:48])
		case !bytes.Equal(m[8:24], pkt[24:40]) || !bytes.Equal(m[24:40], pkt[8:24]):
			t.Errorf("from % x to % x", m[8:24], m[24:40])
		case !bytes.Equal(m[48:], pkt[:quoted]):
			t.Error("it repeats something else")
		}
	}
}

// TestTooBig6Silence: about which packets of IPv6 something is said.
func TestTooBig6Silence(t *testing.T) {
	message := func(typ byte) []byte { return append([]byte{typ}, make([]byte, 1400)...) }
	behind := func(next byte, length byte, body []byte) []byte {
		h := make([]byte, (int(length)+1)*8)
		h[0], h[1] = next, length
		return append(h, body...)
	}
	fragment := func(offset uint16, body []byte) []byte {
		h := []byte{58, 0, 0, 0, 0, 0, 0, 1}
		binary.BigEndian.PutUint16(h[2:], offset<<3)
		return append(h, body...)
	}
	for _, c := range []struct {
		name string
		pkt  []byte
		mtu  int
		says bool
	}{
		{"UDP", ip6(17, message(1)), 1335, true},
		{"the smallest MTU", ip6(17, message(1)), 1280, true},
		{"a smaller one", ip6(17, message(1)), 1279, false},
		{"a question", ip6(58, message(128)), 1335, true},
		{"MLD", ip6(58, message(143)), 1335, true},
		{"an error", ip6(58, message(1)), 1335, false},
		{"too big itself", ip6(58, message(2)), 1335, false},
		{"an error that nobody knows", ip6(58, message(127)), 1335, false},
		{"a redirect", ip6(58, message(137)), 1335, false},
		{"no message at all", ip6(58, nil), 1335, false},
		{"an error behind options", ip6(0, behind(60, 2, behind(58, 0, message(3)))), 1335, false},
		{"a question behind options", ip6(0, behind(60, 2, behind(58, 0, message(128)))), 1335, true},
		{"an error behind routing", ip6(43, behind(58, 1, message(3))), 1335, false},
		{"an error in the first fragment", ip6(44, fragment(0, message(3))), 1335, false},
		{"a later fragment", ip6(44, fragment(9, message(3))), 1335, true},
		{"options that are cut", ip6(0, behind(58, 0, nil)[:7]), 1335, false},
		{"options longer than the packet", ip6(0, []byte{58, 200, 0, 0, 0, 0, 0, 0}), 1335, false},
		{"more options than there can be", ip6(0, behind(0, 0, behind(0, 0, behind(0, 0, behind(0, 0, behind(0, 0, behind(0, 0, message(1)))))))), 1335, false},
		{"options, then UDP", ip6(0, behind(17, 0, message(3))), 1335, true},
		{"a header that is cut", ip6(17, nil)[:39], 1335, false},
		{"neither IPv4 nor IPv6", append([]byte{0x50}, make([]byte, 100)...), 1335, false},
	} {
		if got := len(AppendTooBig(nil, c.pkt, c.mtu)) > 0; got != c.says {
			t.Errorf("%s: something is said: %v, want %v", c.name, got, c.says)
		}
	}
}

// FuzzTooBig makes messages about any packet with a whole header.
func FuzzTooBig(f *testing.F) {
	f.Add(ip6(17, make([]byte, 1400)), uint16(1335))
	f.Add(ip6(0, make([]byte, 100)), uint16(1280))
	f.Add(ip6(44, make([]byte, 9)), uint16(9000))
	f.Add(ip4(0x4000, nil, make([]byte, 1400)), uint16(1335))
	f.Fuzz(func(t *testing.T, b []byte, mtu uint16) {
		if len(b) < ipv4Header {
			return
		}
		before := bytes.Clone(b)
		m := AppendTooBig([]byte{7}, b, int(mtu))[1:]
		if !bytes.Equal(b, before) {
			t.Error("the packet has changed")
		}
		switch {
		case len(m) == 0:
		case m[0]>>4 == 4 && (len(m) > 576 || Checksum(m[:20]) != 0 || Checksum(m[20:]) != 0):
			t.Errorf("% x", m)
		case m[0]>>4 == 6 && (len(m) > MinIPv6 || sum6(m) != 0 || len(AppendTooBig(nil, m, int(mtu))) != 0):
			t.Errorf("% x", m)
		}
	})
}
