package conf

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// TestTCPPort: at which port connections are taken, and where that is from outside.
func TestTCPPort(t *testing.T) {
	for _, c := range []struct {
		lines    []string
		port     uint16
		external []External
	}{
		{nil, 0, nil},
		{[]string{"tcp_port = 443"}, 443, nil},
		{[]string{"tcp_port = 443", "external_tcp = 203.0.113.9"}, 443, []External{{netip.MustParseAddrPort("203.0.113.9:0"), ""}}},
		{[]string{"external_tcp = 10.1.2.3:8443 office", "external_tcp = [2001:db8::5]:1", "tcp_port = 1"}, 1,
			[]External{{netip.MustParseAddrPort("10.1.2.3:8443"), "office"}, {netip.MustParseAddrPort("[2001:db8::5]:1"), ""}}},
	} {
		got, problems, err := reachable(t, c.lines...)
		if err != nil || len(problems) > 0 {
			t.Errorf("%q: %v, %s", c.lines, err, list(problems))
			continue
		}
		if got.TCPPort != c.port || !reflect.DeepEqual(got.ExternalTCP, c.external) || len(got.ExternalAddrs) > 0 {
			t.Errorf("%q: port %d, at %v, by UDP at %v; want %d, %v, and none", c.lines, got.TCPPort, got.ExternalTCP, got.ExternalAddrs, c.port, c.external)
		}
	}
}

// TestTCPPortRefused: what is no port, and no address, is refused with its place.
func TestTCPPortRefused(t *testing.T) {
	for line, want := range map[string]string{
		"tcp_port = 70000":           `f:2:12: tcp_port "70000" is not a port number`,
		"tcp_port = yes":             `f:2:12: tcp_port "yes" is not a port number`,
		"external_tcp = 127.0.0.1:1": `f:2:16: external_tcp "127.0.0.1:1" is no address at which another host can reach this one`,
		"external_tcp = example.org": `f:2:16: external_tcp "example.org" does not begin with an address`,
		"external_tcp = 10.0.0.1 /":  `does not end in the name of a network`,
	} {
		if _, _, err := reachable(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestExternalTCPAlone: without a port that takes connections external_tcp means nothing,
// which is said with its line.
func TestExternalTCPAlone(t *testing.T) {
	_, problems, err := reachable(t, "external_tcp = 203.0.113.9:443")
	if err != nil || len(problems) != 1 || problems[0].Pos.Line != 2 || !strings.Contains(problems[0].Text, "has no effect") || !strings.Contains(problems[0].Hint, "tcp_port") {
		t.Errorf("%v, %s", err, list(problems))
	}
	if _, problems, err = reachable(t, "tcp_port = 0", "external_tcp = 203.0.113.9:443"); err != nil || len(problems) != 0 {
		t.Errorf("with port 0: %v, %s, want nothing", err, list(problems))
	}
}
