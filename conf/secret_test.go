package conf

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const geheim = "geheim" // the password in all of the following

// TestPasswordsAreNotShown: no message about a file, and no way to print what was read,
// has a password of it, whatever is wrong with its line.
func TestPasswordsAreNotShown(t *testing.T) {
	for _, lines := range []string{
		"relay = turn:host alice geheim",
		"relay = turn:host alice geheim more",
		"relay = turn:host geheim",
		"relay = turn:alice:geheim@host",
		"relay = turn:alice:geheim@host alice geheim",
		"relay = turn:host alice geheim # a comment",
		"relay = turn:host alice #geheim",
		"relay = turn:host alice ;geheim",
		"relay = stun:host alice geheim",
		"relay = turns:host?transport=udp alice geheim",
		"relay = turn:host alice geheim\nrelay = turn:host alice geheim",
		"relay = turn:host alice geheim\nrelay_never = yes",
		"relay = yes geheim",
		"relay = turn:host a geheim" + long(5000),
		"relay = turn:host alice ${pw}\npw = geheim",
		"relay = turn:host alice ${pw}\npw = geheim # geheim",
		"relay = turn:host alice ${pw}\npw = ${first}m\nfirst = gehei",
		"realy = turn:host alice geheim",
		"realy = turn:host alice geheim # comment",
		"http_proxy = http://alice:geheim@proxy:3128",
		"http_proxy = http://alice:geheim@proxy",
		"http_proxy = http://alice:geheim@proxy:3128/path",
		"http_proxy = http://alice:ge/heim@geheim@proxy:3128",
		"http_proxy = http://alice:geheim%zz@proxy:3128",
		"http_proxy = alice:geheim@proxy:3128",
		"http_proxy = http://alice:geheim@proxy:3128 # geheim@",
		"http_prox = http://alice:geheim@proxy:3128",
	} {
		src := []byte(edit(sectionNetwork, "", lines))
		c, problems, err := parseClient("f", src, 0o644)
		text := list(problems) + fmt.Sprint(err)
		if err == nil {
			text += c.Describe(netip.MustParseAddr("192.0.2.1")) + fmt.Sprintf("%v %+v %#v", c.TURN, c.TURN, c.TURN)
		}
		f, _ := Parse("f", src)
		for _, s := range f.Sections {
			for _, st := range s.Settings {
				for i := range st.Values {
					text += "\n" + s.Name + " " + st.Name + " = " + s.Shown(st.Name, st.Values[i].Raw)
				}
			}
		}
		if strings.Contains(text, geheim) {
			t.Errorf("%.80s: the password is in\n%s", lines, text)
		}
	}
}

// TestShown: what is no password is shown.
func TestShown(t *testing.T) {
	for _, c := range []struct{ key, raw, want string }{
		{"relay", "yes", "yes"},
		{"relay", "", ""},
		{"relay", "turn:host:1?transport=tcp", "turn:host:1?transport=tcp"},
		{"relay", "turn:host alice secret", "turn:host alice (not shown)"},
		{"relay", "turn:host alice one two", "turn:host alice (not shown)"},
		{"http_proxy", "http://proxy:3128", "http://proxy:3128"},
		{"http_proxy", "http://alice@proxy:3128", "http://alice:(not shown)@proxy:3128"},
		{"http_proxy", "http://a:b@c:d@proxy:3128", "http://a:(not shown)@proxy:3128"},
		{"server_host", "a@b:c", "a@b:c"},
		{"up", "echo turn:host a b", "echo turn:host a b"},
		{"dir", "/etc/campagnol", "/etc/campagnol"},
	} {
		f, _ := Parse("f", []byte("[NETWORK]\ndir = x\nlocal_host = ${dir}\nrelay = turn:h u p\n"))
		if got := f.Section(sectionNetwork).Shown(c.key, c.raw); got != c.want {
			t.Errorf("%s = %s: shown as %q, want %q", c.key, c.raw, got, c.want)
		}
	}
}

// TestExposedPasswords: a file with a password that others can read is told, with its
// line and what to do; one without is not.
func TestExposedPasswords(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	const relay, proxy = "relay = turn:host alice geheim", "http_proxy = http://alice:geheim@proxy:3128"
	for _, c := range []struct {
		lines string
		mode  os.FileMode
		want  string // of the warnings, with FILE for the file
	}{
		{relay, 0o600, ""},
		{relay, 0o400, ""},
		{relay, 0o644, "warning: FILE:2:9: other users may read the password of relay (mode 0644)\nhint: run: chmod 600 FILE\n"},
		{proxy, 0o640, "warning: FILE:2:14: other users may read the password of http_proxy (mode 0640)\nhint: run: chmod 600 FILE\n"},
		{"http_proxy = http://proxy:3128", 0o644, ""},
		{"relay = yes", 0o644, ""},
	} {
		name := filepath.Join(t.TempDir(), "campagnol.conf")
		if err := os.WriteFile(name, []byte(edit(sectionNetwork, "", c.lines)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, c.mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		_, problems, err := LoadClient(name)
		if got := strings.ReplaceAll(list(problems), name, "FILE"); err != nil || got != c.want {
			t.Errorf("%s, mode %04o: %v, problems\n%s\nwant\n%s", c.lines, c.mode, err, got, c.want)
		}
	}
}

// FuzzShown: of a good value the password is not shown, however it is written.
func FuzzShown(f *testing.F) {
	f.Add("turn:host", "u", "p")
	f.Add("turn:[::1]:5?transport=tcp", "a@b:c", "@ /")
	f.Fuzz(func(t *testing.T, server, user, password string) {
		got, wrong := parseTURN(server + " " + user + " " + password)
		if wrong != "" || len(got.Password) < 12 || strings.Contains(got.URL()+" "+got.User+" "+notShown, got.Password) {
			return // nothing to look for
		}
		if shown := hideWords(server + " " + user + " " + password); strings.Contains(shown, got.Password) {
			t.Errorf("%q is shown as %q", got.Password, shown)
		}
	})
}
