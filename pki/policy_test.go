package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// load is LoadPolicy for files that must be good.
func load(t *testing.T, cfg PolicyConfig) *Policy {
	t.Helper()
	p, err := LoadPolicy(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantWarnings(t *testing.T, got []string, parts ...string) {
	t.Helper()
	if len(got) != len(parts) {
		t.Fatalf("warnings = %q, want %d with %q", got, len(parts), parts)
	}
	for i, part := range parts {
		if !strings.Contains(got[i], part) {
			t.Errorf("warning %q, want it to contain %q", got[i], part)
		}
	}
}

func TestLoadPolicyFile(t *testing.T) {
	dir := t.TempDir()
	root, second := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "second", now)
	sub := root.Intermediate(t, "sub")
	file := filepath.Join(dir, "ca.pem")
	pkitest.Write(t, file, "CERTIFICATE", root.Cert.Raw, sub.Cert.Raw, second.Cert.Raw)
	p := load(t, PolicyConfig{CAFile: file})
	wantWarnings(t, p.Warnings())
	if got := p.Roots(); len(got) != 2 {
		t.Errorf("%d roots, want the two that are self-signed", len(got))
	}
	for _, l := range []*pkitest.Leaf{root.Issue(t, "a"), second.Issue(t, "b"), sub.Issue(t, "c")} {
		// The peer does not send the intermediate; it is in the file.
		if _, err := p.Verify(now, l.Raw()[:1], Client); err != nil {
			t.Error(err)
		}
	}
}

func TestLoadPolicyErrors(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	write := func(name, label string, ders ...[]byte) string {
		path := filepath.Join(dir, name)
		pkitest.Write(t, path, label, ders...)
		return path
	}
	empty := t.TempDir()
	plain := t.TempDir()
	root.WriteFile(t, plain)
	for _, c := range []struct {
		name  string
		cfg   PolicyConfig
		parts []string
	}{
		{"nothing", PolicyConfig{}, []string{"ca_certificates"}},
		{"negative depth", PolicyConfig{CAFile: root.WriteFile(t, dir), VerifyDepth: -1}, []string{"verify_depth"}},
		{"missing file", PolicyConfig{CAFile: filepath.Join(dir, "none")}, []string{"ca_certificates:", "no such file"}},
		{"missing directory", PolicyConfig{CADir: filepath.Join(dir, "none")}, []string{"ca_certificates_dir:", "no such file"}},
		{"empty directory", PolicyConfig{CADir: empty}, []string{"empty"}},
		{"directory without hashes", PolicyConfig{CADir: plain}, []string{"none of the 1 files", "openssl rehash"}},
		{"no certificate", PolicyConfig{CAFile: write("crl.pem", "X509 CRL", root.CRL(t, now, now))}, []string{"no certificate", "X509 CRL"}},
		{"unreadable certificate", PolicyConfig{CAFile: write("bad.pem", "CERTIFICATE", []byte("x"))}, []string{"no root certificate", "block 1"}},
		{"intermediate only", PolicyConfig{CAFile: write("sub.pem", "CERTIFICATE", sub.Cert.Raw)}, []string{"CN=sub", "root above"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := LoadPolicy(c.cfg, now)
			if p != nil {
				t.Error("a policy was returned")
			}
			wantError(t, err, append(c.parts, "pki: ")...)
		})
	}
	if _, err := NewPolicy([]*x509.Certificate{root.Cert}, [][]byte{[]byte("x")}, 0); err == nil {
		t.Error("NewPolicy took garbage for a revocation list")
	}
}

func TestLoadPolicyWarnings(t *testing.T) {
	dir := t.TempDir()
	good := pkitest.NewCA(t, "good", now)
	old := pkitest.NewCA(t, "old", now, pkitest.Valid(now.Add(-time.Hour), now.Add(-time.Minute)))
	soon := pkitest.NewCA(t, "soon", now, pkitest.Valid(now.Add(-time.Hour), now.Add(5*24*time.Hour)))
	file := filepath.Join(dir, "ca.pem")
	pkitest.Write(t, file, "CERTIFICATE", good.Cert.Raw, []byte("broken"), old.Cert.Raw, soon.Cert.Raw)
	p := load(t, PolicyConfig{CAFile: file, CADir: filepath.Join(dir, "none")})
	wantWarnings(t, p.Warnings(), "ca.pem: PEM block 2", "ca_certificates_dir:", "CN=old", "CN=soon expires on 2026-03-06")
}

// hashDir fills a directory with objects under the names that OpenSSL expects.
func hashDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func crlPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func mustHash(t *testing.T, raw []byte) uint32 {
	t.Helper()
	h, err := nameHash(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashDir(t *testing.T) {
	root, second := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "second", now)
	again := pkitest.NewCA(t, "root", now) // same name, so same hash
	third := pkitest.NewCA(t, "third", now)
	name := func(ca *pkitest.CA, format string) string {
		return fmt.Sprintf(format, mustHash(t, ca.Cert.RawSubject))
	}
	accepts := func(t *testing.T, p *Policy, ca *pkitest.CA, want bool) {
		t.Helper()
		if _, err := p.Verify(now, ca.Issue(t, "bob").Raw(), Client); (err == nil) != want {
			t.Errorf("leaf of %v: %v, want accepted = %v", ca.Cert.Subject, err, want)
		}
	}
	t.Run("good", func(t *testing.T) {
		dir := hashDir(t, map[string][]byte{
			name(root, "%08x.0"): certPEM(root.Cert.Raw), name(again, "%08x.1"): certPEM(again.Cert.Raw),
			name(second, "%08x.0"): append([]byte("comment\n"), certPEM(second.Cert.Raw)...),
			"README":               []byte("hello"),
		})
		p := load(t, PolicyConfig{CADir: dir})
		wantWarnings(t, p.Warnings())
		for _, ca := range []*pkitest.CA{root, again, second} {
			accepts(t, p, ca, true)
		}
		accepts(t, p, third, false)
	})
	t.Run("not found by OpenSSL", func(t *testing.T) {
		dir := hashDir(t, map[string][]byte{
			name(root, "%08x.0"):   certPEM(root.Cert.Raw),
			name(again, "%08x.2"):  certPEM(again.Cert.Raw),  // no .1
			name(second, "%08X.0"): certPEM(second.Cert.Raw), // upper case, unless all digits
			"00000000.0":           certPEM(third.Cert.Raw),  // wrong hash
		})
		p := load(t, PolicyConfig{CADir: dir})
		wantWarnings(t, p.Warnings(), "00000000.0: not used", ".2: not used")
		accepts(t, p, root, true)
		accepts(t, p, again, false)
		accepts(t, p, third, false)
	})
	t.Run("two directories and a file", func(t *testing.T) {
		a := hashDir(t, map[string][]byte{name(root, "%08x.0"): certPEM(root.Cert.Raw)})
		b := hashDir(t, map[string][]byte{name(second, "%08x.0"): certPEM(second.Cert.Raw)})
		p := load(t, PolicyConfig{CADir: a + string(filepath.ListSeparator) + b, CAFile: third.WriteFile(t, t.TempDir())})
		for _, ca := range []*pkitest.CA{root, second, third} {
			accepts(t, p, ca, true)
		}
	})
	t.Run("broken files", func(t *testing.T) {
		dir := hashDir(t, map[string][]byte{
			name(root, "%08x.0"): certPEM(root.Cert.Raw), "11111111.0": []byte("no PEM"),
			"22222222.0": certPEM([]byte("x")), "33333333.0": crlPEM([]byte("x")),
		})
		p := load(t, PolicyConfig{CADir: dir})
		wantWarnings(t, p.Warnings(), "11111111.0", "22222222.0: PEM block 1", "33333333.0: nothing in this file")
		accepts(t, p, root, true)
	})
}

// A list in the directory counts only if crl_file is set.
func TestHashDirCRL(t *testing.T) {
	root, second := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "second", now)
	bob, eve := root.Issue(t, "bob"), root.Issue(t, "eve")
	hash := mustHash(t, root.Cert.RawSubject)
	dir := hashDir(t, map[string][]byte{
		fmt.Sprintf("%08x.0", hash):                                       certPEM(root.Cert.Raw),
		fmt.Sprintf("%08x.r0", hash):                                      crlPEM(root.CRL(t, now, now.Add(time.Hour), eve.Cert)),
		fmt.Sprintf("%08x.r0", mustHash(t, second.Cert.RawSubject)):       []byte("broken"),
		fmt.Sprintf("%08x.r1", mustHash(t, second.Cert.RawSubject)):       crlPEM([]byte("broken")),
		fmt.Sprintf("%08x.0", mustHash(t, second.Cert.RawSubject)):        certPEM(second.Cert.Raw),
		fmt.Sprintf("%08x.r0", mustHash(t, second.Cert.RawSubject)+0x111): crlPEM(second.CRL(t, now, now)),
	})
	p := load(t, PolicyConfig{CADir: dir})
	wantWarnings(t, p.Warnings())
	if _, err := p.Verify(now, eve.Raw(), Client); err != nil {
		t.Errorf("without crl_file: %v", err)
	}
	other := filepath.Join(t.TempDir(), "crl.pem")
	pkitest.Write(t, other, "X509 CRL", pkitest.NewCA(t, "elsewhere", now).CRL(t, now, now.Add(time.Hour)))
	p = load(t, PolicyConfig{CADir: dir, CRLFile: other})
	if len(p.Warnings()) != 3 {
		t.Errorf("warnings = %q, want three about broken lists", p.Warnings())
	}
	_, err := p.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, Revoked, "CN=eve", "keyCompromise")
	if _, err := p.Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	_, err = p.Verify(now, second.Issue(t, "carl").Raw(), Client)
	wantRefusal(t, err, NoCRL, "CN=second", "no PEM block")
}

