// Package pkitest makes certificates for tests: CAs, leaves, revocation lists,
// good ones and bad ones, valid around a time that the test chooses (inside a
// synctest bubble the clock starts at 2000-01-01). It is test support: no
// program imports it.
package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An Edit changes a certificate before it is signed.
type Edit func(*x509.Certificate)

// Addrs sets the IP addresses of the subject alternative name.
func Addrs(addrs ...string) Edit {
	return func(c *x509.Certificate) {
		c.IPAddresses = nil
		for _, a := range addrs {
			c.IPAddresses = append(c.IPAddresses, netip.MustParseAddr(a).AsSlice())
		}
	}
}

// Valid sets the validity times, which are otherwise one hour before to one
// year (ten for a CA) after the time of [NewCA].
func Valid(from, to time.Time) Edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// Usage sets the key usage; 0 leaves the extension out. A leaf has
// digitalSignature otherwise.
func Usage(u x509.KeyUsage) Edit {
	return func(c *x509.Certificate) { c.KeyUsage = u }
}

// ExtUsage sets the extended key usage; none leaves the extension out. A leaf
// has clientAuth and serverAuth otherwise.
func ExtUsage(u ...x509.ExtKeyUsage) Edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

// A CA signs certificates. Its methods are not safe for concurrent use.
type CA struct {
	Cert *x509.Certificate
	Key  crypto.Signer

	above  []*x509.Certificate // intermediates above this CA, without the root
	now    time.Time
	serial int64
}

// NewCA makes a root CA with a new ECDSA P-256 key.
func NewCA(t testing.TB, name string, now time.Time, edits ...Edit) *CA {
	t.Helper()
	return NewCAWithKey(t, name, now, NewKey(t), edits...)
}

// NewCAWithKey is NewCA with a given key.
func NewCAWithKey(t testing.TB, name string, now time.Time, key crypto.Signer, edits ...Edit) *CA {
	t.Helper()
	ca := &CA{Key: key, now: now}
	tmpl := caTemplate(name, now, edits)
	ca.Cert = create(t, tmpl, tmpl, key.Public(), key)
	return ca
}

// CAWithCert makes a CA of any certificate and its key, even one that is not
// meant to be a CA.
func CAWithCert(cert *x509.Certificate, key crypto.Signer, now time.Time) *CA {
	return &CA{Cert: cert, Key: key, now: now}
}

// Intermediate makes a CA below ca.
func (ca *CA) Intermediate(t testing.TB, name string, edits ...Edit) *CA {
	t.Helper()
	sub := &CA{Key: NewKey(t), now: ca.now}
	tmpl := caTemplate(name, ca.now, edits)
	ca.serial++
	tmpl.SerialNumber = big.NewInt(ca.serial)
	sub.Cert = create(t, tmpl, ca.Cert, sub.Key.Public(), ca.Key)
	sub.above = append([]*x509.Certificate{sub.Cert}, ca.above...)
	return sub
}

func caTemplate(name string, now time.Time, edits []Edit) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(0xca),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// A Leaf is the certificate and key of a host.
type Leaf struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	Chain []*x509.Certificate // the leaf, then the intermediates above it
}

// Issue makes a leaf with a new ECDSA P-256 key. Serial numbers count from 1.
func (ca *CA) Issue(t testing.TB, name string, edits ...Edit) *Leaf {
	t.Helper()
	return ca.IssueKey(t, name, NewKey(t), edits...)
}

// IssueKey is Issue for a given key.
func (ca *CA) IssueKey(t testing.TB, name string, key crypto.Signer, edits ...Edit) *Leaf {
	t.Helper()
	ca.serial++
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(ca.serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             ca.now.Add(-time.Hour),
		NotAfter:              ca.now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, edit := range edits {
		edit(tmpl)
	}
	l := &Leaf{Key: key, Cert: create(t, tmpl, ca.Cert, key.Public(), ca.Key)}
	l.Chain = append([]*x509.Certificate{l.Cert}, ca.above...)
	return l
}

// SelfSigned makes a leaf that no CA has signed.
func SelfSigned(t testing.TB, name string, now time.Time, edits ...Edit) *Leaf {
	t.Helper()
	ca := &CA{Key: NewKey(t), now: now}
	ca.Cert = &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	return ca.IssueKey(t, name, ca.Key, edits...)
}

// CRL makes a revocation list, DER, whose number is thisUpdate in seconds.
// The reason of all entries is keyCompromise.
func (ca *CA) CRL(t testing.TB, thisUpdate, nextUpdate time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	return ca.CRLWith(t, func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(thisUpdate.Unix()), thisUpdate, nextUpdate
		for _, c := range revoked {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: c.SerialNumber, RevocationTime: thisUpdate, ReasonCode: 1,
			})
		}
	})
}

// DeltaIndicator is the critical extension that makes a list a delta list.
var DeltaIndicator = pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}

// CRLWith makes a revocation list, DER, whose fields edit sets.
func (ca *CA) CRLWith(t testing.TB, edit func(*x509.RevocationList)) []byte {
	t.Helper()
	list := &x509.RevocationList{}
	edit(list)
	issuer := *ca.Cert // CreateRevocationList insists on the usage, even where a CA has none
	issuer.KeyUsage |= x509.KeyUsageCRLSign
	der, err := x509.CreateRevocationList(rand.Reader, list, &issuer, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Raw returns the chain as it travels in a handshake.
func (l *Leaf) Raw() [][]byte {
	var raw [][]byte
	for _, c := range l.Chain {
		raw = append(raw, c.Raw)
	}
	return raw
}

// WriteFiles writes NAME.pem, with the chain, and NAME.key in dir, where NAME is
// the common name, and returns their paths.
func (l *Leaf) WriteFiles(t testing.TB, dir string) (certFile, keyFile string) {
	t.Helper()
	name := l.Cert.Subject.CommonName
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	Write(t, certFile, "CERTIFICATE", l.Raw()...)
	der, err := x509.MarshalPKCS8PrivateKey(l.Key)
	if err != nil {
		t.Fatal(err)
	}
	Write(t, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

// WriteFile writes the certificate of the CA to NAME.pem in dir and returns its
// path.
func (ca *CA) WriteFile(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, ca.Cert.Subject.CommonName+".pem")
	Write(t, path, "CERTIFICATE", ca.Cert.Raw)
	return path
}

// Write writes PEM blocks of one type to a file with mode 0600.
func Write(t testing.TB, path, blockType string, ders ...[]byte) {
	t.Helper()
	var b []byte
	for _, der := range ders {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// NewKey returns a new ECDSA P-256 key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// RSAKey returns an RSA key of 2048 bits, always the same one: making one takes
// long.
func RSAKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// create signs and parses a certificate.
func create(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
