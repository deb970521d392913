package simnet

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// A Host is a computer: it has addresses at one site, and sockets.
type Host struct {
	net     *Net
	key     uint64
	site    *Site
	addrs   []netip.Addr
	sockets map[netip.AddrPort]*Conn // by what they are bound to
	opened  map[netip.AddrPort]int   // how many sockets were bound to it
	out, in link
}

// Host returns a new host with the given addresses, of either family or both.
// For each family, the first is what it sends from, unless told otherwise.
func (s *Site) Host(addrs ...string) *Host {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	return s.newHost(parseAddrs(addrs))
}

func (s *Site) newHost(addrs []netip.Addr) *Host {
	key := s.newKey(addrs[0].String())
	h := &Host{
		net:     s.net,
		key:     key,
		sockets: map[netip.AddrPort]*Conn{},
		opened:  map[netip.AddrPort]int{},
	}
	h.out.key = mix(key, 2)
	h.out.set(Link{}, false)
	h.in.key = mix(key, 3)
	h.in.set(Link{}, false)
	h.settle(s, addrs)
	return h
}

// parseAddrs parses the addresses of a host, and panics if they are none.
func parseAddrs(addrs []string) []netip.Addr {
	if len(addrs) == 0 {
		check(fmt.Errorf("a host needs an address"))
	}
	var out []netip.Addr
	for _, a := range addrs {
		addr := must(parseAddr(a))
		if addr.IsUnspecified() || addr.IsMulticast() {
			check(fmt.Errorf("a host cannot have the address %v", addr))
		}
		out = append(out, addr)
	}
	return out
}

// settle gives h addresses at s.
func (h *Host) settle(s *Site, addrs []netip.Addr) {
	h.site, h.addrs = s, addrs
	for _, a := range addrs {
		check(s.attach(h, a))
	}
}

// Move takes h to site, with new addresses for the old ones; it may be the
// site where it is. A socket that is bound to an unspecified address moves
// along. One bound to an address that h loses is deaf, and its Send returns an
// error, as a kernel's.
func (h *Host) Move(site *Site, addrs ...string) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	parsed := parseAddrs(addrs)
	for _, a := range h.addrs {
		h.site.detach(a)
	}
	h.settle(site, parsed)
}

// Site returns where h is.
func (h *Host) Site() *Site {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.site
}

// Addrs returns the addresses of h.
func (h *Host) Addrs() []netip.Addr {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return slices.Clone(h.addrs)
}

// SetLinks sets the links between h and its site: out for what h sends, and in
// for what it receives.
func (h *Host) SetLinks(out, in Link) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.out.set(out, false)
	h.in.set(in, false)
}

// SetDown pulls the cable of h, or plugs it in again. Send does not notice.
func (h *Host) SetDown(down bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.out.down, h.in.down = down, down
}

// The ports that sockets bound to port 0 get, as on Linux.
const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// Listen returns a new socket of h bound to addr. Its address may be
// unspecified, 0.0.0.0 or ::, for all of h's addresses of that family, and its
// port 0, for any that is free. The errors wrap syscall.EADDRINUSE and
// syscall.EADDRNOTAVAIL, as a kernel's.
func (h *Host) Listen(addr netip.AddrPort) (*Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.listen(addr)
}

// ListenDual returns a new socket of h for all its addresses of both families, as one
// of IPv6 is without IPV6_V6ONLY. Its LocalAddr is [::]:port; port may be 0.
func (h *Host) ListenDual(port uint16) (*Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	all4, all6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if port == 0 {
		port = h.ephemeral(all6)
	}
	if h.taken(netip.AddrPortFrom(all4, port)) {
		return nil, fmt.Errorf("simnet: listen on both families: another socket has port %d: %w", port, syscall.EADDRINUSE)
	}
	c, err := h.listen(netip.AddrPortFrom(all6, port))
	if err != nil {
		return nil, err
	}
	c.dual = true
	h.sockets[c.twin()] = c
	return c, nil
}

// Listen returns a socket bound to addr, like "192.168.1.2:5000", of the host
// that has this address at s, which is made if there is none. It panics if it
// cannot.
func (s *Site) Listen(addr string) *Conn {
	ap := must(netip.ParseAddrPort(addr))
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	h := s.places[ap.Addr().Unmap()].host
	if h == nil {
		h = s.newHost(parseAddrs([]string{ap.Addr().String()}))
	}
	return must(h.listen(ap))
}

// listen is Listen with the lock held.
func (h *Host) listen(addr netip.AddrPort) (*Conn, error) {
	ip := addr.Addr().Unmap()
	if !ip.IsValid() {
		return nil, fmt.Errorf("simnet: listen: %v is not an address; use 0.0.0.0 or :: for all of a family", addr)
	}
	if !ip.IsUnspecified() && !slices.Contains(h.addrs, ip) {
		return nil, fmt.Errorf("simnet: listen on %v: the host has the addresses %v: %w", addr, h.addrs, syscall.EADDRNOTAVAIL)
	}
	port := addr.Port()
	if port == 0 {
		port = h.ephemeral(ip)
	}
	addr = netip.AddrPortFrom(ip, port)
	if port == 0 || h.taken(addr) {
		return nil, fmt.Errorf("simnet: listen on %v: another socket has the port: %w", addr, syscall.EADDRINUSE)
	}
	c := newConn(h, addr, mix(mixEndpoint(h.key, addr), uint64(h.opened[addr])))
	h.opened[addr]++
	h.sockets[addr] = c
	return c, nil
}

// taken reports whether a socket cannot be bound to addr because of another.
func (h *Host) taken(addr netip.AddrPort) bool {
	for bound := range h.sockets {
		if bound.Port() == addr.Port() && bound.Addr().BitLen() == addr.Addr().BitLen() &&
			(bound.Addr() == addr.Addr() || bound.Addr().IsUnspecified() || addr.Addr().IsUnspecified()) {
			return true
		}
	}
	return false
}

// ephemeral returns a free port, or 0. Which one depends on how often h was
// asked for one.
func (h *Host) ephemeral(ip netip.Addr) uint16 {
	const count = lastEphemeral - firstEphemeral + 1
	zero := netip.AddrPortFrom(ip, 0)
	first := mix(mixEndpoint(h.key, zero), uint64(h.opened[zero]))
	h.opened[zero]++
	for i := range uint64(count) {
		port := uint16(firstEphemeral + (first%count+i)%count)
		if !h.taken(netip.AddrPortFrom(ip, port)) {
			return port
		}
	}
	return 0
}

// socket returns the socket of h for what comes to dst, or nil.
func (h *Host) socket(dst netip.AddrPort) *Conn {
	if c := h.sockets[dst]; c != nil {
		return c
	}
	wildcard := netip.IPv4Unspecified()
	if dst.Addr().Is6() {
		wildcard = netip.IPv6Unspecified()
	}
	return h.sockets[netip.AddrPortFrom(wildcard, dst.Port())]
}

// first returns the first address of h in the family of like, or the zero
// Addr.
func (h *Host) first(like netip.Addr) netip.Addr {
	for _, a := range h.addrs {
		if a.BitLen() == like.BitLen() {
			return a
		}
	}
	return netip.Addr{}
}
