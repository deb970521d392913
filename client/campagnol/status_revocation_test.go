package main

import (
	"strings"
	"testing"
	"time"

	"campagnol/internal/control"
	"campagnol/pki"
)

// TestStatusRevocations: the text names the lists in use.
func TestStatusRevocations(t *testing.T) {
	for _, c := range []struct {
		name string
		list control.Revocation
		want string
	}{
		{"from the server", control.Revocation{Authority: "CN=VPN", Number: "12", Issued: noon.Add(-3*time.Hour - time.Minute), NextUpdate: noon.Add(48 * time.Hour), Certificates: 2, Source: control.FromRDV},
			"revocation list 12 of CN=VPN from the RDV server, made 3h1m ago: 2 revoked; the next is due in 2d0h\n"},
		{"from a file, too old", control.Revocation{Authority: "CN=VPN", Number: "3", Issued: noon.Add(-50 * time.Hour), NextUpdate: noon.Add(-2 * time.Hour), Source: control.FromFile},
			"revocation list 3 of CN=VPN from a file, made 2d2h ago: 0 revoked; a newer one has been due for 2h0m\n"},
		{"of the original's script", control.Revocation{Authority: "CN=a\x1b[2J", Issued: noon, Source: control.FromFile},
			"revocation list of CN=a?[2J from a file, made 0s ago: 0 revoked\n"},
	} {
		s := &control.Status{Time: noon, Started: noon, Revocations: []control.Revocation{c.list}}
		if got := statusText(s, nil, 0); !strings.Contains(got, "\n"+c.want) {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// TestRevocationDocuments: what the control socket tells of a list.
func TestRevocationDocuments(t *testing.T) {
	got := revocationDocuments([]pki.Revocation{
		{Issuer: "CN=a", Number: "7", ThisUpdate: noon, Certificates: 2, Source: "crl.pem", Received: false},
		{Issuer: "CN=b", ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Source: "received", Received: true},
	})
	want := []control.Revocation{
		{Authority: "CN=a", Number: "7", Issued: noon, Certificates: 2, Source: control.FromFile, Where: "crl.pem"},
		{Authority: "CN=b", Issued: noon, NextUpdate: noon.Add(time.Hour), Source: control.FromRDV, Where: "received"},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	if got := revocationDocuments(nil); got == nil {
		t.Error("no lists are null in JSON, want an empty list")
	}
}
