package ether

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

const (
	toGroup4 = "01005e7f0203 02000000000a 0800 "
	toGroup6 = "333300000016 02000000000a 86dd "
	addrs4   = "0a4d000b ef010203 "
	addrs6   = "fe80000000000000000000000000000a ff020000000000000000000000000016 "

	igmpReport = toGroup4 + `
		46 c0 0024 0000 4000 01 02 0000 ` + addrs4 + `
		94 04 0000                    # Router Alert
		22 00 e9f9 0000 0001 04000000 ef010203`
	mldReport = toGroup6 + `
		60000000 0024 00 01 ` + addrs6 + `
		3a 00 05 02 0000 01 00        # hop by hop: Router Alert, padding
		8f 00 5dba 0000 0001 04000000
		ff150000000000000000000000001234`
)

func TestParseIP(t *testing.T) {
	src4, dst4 := netip.MustParseAddr("10.77.0.11"), netip.MustParseAddr("239.1.2.3")
	src6, dst6 := netip.MustParseAddr("fe80::a"), netip.MustParseAddr("ff02::16")
	ip4 := func(p IP) IP { p.Version, p.Src, p.Dst, p.HopLimit = 4, src4, dst4, 64; return p }
	ip6 := func(p IP) IP { p.Version, p.Src, p.Dst, p.HopLimit = 6, src6, dst6, 64; return p }
	for _, c := range []struct {
		name, frame string
		want        IP
	}{
		{"IPv4", toGroup4 + "45 00 0016 0000 4000 40 11 0000" + addrs4 + "1234 ffff", ip4(IP{Proto: 17, Body: 34, End: 36})},
		{"IPv4 with an option and Router Alert", toGroup4 + "47 00 001d 0000 4000 40 02 0000" + addrs4 + "01 94040000 000000 11", ip4(IP{Proto: 2, Body: 42, End: 43, Alert: true})},
		{"Router Alert behind the end", toGroup4 + "47 00 001c 0000 4000 40 02 0000" + addrs4 + "00 94040000 000000", ip4(IP{Proto: 2, Body: 42, End: 42})},
		{"option without length", toGroup4 + "46 00 0018 0000 4000 40 02 0000" + addrs4 + "44 00 9404", ip4(IP{Proto: 2, Body: 38, End: 38})},
		{"later fragment", toGroup4 + "45 00 0016 0000 2001 40 11 0000" + addrs4 + "1234", ip4(IP{Proto: 17, Body: 34, End: 36, Later: true})},
		{"first fragment", toGroup4 + "45 00 0016 0000 2000 40 11 0000" + addrs4 + "1234", ip4(IP{Proto: 17, Body: 34, End: 36})},
		{"IPv6", toGroup6 + "60000000 0002 11 40" + addrs6 + "1234 ffff", ip6(IP{Proto: 17, Body: 54, End: 56})},
		{"hop by hop", toGroup6 + "60000000 0009 00 40" + addrs6 + "3a00 0502 0000 0100 85", ip6(IP{Proto: 58, Body: 62, End: 63, Alert: true})},
		{"hop by hop, padding first", toGroup6 + "60000000 0008 00 40" + addrs6 + "3a00 00 0502 0000 00", ip6(IP{Proto: 58, Body: 62, End: 62, Alert: true})},
		{"hop by hop, option too long", toGroup6 + "60000000 0008 00 40" + addrs6 + "3a00 0505 0000 0000", ip6(IP{Proto: 58, Body: 62, End: 62})},
		{"hop by hop, cut", toGroup6 + "60000000 0008 00 40" + addrs6 + "3a01 0502 0000 0100", ip6(IP{Proto: 0, Body: 54, End: 62})},
		{"hop by hop, nothing but padding", toGroup6 + "60000000 0008 00 40" + addrs6 + "3a00 0104 00000000", ip6(IP{Proto: 58, Body: 62, End: 62})},
		{"IPv4 with other options", toGroup4 + "46 00 0018 0000 4000 40 02 0000" + addrs4 + "44 04 0000", ip4(IP{Proto: 2, Body: 38, End: 38})},
		{"destination, routing", toGroup6 + "60000000 0010 3c 40" + addrs6 + "2b00 0104 00000000 0600 0000 00000000", ip6(IP{Proto: 6, Body: 70, End: 70})},
		{"first fragment of IPv6", toGroup6 + "60000000 0008 2c 40" + addrs6 + "3a00 0001 00000007", ip6(IP{Proto: 58, Body: 62, End: 62})},
		{"later fragment of IPv6", toGroup6 + "60000000 000a 2c 40" + addrs6 + "3a00 0008 00000007 8f00", ip6(IP{Proto: 44, Body: 54, End: 64, Later: true})},
	} {
		b := unhex(t, c.frame)
		f, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ParseIP(b, &f); !ok || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
}

// TestExtensionsBounded: a packet of nothing but extension headers ends somewhere.
func TestExtensionsBounded(t *testing.T) {
	b := unhex(t, toGroup6+"60000000 0320 3c 40"+addrs6)
	for range 100 {
		b = append(b, unhex(t, "3c00 0104 00000000")...)
	}
	f, _ := Parse(b)
	p, ok := ParseIP(b, &f)
	if !ok || p.Proto != protoDestination || p.Body != 54+8*maxExtensions || !p.Unread() {
		t.Errorf("%+v, %v", p, ok)
	}
}

func TestUnread(t *testing.T) {
	for _, c := range []struct {
		name string
		p    IP
		want bool
	}{
		{"ICMPv6", IP{Version: 6, Proto: 58}, false},
		{"hop by hop", IP{Version: 6, Proto: 0}, true},
		{"routing", IP{Version: 6, Proto: 43}, true},
		{"destination", IP{Version: 6, Proto: 60}, true},
		{"cut fragment header", IP{Version: 6, Proto: 44}, true},
		{"later fragment", IP{Version: 6, Proto: 44, Later: true}, false},
		{"IPv4", IP{Version: 4, Proto: 60}, false},
	} {
		if got := c.p.Unread(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseIPRefuses(t *testing.T) {
	v4 := unhex(t, toGroup4+"45 00 0014 0000 4000 40 11 0000"+addrs4)
	v6 := unhex(t, toGroup6+"60000000 0002 11 40"+addrs6+"1234")
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"IPv4 cut", v4[:33]},
		{"IPv4 header of 16 bytes", edited(v4, 14, 0x44)},
		{"IPv4 header longer than it is", edited(v4, 14, 0x46)},
		{"IPv4 longer than the frame", edited(v4, 17, 21)},
		{"IPv4 with version 6", edited(v4, 14, 0x65)},
		{"IPv6 cut", v6[:53]},
		{"IPv6 longer than the frame", edited(v6, 19, 3)},
		{"IPv6 with version 4", edited(v6, 14, 0x45)},
		{"ARP", edited(v4, 13, 6)},
	} {
		f, err := Parse(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := ParseIP(c.b, &f); ok {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

func TestMembershipOf(t *testing.T) {
	report4, report6 := unhex(t, igmpReport), unhex(t, mldReport)
	for _, c := range []struct {
		name string
		b    []byte
		want Membership
	}{
		{"IGMPv3 report", report4, Talk},
		{"query", edited(report4, 38, 0x11), Talk},
		{"IGMPv1 report", edited(report4, 38, 0x12), Talk},
		{"IGMPv2 report", edited(report4, 38, 0x16), Talk},
		{"leave", edited(report4, 38, 0x17), Talk},
		{"DVMRP", edited(report4, 38, 0x13), NoMembership},
		{"multicast router advertisement", edited(report4, 38, 0x30), RouterSign},
		{"multicast router solicitation", edited(report4, 38, 0x31), RouterSign},
		{"multicast router termination", edited(report4, 38, 0x32), RouterSign},
		{"PIM", edited(report4, 23, 103), RouterSign},
		{"UDP", edited(report4, 23, 17), NoMembership},
		{"later fragment", edited(report4, 21, 1), NoMembership},
		{"MLDv2 report", report6, Talk},
		{"MLD query", edited(report6, 62, 130), Talk},
		{"MLDv1 report", edited(report6, 62, 131), Talk},
		{"done", edited(report6, 62, 132), Talk},
		{"multicast router advertisement, IPv6", edited(report6, 62, 151), RouterSign},
		{"solicitation, IPv6", edited(report6, 62, 152), RouterSign},
		{"termination, IPv6", edited(report6, 62, 153), RouterSign},
		{"router solicitation", edited(report6, 62, 133), NoMembership},
		{"IGMP in IPv6", edited(report6, 54, 2), NoMembership},
	} {
		f, err := Parse(c.b)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := ParseIP(c.b, &f)
		if !ok {
			t.Fatalf("%s: no packet", c.name)
		}
		if got := MembershipOf(c.b, &p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	// Nothing behind the IP header.
	empty := unhex(t, toGroup4+"45 00 0014 0000 4000 01 02 0000"+addrs4)
	f, _ := Parse(empty)
	if p, ok := ParseIP(empty, &f); !ok || MembershipOf(empty, &p) != NoMembership {
		t.Errorf("an empty packet: %+v, %v", p, ok)
	}
}

// TestSum compares the checksum with the plain sum of words, for lengths that leave
// bytes over.
func TestSum(t *testing.T) {
	b := make([]byte, 33)
	for i := range b {
		b[i] = byte(i*37 + 200)
	}
	for n := range b {
		want, padded := uint32(0), append(append([]byte(nil), b[:n]...), 0)
		for i := 0; i+1 < len(padded); i += 2 {
			want += uint32(binary.BigEndian.Uint16(padded[i:]))
			want = want&0xffff + want>>16
		}
		if got := fold(sum(b[:n], 0)); got != uint16(want) {
			t.Errorf("%d bytes: %04x, want %04x", n, got, want)
		}
	}
}
