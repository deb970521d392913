package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// signBulletin returns a bulletin of some authorities, which names the first n of
// them.
func signBulletin(t testing.TB, number uint64, policy string, n int, by ...*pkitest.CA) []byte {
	t.Helper()
	b := &bulletin.Bulletin{Number: number, Issued: time.Now().Truncate(time.Second), Policy: policy}
	var signers []bulletin.Signer
	for i, ca := range by {
		if signers = append(signers, bulletin.Signer{Cert: ca.Cert, Key: ca.Key}); i < n {
			b.CAs = append(b.CAs, ca.Cert)
		}
	}
	data, err := bulletin.Sign(rand.Reader, b, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBulletinStore(t *testing.T) {
	ca := pkitest.NewCA(t, "ca", time.Now())
	path := filepath.Join(t.TempDir(), "state", "bulletin")
	open := func() *bulletinStore {
		t.Helper()
		s, err := openBulletins(path, []*x509.Certificate{ca.Cert})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(), open() // two processes
	if a.current().Raw() != nil || a.has(sha256.Sum256(nil)) {
		t.Error("there is a bulletin before any has come")
	}
	two, three, other, four := signBulletin(t, 2, "", 1, ca), signBulletin(t, 3, "", 1, ca), signBulletin(t, 3, "default deny\n", 1, ca), signBulletin(t, 4, "", 1, ca)
	broken := signBulletin(t, 9, "default perhaps\n", 1, ca)
	forged := signBulletin(t, 9, "", 1, pkitest.NewCA(t, "ca", time.Now()))
	for _, step := range []struct {
		name string
		in   *bulletinStore
		data []byte
		err  error
		now  []byte // bulletin afterwards
	}{
		{"the first", a, three, nil, three},
		{"the same number", a, other, bulletin.ErrOld, three},
		{"an older one", a, two, bulletin.ErrOld, three},
		{"forged", a, forged, bulletin.ErrUntrusted, three},
		{"nothing", a, nil, bulletin.ErrMalformed, three},
		{"an older one than another process has", b, two, bulletin.ErrOld, three},
		{"a newer one", b, four, nil, four},
	} {
		if err := step.in.keep(time.Now(), step.data); !errors.Is(err, step.err) {
			t.Errorf("%s: %v, want %v", step.name, err, step.err)
		}
		if got := step.in.current().Raw(); string(got) != string(step.now) || !step.in.has(sha256.Sum256(step.now)) {
			t.Errorf("%s: another bulletin is in use", step.name)
		}
	}
	if err := b.keep(time.Now(), broken); err == nil || !strings.Contains(err.Error(), "policy of bulletin 9:1:") || numberOf(b.current()) != 4 {
		t.Errorf("a policy that cannot be read: %v, and bulletin %d is in use", err, numberOf(b.current()))
	}
	if err := a.refresh(); err != nil || numberOf(a.current()) != 4 {
		t.Errorf("what another process has received: %v, bulletin %d", err, numberOf(a.current()))
	}
	if got := numberOf(open().current()); got != 4 {
		t.Errorf("after a restart: bulletin %d", got)
	}
	if err := os.WriteFile(path, four[:len(four)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openBulletins(path, []*x509.Certificate{ca.Cert})
	if !errors.Is(err, bulletin.ErrMalformed) || s.current().Raw() != nil {
		t.Errorf("a damaged file: %v", err)
	}
	if err := s.keep(time.Now(), two); err != nil || numberOf(open().current()) != 2 {
		t.Errorf("a damaged file is not replaced: %v", err)
	}
	if (*bulletinStore)(nil).current().Current() != nil {
		t.Error("no store has a bulletin")
	}
}

// TestBulletinUnwritable: what cannot be written is used all the same.
func TestBulletinUnwritable(t *testing.T) {
	ca := pkitest.NewCA(t, "ca", time.Now())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"": nil, filepath.Join(file, "below"): errUnsaved} {
		roots := []*x509.Certificate{ca.Cert}
		s := &bulletinStore{path: path, roots: roots, trail: bulletin.NewTrail(roots)}
		if err := s.keep(time.Now(), signBulletin(t, 1, "", 1, ca)); !errors.Is(err, want) || numberOf(s.current()) != 1 {
			t.Errorf("%q: %v, want %v; bulletin %d", path, err, want, numberOf(s.current()))
		}
	}
}

// TestBulletinUnwritten: a bulletin that could not be written counts when the files
// are read again, for as long as they are of the same VPN.
func TestBulletinUnwritten(t *testing.T) {
	n := startTestNode(t, "")
	n.parts.trust.bulletins.path = filepath.Join(n.cfg.File, "below") // of a file
	data := signBulletin(t, 7, "default deny\n", 1, n.ca)
	if err := n.receives(t, data); err != nil || n.log.count("cannot be written") != 1 {
		t.Fatalf("%v, logged %d times", err, n.log.count("cannot be written"))
	}
	n.renew(t.Context())
	if tr := n.view.Load().trust; numberOf(tr.bulletins.current()) != 7 || tr.rules == nil {
		t.Error("the policy is gone when the files are read again")
	}
	other := pkitest.NewCA(t, "other", time.Now())
	s := &bulletinStore{roots: []*x509.Certificate{other.Cert}, trail: bulletin.NewTrail(nil)}
	if s.inherit(n.parts.trust.bulletins) || s.inherit(nil) {
		t.Error("another VPN inherits the bulletin")
	}
}

// receives gives the node a bulletin from the RDV, and makes it count.
func (n *testNode) receives(t *testing.T, data []byte) error {
	t.Helper()
	o := channel.Object{Kind: channel.Bulletin, Size: uint32(len(data)), Hash: sha256.Sum256(data)}
	err := n.objects().Take(o, data)
	if n.told() != (err == nil) {
		t.Errorf("bulletin: %v, and the node was told: %v", err, err != nil)
	}
	if err == nil {
		n.useNews(t.Context())
		if !n.objects().Has(o) {
			t.Error("the bulletin would be fetched again")
		}
	}
	return err
}
