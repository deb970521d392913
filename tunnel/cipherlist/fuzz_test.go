package cipherlist

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"campagnol/tunnel/record"
)

func FuzzParse(f *testing.F) {
	for _, list := range []string{
		"", ":", "DEFAULT@SECLEVEL=2", "ECDHE+AESGCM:!aNULL", "HIGH:-AES128:+CHACHA20:@STRENGTH", "AES256-SHA:NULL",
		"SUITEB128:x", "FOO:!é\x00", "HIGH!", "HIGH++", "@SECLEVEL=5:AES128", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, DEFAULT",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, warnings, err := Parse(list)
		if (err != nil) == (len(got) > 0) {
			t.Errorf("got suites %v and error %v", got, err)
		}
		if len(warnings) > maxProblems+3 {
			t.Errorf("%d warnings", len(warnings))
		}
		if err != nil {
			if warnings != nil {
				t.Errorf("warnings %q beside an error", warnings)
			}
			warnings = []string{err.Error()}
		}
		for _, w := range warnings {
			// Every problem shows a few elements, each shortened and escaped.
			if len(w) > maxProblems*maxElements*8*maxQuote {
				t.Errorf("a text of %d bytes", len(w))
			}
			if !utf8.ValidString(w) || strings.IndexFunc(w, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
				t.Errorf("a text that cannot be shown: %q", w)
			}
		}
		for i, s := range got {
			if !s.Known() || slices.Contains(got[:i], s) {
				t.Errorf("suite %d of %v is not known, or is there twice", i, got)
			}
		}
		if err == nil {
			checkWritten(t, got)
		}
	})
}

// checkWritten checks that a list with just the names of suites gives them, in
// this order.
func checkWritten(t *testing.T, want []record.Suite) {
	t.Helper()
	var names []string
	for _, s := range want {
		names = append(names, s.String())
	}
	got, warnings, err := Parse(strings.Join(names, ":"))
	if err != nil || len(warnings) > 0 || !slices.Equal(got, want) {
		t.Errorf("%q gives %v, %q, %v", names, got, warnings, err)
	}
}
