package conf

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// relaysOfEverything adds to a configuration what the file of TestEverything says of
// relays.
func relaysOfEverything(c *Client) {
	c.RelayFor, c.RelayOnly, c.RelayMaxRate = true, true, 12_500
	c.TURN = []TURN{
		{Server: Server{"turn.example.org", 3478}, User: "alice", Password: "pa%ss"},
		{Server: Server{"2001:db8::7", 443}, TCP: true, TLS: true, User: "bob", Password: "#1"},
	}
	c.HTTPProxy = &url.URL{Scheme: "http", User: url.UserPassword("carol", "s@t"), Host: "proxy.example.org:3128"}
}

func TestTURNServers(t *testing.T) {
	for _, c := range []struct {
		text string
		want TURN
		url  string
	}{
		{"turn:turn.example.org alice secret", TURN{Server{"turn.example.org", 3478}, false, false, "alice", "secret"}, "turn:turn.example.org:3478?transport=udp"},
		{"turn:192.0.2.7:3479?transport=udp \t a:b  p@s:s ", TURN{Server{"192.0.2.7", 3479}, false, false, "a:b", "p@s:s"}, "turn:192.0.2.7:3479?transport=udp"},
		{"TURN:host:1?transport=TCP u p", TURN{Server{"host", 1}, true, false, "u", "p"}, "turn:host:1?transport=tcp"},
		{"turns:host u p", TURN{Server{"host", 5349}, true, true, "u", "p"}, "turns:host:5349?transport=tcp"},
		{"turns:host:443?transport=tcp u p", TURN{Server{"host", 443}, true, true, "u", "p"}, "turns:host:443?transport=tcp"},
		{"turn:[2001:db8::7] u p", TURN{Server{"2001:db8::7", 3478}, false, false, "u", "p"}, "turn:[2001:db8::7]:3478?transport=udp"},
		{"turn:[2001:db8::7]:9 u p", TURN{Server{"2001:db8::7", 9}, false, false, "u", "p"}, "turn:[2001:db8::7]:9?transport=udp"},
		{`"turn:host u #1;"`, TURN{Server{"host", 3478}, false, false, "u", "#1;"}, "turn:host:3478?transport=udp"},
		{"turn:host u " + long(763), TURN{Server{"host", 3478}, false, false, "u", long(763)}, "turn:host:3478?transport=udp"},
	} {
		got, problems, err := reachable(t, "relay = "+c.text)
		if err != nil || len(problems) > 0 {
			t.Errorf("%.60s: %v, %s", c.text, err, list(problems))
			continue
		}
		if !reflect.DeepEqual(got.TURN, []TURN{c.want}) || got.RelayFor {
			t.Errorf("%.60s: %+v, want %+v", c.text, got.TURN, c.want)
		} else if u := got.TURN[0].URL(); u != c.url {
			t.Errorf("%.60s: URL %s, want %s", c.text, u, c.url)
		}
	}
}

func TestTURNServersRefused(t *testing.T) {
	for text, want := range map[string]string{
		"maybe":                          "is neither yes, nor no, nor a TURN server",
		"yes please":                     "is neither yes, nor no, nor a TURN server",
		"stun:host u p":                  "is neither yes, nor no, nor a TURN server",
		"turn.example.org u p":           "is neither yes, nor no, nor a TURN server",
		"turn:host":                      "has no user and password",
		"turn:host alice":                "has no user and password",
		"turn:host u p more":             "has more than a server, a user and a password",
		"turn: u p":                      "does not name a host",
		"turn://host u p":                "does not name a host",
		"turn:ho/st u p":                 "does not name a host",
		"turn:host:0 u p":                "does not name a host",
		"turn:host:70000 u p":            "does not name a host",
		"turn:2001:db8::7 u p":           "does not name a host",
		"turn:[2001:db8::7 u p":          "does not name a host",
		"turn:[192.0.2.7] u p":           "does not name a host",
		"turn:[fe80::1%eth0] u p":        "does not name a host",
		"turn:[2001:db8::7]x u p":        "does not name a host",
		"turn:user:geheim@host u p":      "does not name a host",
		"turns:host?transport=udp u p":   "asks for TLS over UDP",
		"turn:host? u p":                 "has something other than transport=udp",
		"turn:host?transport=sctp u p":   "has something other than transport=udp",
		"turn:host?transport=tcp&x u p":  "has something other than transport=udp",
		"turn:host u " + long(764):       "has a user or a password that is too long",
		"turn:host " + long(509) + " pw": "has a user or a password that is too long",
	} {
		_, _, err := reachable(t, "relay = "+text)
		if err == nil || !strings.HasPrefix(err.Error(), "f:2:9: relay ") || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: write ") {
			t.Errorf("%.60s: %v, want a message with the place, a hint and %q", text, err, want)
		}
	}
}

