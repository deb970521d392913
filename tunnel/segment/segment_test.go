package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A spec describes a packet to be made for a test.
type spec struct {
	v6      bool
	udp     bool
	src     byte // last byte of the source address
	sport   uint16
	seq     uint32
	ack     uint32
	flags   byte
	ttl     byte
	options []byte // of TCP
	payload []byte
}

// make returns the packet, with right checksums, made the plain way.
func (s spec) make() []byte {
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, s.sport)
	l4 = binary.BigEndian.AppendUint16(l4, 443)
	proto := byte(protoTCP)
	if s.udp {
		proto = protoUDP
		l4 = binary.BigEndian.AppendUint16(l4, uint16(udpLen+len(s.payload)))
		l4 = append(l4, 0, 0)
	} else {
		l4 = binary.BigEndian.AppendUint32(l4, s.seq)
		l4 = binary.BigEndian.AppendUint32(l4, s.ack)
		l4 = append(l4, byte((tcpLen+len(s.options))/4)<<4, s.flags, 0x20, 0, 0, 0, 0, 0)
		l4 = append(l4, s.options...)
	}
	l4 = append(l4, s.payload...)
	var ip []byte
	if s.v6 {
		ip = append(ip, 0x60, 1, 2, 3)
		ip = binary.BigEndian.AppendUint16(ip, uint16(len(l4)))
		ip = append(ip, proto, s.ttl)
		ip = append(ip, []byte{0xfd, 15: s.src}...)
		ip = append(ip, []byte{0xfd, 15: 2}...)
	} else {
		ip = append(ip, 0x45, 0)
		ip = binary.BigEndian.AppendUint16(ip, uint16(ipv4Len+len(l4)))
		ip = append(ip, 0x12, 0x34, 0x40, 0, s.ttl, proto, 0, 0, 10, 9, 0, s.src, 10, 9, 0, 2)
		binary.BigEndian.PutUint16(ip[10:], naive(ip))
	}
	at := tcpSum
	if s.udp {
		at = udpSum
	}
	binary.BigEndian.PutUint16(l4[at:], naiveL4(ip, l4))
	return append(ip, l4...)
}

// naive is the checksum as RFC 1071 describes it.
func naive(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		if s += w; s > 0xffff {
			s = s&0xffff + 1
		}
	}
	return ^uint16(s)
}

// naiveL4 is the transport checksum of a segment whose field is zero.
func naiveL4(ip, l4 []byte) uint16 {
	var pseudo []byte
	if ip[0]>>4 == 6 {
		pseudo = append(pseudo, ip[8:40]...)
		pseudo = append(pseudo, 0, 0, byte(len(l4)>>8), byte(len(l4)), 0, 0, 0, ip[6])
	} else {
		pseudo = append(pseudo, ip[12:20]...)
		pseudo = append(pseudo, 0, ip[9], byte(len(l4)>>8), byte(len(l4)))
	}
	if len(l4)%2 == 1 {
		l4 = append(bytes.Clone(l4), 0)
	}
	sum := naive(append(pseudo, l4...))
	if sum == 0 && (ip[0]>>4 == 6 && ip[6] == protoUDP || ip[0]>>4 == 4 && ip[9] == protoUDP) {
		return 0xffff
	}
	return sum
}

// wantGood checks both checksums of a packet, and its lengths, the plain way.
func wantGood(t testing.TB, b []byte) {
	t.Helper()
	head, proto := int(b[0]&15)*4, b[9]
	if b[0]>>4 == 6 {
		head, proto = ipv6Len, b[6]
		if got := int(binary.BigEndian.Uint16(b[4:])) + ipv6Len; got != len(b) {
			t.Errorf("length %d in a packet of %d", got, len(b))
		}
	} else {
		if got := int(binary.BigEndian.Uint16(b[2:])); got != len(b) {
			t.Errorf("length %d in a packet of %d", got, len(b))
		}
		if naive(b[:head]) != 0 {
			t.Errorf("bad header checksum in %x", b[:head])
		}
	}
	at := head + tcpSum
	if proto == protoUDP {
		at = head + udpSum
	}
	l4 := bytes.Clone(b[head:])
	got := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(l4[at-head:], 0)
	if want := naiveL4(b[:head], l4); got != want {
		t.Errorf("transport checksum %#04x, want %#04x", got, want)
	}
}

