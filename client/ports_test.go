package client

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// ports starts the RDV anew, with a certificate and on other ports of its address, too.
func (v *vpn) ports(more ...uint16) {
	v.t.Helper()
	v.stop()
	cert, key := v.ca.Issue(v.t, "rdv", asRendezvous).WriteFiles(v.t, v.t.TempDir())
	id, err := pki.LoadIdentity(cert, key)
	if err != nil {
		v.t.Fatal(err)
	}
	first := v.listen()
	cfg := rdv.Config{Conn: first, Mode: rdv.Mixed, Trust: rdv.NewTrust(id, v.policy)}
	for _, port := range more {
		conn, err := first.Host().Listen(netip.AddrPortFrom(v.server.Addr(), port))
		if err != nil {
			v.t.Fatal(err)
		}
		cfg.MoreConns = append(cfg.MoreConns, punch.Conn(conn))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rdv.New(cfg).Run(ctx); err != nil {
			v.t.Errorf("rdv: %v", err)
		}
	})
	v.stop = func() { cancel(); wg.Wait() }
}

// TestServerPorts: clients that reach the RDV at different ports meet, in clear and over
// channels, behind NATs that let in what comes from the port that was written to alone.
// Two of them share a public endpoint.
func TestServerPorts(t *testing.T) {
	const second, third = 443, 53
	at := func(v *vpn, port uint16, edit func(*Config)) func(*Config) {
		return func(c *Config) {
			if edit != nil {
				edit(c)
			}
			c.Servers = At(netip.AddrPortFrom(v.server.Addr(), port))
		}
	}
	inBubble(t, func(v *vpn) {
		v.ports(second, third)
		// One mapping for each destination, all with the port of the host, as long as
		// they can be told apart: what Linux does.
		office := v.home(3, simnet.NAT{Mapping: simnet.AddressAndPortDependent, Filtering: simnet.AddressAndPortDependent, Ports: simnet.Overloading})
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthAuto, nil))
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", at(v, second, v.authentic(AuthAuto, nil)))
		carol := v.node(v.home(4, portRestricted), "192.168.1.2:5000", "10.9.0.3", at(v, third, nil)) // in clear
		dave := v.node(office, "192.168.1.2:5000", "10.9.0.4", at(v, second, v.authentic(AuthAuto, nil)))
		erin := v.node(office, "192.168.1.3:5000", "10.9.0.5", at(v, third, v.authentic(AuthAuto, nil)))
		pass(time.Second)
		for _, n := range v.nodes {
			if s := n.status(); !s.Registered || s.RDV().Authenticated != (n != carol) {
				t.Fatalf("%v: registered %v, %+v", n.vpn, s.Registered, s.RDV())
			}
		}
		alice.ping(bob, time.Second)
		carol.ping(bob, time.Second)
		alice.ping(carol, time.Second)
		pass(time.Minute) // longer than any registration lasts by itself
		for _, n := range v.nodes {
			if !n.status().Registered {
				t.Errorf("%v is not registered any more", n.vpn)
			}
		}
		dave.ping(erin, 3*time.Second)
		if a, b := dave.status().RDV(), erin.status().RDV(); a.Endpoint != b.Endpoint {
			t.Errorf("dave is seen at %v and erin at %v: the test did not test", a.Endpoint, b.Endpoint)
		}
	})
}

// TestServerPortsInTurn: a client that is given several ports of one server registers at
// one that answers, and stays registered when it is so far away that it tries another one
// before the first can have answered.
func TestServerPortsInTurn(t *testing.T) {
	const second, shut = 443, 9
	for _, c := range []struct {
		name  string
		auth  Auth
		ports []uint16
		delay time.Duration // each way
	}{
		{"the first port is shut", AuthYes, []uint16{shut, second}, 0},
		{"the first port is shut, in clear", AuthNo, []uint16{shut, second}, 0},
		{"a long way", AuthYes, []uint16{57888, second}, 200 * time.Millisecond},
		{"a long way, in clear", AuthNo, []uint16{57888, second}, 200 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.ports(second)
				home := v.home(1, portRestricted)
				home.SetLinks(simnet.Link{Delay: c.delay}, simnet.Link{Delay: c.delay})
				alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", v.authentic(c.auth, nil, func(cfg *Config) {
					s := Server{}
					for _, port := range c.ports {
						s.Addrs = append(s.Addrs, netip.AddrPortFrom(v.server.Addr(), port))
					}
					cfg.Servers = []Server{s}
				}))
				bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", v.authentic(AuthAuto, nil))
				pass(5 * time.Second)
				for range 20 { // it does not come and go
					pass(time.Second)
					if !alice.status().Registered {
						t.Fatal("alice is not registered")
					}
				}
				bob.ping(alice, 5*time.Second)
			})
		})
	}
}
