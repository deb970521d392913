package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// made is a tree for this machine, which takes a while to build, and whose it is.
var made struct {
	once sync.Once
	b    *build
	t    *tree
	err  error
}

// treeForTests returns a build, and what it installs on amd64. Packages go to a folder
// of the test.
func treeForTests(t *testing.T) (*build, *tree) {
	t.Helper()
	made.once.Do(func() {
		b := &build{version: "1.0.0-test", at: time.Unix(1_800_000_000, 0).UTC()}
		if b.root, made.err = moduleRoot(t.Context()); made.err != nil {
			return
		}
		if b.work, made.err = os.MkdirTemp("", "campagnol-build-test-"); made.err != nil {
			return
		}
		made.b = b
		made.t, made.err = b.tree(t.Context(), "amd64")
	})
	if made.err != nil {
		t.Fatal(made.err)
	}
	b := *made.b
	b.out = t.TempDir()
	return &b, made.t
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made.b != nil {
		os.RemoveAll(made.b.work)
	}
	os.Exit(code)
}

// unzipped returns what is in gzip's data.
func unzipped(t *testing.T, data []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTree: everything that people look for is installed, and nothing twice.
func TestTree(t *testing.T) {
	b, tree := treeForTests(t)
	files := map[string]file{}
	for _, f := range tree.files {
		if _, ok := files[f.path]; ok {
			t.Errorf("%s is there twice", f.path)
		}
		files[f.path] = f
		if !strings.HasSuffix(f.path, "/") && len(f.data) == 0 {
			t.Errorf("%s is empty", f.path)
		}
	}
	if !slices.IsSortedFunc(tree.files, func(a, b file) int { return strings.Compare(a.path, b.path) }) {
		t.Error("the files are in no order")
	}
	for path, mode := range map[string]os.FileMode{
		"/usr/sbin/campagnol": 0o755, "/usr/sbin/campagnol_rdv": 0o755,
		"/etc/campagnol/": 0o750, "/etc/campagnol/rdv.env": 0o640,
		"/usr/lib/systemd/system/campagnol@.service":          0o644,
		"/etc/logrotate.d/campagnol":                          0o644,
		"/usr/share/bash-completion/completions/campagnol":    0o644,
		"/usr/share/fish/vendor_completions.d/campagnol.fish": 0o644,
	} {
		if f, ok := files[path]; !ok || f.mode != mode {
			t.Errorf("%s: there %v, mode %o, want %o", path, ok, f.mode, mode)
		}
	}
	for _, path := range []string{"/etc/campagnol/rdv.env", "/etc/logrotate.d/campagnol"} {
		if !files[path].config {
			t.Errorf("what people write into %s would be lost", path)
		}
	}
	pages, err := filepath.Glob(filepath.Join(b.root, "packaging", "man", "*.[1-9]"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no manual pages: %v", err)
	}
	for _, page := range pages {
		want, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		path := "/usr/share/man/man" + filepath.Ext(page)[1:] + "/" + filepath.Base(page) + ".gz"
		f, ok := files[path]
		if !ok {
			t.Errorf("%s is not installed", path)
		} else if unzipped(t, f.data) != string(want) {
			t.Errorf("%s is not %s", path, page)
		}
	}
}

// TestReproducible: the same tree makes the same packages, byte for byte.
func TestReproducible(t *testing.T) {
	b, whole := treeForTests(t)
	small := &tree{arch: whole.arch}
	for _, f := range whole.files {
		f.data = f.data[:min(len(f.data), 10_000)] // packing the programs takes its time
		small.add(f)
	}
	for kind, format := range formats {
		var first []byte
		for range 2 {
			path, err := format(b, small)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			} else if !bytes.Equal(first, data) {
				t.Errorf("%s: the second package is not the first", kind)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"zip"}, `there are no packages of the kind "zip"`},
		{[]string{"-o", t.TempDir(), "-arch", "vax", "deb"}, `there are no packages for the architecture "vax"`},
		{[]string{"-nonsense"}, "flag provided but not defined"},
	} {
		if err := run(t.Context(), c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestSourceDate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if at, err := sourceDate(t.Context(), "."); err != nil || at.Unix() != 1_700_000_000 {
		t.Errorf("%v, %v", at, err)
	}
	for _, bad := range []string{"yesterday", "-1"} {
		t.Setenv("SOURCE_DATE_EPOCH", bad)
		if at, err := sourceDate(t.Context(), "."); err == nil {
			t.Errorf("%q: accepted as %v", bad, at)
		}
	}
}

// TestTargets: Go knows all architectures that packages are made for.
func TestTargets(t *testing.T) {
	for name, target := range targets {
		cmd := exec.Command("go", "list", "-f", "{{.Name}}", "runtime")
		cmd.Env = append(append(os.Environ(), "GOOS=linux"), target.env...)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "runtime\n" {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if target.deb == "" || target.rpm == "" {
			t.Errorf("%s has no name in a distribution", name)
		}
	}
}
