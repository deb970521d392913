package ca

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/safefile"
)

// DefaultValid is how long an invitation is valid.
const DefaultValid = time.Hour

// maxValid is how long an invitation can be valid: its token is a secret that lies
// somewhere.
const maxValid = 365 * 24 * time.Hour

// InviteOptions say what is promised to a host.
type InviteOptions struct {
	Name string

	// Addrs are VPN addresses. Of each of the VPN's networks in which none of them
	// is, the host gets a free one.
	Addrs []netip.Addr

	// Pool is where to look for a free address; the zero Prefix means the network
	// of the VPN. It is a part of that.
	Pool netip.Prefix

	Groups []string
	Routes []netip.Prefix
	Days   int           // validity of the certificate; 0 means that of the settings
	Valid  time.Duration // of the invitation; 0 means an hour
	Server string        // HOST:PORT of the rendezvous server; "" means that of the settings

	// Renew invites a host that has a certificate already, and has lost its key
	// for instance. Addresses, groups and routes stay if none are given.
	Renew bool
}

// Invite makes an invitation, and the token that the new host needs. The token is
// in no file: it cannot be had again.
func (c *CA) Invite(now time.Time, rand io.Reader, o InviteOptions) (*Invitation, *enroll.Token, error) {
	s, err := c.Settings()
	if err != nil {
		return nil, nil, err
	}
	if err := o.complete(s); err != nil {
		return nil, nil, err
	}
	unlock, x, err := c.begin()
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	safefile.Sweep(filepath.Join(c.Dir, invitationsDir, "*"))
	list, err := c.Invitations()
	if err != nil {
		return nil, nil, err
	}
	c.purge(now, list)
	req, err := c.promise(now, x, list, s, o)
	if err != nil {
		return nil, nil, err
	}
	token, err := enroll.NewToken(rand, pki.KeyOf(c.Cert), o.Server)
	if err != nil {
		return nil, nil, err
	}
	created := now.UTC().Truncate(time.Second)
	i := &Invitation{
		ID: token.ID, Name: req.Name, Addrs: req.Addrs, Network: s.Network, Network6: s.Network6, Domain: s.Domain, Server: o.Server,
		Groups: req.Groups, Routes: req.Routes, Days: o.Days, Renew: o.Renew,
		Created: created, Expires: created.Add(o.Valid), Master: token.Master(), CA: token.CA,
	}
	return i, token, c.writeInvitation(i)
}

// complete checks the options, and takes from the settings what they lack.
func (o *InviteOptions) complete(s Settings) error {
	if o.Server == "" {
		o.Server = s.Server
	}
	if o.Days == 0 {
		o.Days = s.Days
	}
	if o.Valid == 0 {
		o.Valid = DefaultValid
	}
	switch {
	case o.Server == "":
		return withHint(errors.New("ca: the new host must be told its rendezvous server, and this CA does not know it"),
			"tell the CA once: campagnol ca settings --rdv HOST")
	case !s.Network.IsValid():
		return withHint(errors.New("ca: the new host must be told the network of the VPN, and this CA does not know it"),
			"tell the CA once: campagnol ca settings --network 10.9.0.0/24")
	case o.Valid < time.Minute || o.Valid > maxValid:
		return fmt.Errorf("ca: an invitation cannot be valid for %v; say 1m to 8760h", o.Valid)
	case len(o.Addrs) > 0 && o.Pool.IsValid():
		return errors.New("ca: an address and a pool to choose one from at once is not possible")
	}
	if !o.Pool.IsValid() {
		o.Pool = s.Network
	}
	if o.Pool != o.Pool.Masked() || !s.Network.Overlaps(o.Pool) || o.Pool.Bits() < s.Network.Bits() {
		return fmt.Errorf("ca: the pool %v is not a part of the VPN's network %v", o.Pool, s.Network)
	}
	return nil
}

