package main

import (
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// These tests follow docs/ocsp.md, and what docs/ca.md says of other programs: OpenSSL,
// and the CA of Campagnol 0.3.5.

// TestCAResponder has OpenSSL's responder tell what was revoked.
func TestCAResponder(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	g := guide.Open(t, "docs/ocsp.md")
	v := newVillage(t)
	v.host("office", lab.None)
	v.host("ocsp.example.org", lab.None)
	r := readIn(v, g)
	r.home = "office"
	v.knows("ocsp.example.org")
	r.next("campagnol ca init --ocsp")
	v.run("office", "campagnol ca issue alice --ip 10.9.0.1")
	if out := r.next("campagnol ca issue alice --renew --ocsp"); !strings.Contains(out, "alice (10.9.0.1)") {
		t.Errorf("alice with a responder: %q", out)
	}
	r.next("campagnol ca issue responder")
	r.next("scp -p CA/index.txt")
	r.next("scp -p CA/hosts/responder")
	r.next("openssl ocsp -port 8080")
	v.until("ocsp.example.org", "cat /proc/net/tcp6 /proc/net/tcp", ":1F90 ")
	r.next("scp CA/index.txt")
	r.next("openssl ocsp -url")

	// As it is after a revocation, with the second question.
	v.run("office", "campagnol ca revoke alice")
	v.scp("office", "scp CA/index.txt root@ocsp.example.org:")
	v.until("office", "openssl ocsp -url http://ocsp.example.org:8080/ -issuer CA/cacert.pem -CAfile CA/cacert.pem -cert CA/hosts/alice/certificate.pem", "certificate.pem: revoked")
}

// TestCAFromOriginal continues the CA of an original.
func TestCAFromOriginal(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	testenv.Tool(t, "script", "bsdutils")
	g := guide.Open(t, "docs/ca.md", "From Campagnol 0.3.5")
	v := newVillage(t)
	v.host("office", lab.None)
	v.run("office", "BITS=1024 SECRET=secret HOSTS='alice:2048 bob:1024' DOMAIN=.example\n"+oldCA)
	r := readIn(v, g)
	r.home = "office"
	r.secret = "secret"
	r.next("campagnol ca sign CA/alice/certificate.pem")
	v.fails("office", "campagnol ca sign CA/bob/certificate.pem --ip 10.9.0.2 </dev/null", "1024 bits")
	r.next("campagnol ca issue bob.example --renew")
}

// TestCAWithOpenSSL issues a certificate with OpenSSL in a directory of ours.
func TestCAWithOpenSSL(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	g := guide.Open(t, "docs/ca.md", "With OpenSSL, or another CA")
	v := newVillage(t)
	v.host("office", lab.None)
	r := readIn(v, g)
	r.home = "office"
	v.run("office", "campagnol ca init && openssl req -new -newkey rsa:2048 -nodes -keyout host.key -subj /CN=host -out host.csr")
	r.next("(cd CA && openssl ca")
	if out := v.run("office", "campagnol ca list"); !strings.Contains(out, "host") || !strings.Contains(out, "valid") {
		t.Errorf("the CA does not know what OpenSSL has issued: %q", out)
	}
	v.run("office", "openssl verify -CAfile CA/cacert.pem host.pem")
}
