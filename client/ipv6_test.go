package client

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel/packet"
)

// packetTo6 is packetTo for IPv6.
func packetTo6(src, dst netip.Addr, text string) []byte {
	b := make([]byte, 48, 48+len(text))
	b[0], b[6], b[7] = 0x60, 17, 64
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(text)))
	return append(b, text...)
}

// textOf returns the text in a packet that packetTo has made.
func textOf(pkt []byte) string {
	if packet.IsIPv6(pkt) {
		return string(pkt[48:])
	}
	return string(pkt[28:])
}

// The network of dual hosts, and their addresses by number.
var network6 = netip.MustParsePrefix("fd00:9::/64")

func addr4(number int) string { return fmt.Sprintf("10.9.0.%d", number) }
func addr6(number int) string { return fmt.Sprintf("fd00:9::%d", number) }

// withIPv6 gives a node an IPv6 address beside the one that it has.
func withIPv6(addr string) func(*Config) {
	return func(c *Config) { c.VPNAddr6, c.Network6 = netip.MustParseAddr(addr), network6 }
}

// dual starts a node with the address of its number in both networks, which its
// certificate names, at a home of its own.
func (v *vpn) dual(number int, name string, edits ...pkitest.Edit) *node {
	v.t.Helper()
	leaf := v.ca.Issue(v.t, name, append([]pkitest.Edit{pkitest.Addrs(addr4(number), addr6(number))}, edits...)...)
	return v.dualWith(number, leaf)
}

// dualWith is dual with a certificate.
func (v *vpn) dualWith(number int, leaf *pkitest.Leaf, edits ...func(*Config)) *node {
	v.t.Helper()
	edits = append([]func(*Config){identifying, use(leaf), withIPv6(addr6(number))}, edits...)
	n := v.node(v.home(number, portRestricted), "192.168.1.2:5000", addr4(number), v.authentic(AuthYes, nil, edits...))
	pass(time.Second)
	return n
}

// inDualBubble is inBubble with a server that has a certificate.
func inDualBubble(t *testing.T, f func(v *vpn)) {
	t.Helper()
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Mixed)
		f(v)
	})
}

// both checks that packets pass between two dual nodes, both ways and of both
// families, over one tunnel.
func (v *vpn) both(when string, a, b *node, i, j int) {
	v.t.Helper()
	v.check(when, passage{a, b, addr6(i), addr6(j), true}, passage{b, a, addr6(j), addr6(i), true},
		passage{a, b, addr4(i), addr4(j), true}, passage{b, a, addr4(j), addr4(i), true})
	for _, n := range []*node{a, b} {
		if got := len(n.status().Peers); got != 1 {
			v.t.Errorf("%s: %v has %d peers, want 1", when, n.vpn, got)
		}
	}
}

// TestIPv6 reaches a peer by either of its addresses first, or by both at once: there
// is one tunnel, without a packet lost.
func TestIPv6(t *testing.T) {
	for _, c := range []struct {
		name        string
		there, back []string // what alice, and bob at the same time, sends first, to the other's
	}{
		{"by IPv4 first", []string{addr4(2)}, nil},
		{"by IPv6 first", []string{addr6(2)}, nil},
		{"by both, IPv4 first", []string{addr4(2), addr6(2)}, nil},
		{"by both, IPv6 first", []string{addr6(2), addr4(2)}, nil},
		{"both ask, by IPv6", []string{addr6(2)}, []string{addr6(1)}},
		{"both ask, one by IPv6", []string{addr6(2)}, []string{addr4(1)}},
		{"both ask, by all", []string{addr4(2), addr6(2)}, []string{addr6(1), addr4(1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inDualBubble(t, func(v *vpn) {
				alice, bob := v.dual(1, "alice"), v.dual(2, "bob")
				inject := func(from *node, number int, to []string) {
					for _, dst := range to {
						a := netip.MustParseAddr(dst)
						src := addr4(number)
						if a.Is6() {
							src = addr6(number)
						}
						from.dev.Inject(packetTo(netip.MustParseAddr(src), a, dst))
					}
				}
				start := time.Now()
				inject(alice, 1, c.there)
				inject(bob, 2, c.back)
				pass(300 * time.Millisecond)
				for n, want := range map[*node][]string{bob: c.there, alice: c.back} {
					got, want := n.texts(), slices.Sorted(slices.Values(want))
					slices.Sort(got)
					if !slices.Equal(got, want) {
						v.t.Errorf("%v received %q, want %q, after %v", n.vpn, got, want, time.Since(start))
					}
				}
				v.both("then", alice, bob, 1, 2)
				if got := fmt.Sprint(alice.status().Peers[0].Addrs); got != "[10.9.0.2 fd00:9::2]" {
					v.t.Errorf("addresses %s", got)
				}
				if n := alice.logged("New DTLS connection") + bob.logged("New DTLS connection"); n != 2 {
					v.t.Errorf("%d sessions opened, want one on each side", n)
				}
				if n := alice.logged("level=WARN") + bob.logged("level=WARN"); n != 0 {
					v.t.Errorf("%d warnings", n)
				}
			})
		})
	}
}

// TestIPv6Lives: fresh keys, changed settings and a new beginning on either side keep
// both families, and so does a restart of the server.
func TestIPv6Lives(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		alice, bob := v.dual(1, "alice"), v.dual(2, "bob")
		s := alice.client.set
		s.RekeyTime = 30 * time.Second
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		for range 20 {
			v.both("with fresh keys", alice, bob, 1, 2)
		}
		if got := alice.status().Peers[0]; got.Rekeys < 2 {
			v.t.Errorf("%d times fresh keys", got.Rekeys)
		}
		if err := alice.client.Apply(v.t.Context(), alice.client.set); err != nil {
			v.t.Fatal(err)
		}
		v.both("after a change", alice, bob, 1, 2)
		if err := bob.client.Restart(v.t.Context(), bob.client.set); err != nil {
			v.t.Fatal(err)
		}
		pass(2 * time.Second)
		v.both("after a new beginning", alice, bob, 1, 2)
		pass(4 * time.Minute)
		if n := alice.sessions(); n != 0 {
			v.t.Errorf("%d sessions after minutes of silence", n)
		}
		v.stop()
		v.ourServer(rdv.Strict)
		pass(5 * time.Second)
		v.both("after a restart of the server", bob, alice, 2, 1)
	})
}

