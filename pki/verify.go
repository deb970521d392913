package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits on what a peer sends, checked before anything is parsed. A DTLS
// Certificate message could carry 16 MiB.
const (
	maxCerts     = 16       // certificates in a message
	maxCertSize  = 16 << 10 // bytes of one certificate
	maxChainSize = 64 << 10 // bytes of all of them
)

// Verify decides about a peer that sent the certificates raw, DER, leaf first,
// in a DTLS handshake in which the peer has the given role. It returns who the
// peer is, or a [*Refusal]. It accepts any input and is safe for concurrent
// use.
func (p *Policy) Verify(now time.Time, raw [][]byte, role Role) (*Peer, error) {
	certs, r := parseMessage(raw)
	if r != nil {
		return nil, r
	}
	leaf := certs[0]
	if r := checkLeaf(now, leaf, role); r != nil {
		return nil, r
	}
	chains, r := p.chains(now, leaf, certs[1:])
	if r != nil {
		return nil, r
	}
	peer := PeerOf(leaf)
	if r := p.checkRevoked(now, chains, peer); r != nil {
		return nil, r
	}
	chain, r := p.checkChains(chains, role)
	if r != nil {
		return nil, r
	}
	if len(chain) > 1 {
		peer.Issuer = chain[1]
	}
	return peer, nil
}

// VerifyOwn returns the [*Refusal] with which a peer that has this policy
// would answer our own certificate in one of the two roles, or nil. It is
// meant for a warning at the start; only peers can say what they trust.
func (p *Policy) VerifyOwn(now time.Time, id *Identity) error {
	raw := id.TLS().Certificate
	for _, role := range []Role{Client, Server} {
		if !allows(id.Chain[0], role) {
			continue // Identity.Warnings says so
		}
		if _, err := p.Verify(now, raw, role); err != nil {
			return err
		}
	}
	return nil
}

