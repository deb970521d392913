package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"campagnol/punch"
)

// An External is an address at which peers can reach the client.
type External struct {
	Addr  netip.AddrPort // port 0: the local port
	Scope string         // the network from which it can be reached; "": from everywhere
}

// Bounds on what the rendezvous server is told. What is more would be left out there.
const (
	maxExternal = 8
	maxScopes   = 8
)

// scopeHint says how the name of a network is written.
var scopeHint = fmt.Sprintf("a name has 1 to %d letters, digits and the characters . _ -, such as office", punch.MaxScope)

// isScope reports whether s can be the name of a network.
func isScope(s string) bool {
	other := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}
	return s != "" && len(s) <= punch.MaxScope && !strings.ContainsFunc(s, other)
}

// scope stores the name of a network.
func (a *assignment) scope(c *Client) {
	name := a.text
	switch {
	case !isScope(name):
		a.fail("is not the name of a network")
	case slices.Contains(c.Scopes, name):
		a.warn("is given twice", "take one of the lines out")
	case len(c.Scopes) == maxScopes:
		a.failWith("is one too many", fmt.Sprintf("a client can reach %d named networks at most", maxScopes))
	default:
		c.Scopes = append(c.Scopes, name)
	}
}

// external stores an address at which peers can reach us.
func (a *assignment) external(list *[]External) {
	words := strings.Fields(a.text)
	if len(words) == 0 || len(words) > 2 {
		a.fail("is not an address, or more than that and a scope")
		return
	}
	addr, ok := parseExternal(words[0])
	e := External{Addr: addr}
	if len(words) == 2 {
		e.Scope = words[1]
	}
	ip := addr.Addr()
	switch {
	case !ok:
		a.fail("does not begin with an address, or with an address and a port")
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLoopback(), ip.IsLinkLocalUnicast():
		a.fail("is no address at which another host can reach this one")
	case len(words) == 2 && !isScope(e.Scope):
		a.failWith("does not end in the name of a network", scopeHint)
	case slices.Contains(*list, e):
		a.warn("is given twice", "take one of the lines out")
	case len(*list) == maxExternal:
		a.failWith("is one too many", fmt.Sprintf("peers are told %d addresses at most", maxExternal))
	default:
		*list = append(*list, e)
	}
}

// parseExternal reads 192.0.2.5:4444, 192.0.2.5, [2001:db8::5]:4444, [2001:db8::5] or
// 2001:db8::5. Without port it is 0.
func parseExternal(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), ap.Addr().Zone() == ""
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return netip.AddrPort{}, false
		}
		s = inner
	}
	ip, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(ip.Unmap(), 0), err == nil && ip.Zone() == ""
}
