package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// routes parses networks.
func routes(list ...string) (out []netip.Prefix) {
	for _, r := range list {
		out = append(out, netip.MustParsePrefix(r))
	}
	return out
}

// wantAttributes checks groups and routes of an issued certificate, as they are
// reported and as a peer reads them.
func wantAttributes(t *testing.T, out *Issued, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out.Groups, out.Routes); got != want {
		t.Errorf("issued for %s with %s, want %s", out.Name, got, want)
	}
	a, err := pki.AttributesOf(out.Cert)
	if got := fmt.Sprint(a.Groups, a.Routes); err != nil || got != want {
		t.Errorf("the certificate of %s has %s, %v, want %s", out.Name, got, err, want)
	}
}

func TestIssueAttributes(t *testing.T) {
	c := newCA(t)
	req := Request{Name: "gate", Addrs: addrs("10.9.0.3"), Groups: []string{"Server", "x"}, Routes: routes("192.168.7.0/24", "fd00:7::/64")}
	out, err := c.Issue(now, rand.Reader, req)
	wantAttributes(t, out, err, "[server x] [192.168.7.0/24 fd00:7::/64]")
	if peer, err := verify(t, out, c.Files.CRL); err != nil || !slices.Equal(peer.Addrs, out.Addrs) {
		t.Errorf("a peer says %v, %v, want it accepted with its address", peer, err)
	}
	list, err := c.List(now)
	if err != nil || len(list) != 1 || fmt.Sprint(list[0].Groups, list[0].Routes) != "[server x] [192.168.7.0/24 fd00:7::/64]" {
		t.Errorf("list = %+v, %v, want groups and routes", list, err)
	}
	// A renewal keeps what it does not change.
	for _, r := range []struct {
		req  Request
		want string
	}{
		{Request{}, "[server x] [192.168.7.0/24 fd00:7::/64]"},
		{Request{Addrs: addrs("10.9.0.4")}, "[server x] [192.168.7.0/24 fd00:7::/64]"},
		{Request{Groups: []string{"y"}}, "[y] [192.168.7.0/24 fd00:7::/64]"},
		{Request{NoRoutes: true}, "[y] []"},
		{Request{Routes: routes("10.0.0.0/8")}, "[y] [10.0.0.0/8]"},
		{Request{NoGroups: true}, "[] [10.0.0.0/8]"},
		{Request{Groups: []string{"z"}, NoRoutes: true}, "[z] []"},
	} {
		r.req.Name, r.req.Renew = "gate", true
		out, err := c.Issue(now, rand.Reader, r.req)
		wantAttributes(t, out, err, r.want)
	}
	plain, err := c.Issue(now, rand.Reader, Request{Name: "plain", Addrs: addrs("10.9.0.9")})
	wantAttributes(t, plain, err, "[] []")
	if len(plain.Cert.URIs) != 0 {
		t.Errorf("URIs = %v, want none", plain.Cert.URIs)
	}
}

func TestIssueAttributesRefused(t *testing.T) {
	c := newCA(t)
	for _, r := range []struct {
		req   Request
		parts []string
	}{
		{Request{Groups: []string{"a b"}}, []string{`"a b" is not the name of a group`}},
		{Request{Groups: []string{"a:b"}}, []string{`"a:b"`}},
		{Request{Routes: routes("10.9.0.1/24")}, []string{"the network is 10.9.0.0/24"}},
		{Request{Routes: routes("224.0.0.0/4")}, []string{"224.0.0.0/4"}},
		{Request{Groups: []string{"a"}, NoGroups: true}, []string{"at once"}},
		{Request{Routes: routes("10.0.0.0/8"), NoRoutes: true}, []string{"at once"}},
	} {
		r.req.Name, r.req.Addrs = "bob", addrs("10.9.0.2")
		_, err := c.Issue(now, rand.Reader, r.req)
		wantError(t, err, r.parts...)
	}
	if list, err := c.List(now); err != nil || len(list) != 0 {
		t.Errorf("list = %v, %v, want no certificate", list, err)
	}
}

// A signing request has no say in groups and routes, whatever it asks for.
func TestSignAttributes(t *testing.T) {
	c := newCA(t)
	key := pkitest.NewKey(t)
	uri := &url.URL{Scheme: "campagnol", Opaque: "group:admins"}
	greedy := csr(t, key, x509.CertificateRequest{Subject: pkix.Name{CommonName: "bob", OrganizationalUnit: []string{"admins"}}, URIs: []*url.URL{uri}})
	out, err := c.Sign(now, rand.Reader, greedy, Request{Addrs: addrs("10.9.0.2"), AddrsFromCSR: true})
	wantAttributes(t, out, err, "[] []")
	if len(out.Cert.URIs) != 0 || len(out.Cert.Subject.OrganizationalUnit) != 0 {
		t.Errorf("URIs %v, subject %v, want nothing of the request", out.Cert.URIs, out.Cert.Subject)
	}
	out, err = c.Sign(now, rand.Reader, greedy, Request{Groups: []string{"guest"}, Routes: routes("10.1.0.0/16"), Renew: true})
	wantAttributes(t, out, err, "[guest] [10.1.0.0/16]")

	// A certificate that is signed anew keeps its own, not those of a newer one.
	first := certPEM(out.Cert)
	out, err = c.Issue(now, rand.Reader, Request{Name: "bob", Renew: true, Groups: []string{"other"}})
	wantAttributes(t, out, err, "[other] [10.1.0.0/16]")
	out, err = c.Sign(now, rand.Reader, first, Request{})
	wantAttributes(t, out, err, "[guest] [10.1.0.0/16]")
	out, err = c.Sign(now, rand.Reader, first, Request{NoGroups: true})
	wantAttributes(t, out, err, "[] [10.1.0.0/16]")
	out, err = c.Sign(now, rand.Reader, certPEM(out.Cert), Request{})
	wantAttributes(t, out, err, "[] [10.1.0.0/16]")
}

// A certificate with attributes that cannot be read is not renewed without a word
// about them: another program may have made it.
func TestRenewUnreadable(t *testing.T) {
	c := newCA(t)
	out := issue(t, c, "odd", "10.9.0.5")
	caKey, err := c.key()
	if err != nil {
		t.Fatal(err)
	}
	tmpl := *out.Cert
	tmpl.URIs = []*url.URL{{Scheme: "campagnol", Opaque: "groups:admins"}}
	odd, err := sign(rand.Reader, &tmpl, c.Cert, out.Cert.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Sign(now, rand.Reader, certPEM(odd), Request{})
	wantError(t, err, "campagnol:groups:admins", "--no-group", "--no-route")
	again, err := c.Sign(now, rand.Reader, certPEM(odd), Request{NoGroups: true, NoRoutes: true})
	wantAttributes(t, again, err, "[] []")
	if strings.Contains(fmt.Sprint(again.Cert.URIs), "admins") {
		t.Errorf("URIs = %v, want none", again.Cert.URIs)
	}
}
