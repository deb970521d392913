package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
)

// A Request says what certificate is wanted.
type Request struct {
	// Name of the host: letters, digits, ".", "_" and "-". It becomes the
	// common name, and the name of the folder for the host's files. [CA.Sign]
	// takes the common name of what it signs if it is empty.
	Name string

	// Addrs are the VPN addresses of the host. With Renew, none means those of
	// its last certificate.
	Addrs []netip.Addr

	// NoAddress allows a certificate without VPN address, as a rendezvous
	// server has.
	NoAddress bool

	// Groups that the host is in, and Routes, the networks behind it, as a
	// policy may speak of them; see [pki.Attributes]. With Renew, and with a
	// certificate to sign anew, none means those of the last certificate,
	// unless NoGroups or NoRoutes says none. A signing request has no say.
	Groups             []string
	Routes             []netip.Prefix
	NoGroups, NoRoutes bool
	// Rendezvous makes the certificate one for a rendezvous server that
	// authenticates its clients: it names no VPN address, but the URI of
	// [pki.RendezvousURI]. With Renew, a certificate that has it keeps it.
	Rendezvous bool

	// OCSP are the addresses of the responders that the certificate names, see
	// [campagnol/pki/ocsp]. None means those of the certificate that it replaces,
	// or else those of the CA, unless NoOCSP says none.
	OCSP   []string
	NoOCSP bool

	// Responder makes the certificate one by which a responder signs its answers:
	// its holder is no member of the VPN. With Renew, a certificate that is one
	// stays one.
	Responder bool

	// AddrsFromCSR also takes the IP addresses that a signing request asks for.
	// Everything else in it is ignored, but for its key.
	AddrsFromCSR bool

	RSA  int // bits of the RSA key to make; 0 means ECDSA with P-256
	Days int // validity; 0 means two years. It never exceeds that of the CA

	// Renew says that the host has a certificate already, and keeps name and
	// addresses. The old certificate stays valid: revoke it if its key is lost.
	Renew bool

	// Force issues the certificate although another host has the name or an
	// address, or the key is small.
	Force bool

	invitation enroll.ID // that is being used; zero: none
}

// check checks what can be checked without the CA, and fills in defaults.
func (r *Request) check() error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	if r.Days == 0 {
		r.Days = DefaultDays
	}
	if err := checkDays(r.Days); err != nil {
		return err
	}
	if err := checkRSA(r.RSA); err != nil {
		return err
	}
	if err := r.checkAttributes(); err != nil {
		return err
	}
	if err := r.checkOCSP(); err != nil {
		return err
	}
	return r.checkAddrs()
}

// checkName checks the name of a host, which becomes the name of a folder.
func checkName(name string) error {
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	}
	switch {
	case name == "":
		return errors.New("ca: the certificate needs a name")
	case len(name) > maxCommonName, strings.ContainsFunc(name, bad), name[0] == '.', name[0] == '-':
		return withHint(fmt.Errorf("ca: the name %q is not usable", name),
			`use at most %d letters, digits, ".", "_" and "-", the first a letter or digit`, maxCommonName)
	}
	return nil
}

// checkAddrs checks the addresses, and brings them in their short form.
func (r *Request) checkAddrs() error {
	var addrs []netip.Addr
	for _, a := range r.Addrs {
		a = a.Unmap()
		if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
			a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return fmt.Errorf("ca: %v cannot be the VPN address of a host", a)
		}
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	r.Addrs = addrs
	if r.Rendezvous && len(addrs) > 0 {
		return withHint(errors.New("ca: a rendezvous server has no VPN address"),
			"a host that is both needs two certificates, with two names")
	}
	if r.NoAddress && len(addrs) > 0 {
		return errors.New("ca: a certificate with and without VPN address at once is not possible")
	}
	return nil
}

// inherit completes a renewal with the addresses of the newest certificate of
// the name.
func (c *CA) inherit(x *index, r *Request) error {
	if !r.Renew {
		return c.completeOCSP(r, nil)
	}
	var last *record
	for _, rec := range x.records() {
		if c.nameOf(rec) == r.Name {
			last = rec // the index is in the order of issue
		}
	}
	if last == nil {
		return withHint(fmt.Errorf("ca: %q has no certificate that could be renewed", r.Name),
			"leave out --renew for a new host; the names in use: campagnol ca list")
	}
	cert := c.stored(last)
	if cert == nil {
		return c.completeOCSP(r, nil)
	}
	if len(r.Addrs) == 0 && !r.NoAddress {
		r.Addrs = addrsOf(cert)
		r.Rendezvous = pki.IsRendezvous(cert)
		r.Responder = isResponder(cert)
	}
	if err := c.completeOCSP(r, cert); err != nil {
		return err
	}
	return r.keepAttributes(cert)
}

