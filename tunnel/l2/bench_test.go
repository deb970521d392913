package l2

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// crowd returns a switch with so many peers, and so many addresses spread over them.
func crowd(t testing.TB, ports, macs int) *node {
	t.Helper()
	x := newNode(t, Config{MAC: macTAP, MaxMACs: macs, Limits: Limits{Broadcast: -1, Unknown: -1, Multicast: -1}}, ports)
	for i := range macs {
		x.events = x.sw.Handle(x.now, Note{Asks: AskLearn, Port: Port(1 + i%ports), MAC: member(i)}, x.events)
	}
	if x.sw.view.macs.n != macs+1 || len(x.events) != 0 {
		t.Fatalf("%d addresses, events %v", x.sw.view.macs.n, x.events)
	}
	return x
}

// member returns the address of the i-th station.
func member(i int) ether.MAC { return 0x025e00000000 + ether.MAC(i)*0x107 }

// BenchmarkDecide has frames of 1,400 bytes for and from many stations.
func BenchmarkDecide(b *testing.B) {
	for _, c := range []struct{ ports, macs int }{{10, 10}, {10, 10000}, {1000, 10000}} {
		x := crowd(b, c.ports, c.macs)
		const n = 1 << 12
		out, in := make([][]byte, n), make([][]byte, n)
		for i := range n {
			m := member(i * 7 % c.macs)
			out[i] = append(udp4(m, macTAP, ipL, ipA), make([]byte, 1358)...)
			in[i] = append(udp4(macTAP, m, ipA, ipL), make([]byte, 1358)...)
		}
		v := x.sw.View()
		at := v.Stamp(x.now)
		size := fmt.Sprintf("ports=%d/macs=%d", c.ports, c.macs)
		run := func(name string, decide func(i int) Drop) {
			b.Run(name+"/"+size, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if r := decide(i % n); r != Kept {
						b.Fatal(r)
					}
				}
			})
		}
		run("out", func(i int) Drop { return v.FromTAP(at, out[i], &x.d) })
		run("in", func(i int) Drop { return v.FromPeer(at, Port(1+i*7%c.macs%c.ports), in[i], &x.d) })
		broadcast := whoHas(macTAP, ipL, ipB)
		run("broadcast", func(int) Drop { return v.FromTAP(at, broadcast, &x.d) })
	}
}

// BenchmarkMulticast is a film to two members of 1,000.
func BenchmarkMulticast(b *testing.B) {
	x := crowd(b, 1000, 1000)
	x.sw.SetGroups(memberships{film: {2, 4}})
	v := x.sw.View()
	frame := udp4(ether.GroupMAC(film), macTAP, ipL, film)
	b.ReportAllocs()
	for b.Loop() {
		if r := v.FromTAP(1, frame, &x.d); r != Kept {
			b.Fatal(r)
		}
	}
}

// BenchmarkLearn is a new address in a table of 10,000, and its end.
func BenchmarkLearn(b *testing.B) {
	x := crowd(b, 100, 10000)
	x.sw.view.MaxMACs = 1 << 20
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m := macC + ether.MAC(i)<<8&0x00ffffffff00
		x.sw.Handle(x.now, Note{Asks: AskLearn, Port: 1, MAC: m}, nil)
		v := x.sw.change()
		v.macs = v.macs.without(keyOf(0, m))
	}
}

// BenchmarkAdvance looks for what has aged among 10,000 addresses.
func BenchmarkAdvance(b *testing.B) {
	x := crowd(b, 100, 10000)
	b.ReportAllocs()
	for b.Loop() {
		x.sw.next = x.now
		x.sw.Advance(x.now)
	}
}

// BenchmarkPortDown is a peer with 100 addresses that goes and comes.
func BenchmarkPortDown(b *testing.B) {
	x := crowd(b, 100, 10000)
	b.ReportAllocs()
	for b.Loop() {
		x.sw.PortDown(1)
		x.up(1)
	}
}

// TestNoAllocs: no decision allocates, whatever the frame is, and neither does an
// answer.
func TestNoAllocs(t *testing.T) {
	x := crowd(t, 100, 1000)
	x.sw.SetGroups(memberships{film: {2, 4}, mdns: all})
	x.frame(2, isAt(macTAP, member(1), ipB, ipL))
	x.frame(2, nd(macTAP, member(1), ether.Neighbour{Advertisement: true, Src: llB, Dst: llL, Target: llB, MAC: member(1)}))
	own := netip.MustParsePrefix("10.77.0.0/16")
	x.up(3, own)
	v := x.sw.View()
	buf := make([]byte, 0, 200)
	frames := [][]byte{
		nil, plain(member(1), macTAP), plain(macA, macTAP), plain(macTAP, member(1)), plain(macTAP, member(2)), plain(macTAP, macA),
		tagged(plain(member(1), macTAP), 1, 2), plain(ether.Broadcast, macTAP), plain(0x01000ccccccd, macTAP),
		whoHas(macTAP, ipL, ipB), whoHas(macTAP, ipL, ipA), whoHas(member(1), ipB, ipL), isAt(macTAP, member(2), ipA, ipL),
		nd(ether.GroupMAC(ether.SolicitedNode(llB)), macTAP, ether.Neighbour{Src: llL, Dst: ether.SolicitedNode(llB), Target: llB, MAC: macTAP}),
		udp4(ether.GroupMAC(film), macTAP, ipL, film), udp4(ether.GroupMAC(mdns), macTAP, ipL, mdns), igmp(macTAP, film, 0x16),
		udp4(macTAP, member(2), ipB, ipL), ip6(macTAP, member(2), llB, llL, 17, 1), plain(ether.BridgeGroup, macTAP),
	}
	answered := 0
	for i, b := range frames {
		for from := range Port(5) {
			if n := testing.AllocsPerRun(50, func() {
				if from == TAP {
					v.FromTAP(1, b, &x.d)
				} else {
					v.FromPeer(1, from, b, &x.d)
				}
				if x.d.Class == ClassAnswered {
					answered++
					buf = x.d.AppendAnswer(buf[:0], b)
				}
			}); n != 0 {
				t.Errorf("frame %d from %d: %.0f allocations, want 0", i, from, n)
			}
		}
	}
	if answered == 0 {
		t.Error("nothing was answered")
	}
}

// TestCostIsFlat: a frame for one of 10,000 stations behind 1,000 peers is not much
// dearer than for one of 10: a search would cost a thousand times as much.
func TestCostIsFlat(t *testing.T) {
	cost := func(ports, macs int) time.Duration {
		x := crowd(t, ports, macs)
		v := x.sw.View()
		frames := make([][]byte, 64)
		for i := range frames {
			frames[i] = plain(member(i*131%macs), macTAP)
		}
		best := time.Hour
		for range 20 {
			start := time.Now()
			for i := range 2000 {
				v.FromTAP(1, frames[i%len(frames)], &x.d)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	small, large := cost(10, 10), cost(1000, 10000)
	if large > 30*small {
		t.Errorf("%v for 2,000 frames, and %v among many", small, large)
	}
}
