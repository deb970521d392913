package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// liar starts alice, bob and carol at a server with a good certificate that lies.
func liar(v *vpn, hook func(r *testRDV, c *testChannel, m channel.Message) bool) (r *testRDV, alice, bob, carol *node) {
	v.t.Helper()
	r = v.startTestRDV(func(r *testRDV) { r.hook = hook })
	alice, bob = v.pair(v.authentic(AuthYes, nil))
	carol = v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", v.authentic(AuthYes, nil))
	pass(time.Second)
	return r, alice, bob, carol
}

// TestLiarSwapsPeers: a server that leads to another peer than the one that was
// asked for opens no tunnel: the other's certificate does not name the address.
func TestLiarSwapsPeers(t *testing.T) {
	inBubble(t, func(v *vpn) {
		honest := false
		r, alice, bob, carol := liar(v, func(r *testRDV, c *testChannel, m channel.Message) bool {
			if m.Type != channel.Ask || honest {
				return false
			}
			peer := r.where[netip.MustParseAddr("10.9.0.3")] // whoever is asked for
			r.answer(c, m, channel.Message{Type: channel.Peer, VPN: m.VPN, Endpoints: []netip.AddrPort{peer.at}, Authentic: true})
			r.introduce(peer, c.vpn, c.at)
			return true
		})
		alice.send(bob.vpn, "for bob only")
		pass(30 * time.Second)
		if got := append(bob.texts(), carol.texts()...); len(got) != 0 {
			v.t.Errorf("delivered: %q", got)
		}
		if s := alice.state(bob); s == "ESTABLISHED" {
			v.t.Error("alice has a tunnel with somebody else in bob's place")
		}
		// What is good goes on: carol is carol, and with a server that tells the
		// truth again bob is reached.
		alice.ping(carol, 10*time.Second)
		r.with(func() { honest = true })
		pass(time.Minute)
		alice.ping(bob, 10*time.Second)
	})
}

