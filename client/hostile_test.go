package client

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// arrive makes a datagram arrive at a node from any address, as whoever can
// write that address on a datagram would.
func (n *node) arrive(from netip.AddrPort, b []byte) {
	in := newInbound(n.client, n.dev)
	in.batch(time.Now(), n.client.table.Load(), []punch.Datagram{{Addr: from, Data: b}})
}

func (n *node) arriveMessage(from netip.AddrPort, m wire.Message) { n.arrive(from, m.Append(nil)) }

// publicAddr returns the address at which the node's peers see it.
func (n *node) publicAddr(peer *node) netip.AddrPort {
	n.t.Helper()
	for _, p := range peer.status().Peers {
		if p.VPNAddr == n.vpn {
			return p.Addr
		}
	}
	n.t.Fatalf("%v has no session with %v", peer.vpn, n.vpn)
	return netip.AddrPort{}
}

// TestD_C2_ForgedRDV: what somebody sends in the RDV's name neither breaks a session
// nor keeps the client from working.
func TestD_C2_ForgedRDV(t *testing.T) {
	elsewhere, other := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("10.9.0.9")
	for _, c := range []struct {
		name string
		msg  func(bob netip.Addr) wire.Message
	}{
		{"ANS for an open session", func(bob netip.Addr) wire.Message {
			return wire.Message{Type: wire.Answer, Port: 666, IP1: elsewhere, IP2: bob}
		}},
		{"FWD for an open session", func(bob netip.Addr) wire.Message {
			return wire.Message{Type: wire.Forward, Port: 666, IP1: elsewhere, IP2: bob}
		}},
		{"REJ for an open session", func(bob netip.Addr) wire.Message { return wire.Message{Type: wire.Reject, IP1: bob} }},
		{"ANS that nobody asked for", func(netip.Addr) wire.Message {
			return wire.Message{Type: wire.Answer, Port: 666, IP1: elsewhere, IP2: other}
		}},
		{"NOK", func(netip.Addr) wire.Message { return wire.Message{Type: wire.NOK} }},
		{"RECONNECT", func(netip.Addr) wire.Message { return wire.Message{Type: wire.Reconnect} }},
		{"BYE", func(bob netip.Addr) wire.Message { return wire.Message{Type: wire.Bye, IP1: bob} }},
		{"FWD to a multicast address", func(netip.Addr) wire.Message {
			return wire.Message{Type: wire.Forward, Port: 666, IP1: netip.MustParseAddr("224.0.0.1"), IP2: other}
		}},
		{"FWD to nowhere", func(netip.Addr) wire.Message { return wire.Message{Type: wire.Forward, IP2: other} }},
		{"FWD from ourselves", func(netip.Addr) wire.Message {
			return wire.Message{Type: wire.Forward, Port: 666, IP1: elsewhere, IP2: netip.MustParseAddr("10.9.0.1")}
		}},
		{"FWD from outside the VPN", func(netip.Addr) wire.Message {
			return wire.Message{Type: wire.Forward, Port: 666, IP1: elsewhere, IP2: netip.MustParseAddr("8.8.8.8")}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(nil)
				alice.ping(bob, 5*time.Second)
				for range 50 {
					alice.arriveMessage(v.server, c.msg(bob.vpn))
					pass(10 * time.Millisecond)
				}
				alice.ping(bob, 100*time.Millisecond)
				pass(10 * time.Second)
				alice.ping(bob, 100*time.Millisecond)
				carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
				pass(time.Second)
				carol.ping(alice, 5*time.Second)
			})
		})
	}
}

// TestD_C5_ForwardFlood: forged introductions do not take the places of true ones.
func TestD_C5_ForwardFlood(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		for i := range 250 {
			alice.arriveMessage(v.server, wire.Message{
				Type: wire.Forward, Port: 666, IP1: netip.MustParseAddr("203.0.113.99"),
				IP2: netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 3)}),
			})
		}
		pass(10 * time.Millisecond)
		if n := len(alice.status().Peers); n > defaultMaxClients/2 {
			v.t.Errorf("%d peers, want at most half of %d", n, defaultMaxClients)
		}
		alice.ping(bob, 2*time.Second)
	})
}

