package rdv

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/pki/policy"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

func rules(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("policy", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// withURIs adds URIs to the subject alternative name.
func withURIs(us ...*url.URL) pkitest.Edit {
	return func(c *x509.Certificate) { c.URIs = append(c.URIs, us...) }
}

// TestRules: the policy decides who is introduced, by name, group and address; who
// may not talk learns nothing of each other.
func TestRules(t *testing.T) {
	ca := pkitest.NewCA(t, "CA", time.Now())
	certified := func(id Identity, groups ...string) Identity {
		uris, err := pki.AttributeURIs(groups, nil)
		if err != nil {
			t.Fatal(err)
		}
		var addrs []string
		for _, a := range id.Addrs {
			addrs = append(addrs, a.String())
		}
		id.Leaf = ca.Issue(t, id.Name, pkitest.Addrs(addrs...), withURIs(uris...)).Cert.Raw
		return id
	}
	s := newStage(t, Mixed, 0)
	s.reg.SetRules(rules(t, "default deny\nallow role:admin -> all\nallow bob <-> 10.9.0.3\n"))
	a, b := s.join(epA, certified(alice, "admin")), s.join(epB, certified(bob))
	s.says(a, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	unknown := "REFUSED: " + channel.Unknown.String()
	rejected := func(v netip.Addr) string {
		return epC.String() + " in clear " + wire.Message{Type: wire.Reject, IP1: v}.String()
	}

	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at 203.0.113.22:39538 authentic", "bob INTRODUCE 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic")
	s.says(b, askFor(3, ip1), "bob "+unknown)
	s.says(b, askFor(4, netip.MustParseAddr("10.9.0.77")), "bob "+unknown) // as for nobody
	s.says(b, askFor(5, ip3), "bob PEER 10.9.0.3 at 203.0.113.23:1024", forwarded(epC, epB, ip2))
	s.clear(epC, ask(ip2), answered(epC, epB, ip2), "bob INTRODUCE 10.9.0.3 at 203.0.113.23:1024")
	s.clear(epC, ask(ip1), rejected(ip1))

	s.reg.SetRules(rules(t, "default deny\nallow bob -> alice\n"))
	s.says(a, askFor(6, ip2), "alice "+unknown)
	s.says(b, askFor(7, ip1), "bob PEER 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	s.reg.SetRules(nil)
	s.says(a, askFor(8, ip3), "alice PEER 10.9.0.3 at 203.0.113.23:1024", forwarded(epC, epA, ip1))

	forbidden := 0
	for _, e := range s.events {
		if e.Kind == Forbidden && e.Why != "" && e.VPN.IsValid() && e.Peer.IsValid() {
			forbidden++
		}
	}
	if forbidden != 3 {
		t.Errorf("%d events about who may not talk, want 3", forbidden)
	}
}

// TestRulesUnbound: a client whose certificate names no address is known by the one
// that it has registered, and so is one whose certificate cannot be read.
func TestRulesUnbound(t *testing.T) {
	s := newStage(t, Mixed, 0)
	s.reg.SetRules(rules(t, "default deny\nallow 10.9.0.1 -> 10.9.0.2\n"))
	broken := carol
	broken.Leaf = []byte("no certificate")
	a, b := s.join(epA, broken), s.join(epB, bob)
	s.says(a, register(1, ip1), "carol"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.says(a, askFor(2, ip2), "carol PEER 10.9.0.2 at 203.0.113.22:39538 authentic", "bob INTRODUCE 10.9.0.1 at 203.0.113.21:49380 authentic")
	s.says(b, askFor(3, ip1), "bob REFUSED: "+channel.Unknown.String())
}

// TestRulesOfTrust: with a policy nobody gets in of whom it cannot be told what the
// certificate says.
func TestRulesOfTrust(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, "CA", now)
	strange := ca.Issue(t, "strange", withURIs(&url.URL{Scheme: "campagnol", Opaque: "color:red"}))
	trusted, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	trust := &Trust{policy: trusted}
	if _, err := trust.verify(now, strange.Raw()); err != nil {
		t.Errorf("without a policy: %v", err)
	}
	trust = trust.WithRules(rules(t, "default allow\n"))
	if _, err := trust.verify(now, strange.Raw()); err == nil {
		t.Error("a certificate with unknown attributes is taken with a policy")
	}
	var none *Trust
	if none.rulesOf() != nil {
		t.Error("no trust has a policy")
	}
}
