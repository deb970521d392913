package mcast

import (
	"net/netip"
	"slices"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A View says where packets from our TAP go. It is immutable, and safe for
// concurrent use.
type View struct {
	shards [shards]map[viewKey]*ways
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

// A viewKey is a key in a form that is quickly hashed: the group, and the VLAN.
type viewKey [18]byte

func (k key) view() viewKey {
	var out viewKey
	group := k.group.As16()
	copy(out[:], group[:])
	out[16], out[17] = byte(k.vid>>8), byte(k.vid)
	return out
}

// shard spreads groups over the parts of a view. Neighbouring groups are in different
// ones.
func (k *viewKey) shard() uint8 {
	return k[15] ^ k[14]*31 ^ k[13]*17 ^ k[17] ^ k[16]*7
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
	k := key{vid, group}.view()
	if w := v.shards[k.shard()][k]; w != nil {
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
		always := alwaysCache{}
		for k := range v.dirty {
			vk := k.view()
			i := vk.shard()
			if !copied[i] {
				copied[i] = true
				next.shards[i] = cloneShard(next.shards[i])
			}
			if w := s.ways(k, always); w != nil {
				next.shards[i][vk] = w
			} else {
				delete(next.shards[i], vk)
			}
		}
		v.view = &next
	}
	v.all = false
	clear(v.dirty)
	return v.view
}

func cloneShard(m map[viewKey]*ways) map[viewKey]*ways {
	out := make(map[viewKey]*ways, len(m)+1)
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
	always := alwaysCache{}
	for k := range s.mesh {
		w := s.ways(k, always)
		if w == nil {
			continue
		}
		vk := k.view()
		i := vk.shard()
		if v.shards[i] == nil {
			v.shards[i] = map[viewKey]*ways{}
		}
		v.shards[i][vk] = w
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

// An alwaysCache keeps, while a view is made, who gets all packets of a VLAN.
type alwaysCache map[router][]uint32

// always returns who gets the packets of every group in a VLAN: routers (RFC 4541
// section 2.1.2, rule 1), and those of whom we do not know what they want.
func (s *Snooper) always(vid uint16, f uint8, cache alwaysCache) []uint32 {
	id := router{vid, f}
	if list, ok := cache[id]; ok {
		return list
	}
	var list []uint32
	for _, l := range s.links {
		if l.inDoubt(s.now) || l.routes(vid, f) {
			list = append(list, l.port)
		}
	}
	slices.Sort(list)
	cache[id] = list
	return list
}

// ways returns where the packets of a group go, or nil if nobody has joined it.
func (s *Snooper) ways(k key, cache alwaysCache) *ways {
	m := s.mesh[k]
	if m == nil || len(m.members) == 0 {
		return nil
	}
	always := s.always(k.vid, family(k.group), cache)
	var named []netip.Addr
	for _, x := range m.members {
		named = append(named, x.sources...)
	}
	if named = normal(named); len(named) > maxViewSources {
		return &ways{any: m.ports(always, func(want) bool { return true })}
	}
	w := &ways{any: m.ports(always, func(x want) bool { return x.mode == exclude })}
	if len(named) > 0 {
		w.sources = make(map[netip.Addr][]uint32, len(named))
		for _, a := range named {
			w.sources[a] = m.ports(always, func(x want) bool { return x.takes(a) })
		}
	}
	return w
}

// ports returns the ports in always and those of the members that want it, in order.
func (m *meshGroup) ports(always []uint32, wants func(want) bool) []uint32 {
	out := make([]uint32, 0, len(always)+len(m.members))
	for _, x := range m.members {
		for len(always) > 0 && always[0] < x.port {
			out, always = append(out, always[0]), always[1:]
		}
		member := wants(x.want)
		if len(always) > 0 && always[0] == x.port {
			member, always = true, always[1:]
		}
		if member {
			out = append(out, x.port)
		}
	}
	return append(out, always...)
}
