package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRivalNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r               rival
		program, target string
	}{
		{rival{module: wireGuardModule, version: "v1"}, "wireguard", "golang.zx2c4.com/wireguard@v1"},
		{rival{nebulaModule, "v2", "/cmd/nebula-cert"}, "nebula-cert", "github.com/slackhq/nebula/cmd/nebula-cert@v2"},
	} {
		if got := c.r.program(); got != c.program {
			t.Errorf("the program of %+v is %q, want %q", c.r, got, c.program)
		}
		if got := c.r.target(); got != c.target {
			t.Errorf("what builds %+v is %q, want %q", c.r, got, c.target)
		}
	}
}

// TestNotADependency checks that this module does not need what it is compared
// with.
func TestNotADependency(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{wireGuardModule, nebulaModule} {
		if strings.Contains(string(b), module) {
			t.Errorf("go.mod has %s", module)
		}
	}
}

const testModule = "example.com/bench/tool"

// proxy makes a Go module proxy in a folder, which has one program, and returns
// its URL.
func proxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, testModule, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": "module " + testModule + "\n",
	} {
		if err := writeFile(filepath.Join(at, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(at, "v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, text := range map[string]string{
		"go.mod": "module " + testModule + "\n", "cmd/hello/main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		w, err := z.Create(testModule + "@v1.0.0/" + name)
		if err == nil {
			_, err = fmt.Fprint(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return "file://" + dir
}

// goWith sets the Go command's surroundings: it downloads from a proxy only, into
// a folder of the test's.
func goWith(t *testing.T, proxy string) {
	t.Helper()
	for name, value := range map[string]string{
		"GOPROXY": proxy, "GOMODCACHE": t.TempDir(), "GONOSUMDB": "*", "GONOPROXY": "none", "GOPRIVATE": "", "GOSUMDB": "off",
	} {
		t.Setenv(name, value)
	}
	t.Cleanup(func() {
		// The files of a module are read-only, its folders, too.
		_ = filepath.WalkDir(os.Getenv("GOMODCACHE"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
}

func TestRivalBuild(t *testing.T) {
	goWith(t, proxy(t))
	hello := rival{testModule, "v1.0.0", "/cmd/hello"}
	cache := t.TempDir()
	path, err := hello.build(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != "hello\n" {
		t.Errorf("the program prints %q (%v), want hello", out, err)
	}
	if rel, err := filepath.Rel(cache, path); err != nil || !filepath.IsLocal(rel) {
		t.Errorf("the program is at %s, want it in %s", path, cache)
	}
	// From now on it is there, without Go or proxy.
	t.Setenv("PATH", "")
	again, err := hello.build(t.Context(), cache)
	if err != nil || again != path {
		t.Errorf("the second time the program is at %q (%v), want %q", again, err, path)
	}
	if _, err := hello.build(t.Context(), t.TempDir()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without Go: error %v, want %v", err, exec.ErrNotFound)
	}
}

// TestRivalBuildFails checks what people are told when there is no proxy.
func TestRivalBuildFails(t *testing.T) {
	goWith(t, proxy(t))
	r := rival{testModule, "v2.0.0", "/cmd/hello"} // which it does not have
	_, err := r.build(t.Context(), t.TempDir())
	wantHint(t, err, "the Go module proxy has to be reachable", "-tools direct,ours")
	if err == nil || !strings.Contains(err.Error(), r.target()) {
		t.Errorf("error %v, want one with %s", err, r.target())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.build(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: error %v, want %v", err, context.Canceled)
	}
}

// wantHint checks the hint of an error.
func wantHint(t *testing.T, err error, want ...string) {
	t.Helper()
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) {
		t.Errorf("error %v has no hint, want %q", err, want)
		return
	}
	for _, w := range want {
		if !strings.Contains(hinted.Hint(), w) {
			t.Errorf("the hint is %q, want %q in it", hinted.Hint(), w)
		}
	}
}

func TestBuildError(t *testing.T) {
	t.Parallel()
	r := rival{nebulaModule, "v1.12.0", "/cmd/nebula"}
	for _, c := range []struct {
		err       error
		out, want string
	}{
		{exec.ErrNotFound, "", "install Go"},
		{errors.New("exit status 1"), "go: nebula@v1.12.0 requires go >= 1.27.0 (running go 1.26.8)\n", "-nebula"},
		{errors.New("exit status 1"), "dial tcp: lookup proxy.golang.org: no such host\n", "GOPROXY"},
	} {
		err := r.buildError(t.Context(), c.err, []byte(c.out))
		wantHint(t, err, c.want)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), r.target()) || !strings.Contains(err.Error(), strings.TrimSpace(c.out)) {
			t.Errorf("error %v, want %v, %s and what Go said", err, c.err, r.target())
		}
	}
}

// TestCacheFolder checks that there is a place for other tools wherever a home is.
func TestCacheFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	if got, err := cacheFolder(); err != nil || got != filepath.Join(home, "campagnol-bench") {
		t.Errorf("other tools are in %q (%v), want a folder in %s", got, err, home)
	}
}
