package rdv

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/punch/stun"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// Connections from the endpoints of others, and one by IPv6.
var (
	tcpA = stream.Zone(epA)
	tcpB = stream.Zone(epB)
	tcp6 = stream.Zone(netip.MustParseAddrPort("[2001:db8::21]:49380"))
)

// TestStreamNamed: nobody is told of the connection that a client comes by, which is at
// the place that it comes from to the client alone.
func TestStreamNamed(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(tcpA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))

	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at 203.0.113.22:39538 authentic", "bob INTRODUCE 10.9.0.1 authentic")
	s.says(b, askFor(3, ip1), "bob PEER 10.9.0.1 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	s.says(a, askFor(4, ip3), "alice REFUSED: "+channel.Denied.String())
	s.clear(epC, ask(ip1), s.told([]Out{reject(epC, ip1)})...)

	for _, at := range []netip.AddrPort{tcp6, epA, tcpA} { // it goes elsewhere, and back
		a = s.join(at, alice)
		s.says(a, register(5, ip1), "alice"+registered+stream.Real(at).String())
		want := "bob PEER 10.9.0.1 authentic"
		if at == epA {
			want = "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic"
		}
		s.says(b, askFor(6, ip1), want, "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
		if n := s.reg.Members(); n != 2 {
			t.Fatalf("%d members at %v: who has gone is still where it was", n, at)
		}
	}
}

// TestStreamRefusal: who comes by TCP is told why a client in clear is not for it.
func TestStreamRefusal(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(tcpA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	req := askFor(2, ip3)
	out := s.reg.Handle(s.time(), In{From: a.at, Local: a.server, Member: a, Request: &req}, nil)
	if len(out) != 1 || out[0].Answer == nil || !strings.Contains(out[0].Answer.Text, "TCP") {
		t.Errorf("answered %+v", out)
	}
}

// TestStreamNeighbours: where a connection comes from makes nobody a neighbour: private
// addresses stay with those who are, or say so by a scope. Candidates go as ever.
func TestStreamNeighbours(t *testing.T) {
	private := punch.Candidate{Kind: punch.Host, Addr: netip.MustParseAddrPort("192.168.1.2:49380")}
	public := punch.Candidate{Kind: punch.Configured, Addr: netip.MustParseAddrPort("203.0.113.99:49380")}
	where := func(id uint32, v netip.Addr) channel.Message {
		m := register(id, v)
		m.Candidates = []punch.Candidate{private, public}
		m.Endpoints = []netip.AddrPort{private.Addr}
		return m
	}
	near := stream.Zone(netip.AddrPortFrom(epB.Addr(), 1000)) // the same host as bob's
	s := newStage(t, Mixed, 0)
	a, b := s.join(near, alice), s.join(epB, bob)
	s.says(a, where(1, ip1), "alice"+registered+stream.Real(near).String())
	s.says(b, where(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 authentic or configured 203.0.113.99:49380 ",
		"alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic or configured 203.0.113.99:49380 ")
	relayed := askFor(3, ip1)
	relayed.Candidates = []punch.Candidate{{Kind: punch.Relayed, Addr: netip.MustParseAddrPort("198.51.100.1:50000")}}
	s.says(b, relayed, "bob PEER 10.9.0.1 authentic or configured 203.0.113.99:49380 ",
		"alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic or configured 203.0.113.99:49380  or relayed 198.51.100.1:50000 ")
}

// TestStreamClear: in clear there is PING, which makes a client that is forgotten knock
// anew, and that to so many of one network; wherever they come from by UDP.
func TestStreamClear(t *testing.T) {
	s := newStage(t, Mixed, 0)
	for _, at := range []netip.AddrPort{tcpA, tcp6} {
		s.clear(at, ping, clearly(at, wire.Reconnect))
		for _, m := range []wire.Message{hello(ip1), ask(ip2), closing(ip2), bye, {Type: wire.OK}, {Type: wire.Punch}} {
			s.clear(at, m)
		}
	}
	if s.reg.Len() != 0 {
		t.Error("somebody is registered")
	}
	answered := 0
	for range 2 * int(strangerBurst/strangerInterval) {
		answered += len(s.reg.Handle(s.time(), In{From: tcpB, Msg: ping}, nil))
	}
	if most := int(strangerBurst / strangerInterval); answered > most || answered < most/2 {
		t.Errorf("%d answers to one network, want up to %d", answered, most)
	}
	if out := s.reg.Handle(s.time(), In{From: epB, Msg: ping}, nil); len(out) != 0 {
		t.Errorf("a network has its limit twice: %+v", out)
	}
	a := s.join(tcpA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.clear(tcpA, ping, clearly(tcpA, wire.Pong))
	if networkOf(tcpA.Addr()) != networkOf(epA.Addr()) || networkOf(tcp6.Addr()) != networkOf(stream.Real(tcp6).Addr()) {
		t.Error("by TCP a host is of another network")
	}
}

// TestStreamApply: the authority learns where a request really comes from.
func TestStreamApply(t *testing.T) {
	s := newStage(t, Mixed, 0)
	var from netip.AddrPort
	s.reg.cfg.Serve = func(_ uint32, at netip.AddrPort, _ []byte) bool {
		from = at
		return true
	}
	s.reg.Apply(s.time(), In{From: tcpA, Local: here}, applying(1, "x"), nil)
	if from != epA {
		t.Errorf("it comes from %v, want %v", from, epA)
	}
	s.reg.cfg.Serve = nil
	m := s.join(epC, Identity{Key: carol.Key, Name: "ca", Authority: true})
	s.says(m, channel.Message{Type: channel.Register, ID: 1}, "ca"+registered+"203.0.113.23:1024")
	out := s.reg.Apply(s.time(), In{From: tcpB, Local: here}, applying(2, "y"), nil)
	if len(out) != 1 || out[0].Answer == nil || !slices.Equal(out[0].Answer.Endpoints, []netip.AddrPort{epB}) {
		t.Errorf("passed on as %+v", out)
	}
}

// streamHub is a hub of connections.
type streamHub struct{ *hub }

func (streamHub) LocalAddr() netip.AddrPort { return netip.MustParseAddrPort("[::]:443") }

// TestStreamChannel: a client from the first KNOCK to the end, beside one by UDP. What
// original clients say is dropped and counted.
func TestStreamChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tcp := newHub()
		a := serveWith(t, Mixed, 0, func(c *Config) { c.Streams = []punch.Conn{streamHub{tcp}} })
		defer a.end()
		over := *a
		over.hub = tcp
		x := over.client(t, tcpA, "alice", "10.9.0.1").dial()
		y := a.client(t, epA, "bob", "10.9.0.2").dial() // the same address, by UDP
		x.register(ip1)
		y.register(ip2)
		a.wantLog(
			"Server listening on port 57888",
			"Server listening on TCP port 443",
			"Authenticated channel with alice at 203.0.113.21:49380 (TCP)",
			"Authenticated channel with bob at 203.0.113.21:49380",
			"Adding new client [203.0.113.21/49380] 10.9.0.1",
			"Adding new client [203.0.113.21/49380] 10.9.0.2")
		x.pings(wire.Pong)
		y.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip1}})
		if m := y.wants(channel.Peer); len(m.Endpoints) != 0 {
			t.Errorf("told of %v", m.Endpoints)
		}
		x.wants(channel.Introduce)

		stranger := over.client(t, tcpB, "carol", "10.9.0.3")
		stranger.pings(wire.Reconnect)
		for _, m := range []wire.Message{hello(ip3), ask(ip1), bye} {
			stranger.hub.from(tcpB, m.Append(nil))
		}
		stranger.silence()
		if s := a.Stats(); s.Dropped.ClearStream != 3 || s.Channels != 2 || s.Clients != 2 {
			t.Errorf("stats %+v", s)
		}

		// Its UDP works again: there it is from then on.
		z := a.clientWith(t, epB, x.leaf).dial().register(ip1)
		y.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip1}})
		if m := y.wants(channel.Peer); !slices.Equal(m.Endpoints, []netip.AddrPort{epB}) {
			t.Errorf("told of %v, want %v", m.Endpoints, epB)
		}
		z.wants(channel.Introduce)
		x.pings(wire.Reconnect)
		if s := a.Stats(); s.Channels != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestStreamSTUN: STUN over a connection tells where that comes from, and is answered