// promise returns the request that the invitation stands for, after checking that
// it can be granted.
func (c *CA) promise(now time.Time, x *index, list []*Invitation, s Settings, o InviteOptions) (*Request, error) {
	req := &Request{Name: o.Name, Addrs: o.Addrs, Groups: o.Groups, Routes: o.Routes, Days: o.Days, Renew: o.Renew}
	if err := req.check(); err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.Name == o.Name && i.State(now) == InvitationOpen {
			return nil, withHint(fmt.Errorf("ca: %q has an open invitation already, valid until %s", i.Name, minute(i.Expires)),
				"withdraw it first: campagnol ca uninvite %s", i.ID)
		}
	}
	if err := c.inherit(x, req); err != nil {
		return nil, err
	}
	if err := c.complete(now, x, list, req, s, o.Pool); err != nil {
		return nil, err
	}
	if req.Rendezvous {
		return nil, withHint(fmt.Errorf("ca: %q is a rendezvous server, which cannot be invited", o.Name), "issue its certificate: campagnol ca issue %s --rdv --renew", o.Name)
	}
	if !slices.ContainsFunc(req.Addrs, s.Network.Contains) {
		return nil, fmt.Errorf("ca: none of the addresses of %q is in the VPN's network %v", o.Name, s.Network)
	}
	for _, a := range req.Addrs {
		if a == s.Network.Addr() || a == lastAddr(s.Network) || a == s.Network6.Addr() {
			return nil, fmt.Errorf("ca: %v stands for the network or its broadcast, and cannot be the address of a host", a)
		}
	}
	return req, c.conflicts(now, x, req)
}

// complete gives a host the addresses that it lacks: one, and with an IPv6 network one
// of each.
func (c *CA) complete(now time.Time, x *index, list []*Invitation, req *Request, s Settings, pool netip.Prefix) error {
	if req.Rendezvous {
		return nil
	}
	lacks := func(n netip.Prefix) bool { return n.IsValid() && !slices.ContainsFunc(req.Addrs, n.Contains) }
	if len(req.Addrs) == 0 || lacks(s.Network) && !slices.ContainsFunc(req.Addrs, netip.Addr.Is4) {
		a, err := c.freeAddr(now, x, list, s.Network, pool)
		if err != nil {
			return err
		}
		req.Addrs = append([]netip.Addr{a}, req.Addrs...)
	}
	if lacks(s.Network6) {
		a, err := c.freeAddr(now, x, list, s.Network6, s.Network6)
		if err != nil {
			return err
		}
		req.Addrs = append(slices.Clip(req.Addrs), a)
	}
	return nil
}

// freeAddr returns the lowest address of the pool that is in no certificate and in
// no open invitation. Only when there is none left, those in certificates that
// have expired or were revoked are free as well: a host may come back.
func (c *CA) freeAddr(now time.Time, x *index, list []*Invitation, network, pool netip.Prefix) (netip.Addr, error) {
	held, known := map[netip.Addr]bool{network.Addr(): true, lastAddr(network): true}, map[netip.Addr]bool{}
	for _, i := range list {
		if i.State(now) == InvitationOpen {
			for _, a := range i.Addrs {
				held[a] = true
			}
		}
	}
	for _, r := range x.records() {
		if cert := c.stored(r); cert != nil {
			for _, a := range addrsOf(cert) {
				known[a] = true
				held[a] = held[a] || r.valid(now)
			}
		}
	}
	var second netip.Addr
	for a := pool.Addr(); pool.Contains(a); a = a.Next() {
		switch {
		case held[a]:
		case !known[a]:
			return a, nil
		case !second.IsValid():
			second = a
		}
	}
	if second.IsValid() {
		return second, nil
	}
	return netip.Addr{}, withHint(fmt.Errorf("ca: there is no free address in %v", pool),
		"withdraw invitations (campagnol ca invitations), revoke certificates that nobody needs, or say which address with --ip")
}

// lastAddr returns the last address of an IPv4 network, that of its broadcast. IPv6
// has none: the zero Addr.
func lastAddr(n netip.Prefix) netip.Addr {
	if !n.Addr().Is4() {
		return netip.Addr{}
	}
	b := n.Masked().Addr().As4()
	for i := n.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
