package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"campagnol/pki/safefile"
)

// Limits on files, in bytes. They are far above what anybody needs, and keep
// a wrong path (/dev/zero, a disk image) from eating the memory.
const (
	maxPEMFile = 4 << 20
	maxCRLFile = 64 << 20
)

// pemFile is what the PEM blocks of a file are, in the order of the file.
type pemFile struct {
	path   string
	blocks []*pem.Block
}

// readPEM reads the blocks of a file. A file without any is an error that says
// what the file seems to be instead.
func readPEM(path string, limit int64) (pemFile, error) {
	data, err := safefile.Read(path, limit)
	if err != nil {
		return pemFile{}, err
	}
	f := pemFile{path: path}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		f.blocks = append(f.blocks, b)
	}
	if len(f.blocks) == 0 {
		return pemFile{}, fmt.Errorf("%s: %w", path, noPEM(path, data))
	}
	return f, nil
}

// noPEM says what is wrong with data, in which there is no PEM block, and how
// to convert it.
func noPEM(path string, data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("the file is empty")
	case data[0] != 0x30: // the SEQUENCE with which every DER structure starts
		return errors.New(`no PEM block found (one starts with a line "-----BEGIN ...-----")`)
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return fmt.Errorf("this is a certificate in DER; convert it: openssl x509 -inform DER -in %s -out %s.pem", path, path)
	}
	if _, err := parseCRL(data); err == nil {
		return fmt.Errorf("this is a revocation list in DER; convert it: openssl crl -inform DER -in %s -out %s.pem", path, path)
	}
	if _, err := ParseKey(data); err == nil {
		return fmt.Errorf("this is a key in DER; convert it: openssl pkey -inform DER -in %s -out %s.pem", path, path)
	}
	return fmt.Errorf("the file is binary, not PEM; if it is PKCS #12, convert it: openssl pkcs12 -nodes -in %s -out %s.pem", path, path)
}

// Types of PEM blocks.
const (
	pemCertificate        = "CERTIFICATE"
	pemOldCertificate     = "X509 CERTIFICATE"
	pemTrustedCertificate = "TRUSTED CERTIFICATE"
	pemCRL                = "X509 CRL"
	pemEncryptedKey       = "ENCRYPTED PRIVATE KEY"
)

// isCertificate reports whether a block holds a certificate, with the names
// that OpenSSL knows.
func isCertificate(b *pem.Block) bool {
	return b.Type == pemCertificate || b.Type == pemOldCertificate || b.Type == pemTrustedCertificate
}

// parseCertificate reads the certificate of a block.
func parseCertificate(b *pem.Block) (*x509.Certificate, error) {
	if b.Type == pemTrustedCertificate {
		// OpenSSL appends trust settings to the certificate. To ignore them
		// could mean to trust what somebody distrusted.
		return nil, errors.New("OpenSSL's TRUSTED CERTIFICATE format is not supported; write it as a plain one: openssl x509 -in FILE -out FILE.pem")
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// isKey reports whether a block is a private key, encrypted or not.
func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// isEncrypted reports whether the key in a block needs a pass phrase: PKCS #8's
// form, or that of RFC 1421 which OpenSSL wrote before.
func isEncrypted(b *pem.Block) bool {
	return b.Type == pemEncryptedKey || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED")
}

// ParseKey reads a private key in PKCS #8, PKCS #1 or SEC 1 form, DER. It must
// be one that can sign: ECDSA, RSA or Ed25519. It is not told the label of
// the PEM block: programs got that wrong often enough.
func ParseKey(der []byte) (crypto.Signer, error) {
	var key any
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if k, err1 := x509.ParsePKCS1PrivateKey(der); err1 == nil {
			key = k
		} else if k, err1 := x509.ParseECPrivateKey(der); err1 == nil {
			key = k
		} else {
			return nil, fmt.Errorf("not a private key in PKCS #8, PKCS #1 or SEC 1 form: %w", err)
		}
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T cannot sign; use ECDSA, RSA or Ed25519", key)
}

// LoadCertificates reads the certificates of a PEM file, in the order of the
// file. Blocks of other types are skipped. No certificate is an error, and so
// is one that cannot be parsed.
func LoadCertificates(path string) ([]*x509.Certificate, error) {
	f, err := readPEM(path, maxPEMFile)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	var certs []*x509.Certificate
	for i, b := range f.blocks {
		if !isCertificate(b) {
			continue
		}
		c, err := parseCertificate(b)
		if err != nil {
			return nil, fmt.Errorf("pki: %s: PEM block %d: %w", path, i+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("pki: %s: no certificate in this file, only %s", path, f.types())
	}
	return certs, nil
}

// LoadKey reads the first private key of a PEM file. The key is not encrypted;
// an encrypted one is an error that names the command that decrypts it.
func LoadKey(path string) (crypto.Signer, error) {
	keys, err := loadKeys(path)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// loadKeys reads all private keys of a PEM file. That one behind the first cannot be
// read does not matter.
func loadKeys(path string) (keys []crypto.Signer, err error) {
	f, err := readPEM(path, maxPEMFile)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	for _, b := range f.blocks {
		if !isKey(b) {
			continue
		}
		if isEncrypted(b) && len(keys) == 0 {
			return nil, fmt.Errorf("pki: %s: the key is encrypted, and nobody is there to type the pass phrase; "+
				"decrypt it: (umask 077; openssl pkey -in %s -out %s.clear)", path, path, path)
		}
		k, err := ParseKey(b.Bytes)
		clear(b.Bytes)
		switch {
		case err == nil:
			keys = append(keys, k)
		case len(keys) == 0:
			return nil, fmt.Errorf("pki: %s: %w", path, err)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("pki: %s: no private key in this file, only %s", path, f.types())
	}
	return keys, nil
}

// types lists the types of the blocks, for messages.
func (f pemFile) types() string {
	var types []string
	seen := map[string]bool{}
	for _, b := range f.blocks {
		if !seen[b.Type] {
			seen[b.Type] = true
			types = append(types, fmt.Sprintf("%q", b.Type))
		}
	}
	return strings.Join(types, ", ")
}
