package enroll

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"unicode"

	"campagnol/pki"
)

// An ID names an invitation, or the request of a renewal.
type ID [8]byte

// String returns 16 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String returns.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("enroll: %q is not the ID of an invitation, %d hexadecimal digits", s, 2*len(id))
	}
	return ID(b), nil
}

// A Token is what a new host needs to know. Who has it can take the place of that
// host, once: it is a secret until it is used.
type Token struct {
	ID     ID
	secret [secretSize]byte
	CA     pki.KeyID // key of the authority that signs the host's certificate
	Server string    // HOST:PORT of the rendezvous server
}

const (
	tokenPrefix   = "campagnol-"
	tokenVersion  = 1
	secretSize    = 16
	checksumSize  = 4
	tokenHead     = 1 + len(ID{}) + secretSize + len(pki.KeyID{}) + 2
	maxServerName = 253  // bytes, RFC 1035 section 2.3.4
	maxToken      = 1024 // characters
)

// tokenEncoding has neither 0 nor 1, which look like letters, and no characters
// that end a word.
var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewToken makes a token with a new ID and secret. server is HOST:PORT.
func NewToken(rand io.Reader, ca pki.KeyID, server string) (*Token, error) {
	t := &Token{CA: ca, Server: server}
	if _, _, err := splitServer(server); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	if _, err := io.ReadFull(rand, t.ID[:]); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	if _, err := io.ReadFull(rand, t.secret[:]); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	return t, nil
}

// CheckServer checks the HOST:PORT of a rendezvous server.
func CheckServer(server string) error {
	_, _, err := splitServer(server)
	return err
}

// splitServer splits HOST:PORT.
func splitServer(server string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(server)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", server)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: the port is a number from 1 to 65535", server)
	}
	return host, uint16(n), checkHost(host)
}

// CheckDomain checks a domain in which members have names: labels of letters in lower
// case, digits and hyphens (RFC 1123 section 2.1). It is one that a configuration takes
// without a warning.
func CheckDomain(domain string) error {
	for _, taken := range []string{"arpa", "local", "localhost"} {
		if strings.HasSuffix("."+domain, "."+taken) {
			return fmt.Errorf("%q is not a domain for members: %s belongs to others", domain, taken)
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("%q is not a domain", domain)
		}
	}
	if len(domain) > maxDomain {
		return fmt.Errorf("%q is too long for a domain", domain)
	}
	return nil
}

// maxDomain leaves room for the names in it (RFC 1035 section 2.3.4).
const maxDomain = 189

// checkHost checks a host name or an address.
func checkHost(host string) error {
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:", c)
	}
	if host == "" || len(host) > maxServerName || strings.ContainsFunc(host, bad) {
		return fmt.Errorf("%q is not the name or the address of a host", host)
	}
	return nil
}

// String returns the text form:
//
//	"campagnol-", then in base32 (RFC 4648, lower case, no padding)
//	1   version, 1
//	8   ID
//	16  secret
//	32  SHA-256 of the authority's SubjectPublicKeyInfo
//	2   port of the rendezvous server
//	-   its name or address
//	4   the first bytes of the SHA-256 of all before
func (t *Token) String() string {
	host, port, _ := splitServer(t.Server) // was checked
	b := []byte{tokenVersion}
	b = append(b, t.ID[:]...)
	b = append(b, t.secret[:]...)
	b = append(b, t.CA[:]...)
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, host...)
	return tokenPrefix + tokenEncoding.EncodeToString(append(b, checksumOf(b)...))
}

func checksumOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:checksumSize]
}

// A TokenError says why a text is not a token. It does not repeat the text, which
// may be a secret with a typo.
type TokenError struct{ text string }

func (e *TokenError) Error() string { return "the token is not usable: " + e.text }

// Hint says what can be done about it.
func (e *TokenError) Hint() string {
	return `copy it whole from what "campagnol ca invite" has shown: it begins with "` + tokenPrefix + `"`
}

// ParseToken reads a token. Blanks and line breaks in it do not matter, as mail
// programs add them, and neither does case.
func ParseToken(text string) (*Token, error) {
	if len(text) > 2*maxToken {
		return nil, &TokenError{"it is too long"}
	}
	text = strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
	code, ok := strings.CutPrefix(text, tokenPrefix)
	switch {
	case !ok:
		return nil, &TokenError{fmt.Sprintf("it does not begin with %q", tokenPrefix)}
	case len(code) > maxToken:
		return nil, &TokenError{"it is too long"}
	}
	b, err := tokenEncoding.DecodeString(code)
	var corrupt base32.CorruptInputError
	if errors.As(err, &corrupt) && int(corrupt) < len(code) && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz234567", rune(code[corrupt])) {
		return nil, &TokenError{fmt.Sprintf("character %d does not occur in tokens", len(tokenPrefix)+int(corrupt)+1)}
	}
	if err != nil || len(b) <= tokenHead+checksumSize {
		return nil, &TokenError{"a part of it is missing"}
	}
	body := b[:len(b)-checksumSize]
	if !bytes.Equal(b[len(body):], checksumOf(body)) || tokenEncoding.EncodeToString(b) != code {
		return nil, &TokenError{"there is a typo in it, or a part is missing"}
	}
	if body[0] != tokenVersion {
		return nil, &TokenError{"it was made by a newer version of campagnol; install that here, too"}
	}
	return parseToken(body[1:])
}

// parseToken reads what follows the version.
func parseToken(b []byte) (*Token, error) {
	t := &Token{}
	b = b[copy(t.ID[:], b):]
	b = b[copy(t.secret[:], b):]
	b = b[copy(t.CA[:], b):]
	t.Server = net.JoinHostPort(string(b[2:]), strconv.Itoa(int(binary.BigEndian.Uint16(b))))
	if _, _, err := splitServer(t.Server); err != nil {
		return nil, &TokenError{"its rendezvous server " + err.Error()}
	}
	return t, nil
}

// A Master is what the keys of an invitation are derived from. The authority keeps
// it, and not the token: it is of no use without the rest.
type Master [sha256.Size]byte

// Master returns HKDF-Extract(salt, secret) (RFC 5869), where the salt is
// "campagnol enrolment 1", the ID, and the authority's key ID.
func (t *Token) Master() Master {
	salt := append([]byte(protocol), t.ID[:]...)
	prk, err := hkdf.Extract(sha256.New, t.secret[:], append(salt, t.CA[:]...))
	if err != nil {
		panic(err) // only in FIPS mode, of a shorter secret
	}
	return Master(prk)
}

// Equal compares in constant time.
func (m Master) Equal(o Master) bool { return subtle.ConstantTimeCompare(m[:], o[:]) == 1 }

// MarshalText returns 64 hexadecimal digits.
func (m Master) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, m[:]), nil }

// UnmarshalText reads what MarshalText returns.
func (m *Master) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(m) {
		return errors.New("enroll: malformed key of an invitation") // without the key
	}
	*m = Master(b)
	return nil
}
