package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"campagnol/internal/control"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// update makes tests write what they would compare.
var update = flag.Bool("update", false, "write the golden files of campagnol top")

// topDocument is the status of a client with five peers, so many seconds after noon.
func topDocument(seconds int) *control.Status {
	now := noon.Add(time.Duration(seconds) * time.Second)
	n := uint64(seconds)
	session := func(addr, name, path, kind string, rtt float64, in, out uint64) control.Peer {
		return control.Peer{VPNAddress: netip.MustParseAddr(addr), Name: name, State: "ESTABLISHED", Path: netip.MustParseAddrPort(path),
			PathKind: kind, PathRTTSeconds: rtt, Since: noon.Add(-time.Hour - time.Duration(rtt*1e5)*time.Second), BytesIn: in, BytesOut: out}
	}
	return &control.Status{
		Version: "1.0.0", Time: now, Started: noon.Add(-3 * time.Hour), Interface: "tun0",
		VPNAddress:   netip.MustParseAddr("10.9.0.1"),
		Certificates: []control.Certificate{{Name: "alice"}, {Name: "CA", Authority: true}},
		RDV: control.RDV{Host: "rdv.example.org", Address: netip.MustParseAddrPort("203.0.113.10:57888"), Registered: true,
			Registration: control.RegisteredAuthenticated, Since: noon.Add(-2 * time.Hour)},
		NAT: control.NAT{Description: "is behind a NAT that peers can cross"},
		Peers: []control.Peer{
			session("10.9.0.2", "bob", "203.0.113.22:39538", "wan", 0.0123, n*n*1500, n*800),
			session("10.9.0.7", "carol-has-a-long-name", "192.168.7.4:57888", "lan", 0.00031, 4000, 5000),
			session("10.9.0.9", "", "198.51.100.4:57888", "", 0, n*20, n*20),
			{VPNAddress: netip.MustParseAddr("10.9.0.17"), State: "PUNCHING"},
			session("10.9.0.33", "dave", "203.0.113.10:40001", "relay", 0.182, n*64<<10, (n/7)*(n/7)<<20),
		},
	}
}

// topSample is a model in the middle of its life.
func topSample(width, height int) *topModel {
	m := newTopModel(topSource{})
	m.plain = true
	for i := range 61 {
		m.Update(topLooked{status: topDocument(i)})
	}
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(topHappened{events: &control.Events{Started: noon, Next: 5, Events: []control.Event{
		{Number: 1, Time: noon.Local(), Kind: "registered", Name: "rdv", Address: netip.MustParseAddrPort("203.0.113.10:57888")},
		{Number: 2, Time: noon.Local(), Kind: "opened", VPNAddress: netip.MustParseAddr("10.9.0.2"), Name: "bob", Address: netip.MustParseAddrPort("203.0.113.22:39538")},
		{Number: 3, Time: noon.Local(), Kind: "moved", VPNAddress: netip.MustParseAddr("10.9.0.7"), Name: "carol-has-a-long-name",
			Address: netip.MustParseAddrPort("192.168.7.4:57888"), Before: netip.MustParseAddrPort("203.0.113.23:1024"), Reason: "shorter"},
		{Number: 4, Time: noon.Local(), Kind: "failed", VPNAddress: netip.MustParseAddr("10.9.0.44"), Reason: "no path"},
		{Number: 5, Time: noon.Local(), Kind: "refused", VPNAddress: netip.MustParseAddr("10.9.0.66"), Code: "revoked", Reason: "certificate CN=mallory revoked"},
	}}})
	return m
}

