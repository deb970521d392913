package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var cookie = [CookieSize]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

const cookieHex = "0102030405060708090a0b0c0d0e0f10"

var gateGolden = []struct {
	name string
	msg  GateMessage
	hex  string
}{
	{"knock", GateMessage{Type: Knock, Version: 1}, "0f0101" + strings.Repeat("00", 61)},
	{"cookie", GateMessage{Type: Cookie, Version: 1, Cookie: cookie}, "0f020100" + cookieHex},
	{"admit", GateMessage{Type: Admit, Cookie: cookie, Data: []byte{22, 0xfe}}, "0f03" + cookieHex + "16fe"},
	{"wait", GateMessage{Type: Wait, Cookie: cookie, Millis: 0x1234}, "0f04" + cookieHex + "1234"},
	{"closed", GateMessage{Type: Closed}, "0f05"},
	{"apply", GateMessage{Type: Apply, Cookie: cookie, ID: 0x01020304, Data: []byte{5}}, "0f06" + cookieHex + "0102030405"},
	{"reply", GateMessage{Type: Reply, ID: 0x01020304, Data: []byte{5}}, "0f070102030405"},
}

func TestGateGolden(t *testing.T) {
	for _, c := range gateGolden {
		t.Run(c.name, func(t *testing.T) {
			want, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.msg.Append(nil); !bytes.Equal(got, want) {
				t.Errorf("on the wire: %x, want %x", got, want)
			}
			if got, err := ParseGate(want); err != nil || !reflect.DeepEqual(got, c.msg) {
				t.Errorf("parsed: %+v, %v, want %+v", got, err, c.msg)
			}
			if k := KindOf(want); k != KindGate {
				t.Errorf("kind %d", k)
			}
			if len(want) > KnockSize && c.msg.Type != Knock {
				t.Errorf("%d bytes are more than a knock has", len(want))
			}
			for n := range want { // cut off
				got, err := ParseGate(want[:n])
				if (c.msg.Type == Admit || c.msg.Type == Reply) && n == len(want)-1 {
					continue // a shorter datagram in it, or none
				}
				if !errors.Is(err, ErrGate) {
					t.Errorf("%d bytes: %+v, %v", n, got, err)
				}
			}
		})
	}
}

func TestGateStrange(t *testing.T) {
	for _, b := range [][]byte{nil, {15}, {15, 0}, {15, 6}, {14, 1}, bytes.Repeat([]byte{15}, 64)} {
		if m, err := ParseGate(b); !errors.Is(err, ErrGate) {
			t.Errorf("%x: %+v, %v", b, m, err)
		}
	}
	if k := KindOf([]byte{15}); k != KindInvalid {
		t.Errorf("one byte is of kind %d", k)
	}
}

func FuzzGate(f *testing.F) {
	for _, c := range gateGolden {
		f.Add(c.msg.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseGate(b)
		if err != nil {
			return
		}
		again, err := ParseGate(m.Append(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%x: %+v, then %+v, %v", b, m, again, err)
		}
	})
}

func TestGateNames(t *testing.T) {
	for g, want := range map[Gate]string{Knock: "KNOCK", Cookie: "COOKIE", Admit: "ADMIT", Wait: "WAIT", Closed: "CLOSED", Apply: "APPLY", Reply: "REPLY",
		0: "gate message 0", 8: "gate message 8", 255: "gate message 255"} {
		if got := g.String(); got != want {
			t.Errorf("type %d is %q, want %q", uint8(g), got, want)
		}
	}
}
