package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestErrors has what people get wrong: where it is, what was found, what is
// expected.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"statement", "alow a <-> b", `f:1:1: unexpected "alow", expected allow, deny, filter, group, default or version; did you mean "allow"?`},
		{"capitals", "Allow a <-> b", `f:1:1: unexpected "Allow", expected allow, deny, filter, group, default or version; did you mean "allow"?`},
		{"no statement", "-> a", `f:1:1: unexpected "->", expected allow, deny, filter, group, default or version`},
		{"no arrow", "\n  allow a b", `f:2:11: unexpected "b", expected "<->", "->" or ","`},
		{"no right side", "allow a <->", "f:1:12: unexpected the end of the line, expected a name, a group, an address, a network, role:NAME or all"},
		{"wrong arrow", "allow a <- b", `f:1:9: unexpected "<-", expected "<->", or "->" with both sides exchanged`},
		{"semicolon", "allow a <-> b;", `f:1:14: unexpected ";": statements end with their line, and comments start with "#"`},
		{"letters", "allow ä <-> b", `f:1:7: unexpected "ä": a name with such letters belongs in quotes`},
		{"column in characters", `allow "ä" <-> b c`, `f:1:17: unexpected "c", expected the end of the line`},
		{"character", "allow a & b", `f:1:9: unexpected "&", expected a name, an address, a comma or an arrow`},
		{"bytes", "allow \xff <-> b", `f:1:7: unexpected "\xff", expected a name, an address, a comma or an arrow`},
		{"quote", `allow "a <-> b`, `f:1:7: a name in quotes lacks the second quote`},
		{"empty quotes", `allow "" <-> b`, `f:1:7: "" cannot be the name of a host`},
		{"control", "allow \"a\x1b[2J\" <-> b", `f:1:7: "a\x1b[2J" cannot be the name of a host`},
		{"keyword", "allow relay <-> b", `f:1:7: "relay" is a word of the language, expected a name; a host that is called so belongs in quotes`},
		{"address", "allow 10.9.0.300 <-> b", `f:1:7: "10.9.0.300" is not an IP address such as 10.9.0.7 or fd00::7`},
		{"IPv6 address", "allow fd00:::7 <-> b", `f:1:7: "fd00:::7" is not an IP address such as 10.9.0.7 or fd00::7`},
		{"network", "allow 10.9.0.0/33 <-> b", `f:1:7: "10.9.0.0/33" is not a network such as 10.9.0.0/28 or fd00:9::/64`},
		{"host bits", "allow 10.9.0.7/28 <-> b", `f:1:7: "10.9.0.7/28" is an address within a network; the network is 10.9.0.0/28, the host alone 10.9.0.7`},
		{"mapped", "allow ::ffff:10.0.0.0/104 <-> b", `f:1:7: "::ffff:10.0.0.0/104" is an IPv4 network in disguise, expected the form 10.9.0.0/28`},
		{"star", "allow * <-> b", `f:1:7: "*" is not a pattern: "*" stands for the whole first label of a name, as in *.srv.example, and everybody is "all"`},
		{"star inside", "allow a*.b <-> b", `f:1:7: "a*.b" is not a pattern: "*" stands for the whole first label of a name, as in *.srv.example, and everybody is "all"`},
		{"role", "allow role: a <-> b", `f:1:11: unexpected ":", expected "<->", "->" or ","`},
		{"kind", "allow rolle:x <-> b", `f:1:7: unknown kind of subject "rolle:"; did you mean "role:"?`},
		{"through", "allow a <-> b through c", `f:1:15: "through" belongs to rules about relays, expected "allow relay: …"`},
		{"no through", "allow relay: a <-> b", `f:1:21: unexpected the end of the line, expected "through" and who may relay`},
		{"misspelt through", "allow relay: a <-> b trough c", `f:1:22: unexpected "trough", expected "through" and who may relay; did you mean "through"?`},
		{"services of a talk rule", "allow a <-> b: tcp/22", `f:1:14: unexpected ":": what packets may carry is said by "filter A -> B: …"`},
		{"group name", "group all = a", `f:1:7: "all" is a word of the language, expected the name of a group`},
		{"group address", "group 10.9.0.1 = a", `f:1:7: "10.9.0.1" is not the name of a group, expected letters, digits, ".", "_" and "-"`},
		{"group quoted", `group "a" = a`, `f:1:7: unexpected the name "a", expected the name of a group`},
		{"group twice", "group a = x\ngroup A = y", `f:2:7: there is a group "A" already, in line 1; expected another name`},
		{"no equals", "group a b", `f:1:9: unexpected "b", expected "=" and the members of the group`},
		{"empty group", "group a =", "f:1:10: unexpected the end of the line, expected a name, a group, an address, a network, role:NAME or all"},
		{"circle", "group a = b\ngroup b = c, x\ngroup c = a", `f:3:7: the group "c" contains itself, by way of "a"; expected groups within groups to end`},
		{"own member", "group a = a", `f:1:7: the group "a" contains itself, by way of "a"; expected groups within groups to end`},
		{"default", "default alow", `f:1:9: unexpected "alow", expected allow or deny; did you mean "allow"?`},
		{"default twice", "default deny\ndefault deny", "f:2:1: there is a default already, in line 1, expected one"},
		{"version", "version 1.0", `f:1:9: unexpected "1.0", expected a number, which grows with each version of the policy`},
		{"version zeros", "version 07", `f:1:9: unexpected "07", expected a number, which grows with each version of the policy`},
		{"version twice", "version 1\nversion 2", "f:2:1: there is a version already, in line 1, expected one"},
		{"filter verb", "filter a -> b: drop", `f:1:16: unexpected "drop", expected allow or deny`},
		{"filter colon", "filter a -> b allow", `f:1:15: unexpected "allow", expected ":", and what is allowed or denied`},
		{"service", "filter a -> b: allow tpc/22", `f:1:22: unknown service "tpc/22", expected tcp, udp, icmp, icmpv6 or the number of a protocol; did you mean "tcp"?`},
		{"port 0", "filter a -> b: allow tcp/0", `f:1:22: "tcp/0": expected a port from 1 to 65535 or a range such as 8000-8080 after the slash`},
		{"large port", "filter a -> b: allow udp/70000", `f:1:22: "udp/70000": expected a port`},
		{"range", "filter a -> b: allow tcp/90-80", `f:1:22: "tcp/90-80": expected a port`},
		{"port of icmp", "filter a -> b: allow icmp/8", `f:1:22: "icmp/8": only tcp and udp have ports, expected "icmp"`},
		{"protocol", "filter a -> b: allow 256", `f:1:22: unknown service "256"`},
		{"commas", "filter a -> b: allow tcp/22 udp/53", `f:1:29: unexpected "udp/53", expected "," or the end of the line`},
		{"comma at the end", "filter a -> b: allow tcp/22,", `f:1:29: unexpected the end of the line, expected a service such as tcp/22`},
		{"comma into nothing", "allow a <-> b,\n\n", "f:1:15: unexpected the end of the line, expected a name, a group"},
		{"continued", "allow a <-> b,\nallow c <-> d", `f:2:1: "allow" is a word of the language, expected a name; a host that is called so belongs in quotes`},
		{"long word", "allow " + strings.Repeat("x", 100) + ":y <-> b", `unknown kind of subject "` + strings.Repeat("x", 64) + `…"`},
	} {
		p, err := Parse("f", c.text)
		if p != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q: %v, want %s", c.name, c.text, err, c.want)
		}
	}
}

