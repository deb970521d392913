package client

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// certificateOf returns a certificate as settings have it.
func certificateOf(leaf *pkitest.Leaf) tls.Certificate {
	return tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
}

// TestIPv6Forged: a peer may send from the IPv6 addresses that its certificate names,
// within the network, and from no others.
func TestIPv6Forged(t *testing.T) {
	inDualBubble(t, func(v *vpn) {
		alice := v.dual(1, "alice")
		leaf := v.ca.Issue(v.t, "bob", pkitest.Addrs(addr4(2), addr6(2), addr6(3), "fd00:8::2", "fe80::2", addr6(1), "fd00:9::"))
		bob := v.dualWith(2, leaf)
		alice.ping(bob, 5*time.Second)
		forged := []string{addr6(4), addr6(1), "fd00:8::2", "fe80::2", "fe80::3", "::", "::1", "ff02::1", "fd00:9::", "2001:db8::1"}
		for _, src := range forged {
			v.check("forged", passage{bob, alice, src, addr6(1), false})
		}
		v.check("its own", passage{bob, alice, addr6(2), addr6(1), true}, passage{bob, alice, addr6(3), addr6(1), true})
		if n := alice.status().Drops["source"]; n != uint64(len(forged)) {
			v.t.Errorf("%d packets dropped for their source, want %d", n, len(forged))
		}
		if n := alice.logged("not its own; dropped"); n != 1 {
			v.t.Errorf("said %d times, want once", n)
		}
		alice.dev.Inject(packetTo(netip.MustParseAddr(addr6(1)), netip.MustParseAddr("fe80::2"), "link-local"))
		pass(time.Second)
		if got := bob.texts(); len(got) != 0 {
			v.t.Errorf("bob received %q", got)
		}
	})
}

// lead makes a server answer who asks by an IPv6 address with a list of others, and
// the place of whoever has the IPv4 address of a number.
func lead(place int, listed ...string) func(r *testRDV, ch *testChannel, m channel.Message) bool {
	return func(r *testRDV, ch *testChannel, m channel.Message) bool {
		if m.Type != channel.Ask || !m.VPN[0].Is6() {
			return false
		}
		peer := r.where[netip.MustParseAddr(addr4(place))]
		answer := channel.Message{Type: channel.Peer, VPN: m.VPN, Endpoints: []netip.AddrPort{peer.at}, Authentic: true}
		for _, a := range listed {
			answer.VPN = append(answer.VPN, netip.MustParseAddr(a))
		}
		r.answer(ch, m, answer)
		r.introduce(peer, ch.vpn, ch.at)
		return true
	}
}

// TestIPv6LyingServer: whatever the server says about who has an IPv6 address, packets
// for it go to nobody whose certificate does not name it.
func TestIPv6LyingServer(t *testing.T) {
	const unnamed = "does not say which IPv4 address"
	for _, c := range []struct {
		name   string
		place  int
		listed []string
		tunnel bool // one to carol comes of it
		log    string
	}{
		{"another member's IPv4 address and place", 3, []string{addr4(3)}, true, ""},
		{"another member's IPv4 address", 2, []string{addr4(3)}, true, ""}, // of which we ask again
		{"nobody's", 2, []string{"10.9.0.77"}, false, "No connection with peer"},
		{"no IPv4 address", 2, nil, false, unnamed},
		{"another IPv6 address", 2, []string{addr6(3)}, false, unnamed},
		{"an address of another network", 2, []string{"192.0.2.1"}, false, unnamed},
		{"our own", 1, []string{addr4(1), addr6(1)}, false, unnamed},
		{"the broadcast", 2, []string{"10.9.0.255"}, false, unnamed},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				r := v.startTestRDV(func(r *testRDV) { r.hook = lead(c.place, c.listed...) })
				alice, bob, carol := v.dual(1, "alice"), v.dual(2, "bob"), v.dual(3, "carol")
				for range 10 {
					v.check("lied to", passage{alice, bob, addr6(1), addr6(2), false}, passage{alice, carol, addr6(1), addr6(2), false})
				}
				if n := r.count("ASK"); n > 60 {
					v.t.Errorf("%d questions in 20 s", n)
				}
				if got := alice.state(carol) == "ESTABLISHED"; got != c.tunnel {
					v.t.Errorf("a tunnel with carol: %v, want %v", got, c.tunnel)
				}
				if c.log != "" && alice.logged(c.log) == 0 {
					v.t.Errorf("the log does not say %q", c.log)
				}
				r.with(func() { r.hook = nil })
				pass(30 * time.Second)
				v.check("told the truth", passage{alice, bob, addr6(1), addr6(2), true}, passage{alice, carol, addr6(1), addr6(3), true})
			})
		})
	}
}

// TestIPv6Impostor: a member who plays another one, with the help of the server, gets
// no tunnel.
func TestIPv6Impostor(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) { r.hook = lead(2, addr4(2)) })
		alice := v.dual(1, "alice")
		mallory := v.dualWith(2, v.ca.Issue(v.t, "mallory", pkitest.Addrs(addr4(3), addr6(3))))
		for range 3 {
			v.check("the impostor", passage{alice, mallory, addr6(1), addr6(2), false}, passage{mallory, alice, addr6(2), addr6(1), false})
		}
		if n := alice.sessions(); n != 0 {
			v.t.Errorf("%d sessions", n)
		}
		alice.logs("Error during DTLS handshake", "peer=10.9.0.2", "10.9.0.3")
	})
}

