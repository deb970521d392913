package tunnel

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"campagnol/tunnel/record"
)

func prefixes(list ...string) (ns []netip.Prefix) {
	for _, s := range list {
		ns = append(ns, netip.MustParsePrefix(s))
	}
	return ns
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		name     string
		networks []netip.Prefix
		in, out  []string
		spans    int
	}{
		{"none", nil, nil, []string{"0.0.0.0", "::"}, 0},
		{"nonsense", []netip.Prefix{{}}, nil, []string{"0.0.0.0", "::"}, 0},
		{"an address", prefixes("10.9.0.3/32"), []string{"10.9.0.3"}, []string{"10.9.0.2", "10.9.0.4", "::ffff:10.9.0.3", "::a09:3"}, 1},
		{"neighbours", prefixes("10.9.0.3/32", "10.9.0.5/32", "10.9.0.4/32"), []string{"10.9.0.3", "10.9.0.4", "10.9.0.5"}, []string{"10.9.0.2", "10.9.0.6"}, 1},
		{"one in the other", prefixes("172.16.7.0/24", "172.16.0.0/12", "172.16.7.0/24"), []string{"172.16.0.0", "172.31.255.255"}, []string{"172.15.255.255", "172.32.0.0"}, 1},
		{"not aligned", prefixes("172.16.7.9/24"), []string{"172.16.7.0", "172.16.7.255"}, []string{"172.16.8.0", "172.16.6.255"}, 1},
		{"the ends", prefixes("255.255.255.255/32", "0.0.0.0/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "::/128"),
			[]string{"255.255.255.255", "0.0.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"0.0.0.1", "255.255.255.254", "::1"}, 4},
		{"everything", prefixes("0.0.0.0/0", "::/0"), []string{"0.0.0.0", "255.255.255.255", "::", "fd00::1"}, nil, 2},
		{"both families", prefixes("fd00:1::/64", "10.1.0.0/16"), []string{"fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff", "10.1.255.255"}, []string{"fd00:1:0:1::", "fd00:0:ffff::", "10.2.0.0"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSources(c.networks)
			if s != nil && len(s.spans) != c.spans || s == nil && c.spans != 0 {
				t.Errorf("%+v, want %d spans", s, c.spans)
			}
			for _, a := range c.in {
				if !s.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is missing", a)
				}
			}
			for _, a := range append(c.out, "2001:db8::1%eth0") {
				if len(c.out) > 0 && s.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is in the set", a)
				}
			}
			if s.Contains(netip.Addr{}) {
				t.Error("no address is in the set")
			}
		})
	}
}

// TestSourcesModel compares sets with the networks that they are of, at the ends of
// these and beside them.
func TestSourcesModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var networks []netip.Prefix
		for range rnd.IntN(12) {
			networks = append(networks, randomNetwork(rnd))
		}
		s := NewSources(networks)
		for _, n := range networks {
			first, last := n.Masked().Addr(), lastOf(n)
			for _, a := range []netip.Addr{first, last, first.Prev(), last.Next(), n.Addr()} {
				if got, want := s.Contains(a), anyContains(networks, a); got != want {
					t.Fatalf("%v: %v is in it: %v, want %v", networks, a, got, want)
				}
			}
		}
	}
}

// randomNetwork returns one of few addresses, so that they meet.
func randomNetwork(rnd *rand.Rand) netip.Prefix {
	if rnd.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, 9, 0, byte(rnd.IntN(64))})
		return netip.PrefixFrom(a, 26+rnd.IntN(7))
	}
	a := netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(rnd.IntN(64))})
	return netip.PrefixFrom(a, 122+rnd.IntN(7))
}

