package client

import (
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/tunnel/packet"
)

// The RDV of these tests is reached over both families.
var (
	server4 = netip.MustParseAddrPort("198.51.100.3:57888")
	server6 = netip.MustParseAddrPort("[2001:db8:53::1]:57888")
)

// bothFamilies moves the VPN's server to a host with both families.
func (v *vpn) bothFamilies() {
	v.stop()
	v.stop = func() {}
	v.place, v.server = v.net.Internet().Host(server4.Addr().String(), server6.Addr().String()), server4
}

// strictWall lets in what a host inside has sent to, port and all.
var strictWall = simnet.Firewall{Filtering: simnet.AddressAndPortDependent}

// at registers at a server.
func at(server netip.AddrPort) func(*Config) { return func(c *Config) { c.Servers = At(server) } }

// housed starts a node at a host with the given addresses, on one socket for all.
func (v *vpn) housed(site *simnet.Site, vpnAddr string, edit func(*Config), addrs ...string) *node {
	v.t.Helper()
	conn, err := site.Host(addrs...).ListenDual(5000)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.nodeOn(conn, vpnAddr, edit)
}

// TestUnderlays: pairs of hosts that have one family, or both, below the tunnel. Each
// registers over one of its own, and they are behind port-restricted NATs or
// firewalls.
func TestUnderlays(t *testing.T) {
	for _, c := range []struct {
		name       string
		alice, bob []string // addresses
		server     netip.AddrPort
		want       string // the path's end at bob
	}{
		{"IPv4", []string{"192.168.1.2"}, []string{"192.168.1.2"}, server4, "203.0.113.22:5000"},
		{"IPv6", []string{"2001:db8:a::2"}, []string{"2001:db8:b::2"}, server6, "[2001:db8:b::2]:5000"},
		{"both, registered over IPv4", []string{"192.168.1.2", "2001:db8:a::2"}, []string{"192.168.1.2", "2001:db8:b::2"}, server4, "203.0.113.22:5000"},
		{"both, registered over IPv6", []string{"192.168.1.2", "2001:db8:a::2"}, []string{"192.168.1.2", "2001:db8:b::2"}, server6, "[2001:db8:b::2]:5000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.bothFamilies()
				v.ourServer(rdv.Strict)
				edit := v.authentic(AuthYes, nil, at(c.server))
				nat := simnet.NAT{Filtering: simnet.AddressAndPortDependent}
				homes := []*simnet.Site{v.home(1, nat), v.home(2, nat)}
				for _, h := range homes {
					h.SetFirewall(strictWall)
				}
				alice := v.housed(homes[0], "10.9.0.1", edit, c.alice...)
				bob := v.housed(homes[1], "10.9.0.2", edit, c.bob...)
				pass(time.Second)
				if s := alice.status(); !s.Registered || s.RDV().Endpoint.Addr().Is6() != c.server.Addr().Is6() {
					t.Fatalf("alice is registered: %v, at %v", s.Registered, s.RDV().Endpoint)
				}
				if took := alice.ping(bob, 5*time.Second); took > 120*time.Millisecond {
					t.Errorf("the first reply took %v, want about 100 ms", took)
				}
				if got := alice.status().Peers[0].Addr.String(); got != c.want {
					t.Errorf("path to %s, want %s", got, c.want)
				}
				// Firewalls and NATs that forget after 30 s are kept open.
				pass(100 * time.Second)
				if took := bob.ping(alice, time.Second); took > 30*time.Millisecond {
					t.Errorf("after 100 s of silence: %v, want about 20 ms on the same path", took)
				}
			})
		})
	}
}

// TestIPv6ServerRestart: clients registered over IPv6 are back with the server after
// the next PING, as those over IPv4 are.
func TestIPv6ServerRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.bothFamilies()
		v.ourServer(rdv.Strict)
		edit := v.authentic(AuthYes, nil, at(server6))
		alice := v.housed(v.net.Internet(), "10.9.0.1", edit, "2001:db8:a::2")
		bob := v.housed(v.net.Internet(), "10.9.0.2", edit, "2001:db8:b::2")
		pass(time.Minute)
		v.stop()
		v.ourServer(rdv.Strict)
		pass(4 * time.Second)
		alice.ping(bob, time.Second)
	})
}

// TestIPv6BelowInClear: without a certificate at the server nobody registers over IPv6,
// and the log says what to do.
func TestIPv6BelowInClear(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.bothFamilies()
		v.startRDV()
		alice := v.housed(v.net.Internet(), "10.9.0.1", v.authentic(AuthAuto, new(memory), at(server6)), "2001:db8:a::2")
		pass(10 * time.Second)
		if alice.status().Registered {
			t.Error("alice is registered")
		}
		if alice.logged("The RDV server rejected the client") == 0 || alice.logged("over IPv6 it takes clients with a certificate") == 0 {
			t.Error("alice's log does not say why")
		}
	})
}

