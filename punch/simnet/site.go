package simnet

import (
	"fmt"
	"net/netip"
)

// A Site is a network that hosts are in: the Internet, or a private network
// that is connected to its parent by a gate.
type Site struct {
	net    *Net
	parent *Site // nil for the Internet
	name   string
	key    uint64

	places map[netip.Addr]place // where the addresses that are known here lead
	made   map[string]int       // how many hosts and sites of a name were made
	medium link                 // between hosts, gates and the children's gates

	// The gate to the parent.
	nat      *box      // nil: addresses pass as they are
	fire     *firewall // for what nat does not translate; nil: open
	out, in  link
	blocked  bool
	broken4  bool // IPv4 vanishes
	broken6  bool // and IPv6
	children []*Site
}

// A place is where an address leads: to a host of the site or to the gate of a
// child.
type place struct {
	host *Host
	gate *Site
}

// newSite returns a site without gate. n.mu need not be held for the first.
func (n *Net) newSite(parent *Site, name string) *Site {
	s := &Site{
		net:    n,
		parent: parent,
		name:   name,
		places: map[netip.Addr]place{},
		made:   map[string]int{},
		key:    n.base,
	}
	if parent != nil {
		s.key = parent.newKey(name)
		parent.children = append(parent.children, s)
	}
	s.medium.key = mix(s.key, 1)
	s.medium.set(n.lan, true)
	s.out.key = mix(s.key, 2)
	s.out.set(Link{}, false)
	s.in.key = mix(s.key, 3)
	s.in.set(Link{}, false)
	return s
}

// newKey returns the key of a new host or site at s. It depends on what was
// made before at s, and on nothing else.
func (s *Site) newKey(name string) uint64 {
	key := mix(mixString(s.key, name), uint64(s.made[name]))
	s.made[name]++
	return key
}

// Behind returns a new site behind a NAT that has the IPv4 address public at s.
// The NAT translates IPv4; global IPv6 addresses of the site's hosts pass as
// they are. A site behind a site behind a NAT is behind two NATs, as with a
// provider that shares its addresses between customers (RFC 6888).
func (s *Site) Behind(public string, nat NAT) *Site {
	addr := must(parseAddr(public))
	check(nat.check(addr))
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	check(s.canClaim(addr))
	c := n.newSite(s, public)
	c.nat = newBox(n, c.key, nat, addr)
	s.places[addr] = place{gate: c}
	return c
}

// Routed returns a new site whose hosts have addresses, of both families, that
// s knows. What crosses the gate must pass fw. The name is for the trace, and
// no other site of s may have it.
func (s *Site) Routed(name string, fw Firewall) *Site {
	check(fw.check())
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range s.children {
		if c.name == name {
			check(fmt.Errorf("site %s has a site %q already", s.name, name))
		}
	}
	c := n.newSite(s, name)
	c.fire = newFirewall(fw)
	return c
}

// canClaim returns why addr cannot be given to something at s, or nil.
func (s *Site) canClaim(addr netip.Addr) error {
	if _, taken := s.places[addr]; taken {
		return fmt.Errorf("address %v is taken at site %s: give every host and every NAT of a site its own", addr, s.name)
	}
	return nil
}

// known returns the sites, other than s, that know an address of a host at s.
func (s *Site) known(addr netip.Addr) []*Site {
	global := addr.Is6() && addr.IsGlobalUnicast() && !addr.IsPrivate()
	var sites []*Site
	for ; s.parent != nil && (global || s.nat == nil && addr.Is4()); s = s.parent {
		sites = append(sites, s.parent)
	}
	return sites
}

// attach makes addr lead to h at s.
func (s *Site) attach(h *Host, addr netip.Addr) error {
	if err := s.canClaim(addr); err != nil {
		return err
	}
	above := s.known(addr)
	for _, p := range above {
		if err := p.canClaim(addr); err != nil {
			return err
		}
	}
	s.places[addr] = place{host: h}
	gate := s
	for _, p := range above {
		p.places[addr] = place{gate: gate}
		gate = p
	}
	return nil
}

// detach makes addr lead nowhere.
func (s *Site) detach(addr netip.Addr) {
	delete(s.places, addr)
	for _, p := range s.known(addr) {
		delete(p.places, addr)
	}
}

