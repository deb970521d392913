package l2

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// Stations. Each test decides where they are.
const (
	macTAP ether.MAC = 0x020000000001 // our TAP device
	macL   ether.MAC = 0x02000000000c // behind our TAP
	macA   ether.MAC = 0x02000000000a
	macB   ether.MAC = 0x02000000000b
	macC   ether.MAC = 0x0200000000cc
)

var (
	ipL = netip.MustParseAddr("10.77.0.10")
	ipA = netip.MustParseAddr("10.77.0.11")
	ipB = netip.MustParseAddr("10.77.0.12")
)

// A node is a switch in virtual time, whose notes arrive at once.
type node struct {
	t      testing.TB
	now    time.Time
	sw     *Switch
	d      Decision
	events []Event
	losing bool // notes do not arrive
}

// newNode returns a switch with the ports of peers 1 to n.
func newNode(t testing.TB, cfg Config, n int) *node {
	t.Helper()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	x := &node{t: t, now: start, sw: New(start, cfg)}
	for p := range n {
		x.up(Port(p + 1))
	}
	return x
}

func (x *node) up(p Port, addrs ...netip.Prefix) {
	x.t.Helper()
	if err := x.sw.PortUp(p, PortOptions{Addrs: addrs}); err != nil {
		x.t.Fatal(err)
	}
}

// wait lets time pass, in which the machine advances whenever it wants to.
func (x *node) wait(d time.Duration) {
	x.t.Helper()
	end := x.now.Add(d)
	for at := x.sw.Timeout(); !at.IsZero() && !at.After(end); at = x.sw.Timeout() {
		x.now = at
		x.sw.Advance(at)
		if next := x.sw.Timeout(); !next.IsZero() && !next.After(at) {
			x.t.Fatalf("at %v Advance wants to be called again at %v", at, next)
		}
	}
	x.now = end
	x.sw.Advance(end) // too early, as a rule: nothing must happen
}

// frame brings a frame from a port.
func (x *node) frame(from Port, b []byte) Drop {
	x.t.Helper()
	v := x.sw.View()
	decide := func() Drop { return v.FromTAP(v.Stamp(x.now), b, &x.d) }
	if from != TAP {
		decide = func() Drop { return v.FromPeer(v.Stamp(x.now), from, b, &x.d) }
	}
	r := decide()
	if x.d.Note.Asks != 0 && !x.losing {
		x.events = x.sw.Handle(x.now, x.d.Note, x.events)
	}
	return r
}

// outcome brings a frame and says what becomes of it: the ports that it goes to, what
// it was counted as, or what else it is.
func (x *node) outcome(from Port, b []byte) string {
	x.t.Helper()
	if r := x.frame(from, b); r != Kept {
		if len(x.d.Ports) > 0 || x.d.Snoop != SnoopNo {
			x.t.Errorf("dropped (%v), but for ports %v, snoop %d", r, x.d.Ports, x.d.Snoop)
		}
		return r.String()
	}
	switch {
	case x.d.Class == ClassAnswered, x.d.Class == ClassMember:
		if len(x.d.Ports) > 0 {
			x.t.Errorf("%v, but for ports %v", x.d.Class, x.d.Ports)
		}
		return x.d.Class.String()
	}
	return ports(x.d.Ports)
}

func ports(list []Port) string {
	var s []string
	for _, p := range list {
		if p == TAP {
			s = append(s, "tap")
		} else {
			s = append(s, fmt.Sprint(p))
		}
	}
	return strings.Join(s, " ")
}

// happened returns the events since it was last called, as "kind port …".
func (x *node) happened() string {
	var s []string
	for _, e := range x.events {
		s = append(s, fmt.Sprintf("%v %d", e.Kind, e.Port))
	}
	x.events = nil
	return strings.Join(s, ", ")
}

// A step is something that happens to a node, and what becomes of it.
type step struct {
	after time.Duration
	what  string // in words
	do    func(x *node)
	from  Port
	frame []byte // nil: none
	want  string // outcome
	event string // "" for none
}

func (x *node) run(steps []step) {
	x.t.Helper()
	for i, s := range steps {
		x.wait(s.after)
		if s.do != nil {
			s.do(x)
		}
		if s.frame != nil {
			if got := x.outcome(s.from, s.frame); got != s.want {
				x.t.Errorf("step %d (%s): %q, want %q", i, s.what, got, s.want)
			}
		}
		if got := x.happened(); got != s.event {
			x.t.Errorf("step %d (%s): events %q, want %q", i, s.what, got, s.event)
		}
	}
}

// eth returns an untagged frame.
func eth(dst, src ether.MAC, t ether.Type, payload ...byte) []byte {
	b := src.Append(dst.Append(nil))
	return append(append(b, byte(t>>8), byte(t)), payload...)
}

// plain returns a frame of a protocol that nobody knows.
func plain(dst, src ether.MAC) []byte { return eth(dst, src, 0x88b5, 1, 2, 3) }

// tagged returns b with a VLAN tag.
func tagged(b []byte, vids ...ether.VID) []byte {
	out := append([]byte(nil), b[:12]...)
	for _, v := range vids {
		out = append(out, 0x81, 0, byte(v>>8), byte(v))
	}
	return append(out, b[12:]...)
}

// arp returns a frame with ARP.
func arp(dst ether.MAC, p ether.ARPPacket) []byte {
	return p.Append(eth(dst, p.Sender, ether.ARP))
}

// whoHas is the question of sender who has target.
func whoHas(m ether.MAC, sender, target netip.Addr) []byte {
	return arp(ether.Broadcast, ether.ARPPacket{Op: ether.ARPRequest, Sender: m, SenderIP: sender, TargetIP: target})
}

// isAt is the answer that sender is at m.
func isAt(dst, m ether.MAC, sender, asker netip.Addr) []byte {
	return arp(dst, ether.ARPPacket{Op: ether.ARPReply, Sender: m, SenderIP: sender, Target: dst, TargetIP: asker})
}

// nd returns a frame with neighbour discovery.
func nd(dst, src ether.MAC, n ether.Neighbour) []byte { return n.Append(eth(dst, src, ether.IPv6)) }

// udp4 returns a frame with an IPv4 packet, whose checksums nobody looks at.
func udp4(dst, src ether.MAC, from, to netip.Addr) []byte {
	f, d := from.As4(), to.As4()
	b := eth(dst, src, ether.IPv4, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0)
	b = append(append(b, f[:]...), d[:]...)
	return append(b, 0, 1, 0, 2, 0, 8, 0, 0)
}

// ip6 returns a frame with an IPv6 packet of the given protocol.
func ip6(dst, src ether.MAC, from, to netip.Addr, proto byte, payload ...byte) []byte {
	f, d := from.As16(), to.As16()
	b := eth(dst, src, ether.IPv6, 0x60, 0, 0, 0, 0, byte(len(payload)), proto, 64)
	b = append(append(b, f[:]...), d[:]...)
	return append(b, payload...)
}

// igmp returns a frame with a message of IGMP.
func igmp(src ether.MAC, group netip.Addr, kind byte) []byte {
	b := udp4(ether.GroupMAC(group), src, ipA, group)
	b[14+9], b[14+20] = 2, kind
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
