package ca

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// These tests let the openssl program and this package work on one CA. It takes
// the clock of the machine, so they do too.

func realCA(t *testing.T, opts InitOptions) (*CA, pkitest.OpenSSL) {
	t.Helper()
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	c, err := Init(dir, opts, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c, openssl
}

func realIssue(t *testing.T, c *CA, req Request) *Issued {
	t.Helper()
	out, err := c.Issue(time.Now(), rand.Reader, req)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantOutput checks the output of openssl.
func wantOutput(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("openssl says %q, want %q in it", out, part)
		}
	}
}

func TestOpenSSLReadsOurs(t *testing.T) {
	for _, opts := range []InitOptions{{}, {RSA: 2048}} {
		c, openssl := realCA(t, opts)
		alice := realIssue(t, c, Request{Name: "alice", Addrs: addrs("10.9.0.1", "fd00::1")})
		bob := realIssue(t, c, Request{Name: "bob", Addrs: addrs("10.9.0.2"), RSA: 2048})
		for _, out := range []*Issued{alice, bob} {
			for _, purpose := range []string{"sslclient", "sslserver"} {
				wantOutput(t, openssl.Run(t, "verify", "-x509_strict", "-CAfile", out.CAFile, "-purpose", purpose, "-crl_check", "-CRLfile", c.Files.CRL, out.CertFile), "OK")
			}
			openssl.Run(t, "pkey", "-in", out.KeyFile, "-check", "-noout")
		}
		wantOutput(t, openssl.Run(t, "x509", "-in", alice.CertFile, "-noout", "-text"),
			"IP Address:10.9.0.1, IP Address:FD00:0:0:0:0:0:0:1", "Digital Signature, Key Agreement", "TLS Web Client Authentication, TLS Web Server Authentication", "CA:FALSE")
		wantOutput(t, openssl.Run(t, "x509", "-in", bob.CertFile, "-noout", "-text"), "Digital Signature, Key Encipherment")

		if _, err := c.Revoke(time.Now(), "bob", "keyCompromise"); err != nil {
			t.Fatal(err)
		}
		l, err := c.CRL(time.Now(), rand.Reader, 0)
		if err != nil {
			t.Fatal(err)
		}
		wantOutput(t, openssl.Run(t, "crl", "-in", l.File, "-CAfile", c.Files.Cert, "-noout", "-text"), "verify OK",
			formatSerial(bob.Cert.SerialNumber), "Key Compromise")
		out, err := openssl.Try("verify", "-CAfile", bob.CAFile, "-crl_check", "-CRLfile", l.File, bob.CertFile)
		if err == nil {
			t.Error("openssl accepts a revoked certificate")
		}
		wantOutput(t, out, "certificate revoked")
	}
}

