package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/device"
	"campagnol/tunnel/segment"
)

// A largeSink is a device.Device that takes large packets, and keeps what it was
// given last.
type largeSink struct {
	device.Device
	got   [][]byte // whole
	gso   []segment.GSO
	count int
}

func (s *largeSink) Offloads() device.Offloads { return device.Offloads{Large: true, UDP: true} }

func (s *largeSink) Write(ps []device.Packet) error {
	s.count += len(ps)
	s.got, s.gso = s.got[:0], s.gso[:0]
	for _, p := range ps {
		s.got = append(s.got, slices.Concat(append([][]byte{p.Data}, p.Tail...)...))
		s.gso = append(s.gso, p.GSO)
	}
	return nil
}

// tcpPacket returns a large TCP packet of a host that has vpn, to itself.
func tcpPacket(vpn netip.Addr, payload, mss int) device.Packet {
	const header = 20 + 20
	b := make([]byte, header+payload)
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	a := vpn.As4()
	copy(b[12:], a[:])
	copy(b[16:], a[:])
	binary.BigEndian.PutUint16(b[10:], segment.Checksum(b[:20]))
	tcp := b[20:]
	binary.BigEndian.PutUint16(tcp, 1234)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 5<<4, 0x10 // ACK
	for i := range payload {
		b[header+i] = byte(i * 7)
	}
	p := device.Packet{Data: b}
	if payload > mss {
		p.GSO = segment.GSO{Kind: segment.TCP4, Size: mss}
	}
	return p
}

// cloned returns a copy of ps: cutting and sealing change packets in place.
func cloned(ps []device.Packet) []device.Packet {
	out := slices.Clone(ps)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// TestLarge sends large packets through both directions: they are cut, sealed side
// by side, and joined again.
func TestLarge(t *testing.T) {
	const mss, peers = 1379, 3
	p := newPath(t, peers)
	dev := &largeSink{}
	p.in.large, p.in.joiner.UDP, p.in.queue = true, true, dev
	var ps []device.Packet
	for i := range peers {
		vpn, _ := peerAt(i)
		ps = append(ps, tcpPacket(vpn, 65000-i*mss/2, mss))
	}
	p.out.batch(began, p.tab, cloned(ps))
	for i, d := range p.conn.sent {
		switch n := (len(d.Data) + d.Segment - 1) / max(d.Segment, 1); {
		case len(d.Data) > maxDatagram || n > maxSegments:
			t.Errorf("datagram %d has %d bytes in %d segments", i, len(d.Data), n)
		case d.Segment != 0 && d.Segment != 20+20+mss+p.overhead():
			t.Errorf("datagram %d has segments of %d bytes, want %d", i, d.Segment, 20+20+mss+p.overhead())
		}
	}
	if got := len(p.conn.sent); got != 2*peers {
		t.Errorf("%d datagrams, want two of each of %d peers", got, peers)
	}
	p.in.batch(began, p.tab, p.conn.sent)
	if len(dev.got) != peers {
		t.Fatalf("%d packets came out, want %d", len(dev.got), peers)
	}
	for i, got := range dev.got {
		const body = 40
		if want := ps[i]; !bytes.Equal(got[body:], want.Data[body:]) || dev.gso[i] != want.GSO {
			t.Errorf("packet %d: %d bytes, %+v; want %d bytes, %+v", i, len(got), dev.gso[i], len(want.Data), want.GSO)
		}
	}
	if d := p.out.c.drops.Snapshot(); len(d) != 0 {
		t.Errorf("drops %v", d)
	}
}

// overhead returns how much longer a record is than its packet.
func (p *path) overhead() int {
	vpn, _ := peerAt(0)
	r, _ := p.tab.route(vpn)
	return r.session.Overhead()
}

// TestLargeMalformed: what the device calls large, and is not, is dropped, and
// what comes after it is not.
func TestLargeMalformed(t *testing.T) {
	p := newPath(t, 1)
	vpn, _ := peerAt(0)
	ps := []device.Packet{
		{Data: []byte{0x45, 0}, GSO: segment.GSO{Kind: segment.TCP4, Size: 1000}},
		{Data: packetTo(vpn, vpn, "a UDP packet"), GSO: segment.GSO{Kind: segment.TCP4, Size: 5}},
		{GSO: segment.GSO{Kind: segment.UDP}},
		tcpPacket(vpn, 500, 1400),
	}
	p.out.batch(began, p.tab, ps)
	if got := p.out.c.drops.Snapshot()["dest"]; got != 3 {
		t.Errorf("%d dropped for what they are, want 3: %v", got, p.out.c.drops.Snapshot())
	}
	if len(p.conn.sent) != 1 || len(p.conn.sent[0].Data) != 540+p.overhead() {
		t.Errorf("sent %d datagrams, want the good one", len(p.conn.sent))
	}
}

// TestGroups checks which records share a datagram of the socket.
func TestGroups(t *testing.T) {
	type rec struct{ peer, size int }
	many := func(n int, r rec) []rec { return slices.Repeat([]rec{r}, n) }
	for _, c := range []struct {
		name string
		in   []rec
		want []int // records of each datagram
	}{
		{"one", []rec{{0, 100}}, []int{1}},
		{"equal", many(5, rec{0, 100}), []int{5}},
		{"a shorter one is the last", []rec{{0, 100}, {0, 100}, {0, 60}, {0, 60}, {0, 60}}, []int{3, 2}},
		{"a longer one begins anew", []rec{{0, 100}, {0, 101}, {0, 101}}, []int{1, 2}},
		{"two peers in turn", []rec{{0, 100}, {1, 100}, {0, 100}}, []int{1, 1, 1}},
		{"two peers, runs", append(many(3, rec{0, 100}), many(4, rec{1, 100})...), []int{3, 4}},
		{"what the kernel cuts at most", many(130, rec{0, 100}), []int{64, 64, 2}},
		{"the largest datagram", many(60, rec{0, 1400}), []int{maxDatagram / 1437, 60 - maxDatagram/1437}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPath(t, 2)
			var ps []device.Packet
			for _, r := range c.in {
				vpn, _ := peerAt(r.peer)
				ps = append(ps, device.Packet{Data: packetTo(vpn, vpn, string(make([]byte, r.size-28)))})
			}
			p.out.batch(began, p.tab, ps)
			var got []int
			for _, d := range p.conn.sent {
				n := 1
				if d.Segment > 0 {
					n = (len(d.Data) + d.Segment - 1) / d.Segment
				}
				got = append(got, n)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("datagrams of %v records, want %v", got, c.want)
			}
			p.in.batch(began, p.tab, p.conn.sent)
			if p.dev.packets != len(c.in) {
				t.Errorf("%d packets arrived, want %d", p.dev.packets, len(c.in))
			}
		})
	}
}

