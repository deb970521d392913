package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

// A member is a host that enrolled.
type member struct {
	t     testing.TB
	s     *Service
	cert  *x509.Certificate
	key   crypto.Signer
	roots []*x509.Certificate
}

func newMember(t testing.TB, c *CA, s *Service, o InviteOptions) *member {
	t.Helper()
	return newMemberAt(t, c, s, now, o)
}

func newMemberAt(t testing.TB, c *CA, s *Service, at time.Time, o InviteOptions) *member {
	t.Helper()
	_, token, err := c.Invite(at, rand.Reader, o)
	if err != nil {
		t.Fatal(err)
	}
	key := pkitest.NewKey(t)
	r, err := enrol(t, s, at, token, key)
	if err != nil {
		t.Fatal(err)
	}
	return &member{t, s, r.Chain[0], key, r.Roots}
}

// renew renews the certificate of m, for a fresh key unless that is nil.
func (m *member) renew(now time.Time, fresh crypto.Signer) (*enroll.Result, error) {
	m.t.Helper()
	e, err := enroll.NewRenewal(rand.Reader, enroll.Renewal{Cert: m.cert, Key: m.key, NewKey: fresh, Roots: m.roots})
	if err != nil {
		m.t.Fatal(err)
	}
	return run(m.s, now, somewhere, e)
}

// must is renew for what must succeed; m has the new certificate then.
func (m *member) must(now time.Time, fresh crypto.Signer) *x509.Certificate {
	m.t.Helper()
	r, err := m.renew(now, fresh)
	if err != nil {
		m.t.Fatal(err)
	}
	m.cert, m.key = r.Chain[0], r.Key
	return m.cert
}

func TestProlong(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice", Groups: []string{"admin"}, Routes: routes("192.168.7.0/24"), Days: 8})
	first := m.cert
	day := 24 * time.Hour
	if _, err := m.renew(now, nil); !errors.Is(err, enroll.ErrNotDue) {
		t.Errorf("at once: %v, want ErrNotDue", err)
	}
	_, err := m.renew(now.Add(time.Hour), pkitest.NewKey(t))
	wantRefusal(t, err, enroll.TooSoon, "2026-03-02 12:00")

	second := m.must(now.Add(6*day), nil)
	a, err := pki.AttributesOf(second)
	if err != nil || !slices.Equal(a.Groups, []string{"admin"}) || len(a.Routes) != 1 || !slices.Equal(a.Addrs, addrs("10.9.0.1")) || lifetime(second) != 8 || pki.KeyOf(second) != pki.KeyOf(first) {
		t.Errorf("attributes %+v, %v, %d days; want those of before", a, err, lifetime(second))
	}
	fresh := pkitest.NewKey(t)
	third := m.must(now.Add(13*day), fresh)
	if pki.KeyOf(third) == pki.KeyOf(first) || m.key != fresh {
		t.Error("the fresh key has no certificate")
	}
	if list, err := c.List(now); err != nil || len(list) != 3 {
		t.Errorf("%d certificates, %v, want 3", len(list), err)
	}
	_, err = m.renew(now.Add(22*day), nil)
	wantRefusal(t, err, enroll.Expired, "2026-03-22")
	s.RenewGrace = 2 * day
	m.must(now.Add(22*day), nil)
}

// TestProlongReplay repeats requests, and uses keys that were replaced.
func TestProlongReplay(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	day := 24 * time.Hour
	old := *m
	e, err := enroll.NewRenewal(rand.Reader, enroll.Renewal{Cert: m.cert, Key: m.key, Roots: m.roots})
	if err != nil {
		t.Fatal(err)
	}
	recorded := e.Next()
	second, err := run(s, now.Add(2*day), somewhere, e)
	if err != nil {
		t.Fatal(err)
	}
	// The host has lost the answer, and so it gets it again, however late.
	again, err := m.renew(now.Add(30*day), nil)
	if err != nil || !again.Chain[0].Equal(second.Chain[0]) {
		t.Errorf("the host asks again: %v, want the certificate of before", err)
	}
	for n := range 3 {
		if s.Answer(now.Add(time.Duration(40+n)*day), somewhere, recorded) == nil {
			t.Error("no answer to a request that is repeated")
		}
	}
	if list, err := c.List(now); err != nil || len(list) != 2 {
		t.Errorf("%d certificates, %v, want 2: repeating a request issues nothing", len(list), err)
	}
	m.cert = second.Chain[0]
	m.must(now.Add(50*day), pkitest.NewKey(t))
	_, err = old.renew(now.Add(60*day), nil)
	wantRefusal(t, err, enroll.Superseded, "with another key")
	_, err = old.renew(now.Add(60*day), pkitest.NewKey(t))
	wantRefusal(t, err, enroll.Superseded)
	if list, err := c.List(now); err != nil || len(list) != 3 {
		t.Errorf("%d certificates, %v, want 3", len(list), err)
	}
}

