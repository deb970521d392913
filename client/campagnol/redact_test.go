package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
)

// A configuration with secrets at every place where there may be one.
const secretConfig = `# comment hush-comment
[NETWORK]
server_host = rdv.example.org ; hush-trailing
password = hush-unknown
[SECURITY]
key = /etc/campagnol/key.pem
-----BEGIN PRIVATE KEY-----
hush-pem-MIIEvQIBADANBgkqhkiG9w0BAQ=
-----END PRIVATE KEY-----
[COMMANDS]
default_up = no
up = "curl -u user:hush-command https://x"
[VARIABLES]
x = hush-variable
[hush-section]
hush-key = hush-value
`

// TestRedactConfig: of a configuration only what is known to be no secret is left, and
// what was left out is left out everywhere else.
func TestRedactConfig(t *testing.T) {
	r := newRedactor(false)
	got := r.config("x.conf", []byte(secretConfig))
	for _, want := range []string{`[SECURITY] key = "/etc/campagnol/key.pem"`, "[COMMANDS] up = (left out)", "server_host"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "hush-") {
		t.Errorf("secrets in\n%s", got)
	}
	log := r.text("running curl -u user:hush-command https://x\n'password' = 'hush-unknown' hush-variable hush-value hush-key\n" +
		"x.conf:7: \"hush-pem-MIIEvQIBADANBgkqhkiG9w0BAQ\" has no value; rdv.example.org ; hush-trailing")
	if strings.Contains(log, "hush-") {
		t.Errorf("secrets in\n%s", log)
	}
}

// TestRedactText: what looks like a secret goes, wherever it is; the rest stays.
func TestRedactText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nothing special: 10.9.0.2:500", "nothing special: 10.9.0.2:500"},
		{"password=hush x", "password=(left out) x"},
		{`"Token": "hu sh\" hush", "a": 1`, `"Token": (left out), "a": 1`},
		{"api_key: 'hush hush' b", "api_key: (left out) b"},
		{"a -----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY----- b", "a (left out) b"},
		{"cut -----BEGIN PRIVATE KEY-----\nhush", "cut (left out)"},
		{"-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----"},
	} {
		if got := newRedactor(false).text(c.text); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.text, got, c.want)
		}
	}
}

// TestRedactAnonymous: addresses and names are replaced, each always by the same, and by
// another in the next report.
func TestRedactAnonymous(t *testing.T) {
	r := newRedactor(true)
	r.hide([]string{"bob", "bobby", "", "x"})
	text := "bobby and bob at 203.0.113.7:500, 203.0.113.7/32, [2001:db8::7]:500, 2001:db8::7, ::ffff:203.0.113.7, 02:00:5e:10:00:07 at 12:30:45 of 127.0.0.1 and 0.0.0.0, go1.26.8."
	got := r.text(text)
	for _, gone := range []string{"bob", "203.0.113.7", "2001:db8", "5e:10"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is in %s", gone, got)
		}
	}
	for _, stays := range []string{"127.0.0.1", "0.0.0.0", "go1.26.8.", "12:30:45", ":500"} {
		if !strings.Contains(got, stays) {
			t.Errorf("%s is not in %s", stays, got)
		}
	}
	v4 := "ip4-" + r.mark("203.0.113.7")
	if strings.Count(got, v4) != 3 || r.text(text) != got || newRedactor(true).mark("203.0.113.7") == r.mark("203.0.113.7") {
		t.Errorf("%s is not three times in %s, or is not the same in a report and another in the next", v4, got)
	}
}

// FuzzRedact: what is a secret is not in the result, whatever is around it.
func FuzzRedact(f *testing.F) {
	f.Add([]byte(secretConfig), "some hush-command text")
	f.Add([]byte("[A]\nb=cdefg\\\nhi\n"), "cdefg")
	f.Add([]byte("[COMMANDS]\nup=\"-----BEGIN PRIVATE KEY-----\""), "::1:2.3.4.5")
	f.Fuzz(func(t *testing.T, config []byte, text string) {
		r := newRedactor(true)
		r.config("x", config)
		got := r.text(text)
		for _, secret := range r.secrets {
			if strings.Contains(got, secret) && !strings.Contains(redacted+"ip4-ip6-mac-name-", secret) && !strings.Contains(secret, "left") && strings.Contains(text, secret) && len(secret) > 12 {
				t.Errorf("%q is in %q", secret, got)
			}
		}
	})
}

// TestBugReportFiles: an archive, or text, with the contents first, for the owner alone,
// and in place of nothing.
func TestBugReportFiles(t *testing.T) {
	r := &control.BugReport{Version: "1", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Files: []control.BugReportFile{
		{Name: "contents.txt", Text: "all\n"}, {Name: "../../etc/passwd", Text: "x\x1b[2J\ty\n"}}}
	dir := t.TempDir()
	var out bytes.Buffer
	file := filepath.Join(dir, "r.tar.gz")
	if err := saveBugReport(&out, r, file); err != nil || !strings.HasPrefix(out.String(), file+" was written: read it") {
		t.Fatalf("%v, %s", err, &out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	const folder = "campagnol-bugreport-20260301-120000/"
	if got := strings.Join(names, " "); got != folder+"contents.txt "+folder+"passwd" {
		t.Errorf("the archive has %s", got)
	}
	var h interface{ Hint() string }
	if err := saveBugReport(&out, r, file); err == nil || !strings.Contains(err.Error(), "exists already") || !errors.As(err, &h) {
		t.Errorf("a file that exists: %v", err)
	}
	if err := saveBugReport(&out, r, filepath.Join(dir, "no", "r.txt")); !errors.As(err, &h) || h.Hint() == "" {
		t.Errorf("a folder that does not exist: %v", err)
	}
	out.Reset()
	if err := saveBugReport(&out, r, "-"); err != nil || out.String() != "==== contents.txt\nall\n==== ../../etc/passwd\nx?[2J    y\n" {
		t.Errorf("as text: %v, %q", err, &out)
	}
}
