package portmap

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var testNonce = nonce{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}

// bytesOf returns what a text of hexadecimal digits and blanks stands for.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPCPRequests checks every byte of what we send against RFC 6887 sections 7.1,
// 11.1 and 14.1.
func TestPCPRequests(t *testing.T) {
	local4, local6 := netip.MustParseAddrPort("192.168.1.2:4501"), netip.MustParseAddrPort("[2001:db8::7]:4501")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"announce", appendAnnounce(nil, local4.Addr()), "02 00 0000 00000000 00000000000000000000ffffc0a80102"},
		{"announce of IPv6", appendAnnounce(nil, local6.Addr()), "02 00 0000 00000000 20010db8000000000000000000000007"},
		{"announce of a zone", appendAnnounce(nil, netip.MustParseAddr("fe80::1%eth0")), "02 00 0000 00000000 fe800000000000000000000000000001"},
		{"map, no wish", mapRequest{local: local4, nonce: testNonce, lifetime: 7200, external: netip.AddrPortFrom(netip.Addr{}, 4501)}.Append(nil),
			"02 01 0000 00001c20 00000000000000000000ffffc0a80102 000102030405060708090a0b 11 000000 1195 1195 00000000000000000000ffff00000000"},
		{"map, as before", mapRequest{local: local4, nonce: testNonce, lifetime: 60, external: netip.MustParseAddrPort("11.0.0.1:80")}.Append(nil),
			"02 01 0000 0000003c 00000000000000000000ffffc0a80102 000102030405060708090a0b 11 000000 1195 0050 00000000000000000000ffff0b000001"},
		{"map of IPv6", mapRequest{local: local6, nonce: testNonce, lifetime: 7200, external: netip.AddrPortFrom(netip.Addr{}, 4501)}.Append(nil),
			"02 01 0000 00001c20 20010db8000000000000000000000007 000102030405060708090a0b 11 000000 1195 1195 00000000000000000000000000000000"},
		{"map of IPv4 with a wish of IPv6", mapRequest{local: local4, nonce: testNonce, external: local6}.Append(nil),
			"02 01 0000 00000000 00000000000000000000ffffc0a80102 000102030405060708090a0b 11 000000 1195 1195 00000000000000000000ffff00000000"},
	} {
		if want := bytesOf(t, c.want); string(c.got) != string(want) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.name, c.got, want)
		}
	}
}

// A good answer to a MAP: 7200 s, epoch 100, port 4501 at 11.0.0.1:4502.
const mapAnswer = "02 81 00 00 00001c20 00000064 000000000000000000000000 000102030405060708090a0b 11 000000 1195 1196 00000000000000000000ffff0b000001"

func TestParsePCP(t *testing.T) {
	full := pcpAnswer{op: opMap, lifetime: 7200, epoch: 100, nonce: testNonce, internal: 4501, external: netip.MustParseAddrPort("11.0.0.1:4502")}
	six := full
	six.external = netip.MustParseAddrPort("[2001:db8::7]:4502")
	refused := full
	refused.result, refused.lifetime, refused.external = 8, 30, netip.MustParseAddrPort("0.0.0.0:0")
	for _, c := range []struct {
		name, in string
		want     pcpAnswer
		err      error
	}{
		{"announce", "02 80 00 00 00000000 00000005 000000000000000000000000", pcpAnswer{epoch: 5}, nil},
		{"map", mapAnswer, full, nil},
		{"map with an option", mapAnswer + "03 00 0004 00000000", full, nil},
		{"map of IPv6", "02 81 00 00 00001c20 00000064 000000000000000000000000 000102030405060708090a0b 11 000000 1195 1196 20010db8000000000000000000000007", six, nil},
		{"refused", "02 81 00 08 0000001e 00000064 000000000000000000000000 000102030405060708090a0b 11 000000 1195 0000 00000000000000000000ffff00000000", refused, nil},
		{"refused, header only", "02 81 00 04 0000001e 00000064 000000000000000000000000", pcpAnswer{op: opMap, result: 4, lifetime: 30, epoch: 100}, nil},
		{"nothing", "", pcpAnswer{}, errNotPCP},
		{"a request", "02 01 0000 00001c20 00000000000000000000ffffc0a80102", pcpAnswer{}, errNotPCP},
		{"NAT-PMP, unsupported version", "00 81 0001 00000000", pcpAnswer{}, errOldPCP},
		{"a later version", "03 80 00 00 00000000 00000005 000000000000000000000000", pcpAnswer{}, errOldPCP},
		{"half a header", "02 80 00 00 00000000 00000005 0000000000000000", pcpAnswer{}, errShort},
		{"half a map", "02 81 00 00 00001c20 00000064 000000000000000000000000 000102030405060708090a0b", pcpAnswer{}, errShort},
		{"no multiple of four", mapAnswer + "00", pcpAnswer{}, errShort},
		{"too long", mapAnswer + strings.Repeat("00", pcpMax-pcpMap+4), pcpAnswer{}, errShort},
		{"TCP", strings.Replace(mapAnswer, " 11 ", " 06 ", 1), pcpAnswer{}, errNotUDP},
	} {
		got, err := parsePCP(bytesOf(t, c.in))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.err)
		}
		if err == nil && got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

