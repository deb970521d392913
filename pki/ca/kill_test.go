package ca

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
)

// killVariable makes the test program the victim of TestKill: it names a
// directory, and the program issues certificates there until it is killed.
const killVariable = "CAMPAGNOL_TEST_KILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killVariable); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(killServiceVariable); dir != "" {
		fmt.Fprintln(os.Stderr, serviceVictim(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim issues, revokes and makes lists for ever. It says what it has finished.
func victim(dir string) error {
	c, err := Open(dir, Files{})
	if err != nil {
		return err
	}
	addr := netip.MustParseAddr("10.9.0.1")
	for i := 0; ; i++ {
		name := fmt.Sprintf("p%d-%d", os.Getpid(), i)
		if _, err := c.Issue(now, rand.Reader, Request{Name: name, Addrs: []netip.Addr{addr}, Force: true}); err != nil {
			return err
		}
		fmt.Println("issued", name)
		if i%2 == 0 {
			if _, err := c.Revoke(now, name, ""); err != nil {
				return err
			}
			fmt.Println("revoked", name)
			if _, err := c.CRL(now, rand.Reader, 0); err != nil {
				return err
			}
		}
		addr = addr.Next()
	}
}

// TestKill kills programs that work on a CA, two at a time, again and again. It
// must stay usable, and keep what was finished.
func TestKill(t *testing.T) {
	c := newCA(t)
	write(t, c.Files.Serial, "01\n")
	var finished []string
	for range 8 {
		outputs := make(chan []string)
		for range 2 {
			// On the real clock: the moment of death is the point.
			after := time.Duration(50+mathrand.IntN(100)) * time.Millisecond
			go func() { outputs <- runVictim(t, c.Dir, after) }()
		}
		for range 2 {
			finished = append(finished, <-outputs...)
		}
		c = reopen(t, c)
	}
	list, err := c.List(now)
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]Status{}
	for _, e := range list {
		status[e.Name] = e.Status
	}
	for _, line := range finished {
		what, name, _ := strings.Cut(line, " ")
		switch got := status[name]; {
		case got == "":
			t.Errorf("%q: the certificate is not in the index", line)
		case what == "revoked" && got != Revoked:
			t.Errorf("%q: the certificate is %s", line, got)
		}
	}
	if len(finished) == 0 {
		t.Error("the programs were killed before they did anything")
	}
	checkWhole(t, c)
}

// runVictim runs a victim, kills it, and returns what it had finished.
func runVictim(t *testing.T, dir string, after time.Duration) []string {
	exe, err := os.Executable()
	if err != nil {
		t.Error(err)
		return nil
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return nil
	}
	var lines []string
	s := bufio.NewScanner(out)
	if s.Scan() { // count from when it works
		lines = append(lines, s.Text())
		time.AfterFunc(after, func() { cmd.Process.Kill() })
	}
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	cmd.Wait() // it was killed
	return lines
}

// checkWhole checks that a CA contradicts itself nowhere, and still works.
func checkWhole(t *testing.T, c *CA) {
	t.Helper()
	list, err := c.List(now)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]Entry{}
	for _, e := range list {
		known[e.Serial] = e
	}
	files, err := filepath.Glob(filepath.Join(c.Files.Certs, "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if e := known[strings.TrimSuffix(filepath.Base(f), ".pem")]; e.File != f {
			t.Errorf("%s is not in the index: it could not be revoked", f)
		}
	}
	out := issue(t, c, "after", "10.8.0.1")
	if _, err := pki.LoadIdentity(out.CertFile, out.KeyFile); err != nil {
		t.Error(err)
	}
	l, err := c.CRL(now, rand.Reader, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{c.Dir, c.Files.Certs} {
		if left, err := filepath.Glob(filepath.Join(dir, ".*.tmp-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: c.Files.Cert, CRLFile: l.File}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.File == "" {
			continue
		}
		certs, err := pki.LoadCertificates(e.File)
		if err != nil {
			t.Error(err)
			continue
		}
		_, err = p.Verify(now, [][]byte{certs[0].Raw}, pki.Client)
		var r *pki.Refusal
		if errors.As(err, &r); (e.Status == Revoked) != (r != nil && r.Reason == pki.Revoked) || e.Status == Valid && err != nil {
			t.Errorf("%s is %s in the list, and a peer says %v", e.Name, e.Status, err)
		}
	}
}

// TestLayouts opens directories with the names of other programs.
func TestLayouts(t *testing.T) {
	for _, l := range []struct {
		name   string
		rename map[string]string
		want   Files
	}{
		{"easy-rsa", map[string]string{"cacert.pem": "ca.crt", "private/cakey.pem": "private/ca.key", "certs": "certs_by_serial"},
			Files{Cert: "ca.crt", Key: "private/ca.key", Certs: "certs_by_serial", Index: "index.txt"}},
		{"instructions", map[string]string{"private/cakey.pem": "private/ca.key.pem", "certs": "newcerts", "cacert.pem": "newcerts/ca.cert.pem", "newcerts/ca.cert.pem": "certs/ca.cert.pem"},
			Files{Cert: "certs/ca.cert.pem", Key: "private/ca.key.pem", Certs: "newcerts", Index: "index.txt"}},
		{"short", map[string]string{"cacert.pem": "ca.pem"}, Files{Cert: "ca.pem", Key: "private/cakey.pem", Certs: "certs", Index: "index.txt"}},
	} {
		t.Run(l.name, func(t *testing.T) {
			c := newCA(t)
			for _, from := range []string{"private/cakey.pem", "certs", "cacert.pem", "newcerts/ca.cert.pem"} {
				to, ok := l.rename[from]
				if !ok {
					continue
				}
				if err := os.MkdirAll(filepath.Join(c.Dir, filepath.Dir(to)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(c.Dir, from), filepath.Join(c.Dir, to)); err != nil {
					t.Fatal(err)
				}
			}
			c = reopen(t, c)
			for _, f := range []struct{ got, want string }{{c.Files.Cert, l.want.Cert}, {c.Files.Key, l.want.Key}, {c.Files.Certs, l.want.Certs}, {c.Files.Index, l.want.Index}} {
				if want := filepath.Join(c.Dir, f.want); f.got != want {
					t.Errorf("file %s, want %s", f.got, want)
				}
			}
			out := issue(t, c, "alice", "10.9.0.1")
			if _, err := os.Stat(filepath.Join(c.Dir, l.want.Certs, out.Serial+".pem")); err != nil {
				t.Error(err)
			}
			if _, err := verify(t, out, c.Files.CRL); err != nil {
				t.Error(err)
			}
		})
	}
}
