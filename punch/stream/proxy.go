package stream

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

const (
	// maxAnswer bounds the head of a proxy's answer, in bytes.
	maxAnswer = 8 << 10

	// maxInterim is how many answers may come before the one that counts.
	maxInterim = 4
)

// A ProxyError says that a proxy does not connect us.
type ProxyError struct {
	Proxy  string // host and port
	Status string // what it has answered, such as "403 Forbidden"
	Code   int    // of it
	Asked  string // what it was asked for
	User   bool   // it was given credentials
}

// Error returns what the proxy has said.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s does not connect to %s: %s", e.Proxy, e.Asked, e.Status)
}

// Hint returns what to do about it.
func (e *ProxyError) Hint() string {
	switch {
	case e.Code == 407 && e.User:
		return "the proxy does not take this user and password, or wants another way of authentication than Basic"
	case e.Code == 407:
		return "the proxy wants a user and a password: http://USER:PASSWORD@" + e.Proxy
	case e.Code == 403 || e.Code == 405:
		return "the proxy forbids it; most let connections through to port 443 only"
	case e.Code >= 500:
		return "the proxy itself cannot reach the server, or has no time"
	}
	return "is this an HTTP proxy that takes CONNECT?"
}

// proxyAddr returns the host and port of a proxy.
func proxyAddr(u *url.URL) (string, error) {
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("%q is not an HTTP proxy", u.Redacted())
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// tunnel has the proxy at the other end of conn connect us (RFC 9110 section 9.3.6).
func (cfg *Config) tunnel(ctx context.Context, conn net.Conn) (net.Conn, error) {
	proxy, err := proxyAddr(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	if cfg.Proxy.Scheme == "https" {
		t := cfg.ProxyTLS.Clone()
		if t == nil {
			t = &tls.Config{}
		}
		if t.ServerName == "" {
			t.ServerName = cfg.Proxy.Hostname()
		}
		secured := tls.Client(conn, t)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS with the proxy %s: %w", proxy, explain(err))
		}
		conn = secured
	}
	asked := cfg.Addr.String()
	request := "CONNECT " + asked + " HTTP/1.1\r\nHost: " + asked + "\r\n"
	user := cfg.Proxy.User != nil
	if user {
		password, _ := cfg.Proxy.User.Password()
		basic := base64.StdEncoding.EncodeToString([]byte(cfg.Proxy.User.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + basic + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", proxy, explain(err))
	}
	for range maxInterim {
		code, status, err := readAnswer(conn)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the proxy %s: %w", proxy, explain(err))
		case code >= 200 && code <= 299:
			return conn, nil
		case code >= 200:
			return nil, &ProxyError{Proxy: proxy, Status: status, Code: code, Asked: asked, User: user}
		}
	}
	return nil, fmt.Errorf("the proxy %s does not come to an answer", proxy)
}

var errAnswer = errors.New("what it answers is not HTTP")

// readAnswer reads the head of an answer, and nothing behind it: what follows is the
// server's already. So it reads byte by byte, which is done once.
func readAnswer(conn net.Conn) (code int, status string, err error) {
	var head []byte
	var b [1]byte
	for !ended(head) {
		if len(head) == maxAnswer {
			return 0, "", errAnswer
		}
		if _, err := conn.Read(b[:]); err != nil {
			return 0, "", err
		}
		head = append(head, b[0])
	}
	return parseStatus(string(head))
}

// ended reports whether b ends with an empty line. Some end lines without carriage return.
func ended(b []byte) bool {
	s := string(b[max(0, len(b)-4):])
	return s == "\r\n\r\n" || strings.HasSuffix(s, "\n\n")
}

// parseStatus reads the first line of an answer: HTTP/1.1 200 OK.
func parseStatus(head string) (code int, status string, err error) {
	line, _, _ := strings.Cut(head, "\n")
	version, status, found := strings.Cut(strings.TrimRight(line, "\r"), " ")
	if !found || !strings.HasPrefix(version, "HTTP/1.") || len(status) < 3 {
		return 0, "", errAnswer
	}
	for _, c := range status[:3] {
		if c < '0' || c > '9' {
			return 0, "", errAnswer
		}
		code = 10*code + int(c-'0')
	}
	return code, printable(status), nil
}

// printable returns a text of somebody else as it may be shown.
func printable(s string) string {
	const most = 80
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
