//go:build unix

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/testenv/chromium"
)

// TestWebPage looks at the page of a server with a browser: it has its members, one more
// as soon as it registers, and nothing goes wrong.
func TestWebPage(t *testing.T) {
	t.Parallel()
	b := chromium.Start(t)
	port := freeTCP(t)
	p, _ := withClients(t, "--web", fmt.Sprintf("127.0.0.1:%d", port))
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	page := b.Open(chromium.View{Width: 1280, Height: 900})
	page.Go(url)
	var text string
	page.Eval("document.body.innerText", &text)
	for _, want := range []string{"alice", "bob", "10.9.0.2", "campagnol 9.9", "introduced to 10.9.0.3", "3 members, page 1 of 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	var edges int
	page.Eval("document.querySelectorAll('.mesh .edge').length", &edges)
	if edges != 2 {
		t.Errorf("%d introductions are drawn, want 2", edges)
	}
	c := dial(t, "127.0.0.3", "127.0.0.1", p.port)
	c.send("0000000a09000800000000") // HELLO of 10.9.0.8
	c.receive(ok)
	c.stay()
	var there bool
	page.Eval(`new Promise(done => {
		const until = Date.now() + 60000;
		(function look() {
			const there = document.getElementById("member-list").innerText.includes("10.9.0.8");
			if (there || Date.now() > until) done(there); else setTimeout(look, 50);
		})();
	})`, &there)
	if !there {
		t.Error("the page does not show who registers later")
	}
	page.Screenshot("rdv-real", true)
	if problems := page.Problems(); len(problems) > 0 {
		t.Errorf("the browser says\n%s", strings.Join(problems, "\n"))
	}
	for _, r := range page.Requests() {
		if !strings.HasPrefix(r, url) {
			t.Errorf("it loads %s", r)
		}
	}
}

// TestWebPassword: from elsewhere the page is shown by TLS to who has the password.
func TestWebPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("admin:correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freeTCP(t)
	withClients(t, "--web", fmt.Sprintf("0.0.0.0:%d", port), "--web-password-file", file)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it is not of an authority that browsers know
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		password string
		status   int
		page     bool
	}{{"", 401, false}, {"wrong", 401, false}, {"correct horse battery", 200, true}} {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.password != "" {
			r.SetBasicAuth("admin", c.password)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || strings.Contains(string(body), "alice") != c.page || resp.TLS.PeerCertificates[0].Subject.CommonName != "rdv" {
			t.Errorf("password %q: status %d, %d bytes, certificate %v", c.password, resp.StatusCode, len(body), resp.TLS.PeerCertificates[0].Subject)
		}
	}
	if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port)); err == nil {
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode == http.StatusOK || strings.Contains(string(body), "alice") {
			t.Errorf("without TLS: status %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
}

// TestWebRefused: a page that strangers could see, or whose password they could, is not
// shown.
func TestWebRefused(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(f.dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", "admin:correct horse battery", 0o600)
	for _, c := range []struct {
		name string
		args []string
		want []string // in standard error
	}{
		{"elsewhere", []string{"--web", "0.0.0.0:8080"}, []string{"--web 0.0.0.0:8080 can be reached from other hosts, and needs --web-password-file", "hint: ", "ssh -L"}},
		{"without TLS", []string{"--web", "192.0.2.1:8080", "--web-password-file", good}, []string{"needs --certificate or --authority", "reverse proxy"}},
		{"no address", []string{"--web", "8080"}, []string{`--web "8080" is not an IP address with a port`, "127.0.0.1:8080"}},
		{"a name", []string{"--web", "localhost:8080"}, []string{"is not an IP address with a port"}},
		{"no page", []string{"--web-password-file", good}, []string{"has no use without --web"}},
		{"a file for all", []string{"--web", "127.0.0.1:0", "--web-password-file", write("open", "admin:correct horse battery", 0o644)}, []string{"others can read", "hint: chmod 600 "}},
		{"a short one", []string{"--web", "127.0.0.1:0", "--web-password-file", write("short", "admin:secret", 0o600)}, []string{"less than 12 characters", "openssl rand"}},
		{"no user", []string{"--web", "127.0.0.1:0", "--web-password-file", write("nouser", "correct horse battery", 0o600)}, []string{"is not USER:PASSWORD"}},
		{"no file", []string{"--web", "127.0.0.1:0", "--web-password-file", "/nowhere"}, []string{"--web-password-file", "/nowhere"}},
	} {
		_, stderr, code := command(t, append(c.args, "-p", fmt.Sprint(freePort(t)), "--control-socket", "none")...)
		if code != 1 {
			t.Errorf("%s: exit status %d, want 1", c.name, code)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: %q is missing in %q", c.name, want, stderr)
			}
		}
	}
}
