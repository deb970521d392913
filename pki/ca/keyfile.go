package ca

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"campagnol/pki"
)

// A Passphrase returns the pass phrase of the key file at path. It is called
// when a key turns out to be encrypted.
type Passphrase func(path string) ([]byte, error)

// ErrPassphrase is returned when a pass phrase does not fit.
var ErrPassphrase = errors.New("wrong pass phrase")

// PEM types of private keys.
const (
	pemKey          = "PRIVATE KEY"
	pemEncryptedKey = "ENCRYPTED PRIVATE KEY"
)

// decodeKey reads the first private key among PEM blocks. An encrypted one may
// be in the form of PKCS #8, or in that of RFC 1421, which OpenSSL wrote before
// 1.0.
func decodeKey(data []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, errors.New("no private key in this file")
		}
		if !strings.HasSuffix(b.Type, pemKey) {
			continue
		}
		der := b.Bytes
		var decrypt func(pass []byte) ([]byte, error)
		switch {
		case b.Type == pemEncryptedKey:
			decrypt = func(pass []byte) ([]byte, error) { return decryptPKCS8(b.Bytes, pass, maxIterations) }
		case strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			decrypt = func(pass []byte) ([]byte, error) { return decryptRFC1421(b, pass) }
		default:
			return pki.ParseKey(der)
		}
		pass, err := passphrase()
		if err != nil {
			return nil, err
		}
		if der, err = decrypt(pass); err != nil {
			return nil, err
		}
		key, err := pki.ParseKey(der)
		if err != nil {
			// The padding was right by chance: one in 256.
			return nil, ErrPassphrase
		}
		return key, nil
	}
}

// Structures of PKCS #5 (RFC 8018) and PKCS #8 (RFC 5958).
type (
	encryptedKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF    pkix.AlgorithmIdentifier
		Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// A keyCipher is a block cipher in CBC mode.
type keyCipher struct {
	oid    string
	name   string // in the DEK-Info of RFC 1421
	keyLen int
	block  func(key []byte) (cipher.Block, error)
}

// keyCiphers are those that OpenSSL has used for keys by default, and their
// kin. Triple DES was the default for decades, so old CAs need it.
var keyCiphers = []keyCipher{
	{"1.2.840.113549.3.7", "DES-EDE3-CBC", 24, des.NewTripleDESCipher},
	{"2.16.840.1.101.3.4.1.2", "AES-128-CBC", 16, aes.NewCipher},
	{"2.16.840.1.101.3.4.1.22", "AES-192-CBC", 24, aes.NewCipher},
	{oidAES256CBC.String(), "AES-256-CBC", 32, aes.NewCipher},
}

// maxIterations bounds the work that a key file can ask for.
const maxIterations = 10_000_000

// errAlgorithm is returned for encryption that we do not speak.
func errAlgorithm(what string) error {
	return withHint(fmt.Errorf("the key is encrypted with %s, which is not supported", what),
		"encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEWKEY")
}

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958 section 3) that
// uses PBES2 with PBKDF2 (RFC 8018) and at most maxIterations.
func decryptPKCS8(der, pass []byte, maxIterations int) ([]byte, error) {
	var info encryptedKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed encrypted key")
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errAlgorithm("the algorithm " + info.Algorithm.Algorithm.String())
	}
	var p pbes2Params
	var k pbkdf2Params
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, errors.New("malformed encrypted key")
	}
	if !p.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, errAlgorithm("a key derived by " + p.KDF.Algorithm.String())
	}
	if _, err := asn1.Unmarshal(p.KDF.Parameters.FullBytes, &k); err != nil || k.Iterations < 1 || k.Iterations > maxIterations {
		return nil, errors.New("malformed encrypted key")
	}
	var iv []byte
	if _, err := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, errors.New("malformed encrypted key")
	}
	prf, err := pseudoRandom(k.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	for _, c := range keyCiphers {
		if c.oid == p.Cipher.Algorithm.String() {
			key, err := pbkdf2.Key(prf, string(pass), k.Salt, k.Iterations, c.keyLen)
			if err != nil {
				return nil, err
			}
			return c.decrypt(key, iv, info.Data)
		}
	}
	return nil, errAlgorithm("the cipher " + p.Cipher.Algorithm.String())
}

