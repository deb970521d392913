package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/safefile"
)

// reasons are the reasons for a revocation (RFC 5280 section 5.3.1), by their
// name in the index. removeFromCRL (8) has no place in a complete list.
var reasons = map[string]int{
	"unspecified": 0, "keyCompromise": 1, "CACompromise": 2, "affiliationChanged": 3,
	"superseded": 4, "cessationOfOperation": 5, "certificateHold": 6,
}

// Reasons returns the names of the reasons that [CA.Revoke] takes.
func Reasons() []string { return slices.Sorted(maps.Keys(reasons)) }

// reasonCode returns the code of a reason in the index, which openssl may have
// written with an argument after a comma.
func reasonCode(reason string) int {
	name, _, _ := strings.Cut(reason, ",")
	switch name {
	case "holdInstruction":
		return reasons["certificateHold"]
	case "keyTime":
		return reasons["keyCompromise"]
	case "CAkeyTime":
		return reasons["CACompromise"]
	}
	return reasons[name]
}

// Revoke revokes certificates: that in the file which, or that with the serial
// number which, or all valid ones of the host with that name. It returns what
// it has revoked. Peers learn it from the next revocation list; see [CA.CRL].
func (c *CA) Revoke(now time.Time, which, reason string) ([]Entry, error) {
	name, err := reasonName(reason)
	if err != nil {
		return nil, err
	}
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, err := c.find(x, which)
	if err != nil {
		return nil, err
	}
	// A certificate that expired is in nobody's way, unless it is meant.
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(r *record) bool { return !r.valid(now) })
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("ca: %q has no valid certificate; there is nothing to revoke", which)
	}
	if r := found[0]; len(found) == 1 && r.status == statusRevoked {
		return nil, fmt.Errorf("ca: certificate %s of %q was revoked on %s already", formatSerial(r.serial), c.nameOf(r), day(r.revoked))
	}
	var out []Entry
	for _, r := range found {
		r.status, r.revoked, r.reason = statusRevoked, now.UTC().Truncate(time.Second), name
		x.touch(r)
		out = append(out, c.entry(now, r))
	}
	if err := c.writeIndex(x); err != nil {
		return nil, err
	}
	return out, nil
}

// reasonName returns a reason as the index spells it; empty means unspecified.
func reasonName(reason string) (string, error) {
	if reason == "" {
		return "", nil
	}
	for name := range reasons {
		if strings.EqualFold(name, reason) {
			return name, nil
		}
	}
	return "", fmt.Errorf("ca: %q is not a reason for a revocation; the reasons are %s", reason, strings.Join(Reasons(), ", "))
}

// find returns the records that which means: a file with a certificate, a
// serial number, or a name.
func (c *CA) find(x *index, which string) ([]*record, error) {
	if strings.ContainsRune(which, os.PathSeparator) || strings.HasSuffix(which, ".pem") || strings.HasSuffix(which, ".crt") {
		return c.findFile(x, which)
	}
	var named []*record
	for _, r := range x.records() {
		if c.nameOf(r) == which {
			named = append(named, r)
		}
	}
	var serial *record
	if n, err := parseSerial(which); err == nil {
		serial = x.find(n)
	}
	switch {
	case len(named) > 0 && serial != nil && !slices.Contains(named, serial):
		return nil, withHint(fmt.Errorf("ca: %q is the serial number of a certificate and the name of a host", which),
			"say which one with the file of the certificate: %s or %s", c.certFile(formatSerial(serial.serial)), c.certFile(formatSerial(named[0].serial)))
	case serial != nil:
		return []*record{serial}, nil
	case len(named) > 0:
		return named, nil
	}
	return nil, withHint(fmt.Errorf("ca: there is no certificate with the name or serial number %q", which), "see what there is: campagnol ca list")
}

