package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// Identities of the tests. Alice has two addresses, and nobody bound carol's.
var (
	ip6   = netip.MustParseAddr("fd00:9::1")
	alice = Identity{Key: pki.KeyID{1}, Name: "alice", Addrs: []netip.Addr{ip1, ip6}}
	bob   = Identity{Key: pki.KeyID{2}, Name: "bob", Addrs: []netip.Addr{ip2}}
	eve   = Identity{Key: pki.KeyID{3}, Name: "eve", Addrs: []netip.Addr{ip1, ip3}}
	carol = Identity{Key: pki.KeyID{4}, Name: "carol"}
)

// A stage is a registry with members, at a time that the test moves.
type stage struct {
	*bench
	now time.Duration
}

func newStage(t *testing.T, mode Mode, maxClients int) *stage {
	s := &stage{bench: newBench(t, maxClients)}
	s.reg.cfg.Mode, s.reg.cfg.Software = mode, "server"
	return s
}

func (s *stage) time() time.Time { return s.start.Add(s.now) }

// at moves the clock, and returns what is sent by itself.
func (s *stage) at(d time.Duration) []string {
	s.now = d
	return s.told(s.reg.Advance(s.time(), nil))
}

// join makes a member.
func (s *stage) join(at netip.AddrPort, id Identity) *Member {
	s.t.Helper()
	m := s.reg.Join(s.time(), spot{AddrPort: at}, here, id)
	s.check()
	return m
}

func (s *stage) check() {
	s.t.Helper()
	if err := check(s.reg); err != nil {
		s.t.Fatal(err)
	}
}

// told describes messages: to whom, over a channel or in clear, and what.
func (s *stage) told(out []Out) []string {
	var list []string
	for _, o := range out {
		if o.Member == nil {
			list = append(list, fmt.Sprintf("%v in clear %v", o.To, o.Msg))
			continue
		}
		if o.To != o.Member.at || o.Local != o.Member.server {
			s.t.Errorf("a message for %v goes to %v from %v", o.Member.at, o.To, o.Local)
		}
		a := o.Answer
		text := fmt.Sprintf("%s %v", o.Member.id.Name, a.Type)
		if a.Type == channel.Refused {
			text += fmt.Sprint(": ", a.Reason)
		}
		for _, v := range a.VPN {
			text += fmt.Sprint(" ", v)
		}
		for _, e := range a.Endpoints {
			text += fmt.Sprint(" at ", e)
		}
		if a.Authentic {
			text += " authentic"
		}
		for _, c := range a.Candidates {
			text += fmt.Sprintf(" or %v %v %s", c.Kind, c.Addr, c.Scope)
		}
		if a.NAT.Known {
			text += fmt.Sprint(" mapping ", a.NAT.Mapping)
		}
		list = append(list, text)
	}
	return list
}

// says has a member say something, and checks what follows.
func (s *stage) says(m *Member, msg channel.Message, want ...string) {
	s.t.Helper()
	out := s.reg.Handle(s.time(), In{From: m.at, Local: m.server, Member: m, Request: &msg}, nil)
	for _, o := range out {
		if o.Member == m && o.Answer.Type != channel.Introduce && o.Answer.ID != msg.ID {
			s.t.Errorf("%v with id %d is answered with id %d", msg.Type, msg.ID, o.Answer.ID)
		}
	}
	s.want(fmt.Sprintf("%s: %v %v", m.id.Name, msg.Type, msg.VPN), s.told(out), want)
}

// clear has somebody say something in clear.
func (s *stage) clear(from netip.AddrPort, msg wire.Message, want ...string) {
	s.t.Helper()
	out := s.reg.Handle(s.time(), In{From: from, Local: here, Msg: msg}, nil)
	s.want(fmt.Sprintf("%v in clear: %v", from, msg), s.told(out), want)
}

