package mcast

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"testing"
)

func ips(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, ip(a))
	}
	return out
}

// goldenUpdates are written by hand from the package comment.
var goldenUpdates = []struct {
	name, hex string
	u         update
}{
	{"acknowledgement", "01" + "02000d" + "0102030405060708" + "00000009" + "00",
		update{ackStream: 0x0102030405060708, ackNext: 9}},
	{"gap", "01" + "02000d" + "0000000000000005" + "00000001" + "01",
		update{ackStream: 5, ackNext: 1, gap: true}},
	{"empty full set", "01" + "01000d" + "0000000000000007" + "00000001" + "03",
		update{stream: 7, seq: 1, complete: true, settling: true}},
	{"entries", "01" + "01000d" + "0000000000000007" + "00000002" + "01" +
		"030008" + "0000" + "02" + "04ef010203" +
		"030010" + "0005" + "01" + "04ef010203" + "c0000201" + "c0000202" +
		"030024" + "0ffe" + "02" + "10ff150000000000000000000000001234" + "20010db8000000000000000000000001" +
		"030008" + "0000" + "00" + "04ef010204",
		update{stream: 7, seq: 2, complete: true, entries: []entry{
			{key{0, ip(wide)}, exclude, nil},
			{key{5, ip(wide)}, include, ips("192.0.2.1", "192.0.2.2")},
			{key{4094, ip(wide6)}, exclude, ips("2001:db8::1")},
			{key{0, ip("239.1.2.4")}, gone, nil},
		}}},
	{"routers", "01" + "01000d" + "0000000000000007" + "00000003" + "00" + "040003" + "0005" + "01" + "040003" + "ffff" + "03" + "040003" + "0006" + "00",
		update{stream: 7, seq: 3, routers: []router{{5, family4}, {allVLANs, family4 | family6}, {6, 0}}}},
	{"questions", "01" + "050007" + "0000" + "04ef010203" + "05000b" + "0005" + "04ef010203" + "c0000201",
		update{questions: []question{{key{0, ip(wide)}, nil}, {key{5, ip(wide)}, ips("192.0.2.1")}}}},
}

func TestGoldenUpdates(t *testing.T) {
	for _, c := range goldenUpdates {
		if got := hex.EncodeToString(c.u.append(nil)); got != c.hex {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.hex)
		}
		b, _ := hex.DecodeString(c.hex)
		got, err := parseUpdate(b)
		if err != nil || !reflect.DeepEqual(*got, c.u) {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, err, c.u)
		}
	}
}

func TestUpdateSize(t *testing.T) {
	for _, c := range goldenUpdates {
		want := versionSize + len(c.u.routers)*routerSize
		if c.u.seq > 0 {
			want += dataSize
		}
		if c.u.ackNext > 0 {
			want += ackSize
		}
		for _, e := range c.u.entries {
			want += e.size()
		}
		if got := len(c.u.append(nil)); c.u.questions == nil && got != want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, want)
		}
	}
	e := entry{key{0, ip(wide6)}, exclude, make([]netip.Addr, maxEntrySources)}
	if n := versionSize + dataSize + ackSize + e.size(); n > MaxUpdate {
		t.Errorf("the longest entry needs %d bytes", n)
	}
}

func TestUpdateRefuses(t *testing.T) {
	const data = "01000d" + "0000000000000007" + "00000002" + "01"
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"nothing", "", errMalformed},
		{"another version", "02" + data, errVersion},
		{"field without length", "01" + "03", errMalformed},
		{"field beyond the end", "01" + "030008" + "0000", errMalformed},
		{"number 0", "01" + "01000d" + "0000000000000007" + "00000000" + "01", errMalformed},
		{"stream 0", "01" + "01000d" + "0000000000000000" + "00000001" + "01", errMalformed},
		{"acknowledgement of nothing", "01" + "02000d" + "0000000000000007" + "00000000" + "00", errMalformed},
		{"short Data", "01" + "01000c" + "0000000000000007" + "00000001", errMalformed},
		{"entry without Data", "01" + "030008" + "0000" + "02" + "04ef010203", errMalformed},
		{"router without Data", "01" + "040003" + "0005" + "01", errMalformed},
		{"VLAN 4095", "01" + data + "030008" + "0fff" + "02" + "04ef010203", errMalformed},
		{"router in VLAN 4095", "01" + data + "040003" + "0fff" + "01", errMalformed},
		{"question in VLAN 4095", "01" + "050007" + "0fff" + "04ef010203", errMalformed},
		{"mode 3", "01" + data + "030008" + "0000" + "03" + "04ef010203", errMalformed},
		{"no source to include", "01" + data + "030008" + "0000" + "01" + "04ef010203", errMalformed},
		{"group is no group", "01" + data + "030008" + "0000" + "02" + "04c0000201", errMalformed},
		{"group of 5 bytes", "01" + data + "030009" + "0000" + "02" + "05ef01020304", errMalformed},
		{"group without bytes", "01" + data + "030004" + "0000" + "02" + "00", errMalformed},
		{"half a source", "01" + data + "03000a" + "0000" + "02" + "04ef010203" + "c000", errMalformed},
		{"source is a group", "01" + data + "03000c" + "0000" + "02" + "04ef010203" + "e0000001", errMalformed},
		{"65 sources", "01" + data + "03010c" + "0000" + "02" + "04ef010203" + hex.EncodeToString(make([]byte, 260)), errMalformed},
		{"too long", "01" + hex.EncodeToString(make([]byte, MaxUpdate)), errMalformed},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseUpdate(b); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

// TestUpdateGrows: what later versions add is skipped.
func TestUpdateGrows(t *testing.T) {
	b, _ := hex.DecodeString("01" + "63000301020" + "3" + "01000e" + "0000000000000007" + "00000002" + "fd" + "aa" + "040004" + "0005" + "ff" + "aa")
	u, err := parseUpdate(b)
	if err != nil || u.seq != 2 || !u.complete || u.settling || len(u.routers) != 1 || u.routers[0] != (router{5, family4 | family6}) {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestUpdateBorrows: the buffer is the caller's again afterwards.
func TestUpdateBorrows(t *testing.T) {
	b, _ := hex.DecodeString(goldenUpdates[3].hex)
	u, _ := parseUpdate(b)
	clear(b)
	if !reflect.DeepEqual(u.entries, goldenUpdates[3].u.entries) {
		t.Errorf("entries became %v", u.entries)
	}
}

func FuzzUpdate(f *testing.F) {
	for _, c := range goldenUpdates {
		b, _ := hex.DecodeString(c.hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := parseUpdate(b)
		if err != nil {
			return
		}
		again, err := parseUpdate(u.append(nil))
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("%+v\nbecomes %+v, %v", u, again, err)
		}
	})
}
