package rdv

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
)

// A shelfTest is a library with a CA, at a time of its own.
type shelfTest struct {
	*library
	t       *testing.T
	ca      *pkitest.CA
	rdv     *pkitest.Leaf
	now     time.Time
	log     bytes.Buffer
	changes int
}

func newShelf(t *testing.T) *shelfTest {
	t.Helper()
	s := &shelfTest{t: t, now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	s.ca = pkitest.NewCA(t, "ca", s.now)
	s.rdv = s.ca.Issue(t, "rdv", rendezvous)
	s.library = newLibrary(slog.New(slog.NewTextHandler(&s.log, nil)), func() { s.changes++ })
	s.setTrust(s.now, s.files())
	return s
}

// files returns a trust with lists in its files.
func (s *shelfTest) files(lists ...[]byte) *Trust {
	s.t.Helper()
	return trustOf(s.t, s.rdv, []*x509.Certificate{s.ca.Cert}, lists)
}

func trustOf(t testing.TB, rdv *pkitest.Leaf, cas []*x509.Certificate, lists [][]byte) *Trust {
	t.Helper()
	policy, err := pki.NewPolicy(cas, lists, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.NewIdentity(rdv.Chain, rdv.Key)
	if err != nil {
		t.Fatal(err)
	}
	return NewTrust(id, policy)
}

// crlOf returns a list with a number that was made at a time.
func crlOf(t testing.TB, ca *pkitest.CA, number int64, at time.Time, revoked ...*pkitest.Leaf) []byte {
	t.Helper()
	return ca.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(number), at, at.AddDate(0, 0, 7)
		for _, r := range revoked {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: at})
		}
	})
}

func (s *shelfTest) list(number int64, after time.Duration, revoked ...*pkitest.Leaf) []byte {
	s.t.Helper()
	return crlOf(s.t, s.ca, number, s.now.Add(after), revoked...)
}

// holds checks which contents are handed out.
func (s *shelfTest) holds(what string, want ...[]byte) {
	s.t.Helper()
	var got [][]byte
	for _, o := range s.catalog.Load().all() {
		got = append(got, s.catalog.Load().find(o).data)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		s.t.Errorf("%s: %d objects, %x, want %d, %x", what, len(got), got, len(want), want)
	}
}

// refuses checks whether a certificate is refused.
func (s *shelfTest) refuses(what string, leaf *pkitest.Leaf, want bool) {
	s.t.Helper()
	if _, err := s.trust.Load().verify(s.now, leaf.Raw()); (err != nil) != want {
		s.t.Errorf("%s: %s: %v, want refused %v", what, leaf.Cert.Subject.CommonName, err, want)
	}
}

