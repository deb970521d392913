package l2

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// TestReserved: frames between neighbours do not pass, unless they are those of the
// spanning tree and that is wanted; pause frames never do.
func TestReserved(t *testing.T) {
	for _, c := range []struct {
		dst       ether.MAC
		typ       ether.Type
		bare, stp string // outcome from the TAP
	}{
		{ether.BridgeGroup, 0x26, "reserved", "1 2"},
		{ether.ProviderGroup, 0x26, "reserved", "1 2"},
		{ether.Pause, 0x8808, "reserved", "reserved"},
		{ether.Pause, 0x26, "reserved", "reserved"},
		{ether.BridgeGroup + 2, 0x8809, "reserved", "reserved"},  // LACP
		{ether.BridgeGroup + 3, 0x888e, "reserved", "reserved"},  // 802.1X
		{ether.BridgeGroup + 14, 0x88cc, "reserved", "reserved"}, // LLDP
		{ether.BridgeGroup + 15, 0x88b5, "reserved", "reserved"},
		{ether.BridgeGroup + 16, 0x88b5, "1 2", "1 2"},
		{0x01000ccccccd, 0x0132, "1 2", "1 2"},              // per VLAN spanning tree
		{macA, 0x8808, "reserved", "reserved"},              // pause for one station
		{ether.BridgeGroup, 0x8808, "reserved", "reserved"}, // in disguise
	} {
		for _, stp := range []bool{false, true} {
			x := newNode(t, Config{STP: stp}, 2)
			want := c.bare
			if stp {
				want = c.stp
			}
			if got := x.outcome(TAP, eth(c.dst, macL, c.typ, 1)); got != want {
				t.Errorf("%v, type %04x, STP %v, from the TAP: %s, want %s", c.dst, c.typ, stp, got, want)
			}
			if want == "1 2" {
				want = "tap"
			}
			if got := x.outcome(1, eth(c.dst, macB, c.typ, 1)); got != want {
				t.Errorf("%v, type %04x, STP %v, from a peer: %s, want %s", c.dst, c.typ, stp, got, want)
			}
		}
	}
}

// TestVLANs: only those that are allowed pass, both ways, whichever tags they have.
func TestVLANs(t *testing.T) {
	some, native := ether.NewVIDSet(10), ether.NewVIDSet(0)
	b := plain(ether.Broadcast, macL)
	for _, c := range []struct {
		name  string
		set   *ether.VIDSet
		frame []byte
		want  string
	}{
		{"all", nil, b, "1"},
		{"all, tagged", nil, tagged(b, 4094), "1"},
		{"all, the reserved number", nil, tagged(b, 4095), "vlan"},
		{"allowed", some, tagged(b, 10), "1"},
		{"untagged", some, b, "vlan"},
		{"another", some, tagged(b, 11), "vlan"},
		{"priority only is untagged", some, tagged(b, 0), "vlan"},
		{"the outer counts", some, tagged(b, 10, 11), "1"},
		{"not the inner", some, tagged(b, 11, 10), "vlan"},
		{"native", native, b, "1"},
		{"native, priority only", native, tagged(b, 0), "1"},
		{"the inner behind 0 is what a kernel takes", native, tagged(b, 0, 11), "vlan"},
		{"however many zeros", native, tagged(b, 0, 0, 0, 11), "vlan"},
		{"more tags than are read", native, tagged(b, 0, 0, 0, 0, 0, 0, 0, 0, 11), "invalid"},
	} {
		x := newNode(t, Config{VLANs: c.set}, 1)
		if got := x.outcome(TAP, c.frame); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		want := c.want
		if want == "1" {
			want = "tap"
		}
		y := newNode(t, Config{VLANs: c.set}, 1)
		if got := y.outcome(1, c.frame); got != want {
			t.Errorf("%s, from a peer: %s, want %s", c.name, got, want)
		}
		if c.want == "vlan" && y.sw.view.macs.n != 0 {
			t.Errorf("%s: learned from a frame that does not pass", c.name)
		}
	}
}

// TestInvalid: what is no frame goes nowhere.
func TestInvalid(t *testing.T) {
	x := newNode(t, Config{}, 1)
	for _, b := range [][]byte{nil, {}, make([]byte, 13), tagged(plain(macA, macB), 1)[:15]} {
		for _, from := range []Port{TAP, 1} {
			if got := x.outcome(from, b); got != "invalid" {
				t.Errorf("%d bytes from %d: %s", len(b), from, got)
			}
		}
	}
	if got := x.sw.Dump(x.now).Drops["invalid"]; got != 8 {
		t.Errorf("%d drops, want 8", got)
	}
}

