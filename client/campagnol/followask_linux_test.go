package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// These tests follow what the documents say of asking a client how it is: docs/control.md
// and docs/nat.md.

// TestNATManual follows docs/nat.md: what is in front of a host, and why two hosts are
// not connected.
func TestNATManual(t *testing.T) {
	t.Parallel()
	g := guide.Open(t, "docs/nat.md", "campagnol netcheck", "Why am I not connected?")
	v := newVillage(t)
	v.host("carol", lab.PortRestricted)
	v.host("alice", lab.Symmetric)
	v.host("bob", lab.Symmetric)
	v.serveHere()
	for _, name := range []string{"alice", "bob", "carol"} {
		v.joins(name)
	}
	w := v.follow(g, "carol")
	w.until("carol", "campagnol status", "this host is behind")
	w.until("carol", "campagnol status", "does not answer by PCP")
	w.does("campagnol netcheck")
	w.home = "alice"
	w.until("alice", "campagnol status", "this host is behind")
	w.until("alice", "campagnol status", "does not answer by PCP")
	w.status = notReached
	w.does("campagnol explain")
}

// neighbours adds hosts behind one NAT.
func (v *village) neighbours(names ...string) {
	v.t.Helper()
	nat, err := v.lab.AddNAT("nat_"+names[0], lab.NATOptions{Kind: lab.PortRestricted})
	if err != nil {
		v.t.Fatal(err)
	}
	for _, name := range names {
		h, err := v.lab.AddHost(name, nat)
		if err != nil {
			v.t.Fatal(err)
		}
		v.settle(name, h)
	}
}

// unknown waits until a host, which sends something to an address in the VPN, hears that
// nobody there is known.
func (w *walk) unknown(host, vpn string) {
	w.t.Helper()
	said := regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(vpn) + `, \w+ ago: the RDV server does not know the peer$`)
	await(w.t, host+" hears that nobody knows "+vpn, func() bool {
		_, err := w.hosts[host].Ping(w.t.Context(), mustAddr(vpn), lab.PingOptions{Count: 1, Patience: 200 * time.Millisecond})
		if err != nil {
			w.t.Fatal(err)
		}
		out, err := w.shells[host].Run(w.t.Context(), "campagnol status")
		return err == nil && said.MatchString(out)
	})
}

// TestControlManual follows docs/control.md: a client in the middle of its work, asked in
// all the ways of the document.
func TestControlManual(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	g := guide.Open(t, "docs/control.md")
	v := newVillage(t)
	v.neighbours("alice", "carol")
	for _, name := range []string{"bob", "mallory"} {
		v.host(name, lab.PortRestricted)
	}
	v.serveHere()
	v.joins("alice")
	v.add("alice", "/etc/campagnol.conf", "[VPN]\naccept_routes = yes\n")
	v.run("alice", "campagnol reload")
	v.run("bob", "campagnol join "+v.invite(villageServer, "bob --route 192.168.7.0/24"))
	v.joins("carol")
	v.run("mallory", "campagnol join "+v.invite(villageServer, "mallory --ip 10.9.0.66"))
	for _, vpn := range []string{"10.9.0.2", "10.9.0.66"} {
		v.pings("alice", vpn)
	}
	v.run(villageServer, "campagnol ca revoke mallory")
	v.wantCut("alice", "10.9.0.66", time.Now())
	w := v.follow(g, "alice")
	for _, vpn := range []string{"10.9.0.4", "10.9.0.66"} {
		w.unknown("alice", vpn)
	}
	w.masks = append([]guide.Mask{
		guide.Varies("AGO", `(?:\d+[dhms])+ ago(?:, \d+ times)?`),
		guide.Varies("DROPS", `by the client: .*`),
		guide.Varies("RTTS", `[\d.]+/[\d.]+/[\d.]+/[\d.]+ ms`),
		guide.Varies("PLACES", `NAT +\d+ +in`),
		guide.Varies("COUNTS", `\b\d+ B +\d+ +\d+\b`),
	}, w.masks...)
	for _, text := range []string{"this host is behind", "does not answer by PCP", "(wan, "} {
		w.until("alice", "campagnol status", text)
	}
	w.does("campagnol status")
	w.does("curl")
	v.pings("alice", "10.9.0.3")
	w.does("campagnol peers")
	w.does("campagnol ping")
	w.does("campagnol disconnect")
	w.does("campagnol reload")
	w.does("campagnol log-level debug")
	w.does("campagnol log-level")
	w.does("campagnol bugreport")
	if report := readFile(t, v.path("alice", "/root/report.txt")); !strings.Contains(report, "campagnol") || strings.Contains(report, "10.9.0.2") {
		t.Error("the report, which is to have no addresses, is not what it should be")
	}
	w.does("campagnol version")
	v.pings("alice", "10.9.0.2")
	w.until(villageServer, "campagnol_rdv status", "behind: port-restricted NAT 3")
	w.does("campagnol_rdv clients")
	w.does("campagnol_rdv status")
	w.does("campagnol_rdv events")
}

// TestProfileManual follows docs/performance.md where it looks into a client that runs.
func TestProfileManual(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "curl", "curl")
	g := guide.Open(t, "docs/performance.md", "A client that runs")
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.host("office", lab.None)
	v.serveHere()
	v.run("alice", "campagnol join --no-start "+v.invite(villageServer, "alice"))
	w := v.follow(g, "office")
	w.does("campagnol -D --pprof")
	w.does("curl")
	w.does("scp")
	c := g.Next(t)
	out, err := onDesk(t, v.path("office", "/root/."), c.Line)
	if err != nil || !strings.Contains(out, "Type: cpu") {
		t.Errorf("%s: %v", c.Line, err)
	}
}