// parseMessage parses the certificates of a message. It returns at least one.
// Only the leaf has to be readable: a root that travels along and that we
// could not use anyway is no reason to refuse.
func parseMessage(raw [][]byte) ([]*x509.Certificate, *Refusal) {
	if len(raw) == 0 {
		return nil, malformed("the peer sent no certificate")
	}
	if len(raw) > maxCerts {
		return nil, malformed("the peer sent %d certificates, and we take at most %d", len(raw), maxCerts)
	}
	total := 0
	for _, der := range raw {
		total += len(der)
		if len(der) > maxCertSize || total > maxChainSize {
			return nil, malformed("the peer's certificates are too large: we take %d bytes for one and %d for all", maxCertSize, maxChainSize)
		}
	}
	leaf, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return nil, malformed("the peer's certificate cannot be read: %s", printableText(err.Error()))
	}
	certs := []*x509.Certificate{leaf}
	for _, der := range raw[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil || slices.ContainsFunc(certs, c.Equal) {
			continue
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// checkLeaf checks what can be seen in the leaf alone, and needs no
// computation.
func checkLeaf(now time.Time, leaf *x509.Certificate, role Role) *Refusal {
	if r := checkTime(now, leaf); r != nil {
		return r
	}
	if r := checkStrength(leaf); r != nil {
		return r
	}
	if r := checkKeyUsage(leaf); r != nil {
		return r
	}
	return checkRole([]*x509.Certificate{leaf}, role)
}

// chains returns the chains from leaf to a root. More than one is possible
// when CAs are cross-signed.
func (p *Policy) chains(now time.Time, leaf *x509.Certificate, sent []*x509.Certificate) ([][]*x509.Certificate, *Refusal) {
	pool := p.intermediates.Clone()
	candidates := slices.Clone(p.intermediateList)
	for _, c := range sent {
		// A root counts only if it is one of ours, and a key of any size that
		// a peer may choose is not something to compute with.
		if !selfSigned(c) && checkKey(c) == nil {
			pool.AddCert(c)
			candidates = append(candidates, c)
		}
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         p.roots,
		Intermediates: pool,
		CurrentTime:   now,
		// Usages are ours to check: the default here is serverAuth, and how a
		// CA's usages limit its certificates differs from OpenSSL.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		if r := p.replaced(leaf); r != nil {
			return nil, r
		}
		d := &diagnosis{now: now, candidates: append(candidates, p.rootList...), sent: sent}
		return nil, d.explain(leaf, err)
	}
	slices.SortStableFunc(chains, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
	return chains, nil
}

// checkChains checks what is ours to check in chains, shortest first. One good
// chain is enough, and returned.
func (p *Policy) checkChains(chains [][]*x509.Certificate, role Role) ([]*x509.Certificate, *Refusal) {
	var first *Refusal
	for _, chain := range chains {
		r := p.checkDepth(chain)
		if r == nil {
			r = checkRole(chain, role)
		}
		if r == nil {
			return chain, nil
		}
		if first == nil {
			first = r
		}
	}
	return nil, first
}

// checkDepth counts like OpenSSL 1.0: the depth is the highest index in the
// chain, where the leaf has 0 and the root counts.
func (p *Policy) checkDepth(chain []*x509.Certificate) *Refusal {
	if depth := len(chain) - 1; depth > p.depth {
		return refuse(TooDeep, chain[0], fmt.Sprintf("the chain to the root %s has depth %d, and verify_depth is %d", subjectOf(chain[depth]), depth, p.depth),
			"raise verify_depth if this CA is meant to have intermediate CAs")
	}
	return nil
}

// A diagnosis finds out why there is no chain: the error of the standard
// library names one certificate at best.
type diagnosis struct {
	now        time.Time
	candidates []*x509.Certificate // that could be issuers: intermediates and roots
	sent       []*x509.Certificate // by the peer, without the leaf
	checks     int                 // signatures checked so far
}

// maxDiagnosis bounds the signatures that a diagnosis checks, so that a peer
// that nobody knows cannot make us compute for the sake of a good message.
const maxDiagnosis = 8

// explain turns the error of x509's Verify into a Refusal.
func (d *diagnosis) explain(leaf *x509.Certificate, err error) *Refusal {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Cert != nil {
		if r := checkTime(d.now, invalid.Cert); r != nil {
			return r
		}
		if invalid.Reason == x509.NotAuthorizedToSign {
			return refuse(BadCA, invalid.Cert, "it is used as the certificate of a CA, which it is not", "")
		}
		return refuse(BadCA, invalid.Cert, printableText(err.Error()), "")
	}
	var unhandled x509.UnhandledCriticalExtension
	if errors.As(err, &unhandled) {
		return d.unhandled(leaf)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return d.walk(leaf)
	}
	return refuse(UnknownCA, leaf, printableText(err.Error()), "")
}

// unhandled names the certificate with a critical extension that nobody knows.
func (d *diagnosis) unhandled(leaf *x509.Certificate) *Refusal {
	for _, c := range append([]*x509.Certificate{leaf}, d.candidates...) {
		if len(c.UnhandledCriticalExtensions) > 0 {
			return refuse(Malformed, c, fmt.Sprintf("it has the critical extension %v, which we do not know and must not ignore", c.UnhandledCriticalExtensions[0]), "")
		}
	}
	return refuse(Malformed, leaf, "a certificate of its chain has a critical extension that we do not know", "")
}

// walk follows issuers from leaf towards a root until something is wrong.
func (d *diagnosis) walk(leaf *x509.Certificate) *Refusal {
	c := leaf
	for range maxCerts {
		if r := checkStrength(c); r != nil {
			return r
		}
		issuer, r := d.issuer(c)
		if r != nil {
			return r
		}
		if selfSigned(issuer) {
			break
		}
		c = issuer
	}
	return refuse(UnknownCA, leaf, "no chain of certificates leads from it to a root in ca_certificates", "check that this peer belongs to this VPN")
}

// issuer returns the certificate that signed c, or why none did.
func (d *diagnosis) issuer(c *x509.Certificate) (*x509.Certificate, *Refusal) {
	var named *Refusal
	for _, cand := range d.candidates {
		if !bytes.Equal(cand.RawSubject, c.RawIssuer) || cand.Equal(c) || d.checks >= maxDiagnosis {
			continue
		}
		d.checks++
		err := c.CheckSignatureFrom(cand)
		if err == nil {
			return cand, nil
		}
		if named == nil {
			named = d.badIssuer(c, cand, err)
		}
	}
	if named != nil {
		return nil, named
	}
	if selfSigned(c) {
		return nil, refuse(UnknownCA, c, "it is self-signed, and not in ca_certificates", "check that this peer belongs to this VPN")
	}
	detail := fmt.Sprintf("its issuer %s is not in ca_certificates", issuerOf(c))
	if len(d.sent) > 0 {
		detail += ", nor among the certificates that the peer sent"
	}
	return nil, refuse(UnknownCA, c, detail, "check that this peer belongs to this VPN and sends the certificates of its intermediate CAs")
}

// badIssuer says why cand, which has the name of the issuer of c, is not it.
func (d *diagnosis) badIssuer(c, cand *x509.Certificate, err error) *Refusal {
	if r := checkKey(cand); r != nil {
		return r
	}
	var constraint x509.ConstraintViolationError
	if errors.As(err, &constraint) && cand.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
		return refuse(BadCA, cand, fmt.Sprintf("it issued %s without being a CA that may sign certificates", subjectOf(c)), "")
	}
	return refuse(UnknownCA, c, fmt.Sprintf("its issuer has the name of our CA %s (serial %s) but not its key", subjectOf(cand), serialOf(cand)),
		"if the CA was made anew, issue this certificate again; if not, somebody imitates it")
}