// key returns the message of a key.
func key(name string) tea.KeyPressMsg {
	special := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "pgdown": tea.KeyPgDown,
		"pgup": tea.KeyPgUp, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace, "space": tea.KeySpace}
	if code, ok := special[name]; ok {
		return tea.KeyPressMsg{Code: code}
	}
	if name == "ctrl+c" {
		return tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// presses gives a model keys, and returns the last command.
func (m *topModel) presses(keys ...string) (cmd tea.Cmd) {
	for _, k := range keys {
		_, cmd = m.Update(key(k))
	}
	return cmd
}

// screen returns what a model draws, and checks that it fits.
func screen(t *testing.T, m *topModel) string {
	t.Helper()
	text := m.View().Content
	lines := strings.Split(text, "\n")
	if len(lines) > max(1, m.height) {
		t.Errorf("%d lines on a screen of %d", len(lines), m.height)
	}
	for _, line := range lines {
		if w := lipgloss.Width(line); w > m.width {
			t.Errorf("a line of %d characters on a screen of %d: %q", w, m.width, line)
		}
		for _, c := range line {
			if m.plain && !unicode.IsPrint(c) {
				t.Errorf("%q in %q", c, line)
			}
		}
	}
	return text
}

// TestTopViews compares whole screens with those in testdata.
func TestTopViews(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		for _, c := range []struct {
			name string
			keys []string
		}{
			{"peers", nil},
			{"by-rate", []string{"s", "down"}},
			{"filtered", []string{"/", "1", "0", ".", "9", ".", "0", ".", "3", "enter", "p"}},
			{"details", []string{"enter"}},
		} {
			name := fmt.Sprintf("top-%s-%dx%d.txt", c.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				m := topSample(size[0], size[1])
				m.presses(c.keys...)
				if c.name == "details" {
					m.Update(topExplained{peer: netip.MustParseAddr("10.9.0.2"), e: sampleExplanation()})
				}
				got := screen(t, m) + "\n"
				if n := strings.Count(got, "\n"); n != size[1] {
					t.Errorf("%d lines, want %d", n, size[1])
				}
				golden(t, filepath.Join("testdata", name), got)
			})
		}
	}
}

// golden compares a text with a file, which -update writes.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant, as in %s\n%s", got, file, want)
	}
}

// TestTopKeys: what keys do.
func TestTopKeys(t *testing.T) {
	m := topSample(80, 24)
	selected := func() string { return m.current().String() }
	for _, c := range []struct {
		keys []string
		want string
	}{
		{nil, "10.9.0.2"}, {[]string{"down"}, "10.9.0.7"}, {[]string{"j", "j"}, "10.9.0.17"}, {[]string{"k"}, "10.9.0.9"},
		{[]string{"end"}, "10.9.0.33"}, {[]string{"down"}, "10.9.0.33"}, {[]string{"home", "up"}, "10.9.0.2"}, {[]string{"pgdown"}, "10.9.0.33"},
		{[]string{"pgup"}, "10.9.0.2"}, {[]string{"r", "home"}, "10.9.0.33"}, {[]string{"r", "s", "home"}, "10.9.0.2"}, {[]string{"s", "home"}, "10.9.0.7"},
		{[]string{"s", "home"}, "10.9.0.2"}, {[]string{"s", "end"}, "10.9.0.17"}, {[]string{"s", "home"}, "10.9.0.9"}, {[]string{"s"}, "10.9.0.9"},
		{[]string{"/", "l", "a", "n", "x", "backspace", "enter"}, "10.9.0.7"},
		{[]string{"/", "esc", "end"}, "10.9.0.33"},
	} {
		if m.presses(c.keys...); selected() != c.want {
			t.Errorf("after %q %s is selected, want %s", c.keys, selected(), c.want)
		}
	}
	for _, quit := range []string{"q", "ctrl+c"} {
		if cmd := m.presses(quit); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit", quit)
		}
	}
	if m.presses("/", "q"); m.filter != "q" {
		t.Errorf("the filter is %q, want q, which does not quit while it is typed", m.filter)
	}
	if m.presses(strings.Split(strings.Repeat("x", 200), "")...); len(m.filter) > topFilter {
		t.Errorf("a filter of %d bytes", len(m.filter))
	}
}

// TestTopPause: nothing moves while it is paused, and nothing is lost.
func TestTopPause(t *testing.T) {
	m := topSample(80, 24)
	m.presses("p")
	before := screen(t, m)
	if !strings.Contains(before, "PAUSED") {
		t.Error("it is not said")
	}
	m.Update(topLooked{status: topDocument(70)})
	m.Update(topHappened{events: &control.Events{Started: noon, Next: 6, Events: []control.Event{{Number: 6, Kind: "reloaded", Time: noon}}}})
	if got := screen(t, m); got != before {
		t.Errorf("paused, it has changed to\n%s", got)
	}
	m.presses("space")
	if got := screen(t, m); !strings.Contains(got, "the configuration was read again") {
		t.Errorf("an event is lost:\n%s", got)
	}
}

