package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCAAudit: what commands of the authority do is in the trail, with who has done it; what
// they are asked or refuse is not.
func TestCAAudit(t *testing.T) {
	r := newVPNRun(t)
	trail := filepath.Join(t.TempDir(), "ca.log")
	t.Setenv(caAuditVariable, trail)
	r.run("issue", "alice", "--ip", "10.9.0.1", "--ip", "fd00::1")
	r.run("list")
	r.wantError([]string{"issue", "alice", "--ip", "10.9.0.1"}, "alice")
	r.run("invite", "bob", "--quiet")
	r.run("invite", "carol", "--json")
	r.run("uninvite", "bob")
	r.run("revoke", "alice", "--reason", "keyCompromise")
	r.run("crl")
	var got []string
	list := auditLines(t, trail)
	for _, l := range list {
		got = append(got, strings.TrimSpace(l.Event+" "+l.Name))
		if l.Program != "campagnol ca" || l.Time != "2026-03-01T12:00:00.000000Z" || l.UID == nil || *l.UID != os.Getuid() || l.PID != os.Getpid() {
			t.Errorf("record %+v", l)
		}
	}
	want := "certificate_issued alice, invitation_made bob, invitation_made carol, invitation_withdrawn bob, certificate_revoked alice, revocation_list_made, revocation_list_made"
	if s := strings.Join(got, ", "); s != want {
		t.Fatalf("the trail has\n%s\nwant\n%s", s, want)
	}
	if issued, revoked := list[0], list[4]; issued.Serial == "" || issued.Serial != revoked.Serial || len(issued.Key) != 12 || revoked.Reason != "keyCompromise" ||
		fmt.Sprint(issued.VPNAddresses) != "[10.9.0.1 fd00::1]" {
		t.Errorf("alice: %+v\n%+v", issued, revoked)
	}
	if list[1].Invitation == "" || list[1].Invitation != list[3].Invitation || list[1].Expires == "" {
		t.Errorf("bob: %+v\n%+v", list[1], list[3])
	}

	other := filepath.Join(t.TempDir(), "other.log")
	r.run("crl", "--audit-log", other)
	if n := len(auditLines(t, other)); n != 1 || len(auditLines(t, trail)) != len(list) {
		t.Errorf("the option counts less than the environment: %d records", n)
	}
	r.wantError([]string{"crl", "--audit-log", "x"}, "is no place for it", "give the path of a file")
	if n := len(auditLines(t, trail)); n != len(list) {
		t.Errorf("the trail has %d records, want %d", n, len(list))
	}
}
