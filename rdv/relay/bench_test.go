//go:build unix

package relay

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
	"campagnol/punch/udp"
)

// BenchmarkForward is the way to a peer without the kernel's part.
func BenchmarkForward(b *testing.B) { benchmarkForward(b, 0x4000) }

// BenchmarkBridge is the way from one client to another.
func BenchmarkBridge(b *testing.B) { benchmarkForward(b, 0x4001) }

func benchmarkForward(b *testing.B, number uint16) {
	const count, size = 46, 1400
	w := newTestbed(Config{Rate: 1 << 40, Total: 1 << 40})
	w.link.counts, w.peers.counts = true, true
	data, now := framed(number, count, size), time.Now()
	work := make([]byte, len(data))
	b.SetBytes(count * size)
	b.ReportAllocs()
	for b.Loop() {
		copy(work, data) // Forward changes it in place
		w.Door(0).Forward(now, punch.Datagram{Addr: clientA, Data: work, Segment: channeldata.Head + size})
		w.Door(0).Flush()
	}
}

// BenchmarkBack is the way from a peer to the client.
func BenchmarkBack(b *testing.B) {
	const count, size = 46, 1400
	w := newTestbed(Config{Rate: 1 << 40, Total: 1 << 40})
	w.link.counts = true
	ds := []punch.Datagram{{Addr: peerAB, Data: make([]byte, count*size), Segment: size}}
	now, arena := time.Now(), <-w.arenas
	b.SetBytes(count * size)
	b.ReportAllocs()
	for b.Loop() {
		w.a.back(now, arena, ds)
	}
}

// BenchmarkRelay is both ways over the kernel's sockets: client, relay, and a peer that
// sends everything back. It reports the processor time of all of them for each GB that
// has gone through the relay.
func BenchmarkRelay(b *testing.B) {
	const count, size = 46, 1400
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	listen := func(s string) *udp.Conn {
		c, err := udp.Listen(udp.Config{Addr: at(s)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	server := listen("127.0.0.1:0")
	r := startRig(b, server, server.LocalAddr(), Config{
		Listen: listenSmall, May: netip.Addr.IsLoopback, Rate: 1 << 40, Total: 1 << 40,
		Own: func() []netip.Addr { return []netip.Addr{at("127.0.0.1:0").Addr()} },
	})
	client, echo := &packetConn{Conn: listen("127.0.0.2:0")}, listen("127.0.0.3:0")
	r.member(client, alice)
	a := (*r.Door(0).clients.Load())[client.Conn.LocalAddr()]
	a.permit(echo.LocalAddr().Addr(), true)
	a.bind(0x4000, echo.LocalAddr(), true)
	go func() {
		for {
			ds, err := echo.Receive()
			if err != nil {
				return
			}
			echo.Send(ds)
		}
	}()
	out := []punch.Datagram{{Addr: server.LocalAddr(), Data: framed(0x4000, count, size), Segment: channeldata.Head + size}}
	before := used(b)
	b.SetBytes(2 * count * size)
	for b.Loop() {
		want := r.Stats().ToClients + count
		if err := client.Send(out); err != nil {
			b.Fatal(err)
		}
		for i := 0; r.Stats().ToClients < want && i < 10_000; i++ {
			time.Sleep(10 * time.Microsecond)
		}
	}
	s := r.Stats()
	b.ReportMetric((used(b)-before).Seconds()*1e9/float64(s.Bytes), "cpu-s/GB")
	b.ReportMetric(100*(1-float64(s.ToClients)/float64(b.N*count)), "%lost")
}
