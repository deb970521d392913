package ca

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"campagnol/pki"
	"campagnol/pki/safefile"
)

// An Issued is a new certificate, and where it is.
type Issued struct {
	Name     string
	Serial   string // hexadecimal
	Cert     *x509.Certificate
	Addrs    []netip.Addr
	Groups   []string
	Routes   []netip.Prefix
	Dir      string   // folder with the host's files
	CertFile string   // the certificate, and the CA's if that is an intermediate one
	KeyFile  string   // the private key; empty if it was made elsewhere
	CAFile   string   // the root certificate
	Notes    []string // what the administrator should know
}

// Names of the files of a host.
const (
	hostCert   = "certificate.pem"
	hostKey    = "key.pem"
	hostCA     = "ca.pem"
	hostOldKey = "key.pem.old"
)

// Issue makes a key and a certificate for a host, and writes them to a folder
// that can be copied there.
func (c *CA) Issue(now time.Time, rand io.Reader, req Request) (*Issued, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return c.issue(now, rand, x, req, nil)
}

// Sign makes a certificate for a key that was made elsewhere. data is a signing
// request (PKCS #10, PEM), whose signature proves that its sender has the key,
// or a certificate that this CA issued, to be signed anew with what peers take
// today. Name and addresses come from req; of data only the common name counts,
// if req has no name, the addresses if req says so, and for a certificate its
// addresses, groups and routes if req has none.
func (c *CA) Sign(now time.Time, rand io.Reader, data []byte, req Request) (*Issued, error) {
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := c.parseApplicant(x, data)
	if err != nil {
		return nil, err
	}
	if req.Name == "" {
		if err := checkName(a.name); err != nil {
			return nil, withHint(err, "the name comes from the subject of the file; give another one with --name")
		}
		req.Name = a.name
	}
	again := a.serial != nil
	if again && len(req.Addrs) == 0 && !req.NoAddress {
		req.Rendezvous = req.Rendezvous || pki.IsRendezvous(a.cert)
		req.Responder = req.Responder || isResponder(a.cert)
	}
	if req.AddrsFromCSR || again && len(req.Addrs) == 0 && !req.NoAddress && !req.Rendezvous && !req.Responder {
		req.Addrs = append(req.Addrs, a.addrs...)
	}
	if again {
		if err := req.keepAttributes(a.cert); err != nil {
			return nil, err
		}
		if err := c.completeOCSP(&req, a.cert); err != nil {
			return nil, err
		}
		// What this certificate has not is not to come from another one.
		req.NoGroups, req.NoRoutes = len(req.Groups) == 0, len(req.Routes) == 0
	}
	// A certificate signed anew takes the place of itself.
	req.Renew = req.Renew || again && a.name == req.Name && x.find(a.serial) != nil
	if err := req.check(); err != nil {
		return nil, err
	}
	if err := c.checkKey(a.key, req.Force); err != nil {
		return nil, err
	}
	return c.issue(now, rand, x, req, a.key)
}

// begin locks the CA, removes what a program that was killed left behind, and
// reads the index.
func (c *CA) begin() (unlock func(), x *index, err error) {
	unlock, err = c.lock()
	if err != nil {
		return nil, nil, err
	}
	safefile.Sweep(filepath.Join(c.Dir, "*"))
	safefile.Sweep(filepath.Join(c.Files.Certs, "*"))
	if err = c.current(); err == nil {
		x, err = c.readIndex()
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return unlock, x, nil
}

// issue signs and writes, for the key pub or, if it is nil, a new one. The pass
// phrase is asked when all else is in order.
func (c *CA) issue(now time.Time, rand io.Reader, x *index, req Request, pub crypto.PublicKey) (*Issued, error) {
	if err := c.inherit(x, &req); err != nil {
		return nil, err
	}
	if err := c.conflicts(now, x, &req); err != nil {
		return nil, err
	}
	root, err := c.root()
	if err != nil {
		return nil, err
	}
	if now.After(c.Cert.NotAfter) {
		return nil, withHint(fmt.Errorf("ca: the CA expired on %s", day(c.Cert.NotAfter)), "make a new one: campagnol ca init --dir ...")
	}
	caKey, err := c.key()
	if err != nil {
		return nil, err
	}
	var key crypto.Signer
	if pub == nil {
		if key, err = newKey(rand, req.RSA); err != nil {
			return nil, err
		}
		pub = key.Public()
	}
	out := &Issued{Name: req.Name, Addrs: req.Addrs, Dir: c.hostDir(req.Name)}
	serial, err := c.nextSerial(rand, x)
	if err != nil {
		return nil, err
	}
	out.Serial = formatSerial(serial)
	tmpl, err := c.template(now, req, serial, pub, out)
	if err != nil {
		return nil, err
	}
	if out.Cert, err = sign(rand, tmpl, c.Cert, pub, caKey); err != nil {
		return nil, err
	}
	out.Groups, out.Routes = attributesOf(out.Cert)
	if err := c.record(now, x, out); err != nil {
		return nil, err
	}
	return out, c.writeHost(rand, out, key, root)
}

// template returns the certificate to sign.
func (c *CA) template(now time.Time, req Request, serial *big.Int, pub crypto.PublicKey, out *Issued) (*x509.Certificate, error) {
	id, err := keyIdentifier(pub)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: req.Name},
		NotBefore:    now.UTC().Add(-backdate).Truncate(time.Second),
		NotAfter:     c.endOf(now, req.Days),
		// Handshakes today need only digitalSignature. The other one lets a
		// Campagnol 0.3.5 on the host go on with its static key exchange.
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
	}
	if _, ok := pub.(*rsa.PublicKey); ok {
		tmpl.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	for _, a := range req.Addrs {
		tmpl.IPAddresses = append(tmpl.IPAddresses, a.AsSlice())
	}
	if tmpl.URIs, err = pki.AttributeURIs(req.Groups, req.Routes); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if req.Rendezvous {
		tmpl.URIs = append(tmpl.URIs, pki.RendezvousURI())
	}
	tmpl.OCSPServer = req.OCSP
	if req.Responder {
		makeResponder(tmpl)
	}
	if endAfter(now, req.Days).After(c.Cert.NotAfter) {
		out.Notes = append(out.Notes, fmt.Sprintf("the certificate ends with the CA, on %s, and not after the %d days asked for", day(c.Cert.NotAfter), req.Days))
	}
	if k, ok := c.Cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		out.Notes = append(out.Notes, fmt.Sprintf("the RSA key of the CA has only %d bits: whoever can break it can join the VPN; plan for a new CA", k.N.BitLen()))
	}
	return tmpl, nil
}