// closeSockets closes the sockets of all hosts of s and below.
func (s *Site) closeSockets() {
	for _, p := range s.places {
		if p.host == nil {
			continue
		}
		for _, c := range p.host.sockets {
			c.closeLocked()
		}
	}
	for _, c := range s.children {
		c.closeSockets()
	}
}

// change runs f with the lock held.
func (s *Site) change(f func()) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	f()
}

// gated panics if s is the Internet, which has no gate to do what with.
func (s *Site) gated(what string) {
	if s.parent == nil {
		check(fmt.Errorf("%s: the Internet has no gate", what))
	}
}

// translated panics if s has no NAT to do what with.
func (s *Site) translated(what string) {
	if s.nat == nil {
		check(fmt.Errorf("%s: site %s is not behind a NAT", what, s.name))
	}
}

// SetMedium sets what lies between the hosts of s, its gate and the gates of
// the sites in it. Every packet crosses one medium: that of the site where its
// way turns from up to down. The jitter of a medium is at least 10 µs.
func (s *Site) SetMedium(l Link) { s.change(func() { s.medium.set(l, true) }) }

// SetLinks sets the links between the gate of s and its parent: out for what
// leaves s, and in for what comes.
func (s *Site) SetLinks(out, in Link) {
	s.gated("SetLinks")
	s.change(func() {
		s.out.set(out, false)
		s.in.set(in, false)
	})
}

// SetDown cuts s off from its parent, or connects it again.
func (s *Site) SetDown(down bool) {
	s.gated("SetDown")
	s.change(func() { s.out.down, s.in.down = down, down })
}

// BlockUDP makes the gate of s drop everything, or not. All that simnet carries
// is UDP; a test that gives hosts another way to talk sees the difference.
func (s *Site) BlockUDP(block bool) {
	s.gated("BlockUDP")
	s.change(func() { s.blocked = block })
}

// SetBroken makes the gate of s drop all of IPv4, or of IPv6, or not: a family that
// is there by the look of the hosts' addresses, and leads nowhere.
func (s *Site) SetBroken(ip4, ip6 bool) {
	s.gated("SetBroken")
	s.change(func() { s.broken4, s.broken6 = ip4, ip6 })
}

// stops reports whether the gate of s drops what is for, or from, an address.
func (s *Site) stops(a netip.Addr) bool {
	if a.Is4() {
		return s.blocked || s.broken4
	}
	return s.blocked || s.broken6
}

// SetFirewall makes what crosses the gate of s untranslated pass fw, from now
// on and without memory of what passed before.
func (s *Site) SetFirewall(fw Firewall) {
	s.gated("SetFirewall")
	check(fw.check())
	s.change(func() { s.fire = newFirewall(fw) })
}

// Public returns the address of the site's NAT.
func (s *Site) Public() netip.Addr {
	s.translated("Public")
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return s.nat.public
}

// SetPublic changes the address of the site's NAT, as providers do at night.
// All mappings end.
func (s *Site) SetPublic(public string) {
	s.translated("SetPublic")
	addr := must(parseAddr(public))
	check(s.nat.cfg.check(addr))
	s.change(func() {
		check(s.parent.canClaim(addr))
		delete(s.parent.places, s.nat.public)
		s.parent.places[addr] = place{gate: s}
		s.nat.public, s.name = addr, public
		s.nat.reset()
	})
}

// Restart makes the NAT and the firewall of s forget everything but what
// [Site.Forward] said.
func (s *Site) Restart() {
	s.gated("Restart")
	s.change(func() {
		if s.nat != nil {
			s.nat.reset()
		}
		if s.fire != nil {
			s.fire = newFirewall(s.fire.cfg)
		}
	})
}

// Mappings returns how many mappings the NAT of s has.
func (s *Site) Mappings() int {
	s.translated("Mappings")
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.nat.expire(s.net.now())
	return s.nat.count
}

// Forward makes the NAT of s send everything that comes to a public port to a
// private address and port, as a user's settings or a port mapping protocol
// (RFC 6887) make it do, and use that port for what comes from there. It
// replaces an earlier forward of the port; the zero to ends it.
func (s *Site) Forward(public uint16, to netip.AddrPort) {
	s.translated("Forward")
	s.change(func() { s.nat.forward(public, to) })
}

// parseAddr parses an address without zone. IPv4 stays IPv4.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, err
	}
	if a.Zone() != "" {
		return a, fmt.Errorf("address %v: zones are not simulated", a)
	}
	return a.Unmap(), nil
}
