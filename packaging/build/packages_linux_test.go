package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// TestPackages makes the packages and installs them on hosts, as the document says, and
// builds the programs without one.
func TestPackages(t *testing.T) {
	g := guide.Open(t, "docs/install.md", "Packages")
	b, _ := treeForTests(t)
	dist := filepath.Join(t.TempDir(), "dist")
	for range 2 {
		line, _, _ := strings.Cut(g.Next(t).Line, "#")
		args, ok := strings.CutPrefix(line, "go run ./packaging/build ")
		if !ok {
			t.Fatalf("not a command that builds packages: %s", line)
		}
		// For another processor everything would have to be compiled anew, which takes
		// minutes; that it can be is what the cross builds of CI are for.
		args = strings.Replace(args, "-arch arm64", "-arch amd64", 1)
		if err := run(t.Context(), strings.Fields(strings.Replace(args, "dist", dist, 1))); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	for pattern, magic := range map[string]string{
		"campagnol_*_amd64.deb":  "!<arch>\n",
		"campagnol-*.x86_64.rpm": "\xed\xab\xee\xdb", "campagnol_*_amd64.tar.gz": "\x1f\x8b",
	} {
		files, err := filepath.Glob(filepath.Join(dist, pattern))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %q, %v, want one file", pattern, files, err)
		}
		if data, err := os.ReadFile(files[0]); err != nil || !bytes.HasPrefix(data, []byte(magic)) {
			t.Errorf("%s: %v, it begins with %q, want %q", files[0], err, data[:min(len(data), 8)], magic)
		}
	}

	debian := newRoot(t)
	debian.follow(dist, g.Next(t).Line)
	debian.wantInstalled()
	key := guide.Open(t, "docs/install.md", "From Campagnol 0.3.5")
	debian.write("/path/key.pem", "", 0o600)
	debian.follow(dist, key.Next(t).Line)
	_, gid := debian.user("campagnol")
	debian.wantFile("/path/key.pem", 0o640, gid)

	other := newRoot(t)
	other.follow(dist, g.Next(t).Line)
	other.follow(dist, g.Next(t).Line)
	other.wantInstalled()

	line := g.Next(t).Line
	to := t.TempDir()
	cmd := exec.Command("sh", "-c", strings.Replace(line, "/usr/sbin/", to+"/", 1))
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	for _, program := range []string{"campagnol", "campagnol_rdv"} {
		if out, err := exec.Command(filepath.Join(to, program), "completion", "bash").Output(); err != nil || len(out) == 0 {
			t.Errorf("%s built from source: %v", program, err)
		}
	}
}

// follow does a command of the document in the system, in a folder where dist is.
func (r *root) follow(dist, line string) {
	r.t.Helper()
	if err := os.CopyFS(r.path("/var/tmp/dist"), os.DirFS(dist)); err != nil && !os.IsExist(err) {
		r.t.Fatal(err)
	}
	r.run("sh", "-c", "cd /var/tmp && "+line)
}

// wantInstalled checks that the programs are there, and the user of the services.
func (r *root) wantInstalled() {
	r.t.Helper()
	for _, program := range []string{"campagnol", "campagnol_rdv"} {
		if out := r.run(program, "--version"); !strings.HasPrefix(out, program+" ") {
			r.t.Errorf("%s --version says %q", program, out)
		}
	}
	if uid, _ := r.user("campagnol"); uid == 0 {
		r.t.Error("the user of the services is root")
	}
}
