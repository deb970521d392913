package client

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/wire"
)

// An Identity is what a peer's certificate says about it.
type Identity struct {
	Name   string         // of the certificate, for people
	Key    [32]byte       // identifies its key
	Serial string         // of the certificate, for people
	Issued time.Time      // when it was issued: of two for one address the newer has it
	Ends   time.Time      // until when it is good, for people; zero: not known
	Addrs  []netip.Addr   // VPN addresses
	Routes []netip.Prefix // networks behind the host
}

// How much of a peer's certificate is taken: as many addresses as can be registered
// at the RDV, and as many networks as a certificate of "campagnol ca" can have.
const (
	MaxPeerAddrs  = 16
	maxPeerRoutes = 256
)

// special are the networks in which nothing is routed to a peer: this host's own,
// links, multicast and broadcast, and what is reserved. Whatever is as wide as half
// of all addresses has one of them in it: there are no default routes.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/8"), // unspecified, loopback, IPv4 in disguise
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// A badRoute is a network of a certificate that is not used.
type badRoute struct {
	network netip.Prefix
	why     string
}

// identify returns what an accepted certificate says about p, as far as it is true
// in this VPN, the address of p first, and the networks that are left out.
func (c *Client) identify(now time.Time, p *peer, chain [][]byte) (Identity, []badRoute) {
	var said Identity
	if c.set.Identify != nil {
		said = c.set.Identify(now, p.vpn, chain)
	}
	id := said
	id.Addrs, id.Routes = []netip.Addr{p.vpn}, nil
	for _, a := range said.Addrs {
		a = a.Unmap()
		if len(id.Addrs) < MaxPeerAddrs && c.mayBePeer(a) && !slices.Contains(id.Addrs, a) {
			id.Addrs = append(id.Addrs, a)
		}
	}
	var bad []badRoute
	if c.set.AcceptRoutes {
		for _, r := range said.Routes {
			if why := c.wrongRoute(r); why != "" {
				bad = append(bad, badRoute{r, why})
			} else if r = r.Masked(); len(id.Routes) < maxPeerRoutes && !slices.Contains(id.Routes, r) {
				id.Routes = append(id.Routes, r)
			}
		}
	}
	return id, bad
}

// wrongRoute returns why a network is not one that may be behind any peer; "" if it
// is. What depends on where peers are, claims knows.
func (c *Client) wrongRoute(r netip.Prefix) string {
	if !r.IsValid() || r.Addr().Is4In6() {
		return "it is not a network"
	}
	for _, n := range []netip.Prefix{c.cfg.Network, c.cfg.Network6} {
		if r.Overlaps(n) {
			return "it overlaps the network of the VPN, " + n.String()
		}
	}
	for _, s := range special {
		if r.Overlaps(s) {
			return "it overlaps " + s.String() + ", which is behind nobody"
		}
	}
	return ""
}

// admit returns who p is by an accepted certificate, or why it may not be that: the
// address belongs to a peer with a tunnel.
func (c *Client) admit(now time.Time, p *peer, chain [][]byte) (Identity, error) {
	id, bad := c.identify(now, p, chain)
	if q := c.claims.before(p, &id); q != nil {
		return id, &ClaimError{Addr: p.vpn, Name: id.Name, Holder: q.vpn, HolderName: q.id.Name}
	}
	for _, b := range bad {
		c.log.Warn("Network behind peer is not used", "peer", p.vpn, "name", id.Name, "network", b.network, "reason", b.why)
	}
	return id, nil
}

// beats reports whether a newer session has what an older one claims, too: if it is
// of the same host, or its certificate is the newer one.
func (id *Identity) beats(older *Identity) bool {
	return id.Key == older.Key || id.Issued.After(older.Issued)
}

// A ClaimError says that a peer's address is that of another one, who has a tunnel
// and whose certificate is at least as new.
type ClaimError struct {
	Addr       netip.Addr
	Name       string // of the certificate of who comes
	Holder     netip.Addr
	HolderName string
}

func (e *ClaimError) Error() string {
	return fmt.Sprintf("certificate %q refused: %v belongs to %q (%v), which has a tunnel, and whose certificate is not older",
		e.Name, e.Addr, e.HolderName, e.Holder)
}

// Code is what the refusal is called in docs/refusals.md.
func (e *ClaimError) Code() string { return "claimed" }

// Hint says what can be done.
func (e *ClaimError) Hint() string {
	return fmt.Sprintf("the certificates of two hosts name %v; issue those anew that should not", e.Addr)
}

// absorb ends what there is under the other addresses of p, which a new session is
// about to carry: tunnels of the same host, and tries to reach it. Packets that
// waited for those wait for p.
func (c *Client) absorb(now time.Time, p *peer, id *Identity) {
	for _, a := range id.Addrs[1:] {
		q := c.peers[a]
		if q == nil {
			continue
		}
		switch {
		case q.session != nil && q.id.Key == id.Key:
			c.log.Info("Closing DTLS connection with peer", "peer", q.vpn, "reason", "the host has a newer one", "other", p.vpn)
			c.stopTry(q)
			c.tell(wire.Close, q.vpn)
			q.ending = "the host has a newer one"
			c.closeSession(now, q)
		case q.session == nil && q.try.asked:
			p.staged = append(p.staged, q.staged...)
			q.staged = nil
			c.stopTry(q)
		}
		c.settle(q)
	}
	p.staged = p.staged[:min(len(p.staged), c.set.FIFOSize)]
}
