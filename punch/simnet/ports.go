package simnet

import "net/netip"

// create makes a mapping with key k for packets to remote. It returns nil if
// the table is full or no port is free.
func (x *box) create(now int64, k mappingKey, remote netip.AddrPort) *mapping {
	if limit := x.cfg.MaxMappings; limit > 0 && x.count >= limit {
		x.expire(now)
		if x.count >= limit {
			return nil
		}
	}
	port, ok := x.choose(now, k, remote)
	if !ok {
		return nil
	}
	x.born[k]++
	m := &mapping{mappingKey: k, port: port}
	x.insert(m)
	return m
}

// choose returns the public port of a new mapping.
func (x *box) choose(now int64, k mappingKey, remote netip.AddrPort) (uint16, bool) {
	free := func(port uint16) bool { return x.free(now, port, remote) }
	switch x.cfg.Ports {
	case Preserving, Overloading:
		if p := k.inside.Port(); p >= x.cfg.FirstPort && p <= x.cfg.LastPort && free(p) {
			return p, true
		}
	case Sequential:
		p, ok := x.scan(x.after(x.cursor), free)
		if ok {
			x.cursor = p
		}
		return p, ok
	}
	h := mixEndpoint(mixEndpoint(mix(x.net.base, x.key), k.inside), k.remote)
	return x.scan(x.pick(mix(h, 1+x.born[k])), free)
}

// free reports whether a new mapping for packets to remote may have port.
// Mappings that have ended make room.
func (x *box) free(now int64, port uint16, remote netip.AddrPort) bool {
	for _, m := range x.byPort[port] {
		switch {
		case !x.alive(now, m):
			x.remove(m)
		case m.static || x.cfg.Ports != Overloading:
			return false
		case m.remote == remote:
			return false
		}
	}
	return true
}

// scan returns the first port that is free, from first on, round the range.
func (x *box) scan(first uint16, free func(uint16) bool) (uint16, bool) {
	p := first
	for {
		if free(p) {
			return p, true
		}
		if p = x.after(p); p == first {
			return 0, false
		}
	}
}

// after returns the port after p in the range.
func (x *box) after(p uint16) uint16 {
	if p < x.cfg.FirstPort || p >= x.cfg.LastPort {
		return x.cfg.FirstPort
	}
	return p + 1
}

// pick turns a hash into a port of the range.
func (x *box) pick(h uint64) uint16 {
	count := uint64(x.cfg.LastPort-x.cfg.FirstPort) + 1
	return x.cfg.FirstPort + uint16(h%count)
}