// TestLargeNoAllocs: nor do large packets allocate, on either side.
func TestLargeNoAllocs(t *testing.T) {
	p := newPath(t, 1)
	dev := &largeSink{}
	p.in.large, p.in.queue = true, quiet{dev}
	vpn, _ := peerAt(0)
	ps := []device.Packet{tcpPacket(vpn, 64000, 1379), tcpPacket(vpn, 1000, 1379)}
	work := cloned(ps)
	run := func() {
		for i := range ps {
			copy(work[i].Data, ps[i].Data)
		}
		p.round(work)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("large packets allocate %.0f times, want 0", n)
	}
	if dev.count == 0 {
		t.Error("nothing was delivered")
	}
}

// quiet is a largeSink that only counts.
type quiet struct{ *largeSink }

func (q quiet) Write(ps []device.Packet) error {
	q.count += len(ps)
	return nil
}

// BenchmarkLarge is the cost of a large packet through both directions, without the
// kernel.
func BenchmarkLarge(b *testing.B) {
	for _, peers := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			p := newPath(b, peers)
			p.in.large, p.in.queue = true, quiet{&largeSink{}}
			vpn, _ := peerAt(peers - 1)
			ps := []device.Packet{tcpPacket(vpn, 64000, 1379)}
			work := cloned(ps)
			b.ReportAllocs()
			b.SetBytes(64000)
			for b.Loop() {
				copy(work[0].Data, ps[0].Data)
				p.out.batch(began.Add(time.Second), p.tab, work)
				p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
			}
		})
	}
}
