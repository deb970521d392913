package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// FuzzParse reads any text: a policy that is accepted has a canonical form that
// means the same, and every mistake has its place in the text.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		example, "", "allow all <-> all", "group a = b,\n c # d\nallow a->b", `deny "x y" <-> fd00::: `, "filter all -> fd00::: deny 47, tcp/1-2",
		"default allow\nversion 3\nallow relay: *.a <-> role:b through 10.0.0.0/8", "group a = b\ngroup b = a", "allow a <- b", "allow ::ffff:1.2.3.4 <-> 1.2.3.4",
	} {
		f.Add(text)
	}
	members := []Member{
		{},
		{Names: []string{"a", "x.a"}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.7")}},
		{Names: []string{"alice"}, Groups: []string{"b", "server"}, Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/9")}},
		{Addrs: []netip.Addr{netip.MustParseAddr("fd00::"), netip.MustParseAddr("1.2.3.4")}},
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("f", text)
		if err != nil {
			checkErrors(t, text, err)
			return
		}
		again, err := Parse("f", p.Text())
		if err != nil || again.Text() != p.Text() || again.ID() != p.ID() {
			t.Fatalf("canonical text of %q:\n%s\n%v", text, p.Text(), err)
		}
		p.Warnings()
		for _, a := range members {
			for _, b := range members {
				if got, want := again.Talk(a, b).Allowed, p.Talk(a, b).Allowed; got != want {
					t.Fatalf("%q: the canonical text decides %t about %v and %v, the text %t", text, got, a, b, want)
				}
				if i, j := p.first(talkTable, p.sidesOf(talkTable, a), p.sidesOf(talkTable, b), nil), p.decide(talkTable, a, b, nil); i != j {
					t.Fatalf("%q: rule %d decides about %v and %v, want %d", text, i, a, b, j)
				}
				p.Relay(a, b, members[1])
				p.Filter(a, b)
			}
		}
		for range Diff(p, again, members) {
			t.Fatalf("%q differs from its canonical text", text)
		}
	})
}

// checkErrors checks that each mistake lies within the text.
func checkErrors(t *testing.T, text string, err error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%q: error of type %T", text, err)
	}
	lines := strings.Split(text, "\n")
	for _, one := range joined.Unwrap() {
		var e *Error
		if !errors.As(one, &e) || e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 || strings.ContainsAny(e.Text, "\n\x1b") {
			t.Fatalf("%q: mistake %q has no place in it", text, one)
		}
	}
}
