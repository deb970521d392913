package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// relayNode makes a member with a VPN address, which relays, or takes that back.
func (s *stage) relayNode(i int, relays bool, id Identity) *Member {
	s.t.Helper()
	m := s.join(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(100 + i/250), byte(1 + i%250)}), 4000), id)
	s.hears(m, channel.Message{Type: channel.Register, ID: 1, VPN: id.Addrs[:1], Relays: relays})
	return m
}

// relayID returns the identity of the i-th relay.
func relayID(i int) Identity {
	return Identity{Key: pki.KeyID{9, byte(i), byte(i >> 8)}, Name: fmt.Sprint("relay", i),
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(1 + i/250), byte(1 + i%250)})}}
}

// via returns the relays that the two ends of an ASK are told of, and checks that they
// are told the same.
func (s *stage) via(asker, asked *Member, vpn netip.Addr) []netip.Addr {
	s.t.Helper()
	out := s.hears(asker, askFor(50, vpn))
	if len(out) != 2 || out[0].Answer.Type != channel.Peer || out[1].Answer.Type != channel.Introduce || out[1].Member != asked {
		s.t.Fatalf("an ASK for %v: %v", vpn, s.told(out))
	}
	if !slices.Equal(out[0].Answer.Via, out[1].Answer.Via) {
		s.t.Errorf("one is told of %v, the other one of %v", out[0].Answer.Via, out[1].Answer.Via)
	}
	return out[0].Answer.Via
}

// TestPeerRelays: who are introduced are told of those who relay, as long as they do.
func TestPeerRelays(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	want := func(what string, addrs ...netip.Addr) {
		t.Helper()
		got := s.via(a, b, ip2)
		slices.SortFunc(got, netip.Addr.Compare)
		if !slices.Equal(got, addrs) {
			t.Errorf("%s: %v, want %v", what, got, addrs)
		}
	}
	want("nobody relays")
	r0, r1 := relayID(0).Addrs[0], relayID(1).Addrs[0]
	first := s.relayNode(0, true, relayID(0))
	want("one relays", r0)
	second := s.relayNode(1, true, relayID(1))
	want("two relay", r0, r1)
	s.hears(first, channel.Message{Type: channel.Register, ID: 2, VPN: relayID(0).Addrs})
	want("the first does no longer", r1)
	s.says(second, channel.Message{Type: channel.Bye, ID: 3})
	want("the second has left")

	// One that is a relay itself is none for what it sends itself.
	s.hears(a, channel.Message{Type: channel.Register, ID: 4, VPN: []netip.Addr{ip1}, Relays: true})
	want("one of the two relays")
	// Over another channel it is the same member.
	again := s.join(epA, alice)
	if got := s.reg.relays.members; len(got) != 1 || got[0] != again {
		t.Errorf("after another handshake %d relays", len(got))
	}
	s.at(20 * time.Second)
	if n := len(s.reg.relays.members); n != 0 {
		t.Errorf("%d relays after everybody was silent", n)
	}
}

// TestPeerRelaysInClear: a client in clear is told of none, and is none.
func TestPeerRelaysInClear(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.relayNode(0, true, relayID(0))
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	if out := s.hears(a, askFor(2, ip3)); len(out) == 0 || len(out[0].Answer.Via) != 0 {
		t.Errorf("about a client in clear: %v", s.told(out))
	}
}

// TestPeerRelaysSpread: of many relays a pair is always told of the same few, other pairs
// of others, and all of them have something to do.
func TestPeerRelaysSpread(t *testing.T) {
	s := newStage(t, Mixed, 0)
	const relays, pairs = 12, 60
	for i := range relays {
		s.relayNode(i, true, relayID(i))
	}
	b := s.join(epB, bob)
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	used := map[netip.Addr]int{}
	for i := range pairs {
		id := relayID(500 + i)
		m := s.relayNode(500+i, false, id)
		via := s.via(m, b, ip2)
		if len(via) != channel.MaxVia {
			t.Fatalf("%d relays, want %d", len(via), channel.MaxVia)
		}
		s.at(s.now + 10*time.Millisecond)
		if again := s.via(b, m, id.Addrs[0]); !slices.Equal(via, again) {
			t.Errorf("asked from the other end: %v, want %v", again, via)
		}
		for _, v := range via {
			used[v]++
		}
	}
	for i := range relays {
		// 15 on average; that a fair choice gives one less than 2 happens once in
		// 100,000 times.
		if n := used[relayID(i).Addrs[0]]; n < 2 {
			t.Errorf("relay %d was named %d times of %d", i, n, pairs*channel.MaxVia)
		}
	}
}

// TestPeerRelaysPolicy: only those are named whom the policy lets relay, and whom both
// may talk with.
func TestPeerRelaysPolicy(t *testing.T) {
	ca := pkitest.NewCA(t, "CA", time.Now())
	certified := func(id Identity) Identity {
		var addrs []string
		for _, a := range id.Addrs {
			addrs = append(addrs, a.String())
		}
		id.Leaf = ca.Issue(t, id.Name, pkitest.Addrs(addrs...)).Cert.Raw
		return id
	}
	for _, c := range []struct {
		name, policy string
		want         []int
	}{
		{"nobody relays", "default allow\n", nil},
		{"one may", "default allow\nallow relay: all <-> all through relay1\n", []int{1}},
		{"both may", "default allow\nallow relay: alice <-> bob through all\n", []int{0, 1}},
		{"not for the two", "default allow\nallow relay: relay0 <-> bob through all\n", nil},
		{"one may not be talked with", "deny bob <-> relay0\nallow all <-> all\nallow relay: all <-> all through all\n", []int{1}},
		{"talking one way is enough", "allow relay0 -> bob\nallow alice -> all\nallow relay: all <-> all through all\n", []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, Mixed, 0)
			s.reg.SetRules(rules(t, c.policy))
			a, b := s.join(epA, certified(alice)), s.join(epB, certified(bob))
			s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
			s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
			var want []netip.Addr
			for i := range 2 {
				s.relayNode(i, true, certified(relayID(i)))
			}
			for _, i := range c.want {
				want = append(want, relayID(i).Addrs[0])
			}
			got := s.via(a, b, ip2)
			slices.SortFunc(got, netip.Addr.Compare)
			if !slices.Equal(got, want) {
				t.Errorf("told of %v, want %v", got, want)
			}
			for _, e := range s.events {
				if e.Kind == Forbidden {
					t.Errorf("choosing relays is no attempt to talk: %+v", e)
				}
			}
		})
	}
}

// TestPeerRelaysBounded: however many say that they relay, so many are looked at.
func TestPeerRelaysBounded(t *testing.T) {
	s := newStage(t, Mixed, 0)
	for i := range maxPeerRelays + 20 {
		s.relayNode(i, true, relayID(i))
	}
	if n := len(s.reg.relays.members); n != maxPeerRelays {
		t.Errorf("%d relays, want %d", n, maxPeerRelays)
	}
}
