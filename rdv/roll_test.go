package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// list has a member ask for all whom it may talk with, and returns them and how many
// pieces the list came in.
func (s *stage) list(m *Member) (got []netip.Addr, pieces int) {
	s.t.Helper()
	req := &channel.Message{Type: channel.List, ID: 9}
	for pieces = 1; ; pieces++ {
		out := s.reg.Handle(s.time(), In{From: m.at, Local: here, Member: m, Request: req}, nil)
		if len(out) != 1 || out[0].Member != m || out[0].Answer.Type != channel.Listed || out[0].Answer.ID != 9 {
			s.t.Fatalf("asked for a list: %v", s.told(out))
		}
		b := out[0].Answer.Append(nil)
		a, err := channel.Parse(b)
		if err != nil {
			s.t.Fatalf("%d bytes: %v", len(b), err)
		}
		some, ok := channel.ParseAddrs(a.Data)
		if !ok {
			s.t.Fatalf("listed %x", a.Data)
		}
		got = append(got, some...)
		if len(a.VPN) == 0 {
			return got, pieces
		}
		req.VPN = a.VPN
	}
}

// TestList: who has a channel is listed for others that have one, each once and in
// order, but for itself.
func TestList(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, channel.Message{Type: channel.List, ID: 1}, "alice REFUSED: "+channel.Strangers.String())
	s.says(a, register(1, ip1, ip6), "alice"+registered+"203.0.113.21:49380")
	if got, _ := s.list(a); len(got) != 0 {
		t.Errorf("alice alone: %v", got)
	}
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	if got, _ := s.list(a); len(got) != 0 {
		t.Errorf("in the same moment: %v, and the list was made before", got)
	}
	s.at(rollLife)
	for _, c := range []struct {
		m    *Member
		want []netip.Addr
	}{{a, []netip.Addr{ip2}}, {b, []netip.Addr{ip1, ip6}}} {
		if got, _ := s.list(c.m); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.m.id.Name, got, c.want)
		}
	}
	s.reg.Leave(s.time(), b, "it leaves")
	if got, _ := s.list(a); len(got) != 0 {
		t.Errorf("who has left is listed: %v", got)
	}
}

// TestListRules: nobody is told of those that the policy keeps from it.
func TestListRules(t *testing.T) {
	s := newStage(t, Strict, 0)
	s.reg.SetRules(rules(t, "default deny\nallow 10.9.0.1 -> 10.9.0.2\n"))
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	if got, _ := s.list(a); !slices.Equal(got, []netip.Addr{ip2}) {
		t.Errorf("alice: %v", got)
	}
	if got, _ := s.list(b); len(got) != 0 {
		t.Errorf("bob, whom the policy does not let open a tunnel to alice: %v", got)
	}
}

// TestListMany: a long list comes in pieces, also if the policy leaves nothing of it.
func TestListMany(t *testing.T) {
	const members = 3*maxLooked + 5
	s := newStage(t, Strict, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	var want []netip.Addr
	for i := range members {
		v := netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)})
		want = append(want, v)
		id := Identity{Key: pki.KeyID{9, byte(i >> 8), byte(i)}, Name: fmt.Sprint(i), Addrs: []netip.Addr{v}}
		m := s.reg.Join(s.time(), spot{AddrPort: netip.AddrPortFrom(v, 1)}, here, id)
		s.reg.Handle(s.time(), In{From: m.at, Local: here, Member: m, Request: asking(register(1, v))}, nil)
	}
	before := s.reg.Counters().Lists
	got, pieces := s.list(a)
	if n := s.reg.Counters().Lists - before; n != uint64(pieces) {
		t.Errorf("%d pieces are counted, want %d", n, pieces)
	}
	if !slices.Equal(got, want) || pieces != (members+channel.MaxListed-1)/channel.MaxListed {
		t.Errorf("%d listed of %d, in %d pieces", len(got), members, pieces)
	}
	s.reg.SetRules(rules(t, "default deny\n"))
	if got, pieces := s.list(a); len(got) != 0 || pieces != 4 {
		t.Errorf("with nobody allowed: %d listed, in %d pieces", len(got), pieces)
	}
}

// TestListShare: nobody gets so many lists that others have to wait.
func TestListShare(t *testing.T) {
	s := newStage(t, Strict, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	ask := func(m *Member) (refused bool) {
		t.Helper()
		out := s.reg.Handle(s.time(), In{From: m.at, Local: here, Member: m, Request: &channel.Message{Type: channel.List, ID: 9}}, nil)
		if len(out) != 1 {
			t.Fatalf("%v", s.told(out))
		}
		if out[0].Answer.Type == channel.Refused && out[0].Answer.Reason != channel.Busy {
			t.Fatalf("%v", s.told(out))
		}
		return out[0].Answer.Type == channel.Refused
	}
	got := 0
	for range 10 * listBurst {
		if !ask(a) {
			got++
		}
	}
	if got != listBurst+1 {
		t.Errorf("alice has got %d pieces at once, want %d", got, listBurst+1)
	}
	if ask(b) {
		t.Error("bob has to wait for alice")
	}
	s.at(listEvery)
	if ask(a) || !ask(a) {
		t.Error("alice does not get one piece after a while")
	}
}

func asking(m channel.Message) *channel.Message { return &m }

// BenchmarkList is a whole list of many, of which the order is kept for a while.
func BenchmarkList(b *testing.B) {
	reg := NewRegistry(RegistryConfig{Mode: Strict})
	now := time.Unix(0, 0)
	var m *Member
	for i := range 1000 {
		v := netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)})
		m = reg.Join(now, spot{AddrPort: netip.AddrPortFrom(v, 1)}, here, Identity{Key: pki.KeyID{byte(i >> 8), byte(i)}, Addrs: []netip.Addr{v}})
		reg.Handle(now, In{From: m.at, Local: here, Member: m, Request: asking(register(1, v))}, nil)
	}
	var out []Out
	for b.Loop() {
		m.listed = 0
		req := &channel.Message{Type: channel.List}
		for {
			out = reg.Handle(now, In{From: m.at, Local: here, Member: m, Request: req}, out[:0])
			if req.VPN = out[0].Answer.VPN; len(req.VPN) == 0 {
				break
			}
		}
	}
}
