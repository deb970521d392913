package simnet

import (
	"net/netip"
	"time"

	"campagnol/punch"
)

// A Behaviour is how a host's way to the Internet looks from inside, found by
// sending from it and listening for it.
type Behaviour struct {
	Blocked    bool // nothing gets out; the rest means nothing
	Translated bool // the source address changes on the way

	Mapping   Dependence // EndpointIndependent if Ports is Overloading
	Filtering Dependence
	Ports     PortChoice
	// Hairpin is what became of packets between two sockets of the host that
	// were sent to their public endpoints. If both mapping and filtering
	// depend on the endpoint, nothing ever comes back, whatever the NAT wants.
	Hairpin Hairpin
}

const (
	// settle is how long a classification waits for datagrams to arrive.
	settle = time.Second
	// probes is how many sockets show how ports are chosen: enough that random
	// ones do not look sequential.
	probes = 4
)

// A probe is the state of a classification.
type probe struct {
	host    *Host
	servers [2]*Host    // with an address each
	at      [2][2]*Conn // their sockets: address, port
	opened  []*Conn
}

// Classify finds out how what lies between h and the Internet behaves, by
// sending from h and to it: the RFC 5780 tests, with servers of its own. It
// takes some seconds of the bubble's time, and gives up where packets are lost.
// Call it before h's links are made unreliable, and not while what it looks at
// changes. It leaves mappings behind.
func (h *Host) Classify() Behaviour {
	p := &probe{host: h}
	defer p.close()
	for i := range p.servers {
		p.servers[i] = h.net.internet.spare(netip.MustParseAddr("192.0.2.200"))
		for j := range p.at[i] {
			p.at[i][j] = p.listen(p.servers[i], uint16(3478+j))
		}
	}
	var b Behaviour
	first := p.listen(h, 0)
	public := p.publicOf(first, p.at[0][0])
	if !public.IsValid() {
		b.Blocked = true
		return b
	}
	b.Translated = public.Addr() != h.first(public.Addr())
	b.Filtering = p.filtering(first, public)
	if b.Translated {
		b.Mapping = p.mapping()
		b.Ports = p.ports()
		b.Hairpin = p.hairpin()
	}
	return b
}

// spare returns a new host at s with an address that is free, from first on.
func (s *Site) spare(first netip.Addr) *Host {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for s.canClaim(first) != nil {
		first = first.Next()
	}
	return s.newHost([]netip.Addr{first})
}

// listen opens an IPv4 socket of h.
func (p *probe) listen(h *Host, port uint16) *Conn {
	c := must(h.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port)))
	p.opened = append(p.opened, c)
	return c
}

// close removes what the classification added to the network.
func (p *probe) close() {
	for _, c := range p.opened {
		c.Close()
	}
	for _, s := range p.servers {
		s.remove()
	}
}

// remove takes h away for good.
func (h *Host) remove() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, a := range h.addrs {
		h.site.detach(a)
	}
	h.addrs = nil
}

// endpoint returns where c is reached by its neighbours.
func endpoint(c *Conn) netip.AddrPort {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return netip.AddrPortFrom(c.host.first(netip.IPv4Unspecified()), c.bound.Port())
}

// send sends one datagram. What the network does to it shows at its end.
func (p *probe) send(from *Conn, to netip.AddrPort) {
	_ = from.Send([]punch.Datagram{{Addr: to, Data: []byte("classify")}})
}

// sources empties the queue of c and returns who is in it.
func sources(c *Conn) []netip.AddrPort {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	var from []netip.AddrPort
	for _, a := range c.queue[c.head:] {
		from = append(from, a.from)
	}
	c.head = len(c.queue)
	return from
}

// publicOf returns the endpoint from which server sees c, or the zero AddrPort
// if it does not.
func (p *probe) publicOf(c, server *Conn) netip.AddrPort {
	p.send(c, endpoint(server))
	time.Sleep(settle)
	if from := sources(server); len(from) > 0 {
		return from[0]
	}
	return netip.AddrPort{}
}

// mapping compares what three servers see of one socket.
func (p *probe) mapping() Dependence {
	c := p.listen(p.host, 0)
	here := p.publicOf(c, p.at[0][0])
	otherPort := p.publicOf(c, p.at[0][1])
	otherAddr := p.publicOf(c, p.at[1][0])
	switch here {
	case otherAddr:
		return EndpointIndependent
	case otherPort:
		return AddressDependent
	}
	return AddressAndPortDependent
}

// filtering sends to a socket, which has sent to one server only, from others.
func (p *probe) filtering(c *Conn, public netip.AddrPort) Dependence {
	p.send(p.at[0][1], public)
	p.send(p.at[1][0], public)
	time.Sleep(settle)
	found := AddressAndPortDependent
	for _, from := range sources(c) {
		switch from {
		case endpoint(p.at[1][0]):
			return EndpointIndependent
		case endpoint(p.at[0][1]):
			found = AddressDependent
		}
	}
	return found
}

// ports looks at the ports of several sockets, and of a neighbour's socket at
// the same port as one of them.
func (p *probe) ports() PortChoice {
	var own, seen []uint16
	for range probes {
		c := p.listen(p.host, 0)
		own = append(own, c.bound.Port())
		seen = append(seen, p.publicOf(c, p.at[0][0]).Port())
	}
	same, rising := true, true
	for i := range seen {
		same = same && seen[i] == own[i]
		rising = rising && (i == 0 || seen[i] == seen[i-1]+1)
	}
	switch {
	case rising && !same:
		return Sequential
	case !same:
		return Random
	}
	twin := p.host.Site().spare(p.host.first(netip.IPv4Unspecified()))
	defer twin.remove()
	c := p.listen(twin, own[0])
	if p.publicOf(c, p.at[1][1]).Port() == own[0] {
		return Overloading
	}
	return Preserving
}

// hairpin makes two sockets send to each other's public endpoint, several times
// so that each has sent before it gets something.
func (p *probe) hairpin() Hairpin {
	a, b := p.listen(p.host, 0), p.listen(p.host, 0)
	publicA, publicB := p.publicOf(a, p.at[0][0]), p.publicOf(b, p.at[0][0])
	found := NoHairpinning
	for range 3 {
		p.send(a, publicB)
		time.Sleep(settle)
		p.send(b, publicA)
		time.Sleep(settle)
		for _, from := range append(sources(a), sources(b)...) {
			found = ExternalSource
			if from == endpoint(a) || from == endpoint(b) {
				return InternalSource
			}
		}
	}
	return found
}