// TestNobody: without peers nothing goes anywhere.
func TestNobody(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP}, 0)
	for _, dst := range []ether.MAC{ether.Broadcast, macA, 0x01005e010203} {
		if got := x.outcome(TAP, plain(dst, macTAP)); got != "no_port" {
			t.Errorf("for %v: %s", dst, got)
		}
	}
}

// TestStorm: what goes to all is limited by kind, where it leaves and where it
// arrives, and there is one event when that begins.
func TestStorm(t *testing.T) {
	group := ether.MAC(0x01000ccccccd)
	for _, c := range []struct {
		name   string
		limits Limits
		dst    ether.MAC
		want   string
	}{
		{"broadcast", Limits{Broadcast: 100}, ether.Broadcast, "storm_broadcast"},
		{"unknown", Limits{Unknown: 100}, macC, "storm_unknown"},
		{"multicast", Limits{Multicast: 100}, group, "storm_multicast"},
	} {
		for _, from := range []Port{TAP, 1} {
			x := newNode(t, Config{Limits: c.limits}, 2)
			src, other := macL, "1 2"
			if from == 1 {
				src, other = macA, "tap"
			}
			count := func(n int) (passed int) {
				for range n {
					if got := x.outcome(from, plain(c.dst, src)); got == other {
						passed++
					} else if got != c.want {
						t.Fatalf("%s from %d: %s", c.name, from, got)
					}
				}
				return passed
			}
			first := count(1000)
			event := x.happened()
			if want := "storm " + map[Port]string{TAP: "0", 1: "1"}[from]; first != 25 || event != want {
				t.Errorf("%s from %d: %d passed with events %q, want 25 with %q", c.name, from, first, event, want)
			}
			x.wait(time.Second / 10)
			if got := count(1000); got != 10 {
				t.Errorf("%s from %d: %d passed after 100 ms, want 10", c.name, from, got)
			}
			// The others have limits of their own.
			rest := []ether.MAC{ether.Broadcast, macC, group}
			for _, dst := range slices.DeleteFunc(rest, func(m ether.MAC) bool { return m == c.dst }) {
				if got := x.outcome(from, plain(dst, src)); got != other {
					t.Errorf("%s from %d: to %v %s, want %s", c.name, from, dst, got, other)
				}
			}
			if got := x.outcome(2, plain(c.dst, macB)); got != "tap" {
				t.Errorf("%s from %d: another peer's are %s", c.name, from, got)
			}
			if got := x.happened(); got != "" {
				t.Errorf("%s from %d: further events %q", c.name, from, got)
			}
			x.wait(11 * time.Second)
			count(100)
			if got := x.happened(); got != event {
				t.Errorf("%s from %d: the next time: %q, want %q", c.name, from, got, event)
			}
		}
	}
}

// TestStormKnown: what is for one station is not limited, and neither is anything by
// limits that are negative.
func TestStormKnown(t *testing.T) {
	x := newNode(t, Config{Limits: Limits{Broadcast: -1, Unknown: 1, Multicast: 1}}, 1)
	x.frame(1, plain(macL, macA))
	x.frame(TAP, plain(macA, macL))
	for i := range 5000 {
		if r := x.frame(TAP, plain(macA, macL)); r != Kept {
			t.Fatalf("frame %d for A: %v", i, r)
		}
		if r := x.frame(1, plain(macL, macA)); r != Kept {
			t.Fatalf("frame %d from A: %v", i, r)
		}
		if r := x.frame(1, plain(ether.Broadcast, macA)); r != Kept {
			t.Fatalf("broadcast %d: %v", i, r)
		}
	}
}

// TestStormSTP: a storm of multicast does not stop the frames that would end it.
func TestStormSTP(t *testing.T) {
	x := newNode(t, Config{STP: true}, 1)
	for range 10000 {
		x.frame(TAP, plain(0x01000ccccccd, macL))
	}
	if got := x.outcome(TAP, eth(ether.BridgeGroup, macL, 0x26)); got != "1" {
		t.Errorf("%s, want 1", got)
	}
	passed := 0
	for range 1000 {
		if x.frame(1, eth(ether.BridgeGroup, macA, 0x26)) == Kept {
			passed++
		}
	}
	if passed != minBurst {
		t.Errorf("%d frames of the spanning tree at once, want %d", passed, minBurst)
	}
}

// memberships is what the test says about groups.
type memberships map[netip.Addr][]Port