// TestTakeList has which lists are taken after one with number 7, and which not.
func TestTakeList(t *testing.T) {
	for _, c := range []struct {
		name string
		list func(s *shelfTest) []byte
		want string // of the error; "": taken
	}{
		{"a higher number", func(s *shelfTest) []byte { return s.list(8, -time.Minute) }, ""},
		{"a much higher number", func(s *shelfTest) []byte { return s.list(1<<60, 0) }, ""},
		{"a clock that is ahead", func(s *shelfTest) []byte { return s.list(8, maxAhead) }, ""},
		{"from the future", func(s *shelfTest) []byte { return s.list(8, maxAhead+time.Second) }, "from the future"},
		{"a lower number", func(s *shelfTest) []byte { return s.list(6, 0) }, "not newer"},
		{"the same number", func(s *shelfTest) []byte { return s.list(7, 0) }, "not newer"},
		{"a higher number, but older", func(s *shelfTest) []byte { return s.list(8, -2*time.Hour) }, ""},
		{"another authority", func(s *shelfTest) []byte { return crlOf(t, pkitest.NewCA(t, "other", s.now), 8, s.now) }, "not one of ours"},
		{"another authority of the same name", func(s *shelfTest) []byte { return crlOf(t, pkitest.NewCA(t, "ca", s.now), 8, s.now) }, "not signed by it"},
		{"a member's signature", func(s *shelfTest) []byte {
			leaf := s.ca.Issue(t, "ca", func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} })
			return crlOf(t, pkitest.CAWithCert(leaf.Cert, leaf.Key, s.now), 8, s.now)
		}, "not signed by it"},
		{"a wrong signature", func(s *shelfTest) []byte {
			b := s.list(8, 0)
			b[len(b)-1] ^= 1
			return b
		}, "pki: "},
		{"no list", func(s *shelfTest) []byte { return s.ca.Cert.Raw }, "malformed"},
		{"more behind it", func(s *shelfTest) []byte { return append(s.list(8, 0), 0) }, "behind it"},
		{"nothing", func(s *shelfTest) []byte { return nil }, "without content"},
		{"too much", func(s *shelfTest) []byte { return make([]byte, bulletin.MaxTrail+1) }, "larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelf(t)
			first := s.list(7, -time.Hour)
			if changed, err := s.take(s.now, Object{channel.CRL, first}, "trent"); !changed || err != nil {
				t.Fatalf("the first list: %v, %v", changed, err)
			}
			before := s.trust.Load()
			next := c.list(s)
			changed, err := s.take(s.now, Object{channel.CRL, next}, "trent")
			if c.want == "" {
				if !changed || err != nil {
					t.Errorf("%v, %v", changed, err)
				}
				s.holds("taken", next)
				if changed, err := s.take(s.now, Object{channel.CRL, next}, "trent"); changed || err != nil {
					t.Errorf("again: %v, %v", changed, err)
				}
				return
			}
			if changed || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v, want an error with %q", changed, err, c.want)
			}
			s.holds("not taken", first)
			if s.trust.Load() != before {
				t.Error("the trust is another")
			}
		})
	}
}

