package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// introduction messages as told describes them.
func forwarded(to, at netip.AddrPort, vpn netip.Addr) string {
	return fmt.Sprintf("%v in clear %v", to, wire.Message{Type: wire.Forward, Port: at.Port(), IP1: at.Addr(), IP2: vpn})
}

func answered(to, at netip.AddrPort, vpn netip.Addr) string {
	return fmt.Sprintf("%v in clear %v", to, wire.Message{Type: wire.Answer, Port: at.Port(), IP1: at.Addr(), IP2: vpn})
}

// TestIntroductions has everybody ask for everybody: over the channel, and in clear.
func TestIntroductions(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))

	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at 203.0.113.22:39538 authentic", "bob INTRODUCE 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic")
	s.says(a, askFor(3, ip3), "alice PEER 10.9.0.3 at 203.0.113.23:1024", forwarded(epC, epA, ip1))
	s.clear(epC, ask(ip2), answered(epC, epB, ip2), "bob INTRODUCE 10.9.0.3 at 203.0.113.23:1024")
	s.says(b, askFor(4, ip6), "bob PEER fd00:9::1 10.9.0.1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	s.says(a, askFor(5, ip1), "alice PEER 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic")
	if got := s.reg.Sessions(); got != 5 {
		t.Errorf("%d sessions, want 5", got)
	}
	s.says(b, channel.Message{Type: channel.Finished, ID: 6, VPN: []netip.Addr{ip1}}, "bob DONE")
	s.clear(epC, closing(ip2))
	if got := s.reg.Sessions(); got != 2 { // by whichever address they were introduced
		t.Errorf("%d sessions, want 2", got)
	}
	s.says(a, channel.Message{Type: channel.Bye})
	s.says(b, askFor(7, ip1), "bob REFUSED: "+channel.Unknown.String())
	if got := s.reg.Sessions(); got != 0 {
		t.Errorf("%d sessions, want none", got)
	}
}

// TestIntroducedNAT: who is introduced learns what the other says about its NAT, the
// last time that it registered, and nothing about one in clear.
func TestIntroducedNAT(t *testing.T) {
	symmetric := nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressAndPortDependent, Ports: nat.Sequential, Step: -2}
	cone := nat.Behaviour{Known: true, Translated: true, Hairpin: true}
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	behind := func(id uint32, v netip.Addr, n nat.Behaviour) channel.Message {
		m := register(id, v)
		m.NAT = n
		return m
	}
	s.says(a, behind(1, ip1, cone), "alice"+registered+"203.0.113.21:49380")
	s.says(b, behind(1, ip2, symmetric), "bob"+registered+"203.0.113.22:39538")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	wants := func(id uint32, v netip.Addr, peer, introduced nat.Behaviour) {
		t.Helper()
		req := askFor(id, v)
		for _, o := range s.reg.Handle(s.time(), In{From: a.at, Local: a.server, Member: a, Request: &req}, nil) {
			if m := o.Answer; m != nil {
				want := map[channel.Type]nat.Behaviour{channel.Peer: peer, channel.Introduce: introduced}[m.Type]
				if m.NAT != want {
					t.Errorf("%v says %+v, want %+v", m.Type, m.NAT, want)
				}
			}
		}
	}
	wants(2, ip2, symmetric, cone)
	wants(3, ip3, nat.Behaviour{}, nat.Behaviour{})
	s.says(b, behind(4, ip2, nat.Behaviour{}), "bob"+registered+"203.0.113.22:39538")
	wants(5, ip2, nat.Behaviour{}, cone)
}

// TestIntroducedInside: two behind one NAT are told where they are in their own
// network, if both say it.
func TestIntroducedInside(t *testing.T) {
	inside := netip.MustParseAddrPort("192.168.1.2:49380")
	inside6 := netip.MustParseAddrPort("[fe80::2]:49380")
	local := func(id uint32, v netip.Addr, at ...netip.AddrPort) channel.Message {
		m := register(id, v)
		m.Endpoints = at
		return m
	}
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epA2, bob)
	s.says(a, local(1, ip1, inside6, inside), "alice"+registered+"203.0.113.21:49380")
	s.says(b, local(1, ip2), "bob"+registered+"203.0.113.21:50000")
	s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.21:50000 authentic")
	s.says(b, local(3, ip2, netip.MustParseAddrPort("192.168.1.3:50000")), "bob"+registered+"203.0.113.21:50000")
	s.says(b, askFor(4, ip1),
		"bob PEER 10.9.0.1 at [fe80::2]:49380 at 192.168.1.2:49380 at 203.0.113.21:49380 authentic",
		"alice INTRODUCE 10.9.0.2 at 192.168.1.3:50000 at 203.0.113.21:50000 authentic")
	s.says(b, channel.Message{Type: channel.Bye})
	s.clear(epA2, helloLocal(ip3, "192.168.1.3:50000"), clearly(epA2, wire.OK))
	s.clear(epA2, ask(ip1), answered(epA2, inside, ip1), "alice INTRODUCE 10.9.0.3 at 192.168.1.3:50000 at 203.0.113.21:50000")
	// Nobody else is told.
	c := s.join(epC, carol)
	s.says(c, local(1, ip9, inside), "carol"+registered+"203.0.113.23:1024")
	s.says(c, askFor(2, ip1), "carol PEER 10.9.0.1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.9 at 203.0.113.23:1024 authentic")
}