// conflicts checks that no other host with a valid certificate has the name or
// an address.
func (c *CA) conflicts(now time.Time, x *index, r *Request) error {
	if len(r.Addrs) == 0 && !r.NoAddress && !r.Rendezvous && !r.Responder {
		return withHint(errors.New("ca: a certificate needs the VPN address of its host"),
			"add --ip with the vpn_ip of the host's configuration, --rdv for a rendezvous server, or --no-ip")
	}
	if r.Force {
		return nil
	}
	if err := c.promised(now, r); err != nil {
		return err
	}
	for _, rec := range x.records() {
		if !rec.valid(now) {
			continue
		}
		cert, name := c.stored(rec), c.nameOf(rec)
		if cert == nil {
			continue // it never left this directory, or openssl put it elsewhere
		}
		if name == r.Name {
			if r.Renew {
				continue
			}
			return withHint(fmt.Errorf("ca: %q has a certificate already, %s, valid until %s", name, formatSerial(rec.serial), day(rec.expires)),
				"to replace it, add --renew; if its key is lost, revoke it first: campagnol ca revoke %s", name)
		}
		for _, a := range addrsOf(cert) {
			if slices.Contains(r.Addrs, a) {
				return withHint(fmt.Errorf("ca: %v belongs to %q (certificate %s, valid until %s)", a, name, formatSerial(rec.serial), day(rec.expires)),
					"two hosts with one VPN address do not work: choose another, or revoke that certificate: campagnol ca revoke %s", formatSerial(rec.serial))
			}
		}
	}
	return nil
}

// day formats a time where the hour does not matter.
func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// nameOf returns the name of a certificate's holder: from the certificate, or
// from the index if that is lost.
func (c *CA) nameOf(r *record) string {
	if cert := c.stored(r); cert != nil && cert.Subject.CommonName != "" {
		return cert.Subject.CommonName
	}
	return r.commonName()
}

// addrsOf returns the IP addresses of a certificate.
func addrsOf(cert *x509.Certificate) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// An applicant is who gets a certificate for a key made elsewhere.
type applicant struct {
	name   string // common name; may be empty or not usable
	key    crypto.PublicKey
	addrs  []netip.Addr
	serial *big.Int          // of the certificate that is signed anew; nil for a request
	cert   *x509.Certificate // the same
}

// PEM types of signing requests.
const (
	pemCSR    = "CERTIFICATE REQUEST"
	pemOldCSR = "NEW CERTIFICATE REQUEST"
)

// maxRequest bounds a signing request, in bytes.
const maxRequest = 1 << 20

// parseApplicant reads a signing request (PKCS #10), or a certificate that this
// CA has issued before. Both prove that the applicant has the key: the request
// by its signature, the certificate because the CA saw to it then.
func (c *CA) parseApplicant(x *index, data []byte) (*applicant, error) {
	if len(data) > maxRequest {
		return nil, errors.New("ca: the signing request is too large")
	}
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		switch b.Type {
		case pemCSR, pemOldCSR:
			return parseCSR(b.Bytes)
		case "CERTIFICATE":
			return c.parseOldCertificate(x, b.Bytes)
		}
	}
	return nil, withHint(errors.New("ca: this is neither a signing request nor a certificate in PEM form"),
		"make a request on the host: openssl req -new -key key.pem -subj /CN=NAME -out host.csr")
}

func parseCSR(der []byte) (*applicant, error) {
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("ca: signing request: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("ca: signing request: its signature does not prove that the host has the key: %w", err)
	}
	a := &applicant{name: req.Subject.CommonName, key: req.PublicKey}
	a.addrs = addrsOf(&x509.Certificate{IPAddresses: req.IPAddresses})
	return a, nil
}

// parseOldCertificate takes a certificate instead of a request, if this CA has
// issued it and has not revoked it. It may have expired.
func (c *CA) parseOldCertificate(x *index, der []byte) (*applicant, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("ca: certificate to sign anew: %w", err)
	}
	if err := c.issued(x, cert); err != nil {
		return nil, err
	}
	if r := x.find(cert.SerialNumber); r != nil && r.status == statusRevoked {
		return nil, withHint(fmt.Errorf("ca: certificate %s of %q was revoked on %s", formatSerial(r.serial), c.nameOf(r), day(r.revoked)),
			"a revoked key may be in wrong hands: issue a certificate with a new one, campagnol ca issue")
	}
	return &applicant{name: cert.Subject.CommonName, key: cert.PublicKey, addrs: addrsOf(cert), serial: cert.SerialNumber, cert: cert}, nil
}

// issued checks that cert comes from this CA: that it is in the directory, or
// at least signed by the CA. A signature with SHA-1, as old certificates have
// it, is good enough for that: forging one takes a collision that its issuer
// would have had to sign.
func (c *CA) issued(x *index, cert *x509.Certificate) error {
	if r := x.find(cert.SerialNumber); r != nil {
		if stored := c.stored(r); stored != nil && stored.Equal(cert) {
			return nil
		}
	}
	if string(cert.RawIssuer) == string(c.Cert.RawSubject) && !cert.Equal(c.Cert) &&
		c.Cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
		return nil
	}
	return fmt.Errorf("ca: certificate %q (serial %s) was not issued by this CA", cert.Subject.CommonName, formatSerial(cert.SerialNumber))
}

// checkKey checks the public key of an applicant.
func (c *CA) checkKey(key crypto.PublicKey, force bool) error {
	if pub, ok := c.Cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(key) {
		return errors.New("ca: this is the key of the CA itself; a host needs its own")
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		n := k.N.BitLen()
		switch {
		case n < 1024 || n > maxRSA:
			return fmt.Errorf("ca: peers would refuse an RSA key of %d bits; make a new key", n)
		case n < minRSA && !force:
			return withHint(fmt.Errorf("ca: the RSA key has only %d bits", n),
				"make a new key with \"campagnol ca issue\"; to sign this one all the same, add --force")
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return errors.New("ca: the key is neither ECDSA nor RSA nor Ed25519")
}
