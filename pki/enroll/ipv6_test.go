package enroll

import (
	"crypto"
	"net/netip"
	"strings"
	"testing"

	"campagnol/pki/pkitest"
)

// grant6 is grant with an IPv6 address and its network.
func (a *authority) grant6(key crypto.PublicKey) *Grant {
	g := a.grant(key)
	g.Chain = a.ca.IssueKey(a.t, "alice", publicOnly{key}, pkitest.Addrs("10.9.0.1", "fd09::1")).Raw()
	g.Addrs = append(g.Addrs, netip.MustParseAddr("fd09::1"))
	g.Network6 = netip.MustParsePrefix("fd09::/64")
	return g
}

// TestEnrolmentIPv6: the IPv6 network comes with the answer, and has to fit.
func TestEnrolmentIPv6(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(g *Grant)
		want   string // "": it is good
	}{
		{"good", func(*Grant) {}, ""},
		{"no network", func(g *Grant) { g.Network6 = netip.Prefix{} }, ""},
		{"another network", func(g *Grant) { g.Network6 = netip.MustParsePrefix("fd08::/64") }, "is in the IPv6 network"},
		{"a network with an address", func(g *Grant) { g.Network6 = netip.MustParsePrefix("fd09::1/64") }, "is in the IPv6 network"},
		{"a network of IPv4", func(g *Grant) { g.Network6 = g.Network }, "is in the IPv6 network"},
		{"IPv6 in both places", func(g *Grant) { g.Network = g.Network6 }, ""}, // for the configuration to refuse
		{"an address that the certificate does not name", func(g *Grant) { g.Addrs[1] = netip.MustParseAddr("fd09::2") }, "VPN addresses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuthority(t)
			var sent *Grant
			a.whole = func(_ []byte, key crypto.PublicKey) []byte {
				sent = a.grant6(key)
				c.change(sent)
				return sent.Append(nil)
			}
			r, err := a.enrol(pkitest.NewKey(t))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("result %+v, error %v, want one with %q", r, err, c.want)
				}
				return
			}
			if err != nil || r.Network6 != sent.Network6 || len(r.Addrs) != 2 {
				t.Errorf("result %+v, %v, want %v", r, err, sent.Network6)
			}
		})
	}
}

// TestNetwork6OnTheWire: a host that does not know the field takes the answer as it
// would be without, and one that is malformed is refused.
func TestNetwork6OnTheWire(t *testing.T) {
	g := &Grant{Chain: [][]byte{{1}}, Network: netip.MustParsePrefix("10.9.0.0/24"), Network6: netip.MustParsePrefix("fd09::/64")}
	b := g.Append(nil)
	got, _, err := parseAnswer(b)
	if err != nil || got.Network != g.Network || got.Network6 != g.Network6 {
		t.Errorf("%+v, %v", got, err)
	}
	if b[len(b)-21] != tagNetwork6 {
		t.Fatalf("% x: the field is not where it was", b)
	}
	b[len(b)-21] = 99
	if got, _, err := parseAnswer(b); err != nil || got.Network != g.Network || got.Network6.IsValid() {
		t.Errorf("with an unknown tag: %+v, %v", got, err)
	}
	b[len(b)-21], b[len(b)-1] = tagNetwork6, 129
	if got, _, err := parseAnswer(b); err == nil {
		t.Errorf("a length of 129: %+v", got)
	}
}
