package client

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

// These tests show what docs/compat.md says of us and no other test of the
// package does. Those with the name of a defect fail with what the original does.

// TestD_R1_SpoofedRegistration: a member registers with the address of another.
// The original's clients open a tunnel with it and send it what is meant for the
// other; ours do not, and the true owner gets its address back.
func TestD_R1_SpoofedRegistration(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		member := v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"))
		mallory := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.2", use(member))
		pass(time.Second)
		alice.send(mallory.vpn, "for bob's eyes")
		mallory.send(alice.vpn, "from bob")
		pass(10 * time.Second)
		if got := append(mallory.texts(), alice.texts()...); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
		if alice.logged("10.9.0.66") == 0 {
			v.t.Error("alice's log does not say whose the certificate is")
		}
		mallory.stop()
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(2 * time.Second)
		alice.ping(bob, 5*time.Second)
	})
}

// TestD_C9_EarlyClientHello: the peer's ClientHello is there before any of its
// punches. The original drops it, which costs a second or the session.
func TestD_C9_EarlyClientHello(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.net.Internet(), "198.51.100.11:5000", "10.9.0.1", nil) // bob's punches reach it
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		v.net.Drop(func(p simnet.Packet) bool { return p.Kind == 9 && p.From == alice.conn })
		if took := alice.ping(bob, 5*time.Second); took > 200*time.Millisecond {
			v.t.Errorf("first reply after %v, want about 100 ms", took)
		}
	})
}

// TestD_C12_SameEndpoint: the RDV says that a second peer is where the first one
// is. In the original the end of the second takes the first one's place in the
// index with it.
func TestD_C12_SameEndpoint(t *testing.T) {
	for _, typ := range []wire.Type{wire.Forward, wire.Answer} {
		t.Run(typ.String(), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(nil)
				alice.ping(bob, 5*time.Second)
				second := netip.MustParseAddr("10.9.0.9")
				at := bob.publicAddr(alice)
				if typ == wire.Answer {
					alice.send(second, "who is there?") // an answer is only for those who ask
					pass(time.Millisecond)
				}
				alice.arriveMessage(v.server, wire.Message{Type: typ, Port: at.Port(), IP1: at.Addr(), IP2: second})
				pass(10 * time.Millisecond)
				alice.ping(bob, 100*time.Millisecond) // while it is tried
				pass(30 * time.Second)
				if n := len(alice.status().Peers); n != 1 {
					v.t.Errorf("%d peers, want bob alone", n)
				}
				bob.ping(alice, 100*time.Millisecond)
				if n := alice.logged("New DTLS connection"); n != 1 {
					v.t.Errorf("%d sessions, want that which was open", n)
				}
			})
		})
	}
}

// TestD_C12_SendFails: what cannot be sent is counted and forgotten, where the
// original may wait for ever for room in a full queue.
func TestD_C12_SendFails(t *testing.T) {
	p := newPath(t, 2)
	fails := &failingConn{Conn: p.conn}
	p.out.conn = fails
	for range 10 {
		p.out.batch(began, p.tab, packets(batchLen, 2, 1400))
	}
	if got := p.out.c.drops.Get(tunnel.DropSend); fails.count != 10 || got != 10 {
		t.Errorf("%d calls of Send, %d counted as failed, want 10 of both", fails.count, got)
	}
	p.out.conn = p.conn
	p.round(packets(batchLen, 2, 1400))
	if p.dev.packets != batchLen {
		t.Errorf("%d packets arrive when it works again, want %d", p.dev.packets, batchLen)
	}
}

// A failingConn is a punch.Conn that sends nothing.
type failingConn struct {
	punch.Conn
	count int
}

func (c *failingConn) Send([]punch.Datagram) error {
	c.count++
	return errors.New("network is unreachable")
}

