package policy

import (
	"sync"
	"testing"
)

// TestSubjects has every way to name somebody: what it is, and how it is written
// in the canonical form.
func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		kind kind
		text string
		want subjectKind
		form string
	}{
		{word, "all", everybody, "all"},
		{word, "ALL", everybody, "all"},
		{word, "Alice", byWord, "alice"},
		{word, "a_b-c.d", byWord, "a_b-c.d"},
		{word, "7up", byWord, "7up"},
		{word, "10-9-0-7", byWord, "10-9-0-7"},
		{word, "2024", byWord, "2024"},
		{word, "x-", byWord, "x-"},
		{word, "*.SRV.example", byPattern, "*.srv.example"},
		{word, "*.1.2", byPattern, "*.1.2"},
		{word, "role:Server", byRole, "role:server"},
		{word, "ROLE:1.2", byRole, "role:1.2"},
		{word, "10.9.0.7", byNet, "10.9.0.7"},
		{word, "10.9.0.7/32", byNet, "10.9.0.7"},
		{word, "10.9.0.0/28", byNet, "10.9.0.0/28"},
		{word, "0.0.0.0/0", byNet, "0.0.0.0/0"},
		{word, "::ffff:10.9.0.7", byNet, "10.9.0.7"},
		{word, "FD00:0:0::7", byNet, "fd00::7"},
		{word, "fd00:1:2:3:4:5:6:7", byNet, "fd00:1:2:3:4:5:6:7"},
		{word, "fd00:9::/64", byNet, "fd00:9::/64"},
		{word, "::/0", byNet, "::/0"},
		{quoted, "all", byName, `"all"`},
		{quoted, "Relay", byName, `"relay"`},
		{quoted, "Carol Smith", byName, `"carol smith"`},
		{quoted, "alice", byName, "alice"},
		{quoted, "10.9.0.7", byName, `"10.9.0.7"`},
		{quoted, "role:x", byName, `"role:x"`},
		{quoted, "Ärger", byName, `"Ärger"`},
		{quoted, "_x", byName, `"_x"`},
	} {
		s, err := parseSubject(token{kind: c.kind, text: c.text})
		if err != nil || s.kind != c.want || s.String() != c.form {
			t.Errorf("%q: kind %d, %q, %v, want kind %d, %q", c.text, s.kind, s, err, c.want, c.form)
		}
	}
	for _, c := range []struct {
		kind kind
		text string
	}{
		{word, "*"}, {word, "*."}, {word, "*.*.x"}, {word, "a.*"}, {word, "*x"}, {word, "role:*"}, {word, "role:_x"}, {word, "_x"}, {word, ".x"}, {word, "-x"},
		{word, "1.2"}, {word, "1.2.3"}, {word, "1.2.3.4.5"}, {word, "256.1.1.1"}, {word, "a/b"}, {word, "10.0.0.0/"}, {word, "/8"}, {word, "fd00::g"},
		{word, "fe80::1/129"}, {word, "a:b:c"}, {word, "name:x"}, {word, "x:"}, {word, "x:*"},
		{quoted, ""}, {quoted, " a"}, {quoted, "a "}, {quoted, "a*"}, {quoted, "a\tb"}, {quoted, "a\xff"}, {quoted, "a\u202eb"},
	} {
		if s, err := parseSubject(token{kind: c.kind, text: c.text}); err == nil {
			t.Errorf("%q means %v, want an error", c.text, s)
		}
	}
}

// Every kind of subject means whom it says, at each place of a rule.
func TestPlaces(t *testing.T) {
	for _, c := range []struct{ subject, is, isNot string }{
		{"all", "x", ""},
		{"a", "a", "b"},
		{`"a b"`, "a_b", "a"},
		{"*.s", "x.s", "s"},
		{"role:r", "x role:r", "r"},
		{"10.9.0.7", "x 10.9.0.7", "x 10.9.0.6"},
		{"10.9.0.0/29", "x 10.1.1.1 10.9.0.7", "x 10.9.0.8"},
		{"10.9.0.0/16", "x 10.9.8.0/24", "x 10.8.0.0/15"},
		{"fd00::/64", "x fd00::1:2", "x fd00:0:0:1::1"},
		{"grp", "member-of-group", "grp"},
	} {
		const group = "group grp = member-of-group, other\n"
		me, you, hub := member(t, "me"), member(t, "you"), member(t, "hub")
		is := member(t, c.is)
		left, right := parse(t, group+"allow "+c.subject+" -> me"), parse(t, group+"allow me -> "+c.subject)
		relay := parse(t, group+"allow all <-> all\nallow relay: me <-> you through "+c.subject)
		filter := parse(t, group+"filter "+c.subject+" -> me: deny tcp/1")
		if !left.Talk(is, me).Allowed || !right.Talk(me, is).Allowed || !relay.Relay(me, you, is).Allowed || len(filter.Filter(is, me)) != 1 {
			t.Errorf("%s does not mean %q everywhere", c.subject, c.is)
		}
		if c.isNot == "" {
			continue
		}
		isNot := member(t, c.isNot)
		if left.Talk(isNot, me).Allowed || right.Talk(me, isNot).Allowed || relay.Relay(me, you, isNot).Allowed || relay.Relay(me, you, hub).Allowed {
			t.Errorf("%s means %q", c.subject, c.isNot)
		}
	}
}

// A policy is asked from many goroutines at once.
func TestConcurrent(t *testing.T) {
	p := parse(t, example)
	alice, server, guest := member(t, "alice"), member(t, "a.srv.example"), member(t, "role:guest")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if !p.Talk(alice, server).Allowed || p.Talk(alice, member(t, "bob")).Allowed || p.Relay(alice, guest, alice).Allowed {
					t.Error("a decision changed")
				}
				p.Filter(alice, server)
				p.Warnings()
				for range Diff(p, p, []Member{alice, server, guest}) {
					t.Error("a policy differs from itself")
				}
			}
		})
	}
	wg.Wait()
	if p.Name() != "test" {
		t.Errorf("name = %q, want test", p.Name())
	}
}
