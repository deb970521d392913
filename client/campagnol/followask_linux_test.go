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
	r := readIn(v, g)
	r.home = "carol"
	v.until("carol", "campagnol status", "this host is behind")
	v.until("carol", "campagnol status", "does not answer by PCP")
	r.next("campagnol netcheck")
	r.home = "alice"
	v.until("alice", "campagnol status", "this host is behind")
	v.until("alice", "campagnol status", "does not answer by PCP")
	r.status = notReached
	r.next("campagnol explain")
}

// unknown waits until a host, which sends something to an address in the VPN, hears that
// nobody there is known.
func (v *village) unknown(host, vpn string) {
	v.t.Helper()
	said := regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(vpn) + `, \w+ ago: the RDV server does not know the peer$`)
	await(v.t, host+" hears that nobody knows "+vpn, func() bool {
		_, err := v.hosts[host].Ping(v.t.Context(), mustAddr(vpn), lab.PingOptions{Count: 1, Patience: 200 * time.Millisecond})
		if err != nil {
			v.t.Fatal(err)
		}
		out, err := v.shells[host].Run(v.t.Context(), "campagnol status")
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
	home := v.nat("home", lab.NATOptions{Kind: lab.PortRestricted})
	v.behind("alice", home)
	v.behind("carol", home)
	for _, name := range []string{"bob", "mallory"} {
		v.host(name, lab.PortRestricted)
	}
	v.serveHere()
	v.joins("alice")
	v.addTo("alice", "/etc/campagnol.conf", "[VPN]\naccept_routes = yes\n")
	v.run("alice", "campagnol reload")
	v.run("bob", "campagnol join "+v.invite(villageServer, "bob --route 192.168.7.0/24"))
	v.joins("carol")
	v.run("mallory", "campagnol join "+v.invite(villageServer, "mallory --ip 10.9.0.66"))
	for _, vpn := range []string{"10.9.0.2", "10.9.0.66"} {
		v.pings("alice", vpn)
	}
	v.run(villageServer, "campagnol ca revoke mallory")
	v.wantCut("alice", "10.9.0.66", time.Now())
	r := readIn(v, g)
	r.home = "alice"
	for _, vpn := range []string{"10.9.0.4", "10.9.0.66"} {
		v.unknown("alice", vpn)
	}
	r.masks = append([]guide.Mask{
		guide.Varies("AGO", `(?:\d+[dhms])+ ago(?:, \d+ times)?`),
		guide.Varies("DROPS", `by the client: .*`),
		guide.Varies("PLACES", `NAT +\d+ +in`),
		guide.Varies("COUNTS", `\b\d+ B +\d+ +\d+\b`),
	}, r.masks...)
	for _, text := range []string{"this host is behind", "does not answer by PCP", "(wan, "} {
		v.until("alice", "campagnol status", text)
	}
	r.next("campagnol status")
	r.next("curl")
	v.pings("alice", "10.9.0.3")
	r.next("campagnol peers")
	r.next("campagnol ping")
	r.next("campagnol disconnect")
	r.next("campagnol reload")
	r.next("campagnol log-level debug")
	r.next("campagnol log-level")
	r.next("campagnol bugreport")
	if report := readFile(t, v.path("alice", "/root/report.txt")); !strings.Contains(report, "campagnol") || strings.Contains(report, "10.9.0.2") {
		t.Error("the report, which is to have no addresses, is not what it should be")
	}
	r.next("campagnol version")
	v.pings("alice", "10.9.0.2")
	v.until(villageServer, "campagnol_rdv status", "behind: port-restricted NAT 3")
	r.next("campagnol_rdv clients")
	r.next("campagnol_rdv status")
	r.next("campagnol_rdv events")
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
	r := readIn(v, g)
	r.home = "office"
	r.next("campagnol -D --pprof")
	r.next("curl")
	r.next("scp")
	c := g.Next(t)
	out, err := onDesk(t, v.path("office", "/root/."), c.Line)
	if err != nil || !strings.Contains(out, "Type: cpu") {
		t.Errorf("%s: %v", c.Line, err)
	}
}