// TestTopAsks: a look follows a look, events follow events, and details are asked for.
func TestTopAsks(t *testing.T) {
	var since []uint64
	asked := ""
	m := newTopModel(topSource{
		status:  func() (*control.Status, error) { return topDocument(1), nil },
		explain: func(peer string) (*control.Explanation, error) { asked = peer; return sampleExplanation(), nil },
		events: func(n uint64) (*control.Events, error) {
			since = append(since, n)
			return &control.Events{Started: noon, Next: n + 3}, nil
		},
	})
	m.plain = true
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	_, cmd := m.Update(topTick{})
	m.Update(cmd())
	if m.status == nil || len(m.peers()) != 5 {
		t.Fatalf("no peers after a look: %+v", m.status)
	}
	msg := m.awaitEvents()()
	for range 2 {
		_, cmd := m.Update(msg)
		msg = cmd()
	}
	if fmt.Sprint(since) != "[0 3 6]" {
		t.Errorf("asked for events since %v", since)
	}
	m.Update(m.presses("down", "enter")())
	if asked != "10.9.0.7" || m.explained != nil && m.current().String() != asked {
		t.Errorf("asked about %s", asked)
	}
	if got := screen(t, m); !strings.Contains(got, "DETAILS OF 10.9.0.7") {
		t.Errorf("no details in\n%s", got)
	}
	m.Update(topExplained{peer: m.current(), err: errors.New("nobody knows\x1b[2J")})
	if got := screen(t, m); !strings.Contains(got, "nobody knows?[2J") {
		t.Errorf("an error is not shown in\n%s", got)
	}
	m.Update(topLooked{err: errors.New("gone")})
	if got := screen(t, m); !strings.Contains(got, "NO ANSWER: gone") {
		t.Errorf("an error is not shown in\n%s", got)
	}
	if _, cmd := m.Update(topHappened{err: errors.New("gone")}); cmd == nil {
		t.Error("events are not asked for again")
	}
}

// TestTopSizes draws on all sizes of screens, also without peers, and in colour.
func TestTopSizes(t *testing.T) {
	for _, details := range []bool{false, true} {
		for width := 0; width <= 130; width += 5 {
			for height := 0; height <= 42; height += 3 {
				m := topSample(width, height)
				m.details, m.explained = details, sampleExplanation()
				screen(t, m)
				m.plain = false
				screen(t, m)
				m.ascii = true
				m.take(&control.Status{Time: noon})
				screen(t, m)
			}
		}
	}
	if got := screen(t, topSample(50, 24)); got != "the terminal is too small: 60 x 12 at least" {
		t.Errorf("on a small screen: %q", got)
	}
}

