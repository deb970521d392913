package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShell: a shell has the node's network and folders of its own, which stay from
// one command to the next and are nobody else's.
func TestShell(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, err := l.AddHost("a", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.AddHost("b", nil)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho hello from \"$PWD\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	shells := map[string]*Shell{}
	for _, h := range []*Host{a, b} {
		s, err := h.Shell(ShellOptions{Programs: []string{program}, Hosts: map[string]string{"server.example.org": "203.0.113.10"}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		shells[h.Name()] = s
	}
	const name = "campagnol-lab-test"
	for _, c := range []struct{ on, line, want string }{
		{"a", "hello", "hello from /root"},
		{"a", "cat /proc/net/fib_trie", a.Addr().String()},
		{"b", "cat /proc/net/fib_trie", b.Addr().String()},
		{"a", "grep example /etc/hosts", "203.0.113.10 server.example.org"},
		{"a", "id -un", "root"},
		{"a", "echo one >/etc/" + name + "; echo two >/run/" + name + "; echo three >/var/lib/" + name, ""},
		{"a", "cat /etc/" + name + " /run/" + name + " /var/lib/" + name, "one\ntwo\nthree"},
		{"b", "ls /etc /run /var/lib | grep " + name + " || echo none", "none"},
		{"a", "sleep 1000 & echo left it", "left it"},
	} {
		got, err := shells[c.on].Run(t.Context(), c.line)
		if err != nil || !strings.Contains(got, c.want) {
			t.Errorf("on %s: %s: %q, %v, want %q", c.on, c.line, got, err, c.want)
		}
	}
	if got, err := shells["a"].Run(t.Context(), "echo why; exit 3"); err == nil || got != "why\n" {
		t.Errorf("a command that fails: %q, %v", got, err)
	}
	for _, dir := range []string{"/etc", "/run", "/var/lib"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s/%s is outside of the lab", dir, name)
		}
	}
}
