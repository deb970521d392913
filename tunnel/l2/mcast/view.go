package mcast

import (
	"net/netip"
	"slices"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A View says where packets from our TAP go. It is immutable, and safe for
// concurrent use.
type View struct {
	shards [shards]map[key]*ways
	// routers are where packets go that nobody has joined, by VLAN, for IPv4 and
	// IPv6; others is for the VLANs that are not in it.
	routers map[uint16]*[2]plain
	others  [2]plain
}

// shards is the number of parts that are copied one by one when a group changes.
const shards = 256

// plain is where packets go that nobody has joined.
type plain struct {
	ports []uint32
	flood bool
}

// ways are where the packets of a group go.
type ways struct {
	any     []uint32 // from sources that are not named
	sources map[netip.Addr][]uint32
}

// maxViewSources bounds the sources of one group that are told apart. With more of
// them, who wants any gets all.
const maxViewSources = 256

// shardOf spreads groups over the parts of a view. Neighbouring groups are in
// different ones.
func shardOf(k key) uint8 {
	b := k.group.As16()
	return b[15] ^ b[14]*31 ^ b[13]*17 ^ uint8(k.vid) ^ uint8(k.vid>>8)*7
}

// Ports returns to which peers a packet goes that came from the TAP, in a VLAN, for
// a group and from a source: to each of ports once, or to all that there are. ports
// must not be changed. It allocates nothing.
func (v *View) Ports(vid uint16, group, source netip.Addr) (ports []uint32, flood bool) {
	scope := gmp.ScopeOf(group)
	switch scope {
	case gmp.Always:
		return nil, true
	case gmp.Never:
		return nil, false
	}
	k := key{vid, group}
	if w := v.shards[shardOf(k)][k]; w != nil {
		if w.sources != nil {
			if ports, ok := w.sources[source]; ok {
				return ports, false
			}
		}
		return w.any, false
	}
	if scope == gmp.Link {
		// The link does not work without them, as neighbours are found by them:
		// that nobody has reported one says too little.
		return nil, true
	}
	p := &v.others
	if r := v.routers[vid]; r != nil {
		p = r
	}
	side := &p[1]
	if group.Is4() {
		side = &p[0]
	}
	return side.ports, side.flood
}

// views makes views.
type views struct {
	view  *View
	all   bool // everything has changed
	dirty map[key]struct{}
}

// touch says that where a group goes has changed.
func (v *views) touch(k key) {
	if v.dirty == nil {
		v.dirty = map[key]struct{}{}
	}
	v.dirty[k] = struct{}{}
}

// View returns the present view: the one before, if nothing has changed.
func (s *Snooper) View() *View {
	v := &s.views
	switch {
	case v.all:
		v.view = s.newView()
	case len(v.dirty) > 0:
		next := *v.view
		copied := map[uint8]bool{}
		for k := range v.dirty {
			i := shardOf(k)
			if !copied[i] {
				copied[i] = true
				next.shards[i] = cloneShard(next.shards[i])
			}
			if w := s.ways(k); w != nil {
				next.shards[i][k] = w
			} else {
				delete(next.shards[i], k)
			}
		}
		v.view = &next
	}
	v.all = false
	clear(v.dirty)
	return v.view
}

func cloneShard(m map[key]*ways) map[key]*ways {
	out := make(map[key]*ways, len(m)+1)
	for k, w := range m {
		out[k] = w
	}
	return out
}

// newView makes a view from nothing.
func (s *Snooper) newView() *View {
	v := &View{routers: map[uint16]*[2]plain{}}
	for f := range v.others {
		v.others[f] = s.plain(allVLANs, uint8(1<<f))
	}
	for _, l := range s.links {
		for vid := range l.theirR {
			if vid != allVLANs && v.routers[vid] == nil {
				v.routers[vid] = &[2]plain{s.plain(vid, family4), s.plain(vid, family6)}
			}
		}
	}
	for k := range s.mesh {
		w := s.ways(k)
		if w == nil {
			continue
		}
		i := shardOf(k)
		if v.shards[i] == nil {
			v.shards[i] = map[key]*ways{}
		}
		v.shards[i][k] = w
	}
	return v
}

// plain returns where packets go that nobody has joined.
func (s *Snooper) plain(vid uint16, f uint8) plain {
	if s.cfg.Unregistered == Flood {
		return plain{flood: true}
	}
	var out []uint32
	for _, l := range s.links {
		if l.inDoubt(s.now) || s.cfg.Unregistered == Routers && l.routes(vid, f) {
			out = append(out, l.port)
		}
	}
	slices.Sort(out)
	return plain{ports: out}
}

// routes reports whether there are routers behind the peer.
func (l *link) routes(vid uint16, f uint8) bool {
	for _, id := range [...]uint16{vid, allVLANs} {
		if r := l.theirR[id]; r != nil && r.families&f != 0 {
			return true
		}
	}
	return false
}

// ways returns where the packets of a group go, or nil if nobody has joined it.
func (s *Snooper) ways(k key) *ways {
	m := s.mesh[k]
	if m == nil || len(m.members) == 0 {
		return nil
	}
	// Those that get it in any case: routers (RFC 4541 section 2.1.2, rule 1), and
	// those of whom we do not know what they want.
	var always []uint32
	for _, l := range s.links {
		if l.inDoubt(s.now) || l.routes(k.vid, family(k.group)) {
			always = append(always, l.port)
		}
	}
	slices.Sort(always)
	var named []netip.Addr
	for _, x := range m.members {
		named = append(named, x.sources...)
	}
	named = normal(named)
	to := func(wants func(want) bool) []uint32 {
		out := slices.Clone(always)
		for _, x := range m.members {
			if wants(x.want) {
				out = append(out, x.port)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	if len(named) > maxViewSources {
		return &ways{any: to(func(want) bool { return true })}
	}
	w := &ways{any: to(func(x want) bool { return x.mode == exclude })}
	if len(named) > 0 {
		w.sources = make(map[netip.Addr][]uint32, len(named))
		for _, a := range named {
			w.sources[a] = to(func(x want) bool { return x.takes(a) })
		}
	}
	return w
}