// TestD_C13_Moves: a peer's NAT gets another address, or the peer itself does.
// The session with it is dead in the original until it is idle; here the peers
// find each other again, whoever speaks first.
func TestD_C13_Moves(t *testing.T) {
	for _, c := range []struct {
		name string
		move func(v *vpn, bob *node)
	}{
		{"the NAT is given another address", func(v *vpn, bob *node) { bob.conn.Host().Site().SetPublic("203.0.113.99") }},
		{"the NAT forgets", func(v *vpn, bob *node) { bob.conn.Host().Site().Restart() }},
		{"the host goes elsewhere", func(v *vpn, bob *node) {
			bob.conn.Host().Move(v.home(9, portRestricted), "10.0.0.7")
		}},
	} {
		for _, speaks := range []string{"alice", "bob"} {
			t.Run(c.name+", "+speaks+" speaks", func(t *testing.T) {
				inBubble(t, func(v *vpn) {
					alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
					conn, err := v.home(2, portRestricted).Host("192.168.1.2").Listen(netip.MustParseAddrPort("0.0.0.0:5000"))
					if err != nil {
						v.t.Fatal(err)
					}
					bob := v.nodeOn(conn, "10.9.0.2", nil)
					pass(time.Second)
					alice.ping(bob, 5*time.Second)
					c.move(v, bob)
					from, to := alice, bob
					if speaks == "bob" {
						from, to = bob, alice
					}
					start := time.Now()
					for len(to.texts()) == 0 {
						if time.Since(start) > 12*time.Second {
							v.t.Fatalf("not reached in 12 s")
						}
						from.send(to.vpn, "are you there?")
						pass(100 * time.Millisecond)
					}
					pass(3 * time.Second)
					to.texts()
					alice.ping(bob, time.Second)
				})
			})
		}
	}
}

// jump returns t with the wall clock moved, as somebody who sets it does, and the
// monotonic one left as it is. There is no function for that: the first word of a
// time.Time with a monotonic reading has the seconds of the wall clock above 30
// bits of nanoseconds.
func jump(test *testing.T, t time.Time, by time.Duration) time.Time {
	test.Helper()
	j := t
	*(*uint64)(unsafe.Pointer(&j)) += uint64(by/time.Second) << 30
	if j.Unix()-t.Unix() != int64(by/time.Second) || j.Sub(t) != 0 {
		test.Fatalf("%v is not %v after %v on the wall clock alone", j, by, t)
	}
	return j
}

// TestD_C15_ClockChanges: somebody sets the clock. The original's timers follow
// it; ours count what passes.
func TestD_C15_ClockChanges(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		start := time.Now()
		clock := tunnel.NewClock(start)
		r := newRegistration(start, rdvAddr, wire.Message{Type: wire.Hello}, half)
		var log []string
		for ms := 0; ms <= 9000; ms += 10 {
			now := start.Add(time.Duration(ms) * time.Millisecond)
			if ms >= 1000 {
				now = jump(t, now, by)
			}
			if got, want := clock.Stamp(now), clock.Stamp(start)+tunnel.Stamp(ms)*tunnel.Stamp(time.Millisecond); got != want {
				t.Fatalf("after %d ms the clock is at %d, want %d", ms, got, want)
			}
			if ms == 20 {
				out, ev := r.handle(now, wire.Message{Type: wire.OK}, nil)
				log = append(log, fmt.Sprintf("%d: %s", ms, line(t, out, ev)))
			}
			if !r.timeout().After(now) {
				out, ev := r.advance(now, nil)
				log = append(log, fmt.Sprintf("%d: %s", ms, line(t, out, ev)))
			}
		}
		want := "0: HELLO trying, 20: done, 3020: PING, 6020: PING"
		if got := strings.Join(log, ", "); got != want {
			t.Errorf("clock set by %v: %s, want %s", by, got, want)
		}
	}
}

// TestMaxClients: with the greatest number of connections, packets for further
// peers are dropped, and others' requests ignored, until there is room.
func TestMaxClients(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.MaxClients, c.Timeout = 1, 20*time.Second })
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		alice.send(carol.vpn, "no room")
		carol.send(alice.vpn, "room for me?")
		pass(10 * time.Second)
		if got := append(alice.texts(), carol.texts()...); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
		if alice.logged("Cannot open a new connection: maximum number of connections reached") == 0 {
			v.t.Error("the log does not say that there is no room")
		}
		alice.ping(bob, 100*time.Millisecond)
		pass(30 * time.Second) // bob's connection is closed
		alice.ping(carol, 5*time.Second)
	})
}

