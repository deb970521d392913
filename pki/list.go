package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"
)

// A RevocationList is a revocation list by itself: one that was received, or one of
// a [Policy]. Nothing says that it is genuine before [Policy.SignerOf] does. It is
// safe for concurrent use.
type RevocationList struct{ list *crl }

// ParseRevocationList parses a list, DER. It accepts any input, of which it keeps
// no part. A list that is not complete, such as a delta list, is an error.
func ParseRevocationList(der []byte) (*RevocationList, error) {
	der = bytes.Clone(der)
	l, err := parseCRL(der)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if len(l.raw) != len(der) {
		return nil, fmt.Errorf("pki: %w: there is something behind it", errCRL)
	}
	l.where = "received"
	return &RevocationList{l}, nil
}

// Raw returns the list in DER, which must not be changed.
func (l *RevocationList) Raw() []byte { return l.list.raw }

// Issuer returns the name of the authority whose list it says it is, for people.
func (l *RevocationList) Issuer() string { return l.list.issuerName }

// Number returns the number of the list (RFC 5280 section 5.2.3), or nil if it has
// none.
func (l *RevocationList) Number() *big.Int { return l.list.number }

// ThisUpdate returns when the list was made.
func (l *RevocationList) ThisUpdate() time.Time { return l.list.thisUpdate }

// NextUpdate returns when there will be another one at the latest, or the zero Time
// if the list does not say.
func (l *RevocationList) NextUpdate() time.Time { return l.list.nextUpdate }

// Len returns how many certificates the list revokes.
func (l *RevocationList) Len() int { return len(l.list.revoked) }

// Supersedes reports whether l takes the place of old, a list of the same signer: it
// is not older and has a higher number, or if one of them has no number, it is
// newer. Every list supersedes nil.
func (l *RevocationList) Supersedes(old *RevocationList) bool {
	return old == nil || l.list.supersedes(old.list)
}

func (l *crl) supersedes(old *crl) bool {
	switch {
	case l.thisUpdate.Before(old.thisUpdate):
		return false
	case l.number != nil && old.number != nil:
		return l.number.Cmp(old.number) > 0
	}
	return l.thisUpdate.After(old.thisUpdate)
}

// errWeakList says that whoever sends a list may have chosen its bytes: two lists
// with one SHA-1 can be made.
var errWeakList = errors.New("it is signed with SHA-1, which is not accepted of a list that is passed on")

// SignerOf returns the key of the authority of p that has signed a list, or why
// there is none.
func (p *Policy) SignerOf(l *RevocationList) (KeyID, error) {
	switch l.list.algorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return KeyID{}, fmt.Errorf("pki: revocation list of %s: %w", l.Issuer(), errWeakList)
	}
	named := false
	for _, ca := range slices.Concat(p.rootList, p.intermediateList) {
		name, err := canonicalName(ca.RawSubject)
		if err != nil || string(name) != l.list.issuer {
			continue
		}
		named = true
		if l.list.checkSignature(ca) {
			return KeyOf(ca), nil
		}
	}
	if named {
		return KeyID{}, fmt.Errorf("pki: the revocation list with the name of %s is not signed by it, or it may not sign lists", l.Issuer())
	}
	return KeyID{}, fmt.Errorf("pki: revocation list of %s: this authority is not one of ours", l.Issuer())
}

// Lists returns the revocation lists that count in p, which may be nil.
func (p *Policy) Lists() []*RevocationList {
	if p == nil || !p.checkCRL {
		return nil
	}
	var lists []*RevocationList
	for _, issuer := range slices.Sorted(maps.Keys(p.crls)) {
		for _, l := range p.crls[issuer] {
			lists = append(lists, &RevocationList{l})
		}
	}
	return lists
}

// Listed reports whether a list of p names c, so that [Policy.Verify] is likely to
// refuse it. It takes no arithmetic, and decides nothing.
func (p *Policy) Listed(c *x509.Certificate) bool {
	if !p.checkCRL {
		return false
	}
	name, err := canonicalName(c.RawIssuer)
	return err == nil && slices.ContainsFunc(p.crls[string(name)], func(l *crl) bool { return l.revokes(c) })
}

// WithLists returns a policy with more revocation lists, each of which should have a
// signer ([Policy.SignerOf]). If no list counts in p, so that it needs none, they
// refuse those whom they revoke, and nobody for being in no list.
func (p *Policy) WithLists(lists ...*RevocationList) *Policy {
	if len(lists) == 0 {
		return p
	}
	next := *p
	next.checkCRL, next.mayLackCRL = true, p.mayLackCRL || !p.checkCRL
	next.crls = map[string][]*crl{}
	if p.checkCRL {
		next.crls = maps.Clone(p.crls)
	}
	for _, l := range lists {
		of := next.crls[l.list.issuer]
		next.crls[l.list.issuer] = append(slices.Clip(of), l.list)
	}
	return &next
}
