package client

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/punch/turn"
	"campagnol/rdv"
	rdvrelay "campagnol/rdv/relay"
)

// relayServer makes the RDV one that relays.
func (v *vpn) relayServer(mode rdv.Mode) {
	v.t.Helper()
	v.stop()
	cert, key := v.ca.Issue(v.t, "rdv", asRendezvous).WriteFiles(v.t, v.t.TempDir())
	id, err := pki.LoadIdentity(cert, key)
	if err != nil {
		v.t.Fatal(err)
	}
	conn := v.listen()
	host := conn.Host()
	secret := rdvrelay.NewSecret()
	log := slog.New(slog.NewTextHandler(v.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	v.startServer(rdv.Config{
		Mode: mode, Trust: rdv.NewTrust(id, v.policy), Conn: conn, RelaySecret: secret,
		Relay: rdvrelay.New(rdvrelay.Config{
			Links: []rdvrelay.Link{conn}, Secret: secret, Log: log,
			Addrs: []netip.Addr{v.server.Addr()},
			Listen: func(at netip.AddrPort) (punch.Conn, error) {
				return host.Listen(netip.AddrPortFrom(v.server.Addr(), at.Port()))
			},
		}),
	})
}

// byTURN makes a node at a site use relays.
func (v *vpn) byTURN(site *simnet.Site, edit func(*Config)) func(*Config) {
	return v.authentic(AuthYes, nil, func(c *Config) {
		c.MTU = 1419
		c.Allocate = func(ctx context.Context, s TURNServer) (Allocation, error) {
			a, err := turn.Allocate(ctx, turn.Config{
				Server: s.Addrs[0], Conn: site.Listen("192.168.1.2:0"), User: s.User, Password: s.Password, Log: c.Log,
			})
			if err != nil {
				return nil, err
			}
			return a, nil
		}
		if edit != nil {
			edit(c)
		}
	})
}

// turnPair starts alice and bob behind NATs, who may use relays.
func (v *vpn) turnPair(a, b simnet.NAT, edit func(*Config)) (alice, bob *node) {
	v.t.Helper()
	v.relayServer(rdv.Strict)
	one, two := v.home(1, a), v.home(2, b)
	alice = v.node(one, "192.168.1.2:5000", "10.9.0.1", v.byTURN(one, edit))
	bob = v.node(two, "192.168.1.2:5000", "10.9.0.2", v.byTURN(two, edit))
	pass(time.Second)
	return alice, bob
}

// TestTURN: between two symmetric NATs there is no direct path, and a relay carries the
// tunnel.
func TestTURN(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(symmetric, symmetric, nil)
		took := alice.ping(bob, 5*time.Second)
		v.t.Logf("the first reply took %v", took)
		if took > 600*time.Millisecond {
			v.t.Errorf("the first reply took %v", took)
		}
		for _, n := range []*node{alice, bob} {
			if p := n.status().Peers[0]; p.Path != "relay" {
				v.t.Errorf("%v sees a path of kind %q", n.vpn, p.Path)
			}
		}
		pass(5 * time.Minute)
		bob.ping(alice, time.Second)
		pass(20 * time.Minute) // credentials and permissions are renewed, if it is used
		bob.ping(alice, 5*time.Second)
	})
}

// TestTURNUsed: what is used goes on for hours, beyond all lifetimes.
func TestTURNUsed(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(symmetric, symmetric, nil)
		alice.ping(bob, 5*time.Second)
		since := alice.status().Peers[0].Since
		for range 3 * 60 {
			pass(time.Minute)
			if took := alice.ping(bob, 5*time.Second); took > 200*time.Millisecond {
				v.t.Fatalf("a reply took %v", took)
			}
		}
		if got := alice.status().Peers[0].Since; !got.Equal(since) {
			v.t.Errorf("the session is of %v, want that of %v", got, since)
		}
	})
}

// TestTURNLeft: once there is a direct path, the session takes it, and after a while the
// relay is given up. When the path dies, the session is back on a relay at once.
func TestTURNLeft(t *testing.T) {
	inBubble(t, func(v *vpn) {
		var cut bool
		v.net.Drop(func(p simnet.Packet) bool {
			home := func(a netip.Addr) bool { return strings.HasPrefix(a.String(), "203.0.113.2") }
			return cut && (home(p.Dst.Addr()) && p.Src.Addr() != v.server.Addr() && !strings.HasPrefix(p.Src.Addr().String(), "198."))
		})
		cut = true
		alice, bob := v.turnPair(cone, cone, nil)
		took := alice.ping(bob, 5*time.Second)
		if p := alice.status().Peers[0]; p.Path != "relay" {
			v.t.Fatalf("a path of kind %q after %v", p.Path, took)
		}
		since := alice.status().Peers[0].Since
		cut = false
		start := time.Now()
		for alice.status().Peers[0].Path == "relay" && time.Since(start) < time.Minute {
			alice.ping(bob, time.Second)
			pass(100 * time.Millisecond)
		}
		v.t.Logf("direct after %v", time.Since(start))
		if time.Since(start) > 10*time.Second {
			v.t.Errorf("direct after %v", time.Since(start))
		}
		cut = true
		start = time.Now()
		alice.send(bob.vpn, "lost")
		for alice.status().Peers[0].Path != "relay" && time.Since(start) < time.Minute {
			alice.send(bob.vpn, "lost")
			pass(20 * time.Millisecond)
		}
		v.t.Logf("back on the relay after %v", time.Since(start))
		if time.Since(start) > time.Second {
			v.t.Errorf("back on the relay after %v", time.Since(start))
		}
		pass(time.Second)
		bob.texts()
		alice.ping(bob, time.Second)
		if got := alice.status().Peers[0].Since; !got.Equal(since) {
			v.t.Errorf("the session is of %v, want that of %v", got, since)
		}
	})
}

