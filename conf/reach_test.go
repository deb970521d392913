package conf

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// reachable parses a file with some lines in [NETWORK].
func reachable(t *testing.T, lines ...string) (*Client, []Problem, error) {
	t.Helper()
	return ParseClient("f", []byte(edit(sectionNetwork, "", strings.Join(lines, "\n"))))
}

func TestExternalAddr(t *testing.T) {
	for _, c := range []struct{ text, addr, scope string }{
		{"192.0.2.5:4444", "192.0.2.5:4444", ""},
		{"192.0.2.5", "192.0.2.5:0", ""},
		{"192.0.2.5:0 lab", "192.0.2.5:0", "lab"},
		{"10.1.2.3:1 \t office-2.b_c", "10.1.2.3:1", "office-2.b_c"},
		{"[2001:db8::5]:7 lab", "[2001:db8::5]:7", "lab"},
		{"[2001:db8::5]", "[2001:db8::5]:0", ""},
		{"2001:db8::5", "[2001:db8::5]:0", ""},
		{"[::ffff:192.0.2.5]:9", "192.0.2.5:9", ""},
		{"fd00::1 " + strings.Repeat("x", 32), "[fd00::1]:0", strings.Repeat("x", 32)},
	} {
		got, problems, err := reachable(t, "external_addr = "+c.text)
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %s", c.text, err, list(problems))
			continue
		}
		if want := []External{{netip.MustParseAddrPort(c.addr), c.scope}}; !reflect.DeepEqual(got.ExternalAddrs, want) {
			t.Errorf("%s: %v, want %v", c.text, got.ExternalAddrs, want)
		}
	}
}

func TestExternalAddrRefused(t *testing.T) {
	for text, want := range map[string]string{
		`"" `:                        "", // an empty value is no value
		"name:5":                     "does not begin with an address, or with an address and a port",
		"192.0.2.5:70000":            "does not begin with an address, or with an address and a port",
		"192.0.2.5 5":                "", // the scope is called 5
		"[192.0.2.5]:5":              "does not begin with an address, or with an address and a port",
		"[2001:db8::5":               "does not begin with an address, or with an address and a port",
		"[2001:db8::5]x":             "does not begin with an address, or with an address and a port",
		"fe80::1%eth0":               "does not begin with an address, or with an address and a port",
		"[fe80::1%eth0]:5":           "does not begin with an address, or with an address and a port",
		"fe80::1":                    "is no address at which another host can reach this one",
		"0.0.0.0:5":                  "is no address at which another host can reach this one",
		"[::]:5":                     "is no address at which another host can reach this one",
		"127.0.0.1:5":                "is no address at which another host can reach this one",
		"224.0.0.1:5":                "is no address at which another host can reach this one",
		"[ff02::1]:5":                "is no address at which another host can reach this one",
		"192.0.2.5:4 my!net":         "does not end in the name of a network",
		"192.0.2.5:4 lab other":      "is not an address, or more than that and a scope",
		"192.0.2.5:4 " + long(33):    "does not end in the name of a network",
		`192.0.2.5:4 "# a comment"`:  "is not an address, or more than that and a scope",
		"192.0.2.5:4 bücherei":       "does not end in the name of a network",
		strings.Repeat("9", 5000):    "does not begin with an address, or with an address and a port",
		"::ffff:127.0.0.1":           "is no address at which another host can reach this one",
		"255.255.255.255.255:1":      "does not begin with an address, or with an address and a port",
		"[2001:db8::5]:4444 ${name}": "does not end in the name of a network",
	} {
		_, _, err := reachable(t, "external_addr = "+text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v, want it to be taken", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f:2:17: external_addr ")):
			t.Errorf("%.60s: %v, want a message with the place that says %q", text, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// TestScopes: all values count, in the order of the file, and up to a bound.
func TestScopes(t *testing.T) {
	c, problems, err := reachable(t, "scope = office", "scope = lab", "scope = office")
	if err != nil || fmt.Sprint(c.Scopes) != "[office lab]" {
		t.Errorf("%v, %v", c, err)
	}
	if want := `f:4:9: scope "office" is given twice` + "\nhint: take one of the lines out"; len(problems) != 1 || problems[0].String() != want {
		t.Errorf("problems:\n%s\nwant %s", list(problems), want)
	}
	for text, want := range map[string]string{
		"my net":  `f:2:9: scope "my net" is not the name of a network`,
		"a/b":     `f:2:9: scope "a/b" is not the name of a network`,
		long(33):  `is not the name of a network`,
		"größe":   `is not the name of a network`,
		"office,": `is not the name of a network`,
	} {
		if _, _, err := reachable(t, "scope = "+text); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "\nhint: a name has 1 to 32 letters") {
			t.Errorf("%s: %v, want %q and how a name is written", text, err, want)
		}
	}
}

// TestReachBounds: one more than the server would pass on is refused with its line.
func TestReachBounds(t *testing.T) {
	var scopes, addrs []string
	for i := range maxScopes + 1 {
		scopes = append(scopes, fmt.Sprintf("scope = net%d", i))
		addrs = append(addrs, fmt.Sprintf("external_addr = 192.0.2.5:%d", i+1))
	}
	for _, lines := range [][]string{scopes, addrs} {
		if c, problems, err := reachable(t, lines[:maxScopes]...); err != nil || len(problems) > 0 || len(c.Scopes)+len(c.ExternalAddrs) != maxScopes {
			t.Errorf("%d lines: %v, %s", maxScopes, err, list(problems))
		}
		_, _, err := reachable(t, lines...)
		if err == nil || !strings.HasPrefix(err.Error(), "f:10:") || !strings.Contains(err.Error(), "is one too many") {
			t.Errorf("%d lines: %v, want that the last is one too many", len(lines), err)
		}
	}
}

// TestOldKeysCountOnce: of the keys that the original knows, the last value counts, and
// the file's author is told.
func TestOldKeysCountOnce(t *testing.T) {
	for _, k := range Keys() {
		if k.Several && !k.New && k.Name != "server_host" { // docs/compat.md tells why
			t.Errorf("%s is a key of the original, for which one value counts", k.Name)
		}
	}
	c, problems, err := reachable(t, "local_port = 1", "local_port = 2")
	if err != nil || c.LocalPort != 2 || len(problems) != 1 {
		t.Errorf("%v, %v, %s", c, err, list(problems))
	}
}

// FuzzExternal: whatever is written, what is taken is an address that can be told.
func FuzzExternal(f *testing.F) {
	for _, s := range []string{"192.0.2.5:4444 lab", "[2001:db8::5]:0", "::1", "[", "]:", "1.2.3.4:5:6"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, ok := parseExternal(s)
		if ok && (!addr.Addr().IsValid() || addr.Addr().Zone() != "" || addr.Addr().Is4In6()) {
			t.Errorf("%q is taken as %v", s, addr)
		}
	})
}
