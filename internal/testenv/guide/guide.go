// Package guide reads the project's documents as their readers do, so that tests
// can type what they say. A test opens a document, or sections of it, and has to
// do every command in there:
//
//	g := guide.Open(t, "docs/names.md", "The resolver of the host")
//	for c := range g.Commands() {
//		run(c.Host, c.Line)
//	}
//
// Commands are in blocks of two kinds. In a block "sh" every line is one; in a
// block "console" those behind a prompt ("# ", "$ ", or with the host's name before
// it, "alice# ") are, and the other lines are what they print. A comment "# On
// alice: …" in a block "sh" says where the commands below it are to be typed.
// A backslash at the end of a line continues it.
//
// [Guide.Check] holds a document to what a command prints. What differs from one run to
// the next, such as times and keys, is masked, and "…" stands for what the document
// leaves out. [Command.Answer] is patient with questions that are asked too early, and
// [Invitations] knows what TOKEN stands for.
//
// docs_test.go, at the top of the module, makes sure that some test opens each
// section that has commands.
package guide

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A Command is a command line of a document.
type Command struct {
	Host   string // where it is to be typed; "" if the document does not say
	Line   string // without its prompt, continued lines joined
	Output string // what the document shows that it prints, in a block "console"
	At     int    // its line in the document, from 1
}

// A Block is a fenced block of a document.
type Block struct {
	Section  string // the heading that it is below, of level 2 or more; "" before the first one
	Kind     string // the word after the fence: sh, console, ini, policy, …
	Text     string // all of it, with the newline at its end
	At       int    // the line of the fence, from 1
	Commands []Command
}

// Parse returns the fenced blocks of a document.
func Parse(text string) ([]Block, error) {
	var blocks []Block
	var open *Block
	section, fence, indent, n := "", "", 0, 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open != nil && strings.TrimRight(trimmed, " ") == fence:
			open.Commands = commands(open)
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.Text += line[min(indent, len(line)-len(trimmed)):] + "\n"
		case strings.HasPrefix(trimmed, "```"):
			kind := strings.TrimLeft(trimmed, "`")
			fence, indent = trimmed[:len(trimmed)-len(kind)], len(line)-len(trimmed)
			kind, _, _ = strings.Cut(strings.TrimSpace(kind), " ")
			open = &Block{Section: section, Kind: kind, At: n}
		case strings.HasPrefix(line, "##"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block has no end", open.At)
	}
	return blocks, nil
}

// prompt matches a command of a block "console", with its host and its text.
var prompt = regexp.MustCompile(`^([a-z0-9.-]*)[#$] (.*)$`)

// commands returns the commands of a block.
func commands(b *Block) (all []Command) {
	if b.Kind != "sh" && b.Kind != "console" {
		return nil
	}
	host, n, continued := "", b.At, false
	for line := range strings.Lines(b.Text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		switch found := prompt.FindStringSubmatch(line); {
		case continued:
			all[len(all)-1].Line += strings.TrimSpace(line)
		case b.Kind == "console" && found != nil:
			all = append(all, Command{Host: found[1], Line: found[2], At: n})
		case b.Kind == "console":
			if len(all) > 0 {
				all[len(all)-1].Output += line + "\n"
			}
			continue
		case strings.HasPrefix(line, "#"):
			if on, ok := strings.CutPrefix(line, "# On "); ok {
				host, _, _ = strings.Cut(on, ":")
			}
			continue
		case strings.TrimSpace(line) == "":
			continue
		default:
			all = append(all, Command{Host: host, Line: strings.TrimSpace(line), At: n})
		}
		last := &all[len(all)-1]
		last.Line, continued = strings.CutSuffix(last.Line, "\\")
	}
	return all
}

// A Guide is what a test follows: some sections of a document.
type Guide struct {
	Path   string // from the top of the module
	Blocks []Block

	all  []Command
	next int // the first of them that is not done
}

// Read returns the fenced blocks of a document, which path names from the top of the
// module, to a test that looks into it and does not follow it.
func Read(t testing.TB, path string) []Block {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top(t), path))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := Parse(string(b))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return blocks
}

// Open reads sections of a document, which path names from the top of the module;
// without sections all of it. Each of the sections has to be there. The test fails
// at its end if it has left one of their commands undone.
func Open(t testing.TB, path string, sections ...string) *Guide {
	t.Helper()
	blocks := Read(t, path)
	for _, s := range sections {
		if !slices.ContainsFunc(blocks, func(b Block) bool { return b.Section == s }) {
			t.Fatalf("%s has no section %q with a block in it", path, s)
		}
	}
	g := &Guide{Path: path}
	for _, b := range blocks {
		if len(sections) == 0 || slices.Contains(sections, b.Section) {
			g.Blocks = append(g.Blocks, b)
			g.all = append(g.all, b.Commands...)
		}
	}
	t.Cleanup(func() {
		if g.next < len(g.all) && !t.Failed() && !t.Skipped() {
			t.Errorf("%s:%d: nobody has done %q", path, g.all[g.next].At, g.all[g.next].Line)
		}
	})
	return g
}

// Commands yields the commands that have not been done yet, in their order; each
// that it yields counts as done.
func (g *Guide) Commands() iter.Seq[Command] {
	return func(yield func(Command) bool) {
		for g.next < len(g.all) {
			g.next++
			if !yield(g.all[g.next-1]) {
				return
			}
		}
	}
}

// Next returns the next command, which counts as done from then on. The test fails
// if there is none.
func (g *Guide) Next(t testing.TB) Command {
	t.Helper()
	for c := range g.Commands() {
		return c
	}
	t.Fatalf("%s has no more commands", g.Path)
	return Command{}
}

// Text returns the text of the n-th block of a kind (ini, policy, …), from 0.
func (g *Guide) Text(t testing.TB, kind string, n int) string {
	t.Helper()
	for _, b := range g.Blocks {
		if b.Kind == kind {
			if n == 0 {
				return b.Text
			}
			n--
		}
	}
	t.Fatalf("%s has fewer blocks %q", g.Path, kind)
	return ""
}

// top returns the folder of go.mod.
func top(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("there is no go.mod above the folder of the test")
		}
		dir = up
	}
}