// TestReconnectFlood: the RDV's name on a flood of RECONNECTs makes us say HELLO
// once a second at most.
func TestReconnectFlood(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		hellos := 0
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind == 0 {
				hellos++
			}
		})
		for range 1000 {
			alice.arriveMessage(v.server, wire.Message{Type: wire.Reconnect})
			pass(5 * time.Millisecond)
		}
		if hellos > 6 {
			v.t.Errorf("%d HELLOs in 5 s", hellos)
		}
		pass(5 * time.Second)
		alice.ping(bob, 5*time.Second)
	})
}

// TestForgedRecords: records that somebody sends from the peer's address are
// counted and change nothing.
func TestForgedRecords(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		from := bob.publicAddr(alice)
		head := func(typ byte, epoch byte, seq uint64, body []byte) []byte {
			b := []byte{typ, 0xfe, 0xfd}
			b = binary.BigEndian.AppendUint64(b, uint64(epoch)<<48|seq)
			b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
			return append(b, body...)
		}
		for range 20 {
			for _, b := range [][]byte{
				head(23, 1, 7, make([]byte, 60)),                         // data
				head(23, 1, 1<<48-1, make([]byte, 60)),                   // with the last number
				head(21, 1, 8, []byte{1, 0}),                             // close_notify, too short
				head(21, 0, 0, []byte{2, 40}),                            // fatal alert in clear
				head(20, 0, 0, []byte{1}),                                // change cipher spec
				head(22, 0, 0, append([]byte{1}, make([]byte, 60)...)),   // ClientHello, more or less
				head(22, 0, 0, append([]byte{2}, make([]byte, 60)...)),   // ServerHello
				head(22, 1, 9, make([]byte, 60)),                         // protected handshake
				head(23, 0, 0, []byte("data in clear")),                  //
				head(23, 2, 0, make([]byte, 60)),                         // epoch 2
				head(25, 1, 0, make([]byte, 60)),                         // connection ID
				head(23, 1, 7, nil), {23}, bytes.Repeat([]byte{23}, 100), // cut
			} {
				alice.arrive(from, b)
			}
			pass(100 * time.Millisecond)
		}
		alice.ping(bob, 100*time.Millisecond)
		pass(30 * time.Second)
		alice.ping(bob, 100*time.Millisecond)
		s := alice.status()
		for _, reason := range []string{"auth", "epoch", "short", "invalid"} {
			if s.Drops[reason] == 0 {
				v.t.Errorf("no drop counted as %s: %v", reason, s.Drops)
			}
		}
	})
}

// TestReplay: a recorded datagram that is sent again is dropped and counted.
func TestReplay(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		var recorded [][]byte
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Delivered && isSealed(p) && p.From == bob.conn {
				recorded = append(recorded, bytes.Clone(p.Data))
			}
		})
		for range 5 {
			bob.send(alice.vpn, "once")
		}
		pass(time.Second)
		if got := alice.texts(); len(got) != 5 {
			v.t.Fatalf("received %q", got)
		}
		from := bob.publicAddr(alice)
		for _, b := range recorded {
			alice.arrive(from, b)
		}
		pass(time.Second)
		if got := alice.texts(); len(got) != 0 {
			v.t.Errorf("replayed: %q", got)
		}
		if n := alice.status().Peers[0].Drops["replay"]; n != uint64(len(recorded)) {
			v.t.Errorf("%d replays counted, want %d", n, len(recorded))
		}
	})
}

// rogue makes a member send any payload on its session with another.
func rogue(n, to *node, payloads ...[]byte) {
	r, ok := n.client.table.Load().route(to.vpn)
	if !ok {
		n.t.Fatal("no session")
	}
	for _, p := range payloads {
		rec, d := r.session.Seal(1, nil, p, new(record.Scratch))
		if d != tunnel.Kept {
			n.t.Fatal(d)
		}
		n.conn.Send([]punch.Datagram{{Addr: r.addr, Data: rec}})
	}
}