// over it, or refuses.
func TestStreamSTUN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, other, tcp := newMemConn(), newMemConn(), newMemConn()
		s := New(Config{Conn: portConn{main, mainPort}, OtherConn: portConn{other, otherPort}, Streams: []punch.Conn{portConn{tcp, 443}}})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		var codec stun.Codec
		for _, c := range []struct {
			name string
			q    stun.Request
			code int
		}{
			{"plain", stun.Request{}, 0},
			{"by another port", stun.Request{ChangePort: true}, codeUnknownAttribute},
			{"by another address", stun.Request{ChangeAddr: true}, codeUnknownAttribute},
			{"to another port", stun.Request{ReplyPort: 7}, 0},
		} {
			tcp.in <- []punch.Datagram{{Addr: tcpA, Local: here, Data: codec.AppendRequest(nil, c.q, "")}}
			synctest.Wait()
			out := tcp.take()
			if len(out) != 1 || out[0].Addr != tcpA || len(main.take())+len(other.take()) > 0 {
				t.Errorf("%s: answers %+v", c.name, out)
				continue
			}
			r, err := codec.ParseResponse(out[0].Data)
			if err != nil || int(r.Code) != c.code || c.code == 0 && (r.Mapped != epA || r.Other.IsValid() || r.OtherPort != 0) {
				t.Errorf("%s: answered %+v, %v", c.name, r, err)
			}
		}
		tcp.fail(errNoRoute)
		<-ended
	})
}

// TestStreamLog: people see addresses as they know them.
func TestStreamLog(t *testing.T) {
	for at, want := range map[netip.AddrPort]string{epA: "203.0.113.21:49380", tcpA: "203.0.113.21:49380 (TCP)", tcp6: "[2001:db8::21]:49380 (TCP)"} {
		var got string
		switch x := shown(at).(type) {
		case netip.AddrPort:
			got = x.String()
		case string:
			got = x
		}
		if got != want {
			t.Errorf("%v is shown as %q, want %q", at, got, want)
		}
	}
}
