package gmp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// reseal makes the checksums of a changed packet right again.
func reseal(b []byte) []byte {
	if b[0]>>4 == 4 {
		n := int(b[0]&15) * 4
		copy(b[10:], []byte{0, 0})
		binary.BigEndian.PutUint16(b[10:], checksum(0, b[:n]))
		copy(b[n+2:], []byte{0, 0})
		binary.BigEndian.PutUint16(b[n+2:], checksum(0, b[n:]))
		return b
	}
	body := headerV6 + 8
	copy(b[body+2:], []byte{0, 0})
	binary.BigEndian.PutUint16(b[body+2:], checksum(pseudoHeader(b[8:headerV6], len(b)-body, protoICMPv6), b[body:]))
	return b
}

func set(at int, v ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[at:], v)
		return reseal(b)
	}
}

// flip changes a bit, and leaves the checksums wrong.
func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at] ^= 1
		return b
	}
}

func v2Report() Message {
	return Message{Kind: Report, Version: 2, Src: ip("192.0.2.7"), Records: []Record{{Type: IsEx, Group: ip(group4)}}}
}

func v3Report() Message {
	return Message{Kind: Report, Version: 3, Src: ip("192.0.2.7"), Records: []Record{{Type: IsIn, Group: ip(group4), Sources: ips("192.0.2.1")}}}
}

func v3Query() Message {
	return Message{Kind: Query, Version: 3, Src: ip("192.0.2.9"), Group: ip(group4), Sources: ips("192.0.2.1")}
}

func mldReport() Message {
	return Message{Kind: Report, Version: 2, Src: ip("fe80::7"), Records: []Record{{Type: IsIn, Group: ip(group6), Sources: ips("2001:db8::1")}}}
}

func mldQuery1() Message { return Message{Kind: Query, Version: 1, Src: ip("fe80::7")} }