// dualRDV puts a server in the place of the VPN's that names both addresses of the
// nodes' hosts, the IPv4 one last, as clients with candidates in both families are
// named.
func (v *vpn) dualRDV(places map[string][]netip.AddrPort) {
	v.startTestRDV(func(r *testRDV) {
		r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
			if m.Type != channel.Ask || r.where[m.VPN[0]] == nil {
				return false
			}
			r.answer(c, m, channel.Message{Type: channel.Peer, VPN: m.VPN, Endpoints: places[m.VPN[0].String()], Authentic: true})
			r.introduce(r.where[m.VPN[0]], c.vpn, places[c.vpn.String()]...)
			return true
		}
	})
}

// TestBrokenFamily: two hosts have both families, and one of those leads nowhere: in
// the network of one of them, or because one host has it not. They try both at a
// time, and so the first reply is not later than without it.
func TestBrokenFamily(t *testing.T) {
	full := [2][]string{{"192.168.1.2", "2001:db8:a::2"}, {"192.168.1.2", "2001:db8:b::2"}}
	for _, c := range []struct {
		name     string
		breaks   func(homes [2]*simnet.Site)
		addrs    [2][]string
		servers  [2]netip.AddrPort
		wantIPv6 bool
	}{
		{"IPv6 at alice's", func(h [2]*simnet.Site) { h[0].SetBroken(false, true) }, full, [2]netip.AddrPort{server4, server6}, false},
		{"IPv6 at bob's", func(h [2]*simnet.Site) { h[1].SetBroken(false, true) }, full, [2]netip.AddrPort{server6, server4}, false},
		{"IPv4 at alice's", func(h [2]*simnet.Site) { h[0].SetBroken(true, false) }, full, [2]netip.AddrPort{server6, server4}, true},
		{"IPv4 at bob's", func(h [2]*simnet.Site) { h[1].SetBroken(true, false) }, full, [2]netip.AddrPort{server4, server6}, true},
		{"IPv6 is not there", nil, [2][]string{{"192.168.1.2"}, full[1]}, [2]netip.AddrPort{server4, server4}, false},
		{"IPv4 is not there", nil, [2][]string{full[0], {"2001:db8:b::2"}}, [2]netip.AddrPort{server6, server6}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.bothFamilies()
				v.dualRDV(map[string][]netip.AddrPort{
					"10.9.0.1": {netip.MustParseAddrPort("[2001:db8:a::2]:5000"), netip.MustParseAddrPort("203.0.113.21:5000")},
					"10.9.0.2": {netip.MustParseAddrPort("[2001:db8:b::2]:5000"), netip.MustParseAddrPort("203.0.113.22:5000")},
				})
				nat := simnet.NAT{Filtering: simnet.AddressAndPortDependent}
				homes := [2]*simnet.Site{v.home(1, nat), v.home(2, nat)}
				var nodes [2]*node
				for i, h := range homes {
					h.SetFirewall(strictWall)
					nodes[i] = v.housed(h, addr4(i+1), v.authentic(AuthYes, nil, at(c.servers[i])), c.addrs[i]...)
				}
				if c.breaks != nil {
					c.breaks(homes)
				}
				pass(time.Second)
				if took := nodes[0].ping(nodes[1], 5*time.Second); took > 130*time.Millisecond {
					t.Errorf("the first reply took %v, want about 100 ms: the broken family costs time", took)
				}
				if got := nodes[0].status().Peers[0].Addr; got.Addr().Is6() != c.wantIPv6 {
					t.Errorf("path to %v", got)
				}
			})
		})
	}
}

// TestReaches: which addresses our socket can send to.
func TestReaches(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	only4 := func(a netip.Addr) bool { return a.Is4() }
	for _, c := range []struct {
		bound      string
		routed     func(netip.Addr) bool
		has4, has6 bool
	}{
		{"0.0.0.0:1", nil, true, false},
		{"192.168.1.2:1", nil, true, false},
		{"[2001:db8::5]:1", nil, false, true},
		{"[::]:1", nil, true, true},
		{"[::]:1", only4, true, false},
		{"[2001:db8::5]:1", only4, false, false},
	} {
		cl := &Client{cfg: Config{Conn: boundConn{addr: netip.MustParseAddrPort(c.bound)}, Routed: c.routed}}
		if cl.reaches(four) != c.has4 || cl.reaches(six) != c.has6 {
			t.Errorf("bound to %s: IPv4 %v, IPv6 %v, want %v, %v", c.bound, cl.reaches(four), cl.reaches(six), c.has4, c.has6)
		}
	}
}

// A boundConn is bound somewhere, and can do nothing else.
type boundConn struct {
	punch.Conn
	addr netip.AddrPort
}

func (c boundConn) LocalAddr() netip.AddrPort { return c.addr }

