package simnet

import (
	"fmt"
	"net/netip"
	"time"

	"campagnol/punch/nat"
)

// What a NAT does, in words that simnet shares with what describes real ones.
type (
	Dependence = nat.Dependence
	PortChoice = nat.PortChoice // where a choice leaves it open, a hash decides
	Hairpin    = nat.Hairpin
)

// The values of these.
const (
	EndpointIndependent     = nat.EndpointIndependent
	AddressDependent        = nat.AddressDependent
	AddressAndPortDependent = nat.AddressAndPortDependent

	Preserving  = nat.Preserving
	Sequential  = nat.Sequential
	Random      = nat.Random
	Overloading = nat.Overloading

	NoHairpinning  = nat.NoHairpinning
	ExternalSource = nat.ExternalSource
	InternalSource = nat.InternalSource
)

// A NAT describes a NAT, in the terms of RFC 4787. The zero NAT is a full cone
// that preserves ports and does not hairpin.
type NAT struct {
	Mapping   Dependence // who shares a public port
	Filtering Dependence // who may send to it
	Ports     PortChoice // which port it is
	Hairpin   Hairpin

	// Lifetime is how long a mapping lives after it was last used. What it
	// admits is forgotten after the same time, each remote endpoint or
	// address for itself. 0 means 30 s, which is less than REQ-5 demands and
	// what some NATs do.
	Lifetime time.Duration
	// RefreshInbound makes packets from outside a use, too. Those from inside
	// always are (REQ-6).
	RefreshInbound bool

	// FirstPort and LastPort are the range of public ports; 0 means 1024 and
	// 65535. A private port outside it cannot be preserved.
	FirstPort, LastPort uint16
	// MaxMappings is how many mappings there may be; 0 means as many as ports
	// allow. When the table is full, new flows are dropped.
	MaxMappings int
}

// Grid returns every combination of mapping, filtering, choice of ports and
// hairpinning, for tests that must hold behind any NAT.
func Grid() []NAT {
	var all []NAT
	for m := EndpointIndependent; m <= AddressAndPortDependent; m++ {
		for f := EndpointIndependent; f <= AddressAndPortDependent; f++ {
			for p := Preserving; p <= Overloading; p++ {
				for h := NoHairpinning; h <= InternalSource; h++ {
					all = append(all, NAT{Mapping: m, Filtering: f, Ports: p, Hairpin: h})
				}
			}
		}
	}
	return all
}

// String returns the behaviour in words, for the name of a test.
func (c NAT) String() string {
	return fmt.Sprintf("%v mapping, %v filtering, %v ports, %v", c.Mapping, c.Filtering, c.Ports, c.Hairpin)
}

const defaultLifetime = 30 * time.Second

// check returns what is wrong with a NAT that has the given public address.
func (c NAT) check(public netip.Addr) error {
	type fields NAT // shown one by one
	switch {
	case !public.Is4():
		return fmt.Errorf("a NAT has an IPv4 address, not %v (Routed makes a site without NAT)", public)
	case c.Mapping > AddressAndPortDependent, c.Filtering > AddressAndPortDependent,
		c.Ports > Overloading, c.Hairpin > InternalSource:
		return fmt.Errorf("NAT of %v: no such behaviour: %+v", public, fields(c))
	case c.Lifetime < 0, c.MaxMappings < 0, c.LastPort != 0 && c.LastPort < c.FirstPort:
		return fmt.Errorf("NAT of %v: lifetime, limit or port range is not possible: %+v", public, fields(c))
	}
	return nil
}

// inTurn reports whether mappings depend on the order in which they are made,
// even those of one host.
func (c NAT) inTurn() bool {
	return c.Ports == Sequential || c.MaxMappings > 0 ||
		c.Ports == Preserving && c.Mapping != EndpointIndependent
}

// A mappingKey says which packets from inside share a mapping.
type mappingKey struct {
	inside netip.AddrPort
	remote netip.AddrPort // as much of it as the mapping depends on
}

// A mapping is a public port that leads inside.
type mapping struct {
	mappingKey
	port   uint16
	used   int64
	static bool // made by Site.Forward: does not end, admits all
	admits admission
}

// A box is a NAT at work. It is guarded by the lock of its Net.
type box struct {
	net      *Net
	key      uint64
	cfg      NAT
	public   netip.Addr
	lifetime int64

	byInside map[mappingKey]*mapping
	byPort   map[uint16][]*mapping // several only if overloading, the oldest first
	count    int
	cursor   uint16                // the last sequential port
	born     map[mappingKey]uint64 // how many mappings a key had
	fixed    map[uint16]*mapping   // made by forward; also in byPort
}

