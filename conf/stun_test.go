package conf

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseServer(t *testing.T) {
	for _, c := range []struct {
		text string
		want Server // the zero Server: refused
	}{
		{"stun.example.org", Server{"stun.example.org", 3478}},
		{"stun.example.org:3479", Server{"stun.example.org", 3479}},
		{"192.0.2.1", Server{"192.0.2.1", 3478}},
		{"192.0.2.1:53", Server{"192.0.2.1", 53}},
		{"2001:db8::1", Server{"2001:db8::1", 3478}},
		{"[2001:db8:0::1]:53", Server{"2001:db8::1", 53}},
		{"", Server{}},
		{"a b", Server{}},
		{"stun.example.org:", Server{}},
		{"stun.example.org:0", Server{}},
		{"stun.example.org:65536", Server{}},
		{"stun.example.org:3478:1", Server{}},
		{"192.0.2.1:0", Server{}},
		{"fe80::1%eth0", Server{}},
		{"[fe80::1%eth0]:5", Server{}},
		{"stun:stun.example.org", Server{}},
	} {
		got, ok := ParseServer(c.text, STUNPort)
		if !ok {
			got = Server{}
		}
		if got != c.want || ok != (c.want != Server{}) {
			t.Errorf("%q: %v, %v, want %v", c.text, got, ok, c.want)
		}
	}
}

// TestSTUNServers: the key may be given several times, and a wrong one is refused
// wherever it is.
func TestSTUNServers(t *testing.T) {
	c, problems, err := ParseClient("f", []byte(edit("NETWORK", "", "stun_server = a.example\nstun_server = b.example:5")))
	if err != nil || len(problems) > 0 {
		t.Fatalf("error %v, problems:\n%s", err, list(problems))
	}
	if want := []Server{{"a.example", 3478}, {"b.example", 5}}; !reflect.DeepEqual(c.STUNServers, want) {
		t.Errorf("got %v, want %v", c.STUNServers, want)
	}
	for _, lines := range []string{"stun_server = a:b\nstun_server = c", "stun_server = c\nstun_server = a:b"} {
		_, _, err := ParseClient("f", []byte(edit("NETWORK", "", lines)))
		if want := `stun_server "a:b" is neither a host nor a host with a port`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", lines, err, want)
		}
	}
}

func FuzzParseServer(f *testing.F) {
	f.Add("stun.example.org:3478")
	f.Add("[::1]:5")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := ParseServer(text, STUNPort)
		if ok && (s.Host == "" || s.Port == 0 || strings.ContainsAny(s.Host, " \x00")) {
			t.Errorf("%q was read as %+v", text, s)
		}
	})
}
