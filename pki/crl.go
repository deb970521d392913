package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A crl is a certificate revocation list (RFC 5280 section 5), reduced to what
// is asked of it: a list may have a hundred thousand entries.
type crl struct {
	where      string   // file and block
	issuer     string   // canonical name
	issuerName string   // for people
	number     *big.Int // RFC 5280 section 5.2.3; nil: none
	thisUpdate time.Time
	nextUpdate time.Time // zero: none, the list never expires
	revoked    map[string]revocation
	received   bool // not from a file of the administrator, see [List]

	hash      [sha256.Size]byte // of the whole list, DER
	tbs       []byte
	algorithm x509.SignatureAlgorithm
	signature []byte

	mu       sync.Mutex
	verified map[KeyID]bool // result of checkSignature by issuer
}

// A revocation is an entry of a list.
type revocation struct {
	at     time.Time
	reason int // RFC 5280 section 5.3.1; 0 if the list gives none
}

// revocationReasons are the names of RFC 5280 section 5.3.1.
var revocationReasons = map[int]string{
	1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
	5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL",
	9: "privilegeWithdrawn", 10: "aACompromise",
}

var errCRL = errors.New("malformed revocation list")

// parseCRL parses a list, DER. Version 1 is accepted as well, which the
// standard library does not read: "openssl ca" writes it when its configuration
// names no crlnumber file, and that of Campagnol 0.3.5's CA script names none.
func parseCRL(der []byte) (*crl, error) {
	l := &crl{revoked: map[string]revocation{}, verified: map[KeyID]bool{}, hash: sha256.Sum256(der)}
	var err error
	if isVersion1(der) {
		err = l.parseVersion1(der)
	} else {
		err = l.parseVersion2(der)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// isVersion1 reports whether a list lacks the version field, which starts the
// lists of version 2.
func isVersion1(der []byte) bool {
	list, inner := cryptobyte.String(der), cryptobyte.String(nil)
	return list.ReadASN1(&list, cbasn1.SEQUENCE) && list.ReadASN1(&inner, cbasn1.SEQUENCE) &&
		!inner.PeekASN1Tag(cbasn1.INTEGER)
}

func (l *crl) parseVersion2(der []byte) error {
	rl, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("%w: %w", errCRL, err)
	}
	for _, e := range rl.Extensions {
		if e.Critical {
			// A delta list or one of a distribution point: it says nothing
			// about certificates that it does not list.
			return fmt.Errorf("the list has the critical extension %v, so that it is not a complete list; that is not supported", e.Id)
		}
	}
	if err := l.setIssuer(rl.RawIssuer); err != nil {
		return err
	}
	l.number, l.thisUpdate, l.nextUpdate = rl.Number, rl.ThisUpdate, rl.NextUpdate
	for _, e := range rl.RevokedCertificateEntries {
		l.revoked[serialKey(e.SerialNumber)] = revocation{e.RevocationTime, e.ReasonCode}
	}
	l.tbs, l.signature, l.algorithm = rl.RawTBSRevocationList, rl.Signature, rl.SignatureAlgorithm
	return nil
}

// parseVersion1 parses what X.509 had in 1988:
//
//	CertificateList ::= SEQUENCE {
//	  tbsCertList SEQUENCE {
//	    signature AlgorithmIdentifier, issuer Name, thisUpdate Time, nextUpdate Time OPTIONAL,
//	    revokedCertificates SEQUENCE OF SEQUENCE { serial INTEGER, date Time } OPTIONAL },
//	  signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING }
func (l *crl) parseVersion1(der []byte) error {
	var list, tbs, rawTBS, inner, outer cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() ||
		!list.ReadASN1Element(&rawTBS, cbasn1.SEQUENCE) ||
		!list.ReadASN1Element(&outer, cbasn1.SEQUENCE) ||
		!list.ReadASN1BitStringAsBytes(&l.signature) || !list.Empty() {
		return errCRL
	}
	l.tbs = rawTBS
	var issuer cryptobyte.String
	if !rawTBS.ReadASN1(&tbs, cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&inner, cbasn1.SEQUENCE) ||
		string(inner) != string(outer) || !tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return errCRL
	}
	l.algorithm = signatureAlgorithm(outer)
	if err := l.setIssuer(issuer); err != nil {
		return err
	}
	if !readTime(&tbs, &l.thisUpdate) {
		return errCRL
	}
	if !tbs.Empty() && !tbs.PeekASN1Tag(cbasn1.SEQUENCE) && !readTime(&tbs, &l.nextUpdate) {
		return errCRL
	}
	return l.parseEntries(tbs)
}

