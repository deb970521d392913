package enroll

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/pkitest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// An authority answers as package ca does, without its rules: tests say what.
type authority struct {
	t      testing.TB
	ca     *pkitest.CA
	token  *Token
	master Master
	whole  func(csr []byte, key crypto.PublicKey) []byte
	asked  int
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, ca: pkitest.NewCA(t, "VPN", now)}
	a.token = newToken(t, pki.KeyOf(a.ca.Cert), "rdv.example.org:57888")
	a.master = a.token.Master()
	a.whole = func(_ []byte, key crypto.PublicKey) []byte { return a.grant(key).Append(nil) }
	return a
}

// grant returns a good answer: alice at 10.9.0.1.
func (a *authority) grant(key crypto.PublicKey) *Grant {
	leaf := a.ca.IssueKey(a.t, "alice", publicOnly{key}, pkitest.Addrs("10.9.0.1"))
	return &Grant{
		Chain: leaf.Raw(), Roots: [][]byte{a.ca.Cert.Raw}, Name: "alice", Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
		Network: netip.MustParsePrefix("10.9.0.0/24"), Server: "rdv.example.org:57888",
		CRLs: [][]byte{a.ca.CRL(a.t, now, now.AddDate(1, 0, 0))},
	}
}

// publicOnly is a key of which only the public part is known.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }
func (publicOnly) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("not our key")
}

// once makes f's answers repeat: pieces are of one.
func once(f func([]byte, crypto.PublicKey) []byte) func([]byte, crypto.PublicKey) []byte {
	var whole []byte
	return func(csr []byte, key crypto.PublicKey) []byte {
		if whole == nil {
			whole = f(csr, key)
		}
		return whole
	}
}

func (a *authority) answer(request []byte) []byte {
	a.t.Helper()
	a.asked++
	if len(request) > MaxSize {
		a.t.Errorf("a request of %d bytes", len(request))
	}
	r, err := ParseRequest(request)
	if err != nil {
		return nil
	}
	csr, err := r.Open(a.master)
	if err != nil {
		return r.Unknown()
	}
	key, err := ParseSigningRequest(csr)
	if err != nil {
		a.t.Error(err)
		return nil
	}
	out, err := r.Seal(rand.Reader, a.master, csr, a.whole(csr, key))
	if err != nil || len(out) > MaxSize {
		a.t.Errorf("an answer of %d bytes, %v", len(out), err)
	}
	return out
}

// enrol runs an enrolment to its end.
func (a *authority) enrol(key crypto.Signer) (*Result, error) {
	a.t.Helper()
	a.whole = once(a.whole)
	e, err := NewEnrolment(rand.Reader, a.token, key)
	if err != nil {
		a.t.Fatal(err)
	}
	for range 100 {
		if e.Done() {
			return e.Result()
		}
		_ = e.Take(a.answer(e.Next()))
	}
	return nil, errors.New("no end")
}

func TestEnrolment(t *testing.T) {
	a := newAuthority(t)
	key := pkitest.NewKey(t)
	r, err := a.enrol(key)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "alice" || r.Key != key || !isKeyOf(r.Chain[0], key) || len(r.Roots) != 1 || !r.Roots[0].Equal(a.ca.Cert) || len(r.CRLs) != 1 ||
		r.Network.String() != "10.9.0.0/24" || r.Server != "rdv.example.org:57888" || len(r.Addrs) != 1 {
		t.Errorf("result %+v", r)
	}
	if a.asked < 2 {
		t.Errorf("%d requests; the answer was to be longer than one message", a.asked)
	}
	if err := r.CheckClock(now); err != nil {
		t.Error(err)
	}
	for _, wrong := range []time.Time{now.AddDate(-30, 0, 0), now.AddDate(2, 0, 0)} {
		if err := r.CheckClock(wrong); err == nil || !strings.Contains(err.Error(), wrong.Format("2006-01-02")) {
			t.Errorf("clock at %v: error %v", wrong, err)
		}
	}
}

