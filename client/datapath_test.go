package client

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
	"campagnol/tunnel/segment"
)

// A catchConn is a punch.Conn that keeps what was sent last.
type catchConn struct {
	punch.Conn
	sent []punch.Datagram
}

func (c *catchConn) Send(ds []punch.Datagram) error {
	c.sent = append(c.sent[:0], ds...)
	return nil
}

// A sink is a device.Device that counts.
type sink struct {
	device.Device
	packets int
	last    []byte
}

func (s *sink) Link() segment.Link        { return segment.IP }
func (s *sink) Offloads() device.Offloads { return device.Offloads{} }
func (s *sink) Write(ps []device.Packet) error {
	s.packets += len(ps)
	s.last = ps[len(ps)-1].Data
	return nil
}

// believe is a Verify that believes everybody.
func believe(time.Time, netip.Addr, [][]byte, bool) error { return nil }

// A path is both directions of the data path of one client that talks to itself:
// what it seals for a peer, it opens as that peer's.
type path struct {
	out  *outbound
	in   *inbound
	tab  *table
	conn *catchConn
	dev  *sink
}

const batchLen = 64

// newPath returns a path with n established peers, 10.1.0.0 and following.
func newPath(t testing.TB, n int) *path {
	t.Helper()
	p := &path{conn: &catchConn{}, dev: &sink{}, tab: &table{}}
	c, err := New(Config{
		VPNAddr: netip.MustParseAddr("10.0.0.1"), Network: netip.MustParsePrefix("10.0.0.0/8"),
		Broadcast: netip.MustParseAddr("10.255.255.255"), Conn: p.conn, Device: p.dev,
		Settings: Settings{Servers: At(rdvAddr), Verify: believe},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.clock = tunnel.NewClock(began)
	for i := range n {
		vpn, addr := peerAt(i)
		s := tunnel.NewSession(began, vpn, loop(t))
		p.tab = p.tab.withRoute(vpn, &route{session: s, addr: addr})
		p.tab = p.tab.withSource(addr, &source{sessions: []*tunnel.Session{s}})
	}
	p.out, p.in = newOutbound(c, p.conn), newInbound(c, p.dev)
	return p
}

func peerAt(i int) (vpn netip.Addr, addr netip.AddrPort) {
	return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i >> 8)}), uint16(1024+i))
}

