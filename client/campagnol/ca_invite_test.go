package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"campagnol/pki/ca"
	"campagnol/pki/enroll"
)

// newVPNRun is newCARun with a CA that knows its VPN.
func newVPNRun(t *testing.T) *caRun {
	t.Helper()
	r := newCARun(t)
	r.want(r.run("init", "--rdv", "rdv.example.org", "--network", "10.9.0.0/24"), "campagnol ca invite NAME")
	return r
}

func TestCASettings(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	r.want(r.run("settings"), "not set", "730")
	r.wantError([]string{"invite", "alice"}, "rendezvous server", "campagnol ca settings --rdv")
	r.want(r.run("settings", "--rdv", "192.0.2.7:99", "--network", "10.9.0.0/24", "--days", "30"), "192.0.2.7:99", "10.9.0.0/24", "30")
	r.want(r.run("settings", "--rdv", "rdv.example.org", "--json"), `"server": "rdv.example.org:57888"`, `"network": "10.9.0.0/24"`, `"days": 30`)
	r.wantError([]string{"settings", "--network", "10.9.0.7/24"}, "within a network")
	r.wantError([]string{"settings", "--network", "x"}, "not a network")
	r.wantError([]string{"settings", "--rdv", "a b"}, "not the name or the address")
}

// TestCAInvite makes tokens, for people and for programs.
func TestCAInvite(t *testing.T) {
	r := newVPNRun(t)
	out := r.run("invite", "alice", "--group", "admin")
	r.want(out, "invited alice (10.9.0.1) until 2026-03-01 13:00 UTC", "campagnol join \\\ncampagnol-")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	token, err := enroll.ParseToken(lines[len(lines)-1])
	if err != nil || token.Server != "rdv.example.org:57888" {
		t.Errorf("the last line is %q: %+v, %v, want a token", lines[len(lines)-1], token, err)
	}
	out = r.run("invite", "bob", "--ip", "10.9.0.9", "--valid", "7d", "--rdv", "other:7", "--quiet")
	if token, err = enroll.ParseToken(out); err != nil || token.Server != "other:7" || strings.Count(out, "\n") != 1 {
		t.Errorf("quiet output %q: %+v, %v, want a token alone", out, token, err)
	}
	var got caInvitation
	if err := json.Unmarshal([]byte(r.run("invite", "carol", "--pool", "10.9.0.128/25", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if token, err = enroll.ParseToken(got.Token); err != nil || got.ID != token.ID.String() || got.Name != "carol" || got.Addresses[0].String() != "10.9.0.128" || got.Status != ca.InvitationOpen {
		t.Errorf("JSON %+v, %v", got, err)
	}

	table := r.run("invitations")
	r.want(table, "NAME", "alice", "open until 2026-03-08 12:00 UTC", got.ID)
	if strings.Contains(table, "campagnol-") || strings.Contains(r.run("invitations", "--json"), "token") {
		t.Error("a token is shown again")
	}
	r.want(r.run("uninvite", "alice"), "withdrew the invitation of alice (10.9.0.1)")
	r.want(r.run("invitations"), "withdrawn on 2026-03-01 12:00 UTC")
	r.now = r.now.Add(2 * time.Hour)
	r.want(r.run("invitations"), "expired on 2026-03-01 13:00 UTC")
	r.wantError([]string{"uninvite", "nobody"}, "no invitation", "ca invitations")
	r.wantError([]string{"uninvite"}, "missing")
	r.wantError([]string{"invite"}, "the name of the host is missing")
	r.wantError([]string{"invite", "x", "--valid", "soon"}, "30m, 1h or 7d")
	r.wantError([]string{"invite", "bob"}, "open invitation already", "uninvite")
}

func TestCAInvitationsEmpty(t *testing.T) {
	r := newVPNRun(t)
	r.want(r.run("invitations"), "there is no invitation")
	r.want(r.run("invitations", "--json"), "[]")
}

// TestCAPublish refuses what is no policy.
func TestCAPublish(t *testing.T) {
	r := newVPNRun(t)
	for name, text := range map[string]string{"good": "default deny\nallow all <-> all\n", "bad": "allow all\n", "empty": "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.want(r.run("publish", "--policy", "good"), "wrote bulletin number", "with a policy of 2 lines")
	r.want(r.run("publish", "--no-policy"), "without policy")
	r.wantError([]string{"publish", "--policy", "bad"}, "bad:1")
	r.wantError([]string{"publish", "--policy", "empty"}, "is empty", "--no-policy")
	r.wantError([]string{"publish", "--policy", "none"}, "none")
	r.wantError([]string{"publish"}, "--policy FILE")
	r.wantError([]string{"publish", "--policy", "good", "--no-policy"}, "at once")
}

func TestCARotate(t *testing.T) {
	r := newVPNRun(t)
	r.run("issue", "alice", "--ip", "10.9.0.1")
	r.want(r.run("rotate", "--status"), "no key of the CA is being replaced")
	r.want(r.run("rotate"), `made a new key for the CA, "Campagnol VPN CA 2"`, "CA/private/cakey.pem", "campagnol ca rotate --finish")
	r.want(r.run("rotate", "--status"), `"Campagnol VPN CA 2" takes the place of "Campagnol VPN CA" since 2026-03-01`, "1 certificate by the old key has no successor", "alice")
	r.wantError([]string{"rotate"}, "being replaced already")
	r.wantError([]string{"rotate", "--finish"}, `"alice"`, "--force")
	r.wantError([]string{"rotate", "--force"}, "--finish")
	r.run("issue", "alice", "--renew")
	r.want(r.run("rotate", "--status"), "all hosts have a certificate by the new key")
	r.want(r.run("rotate", "--finish"), `the key of "Campagnol VPN CA" is deleted`)
}

// TestCARotateEncrypted asks for the pass phrase once.
func TestCARotateEncrypted(t *testing.T) {
	r := newCARun(t)
	r.answers = []string{"secret", "secret"}
	r.run("init", "--encrypt")
	r.answers = []string{"secret"}
	r.want(r.run("rotate"), "made a new key")
	r.answers = []string{"wrong"}
	r.wantError([]string{"rotate", "--finish"}, "wrong pass phrase")
	r.answers = []string{"secret"}
	r.want(r.run("rotate", "--finish"), "is deleted")
}

func TestCADuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"1h": time.Hour, "30m": 30 * time.Minute, "7d": 7 * 24 * time.Hour, "1h30m": 90 * time.Minute, "": 0, "d": 0, "-1h": 0, "0s": 0, "1.5d": 0, "99999999d": 0} {
		var d caDuration
		if err := d.Set(text); (err == nil) != (want != 0) || time.Duration(d) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(d), err, want)
		}
	}
	for want, d := range map[string]time.Duration{"1h": time.Hour, "1h30m": 90 * time.Minute, "30m": 30 * time.Minute, "30s": 30 * time.Second} {
		v := caDuration(d)
		if got := v.String(); got != want {
			t.Errorf("%v is shown as %q, want %q", d, got, want)
		}
	}
}
