package pkitest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func verify(root *CA, l *Leaf, at time.Time) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Cert)
	for _, c := range l.Chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := l.Cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: at})
	return err
}

func TestChains(t *testing.T) {
	root := NewCA(t, "root", now)
	sub := root.Intermediate(t, "sub")
	for _, c := range []struct {
		name string
		leaf *Leaf
		at   time.Time
		ok   bool
	}{
		{"below the root", root.Issue(t, "a"), now, true},
		{"below an intermediate", sub.Issue(t, "a"), now, true},
		{"two intermediates", sub.Intermediate(t, "deep").Issue(t, "a"), now, true},
		{"RSA", root.IssueKey(t, "a", RSAKey(t)), now, true},
		{"a year later", root.Issue(t, "a"), now.AddDate(1, 0, 1), false},
		{"expired", root.Issue(t, "a", Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))), now, false},
		{"client only, as server", root.Issue(t, "a", ExtUsage(x509.ExtKeyUsageClientAuth)), now, false},
		{"other root", NewCA(t, "other", now).Issue(t, "a"), now, false},
		{"self-signed", SelfSigned(t, "a", now), now, false},
		{"by a leaf", func() *Leaf { l := root.Issue(t, "x"); return CAWithCert(l.Cert, l.Key, now).Issue(t, "a") }(), now, false},
	} {
		if err := verify(root, c.leaf, c.at); (err == nil) != c.ok {
			t.Errorf("%s: %v, want accepted = %t", c.name, err, c.ok)
		}
	}
	a, b := root.Issue(t, "a"), root.Issue(t, "b")
	if a.Cert.SerialNumber.Cmp(b.Cert.SerialNumber) == 0 {
		t.Error("two certificates have the same serial number")
	}
}

func TestEdits(t *testing.T) {
	c := NewCA(t, "root", now).Issue(t, "a", Addrs("10.9.0.1", "fd00::1"), Usage(0), ExtUsage()).Cert
	if got := fmt.Sprint(c.IPAddresses); got != "[10.9.0.1 fd00::1]" || c.KeyUsage != 0 || len(c.ExtKeyUsage) != 0 {
		t.Errorf("addresses %v, usage %v, extended usage %v", c.IPAddresses, c.KeyUsage, c.ExtKeyUsage)
	}
}

func TestCRL(t *testing.T) {
	root := NewCA(t, "root", now)
	gone := root.Issue(t, "gone")
	l, err := x509.ParseRevocationList(root.CRL(t, now, now.Add(time.Hour), gone.Cert))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(root.Cert); err != nil {
		t.Error(err)
	}
	if len(l.RevokedCertificateEntries) != 1 || l.RevokedCertificateEntries[0].SerialNumber.Cmp(gone.Cert.SerialNumber) != 0 || !l.NextUpdate.Equal(now.Add(time.Hour)) {
		t.Errorf("list = %+v", l)
	}
	delta := root.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = gone.Cert.SerialNumber, now, now
		l.ExtraExtensions = append(l.ExtraExtensions, DeltaIndicator)
	})
	if l, err := x509.ParseRevocationList(delta); err != nil || !l.Extensions[len(l.Extensions)-1].Critical {
		t.Errorf("delta list = %+v, %v", l, err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	root := NewCA(t, "root", now)
	certFile, keyFile := root.Intermediate(t, "sub").Issue(t, "a").WriteFiles(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil || len(pair.Certificate) != 2 {
		t.Errorf("pair of %d certificates, %v, want 2", len(pair.Certificate), err)
	}
	if got := root.WriteFile(t, dir); got != dir+"/root.pem" {
		t.Errorf("path = %s", got)
	}
}

// Certificates can be made where time is virtual.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := NewCA(t, "root", time.Now())
		l := root.IssueKey(t, "a", RSAKey(t))
		if err := verify(root, l, time.Now()); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenSSL(t *testing.T) {
	o := NeedOpenSSL(t, t.TempDir())
	if out := o.Run(t, "version"); len(out) < 7 || out[:7] != "OpenSSL" {
		t.Errorf("version = %q", out)
	}
	if _, err := o.Try("frobnicate"); err == nil {
		t.Error("a command that openssl does not have succeeded")
	}
}
