package stream

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// A connectProxy is an HTTP proxy that connects whoever knows the password.
type connectProxy struct {
	net.Listener
	user, password string // "": everybody
	secured        *tls.Config

	mu    sync.Mutex
	asked []string
}

// startProxy runs it until the test ends.
func startProxy(t *testing.T, p *connectProxy) *connectProxy {
	t.Helper()
	p.Listener = listenTCP(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		p.Close()
		wg.Wait()
	})
	return p
}

func (p *connectProxy) serve(conn net.Conn) {
	defer conn.Close()
	if p.secured != nil {
		conn = tls.Server(conn, p.secured)
	}
	br := bufio.NewReader(conn)
	r, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI+" "+r.Host)
	p.mu.Unlock()
	if p.user != "" {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if user, password, ok := r.BasicAuth(); !ok || user != p.user || password != p.password {
			io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nsorr")
			return
		}
	}
	server, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer server.Close()
	io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n")
	go func() {
		io.Copy(server, br)
		server.Close()
	}()
	io.Copy(conn, server)
}

// url returns how clients name the proxy.
func (p *connectProxy) url(scheme, user string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: p.Addr().String()}
	if name, password, ok := strings.Cut(user, ":"); ok {
		u.User = url.UserPassword(name, password)
	}
	return u
}

// TestProxy: a proxy connects us, and all goes as without one.
func TestProxy(t *testing.T) {
	server, client := serverTLS(t)
	secured, trusting := serverTLS(t)
	trusting.ServerName = "rdv.example.org"
	for _, c := range []struct {
		name          string
		proxy         *connectProxy
		scheme, user  string
		server, asked *tls.Config
	}{
		{"to TCP", &connectProxy{}, "http", "", nil, nil},
		{"to TLS", &connectProxy{}, "http", "", server, client},
		{"with a password", &connectProxy{user: "me@x", password: "a:b c"}, "http", "me@x:a:b c", server, client},
		{"that speaks TLS", &connectProxy{secured: secured}, "https", "", server, client},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := echoing(t, listenTCP(t), ListenConfig{TLS: c.server})
			p := startProxy(t, c.proxy)
			conn := dialTo(t, s, Config{Name: "rdv.example.org", TLS: c.asked, Proxy: p.url(c.scheme, c.user), ProxyTLS: trusting})
			exchange(t, conn, s.LocalAddr(), mixed...)
			conn.Close()
			at := s.LocalAddr().String()
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.asked) != 1 || p.asked[0] != "CONNECT "+at+" "+at {
				t.Errorf("the proxy was asked for %q", p.asked)
			}
		})
	}
}

// TestProxyRefuses: the error says what the proxy has said, the hint what to do, and
// neither has the password.
func TestProxyRefuses(t *testing.T) {
	s := echoing(t, listenTCP(t), ListenConfig{})
	nobody := listenTCP(t)
	nobody.Close()
	p := startProxy(t, &connectProxy{user: "me", password: "secret"})
	for _, c := range []struct {
		name, user string
		to         net.Addr
		want, hint string
	}{
		{"no password", "", s.listener.Addr(), "407 Proxy Authentication Required", "http://USER:PASSWORD@"},
		{"another password", "me:hidden", s.listener.Addr(), "407 Proxy Authentication Required", "does not take this user and password"},
		{"not reached", "me:secret", nobody.Addr(), "502 Bad Gateway", "cannot reach the server"},
	} {
		_, err := Dial(t.Context(), Config{Addr: addrPort(c.to), Proxy: p.url("http", c.user)})
		var refused *ProxyError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), p.Addr().String()) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		if !strings.Contains(refused.Hint(), c.hint) {
			t.Errorf("%s: hint %q, want %q", c.name, refused.Hint(), c.hint)
		}
		if text := err.Error() + refused.Hint(); strings.Contains(text, "hidden") || strings.Contains(text, "secret") {
			t.Errorf("%s: the password is in %q", c.name, text)
		}
	}
	for code, hint := range map[int]string{403: "port 443", 405: "port 443", 404: "takes CONNECT"} {
		if e := (&ProxyError{Code: code}); !strings.Contains(e.Hint(), hint) {
			t.Errorf("%d: hint %q", code, e.Hint())
		}
	}
	if _, err := Dial(t.Context(), Config{Addr: s.LocalAddr(), Proxy: &url.URL{Scheme: "socks5", Host: "127.0.0.1:1", User: url.UserPassword("me", "secret")}}); err == nil ||
		!strings.Contains(err.Error(), "is not an HTTP proxy") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a proxy of another kind: %v", err)
	}
}

