package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
)

// socketDir returns a folder for sockets with a short name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "status-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serveStatus makes a control socket that answers with s, or refuses with it.
func serveStatus(t *testing.T, path string, s any) {
	t.Helper()
	serveControl(t, path, map[string]control.Handler{
		"GET " + control.StatusPath: func(*http.Request) (any, error) {
			if err, refused := s.(error); refused {
				return nil, err
			}
			return s, nil
		},
	})
}

// serveControl makes a control socket.
func serveControl(t *testing.T, path string, routes map[string]control.Handler) {
	t.Helper()
	server, err := control.Listen(control.Config{Path: path, Program: "campagnol/1.0.0", Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// runStatus runs the command for the sockets in dir. stderr is what a user would
// see of its error.
func runStatus(t *testing.T, dir string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := statusCommand(dir)
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		cli.Print(&errOut, program, err)
	}
	return out.String(), errOut.String()
}

func TestStatusCommand(t *testing.T) {
	dir := socketDir(t)
	serveStatus(t, filepath.Join(dir, "tun0.sock"), sampleStatus())
	out, errOut := runStatus(t, dir)
	if out != sampleText || errOut != "" {
		t.Errorf("output\n%s%s\nwant\n%s", out, errOut, sampleText)
	}
	out, errOut = runStatus(t, dir, "--json")
	got := new(control.Status)
	if err := json.Unmarshal([]byte(out), got); err != nil || errOut != "" || !strings.HasPrefix(out, "{\n  \"version\": \"1.0.0\",\n") {
		t.Errorf("%v in\n%s%s", err, out, errOut)
	}
	if statusText(got, nil, 0) != sampleText {
		t.Errorf("the document is another one:\n%s", out)
	}
}

// TestStatusChooses: the only client is asked; of several the user has to name
// one.
func TestStatusChooses(t *testing.T) {
	dir := socketDir(t)
	_, errOut := runStatus(t, dir)
	want := "campagnol: status: no client runs on this host that has a control socket in " + dir + "\n" +
		"hint: start one with \"campagnol -D\"; if its configuration sets control_socket, name that with --socket\n"
	if errOut != want {
		t.Errorf("without a client:\n%swant\n%s", errOut, want)
	}

	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "dead.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	first, second := filepath.Join(dir, "tun0.sock"), filepath.Join(dir, "tun1.sock")
	serveStatus(t, first, sampleStatus())
	if out, errOut := runStatus(t, dir); out != sampleText {
		t.Errorf("with one client and a dead one:\n%s%s", out, errOut)
	}

	serveStatus(t, second, sampleStatus())
	_, errOut = runStatus(t, dir)
	want = "campagnol: status: several clients run on this host: " + first + ", " + second + "\n" +
		"hint: choose one: campagnol status --socket " + first + "\n"
	if errOut != want {
		t.Errorf("with two clients:\n%swant\n%s", errOut, want)
	}
	if out, errOut := runStatus(t, dir, "--socket", second); out != sampleText {
		t.Errorf("with the one that was chosen:\n%s%s", out, errOut)
	}
}

func TestStatusErrors(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "x.sock")
	if _, got := runStatus(t, dir, "--socket", path); got != "campagnol: status: no client runs with the control socket "+path+"\n"+
		"hint: start the client; if it runs with another control_socket, name that with --socket\n" {
		t.Errorf("without a client:\n%s", got)
	}
	serveStatus(t, path, &control.Error{Status: 503, Text: "not now", Advice: "later"})
	if _, got := runStatus(t, dir); got != "campagnol: status: not now\nhint: later\n" {
		t.Errorf("refused:\n%s", got)
	}
	if _, got := runStatus(t, dir, "--watch=perhaps"); !strings.Contains(got, "perhaps") {
		t.Errorf("a bad option:\n%s", got)
	}
	strange := filepath.Join(dir, "y.sock")
	serveStatus(t, strange, []string{"from", "the", "future"})
	if _, got := runStatus(t, dir, "--socket", strange); !strings.Contains(got, "is of version 1.0.0, whose answer this program cannot read") || !strings.Contains(got, "\nhint: ") {
		t.Errorf("an answer that cannot be read:\n%s", got)
	}
}

// TestStatusExit checks the exit status of the program itself.
func TestStatusExit(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := campagnol(t, "status", "--socket", "/nowhere/x.sock")
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "campagnol: status: no client runs with the control socket /nowhere/x.sock\nhint: ") {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, _ := campagnol(t, "status", "--help"); code != 0 || !strings.Contains(stdout, "--watch") || runtime.GOOS == "linux" && !strings.Contains(stdout, "/run/campagnol") {
		t.Errorf("help: exit status %d\n%s", code, stdout)
	}
}

// asker returns documents one after the other, a second apart, then errors.
func asker(t *testing.T, stop context.CancelFunc, looks ...any) func(context.Context) (*control.Status, []byte, error) {
	began := time.Now()
	return func(context.Context) (*control.Status, []byte, error) {
		if len(looks) == 0 {
			stop()
			return nil, nil, context.Canceled
		}
		look := looks[0]
		looks = looks[1:]
		if err, bad := look.(error); bad {
			return nil, nil, err
		}
		s := sampleStatus()
		s.Time = s.Time.Add(time.Since(began))
		s.Peers = s.Peers[:1]
		s.Peers[0].BytesIn += uint64(look.(int))
		raw, err := json.MarshalIndent(s, "", " ")
		if err != nil {
			t.Error(err)
		}
		return s, raw, nil
	}
}

// busy is how a client answers that is just taking over a configuration.
var busy = &control.Error{Status: http.StatusServiceUnavailable, Text: "busy"}

// watched runs watch on a display with a width and returns what it writes, how
// long it took, and its error.
func watched(t *testing.T, width int, asJSON bool, looks ...any) (out string, took time.Duration, err error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var b bytes.Buffer
		d := newStatusDisplay(&b, asJSON, true)
		d.width = func() int { return width }
		began := time.Now()
		err = d.watch(ctx, asker(t, cancel, looks...))
		out, took = b.String(), time.Since(began)
	})
	return out, took, err
}