func TestCRL(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	fake := pkitest.NewCA(t, "root", now)
	mute := pkitest.NewCA(t, "mute", now, pkitest.Usage(x509.KeyUsageCertSign)) // may not sign lists
	bob, eve := root.Issue(t, "bob"), root.Issue(t, "eve")
	low := sub.Issue(t, "low")
	file := func(ders ...[]byte) string {
		path := filepath.Join(t.TempDir(), "crl.pem")
		pkitest.Write(t, path, "X509 CRL", ders...)
		return path
	}
	hour := time.Hour
	fresh := root.CRL(t, now.Add(-hour), now.Add(hour), eve.Cert)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	pkitest.Write(t, ca, "CERTIFICATE", root.Cert.Raw, mute.Cert.Raw)
	for _, c := range []struct {
		name  string
		file  string
		leaf  *pkitest.Leaf
		want  Reason // 0: accepted
		parts []string
		warn  string // of the peer
	}{
		{"not listed", file(fresh), bob, 0, nil, ""},
		{"revoked", file(fresh), eve, Revoked, []string{"CN=eve", "2026-03-01 11:00:00 UTC", "keyCompromise"}, ""},
		{"expired list", file(root.CRL(t, now.Add(-2*hour), now.Add(-hour), eve.Cert)), bob, 0, nil, "expired on 2026-03-01 11:00:00"},
		{"expired list, revoked", file(root.CRL(t, now.Add(-2*hour), now.Add(-hour), eve.Cert)), eve, Revoked, nil, ""},
		{"list of tomorrow", file(root.CRL(t, now.Add(hour), now.Add(2*hour))), bob, NoCRL, []string{"not valid before"}, ""},
		{"newest counts", file(fresh, root.CRL(t, now, now.Add(hour))), eve, 0, nil, ""},
		{"newest counts, other order", file(root.CRL(t, now, now.Add(hour), eve.Cert), root.CRL(t, now.Add(-hour), now.Add(hour))), eve, Revoked, nil, ""},
		{"newest counts, though expired", file(root.CRL(t, now.Add(-2*hour), now.Add(-hour), eve.Cert), root.CRL(t, now.Add(-3*hour), now.Add(hour))), eve, Revoked, nil, ""},
		{"tomorrow's does not", file(fresh, root.CRL(t, now.Add(hour), now.Add(2*hour))), eve, Revoked, nil, ""},
		{"no such file", filepath.Join(t.TempDir(), "none"), bob, NoCRL, []string{"no such file"}, ""},
		{"no list in the file", ca, bob, NoCRL, []string{"no revocation list in this file"}, ""},
		{"broken list", file([]byte("x")), bob, NoCRL, []string{"block 1", "malformed"}, ""},
		{"other issuer", file(pkitest.NewCA(t, "other", now).CRL(t, now, now)), bob, NoCRL, []string{"issuer CN=root"}, ""},
		{"forged", file(fake.CRL(t, now, now.Add(hour))), bob, NoCRL, []string{"not signed by it"}, ""},
		{"forged and newer", file(fresh, fake.CRL(t, now, now.Add(hour))), eve, Revoked, nil, ""},
		{"issuer may not", file(mute.CRL(t, now, now.Add(hour))), mute.Issue(t, "m"), NoCRL, []string{"not signed by it"}, ""},
		{"leaf of an intermediate, list of the root", file(fresh), low, NoCRL, []string{"issuer CN=sub"}, ""},
		{"leaf of an intermediate", file(sub.CRL(t, now, now.Add(hour))), low, 0, nil, ""},
		{"revoked intermediate does not matter", file(root.CRL(t, now, now.Add(hour), sub.Cert), sub.CRL(t, now, now.Add(hour))), low, 0, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := load(t, PolicyConfig{CAFile: ca, CRLFile: c.file})
			for range 2 { // the second time from the cache
				peer, err := p.Verify(now, c.leaf.Raw(), Server)
				if c.want != 0 {
					wantRefusal(t, err, c.want, c.parts...)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(peer.Warnings, ""); (got != "") != (c.warn != "") || !strings.Contains(got, c.warn) {
					t.Errorf("warnings of the peer = %q, want %q", got, c.warn)
				}
			}
		})
	}
}

