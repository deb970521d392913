package client

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
	"campagnol/tunnel/segment"
)

// A frameSink is a device for frames that counts.
type frameSink struct{ sink }

func (s *frameSink) Link() segment.Link { return segment.Ethernet }

// A framePath is both directions of the data path of a client that carries frames.
// What it seals it can open again, as coming from the peer that it was for.
type framePath struct {
	out  *outbound
	in   *inbound
	tab  *table
	conn *catchConn
	dev  *frameSink
	mac  ether.MAC
	ways []*route // by peer, from 0 on
}

// audience says who is in which group.
type audience map[netip.Addr][]l2.Port

func (a audience) Ports(_ uint16, dst, _ netip.Addr) ([]l2.Port, bool) { return a[dst], false }

// filmGroup is the group that the first two peers of a framePath are in.
var filmGroup = netip.MustParseAddr("239.1.2.3")

// newFramePath returns a path with n peers, each with a hardware address of its own.
func newFramePath(t testing.TB, n int) *framePath {
	t.Helper()
	vpn := netip.MustParseAddr("10.0.0.1")
	p := &framePath{conn: &catchConn{}, dev: &frameSink{}, mac: HardwareAddr(vpn)}
	c, err := New(Config{
		VPNAddr: vpn, Network: netip.MustParsePrefix("10.0.0.0/8"), Broadcast: netip.MustParseAddr("10.255.255.255"),
		Conn: p.conn, Device: p.dev, ECN: true,
		Ethernet: &Ethernet{
			Switch: l2.Config{MAC: p.mac, Limits: l2.Limits{Broadcast: -1, Unknown: -1, Multicast: -1}},
			Groups: mcast.Config{MAC: QuerierAddr(p.mac).Bytes()},
		},
		Settings: Settings{Servers: At(rdvAddr), Verify: believe},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.clock = tunnel.NewClock(began)
	c.eth = c.newEthernet(began)
	c.eth.sw.SetGroups(audience{filmGroup: {1, 2}})
	p.tab = &table{frames: &fabric{}}
	for i := range n {
		peer, addr := peerAt(i)
		keys := loop(t)
		keys.Protocol = tunnel.FrameProtocolName
		s := tunnel.NewSession(began, peer, keys)
		port := c.eth.number(peer)
		s.SetPort(port)
		for _, err := range []error{c.eth.sw.PortUp(port, l2.PortOptions{}), c.eth.sw.Pin(HardwareAddr(peer), port)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		p.ways = append(p.ways, &route{session: s, addr: addr})
		p.tab.frames = p.tab.frames.withWay(port, p.ways[i])
		p.tab = p.tab.withSource(addr, &source{sessions: []*tunnel.Session{s}})
	}
	p.tab.frames.view = c.eth.sw.View()
	p.out, p.in = newOutbound(c, p.conn), newInbound(c, p.dev)
	return p
}

// peerMAC returns the hardware address of a peer.
func peerMAC(i int) ether.MAC {
	vpn, _ := peerAt(i)
	return HardwareAddr(vpn)
}

// sized returns a frame with a packet, of so many bytes altogether.
func sized(dst, src ether.MAC, to netip.Addr, size int) []byte {
	b := src.Append(dst.Append(nil))
	return append(append(b, 0x08, 0x00), packetTo(netip.MustParseAddr("10.0.0.1"), to, string(make([]byte, size-14-28)))...)
}

// outgoing returns frames of our own host: for one peer, for all, and for those in a
// group, with how many records each of them makes with n peers.
func (p *framePath) outgoing(n int) map[string]struct {
	frame   []byte
	records int
} {
	vpn, _ := peerAt(0)
	return map[string]struct {
		frame   []byte
		records int
	}{
		"unicast":   {sized(peerMAC(0), p.mac, vpn, 1400), 1},
		"broadcast": {sized(ether.Broadcast, p.mac, netip.MustParseAddr("10.255.255.255"), 1400), n},
		"multicast": {sized(ether.GroupMAC(filmGroup), p.mac, filmGroup, 1400), 2},
	}
}

// records returns how many records datagrams hold.
func records(ds []punch.Datagram) (n int) {
	for _, d := range ds {
		if d.Segment == 0 {
			n++
		} else {
			n += (len(d.Data) + d.Segment - 1) / d.Segment
		}
	}
	return n
}

// batchOf returns a batch of one frame.
func batchOf(frame []byte) []device.Packet {
	ps := make([]device.Packet, batchLen)
	for i := range ps {
		ps[i].Data = frame
	}
	return ps
}

// incoming has the first peer send a batch of frames, as a client would that lets all
// pass, and takes them.
func (p *framePath) incoming(frame []byte) {
	p.out.when, p.out.now = began.Add(time.Second), 1
	for range batchLen {
		p.out.seal(p.ways[0], 1, frame)
	}
	p.out.flush()
	p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
}

// TestFramesNoAllocs counts the allocations of frames on their way out, to one, to all
// and to a group, and in.
func TestFramesNoAllocs(t *testing.T) {
	for _, peers := range []int{3, 100} {
		p := newFramePath(t, peers)
		for name, c := range p.outgoing(peers) {
			ps := batchOf(c.frame)
			run := func() { p.out.batch(began.Add(time.Second), p.tab, ps) }
			p.out.batch(began.Add(time.Second), p.tab, ps[:1])
			if got := records(p.conn.sent); got != c.records {
				t.Errorf("%d peers, %s: %d records of a frame, want %d", peers, name, got, c.records)
			}
			run()
			if n := testing.AllocsPerRun(20, run); n != 0 {
				t.Errorf("%d peers, %s: %d frames allocate %.0f times, want 0", peers, name, batchLen, n)
			}
		}
		vpn := netip.MustParseAddr("10.0.0.1")
		for name, dst := range map[string]ether.MAC{"unicast": p.mac, "broadcast": ether.Broadcast, "multicast": ether.GroupMAC(filmGroup)} {
			frame := sized(dst, peerMAC(0), vpn, 1400)
			before := p.dev.packets
			p.incoming(frame)
			if got := p.dev.packets - before; got != batchLen || len(p.dev.last) != len(frame) {
				t.Errorf("%d peers, %s: %d frames arrive, the last of %d bytes; want %d of %d", peers, name, got, len(p.dev.last), batchLen, len(frame))
			}
			if n := testing.AllocsPerRun(100, func() { p.incoming(frame) }); n != 0 {
				t.Errorf("%d peers, %s: %d frames that come in allocate %.0f times, want 0", peers, name, batchLen, n)
			}
		}
		if d := p.out.c.drops.Snapshot(); len(d) != 0 {
			t.Errorf("drops %v", d)
		}
	}
}

// TestLargeFramesNoAllocs: nor do frames that the device leaves to be cut, and such as
// are joined again.
func TestLargeFramesNoAllocs(t *testing.T) {
	const peers, mss = 3, 1338
	p := newFramePath(t, peers)
	dev := &largeSink{}
	p.in.large, p.in.joiner.UDP, p.in.queue = true, true, quiet{dev}
	vpn, _ := peerAt(0)
	film := tcpPacket(vpn, 60000, mss)
	frame := append(p.mac.Append(peerMAC(0).Append(nil)), 0x08, 0x00)
	large := device.Packet{Data: append(frame, film.Data...), GSO: film.GSO}
	work := cloned([]device.Packet{large})
	run := func() {
		copy(work[0].Data, large.Data)
		p.out.batch(began.Add(time.Second), p.tab, work)
	}
	run()
	if got, want := records(p.conn.sent), (60000+mss-1)/mss; got != want {
		t.Fatalf("%d records, want %d; drops %v", got, want, p.out.c.drops.Snapshot())
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("a large frame allocates %.0f times, want 0", n)
	}
	small := sized(p.mac, peerMAC(0), netip.MustParseAddr("10.0.0.1"), 1352)
	p.incoming(small)
	before := dev.count
	if n := testing.AllocsPerRun(100, func() { p.incoming(small) }); n != 0 {
		t.Errorf("%d frames that are joined allocate %.0f times, want 0", batchLen, n)
	}
	if dev.count == before {
		t.Error("nothing was delivered")
	}
}

// TestFrameDrops: what may not pass is counted, and its neighbours in the batch pass.
func TestFrameDrops(t *testing.T) {
	p := newFramePath(t, 3)
	vpn, _ := peerAt(0)
	good := sized(peerMAC(0), p.mac, vpn, 200)
	stolen := sized(peerMAC(0), peerMAC(1), vpn, 200)
	p.out.batch(began.Add(time.Second), p.tab, []device.Packet{{Data: good}, {Data: stolen}, {Data: nil}, {Data: good[:13]}, {Data: good}})
	if got := records(p.conn.sent); got != 2 {
		t.Errorf("%d records go out, want 2", got)
	}
	if got := p.out.c.drops.Get(tunnel.DropSwitch); got != 3 {
		t.Errorf("%d frames of our host are dropped, want 3", got)
	}
	for name, c := range map[string]struct {
		src  ether.MAC
		want int
	}{"its own": {peerMAC(0), batchLen}, "ours": {p.mac, 0}, "another's": {peerMAC(1), 0}, "a group's": {ether.Broadcast, 0}} {
		before := p.dev.packets
		p.incoming(sized(p.mac, c.src, netip.MustParseAddr("10.0.0.1"), 200))
		if got := p.dev.packets - before; got != c.want {
			t.Errorf("from a source that is %s: %d frames arrive, want %d", name, got, c.want)
		}
	}
	if got := p.ways[0].session.Stats().Drops.Get(tunnel.DropSwitch); got != 3*batchLen {
		t.Errorf("the peer has %d drops, want %d", got, 3*batchLen)
	}
}

// BenchmarkFramePath is the cost of a batch of frames on the way out, and in (with
// sealing), without the kernel. With packets it is BenchmarkDataPath's.
func BenchmarkFramePath(b *testing.B) {
	p := newFramePath(b, 3)
	for name, c := range p.outgoing(3) {
		ps := batchOf(c.frame)
		b.Run("out="+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(batchLen * len(c.frame)))
			for b.Loop() {
				p.out.batch(began.Add(time.Second), p.tab, ps)
			}
		})
	}
	frame := sized(p.mac, peerMAC(0), netip.MustParseAddr("10.0.0.1"), 1400)
	b.Run("in", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(batchLen * len(frame)))
		for b.Loop() {
			p.incoming(frame)
		}
	})
}
