package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// frame returns an IP packet in a frame with VLAN tags of the given priorities and
// numbers, the first of several being a provider's.
func frame(pkt []byte, tags ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for i, tag := range tags {
		typ := uint16(0x8100)
		if i == 0 && len(tags) > 1 {
			typ = 0x88a8
		}
		b = binary.BigEndian.AppendUint16(b, typ)
		b = binary.BigEndian.AppendUint16(b, tag)
	}
	typ := uint16(0x0800)
	if len(pkt) > 0 && pkt[0]>>4 == 6 {
		typ = 0x86dd
	}
	return append(binary.BigEndian.AppendUint16(b, typ), pkt...)
}

// naiveLink takes a frame apart, the plain way: link header, IP packet, and what is
// behind it. It returns all in the first if there is no whole IP packet.
func naiveLink(b []byte) (link, pkt, rest []byte) {
	at := 12
	for range 9 {
		if len(b) < at+2 {
			break
		}
		typ, p := fmt.Sprintf("%x", b[at:at+2]), b[at+2:]
		switch {
		case typ == "8100" || typ == "88a8":
			at += 4
			continue
		case typ == "0800" && len(p) >= 20 && p[0]>>4 == 4:
			if n := int(p[2])*256 + int(p[3]); n > 0 && n <= len(p) {
				return b[:at+2], p[:n], p[n:]
			}
		case typ == "86dd" && len(p) >= 40 && p[0]>>4 == 6:
			if n := 40 + int(p[4])*256 + int(p[5]); n <= len(p) {
				return b[:at+2], p[:n], p[n:]
			}
		}
		break
	}
	return b, nil, nil
}

var linkTags = []struct {
	name string
	tags []uint16
}{
	{"no tag", nil},
	{"one tag", []uint16{7}},
	{"a priority", []uint16{5 << 13}},
	{"two tags", []uint16{100, 3<<13 | 7}},
	{"eight tags", []uint16{1, 2, 3, 4, 5, 6, 7, 8}},
}

func TestPacket(t *testing.T) {
	tcp4 := spec{flags: flagACK, payload: random(10, 1)}.make()
	tcp6 := spec{v6: true, flags: flagACK, payload: random(10, 1)}.make()
	for _, c := range linkTags {
		for _, pkt := range [][]byte{tcp4, tcp6} {
			for _, padding := range []int{0, 6, 500} {
				got, ok := Ethernet.Packet(append(frame(pkt, c.tags...), make([]byte, padding)...))
				if !ok || !bytes.Equal(got, pkt) {
					t.Errorf("%s, %d behind it: %x, %v, want %x", c.name, padding, got, ok, pkt)
				}
			}
		}
	}
	none := map[string][]byte{
		"nothing":            nil,
		"13 bytes":           frame(tcp4)[:13],
		"a link header":      frame(nil),
		"all but a byte":     frame(tcp4)[:len(frame(tcp4))-1],
		"IPv6, cut":          frame(tcp6)[:60],
		"nine tags":          frame(tcp4, 1, 2, 3, 4, 5, 6, 7, 8, 9),
		"tags only":          frame(tcp4, 1, 2, 3)[:20],
		"ARP":                slices.Concat(frame(nil)[:12], []byte{8, 6}, tcp4),
		"LLC":                slices.Concat(frame(nil)[:12], []byte{0, 46}, tcp4),
		"IPv6 as IPv4":       slices.Concat(frame(nil), tcp6),
		"IPv4 as IPv6":       slices.Concat(frame(tcp6)[:14], tcp4, make([]byte, 100)),
		"IPv4 of length 0":   frame(make4(0)),
		"IPv4 of length 65k": frame(make4(65535)),
	}
	for name, b := range none {
		if got, ok := Ethernet.Packet(b); ok || len(got) != 0 {
			t.Errorf("%s: %x, %v, want none", name, got, ok)
		}
		if got, ok := IP.Packet(b); !ok || !bytes.Equal(got, b) {
			t.Errorf("%s, without link header: %x, %v, want all", name, got, ok)
		}
	}
	if got := IP.String() + " " + Ethernet.String(); got != "IP Ethernet" {
		t.Errorf("the links are called %s", got)
	}
}

