package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel/device"
)

// BenchmarkLookup finds who a packet is for, and whom a datagram is from. Every
// peer gets its turn, so that the table is in the cache as far as it fits; the
// stranger is nobody's.
func BenchmarkLookup(b *testing.B) {
	for _, peers := range []int{1, 100, 10_000} {
		tab := bigTable(peers)
		var vpns []netip.Addr
		var addrs []netip.AddrPort
		for _, part := range tab.routes.parts {
			for vpn, r := range part {
				vpns, addrs = append(vpns, vpn), append(addrs, r.addr)
			}
		}
		strangerVPN, strangerAddr := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("192.0.2.1:1")
		i := 0
		next := func() int {
			if i++; i >= peers {
				i = 0
			}
			return i
		}
		for _, c := range []struct {
			name string
			look func() bool
		}{
			{"route", func() bool { _, ok := tab.route(vpns[next()]); return ok }},
			{"source", func() bool { _, ok := tab.source(addrs[next()]); return ok }},
			{"route-stranger", func() bool { _, ok := tab.route(strangerVPN); return !ok }},
			{"source-stranger", func() bool { _, ok := tab.source(strangerAddr); return !ok }},
		} {
			b.Run(fmt.Sprintf("of=%s/peers=%d", c.name, peers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !c.look() {
						b.Fatal("the wrong answer")
					}
				}
			})
		}
	}
}

// BenchmarkOutbound is the way of a batch from the device to the socket, without
// the kernel: look-up, cut, seal, and what belongs together in one datagram train.
// Restoring what is cut is part of it.
func BenchmarkOutbound(b *testing.B) {
	for _, c := range []struct {
		name  string
		peers int
		batch func(peers int) []device.Packet
	}{
		{"packets=large/peers=1", 1, func(int) []device.Packet {
			vpn, _ := peerAt(0)
			return []device.Packet{tcpPacket(vpn, 64000, 1379)}
		}},
		{"packets=1400/peers=1", 1, func(n int) []device.Packet { return packets(batchLen, n, 1400) }},
		{"packets=1400/peers=64", 64, func(n int) []device.Packet { return packets(batchLen, n, 1400) }},
		{"packets=64/peers=1", 1, func(n int) []device.Packet { return packets(batchLen, n, 64) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, ps := newPath(b, c.peers), c.batch(c.peers)
			work, bytes := cloned(ps), 0
			for _, pkt := range ps {
				bytes += len(pkt.Data)
			}
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			for b.Loop() {
				for i := range ps {
					copy(work[i].Data, ps[i].Data)
				}
				p.out.batch(began.Add(time.Second), p.tab, work)
			}
			if len(p.conn.sent) == 0 {
				b.Fatal("nothing was sent")
			}
		})
	}
}
