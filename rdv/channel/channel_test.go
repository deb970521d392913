package channel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"campagnol/punch"
	"campagnol/punch/nat"
)

func addrs(ss ...string) (as []netip.Addr) {
	for _, s := range ss {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

func endpoints(ss ...string) (es []netip.AddrPort) {
	for _, s := range ss {
		es = append(es, netip.MustParseAddrPort(s))
	}
	return es
}

// golden are messages and their bytes.
var golden = []struct {
	name string
	msg  Message
	hex  string
}{
	{"done", Message{Type: Done, ID: 7}, "01 07 00000007"},
	{"register", Message{Type: Register, ID: 1, VPN: addrs("10.9.0.1", "fd00::1"),
		Endpoints: endpoints("192.168.1.2:4000"), Software: "campagnol 1"},
		"01 01 00000001 0001 0004 0a090001 0001 0010 fd000000000000000000000000000001" +
			"0002 0006 c0a801020fa0 0006 000b 63616d7061676e6f6c2031"},
	{"registered", Message{Type: Registered, ID: 1, Endpoints: endpoints("203.0.113.9:5000"), Lease: 10},
		"01 02 00000001 0002 0006 cb0071091388 0003 0004 0000000a"},
	{"refused", Message{Type: Refused, ID: 0xfffffffe, Reason: Taken, Text: "no"},
		"01 03 fffffffe 0004 0002 0003 0005 0002 6e6f"},
	{"peer", Message{Type: Peer, ID: 2, VPN: addrs("10.9.0.2"), Authentic: true,
		Endpoints: endpoints("203.0.113.8:1", "[2001:db8::8]:2")},
		"01 05 00000002 0001 0004 0a090002 0002 0006 cb0071080001" +
			"0002 0012 20010db8000000000000000000000008 0002 0007 0000"},
	{"notice", Message{Type: Notice, ID: 3, Objects: []Object{{CRL, 0x10203, [32]byte{1, 31: 2}}, {Bulletin, 5, [32]byte{}}}},
		"01 0a 00000003 0008 0025 01 00010203 01" + strings.Repeat("00", 30) + "02" +
			"0008 0025 02 00000005" + strings.Repeat("00", 32)},
	{"chunk", Message{Type: Chunk, ID: 4, Offset: 1024, Data: []byte("abc")},
		"01 0c 00000004 0009 0004 00000400 000a 0003 616263"},
	{"introduce", Message{Type: Introduce, ID: 6, NAT: nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent, Ports: nat.Sequential, Step: 2},
		Candidates: []punch.Candidate{{Addr: netip.MustParseAddrPort("203.0.113.8:1"), Kind: punch.Mapped},
			{Addr: netip.MustParseAddrPort("10.1.2.3:4"), Kind: punch.Configured, Scope: "office"}}},
		"01 06 00000006 000b 0005 02 01 00 01 02 000c 0008 03 04 cb007108 0001" +
			"000c 000e 04 04 0a010203 0004 6f6666696365"},
	{"register again", Message{Type: Register, ID: 8, VPN: addrs("10.9.0.1"),
		Candidates: []punch.Candidate{{Addr: netip.MustParseAddrPort("[2001:db8::8]:2"), Kind: punch.Host}}, Scopes: []string{"office", "lab"}},
		"01 01 00000008 0001 0004 0a090001 000c 0014 01 10 20010db8000000000000000000000008 0002" +
			"000d 0006 6f6666696365 000d 0003 6c6162"},
	{"relay", Message{Type: Relay, ID: 9, VPN: addrs("10.9.0.2")}, "01 11 00000009 0001 0004 0a090002"},
	{"relayed", Message{Type: Relayed, ID: 9, User: "1:10.9.0.1", Password: "pw", Lease: 3600, Endpoints: endpoints("203.0.113.8:1")},
		"01 12 00000009 0002 0006 cb0071080001 0003 0004 00000e10 000e 000a 313a31302e392e302e31 000f 0002 7077"},
	{"a relay registers", Message{Type: Register, ID: 10, VPN: addrs("10.9.0.3"), Relays: true},
		"01 01 0000000a 0001 0004 0a090003 0010 0004 00000001"},
	{"introduce, with relays", Message{Type: Introduce, ID: 11, VPN: addrs("10.9.0.1"), Via: addrs("10.9.0.3", "fd00::4")},
		"01 06 0000000b 0001 0004 0a090001 0011 0004 0a090003 0011 0010 fd000000000000000000000000000004"},
	{"apply", Message{Type: Apply, ID: 5, Endpoints: endpoints("203.0.113.8:1"), Data: []byte{0}},
		"01 0d 00000005 0002 0006 cb0071080001 000a 0001 00"},
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			want := unhex(t, c.hex)
			if got := c.msg.Append([]byte{0xaa}); !bytes.Equal(got[1:], want) || got[0] != 0xaa {
				t.Errorf("on the wire: %x, want aa%x", got, want)
			}
			got, err := Parse(want)
			if err != nil || !reflect.DeepEqual(got, c.msg) {
				t.Errorf("parsed: %+v, %v, want %+v", got, err, c.msg)
			}
		})
	}
}

