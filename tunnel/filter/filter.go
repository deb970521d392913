package filter

import (
	"encoding/binary"
	"net/netip"

	"campagnol/pki/policy"
)

// A Filter is what a policy says about the packets between our host and one
// peer. It does not change and is safe for concurrent use. A nil Filter allows
// everything.
type Filter struct {
	out, in []rule // for flows that we, and that the peer, begin
}

// A rule is a line of the policy.
type rule struct {
	allow    bool
	line     int
	from, to []network // nil: any address
	services []policy.Service
}

// A network is a prefix in the form that addresses have here.
type network struct{ addr, mask [2]uint64 }

// Compile returns what p says about packets between self, our host, and peer. It
// is nil if p has nothing to say, so that they all pass.
func Compile(p *policy.Policy, self, peer policy.Member) *Filter {
	f := &Filter{out: compileRules(p.Filter(self, peer)), in: compileRules(p.Filter(peer, self))}
	if len(f.out) == 0 && len(f.in) == 0 {
		return nil
	}
	return f
}

// Nothing returns a filter that lets no packet pass.
func Nothing() *Filter { return &Filter{out: []rule{{}}, in: []rule{{}}} }

// compileRules translates rules, but for those at the end that no packet reaches
// and those that only allow what is allowed anyway.
func compileRules(list []policy.FilterRule) []rule {
	var rules []rule
	for _, r := range list {
		rules = append(rules, rule{r.Allow, r.Line, networks(r.From), networks(r.To), r.Services})
		if r.From == nil && r.To == nil && r.Services == nil {
			break
		}
	}
	for len(rules) > 0 && rules[len(rules)-1].allow {
		rules = rules[:len(rules)-1]
	}
	return rules
}

func networks(list []netip.Prefix) []network {
	var out []network
	for _, p := range list {
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += 96
		}
		n := network{mask: prefixMask(bits)}
		n.addr = words(p.Addr().As16())
		n.addr[0] &= n.mask[0]
		n.addr[1] &= n.mask[1]
		out = append(out, n)
	}
	return out
}

// prefixMask returns a mask of n ones.
func prefixMask(n int) (m [2]uint64) {
	ones := func(n int) uint64 { return ^uint64(0) << (64 - max(0, min(n, 64))) }
	return [2]uint64{ones(n), ones(n - 64)}
}

func words(a [16]byte) [2]uint64 {
	return [2]uint64{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

// within reports whether address a is in one of the networks.
func within(list []network, a [16]byte) bool {
	if list == nil {
		return true
	}
	w := words(a)
	for i := range list {
		n := &list[i]
		if w[0]&n.mask[0] == n.addr[0] && w[1]&n.mask[1] == n.addr[1] {
			return true
		}
	}
	return false
}

// allows asks the rules about a packet that begins a flow.
func allows(rules []rule, m *meta) bool {
	for i := range rules {
		r := &rules[i]
		if r.serves(m) && within(r.from, m.src) && within(r.to, m.dst) {
			return r.allow
		}
	}
	return true
}

// serves reports whether one of the services of r is that of the packet.
func (r *rule) serves(m *meta) bool {
	if r.services == nil {
		return true
	}
	for _, s := range r.services {
		if s.Proto == m.proto && (!policy.HasPorts(s.Proto) || s.First <= m.dport && m.dport <= s.Last) {
			return true
		}
	}
	return false
}

// rules returns the rules for flows of one direction.
func (f *Filter) rules(d direction) []rule {
	if d == outward {
		return f.out
	}
	return f.in
}