// TestPCPAnswers: an answer counts only for the request that it repeats.
func TestPCPAnswers(t *testing.T) {
	mapped, err := parsePCP(bytesOf(t, mapAnswer))
	if err != nil {
		t.Fatal(err)
	}
	refusal := pcpAnswer{op: opMap, result: 4}
	ofAnother := pcpAnswer{op: opMap, result: 4, nonce: nonce{9}, internal: 4501}
	for _, c := range []struct {
		name string
		a    pcpAnswer
		op   byte
		n    nonce
		port uint16
		ok   bool
	}{
		{"ours", mapped, opMap, testNonce, 4501, true},
		{"another nonce", mapped, opMap, nonce{1}, 4501, false},
		{"another port", mapped, opMap, testNonce, 4502, false},
		{"another request", mapped, opAnnounce, testNonce, 4501, false},
		{"announce for map", pcpAnswer{}, opMap, testNonce, 4501, false},
		{"announce", pcpAnswer{}, opAnnounce, testNonce, 0, true},
		{"a refusal without data", refusal, opMap, testNonce, 4501, true},
		{"a refusal of another's", ofAnother, opMap, testNonce, 4501, false},
		{"success without a nonce", pcpAnswer{op: opMap, internal: 4501}, opMap, testNonce, 4501, false},
	} {
		if got := c.a.answers(c.op, c.n, c.port) == nil; got != c.ok {
			t.Errorf("%s: %v, want %v", c.name, got, c.ok)
		}
	}
}

// TestPCPGranted: what is of no use is no grant.
func TestPCPGranted(t *testing.T) {
	for _, c := range []struct {
		external string
		lifetime uint32
		ok       bool
	}{
		{"11.0.0.1:4502", 7200, true},
		{"[2001:db8::7]:4502", 1, true},
		{"10.0.0.1:4502", 7200, true}, // another NAT
		{"11.0.0.1:0", 7200, false},
		{"11.0.0.1:4502", 0, false},
		{"0.0.0.0:4502", 7200, false},
		{"127.0.0.1:4502", 7200, false},
		{"224.0.0.1:4502", 7200, false},
		{"255.255.255.255:4502", 7200, false},
		{"169.254.1.1:4502", 7200, false},
		{"[::1]:4502", 7200, false},
		{"[ff02::1]:4502", 7200, false},
		{"[fe80::1]:4502", 7200, false},
	} {
		a := pcpAnswer{op: opMap, lifetime: c.lifetime, epoch: 9, external: netip.MustParseAddrPort(c.external)}
		g, err := a.granted()
		if (err == nil) != c.ok {
			t.Errorf("%s for %d s: %v, want %v", c.external, c.lifetime, err, c.ok)
		}
		want := grant{a.external, time.Duration(c.lifetime) * time.Second, pulse{external: a.external.Addr(), epoch: 9, counted: true}}
		if c.ok && g != want {
			t.Errorf("got %+v, want %+v", g, want)
		}
	}
}

// TestPCPRefusal: every code has words, also those that nobody has thought of.
func TestPCPRefusal(t *testing.T) {
	if err := (pcpAnswer{}).refusal(); err != nil {
		t.Errorf("success is %v", err)
	}
	for code := 1; code < 256; code++ {
		var r *Refusal
		if err := (pcpAnswer{result: byte(code), lifetime: 30}).refusal(); !errors.As(err, &r) || r.Code != code || r.Text == "" || r.Retry != 30*time.Second || r.Method != PCP {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

func FuzzParsePCP(f *testing.F) {
	for _, s := range []string{mapAnswer, "02 80 00 00 00000000 00000005 000000000000000000000000", "00 81 0001 00000000", "02 81"} {
		f.Add(bytesOf(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parsePCP(b)
		if err != nil {
			return
		}
		if len(b) < pcpHeader || len(b) > pcpMax {
			t.Errorf("taken with %d bytes", len(b))
		}
		if g, err := a.granted(); err == nil && (!usable(g.external) || g.lifetime <= 0) {
			t.Errorf("granted %+v", g)
		}
		_ = isAnnouncement(b)
		_ = a.refusal()
	})
}