// allocations counts the relays that a node has an address at.
func (n *node) allocations() (count int) {
	n.onControl(func(time.Time) {
		for _, r := range n.client.turn.list {
			if r.alloc != nil {
				count++
			}
		}
	})
	return count
}

// TestTURNGivenUp: an address at a relay that nobody wants any more is given back.
func TestTURNGivenUp(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(cone, cone, func(c *Config) { c.Timeout = time.Hour })
		alice.ping(bob, 5*time.Second)
		pass(5 * time.Second)
		if p := alice.status().Peers[0].Path; p != "wan" {
			v.t.Fatalf("a path of kind %q", p)
		}
		pass(5 * time.Minute)
		if a, b := alice.allocations(), bob.allocations(); a+b != 0 {
			v.t.Errorf("%d and %d relays are kept, want none", a, b)
		}
		alice.ping(bob, time.Second)
	})
}

// TestTURNRefused: without leave there is no relay, and it is known why.
func TestTURNRefused(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(symmetric, symmetric, nil)
		v.stop() // the next server is no relay
		v.ourServer(rdv.Strict)
		pass(15 * time.Second)
		alice.send(bob.vpn, "nobody relays this")
		pass(8 * time.Second)
		e, err := alice.client.Explain(alice.t.Context(), bob.vpn)
		if err != nil {
			v.t.Fatal(err)
		}
		if e.Fate == FateCarried || !strings.Contains(e.Relaying.Why, "it is no relay") {
			v.t.Errorf("%v, since %q", e.Fate, e.Relaying.Why)
		}
		if got := bob.texts(); len(got) != 0 {
			v.t.Errorf("bob received %q", got)
		}
	})
}

// TestTURNBegins: a server that was no relay, and is one after a restart, is asked for it
// again as soon as the hosts have registered anew.
func TestTURNBegins(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(symmetric, symmetric, nil)
		v.stop()
		v.ourServer(rdv.Strict) // no relay
		pass(15 * time.Second)
		alice.send(bob.vpn, "nobody relays this")
		pass(8 * time.Second)
		if e, err := alice.client.Explain(alice.t.Context(), bob.vpn); err != nil || !strings.Contains(e.Relaying.Why, "it is no relay") {
			v.t.Fatalf("it is known of relays %q, %v", e.Relaying.Why, err)
		}
		v.stop()
		v.relayServer(rdv.Strict)
		pass(20 * time.Second)
		alice.ping(bob, 5*time.Second)
		if p := alice.status().Peers[0].Path; p != "relay" {
			v.t.Errorf("a path of kind %q, want the relay", p)
		}
	})
}

// TestTURNOnlyAndNever: what the settings say about relays is done.
func TestTURNOnlyAndNever(t *testing.T) {
	t.Run("only", func(t *testing.T) {
		inBubble(t, func(v *vpn) {
			alice, bob := v.turnPair(simnet.NAT{}, simnet.NAT{}, func(c *Config) { c.RelayOnly = true })
			v.net.Observe(func(p simnet.Packet, _ simnet.Verdict) {
				if p.From == alice.conn && p.Dst.Addr().String() == "203.0.113.22" || p.From == bob.conn && p.Dst.Addr().String() == "203.0.113.21" {
					v.t.Errorf("a packet goes straight from %v to %v", p.Src, p.Dst)
				}
			})
			alice.ping(bob, 5*time.Second)
			pass(time.Minute)
			bob.ping(alice, 5*time.Second)
			if p := alice.status().Peers[0].Path; p != "relay" {
				v.t.Errorf("a path of kind %q", p)
			}
		})
	})
	t.Run("only, at one end", func(t *testing.T) {
		inBubble(t, func(v *vpn) {
			only := true
			alice, bob := v.turnPair(simnet.NAT{}, simnet.NAT{}, func(c *Config) { c.RelayOnly, only = only, false })
			v.net.Observe(func(p simnet.Packet, _ simnet.Verdict) {
				if p.From == alice.conn && p.Dst.Addr().String() == "203.0.113.22" {
					v.t.Errorf("a packet goes straight from %v to %v", p.Src, p.Dst)
				}
			})
			alice.ping(bob, 5*time.Second)
			pass(time.Minute)
			bob.ping(alice, 5*time.Second)
			pass(time.Minute)
			alice.ping(bob, 5*time.Second)
			if p := alice.status().Peers[0].Path; p != "relay" {
				v.t.Errorf("a path of kind %q", p)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		inBubble(t, func(v *vpn) {
			alice, bob := v.turnPair(symmetric, symmetric, func(c *Config) { c.RelayNever = true })
			alice.send(bob.vpn, "no way")
			pass(8 * time.Second)
			if got := bob.texts(); len(got) != 0 || alice.allocations()+bob.allocations() != 0 {
				v.t.Errorf("bob received %q; %d and %d relays", got, alice.allocations(), bob.allocations())
			}
		})
	})
}

// TestTURNDies: a relay that goes silent is noticed, and one that is back is used again.
func TestTURNDies(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.turnPair(symmetric, symmetric, nil)
		alice.ping(bob, 5*time.Second)
		pass(15 * time.Second) // nobody knocks twice in ten seconds
		alice.ping(bob, time.Second)
		v.stop()
		v.relayServer(rdv.Strict) // it knows nothing of the old addresses
		start := time.Now()
		for range 400 {
			alice.send(bob.vpn, "again")
			pass(50 * time.Millisecond)
			if len(bob.texts()) > 0 {
				break
			}
		}
		v.t.Logf("it goes on after %v", time.Since(start))
		if took := time.Since(start); took > 5*time.Second {
			v.t.Errorf("it goes on after %v", took)
		}
	})
}
