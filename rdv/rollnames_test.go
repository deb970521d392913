package rdv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"campagnol/pki"
	"campagnol/rdv/channel"
)

// names has a member ask for all whom it may talk with, with names.
func (s *stage) names(m *Member) (got []channel.Member, pieces int) {
	s.t.Helper()
	req := &channel.Message{Type: channel.List, ID: 9, Named: true}
	for pieces = 1; ; pieces++ {
		out := s.reg.Handle(s.time(), In{From: m.at, Local: here, Member: m, Request: req}, nil)
		if len(out) != 1 || out[0].Answer.Type != channel.Listed || !out[0].Answer.Named {
			s.t.Fatalf("asked for a list with names: %v", s.told(out))
		}
		b := out[0].Answer.Append(nil)
		a, err := channel.Parse(b)
		if err != nil || len(b) > channel.MaxSize {
			s.t.Fatalf("%d bytes: %v", len(b), err)
		}
		some, ok := channel.ParseMembers(a.Data)
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

// TestListNames: who asks for names gets those of certificates, in as many pieces as
// that takes; but of those alone whom the policy lets it talk with, and who asks without
// gets addresses.
func TestListNames(t *testing.T) {
	s := newStage(t, Strict, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	const members = 100
	var want []channel.Member
	for i := range members {
		v := netip.AddrFrom4([4]byte{10, 10, 0, byte(i)})
		name := fmt.Sprintf("host%d%s", i, strings.Repeat("x", i%70))
		m := s.reg.Join(s.time(), spot{AddrPort: netip.AddrPortFrom(v, 1)}, here, Identity{Key: pki.KeyID{9, byte(i)}, Name: name, Addrs: []netip.Addr{v}})
		m.attrs = &pki.Attributes{}
		if i%7 == 0 {
			m.attrs.Routes = []netip.Prefix{netip.MustParsePrefix("172.20.0.0/16")}
		}
		if len(name) > channel.MaxName {
			name = ""
		}
		want = append(want, channel.Member{Addr: v, Name: name, Gateway: i%7 == 0})
		s.reg.Handle(s.time(), In{From: m.at, Local: here, Member: m, Request: asking(register(1, v))}, nil)
	}
	got, pieces := s.names(a)
	if !slices.Equal(got, want) || pieces < 2 {
		t.Errorf("%d listed of %d in %d pieces: %v", len(got), members, pieces, got)
	}
	if plain, _ := s.list(a); len(plain) != members {
		t.Errorf("%d addresses for who asks for no names, want %d", len(plain), members)
	}
	s.reg.SetRules(rules(t, "default deny\n"))
	if got, _ := s.names(a); len(got) != 0 {
		t.Errorf("with nobody allowed: %v", got)
	}
}