func TestCRLWarnings(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	ca := root.WriteFile(t, t.TempDir())
	p := load(t, PolicyConfig{CAFile: ca, CRLFile: ca + ".none"})
	wantWarnings(t, p.Warnings(), "every peer will be refused", "no such file")
	old := filepath.Join(t.TempDir(), "crl.pem")
	pkitest.Write(t, old, "X509 CRL", root.CRL(t, now.Add(-2*time.Hour), now.Add(-time.Hour)))
	p = load(t, PolicyConfig{CAFile: ca, CRLFile: old})
	wantWarnings(t, p.Warnings(), "list of CN=root ("+old)
}

// A self-signed peer is its own issuer, also of its revocation list.
func TestCRLSelfSigned(t *testing.T) {
	bob := pkitest.SelfSigned(t, "bob", now, pkitest.Usage(0))
	asCA := pkitest.CAWithCert(bob.Cert, bob.Key, now)
	bob.Cert.SubjectKeyId = []byte{1} // only for the list's template
	policy := func(crls ...[]byte) *Policy {
		t.Helper()
		p, err := NewPolicy([]*x509.Certificate{bob.Cert}, crls, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := policy(asCA.CRL(t, now, now)).Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	if _, err := policy().Verify(now, bob.Raw(), Client); err != nil {
		t.Errorf("lists not wanted: %v", err)
	}
	p, err := NewPolicy([]*x509.Certificate{bob.Cert}, [][]byte{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Verify(now, bob.Raw(), Client)
	wantRefusal(t, err, NoCRL, "(memory)")
}

// A delta list, or one for a part of the certificates, must not be taken for a
// complete one.
func TestCRLCritical(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	der := root.CRLWith(t, func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate, l.Number = now, now.Add(time.Hour), big.NewInt(2)
		l.ExtraExtensions = append(l.ExtraExtensions, pkitest.DeltaIndicator)
	})
	_, err := parseCRL(der)
	wantError(t, err, "2.5.29.27", "not a complete list")
}

func TestSerialKey(t *testing.T) {
	seen := map[string]int64{}
	for _, n := range []int64{-256, -1, 0, 1, 255, 256} {
		k := serialKey(big.NewInt(n))
		if m, ok := seen[k]; ok {
			t.Errorf("%d and %d have the same key", n, m)
		}
		seen[k] = n
	}
}

func FuzzCRL(f *testing.F) {
	root := pkitest.NewCA(f, "root", now)
	eve := root.Issue(f, "eve")
	f.Add(root.CRL(f, now, now.Add(time.Hour), eve.Cert))
	f.Add(version1(f, root, eve.Cert))
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := parseCRL(der)
		if (l == nil) == (err == nil) {
			t.Fatalf("list %v, error %v, want one of them", l, err)
		}
		if l == nil {
			return
		}
		p, err := NewPolicy([]*x509.Certificate{root.Cert}, [][]byte{der}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var r *Refusal
		if _, err := p.Verify(now, eve.Raw(), Client); err != nil && !asRefusal(err, &r) {
			t.Fatalf("error = %v, want a Refusal", err)
		}
	})
}

// OpenSSL takes revocation lists from the file of CA certificates too, if lists
// are wanted at all.
func TestCRLInCAFile(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	bob, eve := root.Issue(t, "bob"), root.Issue(t, "eve")
	dir := t.TempDir()
	file, other := filepath.Join(dir, "both.pem"), filepath.Join(dir, "other.pem")
	list := root.CRL(t, now, now.Add(time.Hour), eve.Cert)
	if err := os.WriteFile(file, append(certPEM(root.Cert.Raw), crlPEM(list)...), 0o600); err != nil {
		t.Fatal(err)
	}
	pkitest.Write(t, other, "X509 CRL", pkitest.NewCA(t, "elsewhere", now).CRL(t, now, now.Add(time.Hour)))
	p := load(t, PolicyConfig{CAFile: file})
	if _, err := p.Verify(now, eve.Raw(), Client); err != nil {
		t.Errorf("without crl_file: %v", err)
	}
	p = load(t, PolicyConfig{CAFile: file, CRLFile: other})
	_, err := p.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, Revoked)
	if _, err := p.Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	// The file may be its own crl_file, and a broken list in it is reported.
	if _, err := load(t, PolicyConfig{CAFile: file, CRLFile: file}).Verify(now, bob.Raw(), Client); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, append(certPEM(root.Cert.Raw), crlPEM([]byte("broken"))...), 0o600); err != nil {
		t.Fatal(err)
	}
	p = load(t, PolicyConfig{CAFile: file, CRLFile: other})
	wantWarnings(t, p.Warnings(), "both.pem: PEM block 2")
	_, err = p.Verify(now, bob.Raw(), Client)
	wantRefusal(t, err, NoCRL, "both.pem")
}

