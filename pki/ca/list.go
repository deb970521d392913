package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"campagnol/pki"
)

// A Status is what an issued certificate is worth.
type Status string

// The statuses.
const (
	Valid   Status = "valid"
	Revoked Status = "revoked"
	Expired Status = "expired"
)

// An Entry is an issued certificate, as the index and its file know it.
type Entry struct {
	Serial  string    // hexadecimal
	Status  Status    // revoked beats expired
	Name    string    // of the host
	Subject string    // in OpenSSL's one-line form
	Expires time.Time // UTC
	Revoked time.Time // UTC; zero unless the status is Revoked
	Reason  string    // of the revocation; may be empty
	Addrs   []netip.Addr
	Groups  []string       // that the certificate carries
	Routes  []netip.Prefix // networks behind the host
	File    string         // of the certificate; empty if it is missing
}

// List returns all certificates that the CA has issued, in the order of issue.
func (c *CA) List(now time.Time) ([]Entry, error) {
	x, err := c.readIndex()
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, r := range x.records() {
		list = append(list, c.entry(now, r))
	}
	return list, nil
}

// entry describes a record.
func (c *CA) entry(now time.Time, r *record) Entry {
	e := Entry{Serial: formatSerial(r.serial), Name: r.commonName(), Subject: r.subject, Expires: r.expires}
	switch {
	case r.status == statusRevoked:
		e.Status, e.Revoked, e.Reason = Revoked, r.revoked, r.reason
	case r.valid(now):
		e.Status = Valid
	default:
		e.Status = Expired
	}
	if cert := c.stored(r); cert != nil {
		e.File, e.Addrs = c.certFile(e.Serial), addrsOf(cert)
		e.Groups, e.Routes = attributesOf(cert)
		if cert.Subject.CommonName != "" {
			e.Name = cert.Subject.CommonName
		}
	}
	return e
}

// Details is all there is to say about a certificate.
type Details struct {
	Entry
	Cert      *x509.Certificate // nil if its file is missing
	NotBefore time.Time
	Key       string // kind of key
	KeyID     pki.KeyID
	Signature string // algorithm
	Usage     []string
}

// Show returns the certificates that which means; see [CA.Revoke].
func (c *CA) Show(now time.Time, which string) ([]Details, error) {
	x, err := c.readIndex()
	if err != nil {
		return nil, err
	}
	found, err := c.find(x, which)
	if err != nil {
		return nil, err
	}
	var list []Details
	for _, r := range found {
		d := Details{Entry: c.entry(now, r), Cert: c.stored(r)}
		if d.Cert != nil {
			d.NotBefore = d.Cert.NotBefore.UTC()
			d.Key, d.KeyID = keyName(d.Cert.PublicKey), pki.KeyOf(d.Cert)
			d.Signature = d.Cert.SignatureAlgorithm.String()
			d.Usage = usages(d.Cert)
		}
		list = append(list, d)
	}
	return list, nil
}

// keyName describes a public key.
func keyName(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// usages lists the key usages of a certificate that matter here.
func usages(c *x509.Certificate) []string {
	var list []string
	for _, u := range []struct {
		bit  x509.KeyUsage
		name string
	}{
		{x509.KeyUsageDigitalSignature, "digitalSignature"},
		{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
		{x509.KeyUsageKeyAgreement, "keyAgreement"},
		{x509.KeyUsageCertSign, "keyCertSign"},
		{x509.KeyUsageCRLSign, "cRLSign"},
	} {
		if c.KeyUsage&u.bit != 0 {
			list = append(list, u.name)
		}
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageClientAuth:
			list = append(list, "clientAuth")
		case x509.ExtKeyUsageServerAuth:
			list = append(list, "serverAuth")
		case x509.ExtKeyUsageOCSPSigning:
			list = append(list, "OCSPSigning")
		case x509.ExtKeyUsageAny:
			list = append(list, "anyExtendedKeyUsage")
		}
	}
	return list
}