// TestStrayDatagrams: what comes from nobody we know, or has no meaning, is
// counted and not answered. (The original answers data of an unknown address with
// an alert that its sender cannot read.)
func TestStrayDatagrams(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		stranger := netip.MustParseAddrPort("203.0.113.77:7777")
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind != 1 { // but for PING
				v.t.Errorf("alice answers %x", p.Data)
			}
		})
		record := func(typ byte) []byte {
			return append([]byte{typ, 0xfe, 0xff, 0, 1, 0, 0, 0, 0, 0, 3, 0, 5}, "hello"...)
		}
		punchOf := wire.Message{Type: wire.Punch, IP1: netip.MustParseAddr("10.9.0.9")}.Append(nil)
		for _, c := range []struct {
			from  netip.AddrPort
			b     []byte
			drops string // reason; "": not counted
		}{
			{stranger, record(23), "no_peer"}, {stranger, record(21), "no_peer"}, {stranger, record(22), "no_peer"},
			{stranger, record(24), "no_peer"},
			{stranger, punchOf, ""}, {stranger, wire.Message{Type: wire.KeepAlive}.Append(nil), ""},
			{stranger, wire.Message{Type: wire.Forward, Port: 1, IP1: stranger.Addr(), IP2: bob.vpn}.Append(nil), "no_peer"},
			{stranger, append(punchOf, 0), "invalid"}, {stranger, punchOf[:10], "invalid"},
			{v.server, append(wire.Message{Type: wire.Reconnect}.Append(nil), 0), "invalid"},
			{v.server, wire.Message{Type: wire.Reconnect}.Append(nil)[:10], "invalid"},
			{v.server, wire.Message{Type: wire.Pong}.Append(nil), ""},
		} {
			before := alice.status().Drops
			alice.arrive(c.from, c.b)
			pass(10 * time.Millisecond)
			for reason, n := range alice.status().Drops {
				want := before[reason]
				if reason == c.drops {
					want++
				}
				if n != want {
					v.t.Errorf("%x from %v: %d counted as %s, want %d", c.b, c.from, n, reason, want)
				}
			}
			if c.drops != "" && alice.status().Drops[c.drops] == 0 {
				v.t.Errorf("%x from %v: not counted as %s", c.b, c.from, c.drops)
			}
		}
		v.net.Observe(nil)
		alice.ping(bob, 100*time.Millisecond)
	})
}

// TestSameCertificate: two hosts with one certificate of the original's, which
// names no address.
func TestSameCertificate(t *testing.T) {
	inBubble(t, func(v *vpn) {
		shared := use(v.ca.Issue(v.t, "everybody", func(c *x509.Certificate) { c.IPAddresses = nil }))
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", shared)
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", shared)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
	})
}

// TestLargerThanOurs: a peer with a greater tun_mtu sends packets that are larger
// than ours may be.
func TestLargerThanOurs(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) { c.MTU = 9000 })
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) { c.MTU = 150 })
		pass(time.Second)
		text := strings.Repeat("large ", 230) // simnet carries 1500 bytes
		alice.send(bob.vpn, text)
		bob.wants(text, 5*time.Second)
	})
}

// TestBroadcastDelivered: a broadcast arrives as it was sent, so that its
// checksums are right. (The original writes another destination into it.)
func TestBroadcastDelivered(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		sent := packetTo(alice.vpn, netip.MustParseAddr("10.9.0.255"), "to all")
		alice.dev.Inject(sent)
		pass(time.Second)
		select {
		case got := <-bob.dev.Delivered():
			if string(got) != string(sent) {
				v.t.Errorf("delivered %x, want %x", got, sent)
			}
		default:
			v.t.Error("not delivered")
		}
	})
}