// TestIntroducedIPv6: the messages in clear can name no IPv6 endpoint and no IPv6
// VPN address.
func TestIntroducedIPv6(t *testing.T) {
	s := newStage(t, Mixed, 0)
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	far := s.join(epV6, alice)
	s.says(far, register(1, ip1), "alice"+registered+"[2001:db8::7]:4000")
	s.clear(epC, ask(ip1), fmt.Sprintf("%v in clear %v", epC, wire.Message{Type: wire.Reject, IP1: ip1}))
	s.says(far, askFor(2, ip3), "alice REFUSED: "+channel.Denied.String())
	b := s.join(epB, bob)
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at [2001:db8::7]:4000 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	s.says(far, channel.Message{Type: channel.Bye})
	near := s.join(epA, alice)
	s.says(near, register(1, ip6), "alice"+registered+"203.0.113.21:49380")
	s.says(near, askFor(2, ip3), "alice REFUSED: "+channel.Denied.String())
}

// TestIntroduceIsRepeated until it is answered, or in vain.
func TestIntroduceIsRepeated(t *testing.T) {
	const intro = "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic"
	for _, c := range []struct {
		name   string
		answer channel.Type // 0: none
		at     time.Duration
		want   []time.Duration // when it is repeated
	}{
		{"never answered", 0, 0, []time.Duration{500 * ms, 1500 * ms, 3500 * ms}},
		{"at once", channel.Done, 0, nil},
		{"after the second", channel.Done, 700 * ms, []time.Duration{500 * ms}},
		{"refused", channel.Refused, 2 * sec, []time.Duration{500 * ms, 1500 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, Mixed, 0)
			a, b := s.join(epA, alice), s.join(epB, bob)
			s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
			s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
			s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic", intro)
			id := a.intros[0].msg.ID
			var got []time.Duration
			for now := time.Duration(0); now < 8*sec; now += 100 * ms {
				for _, text := range s.at(now) {
					if text != intro {
						t.Errorf("sent %s", text)
					}
					got = append(got, now)
				}
				if c.answer != 0 && now == c.at {
					s.says(a, channel.Message{Type: channel.Done, ID: id + 1}) // somebody else's
					s.says(a, channel.Message{Type: c.answer, ID: id})
				}
				if due := s.reg.Timeout(); !due.IsZero() && !due.After(s.time()) {
					t.Fatalf("at %v, due since %v", now, s.time().Sub(due))
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("repeated at %v, want %v", got, c.want)
			}
			unheard := uint64(0)
			if c.answer == 0 {
				unheard = 1
			}
			if got := s.reg.Counters().Unheard; got != unheard || len(a.intros) != 0 {
				t.Errorf("%d counted as unheard, want %d; %d still wait", got, unheard, len(a.intros))
			}
		})
	}
}

// TestIntroduceClear: what anybody can forge is not made more of.
func TestIntroduceClear(t *testing.T) {
	const intro = "alice INTRODUCE 10.9.0.3 at 203.0.113.23:1024"
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	s.clear(epC, ask(ip1), answered(epC, epA, ip1), intro)
	for now := time.Duration(0); now < 2*sec; now += 100 * ms {
		s.want("sent by itself", s.at(now), nil)
		s.clear(epC, ask(ip1), answered(epC, epA, ip1))
	}
	s.want("sent by itself", s.at(2*sec), nil)
	s.clear(epC, ask(ip1), answered(epC, epA, ip1), intro)
	s.says(a, channel.Message{Type: channel.Done, ID: a.intros[0].msg.ID})
	s.clear(epC, ask(ip1), answered(epC, epA, ip1), intro) // it was answered
	s.clear(epC, bye)
	c := s.join(epC, carol) // the same address, but authentic: she is told at once
	s.says(c, register(1, ip3), "carol"+registered+"203.0.113.23:1024")
	s.says(c, askFor(2, ip1), "carol PEER 10.9.0.1 at 203.0.113.21:49380 authentic", intro+" authentic")
	s.want("repeated", s.at(2500*ms), []string{intro + " authentic"})
}

