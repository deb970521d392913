package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
)

func TestIssue(t *testing.T) {
	c := newCA(t)
	for _, r := range []Request{
		{Name: "alice", Addrs: addrs("10.9.0.1", "fd00::1", "::ffff:10.9.0.1")},
		{Name: "rsa.example_1", Addrs: addrs("10.9.0.2"), RSA: 2048, Days: 10},
	} {
		out, err := c.Issue(now, rand.Reader, r)
		if err != nil {
			t.Fatal(err)
		}
		id, err := pki.LoadIdentity(out.CertFile, out.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		if w := id.Warnings(now); r.Days == 0 && len(w) != 0 {
			t.Errorf("%s: warnings of the host: %q", r.Name, w)
		}
		if err := id.Check(now.Add(-30 * time.Minute)); err != nil {
			t.Errorf("%s: a host whose clock is half an hour slow: %v", r.Name, err)
		}
		peer, err := verify(t, out, c.Files.CRL)
		if err != nil {
			t.Fatal(err)
		}
		if peer.Name != r.Name || !slices.Equal(peer.Addrs, out.Addrs) {
			t.Errorf("peer %q with %v, want %q with %v", peer.Name, peer.Addrs, r.Name, out.Addrs)
		}
		cert := out.Cert
		usage, days := x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement, DefaultDays
		if r.RSA != 0 {
			usage, days = x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, r.Days
		}
		if cert.KeyUsage != usage || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}) ||
			cert.IsCA || !cert.BasicConstraintsValid || !cert.NotAfter.Equal(now.AddDate(0, 0, days)) || cert.Subject.String() != "CN="+r.Name ||
			len(cert.SubjectKeyId) != 20 || !bytes.Equal(cert.AuthorityKeyId, c.Cert.SubjectKeyId) || cert.SerialNumber.BitLen() > 128 {
			t.Errorf("certificate of %s: %+v", r.Name, cert)
		}
		if out.Dir != filepath.Join(c.Dir, "hosts", r.Name) || len(out.Notes) != 0 {
			t.Errorf("issued = %+v", out)
		}
		wantMode(t, out.KeyFile, 0o600)
		wantMode(t, out.Dir, 0o700)
		wantMode(t, out.CertFile, 0o644)
		wantMode(t, out.CAFile, 0o644)
	}
	if got := fmt.Sprint(issue(t, c, "dora", "10.9.0.9", "::ffff:10.9.0.9").Addrs); got != "[10.9.0.9]" {
		t.Errorf("addresses = %v, want one", got)
	}
	rdv, err := c.Issue(now, rand.Reader, Request{Name: "rdv", NoAddress: true})
	if err != nil || len(rdv.Cert.IPAddresses) != 0 {
		t.Errorf("without address: %v, %v", rdv, err)
	}
}

