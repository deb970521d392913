package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// These tests compare with the openssl program: what Campagnol 0.3.5 accepted
// was what OpenSSL accepted.

// TestOpenSSLVerify lets "openssl verify" decide about the same chains.
func TestOpenSSLVerify(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	deep := sub.Intermediate(t, "deep")
	mail := root.Intermediate(t, "mail", pkitest.ExtUsage(x509.ExtKeyUsageEmailProtection))
	webCA := root.Intermediate(t, "web", pkitest.ExtUsage(x509.ExtKeyUsageServerAuth))
	other := pkitest.NewCA(t, "other", now)
	eve := root.Issue(t, "eve")
	netscape := func(bits byte) pkitest.Edit {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidNetscapeCertType, Value: []byte{3, 2, 5, bits}}}
		}
	}
	leaves := []struct {
		name string
		leaf *pkitest.Leaf
		// stricter names the role that OpenSSL accepts and we do not, or laxer
		// the other way round, on purpose.
		stricter, laxer []Role
	}{
		{name: "plain", leaf: root.Issue(t, "bob")},
		{name: "by sub", leaf: sub.Issue(t, "bob")},
		{name: "by deep", leaf: deep.Issue(t, "bob")},
		{name: "no extended usage", leaf: root.Issue(t, "bob", pkitest.ExtUsage())},
		{name: "client", leaf: root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageClientAuth))},
		{name: "server", leaf: root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageServerAuth))},
		{name: "code", leaf: root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageCodeSigning))},
		{name: "any", leaf: root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageAny)), laxer: []Role{Client, Server}},
		{name: "gated cryptography", leaf: root.Issue(t, "bob", pkitest.ExtUsage(x509.ExtKeyUsageMicrosoftServerGatedCrypto))},
		{name: "Netscape client", leaf: root.Issue(t, "bob", netscape(0x80))},
		{name: "Netscape server", leaf: root.Issue(t, "bob", netscape(0x40))},
		{name: "Netscape mail", leaf: root.Issue(t, "bob", netscape(0x20))},
		{name: "no usage", leaf: root.Issue(t, "bob", pkitest.Usage(0))},
		{name: "key encipherment", leaf: root.Issue(t, "bob", pkitest.Usage(x509.KeyUsageKeyEncipherment)), stricter: []Role{Server}},
		{name: "key agreement", leaf: root.Issue(t, "bob", pkitest.Usage(x509.KeyUsageKeyAgreement)), stricter: []Role{Client, Server}},
		{name: "certificate signing", leaf: root.Issue(t, "bob", pkitest.Usage(x509.KeyUsageCertSign))},
		{name: "by a CA for mail", leaf: mail.Issue(t, "bob")},
		{name: "by a CA for servers", leaf: webCA.Issue(t, "bob")},
		{name: "expired", leaf: root.Issue(t, "bob", pkitest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour)))},
		{name: "not yet valid", leaf: root.Issue(t, "bob", pkitest.Valid(now.Add(time.Hour), now.Add(2*time.Hour)))},
		{name: "other CA", leaf: other.Issue(t, "bob")},
		{name: "missing intermediate", leaf: &pkitest.Leaf{Chain: sub.Issue(t, "bob").Chain[:1]}},
		{name: "revoked", leaf: eve},
	}
	caFile := root.WriteFile(t, dir)
	crlFile := filepath.Join(dir, "crl.pem")
	pkitest.Write(t, crlFile, "X509 CRL", root.CRL(t, now.Add(-time.Minute), now.Add(time.Hour), eve.Cert), sub.CRL(t, now, now.Add(time.Hour)))
	for _, crl := range []string{"", crlFile} {
		for depth := 0; depth <= 3; depth++ {
			p := load(t, PolicyConfig{CAFile: caFile, CRLFile: crl, VerifyDepth: depth})
			for i, l := range leaves {
				if depth > 0 && i > 2 {
					break // the first three have chains of different length
				}
				for _, role := range []Role{Client, Server} {
					_, err := p.Verify(now, l.leaf.Raw(), role)
					ours := err == nil
					theirs, out := opensslAccepts(t, openssl, dir, l.leaf, role, caFile, crl, depth)
					switch {
					case ours == theirs:
					case theirs && contains(l.stricter, role), ours && contains(l.laxer, role):
					default:
						t.Errorf("%s as %v, depth %d, CRL %q: we say %v, openssl says %v\n%s", l.name, role, depth, crl, err, theirs, out)
					}
				}
			}
		}
	}
}

func contains(roles []Role, r Role) bool {
	return strings.Contains(fmt.Sprint(roles), r.String())
}

