package ca

import (
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
)

// rendezvousCert returns the certificate of the rendezvous server that is in force.
func rendezvousCert(t *testing.T, s *Service, now time.Time) *pki.Identity {
	t.Helper()
	f, err := s.Rendezvous(now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.LoadIdentity(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: f.CA}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(now, id.TLS().Certificate, pki.Server); err != nil || !pki.IsRendezvous(id.Chain[0]) {
		t.Fatalf("the certificate is not one of a rendezvous server (%v): %v", id.Chain[0].URIs, err)
	}
	return id
}

func serialOf(id *pki.Identity) string { return formatSerial(id.Chain[0].SerialNumber) }

// TestRendezvousFirst: the first start issues a certificate, the next ones use it.
func TestRendezvousFirst(t *testing.T) {
	c := newVPN(t)
	s, j := newService(t, c)
	first := rendezvousCert(t, s, now)
	if got := first.Chain[0].NotAfter; !got.Equal(now.Add(rendezvousDays * secondsPerDay)) {
		t.Errorf("it is valid until %v, want 90 days", got)
	}
	if !strings.Contains(j.String(), serialOf(first)) {
		t.Errorf("log %q, want the serial number in it", j)
	}
	again, _ := newService(t, c)
	for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(59 * secondsPerDay)} {
		if id := rendezvousCert(t, again, at); serialOf(id) != serialOf(first) {
			t.Errorf("at %v there is another certificate", at)
		}
	}
	if fi, err := os.Stat(filepath.Join(c.Dir, hostsDir, RendezvousName, hostKey)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the key has the mode %v, %v", fi.Mode(), err)
	}
}

