package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

const (
	urlOne = "http://ocsp.example.org:8080/"
	urlTwo = "http://203.0.113.7/ocsp"
)

// newCAWith makes a CA whose certificates name responders.
func newCAWith(t *testing.T, urls ...string) *CA {
	t.Helper()
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{OCSP: urls}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestIssueOCSP: the responder comes from the request, from the certificate that is
// renewed, or from the CA, in this order.
func TestIssueOCSP(t *testing.T) {
	for _, c := range []struct {
		name  string
		ca    []string
		steps []Request
		want  []string // for each step
	}{
		{"none", nil, []Request{{}, {Renew: true}}, []string{"[]", "[]"}},
		{"of the CA", []string{urlOne}, []Request{{}, {Renew: true}}, []string{"[" + urlOne + "]", "[" + urlOne + "]"}},
		{"of the request", nil, []Request{{OCSP: []string{urlTwo}}, {Renew: true}, {Renew: true, OCSP: []string{urlOne, urlTwo}}, {Renew: true}},
			[]string{"[" + urlTwo + "]", "[" + urlTwo + "]", "[" + urlOne + " " + urlTwo + "]", "[" + urlOne + " " + urlTwo + "]"}},
		{"of the request, not of the CA", []string{urlOne}, []Request{{OCSP: []string{urlTwo}}, {Renew: true}}, []string{"[" + urlTwo + "]", "[" + urlTwo + "]"}},
		{"no more", []string{urlOne}, []Request{{NoOCSP: true}, {OCSP: []string{urlTwo}, Renew: true}, {NoOCSP: true, Renew: true}}, []string{"[]", "[" + urlTwo + "]", "[]"}},
	} {
		ca := newCAWith(t, c.ca...)
		for i, req := range c.steps {
			req.Name = "alice"
			if !req.Renew {
				req.Addrs = addrs("10.9.0.1")
			}
			out, err := reopen(t, ca).Issue(now, rand.Reader, req)
			if err != nil {
				t.Fatalf("%s, step %d: %v", c.name, i, err)
			}
			if got := fmt.Sprint(out.Cert.OCSPServer); got != c.want[i] {
				t.Errorf("%s, step %d: %s, want %s", c.name, i, got, c.want[i])
			}
			if _, err := verify(t, out, ca.Files.CRL); err != nil {
				t.Errorf("%s, step %d: a peer refuses it: %v", c.name, i, err)
			}
		}
	}
}

// TestSignOCSP: a certificate that is signed anew keeps its responder; a request has
// no say.
func TestSignOCSP(t *testing.T) {
	c := newCA(t)
	out, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1"), OCSP: []string{urlOne}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Sign(now, rand.Reader, certPEM(out.Cert), Request{})
	if err != nil || !slices.Equal(again.Cert.OCSPServer, []string{urlOne}) {
		t.Errorf("signed anew: %+v, %v, want the responder %s", again, err, urlOne)
	}
	other, err := c.Sign(now, rand.Reader, certPEM(out.Cert), Request{NoOCSP: true})
	if err != nil || len(other.Cert.OCSPServer) != 0 {
		t.Errorf("signed anew without: %+v, %v", other, err)
	}
}

// TestBadOCSP: what hosts would not ask is not put into certificates, neither by
// requests nor by the settings of the CA.
func TestBadOCSP(t *testing.T) {
	c := newCA(t)
	for url, want := range map[string]string{
		"https://ocsp.example.org/":             "over http only",
		"ocsp.example.org":                      "over http only",
		"http://":                               "is not the address",
		"http://a@b/":                           "is not the address",
		"http://localhost:8080/":                "no host asks",
		"http://127.0.0.1/":                     "no host asks",
		"http://[::1]/":                         "no host asks",
		"http://169.254.169.254/":               "no host asks",
		"http://0.0.0.0/":                       "no host asks",
		"http://ocsp.example.org/a,b":           "characters",
		"http://ocsp.example.org/a b":           "characters",
		"http://ocsp.example.org/\u00e9":        "characters",
		"http://ocsp.example.org/$dir":          "characters",
		"http://x/" + strings.Repeat("a", 2048): "longer than",
	} {
		_, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1"), OCSP: []string{url}})
		wantError(t, err, want)
		_, err = Init(filepath.Join(t.TempDir(), "CA"), InitOptions{OCSP: []string{url}}, now, rand.Reader)
		wantError(t, err, want)
	}
	for _, r := range []struct {
		req  Request
		want string
	}{
		{Request{OCSP: []string{urlOne}, NoOCSP: true}, "with and without"},
		{Request{OCSP: []string{urlOne, urlTwo, urlOne}}, "with 3 responders"},
		{Request{Responder: true}, "is no host of the VPN"},
		{Request{Responder: true, Rendezvous: true}, "is no host of the VPN"},
	} {
		r.req.Name, r.req.Addrs = "alice", addrs("10.9.0.1")
		_, err := c.Issue(now, rand.Reader, r.req)
		wantError(t, err, r.want)
	}
	path := filepath.Join(c.Dir, ocspName)
	if err := os.WriteFile(path, []byte("# mine\nftp://x/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := c.Issue(now, rand.Reader, Request{Name: "alice", Addrs: addrs("10.9.0.1")})
	wantError(t, err, path, "over http only", "in each line")
	if list, err := c.List(now); err != nil || len(list) != 0 {
		t.Errorf("%d certificates were issued, %v", len(list), err)
	}
}

// TestResponder: the certificate of a responder can do nothing but sign answers,
// and stays one when it is renewed.
func TestResponder(t *testing.T) {
	c := newCAWith(t, urlOne)
	out, err := c.Issue(now, rand.Reader, Request{Name: "ocsp", Responder: true})
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := c.Issue(now, rand.Reader, Request{Name: "ocsp", Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.Sign(now, rand.Reader, certPEM(out.Cert), Request{})
	if err != nil {
		t.Fatal(err)
	}
	for name, i := range map[string]*Issued{"new": out, "renewed": renewed, "signed anew": signed} {
		if !slices.Equal(i.Cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}) || i.Cert.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: usages %v, %v", name, i.Cert.KeyUsage, i.Cert.ExtKeyUsage)
		}
		noCheck := slices.ContainsFunc(i.Cert.Extensions, func(e pkix.Extension) bool {
			return e.Id.Equal(oidNoCheck) && slices.Equal(e.Value, asn1.NullBytes) && !e.Critical
		})
		if !noCheck || len(i.Cert.OCSPServer) != 0 || len(i.Addrs) != 0 {
			t.Errorf("%s: no check %v, responders %v, addresses %v", name, noCheck, i.Cert.OCSPServer, i.Addrs)
		}
		if _, err := verify(t, i, c.Files.CRL); err == nil || !strings.Contains(err.Error(), "extended key usage") {
			t.Errorf("%s: a peer says %v, want that it is no member", name, err)
		}
	}
	if member := issue(t, c, "alice", "10.9.0.1"); isResponder(member.Cert) {
		t.Error("a member is a responder")
	}
	d, err := c.Show(now, "ocsp")
	if err != nil || len(d) != 3 || !slices.Contains(d[0].Usage, "OCSPSigning") {
		t.Errorf("shown %+v, %v", d, err)
	}
}

// TestOpenSSLNamesResponder: what "openssl ca" issues in the directory of a CA names
// the responder of the CA, too.
func TestOpenSSLNamesResponder(t *testing.T) {
	c := newCAWith(t, urlOne, urlTwo)
	o := pkitest.NeedOpenSSL(t, c.Dir)
	o.Run(t, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "bob.key", "-subj", "/CN=bob", "-out", "bob.csr")
	o.Run(t, "ca", "-batch", "-config", "openssl.cnf", "-notext", "-in", "bob.csr", "-out", "bob.pem")
	certs, err := pki.LoadCertificates(filepath.Join(c.Dir, "bob.pem"))
	if err != nil || !slices.Equal(certs[0].OCSPServer, []string{urlOne, urlTwo}) {
		t.Fatalf("%v, %v, want both responders", certs, err)
	}
	o.Run(t, "ca", "-config", "openssl.cnf", "-gencrl", "-out", "crl.pem") // the rest of the file is whole
}
