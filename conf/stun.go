package conf

import (
	"net/netip"
	"strconv"
	"strings"
)

// STUNPort is the port of STUN servers (RFC 8489 section 8.6.1), if none is given.
const STUNPort = 3478

// ParseServer reads HOST or HOST:PORT; an IPv6 address with a port is in brackets. It
// reports whether the text is one of these.
func ParseServer(text string, defaultPort uint16) (Server, bool) {
	s := Server{Host: text, Port: defaultPort}
	if ip, err := netip.ParseAddr(text); err == nil {
		s.Host = ip.String()
		return s, ip.Zone() == ""
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return Server{at.Addr().String(), at.Port()}, at.Port() != 0 && at.Addr().Zone() == ""
	}
	if host, port, ok := strings.Cut(text, ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Server{}, false
		}
		s = Server{host, uint16(n)}
	}
	return s, isHostName(s.Host)
}

// stunServer adds a server to those that the key has named before.
func (a *assignment) stunServer(dst *[]Server, defaultPort uint16) {
	s, ok := ParseServer(a.text, defaultPort)
	if !ok {
		a.fail("is neither a host nor a host with a port")
		return
	}
	*dst = append(*dst, s)
}
