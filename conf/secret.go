package conf

import (
	"fmt"
	"runtime"
	"strings"
)

// notShown stands for a password wherever a value is shown.
const notShown = "(not shown)"

// hider returns what hides the passwords in values of a key; nil: there are none. It goes
// by the name, which may be in the wrong section.
func hider(key string) func(string) string {
	switch key {
	case "relay":
		return hideWords
	case "http_proxy":
		return hideUser
	}
	return nil
}

// hideWords hides the password of SERVER USER PASSWORD: all from the third word on, and
// the second if it is the last, since the user may have been forgotten.
func hideWords(text string) string {
	words := strings.Fields(text)
	if len(words) == 0 {
		return text
	}
	server := hideUser(words[0])
	if len(words) < 2 {
		return server
	}
	if len(words) == 2 {
		return server + " " + notShown
	}
	return server + " " + words[1] + " " + notShown
}

// hideUser hides the password of [SCHEME:][//]USER:PASSWORD@HOST. All up to the last @
// may belong to it: a password that should have been escaped has one, or a slash.
func hideUser(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	before, after := text[:at], text[at:]
	scheme := ""
	if s, rest, ok := strings.Cut(before, "://"); ok {
		scheme, before = s+"://", rest
	}
	user, _, _ := strings.Cut(before, ":")
	return scheme + user + ":" + notShown + after
}

// Shown returns the raw value of a key of the section, or a part of it, as people may
// see it: without passwords.
func (s *Section) Shown(key, raw string) string {
	if hide := hider(key); hide != nil {
		return hide(raw)
	}
	if s != nil && s.used[key] && s.composed() {
		return notShown // the password of another key, or a part of it
	}
	// A relay or a proxy whose key was mistaken.
	switch scheme, _, _ := strings.Cut(raw, ":"); strings.ToLower(scheme) {
	case "turn", "turns":
		return hideWords(raw)
	case "http", "https":
		return hideUser(raw)
	}
	return raw
}

// composed reports whether values with passwords are put together from those of other
// keys of the section.
func (s *Section) composed() bool {
	for _, st := range s.Settings {
		if hider(st.Name) == nil {
			continue
		}
		for i := range st.Values {
			if strings.Contains(st.Values[i].Raw, "${") {
				return true
			}
		}
	}
	return false
}

// section returns the section of the value's key.
func (a *assignment) section() *Section { return a.decoder.file.Section(a.key.Section) }

// secret notes that the value has a password, which is no secret if everybody can read
// the file.
func (a *assignment) secret() {
	d := a.decoder
	if mode := d.mode; a.value != nil && mode&0o077 != 0 && runtime.GOOS != "windows" {
		d.report.add(Problem{
			Pos: a.value.Pos, Section: a.key.Section, Key: a.key.Name,
			Text: fmt.Sprintf("other users may read the password of %s (mode %04o)", a.key.Name, mode),
			Hint: "run: chmod 600 " + plain(d.file.Name),
		})
	}
}
