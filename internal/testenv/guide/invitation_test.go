package guide

import (
	"strings"
	"testing"
)

func TestInvitations(t *testing.T) {
	i := Invitations{}
	i.Note(t, "campagnol ca invite alice --ip 10.9.0.1", "invited alice; run\n\ncampagnol join \\\ncampagnol-aa22\n")
	i.Note(t, "campagnol ca invite --quiet bob", "campagnol-bb33\n")
	i.Note(t, "campagnol ca init", "nothing")
	for _, c := range []struct{ host, line, want string }{
		{"alice", "campagnol join TOKEN", "campagnol join campagnol-aa22"},
		{"bob", "campagnol join --no-start TOKEN", "campagnol join --no-start campagnol-bb33"},
		{"carol", "campagnol status", "campagnol status"},
	} {
		if got := i.Fill(t, c.host, c.line); got != c.want {
			t.Errorf("%s types %q as %q, want %q", c.host, c.line, got, c.want)
		}
	}
	for what, f := range map[string]func(w *witness){
		`nobody has invited carol`:           func(w *witness) { i.Fill(w, "carol", "campagnol join TOKEN") },
		`there is no token in "used"`:        func(w *witness) { i.Note(w, "campagnol ca invite carol", "used") },
		`"campagnol ca invite --quiet" invi`: func(w *witness) { i.Note(w, "campagnol ca invite --quiet", "campagnol-cc44") },
	} {
		w := &witness{TB: t}
		f(w)
		if len(w.said) == 0 || !strings.Contains(w.said[0], what) {
			t.Errorf("got %q, want it to begin with %q", w.said, what)
		}
	}
}