// make4 returns the header of an IPv4 packet that claims a length.
func make4(n uint16) []byte {
	b := spec{flags: flagACK}.make()
	binary.BigEndian.PutUint16(b[2:], n)
	return b
}

// TestCutFrames: a frame is cut as the packet in it is, and each segment has its link
// header.
func TestCutFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		s    spec
		g    GSO
	}{
		{"TCP4", spec{seq: 0xfffffff0, ack: 7, flags: flagACK | flagPSH, ttl: 64, payload: random(10000, 1)}, GSO{TCP4, 1367}},
		{"TCP4 with options", spec{flags: flagACK | flagPSH | flagFIN | flagCWR, options: random(40, 9), payload: random(64000, 2)}, GSO{TCP4, 1355}},
		{"TCP6", spec{v6: true, seq: 5, flags: flagACK, options: random(40, 9), payload: random(4001, 3)}, GSO{TCP6, 1000}},
		{"UDP4", spec{udp: true, payload: random(5000, 4)}, GSO{UDP, 1200}},
		{"UDP6", spec{udp: true, v6: true, payload: random(500, 5)}, GSO{UDP, 1}},
		{"one segment", spec{flags: flagACK | flagPSH, payload: random(100, 6)}, GSO{TCP4, 1367}},
		{"no payload", spec{flags: flagACK}, GSO{TCP4, 100}},
	} {
		for _, l := range linkTags {
			want := cutAll(t, c.s.make(), c.g)
			got := cutLink(t, Ethernet, frame(c.s.make(), l.tags...), c.g)
			if len(got) != len(want) {
				t.Errorf("%s, %s: %d segments, want %d", c.name, l.name, len(got), len(want))
				continue
			}
			for i := range want {
				if w := frame(want[i], l.tags...); !bytes.Equal(got[i], w) {
					t.Errorf("%s, %s, segment %d:\n got %x\nwant %x", c.name, l.name, i, got[i][:min(100, len(got[i]))], w[:min(100, len(w))])
				}
			}
		}
	}
}