// findFile returns the record of the first certificate in a file.
func (c *CA) findFile(x *index, path string) ([]*record, error) {
	certs, err := pki.LoadCertificates(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := c.issued(x, certs[0]); err != nil {
		return nil, err
	}
	r := x.find(certs[0].SerialNumber)
	if r == nil {
		return nil, withHint(fmt.Errorf("ca: %s: this CA has signed the certificate, but it is not in its index %s", path, c.Files.Index),
			"the index has lost it; restore it from a backup")
	}
	return []*record{r}, nil
}

// A List is a new revocation list.
type List struct {
	File    string    // where it is
	Number  *big.Int  // counts lists
	Next    time.Time // when the next one is due
	Revoked int       // certificates on it
}

// CRL writes a new revocation list with all certificates that were revoked, and
// replaces the last one. It is valid for the given days; 0 means one year.
// Programs here use a list beyond that, with a warning.
func (c *CA) CRL(now time.Time, rand io.Reader, days int) (*List, error) {
	if days == 0 {
		days = DefaultCRLDays
	}
	if err := checkDays(days); err != nil {
		return nil, err
	}
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	return c.writeCRL(now, rand, key, x, days)
}

// writeCRL signs and writes the list of an index. While the key of the CA is being
// replaced, it writes one by each key, of what that has signed.
func (c *CA) writeCRL(now time.Time, rand io.Reader, key crypto.Signer, x *index, days int) (*List, error) {
	number, err := c.nextCRLNumber()
	if err != nil {
		return nil, err
	}
	signers := []bulletin.Signer{{Cert: c.Cert, Key: key}}
	last, err := c.previous()
	if err != nil {
		return nil, err
	}
	if last != nil {
		if signers, err = c.signers(); err != nil {
			return nil, err
		}
	}
	out := &List{File: c.Files.CRL, Number: number, Next: now.UTC().Add(time.Duration(days) * secondsPerDay).Truncate(time.Second)}
	var data []byte
	for _, s := range signers {
		l := *out
		l.Revoked = 0
		block, err := c.signCRL(now, rand, s, x, &l, len(signers) > 1)
		if err != nil {
			return nil, err
		}
		data = append(data, block...)
		out.Revoked += l.Revoked
	}
	kept, err := c.retired(now)
	if err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o644)
	if fi, err := os.Stat(c.Files.CRL); err == nil {
		mode = fi.Mode().Perm()
	}
	if err := safefile.Write(c.Files.CRL, append(data, kept...), mode); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return out, nil
}

// signCRL returns a list as PEM, and counts what is on it. With ownOnly it has only
// what its issuer has signed, and what nobody knows the issuer of.
func (c *CA) signCRL(now time.Time, rand io.Reader, s bulletin.Signer, x *index, l *List, ownOnly bool) ([]byte, error) {
	tmpl := &x509.RevocationList{Number: l.Number, ThisUpdate: now.UTC().Truncate(time.Second), NextUpdate: l.Next}
	issuers := c.issuers()
	for _, r := range x.records() {
		if r.status != statusRevoked {
			continue
		}
		if cert := c.stored(r); ownOnly && cert != nil {
			if by := issuerOf(issuers, cert); by != nil && !by.Equal(s.Cert) {
				continue
			}
		}
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.serial, RevocationTime: r.revoked, ReasonCode: reasonCode(r.reason),
		})
	}
	issuer, err := crlIssuer(s.Cert)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateRevocationList(rand, tmpl, issuer, s.Key)
	if err != nil {
		return nil, fmt.Errorf("ca: sign the revocation list: %w", err)
	}
	l.Revoked = len(tmpl.RevokedCertificateEntries)
	return pem.EncodeToMemory(&pem.Block{Type: pemCRL, Bytes: der}), nil
}

// crlIssuer returns the certificate of the CA in the form that the standard
// library wants: old CAs lack key usage and key identifier, which mean no
// restriction. A key usage that forbids lists stays one.
func crlIssuer(cert *x509.Certificate) (*x509.Certificate, error) {
	issuer := *cert
	if issuer.KeyUsage == 0 {
		issuer.KeyUsage = x509.KeyUsageCRLSign
	}
	if issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return nil, withHint(errors.New("ca: the key usage of the CA does not let it sign revocation lists"), "make a new CA: campagnol ca init --dir ...")
	}
	if len(issuer.SubjectKeyId) == 0 {
		id, err := keyIdentifier(issuer.PublicKey)
		if err != nil {
			return nil, err
		}
		issuer.SubjectKeyId = id
	}
	return &issuer, nil
}
