package rdv

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/relay"
)

// TestHistoryIsBounded: whatever happens how often, so much is remembered, and refusals
// outlive the coming and going of others.
func TestHistoryIsBounded(t *testing.T) {
	h, now := NewHistory(), time.Unix(1e9, 0)
	h.Add(now, Event{Kind: Forbidden, VPN: ip1, Peer: ip2, Why: "deny"})
	for range 3 * maxHistory {
		h.Add(now, Event{Kind: ClientAdded, VPN: ip1, Name: strings.Repeat("é", 300)})
	}
	list, last := h.After(0, 1<<20)
	if len(list) != maxHistory || last != 3*maxHistory+1 || list[0].Number != last-maxHistory+1 || list[maxHistory-1].Number != last {
		t.Errorf("%d events from %d to %d, want the last %d of %d", len(list), list[0].Number, list[len(list)-1].Number, maxHistory, 3*maxHistory+1)
	}
	if got, want := list[0].Name, strings.Repeat("é", maxWords/2); got != want {
		t.Errorf("a name of %d bytes is kept, want %d", len(got), len(want))
	}
	if r := h.Refusals(); len(r) != 1 || r[0].Number != 1 || r[0].Why != "deny" {
		t.Errorf("refusals: %v, want the first event", r)
	}
	for range 2 * maxRefusals {
		h.Add(now, Event{Kind: Refused})
	}
	if got := len(h.Refusals()); got != maxRefusals {
		t.Errorf("%d refusals, want %d", got, maxRefusals)
	}
}

func TestHistoryAfter(t *testing.T) {
	h, now := NewHistory(), time.Unix(1e9, 0)
	waiting := h.Changed(0)
	select {
	case <-waiting:
		t.Error("an event is told of before there is one")
	default:
	}
	for range 5 {
		h.Add(now, Event{Kind: ClientAdded})
	}
	<-waiting
	<-h.Changed(4)
	select {
	case <-h.Changed(5):
		t.Error("there is no event after the fifth")
	default:
	}
	for _, c := range []struct {
		after uint64
		limit int
		want  string
	}{{0, 9, "1 2 3 4 5"}, {3, 9, "4 5"}, {5, 9, ""}, {7, 9, ""}, {0, 2, "4 5"}, {0, 0, ""}} {
		list, last := h.After(c.after, c.limit)
		var got []string
		for _, e := range list {
			got = append(got, fmt.Sprint(e.Number))
		}
		if strings.Join(got, " ") != c.want || last != 5 {
			t.Errorf("After(%d, %d) = %v, %d, want %q, 5", c.after, c.limit, got, last, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	h, now := NewHistory(), time.Unix(1e9, 0)
	add := func(after time.Duration, n int) {
		for range n {
			h.Add(now.Add(after), Event{Kind: SessionAdded})
		}
	}
	add(0, 3)
	add(paceInterval, 2)
	add(0, 1) // the clock went back
	h.Add(now.Add(paceInterval), Event{Kind: ClientAdded})
	counts, every := h.Pace(now.Add(2 * paceInterval))
	if len(counts) != paceIntervals || every != paceInterval {
		t.Fatalf("%d counts every %v", len(counts), every)
	}
	if got := fmt.Sprint(counts[paceIntervals-4:]); got != "[0 3 3 0]" {
		t.Errorf("the last counts are %s, want [0 3 3 0]", got)
	}
	if counts, _ = h.Pace(now.Add(time.Hour)); fmt.Sprint(counts) != fmt.Sprint(make([]uint32, paceIntervals)) {
		t.Errorf("an hour later: %v, want nothing", counts)
	}
}

// TestEventWords: every kind has a word and a sentence of its own.
func TestEventWords(t *testing.T) {
	words, texts := map[string]bool{}, map[string]bool{}
	for k := ClientAdded; k <= Denied; k++ {
		e := Event{Kind: k, Endpoint: netip.MustParseAddrPort("192.0.2.1:7"), VPN: ip1, Peer: ip2, Name: "alice", Why: "so"}
		if w := k.String(); words[w] || strings.Contains(w, " ") {
			t.Errorf("kind %d is called %q", k, w)
		} else {
			words[w] = true
		}
		if s := e.Text(); texts[s] || s == k.String() || !strings.Contains(s, "192.0.2.1:7") && !strings.Contains(s, ip2.String()) && k != AuthorityGone {
			t.Errorf("%v: %q", k, s)
		} else {
			texts[s] = true
		}
	}
	if got := EventKind(99).String(); got != "event 99" || (Event{Kind: 99}).Text() != got {
		t.Errorf("an unknown kind is called %q", got)
	}
	for _, c := range []struct {
		e    Event
		want string
	}{{Event{VPN: ip1, Name: "x"}, ip1.String()}, {Event{Name: "x"}, "x"}, {Event{Endpoint: netip.MustParseAddrPort("192.0.2.1:7")}, "192.0.2.1:7"}, {Event{}, "-"}} {
		if got := c.e.Who(); got != c.want {
			t.Errorf("%+v is about %q, want %q", c.e, got, c.want)
		}
	}
}

// TestNoteRelay: what the relay tells is in the history.
func TestNoteRelay(t *testing.T) {
	s := New(Config{Conn: newMemConn()})
	at := netip.MustParseAddrPort("192.0.2.9:9")
	s.noteRelay(relay.Event{User: "10.9.0.1", Client: at, Relayed: at})
	s.noteRelay(relay.Event{User: "10.9.0.1", Client: at, Relayed: at, Ended: true})
	list, _ := s.History().After(0, 9)
	if len(list) != 2 || list[0].Kind != RelayBegun || list[1].Kind != RelayEnded || list[1].VPN != ip1 || list[1].Why != "by 192.0.2.9:9" {
		t.Errorf("%+v", list)
	}
}
