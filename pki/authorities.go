package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// WithAuthorities returns a policy that trusts the authorities in add, which are
// roots, beside those that p has from files, and no longer those in retired, which
// have said themselves that they are replaced. Of revocation lists it has those of
// the files: see [Policy.WithLists].
func (p *Policy) WithAuthorities(add, retired []*x509.Certificate) *Policy {
	q := *p
	q.roots, q.rootList, q.retired = x509.NewCertPool(), nil, slices.Clone(retired)
	gone := func(c *x509.Certificate) bool {
		return slices.ContainsFunc(retired, func(o *x509.Certificate) bool { return KeyOf(o) == KeyOf(c) })
	}
	for _, c := range slices.Concat(p.rootList, add) {
		if gone(c) || !selfSigned(c) || checkKey(c) != nil || slices.ContainsFunc(q.rootList, c.Equal) {
			continue
		}
		q.roots.AddCert(c)
		q.rootList = append(q.rootList, c)
	}
	q.use(nil)
	return &q
}

// Authorities returns those whose word counts at now: roots, and intermediate ones
// below them, of the policy and of an identity's chain, which may be nil.
func (p *Policy) Authorities(now time.Time, id *Identity) []*x509.Certificate {
	list := slices.Clone(p.rootList)
	below := slices.Clone(p.intermediateList)
	if id != nil {
		below = append(below, id.Chain[1:]...)
	}
	for _, c := range below {
		if selfSigned(c) || !c.IsCA || slices.ContainsFunc(list, c.Equal) {
			continue
		}
		if _, r := p.chains(now, c, below); r == nil {
			list = append(list, c)
		}
	}
	return list
}

// Intermediates returns the intermediate authorities of the files.
func (p *Policy) Intermediates() []*x509.Certificate { return slices.Clone(p.intermediateList) }

// replaced says that c comes from an authority that has retired; nil: it does not.
func (p *Policy) replaced(c *x509.Certificate) *Refusal {
	for _, o := range p.retired {
		if string(o.RawSubject) == string(c.RawIssuer) && c.CheckSignatureFrom(o) == nil {
			return refuse(UnknownCA, c, fmt.Sprintf("its issuer %s was replaced: the VPN's authority has another key now", issuerOf(c)), remedyNew)
		}
	}
	return nil
}