func TestSparkline(t *testing.T) {
	var ramp []float64
	for i := range 60 {
		ramp = append(ramp, float64(i))
	}
	for _, c := range []struct {
		name  string
		list  []float64
		width int
		steps []rune
		want  string
	}{
		{"nothing", nil, 6, sparkBlocks, "      "},
		{"no room", ramp, 0, sparkBlocks, ""},
		{"a ramp", ramp, 8, sparkBlocks, "▁▂▃▄▅▆▇█"},
		{"a ramp in ASCII", ramp, 8, sparkASCII, ".:-=+*#@"},
		{"the beginning", []float64{5}, 60, sparkASCII, strings.Repeat(" ", 59) + "@"},
		{"silence", make([]float64, 60), 3, sparkASCII, "   "},
		{"wider than it has rates", ramp[58:], 120, sparkASCII, strings.Repeat(" ", 117) + "# @"},
	} {
		if got := sparkline(c.list, c.width, c.steps); len([]rune(got)) != c.width || c.name != "wider than it has rates" && got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRateHistories: another session begins with nothing, and who is gone is forgotten.
func TestRateHistories(t *testing.T) {
	hs := rateHistories{}
	addr := netip.MustParseAddr("10.9.0.2")
	look := func(seconds int, since time.Time, in uint64) *control.Status {
		return &control.Status{Time: noon.Add(time.Duration(seconds) * time.Second), Peers: []control.Peer{{VPNAddress: addr, Since: since, BytesIn: in}}}
	}
	steps := []*control.Status{look(0, noon, 1000), look(2, noon, 5000), look(2, noon, 9000), look(3, noon.Add(1), 700), look(4, noon.Add(1), 600), {Time: noon}}
	hs.look(nil, steps[0])
	for i, want := range []string{"[2000]", "[2000]", "[2000 700]", "[2000 700]"} {
		hs.look(steps[i], steps[i+1])
		if got := fmt.Sprint(hs[addr].list); got != want {
			t.Errorf("after look %d: %s, want %s", i+1, got, want)
		}
	}
	if hs.look(steps[4], steps[5]); len(hs) != 0 {
		t.Errorf("a peer that is gone is remembered: %v", hs)
	}
	h := new(rateHistory)
	for range 1000 {
		h.add(1, 1)
	}
	if len(h.list) != topMinute {
		t.Errorf("%d rates are remembered, want %d", len(h.list), topMinute)
	}
}

// TestNeedTerminal: where top cannot be shown it says what to use instead.
func TestNeedTerminal(t *testing.T) {
	err := needTerminal(strings.NewReader(""), new(strings.Builder), os.Getenv)
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "campagnol status --watch") {
		t.Errorf("without a terminal: %v", err)
	}
	if _, errOut, status := runTable(t, topCommand(socketDir(t)), "--socket", "x"); status != 1 || !strings.Contains(errOut, "it is for a terminal, which this is not") {
		t.Errorf("status %d, %s", status, errOut)
	}
}

func TestRateText(t *testing.T) {
	for rate, want := range map[float64]string{0: "-", 0.9: "-", 1: "1 B/s", 999: "999 B/s", 1000: "1.0 KiB/s", 9.94 * 1024: "9.9 KiB/s",
		9.96 * 1024: "10 KiB/s", 999 * 1024: "999 KiB/s", 1 << 20: "1.0 MiB/s", 1 << 62: "4.0 EiB/s"} {
		if got := rateText(rate); got != want || len(got) > 10 {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}

func TestSpeaksUTF8(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true}, {map[string]string{"LANG": "C"}, false}, {map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C", "LC_ALL": "C.utf8"}, true}, {map[string]string{"LC_CTYPE": "POSIX", "LANG": "en_US.UTF-8"}, false},
	} {
		if got := speaksUTF8(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v, want %v", c.env, got, c.want)
		}
	}
}

// TestEventText: every kind has a sentence, in one line, whatever is in it.
func TestEventText(t *testing.T) {
	addr, at := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddrPort("192.0.2.1:5")
	for _, c := range []struct {
		e    control.Event
		want string
	}{
		{control.Event{Kind: "opened", VPNAddress: addr, Name: "b\x1b", Address: at}, `tunnel to 10.9.0.2 ("b?") opened, by 192.0.2.1:5`},
		{control.Event{Kind: "closed", VPNAddress: addr, Reason: "by\nit"}, "tunnel to 10.9.0.2 closed: by?it"},
		{control.Event{Kind: "moved", VPNAddress: addr, Address: at, Before: at}, "10.9.0.2 moved to 192.0.2.1:5 from 192.0.2.1:5"},
		{control.Event{Kind: "failed", VPNAddress: addr, Reason: "r"}, "10.9.0.2 was not reached: r"},
		{control.Event{Kind: "refused", Code: "c", Reason: "r"}, "the RDV server, c: r"},
		{control.Event{Kind: "registered", Address: at}, "registered at the RDV server 192.0.2.1:5"},
		{control.Event{Kind: "unregistered", Address: at, Reason: "r"}, "not registered at the RDV server 192.0.2.1:5: r"},
		{control.Event{Kind: "reloaded"}, "the configuration was read again"},
		{control.Event{Kind: "not_reloaded", Reason: "r"}, "the configuration cannot be used: r"},
		{control.Event{Kind: "of tomorrow", VPNAddress: addr}, "of tomorrow 10.9.0.2"},
	} {
		if got := eventText(&c.e); got != c.want {
			t.Errorf("%s: %q, want %q", c.e.Kind, got, c.want)
		}
	}
}
