package turn

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	for s, want := range map[string]URI{
		"turn:relay.example.org":                    {Host: "relay.example.org", Port: 3478},
		"turns:relay.example.org":                   {Host: "relay.example.org", Port: 5349, TCP: true, TLS: true},
		"turn:192.0.2.1:57888":                      {Host: "192.0.2.1", Port: 57888},
		"TURN:192.0.2.1?transport=TCP":              {Host: "192.0.2.1", Port: 3478, TCP: true},
		"turn:[2001:DB8::1]:443?transport=udp":      {Host: "2001:db8::1", Port: 443},
		"turns:[2001:db8::1]:443?transport=tcp":     {Host: "2001:db8::1", Port: 443, TCP: true, TLS: true},
		"turn:_turn._udp.example.org?transport=udp": {Host: "_turn._udp.example.org", Port: 3478},
	} {
		if u, err := ParseURI(s); err != nil || u != want {
			t.Errorf("%s: %+v, %v, want %+v", s, u, err, want)
		}
	}
	for _, s := range []string{"turn:x", "turns:x", "turn:x:5", "turns:x:443", "turn:x?transport=tcp", "turn:[2001:db8::1]", "turns:[2001:db8::1]:5"} {
		if u, err := ParseURI(s); err != nil || u.String() != s {
			t.Errorf("%s is written %q, %v", s, u, err)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                                 "does not begin",
		"relay.example.org":                "does not begin",
		"stun:relay.example.org":           "does not begin",
		"turn://relay.example.org":         `no "//"`,
		"turn:":                            "no host",
		"turn::5":                          "no host",
		"turn:x:":                          "not a port",
		"turn:x:0":                         "not a port",
		"turn:x:65536":                     "not a port",
		"turn:x:+5":                        "not a port",
		"turn:2001:db8::1":                 "in brackets",
		"turn:[2001:db8::1":                `without "]"`,
		"turn:[192.0.2.1]":                 "not an IPv6 address",
		"turn:[fe80::1%eth0]":              "not an IPv6 address",
		"turn:[2001:db8::1]5":              "behind the address",
		"turn:x?transport=sctp":            "not a transport",
		"turn:x?lr":                        `"lr" is not known`,
		"turns:x?transport=udp":            "DTLS",
		"turn:user@x":                      "not a host",
		"turn:x/y":                         "not a host",
		"turn:" + strings.Repeat("x", 254): "too long",
	} {
		u, err := ParseURI(s)
		var e *URIError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Hint() == "" {
			t.Errorf("%q: %+v, %v, want %q", s, u, err, want)
		}
	}
}

// TestErrors: what people read.
func TestErrors(t *testing.T) {
	e := &Error{Server: server, What: "allocate", Code: CodeQuota}
	if got, want := e.Error(), "turn: relay 198.51.100.1:57888 refuses to allocate: 486 (the user has too many allocations)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for code, hint := range map[int]string{CodeQuota: "--relay-per-client", CodeUnauthorized: "password", CodeFamily: "family", 599: ""} {
		if h := (&Error{Code: code}).Hint(); !strings.Contains(h, hint) || hint == "" && h != "" {
			t.Errorf("%d: hint %q, want %q", code, h, hint)
		}
	}
	if got, want := (&Error{Server: server, What: "refresh", Code: 599}).Error(), "turn: relay 198.51.100.1:57888 refuses to refresh: 599"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
