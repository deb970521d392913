package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Protocol numbers that have names in the language.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// A Service is what a packet may carry: a protocol, and for TCP and UDP the
// ports of the side that the flow goes to.
type Service struct {
	Proto       uint8
	First, Last uint16 // ports; 0 to 65535 are all
}

// anyPort is the last port of a service that is not limited to some.
const anyPort = 65535

var protocolNames = map[string]uint8{"icmp": ICMP, "tcp": TCP, "udp": UDP, "icmpv6": ICMPv6}

// String returns the service as it is written in a policy.
func (s Service) String() string {
	name := strconv.Itoa(int(s.Proto))
	for n, number := range protocolNames {
		if number == s.Proto {
			name = n
		}
	}
	switch {
	case s.First == 0 && s.Last == anyPort:
		return name
	case s.First == s.Last:
		return fmt.Sprintf("%s/%d", name, s.First)
	}
	return fmt.Sprintf("%s/%d-%d", name, s.First, s.Last)
}

// HasPorts reports whether packets of a protocol have ports that a service can
// name.
func HasPorts(proto uint8) bool { return proto == TCP || proto == UDP }

// filter reads what follows "filter".
func (ps *parser) filter() *mistake {
	r := rule{line: ps.s.tokens[0].line, text: ps.s.text}
	if m := ps.pair(&r); m != nil {
		return m
	}
	if m := ps.expect(colon, ", and what is allowed or denied"); m != nil {
		return m
	}
	verb := ps.take()
	if verb.kind != word || verb.text != "allow" && verb.text != "deny" {
		return wrong(verb, "unexpected %s, expected allow or deny%s", verb.describe(), didYouMean(verb.text, "allow", "deny"))
	}
	r.allow = verb.text == "allow"
	for ps.peek().kind != end {
		t := ps.take()
		s, m := parseService(t)
		if m != nil {
			return m
		}
		r.services = append(r.services, s)
		if ps.peek().kind == end {
			break
		}
		if m := ps.expect(comma, " or the end of the line"); m != nil {
			return m
		}
		if next := ps.peek(); next.kind == end {
			return wrong(next, "unexpected %s, expected a service such as tcp/22", next.describe())
		}
	}
	return ps.addRule(filterTable, r)
}

func parseService(t token) (Service, *mistake) {
	if t.kind != word {
		return Service{}, wrong(t, "unexpected %s, expected a service such as tcp/22, udp/8000-8080, icmp or the number of a protocol", t.describe())
	}
	name, ports, limited := strings.Cut(lowerASCII(t.text), "/")
	proto, known := protocolNames[name]
	if !known {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil || name != strconv.FormatUint(n, 10) {
			return Service{}, wrong(t, "unknown service %s, expected tcp, udp, icmp, icmpv6 or the number of a protocol%s", t.describe(), didYouMean(name, "tcp", "udp", "icmp", "icmpv6"))
		}
		proto = uint8(n)
	}
	s := Service{Proto: proto, Last: anyPort}
	switch {
	case !limited:
		return s, nil
	case !HasPorts(proto):
		return s, wrong(t, "%s: only tcp and udp have ports, expected %q", t.describe(), name)
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	var ok1, ok2 bool
	s.First, ok1 = parsePort(first)
	s.Last, ok2 = parsePort(last)
	if !ok1 || !ok2 || s.First > s.Last {
		return s, wrong(t, "%s: expected a port from 1 to 65535 or a range such as 8000-8080 after the slash", t.describe())
	}
	return s, nil
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0 && text == strconv.FormatUint(n, 10)
}

// A FilterRule is a line "filter …" as it is for one pair of members, in one
// direction.
type FilterRule struct {
	Line     int
	Text     string
	Allow    bool
	From, To []netip.Prefix // what the packet's addresses have to be in; nil: any
	Services []Service      // nil: every packet
}

// Filter returns the rules for flows that from starts towards to, in their
// order: the first one that fits a packet decides, and what none fits is
// allowed. Names, roles and groups of a rule mean all packets of a member. An
// address or a network means packets with an address in it; it means all packets
// of a member that lies in it wholly, with the networks behind it.
func (p *Policy) Filter(from, to Member) []FilterRule {
	rules := p.rules[filterTable]
	if len(rules) == 0 {
		return nil
	}
	f, t := p.matches(from), p.matches(to)
	var list []FilterRule
	add := func(i int, a, b match) {
		if a.ok && b.ok {
			r := &rules[i]
			list = append(list, FilterRule{r.line, r.text, r.allow, a.nets, b.nets, r.services})
		}
	}
	for i := range rules {
		add(i, f.of(i, left), t.of(i, right))
		if !rules[i].oneWay && !sameSides(&rules[i]) {
			add(i, f.of(i, right), t.of(i, left))
		}
	}
	return list
}

// sameSides reports whether a rule says the same in both directions, as
// all <-> all does.
func sameSides(r *rule) bool { return slices.Equal(r.left, r.right) }

// A match says which packets of a member a side of a rule means.
type match struct {
	ok   bool
	nets []netip.Prefix // nil: all
}

// matches are the matches of a member with the rules of the filter.
type matches struct {
	all  *sides // rules that mean all packets
	part [2]map[int][]netip.Prefix
}

func (m *matches) of(i int, at side) match {
	whole := m.all.left
	if at == right {
		whole = m.all.right
	}
	if whole.has(i) {
		return match{ok: true}
	}
	nets := m.part[at][i]
	return match{len(nets) > 0, nets}
}

// matches finds the filter rules that mean m, or a part of it.
func (p *Policy) matches(m Member) *matches {
	x := &p.index
	out := &matches{all: newSides(len(p.rules[filterTable])), part: [2]map[int][]netip.Prefix{{}, {}}}
	uses := func(id int32, seen bitset, visit func(use)) {
		x.climb(id, seen, func(id int32) {
			for _, u := range x.uses[id] {
				if u.table == filterTable {
					visit(u)
				}
			}
		})
	}
	seen := newBitset(x.groups + 1)
	x.named(m, func(id int32) { uses(id, seen, out.all.add) })
	own := m.networks()
	for _, s := range x.nets {
		overlaps, within := 0, 0
		for _, n := range own {
			if n.Overlaps(s.net) {
				overlaps++
			}
			if s.net.Bits() <= n.Bits() && s.net.Contains(n.Addr()) {
				within++
			}
		}
		switch {
		case overlaps == 0:
		case within == len(own):
			uses(x.ids[s], seen, out.all.add)
		default:
			uses(x.ids[s], newBitset(x.groups+1), func(u use) {
				part := out.part[u.side]
				part[int(u.rule)] = append(part[int(u.rule)], s.net)
			})
		}
	}
	return out
}
