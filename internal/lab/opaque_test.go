package lab

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// unhex decodes a datagram; blanks are for readers.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	aRecord    = "17 fefd 0001 000000000007 0004 aabbccdd"
	aRecordCID = "19 fefd 0001 000000000007 01020304 0003 aabbcc"
	aHandshake = "16 feff 0000 000000000000 0002 0100"
	aPunch     = "09 0000 0a090001 00000000"
	aRequest   = "0001 0004 2112a442 000000000000000000000001 8022 0000" // Binding, with an empty SOFTWARE
	anOffer    = "0016 0010 2112a442 000000000000000000000001 8022 0001 78000000 0013 0003 aabbcc 00"
)

func TestDissect(t *testing.T) {
	indication := func(data string) string { // a Send indication: a peer, then the data
		b := unhex(t, data)
		pad := (4 - len(b)%4) % 4
		return fmt.Sprintf("0016 %04x 2112a442 000000000000000000000002 0012 0008 0001 1234 21122112 0013 %04x %x %s", 12+4+len(b)+pad, len(b), b, strings.Repeat("00", pad))
	}
	channel := func(data string) string { return fmt.Sprintf("4000 %04x %s", len(unhex(t, data)), data) }
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"a record", aRecord, "DTLS record 17"},
		{"a record with a connection ID", aRecordCID, "DTLS record 20"},
		{"a flight", aHandshake + aHandshake + aRecord, "DTLS record 15, DTLS record 15, DTLS record 17"},
		{"a punch", aPunch, "message in clear 11"},
		{"a gate", "0f 01 ffff", "gate 4"},
		{"a request", aRequest, "TURN message 24"},
		{"channel data", channel(aRecord), "channel data 21, relayed DTLS record 17"},
		{"a run of channel data", channel(aRecord) + channel(aRecordCID), "channel data 21, relayed DTLS record 17, channel data 24, relayed DTLS record 20"},
		{"a punch in channel data", channel(aPunch), "channel data 15, relayed message in clear 11"},
		{"an IP packet in channel data", channel("4500 0054 0000"), "channel data 10, relayed unknown 6"},
		{"nothing in channel data", channel(""), "channel data 4"},
		{"channel data in channel data", channel(channel(aRecord)), "channel data 25, relayed channel data 21"},
		{"an indication", indication(aRecord), "TURN message 56, relayed DTLS record 17"},
		{"an indication with a text", anOffer, "TURN message 36, relayed unknown 3"},
		{"an indication without data", "0016 0000 2112a442 000000000000000000000002", "TURN message 20"},
		{"an attribute that is too long", "0016 0004 2112a442 000000000000000000000002 0013 0005", "TURN message 24"},
		{"an IP packet that may be channel data", "4500 0001 0000", "channel data 5, relayed unknown 1, unknown 1"},
		{"an IP packet that is none", "4500 0054 0000", "unknown 6"},
		{"a record that is cut", "17 fefd 0001 000000000007 0005 aabbccdd", "unknown 17"},
		{"a record of another version", "17 0303 0001 000000000007 0004 aabbccdd", "unknown 17"},
		{"a request that is cut", "0001 0005 2112a442 000000000000000000000001 80220000", "unknown 24"},
		{"a request without the cookie", "0001 0000 2112a443 000000000000000000000001", "unknown 20"},
		{"a message in clear with more", aPunch + "00", "unknown 12"},
		{"text", "68656c6c6f", "unknown 5"},
		{"behind a record", aRecord + "ff", "DTLS record 17, unknown 1"},
	} {
		var got []string
		for _, p := range Dissect(unhex(t, c.in)) {
			relayed := ""
			if p.Relayed {
				relayed = "relayed "
			}
			got = append(got, fmt.Sprintf("%s%v %d", relayed, p.Content, len(p.Data)))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	if got := Content(99).String(); got != "content 99" {
		t.Errorf("an unknown content is called %s", got)
	}
}

// TestInspection counts, and finds what nobody should see.
func TestInspection(t *testing.T) {
	var i Inspection
	secrets := [][]byte{[]byte("the plain text"), []byte("another")}
	for _, payload := range []string{aRecord, "4000 0011" + aRecord, aPunch, "ff00"} {
		b := unhex(t, payload)
		i.add(b)
		i.look(b, secrets)
	}
	i.look([]byte("xx another xx the plain text"), secrets)
	i.look([]byte("the plain te"), secrets)
	if want := "4 datagrams, 1 leaks, unknown: 1 (0 relayed), channel data: 1 (0 relayed), DTLS record: 2 (1 relayed), message in clear: 1 (0 relayed)"; i.String() != want {
		t.Errorf("got  %v\nwant %s", i, want)
	}
	if len(i.Odd) != 2 || !bytes.Equal(i.Odd[0], []byte{0xff, 0}) || !bytes.HasPrefix(i.Odd[1], []byte("xx another")) {
		t.Errorf("examples %q, want that of no kind, and the leak", i.Odd)
	}
	for range 2 * maxOdd {
		i.add(bytes.Repeat([]byte{0xff}, 100))
	}
	if len(i.Odd) != maxOdd || len(i.Odd[maxOdd-1]) != 64 {
		t.Errorf("%d examples, want %d of 64 bytes at most", len(i.Odd), maxOdd)
	}
}

// FuzzDissect: any datagram is taken apart, and nothing of it is left out or seen twice.
func FuzzDissect(f *testing.F) {
	for _, s := range []string{aRecord, aRecordCID, aPunch, aRequest, anOffer, "4000 0011" + aRecord, ""} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole []byte
		pieces := Dissect(b)
		for _, p := range pieces {
			if !p.Relayed {
				whole = append(whole, p.Data...)
			}
			if len(p.Data) == 0 {
				t.Fatalf("%x has an empty piece", b)
			}
		}
		if !bytes.Equal(whole, b) {
			t.Errorf("%x is taken apart into %x", b, whole)
		}
		if i := slices.IndexFunc(pieces, func(p Piece) bool { return p.Content >= contents }); i >= 0 {
			t.Errorf("%x has a piece of content %d", b, pieces[i].Content)
		}
	})
}
