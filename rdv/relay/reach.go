package relay

import "net/netip"

// private are networks that are somebody's own, and behind this host maybe somebody
// else's than those of its clients.
var private = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"100.64.0.0/10", // RFC 6598: of a provider
	"198.18.0.0/15", // RFC 2544: for measurements
	"fc00::/7",      // RFC 4193
	"fec0::/10",     // RFC 3879: of old
)

// nowhere are networks in which no other host can be reached by a datagram to one, or
// of which the way through them goes elsewhere than the address says.
var nowhere = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/3",
	"::/127", "fe80::/10", "ff00::/8", "100::/64",
	"2001::/32",      // Teredo: has an IPv4 address in it
	"64:ff9b:1::/48", // RFC 8215: likewise, where only the network knows
)

// Networks with an IPv4 address in theirs: that address decides.
var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	to4   = netip.MustParsePrefix("2002::/16")    // RFC 3056
	old4  = netip.MustParsePrefix("::/96")        // RFC 4291 section 2.5.5.1
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

// Public reports whether a relay may send to an address that is anybody's: not to this
// host, its neighbours on a link, groups, or private networks.
func Public(a netip.Addr) bool { return Anywhere(a) && !in(private, inner(a)) }

// Anywhere is [Public] for a relay that serves private networks, too.
func Anywhere(a netip.Addr) bool {
	a = inner(a)
	return a.IsValid() && a.Zone() == "" && !in(nowhere, a)
}

// inner returns the address that datagrams to a go to in the end.
func inner(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is4() || !a.IsValid() {
		return a
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), old4.Contains(a) && !in(nowhere, a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case to4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

func in(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
