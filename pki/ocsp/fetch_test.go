package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"campagnol/pki/pkitest"

	"golang.org/x/crypto/ocsp"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{ // "": accepted
		"http://ocsp.example.org":               "",
		"http://ocsp.example.org:8080/a?b":      "",
		"http://203.0.113.7/":                   "",
		"http://[2001:db8::7]:8080/":            "",
		"HTTP://ocsp.example.org/":              "",
		"https://ocsp.example.org/":             "over http only",
		"ldap://ocsp.example.org/":              "over http only",
		"file:///etc/passwd":                    "over http only",
		"ocsp.example.org":                      "over http only",
		"":                                      "over http only",
		"http:///path":                          "is not the address",
		"http://:8080/":                         "is not the address",
		"http:ocsp.example.org":                 "is not the address",
		"http://user:word@ocsp.example.org":     "is not the address",
		"http://ocsp.example.org/#part":         "is not the address",
		"http://ocsp.example.org:port/":         "is not the address",
		"http://ocsp.example.org/\x00":          "is not the address",
		"http://" + strings.Repeat("a", maxURL): "longer than 2048 bytes",
	} {
		_, err := ParseURL(text)
		wantFault(t, text, err, want)
	}
}

// TestAddresses: what is in the VPN is not asked, nor what only this host or its
// neighbours reach.
func TestAddresses(t *testing.T) {
	c := NewChecker(Config{})
	for _, vpn := range []string{"", "10.9.0.0/24", "10.0.0.0/8"} {
		var prefix netip.Prefix
		if vpn != "" {
			prefix = netip.MustParsePrefix(vpn)
		}
		c.Avoid(prefix)
		for addr, want := range map[string]string{
			"203.0.113.7":            "",
			"2001:db8::7":            "",
			"192.168.1.1":            "", // a company's own network
			"fd00::7":                "",
			"10.9.0.7":               "in the VPN",
			"::ffff:10.9.0.7":        "in the VPN",
			"127.0.0.1":              "not asked",
			"127.8.8.8":              "not asked",
			"::1":                    "not asked",
			"::ffff:127.0.0.1":       "not asked",
			"169.254.169.254":        "not asked", // where clouds keep secrets
			"::ffff:169.254.169.254": "not asked",
			"fe80::1%eth0":           "not asked",
			"0.0.0.0":                "not asked",
			"::":                     "not asked",
			"224.0.0.1":              "not asked",
			"255.255.255.255":        "not asked",
			"ff02::1":                "not asked",
		} {
			if want == "in the VPN" && vpn == "" {
				want = ""
			}
			wantFault(t, vpn+" "+addr, c.admit(netip.MustParseAddr(addr)), want)
		}
	}
}

// TestTransport asks over real TCP: no connection is made to this host, whatever
// stands in the environment, and by name as by address.
func TestTransport(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	port := server.Listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	t.Setenv("HTTP_PROXY", server.URL) // which would ask for us
	t.Setenv("http_proxy", server.URL)
	c := NewChecker(Config{})
	for _, host := range []string{"127.0.0.1", "localhost", "127.1.2.3"} {
		u := &url.URL{Scheme: "http", Host: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String()}
		u.Host = strings.Replace(u.Host, "127.0.0.1", host, 1)
		_, err := c.post(t.Context(), u, nil)
		wantFault(t, host, err, "is not asked")
	}
	if reached {
		t.Error("the server on this host was asked")
	}
	if proxy := c.transport.(*http.Transport).Proxy; proxy != nil {
		t.Error("a proxy is used")
	}
}

// TestHTTP checks what is sent, and what of HTTP is taken for an answer, with real
// servers.
func TestHTTP(t *testing.T) {
	ca := pkitest.NewCA(t, "root", time.Now())
	leaf := ca.Issue(t, "alice", named(address)).Cert
	now := time.Now()
	der := says{this: now, next: now.Add(time.Hour)}.answer(t, ca, leaf)
	request, err := ocsp.CreateRequest(leaf, ca.Cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect is followed") }))
	defer elsewhere.Close()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"an answer", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" || !bytes.Equal(body, request) {
				t.Errorf("asked with %s, header %v, %x, %v", r.Method, r.Header, body, err)
			}
			if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Cookie") != "" {
				t.Errorf("header %v", r.Header)
			}
			w.Write(der)
		}, ""},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "HTTP status 307"},
		{"not found", http.NotFound, "HTTP status 404"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "HTTP status 204"},
		{"without end", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<12)); err != nil {
					return
				}
			}
		}, "longer than 65536 bytes"},
		{"cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(der[:10])
		}, "unexpected EOF"},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("\x1f\x8b\x08\x00"))
		}, "no answer"},
		{"a long header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
			w.Write(der)
		}, "header"},
	} {
		server := httptest.NewServer(c.answer)
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		ours := NewChecker(Config{})
		ours.transport.(*http.Transport).DialContext = nil // which would refuse this host
		_, err = ours.fetch(t.Context(), u, leaf, ca.Cert)
		wantFault(t, c.name, err, c.want)
		server.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ours := NewChecker(Config{})
	_, err = ours.fetch(ctx, &url.URL{Scheme: "http", Host: "203.0.113.1"}, leaf, ca.Cert)
	wantFault(t, "given up", err, "canceled")
}

// TestQuestion: the issuer is named by SHA-1, as RFC 5019 section 2.1.1 wants it,
// and nothing but the serial number is told.
func TestQuestion(t *testing.T) {
	ca := pkitest.NewCA(t, "root", began)
	leaf := ca.Issue(t, "alice", named(address)).Cert
	var q *ocsp.Request
	c := NewChecker(Config{Transport: web(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			q, err = ocsp.ParseRequest(body)
		}
		if err != nil {
			t.Error(err)
		}
		return reply(http.StatusNotFound, nil), nil
	})})
	c.fetch(t.Context(), &url.URL{Scheme: "http", Host: "x"}, leaf, ca.Cert)
	if q == nil || q.HashAlgorithm != crypto.SHA1 || q.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Errorf("asked %+v", q)
	}
}
