package gmp

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func ips(s string) (out []netip.Addr) {
	for _, a := range strings.Fields(s) {
		out = append(out, ip(a))
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text is a message in words.
func text(m Message) string {
	return fmt.Sprintf("%v v%d %v>%v g=%v s=%v max=%v S=%v qrv=%d qqi=%v rec=%v life=%v",
		m.Kind, m.Version, m.Src, m.Dst, m.Group, m.Sources, m.MaxResp, m.Suppress, m.Robustness, m.Interval, m.Records, m.Lifetime)
}

const (
	group4 = "239.1.2.3"
	group6 = "ff15::1234"
)

// golden are packets that another implementation has made from the RFCs.
var golden = []struct {
	name string
	hex  string
	m    Message
}{
	{"IGMPv1 query", "46c00020000000000102441700000000e0000001940400001100eeff00000000",
		Message{Kind: Query, Version: 1, Src: ip("0.0.0.0"), Dst: AllHosts}},
	{"IGMPv2 query", "46c00020000000000102820dc0000209e0000001940400001164ee9b00000000",
		Message{Kind: Query, Version: 2, Src: ip("192.0.2.9"), Dst: AllHosts, MaxResp: 10 * time.Second}},
	{"IGMPv2 group-specific query", "46c00020000000000102331400000000ef01020394040000110afdf0ef010203",
		Message{Kind: Query, Version: 2, Src: ip("0.0.0.0"), Dst: ip(group4), Group: ip(group4), MaxResp: time.Second}},
	{"IGMPv3 query", "46c00024000000000102441300000000e0000001940400001164ec1e00000000027d0000",
		Message{Kind: Query, Version: 3, Src: ip("0.0.0.0"), Dst: AllHosts, MaxResp: 10 * time.Second, Robustness: 2, Interval: 125 * time.Second}},
	{"IGMPv3 query for sources, S flag", "46c0002c000000000102330800000000ef01020394040000110a6f6def0102030a7d0002c0000201c0000202",
		Message{Kind: Query, Version: 3, Src: ip("0.0.0.0"), Dst: ip(group4), Group: ip(group4), Sources: ips("192.0.2.1 192.0.2.2"),
			MaxResp: time.Second, Suppress: true, Robustness: 2, Interval: 125 * time.Second}},
	{"IGMPv1 report", "46c00020000000000102710cc0000207ef010203940400001200fcfaef010203",
		Message{Kind: Report, Version: 1, Src: ip("192.0.2.7"), Dst: ip(group4), Records: []Record{{Type: IsEx, Group: ip(group4)}}}},
	{"IGMPv2 report", "46c00020000000000102710cc0000207ef010203940400001600f8faef010203",
		Message{Kind: Report, Version: 2, Src: ip("192.0.2.7"), Dst: ip(group4), Records: []Record{{Type: IsEx, Group: ip(group4)}}}},
	{"IGMPv2 leave", "46c00020000000000102820ec0000207e0000002940400001700f7faef010203",
		Message{Kind: Report, Version: 2, Src: ip("192.0.2.7"), Dst: AllRouters, Records: []Record{{Type: ToIn, Group: ip(group4)}}}},
	{"IGMPv3 report", "46c0003800000000010281e2c0000207e00000169404000022006eec0000000205000002ef010203c0000201c000020204000000ef010204",
		Message{Kind: Report, Version: 3, Src: ip("192.0.2.7"), Dst: AllIGMPv3, Records: []Record{
			{Type: Allow, Group: ip(group4), Sources: ips("192.0.2.1 192.0.2.2")}, {Type: ToEx, Group: ip("239.1.2.4")}}}},
	{"MLDv1 query", "6000000000200001fe800000000000000000000000000001ff0200000000000000000000000000013a00050200000100820059172710000000000000000000000000000000000000",
		Message{Kind: Query, Version: 1, Src: ip("fe80::1"), Dst: AllNodes6, MaxResp: 10 * time.Second}},
	{"MLDv2 query", "6000000000240001fe800000000000000000000000000001ff0200000000000000000000000000013a00050200000100820056962710000000000000000000000000000000000000027d0000",
		Message{Kind: Query, Version: 2, Src: ip("fe80::1"), Dst: AllNodes6, MaxResp: 10 * time.Second, Robustness: 2, Interval: 125 * time.Second}},
	{"MLDv2 query for a source", "6000000000340001fe800000000000000000000000000001ff1500000000000000000000000012343a000502000001008200286303e80000ff150000000000000000000000001234027d000120010db8000000000000000000000001",
		Message{Kind: Query, Version: 2, Src: ip("fe80::1"), Dst: ip(group6), Group: ip(group6), Sources: ips("2001:db8::1"),
			MaxResp: time.Second, Robustness: 2, Interval: 125 * time.Second}},
	{"MLDv1 report", "6000000000200001fe800000000000000000000000000001ff1500000000000000000000000012343a0005020000010083005b9700000000ff150000000000000000000000001234",
		Message{Kind: Report, Version: 1, Src: ip("fe80::1"), Dst: ip(group6), Records: []Record{{Type: IsEx, Group: ip(group6)}}}},
	{"MLDv1 done", "6000000000200001fe800000000000000000000000000001ff0200000000000000000000000000023a0005020000010084006cdc00000000ff150000000000000000000000001234",
		Message{Kind: Report, Version: 1, Src: ip("fe80::1"), Dst: AllRouters6, Records: []Record{{Type: ToIn, Group: ip(group6)}}}},
	{"MLDv2 report", "6000000000340001fe800000000000000000000000000001ff0200000000000000000000000000163a000502000001008f0032f80000000101000001ff15000000000000000000000000123420010db8000000000000000000000001",
		Message{Kind: Report, Version: 2, Src: ip("fe80::1"), Dst: AllMLDv2, Records: []Record{{Type: IsIn, Group: ip(group6), Sources: ips("2001:db8::1")}}}},
}

// TestGolden reads and writes known packets.
func TestGolden(t *testing.T) {
	for _, c := range golden {
		b := unhex(t, c.hex)
		m, err := Parse(b)
		if err != nil || text(m) != text(c.m) {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, text(m), err, text(c.m))
		}
		if got := Classify(b); got != Member {
			t.Errorf("%s: class %v, want %v", c.name, got, Member)
		}
		c.m.Dst = netip.Addr{} // goes where it belongs
		if got := hex.EncodeToString(c.m.Append([]byte{1, 2})[2:]); got != c.hex {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.hex)
		}
	}
}

