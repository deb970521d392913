package segment

import (
	"bytes"
	"testing"
)

// FuzzSum compares the fast sum with the plain one.
func FuzzSum(f *testing.F) {
	f.Add(random(2000, 1), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, acc uint64) {
		if got, want := Checksum(b), naive(b); got != want {
			t.Errorf("%#04x, want %#04x", got, want)
		}
		if got, want := fold(addWords(b, acc)), fold(addWordsGeneric(b, acc)); got != want {
			t.Errorf("%#04x, want %#04x", got, want)
		}
	})
}

// FuzzCut cuts any bytes: the segments have right checksums and lengths, and the
// payload is what it was.
func FuzzCut(f *testing.F) {
	f.Add(spec{flags: flagACK | flagPSH, payload: random(1000, 1)}.make(), uint8(1), uint16(100))
	f.Add(spec{v6: true, flags: flagACK, payload: random(1000, 1)}.make(), uint8(2), uint16(99))
	f.Add(spec{udp: true, payload: random(1000, 1)}.make(), uint8(3), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, size uint16) {
		orig := bytes.Clone(b)
		g := GSO{Kind(kind), int(size)}
		if new(Cutter).Begin(b, g) != nil {
			return
		}
		l, _ := parse(orig)
		var payload []byte
		for _, seg := range cutAll(t, b, g) {
			wantGood(t, seg)
			payload = append(payload, seg[l.body:]...)
		}
		if !bytes.Equal(payload, orig[l.body:]) {
			t.Error("the payload changed")
		}
	})
}

// FuzzJoin makes packets of a script, some of them damaged, and checks that what
// is joined is cut again to the same.
func FuzzJoin(f *testing.F) {
	f.Add([]byte{0, 10, 0, 10, 0, 5, 1, 10, 0x80, 10})
	f.Add([]byte{2, 10, 2, 10, 3, 10, 3, 10, 2, 10})
	f.Fuzz(func(t *testing.T, script []byte) {
		var in [][]byte
		next := map[byte]uint32{}
		for ; len(script) >= 2 && len(in) < 300; script = script[2:] {
			op, n := script[0], int(script[1])
			id := op & 7
			s := spec{v6: op&1 != 0, udp: op&2 != 0, sport: uint16(id), src: 1, ttl: 64, flags: flagACK, seq: next[id], payload: random(n, uint64(n))}
			switch op >> 5 {
			case 1:
				s.flags |= flagPSH
			case 2:
				s.seq += 7
			case 3:
				s.ttl--
			case 4:
				s.flags |= flagFIN
			}
			next[id] = s.seq + uint32(n)
			b := s.make()
			if op&0x18 == 0x18 {
				b[int(script[1])%len(b)] ^= 0x10
			}
			in = append(in, b)
		}
		checkJoin(t, in, true)
	})
}

// FuzzAdd gives a Joiner any bytes.
func FuzzAdd(f *testing.F) {
	f.Add(spec{flags: flagACK, payload: random(40, 1)}.make(), spec{flags: flagACK, seq: 40, payload: random(40, 1)}.make())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		checkJoin(t, [][]byte{a, b, a, b}, true)
	})
}