// TestStatusWatch: a block each second, with rates from the second on, until it is
// interrupted.
func TestStatusWatch(t *testing.T) {
	out, took, err := watched(t, 0, false, 0, 2048, busy, 6144)
	if err != nil || took != 4*time.Second {
		t.Errorf("error %v after %v, want none after 4s", err, took)
	}
	if n := strings.Count(out, "campagnol 1.0.0, process 4711"); n != 3 {
		t.Errorf("%d blocks, want 3:\n%s", n, out)
	}
	if strings.ContainsRune(out, '\x1b') {
		t.Error("what is not a terminal was painted on")
	}
	blocks := strings.Split(out, "campagnol 1.0.0, ")
	for i, want := range []string{"", "2.0 KiB/s", "2.0 KiB/s"} { // the last after two seconds
		if table := strings.Join(tableOf(t, blocks[i+1]), "\n"); strings.Contains(table, "IN/S") != (i > 0) || !strings.Contains(table, want) {
			t.Errorf("block %d, want %q:\n%s", i, want, table)
		}
	}
	if !strings.HasSuffix(blocks[1], "down 2\n\n") {
		t.Errorf("no empty line between blocks: %q", blocks[1])
	}
}

// TestStatusWatchTerminal: on a terminal the text is painted over.
func TestStatusWatchTerminal(t *testing.T) {
	out, _, err := watched(t, 80, false, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	pages := strings.Split(out, "\x1b[H")
	if len(pages) != 3 || pages[0] != "" {
		t.Fatalf("%d pages, want 2: %q", len(pages)-1, out)
	}
	for _, page := range pages[1:] {
		text, ok := strings.CutSuffix(page, "\x1b[J")
		if !ok || strings.Count(text, "\n") != strings.Count(text, "\x1b[K\n") {
			t.Errorf("old text may stay behind in %q", page)
		}
	}
}

// TestStatusWatchJSON: one document a line.
func TestStatusWatchJSON(t *testing.T) {
	out, _, err := watched(t, 80, true, 0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(out) {
		var s control.Status
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Peers[0].BytesIn != uint64(1_572_864+n) {
			t.Errorf("line %d: %v in %s", n, err, line)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
}

// TestStatusWatchEnds: when the client ends, so does the command, with an error.
func TestStatusWatchEnds(t *testing.T) {
	gone := errors.New("it does not run any more")
	out, took, err := watched(t, 0, false, 0, gone)
	if !errors.Is(err, gone) || err.Error() != "status: it does not run any more" || took != time.Second {
		t.Errorf("error %v after %v", err, took)
	}
	if !strings.HasPrefix(out, "campagnol 1.0.0") {
		t.Errorf("output %q", out)
	}
}

// TestStatusDisplayFails: an output that is closed ends the command.
func TestStatusDisplayFails(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := newStatusDisplay(w, false, false)
	if got := d.width(); got != 0 {
		t.Errorf("a pipe is a terminal of width %d", got)
	}
	w.Close()
	if err := d.show(sampleStatus(), nil); err == nil {
		t.Error("no error from an output that is closed")
	}
	if err := newStatusDisplay(&bytes.Buffer{}, true, false).show(sampleStatus(), []byte("no JSON")); err == nil {
		t.Error("no error for a document that is none")
	}
}
