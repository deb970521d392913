package rdv

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/stun"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// leaving returns messages as those that leave by a socket.
func leaving(socket uint8, outs ...Out) []Out {
	outs = slices.Clone(outs)
	for i := range outs {
		outs[i].Socket = socket
	}
	return outs
}

// TestSockets: clients of several sockets are one VPN, and each is sent everything by
// the socket that it came to.
func TestSockets(t *testing.T) {
	type say struct {
		at     time.Duration
		socket uint8
		from   netip.AddrPort
		msg    wire.Message
		want   []Out
	}
	registered := func(at time.Duration, socket uint8, from netip.AddrPort, v netip.Addr) say {
		return say{at, socket, from, hello(v), leaving(socket, to(from, wire.OK))}
	}
	meet := introduced(epA, ip1, epB, ip2)
	for _, c := range []struct {
		name  string
		steps []say
	}{
		{"introduced across sockets", []say{
			registered(0, 0, epA, ip1), registered(0, 3, epB, ip2),
			{0, 0, epA, ask(ip2), append(leaving(0, meet[0]), leaving(3, meet[1])...)},
			{0, 3, epB, ping, leaving(3, to(epB, wire.Pong))},
			{0, 3, epB, ask(ip9), leaving(3, reject(epB, ip9))},
		}},
		{"one endpoint is two clients at two sockets", []say{
			// Behind a NAT that tells flows apart by both ends.
			registered(0, 0, epA, ip1), registered(0, 1, epA, ip2),
			{0, 0, epA, ask(ip2), append(leaving(0, introduced(epA, ip1, epA, ip2)[0]), leaving(1, introduced(epA, ip1, epA, ip2)[1])...)},
			{0, 1, epA, bye, nil},
			{0, 1, epA, ping, leaving(1, to(epA, wire.Reconnect))},
			{0, 0, epA, ping, leaving(0, to(epA, wire.Pong))},
		}},
		{"a client that tries the next port has moved", []say{
			registered(0, 0, epA, ip1), registered(time.Second, 2, epA, ip1),
			registered(time.Second, 0, epB, ip2),
			{0, 0, epB, ask(ip1), append(leaving(0, introduced(epB, ip2, epA, ip1)[0]), leaving(2, introduced(epB, ip2, epA, ip1)[1])...)},
			{0, 0, epA, ping, leaving(0, to(epA, wire.Reconnect))},
			registered(2*time.Second, 0, epA, ip1),
		}},
		{"a client that tries several ports is at the first", []say{
			registered(0, 1, epA, ip1), registered(250*time.Millisecond, 2, epA, ip1),
			{500 * time.Millisecond, 1, epA, ping, leaving(1, to(epA, wire.Pong))},
			{500 * time.Millisecond, 2, epA, ping, leaving(2, to(epA, wire.Reconnect))},
		}},
		{"another client does not get the address", []say{
			registered(0, 1, epA, ip1),
			{0, 0, epB, hello(ip1), append(leaving(1, to(epA, wire.Reconnect)), leaving(0, to(epB, wire.NOK))...)},
			{0, 0, epA2, hello(ip1), leaving(0, to(epA2, wire.NOK))},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, 0)
			for i, s := range c.steps {
				out := b.reg.Handle(b.start.Add(s.at), In{From: s.from, Socket: s.socket, Msg: s.msg}, nil)
				if !slices.Equal(out, s.want) {
					t.Errorf("step %d: got %+v, want %+v", i, out, s.want)
				}
				if err := check(b.reg); err != nil {
					t.Fatalf("after step %d: %v", i, err)
				}
			}
		})
	}
}

