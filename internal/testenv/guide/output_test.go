package guide

import (
	"strings"
	"testing"
)

func TestDiffers(t *testing.T) {
	all := Usual()
	for _, c := range []struct {
		shown, got string
		masks      []Mask
		want       string // part of the complaint
	}{
		{"a  b\n", "a\n   b", nil, ""},
		{"a b", "a b c", nil, "ends earlier"},
		{"a b c d", "a b d", nil, `from "c d" on`},
		{"a b", "a", nil, `from "b" on`},
		{"a", "", nil, `from "a" on`},
		{"a … d", "a b c d", nil, ""},
		{"a … d", "a d", nil, ""},
		{"a …", "a b c", nil, ""},
		{"… d", "a b c", nil, `from "d" on`},
		{"a …\nd", "a\nd", nil, ""},
		{"a …\nd", "a b c\nd", nil, ""},
		{"a …\nd", "a\nb c\nd", nil, `from "d" on`},
		{"a …\nd", "a b d", nil, `from "d" on`},
		{"a … d", "a b\nd", nil, ""},
		{"a … d", "a\nb d", nil, `from "d" on`},
		{"a … d", "a", nil, `from "d" on`},
		{"… c", "a b c", nil, ""},
		{"… c", "a b\nc", nil, `from "c" on`},
		{"a\n… c", "a\nb c", nil, ""},
		{"…", "", nil, ""},
		{"…", "a b\n\nc\n", nil, ""},
		{"a\n…\nd", "a\nb c\nd", nil, ""},
		{"a\n…\nd", "a\nd", nil, ""},
		{"a\n…\nd", "a b\nd", nil, `from "… d" on`},
		{"a\n…\nd", "a\nb d", nil, `from "d" on`},
		{"…\nb\n…", "a\nb\nc", nil, ""},
		{"…\nb\n…", "a\nb c", nil, `from "…" on`},
		{"…\nb …\n…", "a\nb c\nd\ne", nil, ""},
		{"…\nb …\n…", "a\nbc\nd", nil, `from "b … …" on`},
		{"a b\nc", "a\n\n b c\n", nil, ""},
		{"203.0.113… (relay)", "203.0.113.7:1 (relay)", nil, ""},
		{"203.0.113… (relay)", "203.0.114.7:1 (relay)", nil, `from "203.0.113… (relay)" on`},
		{"(…) …b", "() b", nil, ""},
		{"…b", "a b", nil, `from "…b" on`},
		{"serial 19B8…2E87, valid", "serial FFFF, valid", nil, `from "19B8…2E87, valid" on`},
		{"serial 19B8…2E87, valid", "serial FFFF, valid", all, `from "<SERIAL>, valid" on`},
		{"serial 19B8…2E87, valid", "serial 1057F93C6F674D95AC973E5A94840793, valid", all, ""},
		{"a.b (c)", "a+b (c)", nil, `from "a.b (c)" on`},
		{"since 3h12m", "since 4s", nil, `from "3h12m" on`},
		{"since 3h12m", "since 4s", all, ""},
		{"since -", "since 4s", all, `from "-" on`},
		{"12.4 ms 0.31 ms, 0s", "3 µs 1.2 s, 71d3h", all, ""},
		{"valid until 2036-02-27", "valid until 2037-01-01", all, ""},
		{"at 2026-03-01 13:00 UTC: at 2026-03-01T13:00:05Z.", "at 2027-03-01 13:01:02 UTC: at 2026-03-01 13:00.", all, ""},
		{"1.5 MiB 3.4 KiB/s 0 B", "96 B 0 B/s 1 GiB", all, ""},
		{"203.0.113.22:39538 (wan)", "203.0.113.22:1025 (wan)", all, ""},
		{"203.0.113.22:39538 (wan)", "203.0.113.23:39538 (wan)", all, `from "203.0.113.22<PORT> (wan)" on`},
		{"[2001:db8::1]:39538", "[2001:db8::1]:4500", all, ""},
		{"rdv.example.org:57888", "rdv.example.org:57889", all, `from "rdv.example.org:57888" on`},
		{"= 0.374/0.389/0.401/0.011 ms", "= 10.4/12.5/12.6/0.1 ms", all, ""},
		{"join campagnol-ahpkf6q2…", "join campagnol-" + strings.Repeat("ab2", 20), all, ""},
		{"join campagnol-ahpkf6q2…", "join campagnol-ca", all, `from "<TOKEN>" on`},
		{"10.9.0.1", "10.9.0.2", all, `from "10.9.0.1" on`},
		{"19B86865227BA9F2ABC8710EB4BE2E87", "1057F93C6F674D95AC973E5A94840793", all, ""},
		{"key 6f0c2a9d11b3", "key 8350ed4ee3fe", all, ""},
		{"key 6f0c2a9d11b3", "key 8350ed4ee3ff", []Mask{Dates}, `from "6f0c2a9d11b3" on`},
		{"campagnol 1.0.0, process 4711", "campagnol 1.0.0, process 1", all, ""},
		{"campagnol 1.0.0", "campagnol 1.0.1-dev+abc (go1.26.8, commit 1)", all, ""},
		{"7 times", "8 times", []Mask{Varies("N", `\d+ times`)}, ""},
	} {
		got := Command{Output: c.shown}.Differs(c.got, c.masks...)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("the document shows %q, printed is %q: got %q, want %q", c.shown, c.got, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	g := &Guide{Path: "docs/x.md"}
	w := &witness{TB: t}
	g.Check(w, Command{Line: "a", At: 7}, "whatever")
	g.Check(w, Command{Line: "a", At: 7, Output: "one\n"}, "one")
	if len(w.said) != 0 {
		t.Errorf("got %q, want no complaint", w.said)
	}
	g.Check(w, Command{Line: "a", At: 7, Output: "one\n"}, "two")
	if len(w.said) != 1 || !strings.HasPrefix(w.said[0], `docs/x.md:7: "a" prints something else`) {
		t.Errorf("got %q, want a complaint with the place", w.said)
	}
}
