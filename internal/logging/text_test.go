package logging

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// panicker is a value whose methods are broken.
type panicker struct{}

func (*panicker) String() string { panic("boom") }

// chatty is a value that logs while it is rendered.
type chatty struct{ log *slog.Logger }

func (c chatty) String() string {
	c.log.Error("inner")
	return "outer"
}

func TestText(t *testing.T) {
	addr := netip.MustParseAddrPort("203.0.113.22:39538")
	a, b := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
	for _, c := range []struct {
		name string
		msg  string
		args []any
		want string
	}{
		{"message", "Starting VPN", nil, "Starting VPN"},
		{"attributes", "Socket opened", []any{"addr", addr, "n", 3, "err", nil}, "Socket opened addr=203.0.113.22:39538 n=3 err=<nil>"},
		{"peer comes bare and first", "New DTLS connection opened with peer", []any{"addr", addr, "peer", b},
			"New DTLS connection opened with peer 10.9.0.2 addr=203.0.113.22:39538"},
		{"in place", "New connection from {asker} to {asked}", []any{"asked", b, "asker", a}, "New connection from 10.9.0.1 to 10.9.0.2"},
		{"in place, touching text", "Adding new client [{ip}/{port}] {vpn}", []any{"ip", addr.Addr(), "port", addr.Port(), "vpn", b},
			"Adding new client [203.0.113.22/39538] 10.9.0.2"},
		{"in place and others", "Received signal {signal}, exiting...", []any{"signal", 15, "x", "y"}, "Received signal 15, exiting... x=y"},
		{"peer in place is not repeated", "Session timeout: {peer}", []any{"peer", b}, "Session timeout: 10.9.0.2"},
		{"named twice", "{a}{a}", []any{"a", 1}, "11"},
		{"unknown name stays", "a {b} {c", []any{"c", 1}, "a {b} {c c=1"},
		{"nested braces", "{{a}}", []any{"a", 1}, "{1}"},
		{"closing brace first", "} {a}", []any{"a", 1}, "} 1"},
		{"last of a name counts", "{a}", []any{"a", 1, "a", 2}, "2 a=1"},
		{"value that looks like a name", "{a} {b}", []any{"a", "{b}", "b", 2}, "{b} 2"},

		{"blanks are quoted", "m", []any{"k", "two words"}, `m k="two words"`},
		{"empty value", "m", []any{"k", ""}, `m k=""`},
		{"quote", "m", []any{"k", `a"b`}, `m k="a\"b"`},
		{"looks like an attribute", "m", []any{"k", "a=b"}, `m k="a=b"`},
		{"line end", "m", []any{"k", "a\nerror: b"}, `m k="a\nerror: b"`},
		{"terminal escape", "m", []any{"k", "\x1b[2J"}, `m k="\x1b[2J"`},
		{"C1 control", "m", []any{"k", "\u009b2J"}, `m k="\u009b2J"`},
		{"text direction", "m", []any{"k", "a\u202eb"}, `m k="a\u202eb"`},
		{"invalid UTF-8", "m", []any{"k", "a\xffb"}, `m k="a\xffb"`},
		{"replacement character", "m", []any{"k", "a\ufffdb"}, "m k=a\ufffdb"},
		{"other scripts are text", "m", []any{"k", "čeština"}, "m k=čeština"},
		{"backslash", "m", []any{"k", `a\n`}, `m k="a\\n"`},
		{"line end in a peer", "Session timeout", []any{"peer", "x\nwarning: y"}, `Session timeout x\nwarning: y`},
		{"line end in place", "in {k}.", []any{"k", "x\r\n\x1b]"}, `in x\r\n\x1b].`},
		{"line end in the message", "a\nb", nil, `a\nb`},
		{"odd key", "m", []any{"a b", 1}, `m "a b"=1`},

		{"error", "m", []any{"err", errors.New("no such file")}, `m err="no such file"`},
		{"duration", "m", []any{"d", 1500 * time.Millisecond}, "m d=1.5s"},
		{"time", "m", []any{"t", time.Unix(0, 0).UTC()}, "m t=1970-01-01T00:00:00Z"},
		{"group", "m", []any{slog.Group("g", "a", 1, slog.Group("h", "b", 2))}, "m g.a=1 g.h.b=2"},
		{"group in place", "{g.a}", []any{slog.Group("g", "a", 1)}, "1"},
		{"empty group", "m", []any{slog.Group("g")}, "m"},
		{"group without name", "m", []any{slog.Group("", "a", 1)}, "m a=1"},
		{"empty attribute", "m", []any{slog.Attr{}}, "m"},
	} {
		var out, errOut bytes.Buffer
		slog.New(NewText(&out, &errOut, LevelNotice)).Log(t.Context(), LevelNotice, c.msg, c.args...)
		if got, want := out.String(), c.want+"\n"; got != want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, want)
		}
		if errOut.Len() > 0 {
			t.Errorf("%s: standard error has %q", c.name, errOut.String())
		}
	}
}