// all marks groups that all are in.
var all = []Port{}

// Ports implements Groups: VLAN 0 and one source only.
func (m memberships) Ports(vid uint16, dst, src netip.Addr) ([]Port, bool) {
	list := m[dst]
	if vid != 0 || src != ipL {
		return nil, false
	}
	return list, list != nil && len(list) == 0
}

var (
	film    = netip.MustParseAddr("239.1.2.3")
	alias   = netip.MustParseAddr("239.129.2.3") // has the same MAC
	unasked = netip.MustParseAddr("239.9.9.9")
	mdns    = netip.MustParseAddr("224.0.0.251")
)

// TestMulticast: who is in a group has what is sent to it, by address and not by MAC.
func TestMulticast(t *testing.T) {
	x := newNode(t, Config{Limits: Limits{Multicast: 4}}, 4)
	x.sw.SetGroups(memberships{film: {2, 4}, alias: {3}, mdns: all})
	to := func(g netip.Addr) []byte { return udp4(ether.GroupMAC(g), macL, ipL, g) }
	unicastIP := udp4(ether.GroupMAC(film), macL, ipL, ipA)
	x.run([]step{
		{what: "members", frame: to(film), want: "2 4"},
		{what: "of another group with the same MAC", frame: to(alias), want: "3"},
		{what: "nobody", frame: to(unasked), want: "no_member"},
		{what: "another VLAN", frame: tagged(to(film), 10), want: "no_member"},
		{what: "another source", frame: udp4(ether.GroupMAC(film), macL, ipB, film), want: "no_member"},
		{what: "everybody", frame: to(mdns), want: "1 2 3 4"},
		{what: "a group that the frame is not for", frame: udp4(ether.GroupMAC(film), macL, ipL, unasked), want: "1 2 3 4"},
		{what: "an address that is none", frame: unicastIP, want: "1 2 3 4"},
		{what: "not IP", frame: plain(ether.GroupMAC(film), macL), want: "1 2 3 4"},
		{what: "IPv4 that is cut", frame: to(film)[:30], want: "1 2 3 4"},
		{what: "broadcast with a group's address", frame: udp4(ether.Broadcast, macL, ipL, film), want: "1 2 3 4"},
		{what: "a whole film", do: func(x *node) {
			for range 1000 {
				if got := x.outcome(TAP, to(film)); got != "2 4" {
					t.Fatal(got)
				}
				if got := x.outcome(1, udp4(ether.GroupMAC(film), macA, ipL, film)); got != "tap" {
					t.Fatal(got)
				}
			}
		}},
		{what: "what all are to have is limited", do: func(x *node) {
			for range 100 {
				x.frame(1, udp4(ether.GroupMAC(mdns), macA, ipL, mdns))
			}
		}, from: 1, frame: udp4(ether.GroupMAC(mdns), macA, ipL, mdns), want: "storm_multicast", event: "storm 1"},
	})
}

// TestMulticastWithoutGroups: it goes to all, IGMP too.
func TestMulticastWithoutGroups(t *testing.T) {
	x := newNode(t, Config{}, 2)
	x.run([]step{
		{what: "a group", frame: udp4(ether.GroupMAC(film), macL, ipL, film), want: "1 2"},
		{what: "a report", frame: igmp(macL, film, 0x16), want: "1 2"},
		{what: "arrives", from: 1, frame: igmp(macA, film, 0x16), want: "tap"},
	})
	if x.d.Snoop != SnoopNo {
		t.Errorf("snoop %d, with nobody to snoop", x.d.Snoop)
	}
}

