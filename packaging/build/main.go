// Command build makes packages of the programs: .deb and .rpm, and archives for systems
// that have neither. Nothing but Go is needed.
//
//	go run ./packaging/build -o dist deb rpm tar
//
// and the manual pages, which are kept in the source tree:
//
//	go run ./packaging/build man
//
// The programs are static (without cgo), so that one package is good for every release
// of a distribution. What is in a package is the same whenever it is built from the
// same commit, with the time of SOURCE_DATE_EPOCH or of the commit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		cli.Print(os.Stderr, "build", err)
		os.Exit(1)
	}
}

// A build is what is made packages of, and how.
type build struct {
	root    string // of the source tree
	out     string // folder of the packages
	work    string // temporary folder
	version string
	at      time.Time // of all files
}

// formats are the kinds of packages.
var formats = map[string]func(*build, *tree) (string, error){
	"deb": func(b *build, t *tree) (string, error) { return b.pack(t, "deb") },
	"rpm": func(b *build, t *tree) (string, error) { return b.pack(t, "rpm") },
	"tar": (*build).archive,
}

func run(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("build", flag.ContinueOnError)
	out := f.String("o", "dist", "folder for the packages")
	arches := f.String("arch", "amd64", "architectures, with commas: "+strings.Join(architectures(), ", "))
	numbered := f.String("version", version.Version, "version of the packages")
	if err := f.Parse(args); err != nil {
		return err
	}
	kinds := f.Args()
	if len(kinds) == 0 {
		kinds = []string{"deb", "rpm", "tar"}
	}
	pages := slices.Equal(kinds, []string{"man"})
	for _, kind := range kinds {
		if formats[kind] == nil && !pages {
			return cli.WithHint(fmt.Errorf("there are no packages of the kind %q", kind), "write deb, rpm or tar; or man, alone, to make the manual pages")
		}
	}
	b := &build{out: *out, version: *numbered}
	if b.root, err = moduleRoot(ctx); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "campagnol-build-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if pages {
		return b.man(ctx)
	}
	return b.packages(ctx, kinds, strings.Split(*arches, ","))
}

// packages makes packages of all kinds for all architectures.
func (b *build) packages(ctx context.Context, kinds, arches []string) (err error) {
	if b.at, err = sourceDate(ctx, b.root); err != nil {
		return err
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	for _, arch := range arches {
		t, err := b.tree(ctx, arch)
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			path, err := formats[kind](b, t)
			if err != nil {
				return fmt.Errorf("%s for %s: %w", kind, arch, err)
			}
			fmt.Println(path)
		}
	}
	return nil
}

// moduleRoot returns the folder of the source tree that the working directory is in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	root := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(root, "packaging", "systemd")); err != nil {
		return "", cli.WithHint(fmt.Errorf("%s is not the source tree of Campagnol", root), "run it inside the source tree")
	}
	return root, nil
}

// sourceDate returns the time that all files have.
func sourceDate(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "-C", root, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, cli.WithHint(errors.New("the time of the source is not known"), "set SOURCE_DATE_EPOCH to a number of seconds since 1970")
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, cli.WithHint(fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds since 1970", text), "for example $(git log -1 --format=%%ct)")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// architectures returns the names of those that are built for.
func architectures() (names []string) {
	for name := range targets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
