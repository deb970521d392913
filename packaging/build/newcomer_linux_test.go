package main

import (
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv/guide"
)

// TestNewcomer does what README.md says, and nothing else, to the letter: three clean
// machines, two of them behind NATs, get the package, become a VPN with at most six
// commands, reach each other by name, find out why they do not when their NATs are
// replaced by bad ones, and shut one of them out.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	install := guide.Open(t, "README.md", "Install")
	h := newHamlet(t, buildAsTyped(t, install.Next(t).Line, "dist/campagnol_*_amd64.deb"))
	h.host("alice", lab.PortRestricted)
	h.host("bob", lab.PortRestricted)
	for c := range install.Commands() {
		h.onEach(c)
	}
	h.setUp(guide.Open(t, "README.md", "Set up two hosts"), 6)

	use := guide.Open(t, "README.md", "Use it")
	h.wants(h.next(use), "10.9.0.2 bob")
	h.wants(h.next(use), `PING 10.9.0.2 ("bob") inside the tunnel`, "a tunnel was opened in", "answer from 10.9.0.2: seq=")
	h.wants(h.next(use), "3 packets transmitted", "bytes from 10.9.0.2: icmp_seq=")
	h.run("bob", "ping -c 1 10.9.0.1")
	c := use.Next(t)
	h.watch(c.Host, c.Line, "10.9.0.2 ESTABLISHED", "authenticated")

	h.run("alice", "campagnol disconnect bob")
	h.replaceNATs(lab.Symmetric, "symmetric")
	trouble := guide.Open(t, "README.md", "When it does not work")
	h.wants(h.next(trouble), "behind a symmetric NAT", "port allocation random")
	c = trouble.Next(t)
	out, err := h.try(c.Host, c.Line)
	if err == nil {
		t.Error("there is a tunnel through two NATs that cannot be crossed")
	}
	h.wants(out, `There is no tunnel to 10.9.0.2 ("bob").`, ": no path.", "This host is behind a symmetric NAT, and the peer is behind a symmetric NAT: there is no direct path",
		"What to try: - choose a local_port, open it for UDP", "only a relay could carry this, and there is none")

	h.replaceNATs(lab.PortRestricted, "port-restricted-cone")
	h.eventually(time.Minute, "alice reaches bob again", func() bool {
		_, err := h.try("alice", "campagnol ping -c 1 bob")
		return err == nil
	})
	revoke := guide.Open(t, "README.md", "Add hosts, and shut them out")
	h.next(revoke)
	h.shutOut("alice", "bob")
}

// cutTime is how long a tunnel may live with somebody who was revoked. It takes two or
// three seconds on a machine that is not busy.
const cutTime = 15 * time.Second

// shutOut makes sure that a host's tunnels end soon, and that it opens none to another one,
// which was revoked a moment ago.
func (h *hamlet) shutOut(host, revoked string) {
	h.t.Helper()
	h.eventually(cutTime, host+" has no tunnel", func() bool {
		return !strings.Contains(h.quiet(host, "campagnol status"), "ESTABLISHED")
	})
	if _, err := h.try(host, "campagnol ping -c 1 "+revoked); err == nil {
		h.t.Errorf("%s has got another tunnel to %s", host, revoked)
	}
}

// registered waits until a host that has joined is known to the server.
func (h *hamlet) registered(host string) {
	h.t.Helper()
	h.eventually(machineTime, host+" is registered", func() bool {
		return len(lacking(h.quiet(host, "campagnol status"), []string{"registered at the RDV server", "authenticated for"})) == 0
	})
}

// replaceNATs puts another router before each of the hosts, which find that out by
// themselves.
func (h *hamlet) replaceNATs(kind lab.Kind, name string) {
	h.t.Helper()
	for _, nat := range h.nats {
		if err := nat.Replace(kind); err != nil {
			h.t.Fatal(err)
		}
	}
	for on := range h.nats {
		h.eventually(90*time.Second, on+" knows what it is behind", func() bool {
			return strings.Contains(h.quiet(on, "campagnol status"), "this host is behind a "+name+" NAT")
		})
	}
}

// onEach types a command on the machine that the document names, or on each.
func (h *hamlet) onEach(c guide.Command) {
	h.t.Helper()
	if c.Host != "each host" {
		h.run(c.Host, c.Line)
		return
	}
	for name := range h.shells {
		h.run(name, c.Line)
	}
}

// next types the next command, which has to succeed.
func (h *hamlet) next(g *guide.Guide) string {
	h.t.Helper()
	c := g.Next(h.t)
	return h.run(c.Host, c.Line)
}

// setUp types the commands that make a VPN, which may be so many at most.
func (h *hamlet) setUp(g *guide.Guide, most int) {
	h.t.Helper()
	n := 0
	invited, said := guide.Invitations{}, ""
	for c := range g.Commands() {
		n += 1 + strings.Count(c.Line, "&&") + strings.Count(c.Line, ";") + strings.Count(c.Line, "|")
		line := invited.Fill(h.t, c.Host, c.Line)
		if line != c.Line && !strings.Contains(said, line) {
			h.t.Errorf("the invitation does not say %q", line)
		}
		out := h.run(c.Host, line)
		if strings.Contains(line, " join ") {
			h.registered(c.Host)
		}
		if strings.Contains(line, " invite ") {
			said += strings.ReplaceAll(out, "\\\n", "") // as the shell reads it
		}
		invited.Note(h.t, line, out)
	}
	if n > most {
		h.t.Errorf("it takes %d commands to set up two hosts, want at most %d", n, most)
	}
}
