package frame

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	ip  = netip.MustParseAddr
	src = MAC{2, 0, 0, 0, 0, 1}
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, ip(t))
	}
	return all
}

// golden are messages with their bytes behind the Ethernet header. The fields
// are from the RFCs, and the checksums from another implementation.
var golden = []struct {
	name     string
	h        Header
	m        Message
	dst      string // the Ethernet address
	want     string
	describe string
}{
	{
		"IGMPv2 report", Header{SrcIP: ip("10.0.0.1")}, Message{Kind: Report, Version: 2, Group: ip("239.1.2.3")},
		"01:00:5e:01:02:03",
		"46c00020" + "00004000" + "0102e912" + "0a000001" + "ef010203" + "94040000" + "1600f8fa" + "ef010203",
		"02:00:00:00:00:01 > 01:00:5e:01:02:03 10.0.0.1 > 239.1.2.3 report v2 239.1.2.3",
	},
	{
		"IGMPv1 report", Header{SrcIP: ip("10.0.0.1")}, Message{Kind: Report, Version: 1, Group: ip("239.1.2.3")},
		"01:00:5e:01:02:03",
		"46c00020" + "00004000" + "0102e912" + "0a000001" + "ef010203" + "94040000" + "1200fcfa" + "ef010203",
		"02:00:00:00:00:01 > 01:00:5e:01:02:03 10.0.0.1 > 239.1.2.3 report v1 239.1.2.3",
	},
	{
		"IGMPv2 leave", Header{SrcIP: ip("10.0.0.1")}, Message{Kind: Leave, Version: 2, Group: ip("239.1.2.3")},
		"01:00:5e:00:00:02",
		"46c00020" + "00004000" + "0102fa14" + "0a000001" + "e0000002" + "94040000" + "1700f7fa" + "ef010203",
		"02:00:00:00:00:01 > 01:00:5e:00:00:02 10.0.0.1 > 224.0.0.2 leave v2 239.1.2.3",
	},
	{
		"IGMPv2 general query", Header{SrcIP: ip("0.0.0.0")},
		Message{Kind: Query, Version: 2, Group: ip("0.0.0.0"), MaxResponse: 10 * time.Second},
		"01:00:5e:00:00:01",
		"46c00020" + "00004000" + "01020417" + "00000000" + "e0000001" + "94040000" + "1164ee9b" + "00000000",
		"02:00:00:00:00:01 > 01:00:5e:00:00:01 0.0.0.0 > 224.0.0.1 query v2 0.0.0.0",
	},
	{
		"IGMPv3 query of sources", Header{SrcIP: ip("10.0.0.1")},
		Message{
			Kind: Query, Version: 3, Group: ip("239.1.2.3"), MaxResponse: time.Second, Suppress: true,
			Robustness: 2, Interval: 125 * time.Second, Sources: addrs("192.0.2.1"),
		},
		"01:00:5e:01:02:03",
		"46c00028" + "00004000" + "0102e90a" + "0a000001" + "ef010203" + "94040000" + "110a3171" + "ef010203" + "0a7d0001" + "c0000201",
		"02:00:00:00:00:01 > 01:00:5e:01:02:03 10.0.0.1 > 239.1.2.3 query v3 239.1.2.3",
	},
	{
		"IGMPv3 report", Header{SrcIP: ip("10.0.0.1")},
		Message{Kind: Report, Version: 3, Records: []Record{{Type: Allow, Group: ip("232.1.2.3"), Sources: addrs("192.0.2.1", "192.0.2.2")}}},
		"01:00:5e:00:00:16",
		"46c00030" + "00004000" + "0102f9f0" + "0a000001" + "e0000016" + "94040000" +
			"22006af3" + "00000001" + "05000002" + "e8010203" + "c0000201" + "c0000202",
		"02:00:00:00:00:01 > 01:00:5e:00:00:16 10.0.0.1 > 224.0.0.22 report v3 ALLOW 232.1.2.3 [192.0.2.1 192.0.2.2]",
	},
	{
		"MLDv1 report", Header{SrcIP: ip("fe80::1")}, Message{Kind: Report, Version: 2, Group: ip("ff15::1234")},
		"33:33:00:00:12:34",
		"60000000" + "00200001" + "fe800000000000000000000000000001" + "ff150000000000000000000000001234" +
			"3a00050200000100" + "83005b97" + "00000000" + "ff150000000000000000000000001234",
		"02:00:00:00:00:01 > 33:33:00:00:12:34 fe80::1 > ff15::1234 report v2 ff15::1234",
	},
	{
		"MLDv2 report", Header{SrcIP: ip("fe80::1")},
		Message{Kind: Report, Version: 3, Records: []Record{{Type: ToIn, Group: ip("ff15::1234")}}},
		"33:33:00:00:00:16",
		"60000000" + "00240001" + "fe800000000000000000000000000001" + "ff020000000000000000000000000016" +
			"3a00050200000100" + "8f005ec3" + "00000001" + "03000000" + "ff150000000000000000000000001234",
		"02:00:00:00:00:01 > 33:33:00:00:00:16 fe80::1 > ff02::16 report v3 TO_IN ff15::1234 []",
	},
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, c := range golden {
		c.h.Src = src
		b := Membership(c.h, c.m)
		if got := hex.EncodeToString(b[14:]); got != c.want {
			t.Errorf("%s: got\n%s, want\n%s", c.name, got, c.want)
		}
		f, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !reflect.DeepEqual(f.Message, c.m) {
			t.Errorf("%s: it is read as %+v, want %+v", c.name, f.Message, c.m)
		}
		if f.Dst.String() != c.dst || f.TTL != 1 || !f.RouterAlert {
			t.Errorf("%s: to %v with TTL %d and router alert %v, want %s, 1, true", c.name, f.Dst, f.TTL, f.RouterAlert, c.dst)
		}
		if got := f.String(); got != c.describe {
			t.Errorf("%s: described as %q, want %q", c.name, got, c.describe)
		}
		packet, err := ParseIP(b[14:])
		if err != nil || !reflect.DeepEqual(packet.Message, c.m) || packet.EtherType != f.EtherType {
			t.Errorf("%s: without Ethernet it is read as %+v (%v)", c.name, packet, err)
		}
	}
}