// TestIPv6Killed: a peer that is gone without a word, and is back at another place
// with another certificate, is found by its IPv6 address.
func TestIPv6Killed(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		alice, bob := v.dual(1, "alice"), v.dual(2, "bob")
		v.both("before", alice, bob, 1, 2)
		bob.kill()
		pass(15 * time.Second)
		leaf := v.ca.Issue(v.t, "bob", pkitest.Addrs(addr4(2), addr6(2)), issued(-time.Minute))
		again := v.node(v.home(7, portRestricted), "192.168.1.2:5000", addr4(2), v.authentic(AuthYes, nil, identifying, use(leaf), withIPv6(addr6(2))))
		pass(time.Second)
		v.both("after", again, alice, 2, 1)
	})
}

// TestIPv6NewAddress: a host whose new certificate names an IPv6 address is reached by
// it, though the tunnel is one from before.
func TestIPv6NewAddress(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(nil) // which looks at no certificate
		alice := v.dual(1, "alice")
		bob := v.dualWith(2, v.ca.Issue(v.t, "bob", pkitest.Addrs(addr4(2))))
		alice.ping(bob, 5*time.Second)
		there := passage{alice, bob, addr6(1), addr6(2), false}
		v.check("before", there)
		s := bob.client.set
		leaf := v.ca.Issue(v.t, "bob", pkitest.Addrs(addr4(2), addr6(2)), issued(-time.Second))
		s.Certificate = certificateOf(leaf)
		if err := bob.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		v.check("a young tunnel", there)
		for range 20 { // it stays in use
			pass(4 * time.Second)
			alice.ping(bob, time.Second)
		}
		there.want = true
		v.check("an old one", there, passage{bob, alice, addr6(2), addr6(1), true})
		if n := alice.sessions(); n != 1 {
			v.t.Errorf("%d sessions, want 1", n)
		}
	})
}

// TestIPv6OnlyHere: a peer without IPv6 gets nothing of it, and takes nothing.
func TestIPv6OnlyHere(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		alice := v.dual(1, "alice")
		plain := v.node(v.home(2, portRestricted), "192.168.1.2:5000", addr4(2), v.authentic(AuthYes, nil, identifying))
		pass(time.Second)
		alice.ping(plain, 5*time.Second)
		v.check("to one without", passage{alice, plain, addr6(1), addr6(2), false}, passage{plain, alice, addr6(2), addr6(1), false})
		if n := alice.logged("The RDV server does not know the peer"); n != 1 {
			v.t.Errorf("asked for an address that nobody has, and told %d times that nobody has it", n)
		}
		plain.dev.Inject(packetTo(netip.MustParseAddr(addr6(2)), netip.MustParseAddr(addr6(1)), "no network"))
		pass(time.Second)
		if plain.status().Drops["dest"] != 2 {
			v.t.Errorf("drops %v", plain.status().Drops)
		}
	})
}

// TestIPv6InClear: who is registered in clear cannot ask by an IPv6 address. The
// packets are counted, and it is said once. Over a tunnel that is open they pass.
func TestIPv6InClear(t *testing.T) {
	inBubble(t, func(v *vpn) {
		leaves := [3]*pkitest.Leaf{}
		var nodes []*node
		for i := 1; i < 3; i++ {
			leaves[i] = v.ca.Issue(v.t, "host", pkitest.Addrs(addr4(i), addr6(i)))
			nodes = append(nodes, v.node(v.home(i, portRestricted), "192.168.1.2:5000", addr4(i), func(c *Config) {
				identifying(c)
				use(leaves[i])(c)
				withIPv6(addr6(i))(c)
			}))
		}
		pass(time.Second)
		alice, bob := nodes[0], nodes[1]
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.Kind == 2 {
				t.Errorf("an ASK: %v", p.Data)
			}
		})
		for range 5 {
			v.check("without a tunnel", passage{alice, bob, addr6(1), addr6(2), false})
		}
		v.net.Observe(nil)
		if n := alice.status().Drops["dest"]; n != 5 {
			v.t.Errorf("%d packets counted, want 5", n)
		}
		if n := alice.logged("Packets to IPv6 addresses are dropped"); n != 1 {
			v.t.Errorf("said %d times, want once", n)
		}
		alice.ping(bob, 5*time.Second)
		v.both("with a tunnel", alice, bob, 1, 2)
	})
}