func random(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestSum compares with the plain way, for all lengths around the loops' steps
// and with the values that carry most.
func TestSum(t *testing.T) {
	for n := range 600 {
		for _, b := range [][]byte{random(n, uint64(n)), bytes.Repeat([]byte{0xff}, n), make([]byte, n)} {
			if got, want := Checksum(b), naive(b); got != want {
				t.Fatalf("checksum of %d bytes %#04x, want %#04x", n, got, want)
			}
			for off := range min(n, 9) { // unaligned
				if got, want := Checksum(b[off:]), naive(b[off:]); got != want {
					t.Fatalf("checksum of %d bytes at %d: %#04x, want %#04x", n, off, got, want)
				}
			}
			if got, want := addWords(b, 12345), addWordsGeneric(b, 12345); fold(got) != fold(want) {
				t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
			}
		}
	}
}

func TestComplete(t *testing.T) {
	for _, s := range []spec{{payload: []byte("odd")}, {v6: true, payload: random(100, 1)}, {udp: true, payload: random(33, 2)}, {udp: true, v6: true}} {
		want := s.make()
		b := bytes.Clone(want)
		l, ok := parse(b)
		if !ok {
			t.Fatal("not parsed")
		}
		binary.BigEndian.PutUint16(b[l.sumAt():], fold(l.pseudo(b, len(b)-l.l4))) // as the kernel leaves it
		if !Complete(b, l.l4, l.sumAt()-l.l4) || !bytes.Equal(b, want) {
			t.Errorf("%+v:\n got %x\nwant %x", s, b, want)
		}
	}
	for _, c := range [][2]int{{-1, 0}, {0, -1}, {100, 0}, {19, 0}, {0, 19}} {
		if Complete(make([]byte, 20), c[0], c[1]) {
			t.Errorf("start %d, offset %d: accepted", c[0], c[1])
		}
	}
}

// cutAll returns copies of all segments of an IP packet.
func cutAll(t testing.TB, b []byte, g GSO) [][]byte {
	t.Helper()
	return cutLink(t, IP, b, g)
}

// cutLink returns copies of all segments.
func cutLink(t testing.TB, link Link, b []byte, g GSO) [][]byte {
	t.Helper()
	c := Cutter{Link: link}
	if err := c.Begin(b, g); err != nil {
		t.Fatal(err)
	}
	want := c.Count()
	var segs [][]byte
	for s := c.Next(); s != nil; s = c.Next() {
		segs = append(segs, bytes.Clone(s))
	}
	if len(segs) != want {
		t.Errorf("%d segments, Count said %d", len(segs), want)
	}
	return segs
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name string
		s    spec
		g    GSO
	}{
		{"TCP4", spec{seq: 0xfffffff0, ack: 7, flags: flagACK | flagPSH, ttl: 64, payload: random(10000, 1)}, GSO{TCP4, 1367}},
		{"TCP4 with options", spec{seq: 5, flags: flagACK | flagPSH | flagFIN | flagCWR, options: random(12, 9), payload: random(64000, 2)}, GSO{TCP4, 1355}},
		{"TCP6", spec{v6: true, seq: 5, flags: flagACK, options: random(40, 9), payload: random(4001, 3)}, GSO{TCP6, 1000}},
		{"UDP4", spec{udp: true, payload: random(5000, 4)}, GSO{UDP, 1200}},
		{"UDP6", spec{udp: true, v6: true, payload: random(5000, 5)}, GSO{UDP, 1}},
		{"one segment", spec{flags: flagACK | flagPSH, payload: random(100, 6)}, GSO{TCP4, 1367}},
		{"exactly two", spec{flags: flagACK, payload: random(200, 7)}, GSO{TCP4, 100}},
		{"no payload", spec{flags: flagACK}, GSO{TCP4, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			big := c.s.make()
			segs := cutAll(t, big, c.g)
			var payload []byte
			for i, seg := range segs {
				wantGood(t, seg)
				n := c.g.Size
				want := c.s
				want.payload = c.s.payload[i*n : min((i+1)*n, len(c.s.payload))]
				want.seq += uint32(i * n)
				if i < len(segs)-1 {
					want.flags &^= flagFIN | flagPSH
				}
				if i > 0 {
					want.flags &^= flagCWR
				}
				plain := want.make()
				if !c.s.v6 { // the identification counts up
					binary.BigEndian.PutUint16(plain[4:], 0x1234+uint16(i))
					binary.BigEndian.PutUint16(plain[10:], 0)
					binary.BigEndian.PutUint16(plain[10:], naive(plain[:ipv4Len]))
				}
				if !bytes.Equal(seg, plain) {
					t.Errorf("segment %d:\n got %x\nwant %x", i, seg[:min(80, len(seg))], plain[:min(80, len(plain))])
				}
				payload = append(payload, want.payload...)
			}
			if !bytes.Equal(payload, c.s.payload) {
				t.Error("the payload changed")
			}
		})
	}
}