// TestIPv6LyingIntroduction: who is said to have asked gets what a certificate gives
// it, by whatever addresses it is introduced.
func TestIPv6LyingIntroduction(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob, carol := v.dual(1, "alice"), v.dual(2, "bob"), v.dual(3, "carol")
		alice.dev.Inject(packetTo(netip.MustParseAddr(addr6(1)), netip.MustParseAddr(addr6(2)), "for bob"))
		r.with(func() {
			ch := r.where[alice.vpn]
			for i, list := range [][]string{{addr6(2), addr4(3)}, {addr6(2)}, {addr4(1), addr6(2)}, {"fd00:9::", "10.9.0.255"}, {addr6(2), addr6(2), addr4(3), addr4(2)}} {
				m := channel.Message{Type: channel.Introduce, ID: 1000 + uint32(i), Endpoints: []netip.AddrPort{r.where[carol.vpn].at}, Authentic: true}
				for _, a := range list {
					m.VPN = append(m.VPN, netip.MustParseAddr(a))
				}
				r.say(ch, m)
			}
		})
		pass(30 * time.Second)
		if got := carol.texts(); len(got) != 0 {
			v.t.Errorf("carol received %q", got)
		}
		bob.texts()
		v.check("then", passage{alice, bob, addr6(1), addr6(2), true}, passage{bob, alice, addr6(2), addr6(1), true},
			passage{alice, carol, addr6(1), addr6(3), true}, passage{carol, alice, addr6(2), addr6(1), false})
	})
}

// TestIPv6OldServer: a server that names one address only is of no use for IPv6, until
// a tunnel is open.
func TestIPv6OldServer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) {
			r.hook = func(r *testRDV, ch *testChannel, m channel.Message) bool {
				return m.Type == channel.Ask && m.VPN[0].Is6() && lead(2)(r, ch, m)
			}
		})
		alice, bob := v.dual(1, "alice"), v.dual(2, "bob")
		v.check("asked by IPv6", passage{alice, bob, addr6(1), addr6(2), false})
		alice.logs("does not introduce us to the peer", "peer=fd00:9::2", "which IPv4 address")
		pass(10 * time.Second)
		alice.ping(bob, 5*time.Second)
		v.both("with a tunnel", alice, bob, 1, 2)
	})
}

// FuzzIPv6Server has a server that lies about addresses, as the input says, while
// packets of both families are sent. All is bounded, and afterwards all are reached.
func FuzzIPv6Server(f *testing.F) {
	f.Add([]byte{0, 2, 1, 0x12, 2, 2, 3, 0x31, 0, 3})
	f.Add([]byte{1, 0x62, 1, 0x26, 0, 2, 2, 0x72, 2, 0xff, 1, 0x13, 0, 6, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		inBubble(t, func(v *vpn) {
			lies := byte(0)
			name := func(n byte) netip.Addr { // 1 to 4, each in both families
				if n&4 != 0 {
					return netip.MustParseAddr(addr6(int(n&3) + 1))
				}
				return netip.MustParseAddr(addr4(int(n&3) + 1))
			}
			r := v.startTestRDV(func(r *testRDV) {
				r.hook = func(r *testRDV, ch *testChannel, m channel.Message) bool {
					if m.Type != channel.Ask || lies == 0 {
						return false
					}
					return lead(int(lies&1)+2, name(lies>>1).String(), name(lies>>4).String())(r, ch, m)
				}
			})
			alice, bob := v.dual(1, "alice"), v.dual(2, "bob")
			v.dual(3, "carol")
			for steps := 0; len(b) > 1 && steps < 40; steps++ { // what, which
				what, which := b[0], b[1]
				b = b[2:]
				switch what % 3 {
				case 0:
					alice.dev.Inject(packetTo(netip.MustParseAddr(addr6(1)), name(which|4), "to whomever"))
				case 1:
					r.with(func() {
						r.lastID++
						r.say(r.where[alice.vpn], channel.Message{Type: channel.Introduce, ID: r.lastID, VPN: []netip.Addr{name(which), name(which >> 3)},
							Endpoints: []netip.AddrPort{r.where[name(which>>6&1+1)].at}, Authentic: true})
					})
				case 2:
					r.with(func() { lies = which })
				}
				pass(time.Duration(which) * time.Millisecond)
				for _, p := range alice.status().Peers {
					if p.VPNAddr.Is6() && p.State != "NEW" || p.Waiting > 20 {
						t.Fatalf("peer %+v", p)
					}
				}
			}
			r.with(func() { lies = 0 })
			pass(time.Minute)
			v.check("told the truth", passage{alice, bob, addr6(1), addr6(2), true}, passage{bob, alice, addr6(2), addr6(1), true},
				passage{alice, bob, addr4(1), addr4(2), true})
		})
	})
}