// pseudoRandom returns the hash of a PBKDF2's HMAC. SHA-1 is the default (RFC
// 8018 appendix A.2), and as an HMAC still does its work.
func pseudoRandom(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch {
	case len(oid) == 0, oid.Equal(oidHMACSHA1):
		return sha1.New, nil
	case oid.Equal(oidHMACSHA256):
		return sha256.New, nil
	case oid.Equal(oidHMACSHA512):
		return sha512.New, nil
	}
	return nil, errAlgorithm("a key derived with " + oid.String())
}

// decryptRFC1421 decrypts a PEM block with a DEK-Info header. OpenSSL derives
// the key with MD5 from pass phrase and salt, where the salt is the start of
// the initialization vector.
func decryptRFC1421(b *pem.Block, pass []byte) ([]byte, error) {
	name, ivHex, _ := strings.Cut(b.Headers["DEK-Info"], ",")
	iv, err := hex.DecodeString(strings.TrimSpace(ivHex))
	if err != nil || len(iv) < 8 {
		return nil, errors.New("malformed DEK-Info header")
	}
	for _, c := range keyCiphers {
		if c.name == name {
			var key, sum []byte
			for len(key) < c.keyLen {
				h := md5.Sum(append(append(sum, pass...), iv[:8]...))
				sum = h[:]
				key = append(key, sum...)
			}
			return c.decrypt(key[:c.keyLen], iv, b.Bytes)
		}
	}
	return nil, errAlgorithm("the cipher " + name)
}

// decrypt decrypts CBC and removes the padding (RFC 8018 section 6.1.1).
func (c keyCipher) decrypt(key, iv, data []byte) ([]byte, error) {
	block, err := c.block(key)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, errors.New("malformed encrypted key")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	n := int(plain[len(plain)-1])
	if n == 0 || n > size || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrPassphrase
	}
	return plain[:len(plain)-n], nil
}

// iterations of PBKDF2 for keys that we encrypt: what OWASP asks for with
// SHA-256 (2023), half a second on a small machine.
const iterations = 600_000

// encodeKey returns a PEM block with the key in PKCS #8 form, encrypted (PBES2
// with PBKDF2-HMAC-SHA256 and AES-256-CBC) if pass is not empty.
func encodeKey(rand io.Reader, key crypto.Signer, pass []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if len(pass) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
	}
	enc, err := encryptPKCS8(rand, der, pass, iterations)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncryptedKey, Bytes: enc}), nil
}

// encryptPKCS8 is the inverse of decryptPKCS8.
func encryptPKCS8(rand io.Reader, der, pass []byte, iterations int) ([]byte, error) {
	random := make([]byte, 16+aes.BlockSize)
	if _, err := io.ReadFull(rand, random); err != nil {
		return nil, err
	}
	salt, iv := random[:16], random[16:]
	key, err := pbkdf2.Key(sha256.New, string(pass), salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(der)%aes.BlockSize
	data := append(bytes.Clone(der), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	kdf, err := algorithm(oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: iterations,
		PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}})
	if err != nil {
		return nil, err
	}
	enc, err := algorithm(oidAES256CBC, iv)
	if err != nil {
		return nil, err
	}
	scheme, err := algorithm(oidPBES2, pbes2Params{kdf, enc})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKeyInfo{scheme, data})
}

// algorithm returns an AlgorithmIdentifier.
func algorithm(oid asn1.ObjectIdentifier, params any) (pkix.AlgorithmIdentifier, error) {
	der, err := asn1.Marshal(params)
	if err != nil {
		return pkix.AlgorithmIdentifier{}, err
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}, nil
}
