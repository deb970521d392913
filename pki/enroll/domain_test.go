package enroll

import (
	"crypto"
	"strings"
	"testing"

	"campagnol/pki/pkitest"
)

// TestEnrolmentDomain: the domain of names comes with the answer, if there is one, and
// has to be one: it becomes a line of the host's configuration.
func TestEnrolmentDomain(t *testing.T) {
	for _, c := range []struct {
		domain string
		good   bool
	}{
		{"", true}, {"vpn.internal", true}, {"x", true}, {"VPN.internal", false}, {"vpn.internal\nup = rm", false}, {"a..b", false},
		{".", false}, {"-a.b", false}, {"a b", false}, {"vpn.local", false}, {"9.10.in-addr.arpa", false}, {strings.Repeat("a.", 100) + "b", false},
	} {
		a := newAuthority(t)
		a.whole = func(_ []byte, key crypto.PublicKey) []byte {
			g := a.grant(key)
			g.Domain = c.domain
			return g.Append(nil)
		}
		r, err := a.enrol(pkitest.NewKey(t))
		switch {
		case c.good && (err != nil || r.Domain != c.domain):
			t.Errorf("%q: result %+v, %v", c.domain, r, err)
		case !c.good && (err == nil || !strings.Contains(err.Error(), "the domain")):
			t.Errorf("%q: error %v, want one about the domain", c.domain, err)
		}
	}
}

// TestDomainOnTheWire: a host that does not know the field takes the answer as it would
// be without.
func TestDomainOnTheWire(t *testing.T) {
	const domain = "vpn.internal"
	g := &Grant{Chain: [][]byte{{1}}, Domain: domain}
	b := g.Append(nil)
	if got, _, err := parseAnswer(b); err != nil || got.Domain != domain {
		t.Errorf("%+v, %v", got, err)
	}
	at := len(b) - len(domain) - 4
	if b[at] != tagDomain {
		t.Fatalf("% x: the field is not where it was", b)
	}
	b[at] = 99
	if got, _, err := parseAnswer(b); err != nil || got.Domain != "" {
		t.Errorf("with an unknown tag: %+v, %v", got, err)
	}
}