func (s *stage) want(what string, got, want []string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("at %v, %s:\n got %s\nwant %s", s.now, what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	s.check()
}

// holds checks who has a VPN address.
func (s *stage) holds(v netip.Addr, want *Member) {
	s.t.Helper()
	var got *Member
	if c := s.reg.byVPN[v]; c != nil {
		got = c.member
	}
	if got != want {
		s.t.Errorf("at %v, %v is held by %v, want %v", s.now, v, got, want)
	}
}

func register(id uint32, vpn ...netip.Addr) channel.Message {
	return channel.Message{Type: channel.Register, ID: id, VPN: vpn}
}

func askFor(id uint32, vpn netip.Addr) channel.Message {
	return channel.Message{Type: channel.Ask, ID: id, VPN: []netip.Addr{vpn}}
}

func clearly(e netip.AddrPort, t wire.Type) string {
	return fmt.Sprintf("%v in clear %v", e, wire.Message{Type: t})
}

const registered = " REGISTERED at "

func TestMemberRegisters(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, askFor(1, ip2), "alice REFUSED: "+channel.Strangers.String())
	msg := register(2, ip6, ip1, ip6)
	out := s.reg.Handle(s.time(), In{From: epA, Member: a, Request: &msg}, nil)
	if len(out) != 1 || out[0].Answer.Lease != 10 || out[0].Answer.Software != "server" || out[0].Answer.ID != 2 {
		t.Errorf("answer %+v", out)
	}
	s.holds(ip1, a)
	s.holds(ip6, a)
	s.says(a, register(2, ip6, ip1), "alice"+registered+"203.0.113.21:49380") // repeated
	s.says(a, register(3, ip6), "alice"+registered+"203.0.113.21:49380")      // gives one back
	s.holds(ip1, nil)
	s.says(a, register(4, ip1, ip3), "alice REFUSED: "+channel.NotYours.String())
	s.says(a, register(5), "alice REFUSED: "+channel.Malformed.String())
	s.holds(ip6, a)
	if got := s.reg.Len(); got != 1 {
		t.Errorf("%d clients, want 1", got)
	}
	s.says(a, channel.Message{Type: channel.Bye, ID: 6})
	s.says(a, register(7, ip1)) // its channel is over
	if s.reg.Len() != 0 || s.reg.Members() != 0 {
		t.Errorf("%d clients, %d members", s.reg.Len(), s.reg.Members())
	}
}

// TestMemberUnbound: a certificate without an address may have any, but one only.
func TestMemberUnbound(t *testing.T) {
	s := newStage(t, Mixed, 0)
	c := s.join(epC, carol)
	s.says(c, register(1, ip1, ip2), "carol REFUSED: "+channel.NotYours.String())
	for _, v := range []string{"0.0.0.0", "::", "127.0.0.1", "224.0.0.1", "ff02::1"} {
		s.says(c, register(1, netip.MustParseAddr(v)), "carol REFUSED: "+channel.NotYours.String())
	}
	s.says(c, register(1, ip1), "carol"+registered+"203.0.113.23:1024")
	s.says(c, register(2, ip2), "carol"+registered+"203.0.113.23:1024")
	s.holds(ip1, nil)
	s.holds(ip2, c)
}

// TestSquatting: nobody gets an address that is not in its certificate, or that
// somebody else uses.
func TestSquatting(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, e := s.join(epA, alice), s.join(epB, eve)
	s.says(e, register(1, ip2), "eve REFUSED: "+channel.NotYours.String())
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(e, register(2, ip1), "eve REFUSED: "+channel.Taken.String())
	s.says(e, register(3, ip1, ip3), "eve REFUSED: "+channel.Taken.String()) // all or none
	s.holds(ip3, nil)
	s.at(3 * sec)
	s.clear(epA, ping, clearly(epA, wire.Pong))
	s.at(8 * sec)
	s.clear(epB, ping, clearly(epB, wire.Pong))
	s.says(e, register(4, ip1), "eve REFUSED: "+channel.Taken.String()) // 5 s of silence are not more
	s.at(8*sec + 1)
	s.says(e, register(5, ip1), "eve"+registered+"203.0.113.22:39538")
	s.holds(ip1, e)
	if s.reg.member(spot{AddrPort: epA}) != nil {
		t.Error("alice, who has lost her address, is not made to come back")
	}
	s.clear(epA, ping, clearly(epA, wire.Reconnect))
}

