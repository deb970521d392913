package l2

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/segment"
)

func TestTAPMTU(t *testing.T) {
	// IPv4 and UDP headers, and a record with AES-GCM.
	const overhead = 20 + 8 + 13 + 8 + 16
	for _, c := range []struct{ path, overhead, tags, want int }{
		{1500, overhead, 0, 1421},
		{1500, overhead, 1, 1417},
		{1500, overhead, 2, 1413},
		{9000, overhead, 0, 8921},
		{576, overhead, 0, 497},
		{70, overhead, 0, 0},
		{0, overhead, 2, 0},
	} {
		got := TAPMTU(c.path, c.overhead, c.tags)
		if got != c.want {
			t.Errorf("TAPMTU(%d, %d, %d) = %d, want %d", c.path, c.overhead, c.tags, got, c.want)
		}
		if whole := ether.HeaderLen + c.tags*ether.TagLen + got; got > 0 && whole != FrameLimit(c.path, c.overhead) {
			t.Errorf("path %d: a frame has %d bytes, of %d", c.path, whole, FrameLimit(c.path, c.overhead))
		}
	}
}

var (
	ip6A = netip.MustParseAddr("fd00::a")
	ip6B = netip.MustParseAddr("fd00::b")
)

// packet returns a frame with an IP packet from a to b and right checksums.
func packet(a, b netip.Addr, proto byte, flags4 byte, body []byte) []byte {
	var f []byte
	if a.Is4() {
		s, d := a.As4(), b.As4()
		h := []byte{0x45, 0, byte((20 + len(body)) >> 8), byte(20 + len(body)), 0, 1, flags4, 0, 64, proto, 0, 0}
		h = append(append(h, s[:]...), d[:]...)
		binary.BigEndian.PutUint16(h[10:], segment.Checksum(h))
		f = eth(macB, macL, ether.IPv4, h...)
	} else {
		s, d := a.As16(), b.As16()
		h := []byte{0x60, 0, 0, 0, byte(len(body) >> 8), byte(len(body)), proto, 64}
		f = eth(macB, macL, ether.IPv6, append(append(h, s[:]...), d[:]...)...)
	}
	return append(f, body...)
}

// transportSum returns the sum over a TCP segment and its pseudo-header; 0 is right.
func transportSum(a, b netip.Addr, t []byte) uint16 {
	pseudo := append(a.AsSlice(), b.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(t)))
	pseudo = append(pseudo, 0, 0, 0, 6)
	return segment.Checksum(append(pseudo, t...))
}

