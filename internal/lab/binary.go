package lab

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs of the project, as packages of the module.
const (
	ModulePath    = "campagnol"
	ClientPackage = "campagnol/client/campagnol"
	ServerPackage = "campagnol/rdv/campagnol_rdv"
)

// A Binary is a program and how it was found.
type Binary struct {
	Path string
	How  string // for people: "beside …", "in PATH", "built from …"
}

// FindBinary finds the program that is built from a package of the module, of
// which a user may have several: beside the running program, so that what was
// installed together is used together; in PATH; or else it builds it into dir
// from the module that the working directory is in. A program of the same name
// that was not built from the package, such as one of Campagnol 0.3.5, is
// passed over.
func FindBinary(ctx context.Context, pkg, dir string) (Binary, error) {
	exe, err := os.Executable()
	if err != nil {
		return Binary{}, fmt.Errorf("lab: find this program itself: %w", err)
	}
	return findBinary(ctx, pkg, dir, exe)
}

// findBinary is FindBinary for the program at exe.
func findBinary(ctx context.Context, pkg, dir, exe string) (Binary, error) {
	name := pkg[strings.LastIndexByte(pkg, '/')+1:]
	if path := filepath.Join(filepath.Dir(exe), name); builtFrom(path, pkg) {
		return Binary{path, "beside " + exe}, nil
	}
	if path, err := exec.LookPath(name); err == nil && builtFrom(path, pkg) {
		return Binary{path, "in PATH"}, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return Binary{}, &hinted{
			fmt.Errorf("lab: %s is neither beside this program nor in PATH, and cannot be built here: %w", name, err),
			"install it, or run this inside the source tree: go run ./client/campagnol lab",
		}
	}
	path, err := Build(ctx, root, pkg, dir)
	return Binary{path, "built from " + root}, err
}

// Build builds a package of the module in root into dir and returns the path of
// the program.
func Build(ctx context.Context, root, pkg, dir string) (string, error) {
	path := filepath.Join(dir, pkg[strings.LastIndexByte(pkg, '/')+1:])
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, pkg) // git refuses the trees of other users to root
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", &hinted{fmt.Errorf("lab: build %s: %w", pkg, err), "install Go, or install the program itself"}
	}
	if err != nil {
		return "", fmt.Errorf("lab: build %s in %s: %w\n%s", pkg, root, err, bytes.TrimSpace(out))
	}
	return path, nil
}

// builtFrom reports whether the file at path is a Go program of a package.
func builtFrom(path, pkg string) bool {
	info, err := buildinfo.ReadFile(path)
	return err == nil && info.Path == pkg
}

// ModuleRoot returns the folder of the project's module that the working
// directory is in.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		b, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && modulePath(b) == ModulePath {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside the source tree", dir)
		}
	}
}

// modulePath returns the path of the module that a go.mod file declares, and ""
// if there is none.
func modulePath(mod []byte) string {
	for line := range strings.Lines(string(mod)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`)
		}
	}
	return ""
}