// TestMangled cuts every message off at every byte, and changes addresses in it
// bit by bit: the checksum tells.
func TestMangled(t *testing.T) {
	t.Parallel()
	for _, c := range golden {
		b := Membership(c.h, c.m)
		for i := range b {
			if _, err := Parse(b[:i]); i > 14 && !errors.Is(err, ErrShort) {
				t.Errorf("%s: the first %d bytes: error %v, want %v", c.name, i, err, ErrShort)
			}
		}
		// The last bytes of each are of a group or a source.
		for i := len(b) - 4; i < len(b); i++ {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if f, err := Parse(b); err == nil {
					t.Errorf("%s: byte %d bit %d is changed and nobody notices: %v", c.name, i, bit, f)
				}
				b[i] ^= 1 << bit
			}
		}
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		h    Header
		want string
	}{
		{"IPv4", Header{SrcIP: ip("10.0.0.1"), DstIP: ip("239.1.2.3"), TTL: 4}, "02:00:00:00:00:01 > 01:00:5e:01:02:03 10.0.0.1 > 239.1.2.3 udp 7 > 8, 3 bytes"},
		{"IPv6", Header{SrcIP: ip("fd00::1"), DstIP: ip("ff15::1:2:3")}, "02:00:00:00:00:01 > 33:33:00:02:00:03 fd00::1 > ff15::1:2:3 udp 7 > 8, 3 bytes"},
		{"broadcast", Header{SrcIP: ip("10.0.0.1"), DstIP: ip("255.255.255.255")}, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff 10.0.0.1 > 255.255.255.255 udp 7 > 8, 3 bytes"},
		{"unicast", Header{Dst: MAC{2, 0, 0, 0, 0, 9}, SrcIP: ip("10.0.0.1"), DstIP: ip("10.0.0.2")}, "02:00:00:00:00:01 > 02:00:00:00:00:09 10.0.0.1 > 10.0.0.2 udp 7 > 8, 3 bytes"},
		{
			"two tags", Header{Tags: []Tag{{TPID: TPIDService, VID: 7}, {VID: 42, Priority: 5}}, SrcIP: ip("10.0.0.1"), DstIP: ip("239.1.2.3")},
			"02:00:00:00:00:01 > 01:00:5e:01:02:03 vlan 7 vlan 42 10.0.0.1 > 239.1.2.3 udp 7 > 8, 3 bytes",
		},
	} {
		c.h.Src = src
		b := UDP(c.h, 7, 8, []byte("abc"))
		f, err := Parse(b)
		if err != nil || f.String() != c.want || string(f.Payload) != "abc" || f.TTL != max(c.h.TTL, 1) {
			t.Errorf("%s: read as %v with TTL %d (%v), want %s", c.name, f, f.TTL, err, c.want)
		}
	}
}