func TestCutFramesRefuses(t *testing.T) {
	pkt := spec{flags: flagACK, payload: random(1000, 1)}.make()
	g := GSO{TCP4, 100}
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"no link header": pkt,
		"padded":         append(frame(pkt), 0),
		"cut short":      frame(pkt)[:200],
		"ARP":            slices.Concat(frame(nil)[:12], []byte{8, 6}, pkt),
		"nine tags":      frame(pkt, 1, 2, 3, 4, 5, 6, 7, 8, 9),
	} {
		c := Cutter{Link: Ethernet}
		if err := c.Begin(b, g); err != ErrMalformed {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		// It is as good as new.
		if err := c.Begin(frame(pkt), g); err != nil || len(c.Next()) != 14+40+100 {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if err := new(Cutter).Begin(frame(pkt), g); err != ErrMalformed {
		t.Errorf("a frame as a packet: %v, want ErrMalformed", err)
	}
}

// checkJoinFrames joins frames, cuts what comes out, and checks that these are the
// frames: in order for each flow, whatever the link header, those that travelled
// alone to the last byte of padding, and the others without padding.
func checkJoinFrames(t testing.TB, in [][]byte) []Packet {
	t.Helper()
	flowOf := func(b []byte) string {
		_, pkt, _ := naiveLink(b)
		return flow(pkt)
	}
	waiting := map[string][][]byte{}
	for _, b := range in {
		f := flowOf(b)
		waiting[f] = append(waiting[f], b)
	}
	next := func(f string) []byte {
		if len(waiting[f]) == 0 {
			t.Fatalf("more frames of a flow than there were")
		}
		b := waiting[f][0]
		waiting[f] = waiting[f][1:]
		return b
	}
	j := Joiner{Link: Ethernet, UDP: true}
	for _, b := range in {
		j.Add(bytes.Clone(b))
	}
	out := j.Flush()
	for _, p := range out {
		if p.GSO.Kind == None {
			if want := next(flowOf(p.Data)); !bytes.Equal(p.Data, want) || p.Tail != nil {
				t.Fatalf("a frame that travels alone:\n got %x\nwant %x", p.Data, want)
			}
			continue
		}
		b := p.whole(t)
		_, pkt, rest := naiveLink(b)
		if wantGood(t, pkt); len(rest) != 0 || len(b) > maxJoined {
			t.Fatalf("a large frame of %d bytes has %d behind its packet", len(b), len(rest))
		}
		for _, seg := range cutLink(t, Ethernet, b, p.GSO) {
			link, pkt, rest := naiveLink(seg)
			wantLink, wantPkt, behind := naiveLink(next(flowOf(seg)))
			if len(behind) != 0 && len(wantPkt)+len(behind) > 46 {
				t.Fatalf("%d bytes behind a packet are lost", len(behind))
			}
			if !bytes.Equal(link, wantLink) || comparable(pkt) != comparable(wantPkt) || len(rest) != 0 {
				t.Fatalf("a segment:\n got %x %x\nwant %x %x", link, pkt, wantLink, wantPkt)
			}
		}
	}
	for f, w := range waiting {
		if len(w) != 0 {
			t.Fatalf("%d frames of flow %x are missing", len(w), f)
		}
	}
	return out
}

// TestJoinFramesUndoesCut: what is cut and joined again is what it was.
func TestJoinFramesUndoesCut(t *testing.T) {
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
		for _, l := range linkTags {
			big := frame(c.s.make(), l.tags...)
			got := checkJoinFrames(t, cutLink(t, Ethernet, bytes.Clone(big), c.g))
			if len(got) != 1 || got[0].GSO != c.g {
				t.Errorf("%s, %s: %s packets, %+v", c.name, l.name, shape(got), got[0].GSO)
				continue
			}
			if !bytes.Equal(got[0].whole(t), big) {
				t.Errorf("%s, %s: another frame", c.name, l.name)
			}
		}
	}
}

// TestJoinFramesOnly: what must not be joined, what loses its padding, and what stays
// in order.
func TestJoinFramesOnly(t *testing.T) {
	seg := func(seq uint32, n int) []byte {
		return spec{src: 1, sport: 5000, seq: seq, ack: 9, flags: flagACK, ttl: 64, payload: random(n, uint64(seq))}.make()
	}
	udp := func(n int) []byte {
		return spec{src: 1, sport: 53, udp: true, ttl: 64, payload: random(n, uint64(n))}.make()
	}
	behind := func(b []byte, n int) []byte { return append(b, bytes.Repeat([]byte{0xaa}, n)...) }
	from := func(b []byte, last byte) []byte { b[11] = last; return b }
	for _, c := range []struct {
		name string
		in   [][]byte
		want string // segments of each frame that comes out
	}{
		{"in order", [][]byte{frame(seg(0, 100)), frame(seg(100, 100)), frame(seg(200, 50))}, "3"},
		{"in a VLAN", [][]byte{frame(seg(0, 100), 7), frame(seg(100, 100), 7)}, "2"},
		{"in two VLANs", [][]byte{frame(seg(0, 100), 7), frame(seg(100, 100), 8)}, "1 1"},
		{"with a tag and without", [][]byte{frame(seg(0, 100)), frame(seg(100, 100), 7), frame(seg(200, 100), 7)}, "1 2"},
		{"another priority", [][]byte{frame(seg(0, 100), 7), frame(seg(100, 100), 1<<13|7), frame(seg(100, 100), 7)}, "1 1 1"},
		{"one tag and two", [][]byte{frame(seg(0, 100), 7), frame(seg(100, 100), 7, 7)}, "1 1"},
		{"another sender", [][]byte{frame(seg(0, 100)), from(frame(seg(100, 100)), 3)}, "1 1"},
		{"UDP", [][]byte{frame(udp(100)), frame(udp(100)), frame(udp(60)), frame(udp(100))}, "3 1"},
		{"the last one is padded", [][]byte{frame(seg(0, 9)), frame(seg(9, 9)), behind(frame(seg(18, 3)), 3)}, "3"},
		{"all are padded", [][]byte{behind(frame(seg(0, 5)), 1), behind(frame(seg(5, 5)), 1), behind(frame(seg(10, 2)), 4)}, "3"},
		{"a padded one alone", [][]byte{behind(frame(udp(3)), 15)}, "1"},
		{"all are padded, in a VLAN", [][]byte{behind(frame(seg(0, 5), 7), 1), behind(frame(seg(5, 5), 7), 1)}, "2"},
		{"padded without data", [][]byte{frame(seg(0, 100)), behind(frame(seg(100, 0)), 6), frame(seg(100, 100))}, "1 1 1"},
		{"a trailer", [][]byte{frame(seg(0, 100)), behind(frame(seg(100, 100)), 4), frame(seg(200, 100))}, "1 1 1"},
		{"a trailer first", [][]byte{behind(frame(seg(0, 100)), 4), frame(seg(100, 100)), frame(seg(200, 100))}, "1 2"},
		{"one byte more than padding", [][]byte{frame(seg(0, 6)), behind(frame(seg(6, 6)), 1)}, "1 1"},
		{"ARP between", [][]byte{frame(seg(0, 100)), slices.Concat(frame(nil)[:12], []byte{8, 6}, make([]byte, 46)), frame(seg(100, 100))}, "2 1"},
		{"two flows take turns", [][]byte{
			frame(seg(0, 100)), frame(udp(100)), frame(seg(100, 100)), frame(udp(100)),
		}, "2 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shape(checkJoinFrames(t, c.in)); got != c.want {
				t.Errorf("segments %q, want %q", got, c.want)
			}
		})
	}
}

