package control

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bob  = netip.MustParseAddr("10.9.0.2")
)

// TestCommands: what is asked for by which method, and that answers are read.
func TestCommands(t *testing.T) {
	var asked []string
	answer := func(doc any) Handler {
		return func(r *http.Request) (any, error) {
			asked = append(asked, r.Method+" "+r.URL.String())
			return doc, nil
		}
	}
	s, _ := serve(t, Config{Routes: map[string]Handler{
		"POST " + PingPath:       answer(&Pong{Version: "1", VPNAddress: bob, Answered: true, RTTSeconds: 0.5}),
		"POST " + DisconnectPath: answer(&Disconnection{Version: "1", VPNAddress: bob, State: "ESTABLISHED"}),
		"POST " + ReloadPath:     answer(&Reload{Version: "1", ConfigFile: "x.conf"}),
		"GET " + LogLevelPath:    answer(&LogLevel{Version: "1", Level: "info", Normal: "info"}),
		"POST " + LogLevelPath:   answer(&LogLevel{Version: "1", Level: "debug", Normal: "info"}),
		"GET " + PeersPath:       answer(&Peers{Version: "1", Time: noon, Listed: true}),
		"GET " + EventsPath:      answer(&Events{Version: "1", Time: noon, Next: 9}),
		"GET " + BugReportPath:   answer(&BugReport{Version: "1", Time: noon, Files: []BugReportFile{{Name: "contents.txt"}}}),
	}})
	c, ctx := newClient(t, s.Path()), t.Context()
	for _, e := range []struct {
		ask  func() (any, error)
		ok   func(any) bool
		want string
	}{
		{func() (any, error) { d, _, err := c.Ping(ctx, "bob & co", 1500*time.Millisecond); return d, err },
			func(d any) bool { return d.(*Pong).RTTSeconds == 0.5 }, "POST /v1/ping?peer=bob+%26+co&wait=1.5"},
		{func() (any, error) { d, _, err := c.Disconnect(ctx, "bob"); return d, err },
			func(d any) bool { return d.(*Disconnection).VPNAddress == bob }, "POST /v1/disconnect?peer=bob"},
		{func() (any, error) { d, _, err := c.Reload(ctx); return d, err },
			func(d any) bool { return d.(*Reload).ConfigFile == "x.conf" }, "POST /v1/reload"},
		{func() (any, error) { d, _, err := c.LogLevel(ctx); return d, err },
			func(d any) bool { return d.(*LogLevel).Level == "info" }, "GET /v1/log-level"},
		{func() (any, error) { d, _, err := c.SetLogLevel(ctx, "debug", time.Minute); return d, err },
			func(d any) bool { return d.(*LogLevel).Level == "debug" }, "POST /v1/log-level?level=debug&seconds=60"},
		{func() (any, error) { d, _, err := c.SetLogLevel(ctx, "debug", 0); return d, err },
			func(d any) bool { return d.(*LogLevel).Normal == "info" }, "POST /v1/log-level?level=debug"},
		{func() (any, error) { d, _, err := c.Peers(ctx, true); return d, err },
			func(d any) bool { return d.(*Peers).Listed }, "GET /v1/peers?all=yes"},
		{func() (any, error) { d, _, err := c.Events(ctx, 7, time.Hour); return d, err },
			func(d any) bool { return d.(*Events).Next == 9 }, "GET /v1/events?since=7&wait=20"},
		{func() (any, error) { return c.BugReport(ctx, true) },
			func(d any) bool { return len(d.(*BugReport).Files) == 1 }, "GET /v1/bugreport?anonymous=yes"},
	} {
		asked = nil
		d, err := e.ask()
		if err != nil || !e.ok(d) || fmt.Sprint(asked) != "["+e.want+"]" {
			t.Errorf("%+v, %v, asked by %q, want %q", d, err, asked, e.want)
		}
	}
}

// TestCommandsChangeByPOST: nothing is changed by GET.
func TestCommandsChangeByPOST(t *testing.T) {
	s, _ := serve(t, Config{Routes: map[string]Handler{
		"POST " + ReloadPath: func(*http.Request) (any, error) { t.Error("it was reloaded"); return &Reload{}, nil },
	}})
	if _, _, err := newClient(t, s.Path()).ask(t.Context(), http.MethodGet, ReloadPath, askTime); err == nil {
		t.Error("GET reloads")
	}
}

// TestCommandAnswers: what is no answer is an error that says what to do.
func TestCommandAnswers(t *testing.T) {
	ours := "campagnol/9.9"
	for _, c := range []struct{ name, answer, text string }{
		{"no JSON", reply(200, ours, "hello"), "cannot read: invalid character"},
		{"another document", reply(200, ours, `{}`), "is missing"},
		{"a wrong type", reply(200, ours, `{"version":1}`), "cannot read: json"},
		{"an older client", reply(404, "campagnol/0.9", `{"error":"there is no request"}`), "is of version 0.9"},
		{"a refusal", reply(422, ours, `{"error":"x.conf:3: no","hint":"look"}`), "x.conf:3: no"},
		{"another server", reply(200, "nginx", `{}`), "is not a campagnol client"},
	} {
		c2 := newClient(t, speak(t, c.answer))
		for name, ask := range map[string]func() error{
			"ping":       func() error { _, _, err := c2.Ping(t.Context(), "b", time.Second); return err },
			"disconnect": func() error { _, _, err := c2.Disconnect(t.Context(), "b"); return err },
			"reload":     func() error { _, _, err := c2.Reload(t.Context()); return err },
			"log-level":  func() error { _, _, err := c2.LogLevel(t.Context()); return err },
			"set level":  func() error { _, _, err := c2.SetLogLevel(t.Context(), "x", 0); return err },
			"peers":      func() error { _, _, err := c2.Peers(t.Context(), false); return err },
			"events":     func() error { _, _, err := c2.Events(t.Context(), 0, 0); return err },
			"bugreport":  func() error { _, err := c2.BugReport(t.Context(), false); return err },
		} {
			if err := ask(); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s, %s: %v, want %q", name, c.name, err, c.text)
			}
		}
	}
}

// TestLastAnswer: a request that is why the server ends gets its answer.
func TestLastAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server, err := Listen(Config{Path: filepath.Join(newDir(t), "x.sock"), Program: "campagnol/1", Routes: map[string]Handler{
		"POST " + ReloadPath: func(r *http.Request) (any, error) {
			cancel()
			<-r.Context().Done()
			return &Reload{Version: "1", ConfigFile: "x.conf"}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	if r, _, err := newClient(t, server.Path()).Reload(context.Background()); err != nil || r.ConfigFile != "x.conf" {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