func TestProlongRefuses(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	other := newMember(t, c, s, InviteOptions{Name: "bob"})
	later := now.Add(48 * time.Hour)

	forged := *m
	forged.key = other.key
	_, err := forged.renew(later, nil)
	wantRefusal(t, err, enroll.Denied, "not signed with the key")

	stranger := pkitest.NewCA(t, "Another VPN", now)
	leaf := stranger.Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
	_, err = (&member{t, s, leaf.Cert, leaf.Key, m.roots}).renew(later, nil)
	wantRefusal(t, err, enroll.NotIssued, "has not issued")

	fresh := pkitest.NewKey(t)
	m.must(later, fresh)
	if _, err := reopen(t, c).Revoke(later, formatSerial(m.cert.SerialNumber), "keyCompromise"); err != nil {
		t.Fatal(err)
	}
	_, err = m.renew(later.Add(48*time.Hour), nil)
	wantRefusal(t, err, enroll.Revoked, "was revoked on 2026-03-03")
}

// TestProlongRevokedKey checks that a key with a revoked certificate gets no other.
func TestProlongRevokedKey(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice"})
	first, firstKey := m.cert, m.key
	later := now.Add(48 * time.Hour)
	m.must(later, pkitest.NewKey(t))
	if _, err := c.Revoke(later, formatSerial(first.SerialNumber), ""); err != nil {
		t.Fatal(err)
	}
	_, err := m.renew(later.Add(48*time.Hour), firstKey)
	wantRefusal(t, err, enroll.Revoked, "a certificate for this key was revoked")
	m.must(later.Add(48*time.Hour), nil) // the host itself goes on
}

// TestProlongShort renews at an interval that fits short lives.
func TestProlongShort(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	m := newMember(t, c, s, InviteOptions{Name: "alice", Days: 1})
	if got := minAge(m.cert); got != 6*time.Hour {
		t.Errorf("renewed after %v at the earliest, want 6h", got)
	}
	at := now
	for range 10 {
		at = at.Add(16 * time.Hour)
		if m.must(at, nil); lifetime(m.cert) != 1 {
			t.Fatalf("valid for %d days, want 1", lifetime(m.cert))
		}
	}
}

// TestProlongByHand renews what was issued without invitation: a rendezvous server,
// a host without address.
func TestProlongByHand(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	later := now.Add(48 * time.Hour)
	for _, req := range []Request{{Name: "rdv", Rendezvous: true}, {Name: "plain", NoAddress: true}, {Name: "rsa", Addrs: addrs("10.9.0.9", "fd00::9"), RSA: 2048}} {
		out, err := c.Issue(now, rand.Reader, req)
		if err != nil {
			t.Fatal(err)
		}
		key, err := pki.LoadKey(out.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		m := &member{t, s, out.Cert, key, []*x509.Certificate{c.Cert}}
		got := m.must(later, nil)
		if pki.IsRendezvous(got) != req.Rendezvous || !slices.Equal(addrsOf(got), req.Addrs) || got.Subject.CommonName != req.Name {
			t.Errorf("%s: certificate for %v, rendezvous %t", req.Name, addrsOf(got), pki.IsRendezvous(got))
		}
	}
}

// TestProlongEndOfCA takes the length of a certificate from the settings when the
// end of the CA has cut it short.
func TestProlongEndOfCA(t *testing.T) {
	c := newVPN(t)
	s, _ := newService(t, c)
	late := c.Cert.NotAfter.Add(-100 * 24 * time.Hour)
	_, token, err := c.Invite(late, rand.Reader, InviteOptions{Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	key := pkitest.NewKey(t)
	r, err := enrol(t, s, late, token, key)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t, s, r.Chain[0], key, r.Roots}
	if got := lifetime(m.cert); got != 100 {
		t.Fatalf("%d days, want 100", got)
	}
	if _, err := c.Rotate(late, rand.Reader, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	m.roots = append(m.roots, c.Cert)
	if m.must(late.Add(48*time.Hour), nil); lifetime(m.cert) != DefaultDays {
		t.Errorf("by the new key %d days, want %d", lifetime(m.cert), DefaultDays)
	}
}