// What a reload sees is a new policy; the old one goes on unchanged.
func TestPolicyReload(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	eve := root.Issue(t, "eve")
	ca, crl := root.WriteFile(t, dir), filepath.Join(dir, "crl.pem")
	pkitest.Write(t, crl, "X509 CRL", root.CRL(t, now, now.Add(time.Hour)))
	cfg := PolicyConfig{CAFile: ca, CRLFile: crl}
	before := load(t, cfg)
	pkitest.Write(t, crl, "X509 CRL", root.CRL(t, now, now.Add(time.Hour), eve.Cert))
	after := load(t, cfg)
	if _, err := before.Verify(now, eve.Raw(), Client); err != nil {
		t.Errorf("old policy: %v", err)
	}
	_, err := after.Verify(now, eve.Raw(), Client)
	wantRefusal(t, err, Revoked)
	if w := after.Warnings(); len(w) != 0 {
		t.Errorf("warnings = %q", w)
	}
	after.Roots()[0] = nil
	if after.Roots()[0] == nil {
		t.Error("a caller can change the policy")
	}
}

func TestNewPolicyErrors(t *testing.T) {
	if _, err := NewPolicy(nil, nil, 0); err == nil || !strings.Contains(err.Error(), "no certificate was found") {
		t.Errorf("no CA: %v", err)
	}
	sub := pkitest.NewCA(t, "root", now).Intermediate(t, "sub")
	if _, err := NewPolicy([]*x509.Certificate{sub.Cert}, nil, 0); err == nil || !strings.Contains(err.Error(), "CN=sub") {
		t.Errorf("intermediate only: %v", err)
	}
}
