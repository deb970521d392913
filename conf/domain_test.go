package conf

import (
	"strings"
	"testing"
)

func TestDomain(t *testing.T) {
	for _, c := range []struct{ value, want, problem string }{
		{"vpn.example", "vpn.example", ""},
		{"VPN.Example.", "vpn.example", ""},
		{"vpn", "vpn", ""},
		{"x-1.internal", "x-1.internal", ""},
		{"home.local", "home.local", "by multicast (RFC 6762)"},
		{"-x.example", "", "is not a domain"},
		{"x-.example", "", "is not a domain"},
		{"a..b", "", "is not a domain"},
		{"a_b.example", "", "is not a domain"},
		{"10.in-addr.arpa", "", "belongs to the Internet's own names"},
		{"x.localhost", "", "is this host"},
		{".", "", "is empty"},
		{strings.Repeat("x", 64) + ".example", "", "is not a domain"},
		{strings.Repeat("x.", 100) + "example", "", "is too long"},
	} {
		cfg, problems, err := ParseClient("f", []byte(minimal+"[VPN]\ndns_domain = "+c.value+"\n"))
		text := list(problems)
		if err != nil {
			text += err.Error()
		}
		if c.problem == "" && text != "" || !strings.Contains(text, c.problem) {
			t.Errorf("%q: %s, want %q", c.value, text, c.problem)
		}
		if err == nil && cfg.DNSDomain != c.want {
			t.Errorf("%q is taken as %q, want %q", c.value, cfg.DNSDomain, c.want)
		}
		if (err == nil) != (c.want != "") {
			t.Errorf("%q: %v", c.value, err)
		}
	}
}
