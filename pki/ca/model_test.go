package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// TestModel does things to a CA at random, with a clock that moves on, and
// compares what it has with a simple model: a list of what was issued.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &model{t: t, rng: mathrand.New(mathrand.NewPCG(seed, 2)), ca: newCA(t), now: now}
			if seed%2 == 1 {
				write(t, m.ca.Files.Serial, "01\n") // as openssl makes them
			}
			for range 60 {
				m.step()
			}
			m.compare()
		})
	}
}

type model struct {
	t      *testing.T
	rng    *mathrand.Rand
	ca     *CA
	now    time.Time
	issued []*modelCert
}

// A modelCert is a certificate of the model.
type modelCert struct {
	name    string
	addrs   []netip.Addr
	out     *Issued
	revoked bool
}

func (m *model) valid(c *modelCert) bool { return !c.revoked && !m.now.After(c.out.Cert.NotAfter) }

func (m *model) step() {
	m.t.Helper()
	m.now = m.now.Add(time.Duration(m.rng.IntN(24)) * time.Hour)
	switch n := m.rng.IntN(10); {
	case n < 3:
		m.issue(false)
	case n < 5:
		m.issue(true)
	case n < 6:
		m.sign()
	case n < 7:
		m.revokeName()
	case n < 8 && len(m.issued) > 0:
		m.revokeOne(m.issued[m.rng.IntN(len(m.issued))])
	case n < 9:
		m.ca = reopen(m.t, m.ca)
	default:
		m.compare()
	}
}

// request makes a request for one of few names and addresses.
func (m *model) request(renew bool) Request {
	r := Request{Name: fmt.Sprint("host", m.rng.IntN(5)), Renew: renew, Days: 1 + m.rng.IntN(20)}
	if !renew || m.rng.IntN(2) == 0 {
		r.Addrs = addrs(fmt.Sprint("10.9.0.", 1+m.rng.IntN(8)))
	}
	return r
}

// allowed says what the rules say: whether the request may be granted, and with
// which addresses.
func (m *model) allowed(r Request) ([]netip.Addr, bool) {
	want := r.Addrs
	var last *modelCert
	for _, c := range m.issued {
		if c.name == r.Name {
			last = c
		}
	}
	if r.Renew && last == nil {
		return nil, false
	}
	if len(want) == 0 && last != nil {
		want = last.addrs
	}
	for _, c := range m.issued {
		if !m.valid(c) {
			continue
		}
		if c.name == r.Name {
			if !r.Renew {
				return nil, false
			}
			continue
		}
		for _, a := range c.addrs {
			if a == want[0] {
				return nil, false
			}
		}
	}
	return want, true
}

func (m *model) issue(renew bool) {
	m.t.Helper()
	r := m.request(renew)
	want, ok := m.allowed(r)
	out, err := m.ca.Issue(m.now, rand.Reader, r)
	m.took(r, want, ok, out, err)
}

// sign has a key signed that was made elsewhere.
func (m *model) sign() {
	m.t.Helper()
	r := m.request(false)
	want, ok := m.allowed(r)
	data := csr(m.t, pkitest.NewKey(m.t), x509.CertificateRequest{Subject: pkix.Name{CommonName: "ignored"}})
	out, err := m.ca.Sign(m.now, rand.Reader, data, r)
	m.took(r, want, ok, out, err)
}

func (m *model) took(r Request, want []netip.Addr, ok bool, out *Issued, err error) {
	m.t.Helper()
	if ok != (err == nil) {
		m.t.Fatalf("%+v at %v: %v, want it granted = %t", r, m.now, err, ok)
	}
	if !ok {
		return
	}
	if fmt.Sprint(out.Addrs) != fmt.Sprint(want) {
		m.t.Fatalf("%+v: addresses %v, want %v", r, out.Addrs, want)
	}
	for _, c := range m.issued {
		if c.out.Serial == out.Serial {
			m.t.Fatalf("serial number %s was used twice", out.Serial)
		}
	}
	m.issued = append(m.issued, &modelCert{name: r.Name, addrs: want, out: out})
}

func (m *model) revokeName() {
	m.t.Helper()
	name := fmt.Sprint("host", m.rng.IntN(5))
	var all, valid []*modelCert
	for _, c := range m.issued {
		if c.name == name {
			all = append(all, c)
			if m.valid(c) {
				valid = append(valid, c)
			}
		}
	}
	// A single certificate is revoked even if it has expired.
	if len(all) == 1 && !all[0].revoked {
		valid = all
	}
	got, err := m.ca.Revoke(m.now, name, "superseded")
	if (err == nil) != (len(valid) > 0) || len(got) != len(valid) {
		m.t.Fatalf("revoke %s: %d certificates, %v, want %d", name, len(got), err, len(valid))
	}
	for _, c := range valid {
		c.revoked = true
	}
}

func (m *model) revokeOne(c *modelCert) {
	m.t.Helper()
	got, err := m.ca.Revoke(m.now, c.out.Serial, "")
	if (err == nil) == c.revoked {
		m.t.Fatalf("revoke %s (revoked before: %t): %v, %v", c.out.Serial, c.revoked, got, err)
	}
	c.revoked = true
}

// compare checks the list of the CA, and that a peer with its revocation list
// decides about every certificate as the model does.
func (m *model) compare() {
	m.t.Helper()
	list, err := m.ca.List(m.now)
	if err != nil || len(list) != len(m.issued) {
		m.t.Fatalf("%d certificates, %v, want %d", len(list), err, len(m.issued))
	}
	l, err := m.ca.CRL(m.now, rand.Reader, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: m.ca.Files.Cert, CRLFile: l.File}, m.now)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, c := range m.issued {
		status, reason := Valid, pki.Reason(0)
		if m.now.After(c.out.Cert.NotAfter) {
			status, reason = Expired, pki.Expired
		}
		if c.revoked {
			status = Revoked
			if reason == 0 { // what is cheap to see is seen first
				reason = pki.Revoked
			}
		}
		if e := list[i]; e.Status != status || e.Serial != c.out.Serial || e.Name != c.name || fmt.Sprint(e.Addrs) != fmt.Sprint(c.addrs) {
			m.t.Fatalf("entry %d = %+v, want %s of %s, %s, %v", i, e, c.out.Serial, c.name, status, c.addrs)
		}
		_, err := p.Verify(m.now, [][]byte{c.out.Cert.Raw}, pki.Server)
		var r *pki.Refusal
		if errors.As(err, &r); (r == nil) != (reason == 0) || r != nil && r.Reason != reason {
			m.t.Fatalf("%s at %v: %v, want %v", c.out.Serial, m.now, err, reason)
		}
	}
	if _, err := os.Stat(m.ca.Files.CRL); err != nil {
		m.t.Fatal(err)
	}
}
