package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/pki/pkitest"
)

// saying returns a function that answers with a pass phrase.
func saying(pass string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(pass), nil }
}

func mustNotAsk(t *testing.T) func() ([]byte, error) {
	return func() ([]byte, error) {
		t.Error("the pass phrase was asked")
		return nil, nil
	}
}

func sameKey(a, b crypto.Signer) bool {
	pub, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b.Public())
}

func TestKeyRoundTrip(t *testing.T) {
	key := pkitest.NewKey(t)
	for _, pass := range []string{"", "pass phrase with spaces and ümläuts"} {
		data, err := encodeKey(rand.Reader, key, []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		if encrypted := bytes.Contains(data, []byte("ENCRYPTED")); encrypted != (pass != "") {
			t.Errorf("pass phrase %q: encrypted = %t", pass, encrypted)
		}
		ask := saying(pass)
		if pass == "" {
			ask = mustNotAsk(t)
		}
		got, err := decodeKey(data, ask)
		if err != nil || !sameKey(got, key) {
			t.Errorf("pass phrase %q: %v, want the same key", pass, err)
		}
	}
}

func TestKeyWrongPassphrase(t *testing.T) {
	key := pkitest.NewKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := encryptPKCS8(rand.Reader, der, []byte("right"), 1)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: pemEncryptedKey, Bytes: enc})
	// Some wrong pass phrases give a right padding by chance.
	for i := range 1000 {
		if _, err := decodeKey(data, saying(strings.Repeat("x", i))); !errors.Is(err, ErrPassphrase) {
			t.Fatalf("error %v, want ErrPassphrase", err)
		}
	}
	refuse := errors.New("no")
	if _, err := decodeKey(data, func() ([]byte, error) { return nil, refuse }); !errors.Is(err, refuse) {
		t.Errorf("error %v, want that of the question", err)
	}
}

func TestKeyErrors(t *testing.T) {
	block := func(typ string, headers map[string]string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Headers: headers, Bytes: der})
	}
	dek := func(info string) map[string]string {
		return map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": info}
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no private key"},
		{"certificate", block("CERTIFICATE", nil, []byte{1}), "no private key"},
		{"not a key", block("PRIVATE KEY", nil, []byte{1}), "not a private key"},
		{"not an encrypted key", block(pemEncryptedKey, nil, []byte{1}), "malformed"},
		{"no DEK-Info", block("RSA PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED"}, make([]byte, 16)), "DEK-Info"},
		{"short salt", block("RSA PRIVATE KEY", dek("AES-128-CBC,0011"), make([]byte, 16)), "DEK-Info"},
		{"other cipher", block("RSA PRIVATE KEY", dek("RC2-CBC,0011223344556677"), make([]byte, 16)), "RC2-CBC"},
		{"short IV", block("RSA PRIVATE KEY", dek("AES-128-CBC,0011223344556677"), make([]byte, 16)), "malformed"},
		{"half a block", block("RSA PRIVATE KEY", dek("DES-EDE3-CBC,0011223344556677"), make([]byte, 12)), "malformed"},
		{"no data", block("RSA PRIVATE KEY", dek("DES-EDE3-CBC,0011223344556677"), nil), "malformed"},
	} {
		_, err := decodeKey(c.data, saying("x"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// TestKeyOpenSSL reads keys that openssl has encrypted, in all the ways that it
// had as a default since 0.9.8, and lets it read ours.
func TestKeyOpenSSL(t *testing.T) {
	dir := t.TempDir()
	openssl := pkitest.NeedOpenSSL(t, dir)
	openssl.Run(t, "genrsa", "-traditional", "-out", "plain.pem", "2048")
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plain, err := decodeKey(read("plain.pem"), mustNotAsk(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"rsa", "-traditional", "-des3"}, {"rsa", "-traditional", "-aes128"}, {"rsa", "-traditional", "-aes192"}, {"rsa", "-traditional", "-aes256"},
		{"pkcs8", "-topk8"},
		{"pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA1"},
		{"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"},
		{"pkcs8", "-topk8", "-v2", "aes-192-cbc"},
		{"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "1000"},
	} {
		openssl.Run(t, append(args, "-in", "plain.pem", "-passout", "pass:secret", "-out", "enc.pem")...)
		got, err := decodeKey(read("enc.pem"), saying("secret"))
		if err != nil || !sameKey(got, plain) {
			t.Errorf("%v: %v, want the key", args, err)
		}
		if _, err := decodeKey(read("enc.pem"), saying("wrong")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%v: error %v, want ErrPassphrase", args, err)
		}
	}
	for args, want := range map[string]string{
		"-v2 camellia-128-cbc": "cipher", "-scrypt": "derived by", "-v2 aes128 -v2prf hmacWithSHA384": "derived with",
	} {
		openssl.Run(t, append([]string{"pkcs8", "-topk8", "-in", "plain.pem", "-passout", "pass:x", "-out", "enc.pem"}, strings.Fields(args)...)...)
		_, err := decodeKey(read("enc.pem"), saying("x"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(hint(err), "openssl pkcs8") {
			t.Errorf("%s: error %v, hint %q, want %q and the way out", args, err, hint(err), want)
		}
	}
	ours, err := encodeKey(rand.Reader, plain, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ours.pem"), ours, 0o600); err != nil {
		t.Fatal(err)
	}
	openssl.Run(t, "pkey", "-in", "ours.pem", "-passin", "pass:secret", "-noout", "-check")
	if out, err := openssl.Try("pkey", "-in", "ours.pem", "-passin", "pass:wrong", "-noout"); err == nil {
		t.Errorf("openssl read our key with a wrong pass phrase:\n%s", out)
	}
}

// hint returns the hint of an error.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func FuzzDecryptKey(f *testing.F) {
	key := pkitest.NewKey(f)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	enc, err := encryptPKCS8(rand.Reader, der, []byte("x"), 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc, "AES-128-CBC,00112233445566778899aabbccddeeff", []byte("x"))
	f.Add(make([]byte, 16), "DES-EDE3-CBC,0011223344556677", []byte(""))
	f.Fuzz(func(t *testing.T, der []byte, dek string, pass []byte) {
		if out, err := decryptPKCS8(der, pass, 10); err == nil && len(out) >= len(der) {
			t.Fatalf("%d bytes decrypted to %d", len(der), len(out))
		}
		b := &pem.Block{Headers: map[string]string{"DEK-Info": dek}, Bytes: der}
		if out, err := decryptRFC1421(b, pass); err == nil && len(out) >= len(der) {
			t.Fatalf("%d bytes decrypted to %d", len(der), len(out))
		}
	})
}
