package probe

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

var testScene = scene{
	vpn: [4]byte{10, 9, 0, 0},
	ends: map[End]netip.AddrPort{
		A:  netip.MustParseAddrPort("203.0.113.21:49380"),
		A2: netip.MustParseAddrPort("[2001:db8::1]:1"),
		B:  netip.MustParseAddrPort("203.0.113.22:39538"),
	},
}

// TestCompile has, among others, datagrams captured from the original.
func TestCompile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"  ", ""},
		{ping, "0100000000000000000000"},
		{pong, "0300000000000000000000"},
		{ok, "0400000000000000000000"},
		{nok, "0500000000000000000000"},
		{reconnect, "0c00000000000000000000"},
		{bye, "0b00000000000000000000"},
		{hello("v4"), "0000000a09000400000000"},
		{helloAt("v1", local1), "00c0e40a090001c0a80102"},
		{ask("v2"), "0200000a09000200000000"},
		{ans("@B", "v2"), "079a72cb0071160a090002"},
		{fwd("@A", "v1"), "06c0e4cb0071150a090001"},
		{rej("v9"), "0800000a09000900000000"},
		{closing("v1"), "0d00000a09000100000000"},
		{"FF*3 0a0B 00*0 12*1", "ffffff0a0b12"},
		{"0102*2", "01020102"},
	} {
		got, err := testScene.compile(c.text)
		want, _ := hex.DecodeString(c.want)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q is %x, %v, want %x", c.text, got, err, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"0":                       `"0"`,
		"v0":                      `"v0"`,
		"v10":                     `"v10"`,
		"@":                       `endpoint ""`,
		"@C":                      `endpoint "C"`,
		"@A2":                     `endpoint "A2"`, // not IPv4
		"00*":                     `""`,
		"00*-1":                   `"-1"`,
		"00*x":                    `"x"`,
		"00*65537":                "too long",
		"00*40000 00*4":           "",
		"00*65535 0000":           "more than 65536",
		"00*99999999999999999999": "is not a number",
	} {
		_, err := testScene.compile(text)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "probe: datagram ") {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		hello("v1"):             "HELLO (00 0000 0a090001 00000000)",
		closing("v2"):           "CLOSE (0d 0000 0a090002 00000000)",
		"0e 1234 01020304 00*4": "type 14 (0e 1234 01020304 00000000)",
		"ff 0000 00000000 00*4": "type 255 (ff 0000 00000000 00000000)",
		"":                      "0 bytes ()",
		"01 02":                 "2 bytes (0102)",
		"01*16":                 "16 bytes (01010101010101010101010101010101)",
		"01*511":                "511 bytes (01010101010101010101010101010101…)",
	} {
		b, err := testScene.compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(b); got != want {
			t.Errorf("%q is described as %q, want %q", text, got, want)
		}
	}
}

// FuzzCompile gives any text, and shows what comes of it.
func FuzzCompile(f *testing.F) {
	for _, c := range Checks() {
		for _, s := range c.Steps {
			f.Add(s.Send)
		}
	}
	f.Add("@A v9 ff*20")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := testScene.compile(text)
		if err != nil {
			return
		}
		if len(b) > maxDatagram {
			t.Fatalf("%d bytes, want %d at most", len(b), maxDatagram)
		}
		_ = describeAll([][]byte{b, b})
		again, err := testScene.compile(hex.EncodeToString(b))
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q is %x, which is %x, %v", text, b, again, err)
		}
	})
}
