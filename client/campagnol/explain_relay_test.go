package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/punch"
	"campagnol/punch/path"
)

// A relaySocket is a socket whose datagrams somebody passes on.
type relaySocket struct{ punch.Conn }

func (relaySocket) Relay() string { return "rdv.example.org" }

// TestRelayDocuments: who passes on what is sent is said of the path and of each place,
// also where two places have the same address.
func TestRelayDocuments(t *testing.T) {
	wan, relayed := netip.MustParseAddrPort("203.0.113.3:5"), netip.MustParseAddrPort("198.51.100.1:50000")
	e := client.Explanation{
		Chain: [][]byte{{1}}, Status: &client.PeerStatus{Addr: wan, Path: "relay", Relay: "rdv.example.org", Since: noon},
		Paths: []path.Report{
			{View: path.View{Addr: wan, Relay: true, RTT: 30 * time.Millisecond}, Conn: relaySocket{}, Kind: punch.Observed, Path: true, Answered: noon},
			{View: path.View{Addr: wan}, Kind: punch.Observed, Why: "has never answered"},
			{View: path.View{Addr: relayed, Relay: true}, Kind: punch.Relayed, Why: "has never answered"},
		},
	}
	if d := pathDocument(&e); d.Relay != "rdv.example.org" || d.Kind != "relay" {
		t.Errorf("the path is %+v", d)
	}
	for i, want := range []string{"rdv.example.org", "", "the peer's relay at 198.51.100.1"} {
		if got := candidateDocuments(&e)[i].Relay; got != want {
			t.Errorf("place %d: relay %q, want %q", i, got, want)
		}
	}
	e.Tried, e.Paths = &client.Tried{Outcomes: []punch.Outcome{{Candidate: at("203.0.113.3:5", punch.Observed), Conn: relaySocket{}}}}, nil
	if got := candidateDocuments(&e)[0].Relay; got != "rdv.example.org" {
		t.Errorf("after a try: relay %q", got)
	}
	p := peerDocuments([]client.PeerStatus{*e.Status})[0]
	if p.Relay != "rdv.example.org" {
		t.Errorf("the status has relay %q", p.Relay)
	}
	if got := strings.Join(pathWords(p), ", "); got != "through rdv.example.org" {
		t.Errorf("the status says %q", got)
	}
}

// TestExplainRelay: people are told who passes on what is sent, and nothing that moves
// their cursor.
func TestExplainRelay(t *testing.T) {
	d := about(over("relay", "relayed", "198.51.100.1:50000"), func(e *control.Explanation) {
		e.Path.Relay = "the peer's relay at 198.51.100.1"
		e.Candidates[0].Relay = "an evil\x1b[2J one"
	})
	d.finish(explainConfig{})
	for _, want := range []string{"is reached through a relay (the peer's relay at 198.51.100.1) at", "The address is the peer's at a relay."} {
		if !strings.Contains(d.Summary, want) {
			t.Errorf("the summary lacks %q:\n%s", want, d.Summary)
		}
	}
	cells := strings.Join(candidateCells(noon, d.Candidates[0]), "|")
	if !strings.Contains(cells, "relayed, through an evil") || strings.Contains(cells, "\x1b") {
		t.Errorf("the line is %q", cells)
	}
}