// members starts alice and bob, who are honest, and mallory, who has a session
// with alice, as bob has.
func members(v *vpn) (alice, bob, mallory *node) {
	v.t.Helper()
	alice, mallory = v.pair(nil)
	bob = v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
	pass(time.Second)
	mallory.ping(alice, 5*time.Second)
	bob.ping(alice, 5*time.Second)
	return alice, bob, mallory
}

// wantDropped checks that nothing of what mallory has sent was delivered to
// alice, that each of her packets is counted for a reason, and none of bob's,
// that it is logged once, and that everything else goes on.
func wantDropped(alice, bob, mallory *node, reason string, count uint64, logged string) {
	alice.t.Helper()
	if got := alice.texts(); len(got) != 0 {
		alice.t.Errorf("delivered %q", got)
	}
	if n := alice.logged(logged); n != 1 {
		alice.t.Errorf("%q logged %d times, want once", logged, n)
	}
	for _, p := range alice.status().Peers {
		if p.VPNAddr == mallory.vpn && p.Drops[reason] != count {
			alice.t.Errorf("drops of mallory's packets: %v, want %d for %s", p.Drops, count, reason)
		}
		if p.VPNAddr == bob.vpn && len(p.Drops) != 0 {
			alice.t.Errorf("drops of bob's packets: %v", p.Drops)
		}
	}
	bob.ping(alice, 100*time.Millisecond)
	mallory.ping(alice, 100*time.Millisecond)
}

// TestD_C1_NonIPPayload: an authenticated peer sends what is not IP. One such
// record killed the original.
func TestD_C1_NonIPPayload(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, mallory := members(v)
		for range 10 {
			rogue(mallory, alice, []byte("not an IP packet"), nil, bytes.Repeat([]byte{0x1f}, 1400), []byte{0x45})
			pass(100 * time.Millisecond)
		}
		wantDropped(alice, bob, mallory, "not_ip", 40, "not an IP packet")
	})
}

// TestD_C3_ForeignSource: a peer sends in the name of another, of the Internet,
// and of the receiver.
func TestD_C3_ForeignSource(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, mallory := members(v)
		for range 10 {
			rogue(mallory, alice,
				packetTo(bob.vpn, alice.vpn, "I am bob"),
				packetTo(netip.MustParseAddr("8.8.8.8"), alice.vpn, "I am the Internet"),
				packetTo(alice.vpn, alice.vpn, "I am you"))
			pass(100 * time.Millisecond)
		}
		wantDropped(alice, bob, mallory, "source", 30, "address that is not its own")
	})
}

// FuzzNode makes datagrams arrive at a client that has a session: from the RDV,
// from the peer's address, from anybody. Whatever they are, the session stays,
// and the client still finds another peer.
func FuzzNode(f *testing.F) {
	f.Add([]byte{0, 11, 7, 0, 1, 203, 0, 113, 9, 10, 9, 0, 2})
	f.Add([]byte{1, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40})
	f.Add(append([]byte{1, 80, 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 67, 1}, make([]byte, 66)...))
	f.Add([]byte{2, 11, 9, 0, 0, 10, 9, 0, 2, 67, 71, 1, 1, 0, 11, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			v := newVPN(t, 1)
			alice, bob := v.pair(nil)
			alice.ping(bob, 5*time.Second)
			froms := []netip.AddrPort{v.server, bob.publicAddr(alice), netip.MustParseAddrPort("203.0.113.77:7777")}
			for steps := 0; len(b) > 2 && steps < 50; steps++ { // from, length, datagram
				from, n := froms[int(b[0])%len(froms)], min(int(b[1]), len(b)-2)
				alice.arrive(from, b[2:2+n])
				b = b[2+n:]
				pass(time.Duration(n) * time.Millisecond)
			}
			pass(100 * time.Millisecond)
			alice.ping(bob, time.Second)
			pass(10 * time.Second)
			carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
			pass(time.Second)
			carol.ping(alice, 5*time.Second)
		})
	})
}
