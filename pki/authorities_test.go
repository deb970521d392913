package pki

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// TestWithAuthorities: authorities are trusted and no longer trusted beside the
// files, with their revocation lists.
func TestWithAuthorities(t *testing.T) {
	old, next := pkitest.NewCA(t, "VPN", now), pkitest.NewCA(t, "VPN 2", now)
	sub := next.Intermediate(t, "below")
	olds, news, subs := old.Issue(t, "alice"), next.Issue(t, "bob"), sub.Issue(t, "carol")
	gone := next.Issue(t, "gone")
	list, err := ParseList(next.CRL(t, now, now.Add(time.Hour), gone.Cert), "test")
	if err != nil {
		t.Fatal(err)
	}
	files, err := NewPolicy([]*x509.Certificate{old.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	both := files.WithAuthorities([]*x509.Certificate{next.Cert, old.Cert}, nil)
	for _, c := range []struct {
		name   string
		policy *Policy
		want   string // of "old new below", who is accepted
	}{
		{"files", files, "old"},
		{"both", both, "old new below"},
		{"the new one", files.WithAuthorities([]*x509.Certificate{next.Cert}, []*x509.Certificate{old.Cert}), "new below"},
		{"the files again", both.WithAuthorities(nil, []*x509.Certificate{next.Cert}), "old"},
		{"no root", files.WithAuthorities([]*x509.Certificate{sub.Cert, olds.Cert}, []*x509.Certificate{old.Cert}), ""},
	} {
		var got []string
		for _, l := range []struct {
			name string
			leaf *pkitest.Leaf
		}{{"old", olds}, {"new", news}, {"below", subs}} {
			if _, err := c.policy.Verify(now, l.leaf.Raw(), Client); err == nil {
				got = append(got, l.name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: accepted are %q, want %q", c.name, got, c.want)
		}
	}
	if _, err := both.WithLists([]*List{list}).Verify(now, gone.Raw(), Client); err == nil {
		t.Error("a list of the added authority does not count")
	}
	if len(files.Roots()) != 1 || len(both.Roots()) != 2 || len(both.Expiries()) != 2 {
		t.Errorf("%d and %d roots", len(files.Roots()), len(both.Roots()))
	}
	// Who shows a certificate of an authority that has retired is told so.
	var r *Refusal
	_, err = files.WithAuthorities([]*x509.Certificate{next.Cert}, []*x509.Certificate{old.Cert}).Verify(now, olds.Raw(), Client)
	if !errors.As(err, &r) || r.Reason != UnknownCA || !strings.Contains(r.Detail, "its issuer CN=VPN was replaced") || !strings.Contains(r.Remedy, "--renew") {
		t.Errorf("an old certificate: %v", err)
	}
}

// TestAuthorities: an intermediate authority counts if a root is above it.
func TestAuthorities(t *testing.T) {
	root, other := pkitest.NewCA(t, "root", now), pkitest.NewCA(t, "other", now)
	inFile, ofChain, foreign := root.Intermediate(t, "file"), root.Intermediate(t, "chain"), other.Intermediate(t, "foreign")
	p, err := NewPolicy([]*x509.Certificate{root.Cert, inFile.Cert, foreign.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	leaf := ofChain.Issue(t, "alice")
	id, err := NewIdentity(append(slices.Clone(leaf.Chain), foreign.Cert, leaf.Cert), leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   *Identity
		at   time.Time
		want []*x509.Certificate
	}{
		{nil, now, []*x509.Certificate{root.Cert, inFile.Cert}},
		{id, now, []*x509.Certificate{root.Cert, inFile.Cert, ofChain.Cert}},
		{id, now.AddDate(50, 0, 0), []*x509.Certificate{root.Cert}},
	} {
		got := p.Authorities(c.at, c.id)
		if !slices.EqualFunc(got, c.want, (*x509.Certificate).Equal) {
			t.Errorf("%d authorities, want %d", len(got), len(c.want))
			for _, x := range got {
				t.Log(x.Subject)
			}
		}
	}
	if got := p.Intermediates(); len(got) != 2 || !got[0].Equal(inFile.Cert) {
		t.Errorf("%d intermediate ones, want those of the files", len(got))
	}
}
