package main

import (
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// TestNamesDnsmasq does what docs/names.md says for dnsmasq: the resolver of the system
// finds members by the real program.
func TestNamesDnsmasq(t *testing.T) {
	t.Parallel()
	dnsmasq := testenv.Tool(t, "dnsmasq", "dnsmasq-base")
	v := newVillage(t)
	v.host("north", lab.PortRestricted)
	v.host("south", lab.None)
	v.install(dnsmasq, "north")
	v.serveHere()
	v.joins("north")
	v.joins("south")

	whole := guide.Open(t, "docs/names.md", "", "dnsmasq")
	r := readIn(v, whole)
	v.addTo("north", "/etc/campagnol.conf", whole.Text(t, "ini", 0))
	v.run("north", "mkdir -p /etc/dnsmasq.d && echo nameserver 127.0.0.1 >/etc/resolv.conf && echo hosts: files dns >/etc/nsswitch.conf")
	v.addTo("north", "/etc/dnsmasq.d/vpn.conf", whole.Text(t, "conf", 0))
	r.next("campagnol reload")
	v.pings("north", "10.9.0.2")
	// The client has port 53 of its address by now, which dnsmasq would take without
	// these lines.
	const start = "dnsmasq --user=root --pid-file=/run/dnsmasq.pid --no-resolv "
	v.run("north", "grep -v interface /etc/dnsmasq.d/vpn.conf >/etc/open.conf")
	v.fails("north", start+"--conf-file=/etc/open.conf", "in use")
	v.run("north", start+"--conf-dir=/etc/dnsmasq.d")
	r.all()
}
