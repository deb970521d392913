package main

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/internal/audit"
	"campagnol/pki"
	"campagnol/rdv"
)

// TestAuditRecord: each event of the server that is one for the trail is what docs/audit.md
// says, with who it is about.
func TestAuditRecord(t *testing.T) {
	at, alice, bob := netip.MustParseAddrPort("203.0.113.2:57888"), netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
	now := time.Now()
	for kind, want := range map[rdv.EventKind]struct {
		event   audit.Event
		outcome audit.Outcome
	}{
		rdv.ClientAdded: {audit.ClientRegistered, ""}, rdv.ClientRemoved: {audit.ClientRemoved, ""}, rdv.Moved: {audit.ClientMoved, ""},
		rdv.TableFull: {audit.RegistrationRefused, audit.Refused}, rdv.Refused: {audit.RegistrationRefused, audit.Refused},
		rdv.Denied: {audit.RegistrationRefused, audit.Refused}, rdv.Conflict: {audit.AddressConflict, audit.Refused},
		rdv.Downgraded: {audit.AddressConflict, audit.Refused}, rdv.ChannelOpened: {audit.ChannelOpened, ""}, rdv.ChannelClosed: {audit.ChannelClosed, ""},
		rdv.HandshakeFailed: {audit.HandshakeRefused, audit.Refused}, rdv.Distrusted: {audit.ClientCut, ""},
		rdv.Forbidden: {audit.IntroductionRefused, audit.Refused}, rdv.NotRelayed: {audit.RelayRefused, audit.Refused},
		rdv.AuthorityHere: {audit.AuthorityHere, ""}, rdv.AuthorityGone: {audit.AuthorityGone, ""}, rdv.ObjectLost: {audit.ObjectRefused, audit.Failed},
		rdv.SessionAdded: {}, rdv.SessionRemoved: {}, rdv.RelayBegun: {}, rdv.RelayEnded: {},
	} {
		e := rdv.Event{Kind: kind, Endpoint: at, VPN: alice, Peer: bob, Name: "alice", Key: pki.KeyID{1, 2, 3, 4, 5, 6}, Serial: "0A", Code: "some_code", Why: "so"}
		r, ok := auditRecord(now, e)
		if ok != (want.event != "") || r.Event != want.event || r.Outcome != want.outcome {
			t.Errorf("%v is %v, %+v, want %+v", kind, ok, r, want)
		}
		if ok && (!r.Time.Equal(now) || r.Name != "alice" || r.Key != "010203040506" || r.Serial != "0A" || r.VPNAddr != alice || r.Peer != bob || r.From != at || r.Code != "some_code" || r.Reason == "") {
			t.Errorf("%v: %+v lacks something", kind, r)
		}
	}
	if r, _ := auditRecord(now, rdv.Event{Kind: rdv.Refused, Code: "rdv_taken"}); r.Event != audit.AddressConflict || r.Key != "" || r.From.IsValid() {
		t.Errorf("an address that is taken: %+v", r)
	}
}