// TestIntroducesAreBounded: who asks again makes one introduction, and many who ask
// make so many.
func TestIntroducesAreBounded(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	b := s.join(epB, bob)
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	for i := range 10 {
		s.says(b, askFor(uint32(2+i), ip1), "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic",
			"alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	}
	if len(a.intros) != 1 {
		t.Errorf("%d introductions of one client", len(a.intros))
	}
	for i := range 100 {
		at := nthEndpoint(i)
		s.clear(at, hello(nthVPN(1000+i)), clearly(at, wire.OK))
		s.reg.Handle(s.time(), In{From: at, Msg: ask(ip1)}, nil)
		s.check()
	}
	if len(a.intros) != maxIntros {
		t.Errorf("%d introductions wait, want %d", len(a.intros), maxIntros)
	}
	s.at(10 * sec) // all is over
	if got := s.reg.Members(); got != 0 {
		t.Errorf("%d members", got)
	}
}

// TestIntroducedBySeveral: who has several addresses is named by all of them, that
// which was asked for first, and is introduced once.
func TestIntroducedBySeveral(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip6, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	const intro = "bob INTRODUCE 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic"
	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at 203.0.113.22:39538 authentic", intro)
	s.says(b, askFor(3, ip6), "bob PEER fd00:9::1 10.9.0.1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	s.says(b, askFor(4, ip1), "bob PEER 10.9.0.1 fd00:9::1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic")
	if len(a.intros) != 1 || len(b.intros) != 1 {
		t.Errorf("%d and %d introductions wait, want one each", len(a.intros), len(b.intros))
	}
	// In clear, nothing is said of other addresses: there is no room for them.
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	s.clear(epC, ask(ip1), answered(epC, epA, ip1), "alice INTRODUCE 10.9.0.3 at 203.0.113.23:1024")
	s.says(a, askFor(5, ip3), "alice PEER 10.9.0.3 at 203.0.113.23:1024", forwarded(epC, epA, ip1))
	if got := s.reg.Sessions(); got != 3 {
		t.Errorf("%d sessions, want 3", got)
	}
	s.says(a, channel.Message{Type: channel.Finished, ID: 6, VPN: []netip.Addr{ip2}}, "alice DONE")
	if got := s.reg.Sessions(); got != 1 {
		t.Errorf("%d sessions, want that with the client in clear", got)
	}
}

// TestIntroducedRelayed: an ASK may name where the asker can be reached through relays.
// The peer is told that, besides what it is told anyway, and nobody else is.
func TestIntroducedRelayed(t *testing.T) {
	at := func(kind punch.CandidateKind, addr string) punch.Candidate {
		return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: kind}
	}
	through, mapped := at(punch.Relayed, "203.0.113.99:50000"), at(punch.Mapped, "203.0.113.21:7000")
	for _, c := range []struct {
		name       string
		list, want []punch.Candidate
	}{
		{"none", nil, []punch.Candidate{mapped}},
		{"one", []punch.Candidate{through}, []punch.Candidate{mapped, through}},
		{"of another kind", []punch.Candidate{at(punch.Host, "203.0.113.99:50000")}, []punch.Candidate{mapped}},
		{"nowhere", []punch.Candidate{at(punch.Relayed, "224.0.0.1:5")}, []punch.Candidate{mapped}},
		{"many", slices.Repeat([]punch.Candidate{through}, 9), append([]punch.Candidate{mapped}, slices.Repeat([]punch.Candidate{through}, maxRelayed)...)},
	} {
		s := newStage(t, Mixed, 0)
		a, b := s.join(epA, alice), s.join(epB, bob)
		where := register(1, ip1)
		where.Candidates = []punch.Candidate{mapped}
		s.says(a, where, "alice"+registered+"203.0.113.21:49380")
		s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
		hears := func(m *Member, v netip.Addr, list, want []punch.Candidate) {
			t.Helper()
			req := askFor(2, v)
			req.Candidates = list
			for _, o := range s.reg.Handle(s.time(), In{From: m.at, Local: m.server, Member: m, Request: &req}, nil) {
				if o.Answer != nil && o.Answer.Type == channel.Introduce && !slices.Equal(o.Answer.Candidates, want) {
					t.Errorf("%s: introduced at %v, want %v", c.name, o.Answer.Candidates, want)
				}
			}
		}
		hears(a, ip2, c.list, c.want)
		hears(b, ip1, nil, nil)
		hears(a, ip2, nil, []punch.Candidate{mapped}) // it is not kept
	}
}