// loop returns a session's keys with which it opens what it has sealed.
func loop(t testing.TB) *handshake.Result {
	t.Helper()
	s := record.ECDHE_ECDSA_AES128_GCM
	key, iv := bytes.Repeat([]byte{7}, s.KeyLen()), bytes.Repeat([]byte{8}, s.IVLen())
	seal, err := record.NewSealer(s, key, iv, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	open, err := record.NewOpener(s, key, iv, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &handshake.Result{Suite: s, Seal: seal, Open: open}
}

// packets returns a batch of packets from the peers to the peers: each is for the
// peer that it comes from, since one session is both ends here.
func packets(n, peers, size int) []device.Packet {
	var ps []device.Packet
	for i := range n {
		vpn, _ := peerAt(i % peers)
		ps = append(ps, device.Packet{Data: packetTo(vpn, vpn, string(make([]byte, size-28)))})
	}
	return ps
}

// round sends a batch through both directions.
func (p *path) round(ps []device.Packet) {
	p.out.batch(began.Add(time.Second), p.tab, ps)
	p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
}

func TestDataPath(t *testing.T) {
	p := newPath(t, 10)
	p.round(packets(batchLen, 10, 1400))
	if p.dev.packets != batchLen || len(p.dev.last) != 1400 {
		t.Errorf("%d packets, the last of %d bytes", p.dev.packets, len(p.dev.last))
	}
	if d := p.out.c.drops.Snapshot(); len(d) != 0 {
		t.Errorf("drops %v", d)
	}
	// What one receive call brings may be several datagrams in one.
	p.out.batch(began, p.tab, packets(20, 1, 500))
	joined := punch.Datagram{Addr: p.conn.sent[0].Addr, Segment: len(p.conn.sent[0].Data)}
	for _, d := range p.conn.sent {
		joined.Data = append(joined.Data, d.Data...)
	}
	before := p.dev.packets
	p.in.batch(began, p.tab, []punch.Datagram{joined})
	if got := p.dev.packets - before; got != 20 {
		t.Errorf("%d packets out of a joined datagram, want 20", got)
	}
}

// TestArenaOverflow: a batch that is larger than the arena goes out in parts.
func TestArenaOverflow(t *testing.T) {
	p := newPath(t, 1)
	p.out.batch(began, p.tab, packets(2*arenaSize/1400, 1, 1400))
	if len(p.conn.sent) == 0 || len(p.conn.sent) > arenaSize/1400 {
		t.Errorf("%d datagrams in the last part", len(p.conn.sent))
	}
	vpn, _ := peerAt(0)
	r, _ := p.tab.route(vpn)
	if got, want := int(r.session.Stats().PacketsOut.Load()), 2*arenaSize/1400; got != want {
		t.Errorf("%d packets sealed, want %d", got, want)
	}
}

// TestNoAllocs counts the allocations of packets on their way: route look-up and
// seal, then demultiplexing and open.
func TestNoAllocs(t *testing.T) {
	for _, peers := range []int{1, 100} {
		p := newPath(t, peers)
		ps := packets(batchLen, peers, 1400)
		p.round(ps) // the slices have their size after the first batch
		n := testing.AllocsPerRun(100, func() { p.round(ps) })
		if n != 0 {
			t.Errorf("%d peers: %d packets allocate %.0f times, want 0", peers, batchLen, n)
		}
		if want := 102 * batchLen; p.dev.packets != want {
			t.Errorf("%d packets delivered, want %d", p.dev.packets, want)
		}
	}
}

// TestBroadcastNoAllocs: nor does a broadcast.
func TestBroadcastNoAllocs(t *testing.T) {
	p := newPath(t, 20)
	ps := []device.Packet{{Data: packetTo(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.255.255.255"), "all")}}
	p.out.batch(began, p.tab, ps)
	if len(p.conn.sent) != 20 {
		t.Errorf("%d datagrams, want 20", len(p.conn.sent))
	}
	if n := testing.AllocsPerRun(100, func() { p.out.batch(began, p.tab, ps) }); n != 0 {
		t.Errorf("a broadcast allocates %.0f times, want 0", n)
	}
}

// BenchmarkDataPath is the cost of a packet through both directions, without the
// kernel. It does not depend on the number of peers.
func BenchmarkDataPath(b *testing.B) {
	for _, peers := range []int{1, 10_000} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("peers=%d/size=%d", peers, size), func(b *testing.B) {
				p := newPath(b, peers)
				ps := packets(batchLen, peers, size)
				b.ReportAllocs()
				b.SetBytes(int64(size * batchLen))
				for b.Loop() {
					p.round(ps)
				}
			})
		}
	}
}

// A probeConn is a punch.Conn that looks at something whenever it sends.
type probeConn struct {
	punch.Conn
	look func()
}

func (c *probeConn) LocalAddr() netip.AddrPort { return netip.MustParseAddrPort("0.0.0.0:5000") }

func (c *probeConn) Send([]punch.Datagram) error { c.look(); return nil }

// TestEstablishLeavesNoGap: from the first punch to the open session, there is no
// moment at which the data path would drop a record of the peer: the first packet
// comes as soon as the peer's side is open, which may be before ours is.
func TestEstablishLeavesNoGap(t *testing.T) {
	conn := &probeConn{look: func() {}}
	c, err := New(Config{
		VPNAddr: netip.MustParseAddr("10.0.0.1"), Network: netip.MustParsePrefix("10.0.0.0/8"),
		Conn: conn, Device: &sink{},
		Settings: Settings{Servers: At(rdvAddr), Certificate: testCertificate(t), Verify: believe},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.ctx, c.clock = t.Context(), tunnel.NewClock(began)
	vpn, addr := peerAt(0)
	c.handleForward(began, vpn, []punch.Candidate{{Addr: addr}})
	p := c.peers[vpn]
	p.staged = [][]byte{packetTo(c.cfg.VPNAddr, vpn, "first")}
	hs, err := handshake.New(handshake.Config{Server: true, Certificate: c.cfg.Certificate}, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{hs: hs, at: punch.Endpoint{Addr: addr}, server: true, cancel: func() {}}
	p.try.running = []*running{r}
	looked := 0
	conn.look = func() {
		looked++
		if s, ok := c.table.Load().source(addr); !ok || len(s.sessions) == 0 && !s.handshaking {
			t.Error("records of the peer would be dropped")
		}
	}
	c.handleFinished(began, handshakeEnd{p: p, run: r, result: loop(t)})
	conn.look()
	if looked != 2 || p.state() != "ESTABLISHED" {
		t.Errorf("looked %d times, state %s", looked, p.state())
	}
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	leaf := pkitest.NewCA(t, "test CA", time.Now()).Issue(t, "host")
	return tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
}