// TestProxyAddr: the port of a proxy may be left out.
func TestProxyAddr(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy": "proxy:80", "https://proxy": "proxy:443", "http://u:p@[2001:db8::1]:3128/": "[2001:db8::1]:3128", "http://": "", "ftp://proxy": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := proxyAddr(u); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

// A text is a connection from which one is read.
type text struct {
	net.Conn
	io.Reader
}

func (x text) Read(b []byte) (int, error) { return x.Reader.Read(b) }

// TestProxyAnswers: what proxies may answer, and what they had better not. What is behind
// the answer is the server's.
func TestProxyAnswers(t *testing.T) {
	for _, c := range []struct {
		answer string
		code   int
		status string
		rest   string
		err    error
	}{
		{"HTTP/1.1 200 OK\r\n\r\nserver", 200, "200 OK", "server", nil},
		{"HTTP/1.0 200 OK\nVia: x\n\nserver", 200, "200 OK", "server", nil},
		{"HTTP/1.1 299 \r\nA: b\r\n\r\n", 299, "299 ", "", nil},
		{"HTTP/1.1 403 <\x1b[31m>\x00é\r\n\r\n", 403, "403 <?[31m>???"[:len("403 <?[31m>??")], "", nil},
		{"HTTP/1.1 403 " + strings.Repeat("x", 200) + "\r\n\r\n", 403, "403 " + strings.Repeat("x", 76), "", nil},
		{"HTTP/1.1\r\n\r\n", 0, "", "", errAnswer},
		{"HTTP/1.1 2x0 OK\r\n\r\n", 0, "", "", errAnswer},
		{"HTTP/2 200\r\n\r\n", 0, "", "", errAnswer},
		{"SSH-2.0-x\r\n\r\n", 0, "", "", errAnswer},
		{strings.Repeat("x", 2*maxAnswer), 0, "", strings.Repeat("x", maxAnswer), errAnswer},
		{"HTTP/1.1 200 OK\r\n", 0, "", "", io.EOF},
	} {
		r := strings.NewReader(c.answer)
		code, status, err := readAnswer(text{Reader: r})
		rest, _ := io.ReadAll(r)
		if code != c.code || status != c.status || err != c.err || string(rest) != c.rest {
			t.Errorf("%.40q: %d %q, %v, and then %.20q", c.answer, code, status, err, rest)
		}
	}
}

// FuzzProxyAnswer: whatever a proxy answers, what people see of it can be shown.
func FuzzProxyAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\n")
	f.Add("HTTP/1.1 407 \xff\n\n")
	f.Fuzz(func(t *testing.T, answer string) {
		code, status, err := readAnswer(text{Reader: strings.NewReader(answer)})
		if err != nil && (code != 0 || status != "") {
			t.Fatalf("%d, %q and %v", code, status, err)
		}
		if code < 0 || code > 999 || len(status) > 80 || strings.ContainsFunc(status, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%d, %q", code, status)
		}
	})
}

// TestProxyEndless: a proxy that goes on with provisional answers is left, and one that
// says nothing waits for nobody.
func TestProxyEndless(t *testing.T) {
	for name, answer := range map[string]string{
		"does not come to an answer": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10),
		"has closed the connection":  "HTTP/1.1 200",
	} {
		l := listenTCP(t)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, answer)
			conn.Close()
		}()
		_, err := Dial(t.Context(), Config{Addr: addrPort(l.Addr()), Proxy: &url.URL{Scheme: "http", Host: l.Addr().String()}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// TestProxyUnknown: a proxy by https has to prove who it is.
func TestProxyUnknown(t *testing.T) {
	secured, _ := serverTLS(t)
	p := startProxy(t, &connectProxy{secured: secured})
	_, trusting := serverTLS(t)
	_, err := Dial(t.Context(), Config{Addr: addrPort(p.Addr()), Proxy: p.url("https", ""), ProxyTLS: trusting})
	if err == nil || !strings.Contains(err.Error(), "TLS with the proxy") {
		t.Errorf("%v", err)
	}
}
