package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/hard"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv"
)

// explained returns what a node knows of a VPN address.
func (n *node) explained(addr string) Explanation {
	n.t.Helper()
	e, err := n.client.Explain(context.Background(), netip.MustParseAddr(addr))
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

// reachesFor makes a node open a tunnel.
func (n *node) reachesFor(addr string) {
	n.t.Helper()
	if err := n.client.Reach(context.Background(), netip.MustParseAddr(addr)); err != nil {
		n.t.Fatal(err)
	}
}

// said returns what RDVs have said, with - for an introduction.
func (e *Explanation) said() string {
	var s []string
	for _, w := range e.Words {
		why := w.Why
		if why == "" {
			why = "-"
		}
		s = append(s, why)
	}
	return strings.Join(s, " | ")
}

// TestExplainWAN: two homes. Before the first packet nothing is known but what would
// become of it; then there is a path, and why there is no better one.
func TestExplainWAN(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", identifying)
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		bob.offers(hostAt("198.51.100.99:5000"))
		if err := bob.client.SetNAT(context.Background(), behind(cone)); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		e := alice.explained("10.9.0.2")
		if e.Fate != FateAsked || e.Status != nil || e.Tried != nil || e.Failure != nil || e.Words != nil || e.Name != "" || e.VPNAddr != bob.vpn {
			v.t.Errorf("before: %+v", e)
		}
		alice.reachesFor("10.9.0.2")
		if e = alice.explained("10.9.0.2"); e.Fate != FateWaits || e.Status == nil || e.Status.State != "NEW" {
			v.t.Errorf("asking: %+v", e)
		}
		pass(2 * time.Second)
		alice.ping(bob, time.Second)
		pass(2 * time.Second)
		e = alice.explained("10.9.0.2")
		if e.Fate != FateCarried || e.Status == nil || e.Status.State != "ESTABLISHED" || len(e.Chain) == 0 || e.Dark || e.Extra || e.said() != "-" {
			v.t.Errorf("established: %+v", e)
		}
		if e.PeerNAT != behind(cone) || !e.NAT.Known || e.Hard.Role != hard.None {
			v.t.Errorf("NATs: %+v and %+v, plan %+v", e.NAT, e.PeerNAT, e.Hard)
		}
		if len(e.Paths) != 2 || !e.Paths[0].Path || e.Paths[0].Addr != alice.pathTo(bob) || e.Paths[1].Addr.String() != "198.51.100.99:5000" ||
			e.Paths[1].Why != "has never answered" {
			v.t.Errorf("paths: %+v", e.Paths)
		}
		if e.Tried == nil || len(e.Tried.Outcomes) != 2 || e.Tried.Running {
			v.t.Errorf("tried: %+v", e.Tried)
		}
		if e.Name != "host 10.9.0.2" {
			v.t.Errorf("the peer is called %q", e.Name)
		}
		// Who was asked for knows as much.
		if e = bob.explained("10.9.0.1"); e.Fate != FateCarried || e.said() != "-" || e.Tried == nil || e.Tried.Asked {
			v.t.Errorf("of the other side: %+v", e)
		}
	})
}

// TestExplainLAN: two hosts at one site.
func TestExplainLAN(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		home := v.home(1, noHairpin)
		alice := v.reachable(home.Listen("192.168.1.2:5000"), "10.9.0.1", nil)
		bob := v.reachable(home.Listen("192.168.1.3:5000"), "10.9.0.2", nil)
		alice.offers(hostAt("192.168.1.2:5000"))
		bob.offers(hostAt("192.168.1.3:5000"))
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		pass(3 * time.Second)
		e := alice.explained("10.9.0.2")
		if e.Status.Path != "lan" || e.Status.Found != "host" || !e.Paths[0].Path || e.Paths[0].Addr.String() != "192.168.1.3:5000" {
			v.t.Errorf("got %+v", e)
		}
		if !slices.ContainsFunc(e.Offered, func(c punch.Candidate) bool { return c == hostAt("192.168.1.2:5000") }) {
			v.t.Errorf("we offer %v", e.Offered)
		}
	})
}