// TestOpenSSLContinuesOurs lets "openssl ca" work on a CA that we made.
func TestOpenSSLContinuesOurs(t *testing.T) {
	c, openssl := realCA(t, InitOptions{})
	alice := realIssue(t, c, Request{Name: "alice", Addrs: addrs("10.9.0.1")})
	realIssue(t, c, Request{Name: "alice", Renew: true}) // two certificates of one subject
	ca := func(args ...string) string {
		t.Helper()
		return openssl.Run(t, append([]string{"ca", "-config", "openssl.cnf", "-batch"}, args...)...)
	}
	// "openssl ca -status" says what it knows and then exits with 1.
	status := func(serial string) string {
		out, _ := openssl.Try("ca", "-config", "openssl.cnf", "-status", serial)
		return out
	}
	serial := formatSerial(alice.Cert.SerialNumber)
	wantOutput(t, status(serial), serial+"=Valid")
	openssl.Run(t, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "bob.key")
	write(t, filepath.Join(c.Dir, "req.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n")
	openssl.Run(t, "req", "-new", "-config", "req.cnf", "-key", "bob.key", "-subj", "/O=ignored/CN=bob", "-addext", "subjectAltName=IP:10.9.0.2", "-out", "bob.csr")
	ca("-in", "bob.csr", "-out", "bob.pem")
	ca("-revoke", "certs/"+serial+".pem", "-crl_reason", "superseded")
	ca("-updatedb")
	ca("-gencrl", "-out", "crl.pem")

	// We see what openssl did.
	c = reopen(t, c)
	list, err := c.List(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s %s %v %s %t", e.Name, e.Status, e.Addrs, e.Reason, e.File != ""))
	}
	want := "alice revoked [10.9.0.1] superseded true, alice valid [10.9.0.1]  true, bob valid [10.9.0.2]  true"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("list = %q, want %q", s, want)
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: c.Files.Cert, CRLFile: c.Files.CRL}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bob, err := pki.LoadCertificates(list[2].File)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err := p.Verify(time.Now(), [][]byte{bob[0].Raw}, pki.Client); err != nil || peer.Name != "bob" || fmt.Sprint(peer.Addrs) != "[10.9.0.2]" {
		t.Errorf("bob: %+v, %v", peer, err)
	}
	_, err = p.Verify(time.Now(), [][]byte{alice.Cert.Raw}, pki.Client)
	var r *pki.Refusal
	if !errors.As(err, &r) || r.Reason != pki.Revoked {
		t.Errorf("alice: %v, want Revoked", err)
	}
	// The address that openssl gave away is taken; the name too.
	_, err = c.Issue(time.Now(), rand.Reader, Request{Name: "carl", Addrs: addrs("10.9.0.2")})
	wantError(t, err, `belongs to "bob"`)
	// And openssl can go on after us.
	if _, err := c.Revoke(time.Now(), "bob", "cessationOfOperation"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(time.Now(), rand.Reader, 0); err != nil {
		t.Fatal(err)
	}
	wantOutput(t, status(list[2].Serial), list[2].Serial+"=Revoked")
	ca("-gencrl", "-out", "crl2.pem")
	wantOutput(t, openssl.Run(t, "crl", "-in", "crl2.pem", "-noout", "-text"), "Cessation Of Operation", "Superseded")
	numbers := openssl.Run(t, "crl", "-in", "crl.pem", "-noout", "-crlnumber") + openssl.Run(t, "crl", "-in", "crl2.pem", "-noout", "-crlnumber")
	if numbers != "crlNumber=0x03\ncrlNumber=0x04\n" {
		t.Errorf("numbers of the lists = %q, want 3 and 4", numbers)
	}
}

// oldCA makes a CA as Campagnol 0.3.5's script did: RSA with 1024 bits, an
// encrypted key, SHA-1, certificates of version 1, lists of version 1.
func oldCA(t *testing.T) (dir string, openssl pkitest.OpenSSL) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "CA")
	for _, d := range []string{"private", "certs", "alice", "bob"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	openssl = pkitest.NeedOpenSSL(t, dir)
	write(t, filepath.Join(dir, "ssl.cnf"), `[ca]
default_ca = d
[d]
dir = .
database = $dir/index.txt
new_certs_dir = $dir/certs
certificate = $dir/cacert.pem
serial = $dir/serial
private_key = $dir/private/cakey.pem
default_days = 730
default_crl_days = 30
default_md = sha1
policy = p
[p]
countryName = match
organizationName = match
organizationalUnitName = optional
commonName = supplied
emailAddress = optional
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = CA:true
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer:always
`)
	write(t, filepath.Join(dir, "serial"), "01\n")
	write(t, filepath.Join(dir, "index.txt"), "")
	openssl.Run(t, "req", "-new", "-x509", "-sha1", "-newkey", "rsa:1024", "-days", "730", "-extensions", "v3_ca", "-config", "ssl.cnf",
		"-passout", "pass:secret", "-keyout", "private/cakey.pem", "-out", "cacert.pem", "-subj", "/C=FR/O=Campagnol VPN/CN=vpn.example/emailAddress=root@vpn.example")
	for name, bits := range map[string]string{"alice": "2048", "bob": "1024"} {
		openssl.Run(t, "req", "-new", "-nodes", "-newkey", "rsa:"+bits, "-config", "ssl.cnf", "-keyout", name+"/key.pem", "-out", "r.csr",
			"-subj", "/C=FR/O=Campagnol VPN/OU="+name+"/CN="+name+".example/emailAddress=root@vpn.example")
		openssl.Run(t, "ca", "-batch", "-config", "ssl.cnf", "-passin", "pass:secret", "-in", "r.csr", "-out", name+"/certificate.pem")
	}
	return dir, openssl
}

