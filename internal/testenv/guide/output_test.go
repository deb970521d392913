package guide

import (
	"strings"
	"testing"
)

func TestDiffers(t *testing.T) {
	all := []Mask{Dates, Times, Sizes, Endpoints, Serials, Keys, Versions, Processes}
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
		{"serial 19B8…2E87, valid", "serial FFFF, valid", nil, ""},
		{"serial 19B8…2E87, valid", "serial valid", nil, `from "valid" on`},
		{"a.b (c)", "a+b (c)", nil, `from "a.b (c)" on`},
		{"since 3h12m", "since 4s", nil, `from "3h12m" on`},
		{"since 3h12m", "since 4s", all, ""},
		{"since -", "since 4s", all, `from "-" on`},
		{"12.4 ms 0.31 ms, 0s", "3 µs 1.2 s, 71d3h", all, ""},
		{"valid until 2036-02-27", "valid until 2037-01-01", all, ""},
		{"at 2026-03-01 13:00 UTC: at 2026-03-01T13:00:05Z.", "at 2027-03-01 13:01:02 UTC: at 2026-03-01 13:00.", all, ""},
		{"1.5 MiB 3.4 KiB/s 0 B", "96 B 0 B/s 1 GiB", all, ""},
		{"203.0.113.22:39538 (wan)", "198.18.0.7:1 (wan)", all, ""},
		{"10.9.0.1", "10.9.0.2", all, `from "10.9.0.1" on`},
		{"19B86865227BA9F2ABC8710EB4BE2E87", "1057F93C6F674D95AC973E5A94840793", all, ""},
		{"key 6f0c2a9d11b3", "key 8350ed4ee3fe", all, ""},
		{"key 6f0c2a9d11b3", "key 8350ed4ee3ff", []Mask{Dates}, `from "6f0c2a9d11b3" on`},
		{"campagnol 1.0.0, process 4711", "campagnol 1.0.0, process 1", all, ""},
		{"campagnol 1.0.0", "campagnol 1.0.1-dev+abc (go1.26.8, commit 1)", all, ""},
		{"7 times", "8 times", []Mask{Varies("N", `\d+ times`)}, ""},
	} {
		got := differs(c.shown, c.got, c.masks)
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
