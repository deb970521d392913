package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
)

// TestSystemCalls: the units' filters of system calls let through what the programs do:
// a client that opens a tunnel, carries data and is reloaded, and the server.
func TestSystemCalls(t *testing.T) {
	t.Parallel()
	strace := testenv.Tool(t, "strace", "strace")
	m := newMesh(t, lab.PortRestricted, lab.None)
	a, b := m.peers[0], m.peers[1]
	if err := m.rdv.Stop(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	trace := func(h *lab.Host, name string, args ...string) *lab.Process {
		t.Helper()
		args = append([]string{"-f", "-c", "-o", filepath.Join(dir, name), filepath.Join(binaries, name), "-d", "--log-format", "json"}, args...)
		p, err := h.Start(name+".traced", strace, args...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	m.rdv = trace(m.server, "campagnol_rdv")
	m.await(m.rdv, "Server listening")
	a.process = trace(a.Host, "campagnol", a.conf)
	m.await(a.process, "Registration complete")
	b.start()
	a.ping(b, 20)
	since := time.Now()
	signalTraced(t, a.process, syscall.SIGHUP)
	m.awaitSince(a.process, since, "reloading the configuration")
	a.ping(b, 3)
	for _, p := range []*lab.Process{a.process, m.rdv} {
		signalTraced(t, p, syscall.SIGTERM)
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantAllowed(t, "campagnol.service", filepath.Join(dir, "campagnol"))
	wantAllowed(t, "campagnol_rdv.service", filepath.Join(dir, "campagnol_rdv"))
}

// signalTraced sends a signal to the program that strace has started.
func signalTraced(t *testing.T, p *lab.Process, s syscall.Signal) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(b) + " none")[0])
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// allowedCalls returns the system calls that a unit allows, by their names.
func allowedCalls(t *testing.T, analyze, unit string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", "systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		filter, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		names, refused := strings.CutPrefix(filter, "~")
		for name := range strings.FieldsSeq(names) {
			for _, call := range expand(t, analyze, name) {
				calls[call] = !refused
			}
		}
	}
	return calls
}

// expand returns the system calls of a set, which may name others.
func expand(t *testing.T, analyze, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command(analyze, "--no-pager", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && line != name && !strings.HasPrefix(line, "#") {
			calls = append(calls, expand(t, analyze, line)...)
		}
	}
	return calls
}

// harmless are system calls that a unit refuses, and of which the programs make no use
// if they fail: Go raises the limit of open files at the start.
var harmless = []string{"prlimit64", "setrlimit", "sched_setaffinity"}

// wantAllowed checks that a unit allows what a program did, of which strace has written
// a summary to file.
func wantAllowed(t *testing.T, name, file string) {
	t.Helper()
	calls := allowedCalls(t, testenv.Tool(t, "systemd-analyze", "systemd"), name)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// 12.34    0.001234    12    100    3 futex
	row := regexp.MustCompile(`(?m)^\s*[0-9.]+\s.*\s([a-z_0-9]+)$`)
	seen := 0
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		call := m[1]
		if call == "total" {
			continue
		}
		seen++
		// strace follows the program from before it begins.
		if !calls[call] && call != "execve" && !slices.Contains(harmless, call) {
			t.Errorf("%s refuses %s, which the program uses", name, call)
		}
	}
	if seen < 20 {
		t.Errorf("only %d system calls were seen:\n%s", seen, b)
	}
}
