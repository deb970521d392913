package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A subjectKind is how a subject says whom it means.
type subjectKind uint8

const (
	everybody subjectKind = iota // all
	byGroup                      // a group of the file
	byName                       // alice, "Alice Smith"
	byPattern                    // *.srv.example; the text is ".srv.example"
	byRole                       // role:server, a group that the certificate carries
	byNet                        // 10.9.0.7, 10.9.0.0/28; addresses are networks of one
	byWord                       // a group or a name: which one is known when all groups are
)

// A subject is a set of members, as one word of a policy says it. It is
// comparable: equal subjects mean the same.
type subject struct {
	kind subjectKind
	text string       // in lower case; empty for networks
	net  netip.Prefix // of byNet
}

// rolePrefix marks a group of the certificate.
const rolePrefix = "role:"

// Words with a meaning of their own, which no group can have as its name.
var reserved = []string{"all", "allow", "deny", "default", "filter", "group", "relay", "through", "version"}

// String returns the subject as it is written in a policy.
func (s subject) String() string {
	switch s.kind {
	case everybody:
		return "all"
	case byPattern:
		return "*" + s.text
	case byRole:
		return rolePrefix + s.text
	case byNet:
		if s.net.IsSingleIP() {
			return s.net.Addr().String()
		}
		return s.net.String()
	case byName:
		if !isPlainName(s.text) || isReserved(s.text) {
			return `"` + s.text + `"`
		}
	}
	return s.text
}

// parseSubject reads a word. Whether a plain name is that of a group is not
// known before the end of the text.
func parseSubject(t token) (subject, error) {
	if t.kind == quoted {
		return parseQuoted(t.text)
	}
	text := lowerASCII(t.text)
	role, isRole := strings.CutPrefix(text, rolePrefix)
	switch {
	case text == "all":
		return subject{kind: everybody}, nil
	case isRole:
		if !isLabel(role) {
			return subject{}, fmt.Errorf(`%s names no group of a certificate, expected "role:" and a name, such as role:server`, quote(t.text))
		}
		return subject{kind: byRole, text: role}, nil
	case looksLikeAddress(text):
		return parseNet(t.text)
	case strings.Contains(text, "*"):
		rest, ok := strings.CutPrefix(text, "*.")
		if !ok || !isLabel(rest) {
			return subject{}, fmt.Errorf(`%s is not a pattern: "*" stands for the whole first label of a name, as in *.srv.example, and everybody is "all"`, quote(t.text))
		}
		return subject{kind: byPattern, text: "." + rest}, nil
	case !isPlainName(text):
		return subject{}, unknownSubject(t.text)
	}
	return subject{kind: byWord, text: text}, nil
}

// unknownSubject says that a word means nobody, and why perhaps.
func unknownSubject(text string) error {
	if kind, name, ok := strings.Cut(text, ":"); ok && isPlainName(lowerASCII(name)) {
		return fmt.Errorf("unknown kind of subject %s%s", quote(kind+":"), didYouMean(kind+":", rolePrefix))
	}
	return fmt.Errorf(`%s is neither a name nor an address, expected a host (alice), a group, an address, a network (10.9.0.0/28), role:NAME or all`, quote(text))
}

// parseQuoted reads a name that is no word: that of a certificate whose common
// name has blanks or other letters.
func parseQuoted(text string) (subject, error) {
	if text == "" || !utf8.ValidString(text) || strings.TrimSpace(text) != text || strings.Contains(text, "*") ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return subject{}, fmt.Errorf("%s cannot be the name of a host", quote(text))
	}
	return subject{kind: byName, text: lowerASCII(text)}, nil
}

// looksLikeAddress tells addresses and networks from names, so that a mistake
// in one is not taken for a name that nobody has.
func looksLikeAddress(text string) bool {
	if strings.Contains(text, "::") || strings.Count(text, ":") > 1 || strings.Contains(text, "/") {
		return true
	}
	return strings.Trim(text, "0123456789.") == "" && strings.Contains(text, ".")
}

func parseNet(text string) (subject, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return subject{}, fmt.Errorf("%s is not an IP address such as 10.9.0.7 or fd00::7", quote(text))
		}
		a = a.Unmap()
		return subject{kind: byNet, net: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	n, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return subject{}, fmt.Errorf("%s is not a network such as 10.9.0.0/28 or fd00:9::/64", quote(text))
	case n.Addr().Is4In6():
		return subject{}, fmt.Errorf("%s is an IPv4 network in disguise, expected the form 10.9.0.0/28", quote(text))
	case n != n.Masked():
		return subject{}, fmt.Errorf("%s is an address within a network; the network is %v, the host alone %v", quote(text), n.Masked(), n.Addr())
	}
	return subject{kind: byNet, net: n}, nil
}

// isPlainName reports whether s can be written without quotes: a label that
// nobody takes for an address.
func isPlainName(s string) bool { return isLabel(s) && !looksLikeAddress(s) }

// isLabel reports whether s consists of letters in lower case, digits, ".", "_"
// and "-", the first a letter or digit.
func isLabel(s string) bool {
	if s == "" || strings.IndexByte("._-", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isWordByte(c) || strings.IndexByte("*/:", c) >= 0 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

func isReserved(s string) bool {
	return slices.Contains(reserved, s)
}

// lowerASCII is strings.ToLower for ASCII only: names are compared so (RFC
// 4343), and no letter of another script becomes one of ASCII.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
