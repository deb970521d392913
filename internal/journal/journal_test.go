//go:build unix

package journal

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listen plays the journal at a socket.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next returns the next entry.
func next(t *testing.T, conn *net.UnixConn) []Field {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 2*maxEntry)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := Parse(b[:n])
	if err != nil {
		t.Fatalf("%q: %v", b[:n], err)
	}
	return fields
}

// TestAppend: values with line ends are told by their length, as the protocol has it.
func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []Field
		want   string
	}{
		{"plain", []Field{{"MESSAGE", "hello"}, {"PRIORITY", "5"}}, "MESSAGE=hello\nPRIORITY=5\n"},
		{"equals sign", []Field{{"A", "b=c"}}, "A=b=c\n"},
		{"empty", []Field{{"A", ""}}, "A=\n"},
		{"line end", []Field{{"MESSAGE", "a\nB=c"}}, "MESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00a\nB=c\n"},
		{"names that are none", []Field{{"", "x"}, {"_PID", "1"}, {"1A", "x"}, {"a", "x"}, {"A B", "x"}, {"A=\nB", "x"}, {strings.Repeat("A", 65), "x"}, {"A_1", "y"}}, "A_1=y\n"},
	} {
		if got := string(Append(nil, c.fields)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestParseRefuses: what is no entry is an error, and no more.
func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"A=b", "A", "a=b\n", "=b\n", "A\n", "A\n\x01\x00\x00", "A\n\xff\xff\xff\xff\xff\xff\xff\xffx\n", "A\n\x01\x00\x00\x00\x00\x00\x00\x00xy", "\n"} {
		if fields, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, fields)
		}
	}
}

// FuzzParse: what Append makes of what Parse returns is the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("MESSAGE=a\nPRIORITY=5\n"))
	f.Add([]byte("MESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(Append(nil, fields))
		if err != nil || !slices.Equal(fields, again) {
			t.Errorf("%q: %v, and again %v, %v", b, fields, again, err)
		}
	})
}

// TestSend: entries come as they are; a journal that was started again gets the next one,
// and one that is gone is an error.
func TestSend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	if _, err := Dial(path); err == nil {
		t.Error("there is no journal, and it is called")
	}
	conn := listen(t, path)
	s, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{{"MESSAGE", "one\ntwo"}, {"PRIORITY", "4"}}
	if err := s.Send(want); err != nil {
		t.Fatal(err)
	}
	if got := next(t, conn); !slices.Equal(got, want) {
		t.Errorf("the journal got %v, want %v", got, want)
	}
	conn.Close()
	os.Remove(path)
	if err := s.Send(want); err == nil {
		t.Error("the journal is gone, and has got an entry")
	}
	conn = listen(t, path)
	if err := s.Send(want); err != nil {
		t.Error(err)
	}
	if got := next(t, conn); !slices.Equal(got, want) {
		t.Errorf("the new journal got %v, want %v", got, want)
	}
	if err := s.Send([]Field{{"MESSAGE", strings.Repeat("x", maxEntry)}}); !errors.Is(err, ErrSize) {
		t.Errorf("an entry that is too large: %v, want ErrSize", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSendStuck: a journal that does not read does not hold anybody up for long.
func TestSendStuck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listen(t, path)
	s, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := 0; ; n++ { // more than the queue of any socket
		if err := s.Send([]Field{{"MESSAGE", "x"}}); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil || n > 100000 {
			t.Fatalf("after %d entries: %v, want a timeout", n, err)
		}
	}
}

// TestReads: JOURNAL_STREAM says which file leads to the journal.
func TestReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Skip("there is no journal on " + runtime.GOOS)
	}
	dev, ino := strconv.FormatUint(uint64(st.Dev), 10), strconv.FormatUint(st.Ino, 10)
	for _, c := range []struct {
		value string
		want  bool
	}{
		{dev + ":" + ino, true}, {"", false}, {dev, false}, {dev + ":", false}, {ino + ":x", false}, {"x:" + ino, false},
		{dev + ":" + ino + "0", false}, {dev + "0:" + ino, false},
	} {
		t.Setenv(streamVariable, c.value)
		if got := Reads(w); got != c.want {
			t.Errorf("JOURNAL_STREAM=%q: %v, want %v", c.value, got, c.want)
		}
	}
	if Reads(nil) {
		t.Error("no file leads to the journal")
	}
}
