package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/lab"
	play "campagnol/internal/lab/program"
	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// newParty makes a VPN of Ethernet as docs/lan-party.md says in its section "Set it up",
// with more lines in the configurations.
func newParty(t *testing.T, more ...string) *village {
	t.Helper()
	v := newVillage(t)
	v.host("alice", lab.PortRestricted)
	v.host("bob", lab.PortRestricted)
	v.host("carol", lab.FullCone)
	r := readIn(v, guide.Open(t, "docs/lan-party.md", "Set it up"))
	for range 3 {
		r.through("campagnol join")
	}
	for _, host := range []string{"alice", "bob", "carol"} {
		v.addTo(host, "/etc/campagnol.conf", r.g.Text(t, "ini", 0)+strings.Join(more, ""))
	}
	r.all()
	return v
}

// soon returns a context for what is over in moments, and may take longer on a busy
// machine.
func (v *village) soon() context.Context { return soon(v.t, tapPatience) }

// wantBroadcast makes sure that a broadcast of one host reaches others once.
func (v *village) wantBroadcast(from, dst string, to ...string) {
	v.t.Helper()
	var nodes []*lab.Node
	for _, name := range to {
		nodes = append(nodes, v.hosts[name].Node)
	}
	got, err := lab.Broadcast(v.soon(), v.hosts[from].Node, netip.AddrPortFrom(mustAddr(dst), 27015), nodes...)
	v.must(err)
	for _, d := range got {
		if d.Copies != 1 {
			v.t.Errorf("a broadcast of %s to %s has come to %s %d times, want once", from, dst, d.Node, d.Copies)
		}
	}
}

// TestLANParty does what docs/lan-party.md says: games find each other by broadcasts and
// by multicast.
func TestLANParty(t *testing.T) {
	t.Parallel()
	v := newParty(t)
	r := readIn(v, guide.Open(t, "docs/lan-party.md", "Does it work?"))
	r.through("ping -c 3 10.9.0.3")
	v.wantBroadcast("alice", "10.9.0.255", "bob", "carol")
	r.all()
	v.wantBroadcast("alice", "255.255.255.255", "bob", "carol")
	in, err := v.hosts["bob"].StartReceiver(v.soon(), "game", play.ReceiverOptions{Port: filmPort})
	v.must(err)
	m := play.Membership{Interface: "tap0", Group: mustAddr("239.255.0.1")}
	_, err = in.Join(v.soon(), m)
	v.must(err)
	out, err := v.hosts["alice"].StartSender(v.soon(), "game", play.SenderOptions{Interface: "tap0", Groups: []netip.Addr{m.Group}, Port: filmPort, Size: filmSize, Rate: filmRate})
	v.must(err)
	defer out.Stop()
	if _, err := in.AwaitReception(v.soon(), func(p play.Reception) bool { return p.Group == m.Group }); err != nil {
		t.Errorf("multicast of the game does not arrive: %v", err)
	}
	if route := v.run("alice", "ip route get 239.255.0.1"); !strings.Contains(route, "dev tap0 ") {
		t.Errorf("multicast goes by %q, want tap0", route)
	}
}

// bridged does the commands by which alice joins a LAN to the VPN, and puts a host into
// the LAN.
func bridged(t *testing.T, v *village) *lab.Host {
	t.Helper()
	pc := v.node("pc", "alice", "eth1")
	v.must(pc.Interface("eth0").SetMAC([]byte{0x52, 0x54, 0, 0, 0, 1}))
	v.must(pc.Interface("eth0").SetMTU(tapMTU))
	readIn(v, guide.Open(t, "docs/ethernet.md", "Joining a LAN to it")).all()
	v.must(v.hosts["alice"].Interface("br0").AwaitUp())
	return pc
}

// TestEthernetBridge does what docs/ethernet.md says about a LAN that is joined, and
// about looking at the switch.
func TestEthernetBridge(t *testing.T) {
	t.Parallel()
	v := newParty(t)
	pc := bridged(t, v)
	v.must(pc.Interface("eth0").AddAddress(netip.MustParsePrefix("10.9.0.50/24")))
	v.pings("pc", "10.9.0.2")
	v.pings("bob", "10.9.0.50")
	v.pings("bob", "10.9.0.1")
	v.wantBroadcast("pc", "10.9.0.255", "alice", "bob", "carol")
	for _, w := range []struct{ host, ifname string }{{"pc", "eth0"}, {"bob", "tap0"}} {
		in, err := v.hosts[w.host].StartReceiver(v.soon(), "viewer", play.ReceiverOptions{Port: filmPort})
		v.must(err)
		_, err = in.Join(v.soon(), play.Membership{Interface: w.ifname, Group: mustAddr("239.1.2.3")})
		v.must(err)
	}
	readIn(v, guide.Open(t, "docs/ethernet.md", "When it does not work")).all()
}