// TestLiarPlaysPeers: a server that answers at the endpoints that it names, with its
// own certificate or a member's, opens no tunnel.
func TestLiarPlaysPeers(t *testing.T) {
	for _, c := range []struct {
		name string
		leaf func(v *vpn) *pkitest.Leaf
	}{
		{"with another member's certificate", func(v *vpn) *pkitest.Leaf { return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66")) }},
		{"with one of another authority", func(v *vpn) *pkitest.Leaf {
			return pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "bob", pkitest.Addrs("10.9.0.2"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				accomplice := netip.MustParseAddrPort("198.51.100.77:5000")
				var asker netip.AddrPort
				r, alice, bob, _ := liar(v, func(r *testRDV, ch *testChannel, m channel.Message) bool {
					if m.Type != channel.Ask {
						return false
					}
					r.answer(ch, m, channel.Message{Type: channel.Peer, VPN: m.VPN, Endpoints: []netip.AddrPort{accomplice}})
					asker = ch.at
					return true
				})
				// The accomplice claims to be bob, and is told who comes.
				mallory := v.nodeOn(v.net.Internet().Listen(accomplice.String()), "10.9.0.2", use(c.leaf(v)))
				pass(time.Second)
				alice.send(bob.vpn, "for bob only")
				pass(50 * time.Millisecond)
				var from netip.AddrPort
				r.with(func() { from = asker })
				mallory.arriveMessage(v.server, wire.Message{Type: wire.Forward, Port: from.Port(), IP1: from.Addr(), IP2: alice.vpn})
				pass(20 * time.Second)
				if alice.logged("Error during DTLS handshake with peer") == 0 {
					v.t.Error("it has not come to a handshake")
				}
				if got := append(mallory.texts(), bob.texts()...); len(got) != 0 {
					v.t.Errorf("delivered: %q", got)
				}
				if s := alice.state(bob); s == "ESTABLISHED" {
					v.t.Error("alice has a tunnel with the accomplice")
				}
			})
		})
	}
}

// TestLiarNamesPlaces: a server that names places where no peer can be, or many,
// makes a client knock at a few doors of a peer of each class, and never at those.
func TestLiarNamesPlaces(t *testing.T) {
	inBubble(t, func(v *vpn) {
		bad := []netip.AddrPort{
			netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("224.0.0.1:5353"), netip.MustParseAddrPort("255.255.255.255:9"),
			netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("[2001:db8::1]:1"), v.server,
		}
		var many []netip.AddrPort
		for i := range 10 {
			many = append(many, netip.MustParseAddrPort(fmt.Sprintf("203.0.113.99:%d", 1000+i)))
		}
		candidate := func(addr string, kind punch.CandidateKind, scope string) punch.Candidate {
			return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: kind, Scope: scope}
		}
		never := []punch.Candidate{
			candidate("10.9.0.77:1", punch.Host, ""),         // in the VPN
			candidate("127.0.0.1:53", punch.Host, ""),        // ourselves
			candidate("192.168.1.2:5000", punch.Host, ""),    // likewise
			candidate("198.51.100.9:1", punch.Mapped, "lab"), // where we are not
			candidate("224.0.0.1:1", punch.Configured, ""),
			candidate("169.254.1.1:1", punch.Host, ""),
		}
		told := slices.Clone(never)
		for i := range 10 {
			told = append(told, candidate(fmt.Sprintf("172.16.0.1:%d", 2000+i), punch.Host, ""))
		}
		_, alice, bob, _ := liar(v, func(r *testRDV, c *testChannel, m channel.Message) bool {
			if m.Type == channel.Ask {
				r.answer(c, m, channel.Message{Type: channel.Peer, VPN: m.VPN, Endpoints: append(bad, many...), Candidates: told})
			}
			return m.Type == channel.Ask
		})
		to := map[netip.AddrPort]bool{}
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind == simnet.Kind(wire.Punch) {
				to[p.Dst] = true
			}
		})
		alice.send(bob.vpn, "anybody?")
		pass(10 * time.Second)
		for _, a := range bad {
			if to[a] {
				v.t.Errorf("alice has punched to %v", a)
			}
		}
		for _, n := range never {
			if to[n.Addr] {
				v.t.Errorf("alice has punched to %v", n.Addr)
			}
		}
		if len(to) != 6 || !to[many[9]] {
			v.t.Errorf("alice has punched to %v, want 2 public and 3 private addresses, and the last endpoint that was named", to)
		}
	})
}

// TestLiarInvents: invented introductions take half of the places for peers at most,
// all are answered, and none of it stays.
func TestLiarInvents(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r, alice, bob, carol := liar(v, nil)
		alice.ping(bob, 5*time.Second)
		nowhere := netip.MustParseAddr("203.0.113.99")
		for i := range 500 { // for 2.5 s
			r.with(func() {
				c := r.where[alice.vpn]
				vpn := netip.AddrFrom4([4]byte{10, 9, 0, byte(i%240 + 10)})
				r.introduce(c, vpn, netip.AddrPortFrom(nowhere, uint16(i+1)))
				r.introduce(c, alice.vpn, netip.AddrPortFrom(nowhere, 1))                      // herself
				r.introduce(c, netip.MustParseAddr("8.8.8.8"), netip.AddrPortFrom(nowhere, 1)) // nobody
				r.introduce(c, bob.vpn, netip.AddrPortFrom(nowhere, uint16(i+1)))
				r.say(c, channel.Message{Type: channel.Peer, ID: uint32(i), VPN: []netip.Addr{vpn}, Endpoints: []netip.AddrPort{v.server}})
			})
			pass(5 * time.Millisecond)
		}
		pass(100 * time.Millisecond)
		if n := r.count("DONE"); n < 2000 {
			v.t.Errorf("%d of 2000 INTRODUCEs were answered", n)
		}
		if n := len(alice.status().Peers); n > defaultMaxClients/2+1 {
			v.t.Errorf("%d peers, want half of %d and bob at most", n, defaultMaxClients)
		}
		alice.ping(bob, time.Second) // the tunnel does not mind
		alice.ping(carol, 5*time.Second)
		pass(time.Minute)
		if n := len(alice.status().Peers); n != 2 {
			v.t.Errorf("%d peers after a minute, want bob and carol", n)
		}
		if !alice.status().RDV().Authenticated {
			v.t.Error("the registration is gone")
		}
	})
}

