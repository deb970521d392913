package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"campagnol/internal/cli"
)

// A target is an architecture of Linux.
type target struct {
	env []string // for Go
	deb string   // its name in Debian; "": Debian has no such port
	rpm string
}

// targets are the architectures by their names in package files.
var targets = map[string]target{
	"amd64":   {[]string{"GOARCH=amd64"}, "amd64", "x86_64"},
	"arm64":   {[]string{"GOARCH=arm64"}, "arm64", "aarch64"},
	"armv7":   {[]string{"GOARCH=arm", "GOARM=7"}, "armhf", "armv7hl"},
	"riscv64": {[]string{"GOARCH=riscv64"}, "riscv64", "riscv64"},
	"mips":    {[]string{"GOARCH=mips", "GOMIPS=softfloat"}, "mips", "mips"},
	"mipsle":  {[]string{"GOARCH=mipsle", "GOMIPS=softfloat"}, "mipsel", "mipsel"},
	"i386":    {[]string{"GOARCH=386"}, "i386", "i686"},
}

// programs are the packages of the module that are installed.
var programs = []string{"./client/campagnol", "./rdv/campagnol_rdv"}

// compile builds the programs for an architecture into a folder, and returns it.
func (b *build) compile(ctx context.Context, arch string) (string, error) {
	to, ok := targets[arch]
	if !ok {
		return "", cli.WithHint(fmt.Errorf("there are no packages for the architecture %q", arch), "it is one of %s", strings.Join(architectures(), ", "))
	}
	return b.goBuild(ctx, filepath.Join(b.work, arch), append([]string{"GOOS=linux"}, to.env...))
}

// goBuild builds the programs with the given environment into a folder.
func (b *build) goBuild(ctx context.Context, dir string, env []string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, programs...)...)
	cmd.Dir = b.root
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
}

// shells are those that the programs write completions for, and where they look.
var shells = []struct{ name, path string }{
	{"bash", "/usr/share/bash-completion/completions/%s"},
	{"zsh", "/usr/share/zsh/vendor-completions/_%s"},
	{"fish", "/usr/share/fish/vendor_completions.d/%s.fish"},
}

// completions adds the completions of both programs. They are written by programs for
// this machine, whatever the others are for.
func (b *build) completions(ctx context.Context, t *tree) error {
	dir, err := b.goBuild(ctx, filepath.Join(b.work, "here"), []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH})
	if err != nil {
		return err
	}
	for _, program := range programs {
		name := filepath.Base(program)
		for _, shell := range shells {
			out, err := exec.CommandContext(ctx, filepath.Join(dir, name), "completion", shell.name).Output()
			if err != nil {
				var failed *exec.ExitError
				if errors.As(err, &failed) {
					err = fmt.Errorf("%w\n%s", err, failed.Stderr)
				}
				return fmt.Errorf("completions of %s for %s: %w", name, shell.name, err)
			}
			t.add(file{path: fmt.Sprintf(shell.path, name), data: out, mode: 0o644})
		}
	}
	return nil
}
