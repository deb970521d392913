package client

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2/ether"
)

// TestPeerRelayEthernet: in a mesh of Ethernet a member relays frames, which it does not
// see itself, also such as do not fit in one piece.
func TestPeerRelayEthernet(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.ourServer(rdv.Strict)
		vpnOf := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(n)}) }
		start := func(n int, edit func(*Config)) *station {
			s := &station{mac: HardwareAddr(vpnOf(n)), site: v.home(n, portRestricted)}
			dev := device.NewMemoryEthernet("tap0", nil)
			s.node = v.node(s.site, "192.168.1.2:5000", vpnOf(n).String(), v.authentic(AuthYes, nil,
				frames(dev, vpnOf(n).String(), func(e *Ethernet) { e.Fragment = true }), func(c *Config) { c.MTU = 1419 }, edit))
			s.node.dev = dev
			return s
		}
		r := &relayPlay{vpn: v}
		v.net.Drop(func(p simnet.Packet) bool { return r.cut.Load() && r.direct(p) })
		c := start(3, func(c *Config) { c.RelayFor = true })
		a, b := start(1, func(*Config) {}), start(2, func(*Config) {})
		r.alice, r.bob, r.carol = a.node, b.node, c.node
		r.cut.Store(true) // before time passes, and so before they hear of each other
		pass(10 * time.Second)
		a.path(b.node, "relay")

		a.says(frameOf(ether.Broadcast, a.mac, "to-all"))
		want(v.t, "a broadcast", map[*station]string{a: "", b: "to-all", c: "to-all"})
		b.says(frameOf(a.mac, b.mac, "to-a"))
		want(v.t, "a frame for one", map[*station]string{a: "to-a", b: "", c: ""})
		long := make([]byte, 1419)
		for i := range long {
			long[i] = 'x'
		}
		a.says(frameOf(b.mac, a.mac, string(long)))
		want(v.t, "a frame of the device's size", map[*station]string{a: "", b: string(long), c: ""})
		if n := c.status().Relayed.Packets; n < 10 {
			v.t.Errorf("%d datagrams relayed", n)
		}
	})
}