// All mistakes are reported in one go, in the order of the text, up to a limit.
func TestManyErrors(t *testing.T) {
	_, err := Parse("f", "alow a <-> b\nallow a <-> b\ngroup x = x\ndeny a b\n")
	var lines []string
	for l := range strings.Lines(err.Error()) {
		lines = append(lines, strings.SplitN(l, " ", 2)[0])
	}
	if got, want := fmt.Sprint(lines), "[f:1:1: f:3:7: f:4:8:]"; got != want {
		t.Errorf("mistakes at %s, want %s", got, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.File != "f" || e.Line != 1 || e.Column != 1 {
		t.Errorf("first error = %+v, want one of type *Error in line 1", e)
	}
	_, err = Parse("f", strings.Repeat("nonsense\n", 1000))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxErrors || !strings.HasSuffix(err.Error(), "(980 more mistakes are not listed)") {
		t.Errorf("%d lines of errors, the last %q, want %d and how many are missing", n, err.Error()[strings.LastIndex(err.Error(), "\n"):], maxErrors)
	}
	// A group with a mistake is still a group: what uses it is not blamed.
	_, err = Parse("f", "group a = &\nallow a <-> b\ngroup b = a b\nallow b <-> c\n")
	if n := strings.Count(err.Error(), "\n") + 1; n != 2 {
		t.Errorf("%d errors, want the two of the groups:\n%v", n, err)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"size", "#" + strings.Repeat(" ", maxText), "f:1:1: the text has 4194305 bytes"},
		{"rules", strings.Repeat("allow a<->b\n", maxRules+1), fmt.Sprintf("f:%d:1: more than %d rules", maxRules+1, maxRules)},
		{"groups", manyGroups(maxGroups + 1), fmt.Sprintf("f:%d:7: more than %d groups", maxGroups+1, maxGroups)},
	} {
		if _, err := Parse("f", c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %.200v, want %s", c.name, err, c.want)
		}
	}
	if _, err := Parse("f", strings.Repeat("allow a<->b\n", maxRules)); err != nil {
		t.Errorf("%d rules: %v", maxRules, err)
	}
	if _, err := Parse("f", manyGroups(maxGroups)); err != nil {
		t.Errorf("%d groups: %v", maxGroups, err)
	}
}

func manyGroups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "group g%d = a\n", i)
	}
	return b.String()
}

// TestWriting has the ways in which one thing can be written.
func TestWriting(t *testing.T) {
	want := parse(t, "allow a, role:x, fd00::, *.s <-> b\n").ID()
	for _, text := range []string{
		"allow a,role:x,fd00::,*.s<->b",
		"allow\ta,\trole:x,\n\n# comment\n fd00::,\r\n*.s\t<->\tb\r\n",
		"allow A, role:X, FD00::, *.S <-> B # why",
		`allow "a", "A", role:x, fd00:0::0, *.s <-> "b"`,
		"allow *.s, fd00::/128, role:x, a <-> b, b",
		"\n\n  allow a, role:x, fd00::, *.s <-> b",
		"allow a, role:x, fd00::, *.s <-> b\ndefault deny",
	} {
		if got := parse(t, text); got.ID() != want {
			t.Errorf("%q reads as\n%s", text, got.Text())
		}
	}
	for _, text := range []string{
		"allow a, role:x, fd00::, *.s -> b",
		"deny a, role:x, fd00::, *.s <-> b",
		"allow a, role:x, fd00::, *.s <-> b\ndefault allow",
		"version 1\nallow a, role:x, fd00::, *.s <-> b",
		"allow a, role:x, fd00::, *.s <-> \"b c\"",
	} {
		if got := parse(t, text); got.ID() == want {
			t.Errorf("%q has the ID of another policy", text)
		}
	}
}