// TestIssueRendezvous makes a certificate for a rendezvous server, renews it and
// signs it anew: it stays one.
func TestIssueRendezvous(t *testing.T) {
	c := newCA(t)
	check := func(what string, out *Issued, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !pki.IsRendezvous(out.Cert) || len(out.Cert.IPAddresses) != 0 {
			t.Errorf("%s: URIs %v, addresses %v", what, out.Cert.URIs, out.Cert.IPAddresses)
		}
		for _, role := range []pki.Role{pki.Client, pki.Server} {
			policy, err := pki.NewPolicy([]*x509.Certificate{c.Cert}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policy.Verify(now, [][]byte{out.Cert.Raw}, role); err != nil {
				t.Errorf("%s: as %v: %v", what, role, err)
			}
		}
	}
	out, err := c.Issue(now, rand.Reader, Request{Name: "rdv", Rendezvous: true})
	check("issued", out, err)
	out, err = c.Issue(now, rand.Reader, Request{Name: "rdv", Renew: true})
	check("renewed", out, err)
	out, err = c.Sign(now, rand.Reader, certPEM(out.Cert), Request{})
	check("signed anew", out, err)
	if alice := issue(t, c, "alice", "10.9.0.1"); pki.IsRendezvous(alice.Cert) {
		t.Error("a host's certificate is one for a rendezvous server")
	}
	if _, err := c.Issue(now, rand.Reader, Request{Name: "x", Rendezvous: true, Addrs: addrs("10.9.0.9")}); err == nil {
		t.Error("a rendezvous server has got a VPN address")
	}
}

func TestIssueRefuses(t *testing.T) {
	c := newCA(t)
	first := issue(t, c, "alice", "10.9.0.1")
	gone := issue(t, c, "gone", "10.9.0.3")
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	short, err := c.Issue(now, rand.Reader, Request{Name: "short", Addrs: addrs("10.9.0.4"), Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	serial := formatSerial(first.Cert.SerialNumber)
	for _, r := range []struct {
		name  string
		req   Request
		at    time.Duration
		parts []string // empty: accepted
	}{
		{"no name", Request{Addrs: addrs("10.9.0.9")}, 0, []string{"needs a name"}},
		{"path", Request{Name: "../x", Addrs: addrs("10.9.0.9")}, 0, []string{`"../x"`, "letters"}},
		{"dot", Request{Name: ".", Addrs: addrs("10.9.0.9")}, 0, []string{"not usable"}},
		{"dash", Request{Name: "-x", Addrs: addrs("10.9.0.9")}, 0, []string{"not usable"}},
		{"space", Request{Name: "a b", Addrs: addrs("10.9.0.9")}, 0, []string{"not usable"}},
		{"long", Request{Name: strings.Repeat("a", 65), Addrs: addrs("10.9.0.9")}, 0, []string{"not usable"}},
		{"no address", Request{Name: "bob"}, 0, []string{"--ip", "--no-ip"}},
		{"unspecified", Request{Name: "bob", Addrs: addrs("0.0.0.0")}, 0, []string{"0.0.0.0"}},
		{"multicast", Request{Name: "bob", Addrs: addrs("224.0.0.1")}, 0, []string{"224.0.0.1"}},
		{"broadcast", Request{Name: "bob", Addrs: addrs("255.255.255.255")}, 0, []string{"255.255.255.255"}},
		{"zone", Request{Name: "bob", Addrs: addrs("fd00::1%eth0")}, 0, []string{"fd00::1%eth0"}},
		{"zero address", Request{Name: "bob", Addrs: make([]netip.Addr, 1)}, 0, []string{"invalid IP"}},
		{"with and without", Request{Name: "bob", Addrs: addrs("10.9.0.9"), NoAddress: true}, 0, []string{"at once"}},
		{"days", Request{Name: "bob", Addrs: addrs("10.9.0.9"), Days: -1}, 0, []string{"-1 days"}},
		{"small key", Request{Name: "bob", Addrs: addrs("10.9.0.9"), RSA: 1024}, 0, []string{"1024 bits"}},
		{"name taken", Request{Name: "alice", Addrs: addrs("10.9.0.9")}, 0, []string{"has a certificate already", serial, "--renew", "revoke alice"}},
		{"address taken", Request{Name: "bob", Addrs: addrs("10.9.0.9", "10.9.0.1")}, 0, []string{"10.9.0.1 belongs to \"alice\"", "revoke " + serial}},
		{"nothing to renew", Request{Name: "bob", Renew: true}, 0, []string{"no certificate that could be renewed"}},
		{"renewal takes an address", Request{Name: "alice", Renew: true, Addrs: addrs("10.9.0.4")}, 0, []string{"belongs to \"short\""}},
		{"forced", Request{Name: "bob", Addrs: addrs("10.9.0.1"), Force: true}, 0, nil},
		{"address of a revoked one", Request{Name: "new", Addrs: addrs("10.9.0.3")}, 0, nil},
		{"name of a revoked one", Request{Name: "gone", Addrs: addrs("10.9.0.13")}, 0, nil},
		{"address of an expired one", Request{Name: "later", Addrs: addrs("10.9.0.4")}, 25 * time.Hour, nil},
		{"name of an expired one", Request{Name: "short", Addrs: addrs("10.9.0.14")}, 25 * time.Hour, nil},
		{"the CA has expired", Request{Name: "end", Addrs: addrs("10.9.0.15")}, 3651 * 24 * time.Hour, []string{"the CA expired on 2036-02-27", "init"}},
	} {
		out, err := reopen(t, c).Issue(now.Add(r.at), rand.Reader, r.req)
		if len(r.parts) > 0 {
			if out != nil {
				t.Errorf("%s: a certificate was issued", r.name)
			}
			wantError(t, err, r.parts...)
		} else if err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	if gone.Cert.Equal(short.Cert) {
		t.Error("two certificates are equal")
	}
}

func TestRenew(t *testing.T) {
	c := newCA(t)
	first := issue(t, c, "alice", "10.9.0.1", "fd00::1")
	out, err := c.Issue(now, rand.Reader, Request{Name: "alice", Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(out.Addrs) != "[10.9.0.1 fd00::1]" || out.Cert.SerialNumber.Cmp(first.Cert.SerialNumber) == 0 {
		t.Errorf("addresses %v, serial %v, want the same addresses and another number", out.Addrs, out.Cert.SerialNumber)
	}
	if len(out.Notes) != 1 || !strings.Contains(out.Notes[0], formatSerial(first.Cert.SerialNumber)) {
		t.Errorf("notes = %q, want one about the older certificate", out.Notes)
	}
	if moved, err := c.Issue(now, rand.Reader, Request{Name: "alice", Renew: true, Addrs: addrs("10.9.0.7")}); err != nil || fmt.Sprint(moved.Addrs) != "[10.9.0.7]" {
		t.Errorf("renewal with another address: %v, %v", moved, err)
	}
	// It all goes at once.
	gone, err := c.Revoke(now, "alice", "")
	if err != nil || len(gone) != 3 {
		t.Errorf("revoked %v, %v, want all three", gone, err)
	}
}

// A certificate cannot outlive its CA: peers would refuse it from then on.
func TestIssueEndsWithCA(t *testing.T) {
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Days: 5}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	out := issue(t, c, "alice", "10.9.0.1")
	if !out.Cert.NotAfter.Equal(c.Cert.NotAfter) || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "2026-03-06") {
		t.Errorf("ends %v, notes %q, want the end of the CA and a note", out.Cert.NotAfter, out.Notes)
	}
}
