package main

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/lab/clock"
	play "campagnol/internal/lab/program"
)

// How long two members that speak IGMPv2 are watched, and how often they are asked.
var (
	oldTime   = 8 * time.Second
	oldTimers = play.QuerierOptions{Version: 2, QueryInterval: time.Second, ResponseInterval: 500 * time.Millisecond}
)

// router makes a peer a multicast router behind its own virtual interface, with a
// network upstream where nothing is.
func (n *tapNet) router(p *meshPeer, o play.QuerierOptions) *lab.Router {
	n.t.Helper()
	stub, err := n.lab.AddNode("stub." + p.Name())
	n.must(err)
	_, err = n.lab.Join(p.Node, "up0", stub, "eth0")
	n.must(err)
	n.must(p.AddAddress("up0", netip.MustParsePrefix("10.99.0.1/24")))
	r, err := p.StartRouter(n.soon(), n.label("router"), play.RouterOptions{Upstream: "up0", Downstream: []string{"tap9"}, Querier: o})
	n.must(err)
	return r
}

// TestTAPQuerier: with a router behind one member, what is left ends in time wherever
// the router is, and two members whose hosts speak IGMPv2 miss nothing: neither keeps
// quiet because it has heard the other.
func TestTAPQuerier(t *testing.T) {
	t.Parallel()
	n := newTAPNet(t, "", lab.None, lab.None, lab.None)
	n.settles()
	a, c := n.peers[0], n.peers[2]
	const old = "239.2.0.1"
	n.router(a, oldTimers)
	var viewers []*viewer
	tapA, tapB := n.tap(a), n.tap(n.peers[1])
	for _, p := range n.peers {
		n.must(p.Interface("tap9").ForceVersions(2, 0))
		viewers = append(viewers, n.viewer(p.Node, "tap9"))
	}
	began := clock.Now()
	n.film(a.Node, play.SenderOptions{}, old, "239.2.0.2")
	n.film(c.Node, play.SenderOptions{}, "239.2.0.3", "239.2.0.4")
	for _, v := range viewers[1:] {
		v.first(old, v.join(old, ""))
	}
	for _, s := range []struct {
		name   string
		group  string
		atMost time.Duration
		theirs string // figure of the rival
	}{
		{"the sender's side", "239.2.0.2", 2500 * time.Millisecond, "2.0 s"},
		{"a third side", "239.2.0.3", 3 * time.Second, "260 s"},
	} {
		v := viewers[1]
		v.first(s.group, v.join(s.group, "").Add(500*time.Millisecond))
		left := v.leave(s.group, "")
		took := n.ends(tapB, s.group).Sub(left)
		t.Logf("querier on %s: last frame %v after the leave [%s]", s.name, took, s.theirs)
		if took > s.atMost {
			t.Errorf("querier on %s: the last frame comes %v after the leave, want %v at most", s.name, took, s.atMost)
		}
	}
	// The router itself gets what nobody has asked for (RFC 4541 section 2.1.2 (1)).
	if _, err := tapA.Await(n.soon(), began, isFilm("239.2.0.4")); err != nil {
		t.Errorf("a router gets nothing of a film that nobody wants: %v", err)
	}
	if got := tapB.Count(isFilm("239.2.0.4")); got != 0 {
		t.Errorf("%d frames of it come where there is no router, want 0", got)
	}
	time.Sleep(oldTime - clock.Now().Sub(began))
	for i, v := range viewers[1:] {
		s := n.whole("a member that speaks IGMPv2", v.got(old), time.Second)
		t.Logf("member %d of two that speak IGMPv2 has got %d datagrams in %v without a gap [gaps of seconds]", i+1, s.Received, s.Last.Sub(s.First).Round(time.Second))
	}
}