// TestExplainHardNAT: a way through a hard NAT has a socket of its own; two hard NATs
// have none, and what is known says so.
func TestExplainHardNAT(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.hardPair(symmetric, cone)
		alice.ping(bob.node, 5*time.Second)
		e := alice.explained("10.9.0.2")
		if !e.Extra || e.Socket == alice.conn.LocalAddr() || e.Hard.Role != hard.Open || nat.Meet(e.NAT, e.PeerNAT) != nat.Guess {
			v.t.Errorf("of the hard side: %+v", e)
		}
		if e = bob.explained("10.9.0.1"); e.Extra || e.Socket != bob.conn.LocalAddr() || e.Hard.Role != hard.Guess {
			v.t.Errorf("of the other side: %+v", e)
		}
	})
	inBubble(t, func(v *vpn) {
		alice, _ := v.hardPair(symmetric, symmetric)
		alice.reachesFor("10.9.0.2")
		pass(100 * time.Millisecond)
		if e := alice.explained("10.9.0.2"); e.Status == nil || e.Status.State != "PUNCHING" || e.Tried == nil || !e.Tried.Running || e.Fate != FateWaits {
			v.t.Errorf("while it is tried: %+v", e)
		}
		for range 100 {
			if pass(100 * time.Millisecond); alice.explained("10.9.0.2").Status == nil {
				break
			}
		}
		e := alice.explained("10.9.0.2")
		if e.Status != nil || e.Failure == nil || e.Failure.Reason != "no path" || e.Fate != FateLeftAlone || !e.LeftUntil.After(time.Now()) {
			v.t.Errorf("after it: %+v", e)
		}
		if nat.Meet(e.NAT, e.PeerNAT) != nat.Hopeless || e.said() != "-" || e.Tried == nil || e.Tried.Running || len(e.Tried.Outcomes) == 0 {
			v.t.Errorf("after it: %+v", e)
		}
		for _, o := range e.Tried.Outcomes {
			if !o.Tried || o.Heard {
				v.t.Errorf("a place: %v", o)
			}
		}
	})
}

// wantsSession waits for a session.
func (h *hardHome) wantsSession(with *node) {
	h.t.Helper()
	for range 30 {
		if pass(100 * time.Millisecond); h.state(with) == "ESTABLISHED" {
			return
		}
	}
	h.t.Errorf("%v sees %v in the state %s", h.vpn, with.vpn, h.state(with))
}

// TestExplainGuessing: while ports are guessed, that is told.
func TestExplainGuessing(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.hardPair(cone, symmetric)
		alice.reachesFor("10.9.0.2")
		pass(200 * time.Millisecond)
		if e := alice.explained("10.9.0.2"); !e.Guessing {
			v.t.Errorf("got %+v", e)
		}
		bob.wantsSession(alice.node)
		if e := alice.explained("10.9.0.2"); e.Guessing || e.Fate != FateCarried {
			v.t.Errorf("with a session: %+v", e)
		}
	})
}

// TestExplainUnknown: a peer that no RDV knows, and one that a server does not introduce;
// with two servers, the word of each.
func TestExplainUnknown(t *testing.T) {
	inTown(t, 2, 0, func(w *town) {
		alice := w.house(1, nil)
		pass(2 * time.Second)
		alice.reachesFor("10.9.0.77")
		pass(500 * time.Millisecond)
		e := alice.explained("10.9.0.77")
		if e.said() != UnknownPeer+" | "+UnknownPeer || e.Failure == nil || e.Failure.Reason != UnknownPeer || e.Fate != FateLeftAlone || e.Tried != nil {
			t.Errorf("got %+v", e)
		}
		if len(e.RDVs) != 2 || !e.RDVs[0].Registered {
			t.Errorf("the servers: %+v", e.RDVs)
		}
		asks := 0
		w.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind == 2 {
				asks++
			}
		})
		alice.reachesFor("10.9.0.77") // at once, whatever the last try has come to
		pass(50 * time.Millisecond)
		if asks != 2 {
			t.Errorf("%d questions, want one for each server", asks)
		}
		w.kill(0)
		w.kill(1)
		pass(time.Minute)
		if e := alice.explained("10.9.0.77"); e.RDVs[0].Registered && !e.RDVs[0].Silent {
			t.Errorf("without servers: %+v", e.RDVs)
		}
	})
}

