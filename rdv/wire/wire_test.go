package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// golden are messages captured from the original.
var golden = []struct {
	name string
	hex  string
	msg  Message
}{
	{"HELLO A", "00c0e40a090001c0a80102", Message{Hello, 49380, ip("10.9.0.1"), ip("192.168.1.2")}},
	{"HELLO B", "009a720a090002c0a80202", Message{Hello, 39538, ip("10.9.0.2"), ip("192.168.2.2")}},
	{"HELLO without local address", "0000000a09000400000000", Message{Hello, 0, ip("10.9.0.4"), netip.Addr{}}},
	{"HELLO override", "00115c0a090004c0a80103", Message{Hello, 4444, ip("10.9.0.4"), ip("192.168.1.3")}},
	{"PING", "0100000000000000000000", Message{Type: Ping}},
	{"ASK", "0200000a09000200000000", Message{Ask, 0, ip("10.9.0.2"), netip.Addr{}}},
	{"PONG", "0300000000000000000000", Message{Type: Pong}},
	{"OK", "0400000000000000000000", Message{Type: OK}},
	{"NOK", "0500000000000000000000", Message{Type: NOK}},
	{"FWD", "06c0e4cb0071150a090001", Message{Forward, 49380, ip("203.0.113.21"), ip("10.9.0.1")}},
	{"ANS", "079a72cb0071160a090002", Message{Answer, 39538, ip("203.0.113.22"), ip("10.9.0.2")}},
	{"REJ", "0800000a09004d00000000", Message{Reject, 0, ip("10.9.0.77"), netip.Addr{}}},
	{"PUNCH A", "0900000a09000100000000", Message{Punch, 0, ip("10.9.0.1"), netip.Addr{}}},
	{"PUNCH B", "0900000a09000200000000", Message{Punch, 0, ip("10.9.0.2"), netip.Addr{}}},
	{"KEEPALIVE", "0a00000000000000000000", Message{Type: KeepAlive}},
	{"BYE A", "0b00000a09000100000000", Message{Bye, 0, ip("10.9.0.1"), netip.Addr{}}},
	{"BYE B", "0b00000a09000200000000", Message{Bye, 0, ip("10.9.0.2"), netip.Addr{}}},
	{"RECONNECT", "0c00000000000000000000", Message{Type: Reconnect}},
	{"CLOSE", "0d00000a09000100000000", Message{Close, 0, ip("10.9.0.1"), netip.Addr{}}},
	// Ours, not the original's.
	{"PUNCH marked, asked", "0900000a09000143470101", NewPunch(ip("10.9.0.1"), Mark{Asked: true})},
	{"PUNCH marked, heard", "0900000a09000243470102", NewPunch(ip("10.9.0.2"), Mark{Heard: true})},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			want, err := hex.DecodeString(g.hex)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.msg.Append(nil); !bytes.Equal(got, want) {
				t.Errorf("Append = %x, want %x", got, want)
			}
			got, err := Parse(want)
			if err != nil || got != g.msg {
				t.Errorf("Parse = %v, %v, want %v", got, err, g.msg)
			}
			if k := KindOf(want); k != KindRendezvous {
				t.Errorf("KindOf = %d, want KindRendezvous", k)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrSize},
		{"one byte short", make([]byte, 10), ErrSize},
		{"one byte long", make([]byte, 12), ErrSize},
		{"type 14", append([]byte{14}, make([]byte, 10)...), ErrType},
		{"type 255", append([]byte{255}, make([]byte, 10)...), ErrType},
	} {
		if _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	fwd := Message{Forward, 49380, ip("203.0.113.21"), ip("10.9.0.1")}
	if got, want := fwd.Endpoint(), netip.MustParseAddrPort("203.0.113.21:49380"); got != want {
		t.Errorf("Endpoint = %v, want %v", got, want)
	}
	hello := Message{Hello, 4444, ip("10.9.0.4"), ip("192.168.1.3")}
	if got, want := hello.Local(), netip.MustParseAddrPort("192.168.1.3:4444"); got != want {
		t.Errorf("Local = %v, want %v", got, want)
	}
	hello.Port = 0 // "no local address", whatever ip2 says
	if got := hello.Local(); got.IsValid() {
		t.Errorf("Local with port 0 = %v, want none", got)
	}
	six := Message{Type: Ask, IP1: ip("2001:db8::1")}
	if got := six.Append(nil); !bytes.Equal(got[3:7], make([]byte, 4)) {
		t.Errorf("an IPv6 address became % x, want zeros", got[3:7])
	}
	mapped := Message{Type: Ask, IP1: ip("::ffff:10.9.0.2")}
	if got := mapped.Append(nil); !bytes.Equal(got[3:7], []byte{10, 9, 0, 2}) {
		t.Errorf("a mapped IPv4 address became % x", got[3:7])
	}
}