// TestRelayTwice: relay = yes and TURN servers go together; what is said twice, or two
// ways, is told.
func TestRelayTwice(t *testing.T) {
	c, problems, err := reachable(t, "relay = yes", "relay = turn:a u p", "relay = turn:a:3478 u other", "relay = turn:a v p", "relay = turn:a?transport=tcp u p", "relay = no")
	if err != nil || c.RelayFor || fmt.Sprint(c.TURN) != "[turn:a:3478?transport=udp u turn:a:3478?transport=udp v turn:a:3478?transport=tcp u]" {
		t.Errorf("relays for others %v, %v, %v; want the last word, and three servers", c.RelayFor, c.TURN, err)
	}
	want := "warning: f:4:9: relay \"turn:a:3478 u (not shown)\" names the same server and user again, and is not used\nhint: take one of the lines out\n" +
		"warning: f:7:9: relay \"no\" contradicts line 2, and counts\nhint: take one of the two lines out\n"
	if got := list(problems); got != want {
		t.Errorf("problems:\n%s\nwant\n%s", got, want)
	}
	var many []string
	for i := range maxTURN + 1 {
		many = append(many, fmt.Sprintf("relay = turn:host%d u p", i))
	}
	if c, problems, err := reachable(t, many[:maxTURN]...); err != nil || len(problems) > 0 || len(c.TURN) != maxTURN {
		t.Errorf("%d servers: %v, %s", maxTURN, err, list(problems))
	}
	if _, _, err := reachable(t, many...); err == nil || !strings.Contains(err.Error(), "f:10:9:") || !strings.Contains(err.Error(), "is one too many") {
		t.Errorf("%d servers: %v, want that the last is one too many", len(many), err)
	}
}

// TestRelayContradiction: relays alone and no relays are refused, with both lines.
func TestRelayContradiction(t *testing.T) {
	for _, c := range []struct {
		name, lines, want string // want is of the error, or of the only problem
		refused           bool
	}{
		{"never last", "relay_only = yes\nlocal_port = 1\nrelay_never = yes",
			"f:4:15: relay_only in line 2 and relay_never in line 4 contradict each other: no peer could be reached\nhint: take line 2 or line 4 out", true},
		{"only last", "relay_never = on\nrelay_only = 1",
			"f:3:14: relay_only in line 3 and relay_never in line 2 contradict each other: no peer could be reached\nhint: take line 2 or line 3 out", true},
		{"only one is yes", "relay_never = no\nrelay_only = yes", "", false},
		{"TURN servers for nothing", "relay = turn:a u p\nrelay_never = yes",
			"f:3:15: relay_never keeps the TURN servers of this file from being used\nhint: take relay_never or the lines with relay = turn: out", false},
		{"a relay for others", "relay = yes\nrelay_never = yes", "", false},
		{"not yes or no", "relay_only = maybe", `f:2:14: relay_only "maybe" is not yes or no`, true},
	} {
		_, problems, err := reachable(t, c.lines)
		got := ""
		if err != nil {
			got = err.Error()
		} else if len(problems) > 0 {
			got = problems[0].String()
		}
		if (err != nil) != c.refused || !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") || len(problems) > 1 {
			t.Errorf("%s: got %q (%v), want %q, refused %v", c.name, got, err, c.want, c.refused)
		}
	}
}

