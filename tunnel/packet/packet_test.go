package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
)

// Two packets as a kernel makes them: an ICMP echo request, and an IPv6 router
// solicitation.
const (
	ping4 = "4500002800010000400166d40a0900010a090002" + "0800f7ff00000000" + "000102030405060708090a0b"
	rs6   = "6000000000083afffe80000000000000021122fffe334455ff020000000000000000000000000002" + "8500" + "7bb9" + "00000000"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want Info
		err  error
	}{
		{"IPv4", unhex(t, ping4), Info{4, netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), 40}, nil},
		{"IPv4 with padding", append(unhex(t, ping4), 0, 0), Info{4, netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), 40}, nil},
		{"IPv6", unhex(t, rs6), Info{6, netip.MustParseAddr("fe80::211:22ff:fe33:4455"), netip.MustParseAddr("ff02::2"), 48}, nil},
		{"empty", nil, Info{}, ErrLength},
		{"IPv4, header cut", unhex(t, ping4)[:19], Info{}, ErrLength},
		{"IPv4, body cut", unhex(t, ping4)[:39], Info{}, ErrLength},
		{"IPv4, header length 4", edit(unhex(t, ping4), 0, 0x41), Info{}, ErrLength},
		{"IPv4, header longer than the packet", edit(unhex(t, ping4), 0, 0x4f), Info{}, ErrLength},
		{"IPv4, total below header", edit(unhex(t, ping4), 3, 19), Info{}, ErrLength},
		{"IPv6, header cut", unhex(t, rs6)[:39], Info{}, ErrLength},
		{"IPv6, body cut", unhex(t, rs6)[:47], Info{}, ErrLength},
		{"ARP", append([]byte{0, 1, 8, 0, 6, 4}, make([]byte, 40)...), Info{}, ErrNotIP},
		{"version 15", bytes.Repeat([]byte{0xff}, 60), Info{}, ErrNotIP},
	} {
		got, err := Parse(c.b)
		if !errors.Is(err, c.err) || got != c.want {
			t.Errorf("%s: Parse = %+v, %v, want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func edit(b []byte, i int, v byte) []byte { b[i] = v; return b }

func TestBroadcast(t *testing.T) {
	for _, c := range []struct{ network, want string }{
		{"10.9.0.1/24", "10.9.0.255"},
		{"10.9.0.0/16", "10.9.255.255"},
		{"10.9.0.129/25", "10.9.0.255"},
		{"10.9.0.2/31", "10.9.0.3"},
		{"10.9.0.3/32", "10.9.0.3"},
		{"10.9.0.3/0", "255.255.255.255"},
	} {
		if got := Broadcast(netip.MustParsePrefix(c.network)); got != netip.MustParseAddr(c.want) {
			t.Errorf("Broadcast(%s) = %v, want %s", c.network, got, c.want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	for _, b := range [][]byte{unhex(t, ping4), unhex(t, rs6), nil, {0}} {
		if n := testing.AllocsPerRun(100, func() { Parse(b) }); n != 0 {
			t.Errorf("Parse(%x) allocates %.0f times, want 0", b, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	p := unhex(b, ping4)
	b.ReportAllocs()
	for b.Loop() {
		Parse(p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, ping4))
	f.Add(unhex(f, rs6))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Parse(b)
		if err != nil {
			if i != (Info{}) {
				t.Errorf("%+v with error %v", i, err)
			}
			return
		}
		if i.Len > len(b) || i.Len < IPv4HeaderLen || i.Version != b[0]>>4 {
			t.Errorf("Parse(%x) = %+v", b, i)
		}
		if i.Version == 4 && int(binary.BigEndian.Uint16(b[2:])) != i.Len {
			t.Errorf("length %d", i.Len)
		}
	})
}
