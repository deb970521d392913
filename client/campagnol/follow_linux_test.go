package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// A walk follows a document through a village: it types the commands on the hosts
// that the document names, and holds the document to what they print.
type walk struct {
	*village
	guide *guide.Guide
	home  string            // where commands are typed for which the document names no host
	words map[string]string // what stands for words of the document, such as TOKEN
	masks []guide.Mask

	secret string // the pass phrase that is typed where a command asks for one; "": none does
	status int    // the exit status of the next command
}

// usual are the masks of what every command may print.
var usual = []guide.Mask{guide.Dates, guide.Times, guide.Sizes, guide.Endpoints, guide.Serials, guide.Keys, guide.Versions, guide.Processes,
	guide.Varies("PRIVATE", `\b192\.168\.\d+\.\d+\b`)}

func (v *village) follow(g *guide.Guide, home string) *walk {
	return &walk{village: v, guide: g, home: home, words: map[string]string{}, masks: usual}
}

// next types the next command, which has to succeed and to print what is shown.
func (w *walk) next() (guide.Command, string) {
	w.t.Helper()
	c := w.guide.Next(w.t)
	line := c.Line
	for word, stands := range w.words {
		line = strings.ReplaceAll(line, word, stands)
	}
	host := c.Host
	if host == "" {
		host = w.home
	}
	if w.shells[host] == nil {
		w.t.Fatalf("%s:%d: %q: there is no host %q", w.guide.Path, c.At, c.Line, host)
	}
	if strings.HasPrefix(line, "scp ") {
		w.scp(host, line)
		return c, ""
	}
	if w.secret != "" {
		line = onTerminal(line, w.secret)
	}
	out, err := w.try(host, line)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == w.status {
		err = nil
	}
	if err != nil || exit == nil && w.status != 0 {
		w.t.Fatalf("%s:%d: %v, want the exit status %d\n%s", w.guide.Path, c.At, err, w.status, out)
	}
	w.guide.Check(w.t, c, out, w.masks...)
	return c, out
}

// does is next for a command that begins with some words. It returns what is printed.
func (w *walk) does(begin string) string {
	w.t.Helper()
	c, out := w.next()
	if !strings.HasPrefix(c.Line, begin) {
		w.t.Fatalf("%s:%d: the next command is %q, want %q: the test has to follow the document", w.guide.Path, c.At, c.Line, begin)
	}
	return out
}

// until waits until a command line prints a text, and returns all that it prints.
func (w *walk) until(host, line, text string) string {
	w.t.Helper()
	var out string
	await(w.t, line+" on "+host+" prints "+strconv.Quote(text), func() bool {
		var err error
		out, err = w.shells[host].Run(w.t.Context(), line)
		return err == nil && strings.Contains(out, text)
	})
	return out
}

// scp copies files from one host to another, as the command does: hosts of a village
// have no ssh. The folder has to be there.
func (w *walk) scp(host, line string) {
	w.t.Helper()
	args := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(line, "scp "), "-p "))
	if len(args) < 2 {
		w.t.Fatalf("%q copies nothing", line)
	}
	to := w.remote(host, args[len(args)-1])
	for _, arg := range args[:len(args)-1] {
		files, err := filepath.Glob(w.remote(host, arg))
		if err != nil || len(files) == 0 {
			w.t.Fatalf("%q: there is no %s (%v)", line, arg, err)
		}
		for _, f := range files {
			name := to
			if info, err := os.Stat(to); err == nil && info.IsDir() {
				name = filepath.Join(to, filepath.Base(f))
			}
			copyFile(w.t, f, name)
		}
	}
	w.t.Logf("%s# %s", host, line)
}

// remote returns where a file is outside of the laboratory that scp on a host calls
// "root@bob:bob.csr", or "bob.csr" if it is its own.
func (w *walk) remote(host, arg string) string {
	w.t.Helper()
	name := arg
	if at, rest, ok := strings.Cut(arg, ":"); ok {
		host, name = strings.TrimPrefix(at, "root@"), rest
	}
	if !filepath.IsAbs(name) {
		name = "/root/" + name
	}
	return w.path(host, filepath.Clean(name)+"/")
}

// copyFile copies a file and its permissions. It is a new file, so that programs see
// a change although two of them may be in one second.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, info.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file of a host, for root only.
func (v *village) write(host, file, text string) {
	v.t.Helper()
	if err := os.WriteFile(v.path(host, file), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// add adds lines to a file of a host.
func (v *village) add(host, file, text string) {
	v.t.Helper()
	v.write(host, file, readFile(v.t, v.path(host, file))+text)
}

// knows adds the name of a host to /etc/hosts of all hosts.
func (w *walk) knows(name string) {
	w.t.Helper()
	for h := range w.shells {
		w.run(h, "echo "+w.hosts[name].Addr().String()+" "+name+" >>/etc/hosts")
	}
}

// onTerminal returns the command line that runs another one on a terminal, where
// somebody answers the question for a pass phrase.
func onTerminal(line, secret string) string {
	return `rm -f answer said; mkfifo answer
(while ! grep -qi 'pass phrase' said 2>/dev/null; do sleep 0.05; done; echo ` + secret + `) >answer &
script -qefc '` + strings.ReplaceAll(line, `'`, `'\''`) + `' said <answer`
}

// onDesk runs a command line in a folder of this machine, with our programs.
func onDesk(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CAMPAGNOL_CA=", "PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	t.Logf("$ %s\n%s", line, out)
	return string(out), err
}