// endAfter returns the end of a certificate of so many days.
func endAfter(now time.Time, days int) time.Time {
	return now.UTC().Add(time.Duration(days) * secondsPerDay).Truncate(time.Second)
}

// endOf is endAfter, but not after that of the CA.
func (c *CA) endOf(now time.Time, days int) time.Time {
	if end := endAfter(now, days); end.Before(c.Cert.NotAfter) {
		return end
	}
	return c.Cert.NotAfter
}

// record puts a new certificate into the index, then into the directory.
func (c *CA) record(now time.Time, x *index, out *Issued) error {
	r := &record{status: statusValid, expires: out.Cert.NotAfter, serial: out.Cert.SerialNumber, file: "unknown", subject: "/CN=" + out.Name}
	if err := c.checkUnique(now, x, r, out); err != nil {
		return err
	}
	for _, old := range x.records() {
		if old.valid(now) && c.nameOf(old) == out.Name && c.stored(old) != nil {
			out.Notes = append(out.Notes, fmt.Sprintf("the older certificate %s of %s stays valid until %s; when the new one is in place, revoke it: campagnol ca revoke %s",
				formatSerial(old.serial), out.Name, day(old.expires), formatSerial(old.serial)))
		}
	}
	x.add(r)
	if err := c.writeIndex(x); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Files.Certs, 0o755); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if err := safefile.Write(c.certFile(out.Serial), certPEM(out.Cert), 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// checkUnique keeps the index readable for openssl, which refuses two valid
// lines with one subject unless it is told otherwise.
func (c *CA) checkUnique(now time.Time, x *index, r *record, out *Issued) error {
	unique, err := c.uniqueSubject()
	if err != nil || !unique {
		return err
	}
	for _, old := range x.records() {
		if old.status == statusValid && old.subject == r.subject {
			if err := c.allowSameSubject(); err != nil {
				return err
			}
			out.Notes = append(out.Notes, fmt.Sprintf("%s says now that several certificates may have one subject, as this CA has now (unique_subject = no)", c.attrFile()))
			return nil
		}
	}
	return nil
}

// root returns the certificates that peers need as roots.
func (c *CA) root() ([]*x509.Certificate, error) {
	if c.isRoot() {
		return c.issuers(), nil
	}
	if c.Files.Root == "" {
		return nil, withHint(errors.New("ca: this is an intermediate CA, and hosts need the certificate of the root above it"), "name its file with --root")
	}
	certs, err := pki.LoadCertificates(c.Files.Root)
	if err != nil {
		return nil, fmt.Errorf("ca: root certificate: %w", err)
	}
	return certs, nil
}

// writeHost writes the files for a host. The private key comes first: without
// it the others are worth nothing.
func (c *CA) writeHost(rand io.Reader, out *Issued, key crypto.Signer, root []*x509.Certificate) error {
	if err := os.MkdirAll(out.Dir, 0o700); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	safefile.Sweep(filepath.Join(out.Dir, "*"))
	keyFile := filepath.Join(out.Dir, hostKey)
	if key != nil {
		data, err := encodeKey(rand, key, nil)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		if err := safefile.Write(keyFile, data, 0o600); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		out.KeyFile = keyFile
	} else if err := c.keepKey(out, keyFile); err != nil {
		return err
	}
	out.CertFile, out.CAFile = filepath.Join(out.Dir, hostCert), filepath.Join(out.Dir, hostCA)
	chain := []*x509.Certificate{out.Cert}
	if !c.isRoot() {
		chain = append(chain, c.Cert)
	}
	for path, data := range map[string][]byte{out.CertFile: certPEM(chain...), out.CAFile: certPEM(root...)} {
		if err := safefile.Write(path, data, 0o644); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return nil
}

// keepKey sees to a key that lies in the folder already when the certificate is
// for a key made elsewhere. If it is the same key, it belongs to the files of
// the host; if not, it must not be taken for it.
func (c *CA) keepKey(out *Issued, keyFile string) error {
	key, err := pki.LoadKey(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(out.Cert.PublicKey) {
			out.KeyFile = keyFile
			return nil
		}
	}
	old := filepath.Join(out.Dir, hostOldKey)
	if err := os.Rename(keyFile, old); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	out.Notes = append(out.Notes, fmt.Sprintf("%s does not belong to the new certificate; it is %s now", keyFile, old))
	return nil
}
