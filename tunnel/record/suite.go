package record

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Suite is a TLS cipher suite, by its registered number.
type Suite uint16

// The suites that this record layer speaks: those with ECDHE and an AEAD.
const (
	ECDHE_ECDSA_AES128_GCM        Suite = 0xc02b // RFC 5289
	ECDHE_ECDSA_AES256_GCM        Suite = 0xc02c // RFC 5289
	ECDHE_RSA_AES128_GCM          Suite = 0xc02f // RFC 5289
	ECDHE_RSA_AES256_GCM          Suite = 0xc030 // RFC 5289
	ECDHE_RSA_CHACHA20_POLY1305   Suite = 0xcca8 // RFC 7905
	ECDHE_ECDSA_CHACHA20_POLY1305 Suite = 0xcca9 // RFC 7905
)

const tagLen = 16 // of every AEAD here

// A suiteInfo says how a suite makes keys and nonces.
type suiteInfo struct {
	name        string // OpenSSL's
	keyLen      int    // bytes
	ivLen       int    // bytes of the key block
	explicitLen int    // bytes of the nonce that travel in the record
	aead        func(key []byte) (cipher.AEAD, error)
}

var suites = map[Suite]suiteInfo{
	ECDHE_ECDSA_AES128_GCM:        {"ECDHE-ECDSA-AES128-GCM-SHA256", 16, 4, 8, newGCM},
	ECDHE_ECDSA_AES256_GCM:        {"ECDHE-ECDSA-AES256-GCM-SHA384", 32, 4, 8, newGCM},
	ECDHE_RSA_AES128_GCM:          {"ECDHE-RSA-AES128-GCM-SHA256", 16, 4, 8, newGCM},
	ECDHE_RSA_AES256_GCM:          {"ECDHE-RSA-AES256-GCM-SHA384", 32, 4, 8, newGCM},
	ECDHE_RSA_CHACHA20_POLY1305:   {"ECDHE-RSA-CHACHA20-POLY1305", 32, 12, 0, chacha20poly1305.New},
	ECDHE_ECDSA_CHACHA20_POLY1305: {"ECDHE-ECDSA-CHACHA20-POLY1305", 32, 12, 0, chacha20poly1305.New},
}

// Suites returns every suite that this record layer speaks, in our order of
// preference. AES-128 comes first: it is the fastest with hardware support, and
// what it lacks in key length nobody can use.
func Suites() []Suite {
	return []Suite{
		ECDHE_ECDSA_AES128_GCM, ECDHE_RSA_AES128_GCM,
		ECDHE_ECDSA_AES256_GCM, ECDHE_RSA_AES256_GCM,
		ECDHE_ECDSA_CHACHA20_POLY1305, ECDHE_RSA_CHACHA20_POLY1305,
	}
}

// Known reports whether this record layer speaks s.
func (s Suite) Known() bool { _, ok := suites[s]; return ok }

// RSA reports whether a server needs an RSA key for s, and else an ECDSA key.
func (s Suite) RSA() bool {
	return s == ECDHE_RSA_AES128_GCM || s == ECDHE_RSA_AES256_GCM || s == ECDHE_RSA_CHACHA20_POLY1305
}

// String returns OpenSSL's name of the suite.
func (s Suite) String() string {
	if i, ok := suites[s]; ok {
		return i.name
	}
	return fmt.Sprintf("cipher suite %#04x", uint16(s))
}

// KeyLen and IVLen return the lengths, in bytes, of one direction's key and of
// its part of the nonce, as they are cut from the key block (RFC 5246 section
// 6.3).
func (s Suite) KeyLen() int { return suites[s].keyLen }

// IVLen is described at KeyLen.
func (s Suite) IVLen() int { return suites[s].ivLen }

// Overhead returns by how many bytes a sealed record without connection ID is longer
// than its payload.
func (s Suite) Overhead() int { return HeaderLen + suites[s].explicitLen + tagLen }

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// A protection is what both directions share: an AEAD with its implicit nonce.
type protection struct {
	aead     cipher.AEAD
	iv       [12]byte // GCM: 4 bytes of salt and zeros; ChaCha20: all 12 bytes
	explicit int      // bytes of the nonce in the record
	epoch    uint16
}

func newProtection(s Suite, key, iv []byte, epoch uint16) (protection, error) {
	info, ok := suites[s]
	if !ok {
		return protection{}, fmt.Errorf("record: %v is not supported", s)
	}
	if len(key) != info.keyLen || len(iv) != info.ivLen {
		return protection{}, fmt.Errorf("record: %v takes a key of %d bytes and an IV of %d, not %d and %d",
			s, info.keyLen, info.ivLen, len(key), len(iv))
	}
	aead, err := info.aead(key)
	if err != nil {
		return protection{}, fmt.Errorf("record: %v: %w", s, err)
	}
	p := protection{aead: aead, explicit: info.explicitLen, epoch: epoch}
	copy(p.iv[:], iv)
	return p, nil
}

// A Scratch holds the nonce and the additional data of one operation. The
// cipher sees both through an interface, so on the stack they would escape to
// the heap; each goroutine that seals or opens owns one Scratch instead.
type Scratch struct {
	nonce [12]byte
	aad   [maxAAD]byte
	typ   ContentType
}

// Type returns the type of the content that was last opened with the Scratch: what
// the header says, or with a connection ID what was encrypted.
func (t *Scratch) Type() ContentType { return t.typ }

// Additional data is 13 bytes long (RFC 5246 section 6.2.3.3), or with a connection
// ID, longer (RFC 9146 section 5.3).
const (
	plainAAD = 13
	maxAAD   = aadIDAt + MaxIDLen + 2
)
