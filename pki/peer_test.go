package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"campagnol/pki/pkitest"
)

func TestPeer(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	p := newPolicy(t, 0, root.Cert)
	for _, c := range []struct {
		name  string
		edits []pkitest.Edit
		want  string
		addrs string
	}{
		{"bob", []pkitest.Edit{pkitest.Addrs("10.9.0.1")}, "bob", "[10.9.0.1]"},
		{"bob", []pkitest.Edit{pkitest.Addrs("10.9.0.1", "fd00::1", "10.9.0.2")}, "bob", "[10.9.0.1 fd00::1 10.9.0.2]"},
		{"bob", []pkitest.Edit{func(c *x509.Certificate) { c.DNSNames = []string{"bob.example", "b"} }}, "bob.example", "[]"},
		{"a\nb\x1b[2J\u202e", nil, "a?b?[2J?", "[]"},
		{strings.Repeat("é", 65), nil, strings.Repeat("é", 64) + "...", "[]"},
	} {
		peer, err := p.Verify(now, root.Issue(t, c.name, c.edits...).Raw(), Client)
		if err != nil {
			t.Fatal(err)
		}
		if peer.Name != c.want || fmt.Sprint(peer.Addrs) != c.addrs {
			t.Errorf("%q: name %q, addresses %v, want %q, %s", c.name, peer.Name, peer.Addrs, c.want, c.addrs)
		}
	}
	nobody := root.Issue(t, "")
	peer, err := p.Verify(now, nobody.Raw(), Client)
	if err != nil {
		t.Fatal(err)
	}
	if want := KeyOf(nobody.Cert).String(); peer.Name != want {
		t.Errorf("name without subject = %q, want %q", peer.Name, want)
	}
}

// An IPv4 address in 16 bytes is the IPv4 address, not another one.
func TestPeerMappedAddress(t *testing.T) {
	c := &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("10.9.0.1").To16()}}
	if got := addrsOf(c); len(got) != 1 || got[0] != netip.MustParseAddr("10.9.0.1") {
		t.Errorf("addresses = %v, want [10.9.0.1]", got)
	}
}

func TestKeyID(t *testing.T) {
	root := pkitest.NewCA(t, "root", now)
	a, b := root.Issue(t, "a"), root.Issue(t, "b")
	renewed := root.IssueKey(t, "a2", a.Key)
	if KeyOf(a.Cert) == KeyOf(b.Cert) || KeyOf(a.Cert) != KeyOf(renewed.Cert) {
		t.Error("the ID must depend on the key and on nothing else")
	}
	id := KeyOf(a.Cert)
	text, err := id.MarshalText()
	if err != nil || len(text) != 64 || !strings.HasPrefix(string(text), id.String()) {
		t.Errorf("text = %q, %v, want 64 digits that start with %v", text, err, id)
	}
	var got KeyID
	if err := got.UnmarshalText(text); err != nil || got != id {
		t.Errorf("round trip = %v, %v, want %v", got, err, id)
	}
	for _, bad := range []string{"", string(text[:63]), string(text) + "0", strings.Repeat("x", 64)} {
		if err := got.UnmarshalText([]byte(bad)); err == nil || got != id {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := Malformed; r < reasonCount; r++ {
		if s := r.String(); s == "" || seen[s] || strings.ContainsAny(s, " -") {
			t.Errorf("reason %d has the name %q", uint8(r), s)
		}
		seen[r.String()] = true
	}
	if got := Reason(200).String(); got != "reason_200" {
		t.Errorf("unknown reason = %q", got)
	}
	if Client.String() != "client" || Server.String() != "server" || Role(9).String() != "role 9" {
		t.Error("roles have wrong names")
	}
}