// TestHeard reads what routers say, and reports that we would not write.
func TestHeard(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		class     Class
		want      Message
	}{
		{"hello of PIM", "45c00026000000000167169bc0000209e000000d2000df7a0001000200690014000400000001", Router,
			Message{Kind: RouterHere, Src: ip("192.0.2.9"), Dst: ip("224.0.0.13"), Lifetime: 105 * time.Second}},
		{"good-bye of PIM", "45c0001e00000000016716a3c0000209e000000d2000dffc000100020000", Router,
			Message{Kind: RouterGone, Src: ip("192.0.2.9"), Dst: ip("224.0.0.13")}},
		{"advertisement of a router", "45c0001c00000000010216adc0000209e000006a3014cf6c007d0002", Router,
			Message{Kind: RouterHere, Src: ip("192.0.2.9"), Dst: ip("224.0.0.106"), Lifetime: time.Minute}},
		{"termination of a router", "45c0001800000000010216b1c0000209e000006a3200cdff", Router,
			Message{Kind: RouterGone, Src: ip("192.0.2.9"), Dst: ip("224.0.0.106")}},
		{"probe of DVMRP", "45c0001c0000000001021713c0000209e00000041301edf0000aff03", Router,
			Message{Kind: RouterHere, Src: ip("192.0.2.9"), Dst: ip("224.0.0.4")}},
		{"hello of PIM, IPv6", "60000000000a6701fe800000000000000000000000000009ff02000000000000000000000000000d2000e188000100020069", Router,
			Message{Kind: RouterHere, Src: ip("fe80::9"), Dst: ip("ff02::d"), Lifetime: 105 * time.Second}},
		{"advertisement of a router, IPv6", "6000000000100001fe800000000000000000000000000009ff02000000000000000000000000006a3a0005020000010097146a33007d0002", Router,
			Message{Kind: RouterHere, Src: ip("fe80::9"), Dst: ip("ff02::6a"), Lifetime: time.Minute}},
		{"termination of a router, IPv6", "60000000000c0001fe800000000000000000000000000009ff02000000000000000000000000006a3a00050200000100990068ca", Router,
			Message{Kind: RouterGone, Src: ip("fe80::9"), Dst: ip("ff02::6a")}},
		{"record of unknown type, and auxiliary data", "46c0004400000000010281d6c0000207e00000169404000022009c760000000309000001ef010203c000020104020000ef010204617578646174612103000000ef010205", Member,
			Message{Kind: Report, Version: 3, Src: ip("192.0.2.7"), Dst: AllIGMPv3, Records: []Record{
				{Type: ToEx, Group: ip("239.1.2.4")}, {Type: ToIn, Group: ip("239.1.2.5")}}}},
	} {
		b := unhex(t, c.hex)
		m, err := Parse(b)
		if err != nil || text(m) != text(c.want) {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, text(m), err, text(c.want))
		}
		if got := Classify(b); got != c.class {
			t.Errorf("%s: class %v, want %v", c.name, got, c.class)
		}
	}
}