// TestMembersOfSockets: what members are told, whoever has caused it, leaves by their
// socket.
func TestMembersOfSockets(t *testing.T) {
	s := newStage(t, Mixed, 0)
	x := s.reg.Join(s.time(), spot{epA, 1}, here, alice)
	y := s.reg.Join(s.time(), spot{epA, 2}, here, bob) // the same endpoint, another socket
	s.says(x, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{ip1}}, "alice REGISTERED at 203.0.113.21:49380")
	s.says(y, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{ip2}}, "bob REGISTERED at 203.0.113.21:49380")
	by := func(out []Out) (sockets []uint8) {
		for _, o := range out {
			if o.Member != nil && o.Socket != o.Member.socket {
				t.Errorf("a message for %s leaves by socket %d", o.Member.id.Name, o.Socket)
			}
			sockets = append(sockets, o.Socket)
		}
		return sockets
	}
	for _, c := range []struct {
		name string
		out  func() []Out
		want []uint8
	}{
		{"ASK", func() []Out {
			return s.reg.Handle(s.time(), In{From: epA, Socket: 1, Member: x,
				Request: &channel.Message{Type: channel.Ask, ID: 2, VPN: []netip.Addr{ip2}}}, nil)
		}, []uint8{1, 2}},
		{"INTRODUCE again", func() []Out { s.now = introWaits[0]; return s.reg.Advance(s.time(), nil) }, []uint8{2}},
		{"NOTICE", func() []Out {
			s.reg.SetObjects(s.time(), &catalog{names: []channel.Object{{Kind: channel.CRL, Size: 1}}})
			return s.reg.Advance(s.time(), nil)
		}, []uint8{2, 1}}, // alice was heard last
		{"APPLY", func() []Out {
			return s.reg.Apply(s.time(), In{From: epC, Local: here, Socket: 3}, applying(1, "x"), nil)
		}, []uint8{3}},
		{"PING at its own socket", func() []Out {
			return s.reg.Handle(s.time(), In{From: epA, Socket: 2, Msg: ping}, nil)
		}, []uint8{2}},
	} {
		if got := by(c.out()); !slices.Equal(got, c.want) {
			t.Errorf("%s: messages leave by sockets %v, want %v", c.name, got, c.want)
		}
	}
	out := s.reg.Handle(s.time(), In{From: epA, Socket: 0, Msg: ping}, nil)
	if want := leaving(0, to(epA, wire.Reconnect)); !slices.Equal(out, want) {
		t.Errorf("a PING from a member's endpoint at another socket: %+v, want %+v", out, want)
	}
	z := s.reg.Join(s.time(), spot{epA, 0}, here, bob) // it goes there
	s.says(z, channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{ip2}}, "bob REGISTERED at 203.0.113.21:49380")
	if s.reg.member(y.spot()) != nil || s.reg.member(x.spot()) != x {
		t.Error("who has gone to another socket is still at the old one, or has taken another's place")
	}
}

// TestEndpointKey: the socket in a client's endpoint is in nobody's way.
func TestEndpointKey(t *testing.T) {
	for _, at := range []netip.AddrPort{epA, netip.MustParseAddrPort("255.255.255.255:65535"), netip.MustParseAddrPort("0.0.0.1:1")} {
		e, ok := endpointOf(at)
		for _, socket := range []uint8{0, 1, 255} {
			if k := e.on(7).on(socket); !ok || k.addrPort() != at || k.socket() != socket || k.ip() != e.ip() || (k == e) != (socket == 0) {
				t.Errorf("%v on %d is %v on %d", at, socket, k.addrPort(), k.socket())
			}
		}
	}
	if e := endpoint(0).on(3); e != 0 {
		t.Errorf("no endpoint at all becomes %x", uint64(e))
	}
}

// A portHub is a hub at another port.
type portHub struct{ *hub }

func (portHub) LocalAddr() netip.AddrPort { return netip.MustParseAddrPort("0.0.0.0:443") }