// TestUDPChecksum has one datagram whose sum is that of another implementation,
// and one whose sum is zero and is sent as all ones.
func TestUDPChecksum(t *testing.T) {
	t.Parallel()
	h := Header{SrcIP: ip("10.0.0.1"), DstIP: ip("10.0.0.2")}
	for payload, want := range map[string]string{"abc": "2764", "\xeb\xc8": "ffff"} {
		b := UDP(h, 7, 8, []byte(payload))
		if got := hex.EncodeToString(b[14+20+6 : 14+20+8]); want != got {
			t.Errorf("the checksum of %x is %s, want %s", payload, got, want)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	plain := Raw(Header{Src: src, Dst: Broadcast}, 0x88b5, []byte("content"))
	tag := Tag{TPID: TPIDCustomer, Priority: 7, VID: 4094}
	tagged := Raw(Header{Src: src, Dst: Broadcast, Tags: []Tag{tag}}, 0x88b5, []byte("content"))
	if got := InsertTag(plain, tag); string(got) != string(tagged) {
		t.Errorf("inserted: %x, want %x", got, tagged)
	}
	if got := NewTag(TPIDCustomer, 0xeffe|0x1000); got != (Tag{TPIDCustomer, 7, 4094}) {
		t.Errorf("a tag is read as %+v", got)
	}
	if got := InsertTag([]byte("short"), tag); string(got) != "short" {
		t.Errorf("a frame without addresses becomes %q", got)
	}
	f, err := Parse(tagged)
	if err != nil || f.VID() != 4094 || f.EtherType != 0x88b5 || !strings.HasSuffix(f.String(), "vlan 4094 type 88b5") {
		t.Errorf("read as %v (%v)", f, err)
	}
	if f, err := Parse(plain); err != nil || f.VID() != 0 {
		t.Errorf("without a tag, the VLAN is %d (%v)", f.VID(), err)
	}
}

func TestGroupMAC(t *testing.T) {
	t.Parallel()
	for group, want := range map[string]string{
		"224.0.0.251": "01:00:5e:00:00:fb", "239.129.2.3": "01:00:5e:01:02:03", "224.1.2.3": "01:00:5e:01:02:03",
		"ff02::1:ff12:3456": "33:33:ff:12:34:56", "10.0.0.1": "00:00:00:00:00:00", "255.255.255.255": "ff:ff:ff:ff:ff:ff",
	} {
		if got := GroupMAC(ip(group)); got.String() != want {
			t.Errorf("frames to %s go to %v, want %s", group, got, want)
		}
	}
	if !Broadcast.IsGroup() || src.IsGroup() {
		t.Error("a group is taken for a card, or the other way round")
	}
}

// TestOdd reads what is unusual and correct.
func TestOdd(t *testing.T) {
	t.Parallel()
	h := Header{Src: src, SrcIP: ip("10.0.0.1")}
	v1 := Membership(h, Message{Kind: Query, Version: 1, Group: ip("0.0.0.0")})
	if f, err := Parse(v1); err != nil || f.Message.Version != 1 {
		t.Errorf("a query of version 1 is read as %v (%v)", f, err)
	}
	fragment := UDP(Header{Src: src, SrcIP: ip("10.0.0.1"), DstIP: ip("239.1.2.3")}, 1, 2, []byte("abcdefgh"))
	fragment[14+7] = 1 // its offset
	sumAgain(fragment[14 : 14+20])
	if f, err := Parse(fragment); err != nil || f.Protocol != 0 || f.Payload != nil {
		t.Errorf("a later fragment is read as %v (%v)", f, err)
	}
	// RFC 3376 section 4.2.10: auxiliary data is skipped.
	aux := Message{Kind: Report, Version: 3, Records: []Record{{Type: IsIn, Group: ip("239.1.1.1"), Sources: addrs("10.0.0.9")}, {Type: 9, Group: ip("239.1.1.2")}}}
	b := aux.append(nil)
	b[9] = 1 // a word of auxiliary data in the first record
	b = append(b[:20], append([]byte{1, 2, 3, 4}, b[20:]...)...)
	m, err := parseMessage(b, false)
	if err != nil || !reflect.DeepEqual(m, aux) {
		t.Errorf("with auxiliary data, read as %+v (%v), want %+v", m, err, aux)
	}
	if got := aux.Records[1].Type.String(); got != "record type 9" {
		t.Errorf("an unknown record is called %q", got)
	}
	if got := NoMessage.String(); got != "no message" {
		t.Errorf("no message is called %q", got)
	}
}

// sumAgain sets the checksum of an IPv4 header.
func sumAgain(b []byte) {
	b[10], b[11] = 0, 0
	s := checksum(0, b)
	b[10], b[11] = byte(s>>8), byte(s)
}

func FuzzParse(f *testing.F) {
	for _, c := range golden {
		c.h.Tags = []Tag{{VID: 5}}
		f.Add(Membership(c.h, c.m))
	}
	f.Add(UDP(Header{SrcIP: ip("10.0.0.1"), DstIP: ip("239.1.2.3")}, 1, 2, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := Parse(b)
		_ = fr.String()
		if err != nil || fr.Message.Kind == NoMessage {
			return
		}
		// What was read says the same when it is built again, as far as its
		// numbers can be said exactly.
		m := fr.Message
		m.MaxResponse, m.Interval = 0, 0
		if m.Kind == Query && m.Version == 2 && !m.is6() {
			m.MaxResponse = time.Second // not version 1
		}
		if m.Kind == Report && m.Version == 3 && len(m.Records) == 0 {
			return // of either family
		}
		h := Header{Src: fr.Src, Dst: fr.Dst, SrcIP: fr.SrcIP, DstIP: fr.DstIP}
		again, err := Parse(Membership(h, m))
		if err != nil || !reflect.DeepEqual(again.Message, m) {
			t.Errorf("%+v is built as %+v (%v)", m, again.Message, err)
		}
	})
}
