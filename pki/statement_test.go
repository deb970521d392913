package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"

	"campagnol/pki/pkitest"
)

// statementKeys has a key of each kind that certificates have.
func statementKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": pkitest.NewKey(t), "P-384": p384, "RSA": pkitest.RSAKey(t), "Ed25519": ed}
}

func TestStatement(t *testing.T) {
	other := &x509.Certificate{PublicKey: pkitest.NewKey(t).Public()}
	for name, key := range statementKeys(t) {
		t.Run(name, func(t *testing.T) {
			cert := &x509.Certificate{PublicKey: key.Public()}
			sig, err := SignStatement(rand.Reader, key, "a", []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyStatement(cert, "a", []byte("message"), sig); err != nil {
				t.Errorf("own signature: %v", err)
			}
			changed := bytes.Clone(sig)
			changed[len(changed)-1] ^= 1
			for _, c := range []struct {
				name, context, message string
				cert                   *x509.Certificate
				sig                    []byte
			}{
				{"another message", "a", "massage", cert, sig},
				{"another context", "b", "message", cert, sig},
				{"the border of context and message moved", "ames", "sage", cert, sig},
				{"another key", "a", "message", other, sig},
				{"a changed signature", "a", "message", cert, changed},
				{"no signature", "a", "message", cert, nil},
				{"a key that is none", "a", "message", &x509.Certificate{PublicKey: "key"}, sig},
			} {
				if err := VerifyStatement(c.cert, c.context, []byte(c.message), c.sig); !errors.Is(err, ErrStatement) {
					t.Errorf("%s: error %v, want ErrStatement", c.name, err)
				}
			}
		})
	}
}

// What a statement signs can be no start of a handshake, a certificate or a list.
func TestStatementText(t *testing.T) {
	got := statement("context", []byte("message"))
	want := append(bytes.Repeat([]byte{0x20}, 64), "context\x00message"...)
	if !bytes.Equal(got, want) {
		t.Errorf("signed text = %q, want %q", got, want)
	}
}
