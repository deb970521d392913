package enroll

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
)

// NewEnrolment begins an enrolment: key gets a certificate by the token's
// invitation. The key must be kept until the end, over restarts: the invitation is
// used up by the first request that the authority gets.
func NewEnrolment(rand io.Reader, t *Token, key crypto.Signer) (*Exchange, error) {
	csr, err := x509.CreateCertificateRequest(rand, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("enroll: signing request: %w", err)
	}
	if len(csr) > maxSealed {
		return nil, fmt.Errorf("enroll: a signing request for this key has %d bytes, and %d fit into a message; use an ECDSA key", len(csr), maxSealed)
	}
	return newEnrolment(rand, t, key, csr), nil
}

// newEnrolment is NewEnrolment with a signing request.
func newEnrolment(rand io.Reader, t *Token, key crypto.Signer, csr []byte) *Exchange {
	master := t.Master()
	request, answer := master.aead(toAuthority), master.aead(toHost)
	return &Exchange{
		rand:   rand,
		head:   head{what: uint8(Enrol), id: t.ID},
		status: statusSealed,
		sealed: true,
		seal:   func(h []byte) ([]byte, error) { return appendSealed(h, rand, request, csr, h) },
		open: func(h, body []byte) ([]byte, bool) {
			return openSealed(answer, body, sealedHead(h, csr))
		},
		verify: func(g *Grant) (*Result, error) { return g.verify(t, key) },
	}
}

// verify decides whether an answer, which only somebody with the token can have
// made, comes from the authority that the token names.
func (g *Grant) verify(t *Token, key crypto.Signer) (*Result, error) {
	chain, err := parseCerts(g.Chain)
	if err != nil {
		return nil, err
	}
	roots, err := parseCerts(g.Roots)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !isKeyOf(leaf, key) {
		return nil, errors.New("the certificate in the authority's answer is for another key")
	}
	anchor, trusted, err := anchorOf(chain, roots, t.CA)
	if err != nil {
		return nil, err
	}
	r := &Result{Key: key, Chain: chain, Name: g.Name, Addrs: g.Addrs, Network: g.Network, Network6: g.Network6, Server: g.Server, Domain: g.Domain, CRLs: g.CRLs, Bulletin: g.Bulletin}
	if len(g.Bulletin) > 0 {
		b, err := verifyBulletin(g.Bulletin, append([]*x509.Certificate{anchor}, trusted...))
		if err != nil {
			return nil, err
		}
		for _, c := range b.CAs {
			if !slices.ContainsFunc(trusted, c.Equal) && isRoot(c) {
				trusted = append(trusted, c)
			}
		}
	}
	r.Roots = trusted
	if err := errors.Join(r.checkSettings(), r.checkCRLs(slices.Concat(trusted, chain[1:]))); err != nil {
		return nil, err
	}
	return r, nil
}

// anchorOf returns the certificate with the key that the token names, which must
// have signed the host's, and the roots above it. Other roots are not believed:
// who knows the token could name them.
func anchorOf(chain, roots []*x509.Certificate, want pki.KeyID) (anchor *x509.Certificate, trusted []*x509.Certificate, err error) {
	for _, c := range slices.Concat(chain[1:], roots) {
		if pki.KeyOf(c) == want && c.IsCA && chain[0].CheckSignatureFrom(c) == nil {
			anchor = c
		}
	}
	if anchor == nil {
		return nil, nil, errors.New("the certificate in the answer is not signed by the authority that the token names; somebody else may have got hold of the token")
	}
	found, err := chains(chain, roots)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificates in the authority's answer do not fit together: %w", err)
	}
	for _, c := range found {
		if root := c[len(c)-1]; slices.ContainsFunc(c, anchor.Equal) && !slices.ContainsFunc(trusted, root.Equal) {
			trusted = append(trusted, root)
		}
	}
	if len(trusted) == 0 {
		return nil, nil, errors.New("no root certificate in the authority's answer stands above the key that the token names")
	}
	return anchor, trusted, nil
}

