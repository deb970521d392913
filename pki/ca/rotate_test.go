package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
)

// believes reports whether a peer that trusts some authorities accepts a
// certificate, with the revocation lists of the CA.
func believes(t testing.TB, c *CA, cert *x509.Certificate, at time.Time, roots ...*x509.Certificate) error {
	t.Helper()
	lists, err := c.lists()
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.NewPolicy(roots, lists, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Verify(at, [][]byte{cert.Raw}, pki.Client)
	return err
}

// TestRotate replaces the key of a CA, while hosts renew one after the other.
func TestRotate(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	alice, bob := newMember(t, c, s, InviteOptions{Name: "alice"}), newMember(t, c, s, InviteOptions{Name: "bob"})
	gone := issue(t, c, "gone", "10.9.0.9")
	if _, err := c.Publish(now, rand.Reader, "default allow\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	old, later := c.Cert, now.Add(48*time.Hour)
	b, err := c.Rotate(later, rand.Reader, InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Cert.Equal(old) || c.Cert.Subject.CommonName != "Campagnol VPN CA 2" || b.Policy != "default allow\n" || len(b.CAs) != 2 {
		t.Errorf("CA %q, bulletin %+v", c.Cert.Subject.CommonName, b)
	}
	_, err = c.Rotate(later, rand.Reader, InitOptions{})
	wantError(t, err, "being replaced already", "--finish")
	wantMode(t, c.Files.Key, 0o600)
	wantMode(t, c.previousFile(rotationKey), 0o600)

	// Whoever trusts the old certificate learns the new one.
	objects, err := s.Objects(later)
	if err != nil || len(objects.CRLs) != 2 {
		t.Fatalf("%d lists, %v, want 2", len(objects.CRLs), err)
	}
	signed, err := bulletin.Parse(objects.Bulletin)
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []*x509.Certificate{old, c.Cert} {
		if got, err := signed.Verify(later, []*x509.Certificate{root}); err != nil || len(got.CAs) != 2 || !got.CAs[0].Equal(c.Cert) {
			t.Errorf("bulletin for those who trust %s: %+v, %v", root.Subject, got, err)
		}
	}
	for name, cert := range map[string]*x509.Certificate{"alice": alice.cert, "bob": bob.cert} {
		if err := believes(t, c, cert, later, old, c.Cert); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	var refusal *pki.Refusal
	if err := believes(t, c, gone.Cert, later, old, c.Cert); !errors.As(err, &refusal) || refusal.Reason != pki.Revoked {
		t.Errorf("a revoked one: %v, want that", err)
	}
	// A new host trusts both; one that renews gets a certificate by the new key.
	carol := newMemberAt(t, c, s, later, InviteOptions{Name: "carol"})
	if len(carol.roots) != 2 {
		t.Errorf("a new host trusts %d authorities, want 2", len(carol.roots))
	}
	alice.roots = carol.roots
	if got := alice.must(later.Add(time.Hour), nil); got.CheckSignatureFrom(c.Cert) != nil || believes(t, c, got, later.Add(time.Hour), old, c.Cert) != nil {
		t.Error("the renewed certificate is not one by the new key")
	}
	r, err := c.Rotation(later)
	if err != nil || len(r.Waiting) != 1 || r.Waiting[0].Name != "bob" {
		t.Errorf("waiting: %+v, %v, want bob", r, err)
	}
	_, err = c.FinishRotation(later, rand.Reader, false)
	wantError(t, err, `"bob"`, "--force")
	second := c.Cert
	finish(t, c, s, later.Add(2*time.Hour), old, gone.Cert)
	if err := believes(t, c, alice.cert, later.Add(3*time.Hour), second); err != nil {
		t.Errorf("alice is refused in the end: %v", err)
	}
}

// finish ends the replacement of a key.
func finish(t *testing.T, c *CA, s *Service, at time.Time, old, gone *x509.Certificate) {
	t.Helper()
	r, err := c.FinishRotation(at, rand.Reader, true)
	if err != nil || len(r.Waiting) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, previousDir)); err == nil {
		t.Error("the old key is still there")
	}
	_, err = c.FinishRotation(at, rand.Reader, true)
	wantError(t, err, "no key of the CA is being replaced")
	// Peers that still trust the old certificate go on refusing who is revoked.
	var refusal *pki.Refusal
	if err := believes(t, c, gone, at, old, c.Cert); !errors.As(err, &refusal) || refusal.Reason != pki.Revoked {
		t.Errorf("a revoked one: %v, want that", err)
	}
	objects, err := s.Objects(at)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := bulletin.Parse(objects.Bulletin)
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []*x509.Certificate{old, c.Cert} {
		if got, err := signed.Verify(at, []*x509.Certificate{root}); err != nil || len(got.CAs) != 1 || !got.CAs[0].Equal(c.Cert) || got.Policy != "default allow\n" {
			t.Errorf("last bulletin for those who trust %s: %+v, %v", root.Subject, got, err)
		}
	}
	// The next one after that.
	if _, err := c.Rotate(at, rand.Reader, InitOptions{}); err != nil || c.Cert.Subject.CommonName != "Campagnol VPN CA 3" {
		t.Errorf("CA %q, %v", c.Cert.Subject.CommonName, err)
	}
	if _, err := c.FinishRotation(at, rand.Reader, true); err != nil {
		t.Error(err)
	}
	if lists, err := c.lists(); err != nil || len(lists) != 3 {
		t.Errorf("%d lists, %v, want the current one and two last ones", len(lists), err)
	}
	if lists, err := c.CRL(old.NotAfter.Add(time.Hour), rand.Reader, 1); err != nil || lists == nil {
		t.Error(err)
	}
	if lists, err := c.lists(); err != nil || len(lists) != 2 {
		t.Errorf("%d lists, %v, want that of the expired CA gone", len(lists), err)
	}
}

// TestRotateCrash is interrupted after each of the files that a replacement writes.
func TestRotateCrash(t *testing.T) {
	for step := range 8 {
		c := newVPN(t)
		before := newCAFiles(t, c)
		if _, err := c.Rotate(now, rand.Reader, InitOptions{}); err != nil {
			t.Fatal(err)
		}
		after := newCAFiles(t, c)
		// The state after so many steps: see prepare and putInForce.
		next := map[string][]byte{rotationKey: after[c.Files.Key], bulletinName: after[c.bulletinFile()], rotationCert: after[c.Files.Cert]}
		if err := os.Mkdir(filepath.Join(c.Dir, nextDir), 0o700); err != nil {
			t.Fatal(err)
		}
		committed := step >= 3
		for n, name := range []string{rotationKey, bulletinName, rotationCert} {
			if n < step {
				write(t, c.nextFile(name), string(next[name]))
			}
		}
		for n, path := range []string{c.Files.Key, c.bulletinFile(), c.Files.Cert} {
			if n+4 > step { // not moved yet
				if before[path] == nil {
					os.Remove(path)
				} else {
					write(t, path, string(before[path]))
				}
			}
		}
		if step == 7 { // all is moved, and the tidying has begun
			os.Remove(c.nextFile(rotationCert))
		}
		c = reopen(t, c)
		out := issue(t, c, "alice", "10.9.0.1")
		if got := bytes.Equal(certPEM(c.Cert), after[c.Files.Cert]); got != committed {
			t.Errorf("after step %d the new key is in force: %t, want %t", step, got, committed)
		}
		if err := out.Cert.CheckSignatureFrom(c.Cert); err != nil {
			t.Errorf("after step %d: %v", step, err)
		}
		r, err := c.Rotation(now)
		if err != nil || (r != nil) != committed {
			t.Errorf("after step %d: rotation %+v, %v, want one: %t", step, r, err, committed)
		}
		if _, err := c.CRL(now, rand.Reader, 0); err != nil {
			t.Errorf("after step %d: %v", step, err)
		}
		if !committed {
			if _, err := c.Rotate(now, rand.Reader, InitOptions{}); err != nil {
				t.Errorf("after step %d it cannot be begun again: %v", step, err)
			}
		}
	}
}

// newCAFiles returns the files that a replacement of the key changes.
func newCAFiles(t *testing.T, c *CA) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range []string{c.Files.Key, c.Files.Cert, c.bulletinFile()} {
		data, err := os.ReadFile(path)
		if err == nil {
			files[path] = data
		}
	}
	return files
}

// TestRotateEncrypted keeps the pass phrase, which a service knows from its start.
func TestRotateEncrypted(t *testing.T) {
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Passphrase: []byte("secret"), Settings: Settings{Server: "h:1", Network: vpn}}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.Passphrase = func(string) ([]byte, error) { return []byte("secret"), nil }
	s, err := OpenService(c.Dir, c.Passphrase, discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rotate(now, rand.Reader, InitOptions{RSA: 2048}); err != nil {
		t.Fatal(err)
	}
	if data := read(t, c.Files.Key); !bytes.Contains([]byte(data), []byte("ENCRYPTED")) {
		t.Error("the new key is not encrypted")
	}
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	if err := m.cert.CheckSignatureFrom(c.Cert); err != nil {
		t.Error(err)
	}
	if _, err := OpenService(c.Dir, nil, discard()); err == nil {
		t.Error("a service without pass phrase")
	}
}

func TestRotateRefuses(t *testing.T) {
	c := newVPN(t)
	_, err := c.Rotate(now, rand.Reader, InitOptions{Name: c.Cert.Subject.CommonName})
	wantError(t, err, "a name of its own")
	_, err = c.Rotate(now, rand.Reader, InitOptions{RSA: 100})
	wantError(t, err, "RSA key")
	_, err = c.FinishRotation(now, rand.Reader, false)
	wantError(t, err, "no key of the CA is being replaced", "ca rotate")
	if r, err := c.Rotation(now); r != nil || err != nil {
		t.Errorf("rotation %+v, %v, want none", r, err)
	}
	sub := pkitest.NewCA(t, "Root", now).Intermediate(t, "Sub")
	c.Cert = sub.Cert
	if err := c.canRotate("x"); err == nil {
		t.Error("an intermediate CA")
	}
	for name, want := range map[string]string{"CA": "CA 2", "CA 2": "CA 3", "CA 99": "CA 100", "CA 1": "CA 1 2", "VPN of 2026": "VPN of 2026 2", "": " 2"} {
		if got := successor(name); got != want {
			t.Errorf("after %q comes %q, want %q", name, got, want)
		}
	}
}
