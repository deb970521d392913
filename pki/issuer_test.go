package pki

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

// TestIssuer: whoever is accepted comes with the certificate that signed its own,
// of the chain that was accepted.
func TestIssuer(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	root := pkitest.NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	deep := sub.Intermediate(t, "deep")
	alone := pkitest.SelfSigned(t, "alone", now)
	// The same authority twice: of the two, only one may issue servers.
	narrow := pkitest.NewCAWithKey(t, "narrow", now, pkitest.NewKey(t), pkitest.ExtUsage(x509.ExtKeyUsageClientAuth))
	wide := pkitest.NewCAWithKey(t, "narrow", now, narrow.Key)
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
		want *x509.Certificate
	}{
		{"below a root", root.Issue(t, "a"), root.Cert},
		{"below an intermediate authority", sub.Issue(t, "a"), sub.Cert},
		{"two below", deep.Issue(t, "a"), deep.Cert},
		{"one of two", narrow.Issue(t, "a"), wide.Cert},
		{"its own", alone, nil},
	} {
		p, err := NewPolicy([]*x509.Certificate{root.Cert, narrow.Cert, wide.Cert, alone.Cert}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := p.Verify(now, c.leaf.Raw(), Server)
		if err != nil || (peer.Issuer == nil) != (c.want == nil) || c.want != nil && !peer.Issuer.Equal(c.want) {
			t.Errorf("%s: %+v, %v, want another issuer", c.name, peer, err)
		}
	}
}

// TestNewRefusal: what others find out about a certificate reads like our own, and
// is as safe to print.
func TestNewRefusal(t *testing.T) {
	leaf := pkitest.NewCA(t, "root", time.Now()).Issue(t, "alice").Cert
	r := NewRefusal(NoAnswer, leaf, "somebody said \x1b[31mno\n", "ask again")
	if got, want := r.Error(), "refused: somebody said ?[31mno?; ask again"; !strings.HasPrefix(got, "certificate CN=alice (serial 01, ") || !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if r.Reason.String() != "no_answer" || strings.ContainsAny(r.Detail, "\x1b\n") {
		t.Errorf("%+v", r)
	}
}
