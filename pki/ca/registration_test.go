package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

func asError(err error, e **Error) bool { return errors.As(err, e) }

func register(t *testing.T, s *Service, now time.Time) *Registration {
	t.Helper()
	r, err := s.Registration(now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRegistration: the certificate is good for the rendezvous server, for a day,
// and for nothing else; it is in no file.
func TestRegistration(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	before := len(readDir(t, c.Files.Certs))
	r := register(t, s, now)
	leaf := r.Certificate.Leaf
	if !pki.IsAuthority(leaf) || pki.IsRendezvous(leaf) || len(leaf.IPAddresses) != 0 || leaf.IsCA {
		t.Errorf("certificate %v with %v", leaf.Subject, leaf.URIs)
	}
	if !leaf.NotAfter.Equal(now.Add(registrationLife)) {
		t.Errorf("it ends at %v, want a day later", leaf.NotAfter)
	}
	p, err := pki.NewPolicy(c.issuers(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(now, r.Certificate.Certificate, pki.Client); err != nil {
		t.Errorf("it is refused as a client: %v", err)
	}
	if _, err := p.Verify(now, r.Certificate.Certificate, pki.Server); err == nil {
		t.Error("it is taken for a server's")
	}
	list, err := c.List(now)
	if err != nil || len(list) != 0 || len(readDir(t, c.Files.Certs)) != before {
		t.Errorf("it is in the index, or in a file: %v, %v", list, err)
	}
	if again := register(t, s, now.Add(15*time.Hour)); again != r {
		t.Error("another one is made although it is good")
	}
	other, _ := newService(t, c)
	if pki.KeyOf(register(t, other, now).Certificate.Leaf) == pki.KeyOf(leaf) {
		t.Error("another service has the same key")
	}
}

func readDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return entries
}

// TestRegistrationRenewed has what brings another certificate, and what brings only
// another policy.
func TestRegistrationRenewed(t *testing.T) {
	for _, test := range []struct {
		name  string
		at    time.Time
		do    func(*CA) error
		fresh bool // another certificate, not only another policy
	}{
		{"a third is left", now.Add(17 * time.Hour), nil, true},
		{"it has ended", now.Add(48 * time.Hour), nil, true},
		{"a revocation", now.Add(time.Hour), func(c *CA) error {
			_, err := c.CRL(now.Add(time.Hour), rand.Reader, 30)
			return err
		}, false},
		// The server may not know the new key yet.
		{"the key is being replaced", now.Add(time.Hour), func(c *CA) error {
			_, err := c.Rotate(now, rand.Reader, InitOptions{})
			return err
		}, false},
		{"the key was replaced", now.Add(time.Hour), func(c *CA) error {
			_, err := c.Rotate(now, rand.Reader, InitOptions{})
			if err == nil {
				_, err = c.FinishRotation(now, rand.Reader, false)
			}
			return err
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newVPN(t)
			s, _ := newService(t, c)
			first := register(t, s, now)
			if test.do != nil {
				if err := test.do(reopen(t, c)); err != nil {
					t.Fatal(err)
				}
			}
			second := register(t, s, test.at)
			if first == second {
				t.Fatal("nothing has changed")
			}
			if got := first.Certificate.Leaf != second.Certificate.Leaf; got != test.fresh {
				t.Errorf("another certificate: %v, want %v", got, test.fresh)
			}
			if third := register(t, s, test.at.Add(time.Second)); third != second {
				t.Error("there is a third a second later")
			}
		})
	}
}

// TestRegistrationPolicy: the authority believes the rendezvous servers that it has
// certified, and not those that it has revoked.
func TestRegistrationPolicy(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	id := rendezvousCert(t, s, now)
	verify := func() error {
		_, err := register(t, s, now).Policy.Verify(now, id.TLS().Certificate, pki.Server)
		return err
	}
	if err := verify(); err != nil {
		t.Errorf("its own server is refused: %v", err)
	}
	if _, err := c.Revoke(now, RendezvousName, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CRL(now, rand.Reader, 30); err != nil {
		t.Fatal(err)
	}
	var refusal *pki.Refusal
	if err := verify(); !errors.As(err, &refusal) || refusal.Reason != pki.Revoked {
		t.Errorf("a server that was revoked: %v", err)
	}
}

// TestRegistrationExpired: a CA that has ended registers nobody.
func TestRegistrationExpired(t *testing.T) {
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Days: 1}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newService(t, c)
	if leaf := register(t, s, now).Certificate.Leaf; leaf.NotAfter.After(c.Cert.NotAfter) {
		t.Errorf("the certificate ends at %v, after its CA", leaf.NotAfter)
	}
	if _, err := s.Registration(now.Add(49 * time.Hour)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after the end of the CA: %v", err)
	}
}

func TestParsePeriod(t *testing.T) {
	for _, test := range []struct {
		text string
		want time.Duration // 0: an error
	}{
		{"30m", 30 * time.Minute}, {"1h", time.Hour}, {"7d", 7 * secondsPerDay}, {"1h30m", 90 * time.Minute},
		{"", 0}, {"0", 0}, {"0d", 0}, {"-1h", 0}, {"d", 0}, {"1.5d", 0}, {"99999d", 0}, {"7", 0}, {"tomorrow", 0},
	} {
		if got, err := ParsePeriod(test.text); got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("ParsePeriod(%q) = %v, %v, want %v", test.text, got, err, test.want)
		}
	}
}

// TestRegistrationIntermediate: who trusts only the root above the CA gets the whole
// chain.
func TestRegistrationIntermediate(t *testing.T) {
	c := newVPN(t)
	root := pkitest.NewCA(t, "root", now)
	tmpl := *c.Cert
	tmpl.Subject, tmpl.RawSubject = pkix.Name{CommonName: "below"}, nil
	cert, err := sign(rand.Reader, &tmpl, root.Cert, c.Cert.PublicKey, root.Key)
	if err != nil {
		t.Fatal(err)
	}
	for path, cert := range map[string]*x509.Certificate{c.Files.Cert: cert, filepath.Join(c.Dir, "root.pem"): root.Cert} {
		if err := os.WriteFile(path, certPEM(cert), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenServiceFiles(c.Dir, Files{Root: filepath.Join(c.Dir, "root.pem")}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.NewPolicy([]*x509.Certificate{root.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := register(t, s, now)
	if _, err := p.Verify(now, r.Certificate.Certificate, pki.Client); err != nil || len(r.Certificate.Certificate) != 2 {
		t.Errorf("a chain of %d certificates: %v, want two that are accepted", len(r.Certificate.Certificate), err)
	}
	id := rendezvousCert(t, s, now)
	if _, err := r.Policy.Verify(now, id.TLS().Certificate, pki.Server); err != nil {
		t.Errorf("the authority refuses its own server: %v", err)
	}
}