// TestRendezvousRenewed has every reason for another certificate, and that one is
// enough.
func TestRendezvousRenewed(t *testing.T) {
	path := func(c *CA, name string) string { return filepath.Join(c.Dir, hostsDir, RendezvousName, name) }
	for _, test := range []struct {
		name string
		at   time.Time
		do   func(t *testing.T, c *CA)
	}{
		{"a third is left", now.Add(61 * secondsPerDay), func(*testing.T, *CA) {}},
		{"it has ended", now.Add(200 * secondsPerDay), func(*testing.T, *CA) {}},
		{"it was revoked", now.Add(time.Hour), func(t *testing.T, c *CA) {
			if _, err := c.Revoke(now, RendezvousName, ""); err != nil {
				t.Fatal(err)
			}
		}},
		{"its key is gone", now.Add(time.Hour), func(t *testing.T, c *CA) {
			if err := os.Remove(path(c, hostKey)); err != nil {
				t.Fatal(err)
			}
		}},
		{"its file is broken", now.Add(time.Hour), func(t *testing.T, c *CA) {
			if err := os.WriteFile(path(c, hostCert), []byte("no certificate"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"its key is another", now.Add(time.Hour), func(t *testing.T, c *CA) {
			other := issue(t, c, "other", "10.9.0.99")
			b, err := os.ReadFile(other.KeyFile)
			if err == nil {
				err = os.WriteFile(path(c, hostKey), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newVPN(t)
			s, _ := newService(t, c)
			first := rendezvousCert(t, s, now)
			test.do(t, c)
			second := rendezvousCert(t, s, test.at)
			if serialOf(first) == serialOf(second) || pki.KeyOf(first.Chain[0]) == pki.KeyOf(second.Chain[0]) {
				t.Error("there is no new certificate with a new key")
			}
			if third := rendezvousCert(t, s, test.at.Add(time.Second)); serialOf(second) != serialOf(third) {
				t.Error("there is a third one a second later")
			}
		})
	}
}

// TestRendezvousOfHand: a certificate that was issued by hand is used.
func TestRendezvousOfHand(t *testing.T) {
	c := newVPN(t)
	byHand, err := c.Issue(now, rand.Reader, Request{Name: RendezvousName, Rendezvous: true})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newService(t, c)
	if got := serialOf(rendezvousCert(t, s, now)); got != byHand.Serial {
		t.Errorf("the certificate is %s, want %s", got, byHand.Serial)
	}
}

// TestRendezvousNameTaken: a host of the same name keeps it; when it is gone, the
// name is free.
func TestRendezvousNameTaken(t *testing.T) {
	c := newVPN(t)
	issue(t, c, RendezvousName, "10.9.0.7")
	s, _ := newService(t, c)
	_, err := s.Rendezvous(now)
	if err == nil || !strings.Contains(err.Error(), "that of a host") {
		t.Errorf("error %v, want that the name is taken", err)
	}
	var e *Error
	if !asError(err, &e) || !strings.Contains(e.Hint(), "--certificate") {
		t.Errorf("error %v has no hint about --certificate", err)
	}
	if _, err := c.Revoke(now, RendezvousName, ""); err != nil {
		t.Fatal(err)
	}
	rendezvousCert(t, s, now)
}

// TestRendezvousRotation: while the key of the CA is being replaced, the server keeps
// its certificate until all hosts have theirs, and hosts with either key are trusted.
func TestRendezvousRotation(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	first := rendezvousCert(t, s, now)
	issue(t, c, "alice", "10.9.0.1")
	c = reopen(t, c)
	if _, err := c.Rotate(now.Add(time.Hour), rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	at := now.Add(2 * time.Hour)
	if kept := rendezvousCert(t, s, at); serialOf(kept) != serialOf(first) {
		t.Error("the server changes its certificate although alice does not trust the new key")
	}
	roots, err := pki.LoadCertificates(filepath.Join(c.Dir, hostsDir, RendezvousName, hostCA))
	if err != nil || len(roots) != 2 {
		t.Fatalf("the server trusts %d certificates, %v, want both", len(roots), err)
	}
	c = reopen(t, c)
	if _, err := c.Issue(at, rand.Reader, Request{Name: "alice", Renew: true}); err != nil {
		t.Fatal(err)
	}
	second := rendezvousCert(t, s, at)
	if serialOf(second) == serialOf(first) || second.Chain[0].CheckSignatureFrom(c.Cert) != nil {
		t.Error("the server has no certificate by the new key after all hosts have one")
	}
	if _, err := c.FinishRotation(at, rand.Reader, false); err != nil {
		t.Fatal(err)
	}
	third := rendezvousCert(t, s, at.Add(time.Minute))
	roots, err = pki.LoadCertificates(filepath.Join(c.Dir, hostsDir, RendezvousName, hostCA))
	if serialOf(third) != serialOf(second) || err != nil || len(roots) != 1 || !roots[0].Equal(c.Cert) {
		t.Errorf("after the end the server trusts %d certificates, %v, want the new one", len(roots), err)
	}
}

// TestRendezvousForced: a rotation that is ended by force leaves the server with a
// certificate by the new key.
func TestRendezvousForced(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	first := rendezvousCert(t, s, now)
	issue(t, c, "alice", "10.9.0.1")
	c = reopen(t, c)
	if _, err := c.Rotate(now, rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishRotation(now, rand.Reader, true); err != nil {
		t.Fatal(err)
	}
	if second := rendezvousCert(t, s, now); serialOf(first) == serialOf(second) {
		t.Error("the server keeps a certificate that nobody trusts")
	}
}

// TestRendezvousEndsWithCA: what cannot last longer is not renewed again and again.
func TestRendezvousEndsWithCA(t *testing.T) {
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Days: 20}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newService(t, c)
	first := rendezvousCert(t, s, now)
	for day := range 19 {
		if id := rendezvousCert(t, s, now.Add(time.Duration(day)*secondsPerDay)); serialOf(id) != serialOf(first) {
			t.Fatalf("there is another certificate after %d days", day)
		}
	}
	if _, err := s.Rendezvous(now.Add(21 * secondsPerDay)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after the end of the CA: %v", err)
	}
}

// TestRendezvousIdle: nothing is read as long as no file has changed.
func TestRendezvousIdle(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	rendezvousCert(t, s, now)
	key := filepath.Join(c.Dir, hostsDir, RendezvousName, hostKey)
	fi, err := os.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	broken := make([]byte, fi.Size()) // the same size and time: whoever reads it finds out
	f, err := os.OpenFile(key, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(broken)
		f.Close()
	}
	if err == nil {
		err = os.Chtimes(key, fi.ModTime(), fi.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rendezvous(now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(key); err != nil || string(got) != string(broken) {
		t.Errorf("the key was replaced (%v): files are read although they have not changed", err)
	}
	if err := os.Remove(key); err != nil && err != fs.ErrNotExist {
		t.Fatal(err)
	}
	rendezvousCert(t, s, now.Add(time.Hour))
}
