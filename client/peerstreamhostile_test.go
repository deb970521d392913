package client

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	punchstream "campagnol/punch/stream"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// impostor puts somebody else in the place of bob's door, who does something with each
// connection.
func (p *tcpPlay) impostor(serve func(net.Conn)) {
	p.t.Helper()
	p.accept.Close()
	d := p.wires.listen(bobDoor)
	p.t.Cleanup(func() { d.Close() })
	go func() {
		for {
			conn, err := d.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

// TestPeerStreamImpostor: who answers at the peer's place and is not the peer is left after
// five seconds, and not dialled again at once, whatever he says.
func TestPeerStreamImpostor(t *testing.T) {
	// A frame that is not STUN, and no channel's: its number and length, padded.
	frame := func(b []byte) []byte {
		f := append([]byte{0x7f, 0xff, byte(len(b) >> 8), byte(len(b))}, b...)
		for len(f)%4 != 0 {
			f = append(f, 0)
		}
		return f
	}
	punches := func(vpn string) []byte { return frame(punchOf(netip.MustParseAddr(vpn))) }
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		most  int // dials in a minute and a half
	}{
		{"silence", func(conn net.Conn) { io.Copy(io.Discard, conn) }, 2},
		{"noise", func(conn net.Conn) { conn.Write(bytes.Repeat([]byte{0xee}, 4096)) }, 2},
		{"an echo", func(conn net.Conn) { io.Copy(conn, conn) }, 2},
		{"an end", func(conn net.Conn) {}, 2},
		{"punches of others", func(conn net.Conn) { conn.Write(punches("10.9.0.77")); io.Copy(io.Discard, conn) }, 2},
		// He is heard as the peer, until the handshake fails.
		{"punches of the peer", func(conn net.Conn) { conn.Write(punches("10.9.0.2")); io.Copy(io.Discard, conn) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			byTCP(t, nil, func(p *tcpPlay) {
				p.impostor(c.serve)
				start := time.Now()
				for time.Since(start) < 90*time.Second {
					p.alice.send(p.bob.vpn, "waits")
					pass(time.Second)
					if s := p.alice.peerOf(p.bob); s.State == "ESTABLISHED" {
						t.Fatalf("there is a session, at %v", s.Addr)
					}
				}
				got := p.dialled(start)
				if t.Logf("dialled after %v", got); len(got) > c.most || len(got) == 0 {
					t.Errorf("dialled %d times, want at most %d", len(got), c.most)
				}
			})
		})
	}
}

// TestPeerStreamStrangers: who connects to where connections are taken gets no answer to
// anything, and disturbs nobody.
func TestPeerStreamStrangers(t *testing.T) {
	byTCP(t, nil, func(p *tcpPlay) {
		p.cut.Store(false)
		p.alice.ping(p.bob, 5*time.Second)
		since, peers := p.bob.peerOf(p.alice).Since, len(p.bob.status().Peers)
		var conns []punch.Conn
		heard := make(chan int, 100)
		for i := range 20 {
			conn, err := p.dialer(fmt.Sprintf("198.51.100.%d", 100+i))(p.t.Context(), netip.MustParseAddrPort(bobDoor))
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			go func() {
				for ds, err := conn.Receive(); err == nil; ds, err = conn.Receive() {
					heard <- len(ds)
				}
			}()
		}
		at := punchstream.Zone(netip.MustParseAddrPort(bobDoor))
		say := func(b []byte) {
			for _, conn := range conns {
				if err := conn.Send([]punch.Datagram{{Addr: at, Data: b}}); err != nil {
					t.Fatal(err)
				}
			}
			pass(50 * time.Millisecond)
		}
		for range 5 {
			say(punchOf(p.alice.vpn))                                                             // of a peer with a session
			say(punchOf(netip.MustParseAddr("10.9.0.66")))                                        // of nobody
			say(wire.Message{Type: wire.Forward, IP1: p.alice.vpn}.Append(nil))                   // in the server's name
			say(wire.Message{Type: wire.Reconnect}.Append(nil))                                   // likewise
			say(wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil))                       // as to a server
			say(append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20}, 1))                   // a ClientHello, cut off
			say(append([]byte{23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40}, make([]byte, 40)...)) // a record
			say([]byte{0xff, 0xff, 0xff})
		}
		pass(10 * time.Second)
		if n := len(heard); n != 0 {
			t.Errorf("%d answers, want none", n)
		}
		s := p.bob.peerOf(p.alice)
		if !s.Since.Equal(since) || s.Path != "wan" || len(p.bob.status().Peers) != peers {
			t.Errorf("the session is of %v, on a path of kind %q, of %d peers; want that of %v, %q, %d", s.Since, s.Path, len(p.bob.status().Peers), since, "wan", peers)
		}
		p.alice.ping(p.bob, time.Second)
		if p.bob.status().Drops[tunnel.DropNoPeer.String()] == 0 {
			t.Error("nothing was counted")
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
}

// TestStreamsOf: of the places that a peer names few are dialled, and none that may not be.
func TestStreamsOf(t *testing.T) {
	byTCP(t, func(c *Config) {
		c.Scopes = []string{"office"}
		c.Configured = append(c.Configured, punch.Candidate{Addr: netip.MustParseAddrPort("203.0.113.21:443"), Kind: punch.Stream})
	}, func(p *tcpPlay) {
		for _, c := range []struct {
			name string
			n    punch.Candidate
			want bool
		}{
			{"one", place("203.0.113.9:443", punch.Stream, ""), true},
			{"of IPv4 in IPv6", place("10.1.2.3:443", punch.Stream, ""), true},
			{"in a scope of ours", place("10.1.2.3:443", punch.Stream, "office"), true},
			{"in another scope", place("10.1.2.3:443", punch.Stream, "home"), false},
			{"of UDP", place("203.0.113.9:443", punch.Configured, ""), false},
			{"our own", place("203.0.113.21:443", punch.Stream, ""), false},
			{"in the VPN", place("10.9.0.2:443", punch.Stream, ""), false},
			{"this host", place("127.0.0.1:443", punch.Stream, ""), false},
			{"everybody", place("224.0.0.1:443", punch.Stream, ""), false},
			{"nobody", place("0.0.0.0:443", punch.Stream, ""), false},
			{"where clouds keep secrets", place("169.254.169.254:80", punch.Stream, ""), false},
			{"the server", place(p.server.String(), punch.Stream, ""), false},
		} {
			var got []punch.Candidate
			p.alice.onControl(func(time.Time) { got = p.alice.client.streamsOf([]punch.Candidate{c.n}) })
			if (len(got) == 1) != c.want {
				t.Errorf("%s: %v, want it dialled: %v", c.name, got, c.want)
			}
		}
		var many []punch.Candidate
		for i := range 16 {
			many = append(many, place(fmt.Sprintf("203.0.113.9:%d", 1+i), punch.Stream, ""))
		}
		p.alice.onControl(func(time.Time) {
			if got := p.alice.client.streamsOf(many); len(got) != maxDialled {
				t.Errorf("%d of %d are dialled, want %d", len(got), len(many), maxDialled)
			}
			if got := p.alice.client.usableOf(nil, many); len(got) != 0 {
				t.Errorf("%v are tried by UDP", got)
			}
		})
	})
}

// place returns a candidate.
func place(at string, kind punch.CandidateKind, scope string) punch.Candidate {
	return punch.Candidate{Addr: netip.MustParseAddrPort(at), Kind: kind, Scope: scope}
}

// TestSeenStreams: where the server sees us we take connections, if there is no NAT
// between, and the port is to be named.
func TestSeenStreams(t *testing.T) {
	for _, c := range []struct {
		name string
		port uint16
		nat  nat.Behaviour
		want bool
	}{
		{"no NAT", 443, nat.Behaviour{Known: true}, true},
		{"a NAT", 443, nat.Behaviour{Known: true, Translated: true}, false},
		{"nothing known", 443, nat.Behaviour{}, false},
		{"no UDP", 443, nat.Behaviour{Known: true, Blocked: true}, false},
		{"not to be named", 0, nat.Behaviour{Known: true}, false},
	} {
		byTCP(t, func(conf *Config) { conf.StreamPort = c.port }, func(p *tcpPlay) {
			if err := p.bob.client.SetNAT(p.t.Context(), c.nat); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			var got []punch.Candidate
			p.bob.onControl(func(time.Time) { got = p.bob.client.seenStreams() })
			want := place("203.0.113.22:443", punch.Stream, "")
			if slices.Contains(got, want) != c.want || len(got) > 1 {
				t.Errorf("%s: %v, want %v: %v", c.name, got, want, c.want)
			}
		})
	}
}
