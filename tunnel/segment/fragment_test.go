package segment

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// ip4 returns an IPv4 packet with options and a body.
func ip4(flags uint16, options, body []byte) []byte {
	h := append([]byte{0x40 | byte(5+len(options)/4), 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2}, options...)
	b := append(h, body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], flags)
	setHeaderSum(b[:len(h)])
	return b
}

// checkFragments cuts pkt and puts the pieces together again.
func checkFragments(t *testing.T, pkt []byte, size int) (pieces int) {
	t.Helper()
	head := int(pkt[0]&0xf) * 4
	first := binary.BigEndian.Uint16(pkt[6:])
	var body []byte
	more := true
	Fragment(pkt, size, func(p []byte) {
		pieces++
		h := int(p[0]&0xf) * 4
		flags := binary.BigEndian.Uint16(p[6:])
		switch {
		case len(p) > size || int(binary.BigEndian.Uint16(p[2:])) != len(p):
			t.Errorf("a piece of %d bytes that says %d, want at most %d", len(p), binary.BigEndian.Uint16(p[2:]), size)
		case Checksum(p[:h]) != 0:
			t.Errorf("piece %d has a wrong checksum", pieces)
		case int(flags&offsetMask) != int(first&offsetMask)+len(body)/8 || len(body)%8 != 0:
			t.Errorf("piece %d is at %d, want %d", pieces, flags&offsetMask, int(first&offsetMask)+len(body)/8)
		case !bytes.Equal(p[4:6], pkt[4:6]) || !bytes.Equal(p[8:10], pkt[8:10]) || !bytes.Equal(p[12:20], pkt[12:20]):
			t.Errorf("piece %d is of another packet", pieces)
		}
		more = flags&moreFollow != 0
		body = append(body, p[h:]...)
	})
	if !bytes.Equal(body, pkt[head:]) {
		t.Errorf("%d bytes of %d come out", len(body), len(pkt)-head)
	}
	if more != (first&moreFollow != 0) {
		t.Errorf("the last piece says that more follow: %v", more)
	}
	return pieces
}

func TestFragment(t *testing.T) {
	body := random(3000, 1)
	for _, c := range []struct {
		name   string
		pkt    []byte
		size   int
		pieces int
	}{
		{"fits", ip4(0, nil, body[:100]), 120, 1},
		{"two", ip4(0, nil, body[:101]), 120, 2},
		{"many", ip4(0, nil, body), 511, 7},
		{"no multiple of eight", ip4(0, nil, body[:100]), 99, 2},
		{"a fragment, of which more follow", ip4(moreFollow|10, nil, body[:800]), 500, 2},
		{"the last fragment", ip4(10, nil, body[:800]), 500, 2},
		{"options", ip4(0, []byte{0x94, 4, 0, 0, 7, 4, 4, 0}, body[:200]), 128, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := checkFragments(t, c.pkt, c.size); got != c.pieces {
				t.Errorf("%d pieces, want %d", got, c.pieces)
			}
		})
	}
	if Fragment(ip4(0, nil, body), 27, func([]byte) { t.Error("a piece") }) {
		t.Error("27 bytes are said to be enough")
	}
}

// TestFragmentOptions: only what has to be is copied (RFC 791: router alert is,
// record route is not).
func TestFragmentOptions(t *testing.T) {
	var heads [][]byte
	Fragment(ip4(0, []byte{1, 0x94, 4, 0, 0, 7, 3, 4}, make([]byte, 200)), 128, func(p []byte) {
		heads = append(heads, bytes.Clone(p[:int(p[0]&0xf)*4]))
	})
	if len(heads) != 2 || len(heads[0]) != 28 || !bytes.Equal(heads[1][20:], []byte{0x94, 4, 0, 0}) {
		t.Errorf("headers % x", heads)
	}
}

func TestMayFragment(t *testing.T) {
	for want, b := range map[bool][]byte{true: ip4(0, nil, nil), false: ip4(0x4000, nil, nil)} {
		if got := MayFragment(b); got != want {
			t.Errorf("% x: %v, want %v", b[:8], got, want)
		}
	}
	if MayFragment(append([]byte{0x60}, make([]byte, 39)...)) {
		t.Error("IPv6 may be cut")
	}
}

func TestTooBig(t *testing.T) {
	pkt := ip4(0x4000, nil, random(1380, 1))
	m := AppendTooBig([]byte("before"), pkt, 1335)[6:]
	switch {
	case len(m) != 576 || Checksum(m[:20]) != 0 || Checksum(m[20:]) != 0:
		t.Fatalf("%d bytes, checksums %04x and %04x", len(m), Checksum(m[:20]), Checksum(m[20:]))
	case m[9] != 1 || m[20] != 3 || m[21] != 4 || binary.BigEndian.Uint16(m[26:]) != 1335:
		t.Errorf("message % x", m[:28])
	case !bytes.Equal(m[12:16], pkt[16:20]) || !bytes.Equal(m[16:20], pkt[12:16]):
		t.Errorf("from % x to % x", m[12:16], m[16:20])
	case !bytes.Equal(m[28:], pkt[:548]):
		t.Error("it repeats something else")
	}
	icmp := func(typ byte) []byte {
		b := ip4(0x4000, nil, append([]byte{typ}, make([]byte, 1400)...))
		b[9] = 1
		return b
	}
	for name, c := range map[string]struct {
		pkt  []byte
		says bool
	}{
		"a question":         {icmp(8), true},
		"an error":           {icmp(3), false},
		"a message cut off":  {icmp(3)[:20], false},
		"a later fragment":   {ip4(0x4001, nil, make([]byte, 1400)), false},
		"IPv6":               {append([]byte{0x60}, make([]byte, 1400)...), false},
		"the first fragment": {ip4(0x4000|moreFollow, nil, make([]byte, 1400)), true},
	} {
		if got := len(AppendTooBig(nil, c.pkt, 1335)) > 0; got != c.says {
			t.Errorf("%s: something is said: %v, want %v", name, got, c.says)
		}
	}
}

// FuzzFragment cuts any packet with a whole header to any size.
func FuzzFragment(f *testing.F) {
	f.Add(ip4(0, nil, make([]byte, 100)), uint16(60))
	f.Add(ip4(moreFollow|7, []byte{0x94, 4, 0, 0, 7, 4, 4, 0}, make([]byte, 100)), uint16(60))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		if len(b) < 20 || len(b) > 65535 || b[0]>>4 != 4 || b[0]&0xf < 5 || int(b[0]&0xf)*4 >= len(b) {
			return
		}
		AppendTooBig(nil, b, int(size))
		if offset := int(binary.BigEndian.Uint16(b[6:]) & offsetMask); int(size) < int(b[0]&0xf)*4+8 || offset*8+len(b) > 65535 {
			Fragment(b, int(size), func([]byte) {})
			return
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		checkFragments(t, b, int(size))
	})
}