// TestLibraryTrust: what is taken counts for the server, beside its files.
func TestLibraryTrust(t *testing.T) {
	s := newShelf(t)
	alice, bob, eve := s.ca.Issue(t, "alice"), s.ca.Issue(t, "bob"), s.ca.Issue(t, "eve")
	old := s.list(3, -3*time.Hour, eve)
	s.setTrust(s.now, s.files(old))
	s.holds("the file", old)
	s.refuses("the file", eve, true)
	s.refuses("the file", alice, false)
	next := s.list(4, -2*time.Hour, eve, alice)
	if _, err := s.take(s.now, Object{channel.CRL, next}, "trent"); err != nil {
		t.Fatal(err)
	}
	s.holds("received", next)
	s.refuses("received", alice, true)
	s.setTrust(s.now, s.files(old)) // SIGHUP
	s.holds("the old file again", next)
	s.refuses("the old file again", alice, true)
	newest := s.list(5, -time.Hour, eve, alice, bob)
	s.setTrust(s.now, s.files(newest))
	s.holds("a newer file", newest)
	s.refuses("a newer file", bob, true)
	if _, err := s.take(s.now, Object{channel.CRL, s.list(4, 0)}, "trent"); err == nil {
		t.Error("a list is taken that is older than that of the file")
	}
	s.setTrust(s.now, s.files()) // no --crl any more
	s.holds("no file", next)
	s.refuses("no file", alice, true)
	s.refuses("no file", bob, false)
	ahead := s.list(9, 5*time.Minute, bob)
	if _, err := s.take(s.now, Object{channel.CRL, ahead}, "trent"); err != nil {
		t.Fatal(err)
	}
	s.refuses("a list from a clock that is ahead", bob, true)
	s.refuses("a list from a clock that is ahead", alice, false)
	// The authority is another one.
	s.ca = pkitest.NewCA(t, "ca2", s.now)
	s.rdv = s.ca.Issue(t, "rdv", rendezvous)
	s.setTrust(s.now, s.files())
	s.holds("another authority")
	s.setTrust(s.now, nil)
	s.holds("no certificate")
	if _, err := s.take(s.now, Object{channel.CRL, s.list(1, 0)}, "trent"); err != errNoChannels {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := s.take(s.now, Object{channel.Bulletin, []byte("x")}, "trent"); err != errNoChannels {
		t.Errorf("without a certificate: %v", err)
	}
}

// TestLibraryFiles: lists of files that nobody else could check are not handed out,
// and count for the server as ever.
func TestLibraryFiles(t *testing.T) {
	s := newShelf(t)
	other := pkitest.NewCA(t, "other", s.now)
	good, foreign := s.list(1, -time.Hour), crlOf(t, other, 1, s.now.Add(-time.Hour))
	s.setTrust(s.now, s.files(good, foreign))
	s.holds("files", good)
	if !strings.Contains(s.log.String(), "not passed on") || !strings.Contains(s.log.String(), "CN=other") {
		t.Errorf("log %q", &s.log)
	}
	var cas []*x509.Certificate
	var lists [][]byte
	for i := range channel.MaxObjects + 1 {
		ca := pkitest.NewCA(t, string(rune('a'+i)), s.now)
		cas, lists = append(cas, ca.Cert), append(lists, crlOf(t, ca, 1, s.now))
	}
	s.setTrust(s.now, trustOf(t, s.rdv, cas, lists))
	if got := len(s.catalog.Load().all()); got != channel.MaxObjects || !strings.Contains(s.log.String(), "more revocation lists") {
		t.Errorf("%d objects; log %q", got, &s.log)
	}
}

// TestState: what was received is there after a restart, and is checked again.
func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s := newShelf(t)
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := state.take(); len(got) != 0 {
		t.Errorf("%d objects in a new directory", len(got))
	}
	take := func(kind channel.ObjectKind, content []byte) {
		t.Helper()
		if _, err := s.take(s.now, Object{kind, content}, "trent"); err != nil {
			t.Fatal(err)
		}
		if err := state.save(s.received()); err != nil {
			t.Fatal(err)
		}
	}
	take(channel.CRL, s.list(1, -time.Hour))
	one := s.bulletin(1, "")
	take(channel.Bulletin, one)
	last := s.list(2, -time.Minute)
	take(channel.CRL, last)
	for name, content := range map[string]string{"README": "x", "crl-zz.der": "x", "crl-00.der": "x", "bulletin.bak": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	objects := again.take()
	if len(objects) != 2 || len(again.take()) != 0 {
		t.Fatalf("%d objects after a restart", len(objects))
	}
	fresh := newShelf(t)
	fresh.ca, fresh.rdv = s.ca, s.rdv
	fresh.setTrust(fresh.now, fresh.files())
	for _, o := range objects {
		if err := fresh.restore(fresh.now, o, "state"); err != nil {
			t.Error(err)
		}
	}
	fresh.holds("after a restart", last, one)
	// The authority is another one now: its list goes, and files of others stay.
	s.ca = pkitest.NewCA(t, "ca2", s.now)
	s.rdv = s.ca.Issue(t, "rdv", rendezvous)
	s.setTrust(s.now, s.files())
	take(channel.Bulletin, s.bulletin(1, ""))
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"README", "bulletin", "bulletin.bak", "crl-00.der", "crl-zz.der"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("files %q, %v, want %q", names, err, want)
	}
}

// TestStateErrors: what cannot be read or written is an error with a name in it.
func TestStateErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as directory: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bulletinFile), make([]byte, bulletin.MaxTrail+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir); err == nil || !strings.Contains(err.Error(), bulletinFile) {
		t.Errorf("a file that is too large: %v", err)
	}
	var none *State
	if err := none.save([]item{bulletinOf(1, 1)}); err != nil || none.take() != nil {
		t.Errorf("no state: %v", err)
	}
	lost, err := OpenState(filepath.Join(dir, "sub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(lost.dir); err != nil {
		t.Fatal(err)
	}
	if err := lost.save([]item{bulletinOf(1, 1)}); err == nil {
		t.Error("a directory that is gone takes a file")
	}
}