// TestIntermediate enrols at a CA below a root that everybody knows.
func TestIntermediate(t *testing.T) {
	root := pkitest.NewCA(t, "Root", now)
	a := newAuthority(t)
	a.ca = root.Intermediate(t, "VPN")
	a.token = newToken(t, pki.KeyOf(a.ca.Cert), "rdv.example.org:57888")
	a.master = a.token.Master()
	a.whole = func(_ []byte, key crypto.PublicKey) []byte {
		g := a.grant(key)
		g.Roots = [][]byte{root.Cert.Raw}
		return g.Append(nil)
	}
	r, err := a.enrol(pkitest.NewKey(t))
	if err != nil || len(r.Chain) != 2 || len(r.Roots) != 1 || !r.Roots[0].Equal(root.Cert) {
		t.Errorf("result %+v, %v", r, err)
	}
}

// TestFurtherRoots checks that only what the authority of the token vouches for is
// trusted.
func TestFurtherRoots(t *testing.T) {
	a := newAuthority(t)
	old, evil := pkitest.NewCA(t, "Old VPN", now), pkitest.NewCA(t, "Evil", now)
	b, err := bulletin.Sign(rand.Reader, &bulletin.Bulletin{Number: 1, Issued: now, CAs: []*x509.Certificate{a.ca.Cert, old.Cert}},
		bulletin.Signer{Cert: old.Cert, Key: old.Key}, bulletin.Signer{Cert: a.ca.Cert, Key: a.ca.Key})
	if err != nil {
		t.Fatal(err)
	}
	a.whole = func(_ []byte, key crypto.PublicKey) []byte {
		g := a.grant(key)
		g.Roots = append(g.Roots, evil.Cert.Raw)
		g.Bulletin = b
		return g.Append(nil)
	}
	r, err := a.enrol(pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	trusts := func(c *x509.Certificate) bool { return slices.ContainsFunc(r.Roots, c.Equal) }
	if !trusts(a.ca.Cert) || !trusts(old.Cert) || trusts(evil.Cert) {
		t.Errorf("the host trusts %d roots: the authority's %t, that of its bulletin %t, another %t; want true, true, false", len(r.Roots), trusts(a.ca.Cert), trusts(old.Cert), trusts(evil.Cert))
	}
}

// TestLyingAuthority has answers of somebody who knows the token, and has not the
// authority's key; and of an authority that makes mistakes.
func TestLyingAuthority(t *testing.T) {
	other, stranger := pkitest.NewCA(t, "VPN", now), pkitest.NewKey(t)
	for _, c := range []struct {
		name   string
		change func(a *authority, g *Grant)
		want   string
	}{
		{"all of another authority", func(a *authority, g *Grant) {
			leaf := other.IssueKey(t, "alice", publicOnly{mustParse(t, g.Chain[0]).PublicKey}, pkitest.Addrs("10.9.0.1"))
			g.Chain, g.Roots = leaf.Raw(), [][]byte{other.Cert.Raw}
		}, "not signed by the authority that the token names"},
		{"a certificate of another authority", func(a *authority, g *Grant) {
			g.Chain = other.IssueKey(t, "alice", publicOnly{mustParse(t, g.Chain[0]).PublicKey}, pkitest.Addrs("10.9.0.1")).Raw()
		}, "not signed by the authority"},
		{"another authority's root", func(a *authority, g *Grant) { g.Roots = [][]byte{other.Cert.Raw} }, "not signed by the authority"},
		{"no root", func(a *authority, g *Grant) { g.Roots = nil }, "not signed by the authority"},
		{"another host's certificate", func(a *authority, g *Grant) { g.Chain = a.grant(stranger.Public()).Chain }, "for another key"},
		{"a member of the VPN plays the authority", func(a *authority, g *Grant) {
			member := a.ca.Issue(t, "mallory")
			sub := pkitest.CAWithCert(member.Cert, member.Key, now)
			g.Chain = append(sub.IssueKey(t, "alice", publicOnly{mustParse(t, g.Chain[0]).PublicKey}, pkitest.Addrs("10.9.0.1")).Raw()[:1], member.Cert.Raw)
		}, "not signed by the authority"},
		{"a rendezvous server", func(a *authority, g *Grant) {
			g.Chain = a.ca.IssueKey(t, "alice", publicOnly{mustParse(t, g.Chain[0]).PublicKey}, pkitest.Addrs("10.9.0.1"), func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }).Raw()
		}, "rendezvous server"},
		{"no address", func(a *authority, g *Grant) {
			g.Chain, g.Addrs = a.ca.IssueKey(t, "alice", publicOnly{mustParse(t, g.Chain[0]).PublicKey}).Raw(), nil
		}, "VPN addresses"},
		{"another address", func(a *authority, g *Grant) { g.Addrs[0] = netip.MustParseAddr("10.9.0.2") }, "VPN addresses"},
		{"another name", func(a *authority, g *Grant) { g.Name = "bob" }, `one for "alice"`},
		{"another network", func(a *authority, g *Grant) { g.Network = netip.MustParsePrefix("10.8.0.0/24") }, "is in the network"},
		{"a network with an address", func(a *authority, g *Grant) { g.Network = netip.MustParsePrefix("10.9.0.7/24") }, "is in the network"},
		{"no network", func(a *authority, g *Grant) { g.Network = netip.Prefix{} }, "is in the network"},
		{"no server", func(a *authority, g *Grant) { g.Server = "" }, "rendezvous server"},
		{"a server with a line break", func(a *authority, g *Grant) { g.Server = "a\nb:1" }, "rendezvous server"},
		{"a list of another authority", func(a *authority, g *Grant) { g.CRLs = [][]byte{other.CRL(t, now, now.AddDate(1, 0, 0))} }, "revocation list"},
		{"a list that is none", func(a *authority, g *Grant) { g.CRLs = [][]byte{{1}} }, "revocation list"},
		{"a bulletin of another authority", func(a *authority, g *Grant) { g.Bulletin = bulletinOf(t, other) }, "bulletin"},
		{"a bulletin that is none", func(a *authority, g *Grant) { g.Bulletin = []byte("x") }, "bulletin"},
		{"a certificate that is none", func(a *authority, g *Grant) { g.Chain[0] = []byte("x") }, "cannot be read"},
		{"no certificate", func(a *authority, g *Grant) { g.Chain = nil }, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuthority(t)
			a.whole = func(_ []byte, key crypto.PublicKey) []byte {
				g := a.grant(key)
				c.change(a, g)
				return g.Append(nil)
			}
			r, err := a.enrol(pkitest.NewKey(t))
			if err == nil || r != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("result %+v, error %v, want one with %q", r, err, c.want)
			}
		})
	}
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func bulletinOf(t *testing.T, ca *pkitest.CA) []byte {
	t.Helper()
	b, err := bulletin.Sign(rand.Reader, &bulletin.Bulletin{Number: 1, Issued: now}, bulletin.Signer{Cert: ca.Cert, Key: ca.Key})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefusal ends an exchange if the authority has said it, and does not if
// anybody may have.
func TestRefusal(t *testing.T) {
	a := newAuthority(t)
	a.whole = func([]byte, crypto.PublicKey) []byte {
		return (&Refusal{Used, "used on \x1b[2J Tuesday"}).Append(nil)
	}
	_, err := a.enrol(pkitest.NewKey(t))
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != Used || refusal.Text != "used on ?[2J Tuesday" {
		t.Errorf("error %v, want the refusal, made printable", err)
	}

	e, err := NewEnrolment(rand.Reader, a.token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Result(); err == nil {
		t.Error("a result before the end")
	}
	r, err := ParseRequest(e.Next())
	if err != nil {
		t.Fatal(err)
	}
	later := (&Refusal{Later, "disk full"}).Append(nil)
	csr, err := r.Open(a.master)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := r.Seal(rand.Reader, a.master, csr, later)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		answer []byte
		want   string
	}{
		{r.Unknown(), ErrUnknown.Error()},
		{r.Busy(), ErrBusy.Error()},
		{sealed, "disk full"},
	} {
		if err := e.Take(c.answer); err != nil || e.Done() || e.Doubt() == nil || e.Doubt().Error() != c.want || e.Doubts() != i+1 {
			t.Errorf("answer %d: error %v, done %t, doubt %v (%d), want %q", i, err, e.Done(), e.Doubt(), e.Doubts(), c.want)
		}
	}
	if err := e.Take(r.Plain((&Refusal{Used, "forged"}).Append(nil))); err != nil || e.Doubts() != 3 {
		t.Errorf("a refusal in clear: error %v, %d doubts, want it ignored", err, e.Doubts())
	}
}