func TestParseTolerates(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Message
	}{
		{"an unknown type", "01 c8 00000001", Message{Type: 200, ID: 1}},
		{"an unknown field", "01 07 00000001 0100 0003 616263", Message{Type: Done, ID: 1}},
		{"an unknown field of a tag that is next", "01 07 00000001 000e 0000", Message{Type: Done, ID: 1}},
		{"flags that are not known", "01 01 00000001 0010 0004 fffffffc", Message{Type: Register, ID: 1}},
		{"tag 0", "01 07 00000001 0000 0001 ff", Message{Type: Done, ID: 1}},
		{"a field twice", "01 03 00000001 0004 0002 0002 0004 0002 0003", Message{Type: Refused, ID: 1, Reason: NotYours}},
		{"a longer value", "01 02 00000001 0003 0005 0000000aff", Message{Type: Registered, ID: 1, Lease: 10}},
		{"an IPv4 address in IPv6", "01 04 00000001 0001 0010 00000000000000000000ffff0a090001",
			Message{Type: Ask, ID: 1, VPN: addrs("10.9.0.1")}},
		{"text that does not print", "01 03 00000001 0005 0004 610a80ff", Message{Type: Refused, ID: 1, Text: "a???"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(unhex(t, c.hex))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"nothing", "", ErrMalformed},
		{"another version", "02 07 00000001", ErrVersion},
		{"half a header", "01 07 000000", ErrMalformed},
		{"half a tag", "01 07 00000001 00", ErrMalformed},
		{"half a value", "01 07 00000001 0100 0003 6162", ErrMalformed},
		{"an address of 5 bytes", "01 04 00000001 0001 0005 0a09000100", ErrMalformed},
		{"an empty address", "01 04 00000001 0001 0000", ErrMalformed},
		{"an endpoint without port", "01 05 00000001 0002 0004 0a090001", ErrMalformed},
		{"port 0", "01 05 00000001 0002 0006 0a0900010000", ErrMalformed},
		{"a short endpoint", "01 05 00000001 0002 0001 0a", ErrMalformed},
		{"short flags", "01 01 00000001 0010 0003 000001", ErrMalformed},
		{"a relay of 5 bytes", "01 06 00000001 0011 0005 0a09000100", ErrMalformed},
		{"four relays", "01 06 00000001" + strings.Repeat("0011 0004 0a090003", 4), ErrMalformed},
		{"a candidate without port", "01 05 00000001 000c 0008 01 04 0a090001 0000", ErrMalformed},
		{"a candidate without address", "01 05 00000001 000c 0004 01 00 0001", ErrMalformed},
		{"a scope that is too long", "01 05 00000001 000c 0029 01 04 0a090001 0001" + strings.Repeat("61", 33), ErrMalformed},
		{"too many candidates", "01 05 00000001" + strings.Repeat("000c 0008 01 04 0a090001 0001", maxCandidates+1), ErrMalformed},
		{"an empty name of a network", "01 01 00000001 000d 0000", ErrMalformed},
		{"a name of a network that is too long", "01 01 00000001 000d 0021" + strings.Repeat("61", 33), ErrMalformed},
		{"too many networks", "01 01 00000001" + strings.Repeat("000d 0001 61", maxScopes+1), ErrMalformed},
		{"a short lease", "01 02 00000001 0003 0003 00000a", ErrMalformed},
		{"a short reason", "01 03 00000001 0004 0001 01", ErrMalformed},
		{"too many addresses", "01 01 00000001" + strings.Repeat("0001 0004 0a090001", maxAddrs+1), ErrMalformed},
		{"too many endpoints", "01 01 00000001" + strings.Repeat("0002 0006 0a0900010001", maxEndpoints+1), ErrMalformed},
		{"too many objects", "01 0a 00000001" + strings.Repeat("0008 0025"+strings.Repeat("00", 37), MaxObjects+1), ErrMalformed},
		{"a short object", "01 0a 00000001 0008 0024" + strings.Repeat("00", 36), ErrMalformed},
		{"a short offset", "01 0c 00000001 0009 0003 000000", ErrMalformed},
		{"too much data", "01 0c 00000001 000a 0401" + strings.Repeat("00", MaxData+1), ErrMalformed},
		{"too long", "01 07 00000001 0100 0480" + strings.Repeat("00", 0x480), ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m, err := Parse(unhex(t, c.hex)); !errors.Is(err, c.want) || !reflect.DeepEqual(m, Message{}) {
				t.Errorf("%+v, %v, want %v", m, err, c.want)
			}
		})
	}
}

