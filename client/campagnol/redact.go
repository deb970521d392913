package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"campagnol/conf"
)

// redacted stands for what nobody else is to see.
const redacted = "(left out)"

// minSecret is how long a text of the configuration is that is looked for elsewhere, in
// bytes. Shorter ones are part of too many words.
const minSecret = 4

// A redactor takes out of texts what nobody else is to see. What is known to be a secret
// goes first, then what looks like one; an anonymous one replaces addresses and names, too,
// always by the same.
type redactor struct {
	secrets   []string // the longest first
	anonymous bool
	salt      []byte
	names     []hiddenName // of hosts and people
}

func newRedactor(anonymous bool) *redactor {
	r := &redactor{anonymous: anonymous, salt: make([]byte, sha256.Size)}
	rand.Read(r.salt)
	return r
}

// longestFirst sorts texts so that none is replaced in part by another before, and leaves
// out those that are too short.
func longestFirst(list []string, least int) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return len(s) < least })
	slices.SortFunc(list, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(list)
}

// What looks like a secret, wherever it is.
var (
	pemPattern    = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|OPENSSH|PGP)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\z)`)
	secretPattern = regexp.MustCompile(`(?i)(pass(?:wd|word|phrase)?|pwd|secret|token|psk|api[_-]?key|authorization)("?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|\S+)`)
)

// text returns s without what is not to be seen.
func (r *redactor) text(s string) string {
	s = pemPattern.ReplaceAllString(s, redacted)
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	s = secretPattern.ReplaceAllString(s, "$1$2"+redacted)
	if !r.anonymous {
		return s
	}
	return r.replace(s)
}

// mark returns what stands for something in this report, and only in this one.
func (r *redactor) mark(s string) string {
	h := hmac.New(sha256.New, r.salt)
	h.Write([]byte(s))
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// config returns a configuration file with the keys that are known and their values, and
// without comments, commands and everything else, of which the values are secrets from
// then on.
func (r *redactor) config(name string, src []byte) string {
	known := map[[2]string]bool{}
	for _, k := range conf.Keys() {
		known[[2]string{k.Section, k.Name}] = true
	}
	file, _ := conf.Parse(name, src)
	var secrets []string
	left := 0
	var b strings.Builder
	for _, section := range file.Sections {
		for _, setting := range section.Settings {
			open := known[[2]string{section.Name, setting.Name}]
			for _, v := range setting.Values {
				if at := strings.IndexAny(v.Raw, "#;"); open && at >= 0 { // somebody took it for a comment
					secrets = append(secrets, strings.TrimSpace(v.Raw[at+1:]))
					v.Raw = v.Raw[:at] + redacted
				}
				if open && section.Name != commandsSection && !secretPattern.MatchString(setting.Name+"="+v.Raw) && !pemPattern.MatchString(v.Raw) {
					fmt.Fprintf(&b, "[%s] %s = %q\n", section.Name, setting.Name, v.Raw)
					continue
				}
				secrets = append(secrets, v.Raw, v.Expanded)
				if !open {
					secrets = append(secrets, setting.Name)
					left++
					continue
				}
				fmt.Fprintf(&b, "[%s] %s = %s\n", section.Name, setting.Name, redacted)
			}
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "# %d settings that nobody knows are left out\n", left)
	}
	r.secrets = longestFirst(append(append(r.secrets, secrets...), strayLines(src)...), minSecret)
	return b.String()
}

// strayLines returns the lines of a configuration that set nothing: what the log says of
// them repeats them.
func strayLines(src []byte) (lines []string) {
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		name, value, isSetting := strings.Cut(line, "=")
		if strings.HasPrefix(line, "[") || isSetting && strings.Trim(value, "= \t") != "" {
			continue
		}
		lines = append(lines, line, strings.TrimSpace(name))
	}
	return lines
}

// commandsSection has commands in it, which may have passwords.
const commandsSection = "COMMANDS"
