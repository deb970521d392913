package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"campagnol/pki"
)

// parse is Parse for texts that are in order.
func parse(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Parse("test", text)
	if err != nil {
		t.Fatalf("a good policy is refused:\n%s\n%v", text, err)
	}
	return p
}

// member makes a member of what is known about it, with blanks between: names,
// addresses, networks behind it, role:NAME.
func member(t testing.TB, text string) Member {
	t.Helper()
	var m Member
	for _, w := range strings.Fields(text) {
		role, isRole := strings.CutPrefix(w, "role:")
		switch {
		case isRole:
			m.Groups = append(m.Groups, role)
		case strings.Contains(w, "/"):
			m.Routes = append(m.Routes, netip.MustParsePrefix(w))
		case strings.Contains(w, ":") || strings.Trim(w, "0123456789.") == "":
			m.Addrs = append(m.Addrs, netip.MustParseAddr(w))
		default:
			m.Names = append(m.Names, strings.ReplaceAll(w, "_", " "))
		}
	}
	return m
}

const example = `
# who is who
version 7
group admins  = alice, bob,
                # a comment between
                10.9.0.7
group servers = role:server, *.srv.example
group staff   = admins, "Carol Smith"
default deny

allow admins <-> servers
deny  role:guest <-> 10.9.0.0/28   # the first sixteen
allow staff -> mail
allow role:guest <-> all
allow relay: alice <-> bob through hub1
deny  relay: all <-> role:guest through all
allow relay: staff -> servers through hub1, role:hub

filter admins -> servers: allow tcp/22, udp/53, icmp
filter all -> servers: deny
`

func TestTalk(t *testing.T) {
	p := parse(t, example)
	for _, c := range []struct {
		a, b        string
		forth, back int // lines; negative: denied
	}{
		{"alice", "www.srv.example", 11, 11},
		{"ALICE", "WWW.srv.EXAMPLE", 11, 11},
		{"alice", "db role:server", 11, 11},
		{"alice", "srv.example", -0, -0},
		{"alice", "a.b.srv.example", -0, -0},
		{"x 10.9.0.7", "db role:SERVER", 11, 11},
		{"x ::ffff:10.9.0.7", "db role:server", 11, 11},
		{"x 10.9.0.8", "db role:server", -0, -0},
		{"x 10.0.0.0/8", "db role:server", -0, -0}, // a network that contains 10.9.0.7
		{"alice", "bob", -0, -0},
		{"alice", "mail", 13, -0},
		{"Carol_Smith", "mail", 13, -0},
		{"carol", "mail", -0, -0},
		{"g role:guest", "x 10.9.0.9", -12, -12},
		{"g role:guest", "x 10.9.0.19", 14, 14},
		{"g role:guest", "x 192.168.0.1 10.9.0.8/29", -12, -12}, // a network behind it lies in the one that is denied
		{"g role:guest", "x 192.168.0.1 10.0.0.0/8", 14, 14},
		{"g role:guest", "", 14, 14},
		{"g role:guest 10.9.0.7", "db role:server", 11, 11}, // an earlier line
		{"admins", "db role:server", -0, -0},                // a host that is called like a group
		{"x role:admins", "db role:server", -0, -0},         // a group of the certificate is not one of the file
		{"", "", -0, -0},
	} {
		for i, want := range []int{c.forth, c.back} {
			a, b := member(t, c.a), member(t, c.b)
			if i == 1 {
				a, b = b, a
			}
			got := p.Talk(a, b)
			if got.Allowed != (want > 0) || got.Line != max(want, -want) && (want != 0 || got.Line != 9) {
				t.Errorf("%q, %q, direction %d: %v, want line %d", c.a, c.b, i, got, want)
			}
		}
	}
	got := p.Talk(member(t, "g role:guest"), member(t, "10.9.0.3")).String()
	if want := "denied by line 12: deny role:guest <-> 10.9.0.0/28"; got != want {
		t.Errorf("decision = %q, want %q", got, want)
	}
	if got, want := p.Talk(Member{}, Member{}).String(), "denied by line 9: default deny"; got != want {
		t.Errorf("default = %q, want %q", got, want)
	}
}

// Without the line "default" a policy without rules about talking allows all,
// and one with any denies what no rule speaks of.
func TestDefault(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
	}{
		{"", "allowed: the policy has no rules"},
		{"# nothing", "allowed: the policy has no rules"},
		{"group a = b\nversion 3", "allowed: the policy has no rules"},
		{"filter all -> x: deny", "allowed: the policy has no rules"},
		{"allow relay: x <-> y through z", "allowed: the policy has no rules"},
		{"allow x <-> y", "denied: no line speaks of the pair"},
		{"deny x <-> y", "denied: no line speaks of the pair"},
		{"deny x <-> y\ndefault allow", "allowed by line 2: default allow"},
		{"default deny", "denied by line 1: default deny"},
	} {
		p := parse(t, c.text)
		if got := p.Talk(member(t, "alice"), member(t, "bob")).String(); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		if got := p.Summary().Default.String(); got != c.want {
			t.Errorf("%q: summary %q, want %q", c.text, got, c.want)
		}
	}
}

