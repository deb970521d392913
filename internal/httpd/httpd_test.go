package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
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
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
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

// TestConnections: so many are open at a time, others wait their turn.
func TestConnections(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	var open []net.Conn
	for range maxConns {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	late, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := io.WriteString(late, "GET / HTTP/1.0\r\n\r\n")
		if err == nil {
			_, err = io.ReadAll(late)
		}
		answered <- err
	}()
	for len(s.l.free) < maxConns {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-answered:
		t.Errorf("one more was answered, %v", err)
	default:
	}
	for _, conn := range open {
		conn.Close()
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody was answered when there was room")
	}
}

func TestListenFails(t *testing.T) {
	s, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Listen(Config{Addr: s.Addr()}); err == nil || !strings.Contains(err.Error(), "httpd: ") {
		t.Errorf("a port that is taken: %v", err)
	}
}
