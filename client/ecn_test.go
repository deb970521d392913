package client

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/packet"
	"campagnol/tunnel/record"
)

// knowing returns a path whose only peer, as it has told, reads the ECN field.
func knowing(t *testing.T) *path {
	p := newPath(t, 1)
	p.out.c.cfg.ECN = true
	vpn, addr := peerAt(0)
	r := loop(t)
	r.Protocol = tunnel.ProtocolName
	s := tunnel.NewSession(began, vpn, r)
	s.Handle(began, record.ApplicationData, []byte{0, 1, 1}, nil)
	if !s.PeerECN() {
		t.Fatal("the session does not know that its peer reads the ECN field")
	}
	p.tab = p.tab.withRoute(vpn, &route{session: s, addr: addr}).withSource(addr, &source{sessions: []*tunnel.Session{s}})
	return p
}

// marked returns a packet to oneself with an ECN field.
func marked(e packet.ECN, text string) device.Packet {
	vpn, _ := peerAt(0)
	b := packetTo(vpn, vpn, text)
	packet.SetECN(b, e)
	return device.Packet{Data: b}
}

// TestECNOut: a datagram has the field of the packets in it, and packets that
// differ do not share one.
func TestECNOut(t *testing.T) {
	p := knowing(t)
	p.out.batch(began.Add(time.Second), p.tab, []device.Packet{
		marked(packet.ECT0, "one"), marked(packet.ECT0, "two"), marked(packet.CE, "six"), marked(packet.NotECT, "ten"),
	})
	var got []uint8
	for _, d := range p.conn.sent {
		got = append(got, d.ECN)
	}
	if len(got) != 3 || got[0] != 2 || got[1] != 3 || got[2] != 0 {
		t.Errorf("datagrams with ECN %v, want 2, 3 and 0", got)
	}
	if p.conn.sent[0].Segment == 0 {
		t.Error("two equal packets do not share a datagram")
	}

	// To a peer that may not look, nothing is said (compatibility mode).
	p = newPath(t, 1)
	p.out.c.cfg.ECN = true
	p.out.batch(began.Add(time.Second), p.tab, []device.Packet{marked(packet.ECT0, "one")})
	if got := p.conn.sent[0].ECN; got != 0 {
		t.Errorf("ECN %d to a peer that does not read it, want 0", got)
	}
}

// TestECNIn: what was marked on the way is delivered, or dropped if the packet
// cannot show it, unless the mark comes from somewhere that means nothing by it.
func TestECNIn(t *testing.T) {
	const lost = 9
	for _, c := range []struct {
		name         string
		knows        bool
		inner, outer packet.ECN
		want         packet.ECN
	}{
		{"unmarked", true, packet.ECT0, packet.ECT0, packet.ECT0},
		{"marked", true, packet.ECT0, packet.CE, packet.CE},
		{"marked, but it cannot show it", true, packet.NotECT, packet.CE, lost},
		{"changed without a meaning", true, packet.NotECT, packet.ECT1, packet.NotECT},
		{"from a peer that never set it", false, packet.NotECT, packet.CE, packet.NotECT},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPath(t, 1)
			if c.knows {
				p = knowing(t)
			}
			p.out.batch(began.Add(time.Second), p.tab, []device.Packet{marked(c.inner, "text")})
			p.conn.sent[0].ECN = uint8(c.outer)
			p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
			got := packet.ECN(lost)
			if p.dev.packets > 0 {
				got = packet.ECNOf(p.dev.last)
			}
			if got != c.want {
				t.Errorf("delivered with ECN %d, want %d (%d is lost)", got, c.want, lost)
			}
			if n := p.in.c.drops.Get(tunnel.DropCE); (n == 1) != (c.want == lost) {
				t.Errorf("%d packets are counted as dropped", n)
			}
		})
	}
}

// A congested is a socket behind a router that marks what it would else drop.
type congested struct{ *simnet.Conn }

func (c congested) Send(ds []punch.Datagram) error {
	for _, d := range ds {
		if d.ECN != 0 {
			d.ECN = uint8(packet.CE)
		}
		if err := c.Conn.Send([]punch.Datagram{d}); err != nil {
			return err
		}
	}
	return nil
}

// TestECN: two nodes tell each other that they read the field, whoever asked, and
// a mark of a router arrives inside.
func TestECN(t *testing.T) {
	inBubble(t, func(v *vpn) {
		able := func(c *Config) {
			c.ECN = true
			c.Conn = congested{c.Conn.(*simnet.Conn)}
		}
		alice, bob := v.pair(able)
		alice.ping(bob, 5*time.Second)
		pass(time.Second)
		for _, way := range [][2]*node{{alice, bob}, {bob, alice}} {
			from, to := way[0], way[1]
			b := packetTo(from.vpn, to.vpn, "marked")
			packet.SetECN(b, packet.ECT0)
			if !from.dev.Inject(b) {
				t.Fatal("the device took no packet")
			}
			pass(time.Second)
			select {
			case p := <-to.dev.Delivered():
				if got := packet.ECNOf(p); got != packet.CE {
					t.Errorf("%v receives a packet with ECN %d, want %d", to.vpn, got, packet.CE)
				}
			default:
				t.Errorf("%v receives nothing", to.vpn)
			}
		}
	})
	inBubble(t, func(v *vpn) { // one of them cannot
		able := func(c *Config) {
			c.ECN = c.VPNAddr == netip.MustParseAddr("10.9.0.1")
			c.Conn = congested{c.Conn.(*simnet.Conn)}
		}
		alice, bob := v.pair(able)
		alice.ping(bob, 5*time.Second)
		pass(time.Second)
		b := packetTo(alice.vpn, bob.vpn, "not marked")
		packet.SetECN(b, packet.ECT0)
		alice.dev.Inject(b)
		pass(time.Second)
		if got := packet.ECNOf(<-bob.dev.Delivered()); got != packet.ECT0 {
			t.Errorf("a node that does not read ECN receives a packet with %d, want %d", got, packet.ECT0)
		}
	})
}