// TestOddFrames: what is not known passes whole and untouched.
func TestOddFrames(t *testing.T) {
	head := frame(nil)[:12]
	tcp := spec{flags: flagACK, payload: random(100, 1)}.make()
	icmp := spec{flags: flagACK, payload: random(100, 1)}.make()
	icmp[9] = 1
	fragment := spec{udp: true, payload: random(100, 1)}.make()
	fragment[6] = 0x20
	for name, b := range map[string][]byte{
		"nothing":         {},
		"a runt":          {1, 2, 3},
		"13 bytes":        frame(nil)[:13],
		"a header":        frame(nil),
		"ARP":             slices.Concat(head, []byte{8, 6}, make([]byte, 28)),
		"LLC":             slices.Concat(head, []byte{0, 38, 0x42, 0x42, 3}, make([]byte, 35)),
		"unknown":         slices.Concat(head, []byte{0x88, 0xb5}, tcp),
		"PPPoE":           slices.Concat(head, []byte{0x88, 0x64}, tcp),
		"nine tags":       frame(tcp, 1, 2, 3, 4, 5, 6, 7, 8, 9),
		"a cut tag":       frame(tcp, 7)[:15],
		"ICMP":            frame(icmp),
		"a fragment":      frame(fragment),
		"IPv6 of nothing": frame(append([]byte{0x60, 5: 0, 6: 59}, make([]byte, 33)...)),
	} {
		j := Joiner{Link: Ethernet, UDP: true}
		for range 3 {
			j.Add(bytes.Clone(b))
		}
		out := j.Flush()
		if len(out) != 3 {
			t.Errorf("%s: %d frames, want 3", name, len(out))
		}
		for _, p := range out {
			if !bytes.Equal(p.Data, b) || p.GSO.Kind != None || p.Tail != nil {
				t.Errorf("%s: %x, %+v, want it as it was: %x", name, p.Data, p.GSO, b)
			}
		}
	}
}

// TestJoinFramesLimits: a large frame does not become larger than IP allows.
func TestJoinFramesLimits(t *testing.T) {
	var in [][]byte
	for i := range 300 {
		in = append(in, frame(spec{src: 1, sport: 5000, seq: uint32(i * 1400), flags: flagACK, payload: random(1400, uint64(i))}.make(), 1, 2))
	}
	for i := range 300 {
		in = append(in, frame(spec{src: 1, sport: 5001, seq: uint32(i), flags: flagACK, payload: []byte{byte(i)}}.make()))
	}
	for _, p := range checkJoinFrames(t, in) {
		if n := len(p.whole(t)); n > maxJoined || len(p.Tail) > maxTails {
			t.Errorf("a frame of %d bytes in %d pieces", n, len(p.Tail)+1)
		}
	}
}