// TestMessagesAreFree: PINGs and keepalives do not count for the rate limits, nor
// do they wait for what does.
func TestMessagesAreFree(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.MaxRate, c.MTU, c.Timeout = 100, 1419, time.Hour })
		alice.ping(bob, 5*time.Second)
		for range 100 { // the bucket holds 3 packets and more, and gets 100 bytes a second
			alice.send(bob.vpn, strings.Repeat("x", 1300))
		}
		pass(time.Minute) // those that wait have been sent or dropped
		count := map[string]int{}
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Delivered && p.From == alice.conn {
				count[p.Kind.String()]++
			}
		})
		for range 30 {
			alice.send(bob.vpn, strings.Repeat("x", 1300))
		}
		pass(30 * time.Second)
		if count["PING"] != 10 || count["PUNCH_KEEP_ALIVE"] < 2 {
			v.t.Errorf("in 30 s at the limit arrived: %v, want 10 PINGs, and keepalives", count)
		}
	})
}

// TestRegisteringAndAsked: an introduction counts while we are not registered,
// as between the RECONNECT of an RDV that was restarted and its OK.
func TestRegisteringAndAsked(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.stop() // nobody answers HELLO
		internet := v.net.Internet()
		alice := v.node(internet, "198.51.100.11:5000", "10.9.0.1", nil)
		bob := v.node(internet, "198.51.100.12:5000", "10.9.0.2", nil)
		pass(100 * time.Millisecond)
		alice.send(bob.vpn, "now?")
		pass(time.Millisecond)
		introduce := func(n, other *node, typ wire.Type) {
			at := other.conn.LocalAddr()
			n.arriveMessage(v.server, wire.Message{Type: typ, Port: at.Port(), IP1: at.Addr(), IP2: other.vpn})
		}
		introduce(alice, bob, wire.Answer)
		introduce(bob, alice, wire.Forward)
		bob.wants("now?", time.Second)
		if alice.status().Registered || bob.status().Registered {
			v.t.Error("registered without a server")
		}
		v.startRDV() // which is ended with the test
	})
}

// TestD_C16_Handshake: the way to a peer carries 1400 bytes, and certificates fill
// several datagrams. Those of the original have up to 1447, so that its handshake
// never ends.
func TestD_C16_Handshake(t *testing.T) {
	inBubble(t, func(v *vpn) {
		small := simnet.Link{MTU: 1400}
		sub := v.ca.Intermediate(v.t, "one").Intermediate(v.t, "two").Intermediate(v.t, "three")
		var nodes []*node
		for i, vpn := range []string{"10.9.0.1", "10.9.0.2"} {
			home := v.home(i+1, portRestricted)
			home.SetLinks(small, small)
			leaf := sub.IssueKey(v.t, "host", pkitest.RSAKey(v.t), pkitest.Addrs(vpn))
			if size := len(slices.Concat(leaf.Raw()...)); size < 1420 {
				v.t.Fatalf("a chain of %d bytes fits into one datagram", size)
			}
			nodes = append(nodes, v.node(home, "192.168.1.2:5000", vpn, use(leaf)))
		}
		pass(time.Second)
		nodes[0].ping(nodes[1], 2*time.Second)
	})
}

// TestRecordSizes: a packet makes a datagram of the size that the original's has
// with AES-GCM, so that the default tun_mtu fits the same paths.
func TestRecordSizes(t *testing.T) {
	for size, want := range map[int]int{28: 65, 1403: 1440, 1419: 1456} {
		p := newPath(t, 1)
		p.out.batch(began, p.tab, packets(1, 1, size))
		if len(p.conn.sent) != 1 || len(p.conn.sent[0].Data) != want {
			t.Errorf("a packet of %d bytes: %d datagrams, want one of %d bytes", size, len(p.conn.sent), want)
			continue
		}
		h, rec, rest, err := record.Split(p.conn.sent[0].Data)
		if err != nil || len(rec) != want || len(rest) != 0 || h.Type != record.ApplicationData {
			t.Errorf("a packet of %d bytes is not one record: type %d, %d bytes and %d more, %v", size, h.Type, len(rec), len(rest), err)
		}
	}
}