// parseEntries reads the entries of a version 1 list.
func (l *crl) parseEntries(tbs cryptobyte.String) error {
	if tbs.Empty() {
		return nil
	}
	var entries cryptobyte.String
	if !tbs.ReadASN1(&entries, cbasn1.SEQUENCE) || !tbs.Empty() {
		return errCRL
	}
	for !entries.Empty() {
		var entry cryptobyte.String
		var r revocation
		serial := new(big.Int)
		if !entries.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1Integer(serial) ||
			!readTime(&entry, &r.at) || !entry.Empty() {
			return errCRL
		}
		l.revoked[serialKey(serial)] = r
	}
	return nil
}

// readTime reads a UTCTime or GeneralizedTime.
func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// signatureAlgorithms are those of version 1 lists that can be verified.
var signatureAlgorithms = map[string]x509.SignatureAlgorithm{
	"1.2.840.113549.1.1.5":  x509.SHA1WithRSA,
	"1.2.840.113549.1.1.11": x509.SHA256WithRSA,
	"1.2.840.113549.1.1.12": x509.SHA384WithRSA,
	"1.2.840.113549.1.1.13": x509.SHA512WithRSA,
	"1.2.840.10045.4.1":     x509.ECDSAWithSHA1,
	"1.2.840.10045.4.3.2":   x509.ECDSAWithSHA256,
	"1.2.840.10045.4.3.3":   x509.ECDSAWithSHA384,
	"1.2.840.10045.4.3.4":   x509.ECDSAWithSHA512,
	"1.3.101.112":           x509.PureEd25519,
}

// signatureAlgorithm reads an AlgorithmIdentifier. What it does not know
// becomes UnknownSignatureAlgorithm, with which no signature is good.
func signatureAlgorithm(id cryptobyte.String) x509.SignatureAlgorithm {
	var oid asn1.ObjectIdentifier
	if !id.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) {
		return x509.UnknownSignatureAlgorithm
	}
	return signatureAlgorithms[oid.String()]
}

func (l *crl) setIssuer(raw []byte) error {
	name, err := canonicalName(raw)
	if err != nil {
		return err
	}
	l.issuer, l.issuerName = string(name), nameForPeople(raw)
	return nil
}

// serialKey makes a map key of a serial number. The sign is part of it.
func serialKey(n *big.Int) string {
	if n.Sign() < 0 {
		return "-" + string(n.Bytes())
	}
	return string(n.Bytes())
}

// checkSignature reports whether issuer signed the list, and may. SHA-1 is
// accepted: the list is a file of the administrator, and no stranger chose a
// byte of it.
func (l *crl) checkSignature(issuer *x509.Certificate) bool {
	id := KeyOf(issuer)
	l.mu.Lock()
	ok, known := l.verified[id]
	l.mu.Unlock()
	if !known {
		ok = issuer.CheckSignature(l.algorithm, l.tbs, l.signature) == nil
		l.mu.Lock()
		l.verified[id] = ok // bounded: issuers are in chains to our roots
		l.mu.Unlock()
	}
	_, restricted := extension(issuer, oidKeyUsage)
	return ok && (!restricted || issuer.KeyUsage&x509.KeyUsageCRLSign != 0)
}

func (l *crl) expired(now time.Time) bool {
	return !l.nextUpdate.IsZero() && now.After(l.nextUpdate)
}

func (l *crl) expiredWarning() string {
	return fmt.Sprintf("the revocation list of %s (%s) expired on %s; it is used all the same, but newer revocations are missing: %s",
		l.issuerName, l.where, stamp(l.nextUpdate), l.remedy())
}

// remedy says how to get a newer list.
func (l *crl) remedy() string {
	if l.received {
		return `make a new one with "campagnol ca crl" and give it to the rendezvous server`
	}
	return `make a new one with "campagnol ca crl" and copy it here`
}

