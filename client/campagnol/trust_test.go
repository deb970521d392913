package main

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// serverURI makes a certificate one for a rendezvous server.
func serverURI(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }

// authorityURI makes a certificate one for the VPN's authority.
func authorityURI(c *x509.Certificate) { c.URIs = append(c.URIs, pki.AuthorityURI()) }

// TestTrustRoles: a rendezvous server is no member, no member is a rendezvous server,
// and the VPN's authority is neither.
func TestTrustRoles(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, "test CA", now)
	policy, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := pki.OpenPins("")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trust{policy: policy, pins: pins, log: slog.New(slog.DiscardHandler)}
	vpn := netip.MustParseAddr("10.9.0.2")
	member := ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2")).Raw()
	nameless := ca.Issue(t, "carol").Raw() // as those of the original
	server := ca.Issue(t, "rdv", serverURI)
	both := ca.Issue(t, "both", serverURI, pkitest.Addrs("10.9.0.2")).Raw()
	authority := ca.Issue(t, "authority", authorityURI).Raw()
	all := ca.Issue(t, "all", serverURI, authorityURI, pkitest.Addrs("10.9.0.2")).Raw()
	stranger := pkitest.NewCA(t, "another CA", now).Issue(t, "rdv", serverURI).Raw()
	for _, c := range []struct {
		name       string
		chain      [][]byte
		asPeer     string // what the error says; "": none
		asServer   string
		peerHint   string
		serverHint string
	}{
		{"member", member, "", "not one for a rendezvous server", "", "campagnol ca issue NAME --rdv"},
		{"rdv", server.Raw(), "is no member", "", "campagnol ca issue NAME --ip", ""},
		{"both", both, "is no member", "", "campagnol ca issue NAME --ip", ""},
		{"authority", authority, "the VPN's authority, which is no member", "not one for a rendezvous server", "campagnol ca issue NAME --ip", "--rdv"},
		{"all", all, "is no member", "not one for a rendezvous server", "campagnol ca issue NAME --ip", "--rdv"},
		{"nameless", nameless, "", "not one for a rendezvous server", "", "--rdv"},
		{"stranger", stranger, "CA", "CA", "", ""},
	} {
		for _, isServer := range []bool{false, true} {
			if c.name == "nameless" {
				vpn = netip.MustParseAddr("10.9.0.3")
			}
			wantError(t, c.name+" as a peer", tr.verify(now, vpn, c.chain, isServer), c.asPeer, c.peerHint)
		}
		id, err := tr.verifyServer(now, c.chain)
		wantError(t, c.name+" as the server", err, c.asServer, c.serverHint)
		if err == nil && (id.Name != c.name || !id.Expires.Equal(server.Cert.NotAfter)) && c.name == "rdv" {
			t.Errorf("the server is %+v", id)
		}
	}
}

// wantError checks what an error says, and its hint; "" wants none.
func wantError(t *testing.T, what string, err error, text, hint string) {
	t.Helper()
	if (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("%s: error %v, want one with %q", what, err, text)
	}
	var h interface{ Hint() string }
	if hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), hint)) {
		t.Errorf("%s: no hint %q in %v", what, hint, err)
	}
}

// TestSettingsAuth: the configuration says how the client registers, and the client
// remembers what it has found.
func TestSettingsAuth(t *testing.T) {
	for text, want := range map[string]client.Auth{"auto": client.AuthAuto, "yes": client.AuthYes, "no": client.AuthNo, "": client.AuthAuto} {
		line := "rdv_auth = " + text
		if text == "" {
			line = "# nothing"
		}
		cfg, _, err := conf.ParseClient("f", []byte("[NETWORK]\nserver_host = rdv.example.org\n"+line+
			"\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n[SECURITY]\ncertificate = c\nkey = k\nca_certificates = ca\n"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "servers")
		tr := &trust{identity: testIdentity(t), servers: openTestServers(t, path), log: slog.New(slog.DiscardHandler)}
		p := &parts{where: &addresses{}}
		s := p.settings(cfg, tr)
		if s.Auth != want || s.VerifyServer == nil || !strings.HasPrefix(s.Software, program+" ") {
			t.Errorf("%q: %v, software %q, want %v", text, s.Auth, s.Software, want)
		}
		const name = "rdv.example.org:57888"
		if s.ServerKnown(name) {
			t.Error("a server is known from the start")
		}
		s.RememberServer(name, client.ServerIdentity{Name: "rdv"})
		if !s.ServerKnown(name) || !openTestServers(t, path).known(name) {
			t.Error("the server is not remembered")
		}
		if s.ServerKnown("rdv.example.org:443") {
			t.Error("another server is known by that")
		}
	}
}

func testIdentity(t *testing.T) *pki.Identity {
	t.Helper()
	cert, key := pkitest.NewCA(t, "test CA", time.Now()).Issue(t, "host").WriteFiles(t, t.TempDir())
	id, err := pki.LoadIdentity(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestForgetServer is the command.
func TestForgetServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "campagnol.conf")
	text := "[NETWORK]\nserver_host = RDV.example.org\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n" +
		"[SECURITY]\ncertificate = c\nkey = k\nca_certificates = ca\n[CLIENT]\nstate_dir = " + dir + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := campagnol(t, "forget", "--config", file, "--rdv")
	if want := "no authenticated channel with rdv.example.org:57888 is known in " + filepath.Join(dir, "servers"); code != 1 || !strings.Contains(stderr, want) {
		t.Errorf("nothing to forget: status %d, %s, want %q", code, stderr, want)
	}
	if err := openTestServers(t, serverFile(dir)).remember(noon, "rdv.example.org:57888", "rdv"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := campagnol(t, "forget", "--config", file, "--rdv")
	if code != 0 || !strings.Contains(stdout, "rdv.example.org:57888 is forgotten") {
		t.Errorf("status %d, %s, %s", code, stdout, stderr)
	}
	wantKnown(t, openTestServers(t, serverFile(dir)), false, "rdv.example.org:57888")
	for _, args := range [][]string{{"--rdv", "10.9.0.2"}, {"--rdv", "--config", "/nowhere"}} {
		if code, _, stderr := campagnol(t, append([]string{"forget"}, args...)...); code != 1 || stderr == "" {
			t.Errorf("forget %q: status %d, %q", args, code, stderr)
		}
	}
}
