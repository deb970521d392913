package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// An Entry is a member as somebody names it.
type Entry struct {
	Name     string       // of its certificate
	Addrs    []netip.Addr // in the VPN
	Verified bool         // we have seen the certificate; else somebody has told us
}

// A Zone is who has which name in a domain. It is immutable.
type Zone struct {
	domain   string // in lower case, with a dot at the end
	networks []netip.Prefix
	own      []netip.Addr // of this host
	byName   map[string][]netip.Addr
	byAddr   map[netip.Addr]string // labels
	problems []string
}

// server is the label under which the server itself is found; no member has it.
const server = "ns"

// NewZone returns the zone of a domain, such as vpn.example, for the VPN's networks and
// a host with the addresses own. Of two entries with the same name one that is verified
// has it, else the one with the lowest address.
func NewZone(domain string, networks []netip.Prefix, own []netip.Addr, entries []Entry) *Zone {
	z := &Zone{domain: strings.ToLower(strings.TrimSuffix(domain, ".")) + ".", networks: networks, own: own,
		byName: map[string][]netip.Addr{server: own}, byAddr: map[netip.Addr]string{}}
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b Entry) int {
		switch {
		case a.Verified != b.Verified && a.Verified:
			return -1
		case a.Verified != b.Verified:
			return 1
		}
		return slices.CompareFunc(a.Addrs, b.Addrs, netip.Addr.Compare)
	})
	verified := map[netip.Addr]bool{} // addresses whose name is certain, or whose holder has none
	for _, e := range sorted {
		z.add(e, verified)
	}
	return z
}

// add adds an entry, behind all that go before it.
func (z *Zone) add(e Entry, verified map[netip.Addr]bool) {
	var addrs []netip.Addr
	for _, a := range e.Addrs {
		if a = a.Unmap(); z.contains(a) && (e.Verified || !verified[a]) && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
		if e.Verified {
			verified[a] = true
		}
	}
	label, ok := z.Label(e.Name)
	switch {
	case len(addrs) == 0:
		return
	case !ok:
		z.problems = append(z.problems, fmt.Sprintf("the certificate of %v has the name %q, which cannot be a name in %s", addrs[0], e.Name, z.domain))
		return
	case z.byName[label] != nil:
		// The same host, told by two, is no matter.
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return slices.Contains(z.byName[label], a) }) {
			z.problems = append(z.problems, fmt.Sprintf("%v has the name %q, too; it is that of %v", addrs[0], label, z.byName[label]))
		}
		return
	}
	z.byName[label] = addrs
	for _, a := range addrs {
		if z.byAddr[a] == "" {
			z.byAddr[a] = label
		}
	}
}

// Problems says which members have no name, for people.
func (z *Zone) Problems() []string { return z.problems }

// Domain returns the domain, without a dot at the end.
func (z *Zone) Domain() string { return strings.TrimSuffix(z.domain, ".") }

// Label returns the label that a host has in the domain by the name of its certificate,
// which is that in lower case, or the part before the domain. It returns false for what
// is no label of a host (RFC 1123 section 2.1), or is the server's.
func (z *Zone) Label(name string) (string, bool) {
	name = strings.ToLower(name)
	name = strings.TrimSuffix(strings.TrimSuffix(name, "."), "."+strings.TrimSuffix(z.domain, "."))
	if len(name) == 0 || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' || name == server {
		return "", false
	}
	for _, b := range []byte(name) {
		if !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-') {
			return "", false
		}
	}
	return name, true
}

// Resolve returns the VPN addresses of a member by its name, with or without the domain;
// nil: there is no such member.
func (z *Zone) Resolve(name string) []netip.Addr {
	label, ok := z.Label(name)
	if !ok {
		return nil
	}
	return slices.Clone(z.byName[label])
}

// contains reports whether an address is one of the VPN's.
func (z *Zone) contains(a netip.Addr) bool {
	return slices.ContainsFunc(z.networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// reverse returns which address a name of in-addr.arpa or ip6.arpa is about.
func reverse(name string) (a netip.Addr, ok bool) {
	if digits, found := strings.CutSuffix(name, ".in-addr.arpa."); found {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4() && len(parts) == 4
	}
	if digits, found := strings.CutSuffix(name, ".ip6.arpa."); found && len(digits) == 63 {
		var text []byte
		for i := len(digits) - 1; i >= 0; i -= 2 {
			if i > 0 && digits[i-1] != '.' {
				return a, false
			}
			text = append(text, digits[i])
			if len(text)%5 == 4 && i > 0 {
				text = append(text, ':')
			}
		}
		a, err := netip.ParseAddr(string(text))
		return a, err == nil && !a.Is4In6()
	}
	return a, false
}

// ReverseDomain returns the domain of in-addr.arpa or ip6.arpa in which the addresses of
// a network are: the smallest one that has them all.
func ReverseDomain(n netip.Prefix) string {
	n = n.Masked()
	var labels []string
	if n.Addr().Is4() {
		b := n.Addr().As4()
		for _, octet := range b[:n.Bits()/8] {
			labels = append(labels, fmt.Sprint(octet))
		}
		labels = append([]string{"arpa", "in-addr"}, labels...)
	} else {
		b := n.Addr().As16()
		labels = []string{"arpa", "ip6"}
		for i := range n.Bits() / 4 {
			labels = append(labels, fmt.Sprintf("%x", b[i/2]>>(4-4*(i%2))&0xf))
		}
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}