// TestOpenSSLOldCA continues a CA of Campagnol 0.3.5 and brings its hosts into
// the present.
func TestOpenSSLOldCA(t *testing.T) {
	dir, openssl := oldCA(t)
	c, err := Open(dir, Files{})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	c.Passphrase = func(string) ([]byte, error) { asked++; return []byte("secret"), nil }
	list, err := c.List(time.Now())
	if err != nil || len(list) != 2 || list[0].File == "" || !strings.HasSuffix(list[0].Name, ".example") {
		t.Fatalf("list = %+v, %v", list, err)
	}
	alice := filepath.Join(dir, "alice")
	_, err = pki.LoadIdentity(filepath.Join(alice, "certificate.pem"), filepath.Join(alice, "key.pem"))
	if err == nil || !strings.Contains(err.Error(), "campagnol ca sign") {
		t.Errorf("the old certificate: %v, want a refusal with the remedy", err)
	}
	old, err := os.ReadFile(filepath.Join(alice, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Sign(time.Now(), rand.Reader, old, Request{Addrs: addrs("10.9.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(out.Notes, "\n")
	if asked != 1 || out.Name != "alice.example" || !strings.Contains(notes, "1024 bits") || !strings.Contains(notes, "older certificate") {
		t.Errorf("asked %d times, issued %+v", asked, out)
	}
	id, err := pki.LoadIdentity(out.CertFile, filepath.Join(alice, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: out.CAFile}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.VerifyOwn(time.Now(), id); err != nil {
		t.Errorf("below the old root: %v", err)
	}
	// The small key of bob has to go, unless somebody insists.
	bob, err := os.ReadFile(filepath.Join(dir, "bob", "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Sign(time.Now(), rand.Reader, bob, Request{Addrs: addrs("10.9.0.2")})
	wantError(t, err, "1024 bits")
	realIssue(t, c, Request{Name: "bob.example", Addrs: addrs("10.9.0.2"), Renew: true})

	// openssl still works on it, the serial number has moved on, and its list
	// of version 1 revokes.
	if serial := read(t, filepath.Join(dir, "serial")); serial != "05\n" {
		t.Errorf("serial = %q, want 05", serial)
	}
	openssl.Run(t, "ca", "-config", "ssl.cnf", "-passin", "pass:secret", "-revoke", "certs/"+formatSerial(out.Cert.SerialNumber)+".pem")
	openssl.Run(t, "ca", "-config", "ssl.cnf", "-passin", "pass:secret", "-md", "sha256", "-gencrl", "-out", "crl.pem")
	wantOutput(t, openssl.Run(t, "crl", "-in", "crl.pem", "-noout", "-text"), "Version 1 ")
	_, err = verifyNow(t, out, c.Files.CRL)
	var r *pki.Refusal
	if !errors.As(err, &r) || r.Reason != pki.Revoked {
		t.Errorf("with the list of openssl: %v, want Revoked", err)
	}
	if _, err := c.CRL(time.Now(), rand.Reader, 0); err != nil {
		t.Fatal(err)
	}
	if _, err = verifyNow(t, out, c.Files.CRL); !errors.As(err, &r) || r.Reason != pki.Revoked {
		t.Errorf("with our list: %v, want Revoked", err)
	}
}

// verifyNow decides about a certificate at the time of the machine.
func verifyNow(t *testing.T, out *Issued, crlFile string) (*pki.Peer, error) {
	t.Helper()
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: out.CAFile, CRLFile: crlFile}, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return p.Verify(time.Now().Add(time.Second), [][]byte{out.Cert.Raw}, pki.Client)
}

// TestOpenSSLDemoCA opens the layout of OpenSSL's own scripts.
func TestOpenSSLDemoCA(t *testing.T) {
	dir, openssl := oldCA(t)
	if err := os.Rename(filepath.Join(dir, "certs"), filepath.Join(dir, "newcerts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "crlnumber"), "1000\n")
	openssl.Run(t, "pkey", "-in", "private/cakey.pem", "-passin", "pass:secret", "-out", "clear.pem")
	if err := os.Rename(filepath.Join(dir, "clear.pem"), filepath.Join(dir, "private", "cakey.pem")); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, Files{})
	if err != nil {
		t.Fatal(err)
	}
	out := realIssue(t, c, Request{Name: "carl", Addrs: addrs("10.9.0.3")})
	if want := filepath.Join(dir, "newcerts", "03.pem"); c.certFile(formatSerial(out.Cert.SerialNumber)) != want {
		t.Errorf("certificate in %s, want %s", c.certFile(formatSerial(out.Cert.SerialNumber)), want)
	}
	if _, err := os.Stat(filepath.Join(dir, "newcerts", "03.pem")); err != nil {
		t.Error(err)
	}
	if l, err := c.CRL(time.Now(), rand.Reader, 0); err != nil || l.Number.Text(16) != "1000" {
		t.Errorf("list = %+v, %v, want number 1000", l, err)
	}
}

// TestOpenSSLRequests signs requests that openssl made, with its kinds of keys.
func TestOpenSSLRequests(t *testing.T) {
	c, openssl := realCA(t, InitOptions{})
	write(t, filepath.Join(c.Dir, "req.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n")
	for i, args := range []string{"-newkey rsa:2048 -sha256", "-newkey ec -pkeyopt ec_paramgen_curve:secp384r1", "-newkey ed25519", "-newkey rsa:2048 -sha256 -newhdr"} {
		name := fmt.Sprint("host", i)
		openssl.Run(t, append([]string{"req", "-new", "-nodes", "-config", "req.cnf", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name}, strings.Fields(args)...)...)
		out, err := c.Sign(time.Now(), rand.Reader, []byte(read(t, filepath.Join(c.Dir, name+".csr"))), Request{Addrs: addrs(fmt.Sprint("10.9.0.", i+1))})
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		wantOutput(t, openssl.Run(t, "verify", "-CAfile", out.CAFile, "-purpose", "sslserver", out.CertFile), "OK")
		if _, err := pki.LoadIdentity(out.CertFile, filepath.Join(c.Dir, name+".key")); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	openssl.Run(t, "req", "-new", "-nodes", "-config", "req.cnf", "-newkey", "rsa:2048", "-md5", "-keyout", "x.key", "-out", "x.csr", "-subj", "/CN=x")
	_, err := c.Sign(time.Now(), rand.Reader, []byte(read(t, filepath.Join(c.Dir, "x.csr"))), Request{Addrs: addrs("10.9.0.9")})
	wantError(t, err, "signing request", "MD5")
}
