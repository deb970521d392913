package guide

import (
	"strings"
	"testing"
)

// Invitations are tokens that commands have printed, by the hosts that they invite. In
// a document TOKEN stands for the one of the host on which a command is typed.
type Invitations map[string]string

// Note keeps the token that a command has printed, if it has invited a host.
func (i Invitations) Note(t testing.TB, line, printed string) {
	t.Helper()
	_, args, ok := strings.Cut(line, "campagnol ca invite ")
	if !ok {
		return
	}
	for _, word := range strings.Fields(args) {
		if !strings.HasPrefix(word, "-") { // options with values are behind the name
			i[word] = Token(t, printed)
			return
		}
	}
	t.Fatalf("%q invites nobody", line)
}

// Fill returns a command line as it is typed on a host.
func (i Invitations) Fill(t testing.TB, host, line string) string {
	t.Helper()
	if !strings.Contains(line, "TOKEN") {
		return line
	}
	if i[host] == "" {
		t.Fatalf("%q: nobody has invited %s", line, host)
	}
	return strings.ReplaceAll(line, "TOKEN", i[host])
}

// Token returns the token in what an invitation prints.
func Token(t testing.TB, printed string) string {
	t.Helper()
	for _, word := range strings.Fields(printed) {
		if strings.HasPrefix(word, "campagnol-") {
			return word
		}
	}
	t.Fatalf("there is no token in %q", printed)
	return ""
}