func isRoot(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// verifyBulletin checks the bulletin at the time when its signer began: the clock
// may be wrong.
func verifyBulletin(data []byte, cas []*x509.Certificate) (*bulletin.Bulletin, error) {
	signed, err := bulletin.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("the bulletin in the authority's answer: %w", err)
	}
	for _, c := range cas {
		if b, err := signed.Verify(c.NotBefore, []*x509.Certificate{c}); err == nil {
			return b, nil
		}
	}
	return nil, errors.New("the bulletin in the authority's answer is not signed by the authority that the token names")
}

// checkSettings checks what becomes the host's configuration.
func (r *Result) checkSettings() error {
	leaf := r.Chain[0]
	a, err := pki.AttributesOf(leaf)
	if err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("the authority's answer makes no sense: "+format, args...)
	}
	if pki.IsRendezvous(leaf) {
		return bad("the certificate is one for a rendezvous server")
	}
	if len(a.Addrs) == 0 || !sameAddrs(a.Addrs, r.Addrs) {
		return bad("the certificate names the VPN addresses %v, and the settings %v", a.Addrs, r.Addrs)
	}
	if r.Name == "" || r.Name != leaf.Subject.CommonName || printable(r.Name) != r.Name {
		return bad("the certificate is one for %q", printable(leaf.Subject.CommonName))
	}
	if !r.Network.IsValid() || r.Network != r.Network.Masked() || !slices.ContainsFunc(r.Addrs, r.Network.Contains) {
		return bad("none of the VPN addresses %v is in the network %v", r.Addrs, r.Network)
	}
	if n := r.Network6; n.IsValid() && (!n.Addr().Is6() || n != n.Masked() || !slices.ContainsFunc(r.Addrs, n.Contains)) {
		return bad("none of the VPN addresses %v is in the IPv6 network %v", r.Addrs, n)
	}
	if _, _, err := splitServer(r.Server); err != nil {
		return bad("the rendezvous server %s", printable(err.Error()))
	}
	if err := CheckDomain(r.Domain); r.Domain != "" && err != nil {
		return bad("the domain %s", printable(err.Error()))
	}
	return nil
}

// checkCRLs checks that the lists are by authorities that are trusted.
func (r *Result) checkCRLs(cas []*x509.Certificate) error {
	for _, der := range r.CRLs {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("a revocation list in the authority's answer cannot be read: %w", err)
		}
		if !slices.ContainsFunc(cas, func(c *x509.Certificate) bool { return l.CheckSignatureFrom(c) == nil }) {
			return errors.New("a revocation list in the authority's answer is not signed by the authority")
		}
	}
	return nil
}

// sameAddrs compares sets of addresses.
func sameAddrs(a, b []netip.Addr) bool {
	within := func(a, b []netip.Addr) bool {
		return !slices.ContainsFunc(a, func(x netip.Addr) bool { return !slices.Contains(b, x) })
	}
	return within(a, b) && within(b, a)
}

// ParseSigningRequest reads what [Request.Open] has returned: a signing request,
// whose signature proves that its sender has the key. Nothing else in it counts.
func ParseSigningRequest(der []byte) (crypto.PublicKey, error) {
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("enroll: signing request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("enroll: signing request: its signature does not prove that the host has the key: %w", err)
	}
	return req.PublicKey, nil
}

// CheckClock says what is wrong if a result cannot be used now: nothing of an
// exchange depends on the clock, and everything afterwards does.
func (r *Result) CheckClock(now time.Time) error {
	const layout = "2006-01-02 15:04"
	for _, c := range append(slices.Clone(r.Chain), r.Roots...) {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return fmt.Errorf("by the clock of this host it is %s UTC, and the certificates are valid from %s to %s",
				now.UTC().Format(layout), c.NotBefore.UTC().Format(layout), c.NotAfter.UTC().Format(layout))
		}
	}
	return nil
}
