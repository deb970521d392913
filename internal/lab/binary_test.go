package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestModulePath(t *testing.T) {
	for _, c := range []struct{ mod, want string }{
		{"module campagnol\n\ngo 1.26.0\n", "campagnol"},
		{"// a comment\nmodule \"campagnol\" // another\n", "campagnol"},
		{"module example.org/other\n", "example.org/other"},
		{"", ""},
		{"module", ""},
		{"modules campagnol", ""},
	} {
		if got := modulePath([]byte(c.mod)); got != c.want {
			t.Errorf("modulePath(%q) = %q, want %q", c.mod, got, c.want)
		}
	}
}

func FuzzModulePath(f *testing.F) {
	f.Add([]byte("module campagnol\n"))
	f.Fuzz(func(t *testing.T, mod []byte) {
		if p := modulePath(mod); strings.ContainsAny(p, " \t\n") {
			t.Errorf("modulePath = %q, which has blanks", p)
		}
	})
}

func TestModuleRoot(t *testing.T) {
	root, err := ModuleRoot() // tests run in the folder of their package
	if err != nil {
		t.Fatal(err)
	}
	if got, want := filepath.Join(root, "internal", "lab"), mustGetwd(t); got != want {
		t.Errorf("the package is in %s, want %s", got, want)
	}
	t.Chdir(t.TempDir())
	if root, err := ModuleRoot(); err == nil {
		t.Errorf("outside of the source tree the module is in %s", root)
	}
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFindBinary looks for a program that is made for the purpose: each place
// in turn has one, and has an impostor before.
func TestFindBinary(t *testing.T) {
	const pkg = "campagnol/prog"
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module campagnol\n\ngo 1.26\n")
	write(t, filepath.Join(root, "prog", "main.go"), "package main\n\nfunc main() {}\n")
	impostors := t.TempDir()
	write(t, filepath.Join(impostors, "prog"), "#!/bin/sh\n")
	dir := t.TempDir()

	t.Chdir(filepath.Join(root, "prog"))
	path := os.Getenv("PATH")
	t.Setenv("PATH", impostors+string(filepath.ListSeparator)+path)
	built, err := FindBinary(t.Context(), pkg, dir) // nothing is beside the test
	if err != nil {
		t.Fatal(err)
	}
	if want := (Binary{filepath.Join(dir, "prog"), "built from " + root}); built != want {
		t.Errorf("with an impostor in PATH: %+v, want %+v", built, want)
	}

	t.Setenv("PATH", dir+string(filepath.ListSeparator)+path)
	got, err := FindBinary(t.Context(), pkg, t.TempDir())
	if want := (Binary{built.Path, "in PATH"}); err != nil || got != want {
		t.Errorf("with the program in PATH: %+v, %v, want %+v", got, err, want)
	}

	// What was installed together is used together, whatever PATH says.
	beside := filepath.Join(t.TempDir(), "prog")
	if err := os.Link(built.Path, beside); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(filepath.Dir(beside), "campagnol")
	got, err = findBinary(t.Context(), pkg, t.TempDir(), exe)
	if want := (Binary{beside, "beside " + exe}); err != nil || got != want {
		t.Errorf("with the program beside: %+v, %v, want %+v", got, err, want)
	}
	if !builtFrom(built.Path, pkg) || builtFrom(built.Path, ServerPackage) || builtFrom(filepath.Join(impostors, "prog"), pkg) {
		t.Error("builtFrom does not tell programs apart")
	}
}

func TestFindBinaryFails(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := FindBinary(t.Context(), "campagnol/no_such_prog", t.TempDir())
	var h interface{ Hint() string }
	if err == nil || !errors.As(err, &h) || !strings.Contains(h.Hint(), "go run ./client/campagnol lab") {
		t.Errorf("a program that is nowhere: error %v, want one that says what to do", err)
	}
	if want := "no_such_prog is neither beside this program nor in PATH"; err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not say %q", err, want)
	}
}

func TestBuildFails(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module campagnol\n")
	write(t, filepath.Join(root, "prog", "main.go"), "package main\n\nfunc main() { undefinedName() }\n")
	_, err := Build(t.Context(), root, "campagnol/prog", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "undefinedName") {
		t.Errorf("a program with an error: %v, want what the compiler says", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, root, "campagnol/prog", t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("a build that was interrupted: %v, want %v", err, context.Canceled)
	}
	if runtime.GOOS == "linux" {
		t.Setenv("PATH", t.TempDir())
		var h interface{ Hint() string }
		if _, err := Build(t.Context(), root, "campagnol/prog", t.TempDir()); !errors.As(err, &h) || !strings.Contains(h.Hint(), "install Go") {
			t.Errorf("without Go: %v, want a hint to install it", err)
		}
	}
}

// write makes a file and its folder; scripts are executable.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