// The longest message that can be built can be read.
func TestLimits(t *testing.T) {
	m := Message{Type: Register, ID: 1, Lease: 1, Reason: 1, Authentic: true,
		Text: strings.Repeat("ä", 300), Software: strings.Repeat("x", 300)}
	for range 20 {
		m.VPN = append(m.VPN, netip.MustParseAddr("fd00::1"))
		m.Endpoints = append(m.Endpoints, netip.MustParseAddrPort("[fd00::1]:1"))
	}
	m.VPN[0], m.Endpoints[0] = netip.Addr{}, netip.AddrPort{}
	b := m.Append(nil)
	got, err := Parse(b)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	if len(got.VPN) != maxAddrs-1 || len(got.Endpoints) != maxEndpoints-1 || len(got.Text) != maxText || len(got.Software) != maxText {
		t.Errorf("%d addresses, %d endpoints, %d and %d bytes of text", len(got.VPN), len(got.Endpoints), len(got.Text), len(got.Software))
	}
}

// TestFit: a message with more candidates than there is room for loses the last ones,
// and nothing else.
func TestFit(t *testing.T) {
	m := Message{Type: Register, ID: 1, Software: strings.Repeat("x", maxText)}
	for i := range 40 {
		m.Candidates = append(m.Candidates, punch.Candidate{
			Addr: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), uint16(i+1)), Kind: punch.Configured,
			Scope: strings.Repeat("s", punch.MaxScope),
		})
		m.Scopes = append(m.Scopes, strings.Repeat("n", punch.MaxScope))
	}
	want := m
	m.Fit()
	b := m.Append(nil)
	got, err := Parse(b)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	n := len(got.Candidates)
	if n == 0 || n != len(m.Candidates) || len(b)+56 < MaxSize {
		t.Errorf("%d candidates of %d in %d bytes: want as many as there is room for", n, len(m.Candidates), len(b))
	}
	if !slices.Equal(got.Candidates, want.Candidates[:n]) || len(got.Scopes) != maxScopes || got.Software != want.Software {
		t.Errorf("left out something else than the last candidates: %+v", got)
	}

	small := Message{Type: Peer, Candidates: want.Candidates[:2]}
	small.Fit()
	if len(small.Candidates) != 2 {
		t.Error("left out candidates for which there is room")
	}
	small.Candidates = slices.Repeat([]punch.Candidate{{Addr: netip.MustParseAddrPort("192.0.2.1:1")}}, 17)
	small.Fit()
	if len(small.Candidates) != maxCandidates {
		t.Errorf("%d small candidates, want the %d that a reader takes", len(small.Candidates), maxCandidates)
	}
}

func TestNames(t *testing.T) {
	for typ := Register; typ <= Relayed; typ++ {
		if strings.HasPrefix(typ.String(), "type ") {
			t.Errorf("type %d has no name", typ)
		}
	}
	for r := Denied; r <= Busy; r++ {
		if strings.HasPrefix(r.String(), "reason ") {
			t.Errorf("reason %d has no text", r)
		}
	}
	if got := Type(0).String() + ", " + Type(99).String() + ", " + Reason(0).String() + ", " + Reason(99).String(); got != "type 0, type 99, reason 0, reason 99" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range golden {
		b, _ := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(m.Append(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%x: %+v, then %+v, %v", b, m, again, err)
		}
	})
}