func newBox(n *Net, key uint64, cfg NAT, public netip.Addr) *box {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if cfg.FirstPort == 0 {
		cfg.FirstPort = 1024
	}
	if cfg.LastPort == 0 {
		cfg.LastPort = 65535
	}
	x := &box{
		net:      n,
		key:      key,
		cfg:      cfg,
		public:   public,
		lifetime: int64(cfg.Lifetime),
		born:     map[mappingKey]uint64{},
		fixed:    map[uint16]*mapping{},
	}
	x.cursor = x.pick(mix(mix(n.base, key), 0))
	x.reset()
	return x
}

// reset ends all mappings but the fixed ones.
func (x *box) reset() {
	x.byInside = map[mappingKey]*mapping{}
	x.byPort = map[uint16][]*mapping{}
	x.count = 0
	for _, m := range x.fixed {
		x.insert(m)
	}
}

func (x *box) insert(m *mapping) {
	x.byInside[m.mappingKey] = m
	x.byPort[m.port] = append(x.byPort[m.port], m)
	x.count++
}

func (x *box) remove(m *mapping) {
	delete(x.byInside, m.mappingKey)
	rest := x.byPort[m.port][:0:0]
	for _, o := range x.byPort[m.port] {
		if o != m {
			rest = append(rest, o)
		}
	}
	if x.byPort[m.port] = rest; len(rest) == 0 {
		delete(x.byPort, m.port)
	}
	x.count--
}

// alive reports whether m has not ended.
func (x *box) alive(now int64, m *mapping) bool {
	return m.static || now-m.used <= x.lifetime
}

// expire removes the mappings that have ended.
func (x *box) expire(now int64) {
	for _, m := range x.byInside {
		if !x.alive(now, m) {
			x.remove(m)
		}
	}
}

// keyOf returns the key of the mapping for packets from inside to remote.
func (x *box) keyOf(inside, remote netip.AddrPort) mappingKey {
	if x.cfg.Ports == Overloading {
		return mappingKey{inside, remote}
	}
	return mappingKey{inside, x.cfg.Mapping.Of(remote)}
}

// outbound returns the public endpoint from which a packet from inside goes on
// to remote, and false if there is none left.
func (x *box) outbound(now int64, inside, remote netip.AddrPort) (netip.AddrPort, bool) {
	m := x.byInside[mappingKey{inside: inside}]
	if m == nil || !m.static {
		k := x.keyOf(inside, remote)
		if m = x.byInside[k]; m != nil && !x.alive(now, m) {
			x.remove(m)
			m = nil
		}
		if m == nil {
			if m = x.create(now, k, remote); m == nil {
				return netip.AddrPort{}, false
			}
		}
	}
	m.used = now
	m.admits.add(now, x.cfg.Filtering.Of(remote))
	return netip.AddrPortFrom(x.public, m.port), true
}

// inbound returns where inside a packet goes that remote sent to a public port;
// or why it does not go anywhere, if that is not Translated.
func (x *box) inbound(now int64, remote netip.AddrPort, port uint16) (netip.AddrPort, Verdict) {
	verdict := NoMapping
	var to *mapping
	for _, m := range x.byPort[port] {
		if !x.alive(now, m) {
			continue
		}
		verdict = Refused
		if m.static || m.admits.has(now, x.lifetime, x.cfg.Filtering.Of(remote)) {
			if to == nil || x.cfg.Ports == Overloading && m.remote == remote {
				to = m
			}
		}
	}
	if to == nil {
		return netip.AddrPort{}, verdict
	}
	if x.cfg.RefreshInbound {
		to.used = now
		to.admits.refresh(now, x.cfg.Filtering.Of(remote))
	}
	return to.inside, Translated
}

// forward implements Site.Forward.
func (x *box) forward(port uint16, to netip.AddrPort) {
	for _, m := range x.byPort[port] {
		x.remove(m)
	}
	delete(x.fixed, port)
	if !to.IsValid() {
		return
	}
	m := &mapping{mappingKey: mappingKey{inside: to}, port: port, static: true}
	if old := x.byInside[m.mappingKey]; old != nil {
		x.remove(old)
		delete(x.fixed, old.port)
	}
	x.fixed[port] = m
	x.insert(m)
}
