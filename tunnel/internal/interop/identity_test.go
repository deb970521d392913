package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/tunnel/record"
)

// A kind is a kind of key.
type kind string

const (
	rsa2048 kind = "RSA"
	p256    kind = "ECDSA"
)

// kindFor returns the kind of the server's certificate that a suite needs.
func kindFor(s record.Suite) kind {
	if strings.Contains(s.String(), "ECDSA") {
		return p256
	}
	return rsa2048
}

// keys are made once: RSA keys take their time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for _, name := range []string{"ours", "theirs"} {
		r, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name+string(rsa2048)], keys[name+string(p256)] = r, e
	}
	return keys
})

// An identity is a certificate with its key, for our end and as PEM files for a
// process.
type identity struct {
	cert      tls.Certificate
	leafFile  string
	keyFile   string
	chainFile string // the CAs between leaf and root
	fullFile  string // the leaf and those
	rootFile  string
}

// newIdentity makes the identity of an end, with CAs between leaf and root. With
// cas = 0 there is only one certificate, which signs itself.
func newIdentity(t *testing.T, name string, k kind, cas int) identity {
	t.Helper()
	key := keys()[name+string(k)]
	root, id := template(name, true), identity{}
	if cas > 0 {
		root.Subject.CommonName += ", root"
	}
	chain := [][]byte{sign(t, root, root, key)}
	if cas > 0 {
		issuer := root
		for i := range cas {
			ca := template(fmt.Sprintf("%s, CA %d, %s", name, i, strings.Repeat("x", 64)), true)
			chain = append([][]byte{sign(t, ca, issuer, key)}, chain...)
			issuer = ca
		}
		chain = append([][]byte{sign(t, template(name, false), issuer, key)}, chain...)
	}
	id.cert = tls.Certificate{Certificate: chain, PrivateKey: key}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	last := len(chain) - 1
	dir := t.TempDir()
	id.keyFile = writePEM(t, dir, "key", "PRIVATE KEY", keyDER)
	id.leafFile = writePEM(t, dir, "leaf", "CERTIFICATE", chain[0])
	id.rootFile = writePEM(t, dir, "root", "CERTIFICATE", chain[last])
	id.chainFile = writePEM(t, dir, "chain", "CERTIFICATE", chain[min(1, last):last]...)
	id.fullFile = writePEM(t, dir, "full", "CERTIFICATE", chain[:max(1, last)]...)
	return id
}

var serial = struct {
	sync.Mutex
	n int64
}{}

func template(name string, ca bool) *x509.Certificate {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return &x509.Certificate{
		SerialNumber:          big.NewInt(serial.n),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  ca,
	}
}

// sign returns a certificate. All keys of a chain are the same: who trusts whom
// is not what these tests are about.
func sign(t *testing.T, cert, issuer *x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, dir, name, typ string, ders ...[]byte) string {
	t.Helper()
	var b []byte
	for _, der := range ders {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})...)
	}
	file := filepath.Join(dir, name+".pem")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