func TestCutRefuses(t *testing.T) {
	good := spec{flags: flagACK, payload: random(1000, 1)}.make()
	udp := spec{udp: true, payload: random(1000, 1)}.make()
	edit := func(b []byte, at int, v byte) []byte { b = bytes.Clone(b); b[at] = v; return b }
	for _, c := range []struct {
		name string
		b    []byte
		g    GSO
	}{
		{"empty", nil, GSO{TCP4, 100}},
		{"no size", good, GSO{TCP4, 0}},
		{"negative size", good, GSO{TCP4, -1}},
		{"no kind", good, GSO{None, 100}},
		{"kind 99", good, GSO{99, 100}},
		{"UDP as TCP", udp, GSO{TCP4, 100}},
		{"TCP as UDP", good, GSO{UDP, 100}},
		{"IPv4 as IPv6", good, GSO{TCP6, 100}},
		{"cut short", good[:100], GSO{TCP4, 100}},
		{"header cut", good[:30], GSO{TCP4, 100}},
		{"a fragment", edit(good, 6, 0x20), GSO{TCP4, 100}},
		{"bad header length", edit(good, 0, 0x44), GSO{TCP4, 100}},
		{"bad TCP header length", edit(good, ipv4Len+tcpOffset, 0x40), GSO{TCP4, 100}},
		{"TCP header beyond the end", edit(spec{flags: flagACK}.make(), ipv4Len+tcpOffset, 0xf0), GSO{TCP4, 100}},
		{"another version", edit(good, 0, 0x55), GSO{TCP4, 100}},
		{"another protocol", edit(good, 9, 47), GSO{TCP4, 100}},
		{"UDP length", edit(udp, ipv4Len+udpSize, 0), GSO{UDP, 100}},
	} {
		if err := new(Cutter).Begin(c.b, c.g); err != ErrMalformed {
			t.Errorf("%s: %v, want ErrMalformed", c.name, err)
		}
	}
}

// joinAll gives packets to a Joiner and returns what comes out.
func joinAll(packets [][]byte, udp bool) []Packet {
	j := Joiner{UDP: udp}
	for _, p := range packets {
		j.Add(p)
	}
	return j.Flush()
}

// whole returns a joined packet in one piece, its checksum completed.
func (j Packet) whole(t testing.TB) []byte {
	t.Helper()
	b := bytes.Clone(j.Data)
	for _, tail := range j.Tail {
		b = append(b, tail...)
	}
	if j.GSO.Kind != None && !Complete(b, j.SumStart, j.SumOffset) {
		t.Fatal("the checksum is not in the packet")
	}
	return b
}

