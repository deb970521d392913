package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
	"campagnol/pki/safefile"
)

// These tests have real hosts join a VPN, and some that are not meant to.

const (
	initServed = "campagnol ca init --rdv " + villageServer + " --network 10.9.0.0/24"
	rdvPidfile = "/run/campagnol_rdv.pid"
)

// serveHere makes a CA on the rendezvous server, which serves it.
func (v *village) serveHere() {
	v.t.Helper()
	v.run(villageServer, initServed)
	v.run(villageServer, "campagnol_rdv -D --authority")
}

// invite returns a token, made at a host with the CA.
func (v *village) invite(at, args string) string {
	v.t.Helper()
	return strings.TrimSpace(v.run(at, "campagnol ca invite --quiet "+args))
}

// joins makes a host a member, of a CA on the rendezvous server.
func (v *village) joins(name string) {
	v.t.Helper()
	v.run(name, "campagnol join "+v.invite(villageServer, name))
}

// TestTokens: a token is worth one certificate. Who comes too late learns why, and
// the host to which it was given learns that somebody else was first.
func TestTokens(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	for _, name := range []string{"alice", "bob", "mallory"} {
		v.host(name, lab.PortRestricted)
	}
	v.serveHere()

	alice := v.invite(villageServer, "alice")
	v.run("alice", "campagnol join "+alice)
	v.fails("alice", "campagnol join "+alice, "set up already")
	v.fails("mallory", "campagnol join "+alice, "the authority refuses", "the token was used already", "hint: ")

	// Mallory has seen bob's token, and is faster. Bob learns it, by which key, and
	// what to do; the administrator does it.
	bob := guide.Token(t, v.run(villageServer, "campagnol ca invite bob")) // as people read it
	v.run("mallory", "campagnol join "+bob)
	v.pings("mallory", "10.9.0.1")
	v.fails("bob", "campagnol join "+bob, "the token was used already", "by the key", "campagnol ca revoke", "invites you again")
	began := time.Now()
	v.run(villageServer, "campagnol ca revoke bob")
	v.wantCut("alice", "10.9.0.2", began)
	v.run("bob", "campagnol join "+v.invite(villageServer, "bob"))
	v.pings("bob", "10.9.0.1")
	v.pings("alice", "10.9.0.3") // the address that was revoked is not given to others

	v.host("carol", lab.None)
	late := v.invite(villageServer, "carol")
	v.run(villageServer, "sed -i 's/\"expires\": *\"[^\"]*\"/\"expires\": \"2026-01-01T00:00:00Z\"/' $(grep -l carol CA/invitations/*)")
	v.fails("carol", "campagnol join "+late, "has expired", "hint: ", "campagnol ca invite")
	withdrawn := v.invite(villageServer, "carol")
	v.run(villageServer, "campagnol ca uninvite carol")
	v.fails("carol", "campagnol join "+withdrawn, "withdrawn", "campagnol ca invite")
	v.run("carol", "campagnol join --no-start "+v.invite(villageServer, "carol"))
	out := v.run(villageServer, "campagnol ca invitations")
	for _, want := range []string{"used on", "withdrawn on"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list of invitations lacks %q", want)
		}
	}
}

// awaitFile waits until a file on a host has a text.
func (v *village) awaitFile(host, path, want string) string {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(v.path(host, path))
		if err == nil && strings.Contains(string(b), want) {
			return string(b)
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%s on %s has not got %q: %q, %v", path, host, want, b, err)
		}
	}
}

// TestServerRestartsDuringJoin: the rendezvous server, with the authority in it, is
// killed in the middle of what a host has to say to it, and the host goes on.
func TestServerRestartsDuringJoin(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	v.serveHere()
	v.host("alice", lab.PortRestricted)
	token := v.invite(villageServer, "alice")
	// The authority cannot issue the certificate for as long as we hold the lock of
	// its directory, so that there is a middle.
	unlock, err := safefile.Lock(v.path(villageServer, "/root/CA/.lock"))
	if err != nil {
		t.Fatal(err)
	}
	v.run("alice", "(campagnol join --no-start "+token+" && echo THE END) >join.log 2>&1 &")
	v.awaitFile("alice", "/root/join.log", "asking the authority")
	time.Sleep(time.Second)
	v.kill(villageServer, rdvPidfile, "KILL")
	unlock()
	v.run(villageServer, "campagnol_rdv -D --authority")
	out := v.awaitFile("alice", "/root/join.log", "THE END")
	if !strings.Contains(out, "this host is alice, 10.9.0.1") {
		t.Errorf("output %q", out)
	}
	out = v.run(villageServer, "campagnol ca list")
	if n := strings.Count(out, "alice"); n != 1 {
		t.Errorf("alice has %d certificates, want 1", n)
	}
}

// TestCAServe: the authority is on a host of its own, behind a NAT; the rendezvous
// server has a certificate and nothing else of it.
func TestCAServe(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	for _, name := range []string{"office", "alice", "bob", "carol"} {
		v.host(name, lab.PortRestricted)
	}
	v.run("office", "campagnol ca init --rdv "+villageServer+" --network 10.9.0.0/24")
	v.run("office", "campagnol ca issue rdv --rdv")
	copyFiles(t, v.path("office", "/root/CA/hosts/rdv"), v.path(villageServer, "/etc/campagnol"))
	const server = "campagnol_rdv -D --certificate /etc/campagnol/certificate.pem --key /etc/campagnol/key.pem --ca /etc/campagnol/ca.pem"

	// Before the server: it is waited for.
	v.run("office", "campagnol ca serve -D")
	v.run(villageServer, server)
	v.run("alice", "campagnol join "+v.invite("office", "alice"))
	v.run("bob", "campagnol join "+v.invite("office", "bob"))
	v.pings("alice", "10.9.0.2")
	v.pings("bob", "10.9.0.1")

	// The server forgets all, and the authority comes back.
	v.kill(villageServer, rdvPidfile, "KILL")
	v.run(villageServer, server)
	v.run("carol", "campagnol join "+v.invite("office", "carol"))
	v.pings("carol", "10.9.0.1")
	v.pings("alice", "10.9.0.2")

	began := time.Now()
	v.run("office", "campagnol ca revoke bob")
	v.wantCut("alice", "10.9.0.2", began)
	v.pings("alice", "10.9.0.3")

	// What is wrong is said in the terminal, also with -D.
	v.kill("office", "/run/campagnol_ca.pid", "TERM")
	v.run("office", "rm CA/private/cakey.pem")
	v.fails("office", "campagnol ca serve -D", "cakey.pem")
}
