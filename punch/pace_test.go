package punch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// doors returns n candidates of one kind.
func doors(n int, kind CandidateKind) (list []Candidate) {
	for i := range n {
		list = append(list, Candidate{Addr: netip.AddrPortFrom(there.Addr(), uint16(i+1)), Kind: kind})
	}
	return list
}

// ports renders what is sent as the last digits of where it goes.
func ports(log []string) string {
	return strings.ReplaceAll(strings.Join(log, " | "), "203.0.113.22:", "")
}

// TestVolleyIsPaced: the likeliest four get their punches at once, as they do when
// there are no others; the others follow, and are left out of every second volley.
func TestVolleyIsPaced(t *testing.T) {
	a := NewAttempt(start, asker())
	a.Try(start, doors(9, Host)...)
	got := ports(run(a, 0, 80*time.Millisecond))
	const want = "0: 1, 2, 3, 4 | 5: 5, 6 | 10: 7, 8 | 15: 9 | 20: 1, 2, 3, 4 | 60: 1, 2, 3, 4 | 65: 5, 6 | 70: 7, 8 | 75: 9"
	if got != want {
		t.Errorf("sent\n%s, want\n%s", got, want)
	}

	few := NewAttempt(start, asker())
	few.Try(start, doors(4, Host)...)
	if got := ports(run(few, 0, 60*time.Millisecond)); got != "0: 1, 2, 3, 4 | 20: 1, 2, 3, 4 | 60: 1, 2, 3, 4" {
		t.Errorf("four candidates: %s, want them all at once each time", got)
	}
}

// TestVolleysAreBounded: all that an attempt sends to those who never answer.
func TestVolleysAreBounded(t *testing.T) {
	a := NewAttempt(start, asker())
	a.Try(start, doors(100, Host)...)
	sent := map[netip.AddrPort]int{}
	for now := a.Timeout(); !now.IsZero(); now = a.Timeout() {
		for _, o := range a.Advance(now, nil) {
			sent[o.To.Addr]++
		}
		if now.Sub(start) > time.Hour {
			t.Fatal("the attempt never ends")
		}
	}
	if s, _ := a.State(); s != Failed || len(sent) != maxCandidates {
		t.Errorf("%v with punches to %d places, want %d", s, len(sent), maxCandidates)
	}
	for i, c := range doors(maxCandidates, Host) {
		least, most := 18, 19
		if i >= volleyFirst {
			least, most = 8, 10
		}
		if n := sent[c.Addr]; n < least || n > most {
			t.Errorf("%d punches to candidate %d, want %d to %d", n, i, least, most)
		}
	}
}

// TestOpenedInAVolley: what is left of a volley is not sent once a path is open.
func TestOpenedInAVolley(t *testing.T) {
	a := NewAttempt(start, asker())
	list := doors(9, Host)
	a.Try(start, list...)
	a.Advance(start, nil)
	a.Handle(start.Add(time.Millisecond), at(list[1].Addr), original(high), nil)
	if got := ports(run(a, 0, 100*time.Millisecond)); got != "5: 2 heard | 45: 2 heard" {
		t.Errorf("sent %s, want punches on the path only", got)
	}
	a.Reject(start.Add(100*time.Millisecond), at(list[1].Addr))
	if got := ports(run(a, 100*time.Millisecond, 115*time.Millisecond)); !strings.HasPrefix(got, "100: 1, 2 heard, 3, 4") {
		t.Errorf("after the path was rejected: %s, want a volley to all", got)
	}
}

// TestNewPlaces: when the RDV names other places, they take those of the ones that were
// never heard, and of no others.
func TestNewPlaces(t *testing.T) {
	a := NewAttempt(start, asker())
	old := doors(maxCandidates, Host)
	a.Try(start, old...)
	a.Handle(start, at(old[3].Addr), original(high), nil)
	again := append(doors(1, Host), Candidate{Addr: lan, Kind: Host}, Candidate{Addr: there, Kind: Observed})
	a.Try(start.Add(time.Second), again...)
	for _, c := range append(again, old[3]) {
		if !a.Knows(at(c.Addr)) {
			t.Errorf("%v is not tried", c.Addr)
		}
	}
	if a.Knows(at(old[1].Addr)) || a.Knows(at(old[2].Addr)) || len(a.Candidates()) != maxCandidates {
		t.Errorf("candidates %v, want %d, without those that have made room", a.Candidates(), maxCandidates)
	}
	wantState(t, a, Open, at(old[3].Addr), Client)

	// A peer that was heard everywhere keeps its places.
	full := NewAttempt(start, asker())
	full.Try(start, old...)
	for _, c := range old {
		full.Handle(start, at(c.Addr), original(high), nil)
	}
	full.Try(start, Candidate{Addr: lan})
	if full.Knows(at(lan)) {
		t.Error("a place where the peer was heard was given up")
	}
}

// TestReport: what was tried, with its outcome, and also after the end.
func TestReport(t *testing.T) {
	other := netip.MustParseAddrPort("10.1.2.3:4")
	a := NewAttempt(start, asker())
	a.Try(start, Candidate{Addr: other, Kind: Configured, Scope: "office"}, Candidate{Addr: lan, Kind: Host}, Candidate{Addr: there, Kind: Observed})
	const none = "10.1.2.3:4 (configured, scope office): not tried | 192.168.1.3:46252 (host): not tried | 203.0.113.22:39538 (observed): not tried"
	report := func() string {
		var s []string
		for _, o := range a.Report() {
			s = append(s, o.String())
		}
		return strings.Join(s, " | ")
	}
	if got := report(); got != none {
		t.Errorf("at first\n%s, want\n%s", got, none)
	}
	a.Advance(start, nil)
	a.Handle(start, at(lan), theirs(high, wire.Mark{}), nil)
	a.Handle(start, at(odd), theirs(high, wire.Mark{}), nil)
	a.Reject(start, at(lan))
	const want = "10.1.2.3:4 (configured, scope office): silent | 192.168.1.3:46252 (host): heard, chosen, no session" +
		" | 203.0.113.22:39538 (observed): silent | 203.0.113.22:51000 (reflexive): heard, chosen"
	if got := report(); got != want {
		t.Errorf("after punches\n%s, want\n%s", got, want)
	}
	a.Reject(start.Add(10*time.Second), at(odd))
	wantState(t, a, Failed, Endpoint{}, Undecided)
	if got := report(); got != want+", no session" {
		t.Errorf("at the end\n%s, want\n%s, no session", got, want)
	}
}

// TestNamedAfterHeard: a candidate that a punch has come from before the RDV names it is
// one that the RDV has named from then on.
func TestNamedAfterHeard(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	a.Handle(start, at(lan), original(high), nil)
	a.Try(start, Candidate{Addr: lan, Kind: Host})
	if got := fmt.Sprint(a.Report()[1]); got != "192.168.1.3:46252 (host): heard, chosen" {
		t.Error(got)
	}
	if a.named(true) != 2 || !slices.Equal(a.Candidates(), []Endpoint{at(there), at(lan)}) {
		t.Errorf("%d named, of %v", a.named(true), a.Candidates())
	}
}
