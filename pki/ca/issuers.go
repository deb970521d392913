package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"campagnol/pki"
	"campagnol/pki/bulletin"
)

// While the key of a CA is being replaced there are two: the new one, which signs
// certificates, in the usual files, and the last one in previous/, which signs its
// revocation list and bulletins until the replacement is finished.

const (
	previousDir  = "previous"
	nextDir      = "next"
	rotationCert = "cacert.pem"
	rotationKey  = "cakey.pem"
)

func (c *CA) previousFile(name string) string { return filepath.Join(c.Dir, previousDir, name) }

// previous returns the certificate of the CA's last key while it is in force, or
// nil.
func (c *CA) previous() (*x509.Certificate, error) {
	certs, err := pki.LoadCertificates(c.previousFile(rotationCert))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: the CA's last certificate: %w", err)
	}
	if certs[0].Equal(c.Cert) {
		return nil, nil // the replacement was never made
	}
	return certs[0], nil
}

// issuers returns the certificates of the CA that are in force, the current one
// first.
func (c *CA) issuers() []*x509.Certificate {
	out := []*x509.Certificate{c.Cert}
	if last, err := c.previous(); err == nil && last != nil {
		out = append(out, last)
	}
	return out
}

// signers returns the keys of the CA that are in force, the current one first.
func (c *CA) signers() ([]bulletin.Signer, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	out := []bulletin.Signer{{Cert: c.Cert, Key: key}}
	last, err := c.previous()
	if err != nil {
		return nil, err
	}
	if last != nil {
		if key, err = c.loadKey(c.previousFile(rotationKey), last); err != nil {
			return nil, err
		}
		out = append(out, bulletin.Signer{Cert: last, Key: key})
	}
	return out, nil
}

// issuerOf returns which of the certificates has signed a certificate, or nil.
func issuerOf(issuers []*x509.Certificate, cert *x509.Certificate) *x509.Certificate {
	for _, i := range issuers {
		if string(cert.RawIssuer) == string(i.RawSubject) && i.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
			return i
		}
	}
	return nil
}