// opensslAccepts asks "openssl verify". Its -verify_depth counts only the
// intermediate CAs since version 1.1, so that 1.0's depth is one more.
func opensslAccepts(t *testing.T, openssl pkitest.OpenSSL, dir string, l *pkitest.Leaf, role Role, caFile, crlFile string, depth int) (bool, string) {
	t.Helper()
	leafFile, sentFile := filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "sent.pem")
	raw := l.Raw()
	pkitest.Write(t, leafFile, "CERTIFICATE", raw[0])
	pkitest.Write(t, sentFile, "CERTIFICATE", raw[1:]...)
	args := []string{"verify", "-CAfile", caFile, "-no-CApath", "-no-CAstore", "-attime", fmt.Sprint(now.Unix()),
		"-purpose", map[Role]string{Client: "sslclient", Server: "sslserver"}[role]}
	if len(raw) > 1 {
		args = append(args, "-untrusted", sentFile)
	}
	if crlFile != "" {
		args = append(args, "-crl_check", "-CRLfile", crlFile)
	}
	if depth > 0 {
		args = append(args, "-verify_depth", fmt.Sprint(depth-1))
	}
	out, err := openssl.Try(append(args, leafFile)...)
	return err == nil, out
}

// hardNames are names whose canonical form is not their own.
func hardNames(t *testing.T) map[string][]byte {
	t.Helper()
	attr := func(oid asn1.ObjectIdentifier, tag int, value string) []byte {
		t.Helper()
		der, err := asn1.Marshal(struct {
			OID   asn1.ObjectIdentifier
			Value asn1.RawValue
		}{oid, asn1.RawValue{Tag: tag, Bytes: []byte(value)}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	wrap := func(tag int, parts ...[]byte) []byte {
		t.Helper()
		der, err := asn1.Marshal(asn1.RawValue{Tag: tag, IsCompound: true, Bytes: []byte(strings.Join(asStrings(parts), ""))})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	const set, seq = asn1.TagSet, asn1.TagSequence
	c, o, cn := asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 3}
	mail := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	one := func(tag int, value string) []byte { return wrap(seq, wrap(set, attr(cn, tag, value))) }
	return map[string][]byte{
		"plain":             one(asn1.TagUTF8String, "root"),
		"printable":         one(asn1.TagPrintableString, "ROOT"),
		"spaces":            one(asn1.TagUTF8String, "  My \t\n VPN   CA\r "),
		"only spaces":       one(asn1.TagUTF8String, "   "),
		"no value":          one(asn1.TagUTF8String, ""),
		"upper case beyond": one(asn1.TagUTF8String, "CÀFÉ Zoë"),
		"T61 Latin-1":       one(asn1.TagT61String, "Caf\xe9"),
		"BMP":               one(asn1.TagBMPString, "\x00C\x00a\x00f\x00\xe9\x20\xac"),
		"numeric":           one(asn1.TagNumericString, "12 34"),
		"the original's": wrap(seq, wrap(set, attr(c, asn1.TagPrintableString, "FR")),
			wrap(set, attr(o, asn1.TagPrintableString, "Campagnol VPN")),
			wrap(set, attr(cn, asn1.TagT61String, "vpn.example")),
			wrap(set, attr(mail, asn1.TagIA5String, "Root@Vpn.example"))),
		"two in a set":          wrap(seq, wrap(set, attr(cn, asn1.TagUTF8String, "b"), attr(o, asn1.TagUTF8String, "a"))),
		"two in a set, reorder": wrap(seq, wrap(set, attr(cn, asn1.TagPrintableString, "ZZ  Z"), attr(cn, asn1.TagUTF8String, "aaaa"))),
		"empty":                 wrap(seq),
	}
}

func asStrings(parts [][]byte) []string {
	var s []string
	for _, p := range parts {
		s = append(s, string(p))
	}
	return s
}

func TestNameHashOpenSSL(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	file := filepath.Join(dir, "c.pem")
	for label, raw := range hardNames(t) {
		cert := pkitest.NewCA(t, "", now, func(c *x509.Certificate) { c.RawSubject = raw }).Cert
		pkitest.Write(t, file, "CERTIFICATE", cert.Raw)
		want := strings.TrimSpace(openssl.Run(t, "x509", "-noout", "-hash", "-in", file))
		if got := fmt.Sprintf("%08x", mustHash(t, cert.RawSubject)); got != want {
			t.Errorf("%s: hash = %s, openssl says %s", label, got, want)
		}
	}
}

// Names that differ only where OpenSSL does not look are equal.
func TestCanonicalName(t *testing.T) {
	names := hardNames(t)
	a, err := canonicalName(names["plain"])
	if err != nil {
		t.Fatal(err)
	}
	b, err := canonicalName(names["printable"])
	if err != nil || string(a) != string(b) {
		t.Errorf("canonical = %x and %x, %v, want equal", a, b, err)
	}
	for label, raw := range map[string]string{
		"nothing": "", "no sequence": "\x31\x00", "trailing": "\x30\x00\x00", "no set": "\x30\x02\x05\x00",
		"no attribute":   "\x30\x04\x31\x02\x05\x00",
		"half BMP":       "\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02\xd8\x00",
		"odd BMP":        "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x1e\x01\x41",
		"not UTF-8":      "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xff",
		"more than pair": "\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x01\x41\x05\x00",
	} {
		if c, err := canonicalName([]byte(raw)); err == nil {
			t.Errorf("%s: canonical form %x, want an error", label, c)
		}
	}
}

// TestOpenSSLRehash reads a directory that openssl has made.
func TestOpenSSLRehash(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	one := pkitest.NewCA(t, "Some  VPN", now)
	same := pkitest.NewCA(t, "some vpn", now) // the same hash
	eve := one.Issue(t, "eve")
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	one.WriteFile(t, store)
	same.WriteFile(t, store)
	crl := filepath.Join(store, "list.pem")
	pkitest.Write(t, crl, "X509 CRL", one.CRL(t, now, now.Add(time.Hour), eve.Cert))
	openssl.Run(t, "rehash", store)
	p := load(t, PolicyConfig{CADir: store, CRLFile: crl})
	wantWarnings(t, p.Warnings())
	if len(p.Roots()) != 2 {
		t.Errorf("%d roots, want 2", len(p.Roots()))
	}
	if _, err := p.Verify(now, one.Issue(t, "bob").Raw(), Client); err != nil {
		t.Error(err)
	}
	_, err := p.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, Revoked)
}

// TestD_C6_OldCertificates makes what the CA script of Campagnol 0.3.5 made:
// certificates of version 1 without extensions.
func TestD_C6_OldCertificates(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	root := pkitest.NewCAWithKey(t, "root", now, pkitest.RSAKey(t), pkitest.Usage(0))
	(&pkitest.Leaf{Cert: root.Cert, Key: root.Key, Chain: []*x509.Certificate{root.Cert}}).WriteFiles(t, dir)
	make1 := func(name, digest string) []byte {
		t.Helper()
		openssl.Run(t, "genrsa", "-out", name+".key", "1024")
		if err := os.WriteFile(filepath.Join(dir, "req.cnf"), []byte("[req]\ndistinguished_name=dn\n[dn]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		openssl.Run(t, "req", "-new", "-config", "req.cnf", "-key", name+".key", "-subj", "/C=FR/O=Campagnol VPN/CN="+name, "-out", "r.csr")
		openssl.Run(t, "x509", "-req", "-in", "r.csr", "-"+digest, "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-days", "36500", "-out", name+".pem")
		certs, err := LoadCertificates(filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		if certs[0].Version != 1 {
			t.Fatalf("version %d, want 1", certs[0].Version)
		}
		return certs[0].Raw
	}
	p := newPolicy(t, 0, root.Cert)
	for digest, weak := range map[string]bool{"sha256": false, "sha1": true, "md5": true} {
		raw := make1(digest, digest)
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		at := cert.NotBefore // openssl takes the clock of the machine
		at = at.Add(time.Second)
		peer, err := p.Verify(at, [][]byte{raw}, Client)
		if weak {
			wantRefusal(t, err, WeakSignature, strings.ToUpper(digest), "campagnol ca sign")
			_, err = LoadIdentity(filepath.Join(dir, digest+".pem"), filepath.Join(dir, digest+".key"))
			wantError(t, err, "our own", "campagnol ca sign")
			continue
		}
		if err != nil || peer.Name != digest || len(peer.Addrs) != 0 {
			t.Errorf("%s: %v, %v, want it accepted", digest, peer, err)
		}
	}
}

// TestOpenSSLKeys reads keys as openssl writes them.
func TestOpenSSLKeys(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	openssl.Run(t, "ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.pem")
	openssl.Run(t, "genrsa", "-traditional", "-out", "rsa1.pem", "2048")
	openssl.Run(t, "pkcs8", "-topk8", "-nocrypt", "-in", "rsa1.pem", "-out", "rsa8.pem")
	openssl.Run(t, "genpkey", "-algorithm", "ed25519", "-out", "ed.pem")
	for _, name := range []string{"ec.pem", "rsa1.pem", "rsa8.pem", "ed.pem"} {
		if _, err := LoadKey(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	openssl.Run(t, "rsa", "-in", "rsa1.pem", "-traditional", "-aes128", "-passout", "pass:x", "-out", "enc1.pem")
	openssl.Run(t, "pkcs8", "-topk8", "-in", "rsa1.pem", "-passout", "pass:x", "-out", "enc8.pem")
	openssl.Run(t, "genpkey", "-algorithm", "dsa", "-pkeyopt", "dsa_paramgen_bits:1024", "-genparam", "-out", "dsap.pem")
	openssl.Run(t, "genpkey", "-paramfile", "dsap.pem", "-out", "dsa.pem")
	for name, part := range map[string]string{"enc1.pem": "encrypted", "enc8.pem": "encrypted", "dsa.pem": "not a private key"} {
		_, err := LoadKey(filepath.Join(dir, name))
		wantError(t, err, part)
	}
}

func FuzzCanonicalName(f *testing.F) {
	f.Add([]byte("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01A"))
	f.Add([]byte("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02\x00A"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := canonicalName(raw)
		if err != nil {
			return
		}
		// The canonical form is a name again, and its own canonical form.
		again, err := canonicalName(wrapSequence(c))
		if err != nil || string(again) != string(c) {
			t.Fatalf("canonical form of %x is %x, of that %x, %v", raw, c, again, err)
		}
		nameForPeople(raw)
	})
}

func wrapSequence(content []byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
	if err != nil {
		panic(err)
	}
	return der
}
