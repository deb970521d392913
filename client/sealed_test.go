package client

import (
	"strings"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/tunnel/record"
)

// What a record with a connection ID holds does not show, but how much.

// isSealed reports whether a datagram is a protected record, of data or of what does
// not show.
func isSealed(p simnet.Packet) bool {
	return p.Kind == simnet.KindData || p.Kind == simnet.KindConnectionID
}

// isAlert reports whether a datagram is an alert. Nothing else that is protected has
// two bytes.
func isAlert(p simnet.Packet) bool {
	const alert = 2
	return p.Kind == simnet.KindAlert ||
		p.Kind == simnet.KindConnectionID && len(p.Data) == record.ECDHE_ECDSA_AES128_GCM.Overhead()+record.IDLen+1+alert
}

// wordFor returns what a datagram is.
func wordFor(p simnet.Packet) string {
	if isAlert(p) {
		return simnet.KindAlert.String()
	}
	return p.Kind.String()
}

// TestDefaultMTUFits: a packet of the default tun_mtu crosses a line with PPPoE whole,
// in one datagram with its connection ID, and has three bytes to spare.
func TestDefaultMTUFits(t *testing.T) {
	for mtu, fits := range map[int]bool{1492: true, 1489: true, 1488: false} {
		inBubble(t, func(v *vpn) {
			line := simnet.Link{MTU: mtu}
			var nodes []*node
			for i, vpn := range []string{"10.9.0.1", "10.9.0.2"} {
				home := v.home(i+1, portRestricted)
				home.SetLinks(line, line)
				nodes = append(nodes, v.node(home, "192.168.1.2:5000", vpn, nil))
			}
			pass(time.Second)
			alice, bob := nodes[0], nodes[1]
			alice.ping(bob, 5*time.Second)
			datagrams := 0
			v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
				if verdict == simnet.Sent && p.From == alice.conn && isSealed(p) {
					datagrams++
				}
			})
			alice.send(bob.vpn, strings.Repeat("x", 1419-28))
			pass(100 * time.Millisecond)
			if got := len(bob.texts()) == 1; got != fits || datagrams != 1 {
				t.Errorf("MTU %d: arrived %v in %d datagrams, want %v in one", mtu, got, datagrams, fits)
			}
		})
	}
}
