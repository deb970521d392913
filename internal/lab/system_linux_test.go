package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSystem: two nodes have the same system, here that of this machine, in which
// each changes what it likes, and neither sees the other's changes, or this machine.
func TestSystem(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	file := filepath.Join(t.TempDir(), "parcel")
	if err := os.WriteFile(file, []byte("what was sent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shells := map[string]*Shell{}
	for _, name := range []string{"a", "b"} {
		h := addHost(t, l, name, nil)
		s, err := h.Shell(ShellOptions{Root: "/", Programs: []string{file}, Files: []string{file}, Hosts: map[string]string{"server.example.org": "203.0.113.10"}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		shells[name] = s
	}
	const mark = "campagnol-lab-system-test"
	for _, c := range []struct{ on, line, want string }{
		{"a", "pwd; hostname; id -un; tty || true", "/root\na\nroot\nnot a tty\n"},
		{"b", "hostname", "b\n"},
		{"a", "cat parcel /usr/local/bin/parcel", "what was sent\nwhat was sent\n"},
		{"a", "cat /etc/hosts", "127.0.0.1 localhost\n203.0.113.10 server.example.org\n"},
		{"a", "test -e /etc/resolv.conf || echo none", "none\n"},
		{"a", "cat /sys/class/net/lo/type", "772\n"},
		{"a", "echo x >/dev/null && head -c 3 /dev/zero | wc -c && test -c /dev/net/tun && echo tun", "3\ntun\n"},
		{"a", "for d in /etc /usr/bin /var/lib /run /root; do echo x > $d/" + mark + " || echo not in $d; done", ""},
		{"b", "cd /; cat etc/" + mark + " usr/bin/" + mark + " var/lib/" + mark + " run/" + mark + " root/" + mark + " 2>/dev/null | wc -l", "0\n"},
		{"a", "cd /; cat etc/" + mark + " usr/bin/" + mark + " var/lib/" + mark + " run/" + mark + " root/" + mark + " 2>/dev/null | wc -l", "5\n"},
		{"a", "env | cut -d= -f1 | sort | tr '\\n' ' '", "HOME LANG PATH PWD TERM "},
	} {
		if got, err := shells[c.on].Run(t.Context(), c.line); err != nil || got != c.want {
			t.Errorf("on %s: %s: %q, %v, want %q", c.on, c.line, got, err, c.want)
		}
	}
	for _, dir := range []string{"/etc", "/usr/bin", "/var/lib", "/run", "/root"} {
		if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
			t.Errorf("%s/%s is outside of the lab", dir, mark)
		}
	}
	if _, err := addHost(t, l, "c", nil).Shell(ShellOptions{Root: "/no/such/system"}); err == nil || !strings.Contains(err.Error(), "/no/such/system") {
		t.Errorf("a system that is not there: %v", err)
	}
}

// TestWatch: a command is interrupted once it has said enough, and told apart from one
// that ends too early, or says it never.
func TestWatch(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	s, err := addHost(t, l, "a", nil).Shell(ShellOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const clock = "trap 'echo interrupted; exit 3' INT; i=0; while :; do i=$((i+1)); echo look $i; sleep 0.05; done"
	out, err := s.Watch(t.Context(), clock, func(text string) bool { return strings.Contains(text, "look 3\n") })
	if err != nil || !strings.Contains(out, "look 3\n") || !strings.HasSuffix(out, "interrupted\n") {
		t.Errorf("%q, %v, want it to be interrupted after the third look", out, err)
	}
	never := func(string) bool { return false }
	if out, err := s.Watch(t.Context(), "echo one; exit 4", never); err == nil || out != "one\n" {
		t.Errorf("one that ends: %q, %v, want an error", out, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Watch(short, "exec sleep 1000", never); err == nil {
		t.Error("one that does not end has no error")
	}
}
