package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// speak makes a socket on which something that is no server of ours answers each
// connection with the same bytes.
func speak(t *testing.T, answer string) (path string) {
	t.Helper()
	path = filepath.Join(newDir(t), "x.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				_, _ = conn.Read(buf) // the request; whoever answers need not read it
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return path
}

// reply is an HTTP answer.
func reply(status int, server, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d x\r\nServer: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, server, len(body), body)
}

// TestStrangeAnswers: what cannot be read is said, with the version that says it.
func TestStrangeAnswers(t *testing.T) {
	const (
		ours     = "campagnol/9.9"
		upgrade  = "use the campagnol program of that version, or restart the client with this one"
		nameit   = "name the control socket of a client with --socket"
		versions = "the client of the control socket PATH is of version 9.9, whose answer this program cannot read: "
		foreign  = "what listens on PATH is not a campagnol client: "
	)
	for _, c := range []struct{ name, answer, text, hint string }{
		{"no JSON", reply(200, ours, "hello"), versions + "invalid character 'h' looking for beginning of value", upgrade},
		{"another type", reply(200, ours, `{"version":"9.9","peers":7}`), versions + "json: cannot unmarshal number into Go struct field Status.peers of type []control.Peer", upgrade},
		{"another document", reply(200, ours, `{}`), versions + "version or time is missing", upgrade},
		{"no such request", reply(404, ours, `{"error":"there is no request GET /v1/status"}`), versions + "it answers with status 404", upgrade},
		{"a refusal", reply(503, ours, `{"error":"not now","hint":"later"}`), "not now", "later"},
		{"a refusal without text", reply(503, ours, `{}`), versions + "it answers with status 503", upgrade},
		{"another server", reply(200, "nginx", "<html>"), foreign + "invalid character '<' looking for beginning of value", nameit},
		{"another server's error", reply(500, "nginx", `{"error":"x"}`), foreign + "it answers with status 500", nameit},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := speak(t, c.answer)
			_, _, err := newClient(t, path).Status(t.Context())
			wantError(t, err, strings.ReplaceAll(c.text, "PATH", path), c.hint)
		})
	}
	t.Run("no HTTP", func(t *testing.T) {
		_, _, err := newClient(t, speak(t, "SSH-2.0-x\r\n\r\n")).Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), "does not answer: ") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("endless", func(t *testing.T) {
		body := strings.Repeat(" ", maxAnswer+1)
		c := newClient(t, speak(t, reply(200, ours, body)))
		c.http.Timeout = time.Minute
		_, _, err := c.Status(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), "the answer is too large") {
			t.Errorf("error %v", err)
		}
	})
}

// TestUnreachable: nobody answers, for reasons that people can tell apart.
func TestUnreachable(t *testing.T) {
	dir := newDir(t)
	path := filepath.Join(dir, "x.sock")
	_, _, err := newClient(t, path).Status(t.Context())
	wantError(t, err, "no client runs with the control socket "+path,
		"start the client; if it runs with another control_socket, name that with --socket")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cause of %v is not that of the system", err)
	}

	abandon(t, path)
	_, _, err = newClient(t, path).Status(t.Context())
	wantError(t, err, "the client of the control socket "+path+" does not run any more",
		"start it again; its log may say why it has ended")

	s, _ := serve(t, Config{Routes: routesOf(func(r *http.Request) (any, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})})
	c := newClient(t, s.Path())
	c.http.Timeout = 100 * time.Millisecond
	_, _, err = c.Status(t.Context())
	wantError(t, err, "the client of the control socket "+s.Path()+" does not answer: nothing came within 10s",
		"its log may say what it is busy with")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was given up: %v", err)
	}
}

// FuzzParseStatus reads what a socket that anybody could name might say.
func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(`{"version":"1","time":"2026-03-01T12:00:00Z","vpn_address":"10.9.0.1","network":"10.9.0.0/24"}`))
	f.Add([]byte(`{"version":"1","time":"2026-03-01T12:00:00Z","peers":[{"vpn_address":"fe80::1%\u001b","path":"1.2.3.4:5","since":"0001-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatus(b)
		if (s == nil) == (err == nil) {
			t.Fatalf("document %v and error %v", s, err)
		}
		if err == nil && (s.Version == "" || s.Time.IsZero()) {
			t.Errorf("accepted without version or time: %q", b)
		}
	})
}
