package enroll

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"campagnol/pki"
)

// count returns bytes that count.
type count struct{ n byte }

func (c *count) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.n
		c.n++
	}
	return len(b), nil
}

func newToken(t testing.TB, ca pki.KeyID, server string) *Token {
	t.Helper()
	token, err := NewToken(rand.Reader, ca, server)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokenGolden fixes the format.
func TestTokenGolden(t *testing.T) {
	token, err := NewToken(&count{}, pki.KeyID(bytes.Repeat([]byte{0xca}, 32)), "rdv.example.org:57888")
	if err != nil {
		t.Fatal(err)
	}
	const text = "campagnol-aeaacaqdaqcqmbyibefawdanbyhraeiscmkbkfqxzlfmvswkzlfmvswkzlfmvswkzlfmvswkzlfmvswkzlfmvswkzlfoeidsmr3c4zlymfwxa3dffzxxez6h5dcy4"
	if got := token.String(); got != text {
		t.Errorf("token %s, want %s", got, text)
	}
	got, err := ParseToken(text)
	if err != nil || *got != *token {
		t.Errorf("parsed %+v, %v, want %+v", got, err, token)
	}
	const master = "93f0ddd5147b0924dc1c494c0d1a75833733d0dc285e4dbfa61548f21fbdd290"
	m := token.Master()
	if got := hex.EncodeToString(m[:]); got != master {
		t.Errorf("master %s, want %s", got, master)
	}
}

func TestTokenForms(t *testing.T) {
	for _, server := range []string{"rdv.example.org:57888", "192.0.2.1:1", "[2001:db8::1]:65535", strings.Repeat("a.", 126) + "a:7"} {
		token := newToken(t, pki.KeyID{1}, server)
		text := token.String()
		half := len(text) / 2
		for name, form := range map[string]string{
			"as it is":       text,
			"upper case":     strings.ToUpper(text),
			"blanks around":  "  " + text + "\r\n",
			"broken by mail": text[:half] + "\n    " + text[half:],
		} {
			if got, err := ParseToken(form); err != nil || *got != *token {
				t.Errorf("%s, %s: %+v, %v, want %+v", server, name, got, err, token)
			}
		}
	}
}

func TestTokenErrors(t *testing.T) {
	text := newToken(t, pki.KeyID{1}, "rdv.example.org:57888").String()
	flip := func(i int) string {
		c := byte('a')
		if text[i] == 'a' {
			c = 'b'
		}
		return text[:i] + string(c) + text[i+1:]
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", `does not begin with "campagnol-"`},
		{"another thing", "ssh-ed25519 AAAA", `does not begin with "campagnol-"`},
		{"prefix alone", "campagnol-", "a part of it is missing"},
		{"a typo", flip(40), "typo"},
		{"a typo in the last character", flip(len(text) - 1), "typo"},
		{"cut off", text[:len(text)-5], "missing"},
		{"twice", text + text[len("campagnol-"):], "missing"},
		{"a digit that looks like a letter", text[:30] + "0" + text[31:], "character 31 does not occur in tokens"},
		{"another version", recode(t, text, func(b []byte) { b[0] = 2 }), "newer version"},
		{"port 0", recode(t, text, func(b []byte) { b[57], b[58] = 0, 0 }), "the port is a number"},
		{"a server with a control character", recode(t, text, func(b []byte) { b[60] = 27 }), "not the name or the address"},
		{"endless", strings.Repeat("campagnol-", 1000), "too long"},
		{"long", "campagnol-" + strings.Repeat("a", maxToken+1), "too long"},
	} {
		token, err := ParseToken(c.text)
		var bad *TokenError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, error %v, want one with %q", c.name, token, err, c.want)
			continue
		}
		if !strings.Contains(bad.Hint(), "campagnol ca invite") {
			t.Errorf("%s: hint %q", c.name, bad.Hint())
		}
		if len(c.text) > 30 && strings.Contains(err.Error(), c.text[20:30]) {
			t.Errorf("%s: the error has a part of the secret: %v", c.name, err)
		}
	}
}

// recode changes a token and makes its checksum right again.
func recode(t *testing.T, text string, change func(b []byte)) string {
	t.Helper()
	b, err := tokenEncoding.DecodeString(strings.TrimPrefix(text, tokenPrefix))
	if err != nil {
		t.Fatal(err)
	}
	b = b[:len(b)-checksumSize]
	change(b)
	return tokenPrefix + tokenEncoding.EncodeToString(append(b, checksumOf(b)...))
}

func TestNewTokenServer(t *testing.T) {
	for _, server := range []string{"", "host", "host:", "host:0", "host:65536", "host:x", ":5", "a b:5", "host/x:5", strings.Repeat("a", 254) + ":5"} {
		if token, err := NewToken(rand.Reader, pki.KeyID{}, server); err == nil {
			t.Errorf("%q: %+v, want an error", server, token)
		}
	}
}

func TestMasterText(t *testing.T) {
	m := newToken(t, pki.KeyID{1}, "h:1").Master()
	text, err := m.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got Master
	if err := got.UnmarshalText(text); err != nil || !got.Equal(m) {
		t.Errorf("%s gives %v, want the same", text, err)
	}
	for _, bad := range []string{"", "00", string(text[1:]) + "g"} {
		if err := got.UnmarshalText([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: error %v, want one without it", bad, err)
		}
	}
	if (newToken(t, pki.KeyID{1}, "h:1").Master()).Equal(m) {
		t.Error("two tokens have one key")
	}
	other := *newToken(t, pki.KeyID{1}, "h:1")
	same := other
	same.CA = pki.KeyID{2}
	if same.Master().Equal(other.Master()) {
		t.Error("the authority's key has no part in the key of an invitation")
	}
}

func TestID(t *testing.T) {
	id := ID{0xde, 0xad}
	if got, err := ParseID(id.String()); err != nil || got != id || id.String() != "dead000000000000" {
		t.Errorf("%s gives %v, %v", id, got, err)
	}
	for _, bad := range []string{"", "dead", "dead00000000000x", "../../etc/passwd"} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, id)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(newToken(f, pki.KeyID{1}, "rdv.example.org:57888").String())
	f.Add("campagnol-")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || *again != *token {
			t.Fatalf("%+v became %+v, %v", token, again, err)
		}
	})
}
