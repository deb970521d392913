package pki

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// numbered returns a list with a number, 0 for none that counts, that was made at a
// time.
func numbered(t testing.TB, ca *pkitest.CA, number int64, at time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	return ca.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(number), at, at.AddDate(0, 0, 7)
		for _, c := range revoked {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at})
		}
	})
}

func parseList(t testing.TB, der []byte) *RevocationList {
	t.Helper()
	l, err := ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParseRevocationList(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ca := pkitest.NewCA(t, "ca", now)
	gone := ca.Issue(t, "gone")
	der := numbered(t, ca, 7, now, gone.Cert)
	input := bytes.Clone(der)
	l := parseList(t, input)
	clear(input)
	if !bytes.Equal(l.Raw(), der) {
		t.Error("the list aliases what was parsed")
	}
	if l.Issuer() != "CN=ca" || l.Number().Int64() != 7 || !l.ThisUpdate().Equal(now) || !l.NextUpdate().Equal(now.AddDate(0, 0, 7)) || l.Len() != 1 {
		t.Errorf("issuer %q, number %v, %v to %v, %d entries", l.Issuer(), l.Number(), l.ThisUpdate(), l.NextUpdate(), l.Len())
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half": der[:len(der)/2], "more behind it": append(bytes.Clone(der), 0), "a certificate": gone.Cert.Raw,
		"a delta list": ca.CRLWith(t, func(l *x509.RevocationList) {
			l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(1), now, now
			l.ExtraExtensions = append(l.ExtraExtensions, pkitest.DeltaIndicator)
		}),
	} {
		if _, err := ParseRevocationList(b); err == nil {
			t.Errorf("%s is taken for a list", name)
		}
	}
}

// TestSupersedes has RFC 5280 section 5.2.3: numbers of an issuer's lists grow.
func TestSupersedes(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ca := pkitest.NewCA(t, "ca", now)
	list := func(number int64, at time.Duration) *RevocationList {
		l := parseList(t, numbered(t, ca, max(number, 1), now.Add(at)))
		if number == 0 {
			l.list.number = nil
		}
		return l
	}
	for _, c := range []struct {
		name                string
		number, before      int64
		made                time.Duration // after the one before
		wanted, wantedAgain bool          // the other way round
	}{
		{"newer, higher", 8, 7, time.Hour, true, false},
		{"at the same time, higher", 8, 7, 0, true, false},
		{"older, higher", 8, 7, -time.Hour, false, false},
		{"newer, the same number", 7, 7, time.Hour, false, false},
		{"newer, lower", 6, 7, time.Hour, false, false},
		{"the same", 7, 7, 0, false, false},
		{"no numbers, newer", 0, 0, time.Second, true, false},
		{"no numbers, the same time", 0, 0, 0, false, false},
		{"a number now", 1, 0, time.Second, true, false},
		{"no number any more", 0, 9, time.Second, true, false},
		{"no number, older", 0, 9, -time.Second, false, true},
	} {
		next, before := list(c.number, c.made), list(c.before, 0)
		if got := next.Supersedes(before); got != c.wanted {
			t.Errorf("%s: supersedes %v, want %v", c.name, got, c.wanted)
		}
		if got := before.Supersedes(next); got != c.wantedAgain {
			t.Errorf("%s: the one before supersedes it: %v, want %v", c.name, got, c.wantedAgain)
		}
	}
	if !list(1, 0).Supersedes(nil) {
		t.Error("a list does not supersede none")
	}
}

func TestSignerOf(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	other := pkitest.NewCA(t, "other", now)
	impostor := pkitest.NewCA(t, "root", now)
	mute := pkitest.NewCA(t, "mute", now, pkitest.Usage(x509.KeyUsageCertSign))
	p, err := NewPolicy([]*x509.Certificate{impostor.Cert, root.Cert, sub.Cert, mute.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(ca *pkitest.CA) *RevocationList { return parseList(t, numbered(t, ca, 1, now)) }
	for _, c := range []struct {
		name string
		list *RevocationList
		want *pkitest.CA // nil: refused
		text string
	}{
		{"a root", signed(root), root, ""},
		{"another root of that name", signed(impostor), impostor, ""},
		{"an intermediate", signed(sub), sub, ""},
		{"a stranger", signed(other), nil, "not one of ours"},
		{"a stranger of the same name", signed(pkitest.NewCA(t, "root", now)), nil, "not signed by it"},
		{"one that may not", signed(mute), nil, "may not sign"},
	} {
		got, err := p.SignerOf(c.list)
		switch {
		case c.want != nil && (err != nil || got != KeyOf(c.want.Cert)):
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, KeyOf(c.want.Cert))
		case c.want == nil && (err == nil || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.text)
		}
	}
	weak := signed(root)
	weak.list.algorithm = x509.ECDSAWithSHA1
	if _, err := p.SignerOf(weak); err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("a list that is signed with SHA-1: %v", err)
	}
	changed := numbered(t, root, 1, now)
	changed[len(changed)-1] ^= 1 // within the signature
	if l, err := ParseRevocationList(changed); err == nil {
		if _, err := p.SignerOf(l); err == nil {
			t.Error("a wrong signature is good")
		}
	}
}

// TestWithLists: a received list refuses whom it revokes, beside the lists of files
// or without any; and it alone makes nobody need one.
func TestWithLists(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	old, gone, stays, below := root.Issue(t, "old"), root.Issue(t, "gone"), root.Issue(t, "stays"), sub.Issue(t, "below")
	file := numbered(t, root, 1, now.Add(-2*time.Hour), old.Cert)
	second := parseList(t, numbered(t, root, 2, now.Add(-time.Hour), old.Cert, gone.Cert))
	cas := []*x509.Certificate{root.Cert}
	policy := func(lists [][]byte) *Policy {
		p, err := NewPolicy(cas, lists, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	check := func(name string, p *Policy, refused ...*pkitest.Leaf) {
		t.Helper()
		for _, leaf := range []*pkitest.Leaf{old, gone, stays, below} {
			want := false
			for _, r := range refused {
				want = want || r == leaf
			}
			if _, err := p.Verify(now, leaf.Raw(), Client); (err != nil) != want {
				t.Errorf("%s: %s: %v, want refused %v", name, leaf.Cert.Subject.CommonName, err, want)
			}
		}
	}
	without, with := policy(nil), policy([][]byte{file})
	check("no lists", without)
	check("a received list alone", without.WithLists(second), old, gone)
	check("the same policy after that", without)
	check("the file alone", with, old, below)
	check("both", with.WithLists(second), old, gone, below)
	check("the file again", with, old, below)
	check("nothing received", with.WithLists(), old, below)
	ahead := parseList(t, numbered(t, root, 3, now.Add(time.Minute), stays.Cert))
	check("one that is not valid yet", without.WithLists(second, ahead), old, gone)
	check("no list is valid yet", without.WithLists(ahead))
	same := parseList(t, numbered(t, root, 3, now.Add(-time.Hour), stays.Cert))
	check("a higher number at the same time", without.WithLists(second, same), stays)
	check("the same in another order", without.WithLists(same, second), stays)
	for _, c := range []struct {
		policy *Policy
		leaf   *pkitest.Leaf
		want   bool
	}{{without, old, false}, {with, old, true}, {with, gone, false}, {with.WithLists(second), gone, true}, {with.WithLists(second), stays, false}, {with, below, false}} {
		if got := c.policy.Listed(c.leaf.Cert); got != c.want {
			t.Errorf("%s is listed: %v, want %v", c.leaf.Cert.Subject.CommonName, got, c.want)
		}
	}
	if got := len(with.Lists()); got != 1 {
		t.Errorf("%d lists count, want that of the file", got)
	}
	if got := len(without.Lists()) + len((*Policy)(nil).Lists()); got != 0 {
		t.Errorf("%d lists count, want none", got)
	}
}

// FuzzRevocationList reads anything as a list.
func FuzzRevocationList(f *testing.F) {
	now := time.Now()
	ca := pkitest.NewCA(f, "ca", now)
	good := numbered(f, ca, 1, now, ca.Issue(f, "x").Cert)
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte{0x30, 0x80})
	held := parseList(f, good)
	p, err := NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseRevocationList(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Raw(), b) {
			t.Errorf("%x is read, of %x", l.Raw(), b)
		}
		if l.Supersedes(held) && held.Supersedes(l) {
			t.Error("each of two lists supersedes the other")
		}
		if _, err := p.SignerOf(l); err == nil && !bytes.Equal(l.list.tbs, held.list.tbs) {
			t.Errorf("%x has a good signature", b)
		}
	})
}