// TestJoinUndoesCut: what is cut and joined again is what it was.
func TestJoinUndoesCut(t *testing.T) {
	for _, c := range []struct {
		name string
		s    spec
		g    GSO
	}{
		{"TCP4", spec{seq: 0xfffffff0, ack: 7, flags: flagACK | flagPSH, ttl: 64, payload: random(60000, 1)}, GSO{TCP4, 1367}},
		{"TCP6", spec{v6: true, seq: 5, flags: flagACK, options: random(12, 9), payload: random(4001, 3)}, GSO{TCP6, 1000}},
		{"UDP4", spec{udp: true, payload: random(50000, 4)}, GSO{UDP, 1200}},
		{"UDP6", spec{udp: true, v6: true, payload: random(5001, 5)}, GSO{UDP, 500}},
	} {
		big := c.s.make()
		segs := cutAll(t, bytes.Clone(big), c.g)
		got := joinAll(segs, true)
		if len(got) != 1 || got[0].GSO != c.g {
			t.Errorf("%s: %d packets, %+v", c.name, len(got), got[0].GSO)
			continue
		}
		if !bytes.Equal(got[0].whole(t), big) {
			t.Errorf("%s: another packet", c.name)
		}
	}
}

// TestJoinOnly: what must not be joined, and what stays in order.
func TestJoinOnly(t *testing.T) {
	tcp := func(seq uint32, n int) spec {
		return spec{src: 1, sport: 5000, seq: seq, ack: 9, flags: flagACK, ttl: 64, payload: random(n, uint64(seq))}
	}
	with := func(s spec, f func(*spec)) spec { f(&s); return s }
	udp := func(n int) spec { return spec{src: 1, sport: 53, udp: true, ttl: 64, payload: random(n, uint64(n))} }
	for _, c := range []struct {
		name string
		in   []spec
		want string // segments of each packet that comes out
	}{
		{"in order", []spec{tcp(0, 100), tcp(100, 100), tcp(200, 100)}, "3"},
		{"a short one ends it", []spec{tcp(0, 100), tcp(100, 50), tcp(150, 100)}, "2 1"},
		{"a longer one begins anew", []spec{tcp(0, 100), tcp(100, 101), tcp(201, 101)}, "1 2"},
		{"a gap", []spec{tcp(0, 100), tcp(200, 100), tcp(300, 100)}, "1 2"},
		{"a repetition", []spec{tcp(0, 100), tcp(0, 100), tcp(100, 100)}, "1 2"},
		{"another acknowledgement", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.ack = 10 })}, "1 1"},
		{"another TTL", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.ttl = 63 })}, "1 1"},
		{"another option", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.options = []byte{1, 1, 1, 1} })}, "1 1"},
		{"PSH ends it", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.flags |= flagPSH }), tcp(200, 100)}, "2 1"},
		{"FIN travels alone", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.flags |= flagFIN })}, "1 1"},
		{"SYN first", []spec{with(tcp(0, 100), func(s *spec) { s.flags = flagSYN }), tcp(100, 100)}, "1 1"},
		{"CWR first", []spec{with(tcp(0, 100), func(s *spec) { s.flags |= flagCWR }), tcp(100, 100)}, "1 1"},
		{"no data", []spec{tcp(0, 0), tcp(0, 0)}, "1 1"},
		{"two flows take turns", []spec{
			tcp(0, 100), with(tcp(0, 100), func(s *spec) { s.sport = 5001 }),
			tcp(100, 100), with(tcp(100, 100), func(s *spec) { s.sport = 5001 }),
		}, "2 2"},
		{"two sources", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.src = 3 })}, "1 1"},
		{"both families", []spec{tcp(0, 100), with(tcp(100, 100), func(s *spec) { s.v6 = true })}, "1 1"},
		{"UDP", []spec{udp(100), udp(100), udp(60), udp(100)}, "3 1"},
		{"UDP and TCP", []spec{udp(100), tcp(0, 100), udp(100), tcp(100, 100)}, "2 2"},
		{"empty UDP", []spec{udp(0), udp(0)}, "1 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var in [][]byte
			for _, s := range c.in {
				in = append(in, s.make())
			}
			if got := shape(joinAll(clones(in), true)); got != c.want {
				t.Errorf("segments %q, want %q", got, c.want)
			}
			checkJoin(t, in, true)
		})
	}
}

func clones(in [][]byte) [][]byte {
	var out [][]byte
	for _, b := range in {
		out = append(out, bytes.Clone(b))
	}
	return out
}