// TestSameKeyMoves: the newest registration with one key has the address at once.
func TestSameKeyMoves(t *testing.T) {
	s := newStage(t, Mixed, 0)
	old := s.join(epA, alice)
	s.says(old, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	moved := s.join(epD, alice)
	s.holds(ip1, old) // it stays registered until the new channel says so
	s.says(moved, register(1, ip1), "alice"+registered+"198.51.100.4:57888")
	s.holds(ip1, moved)
	s.holds(ip6, old)
	s.says(moved, register(2, ip1, ip6), "alice"+registered+"198.51.100.4:57888")
	s.holds(ip6, moved)
	s.clear(epA, ping, clearly(epA, wire.Reconnect))
	s.says(old, register(3, ip1)) // too late
	s.holds(ip1, moved)
}

// TestChannelReplaced: another handshake at one endpoint keeps what the client has,
// if it is the same client.
func TestChannelReplaced(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	renewed := alice
	renewed.Addrs = []netip.Addr{ip1}
	again := s.join(epA, renewed)
	s.holds(ip1, again)
	s.holds(ip6, nil) // not in the new certificate
	s.says(a, askFor(3, ip2))
	s.want("repeated over the new channel", s.at(500*time.Millisecond), []string{"alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic"})
	s.join(epA, eve)
	s.holds(ip1, nil)
	s.join(epA, bob) // the same client, who has moved to this endpoint
	s.holds(ip2, b)
	if got := s.reg.Members(); got != 2 {
		t.Errorf("%d members, want 2", got)
	}
}

// TestClearAtAMember: what comes in clear from the endpoint of a member may be
// forged, and means nothing.
func TestClearAtAMember(t *testing.T) {
	s := newStage(t, Mixed, 0)
	s.clear(epB, hello(ip2), clearly(epB, wire.OK))
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	for _, m := range []wire.Message{hello(ip1), hello(ip3), ask(ip2), closing(ip2), bye, plain(wire.Pong), plain(wire.OK), plain(wire.Reconnect)} {
		s.clear(epA, m)
	}
	if got := s.reg.Counters().Clear; got != 8 {
		t.Errorf("%d counted, want 8", got)
	}
	s.holds(ip1, a)
	s.clear(epA, ping, clearly(epA, wire.Pong))
	s.at(9 * sec)
	s.clear(epA, ping, clearly(epA, wire.Pong))
	s.at(18 * sec)
	s.holds(ip1, a)
	s.at(19 * sec) // 10 s after the last PING
	s.holds(ip1, nil)
	s.clear(epA, ping, clearly(epA, wire.Reconnect))
}

// TestUpgrade: a client that was registered in clear opens a channel.
func TestUpgrade(t *testing.T) {
	s := newStage(t, Mixed, 0)
	s.clear(epA, hello(ip1), clearly(epA, wire.OK))
	s.clear(epB, hello(ip2), clearly(epB, wire.OK))
	a := s.join(epA, alice)
	s.clear(epB, ask(ip1), fmt.Sprintf("%v in clear %v", epB, wire.Message{Type: wire.Reject, IP1: ip1}))
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	b := s.join(epC, bob)
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.23:1024") // at once, from one in clear
	s.holds(ip2, b)
	s.clear(epB, ping, clearly(epB, wire.Reconnect))
}

// TestModes has who may say HELLO.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode                  Mode
		free, held, wasHeld   wire.Type
		denied                uint64
		downgrades            int
		afterADay, afterADay2 wire.Type
	}{
		{Mixed, wire.OK, wire.NOK, wire.NOK, 4, 3, wire.NOK, wire.OK},
		{Strict, wire.NOK, wire.NOK, wire.NOK, 6, 0, wire.NOK, wire.NOK},
	} {
		t.Run(c.mode.String(), func(t *testing.T) {
			s := newStage(t, c.mode, 0)
			a := s.join(epA, alice)
			s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
			s.clear(epB, hello(ip9), clearly(epB, c.free))
			s.clear(epC, hello(ip1), clearly(epC, c.held))
			s.says(a, channel.Message{Type: channel.Bye})
			s.clear(epC, hello(ip1), clearly(epC, c.wasHeld)) // logged already
			s.at(time.Hour)
			s.clear(epC, hello(ip1), clearly(epC, c.wasHeld))
			s.at(24*time.Hour - 1)
			s.clear(epC, hello(ip1), clearly(epC, c.afterADay))
			s.at(24 * time.Hour)
			s.clear(epC, hello(ip1), clearly(epC, c.afterADay2))
			if got := s.reg.Counters().Denied; got != c.denied {
				t.Errorf("%d counted as denied, want %d", got, c.denied)
			}
			downgrades := 0
			for _, e := range s.events {
				if e.Kind == Downgraded && e.VPN == ip1 && e.Endpoint == epC {
					downgrades++
				}
			}
			if downgrades != c.downgrades {
				t.Errorf("%d downgrades are reported, want %d", downgrades, c.downgrades)
			}
		})
	}
}