// TestSnoop: what is said about groups is for the snooper.
func TestSnoop(t *testing.T) {
	report6 := ip6(0x333300000016, macL, netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::16"), 58, 143, 0, 0, 0)
	pim := udp4(0x01005e00000d, macL, ipL, netip.MustParseAddr("224.0.0.13"))
	pim[14+9] = 103
	groups := memberships{netip.MustParseAddr("224.0.0.13"): all, film: {2}}
	for _, c := range []struct {
		name     string
		frame    []byte
		out, in  string
		snoop    Snoop
		fromPeer Snoop
	}{
		{"IGMPv2 report", igmp(macL, film, 0x16), "membership", "membership", SnoopOnly, SnoopOnly},
		{"query", igmp(macL, netip.MustParseAddr("224.0.0.1"), 0x11), "membership", "membership", SnoopOnly, SnoopOnly},
		{"tagged", tagged(igmp(macL, film, 0x22), 10), "membership", "membership", SnoopOnly, SnoopOnly},
		{"MLDv2 report", report6, "membership", "membership", SnoopOnly, SnoopOnly},
		{"PIM", pim, "1 2", "tap", SnoopAlso, SnoopAlso},
		{"IGMP of another kind", igmp(macL, film, 0x13), "no_member", "tap", SnoopNo, SnoopNo},
		{"a film", udp4(ether.GroupMAC(film), macL, ipL, film), "2", "tap", SnoopNo, SnoopNo},
	} {
		x := newNode(t, Config{}, 2)
		x.sw.SetGroups(groups)
		if got := x.outcome(TAP, c.frame); got != c.out || x.d.Snoop != c.snoop {
			t.Errorf("%s: %s, snoop %d, want %s, %d", c.name, got, x.d.Snoop, c.out, c.snoop)
		}
		x = newNode(t, Config{}, 2)
		x.sw.SetGroups(groups)
		if got := x.outcome(1, c.frame); got != c.in || x.d.Snoop != c.fromPeer {
			t.Errorf("%s, from a peer: %s, snoop %d, want %s, %d", c.name, got, x.d.Snoop, c.in, c.fromPeer)
		}
	}
}

// TestAddresses: a peer that may have some IP addresses only has no others.
func TestAddresses(t *testing.T) {
	x := newNode(t, Config{}, 0)
	x.up(1, netip.MustParsePrefix("10.77.0.11/32"), netip.MustParsePrefix("fd00:11::/64"))
	x.up(2)
	mine, ll := netip.MustParseAddr("fd00:11::1"), netip.MustParseAddr("fe80::a")
	theirs := netip.MustParseAddr("fd00:12::1")
	odd := isAt(macL, macA, ipB, ipL)
	odd[15] = 6 // hardware of IEEE 802, which Linux takes for Ethernet
	odd2 := slices.Clone(odd)
	copy(odd2[6:], macB.Append(nil))
	many := func(n int) []byte {
		var b []byte
		for i := range n {
			next := byte(60)
			if i == n-1 {
				next = 58
			}
			b = append(b, next, 0, 1, 4, 0, 0, 0, 0)
		}
		return append(b, 128, 0, 0, 0, 0, 0, 0, 0)
	}
	claim := func(target netip.Addr) []byte {
		return nd(macL, macA, ether.Neighbour{Advertisement: true, Src: ll, Dst: ll, Target: target, MAC: macA})
	}
	x.run([]step{
		{what: "its own", from: 1, frame: udp4(macL, macA, ipA, ipL), want: "tap"},
		{what: "another's", from: 1, frame: udp4(macL, macA, ipB, ipL), want: "address", event: "unbound 1"},
		{what: "none yet (DHCP)", from: 1, frame: udp4(ether.Broadcast, macA, netip.IPv4Unspecified(), limitedBroadcast), want: "tap"},
		{what: "ARP for its own", from: 1, frame: isAt(macL, macA, ipA, ipL), want: "tap"},
		{what: "ARP for another's", from: 1, frame: isAt(macL, macA, ipB, ipL), want: "address"},
		{what: "a question in another's name", from: 1, frame: whoHas(macA, ipB, ipL), want: "address"},
		{what: "a probe", from: 1, frame: whoHas(macA, netip.IPv4Unspecified(), ipB), want: "tap"},
		{what: "IPv6", from: 1, frame: ip6(macL, macA, mine, theirs, 17, 0), want: "tap"},
		{what: "another's IPv6", from: 1, frame: ip6(macL, macA, theirs, mine, 17, 0), want: "address"},
		{what: "link-local", from: 1, frame: ip6(macL, macA, ll, mine, 17, 0), want: "tap"},
		{what: "advertises its own", from: 1, frame: claim(mine), want: "tap"},
		{what: "advertises another's", from: 1, frame: claim(theirs), want: "address"},
		{what: "ARP of another kind", from: 1, frame: odd, want: "address"},
		{what: "behind some headers", from: 1, frame: ip6(macL, macA, mine, theirs, 60, many(4)...), want: "tap"},
		{what: "behind more than are read", from: 1, frame: ip6(macL, macA, mine, theirs, 60, many(6)...), want: "address"},
		{what: "from who may have all", from: 2, frame: ip6(macL, macB, mine, theirs, 60, many(6)...), want: "tap"},
		{what: "likewise", from: 2, frame: odd2, want: "tap"},
		{what: "what is not IP passes", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "another peer may all", from: 2, frame: udp4(macL, macB, ipA, ipL), want: "tap"},
	})
}
