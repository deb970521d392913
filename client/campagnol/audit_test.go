package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// TestAuditRecord: each event of the client is what docs/audit.md says, with who it is
// about; a certificate that was refused is named by the refusal.
func TestAuditRecord(t *testing.T) {
	at, bob := netip.MustParseAddrPort("203.0.113.2:57888"), netip.MustParseAddr("10.9.0.2")
	refusal := &pki.Refusal{Reason: pki.Revoked, Subject: "CN=mallory", Serial: "0A", Issuer: "CN=Home", Detail: "it is on the list"}
	key := [32]byte{0x01, 0x02, 0x03, 0x04, 0x05, 0x06}
	now := time.Now()
	for _, c := range []struct {
		name  string
		event client.Event
		want  audit.Record // without time
	}{
		{"registered", client.Event{Kind: client.EventRegistered, Name: "rdv", Addr: at}, audit.Record{Event: audit.Registered, Name: "rdv", From: at}},
		{"unregistered", client.Event{Kind: client.EventUnregistered, Addr: at, Reason: "silent"}, audit.Record{Event: audit.Unregistered, Outcome: audit.Failed, From: at, Reason: "silent"}},
		{"opened", client.Event{Kind: client.EventOpened, VPNAddr: bob, Name: "bob", Key: key, Serial: "0B", Addr: at},
			audit.Record{Event: audit.TunnelOpened, Name: "bob", Key: "010203040506", Serial: "0B", VPNAddr: bob, From: at}},
		{"closed", client.Event{Kind: client.EventClosed, VPNAddr: bob, Reason: "it was not used"}, audit.Record{Event: audit.TunnelClosed, VPNAddr: bob, Reason: "it was not used"}},
		{"cut", client.Event{Kind: client.EventClosed, VPNAddr: bob, Code: "revoked", Reason: "so"}, audit.Record{Event: audit.TunnelCut, VPNAddr: bob, Code: "revoked", Reason: "so"}},
		{"peer refused", client.Event{Kind: client.EventRefused, VPNAddr: bob, Addr: at, Code: "revoked", Reason: "so", Err: fmt.Errorf("handshake: %w", refusal)},
			audit.Record{Event: audit.PeerRefused, Outcome: audit.Refused, Name: "mallory", Serial: "0A", Authority: "CN=Home", VPNAddr: bob, From: at, Code: "revoked", Reason: "so"}},
		{"server refused", client.Event{Kind: client.EventRefused, Addr: at, Code: "no_server", Err: &roleError{name: "eve"}},
			audit.Record{Event: audit.ServerRefused, Outcome: audit.Refused, Name: "eve", From: at, Code: "no_server"}},
		{"claimed", client.Event{Kind: client.EventRefused, VPNAddr: bob, Code: "claimed", Err: &client.ClaimError{Name: "eve"}},
			audit.Record{Event: audit.PeerRefused, Outcome: audit.Refused, Name: "eve", VPNAddr: bob, Code: "claimed"}},
		{"refused by another", client.Event{Kind: client.EventRefused, VPNAddr: bob, Code: "refused_by_peer", Err: errors.New("alert")},
			audit.Record{Event: audit.PeerRefused, Outcome: audit.Refused, VPNAddr: bob, Code: "refused_by_peer"}},
		{"spoofed", client.Event{Kind: client.EventSpoofed, VPNAddr: bob, Count: 7}, audit.Record{Event: audit.SourceSpoofed, Outcome: audit.Refused, VPNAddr: bob, Count: 7}},
		{"filtered in", client.Event{Kind: client.EventFiltered, VPNAddr: bob, Count: 1}, audit.Record{Event: audit.PacketsRefused, Outcome: audit.Refused, VPNAddr: bob, Count: 1, Direction: "in"}},
		{"filtered out", client.Event{Kind: client.EventFiltered, VPNAddr: bob, Count: 1, Out: true}, audit.Record{Event: audit.PacketsRefused, Outcome: audit.Refused, VPNAddr: bob, Count: 1, Direction: "out"}},
	} {
		got, ok := auditRecord(now, &c.event)
		c.want.Time = now
		if !ok || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", c.name, ok, got, c.want)
		}
	}
	for _, kind := range []client.EventKind{client.EventMoved, client.EventFailed, "another"} {
		if r, ok := auditRecord(now, &client.Event{Kind: kind}); ok {
			t.Errorf("%s is told: %+v", kind, r)
		}
	}
}

// withTrail gives a node a trail, and returns its file and what ends it.
func withTrail(t *testing.T, n *node) (file string, end func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "audit.log")
	n.trail = audit.New(program)
	var writer sync.WaitGroup
	writer.Go(n.trail.Run)
	if err := n.trail.Open(audit.Place{Where: file}, n.log); err != nil {
		t.Fatal(err)
	}
	return file, func() {
		n.trail.Close()
		writer.Wait()
	}
}

// TestAuditTrust: another revocation list and what follows from it are told once, and
// nothing at the start.
func TestAuditTrust(t *testing.T) {
	n := startTestNode(t, "")
	file, end := withTrail(t, n.node)
	o, der := n.list(t, 7, n.ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2")).Cert)
	if err := n.objects().Take(o, der); err != nil {
		t.Fatal(err)
	}
	n.useNews(t.Context())
	n.useNews(context.Background()) // nothing is new
	end()
	list := auditLines(t, file)
	if len(list) != 1 || list[0].Event != "revocation_list_changed" || list[0].Number != "7" || list[0].Authority != "CN=test CA" {
		t.Errorf("the trail has %+v, want list 7 once", list)
	}
}

// TestAuditEvents: what the client tells is in the trail, and drops are not among the
// events for people.
func TestAuditEvents(t *testing.T) {
	n := startTestNode(t, "")
	file, end := withTrail(t, n.node)
	bob := netip.MustParseAddr("10.9.0.2")
	for _, kind := range []client.EventKind{client.EventOpened, client.EventSpoofed, client.EventFailed, client.EventFiltered, client.EventClosed} {
		n.noteEvent(client.Event{Kind: kind, VPNAddr: bob, Count: 2})
	}
	n.auditReload(time.Now(), errors.New("x.conf:3: no"))
	end()
	var got []string
	for _, l := range auditLines(t, file) {
		got = append(got, l.Event+" "+l.Outcome)
	}
	if s, want := strings.Join(got, ", "), "tunnel_opened success, source_spoofed refused, packets_refused refused, tunnel_closed success, configuration_reloaded failed"; s != want {
		t.Errorf("the trail has %s, want %s", s, want)
	}
	list, _, _ := n.events.since(0)
	if len(list) != 3 {
		t.Errorf("people see %+v, want opened, failed, closed", list)
	}
}
