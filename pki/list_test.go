package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// numbered makes a list with a number.
func numbered(t testing.TB, ca *pkitest.CA, number int64, at time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	return ca.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(number), at, at.Add(24*time.Hour)
		for _, c := range revoked {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at})
		}
	})
}

func parsedList(t testing.TB, der []byte) *List {
	t.Helper()
	l, err := ParseList(der, "received")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// revokes reports whether a policy refuses a leaf because it is revoked. Another
// refusal is an error.
func revokes(t *testing.T, p *Policy, leaf *pkitest.Leaf) bool {
	t.Helper()
	_, err := p.Verify(now, leaf.Raw(), Client)
	var r *Refusal
	if errors.As(err, &r) && r.Reason == Revoked {
		return true
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

// TestLists: lists in memory count without a crl_file, for those whom they name; of
// those in memory and in files the one with the highest number counts.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	caFile := filepath.Join(dir, "cas.pem")
	pkitest.Write(t, caFile, "CERTIFICATE", root.Cert.Raw, other.Cert.Raw)
	bob, eve, foreign := root.Issue(t, "bob"), root.Issue(t, "eve"), other.Issue(t, "carol")
	at := now.Add(-time.Hour)
	file := func(der ...[]byte) string {
		path := filepath.Join(dir, "crl.pem")
		pkitest.Write(t, path, "X509 CRL", der...)
		return path
	}
	for _, c := range []struct {
		name     string
		file     [][]byte // nil: no crl_file
		received [][]byte
		bob, eve bool // revoked
	}{
		{"none", nil, nil, false, false},
		{"received", nil, [][]byte{numbered(t, root, 1, at, eve.Cert)}, false, true},
		{"the file is newer", [][]byte{numbered(t, root, 3, at, bob.Cert)}, [][]byte{numbered(t, root, 2, at, eve.Cert)}, true, false},
		{"the received one is newer", [][]byte{numbered(t, root, 3, at, bob.Cert)}, [][]byte{numbered(t, root, 4, at, eve.Cert)}, false, true},
		{"numbers, not times", [][]byte{numbered(t, root, 3, at, bob.Cert)}, [][]byte{numbered(t, root, 4, at.Add(-time.Minute), eve.Cert)}, false, true},
		{"long numbers", [][]byte{numbered(t, root, 255, at, bob.Cert)}, [][]byte{numbered(t, root, 256, at, eve.Cert)}, false, true},
		{"a clock is late", nil, [][]byte{numbered(t, root, 4, now.Add(time.Hour), eve.Cert)}, false, true},
		{"without a number, but more recent", [][]byte{version1(t, root, bob.Cert)}, [][]byte{numbered(t, root, 4, at.Add(-time.Minute), eve.Cert)}, true, false},
		{"another's", nil, [][]byte{numbered(t, pkitest.NewCA(t, "root", now), 9, at, bob.Cert)}, false, false},
	} {
		cfg := PolicyConfig{CAFile: caFile}
		if c.file != nil {
			cfg.CRLFile = file(append(c.file, numbered(t, other, 1, at))...)
		}
		for _, der := range c.received {
			cfg.Lists = append(cfg.Lists, parsedList(t, der))
		}
		fresh := load(t, cfg)
		cfg.Lists = nil
		later := load(t, cfg).WithLists(parsedLists(t, c.received))
		for how, p := range map[string]*Policy{"loaded": fresh, "given later": later} {
			if b, e := revokes(t, p, bob), revokes(t, p, eve); b != c.bob || e != c.eve {
				t.Errorf("%s, %s: bob revoked %v, eve %v, want %v and %v", c.name, how, b, e, c.bob, c.eve)
			}
			if revokes(t, p, foreign) {
				t.Errorf("%s, %s: a host of another authority is revoked", c.name, how)
			}
			for _, der := range c.received {
				if got, want := p.HasList(sha256.Sum256(der)), c.name != "another's"; got != want {
					t.Errorf("%s, %s: it has the list: %v, want %v", c.name, how, got, want)
				}
			}
		}
	}
}

// parsedLists parses lists.
func parsedLists(t *testing.T, ders [][]byte) (lists []*List) {
	t.Helper()
	for _, der := range ders {
		lists = append(lists, parsedList(t, der))
	}
	return lists
}

// TestListsWithBrokenFile: received lists do not hide that crl_file cannot be used, and
// count meanwhile.
func TestListsWithBrokenFile(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	eve, bob := root.Issue(t, "eve"), root.Issue(t, "bob")
	list := parsedList(t, numbered(t, root, 1, now, eve.Cert))
	p := load(t, PolicyConfig{CAFile: root.WriteFile(t, dir), CRLFile: filepath.Join(dir, "nothing"), Lists: []*List{list}})
	if err := p.Usable(); err == nil || !strings.Contains(err.Error(), "only those count that the rendezvous server has sent") {
		t.Errorf("Usable: %v", err)
	}
	if revokes(t, p, bob) || !revokes(t, p, eve) {
		t.Error("the received list does not count")
	}
}

func TestAcceptList(t *testing.T) {
	dir := t.TempDir()
	root := pkitest.NewCA(t, "root", now)
	sub, stray := root.Intermediate(t, "sub"), pkitest.NewCA(t, "elsewhere", now).Intermediate(t, "stray")
	noCRL := pkitest.NewCA(t, "no lists", now, pkitest.Usage(x509.KeyUsageCertSign))
	old := pkitest.NewCA(t, "old", now, pkitest.Valid(now.Add(-48*time.Hour), now.Add(-24*time.Hour)))
	caFile, crlFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
	pkitest.Write(t, caFile, "CERTIFICATE", root.Cert.Raw, sub.Cert.Raw, noCRL.Cert.Raw, old.Cert.Raw, stray.Cert.Raw)
	imitation := pkitest.NewCA(t, "root", now)
	eve := root.Issue(t, "eve", func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} })
	pkitest.Write(t, crlFile, "X509 CRL", numbered(t, root, 7, now), numbered(t, imitation, 1000, now))
	p := load(t, PolicyConfig{CAFile: caFile, CRLFile: crlFile, Lists: []*List{parsedList(t, numbered(t, sub, 12, now))}})
	for _, c := range []struct {
		name string
		der  []byte
		is   error  // nil: any
		want string // "": accepted
	}{
		{"newer than the file", numbered(t, root, 8, now), nil, ""},
		{"newer, whatever its time says", numbered(t, root, 8, now.Add(-240*time.Hour)), nil, ""},
		{"that of the file", numbered(t, root, 7, now.Add(time.Minute)), ErrOldList, "there is a newer one already: 7"},
		{"older than the file", numbered(t, root, 6, now.Add(time.Minute)), ErrOldList, "there is a newer one already: 7"},
		{"newer than the received one", numbered(t, sub, 13, now), nil, ""},
		{"older than the received one", numbered(t, sub, 11, now), ErrOldList, "there is a newer one already: 12 (received)"},
		{"tomorrow's", numbered(t, root, 8, now.Add(23*time.Hour)), nil, ""},
		{"next week's", numbered(t, root, 8, now.Add(7*24*time.Hour)), nil, "is not valid before"},
		{"another's with the same name", numbered(t, imitation, 8, now), ErrForeignList, "none of the authorities"},
		{"an unknown authority's", numbered(t, pkitest.NewCA(t, "elsewhere", now), 8, now), ErrForeignList, "none of the authorities"},
		{"of one that leads to no root", numbered(t, stray, 8, now), ErrForeignList, "none of the authorities"},
		{"of one that may not sign lists", numbered(t, noCRL, 8, now), ErrForeignList, "none of the authorities"},
		{"of one that has expired", numbered(t, old, 8, now), ErrForeignList, "none of the authorities"},
		{"a member's", numbered(t, pkitest.CAWithCert(eve.Cert, eve.Key, now), 8, now), ErrForeignList, "none of the authorities"},
	} {
		err := p.Accept(now, parsedList(t, c.der))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParseList(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	l := parsedList(t, numbered(t, root, 42, now, root.Issue(t, "eve").Cert))
	if l.Issuer() != "CN=root" || l.Number() != "42" || l.Len() != 1 {
		t.Errorf("list %s of %s with %d certificates", l.Number(), l.Issuer(), l.Len())
	}
	delta := root.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(1), now, now.Add(time.Hour)
		l.ExtraExtensions = append(l.ExtraExtensions, pkitest.DeltaIndicator)
	})
	weak := pkitest.NewCAWithKey(t, "weak", now, pkitest.RSAKey(t)).CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate, l.SignatureAlgorithm = big.NewInt(1), now, now.Add(time.Hour), x509.SHA1WithRSA
	})
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"nothing":    {nil, "malformed"},
		"noise":      {[]byte("this is no list"), "malformed"},
		"version 1":  {version1(t, root), "no number"},
		"too large":  {make([]byte, maxListSize+1), "we take 4194304"},
		"delta list": {delta, "not a complete list"},
		"SHA-1":      {weak, "can be forged"},
	} {
		if _, err := ParseList(c.der, "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// FuzzParseList: whatever a server sends is a list or an error, and nothing that was
// changed is accepted.
func FuzzParseList(f *testing.F) {
	root := pkitest.NewCA(f, "root", now)
	good := numbered(f, root, 2, now, root.Issue(f, "eve").Cert)
	f.Add(good)
	f.Add(numbered(f, root, 3, now))
	f.Add(version1(f, root))
	f.Add([]byte{0x30, 0x80})
	p, err := NewPolicy([]*x509.Certificate{root.Cert}, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := ParseList(slices.Clone(der), "x")
		if err != nil {
			return
		}
		_, _, _ = l.Issuer(), l.Number(), l.Len()
		if err := p.Accept(now, l); err == nil && !slices.Equal(der, good) && l.Number() == "2" {
			t.Errorf("accepted: %x", der)
		}
	})
}

func TestRevocations(t *testing.T) {
	dir := t.TempDir()
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	caFile, crlFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
	pkitest.Write(t, caFile, "CERTIFICATE", root.Cert.Raw, other.Cert.Raw)
	pkitest.Write(t, crlFile, "X509 CRL", numbered(t, root, 5, now), version1(t, other))
	p := load(t, PolicyConfig{CAFile: caFile, CRLFile: crlFile,
		Lists: []*List{parsedList(t, numbered(t, root, 6, now, root.Issue(t, "eve").Cert))}})
	got := p.Revocations(now)
	want := []Revocation{
		{Issuer: "CN=other", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour), Source: crlFile + ": PEM block 2"},
		{Issuer: "CN=root", Number: "6", ThisUpdate: now, NextUpdate: now.Add(24 * time.Hour), Certificates: 1, Source: "received", Received: true},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestListStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "crls")
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	p, err := NewPolicy([]*x509.Certificate{root.Cert, other.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *ListStore {
		t.Helper()
		s, err := OpenLists(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keep := func(s *ListStore, ca *pkitest.CA, number int64) error {
		t.Helper()
		l := parsedList(t, numbered(t, ca, number, now))
		if err := p.Accept(now, l); err != nil {
			t.Fatal(err)
		}
		return s.Keep(l)
	}
	numbers := func(s *ListStore) string {
		var got []string
		for _, l := range s.Lists() {
			got = append(got, l.Issuer()+" "+l.Number())
		}
		slices.Sort(got)
		return strings.Join(got, ", ")
	}
	a, b := open(), open() // two processes
	for _, step := range []struct {
		in     *ListStore
		ca     *pkitest.CA
		number int64
		err    error
	}{
		{a, root, 1, nil}, {a, root, 3, nil}, {a, root, 3, ErrOldList}, {a, root, 2, ErrOldList},
		{b, root, 2, ErrOldList}, {b, other, 1, nil}, {b, root, 4, nil},
	} {
		if err := keep(step.in, step.ca, step.number); !errors.Is(err, step.err) {
			t.Errorf("keep %d of %v: %v, want %v", step.number, step.ca.Cert.Subject, err, step.err)
		}
	}
	if got, want := numbers(a), "CN=root 3"; got != want {
		t.Errorf("the first has %s, want %s", got, want)
	}
	if err := a.Refresh(); err != nil || numbers(a) != "CN=other 1, CN=root 4" {
		t.Errorf("the first, after a look: %s, %v", numbers(a), err)
	}
	c := open()
	if got, want := numbers(c), "CN=other 1, CN=root 4"; got != want {
		t.Errorf("read again: %s, want %s", got, want)
	}
	if l := c.Lists()[0]; !c.Has(sha256.Sum256(l.Raw())) || c.Has([32]byte{}) {
		t.Error("the store does not know what it has")
	}
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), storeSuffix) {
			if err := os.WriteFile(filepath.Join(dir, e.Name()), []byte("damaged"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := open()
	if got := numbers(d); got != "" || len(d.Warnings()) != 2 || !strings.Contains(d.Warnings()[0], "not used") {
		t.Errorf("damaged files: %s, warnings %q", got, d.Warnings())
	}
	if err := keep(d, root, 5); err != nil || numbers(open()) != "CN=root 5" {
		t.Errorf("a damaged file is not replaced: %v", err)
	}
}

// TestListStoreUnwritable: what cannot be written counts all the same, until the end.
func TestListStoreUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLists(file); err == nil {
		t.Error("a file was opened as a folder")
	}
	root := pkitest.NewCA(t, "root", now)
	for _, dir := range []string{"", filepath.Join(file, "below")} {
		s := &ListStore{dir: dir, lists: map[string]*List{}}
		err := s.Keep(parsedList(t, numbered(t, root, 1, now)))
		if (err == nil) != (dir == "") || len(s.Lists()) != 1 {
			t.Errorf("%q: %v, %d lists", dir, err, len(s.Lists()))
		}
	}
	s, err := OpenLists("")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxStored + 1 {
		l := parsedList(t, numbered(t, root, 1, now))
		l.signer = KeyID{byte(i)}
		if err := s.Keep(l); (err == nil) != (i < maxStored) {
			t.Errorf("list %d: %v", i, err)
		}
	}
}
