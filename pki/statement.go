package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A statement is what a key of a certificate signs beside certificates, lists and
// handshakes. What is signed is
//
//	64 spaces, the context, a zero byte, the message
//
// as in RFC 8446 section 4.4.3, and for its reason: in a handshake of DTLS 1.2 a
// key signs 32 bytes that the other side chooses, and 32 that it does not. It
// starts like no certificate or list either, which are DER.
//
// An ECDSA key signs the SHA-256 of it, in ASN.1 form, an RSA key the same by PSS
// with a salt of 32 bytes, an Ed25519 key the thing itself.
func statement(context string, message []byte) []byte {
	b := make([]byte, 0, 64+len(context)+1+len(message))
	b = append(b, strings.Repeat(" ", 64)...)
	b = append(b, context...)
	b = append(b, 0)
	return append(b, message...)
}

// ErrStatement is returned for a signature that is not by the key, or not of the
// message, or for another context.
var ErrStatement = errors.New("pki: the signature is wrong")

var pssOptions = &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256}

// SignStatement signs a message with the key of a certificate. context says what
// the signature is for; one for another context is worth nothing.
func SignStatement(rand io.Reader, key crypto.Signer, context string, message []byte) ([]byte, error) {
	data := statement(context, message)
	digest := sha256.Sum256(data)
	var sig []byte
	var err error
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
		sig, err = key.Sign(rand, digest[:], crypto.SHA256)
	case *rsa.PublicKey:
		sig, err = key.Sign(rand, digest[:], pssOptions)
	case ed25519.PublicKey:
		sig, err = key.Sign(rand, data, crypto.Hash(0))
	default:
		err = errors.New("the key is neither ECDSA nor RSA nor Ed25519")
	}
	if err != nil {
		return nil, fmt.Errorf("pki: sign: %w", err)
	}
	return sig, nil
}

// VerifyStatement checks what [SignStatement] returned, with the key of a
// certificate. It accepts any input.
func VerifyStatement(cert *x509.Certificate, context string, message, signature []byte) error {
	data := statement(context, message)
	digest := sha256.Sum256(data)
	ok := false
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest[:], signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, pssOptions) == nil
	case ed25519.PublicKey:
		ok = len(key) == ed25519.PublicKeySize && ed25519.Verify(key, data, signature)
	}
	if !ok {
		return ErrStatement
	}
	return nil
}
