package httpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serve starts a server that ends with the test.
func serve(t *testing.T, h http.HandlerFunc) (s *Server, stop func()) {
	t.Helper()
	s, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	return s, run(t, s)
}

// run serves until the test ends, or stop is called.
func run(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// request sends bytes, and returns the status of the answer.
func request(t *testing.T, s *Server, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, text) // a server that refuses need not read all
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestServe(t *testing.T) {
	s, stop := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		fmt.Fprint(w, "here")
	})
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                     "HTTP/1.1 200 OK",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello":          "HTTP/1.1 413 Request Entity Too Large",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r": "HTTP/1.1 431 Request Header Fields Too Large",
		"\x16\x03\x01\r\n\r\n":                                                  "HTTP/1.1 400 Bad Request",
	} {
		if got := request(t, s, text); got != want {
			t.Errorf("%.40q is answered with %s, want %s", text, got, want)
		}
	}
	stop()
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("it listens after its end")
	}
}

// TestConnections: so many are open at a time, others wait for their turn; and who opens
// all of them and says nothing does not keep others out for ever.
func TestConnections(t *testing.T) {
	const patience = 300 * time.Millisecond
	s, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Handler: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []time.Duration{s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("a limit is %v", limit)
		}
	}
	s.http.ReadHeaderTimeout = patience
	run(t, s)
	for range maxConns {
		idle, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		if _, err := io.WriteString(idle, "GET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	got := request(t, s, "GET / HTTP/1.0\r\n\r\n") // waits until they are dropped
	if waited := time.Since(start); got != "HTTP/1.0 404 Not Found" || waited < patience/2 {
		t.Errorf("%s after %v: it has not waited for one of %d connections", got, waited, maxConns)
	}
}

// TestServeEnds: Serve ends with its context, and the port is free then.
func TestServeEnds(t *testing.T) {
	s, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Handler: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
	again, err := Listen(Config{Addr: s.Addr(), Handler: http.NotFoundHandler()})
	if err != nil {
		t.Fatalf("the port is not free again: %v", err)
	}
	if again.Asked() != s.Addr() {
		t.Errorf("asked for %v, want %v", again.Asked(), s.Addr())
	}
	again.Close()
	if err := again.Serve(t.Context()); err == nil {
		t.Error("a closed socket is no error")
	}
}

func TestListenFails(t *testing.T) {
	s, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Listen(Config{Addr: s.Addr()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that is taken: %v", err)
	}
}