// TestChannelsOfSockets: two clients from the first KNOCK to the end, each at a port of
// its own.
func TestChannelsOfSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := newHub()
		a := serveWith(t, Mixed, 0, func(c *Config) { c.MoreConns = []punch.Conn{portHub{second}} })
		defer a.end()
		b := *a
		b.hub = second
		x := a.client(t, epA, "alice", "10.9.0.1").dial()
		y := b.client(t, epA, "bob", "10.9.0.2").dial() // the same endpoint, as the other port sees it
		x.register(ip1)
		y.register(ip2)
		a.wantLog(
			"Server listening on port 57888",
			"Server listening on port 443",
			"Authenticated channel with alice at 203.0.113.21:49380",
			"Authenticated channel with bob at 203.0.113.21:49380",
			"Adding new client [203.0.113.21/49380] 10.9.0.1",
			"Adding new client [203.0.113.21/49380] 10.9.0.2")
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		x.wants(channel.Peer)
		m := y.wants(channel.Introduce)
		y.say(channel.Message{Type: channel.Done, ID: m.ID})
		y.pings(wire.Pong)
		x.pings(wire.Pong)

		// A cookie of one port is none at the other, and neither is a channel.
		z := a.client(t, epC, "carol", "10.9.0.3")
		z.knock()
		z.hub = second
		z.admit([]byte{22})
		x.hub = second
		x.say(channel.Message{Type: channel.Bye})
		x.hub = a.hub
		x.pings(wire.Pong)
		y.pings(wire.Pong)
		if s := a.Stats(); s.Dropped.BadCookie != 1 || s.Dropped.Forged != 1 || s.Channels != 2 || s.Established != 2 {
			t.Errorf("stats %+v", s)
		}
		if len(a.hub.others)+len(second.others) > 0 {
			t.Error("something was sent by the wrong port")
		}
	})
}

// TestSTUNOfSockets: every port answers STUN, and says which one the second is; how fast
// is common to all.
func TestSTUNOfSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := []*memConn{newMemConn(), newMemConn(), newMemConn()}
		const thirdPort = 443
		s := New(Config{
			Conn: portConn{conns[0], mainPort}, OtherConn: portConn{conns[1], otherPort},
			MoreConns: []punch.Conn{portConn{conns[2], thirdPort}},
		})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		var codec stun.Codec
		for _, c := range []struct {
			at     int
			change bool
			want   [3]int // by which port the answer leaves
			other  uint16
		}{{0, false, [3]int{1, 0, 0}, otherPort}, {2, false, [3]int{0, 0, 1}, otherPort}, {2, true, [3]int{0, 1, 0}, otherPort}, {1, true, [3]int{1, 0, 0}, mainPort}} {
			conns[c.at].in <- []punch.Datagram{{Addr: stranger, Local: firstAddr, Data: codec.AppendRequest(nil, stun.Request{ChangePort: c.change}, "")}}
			var got [3]int
			for i, conn := range conns {
				for _, d := range conn.take() {
					got[i]++
					if r, err := codec.ParseResponse(d.Data); err != nil || r.Mapped != stranger || r.OtherPort != c.other {
						t.Errorf("answer %+v, %v", r, err)
					}
				}
			}
			if got != c.want {
				t.Errorf("asked on socket %d, change %v: answers by %v, want %v", c.at, c.change, got, c.want)
			}
		}
		request := codec.AppendRequest(nil, stun.Request{}, "")
		answered := 0
		for range int(stunBurst / stunInterval) {
			for _, conn := range conns {
				conn.in <- []punch.Datagram{{Addr: stranger, Local: firstAddr, Data: request}}
				answered += len(conn.take())
			}
		}
		if want := int(stunBurst/stunInterval) - 4; answered != want {
			t.Errorf("%d requests at three ports are answered, want %d", answered, want)
		}
		conns[2].fail(errNoRoute) // one of the ports fails: that is an error
		if err := <-ended; err == nil {
			t.Error("the server goes on without one of its ports")
		}
		for i, conn := range conns {
			if _, err := conn.Receive(); err == nil {
				t.Errorf("socket %d is open", i)
			}
		}
	})
}
