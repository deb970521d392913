package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzReason: whatever a server has said of us, /readyz tells it in one line of text,
// of which no terminal and no log makes anything else.
func FuzzReason(f *testing.F) {
	for _, s := range []string{"", "the server is full", "\x1b[2J\r\n\r\n<script>", "\xff\xfe", strings.Repeat("é", maxReason), "\u202e\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, reason string) {
		w := httptest.NewRecorder()
		tell(w, 503, reason)
		got := w.Body.String()
		line, ended := strings.CutSuffix(got, "\n")
		if !ended || !utf8.ValidString(line) || len(line) > maxReason {
			t.Fatalf("%q becomes %q", reason, got)
		}
		for _, c := range line {
			if !unicode.IsPrint(c) {
				t.Errorf("%q becomes %q, with %U", reason, got, c)
			}
		}
	})
}
