package main

import (
	"net/netip"
	"testing"

	"campagnol/internal/lab"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// newOffices makes two gateways behind NATs, north and south, and a host in the network
// behind each, desk1 and desk2, whose router the gateway is.
func newOffices(t *testing.T) *village {
	t.Helper()
	v := newVillage(t)
	v.host("north", lab.PortRestricted)
	v.host("south", lab.PortRestricted)
	v.office("north", "desk1", "172.20.1.1")
	v.office("south", "desk2", "172.20.2.1")
	v.serveHere()
	return v
}

// office puts a host with the next address into a network behind a gateway.
func (v *village) office(gateway, name, router string) {
	v.t.Helper()
	h := v.node(name, gateway, "eth1")
	at := mustAddr(router)
	v.must(v.hosts[gateway].Interface("eth1").AddAddress(netip.PrefixFrom(at, 24)))
	v.must(h.Interface("eth0").AddAddress(netip.PrefixFrom(at.Next(), 24)))
	v.must(h.Interface("eth0").AddRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), at))
}

// becomeGateways does what a guide says up to the second reload, with its configuration
// in both files.
func (r *reader) becomeGateways() {
	r.t.Helper()
	r.next("campagnol ca invite north")
	r.next("campagnol ca invite south")
	for _, host := range []string{"north", "south"} {
		r.next("campagnol join")
		r.addTo(host, "/etc/campagnol.conf", r.g.Text(r.t, "ini", 0))
	}
}

// TestSiteToSiteGuide does what docs/site-to-site.md says, on gateways without a firewall.
// They learn of each other from the server, and what is behind them from certificates,
// without any packet of a user.
func TestSiteToSiteGuide(t *testing.T) {
	t.Parallel()
	v := newOffices(t)
	r := readIn(v, guide.Open(t, "docs/site-to-site.md", "The authority: who has which network", "The gateways", "Does it work?"))
	r.becomeGateways()
	r.all()
}

// TestSiteToSiteFirewall does it on gateways that forward nothing: first nothing passes,
// and then all does.
func TestSiteToSiteFirewall(t *testing.T) {
	t.Parallel()
	nft := testenv.Tool(t, "nft", "nftables")
	v := newOffices(t)
	v.install(nft, "north", "south")
	for _, host := range []string{"north", "south"} {
		v.run(host, "nft add table inet filter && nft 'add chain inet filter forward { type filter hook forward priority 0; policy drop; }'")
	}
	r := readIn(v, guide.Open(t, "docs/site-to-site.md"))
	r.becomeGateways()
	for range 4 {
		r.next("") // of the gateways
	}
	v.pings("north", "10.9.0.2")
	v.unreachable("desk1", "172.20.2.2")
	r.all()
}
