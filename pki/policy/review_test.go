package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none", example, []string{}},
		{"after all", "deny all <-> all\nallow a <-> b", []string{"line 2: no pair reaches this rule: line 1 speaks of all of them: deny all <-> all"}},
		{"the same", "allow a <-> b\ndeny b <-> a", []string{"line 2: no pair reaches"}},
		{"one way after both", "allow a <-> b\ndeny b -> a", []string{"line 2: no pair reaches"}},
		{"both after one way", "allow a -> b\ndeny a <-> b", nil},
		{"both after one way of all", "allow all -> all\ndeny a <-> b", []string{"line 2: no pair reaches"}},
		{"other way", "allow a -> b\ndeny b -> a", nil},
		{"network", "allow 10.9.0.0/24 <-> b\ndeny 10.9.0.0/28, 10.9.0.77 <-> b", []string{"line 2: no pair reaches"}},
		{"wider network", "allow 10.9.0.0/28 <-> b\ndeny 10.9.0.0/24 <-> b", nil},
		{"pattern", "allow *.s <-> b\ndeny x.s <-> b", []string{"line 2: no pair reaches"}},
		{"pattern of other depth", "allow *.s <-> b\ndeny x.y.s <-> b", nil},
		{"group", "group g = a, c\nallow g <-> b\ndeny c <-> b", []string{"line 3: no pair reaches"}},
		{"all of a group", "group g = a, c\nallow a, c, d <-> b\ndeny g <-> b", []string{"line 3: no pair reaches"}},
		{"part of a group", "group g = a, c\nallow a <-> b\ndeny g <-> b", nil},
		{"group in group", "group g = h\ngroup h = a\nallow g <-> b\ndeny h <-> b", []string{"line 4: no pair reaches"}},
		{"relay is not talk", "allow all <-> all\nallow relay: a <-> b through c", nil},
		{"relay", "allow relay: a <-> b through all\ndeny relay: a -> b through c", []string{"line 2: no pair reaches"}},
		{"other relay", "allow relay: a <-> b through c\ndeny relay: a -> b through d", nil},
		{"services", "filter a -> b: allow tcp\nfilter a -> b: deny tcp/22", []string{"line 2: no pair reaches"}},
		{"other services", "filter a -> b: allow tcp/22\nfilter a -> b: deny tcp/20-25\nfilter a -> b: deny", nil},
		{"all services", "filter a -> b: allow\nfilter a -> b: deny tcp/20-25", []string{"line 2: no pair reaches"}},
		{"unused", "group g = h\ngroup h = a\ngroup u = h\nallow g <-> b", []string{"line 3: no rule uses the group u"}},
		{"misspelt", "group admins = a\nallow admins <-> x\nallow admin <-> b", []string{`line 3: admin means the host of that name; did you mean the group admins?`}},
		{"quoted", "group admins = a\nallow admins <-> x\nallow bob <-> \"admin x\"", nil},
		{"only deny", "deny a <-> b", []string{`all rules deny, and what no rule speaks of is denied too: nobody may talk; perhaps "default allow" is missing`}},
		{"only deny, on purpose", "default deny\ndeny a <-> b", nil},
	} {
		got := parse(t, c.text).Warnings()
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i, w := range got {
			if !strings.HasPrefix(w.String(), c.want[i]) {
				t.Errorf("%s: %q, want %q", c.name, w, c.want[i])
			}
		}
	}
}

func TestSummary(t *testing.T) {
	s := parse(t, example).Summary()
	want := "{denied by line 9: default deny [{admins 4 3} {servers 7 2} {staff 8 2}] 4 3 2}"
	if got := fmt.Sprint(s); got != want {
		t.Errorf("summary = %s, want %s", got, want)
	}
}

// TestCanonical has the canonical form and the digest as they are, since peers of
// other versions compare them.
func TestCanonical(t *testing.T) {
	const want = `version 7
default deny
group admins = 10.9.0.7, alice, bob
group servers = *.srv.example, role:server
group staff = "carol smith", admins
allow admins <-> servers
deny role:guest <-> 10.9.0.0/28
allow staff -> mail
allow role:guest <-> all
allow relay: alice <-> bob through hub1
deny relay: all <-> role:guest through all
allow relay: staff -> servers through hub1, role:hub
filter admins -> servers: allow icmp, tcp/22, udp/53
filter all -> servers: deny
`
	p := parse(t, example)
	if p.Text() != want {
		t.Errorf("canonical text =\n%s\nwant\n%s", p.Text(), want)
	}
	id := p.ID()
	if got, want := hex.EncodeToString(id.Digest[:]), "a07a63fa1a304464cad49ab3707cafd4624ff3af4fde8e16bf4e631d0b758c5c"; got != want {
		t.Errorf("digest = %s, want %s", got, want)
	}
	if got, want := id.String(), "7-"+hex.EncodeToString(id.Digest[:])[:12]; got != want {
		t.Errorf("ID = %s, want %s", got, want)
	}
	// A host that is called like a group, or like a word, stays a host.
	tricky := parse(t, "group g = x, \"g\", \"all\", \"10.9.0.1\", \"x y\", \"role:a\", \"-\"\nallow g <-> \"G\"")
	if got, want := tricky.Text(), "default deny\ngroup g = \"-\", \"10.9.0.1\", \"all\", \"g\", \"role:a\", \"x y\", x\nallow g <-> \"g\"\n"; got != want {
		t.Errorf("canonical text = %q, want %q", got, want)
	}
	if again := parse(t, tricky.Text()); again.ID() != tricky.ID() {
		t.Errorf("read again: %q", again.Text())
	}
}

func TestDiff(t *testing.T) {
	old := parse(t, "allow a, b <-> c\nallow a -> d\n")
	now := parse(t, "allow a <-> c\nallow a <-> d\n")
	members := []Member{member(t, "a"), member(t, "b"), member(t, "c"), member(t, "d"), member(t, "b"), member(t, "x"), member(t, "c")}
	got := map[string]bool{}
	for c := range Diff(old, now, members) {
		if want := old.Talk(members[c.A], members[c.B]); c.Old != want {
			t.Errorf("old decision about %d and %d: %v, want %v", c.A, c.B, c.Old, want)
		}
		got[fmt.Sprint(c.A, c.B, c.Old.Allowed, c.New.Allowed)] = true
	}
	want := map[string]bool{}
	for a := range members {
		for b := range members {
			o, n := old.Talk(members[a], members[b]), now.Talk(members[a], members[b])
			if a != b && o.Allowed != n.Allowed {
				want[fmt.Sprint(a, b, o.Allowed, n.Allowed)] = true
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 9 {
		t.Errorf("changes %v, want these 9: %v", got, want)
	}
	if n := len(slices.Collect(Diff(old, old, members))); n != 0 {
		t.Errorf("%d changes between equal policies, want none", n)
	}
	// Nobody talks to himself.
	all, nobody := parse(t, "default allow"), parse(t, "default deny")
	if got := slices.Collect(Diff(all, nobody, members[:3])); len(got) != 6 {
		t.Errorf("%d changes among three members, want 6: %v", len(got), got)
	}
	if got := slices.Collect(Diff(all, nobody, members[:1])); len(got) != 0 {
		t.Errorf("changes of one member: %v, want none", got)
	}
	n := 0
	for range Diff(old, now, members) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d changes before the loop was left, want 2", n)
	}
}