func TestMark(t *testing.T) {
	for _, want := range []Mark{{}, {Asked: true}, {Heard: true}, {Asked: true, Heard: true}} {
		got, ok := NewPunch(ip("10.9.0.1"), want).Mark()
		if !ok || got != want {
			t.Errorf("Mark = %+v, %v, want %+v", got, ok, want)
		}
	}
	for name, m := range map[string]Message{
		"original":    {Type: Punch, IP1: ip("10.9.0.1")},
		"other bytes": {Type: Punch, IP1: ip("10.9.0.1"), IP2: ip("67.0.1.1")},
		"other type":  {Type: Ask, IP2: ip("67.71.1.1")},
		"version 0":   {Type: Punch, IP2: ip("67.71.0.1")},
	} {
		if _, ok := m.Mark(); ok {
			t.Errorf("%s: taken for a marked punch", name)
		}
	}
	if m, ok := (Message{Type: Punch, IP2: ip("67.71.9.1")}).Mark(); !ok || !m.Asked {
		t.Error("a later version's mark is not understood")
	}
}

func TestKindOf(t *testing.T) {
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	for _, c := range []struct {
		name string
		b    []byte
		want Kind
	}{
		{"empty", nil, KindInvalid},
		{"hello", make([]byte, 11), KindRendezvous},
		{"hello, too long", make([]byte, 12), KindInvalid},
		{"undefined type", append([]byte{14}, make([]byte, 10)...), KindInvalid},
		{"stun", stun, KindSTUN},
		{"stun without cookie", make([]byte, 20), KindInvalid},
		{"stun, short", stun[:19], KindInvalid},
		{"handshake record", append([]byte{22}, make([]byte, 12)...), KindDTLS},
		{"record with connection id", append([]byte{25}, make([]byte, 12)...), KindDTLS},
		{"record, short", append([]byte{22}, make([]byte, 11)...), KindInvalid},
		{"first byte 26", append([]byte{26}, make([]byte, 12)...), KindInvalid},
		{"channel data", []byte{0x40, 1, 0, 0}, KindChannel},
		{"channel data, short", []byte{0x40, 1, 0}, KindInvalid},
		{"first byte 80", make80(), KindInvalid},
	} {
		if got := KindOf(c.b); got != c.want {
			t.Errorf("%s: KindOf = %d, want %d", c.name, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { KindOf(stun) }); n != 0 {
		t.Errorf("KindOf allocates %.0f times, want 0", n)
	}
}

func make80() []byte { return append([]byte{80}, make([]byte, 30)...) }

func TestTypeString(t *testing.T) {
	if got := Close.String(); got != "CLOSE_CONNECTION" {
		t.Errorf("Close = %q", got)
	}
	if got := Type(200).String(); got != "type 200" {
		t.Errorf("Type(200) = %q", got)
	}
	m := Message{Type: Ask, IP1: ip("10.9.0.2")}
	if got, want := m.String(), "ASK_CONNECTION port=0 ip1=10.9.0.2 ip2=0.0.0.0"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

// FuzzParse checks that whatever parses is written back byte for byte, and
// that classification and parsing agree.
func FuzzParse(f *testing.F) {
	for _, g := range golden {
		b, _ := hex.DecodeString(g.hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if (err == nil) != (KindOf(b) == KindRendezvous) {
			t.Fatalf("Parse(%x): %v, but KindOf = %d", b, err, KindOf(b))
		}
		if err != nil {
			return
		}
		if got := m.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
		m.Mark()
		m.Local()
		_ = m.String()
	})
}
