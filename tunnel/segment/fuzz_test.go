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

// FuzzPacket compares what is found in any frame with what is found the plain way.
func FuzzPacket(f *testing.F) {
	f.Add(frame(spec{flags: flagACK}.make()))
	f.Add(append(frame(spec{v6: true, udp: true}.make(), 1, 2), 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := Ethernet.Packet(b)
		_, want, _ := naiveLink(b)
		if !bytes.Equal(got, want) || ok != (len(want) > 0) {
			t.Errorf("%x, %v, want %x", got, ok, want)
		}
	})
}

// FuzzCutFrames cuts any frame: the segments are those of the packet in it, with the
// same link header.
func FuzzCutFrames(f *testing.F) {
	f.Add(frame(spec{flags: flagACK | flagPSH, payload: random(1000, 1)}.make()), uint8(1), uint16(100))
	f.Add(frame(spec{v6: true, flags: flagACK, payload: random(1000, 1)}.make(), 7), uint8(2), uint16(99))
	f.Add(frame(spec{udp: true, payload: random(1000, 1)}.make(), 7, 8), uint8(3), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, size uint16) {
		orig := bytes.Clone(b)
		g := GSO{Kind(kind), int(size)}
		if (&Cutter{Link: Ethernet}).Begin(b, g) != nil {
			return
		}
		link, pkt, rest := naiveLink(orig)
		if len(rest) != 0 {
			t.Fatal("padding was taken for payload")
		}
		want := cutAll(t, bytes.Clone(pkt), g)
		for i, seg := range cutLink(t, Ethernet, b, g) {
			gotLink, gotPkt := seg[:len(link)], seg[len(link):]
			wantGood(t, gotPkt)
			if !bytes.Equal(gotLink, link) || !bytes.Equal(gotPkt, want[i]) {
				t.Fatalf("segment %d:\n got %x %x\nwant %x %x", i, gotLink, gotPkt, link, want[i])
			}
		}
	})
}

// FuzzJoinFrames makes frames of a script, some of them damaged, padded or with other
// tags, and checks that what is joined is cut again to the same.
func FuzzJoinFrames(f *testing.F) {
	f.Add([]byte{0, 10, 0, 0, 10, 0, 0, 5, 1, 1, 10, 0x80, 0x80, 10, 3})
	f.Add([]byte{2, 2, 0x40, 2, 2, 0x40, 3, 10, 7, 3, 10, 7, 2, 2, 0xc0})
	f.Fuzz(func(t *testing.T, script []byte) {
		var in [][]byte
		next := map[byte]uint32{}
		for ; len(script) >= 3 && len(in) < 300; script = script[3:] {
			op, n, link := script[0], int(script[1]), script[2]
			id := op & 7
			s := spec{v6: op&1 != 0, udp: op&2 != 0, sport: uint16(id), src: 1, ttl: 64, flags: flagACK, seq: next[id], payload: random(n, uint64(n))}
			switch op >> 5 {
			case 1:
				s.flags |= flagPSH
			case 2:
				s.seq += 7
			case 3:
				s.flags |= flagFIN
			}
			next[id] = s.seq + uint32(n)
			b := frame(s.make(), []uint16{7, 5<<13 | 7, 8}[:link&3]...)
			if op&0x18 == 0x18 {
				b[n%len(b)] ^= 0x10
			}
			switch link >> 6 {
			case 1: // to the length that frames have on a cable
				b = append(b, make([]byte, max(0, 60-len(b)))...)
			case 2:
				b = append(b, make([]byte, link>>2&15)...)
			case 3:
				b[11] ^= link >> 2 & 1
			}
			in = append(in, b)
		}
		checkJoinFrames(t, in)
	})
}

// FuzzAddFrames gives a Joiner any frames.
func FuzzAddFrames(f *testing.F) {
	f.Add(frame(spec{flags: flagACK, payload: random(40, 1)}.make()), frame(spec{flags: flagACK, seq: 40, payload: random(40, 1)}.make()))
	f.Add(frame(spec{udp: true, payload: random(4, 1)}.make(), 7), append(frame(spec{udp: true, payload: random(4, 2)}.make(), 7), 0, 0))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		checkJoinFrames(t, [][]byte{a, b, a, b})
	})
}
