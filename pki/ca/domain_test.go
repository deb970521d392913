package ca

import (
	"testing"

	"campagnol/pki/pkitest"
)

// TestDomain: the domain of names is a setting, of which a host learns that is invited
// then; invitations that are open stay as they are.
func TestDomain(t *testing.T) {
	c := newDualVPN(t)
	s, _ := newService(t, c)
	_, before := invite(t, c, InviteOptions{Name: "alice"})
	if _, err := c.ChangeSettings(func(s *Settings) { s.Domain = "vpn internal" }); err == nil {
		t.Error("a domain that is none is accepted")
	} else {
		wantError(t, err, "domain of names")
	}
	if _, err := c.ChangeSettings(func(s *Settings) { s.Domain = "vpn.internal" }); err != nil {
		t.Fatal(err)
	}
	if got, err := reopen(t, c).Settings(); err != nil || got.Domain != "vpn.internal" || got.Network != vpn {
		t.Errorf("settings %+v, %v", got, err)
	}
	i, after := invite(t, c, InviteOptions{Name: "bob"})
	if i.Domain != "vpn.internal" {
		t.Errorf("the invitation has the domain %q", i.Domain)
	}
	if r, err := enrol(t, s, now, before, pkitest.NewKey(t)); err != nil || r.Domain != "" {
		t.Errorf("alice: %+v, %v, want no domain", r, err)
	}
	if r, err := enrol(t, s, now, after, pkitest.NewKey(t)); err != nil || r.Domain != "vpn.internal" {
		t.Errorf("bob: %+v, %v, want vpn.internal", r, err)
	}
}
