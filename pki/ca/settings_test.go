package ca

import (
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var vpn = netip.MustParsePrefix("10.9.0.0/24")

// newVPN makes a CA with settings.
func newVPN(t testing.TB) *CA {
	t.Helper()
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Settings: Settings{Server: "rdv.example.org:57888", Network: vpn}}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSettings(t *testing.T) {
	c := newCA(t)
	if s, err := c.Settings(); err != nil || s != (Settings{}) {
		t.Errorf("settings of a CA without: %+v, %v", s, err)
	}
	want := Settings{Server: "192.0.2.7:1", Network: vpn, Days: 30}
	if got, err := c.ChangeSettings(func(s *Settings) { *s = want }); err != nil || got != want {
		t.Errorf("settings %+v, %v, want %+v", got, err, want)
	}
	if got, err := reopen(t, c).Settings(); err != nil || got != want {
		t.Errorf("settings after opening it again %+v, %v, want %+v", got, err, want)
	}
	for name, bad := range map[string]Settings{
		"server": {Server: "host"}, "an IPv6 network": {Network: netip.MustParsePrefix("fd00::/64")},
		"an address in a network": {Network: netip.MustParsePrefix("10.9.0.1/24")}, "a tiny network": {Network: netip.MustParsePrefix("10.9.0.0/31")},
		"all of the Internet": {Network: netip.MustParsePrefix("0.0.0.0/0")}, "loopback": {Network: netip.MustParsePrefix("127.0.0.0/8")}, "days": {Days: -1},
	} {
		if got, err := c.ChangeSettings(func(s *Settings) { *s = bad }); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
		if _, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Settings: bad}, now, rand.Reader); err == nil {
			t.Errorf("%s: a CA was made with it", name)
		}
	}
	if got, err := c.Settings(); err != nil || got != want {
		t.Errorf("settings after refused changes %+v, %v, want %+v", got, err, want)
	}
	for name, text := range map[string]string{"a typo": `{"sever": "h:1"}`, "not JSON": "x", "a bad value": `{"server": "h"}`} {
		write(t, c.settingsFile(), text)
		_, err := c.Settings()
		if err == nil || !strings.Contains(err.Error(), c.settingsFile()) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
		if _, _, err := c.Invite(now, rand.Reader, InviteOptions{Name: "alice"}); err == nil {
			t.Errorf("%s: an invitation was made", name)
		}
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"rdv.example.org": "rdv.example.org:57888", "rdv.example.org:7": "rdv.example.org:7", "192.0.2.7": "192.0.2.7:57888",
		"2001:db8::1": "[2001:db8::1]:57888", "[2001:db8::1]": "[2001:db8::1]:57888", "[2001:db8::1]:7": "[2001:db8::1]:7",
		"": "", "a b": "", "host:": "", "host:0": "", "host:70000": "", "http://host": "", "host:1:2": "",
	} {
		got, err := ParseServer(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// An invitation is worth a certificate: nobody else may read it, and the token
// cannot be made of it.
func TestInvitationFile(t *testing.T) {
	c := newVPN(t)
	i, token := invite(t, c, InviteOptions{Name: "alice"})
	path := c.invitationFile(i.ID)
	wantMode(t, path, 0o600)
	wantMode(t, filepath.Dir(path), 0o700)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text := token.String(); strings.Contains(string(data), text[20:40]) {
		t.Errorf("the file has a part of the token: %s", data)
	}
	got, err := c.readInvitation(i.ID)
	if err != nil || got.Name != i.Name || !got.Master.Equal(token.Master()) || !got.Expires.Equal(i.Expires) || got.Addrs[0] != i.Addrs[0] {
		t.Errorf("read %+v, %v, want %+v", got, err, i)
	}
	for name, text := range map[string]string{"not JSON": "x", "a typo": `{"nam": "alice"}`, "a bad key": `{"secret": "00"}`} {
		write(t, path, text)
		if _, err := c.Invitations(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	write(t, filepath.Join(filepath.Dir(path), "README"), "not an invitation")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Invitations(); err != nil || len(list) != 0 {
		t.Errorf("invitations %v, %v, want none", list, err)
	}
}