func TestTextStreams(t *testing.T) {
	for _, c := range levels {
		var out, errOut bytes.Buffer
		slog.New(NewText(&out, &errOut, LevelPacket)).Log(t.Context(), c.level, "m", "k", "v")
		wantOut, wantErr := "m k=v\n", ""
		switch c.level {
		case slog.LevelWarn:
			wantOut, wantErr = "", "warning: m k=v\n"
		case slog.LevelError:
			wantOut, wantErr = "", "error: m k=v\n"
		}
		if out.String() != wantOut || errOut.String() != wantErr {
			t.Errorf("%s: standard output %q, error %q, want %q and %q", c.name, &out, &errOut, wantOut, wantErr)
		}
	}
}

func TestTextWith(t *testing.T) {
	var out bytes.Buffer
	base := slog.New(NewText(&out, &out, slog.LevelInfo)).With("a", 1)
	x, y := base.With("x", 1), base.With("y", 2) // must not share memory
	g := base.WithGroup("g").With("b", 2).WithGroup("").WithGroup("h")
	for _, c := range []struct {
		log  *slog.Logger
		msg  string
		want string
	}{
		{base, "m", "m a=1 k=v"},
		{x, "m", "m a=1 x=1 k=v"},
		{y, "m", "m a=1 y=2 k=v"},
		{g, "m", "m a=1 g.b=2 g.h.k=v"},
		{g, "{a} {g.h.k}", "1 v g.b=2"},
		{base.With("peer", "p"), "m", "m p a=1 k=v"},
	} {
		out.Reset()
		c.log.Info(c.msg, "k", "v")
		if got, want := out.String(), c.want+"\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestTextManyAttributes has more attributes than the set of used ones counts.
func TestTextManyAttributes(t *testing.T) {
	var out bytes.Buffer
	var args []any
	for range 70 {
		args = append(args, "k", 1)
	}
	args = append(args, "last", "x")
	slog.New(NewText(&out, &out, slog.LevelInfo)).Info("m {last}", args...)
	if got := out.String(); !strings.HasPrefix(got, "m x k=1") || strings.Count(got, "k=1") != 70 {
		t.Errorf("got %q", got)
	}
}

func TestTextBrokenValues(t *testing.T) {
	var out, errOut bytes.Buffer
	log := slog.New(NewText(&out, &errOut, slog.LevelInfo))
	log.Info("m", "p", (*panicker)(nil), "q", &panicker{})
	if got := out.String(); !strings.HasPrefix(got, "m p=<nil> q=") || strings.Count(got, "\n") != 1 {
		t.Errorf("values whose methods panic became %q", got)
	}
	out.Reset()
	log.Info("m", "c", chatty{log})
	if got, want := out.String(), "m c=outer\n"; got != want {
		t.Errorf("a value that logs became %q, want %q", got, want)
	}
	if got, want := errOut.String(), "error: inner\n"; got != want {
		t.Errorf("what the value logged became %q, want %q", got, want)
	}
}

// TestTextConcurrent checks that lines of several goroutines stay whole.
func TestTextConcurrent(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewText(&out, &out, slog.LevelInfo))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				log.With("a", 1).Info("message", "b", 2)
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 800 {
		t.Errorf("%d lines, want 800", len(lines))
	}
	for _, l := range lines {
		if l != "message a=1 b=2" {
			t.Fatalf("line %q is torn", l)
		}
	}
}

// FuzzText checks that no message, key or value can start a line, reach the
// terminal's control functions, or make the handler panic.
func FuzzText(f *testing.F) {
	f.Add("m {k} {peer}", "k", "v\n\x1b[2J")
	f.Add("{", "}", "{}")
	f.Add("\u2028", "\u200b", "\xff")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		var out bytes.Buffer
		log := slog.New(NewText(&out, &out, slog.LevelInfo))
		log.With("peer", value).Info(msg, key, value, "k", key)
		line, ok := strings.CutSuffix(out.String(), "\n")
		if !ok {
			t.Fatalf("no line end in %q", &out)
		}
		if !utf8.ValidString(line) {
			t.Errorf("%q is not UTF-8", line)
		}
		for _, c := range line {
			if !unicode.IsPrint(c) {
				t.Errorf("%q contains %U", line, c)
			}
		}
	})
}