// TestOwnAddressAgain: an owner that has registered again, and left again, is
// protected from then on, and the log does not repeat itself for that.
func TestOwnAddressAgain(t *testing.T) {
	s := newStage(t, Mixed, 0)
	for i := range 3 {
		s.at(time.Duration(i) * 10 * time.Minute)
		a := s.join(epA, alice)
		s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
		s.clear(epC, hello(ip1), clearly(epC, wire.NOK))
		s.says(a, channel.Message{Type: channel.Bye})
		s.clear(epC, hello(ip1), clearly(epC, wire.NOK))
	}
	n := 0
	for _, e := range s.events {
		if e.Kind == Downgraded {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d downgrades are reported within an hour, want 1", n)
	}
}

// TestMembersFull: those in clear make room for those who are authenticated, and
// nobody else does.
func TestMembersFull(t *testing.T) {
	s := newStage(t, Mixed, 2)
	s.clear(epB, hello(ip2), clearly(epB, wire.OK))
	s.at(1 * sec)
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	a := s.join(epA, alice)
	s.says(a, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	s.clear(epB, ping, clearly(epB, wire.Reconnect)) // it was silent for longest
	s.clear(epB, hello(ip2), clearly(epB, wire.NOK))
	c := s.join(epD, carol)
	s.says(c, register(1, ip3), "carol"+registered+"198.51.100.4:57888")
	d := s.join(epA2, bob)
	s.says(d, register(1, ip2), "bob REFUSED: "+channel.Full.String())
	s.says(c, channel.Message{Type: channel.Bye})
	s.says(d, register(2, ip2), "bob"+registered+"203.0.113.21:50000")
}

// TestMemberRequests has what a client may say that is no request, or none that
// can be granted.
func TestMemberRequests(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(a, askFor(2, ip2), "alice REFUSED: "+channel.Unknown.String())
	s.says(a, channel.Message{Type: channel.Ask, ID: 3}, "alice REFUSED: "+channel.Malformed.String())
	s.says(a, channel.Message{Type: channel.Ask, ID: 3, VPN: []netip.Addr{ip1, ip2}}, "alice REFUSED: "+channel.Malformed.String())
	s.says(a, channel.Message{Type: channel.Finished, ID: 4, VPN: []netip.Addr{ip2}}, "alice DONE")
	s.says(a, channel.Message{Type: channel.Finished, ID: 4}, "alice DONE")
	s.says(a, channel.Message{Type: channel.Introduce, ID: 5}, "alice REFUSED: "+channel.Unsupported.String())
	s.says(a, channel.Message{Type: 0, ID: 6}, "alice REFUSED: "+channel.Unsupported.String())
	s.says(a, channel.Message{Type: 200, ID: 7}, "alice REFUSED: "+channel.Unsupported.String())
	for _, answer := range []channel.Type{channel.Registered, channel.Peer, channel.Refused, channel.Done} {
		s.says(a, channel.Message{Type: answer, ID: 8})
	}
}
