package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// An Identity is our own certificate and key. It does not change after it was
// made and is safe for concurrent use.
type Identity struct {
	Chain             []*x509.Certificate // leaf first, then intermediates
	Key               crypto.Signer
	CertFile, KeyFile string // where they come from; empty for [NewIdentity]

	keyMode   fs.FileMode // of KeyFile when it was read
	keyOfRoot bool        // KeyFile was root's then
}

// LoadIdentity reads the certificates of certFile, leaf first, and the private
// key of keyFile, both PEM, and checks that every peer that trusts the issuer
// can accept them. If there are several keys, as while a certificate with a new key
// replaces another, it is the one that belongs to the certificate. It does not look at the validity times; [Identity.Check]
// does.
func LoadIdentity(certFile, keyFile string) (*Identity, error) {
	chain, err := LoadCertificates(certFile)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	keys, err := loadKeys(keyFile)
	if err != nil {
		return nil, err
	}
	own := max(0, slices.IndexFunc(keys, func(k crypto.Signer) bool { return sameKey(chain[0], k) }))
	id := &Identity{Chain: chain, Key: keys[own], CertFile: certFile, KeyFile: keyFile, keyMode: fi.Mode(), keyOfRoot: ofRoot(fi)}
	if err := id.usable(); err != nil {
		return nil, err
	}
	return id, nil
}

// NewIdentity is LoadIdentity for a chain and key that are in memory.
func NewIdentity(chain []*x509.Certificate, key crypto.Signer) (*Identity, error) {
	id := &Identity{Chain: chain, Key: key}
	if err := id.usable(); err != nil {
		return nil, err
	}
	return id, nil
}

// usable checks that key and certificate belong together, and that peers do
// not refuse them for what they are.
func (id *Identity) usable() error {
	if len(id.Chain) == 0 {
		return errors.New("pki: an identity needs a certificate")
	}
	leaf := id.Chain[0]
	if !sameKey(leaf, id.Key) {
		return id.mismatch()
	}
	for i, c := range id.Chain {
		if i > 0 && selfSigned(c) {
			continue // a root that came along; nobody looks at its signature
		}
		if r := checkStrength(c); r != nil {
			return fmt.Errorf("pki: %s: our own %w", orMemory(id.CertFile), r)
		}
	}
	if r := checkKeyUsage(leaf); r != nil {
		return fmt.Errorf("pki: %s: our own %w", orMemory(id.CertFile), r)
	}
	if !allows(leaf, Client) && !allows(leaf, Server) {
		r := refuse(WrongUsage, leaf, "its extended key usage allows neither TLS clients nor TLS servers", remedyNew)
		return fmt.Errorf("pki: %s: our own %w", orMemory(id.CertFile), r)
	}
	return nil
}

// mismatch says which file to look at when the key is not the leaf's.
func (id *Identity) mismatch() error {
	for i, c := range id.Chain[1:] {
		if sameKey(c, id.Key) {
			return fmt.Errorf("pki: %s: the key in %s belongs to certificate %d of the file (%s); our own certificate must come first, then those of intermediate CAs",
				orMemory(id.CertFile), orMemory(id.KeyFile), i+2, subjectOf(c))
		}
	}
	return fmt.Errorf("pki: the key in %s does not belong to the certificate %s in %s; check that both files are those of this host",
		orMemory(id.KeyFile), subjectOf(id.Chain[0]), orMemory(id.CertFile))
}

// orMemory names a file in messages.
func orMemory(file string) string {
	if file == "" {
		return "(memory)"
	}
	return file
}

// sameKey reports whether key is the private half of the key in c.
func sameKey(c *x509.Certificate, key crypto.Signer) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(c.PublicKey)
}

// Check returns an error if a certificate of the chain is not valid at now.
// Call it at the start: every peer would refuse us.
func (id *Identity) Check(now time.Time) error {
	for i, c := range id.Chain {
		if i > 0 && selfSigned(c) {
			continue // peers use their own copy of the root
		}
		if r := checkTime(now, c); r != nil {
			return fmt.Errorf("pki: %s: our own %w", orMemory(id.CertFile), r)
		}
	}
	return nil
}

// expiryWarning is how long before the end of a certificate Warnings speaks up.
const expiryWarning = 30 * 24 * time.Hour

// Warnings returns what works today, and what an administrator should look at.
func (id *Identity) Warnings(now time.Time) []string {
	leaf := id.Chain[0]
	var w []string
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	// A group that root lets read its file is the one that the program runs as.
	if mode := id.keyMode.Perm(); mode&0o037 != 0 || mode&0o040 != 0 && !id.keyOfRoot {
		add("%s: other users may read the private key (mode %04o); run: chmod 600 %s", id.KeyFile, mode, id.KeyFile)
	}
	for _, c := range id.Chain {
		// One for a few days is not about to end from its first day on.
		if left := c.NotAfter.Sub(now); left >= 0 && left < min(expiryWarning, c.NotAfter.Sub(c.NotBefore)/4) {
			add("%s: certificate %s expires on %s, in %d days; %s", orMemory(id.CertFile), subjectOf(c), stamp(c.NotAfter), int(left.Hours()/24), remedyNew)
		}
	}
	for _, role := range []Role{Client, Server} {
		if !allows(leaf, role) {
			add("%s: the extended key usage of %s does not allow the role of DTLS %v: %s; %s",
				orMemory(id.CertFile), subjectOf(leaf), role, consequence[role], remedyNew)
		}
	}
	if len(leaf.IPAddresses) == 0 && !IsRendezvous(leaf) && !IsAuthority(leaf) {
		add("%s: certificate %s names no VPN address; peers pin the first key that they see at our address, and those with require_ip_san refuse us; %s",
			orMemory(id.CertFile), subjectOf(leaf), remedyNew)
	}
	if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		add("%s: the RSA key of %s has only %d bits; %s", orMemory(id.CertFile), subjectOf(leaf), k.N.BitLen(), remedyNew)
	}
	return w
}

// consequence says what does not work without a role.
var consequence = [...]string{
	Client: "peers refuse the connections that we open",
	Server: "peers refuse us when they open the connection",
}

// TLS returns the identity in the form that TLS libraries take.
func (id *Identity) TLS() tls.Certificate {
	t := tls.Certificate{PrivateKey: id.Key, Leaf: id.Chain[0]}
	for _, c := range id.Chain {
		t.Certificate = append(t.Certificate, c.Raw)
	}
	return t
}

// selfSigned reports whether a certificate claims to be signed by its own key.
// Only the names and key identifiers are compared, as OpenSSL does.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		(len(c.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}
