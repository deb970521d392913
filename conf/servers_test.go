package conf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestServers: server_host may be given several times, each with a port of its own.
func TestServers(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines string // in [NETWORK]
		want  string
		warns string // a part of the only problem; "": there is none
	}{
		{"one", "server_host = rdv.example.org", "rdv.example.org:57888", ""},
		{"one with server_port", "server_port = 7\nserver_host = 192.0.2.1", "192.0.2.1:7", ""},
		{"one with a port", "server_host = rdv.example.org:443", "rdv.example.org:443", ""},
		{"a port before server_port", "server_port = 7\nserver_host = rdv:443", "rdv:443", ""},
		{"several", "server_host = a\nserver_host = b:443\nserver_host = 192.0.2.1:1\nserver_port = 9", "a:9 b:443 192.0.2.1:1", ""},
		{"IPv6", "server_host = 2001:db8::1\nserver_host = [2001:db8::2]:443", "[2001:db8::1]:57888 [2001:db8::2]:443", ""},
		{"one server at two ports", "server_host = a\nserver_host = a:443", "a:57888 a:443", ""},
		{"the same twice", "server_host = a\nserver_host = a:57888", "a:57888", "names the same server again: a:57888"},
		{"upper case", "server_host = RDV:1", "rdv:1", ""},
		{"too many", "server_host = a:" + strings.Join(strings.Fields("1 2 3 4 5 6 7 8 9"), "\nserver_host = a:"),
			"a:1 a:2 a:3 a:4 a:5 a:6 a:7 a:8", "more than 8 servers"},
		{"port 0 for one of two", "server_port = 0\nserver_host = a\nserver_host = b:1", "a:0 b:1", "nobody can listen on"},
	} {
		src := edit("NETWORK", "server_host", c.lines)
		got, problems, err := ParseClient("f", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var names []string
		for _, s := range got.Servers() {
			names = append(names, s.String())
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s: servers %s, want %s", c.name, s, c.want)
		}
		if text := fmt.Sprint(problems); (c.warns == "") != (len(problems) == 0) || len(problems) > 1 || !strings.Contains(text, c.warns) {
			t.Errorf("%s: problems %s, want one with %q", c.name, text, c.warns)
		}
	}
}

// TestServerAmongOthers: one server that cannot be used is an error, though others
// can.
func TestServerAmongOthers(t *testing.T) {
	for _, value := range []string{"a b", "rdv:http", "[::1]:", "x:1:2", "-:1"} {
		_, _, err := ParseClient("f", []byte(edit("NETWORK", "server_host", "server_host = a\nserver_host = "+value+"\nserver_host = c")))
		if value == "-:1" { // as odd a name as those that the original asks for
			if err != nil {
				t.Errorf("%q: %v", value, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), ":3:15: server_host ") {
			t.Errorf("%q: error %v, want one about line 3", value, err)
		}
	}
}

// FuzzSplitServer: what is taken for HOST:PORT has both, and is put together from
// them.
func FuzzSplitServer(f *testing.F) {
	for _, s := range []string{"a:1", "[::1]:443", "::1", "[::1]", "a", ":", "[", "[]:", "1.2.3.4:x", "a:1 #"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := splitServer(s)
		if !ok {
			return
		}
		if joined := []string{host + ":" + port, "[" + host + "]:" + port}; host == "" || !slices.Contains(joined, s) {
			t.Errorf("%q is split into %q and %q", s, host, port)
		}
	})
}