// TestLiarAnswersWrong: answers that belong to nothing, and refusals of what was not
// asked, change nothing.
func TestLiarAnswersWrong(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r, alice, bob, carol := liar(v, nil)
		alice.ping(bob, 5*time.Second)
		r.with(func() {
			c := r.where[alice.vpn]
			for id := range uint32(300) {
				for typ := channel.Type(0); typ < 20; typ++ {
					if typ != channel.Introduce {
						r.say(c, channel.Message{Type: typ, ID: id, VPN: []netip.Addr{bob.vpn}, Reason: channel.Strangers})
					}
				}
			}
		})
		pass(time.Second)
		alice.ping(bob, time.Second)
		alice.ping(carol, 5*time.Second)
	})
}

// TestLiarChangesItsMind: a server that registers a client and ends the channel in one
// datagram.
func TestLiarChangesItsMind(t *testing.T) {
	inBubble(t, func(v *vpn) {
		times := 0
		_, alice, bob, _ := liar(v, func(r *testRDV, c *testChannel, m channel.Message) bool {
			if m.Type != channel.Register || times >= 5 {
				return false
			}
			times++
			b := c.link.sealed(&channel.Message{Type: channel.Registered, ID: m.ID})
			r.send(c.at, append(b, c.link.sealRecord([]byte{1, 0}, record.Alert)...))
			return true
		})
		pass(2 * time.Minute)
		if !alice.status().Registered || !bob.status().Registered {
			v.t.Error("they are not registered when the server means it")
		}
		alice.ping(bob, 5*time.Second)
	})
}

// TestChannelClear: what comes in clear in the server's name to a client with a
// channel is dropped and counted.
func TestChannelClear(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		elsewhere, other := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("10.9.0.9")
		msgs := []wire.Message{
			{Type: wire.OK}, {Type: wire.NOK}, {Type: wire.Reject, IP1: bob.vpn}, {Type: wire.Bye, IP1: bob.vpn},
			{Type: wire.Answer, Port: 666, IP1: elsewhere, IP2: bob.vpn}, {Type: wire.Answer, Port: 666, IP1: elsewhere, IP2: other},
			{Type: wire.Forward, Port: 666, IP1: elsewhere, IP2: bob.vpn}, {Type: wire.Forward, Port: 666, IP1: elsewhere, IP2: other},
			{Type: wire.Punch, IP1: bob.vpn}, {Type: wire.Hello, IP1: bob.vpn},
		}
		before := r.count("REGISTER")
		for range 10 {
			for _, m := range msgs {
				alice.arriveMessage(v.server, m)
			}
			pass(100 * time.Millisecond)
		}
		s := alice.status()
		if got, want := s.Drops["clear"], uint64(10*len(msgs)); got != want {
			v.t.Errorf("%d drops counted, want %d: %v", got, want, s.Drops)
		}
		if len(s.Peers) != 1 || !s.RDV().Authenticated || r.count("REGISTER") != before {
			v.t.Errorf("%d peers, %+v", len(s.Peers), s.RDV())
		}
		alice.ping(bob, time.Second)
	})
}

