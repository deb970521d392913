package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/clock"
	play "campagnol/internal/lab/program"
)

// A site is a member whose virtual interface is part of a bridge, with hosts on it.
type site struct {
	*meshPeer
	n      *tapNet
	bridge *lab.Bridge
	hosts  int
}

// site puts a bridge between a peer's virtual interface and hosts.
func (n *tapNet) site(p *meshPeer) *site {
	n.t.Helper()
	b, err := p.AddBridge("br0", lab.BridgeOptions{})
	n.must(err)
	n.must(b.AddPort("tap9"))
	return &site{meshPeer: p, n: n, bridge: b}
}

// host puts a host on the bridge, with an address of IPv4 and one of IPv6 unless
// number is 0. Its interface is eth0.
func (s *site) host(name string, number int) *lab.Node {
	s.n.t.Helper()
	h, err := s.n.lab.AddNode(name)
	s.n.must(err)
	s.hosts++
	port := fmt.Sprintf("p%d", s.hosts)
	link, err := s.n.lab.Join(s.Node, port, h, "eth0")
	s.n.must(err)
	s.n.must(link.SetMTU(tapMTU))
	s.n.must(s.bridge.AddPort(port))
	if number != 0 {
		for _, a := range []netip.Prefix{netip.PrefixFrom(lanAddr(number), 24), netip.PrefixFrom(lanAddr6(number), 64)} {
			s.n.must(h.Interface("eth0").AddAddress(a))
		}
	}
	s.n.must(h.Interface("eth0").AwaitUp())
	return h
}

// tapMTU is what the virtual interface has, and so what hosts behind it have to have
// who send packets that may not be cut.
const tapMTU = 1392

func lanAddr(number int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(number)}) }

func lanAddr6(number int) netip.Addr {
	a := netip.MustParseAddr("fd77::").As16()
	a[15] = byte(number)
	return netip.AddrFrom16(a)
}

// reaches pings, and wants all answers but that to the first question, for which a
// neighbour has to be found.
func (n *tapNet) reaches(from *lab.Node, to netip.Addr) {
	n.t.Helper()
	if _, err := from.PingUntil(n.soon(), to, 200*time.Millisecond); err != nil {
		n.t.Fatalf("%s does not reach %v: %v", from.Name(), to, err)
	}
	r, err := from.Ping(n.soon(), to, lab.PingOptions{Count: 5})
	if err != nil || r.Received() != 5 {
		n.t.Errorf("%s pings %v: %v (%v)", from.Name(), to, r, err)
	}
}

