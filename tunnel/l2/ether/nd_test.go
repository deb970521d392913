package ether

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

// A question, a probe and an answer, as Linux sends them.
const (
	solicitation = `
		3333ff00000b 02000000000a 86dd
		60000000 0020 3a ff
		fe80000000000000000000000000000a # source
		ff0200000000000000000001ff00000b # destination
		87 00 7a73 00000000
		fe80000000000000000000000000000b # target
		01 01 02000000000a               # address of the source`
	probe = `
		3333ff00000b 02000000000b 86dd
		60000000 0018 3a ff
		00000000000000000000000000000000
		ff0200000000000000000001ff00000b
		87 00 7c11 00000000
		fe80000000000000000000000000000b`
	advertisement = `
		02000000000a 02000000000b 86dd
		60000000 0020 3a ff
		fe80000000000000000000000000000b
		fe80000000000000000000000000000a
		88 00 97f5 e0000000               # a router, asked, overriding
		fe80000000000000000000000000000b
		02 01 02000000000b`
)

var (
	llA    = netip.MustParseAddr("fe80::a")
	llB    = netip.MustParseAddr("fe80::b")
	groupB = netip.MustParseAddr("ff02::1:ff00:b")
)

// parseND reads a frame as the switch does.
func parseND(b []byte) (Neighbour, error) {
	f, err := Parse(b)
	if err != nil {
		return Neighbour{}, err
	}
	p, ok := ParseIP(b, &f)
	if !ok {
		return Neighbour{}, ErrND
	}
	return ParseND(b, &p)
}

func TestND(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		want        Neighbour
		probe       bool
	}{
		{"solicitation", solicitation, Neighbour{Src: llA, Dst: groupB, Target: llB, MAC: macA}, false},
		{"probe", probe, Neighbour{Src: netip.IPv6Unspecified(), Dst: groupB, Target: llB}, true},
		{"advertisement", advertisement, Neighbour{
			Advertisement: true, Src: llB, Dst: llA, Target: llB, MAC: macB, Router: true, Solicited: true, Override: true,
		}, false},
	} {
		b := unhex(t, c.frame)
		got, err := parseND(b)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
		if got.IsProbe() != c.probe {
			t.Errorf("%s: probe %v", c.name, got.IsProbe())
		}
		if made := got.Append(nil); !bytes.Equal(made, b[HeaderLen:]) {
			t.Errorf("%s: made\n%x, want\n%x", c.name, made, b[HeaderLen:])
		}
		f, _ := Parse(b)
		if !MayBeND(b, &f) {
			t.Errorf("%s: not found by its two bytes", c.name)
		}
	}
}

// resummed returns a copy of b, an untagged frame with ICMPv6 at offset 54, with the
// byte at i set to v and a right checksum.
func resummed(b []byte, i int, v byte) []byte {
	b = edited(b, i, v)
	m := b[54:]
	binary.BigEndian.PutUint16(m[2:], 0)
	src, dst := netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))
	binary.BigEndian.PutUint16(m[2:], ChecksumICMPv6(src, dst, m))
	return b
}

// TestParseNDRefuses has the checks of RFC 4861 sections 7.1.1 and 7.1.2.
func TestParseNDRefuses(t *testing.T) {
	ns, dad, na := unhex(t, solicitation), unhex(t, probe), unhex(t, advertisement)
	toGroup := bytes.Clone(na)
	copy(toGroup[38:54], ns[38:54])
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"hop limit 254: from elsewhere", edited(ns, 21, 254)},
		{"wrong checksum", edited(ns, 57, 0x74)},
		{"another target than summed", edited(ns, 77, 0xc)},
		{"code 1", resummed(ns, 55, 1)},
		{"another type", resummed(ns, 54, 134)},
		{"option without length", resummed(ns, 79, 0)},
		{"option longer than the packet", resummed(ns, 79, 2)},
		{"target is a group", resummed(ns, 62, 0xff)},
		{"probe to all nodes", resummed(dad, 53, 0xc)},
		{"solicited, but for a group", resummed(toGroup, 77, 0xb)},
		{"cut", ns[:len(ns)-1]},
		{"not IPv6", edited(ns, 14, 0x40)},
	} {
		if n, err := parseND(c.b); !errors.Is(err, ErrND) || n != (Neighbour{}) {
			t.Errorf("%s: %+v, %v", c.name, n, err)
		}
	}
	if _, err := parseND(resummed(ns, 79, 1)); err != nil {
		t.Errorf("the helper makes messages that are wrong anyway: %v", err)
	}
}

// TestNDOptions: options that are not known are skipped, those of other lengths not
// read.
func TestNDOptions(t *testing.T) {
	base := unhex(t, probe)
	copy(base[22:38], unhex(t, "fe80000000000000000000000000000a"))
	for _, c := range []struct {
		name, options string
		want          MAC
	}{
		{"none", "", 0},
		{"a nonce before it", "0e01 112233445566 0101 02000000000a", macA},
		{"that of the target", "0201 02000000000b", 0},
		{"of 16 bytes", "0102 02000000000a 0000000000000000", 0},
	} {
		o := unhex(t, c.options)
		b := append(bytes.Clone(base), o...)
		b[19] = byte(24 + len(o))
		n, err := parseND(resummed(b, 55, 0))
		if err != nil || n.MAC != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, n.MAC, err, c.want)
		}
	}
}

func TestSolicitedNode(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"fe80::b", "ff02::1:ff00:b"},
		{"2001:db8::1234:5678", "ff02::1:ff34:5678"},
		{"::ffff:10.1.2.3", "ff02::1:ff01:203"},
	} {
		if got := SolicitedNode(netip.MustParseAddr(c.addr)); got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.addr, got, c.want)
		}
	}
}

func TestMayBeND(t *testing.T) {
	ns := unhex(t, solicitation)
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"solicitation", ns, true},
		{"advertisement", unhex(t, advertisement), true},
		{"UDP", edited(ns, 20, 17), false},
		{"echo", edited(ns, 54, 128), false},
		{"cut before the type", ns[:54], false},
		{"IPv4", edited(ns, 12, 0x08), false},
	} {
		f, err := Parse(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := MayBeND(c.b, &f); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