// TestRefuses changes good packets until nobody should obey them.
func TestRefuses(t *testing.T) {
	const igmp, mld = 24, 48 // where the messages begin
	for _, c := range []struct {
		name   string
		m      Message
		change func([]byte) []byte
		want   error
	}{
		{"checksum of IGMP", v2Report(), flip(igmp + 7), ErrChecksum},
		{"checksum of IPv4", v2Report(), flip(15), ErrChecksum},
		{"checksum of MLD", mldReport(), flip(mld + 20), ErrChecksum},
		{"checksum of MLD: pseudo header", mldReport(), flip(23), ErrChecksum},
		{"TTL", v2Report(), set(8, 2), ErrHops},
		{"hop limit", mldReport(), set(7, 255), ErrHops},
		{"fragment", v2Report(), set(6, 0x20), ErrFragment},
		{"no router alert in MLD", mldReport(), set(42, 1, 2), ErrRouterAlert},
		{"router alert of RSVP in MLD", mldReport(), set(42, 5, 2, 0, 1), ErrRouterAlert},
		{"query of MLD without an address", mldQuery1(), set(8, make([]byte, 16)...), ErrSource},
		{"query of MLD from afar", mldQuery1(), set(8, ip("2001:db8::7").AsSlice()...), ErrSource},
		{"report of MLD from afar", mldReport(), set(8, ip("2001:db8::7").AsSlice()...), ErrSource},
		{"report for no group", v2Report(), set(igmp+4, 192, 0, 2, 1), ErrGroup},
		{"record for no group", v3Report(), set(igmp+12, 192, 0, 2, 1), ErrGroup},
		{"query for no group", v3Query(), set(igmp+4, 192, 0, 2, 1), ErrGroup},
		{"sources of no group", v3Query(), set(igmp+4, 0, 0, 0, 0), ErrGroup},
		{"more records than there are", v3Report(), set(igmp+6, 0, 2), ErrShort},
		{"more sources than there are", v3Report(), set(igmp+10, 0, 2), ErrShort},
		{"more auxiliary data than there is", v3Report(), set(igmp+9, 1), ErrShort},
		{"more sources in a query than there are", v3Query(), set(igmp+10, 0, 2), ErrShort},
		{"too many records", v3Report(), set(igmp+6, 255, 255), ErrMany},
		{"too many sources", v3Report(), set(igmp+10, 255, 255), ErrMany},
		{"too many sources in a query", v3Query(), set(igmp+10, 255, 255), ErrMany},
		{"total length beyond the end", v2Report(), set(2, 1, 0), ErrShort},
		{"payload beyond the end", mldReport(), set(4, 1, 0), ErrShort},
		{"unknown type of IGMP", v2Report(), set(igmp, 0x55), ErrOther},
		{"unknown type of ICMPv6", mldReport(), set(mld, 200), ErrOther},
		{"ping", mldReport(), set(mld, 128), ErrOther},
		{"other protocol", v2Report(), set(9, 17), ErrOther},
		{"other version of IP", v2Report(), func(b []byte) []byte { b[0] = 0x56; return b }, ErrOther},
	} {
		b := c.m.Append(nil)
		if _, err := Parse(b); err != nil {
			t.Errorf("%s: unchanged: %v", c.name, err)
		}
		if _, err := Parse(c.change(b)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

// TestReportWithoutAddress: a host that checks its address has none (RFC 3590).
func TestReportWithoutAddress(t *testing.T) {
	m := mldReport()
	m.Src = netip.IPv6Unspecified()
	if _, err := Parse(m.Append(nil)); err != nil {
		t.Errorf("report from ::: %v, want none", err)
	}
}

// TestTruncated reads all beginnings of good packets: none is taken for good, but
// those whose lengths say so.
func TestTruncated(t *testing.T) {
	for _, c := range golden {
		b := unhex(t, c.hex)
		for n := range b {
			if _, err := Parse(b[:n]); err == nil {
				t.Errorf("%s: first %d of %d bytes are accepted", c.name, n, len(b))
			}
			Classify(b[:n])
		}
		if m, err := Parse(append(b, 1, 2, 3)); err != nil || text(m) != text(c.m) { // padding of Ethernet
			t.Errorf("%s: with padding: %s, %v", c.name, text(m), err)
		}
	}
}

func TestClassify(t *testing.T) {
	udp := append(unhex(t, "4500001c00000000401100000a000001ef010203"), 0x11, 0, 0, 0, 0, 0, 0, 0)
	unknown := v2Report()
	leave := v2Report()
	leave.Records[0].Type = ToIn
	for _, c := range []struct {
		name string
		b    []byte
		want Class
	}{
		{"nothing", nil, Data},
		{"UDP that begins like a query", udp, Data},
		{"leave", leave.Append(nil), Member},
		{"report with a wrong checksum", flip(27)(v3ReportBytes()), Member},
		{"unknown type of IGMP", set(24, 0x1f)(unknown.Append(nil)), Data},
		{"solicitation of routers", set(24, igmpSolicitation)(unknown.Append(nil)), Data},
		{"neighbour solicitation", set(48, 135)(mldAppend()), Data},
		{"hop-by-hop header beyond the end", set(41, 255)(mldAppend()), Data},
	} {
		if got := Classify(c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	b := mldAppend()
	if n := testing.AllocsPerRun(100, func() { Classify(b) }); n != 0 {
		t.Errorf("Classify allocates %v times", n)
	}
}

func v3ReportBytes() []byte { m := v3Report(); return m.Append(nil) }
func mldAppend() []byte     { m := mldReport(); return m.Append(nil) }

// TestFloats compares the codes with the formulas of RFC 3376 section 4.1.1 and RFC
// 3810 section 5.1.3.
func TestFloats(t *testing.T) {
	for _, c := range []struct{ code, want uint32 }{{0, 0}, {127, 127}, {0x80, 128}, {0x8f, 248}, {0x90, 256}, {0xff, 31744}} {
		if got := fromFloat8(byte(c.code)); got != c.want {
			t.Errorf("fromFloat8(%#x) = %d, want %d", c.code, got, c.want)
		}
	}
	for _, c := range []struct{ code, want uint32 }{{32767, 32767}, {0x8000, 32768}, {0x8fff, 65528}, {0xffff, 8387584}} {
		if got := fromFloat16(uint16(c.code)); got != c.want {
			t.Errorf("fromFloat16(%#x) = %d, want %d", c.code, got, c.want)
		}
	}
	for code := range 256 {
		if got := toFloat8(fromFloat8(byte(code))); got != byte(code) {
			t.Errorf("toFloat8(fromFloat8(%#x)) = %#x", code, got)
		}
	}
	for code := range 65536 {
		if got := toFloat16(fromFloat16(uint16(code))); got != uint16(code) {
			t.Fatalf("toFloat16(fromFloat16(%#x)) = %#x", code, got)
		}
	}
	for v := range uint32(40000) { // never more than was asked for
		if got := fromFloat8(toFloat8(v)); got > v || v < 31744 && got < v-v/16 {
			t.Fatalf("%d comes back as %d", v, got)
		}
	}
	if got := toFloat16(1 << 30); got != 0xffff {
		t.Errorf("toFloat16(1<<30) = %#x, want 0xffff", got)
	}
}

func TestMAC(t *testing.T) {
	for _, c := range []struct {
		group string
		want  [6]byte
	}{
		{"239.129.2.3", [6]byte{1, 0, 0x5e, 1, 2, 3}},
		{"224.1.2.3", [6]byte{1, 0, 0x5e, 1, 2, 3}},
		{"ff02::1:ff12:3456", [6]byte{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}},
	} {
		if got := MAC(ip(c.group)); got != c.want {
			t.Errorf("MAC(%s) = %x, want %x", c.group, got, c.want)
		}
	}
}

func TestScopeOf(t *testing.T) {
	for _, c := range []struct {
		group string
		want  Scope
	}{
		{"224.0.0.1", Always}, {"224.0.0.251", Always}, {"224.0.1.1", Wide}, {"239.255.255.250", Wide}, {"232.1.2.3", Wide},
		{"ff02::1", Always}, {"ff02::fb", Link}, {"ff02::1:ff00:1", Link}, {"ff12::1", Link}, {"ff05::c", Wide}, {"ff15::1", Wide},
		{"ff01::1", Never}, {"ff00::1", Never}, {"ff11::5", Never}, {"ff3e::8000:1", Wide},
	} {
		if got := ScopeOf(ip(c.group)); got != c.want {
			t.Errorf("ScopeOf(%s) = %v, want %v", c.group, got, c.want)
		}
	}
}

// many returns n addresses.
func many(n int, v4 bool) (out []netip.Addr) {
	for i := range n {
		if v4 {
			out = append(out, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		} else {
			out = append(out, netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 14: byte(i >> 8), 15: byte(i)}))
		}
	}
	return out
}

// TestSplit checks that no packet is too long and that nothing is lost.
func TestSplit(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		m := Message{Kind: Report, Version: newest(v4), Src: ip("fe80::7")}
		group := ip(group6)
		if v4 {
			m.Src, group = ip("192.0.2.7"), ip(group4)
		}
		for _, c := range []struct {
			kind    RecordType
			sources int
		}{{ToEx, 0}, {IsIn, 1}, {Allow, 700}, {ToIn, 400}, {IsEx, 2000}, {Block, 64}} {
			m.Records = append(m.Records, Record{Type: c.kind, Group: group, Sources: many(c.sources, v4)})
		}
		for range 300 {
			m.Records = append(m.Records, Record{Type: IsEx, Group: group})
		}
		count, sources := map[RecordType]int{}, map[RecordType]int{}
		for _, part := range Split(m) {
			b := part.Append(nil)
			if len(b) > MaxPacket {
				t.Errorf("packet of %d bytes", len(b))
			}
			got, err := Parse(b)
			if err != nil || !reflect.DeepEqual(got.Records, clean(part.Records)) {
				t.Fatalf("a part does not come back: %v", err)
			}
			for _, r := range part.Records {
				count[r.Type]++
				sources[r.Type] += len(r.Sources)
			}
		}
		if count[ToIn] != 1 || count[ToEx] != 1 || count[IsEx] != 301 {
			t.Errorf("v4 %v: records %v: those that set a mode come once", v4, count)
		}
		if sources[Allow]+sources[ToIn] != 1100 || sources[Block] != 64 || sources[IsIn] != 1 {
			t.Errorf("v4 %v: sources %v, want 1,100 in Allow and ToIn, 64 in Block", v4, sources)
		}
		if n := sources[IsEx]; n == 0 || n >= 2000 {
			t.Errorf("v4 %v: %d sources in IsEx, want as many as one packet holds", v4, n)
		}
	}
	if got := Split(Message{Src: ip("192.0.2.7")}); got != nil {
		t.Errorf("no records make %d packets", len(got))
	}
}

// clean makes empty lists nil, as Parse does.
func clean(list []Record) (out []Record) {
	for _, r := range list {
		if len(r.Sources) == 0 {
			r.Sources = nil
		}
		out = append(out, r)
	}
	return out
}

func TestStrings(t *testing.T) {
	if got := Query.String() + Kind(9).String(); got != "queryunknown" {
		t.Errorf("kinds are %q", got)
	}
	if got := Allow.String() + RecordType(9).String(); got != "ALLOW?" {
		t.Errorf("types are %q", got)
	}
}

// FuzzParse reads any bytes. What is good is written and read again, and means the
// same.
func FuzzParse(f *testing.F) {
	for _, c := range golden {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		class := Classify(b)
		m, err := Parse(b)
		if err != nil {
			return
		}
		if (class == Member) != (m.Kind == Query || m.Kind == Report) || class == Data {
			t.Fatalf("class %v of %s", class, text(m))
		}
		if class != Member || len(m.Records)*20+len(m.Sources)*16 > 1000 {
			return
		}
		if m.Kind == Report && m.Newest() && len(m.Records) == 0 {
			return
		}
		again, err := Parse(m.Append(nil))
		m.MaxResp, again.MaxResp = m.MaxResp.Round(100*time.Millisecond), again.MaxResp.Round(100*time.Millisecond)
		if err != nil || text(m) != text(again) {
			t.Fatalf("\n got %s, %v\nwant %s", text(again), err, text(m))
		}
	})
}