// TestEthernetDHCP does what docs/ethernet.md says to keep DHCP in a LAN: before, a host
// there gets an address from a server at another member, and then none.
func TestEthernetDHCP(t *testing.T) {
	t.Parallel()
	server := testenv.Tool(t, "dnsmasq", "dnsmasq-base")
	testenv.Tool(t, "udhcpc", "udhcpc")
	nft := testenv.Tool(t, "nft", "nftables")
	v := newParty(t)
	v.install(nft, "alice")
	bridged(t, v)
	v.pings("alice", "10.9.0.2")
	_, err := v.hosts["bob"].StartDHCPServer(v.soon(), server, lab.DHCPServerOptions{
		Interface: "tap0", First: mustAddr("10.9.0.101"), Last: mustAddr("10.9.0.150"), Bits: 24})
	v.must(err)
	const ask = "udhcpc -n -q -i eth0 -s /bin/true -T 1 -t "
	if out := v.run("pc", ask+"20"); !strings.Contains(out, "10.9.0.1") {
		t.Errorf("the host gets %q, want an address of the server", out)
	}
	readIn(v, guide.Open(t, "docs/ethernet.md", "DHCP")).all()
	v.fails("pc", ask+"2", "no lease")
}

// TestPartyDHCP has bob hand out addresses as docs/lan-party.md says, to a console behind
// his bridge and to a host behind alice's.
func TestPartyDHCP(t *testing.T) {
	t.Parallel()
	dnsmasq := testenv.Tool(t, "dnsmasq", "dnsmasq-base")
	testenv.Tool(t, "udhcpc", "udhcpc")
	v := newParty(t)
	v.install(dnsmasq, "bob")
	v.node("console", "bob", "eth1")
	bridged(t, v)
	v.pings("alice", "10.9.0.2")
	bridge := guide.Open(t, "docs/ethernet.md", "Joining a LAN to it")
	for c := range bridge.Commands() { // with bob's addresses, as the reader is told
		v.run("bob", strings.NewReplacer("02:ca:0a:09:00:01", "02:ca:0a:09:00:02", "10.9.0.1/", "10.9.0.2/").Replace(c.Line))
	}
	v.must(v.hosts["bob"].Interface("br0").AwaitUp())
	v.run("bob", "mkdir -p /etc/dnsmasq.d")
	v.addTo("bob", "/etc/dnsmasq.d/party.conf", guide.Open(t, "docs/lan-party.md", "A console, or another computer, beside one of you").Text(t, "conf", 0))
	v.run("bob", "dnsmasq --user=root --pid-file=/run/dnsmasq.pid --dhcp-leasefile=/run/leases --port=0 --conf-dir=/etc/dnsmasq.d")
	// udhcpc tells a script what it has got.
	v.run("console", "printf '#!/bin/sh\\n[ $1 = bound ] && ip addr add $ip/$mask dev $interface && ip link set $interface mtu $mtu && echo router \"[$router]\"\\nexit 0\\n' >/etc/lease && chmod 755 /etc/lease")
	if out := v.run("console", "udhcpc -n -q -i eth0 -s /etc/lease -O mtu -T 1 -t 20"); !strings.Contains(out, "router []") {
		t.Errorf("the console has a router: %q", out)
	}
	v.pings("console", "10.9.0.1")
	v.wantBroadcast("alice", "10.9.0.255", "console", "carol")
	if out := v.run("pc", "udhcpc -n -q -i eth0 -s /bin/true -T 1 -t 20"); !strings.Contains(out, "obtained from 10.9.0.2") {
		t.Errorf("the host at alice's gets %q, want an address of bob's server", out)
	}
}

// TestEthernetVLAN does what docs/ethernet.md says about VLANs. Where the kernel has no
// driver for them, which the command says, a socket sends the frame that the interface
// would.
func TestEthernetVLAN(t *testing.T) {
	t.Parallel()
	v := newParty(t)
	v.pings("alice", "10.9.0.2")
	g := guide.Open(t, "docs/ethernet.md", "VLANs")
	commands := slices.Collect(g.Commands())
	if out, err := v.try(commands[0].Host, commands[0].Line); err == nil {
		for _, c := range commands[1:] {
			v.run(c.Host, c.Line)
		}
		v.pings("alice", "10.10.0.2")
		return
	} else if !strings.Contains(out, "Unknown device type") {
		t.Fatalf("%q fails: %v\n%s", commands[0].Line, err, out)
	}
	watch := func(host string) *lab.Watch {
		w, err := v.hosts[host].Interface("tap0").Watch(lab.WatchOptions{Incoming: true})
		v.must(err)
		t.Cleanup(func() { w.Close() })
		return w
	}
	alice, bob := watch("alice"), watch("bob")
	mac, err := v.hosts["alice"].Interface("tap0").MAC()
	v.must(err)
	v.must(alice.Send(udpTo([6]byte(mac), "10.10.0.1", "10.10.0.255", 10, "in the VLAN")))
	s, err := bob.Await(v.soon(), 0, says("in the VLAN"))
	v.must(err)
	if len(s.Frame.Tags) != 1 || s.Frame.Tags[0].VID != 10 {
		t.Errorf("the frame arrives as %v, want one tag of VLAN 10", s)
	}
}
