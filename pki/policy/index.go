package policy

import (
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// An index finds the rules that speak of a member by looking up what the member
// is, and not by asking each rule. Its size is that of the text.
//
// Every subject of the text is a node. The nodes of groups have the nodes of
// their members below them; "parents" leads up. "uses" says which sides of which
// rules name a node.
type index struct {
	ids      map[subject]int32
	subjects []subject // of the nodes
	members  [][]int32 // below a group
	parents  [][]int32 // groups that a node is in
	uses     [][]use
	groups   int // nodes from 1 to groups are groups

	lengths [2][]uint8 // of the networks among the subjects, IPv4 and IPv6, each once
	nets    []subject  // all networks
}

// nodeAll is the node of "all".
const nodeAll = 0

// A use is a side of a rule that names a node.
type use struct {
	table table
	side  side
	rule  int32
}

// A side is where in a rule a subject stands.
type side uint8

const (
	left side = iota
	right
	via
)

// A bitset is a set of rules of one table.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) add(i int) { b[i/64] |= 1 << (i % 64) }

func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// sides are the rules of one table that name a member, by the side they do so.
type sides struct{ left, right, via bitset }

func newSides(rules int) *sides {
	all := newBitset(rules)
	n := len(all)
	all = append(all, make(bitset, 2*n)...)
	return &sides{all[:n:n], all[n : 2*n : 2*n], all[2*n:]}
}

func (s *sides) add(u use) {
	switch u.side {
	case left:
		s.left.add(int(u.rule))
	case right:
		s.right.add(int(u.rule))
	case via:
		s.via.add(int(u.rule))
	}
}

// buildIndex makes the index of p, whose subjects are resolved.
func (p *Policy) buildIndex() {
	x := &p.index
	x.ids = map[subject]int32{}
	x.node(subject{kind: everybody})
	for _, g := range p.groups {
		x.node(subject{kind: byGroup, text: g.name})
	}
	x.groups = len(p.groups)
	for i, g := range p.groups {
		for _, s := range g.members {
			id := x.node(s)
			x.members[i+1] = append(x.members[i+1], id)
			x.parents[id] = append(x.parents[id], int32(i+1))
		}
	}
	for t, rules := range p.rules {
		for i := range rules {
			for at, subjects := range [][]subject{rules[i].left, rules[i].right, rules[i].via} {
				for _, s := range subjects {
					id := x.node(s)
					x.uses[id] = append(x.uses[id], use{table(t), side(at), int32(i)})
				}
			}
		}
	}
}

// node returns the node of s, a new one if there is none.
func (x *index) node(s subject) int32 {
	id, ok := x.ids[s]
	if ok {
		return id
	}
	id = int32(len(x.uses))
	x.ids[s] = id
	x.subjects = append(x.subjects, s)
	x.members, x.parents, x.uses = append(x.members, nil), append(x.parents, nil), append(x.uses, nil)
	if s.kind == byNet {
		x.nets = append(x.nets, s)
		family, bits := familyOf(s.net), uint8(s.net.Bits())
		if !slices.Contains(x.lengths[family], bits) {
			x.lengths[family] = append(x.lengths[family], bits)
		}
	}
	return id
}

func familyOf(n netip.Prefix) int {
	if n.Addr().Is4() {
		return 0
	}
	return 1
}

// named calls visit with the nodes that mean m by anything but an address.
func (x *index) named(m Member, visit func(int32)) {
	visit(nodeAll)
	look := func(k subjectKind, text string) {
		if id, ok := x.ids[subject{kind: k, text: text}]; ok {
			visit(id)
		}
	}
	for _, n := range m.Names {
		n = lowerASCII(n)
		look(byName, n)
		if dot := strings.IndexByte(n, '.'); dot > 0 {
			look(byPattern, n[dot:])
		}
	}
	for _, g := range m.Groups {
		look(byRole, lowerASCII(g))
	}
}

// containing calls visit with the nodes of the networks that n lies in.
func (x *index) containing(n netip.Prefix, visit func(int32)) {
	for _, length := range x.lengths[familyOf(n)] {
		if int(length) > n.Bits() {
			continue
		}
		wide, err := n.Addr().Prefix(int(length))
		if err != nil {
			continue // an invalid prefix is in no network
		}
		if id, ok := x.ids[subject{kind: byNet, net: wide}]; ok {
			visit(id)
		}
	}
}

// nodes calls visit with the nodes that mean m. An address means it by one of
// its VPN addresses; a network also if a network behind m lies in it.
func (x *index) nodes(m Member, visit func(int32)) {
	x.named(m, visit)
	for _, n := range m.networks() {
		x.containing(n, visit)
	}
}

// networks returns the addresses of m and the networks behind it.
func (m Member) networks() []netip.Prefix {
	list := make([]netip.Prefix, 0, len(m.Addrs)+len(m.Routes))
	for _, a := range m.Addrs {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, n := range m.Routes {
		if n.IsValid() {
			list = append(list, n.Masked())
		}
	}
	return list
}

// climb calls visit with a node and all groups that it is in, each once. seen
// has the groups that were visited before.
func (x *index) climb(id int32, seen bitset, visit func(int32)) {
	if int(id) >= 1 && int(id) <= x.groups {
		if seen.has(int(id)) {
			return
		}
		seen.add(int(id))
	}
	visit(id)
	for _, g := range x.parents[id] {
		x.climb(g, seen, visit)
	}
}

// sidesOf returns the rules of table t that speak of m.
func (p *Policy) sidesOf(t table, m Member) *sides {
	s := newSides(len(p.rules[t]))
	if len(p.rules[t]) == 0 {
		return s
	}
	seen := newBitset(p.index.groups + 1)
	p.index.nodes(m, func(id int32) {
		p.index.climb(id, seen, func(id int32) {
			for _, u := range p.index.uses[id] {
				if u.table == t {
					s.add(u)
				}
			}
		})
	})
	return s
}

// first returns the first rule of table t that speaks of a and b, of which a has
// asked, and if through is not nil of a relay in it; -1 if there is none.
func (p *Policy) first(t table, a, b *sides, through bitset) int {
	rules := p.rules[t]
	for w := range a.left {
		forth, back := a.left[w]&b.right[w], a.right[w]&b.left[w]
		if through != nil {
			forth, back = forth&through[w], back&through[w]
		}
		for hits := forth | back; hits != 0; hits &= hits - 1 {
			i := bits.TrailingZeros64(hits)
			if forth&(1<<i) != 0 || !rules[w*64+i].oneWay {
				return w*64 + i
			}
		}
	}
	return -1
}

// speaks reports whether rule i speaks of a and b, of which a has asked.
func (p *Policy) speaks(t table, i int, a, b *sides) bool {
	return a.left.has(i) && b.right.has(i) || !p.rules[t][i].oneWay && a.right.has(i) && b.left.has(i)
}