// newest returns the most recent of the lists that are valid at now or were
// before, and nil if there is none. Of those with a number it is the one with the
// highest (RFC 5280 section 5.2.3), whatever their times say.
func newest(now time.Time, lists []*crl) *crl {
	var numbered, other *crl
	for _, l := range lists {
		switch {
		case !l.begun(now):
		case l.number == nil && (other == nil || l.thisUpdate.After(other.thisUpdate)):
			other = l
		case l.number != nil && (numbered == nil || l.higher(numbered)):
			numbered = l
		}
	}
	if numbered == nil || other != nil && other.thisUpdate.After(numbered.thisUpdate) {
		return other
	}
	return numbered
}

// higher reports whether l has a higher number than o, or the same and is more
// recent. Both have one.
func (l *crl) higher(o *crl) bool {
	if c := l.number.Cmp(o.number); c != 0 {
		return c > 0
	}
	return l.thisUpdate.After(o.thisUpdate)
}

// begun reports whether a list is valid at now or was before. One that was received
// was looked at then, and a clock that is late must not make it count for nothing.
func (l *crl) begun(now time.Time) bool {
	return l.received || !now.Before(l.thisUpdate)
}

// checkRevoked checks the leaf of the chains, and only the leaf, against the
// newest list of its issuer. A list that has expired still counts, with a
// warning to the peer's. That there is none is a reason to refuse only if every
// peer has to be covered.
func (p *Policy) checkRevoked(now time.Time, chains [][]*x509.Certificate, peer *Peer) *Refusal {
	if !p.checkCRL && len(p.crls) == 0 {
		return nil
	}
	var refusal *Refusal
	var used *crl
	for _, chain := range chains {
		issuer := chain[min(1, len(chain)-1)] // a self-signed leaf is its own issuer
		l, r := p.findCRL(now, peer.Leaf, issuer)
		if l == nil {
			refusal = r
			continue
		}
		if used = l; l.revokes(peer.Leaf) {
			return l.refusal(peer.Leaf)
		}
	}
	switch {
	case used == nil && p.checkCRL:
		return refusal
	case used != nil && used.expired(now):
		peer.Warnings = append(peer.Warnings, used.expiredWarning())
	}
	return nil
}

// findCRL returns the list to ask about leaf, or a Refusal that says why there
// is none.
func (p *Policy) findCRL(now time.Time, leaf, issuer *x509.Certificate) (*crl, *Refusal) {
	name, err := canonicalName(leaf.RawIssuer)
	if err != nil {
		return nil, refuse(NoCRL, leaf, "the name of its issuer cannot be read", "")
	}
	var signed, unsigned []*crl
	for _, l := range p.crls[string(name)] {
		if l.checkSignature(issuer) {
			signed = append(signed, l)
		} else {
			unsigned = append(unsigned, l)
		}
	}
	if l := newest(now, signed); l != nil {
		return l, nil
	}
	var detail string
	switch {
	case len(signed) > 0:
		detail = fmt.Sprintf("the revocation list of its issuer (%s) is not valid before %s, and now is %s", signed[0].where, stamp(signed[0].thisUpdate), stamp(now))
	case len(unsigned) > 0:
		detail = fmt.Sprintf("the revocation list with the name of its issuer (%s) is not signed by it", unsigned[0].where)
	case len(p.noCRL) > 0:
		detail = fmt.Sprintf("there is no revocation list of its issuer %s: %s", issuerOf(leaf), strings.Join(p.noCRL, "; "))
	default:
		detail = fmt.Sprintf("there is no revocation list of its issuer %s in crl_file %s", issuerOf(leaf), p.crlFile)
	}
	return nil, refuse(NoCRL, leaf, detail, `make one with "campagnol ca crl" and copy it there, or remove crl_file from the configuration`)
}

func (l *crl) revokes(c *x509.Certificate) bool {
	_, ok := l.revoked[serialKey(c.SerialNumber)]
	return ok
}

// refusal is the Refusal of a certificate that the list revokes.
func (l *crl) refusal(c *x509.Certificate) *Refusal {
	r := l.revoked[serialKey(c.SerialNumber)]
	detail := fmt.Sprintf("revoked by %s on %s", l.issuerName, stamp(r.at))
	if name, ok := revocationReasons[r.reason]; ok {
		detail += " (" + name + ")"
	}
	return refuse(Revoked, c, detail, "if its holder is to be let in again, "+remedyNew)
}