func anyContains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func FuzzSources(f *testing.F) {
	f.Add([]byte{4, 10, 9, 0, 0, 24, 4, 10, 9, 1, 0, 24}, []byte{10, 9, 1, 255})
	f.Add([]byte{4, 255, 255, 255, 255, 32, 4, 0, 0, 0, 0, 0}, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, raw, ip []byte) {
		var networks []netip.Prefix
		for len(raw) >= 18 {
			n := 4
			if raw[0]%2 == 1 {
				n = 16
			}
			a, _ := netip.AddrFromSlice(raw[1 : 1+n])
			networks = append(networks, netip.PrefixFrom(a, int(raw[17])))
			raw = raw[18:]
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		if got, want := NewSources(networks).Contains(a), anyContains(networks, a); got != want {
			t.Errorf("%v: %v is in it: %v, want %v", networks, a, got, want)
		}
	})
}

// TestSessionSources: a peer may send from what its session was given, and the keys
// that follow were given the same.
func TestSessionSources(t *testing.T) {
	a, b := sessions(t)
	b.SetSources(NewSources(prefixes("10.9.0.7/32", "192.168.7.0/24", "fd00:7::/64")))
	next, _ := sessions(t)
	_, after := sessions(t)
	after.Continue(b)
	v6 := func(last byte) []byte {
		pkt := make([]byte, 48)
		pkt[0], pkt[8], pkt[10], pkt[11], pkt[23] = 0x60, 0xfd, 0, 7, last
		binary.BigEndian.PutUint16(pkt[4:], 8)
		return pkt
	}
	link := v6(1)
	link[8], link[9] = 0xfe, 0x80
	for _, c := range []struct {
		name string
		pkt  []byte
		want Drop
	}{
		{"its address", ipv4(alice, bob, 10), Kept},
		{"another of its addresses", ipv4(netip.MustParseAddr("10.9.0.7"), bob, 10), Kept},
		{"a network behind it", ipv4(netip.MustParseAddr("192.168.7.200"), bob, 10), Kept},
		{"a network behind it, IPv6", v6(9), Kept},
		{"beside the network", ipv4(netip.MustParseAddr("192.168.8.0"), bob, 10), DropSource},
		{"another member", ipv4(netip.MustParseAddr("10.9.0.8"), bob, 10), DropSource},
		{"a link", link, DropSource},
	} {
		for name, end := range map[string][2]*Session{"": {a, b}, ", fresh keys": {next, after}} {
			rec, _ := end[0].Seal(1, nil, c.pkt, new(record.Scratch))
			if _, d := receive(end[1], rec); d != c.want {
				t.Errorf("%s%s: %v, want %v", c.name, name, d, c.want)
			}
		}
	}
	b.SetSources(nil)
	rec, _ := a.Seal(1, nil, ipv4(netip.MustParseAddr("10.9.0.7"), bob, 10), new(record.Scratch))
	if _, d := receive(b, rec); d != DropSource {
		t.Errorf("after that was taken away: %v, want source", d)
	}
}

func TestSourcesNoAllocs(t *testing.T) {
	s := NewSources(prefixes("10.9.0.7/32", "192.168.7.0/24", "fd00:7::/64"))
	a := netip.MustParseAddr("192.168.7.5")
	if n := testing.AllocsPerRun(100, func() { s.Contains(a) }); n != 0 {
		t.Errorf("%.0f allocations, want 0", n)
	}
}

// BenchmarkOwns is the check of a packet's source: of the session's own address, of
// another one, and of one among as many networks as a certificate can name.
func BenchmarkOwns(b *testing.B) {
	var many []netip.Prefix
	for i := range 256 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 25))
	}
	for _, c := range []struct {
		name     string
		networks []netip.Prefix
		src      netip.Addr
	}{
		{"main", nil, bob},
		{"another", prefixes("10.9.0.7/32"), netip.MustParseAddr("10.9.0.7")},
		{"networks=256", many, netip.MustParseAddr("172.16.99.1")},
	} {
		b.Run("of="+c.name, func(b *testing.B) {
			s, _ := sessions(b)
			s.SetSources(NewSources(c.networks))
			b.ReportAllocs()
			for b.Loop() {
				if !s.owns(c.src) {
					b.Fatal("the wrong answer")
				}
			}
		})
	}
}
