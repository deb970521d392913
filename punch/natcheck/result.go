package natcheck

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/nat"
)

// A Result is what a check has found out.
type Result struct {
	nat.Behaviour

	// What was tried; else the Behaviour has the worse.
	MappingKnown, FilteringKnown, PortsKnown, HairpinKnown bool

	Servers []Server         // that were asked, in order
	Public  []netip.AddrPort // endpoints of the primary socket, each once
	Fresh   []Pair           // of the fresh sockets that were answered
}

// A Server is what came of asking one.
type Server struct {
	Addr     netip.AddrPort
	Answered bool
	RTT      time.Duration  // of the request that was answered
	Public   netip.AddrPort // where it sees the primary socket
	Software string
	Places   int // 2: it has a second address and port; 1: a second port; 0: neither
}

// A Pair is a local port, and the public endpoint that it got.
type Pair struct {
	Local  uint16
	Public netip.AddrPort
}

// Result returns what is known by now.
func (c *Check) Result() Result {
	r := Result{}
	for _, x := range c.asked {
		s := Server{Addr: x.to, Answered: x.answered, RTT: x.rtt, Public: x.answer.Mapped, Software: x.answer.Software}
		if s.Answered {
			s.Places = places(x)
		}
		r.Servers = append(r.Servers, s)
	}
	for _, x := range append(slices.Clone(c.asked), c.byPort, c.byAddr) {
		if x != nil && x.answered && !slices.Contains(r.Public, x.answer.Mapped) {
			r.Public = append(r.Public, x.answer.Mapped)
		}
	}
	for _, x := range c.answeredFresh() {
		r.Fresh = append(r.Fresh, Pair{Local: c.cfg.Ports[x.socket], Public: x.answer.Mapped})
	}
	if c.main == nil {
		r.Known = c.Done() && !c.cfg.Reached && len(c.asked) > 0
		r.Blocked = r.Known
		return r
	}
	r.Known = true
	r.Translated = c.translated()
	c.mapping(&r)
	c.filtering(&r)
	if r.Translated {
		c.ports(&r)
		r.HairpinKnown = len(c.hairpins) > 0
		r.Hairpin = slices.ContainsFunc(c.hairpins, func(x *exchange) bool { return x.answered })
	}
	return r
}

// translated reports whether main sees the primary elsewhere than it is.
func (c *Check) translated() bool {
	p := c.main.answer.Mapped
	return !slices.Contains(c.cfg.HostAddrs, p.Addr()) || len(c.cfg.Ports) > 0 && c.cfg.Ports[0] != p.Port()
}

// mapping compares what the places of main, and other servers, see of the primary.
func (c *Check) mapping(r *Result) {
	here := c.main.answer.Mapped
	differs := func(x *exchange) bool { return x.answer.Mapped != here }
	port := c.byPort != nil && c.byPort.answered
	elsewhere := c.elsewhere()
	r.MappingKnown = true
	switch {
	case !r.Translated:
		r.Mapping, r.MappingExact = nat.EndpointIndependent, true
	case port && differs(c.byPort):
		r.Mapping, r.MappingExact = nat.AddressAndPortDependent, true
	case len(elsewhere) > 0 && !slices.ContainsFunc(elsewhere, differs):
		// The servers may differ in the port as well; what does not change
		// with both depends on neither.
		r.Mapping, r.MappingExact = nat.EndpointIndependent, true
	case len(elsewhere) > 0:
		r.Mapping, r.MappingExact = nat.AddressAndPortDependent, false
		if port {
			r.Mapping, r.MappingExact = nat.AddressDependent, true
		}
	case port:
		r.Mapping = nat.AddressDependent
	default: // nothing to compare with
		r.Mapping, r.MappingKnown = nat.AddressDependent, false
	}
}

// elsewhere returns the answers to the primary from other addresses than main's.
func (c *Check) elsewhere() (list []*exchange) {
	for _, x := range append(slices.Clone(c.asked), c.byAddr) {
		if x != nil && x.answered && x.to.Addr() != c.main.to.Addr() {
			list = append(list, x)
		}
	}
	return list
}

// filtering looks at which answers from elsewhere were let in.
func (c *Check) filtering(r *Result) {
	r.Filtering = nat.AddressAndPortDependent
	if c.filterPort == nil {
		return
	}
	r.FilteringKnown = true
	switch {
	case c.filterBoth != nil && c.filterBoth.answered:
		r.Filtering, r.FilteringExact = nat.EndpointIndependent, true
	case c.filterPort.answered:
		r.Filtering, r.FilteringExact = nat.AddressDependent, c.filterBoth != nil
	default:
		r.FilteringExact = true
	}
}

// maxStep is the longest step between two ports that counts as one after the other:
// other hosts behind the NAT take some in between.
const maxStep = 32

// ports looks at the ports that fresh sockets got. Without them, those of the primary
// have to do: towards each place of a server there may be one.
func (c *Check) ports(r *Result) {
	pairs := r.Fresh
	if len(pairs) < 2 && len(c.cfg.Ports) > 0 {
		pairs = nil
		for _, a := range r.Public {
			pairs = append(pairs, Pair{Local: c.cfg.Ports[0], Public: a})
		}
	}
	r.Ports = nat.Random
	kept := 0
	for _, p := range pairs {
		if p.Local == p.Public.Port() {
			kept++
		}
	}
	step := stepOf(pairs)
	switch {
	case len(pairs) > 0 && (kept == len(pairs) || kept > 2 && kept == len(pairs)-1):
		// One may have been another host's already.
		r.Ports, r.PortsKnown = nat.Preserving, true
	case step != 0:
		r.Ports, r.Step, r.PortsKnown = nat.Sequential, step, true
	default:
		r.PortsKnown = len(pairs) > 2
	}
}

// stepOf returns the step from one port to the next, or 0 if there is none.
func stepOf(pairs []Pair) int8 {
	if len(pairs) < 3 {
		return 0 // two ports may be close by chance
	}
	step := 0
	for i, p := range pairs[1:] {
		d := int(int16(p.Public.Port() - pairs[i].Public.Port()))
		switch {
		case d == 0, d > maxStep, d < -maxStep, d > 0 != (step > 0) && step != 0:
			return 0
		case step == 0, max(d, -d) < max(step, -step):
			step = d
		}
	}
	return int8(step)
}
