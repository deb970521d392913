package client

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// A relayPlay is alice and bob, between whom nothing passes as long as it is cut, and
// carol, who relays.
type relayPlay struct {
	*vpn
	alice, bob, carol *node
	cut               atomic.Bool
}

// relayed plays on a simulated Internet.
func relayed(t *testing.T, f func(r *relayPlay)) { relayedBy(t, nil, f) }

// relayedBy is relayed with nodes whose configurations edit has changed.
func relayedBy(t *testing.T, edit func(*Config), f func(r *relayPlay)) {
	t.Helper()
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Mixed)
		r := &relayPlay{vpn: v}
		v.net.Drop(func(p simnet.Packet) bool { return r.cut.Load() && r.direct(p) })
		each := func(c *Config) {
			v.authentic(AuthYes, nil)(c)
			c.MTU = 1419
			if edit != nil {
				edit(c)
			}
		}
		r.alice, r.bob = v.pair(each)
		r.cut.Store(true) // not before: the network asks who they are
		r.carol = r.relay(3, each)
		pass(time.Second)
		f(r)
	})
}

// relay starts a node that relays.
func (r *relayPlay) relay(number int, edit func(*Config)) *node {
	r.t.Helper()
	return r.node(r.home(number, portRestricted), "192.168.1.2:5000", netip.AddrFrom4([4]byte{10, 9, 0, byte(number)}).String(), func(c *Config) {
		r.authentic(AuthYes, nil)(c)
		c.MTU = 1419
		if edit != nil {
			edit(c)
		}
		c.RelayFor = true
	})
}

// direct reports whether a packet goes from alice to bob or back without a relay.
func (r *relayPlay) direct(p simnet.Packet) bool {
	public := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(20 + n)}) }
	switch {
	case r.alice == nil || r.bob == nil:
		return false
	case p.From == r.alice.conn:
		return p.Dst.Addr() == public(2)
	case p.From == r.bob.conn:
		return p.Dst.Addr() == public(1)
	}
	return false
}

// peerOf returns what a node sees of another.
func (n *node) peerOf(other *node) PeerStatus {
	n.t.Helper()
	for _, p := range n.status().Peers {
		if p.VPNAddr == other.vpn {
			return p
		}
	}
	return PeerStatus{}
}

// path checks by what kind of path a node reaches another.
func (n *node) path(other *node, want string) {
	n.t.Helper()
	if got := n.peerOf(other).Path; got != want {
		n.t.Errorf("%v reaches %v by a path of kind %q, want %q", n.vpn, other.vpn, got, want)
	}
}

// sendRelay makes a client send what a relay is asked to pass on to an addressee. It must
// run on its control goroutine.
func sendRelay(c *Client, relay, addressee netip.Addr, datagram []byte) {
	p := c.peers[relay]
	b, d := p.session.SealRelay(1, nil, append(p.session.RelayHead(nil, addressee), datagram...), &c.tmp)
	if d == tunnel.Kept {
		c.sendTo(p.at, b)
	}
}

// sendRelayed makes a client say that a sender's datagram is for a peer.
func sendRelayed(c *Client, peer, sender netip.Addr, datagram []byte) {
	p := c.peers[peer]
	b, d := p.session.SealRelay(1, nil, append(p.session.RelayedHead(nil, sender), datagram...), &c.tmp)
	if d == tunnel.Kept {
		c.sendTo(p.at, b)
	}
}

// punchOf returns a punch of the node with a VPN address.
func punchOf(vpn netip.Addr) []byte {
	m := wire.NewPunch(vpn, wire.Mark{})
	return m.Append(nil)
}
