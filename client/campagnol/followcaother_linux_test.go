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
	w := v.follow(g, "office")
	w.knows("ocsp.example.org")
	w.does("campagnol ca init --ocsp")
	w.run("office", "campagnol ca issue alice --ip 10.9.0.1")
	if out := w.does("campagnol ca issue alice --renew --ocsp"); !strings.Contains(out, "alice (10.9.0.1)") {
		t.Errorf("alice with a responder: %q", out)
	}
	w.does("campagnol ca issue responder")
	w.does("scp -p CA/index.txt")
	w.does("scp -p CA/hosts/responder")
	w.does("openssl ocsp -port 8080")
	w.until("ocsp.example.org", "cat /proc/net/tcp6 /proc/net/tcp", ":1F90 ")
	w.does("scp CA/index.txt")
	w.does("openssl ocsp -url")

	// As it is after a revocation, with the second question.
	w.run("office", "campagnol ca revoke alice")
	w.scp("office", "scp CA/index.txt root@ocsp.example.org:")
	w.until("office", "openssl ocsp -url http://ocsp.example.org:8080/ -issuer CA/cacert.pem -CAfile CA/cacert.pem -cert CA/hosts/alice/certificate.pem", "certificate.pem: revoked")
}

// oldScript makes a CA as the script of Campagnol 0.3.5 did: RSA keys of 1024 bits,
// its own encrypted, signatures with SHA-1, and certificates without VPN address.
const oldScript = `set -e
mkdir -p CA/private CA/certs CA/alice CA/bob && cd CA
cat >ssl.cnf <<END
[ca]
default_ca = d
[d]
dir = .
database = index.txt
new_certs_dir = certs
certificate = cacert.pem
serial = serial
private_key = private/cakey.pem
default_days = 730
default_md = sha1
policy = p
[p]
commonName = supplied
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = CA:true
END
echo 01 >serial && : >index.txt
openssl req -new -x509 -sha1 -newkey rsa:1024 -days 730 -extensions v3_ca -config ssl.cnf -passout pass:secret -keyout private/cakey.pem -out cacert.pem -subj /CN=vpn.example
for host in alice:2048 bob:1024; do
	name=${host%:*}
	openssl req -new -nodes -newkey rsa:${host#*:} -config ssl.cnf -keyout $name/key.pem -out r.csr -subj /CN=$name.example
	openssl ca -batch -config ssl.cnf -passin pass:secret -in r.csr -out $name/certificate.pem
done`

// TestCAFromOriginal continues the CA of an original.
func TestCAFromOriginal(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	testenv.Tool(t, "script", "bsdutils")
	g := guide.Open(t, "docs/ca.md", "From Campagnol 0.3.5")
	v := newVillage(t)
	v.host("office", lab.None)
	v.run("office", oldScript)
	w := v.follow(g, "office")
	w.secret = "secret"
	w.does("campagnol ca sign CA/alice/certificate.pem")
	w.fails("office", "campagnol ca sign CA/bob/certificate.pem --ip 10.9.0.2 </dev/null", "1024 bits")
	w.does("campagnol ca issue bob.example --renew")
}

// TestCAWithOpenSSL issues a certificate with OpenSSL in a directory of ours.
func TestCAWithOpenSSL(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "openssl", "openssl")
	g := guide.Open(t, "docs/ca.md", "With OpenSSL, or another CA")
	v := newVillage(t)
	v.host("office", lab.None)
	w := v.follow(g, "office")
	w.run("office", "campagnol ca init && openssl req -new -newkey rsa:2048 -nodes -keyout host.key -subj /CN=host -out host.csr")
	w.does("(cd CA && openssl ca")
	if out := w.run("office", "campagnol ca list"); !strings.Contains(out, "host") || !strings.Contains(out, "valid") {
		t.Errorf("the CA does not know what OpenSSL has issued: %q", out)
	}
	w.run("office", "openssl verify -CAfile CA/cacert.pem host.pem")
}
