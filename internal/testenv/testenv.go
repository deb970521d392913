// Package testenv tells tests what the machine has. A test that lacks a tool or
// a privilege is skipped on a developer's machine, with the reason, and fails in
// CI (CI=true): there, nothing may go untested in silence.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program. Without it the test is skipped, naming the
// Debian package that has it, or fails in CI.
func Tool(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		lack(t, "needs %s (Debian package %s)", program, debianPackage)
	}
	return path
}

// Root skips the test, or fails it in CI, unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "needs root, for network namespaces and TUN devices")
	}
}

// Require skips the test, or fails it in CI, unless ok holds. why is what the
// test needs.
func Require(t testing.TB, ok bool, why string) {
	t.Helper()
	if !ok {
		lack(t, "needs %s", why)
	}
}

// CI reports whether this is a CI run.
func CI() bool { return os.Getenv("CI") == "true" }

func lack(t testing.TB, format string, args ...any) {
	t.Helper()
	if CI() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
