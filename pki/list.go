package pki

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A List is a certificate revocation list that no administrator has put on this
// host: a rendezvous server has brought it, who is not to be believed. It does not
// change after it was made, and is safe for concurrent use.
type List struct {
	crl    *crl
	der    []byte
	signer KeyID // by [Policy.Accept]; zero for a list that a [ListStore] has read
}

// maxListSize is the size of the largest list that is taken, in bytes: 100,000
// certificates.
const maxListSize = 4 << 20

// maxEarly is how far in the future a list may begin: clocks differ.
const maxEarly = 24 * time.Hour

// Errors of [ParseList] and [Policy.Accept], for those who want to tell them apart.
var (
	// ErrOldList is for a list that another takes precedence over.
	ErrOldList = errors.New("there is a newer one already")

	// ErrForeignList is for a list that none of our authorities has signed.
	ErrForeignList = errors.New("none of the authorities in ca_certificates has signed it")
)

// ParseList reads a list, DER, which it keeps. where says for people where it comes
// from. The list has to have a number (RFC 5280 section 5.2.3), by which an old one
// is known.
func ParseList(der []byte, where string) (*List, error) {
	if len(der) > maxListSize {
		return nil, fmt.Errorf("the list has %d bytes, and we take %d", len(der), maxListSize)
	}
	l, err := parseCRL(der)
	if err != nil {
		return nil, err
	}
	if l.number == nil || l.number.Sign() < 0 || l.number.BitLen() > 160 {
		return nil, errors.New("the list has no number, by which it could be told from an old one (RFC 5280 section 5.2.3)")
	}
	switch l.algorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return nil, fmt.Errorf("the list is signed with %v, which can be forged", l.algorithm)
	}
	l.where, l.received = where, true
	return &List{crl: l, der: der}, nil
}

// Issuer returns the name of the authority whose list it is, for people.
func (l *List) Issuer() string { return l.crl.issuerName }

// Number returns the number of the list, in decimal.
func (l *List) Number() string { return l.crl.number.String() }

// Len returns how many certificates the list revokes.
func (l *List) Len() int { return len(l.crl.revoked) }

// Accept reports why a list that was received must not be used: because no authority
// of ours has signed it, because we hold a newer one of that authority, or because
// it begins too far in the future.
func (p *Policy) Accept(now time.Time, l *List) error {
	issuer := p.issuerOfList(now, l.crl)
	if issuer == nil {
		return fmt.Errorf("the revocation list of %s: %w", l.Issuer(), ErrForeignList)
	}
	if l.crl.thisUpdate.After(now.Add(maxEarly)) {
		return fmt.Errorf("the revocation list of %s is not valid before %s, and now is %s", l.Issuer(), stamp(l.crl.thisUpdate), stamp(now))
	}
	for _, o := range p.crls[l.crl.issuer] {
		if o.number != nil && o.number.Cmp(l.crl.number) >= 0 && o.checkSignature(issuer) {
			return fmt.Errorf("the revocation list %s of %s: %w: %v (%s)", l.Number(), l.Issuer(), ErrOldList, o.number, o.where)
		}
	}
	l.signer = KeyOf(issuer)
	return nil
}

// issuerOfList returns the authority that has signed a list; nil: none of ours. An
// intermediate one has to lead to a root.
func (p *Policy) issuerOfList(now time.Time, l *crl) *x509.Certificate {
	for _, c := range slices.Concat(p.rootList, p.intermediateList) {
		name, err := canonicalName(c.RawSubject)
		if err != nil || string(name) != l.issuer || checkTime(now, c) != nil || checkKey(c) != nil || !l.checkSignature(c) {
			continue
		}
		if _, r := p.chains(now, c, nil); r == nil {
			return c
		}
	}
	return nil
}

// WithLists returns a policy that has these lists in memory, instead of those that p
// has, and is p otherwise.
func (p *Policy) WithLists(lists []*List) *Policy {
	q := *p
	q.use(lists)
	return &q
}

// use makes the lists of files, and these, those that count.
func (p *Policy) use(lists []*List) {
	p.crls = map[string][]*crl{}
	for _, l := range p.fileCRLs {
		p.crls[l.issuer] = append(p.crls[l.issuer], l)
	}
	for _, l := range lists {
		p.crls[l.crl.issuer] = append(p.crls[l.crl.issuer], l.crl)
	}
}

// HasList reports whether the policy has the list with this hash, in DER.
func (p *Policy) HasList(hash [sha256.Size]byte) bool {
	for _, lists := range p.crls {
		if slices.ContainsFunc(lists, func(l *crl) bool { return l.hash == hash }) {
			return true
		}
	}
	return false
}

// A Revocation says which revocation list is in use for an authority.
type Revocation struct {
	Issuer       string // for people
	Number       string // in decimal; empty: it has none
	ThisUpdate   time.Time
	NextUpdate   time.Time // zero: none is announced
	Certificates int       // that it revokes
	Source       string    // where it comes from, for people
	Received     bool      // from the rendezvous server, and not from a file
}

// Revocations returns the revocation lists in use, by issuer.
func (p *Policy) Revocations(now time.Time) []Revocation {
	var rs []Revocation
	for _, issuer := range slices.Sorted(maps.Keys(p.crls)) {
		l := newest(now, p.crls[issuer])
		if l == nil {
			continue
		}
		r := Revocation{Issuer: l.issuerName, ThisUpdate: l.thisUpdate, NextUpdate: l.nextUpdate,
			Certificates: len(l.revoked), Source: l.where, Received: l.received}
		if l.number != nil {
			r.Number = l.number.String()
		}
		rs = append(rs, r)
	}
	slices.SortStableFunc(rs, func(a, b Revocation) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return rs
}

// storeName returns the name under which a list is stored: one for each authority
// and key.
func (l *List) storeName() string {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(l.crl.issuer), l.signer[:]}, []byte{0}))
	return fmt.Sprintf("%x%s", sum[:16], storeSuffix)
}
