package client

import (
	"bytes"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// renews gives a node another certificate, and returns it.
func (v *vpn) renews(n *node) []byte {
	v.t.Helper()
	leaf := v.ca.Issue(v.t, "renewed", pkitest.Addrs(n.vpn.String()))
	s := n.client.set
	s.Certificate.Certificate, s.Certificate.PrivateKey = leaf.Raw(), leaf.Key
	if err := n.client.Apply(v.t.Context(), s); err != nil {
		v.t.Fatal(err)
	}
	return leaf.Raw()[0]
}

// shown returns the certificate that a node has seen of another.
func (n *node) shown(of *node) []byte {
	n.t.Helper()
	list, err := n.client.Shown(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, s := range list {
		if s.VPNAddr == of.vpn {
			return s.Chain[0]
		}
	}
	return nil
}

// TestRenewedIsShown: the peers see another certificate with fresh keys, within
// seconds, whichever side of the handshake has got it, and no packet is lost; the
// next keys are due as ever.
func TestRenewedIsShown(t *testing.T) {
	for _, every := range []time.Duration{-1, time.Hour} {
		inBubble(t, func(v *vpn) {
			alice, bob := v.pair(rekeyEvery(every))
			alice.ping(bob, 5*time.Second)
			to, back := newStream(alice, bob), newStream(bob, alice)
			both(to, back, 10*time.Second, 100*time.Millisecond)
			for i, side := range [][2]*node{{alice, bob}, {bob, alice}} {
				before := side[1].shown(side[0])
				leaf := v.renews(side[0])
				if !bytes.Equal(side[1].shown(side[0]), before) {
					v.t.Error("the certificate is shown before there are fresh keys")
				}
				both(to, back, showSpread+2*time.Second, 100*time.Millisecond)
				if !bytes.Equal(side[1].shown(side[0]), leaf) {
					v.t.Errorf("side %d: the peer has not seen the new certificate", i)
				}
				both(to, back, time.Minute, 100*time.Millisecond)
				for _, n := range side {
					if got := n.peer(v.other(n)).Rekeys; got != i+1 {
						v.t.Errorf("%v: %d times fresh keys, want %d", n.vpn, got, i+1)
					}
				}
			}
			to.wantAll(0)
			back.wantAll(0)
			if n := alice.logged("New DTLS connection"); n != 1 {
				v.t.Errorf("%d connections, want one", n)
			}
		})
	}
}

// other returns the other of two nodes.
func (v *vpn) other(n *node) *node {
	if v.nodes[0] == n {
		return v.nodes[1]
	}
	return v.nodes[0]
}

// TestRenewedIdle: a tunnel that nobody uses shows nothing, until it is used; and the
// same certificate again is nothing new.
func TestRenewedIdle(t *testing.T) {
	inBubble(t, func(v *vpn) {
		quiet := func(c *Config) { c.Timeout, c.RekeyTime = time.Hour, -1 }
		alice, bob := v.pair(quiet)
		alice.ping(bob, 5*time.Second)
		pass(time.Minute)
		leaf := v.renews(alice)
		pass(5 * time.Minute)
		if n := alice.peer(bob).Rekeys; n != 0 {
			v.t.Errorf("%d times fresh keys without traffic", n)
		}
		for range 15 {
			alice.ping(bob, time.Second)
			pass(time.Second)
		}
		if !bytes.Equal(bob.shown(alice), leaf) || alice.peer(bob).Rekeys != 1 {
			v.t.Errorf("the tunnel is used, and has got fresh keys %d times, want once", alice.peer(bob).Rekeys)
		}
		if err := alice.client.Apply(v.t.Context(), alice.client.set); err != nil {
			v.t.Fatal(err)
		}
		for range 15 {
			alice.ping(bob, time.Second)
			pass(time.Second)
		}
		if n := alice.peer(bob).Rekeys; n != 1 {
			v.t.Errorf("settings with the same certificate: fresh keys %d times", n)
		}
	})
}