// TestExplainRefused: a peer with a bad certificate.
func TestExplainRefused(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, _ := v.pair(nil)
		leaf := v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"), pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)))
		v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.66", use(leaf))
		pass(time.Second)
		alice.send(netip.MustParseAddr("10.9.0.66"), "hello?")
		pass(20 * time.Second)
		e := alice.explained("10.9.0.66")
		if len(e.Refusals) == 0 || e.Refusals[0].Code != "expired" || e.Failure == nil || e.Name != "" {
			v.t.Errorf("got %+v", e)
		}
		if e := alice.explained("10.9.0.2"); len(e.Refusals) != 0 || e.Failure != nil {
			v.t.Errorf("of another peer: %+v", e)
		}
	})
}

// TestFates: what would become of a packet, without that anything is asked or changed.
func TestFates(t *testing.T) {
	inBubble(t, func(v *vpn) {
		full := func(c *Config) {
			c.MaxClients = 1
			c.Network6 = netip.MustParsePrefix("fd09::/64")
			c.VPNAddr6 = netip.MustParseAddr("fd09::1")
		}
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", full)
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind == 2 && !strings.Contains(fmt.Sprint(alice.status().Peers), "10.9.0.2") {
				v.t.Errorf("an ASK for %v", p.Data)
			}
		})
		for addr, want := range map[string]Fate{
			"10.9.0.1": FateOwn, "fd09::1": FateOwn, "10.9.0.255": FateEverybody, "224.0.0.251": FateEverybody, "ff02::1": FateEverybody,
			"8.8.8.8": FateOutside, "fd0a::1": FateOutside, "10.9.0.2": FateAsked, "fd09::2": FateNeedsChannel, "::ffff:10.9.0.2": FateAsked,
		} {
			if got := alice.explained(addr).Fate; got != want {
				v.t.Errorf("%s: %v, want %v", addr, got, want)
			}
		}
		alice.ping(bob, 5*time.Second)
		if got := alice.explained("10.9.0.3").Fate; got != FateTooMany {
			v.t.Errorf("with max_clients tunnels: %v", got)
		}
		v.stop()
		late := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.4", nil)
		pass(time.Second)
		if got := late.explained("10.9.0.2").Fate; got != FateNotRegistered {
			v.t.Errorf("without a server: %v", got)
		}
		late.reachesFor("10.9.0.4") // itself
		late.reachesFor("8.8.8.8")  // nobody
		if got := late.status().Peers; len(got) != 0 {
			v.t.Errorf("peers %+v", got)
		}
		seen := map[string]bool{}
		for f := FateCarried; f <= FateEverybody; f++ {
			if s := f.String(); s == "" || seen[s] {
				v.t.Errorf("%d is called %q", f, s)
			} else {
				seen[s] = true
			}
		}
	})
}

// TestExplainNetwork: an address in a network behind a peer is that peer's affair.
func TestExplainNetwork(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Mixed)
		gate := v.host(1, "gate", []string{"10.9.0.1"}, routes("192.168.77.0/24"))
		alice := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) { identifying(c); c.AcceptRoutes = true })
		pass(time.Second)
		if e := alice.explained("192.168.77.5"); e.Fate != FateOutside {
			v.t.Errorf("before there is a tunnel: %+v", e)
		}
		alice.ping(gate, 5*time.Second)
		if e := alice.explained("192.168.77.5"); e.Fate != FateCarried || e.VPNAddr != gate.vpn || e.Asked.String() != "192.168.77.5" || e.Name != "gate" {
			v.t.Errorf("with a tunnel: %+v", e)
		}
		want := []KnownPeer{{"gate", gate.vpn}}
		if known, err := alice.client.Known(context.Background()); err != nil || !slices.Equal(known, want) {
			v.t.Errorf("known are %v, %v, want %v", known, err, want)
		}
		gate.stop()
		pass(time.Second)
		if e := alice.explained("10.9.0.1"); e.Status != nil || e.Name != "gate" {
			v.t.Errorf("when it has gone: %+v", e)
		}
		if known, _ := alice.client.Known(context.Background()); !slices.Equal(known, want) {
			v.t.Errorf("when it has gone, known are %v, want %v", known, want)
		}
	})
}

// TestExplainDark: a path that does not answer.
func TestExplainDark(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", nil)
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		v.net.Drop(func(p simnet.Packet) bool { return p.From == bob.conn })
		for range 10 {
			alice.send(bob.vpn, "hello?")
			pass(100 * time.Millisecond)
		}
		if e := alice.explained("10.9.0.2"); !e.Dark || e.Fate != FateCarried {
			v.t.Errorf("got %+v", e)
		}
	})
}
