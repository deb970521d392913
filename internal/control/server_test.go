package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	s, _ := serve(t, Config{})
	got, raw, err := newClient(t, s.Path()).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("got %+v, want %+v", got, sample())
	}
	want, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != string(want)+"\n" {
		t.Errorf("sent\n%swant\n%s", raw, want)
	}
}

// exchange sends bytes as they are and returns the status and the body of the
// answer.
func exchange(t *testing.T, path, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// What is refused before it was read may not be taken to its end.
	go io.WriteString(conn, request)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return resp.StatusCode, string(b)
}

// TestRequests sends what nobody should send, and wants clear answers.
func TestRequests(t *testing.T) {
	s, _ := serve(t, Config{Routes: map[string]Handler{
		"GET /v1/status": func(*http.Request) (any, error) { return map[string]int{"answer": 42}, nil },
		"GET /v1/refused": func(*http.Request) (any, error) {
			return nil, fmt.Errorf("wrapped: %w", &Error{Status: 409, Text: "no", Advice: "ask later"})
		},
		"GET /v1/broken":  func(*http.Request) (any, error) { return nil, errors.New("no idea") },
		"GET /v1/strange": func(*http.Request) (any, error) { return make(chan int), nil },
		"GET /v1/panic":   func(*http.Request) (any, error) { panic("for the test") },
		"POST /v1/read": func(r *http.Request) (any, error) {
			b, err := io.ReadAll(r.Body)
			return len(b), err
		},
	}})
	long := strings.Repeat("x", maxBody)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(long), long)
	const end = " HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		body          string
	}{
		{"good", "GET /v1/status" + end, 200, `{"answer":42}`},
		{"with parameters", "GET /v1/status?x=1" + end, 200, `{"answer":42}`},
		{"no such path", "GET /v2/status" + end, 404, `{"error":"there is no request GET /v2/status","hint":"docs/control.md lists the requests; a newer version may have more"}`},
		{"no such method", "DELETE /v1/status" + end, 404, `{"error":"there is no request DELETE /v1/status","hint":"docs/control.md lists the requests; a newer version may have more"}`},
		{"refused by the route", "GET /v1/refused" + end, 409, `{"error":"no","hint":"ask later"}`},
		{"an error of the route", "GET /v1/broken" + end, 500, `{"error":"no idea"}`},
		{"no JSON", "GET /v1/strange" + end, 500, `{"error":"the answer cannot be written as JSON"}`},
		{"as large as may be", fmt.Sprintf("POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", maxBody, long), 200, fmt.Sprint(maxBody)},
		{"too large, as it says", fmt.Sprintf("POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%sx", maxBody+1, long), 413, `{"error":"the request is larger than 64 KiB"}`},
		{"too large, in chunks", "POST /v1/read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n", 413, `{"error":"the request is larger than 64 KiB"}`},
		{"a huge header", "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + long + "\r\n\r\n", 431, "431 Request Header Fields Too Large"},
		{"no HTTP", "hello\r\n\r\n", 400, "400 Bad Request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := exchange(t, s.Path(), c.request)
			if got := strings.TrimSpace(body); status != c.status || got != c.body {
				t.Errorf("status %d, %s, want %d, %s", status, got, c.status, c.body)
			}
		})
	}
	// A handler that panics has broken its own request only.
	if _, _, err := newClient(t, s.Path()).ask(t.Context(), http.MethodGet, "/v1/panic", askTime); err == nil {
		t.Error("a handler that panics has answered")
	}
	if status, _ := exchange(t, s.Path(), "GET /v1/status"+end); status != 200 {
		t.Errorf("after a panic: status %d, want 200", status)
	}
}

// TestTooManyConns: connections beyond the limit wait until others end.
func TestTooManyConns(t *testing.T) {
	s, _ := serve(t, Config{})
	var idle []net.Conn
	for range maxConns {
		conn, err := net.Dial("unix", s.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Each has been accepted when it is answered, and is idle then.
		if _, err := io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("connection %d: %v", len(idle), err)
		}
		idle = append(idle, conn)
	}
	c := newClient(t, s.Path())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := c.Status(ctx); err == nil {
		t.Fatalf("one connection more than %d was answered", maxConns)
	}
	idle[0].Close()
	if _, _, err := c.Status(t.Context()); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestServeEnds: the end of the context ends requests, idle connections and
// those that have not said anything, and removes the socket. Serve returns when
// the handlers have.
func TestServeEnds(t *testing.T) {
	entered := make(chan struct{})
	var left atomic.Bool
	s, stop := serve(t, Config{Routes: routesOf(func(r *http.Request) (any, error) {
		close(entered)
		<-r.Context().Done()
		left.Store(true)
		return nil, r.Context().Err()
	})})
	silent, err := net.Dial("unix", s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answered := make(chan error, 1)
	go func() {
		_, _, err := NewClient(s.Path()).Status(context.Background())
		answered <- err
	}()
	<-entered
	stop()
	if !left.Load() {
		t.Error("Serve has returned before a handler")
	}
	if err := <-answered; err == nil {
		t.Error("a request was answered that was cut off")
	}
	if _, err := os.Lstat(s.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there (%v)", err)
	}
}

// TestServeFails: a listener that somebody closes makes Serve return an error.
func TestServeFails(t *testing.T) {
	s, err := Listen(Config{Path: newDir(t) + "/x.sock"})
	if err != nil {
		t.Fatal(err)
	}
	s.place.listener.Close()
	if err := s.Serve(t.Context()); err == nil {
		t.Error("Serve has returned without an error")
	}
	if _, err := os.Lstat(s.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there (%v)", err)
	}
}

func TestClose(t *testing.T) {
	s, err := Listen(Config{Path: newDir(t) + "/x.sock"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if _, err := os.Lstat(s.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there (%v)", err)
	}
}