// TestUsable: where nobody knocks because an RDV says so.
func TestUsable(t *testing.T) {
	cl := &Client{log: slog.New(slog.DiscardHandler), cfg: Config{Conn: boundConn{addr: netip.MustParseAddrPort("[::]:1")}}}
	cl.set.Servers = At(server6)
	for a, want := range map[string]bool{
		"[2001:db8:a::2]:5000": true, "203.0.113.22:5000": true, "[fd00::1]:5000": true, "[fe80::1%eth0]:5000": true,
		"[fe80::1]:5000": false, "[::]:5000": false, "[ff02::1]:5000": false, "[::1]:5000": false,
		"[2001:db8:a::2]:0": false, server6.String(): false, "127.0.0.1:53": false,
	} {
		if got := len(cl.usableOf([]netip.AddrPort{netip.MustParseAddrPort(a)}, nil)) == 1; got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
}

// TestIPv6PathFits sends full packets of a device with the default MTU through networks
// of 1500 bytes in which larger packets vanish without a word: over IPv4 they fit, over
// IPv6 there are 20 bytes less, and their sender has to be told.
func TestIPv6PathFits(t *testing.T) {
	for _, c := range []struct {
		name   string
		server netip.AddrPort
		whole  bool
	}{{"IPv4", server4, true}, {"IPv6", server6, false}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.bothFamilies()
				v.ourServer(rdv.Strict)
				edit := v.authentic(AuthYes, nil, at(c.server), func(c *Config) { c.MTU = 1419 })
				homes := []*simnet.Site{v.home(1, simnet.NAT{}), v.home(2, simnet.NAT{})}
				for _, h := range homes {
					h.SetLinks(simnet.Link{MTU: 1500}, simnet.Link{MTU: 1500})
				}
				alice := v.housed(homes[0], "10.9.0.1", edit, "192.168.1.2", "2001:db8:a::2")
				bob := v.housed(homes[1], "10.9.0.2", edit, "192.168.1.2", "2001:db8:b::2")
				pass(time.Second)
				alice.ping(bob, time.Second)
				full := packetTo(alice.vpn, bob.vpn, strings.Repeat("x", 1419-28))
				full[6] |= 0x40 // DF
				alice.dev.Inject(full)
				pass(100 * time.Millisecond)
				if got := len(bob.texts()) == 1; got != c.whole {
					t.Fatalf("a packet of 1419 bytes arrived: %v", got)
				}
				if c.whole {
					return
				}
				var told []byte
				select {
				case told = <-alice.dev.Delivered():
				default:
					t.Fatal("the sender was told nothing")
				}
				// RFC 1191: type 3, code 4, the MTU in the last two bytes of the header.
				if len(told) < 28 || told[20] != 3 || told[21] != 4 {
					t.Fatalf("the sender was told % x", told)
				}
				fits := int(told[26])<<8 | int(told[27])
				if fits < 1400 || fits > 1500-48-13 {
					t.Errorf("the sender was told that %d bytes fit", fits)
				}
				alice.send(bob.vpn, strings.Repeat("y", fits-28))
				bob.wants(strings.Repeat("y", fits-28), time.Second)
				alice.send(bob.vpn, strings.Repeat("z", 1419-28)) // may be cut
				pass(100 * time.Millisecond)
				if got := len(bob.dev.Delivered()); got != 2 {
					t.Errorf("a packet that may be cut came in %d pieces, want 2", got)
				}
			})
		})
	}
}

// TestUsualMTU: what a path of IPv6 is taken to carry, by the MTU of the device.
func TestUsualMTU(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, time.Second)
		s := alice.client.peers[bob.vpn].session
		over := s.Overhead()
		for mtu, want := range map[int]int{
			0: 1500, 1419: 1500, 1500 - 28 - over: 1500, // sizes for networks of 1500 bytes
			1300: 1300 + over + 28, 1000: 1280, 150: 1280,
			1500: 1500 + over + 28, 8900: 8900 + over + 28, // for larger ones
		} {
			c := &Client{}
			c.set.MTU = mtu
			if got := c.usualMTU(s); got != want {
				t.Errorf("device MTU %d: %d, want %d", mtu, got, want)
			}
			six, four := netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("192.0.2.1:1")
			if got := c.limitOf(s, six, 0); got != want-packet.IPv6HeaderLen-8 {
				t.Errorf("device MTU %d: %d bytes over IPv6, want %d", mtu, got, want-48)
			}
			if got := c.limitOf(s, four, 0); got != 0 {
				t.Errorf("device MTU %d: %d bytes over IPv4, want no limit", mtu, got)
			}
			if got := c.limitOf(s, six, 1400); got != 1352 {
				t.Errorf("a path of 1400 bytes: %d, want 1352", got)
			}
		}
	})
}

// TestOwnInterfaceTooSmall: Linux does not tell the port to which this host itself
// refused to send over IPv4.
func TestOwnInterfaceTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t)
		n.errors <- punch.PathError{Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.77"), 0), Err: syscall.EMSGSIZE, MTU: 1400}
		synctest.Wait()
		if ds, told := n.sends(1419, true); len(ds) != 1 || len(told) != 0 {
			t.Fatalf("another host's: datagrams of %v bytes, %d messages", ds, len(told))
		}
		n.errors <- punch.PathError{Addr: netip.AddrPortFrom(n.addr.Addr(), 0), Err: syscall.EMSGSIZE, MTU: 1400}
		synctest.Wait()
		if ds, told := n.sends(1419, true); len(ds) != 0 || len(told) != 1 {
			t.Errorf("datagrams of %v bytes, %d messages, want that the sender is told", ds, len(told))
		}
	})
}
