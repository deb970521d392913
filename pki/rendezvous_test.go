package pki

import (
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

func TestIsRendezvous(t *testing.T) {
	authority := pkitest.NewCA(t, "ca", time.Now())
	for _, c := range []struct {
		name string
		uris []string
		want bool
	}{
		{"none", nil, false},
		{"the URI", []string{"campagnol:rdv"}, true},
		{"scheme in capitals", []string{"CAMPAGNOL:rdv"}, true},
		{"among others", []string{"https://example.org/", "campagnol:rdv"}, true},
		{"a group of that name", []string{"campagnol:group:rdv"}, false},
		{"more behind it", []string{"campagnol:rdv:x"}, false},
		{"with a query", []string{"campagnol:rdv?x"}, false},
		{"with a fragment", []string{"campagnol:rdv#x"}, false},
		{"a host", []string{"campagnol://rdv"}, false},
		{"other letters", []string{"campagnol:RDV"}, false},
		{"another scheme", []string{"campagnole:rdv"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf := authority.Issue(t, "x", func(cert *x509.Certificate) {
				for _, s := range c.uris {
					u, err := url.Parse(s)
					if err != nil {
						t.Fatal(err)
					}
					cert.URIs = append(cert.URIs, u)
				}
			})
			if got := IsRendezvous(leaf.Cert); got != c.want {
				t.Errorf("IsRendezvous = %v for %q, want %v", got, c.uris, c.want)
			}
		})
	}
	if got := (&x509.Certificate{URIs: []*url.URL{nil}}); IsRendezvous(got) {
		t.Error("a certificate without a URI is one for a rendezvous server")
	}
}

// TestIsAuthority: the authority is known by a URI of its own, and is no rendezvous
// server by it.
func TestIsAuthority(t *testing.T) {
	for _, c := range []struct {
		name                  string
		uris                  []string
		authority, rendezvous bool
	}{
		{"none", nil, false, false},
		{"the URI", []string{"campagnol:authority"}, true, false},
		{"scheme in capitals", []string{"Campagnol:authority"}, true, false},
		{"both", []string{"campagnol:rdv", "campagnol:authority"}, true, true},
		{"a rendezvous server", []string{"campagnol:rdv"}, false, true},
		{"a group of that name", []string{"campagnol:group:authority"}, false, false},
		{"more behind it", []string{"campagnol:authority2"}, false, false},
		{"other letters", []string{"campagnol:Authority"}, false, false},
		{"a host", []string{"campagnol://authority"}, false, false},
	} {
		cert := &x509.Certificate{}
		for _, s := range c.uris {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		if got := IsAuthority(cert); got != c.authority {
			t.Errorf("%s: IsAuthority = %v, want %v", c.name, got, c.authority)
		}
		if got := IsRendezvous(cert); got != c.rendezvous {
			t.Errorf("%s: IsRendezvous = %v, want %v", c.name, got, c.rendezvous)
		}
	}
}

// TestRendezvousWarnings: a rendezvous server needs no VPN address, and neither does
// the authority.
func TestRendezvousWarnings(t *testing.T) {
	now := time.Now()
	authority := pkitest.NewCA(t, "ca", now)
	for _, c := range []struct {
		name  string
		edits []pkitest.Edit
		want  int // warnings
	}{
		{"a rendezvous server", []pkitest.Edit{func(c *x509.Certificate) { c.URIs = append(c.URIs, RendezvousURI()) }}, 0},
		{"the authority", []pkitest.Edit{func(c *x509.Certificate) { c.URIs = append(c.URIs, AuthorityURI()) }}, 0},
		{"a host without address", nil, 1},
		{"a host", []pkitest.Edit{pkitest.Addrs("10.9.0.1")}, 0},
	} {
		leaf := authority.Issue(t, "x", c.edits...)
		id, err := NewIdentity(leaf.Chain, leaf.Key)
		if err != nil {
			t.Fatal(err)
		}
		if got := id.Warnings(now); len(got) != c.want {
			t.Errorf("%s: warnings %q, want %d", c.name, got, c.want)
		}
	}
}
