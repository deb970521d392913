package main

import (
	"strings"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// These tests follow what the documents say of the rendezvous server: docs/relay.md,
// docs/rdv-web.md and docs/metrics.md.

// TestRelayManual follows docs/relay.md: two hosts whose NATs let nothing through talk by
// the relay of the rendezvous server.
func TestRelayManual(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/relay.md")
	v := newVillage(t)
	v.host("alice", lab.Symmetric)
	v.host("bob", lab.Symmetric)
	v.run(villageServer, initServed)
	r := readIn(v, g)
	r.home = villageServer
	r.next("campagnol_rdv -D")
	v.joins("alice")
	v.joins("bob")
	for _, name := range []string{"alice", "bob"} {
		v.until(name, "campagnol status", "this host is behind a symmetric NAT")
	}
	r.next("campagnol explain")
	r.next("campagnol peers")
	v.pings("alice", "10.9.0.2")
	c := g.Next(t)
	out, err := onDesk(t, t.TempDir(), c.Line)
	if err != nil || !strings.Contains(out, "relay") {
		t.Errorf("%s: %v", c.Line, err)
	}
}

// TestWebManual follows docs/rdv-web.md: the page is there, and with a password only for
// who knows it.
func TestWebManual(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	g := guide.Open(t, "docs/rdv-web.md")
	v := newVillage(t)
	v.run(villageServer, initServed)
	r := readIn(v, g)
	r.home = villageServer
	r.next("campagnol_rdv -D --authority --web 127.0.0.1:8080")
	if page := v.run(villageServer, "curl -sS --fail http://127.0.0.1:8080/"); !strings.Contains(page, "<html") {
		t.Errorf("the page: %q", page)
	}
	v.kill(villageServer, rdvPidfile, "TERM")
	r.next("mkdir")
	r.next("(umask 077; echo")
	r.next("campagnol_rdv -D")
	const page = "https://127.0.0.1:8443/"
	v.fails(villageServer, "curl -sSk --fail "+page, "401")
	v.fails(villageServer, "curl -sSk --fail --user admin:none "+page, "401")
	if page := v.run(villageServer, "curl -sSk --fail --user $(cat /etc/campagnol/web-password) "+page); !strings.Contains(page, "<html") {
		t.Errorf("the page, with the password: %q", page)
	}
}

// TestMetricsManual follows docs/metrics.md.
func TestMetricsManual(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	g := guide.Open(t, "docs/metrics.md")
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.serveHere()
	v.joins("alice")
	r := readIn(v, g)
	r.home = "alice"
	v.addTo("alice", "/etc/campagnol.conf", g.Text(t, "ini", 0))
	r.next("campagnol reload")
	v.until("alice", "curl -s http://127.0.0.1:9469/readyz", "ready")
	r.next("curl -s http://127.0.0.1:9469/metrics")
	r.next("curl -s http://127.0.0.1:9469/readyz")
	v.kill(villageServer, rdvPidfile, "TERM")
	r.next("campagnol_rdv -D")
	v.until(villageServer, "curl -s http://127.0.0.1:9469/metrics", `campagnol_rdv_clients{kind="channel"} 1`)
	r.next("curl -s http://127.0.0.1:9469/metrics")
	v.until("alice", "campagnol status", "\nregistered at")
	r.next("curl -s --unix-socket")
}
