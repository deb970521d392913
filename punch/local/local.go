package local

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// MaxAddrs is how many addresses of a host are told at most. A router may have
// hundreds.
const MaxAddrs = 8

// perFamily is how many addresses of one family and interface are told: a host may
// have had a temporary address for each day of the week (RFC 8981).
const perFamily = 2

// A Filter says which addresses count.
type Filter struct {
	Device    string         // the interface of the VPN, which does not count
	Networks  []netip.Prefix // of the VPN; addresses in them do not count
	Interface string         // the only one that counts; "": all
	Toward    netip.Addr     // whom we want to reach; the zero Addr: the Internet
	OnlyIPv4  bool           // IPv6 addresses do not count
}

// A State is where a host is.
type State struct {
	Addrs []netip.Addr // best first

	// Source4 and Source6 are the addresses from which the kernel sends to
	// Filter.Toward or, in the other family, to the Internet. The zero Addr: it
	// knows no way there.
	Source4, Source6 netip.Addr

	// Way4 and Way6 are how the kernel sends there, as far as it can be known: behind
	// another router there may be another NAT.
	Way4, Way6 Way
}

// A Way is how datagrams leave the host.
type Way struct {
	Link    int        // the number of the interface
	Gateway netip.Addr // the router; the zero Addr: none is needed
}

// Equal reports whether two states are the same.
func (s State) Equal(o State) bool {
	return s.Source4 == o.Source4 && s.Source6 == o.Source6 && s.Way4 == o.Way4 && s.Way6 == o.Way6 && slices.Equal(s.Addrs, o.Addrs)
}

// Contains reports whether the host has an address.
func (s State) Contains(a netip.Addr) bool {
	return a.IsValid() && (slices.Contains(s.Addrs, a) || s.Source4 == a || s.Source6 == a)
}

// An address is one of the host, as the system describes it.
type address struct {
	addr netip.Addr
	link string // the interface
	up   bool   // the interface works

	tentative  bool // it may turn out to be another's (RFC 4862 section 5.4)
	deprecated bool // it is not used for anything new (RFC 4862 section 5.5.4)
	temporary  bool // it is given up after some days (RFC 8981)
}

// Where the Internet is: root name servers. Nothing is sent there.
var (
	internet4 = netip.AddrFrom4([4]byte{198, 41, 0, 4})
	internet6 = netip.MustParseAddr("2001:503:ba3e::2:30")
)

// Look returns where the host is.
func Look(f Filter) (State, error) {
	list, err := addresses()
	if err != nil {
		return State{}, fmt.Errorf("local: %w", err)
	}
	var s State
	to4, to6 := internet4, internet6
	switch to := f.Toward.Unmap(); {
	case to.Is4():
		to4 = to
	case to.Is6():
		to6 = to
	}
	s.Source4 = sourceTo("udp4", to4)
	if !f.OnlyIPv4 {
		s.Source6 = sourceTo("udp6", to6)
	}
	s.Addrs = f.choose(list, s.Source4, s.Source6)
	if f.inside(s.Source4) { // the way leads through the VPN
		s.Source4 = netip.Addr{}
	}
	if f.inside(s.Source6) {
		s.Source6 = netip.Addr{}
	}
	if s.Source4.IsValid() {
		s.Way4 = wayTo(to4)
	}
	if s.Source6.IsValid() {
		s.Way6 = wayTo(to6)
	}
	return s, nil
}

// sourceTo returns the address from which the kernel sends to another, or the zero
// Addr.
func sourceTo(network string, to netip.Addr) netip.Addr {
	const discard = 9 // any port: nothing is sent
	conn, err := net.DialUDP(network, nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, discard)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if a.IsLoopback() && !to.IsLoopback() {
		return netip.Addr{}
	}
	return a.WithZone("")
}

// inside reports whether an address is one of the VPN.
func (f *Filter) inside(a netip.Addr) bool {
	return slices.ContainsFunc(f.Networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// choose returns those of the addresses that count, best first: what the kernel sends
// from, since firewalls on the way let in only what answers to it; then the other
// addresses of the interfaces with those; then all else. Within an interface the order
// is that in which RFC 6724 section 5 prefers source addresses, as far as it does not
// depend on the destination.
func (f *Filter) choose(list []address, sources ...netip.Addr) []netip.Addr {
	var good []address
	for _, a := range list {
		if f.counts(a) {
			good = append(good, a)
		}
	}
	good = withoutDeprecated(good)
	first := map[string]bool{}
	for _, a := range good {
		if slices.Contains(sources, a.addr) {
			first[a.link] = true
		}
	}
	yes := func(b bool) int {
		if b {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(good, func(a, b address) int {
		return cmp.Or(
			cmp.Compare(yes(slices.Contains(sources, a.addr)), yes(slices.Contains(sources, b.addr))),
			cmp.Compare(yes(first[a.link]), yes(first[b.link])),
			cmp.Compare(yes(!a.addr.IsPrivate()), yes(!b.addr.IsPrivate())),
			cmp.Compare(yes(a.temporary), yes(b.temporary)),
		)
	})
	type group struct {
		link string
		is4  bool
	}
	count := map[group]int{}
	var chosen []netip.Addr
	for _, a := range good {
		g := group{a.link, a.addr.Is4()}
		if count[g] == perFamily || len(chosen) == MaxAddrs || slices.Contains(chosen, a.addr) {
			continue
		}
		count[g]++
		chosen = append(chosen, a.addr)
	}
	return chosen
}

// counts reports whether others may reach us at an address.
func (f *Filter) counts(a address) bool {
	ip := a.addr
	switch {
	case !a.up, a.tentative, f.OnlyIPv4 && !ip.Is4(), a.link == f.Device && f.Device != "", f.Interface != "" && a.link != f.Interface:
		return false
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsLoopback(), ip.IsMulticast(), ip.IsLinkLocalUnicast():
		return false
	}
	return !f.inside(ip)
}

// withoutDeprecated leaves out deprecated addresses where the interface has another of
// the family.
func withoutDeprecated(list []address) []address {
	return slices.DeleteFunc(slices.Clone(list), func(a address) bool {
		return a.deprecated && slices.ContainsFunc(list, func(b address) bool {
			return !b.deprecated && b.link == a.link && b.addr.Is4() == a.addr.Is4()
		})
	})
}
