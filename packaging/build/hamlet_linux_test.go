package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// A hamlet is a laboratory of clean Debian machines: a server with a public address,
// rdv.example.org, and hosts behind NATs of their own. Nothing of the project is on
// them but the package, in /root.
type hamlet struct {
	t      *testing.T
	lab    *lab.Lab
	base   string // of the machines' system
	files  []string
	names  map[string]string // in /etc/hosts
	shells map[string]*lab.Shell
	nats   map[string]*lab.NAT
}

const serverName = "rdv.example.org"

// usual is what a usual Debian host has and the smallest one lacks.
var usual = []string{"iputils-ping"}

// newHamlet makes the laboratory and its server. files are what was copied to each of the
// machines.
func newHamlet(t *testing.T, files ...string) *hamlet {
	t.Helper()
	testenv.Root(t)
	h := &hamlet{t: t, base: cachedDebian(t, usual), files: files, shells: map[string]*lab.Shell{}, nats: map[string]*lab.NAT{}}
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.lab = l
	t.Cleanup(func() {
		for _, s := range h.shells {
			s.Close()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	server, err := l.AddHost("rdv", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.names = map[string]string{serverName: server.Addr().String()}
	h.settle(serverName, server)
	return h
}

// settle gives a host its system.
func (h *hamlet) settle(name string, host *lab.Host) {
	h.t.Helper()
	s, err := host.Shell(lab.ShellOptions{Root: h.base, Files: h.files, Hosts: h.names})
	if err != nil {
		h.t.Fatal(err)
	}
	h.shells[name] = s
	// As the machine of somebody who has no mirror at hand: a package has to be enough.
	h.run(name, "rm -rf /var/lib/apt/lists/*")
}

// host adds a host behind a NAT of its own.
func (h *hamlet) host(name string, kind lab.Kind) {
	h.t.Helper()
	nat, err := h.lab.AddNAT("nat_"+name, lab.NATOptions{Kind: kind})
	if err != nil {
		h.t.Fatal(err)
	}
	host, err := h.lab.AddHost(name, nat)
	if err != nil {
		h.t.Fatal(err)
	}
	h.nats[name] = nat
	h.settle(name, host)
}

// machineTime is how long a command may take.
const machineTime = 2 * time.Minute

// try runs a command line on a machine, and returns what it prints.
func (h *hamlet) try(on, line string) (string, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), machineTime)
	defer cancel()
	shell := h.shells[on]
	if shell == nil {
		h.t.Fatalf("%q is to be typed on %q, which is none of the machines", line, on)
	}
	out, err := shell.Run(ctx, line)
	h.t.Logf("%s# %s\n%s", on, line, out)
	return out, err
}

// run is try for a line that has to succeed.
func (h *hamlet) run(on, line string) string {
	h.t.Helper()
	out, err := h.try(on, line)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// quiet is run for a line that is typed again and again.
func (h *hamlet) quiet(on, line string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), machineTime)
	defer cancel()
	out, err := h.shells[on].Run(ctx, line)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// watch runs a line that goes on until somebody presses Ctrl-C, who does so when all of
// the words have been shown.
func (h *hamlet) watch(on, line string, words ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), machineTime)
	defer cancel()
	out, err := h.shells[on].Watch(ctx, line, func(text string) bool { return len(lacking(text, words)) == 0 })
	h.t.Logf("%s# %s\n%s", on, line, out)
	if err != nil {
		h.t.Fatalf("%v: %q are not shown", err, lacking(out, words))
	}
	return out
}

// wants makes sure that a text has all of the words.
func (h *hamlet) wants(text string, words ...string) {
	h.t.Helper()
	for _, w := range lacking(text, words) {
		h.t.Errorf("%q is not said", w)
	}
}

// lacking returns the words that are not in a text. Lines are not told apart: where they
// are broken depends on the width.
func lacking(text string, words []string) (missing []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, w := range words {
		if !strings.Contains(text, w) {
			missing = append(missing, w)
		}
	}
	return missing
}

// eventually waits until ok holds, which has to happen within a time.
func (h *hamlet) eventually(within time.Duration, what string, ok func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("after %v it is not so that %s", within, what)
		}
	}
}

// buildAsTyped types a command line that makes packages at the top of a copy of the source
// tree, and returns the path of the one that matches a pattern.
func buildAsTyped(t *testing.T, line, pattern string) string {
	t.Helper()
	testenv.Root(t)
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	layer, out := t.TempDir(), t.TempDir()
	// A layer over the source tree, which takes what is written, at the same place: what
	// was compiled before counts.
	const script = `set -e
mount -t tmpfs tmpfs "$2"; mkdir "$2/upper" "$2/work"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$1"
cd "$1"; eval "$4"; cp -r "$2/upper/." "$3"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, layer, out, line)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1800000000")
	text, err := cmd.CombinedOutput()
	t.Logf("$ %s\n%s", line, text)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	found, err := filepath.Glob(filepath.Join(out, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s makes %q, want one file %s", line, found, pattern)
	}
	return found[0]
}

// TestDebian: what a test does to its system stays there, and the next one begins with a
// clean one.
func TestDebian(t *testing.T) {
	const mark = "/etc/campagnol-test"
	for range 2 {
		dir := debian(t, plain...)
		if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
			t.Fatalf("%s is there from the beginning", mark)
		}
		if err := os.WriteFile(filepath.Join(dir, mark), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(cachedDebian(t, plain), mark)); err == nil {
		t.Errorf("%s has got into the system that all share", mark)
	}
}