func TestRelayRateAndPort(t *testing.T) {
	for _, c := range []struct {
		lines string
		rate  float64
		port  uint16
		want  string // of the error
	}{
		{"", 12_500_000, 443, ""},
		{"relay_max_rate = 0.5\nfallback_port = 8443", 500, 8443, ""},
		{"relay_max_rate = 0\nfallback_port = 0", 0, 0, ""},
		{"relay_max_rate = -1", 0, 0, `f:2:18: relay_max_rate "-1" is negative`},
		{"relay_max_rate = much", 0, 0, `f:2:18: relay_max_rate "much" is not a number`},
		{"fallback_port = 65536", 0, 0, `f:2:17: fallback_port "65536" is not a port number`},
		{"fallback_port = https", 0, 0, `f:2:17: fallback_port "https" is not a port number`},
	} {
		got, _, err := reachable(t, c.lines)
		switch {
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%q: %v, want %s", c.lines, err, c.want)
		case c.want == "" && (err != nil || got.RelayMaxRate != c.rate || got.FallbackPort != c.port):
			t.Errorf("%q: %+v, %v; want %g bytes/s and port %d", c.lines, got, err, c.rate, c.port)
		}
	}
}

func TestProxy(t *testing.T) {
	for _, c := range []struct{ text, host, user, password string }{
		{"http://proxy.example.org:3128", "proxy.example.org:3128", "", ""},
		{"HTTP://proxy:80/", "proxy:80", "", ""},
		{"http://alice@192.0.2.5:8080", "192.0.2.5:8080", "alice", ""},
		{"http://alice:s%40c%3ar%2fet@[2001:db8::5]:3128", "[2001:db8::5]:3128", "alice", "s@c:r/et"},
	} {
		got, problems, err := reachable(t, "http_proxy = "+c.text)
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %s", c.text, err, list(problems))
			continue
		}
		password, _ := got.HTTPProxy.User.Password()
		if u := got.HTTPProxy; u.Scheme != "http" || u.Host != c.host || u.User.Username() != c.user || password != c.password || u.Path != "" {
			t.Errorf("%s: %#v", c.text, u)
		}
	}
	for _, text := range []string{
		"proxy:3128", "proxy.example.org", "https://proxy:3128", "socks5://proxy:1080", "http://proxy", "http://:3128", "http://proxy:0",
		"http://proxy:70000", "http://proxy:x", "http://proxy:3128/path", "http://proxy:3128?x", "http://proxy:3128/?", "http://proxy:3128#x",
		"http:proxy:3128", "http://[fe80::1%25eth0]:3128", "http://pro xy:3128", "http://a:b/c@proxy:3128", "http://a:%zz@proxy:3128", long(5000),
	} {
		_, _, err := reachable(t, "http_proxy = "+text)
		if err == nil || !strings.HasPrefix(err.Error(), "f:2:14: http_proxy ") || !strings.Contains(err.Error(), " is not the URL of an HTTP proxy\nhint: write http://HOST:PORT") {
			t.Errorf("%.60s: %v, want a message with the place and a hint", text, err)
		}
	}
}

// FuzzTURN: whatever is written, what is taken has a server, a user and a password, and
// means the same when it is written again.
func FuzzTURN(f *testing.F) {
	for _, s := range []string{"turn:host:1?transport=tcp u p", "turns:[::1] u p", "turn: a b", "turn:[ u p", "?: : :", "yes"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, wrong := parseTURN(s)
		if wrong != "" {
			return
		}
		if got.Host == "" || got.Port == 0 || got.User == "" || got.Password == "" || got.TLS && !got.TCP {
			t.Fatalf("%q is taken as %s", s, got)
		}
		if again, wrong := parseTURN(got.URL() + " " + got.User + " " + got.Password); wrong != "" || !strings.EqualFold(again.URL(), got.URL()) {
			t.Errorf("%q is taken as %s, and that as %s: %s", s, got, again, wrong)
		}
	})
}

// FuzzProxy: whatever is written, what is taken has a host and a port.
func FuzzProxy(f *testing.F) {
	for _, s := range []string{"http://a:b@host:1/", "http://[::1]:3128", "http://", "http://@:", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, ok := ParseProxy(s); ok && (u.Hostname() == "" || u.Port() == "" || u.Path != "") {
			t.Errorf("%q is taken as %v", s, u.Redacted())
		}
	})
}
