package path

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
)

// reported returns a Report in a line for each address.
func reported(p *play) string {
	var lines []string
	for _, r := range p.k.Report(p.now) {
		path := ""
		if r.Path {
			path = " PATH"
		}
		lines = append(lines, fmt.Sprintf("%v %v %v%s: %s", r.Addr, r.Kind, r.RTT, path, r.Why))
	}
	return strings.Join(lines, "\n")
}

// TestReport: each address has a line that says why it is not the path, the path first.
func TestReport(t *testing.T) {
	far := at("192.168.1.3:5000")
	p := newPlay(t, other, third, far)
	p.rtt[other] = 19 * ms
	p.sends, p.hears = true, true
	want := func(what string, lines ...string) {
		t.Helper()
		if got := reported(p); got != strings.Join(lines, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Join(lines, "\n"))
		}
	}
	want("at the beginning",
		"203.0.113.1:5000 reflexive 0s PATH: ",
		"192.168.1.3:5000 observed 0s: was not tried yet",
		"203.0.113.2:5000 observed 0s: was not tried yet",
		"[2001:db8::3]:5000 observed 0s: was not tried yet")
	p.play(5 * time.Second)
	want("measured",
		"203.0.113.1:5000 reflexive 20ms PATH: ",
		"192.168.1.3:5000 observed 0s: has never answered",
		"203.0.113.2:5000 observed 19ms: is not faster by enough",
		"[2001:db8::3]:5000 observed 0s: has never answered")
	if r := p.k.Report(p.now); r[2].Answered.IsZero() || r[2].Sent < 2 || !r[2].Named || r[0].Named {
		t.Errorf("the report is %+v", r)
	}
	if sent, answered := p.k.Challenges(); sent < 1 || answered < 1 || sent > answered+1 {
		t.Errorf("of %d challenges by the path %d were answered, want all but the last", sent, answered)
	}
	delete(p.rtt, other)
	p.play(2 * time.Minute)
	want("gone", "203.0.113.1:5000 reflexive 20ms PATH: ",
		"192.168.1.3:5000 observed 0s: has never answered",
		"203.0.113.2:5000 observed 19ms: does not answer any more",
		"[2001:db8::3]:5000 observed 0s: has never answered")
}

// TestReportMoved: the path that was left is not the better one, and says so.
func TestReportMoved(t *testing.T) {
	p := newPlay(t, lan)
	p.rtt[lan] = ms
	p.sends, p.hears = true, true
	p.play(40 * time.Second)
	want := "192.168.1.2:5000 observed 1ms PATH: \n203.0.113.1:5000 reflexive 20ms: is a longer way"
	if got := reported(p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestReportDoesNothing: to ask changes nothing.
func TestReportDoesNothing(t *testing.T) {
	run := func(ask bool) []string {
		p := newPlay(t, other, lan)
		p.rtt[lan] = 3 * ms
		p.sends = true
		for range 100 {
			p.play(20 * ms)
			if ask {
				p.k.Report(p.now)
			}
		}
		return p.acts
	}
	if a, b := run(true), run(false); strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("asked, it does %q, and else %q", a, b)
	}
}

// TestReportScope: what is said of a place comes with it.
func TestReportScope(t *testing.T) {
	k := New(start, func() uint64 { return 1 }, wan, []punch.Candidate{{Addr: lan.Addr, Kind: punch.Configured, Scope: "office"}})
	r := k.Report(start)
	if len(r) != 2 || r[1].Scope != "office" || r[1].Kind != punch.Configured || r[1].Class() != LAN {
		t.Errorf("got %+v", r)
	}
}