// syn returns a frame with the beginning of a TCP connection.
func syn(a, b netip.Addr, flags byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	t := []byte{0x30, 0x39, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, byte(5+len(options)/4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0}
	t = append(t, options...)
	binary.BigEndian.PutUint16(t[16:], transportSum(a, b, t))
	return packet(a, b, 6, 0x40, t)
}

// TestClampMSS: connections agree on segments that fit, checksums stay right, and
// everything else stays as it is.
func TestClampMSS(t *testing.T) {
	mss := func(n int) []byte { return []byte{2, 4, byte(n >> 8), byte(n)} }
	odd := append([]byte{1}, mss(1460)...)
	far := append([]byte{1, 1, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, mss(1460)...)
	for _, c := range []struct {
		name  string
		frame []byte
		limit int
		at    int // of the value, in the options
		want  int // 0: unchanged
	}{
		{"IPv4", syn(ipA, ipB, 2, mss(1460)...), 1435, 2, 1435 - 14 - 40},
		{"answer", syn(ipA, ipB, 0x12, mss(1460)...), 1435, 2, 1435 - 14 - 40},
		{"IPv6", syn(ip6A, ip6B, 2, mss(1440)...), 1435, 2, 1435 - 14 - 60},
		{"tagged", tagged(syn(ipA, ipB, 2, mss(1460)...), 10), 1435, 2, 1435 - 18 - 40},
		{"at an odd place", syn(ipA, ipB, 2, odd...), 1435, 3, 1435 - 14 - 40},
		{"behind others", syn(ipA, ipB, 2, far...), 1435, 16, 1435 - 14 - 40},
		{"fits exactly", syn(ipA, ipB, 2, mss(1381)...), 1435, 2, 0},
		{"one too many", syn(ipA, ipB, 2, mss(1382)...), 1435, 2, 1381},
		{"never below 536", syn(ipA, ipB, 2, mss(1460)...), 100, 2, 536},
		{"not opening", syn(ipA, ipB, 0x10, mss(1460)...), 1435, 2, 0},
		{"no option", syn(ipA, ipB, 2), 1435, 0, 0},
		{"behind the end", syn(ipA, ipB, 2, append([]byte{0}, mss(1460)...)...), 1435, 0, 0},
		{"option of a wrong length", syn(ipA, ipB, 2, 2, 3, 5, 180), 1435, 0, 0},
		{"option without length", syn(ipA, ipB, 2, 8, 0, 2, 4, 5, 180), 1435, 0, 0},
		{"option cut", syn(ipA, ipB, 2, 1, 1, 2, 4), 1435, 0, 0},
		{"UDP", udp4(macB, macL, ipA, ipB), 1435, 0, 0},
		{"ARP", whoHas(macL, ipL, ipB), 1435, 0, 0},
	} {
		b := bytes.Clone(c.frame)
		f, err := ether.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := ClampMSS(b, &f, c.limit); got != (c.want != 0) {
			t.Errorf("%s: changed %v", c.name, got)
		}
		if c.want == 0 {
			if !bytes.Equal(b, c.frame) {
				t.Errorf("%s: has changed", c.name)
			}
			continue
		}
		ip, _ := ether.ParseIP(b, &f)
		seg := b[ip.Body:ip.End]
		if got := int(binary.BigEndian.Uint16(seg[20+c.at:])); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := transportSum(ip.Src, ip.Dst, seg); got != 0 {
			t.Errorf("%s: checksum off by %04x", c.name, got)
		}
	}
}

// TestClampMSSCut: headers that are not all there.
func TestClampMSSCut(t *testing.T) {
	whole := syn(ipA, ipB, 2, 2, 4, 5, 180)
	for n := 14; n < len(whole); n++ {
		b := bytes.Clone(whole[:n])
		if n > 34 {
			b[17] = byte(n - 14) // what is there is a whole packet
		}
		f, err := ether.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if ClampMSS(b, &f, 1435) {
			t.Errorf("%d bytes of %d: changed", n, len(whole))
		}
	}
}

// TestTooBig4: the sender of an IPv4 packet that must not be cut hears what fits.
func TestTooBig4(t *testing.T) {
	for _, vids := range [][]ether.VID{nil, {10}, {10, 20}} {
		frame := tagged(packet(ipA, ipB, 17, 0x40, make([]byte, 1480)), vids...)
		f, _ := ether.Parse(frame)
		got := AppendTooBig([]byte{7}, frame, &f, 1435)[1:]
		h, err := ether.Parse(got)
		if err != nil || h.Dst != macL || h.Src != macB || h.Type != ether.IPv4 || h.Tags != f.Tags || h.VID != f.VID || h.Inner != f.Inner {
			t.Fatalf("VLANs %v: header %+v, %v", vids, h, err)
		}
		ip, ok := ether.ParseIP(got, &h)
		m := got[ip.Body:]
		if !ok || ip.Src != ipB || ip.Dst != ipA || ip.Proto != 1 || segment.Checksum(got[h.Net:ip.Body]) != 0 || segment.Checksum(m) != 0 {
			t.Fatalf("VLANs %v: %+v, %v", vids, ip, ok)
		}
		if mtu := binary.BigEndian.Uint16(m[6:]); m[0] != 3 || m[1] != 4 || int(mtu) != 1435-f.Net || ip.End-h.Net > 576 {
			t.Errorf("VLANs %v: type %d, code %d, MTU %d, %d bytes", vids, m[0], m[1], mtu, ip.End-h.Net)
		}
		if !bytes.HasPrefix(frame[f.Net:], m[8:]) {
			t.Errorf("VLANs %v: it quotes something else", vids)
		}
	}
}

// TestTooBig6: likewise for IPv6.
func TestTooBig6(t *testing.T) {
	frame := tagged(packet(ip6A, ip6B, 17, 0, make([]byte, 1460)), 10)
	f, _ := ether.Parse(frame)
	got := AppendTooBig(nil, frame, &f, 1435)
	h, err := ether.Parse(got)
	if err != nil || h.Dst != macL || h.Src != macB || h.Type != ether.IPv6 || h.VID != 10 {
		t.Fatalf("header %+v, %v", h, err)
	}
	ip, ok := ether.ParseIP(got, &h)
	m := got[ip.Body:]
	if !ok || ip.Src != ip6B || ip.Dst != ip6A || ip.Proto != 58 || ether.ChecksumICMPv6(ip.Src, ip.Dst, m) != 0 {
		t.Fatalf("%+v, %v", ip, ok)
	}
	if mtu := binary.BigEndian.Uint32(m[4:]); m[0] != 2 || m[1] != 0 || mtu != 1417 || ip.End-h.Net != 1280 {
		t.Errorf("type %d, code %d, MTU %d, %d bytes", m[0], m[1], mtu, ip.End-h.Net)
	}
	if !bytes.HasPrefix(frame[f.Net:], m[8:]) {
		t.Error("it quotes something else")
	}
}

// TestTooBigSilence: about these nothing is said.
func TestTooBigSilence(t *testing.T) {
	body := make([]byte, 1400)
	group := packet(ipA, film, 17, 0x40, body)
	copy(group, ether.GroupMAC(film).Append(nil))
	later := packet(ipA, ipB, 17, 0x40, body)
	later[14+7] = 9
	for _, c := range []struct {
		name  string
		frame []byte
		limit int
	}{
		{"may be cut on its way", packet(ipA, ipB, 17, 0, body), 1000},
		{"multicast", group, 1000},
		{"multicast to one station", packet(ipA, film, 17, 0x40, body), 1000},
		{"broadcast address", packet(ipA, limitedBroadcast, 17, 0x40, body), 1000},
		{"from nobody", packet(netip.IPv4Unspecified(), ipB, 17, 0x40, body), 1000},
		{"a fragment behind the first", later, 1000},
		{"an error of ICMP", packet(ipA, ipB, 1, 0x40, append([]byte{3}, body...)), 1000},
		{"an error of ICMPv6", packet(ip6A, ip6B, 58, 0, append([]byte{1}, body...)), 1300},
		{"a redirect", packet(ip6A, ip6B, 58, 0, append([]byte{137}, body...)), 1300},
		{"IPv6 where nothing fits", packet(ip6A, ip6B, 17, 0, body), 1280},
		{"no room at all", packet(ipA, ipB, 17, 0x40, body), 14},
		{"not IP", plain(macB, macL), 10},
		{"cut", packet(ipA, ipB, 17, 0x40, body)[:100], 90},
	} {
		f, err := ether.Parse(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendTooBig([]byte{7}, c.frame, &f, c.limit); len(got) != 1 {
			t.Errorf("%s: %d bytes", c.name, len(got))
		}
	}
	echo := packet(ip6A, ip6B, 58, 0, append([]byte{128}, body...))
	f, _ := ether.Parse(echo)
	if got := AppendTooBig(nil, echo, &f, 1400); len(got) == 0 {
		t.Error("about a question of ICMPv6 nothing is said")
	}
}
