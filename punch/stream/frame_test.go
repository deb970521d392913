package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// binding is a request of STUN without attributes.
const binding = "000100002112a442000102030405060708090a0b"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFrame: what datagrams are on the stream, to the byte.
func TestFrame(t *testing.T) {
	for _, c := range []struct {
		name     string
		datagram string
		frame    string
		back     string // "": as the datagram
	}{
		{"STUN", binding, binding, ""},
		{"STUN with an attribute", "0001 0004 2112a442 000102030405060708090a0b 80220000", "0001 0004 2112a442 000102030405060708090a0b 80220000", ""},
		{"STUN with something behind it", binding + "00000000", "7fff0018" + binding + "00000000", ""},
		{"STUN of old, without the cookie", "0001000000000000000102030405060708090a0b", "7fff0014" + "0001000000000000000102030405060708090a0b", ""},
		{"STUN that is cut", binding[:38], "7fff0013" + binding[:38] + "00", ""},
		{"ChannelData", "4000 0004 01020304", "4000 0004 01020304", ""},
		{"ChannelData to be filled up", "4001 0001 aa", "4001 0001 aa000000", "4001 0001 aa000000"},
		{"ChannelData that is filled up", "4001 0002 aabb 0000", "4001 0002 aabb 0000", ""},
		{"ChannelData with other padding", "4001 0002 aabb ccdd", "4001 0002 aabb 0000", "4001 0002 aabb 0000"},
		{"ChannelData without data", "4fff 0000", "4fff 0000", ""},
		{"a channel of RFC 5766", "7ffe 0001 aa", "7ffe 0001 aa000000", "7ffe 0001 aa000000"},
		{"ChannelData with too much behind it", "4001 0000 00000000", "7fff 0008 4001 0000 00000000", ""},
		{"ChannelData that is cut", "4001 0009 0102", "7fff 0006 4001 0009 0102 0000", ""},
		{"the reserved number", "7fff 0001 aa", "7fff 0005 7fff 0001 aa 000000", ""},
		{"a gate message", "0f05", "7fff 0002 0f05 0000", ""},
		{"PING", "0300000000000000000000", "7fff 000b 0300000000000000000000 00", ""},
		{"a record of DTLS", "17fefd0001000000000001000400112233", "7fff 0011 17fefd0001000000000001000400112233 000000", ""},
		{"nothing", "", "7fff 0000", ""},
		{"one byte", "41", "7fff 0001 41 000000", ""},
	} {
		d := unhex(t, c.datagram)
		frame, ok := appendFrame([]byte("before"), d)
		if want := append([]byte("before"), unhex(t, c.frame)...); !ok || !bytes.Equal(frame, want) {
			t.Errorf("%s: frame %x, %v, want %x", c.name, frame, ok, want)
			continue
		}
		want := d
		if c.back != "" {
			want = unhex(t, c.back)
		}
		got, size, err := next(frame[6:])
		if err != nil || size != len(frame)-6 || !bytes.Equal(got, want) {
			t.Errorf("%s: back comes %x of %d bytes, %v, want %x", c.name, got, size, err, want)
		}
		for n := range size {
			if got, size, err := next(frame[6 : 6+n]); size != 0 || err != nil {
				t.Errorf("%s: of the first %d bytes come %x, %v", c.name, n, got, err)
			}
		}
	}
}

// TestFrameLongest: what is longer than 65535 bytes is no frame, but for STUN, whose
// header does not count.
func TestFrameLongest(t *testing.T) {
	b := make([]byte, maxPayload+1)
	b[0] = 20
	if frame, ok := appendFrame(nil, b); ok || len(frame) != 0 {
		t.Errorf("%d bytes make a frame of %d", len(b), len(frame))
	}
	frame, ok := appendFrame(nil, b[:maxPayload])
	if got, size, err := next(frame); !ok || err != nil || size != len(frame) || len(got) != maxPayload {
		t.Errorf("of %d bytes come back %d, %v", maxPayload, len(got), err)
	}
	stun := make([]byte, stunHead+0xFFFC)
	stun[1] = 1
	binary.BigEndian.PutUint16(stun[2:], 0xFFFC)
	binary.BigEndian.PutUint32(stun[4:], stunCookie)
	frame, ok = appendFrame(nil, stun)
	if _, size, err := next(frame); !ok || err != nil || size != len(stun) || size > maxFrame {
		t.Errorf("the longest message of STUN is %d bytes long, %v", size, err)
	}
	channel := append([]byte{0x40, 0, 0xFF, 0xFF}, make([]byte, 0xFFFF)...)
	frame, ok = appendFrame(nil, channel)
	if _, size, err := next(frame); !ok || err != nil || size != 65540 || size > maxFrame || size > maxBuffer {
		t.Errorf("the longest ChannelData is %d bytes long, %v", size, err)
	}
}

// TestFrameNonsense: what cannot be a frame is told at once, not when it is complete.
func TestFrameNonsense(t *testing.T) {
	for _, s := range []string{
		"04", "0f05", "14", "17fefd", "3f", "80", "ff", "16030100", // TLS where there is none
		"00010003",             // no multiple of four
		"00010000deadbeef0000", // no cookie
	} {
		if got, size, err := next(unhex(t, s)); err != errFrame {
			t.Errorf("%s: %x, %d, %v", s, got, size, err)
		}
	}
}

// FuzzFrame: every datagram comes back as it was, but for the padding, and what follows
// it on the stream stays as it is.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{binding, "40000001aa", "7fff0001aa", "0f05", "", "4001000401020304aabb"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		frame, ok := appendFrame(nil, d)
		if !ok {
			if len(d) <= maxPayload {
				t.Fatalf("%d bytes are too long", len(d))
			}
			return
		}
		if len(frame)%4 != 0 {
			t.Fatalf("a frame of %d bytes", len(frame))
		}
		got, size, err := next(append(frame, 0xFF))
		if err != nil || size != len(frame) {
			t.Fatalf("frame %x: %d, %v", frame, size, err)
		}
		if n, is := channelData(d); is {
			d, got = d[:channelHead+n], got[:channelHead+n]
		}
		if !bytes.Equal(got, d) {
			t.Fatalf("got %x, want %x", got, d)
		}
	})
}

// FuzzNext: whatever comes makes a frame, an error, or wants more; and a frame that was
// taken is sent in the same way.
func FuzzNext(f *testing.F) {
	for _, s := range []string{binding, "4000000401020304", "7fff0001aa000000", "7fff0000", "00010000", "41"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, size, err := next(b)
		switch {
		case err != nil && (got != nil || size != 0):
			t.Fatalf("%x, %d with %v", got, size, err)
		case size > len(b) || size > maxFrame || size == 0 && got != nil || len(got) > size:
			t.Fatalf("%d of %d bytes, %d of payload", size, len(b), len(got))
		case err != nil || size == 0:
			return
		}
		frame, ok := appendFrame(nil, got)
		again, _, err := next(frame)
		if !ok || err != nil || !bytes.Equal(again[:min(len(again), len(got))], got[:min(len(again), len(got))]) && !isChannel(got) {
			t.Fatalf("%x goes as %x, %v", got, frame, err)
		}
	})
}
