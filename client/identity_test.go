package client

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// identifying makes a node believe what certificates say beyond the address that was
// asked for. It looks at no pins.
func identifying(c *Config) {
	c.AcceptRoutes = true
	c.Identify = func(_ time.Time, _ netip.Addr, chain [][]byte) Identity {
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			panic(err)
		}
		peer := pki.PeerOf(leaf)
		id := Identity{Name: peer.Name, Key: peer.Key, Issued: leaf.NotBefore, Addrs: peer.Addrs}
		for _, u := range leaf.URIs {
			// Not as pki reads them: a CA may err, and we must not rely on it.
			if text, ok := strings.CutPrefix(u.Opaque, "route:"); ok {
				id.Routes = append(id.Routes, netip.MustParsePrefix(text))
			}
		}
		return id
	}
}

// routes names networks behind the holder of a certificate.
func routes(networks ...string) pkitest.Edit {
	return func(c *x509.Certificate) {
		for _, n := range networks {
			c.URIs = append(c.URIs, mustURL("campagnol:route:"+n))
		}
	}
}

// issued sets when a certificate was issued, before or after the others.
func issued(ago time.Duration) pkitest.Edit {
	return func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-ago) }
}

// member starts a node at a home of its own, with a certificate.
func (v *vpn) member(number int, addr string, leaf *pkitest.Leaf) *node {
	v.t.Helper()
	n := v.node(v.home(number, portRestricted), "192.168.1.2:5000", addr, func(c *Config) {
		identifying(c)
		use(leaf)(c)
		// As if there were no pins: what is open decides.
		c.Verify = func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
			_, err := v.policy.Verify(now, chain, map[bool]pki.Role{true: pki.Server}[server])
			return err
		}
	})
	pass(time.Second)
	return n
}

// host starts a node with a certificate for some addresses, the first its own.
func (v *vpn) host(number int, name string, addrs []string, edits ...pkitest.Edit) *node {
	v.t.Helper()
	return v.member(number, addrs[0], v.ca.Issue(v.t, name, append(edits, pkitest.Addrs(addrs...))...))
}

// passes makes a node's system send a packet and reports whether the other one gets
// it.
func (n *node) passes(to *node, src, dst string) bool {
	n.t.Helper()
	to.texts()
	if !n.dev.Inject(packetTo(netip.MustParseAddr(src), netip.MustParseAddr(dst), "hello")) {
		n.t.Fatal("the device took no packet")
	}
	pass(time.Second)
	return slices.Equal(to.texts(), []string{"hello"})
}

// A passage is a packet, and whether it arrives.
type passage struct {
	from, to *node
	src, dst string
	want     bool
}

func (v *vpn) check(when string, list ...passage) {
	v.t.Helper()
	for _, p := range list {
		if got := p.from.passes(p.to, p.src, p.dst); got != p.want {
			v.t.Errorf("%s: from %s to %s, %v to %v: arrives %v, want %v", when, p.src, p.dst, p.from.vpn, p.to.vpn, got, p.want)
		}
	}
}

// logs checks that a line of the node's log has all parts.
func (n *node) logs(parts ...string) {
	n.t.Helper()
	for line := range strings.Lines(n.log.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return
		}
	}
	n.t.Errorf("%v: no line of the log has all of %q", n.vpn, parts)
}

// sessions returns how many sessions a node has.
func (n *node) sessions() (count int) {
	for _, p := range n.status().Peers {
		if p.State == "ESTABLISHED" {
			count++
		}
	}
	return count
}

// TestSeveralAddresses: all addresses of a certificate lead to the one tunnel, and
// the peer may use them all, and no others.
func TestSeveralAddresses(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2", "10.9.0.3", "10.8.0.9", "10.9.0.1", "10.9.0.255"})
		v.check("first", passage{alice, bob, "10.9.0.1", "10.9.0.2", true},
			passage{alice, bob, "10.9.0.1", "10.9.0.3", true},
			passage{bob, alice, "10.9.0.3", "10.9.0.1", true},
			passage{bob, alice, "10.9.0.4", "10.9.0.1", false},
			passage{bob, alice, "10.8.0.9", "10.9.0.1", false}, // not of this VPN
			passage{bob, alice, "10.9.0.1", "10.9.0.1", false}, // ours
			passage{bob, alice, "10.9.0.255", "10.9.0.1", false},
			passage{alice, bob, "10.9.0.1", "10.8.0.9", false})
		if n := alice.sessions(); n != 1 {
			v.t.Errorf("%d sessions, want 1", n)
		}
		got := alice.status().Peers[0]
		if fmt.Sprint(got.Addrs) != "[10.9.0.2 10.9.0.3]" || got.Name != "bob" {
			v.t.Errorf("status: %v %q, want both addresses of bob", got.Addrs, got.Name)
		}
		if n := alice.status().Drops["source"]; n != 4 {
			v.t.Errorf("%d packets dropped for their source, want 4", n)
		}
		alice.send(netip.MustParseAddr("10.9.0.255"), "all")
		bob.wants("all", time.Second)
		if got := bob.texts(); len(got) != 0 {
			v.t.Errorf("a broadcast arrives more than once: %q", got)
		}
		alice.dev.Inject(packetTo(alice.vpn, bob.vpn, "before the end"))
		bob.stop()
		pass(time.Second)
		v.check("after the end", passage{alice, bob, "10.9.0.1", "10.9.0.3", false})
		if n := alice.client.table.Load().routes.len(); n != 0 {
			v.t.Errorf("%d ways left, want none", n)
		}
	})
}

