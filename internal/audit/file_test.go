//go:build unix

package audit

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// opened returns a trail with a file, and a function that ends it.
func opened(t *testing.T, path string) (*Trail, func()) {
	t.Helper()
	trail, end := running(t, nil, nil)
	if err := trail.Open(Place{Where: path}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return trail, end
}

// events returns the events in a file, in order.
func events(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for l := range strings.Lines(string(b)) {
		_, rest, ok := strings.Cut(l, `"event":"`)
		word, _, _ := strings.Cut(rest, `"`)
		if !ok || !strings.HasSuffix(l, "}\n") {
			t.Errorf("%s has the line %q", path, l)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestFile: the file and its folder are made with modes of their own, whatever the umask
// is, and what is there is kept.
func TestFile(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "log", "audit.log")
	for _, event := range []Event{Started, Stopped} {
		if fresh := (Place{Where: path}).NewFolder(); fresh != (event == Started) {
			t.Errorf("%s: the folder is new: %v", event, fresh)
		}
		trail, end := opened(t, path)
		trail.Record(Record{Event: event})
		end()
	}
	if got, want := events(t, path), "started stopped"; got != want {
		t.Errorf("it has %s, want %s", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("the file: %v, %v, want mode 0640", info.Mode(), err)
	}
}

// TestFileGroup: the group of the control socket may read it.
func TestFileGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "audit.log")
	gid := os.Getgid()
	trail, end := running(t, nil, nil)
	if err := trail.Open(Place{Where: path, Group: fmt.Sprint(gid)}, nil); err != nil {
		t.Fatal(err)
	}
	end()
	for _, p := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Gid) != gid {
			t.Errorf("%s has the group %d, want %d", p, st.Gid, gid)
		}
	}
	err := trail.Open(Place{Where: path, Group: "no such group"}, nil)
	if err == nil || !strings.Contains(err.Error(), `there is no group "no such group"`) {
		t.Errorf("a group that is none: %v", err)
	}
}

// TestFileMoved: a file that was moved away, removed or cut off is made anew, and no record
// is lost by that.
func TestFileMoved(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	trail, end := opened(t, path)
	const rounds, records = 5, 200
	var mover sync.WaitGroup
	for round := range rounds {
		mover.Go(func() {
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, round)); err != nil {
				t.Error(err)
			}
			if round%2 == 0 {
				trail.Renew()
			}
		})
		for range records {
			trail.Record(Record{Event: Reloaded})
		}
		mover.Wait()
		trail.Record(Record{Event: Reloaded}) // makes the file, if nothing else came after the move
		waitWritten(t, trail, uint64((round+1)*(records+1)))
	}
	end()
	total := 0
	for round := range rounds {
		total += strings.Count(events(t, fmt.Sprintf("%s.%d", path, round)), "reloaded")
	}
	total += strings.Count(events(t, path), "reloaded")
	if want := rounds * (records + 1); total != want || trail.Lost() != 0 {
		t.Errorf("%d records are in the files, %d lost, want %d", total, trail.Lost(), want)
	}
}

// waitWritten waits until a trail has written so many records.
func waitWritten(t *testing.T, trail *Trail, n uint64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for trail.Written() < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d records are written, want %d", trail.Written(), n)
		}
		runtime.Gosched()
	}
}

// TestFileRemoved: a file without a name gets no records that nobody could read.
func TestFileRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := openFile(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	os.Remove(path)
	if err := f.write(nil, []byte("{\"event\":\"started\"}\n")); err != nil {
		t.Error(err)
	}
	if got := events(t, path); got != "started" {
		t.Errorf("the new file has %q", got)
	}
}

// TestFileRefused: what somebody else has prepared is not written to, and the error says
// what to do.
func TestFileRefused(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("target", 0o600)
	write("open", 0o666)
	write("linked", 0o600)
	for _, err := range []error{
		os.Symlink(at("target"), at("symlink")), os.Link(at("linked"), at("other")),
		os.Mkdir(at("folder"), 0o700), syscall.Mkfifo(at("pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ where, want, hint string }{
		{at("symlink"), "too many levels of symbolic links", "is not followed"},
		{at("linked"), "has another name", "move it away"},
		{at("open"), "everybody may write", "chmod o-w"},
		{at("folder"), "is a directory", ""},
		{at("pipe"), "no such device", "pipe that nobody reads"},
		{at("not/there/audit.log"), "its folder cannot be made", "install -d -m 750 " + at("not/there")},
		{"jurnal", `"jurnal" is no place for it`, "or syslog, or journal"},
		{folder + "/", "is no place", "path of a file"},
	} {
		trail, end := running(t, nil, nil)
		err := trail.Open(Place{Where: c.where}, nil)
		end()
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: %v; %v\nwant %q; %q", c.where, err, e, c.want, c.hint)
		}
	}
	if b, err := os.ReadFile(at("target")); err != nil || len(b) > 0 {
		t.Errorf("the link's target has %q, %v", b, err)
	}
}

// TestFileStays: if the file that was moved away cannot be made anew, records go on in the
// old one, and the log says so.
func TestFileStays(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	trail, end := running(t, nil, nil)
	var out bytes.Buffer
	if err := trail.Open(Place{Where: path}, slog.New(slog.NewTextHandler(&out, nil))); err != nil {
		t.Fatal(err)
	}
	trail.Record(Record{Event: Started})
	waitWritten(t, trail, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	trail.Record(Record{Event: Stopped})
	end()
	if got, want := events(t, path+".1"), "started stopped"; got != want || trail.Lost() != 0 {
		t.Errorf("the old file has %q, %d lost, want %q", got, trail.Lost(), want)
	}
	if !strings.Contains(out.String(), "The audit log cannot be written as it should be") {
		t.Errorf("the log says %q", out.String())
	}
}
