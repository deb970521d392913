package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"campagnol/pki/safefile"
)

// CheckRenewal reports why next, with which an authority has answered, must not take
// the place of id: it has to be for the same host, accepted under the policy p, and
// good for longer.
func (p *Policy) CheckRenewal(now time.Time, id, next *Identity) error {
	old, leaf := id.Chain[0], next.Chain[0]
	problem := func(format string, args ...any) error {
		return fmt.Errorf("pki: the new certificate %s: %s", subjectOf(leaf), fmt.Sprintf(format, args...))
	}
	addresses := func(c *x509.Certificate) [][]byte {
		var as [][]byte
		for _, a := range c.IPAddresses {
			as = append(as, net.IP(a).To16())
		}
		slices.SortFunc(as, bytes.Compare)
		return as
	}
	switch {
	case !bytes.Equal(old.RawSubject, leaf.RawSubject):
		return problem("it is for another name than %s", subjectOf(old))
	case !slices.EqualFunc(addresses(old), addresses(leaf), bytes.Equal):
		return problem("it names the addresses %v, and ours %v", leaf.IPAddresses, old.IPAddresses)
	case IsRendezvous(old) != IsRendezvous(leaf):
		return problem("it is for another role")
	case !leaf.NotAfter.After(old.NotAfter):
		return problem("it ends on %s, and ours on %s", stamp(leaf.NotAfter), stamp(old.NotAfter))
	}
	if err := next.Check(now); err != nil {
		return err
	}
	for _, role := range []Role{Client, Server} {
		if allows(old, role) && !allows(leaf, role) {
			return problem("it does not allow the role of DTLS %v, which ours does", role)
		}
	}
	return p.VerifyOwn(now, next)
}

// Replace writes chain and key of next to the files of id. Both keys are in the key
// file while the certificate is replaced, so that there is a pair that works at every
// moment, also after a crash. The files keep their permissions.
func (id *Identity) Replace(next *Identity) error {
	certInfo, err := os.Stat(id.CertFile)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	keyInfo, err := os.Stat(id.KeyFile)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	var chain []byte
	for _, c := range next.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}
	newKey, err := keyPEM(next.Key)
	if err != nil {
		return err
	}
	if os.SameFile(certInfo, keyInfo) {
		return replaceFile(id.KeyFile, slices.Concat(newKey, chain), keyInfo.Mode())
	}
	if sameKey(id.Chain[0], next.Key) {
		return replaceFile(id.CertFile, chain, certInfo.Mode())
	}
	oldKey, err := keyPEM(id.Key)
	if err != nil {
		return err
	}
	if err := replaceFile(id.KeyFile, slices.Concat(oldKey, newKey), keyInfo.Mode()); err != nil {
		return err
	}
	if err := replaceFile(id.CertFile, chain, certInfo.Mode()); err != nil {
		return err // whichever certificate is there, its key is
	}
	return replaceFile(id.KeyFile, newKey, keyInfo.Mode())
}

func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := safefile.Write(path, data, mode.Perm()); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	return nil
}

// keyPEM returns a private key in PKCS #8, not encrypted.
func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