// TestSeveralAddressesRekey: fresh keys change nothing.
func TestSeveralAddressesRekey(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2", "10.9.0.3"}, routes("192.168.7.0/24"))
		s := alice.client.set
		s.RekeyTime = 30 * time.Second
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		for range 100 {
			v.check("all the time", passage{alice, bob, "10.9.0.1", "10.9.0.3", alice.sessions() > 0},
				passage{alice, bob, "10.9.0.1", "10.9.0.2", true},
				passage{bob, alice, "192.168.7.8", "10.9.0.1", true},
				passage{bob, alice, "10.9.0.3", "10.9.0.1", true})
		}
		if got := alice.status().Peers[0]; got.Rekeys < 5 || len(got.Addrs) != 2 || len(got.Networks) != 1 {
			v.t.Errorf("%d times fresh keys, %v, %v", got.Rekeys, got.Addrs, got.Networks)
		}
	})
}

// TestRoutes: networks behind a peer are reached through it if the settings say so,
// and not otherwise.
func TestRoutes(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.7.0/24", "fd00:7::/64"))
		list := func(open bool) []passage {
			return []passage{
				{alice, bob, "10.9.0.1", "192.168.7.9", open},
				{bob, alice, "192.168.7.9", "10.9.0.1", open},
				{alice, bob, "10.9.0.1", "192.168.8.9", false},
				{bob, alice, "192.168.8.9", "10.9.0.1", false},
			}
		}
		alice.ping(bob, 5*time.Second)
		v.check("accepted", list(true)...)
		if got := fmt.Sprint(alice.status().Peers[0].Networks); got != "[192.168.7.0/24 fd00:7::/64]" {
			v.t.Errorf("status: %s", got)
		}
		s := alice.client.set
		s.AcceptRoutes = false
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		v.check("no longer", list(false)...)
		if got := alice.status().Peers[0].Networks; len(got) != 0 {
			v.t.Errorf("status: %v", got)
		}
		if tab := alice.client.table.Load(); tab.networks != nil || alice.client.claims.asleep != 0 {
			v.t.Error("the networks are still known")
		}
		s.AcceptRoutes = true
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		v.check("again", list(true)...)
		if n := alice.sessions(); n != 1 {
			v.t.Errorf("%d sessions, want the one", n)
		}
	})
}

// TestRouteWakesGateway: a packet for a network whose gateway has no tunnel any more
// opens one.
func TestRouteWakesGateway(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("192.168.7.0/24"))
		v.check("before", passage{alice, bob, "10.9.0.1", "192.168.7.9", false})
		alice.ping(bob, 5*time.Second)
		pass(3 * time.Minute)
		if n := alice.sessions(); n != 0 {
			v.t.Fatalf("%d sessions after minutes of silence", n)
		}
		v.check("after minutes", passage{alice, bob, "10.9.0.1", "192.168.7.9", true})
		pass(3 * time.Minute)
		s := alice.client.set
		s.AcceptRoutes = false
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		v.check("not accepted", passage{alice, bob, "10.9.0.1", "192.168.7.9", false})
		if tab := alice.client.table.Load(); tab.networks != nil {
			v.t.Error("the network is still known")
		}
	})
}