func shape(js []Packet) string {
	s := ""
	for i, j := range js {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprint(1 + len(j.Tail))
	}
	return s
}

// checkJoin joins packets, cuts what comes out, and checks that these are the
// packets, in order for each flow.
func checkJoin(t testing.TB, in [][]byte, udp bool) {
	t.Helper()
	want := map[string][]string{}
	for _, b := range in {
		want[flow(b)] = append(want[flow(b)], comparable(b))
	}
	got := map[string][]string{}
	for _, j := range joinAll(clones(in), udp) {
		if j.GSO.Kind == None {
			got[flow(j.Data)] = append(got[flow(j.Data)], comparable(j.Data))
			continue
		}
		b := j.whole(t)
		wantGood(t, b)
		for _, seg := range cutAll(t, b, j.GSO) {
			got[flow(seg)] = append(got[flow(seg)], comparable(seg))
		}
	}
	for f, w := range want {
		g := got[f]
		if len(g) != len(w) {
			t.Fatalf("%d packets of a flow, want %d", len(g), len(w))
		}
		for i := range w {
			if g[i] != w[i] {
				t.Fatalf("packet %d of a flow:\n got %x\nwant %x", i, g[i], w[i])
			}
		}
	}
}

// flow returns what tells a packet's flow: addresses, protocol and ports, or the
// whole packet if there are none.
func flow(b []byte) string {
	l, ok := parse(b)
	switch {
	case !ok:
		return "" // in order among each other
	case l.v6:
		return string(b[8:40]) + string(b[6]) + string(b[40:44])
	}
	return string(b[12:20]) + string(b[9]) + string(b[l.l4:l.l4+4])
}

// comparable is a packet without what cutting makes anew: the identification of
// IPv4, and with it the header's checksum.
func comparable(b []byte) string {
	if l, ok := parse(b); ok && !l.v6 {
		b = bytes.Clone(b)
		clear(b[4:6])
		clear(b[10:12])
	}
	return string(b)
}

// TestJoinDamaged: a packet with a wrong checksum passes as it is; joining would
// give it a right one.
func TestJoinDamaged(t *testing.T) {
	s := spec{src: 1, sport: 5000, flags: flagACK, payload: random(100, 1)}
	a := s.make()
	s.seq = 100
	for _, at := range []int{30, 12, 60, 11} {
		b := s.make()
		b[at] ^= 1
		got := joinAll([][]byte{bytes.Clone(a), bytes.Clone(b)}, true)
		if len(got) != 2 || !bytes.Equal(got[1].Data, b) {
			t.Errorf("byte %d damaged: %s", at, shape(got))
		}
	}
	u := spec{src: 1, udp: true, payload: random(100, 1)}.make()
	u[26], u[27] = 0, 0 // no checksum
	if got := joinAll([][]byte{bytes.Clone(u), bytes.Clone(u)}, true); len(got) != 2 {
		t.Errorf("UDP without checksum: %s", shape(got))
	}
	if got := joinAll([][]byte{spec{udp: true, payload: random(9, 1)}.make(), spec{udp: true, payload: random(9, 1)}.make()}, false); len(got) != 2 {
		t.Errorf("UDP although it is switched off: %s", shape(got))
	}
}

// TestJoinLimits: a large packet does not become larger than IP allows.
func TestJoinLimits(t *testing.T) {
	var in [][]byte
	for i := range 300 {
		in = append(in, spec{src: 1, sport: 5000, seq: uint32(i * 1400), flags: flagACK, payload: random(1400, uint64(i))}.make())
	}
	for i := range 300 {
		in = append(in, spec{src: 1, sport: 5001, seq: uint32(i), flags: flagACK, payload: []byte{byte(i)}}.make())
	}
	for _, j := range joinAll(clones(in), true) {
		if n := len(j.whole(t)); n > maxJoined || len(j.Tail) > maxTails {
			t.Errorf("a packet of %d bytes in %d pieces", n, len(j.Tail)+1)
		}
	}
	checkJoin(t, in, true)
}
