package ca

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"campagnol/pki"
)

// Files says where the parts of a CA are, for a CA whose directory is laid out
// in an unusual way. Empty fields are looked for where [Open] says.
type Files struct {
	Cert      string // certificate of the CA
	Key       string // its private key
	Index     string // table of certificates
	Certs     string // directory of the certificates issued, SERIAL.pem
	Serial    string // next serial number; if there is no such file, numbers are random
	CRLNumber string // number of the next revocation list
	CRL       string // the current revocation list
	Root      string // certificate of the root above, if this is an intermediate CA
}

// Names where the parts of a CA may be, relative to its directory, the usual
// one first. They are those of Campagnol 0.3.5's script, of OpenSSL's CA.pl and
// its default configuration, of easy-rsa, and of well-known instructions.
var (
	certNames  = []string{"cacert.pem", "ca.crt", "ca.pem", "certs/ca.cert.pem"}
	keyNames   = []string{"private/cakey.pem", "private/ca.key", "private/ca.key.pem"}
	indexNames = []string{"index.txt"}
	// certs is last: where newcerts exists, openssl does not write to certs.
	certDirNames   = []string{"newcerts", "certs_by_serial", "certs"}
	serialNames    = []string{"serial"}
	crlNumberNames = []string{"crlnumber"}
	crlNames       = []string{"crl.pem"}
)

// Names of what only we make.
const (
	defaultCertDir = "certs"
	hostsDir       = "hosts"
	lockName       = ".lock"
	configName     = "openssl.cnf"
)

// newFiles returns the layout of a new CA.
func newFiles(dir string) Files {
	return Files{
		Cert:      filepath.Join(dir, certNames[0]),
		Key:       filepath.Join(dir, keyNames[0]),
		Index:     filepath.Join(dir, indexNames[0]),
		Certs:     filepath.Join(dir, defaultCertDir),
		Serial:    filepath.Join(dir, serialNames[0]),
		CRLNumber: filepath.Join(dir, crlNumberNames[0]),
		CRL:       filepath.Join(dir, crlNames[0]),
	}
}

// resolve fills the empty fields.
func (f Files) resolve(dir string) Files {
	fallback := newFiles(dir)
	set := func(field *string, names []string, fallback string) {
		if *field != "" {
			return
		}
		*field = fallback
		for _, n := range names {
			if _, err := os.Stat(filepath.Join(dir, n)); err == nil {
				*field = filepath.Join(dir, n)
				return
			}
		}
	}
	set(&f.Cert, certNames, fallback.Cert)
	set(&f.Key, keyNames, fallback.Key)
	set(&f.Index, indexNames, fallback.Index)
	set(&f.Certs, certDirNames, fallback.Certs)
	set(&f.Serial, serialNames, fallback.Serial)
	set(&f.CRLNumber, crlNumberNames, fallback.CRLNumber)
	set(&f.CRL, crlNames, fallback.CRL)
	return f
}

// A CA is an open certificate authority. Its methods may be called by several
// processes at once; in one process by one goroutine at a time.
type CA struct {
	Dir   string
	Files Files             // none is empty, but for Root perhaps
	Cert  *x509.Certificate // of the CA; must not be changed

	// Passphrase is asked when the key of the CA is encrypted. nil means that
	// nobody can be asked.
	Passphrase Passphrase

	signer crypto.Signer                // the private key, kept by a service; nil: read it
	memory map[string]*x509.Certificate // by formatSerial, of a service; nil: remember none
}

// Open opens the CA in dir: one that [Init] made, or one of Campagnol 0.3.5's
// script, of "openssl ca" or of easy-rsa in their usual layout, or any other if
// files says where its parts are. It changes nothing and does not read the
// private key.
func Open(dir string, files Files) (*CA, error) {
	c := &CA{Dir: dir, Files: files.resolve(dir)}
	certs, err := pki.LoadCertificates(c.Files.Cert)
	if errors.Is(err, os.ErrNotExist) {
		return nil, withHint(fmt.Errorf("ca: there is no CA in %s: %s does not exist", dir, c.Files.Cert),
			"make one with \"campagnol ca init\", or say where it is with --dir or $CAMPAGNOL_CA")
	}
	if err != nil {
		return nil, fmt.Errorf("ca: certificate of the CA: %w", err)
	}
	c.Cert = certs[0]
	if err := c.usable(); err != nil {
		return nil, fmt.Errorf("ca: %s: %w", c.Files.Cert, err)
	}
	if _, err := c.readIndex(); err != nil {
		return nil, err
	}
	return c, nil
}

// usable checks that peers would believe what this CA signs.
func (c *CA) usable() error {
	if c.Cert.Version > 1 && !(c.Cert.BasicConstraintsValid && c.Cert.IsCA) {
		return errors.New("this is not the certificate of a CA (basic constraint CA:TRUE is missing)")
	}
	if c.Cert.KeyUsage != 0 && c.Cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("the key usage of the CA does not let it sign certificates")
	}
	return nil
}

// isRoot reports whether the certificate of the CA is self-signed.
func (c *CA) isRoot() bool { return string(c.Cert.RawSubject) == string(c.Cert.RawIssuer) }

// hostDir is where the files of a host go.
func (c *CA) hostDir(name string) string { return filepath.Join(c.Dir, hostsDir, name) }

// certFile is the path of an issued certificate.
func (c *CA) certFile(serial string) string { return filepath.Join(c.Files.Certs, serial+".pem") }