// TestTAPBridge: hosts behind two members are on one LAN, of which the third member
// sees no more than it has to.
func TestTAPBridge(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "", lab.PortRestricted, lab.None, lab.FullCone)
	a, b, c := n.site(n.peers[0]), n.site(n.peers[1]), n.peers[2]
	alice, bob := a.host("alice", 11), b.host("bob", 12)
	wire := n.underlay(c)
	for _, to := range []netip.Addr{lanAddr(12), lanAddr6(12)} {
		n.reaches(alice, to)
	}
	began := clock.Now()
	for _, s := range []struct {
		from, to *lab.Node
		addr     netip.Addr
	}{{alice, bob, lanAddr(12)}, {bob, alice, lanAddr(11)}, {alice, bob, lanAddr6(12)}} {
		r, err := lab.Bulk(n.soon(), s.from, s.to, netip.AddrPortFrom(s.addr, 0), lab.BulkOptions{Size: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("from %s to %s: %v", s.from.Name(), s.to.Name(), r)
	}
	// The addresses of both have been learned: nothing of it went to everybody.
	large := 0
	for _, s := range wire.w.Seen() {
		if s.At >= began && len(s.Frame.Payload) > 1000 {
			large++
		}
	}
	if large != 0 {
		t.Errorf("%d large datagrams have come to a member that has nothing to do with it, want 0", large)
	}
	// A host that moves from one site to the other is found there.
	n.moves(a, b, alice)
}

// moves has a host say something behind one member and then behind another one.
func (n *tapNet) moves(from, to *site, asks *lab.Node) {
	n.t.Helper()
	guest := from.host("guest", 20)
	n.reaches(guest, lanAddr(12))
	mac, err := guest.Interface("eth0").MAC()
	n.must(err)
	n.must(guest.Interface("eth0").SetUp(false))
	again := to.host("guest2", 20)
	n.must(again.Interface("eth0").SetMAC(mac))
	began := time.Now()
	n.reaches(again, lanAddr(11))
	n.t.Logf("a host that has moved is reached after %v", time.Since(began))
	n.reaches(asks, lanAddr(20))
}

// TestTAPIPTV: a film comes from a router behind one member to a host behind another,
// which speaks with nobody but the router of its own LAN, as far as it can tell.
func TestTAPIPTV(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "", lab.None, lab.PortRestricted, lab.None)
	n.settles()
	a, b, c := n.site(n.peers[0]), n.site(n.peers[1]), n.peers[2]
	router, set := a.host("router", 1), b.host("set", 12)
	source, err := n.lab.AddNode("source")
	n.must(err)
	_, err = n.lab.Join(router, "up0", source, "eth0")
	n.must(err)
	for node, p := range map[*lab.Node]string{router: "10.99.0.1/24", source: "10.99.0.2/24"} {
		name := map[*lab.Node]string{router: "up0", source: "eth0"}[node]
		n.must(node.Interface(name).AddAddress(netip.MustParsePrefix(p)))
	}
	r, err := router.StartRouter(n.soon(), "router", play.RouterOptions{Upstream: "up0", Downstream: []string{"eth0"}})
	n.must(err)
	const channel, other = "239.1.2.3", "239.1.2.4"
	n.film(source, play.SenderOptions{Interface: "eth0", TTL: 4}, channel, other)
	wire, screen := n.underlay(c), n.watch(set, "eth0", false)
	n.routes(r, channel, 0)
	v := n.viewer(set, "eth0")
	at := v.join(channel, "")
	first := v.first(channel, at)
	n.routes(r, channel, 1)
	v.first(channel, at.Add(time.Second))
	left := v.leave(channel, "")
	took := n.ends(screen, channel).Sub(left)
	t.Logf("first datagram %v after the join, last frame %v after the leave", first.At.Sub(at), took)
	if got := first.At.Sub(at); got > 2*time.Second {
		t.Errorf("the first datagram comes %v after the join", got)
	}
	// The router and the member before it ask one after the other.
	if took > 5*time.Second {
		t.Errorf("the last frame comes %v after the leave", took)
	}
	n.routes(r, channel, 0)
	n.whole("the film", v.got(channel), time.Second)
	if got := wire.records(0); got != 0 {
		t.Errorf("%d records of films have come to a member that wants none, want 0", got)
	}
	if got := screen.Count(isFilm(other)); got != 0 {
		t.Errorf("%d frames of a channel that nobody has chosen", got)
	}
}

// routes waits until a router sends a film to so many interfaces.
func (n *tapNet) routes(r *lab.Router, group string, want int) {
	n.t.Helper()
	for ctx := n.soon(); ; time.Sleep(20 * time.Millisecond) {
		all, err := r.Routes(ctx)
		if err != nil {
			n.t.Fatalf("the router does not send %s to %d interfaces, but %v: %v", group, want, all, err)
		}
		for _, x := range all {
			if x.Group.String() == group && len(x.To) == want {
				return
			}
		}
	}
}

// TestTAPRestart: a client that was killed and is started again knows nothing; the
// film is back soon, whether it was the sender's or the receiver's.
func TestTAPRestart(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "", lab.PortRestricted, lab.PortRestricted)
	a, b := n.site(n.peers[0]), n.site(n.peers[1])
	studio, set := a.host("studio", 11), b.host("set", 12)
	const channel = "239.1.2.3"
	n.film(studio, play.SenderOptions{Interface: "eth0"}, channel)
	v := n.viewer(set, "eth0")
	v.first(channel, v.join(channel, ""))
	for _, c := range []struct {
		what string
		who  *site
	}{{"the sender's", a}, {"the receiver's", b}} {
		ready, registered := n.restart(c.who)
		back := v.first(channel, ready).At
		t.Logf("%s client was restarted: the film is back %v after it has its interface, %v after it is registered [dark]", c.what, back.Sub(ready), back.Sub(registered))
		if got := back.Sub(ready); got > 2*time.Second {
			t.Errorf("%s client was restarted: the film is back after %v, want 2 s at most", c.what, got)
		}
	}
}

// restart kills a site's client and starts it anew, and returns when its interface was
// part of the bridge again, and when the server knew it.
func (n *tapNet) restart(s *site) (ready, registered clock.Instant) {
	n.t.Helper()
	n.must(s.process.Signal(os.Kill))
	<-s.process.Exited()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(n.t.Context(), tapPatience)
		defer cancel()
		for ctx.Err() == nil {
			if s.bridge.AddPort("tap9") == nil {
				ready = clock.Now()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	s.start()
	registered = clock.Now()
	<-done
	if ready == 0 {
		n.t.Fatal("the client has no interface")
	}
	return ready, registered
}
