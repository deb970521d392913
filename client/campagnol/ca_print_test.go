package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/ca"
)

// Whatever a certificate made elsewhere has for a name, the terminal is safe.
func TestCAHostileNames(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	index, err := os.OpenFile("CA/index.txt", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := index.WriteString("V\t281231235959Z\t\t01\tunknown\t/CN=evil\x1b[2J\x07\n"); err != nil {
		t.Fatal(err)
	}
	if err := index.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"show", "01"}, {"list", "--json"}} {
		out := r.run(args...)
		r.want(out, "evil")
		if strings.ContainsAny(out, "\x1b\x07") {
			t.Errorf("%s: output %q has control characters", args, out)
		}
	}
}

// list returns what "list --json" prints.
func (r *caRun) list() []caRecord {
	r.t.Helper()
	var list []caRecord
	if err := json.Unmarshal([]byte(r.run("list", "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	return list
}

func TestCAList(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	r.want(r.run("list"), "has issued no certificate yet")
	if got := strings.TrimSpace(r.run("list", "--json")); got != "[]" {
		t.Errorf("empty list = %s, want []", got)
	}
	r.run("issue", "a-long-name-for-a-host", "--ip", "10.9.0.1")
	r.run("issue", "bob", "--ip", "10.9.0.200,fd00::1")
	r.run("issue", "carl", "--ip", "10.9.0.3", "--days", "1")
	r.run("issue", "lost", "--ip", "10.9.0.4")
	r.run("revoke", "bob", "--reason", "keyCompromise")
	records := r.list()
	if err := os.Remove(records[3].File); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(48 * time.Hour)
	out := r.run("list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 5 {
		t.Fatalf("output = %q, want 5 lines", out)
	}
	for i, parts := range [][]string{
		{"NAME", "ADDRESSES", "STATUS", "EXPIRES", "SERIAL"}, {"a-long-name-for-a-host", "10.9.0.1", "valid", "2028-02-29"},
		{"bob", "10.9.0.200, fd00::1", "revoked"}, {"carl", "10.9.0.3", "expired", "2026-03-02"}, {"lost", "(file is missing)", "valid"},
	} {
		r.want(lines[i], parts...)
		// The columns stand below each other.
		if got, want := strings.Index(lines[i], parts[1]), strings.Index(lines[0], "ADDRESSES"); got != want {
			t.Errorf("line %q: second column at %d, want %d", lines[i], got, want)
		}
	}
	bob := r.list()[1]
	if bob.Status != ca.Revoked || bob.Reason != "keyCompromise" || bob.Revoked == nil || !bob.Revoked.Equal(r.now.Add(-48*time.Hour)) || bob.NotBefore != nil || bob.Key != "" {
		t.Errorf("bob = %+v", bob)
	}
	if records[0].Revoked != nil || records[0].Status != ca.Valid || records[0].Subject != "/CN=a-long-name-for-a-host" {
		t.Errorf("first = %+v", records[0])
	}
}

func TestCAShow(t *testing.T) {
	r := newCARun(t)
	r.run("init")
	r.run("issue", "alice", "--ip", "10.9.0.1")
	r.run("revoke", "alice", "--reason", "superseded")
	r.run("issue", "alice", "--ip", "10.9.0.1")
	out := r.run("show", "alice")
	r.want(out, "name:", "revoked on 2026-03-01 (superseded)", "valid:", "2026-03-01 to 2028-02-29", "ECDSA, P-256",
		"digitalSignature, keyAgreement, clientAuth, serverAuth", "key ID:", "/CN=alice", "CA/certs/")
	var list []caRecord
	if err := json.Unmarshal([]byte(r.run("show", "CA/hosts/alice/certificate.pem", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	certs, err := pki.LoadCertificates("CA/hosts/alice/certificate.pem")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := pki.KeyOf(certs[0]).MarshalText()
	if len(list) != 1 || list[0].Status != ca.Valid || list[0].NotBefore == nil || list[0].KeyID != string(id) || list[0].Signature != "ECDSA-SHA256" {
		t.Errorf("show --json = %+v", list)
	}
	if err := os.Remove(list[0].File); err != nil {
		t.Fatal(err)
	}
	r.want(r.run("show", list[0].Serial), "file:", "is missing", "alice")
	var lost []caRecord
	if err := json.Unmarshal([]byte(r.run("show", list[0].Serial, "--json")), &lost); err != nil || len(lost) != 1 || lost[0].File != "" || lost[0].KeyID != "" {
		t.Errorf("show --json without file = %+v, %v", lost, err)
	}
}

func TestCANames(t *testing.T) {
	if got := caName("a\x1b[2Jb\nc é"); got != "a?[2Jb?c é" {
		t.Errorf("caName = %q", got)
	}
	if got := caCount(1) + ", " + caCount(2); got != "1 certificate, 2 certificates" {
		t.Errorf("caCount = %q", got)
	}
}
