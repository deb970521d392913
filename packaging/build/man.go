package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/manual"
	"campagnol/internal/version"
)

// manDir is where manual pages are in the source tree, and what they are made of.
const manDir = "packaging/man"

// pageFile matches the files of manual pages.
var pageFile = regexp.MustCompile(`^[a-z][a-z_.-]*\.([1-9])$`)

// man makes the manual pages in the source tree.
func (b *build) man(ctx context.Context) error {
	pages, err := b.pages(ctx)
	if err != nil {
		return err
	}
	return b.writePages(pages)
}

// writePages writes pages, and removes others.
func (b *build) writePages(pages []manual.Page) error {
	dir := filepath.Join(b.root, manDir)
	made := map[string]bool{}
	for _, p := range pages {
		made[p.File()] = true
		if err := os.WriteFile(filepath.Join(dir, p.File()), p.Text, 0o644); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if pageFile.MatchString(e.Name()) && !made[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// pages makes the manual pages.
func (b *build) pages(ctx context.Context) ([]manual.Page, error) {
	src, err := b.manualSource()
	if err != nil {
		return nil, err
	}
	if src.Programs, err = b.described(ctx); err != nil {
		return nil, err
	}
	return manual.Pages(src)
}

// described returns what the programs say of themselves. They are built and run for that.
func (b *build) described(ctx context.Context) (all []cli.Description, err error) {
	if runtime.GOOS != "linux" {
		return nil, cli.WithHint(errors.New("the manual pages are about the programs on Linux, which do not run here"), "make them on Linux")
	}
	dir, err := b.goBuild(ctx, filepath.Join(b.work, "here"), []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	for _, program := range programs {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, filepath.Base(program)), cli.DescribeRequest).Output()
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", program, err)
		}
		var d cli.Description
		if err := json.Unmarshal(out, &d); err != nil {
			return nil, fmt.Errorf("describe %s: %w", program, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// manualSource returns what manual pages are made of, but for the programs.
func (b *build) manualSource() (src manual.Source, err error) {
	src = manual.Source{Keys: conf.Keys(), Prose: map[string]*manual.Prose{}, Edition: manual.Edition{Version: version.Version}}
	if src.Edition.Date, err = time.Parse(time.DateOnly, version.Date); err != nil {
		return src, err
	}
	example, err := os.ReadFile(filepath.Join(b.root, "campagnol.conf.example"))
	if err != nil {
		return src, err
	}
	src.Example = string(example)
	const suffix = ".mdoc"
	files, err := filepath.Glob(filepath.Join(b.root, manDir, "src", "*"+suffix))
	if err != nil {
		return src, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return src, err
		}
		name := filepath.Base(file)
		name = name[:len(name)-len(suffix)]
		if src.Prose[name], err = manual.ParseProse(string(text)); err != nil {
			return src, fmt.Errorf("%s: %w", file, err)
		}
	}
	return src, nil
}
