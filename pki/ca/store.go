package ca

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"campagnol/pki"
	"campagnol/pki/safefile"
)

// maxSmallFile bounds files with a number or a key, in bytes.
const maxSmallFile = 1 << 20

// lock keeps other processes from changing the CA.
func (c *CA) lock() (unlock func(), err error) {
	unlock, err = safefile.Lock(filepath.Join(c.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("ca: lock the CA: %w", err)
	}
	return unlock, nil
}

// readIndex reads index.txt. A missing file is an error: to take it for an empty
// one would forget every revocation.
func (c *CA) readIndex() (*index, error) {
	data, err := safefile.Read(c.Files.Index, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("ca: the index of the CA is missing: %w", err),
			"restore it from a backup; only for a CA that has issued nothing, make an empty file of that name")
	}
	if err != nil {
		return nil, fmt.Errorf("ca: index: %w", err)
	}
	x, err := parseIndex(data)
	if err != nil {
		return nil, withHint(fmt.Errorf("ca: %s: %w", c.Files.Index, err), "nothing was changed; repair the line or restore the file from a backup")
	}
	return x, nil
}

// writeIndex replaces index.txt, keeping its mode.
func (c *CA) writeIndex(x *index) error {
	mode := fs.FileMode(0o644)
	if fi, err := os.Stat(c.Files.Index); err == nil {
		mode = fi.Mode().Perm()
	}
	if err := safefile.Write(c.Files.Index, x.append(nil), mode); err != nil {
		return fmt.Errorf("ca: index: %w", err)
	}
	return nil
}

// uniqueSubject reports whether openssl will refuse an index with two valid
// certificates of one subject: its default, unless index.txt.attr says no.
func (c *CA) uniqueSubject() (bool, error) {
	data, err := safefile.Read(c.attrFile(), maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ca: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "unique_subject" {
			v := strings.TrimSpace(value)
			return v != "" && strings.ContainsRune("yYtT1", rune(v[0])), nil
		}
	}
	return true, nil
}

func (c *CA) attrFile() string { return c.Files.Index + ".attr" }

// allowSameSubject tells openssl that subjects need not be unique.
func (c *CA) allowSameSubject() error {
	if err := safefile.Write(c.attrFile(), []byte("unique_subject = no\n"), 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// nextSerial returns a serial number that no certificate has. It comes from the
// serial file if the CA has one, which is advanced first: a number is never
// used twice, and may be lost. Otherwise it is 128 random bits.
func (c *CA) nextSerial(rand io.Reader, x *index) (*big.Int, error) {
	n, err := readNumber(c.Files.Serial)
	if errors.Is(err, fs.ErrNotExist) {
		return randomSerial(rand, x)
	}
	if err != nil {
		return nil, fmt.Errorf("ca: serial number: %w", err)
	}
	one := big.NewInt(1)
	for n.Sign() == 0 || x.find(n) != nil {
		n.Add(n, one)
	}
	if err := writeNumber(c.Files.Serial, new(big.Int).Add(n, one)); err != nil {
		return nil, fmt.Errorf("ca: serial number: %w", err)
	}
	return n, nil
}

// randomSerial returns 128 random bits that are no number of x.
func randomSerial(rand io.Reader, x *index) (*big.Int, error) {
	for range 8 {
		var b [16]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return nil, fmt.Errorf("ca: serial number: %w", err)
		}
		if n := new(big.Int).SetBytes(b[:]); n.Sign() > 0 && x.find(n) == nil {
			return n, nil
		}
	}
	return nil, errors.New("ca: serial number: the random numbers of this computer repeat")
}

// nextCRLNumber is nextSerial for revocation lists. A CA without the file
// starts with 1; later lists must have higher numbers, so the file is made.
func (c *CA) nextCRLNumber() (*big.Int, error) {
	n, err := readNumber(c.Files.CRLNumber)
	if errors.Is(err, fs.ErrNotExist) {
		n, err = big.NewInt(1), nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: number of the revocation list: %w", err)
	}
	if err := writeNumber(c.Files.CRLNumber, new(big.Int).Add(n, big.NewInt(1))); err != nil {
		return nil, fmt.Errorf("ca: number of the revocation list: %w", err)
	}
	return n, nil
}

// readNumber reads a file with a hexadecimal number.
func readNumber(path string) (*big.Int, error) {
	data, err := safefile.Read(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	n, err := parseSerial(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func writeNumber(path string, n *big.Int) error {
	return safefile.Write(path, []byte(formatSerial(n)+"\n"), 0o644)
}

// key reads the private key of the CA, and asks for the pass phrase if it is
// encrypted.
func (c *CA) key() (crypto.Signer, error) {
	if c.signer != nil {
		return c.signer, nil
	}
	return c.loadKey(c.Files.Key, c.Cert)
}

// loadKey reads a private key, which must be that of a certificate.
func (c *CA) loadKey(path string, cert *x509.Certificate) (crypto.Signer, error) {
	data, err := safefile.Read(path, maxSmallFile)
	if err != nil {
		return nil, fmt.Errorf("ca: key of the CA: %w", err)
	}
	defer clear(data)
	key, err := decodeKey(data, func() ([]byte, error) {
		if c.Passphrase == nil {
			return nil, errors.New("the key is encrypted, and there is nobody to ask for the pass phrase")
		}
		return c.Passphrase(path)
	})
	if err != nil {
		return nil, fmt.Errorf("ca: %s: %w", path, err)
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("ca: the key in %s is not that of the certificate of the CA %q", path, cert.Subject.CommonName)
	}
	return key, nil
}

// stored returns the certificate of a record, or nil if its file is missing or
// is not that certificate.
func (c *CA) stored(r *record) *x509.Certificate {
	if !r.loaded {
		r.loaded = true
		serial := formatSerial(r.serial)
		if r.cert = c.memory[serial]; r.cert != nil {
			return r.cert
		}
		certs, err := pki.LoadCertificates(c.certFile(serial))
		if err == nil && certs[0].SerialNumber.Cmp(r.serial) == 0 {
			r.cert = certs[0]
			if c.memory != nil && len(c.memory) < maxMemory {
				c.memory[serial] = r.cert
			}
		}
	}
	return r.cert
}

// maxMemory is how many certificates a CA remembers.
const maxMemory = 10_000

// certPEM returns certificates as PEM.
func certPEM(certs ...*x509.Certificate) []byte {
	var b []byte
	for _, cert := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return b
}