// TestRoutesNeverCapture: a certificate may name whatever it likes, and never gets
// what the VPN itself lives on.
func TestRoutesNeverCapture(t *testing.T) {
	for _, network := range []string{
		"10.9.0.0/24", "10.9.0.128/25", "10.0.0.0/8", "10.9.0.1/32", "10.9.0.2/32", // the VPN
		"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "::/1", "8000::/1", // everything
		"127.0.0.0/8", "127.0.0.53/32", "::1/128", "::ffff:0:0/96",
		"224.0.0.0/4", "239.1.2.0/24", "ff00::/8", "255.255.255.255/32", "240.0.0.0/8", "169.254.0.0/16", "fe80::/64",
		"198.51.100.0/24", "198.51.100.1/32", // the RDV
		"192.168.1.0/24", // where both are at home
		"203.0.113.0/24", // from where the tunnels come
	} {
		t.Run(strings.ReplaceAll(network, "/", "_"), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice := v.host(1, "alice", []string{"10.9.0.1"})
				bob := v.host(2, "bob", []string{"10.9.0.2"}, routes(network, "172.16.0.0/24"))
				alice.ping(bob, 5*time.Second)
				if got := fmt.Sprint(alice.status().Peers[0].Networks); got != "[172.16.0.0/24]" {
					v.t.Errorf("networks %s, want the innocent one", got)
				}
				alice.logs("Network behind peer is not used", "network="+netip.MustParsePrefix(network).String(), "name=bob")
				inside := netip.MustParsePrefix(network).Addr().Next()
				if inside.Is4() && inside != alice.vpn && inside != bob.vpn {
					v.check(network, passage{bob, alice, inside.String(), "10.9.0.1", false},
						passage{alice, bob, "10.9.0.1", inside.String(), false})
				}
			})
		})
	}
}

// TestRouteYieldsToTunnel: a network is not used while a tunnel goes to an address in
// it, and is again when that has ended.
func TestRouteYieldsToTunnel(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("203.0.113.128/25"))
		alice.ping(bob, 5*time.Second)
		to := passage{alice, bob, "10.9.0.1", "203.0.113.200", true}
		from := passage{bob, alice, "203.0.113.200", "10.9.0.1", true}
		v.check("before", to, from)
		carol := v.host(120, "carol", []string{"10.9.0.3"}) // 203.0.113.140
		alice.ping(carol, 5*time.Second)
		alice.logs("of a tunnel or of the RDV", "network=203.0.113.128/25", "name=bob")
		to.want, from.want = false, false
		v.check("while carol is there", to, from)
		carol.stop()
		pass(time.Second)
		to.want, from.want = true, true
		v.check("without carol", to, from)
	})
}

// TestRouteYieldsToHost: a network is not used that has an address of this host in it,
// and is again when the host has moved.
func TestRouteYieldsToHost(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		bob := v.host(2, "bob", []string{"10.9.0.2"}, routes("172.16.0.0/24", "fd00:7::/64"))
		alice.ping(bob, 5*time.Second)
		for _, c := range []struct{ host, want string }{
			{"172.16.0.9", "[fd00:7::/64]"},
			{"fd00:7::9", "[172.16.0.0/24]"},
			{"172.16.1.9", "[172.16.0.0/24 fd00:7::/64]"},
		} {
			s := alice.client.set
			s.HostAddrs = []netip.Addr{netip.MustParseAddr(c.host), netip.MustParseAddr("192.0.2.7")}
			if err := alice.client.Apply(v.t.Context(), s); err != nil {
				v.t.Fatal(err)
			}
			if got := fmt.Sprint(alice.status().Peers[0].Networks); got != c.want {
				v.t.Errorf("with %s: networks %s, want %s", c.host, got, c.want)
			}
		}
		alice.logs("Network behind peer is not used", "address in it is that of this host", "network=172.16.0.0/24")
	})
}

// TestRouteSpecific: of two networks, one in the other, the longer one goes before.
func TestRouteSpecific(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.host(1, "alice", []string{"10.9.0.1"})
		wide := v.host(2, "wide", []string{"10.9.0.2"}, routes("172.16.0.0/16"))
		narrow := v.host(3, "narrow", []string{"10.9.0.3"}, routes("172.16.7.0/24", "172.16.9.1/32"))
		alice.ping(wide, 5*time.Second)
		alice.ping(narrow, 5*time.Second)
		v.check("both", passage{alice, wide, "10.9.0.1", "172.16.8.1", true},
			passage{alice, narrow, "10.9.0.1", "172.16.7.1", true},
			passage{alice, narrow, "10.9.0.1", "172.16.9.1", true},
			passage{narrow, alice, "172.16.9.1", "10.9.0.1", true},
			passage{alice, wide, "10.9.0.1", "172.16.9.2", true},
			passage{narrow, alice, "172.16.8.1", "10.9.0.1", false})
	})
}
