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

const (
	initServed = "campagnol ca init --rdv " + villageServer + " --network 10.9.0.0/24"
	rdvPidfile = "/run/campagnol_rdv.pid"
)

// joins makes a host a member, of a CA on the rendezvous server.
func (v *village) joins(name string) {
	v.t.Helper()
	v.run(name, "campagnol join "+v.invite(villageServer, name))
}

// TestRelayManual follows docs/relay.md: two hosts whose NATs let nothing through talk by
// the relay of the rendezvous server.
func TestRelayManual(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/relay.md")
	v := newVillage(t)
	v.host("alice", lab.Symmetric)
	v.host("bob", lab.Symmetric)
	v.run(villageServer, initServed)
	w := v.follow(g, villageServer)
	w.does("campagnol_rdv -D")
	v.joins("alice")
	v.joins("bob")
	for _, name := range []string{"alice", "bob"} {
		w.until(name, "campagnol status", "this host is behind a symmetric NAT")
	}
	w.does("campagnol explain")
	w.does("campagnol peers")
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
	w := v.follow(g, villageServer)
	w.does("campagnol_rdv -D --authority --web 127.0.0.1:8080")
	if page := w.run(villageServer, "curl -sS --fail http://127.0.0.1:8080/"); !strings.Contains(page, "<html") {
		t.Errorf("the page: %q", page)
	}
	v.kill(villageServer, rdvPidfile, "TERM")
	w.does("mkdir")
	w.does("(umask 077; echo")
	w.does("campagnol_rdv -D")
	const page = "https://127.0.0.1:8443/"
	w.fails(villageServer, "curl -sSk --fail "+page, "401")
	w.fails(villageServer, "curl -sSk --fail --user admin:none "+page, "401")
	if page := w.run(villageServer, "curl -sSk --fail --user $(cat /etc/campagnol/web-password) "+page); !strings.Contains(page, "<html") {
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
	w := v.follow(g, "alice")
	w.add("alice", "/etc/campagnol.conf", g.Text(t, "ini", 0))
	w.does("campagnol reload")
	w.until("alice", "curl -s http://127.0.0.1:9469/readyz", "ready")
	w.does("curl -s http://127.0.0.1:9469/metrics")
	w.does("curl -s http://127.0.0.1:9469/readyz")
	v.kill(villageServer, rdvPidfile, "TERM")
	w.does("campagnol_rdv -D")
	w.until(villageServer, "curl -s http://127.0.0.1:9469/metrics", `campagnol_rdv_clients{kind="channel"} 1`)
	w.does("curl -s http://127.0.0.1:9469/metrics")
	w.until("alice", "campagnol status", "\nregistered at")
	w.does("curl -s --unix-socket")
}
