package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"campagnol/pki/safefile"
)

// Defaults, in days.
const (
	DefaultCADays   = 3650 // validity of a new CA
	DefaultDays     = 730  // validity of a certificate; as in Campagnol 0.3.5's script
	DefaultCRLDays  = 365  // until the next revocation list is due
	maxDays         = 36500
	defaultCAName   = "Campagnol VPN CA"
	minRSA, maxRSA  = 2048, 8192 // bits of keys that we make or sign
	maxCommonName   = 64         // RFC 5280 appendix A.1, ub-common-name
	backdate        = time.Hour  // certificates start early, for hosts with a slow clock
	secondsPerDay   = 24 * time.Hour
	subjectKeyIDLen = 20
)

// InitOptions are the choices for a new CA. The zero value is a good one.
type InitOptions struct {
	Name       string // common name; empty means "Campagnol VPN CA"
	RSA        int    // bits of an RSA key; 0 means ECDSA with P-256
	Days       int    // validity; 0 means ten years
	Passphrase []byte // encrypts the private key if not empty
	Settings   Settings

	// OCSP are the addresses of the responders that certificates of the CA name
	// unless they are to name others, see [Request].
	OCSP []string
}

// Init makes a CA in dir, with a new key, a self-signed certificate and an empty
// revocation list. It never overwrites anything.
func Init(dir string, opts InitOptions, now time.Time, rand io.Reader) (*CA, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	c := &CA{Dir: dir, Files: newFiles(dir)}
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, name := range slices.Concat(certNames, keyNames, indexNames, []string{configName}) {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return nil, withHint(fmt.Errorf("ca: %s exists already; a CA is never overwritten", path),
				"choose another directory with --dir, or see what is in the CA: campagnol ca list --dir %s", dir)
		}
	}
	key, err := newKey(rand, opts.RSA)
	if err != nil {
		return nil, err
	}
	if c.Cert, err = selfSign(opts, now, rand, key); err != nil {
		return nil, err
	}
	if err := c.writeNew(opts, rand, key); err != nil {
		return nil, err
	}
	if _, err := c.writeCRL(now, rand, key, &index{}, DefaultCRLDays); err != nil {
		return nil, err
	}
	return c, nil
}

func (o *InitOptions) check() error {
	if o.Name == "" {
		o.Name = defaultCAName
	}
	if o.Days == 0 {
		o.Days = DefaultCADays
	}
	if err := checkCommonName(o.Name); err != nil {
		return err
	}
	if err := checkDays(o.Days); err != nil {
		return err
	}
	if err := checkResponders(o.OCSP); err != nil {
		return err
	}
	if err := o.Settings.check(); err != nil {
		return err
	}
	return checkRSA(o.RSA)
}

// checkCommonName checks the name of a CA. It is for people, so that only what
// would break messages or the index is refused.
func checkCommonName(name string) error {
	if len(name) > maxCommonName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '/' }) {
		return fmt.Errorf("ca: the name %q is not usable: at most %d printable characters, no slash", name, maxCommonName)
	}
	return nil
}

func checkDays(days int) error {
	if days < 1 || days > maxDays {
		return fmt.Errorf("ca: a validity of %d days is not possible; say 1 to %d", days, maxDays)
	}
	return nil
}

func checkRSA(bits int) error {
	if bits != 0 && (bits < minRSA || bits > maxRSA) {
		return fmt.Errorf("ca: an RSA key of %d bits is not possible; say %d to %d", bits, minRSA, maxRSA)
	}
	return nil
}

// newKey makes an RSA key, or with 0 bits an ECDSA P-256 one.
func newKey(rand io.Reader, bits int) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	if bits == 0 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand)
	} else {
		key, err = rsa.GenerateKey(rand, bits)
	}
	if err != nil {
		return nil, fmt.Errorf("ca: make a key: %w", err)
	}
	return key, nil
}

// selfSign makes the certificate of a root.
func selfSign(opts InitOptions, now time.Time, rand io.Reader, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := randomSerial(rand, &index{})
	if err != nil {
		return nil, err
	}
	id, err := keyIdentifier(key.Public())
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: opts.Name},
		NotBefore:             now.UTC().Add(-backdate).Truncate(time.Second),
		NotAfter:              now.UTC().Add(time.Duration(opts.Days) * secondsPerDay).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it issues hosts, not CAs
		SubjectKeyId:          id,
	}
	return sign(rand, tmpl, tmpl, key.Public(), key)
}

// sign makes a certificate.
func sign(rand io.Reader, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand, tmpl, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("ca: sign the certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("ca: the certificate that was just signed: %w", err)
	}
	return cert, nil
}

// keyIdentifier returns the identifier of a key by method 1 of RFC 7093.
func keyIdentifier(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	sum := sha256.Sum256(spki.Key.Bytes)
	return sum[:subjectKeyIDLen], nil
}

// writeNew writes the files of a new CA. The certificate comes last: where it
// is, the CA is complete.
func (c *CA) writeNew(opts InitOptions, rand io.Reader, key crypto.Signer) error {
	keyPEM, err := encodeKey(rand, key, opts.Passphrase)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	for dir, mode := range map[string]os.FileMode{filepath.Dir(c.Files.Key): 0o700, c.Files.Certs: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	if len(opts.OCSP) > 0 {
		if err := safefile.Write(filepath.Join(c.Dir, ocspName), ocspFile(opts.OCSP), 0o644); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	if opts.Settings != (Settings{}) {
		if err := c.writeSettings(opts.Settings); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{c.Files.Key, keyPEM, 0o600},
		{c.Files.Index, nil, 0o644},
		{c.attrFile(), []byte("unique_subject = no\n"), 0o644},
		{c.Files.CRLNumber, []byte(formatSerial(big.NewInt(1)) + "\n"), 0o644},
		{filepath.Join(c.Dir, configName), []byte(opensslConfig + opensslAccess(opts.OCSP) + opensslCRL), 0o644},
		{c.Files.Cert, certPEM(c.Cert), 0o644},
	} {
		if err := safefile.Write(f.path, f.data, f.mode); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	return nil
}

// opensslConfig lets "openssl ca" continue the CA. Its last section is that of
// hosts, to which more can be added.
const opensslConfig = `# For "openssl ca", in case you want to use it on this CA beside campagnol. Run
# it in this directory:
#
#	openssl ca -config openssl.cnf -in host.csr -out host.pem
#	openssl ca -config openssl.cnf -revoke certs/SERIAL.pem
#	openssl ca -config openssl.cnf -gencrl -out crl.pem

[ ca ]
default_ca = campagnol

[ campagnol ]
dir              = .
certificate      = $dir/cacert.pem
private_key      = $dir/private/cakey.pem
database         = $dir/index.txt
new_certs_dir    = $dir/certs
crlnumber        = $dir/crlnumber
rand_serial      = yes
unique_subject   = no
default_md       = sha256
default_days     = 730
default_crl_days = 365
policy           = policy
x509_extensions  = host
crl_extensions   = crl
# VPN addresses come from the request (subjectAltName = IP:10.9.0.1). Look at
# what "openssl ca" shows before you let it sign.
copy_extensions  = copy

[ policy ]
commonName       = supplied

[ host ]
basicConstraints       = critical, CA:FALSE
keyUsage               = critical, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage       = clientAuth, serverAuth
subjectKeyIdentifier   = hash
authorityKeyIdentifier = keyid
`

// opensslCRL is its last part.
const opensslCRL = `
[ crl ]
authorityKeyIdentifier = keyid
`