func TestRelay(t *testing.T) {
	p := parse(t, example+"allow alice <-> bob\nallow all <-> all\n")
	for _, c := range []struct {
		a, b, via string
		want      int
	}{
		{"alice", "bob", "hub1", 15},
		{"bob", "alice", "hub1", 15},
		{"alice", "bob", "hub2", 0},
		{"alice", "bob", "h role:hub", 0},
		{"alice", "a.srv.example", "h role:hub", 17},
		{"a.srv.example", "alice", "h role:hub", 0}, // one way
		{"alice", "g role:guest", "hub1", -16},
		{"g role:guest", "10.9.0.1", "hub1", -12}, // the pair may not talk at all
		{"Carol_Smith", "a.srv.example", "hub1", 17},
	} {
		got := p.Relay(member(t, c.a), member(t, c.b), member(t, c.via))
		if got.Allowed != (c.want > 0) || got.Line != max(c.want, -c.want) {
			t.Errorf("%s, %s through %s: %v, want line %d", c.a, c.b, c.via, got, c.want)
		}
	}
	lines := func(list []Decision) string {
		var s []string
		for _, d := range list {
			s = append(s, fmt.Sprint(d.Line, d.Allowed))
		}
		return strings.Join(s, " ")
	}
	for _, c := range []struct{ what, got, want string }{
		{"relays of alice and bob", lines(p.Relays(member(t, "alice"), member(t, "bob"))), "15 true"},
		{"relays of bob and a guest", lines(p.Relays(member(t, "bob"), member(t, "role:guest"))), "16 false"},
		{"relays of alice and a server", lines(p.Relays(member(t, "alice"), member(t, "role:server"))), "17 true"},
		{"relays of a server and alice", lines(p.Relays(member(t, "role:server"), member(t, "alice"))), ""},
		{"hub1 as a relay", lines(p.RelaysFor(member(t, "hub1"))), "15 true 16 false 17 true"},
		{"alice as a relay", lines(p.RelaysFor(member(t, "alice"))), "16 false"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	// Nobody relays unless a line says so.
	if d := parse(t, "default allow").Relay(member(t, "a"), member(t, "b"), member(t, "c")); d.Allowed {
		t.Errorf("relaying without a rule: %v, want it denied", d)
	}
}

// Groups may be used before they are defined, and may be in each other, but not
// in a circle.
func TestGroups(t *testing.T) {
	p := parse(t, "allow all-of-us <-> \"all-of-us\"\ngroup all-of-us = these, those\ngroup those = c, these\ngroup these = a, b\n")
	host := Member{Names: []string{"all-of-us"}}
	for _, c := range []struct {
		name string
		want bool
	}{{"a", true}, {"b", true}, {"c", true}, {"d", false}, {"these", false}} {
		if got := p.Talk(member(t, c.name), host).Allowed; got != c.want {
			t.Errorf("%s and the host all-of-us: %t, want %t", c.name, got, c.want)
		}
	}
	// A group of many levels is no trouble.
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "group g%d = g%d, x%d\n", i, i+1, i)
	}
	b.WriteString("group g5000 = last\nallow g0 <-> g4999\n")
	deep := parse(t, b.String())
	if d := deep.Talk(member(t, "x17"), member(t, "last")); !d.Allowed {
		t.Errorf("through 5000 groups: %v, want it allowed", d)
	}
	if d := deep.Talk(member(t, "x17"), member(t, "x18")); d.Allowed {
		t.Errorf("a member of an outer group: %v, want it denied", d)
	}
}

func TestMemberOf(t *testing.T) {
	a := pki.Attributes{Names: []string{"gate"}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.3")}, Groups: []string{"server"},
		Routes: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}}
	for _, subject := range []string{"gate", "10.9.0.3", "10.9.0.0/30", "role:server", "192.168.7.0/24", "192.168.0.0/16", "0.0.0.0/0"} {
		if d := parse(t, "allow x <-> "+subject).Talk(member(t, "x"), MemberOf(a)); !d.Allowed {
			t.Errorf("%s does not mean %+v", subject, a)
		}
	}
	for _, subject := range []string{"server", "192.168.7.1", "192.168.7.0/25", "fd00::/8", "::/0", "*.gate"} {
		if d := parse(t, "allow x <-> "+subject).Talk(member(t, "x"), MemberOf(a)); d.Allowed {
			t.Errorf("%s means %+v", subject, a)
		}
	}
	// What a caller makes up does not confuse the policy.
	odd := Member{Names: []string{"", ".", "*.x"}, Addrs: make([]netip.Addr, 1), Groups: []string{""}, Routes: []netip.Prefix{{}, netip.MustParsePrefix("10.9.0.1/24")}}
	if d := parse(t, "allow *.x, 10.9.1.0/24 <-> all").Talk(odd, Member{Names: []string{"y"}}); !d.Allowed {
		// "*.x" lies under *.x as any name there; pki gives nobody such a name.
		t.Errorf("odd member: %v", d)
	}
	if d := parse(t, "deny 10.9.0.0/24 <-> all\ndefault allow").Talk(odd, Member{}); d.Allowed {
		t.Errorf("a route with host bits: %v, want the network it is in", d)
	}
}
