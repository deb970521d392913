package client

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/pki/policy"
	"campagnol/tunnel/filter"
)

// dualMember is who the holder of a number is to a policy.
func dualMember(number int) policy.Member {
	return policy.Member{Addrs: []netip.Addr{netip.MustParseAddr(addr4(number)), netip.MustParseAddr(addr6(number))}}
}

// dualObeying makes a dual node obey a policy.
func dualObeying(t *testing.T, self int, text string) func(*Config) {
	p, err := policy.Parse("policy", text)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		c.Filter = func(vpn netip.Addr, _ [][]byte) *filter.Filter {
			return filter.Compile(p, dualMember(self), dualMember(int(vpn.As4()[3])))
		}
	}
}

// udp6 makes a node's host send a datagram by IPv6, and reports whether it arrives.
func (n *node) udp6(to *node, src, dst string, port uint16) bool {
	n.t.Helper()
	b := packetTo(netip.MustParseAddr(src), netip.MustParseAddr(dst), "hello")
	at := 20
	if b[0]>>4 == 6 {
		at = 40
	}
	binary.BigEndian.PutUint16(b[at:], 4000)
	binary.BigEndian.PutUint16(b[at+2:], port)
	binary.BigEndian.PutUint16(b[at+4:], uint16(len(b)-at))
	to.texts()
	n.dev.Inject(b)
	pass(time.Second)
	return len(to.texts()) == 1
}

// TestIPv6Policy: rules that name an IPv6 address mean packets of IPv6, those that
// name the host mean all; who opens a tunnel by IPv6 obeys the same.
func TestIPv6Policy(t *testing.T) {
	for _, c := range []struct {
		name, rules          string
		dns6, web6, dns, web bool
	}{
		{"none", "", true, true, true, true},
		{"of IPv6", "filter fd00:9::1 -> fd00:9::2: allow udp/53\nfilter fd00:9::1 -> fd00:9::2: deny\n", true, false, true, true},
		{"of the network", "filter fd00:9::/64 -> fd00:9::2: allow udp/53\nfilter all -> fd00:9::2: deny\n", true, false, true, true},
		{"of IPv4", "filter 10.9.0.1 -> 10.9.0.2: allow udp/53\nfilter 10.9.0.1 -> 10.9.0.2: deny\n", true, true, true, false},
		{"of all", "filter all -> all: allow udp/53\nfilter all -> all: deny\n", true, false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inDualBubble(t, func(v *vpn) {
				alice := v.dual(1, "alice")
				leaf := v.ca.Issue(v.t, "bob", pkitest.Addrs(addr4(2), addr6(2)))
				bob := v.dualWith(2, leaf, dualObeying(t, 2, c.rules))
				for _, p := range []struct {
					what, src, dst string
					port           uint16
					want           bool
				}{
					{"DNS by IPv6", addr6(1), addr6(2), 53, c.dns6},
					{"web by IPv6", addr6(1), addr6(2), 80, c.web6},
					{"DNS by IPv4", addr4(1), addr4(2), 53, c.dns},
					{"web by IPv4", addr4(1), addr4(2), 80, c.web},
				} {
					if got := alice.udp6(bob, p.src, p.dst, p.port); got != p.want {
						v.t.Errorf("%s: arrives %v, want %v", p.what, got, p.want)
					}
				}
			})
		})
	}
}