// TestChannelForged: what somebody sends in the server's name before and during the
// registration delays it at most, and to a client that is registered it does
// nothing, but for a KNOCK every ten seconds.
func TestChannelForged(t *testing.T) {
	forged := [][]byte{
		wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: cookie{6, 6, 6}}.Append(nil),
		wire.GateMessage{Type: wire.Wait, Cookie: cookie{6, 6, 6}, Millis: 30_000}.Append(nil),
		wire.GateMessage{Type: wire.Closed}.Append(nil),
		wire.GateMessage{Type: wire.Knock}.Append(nil),
		wire.Message{Type: wire.Reconnect}.Append(nil),
		wire.Message{Type: wire.NOK}.Append(nil),
		{wire.GateByte, 77},
		bytes.Repeat([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0}, 3),
		append([]byte{21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 32}, make([]byte, 32)...),
	}
	inBubble(t, func(v *vpn) {
		v.startTestRDV(nil)
		start := time.Now()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
		alice.status()       // it runs
		for i := range 400 { // for 2 s
			alice.arrive(v.server, bytes.Clone(forged[i%len(forged)]))
			pass(5 * time.Millisecond)
		}
		for !alice.status().Registered && time.Since(start) < time.Minute {
			pass(100 * time.Millisecond)
		}
		if took := time.Since(start); took > 10*time.Second {
			v.t.Errorf("registered after %v", took)
		}
		knocks := v.sent(alice)
		for i := range 6000 { // for 30 s
			alice.arrive(v.server, bytes.Clone(forged[i%len(forged)]))
			pass(5 * time.Millisecond)
			if i%200 == 0 && !alice.status().Registered {
				v.t.Fatalf("not registered any more after %d forged datagrams", i)
			}
		}
		// Each KNOCK that is answered leads to a handshake, whose ADMITs are of the
		// same kind here: some six for each, and for each cookie.
		if n := knocks(simnet.KindGate); n > 150 {
			v.t.Errorf("%d KNOCKs and ADMITs in 30 s", n)
		}
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", v.authentic(AuthYes, nil))
		pass(time.Second)
		bob.ping(alice, 5*time.Second)
	})
}

// TestChannelReplay: records of the server that are sent again do nothing.
func TestChannelReplay(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r, alice, bob, carol := liar(v, nil)
		var recorded [][]byte
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Delivered && p.Src == v.server && (p.Kind == simnet.KindData || p.Kind == simnet.KindHandshake) {
				recorded = append(recorded, bytes.Clone(p.Data))
			}
		})
		bob.ping(alice, 5*time.Second)
		carol.ping(alice, 5*time.Second)
		bob.stop()
		carol.stop()
		pass(time.Minute)
		v.net.Observe(nil)
		if len(recorded) < 4 {
			v.t.Fatalf("%d datagrams were recorded", len(recorded))
		}
		answers := r.count("DONE")
		for _, b := range recorded {
			alice.arrive(v.server, b)
		}
		pass(time.Second)
		if n := r.count("DONE"); n != answers {
			v.t.Errorf("%d introductions were answered again", n-answers)
		}
		s := alice.status()
		if len(s.Peers) != 0 || s.Drops["replay"] < 2 {
			v.t.Errorf("peers %+v, drops %v", s.Peers, s.Drops)
		}
	})
}

// TestChannelAtPeersPlace: a peer cannot sit at the server's endpoint, and one whose
// place becomes the server's loses its tunnel.
func TestChannelAtPeersPlace(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		s := alice.client.set
		s.Servers = At(bob.publicAddr(alice))
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		if got := alice.state(bob); got != "CLOSED" {
			v.t.Errorf("bob is %s at the server's endpoint", got)
		}
	})
}

// FuzzChannelNode makes datagrams arrive in the server's name at a client with a
// channel. Whatever they are, it stays registered or is so again within a minute,
// and finds a peer.
func FuzzChannelNode(f *testing.F) {
	f.Add([]byte{18, 15, 2, 1, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6})
	f.Add([]byte{11, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Add([]byte{2, 15, 5, 60, 23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 47})
	f.Fuzz(func(t *testing.T, b []byte) {
		inBubble(t, func(v *vpn) {
			v.startTestRDV(nil)
			alice, bob := v.pair(v.authentic(AuthYes, nil))
			for steps := 0; len(b) > 1 && steps < 50; steps++ { // length, datagram
				n := min(int(b[0]), len(b)-1)
				alice.arrive(v.server, bytes.Clone(b[1:1+n]))
				b = b[1+n:]
				pass(time.Duration(n) * time.Millisecond)
			}
			pass(time.Minute)
			alice.ping(bob, 5*time.Second)
		})
	})
}
