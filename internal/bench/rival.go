package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"campagnol/internal/cli"
)

// The versions of the other tools. They are built from the Go module proxy when
// they are first needed, outside of this module, which does not depend on them.
const (
	wireGuardModule  = "golang.zx2c4.com/wireguard"
	wireGuardVersion = "v0.0.0-20260522210424-ecfc5a8d5446"

	// Nebula 1.12 needs a later Go release than this module does.
	nebulaModule  = "github.com/slackhq/nebula"
	nebulaVersion = "v1.11.1"
)

// A rival is a program of another project.
type rival struct {
	module, version string
	pkg             string // path of the program below the module; empty for the module itself
}

// program returns the name of the program.
func (r rival) program() string {
	p := r.module + r.pkg
	return p[strings.LastIndexByte(p, '/')+1:]
}

// target returns what go install is given.
func (r rival) target() string { return r.module + r.pkg + "@" + r.version }

// cacheFolder returns where the programs of the other projects are kept.
func cacheFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", cli.WithHint(fmt.Errorf("bench: find a folder for other tools: %w", err), "set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(dir, "campagnol-bench"), nil
}

// build returns the path of the program, which it builds into cache if it is not
// there yet, with this Go release.
func (r rival) build(ctx context.Context, cache string) (string, error) {
	name := strings.ReplaceAll(r.module, "/", "_") + "@" + r.version + "-" + runtime.Version()
	dir := filepath.Join(cache, name)
	path := filepath.Join(dir, r.program())
	if info, err := buildinfo.ReadFile(path); err == nil && info.Path == r.module+r.pkg && info.Main.Version == r.version {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("bench: make a folder for other tools: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "install", r.target())
	cmd.Dir = dir // outside of any module
	cmd.Env = append(cmd.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", r.buildError(ctx, err, out)
	}
	return path, nil
}

// buildError says what to do when a program cannot be built.
func (r rival) buildError(ctx context.Context, err error, out []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := string(bytes.TrimSpace(out))
	wrapped := fmt.Errorf("bench: go install %s: %w\n%s", r.target(), err, text)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return cli.WithHint(wrapped, "install Go and have it in PATH; as root, PATH may be another")
	case strings.Contains(text, "requires go >= "):
		return cli.WithHint(wrapped, "choose another version (-nebula), or a later Go release")
	}
	return cli.WithHint(wrapped, "the first time, the Go module proxy has to be reachable (GOPROXY); without it, measure: -tools %s,%s", toolDirect, toolOurs)
}
