package rdv

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

func place(addr string, kind punch.CandidateKind, scope string) punch.Candidate {
	return punch.Candidate{Addr: netip.MustParseAddrPort(addr), Kind: kind, Scope: scope}
}

// reachable is a REGISTER that says where its sender can be reached.
func reachable(id uint32, v netip.Addr, scopes []string, list ...punch.Candidate) channel.Message {
	m := register(id, v)
	m.Scopes, m.Candidates = scopes, list
	return m
}

// places are one candidate of each sort.
var places = []punch.Candidate{
	place("192.168.1.2:1", punch.Host, ""),
	place("[2001:db8::1]:2", punch.Host, ""),
	place("100.64.0.9:3", punch.Mapped, ""),
	place("198.51.100.9:4", punch.Mapped, ""),
	place("10.1.2.3:5", punch.Configured, ""),
	place("10.1.2.3:6", punch.Configured, "office"),
}

// What a peer is told of places.
const (
	toldAll     = " or configured 10.1.2.3:6 office" + toldInside
	toldInside  = " or host 192.168.1.2:1  or host [2001:db8::1]:2  or mapped 100.64.0.9:3  or mapped 198.51.100.9:4  or configured 10.1.2.3:5 "
	toldOutside = " or host [2001:db8::1]:2  or mapped 198.51.100.9:4  or configured 10.1.2.3:5 "
)

// TestWhoLearnsWhichPlaces: everybody gets those of a member's places that it may be
// able to use, and no others.
func TestWhoLearnsWhichPlaces(t *testing.T) {
	lab, office, both := []string{"lab"}, []string{"office"}, []string{"lab", "office"}
	for _, c := range []struct {
		name         string
		ours, theirs []string // scopes
		at           netip.AddrPort
		want         string
	}{
		{"a stranger", nil, nil, epB, toldOutside},
		{"behind the same NAT", nil, nil, epA2, toldInside},
		{"a scope in common", lab, lab, epB, toldInside},
		{"another scope", lab, []string{"home"}, epB, toldOutside},
		{"in the scope of a place", nil, office, epB, " or configured 10.1.2.3:6 office" + toldOutside},
		{"all of it", both, both, epB, toldAll},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, Mixed, 0)
			a, b := s.join(epA, alice), s.join(c.at, bob)
			s.says(a, reachable(1, ip1, c.ours, places...), "alice"+registered+"203.0.113.21:49380")
			s.says(b, reachable(1, ip2, c.theirs), "bob"+registered+c.at.String())
			intro := "alice INTRODUCE 10.9.0.2 at " + c.at.String() + " authentic"
			s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic"+c.want, intro)
			// And if it is the other that asks.
			s.says(a, askFor(3, ip2), "alice PEER 10.9.0.2 at "+c.at.String()+" authentic",
				"bob INTRODUCE 10.9.0.1 at 203.0.113.21:49380 authentic"+c.want)
		})
	}
}

// TestPlacesNotTwice: what is among the endpoints is no candidate besides.
func TestPlacesNotTwice(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epA2, bob)
	m := reachable(1, ip1, nil, place("192.168.1.2:1", punch.Host, ""), place("203.0.113.21:49380", punch.Mapped, ""))
	m.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:1")}
	s.says(a, m, "alice"+registered+"203.0.113.21:49380")
	n := register(1, ip2)
	n.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.168.1.3:1")}
	s.says(b, n, "bob"+registered+"203.0.113.21:50000")
	s.says(b, askFor(2, ip1), "bob PEER 10.9.0.1 at 192.168.1.2:1 at 203.0.113.21:49380 authentic",
		"alice INTRODUCE 10.9.0.2 at 192.168.1.3:1 at 203.0.113.21:50000 authentic")
}

// TestClientsInClearLearnNoPlaces: there is no room for them in their messages.
func TestClientsInClearLearnNoPlaces(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a := s.join(epA, alice)
	s.says(a, reachable(1, ip1, nil, places...), "alice"+registered+"203.0.113.21:49380")
	s.clear(epC, hello(ip3), clearly(epC, wire.OK))
	s.clear(epC, ask(ip1), answered(epC, epA, ip1), "alice INTRODUCE 10.9.0.3 at 203.0.113.23:1024")
	s.says(a, askFor(2, ip3), "alice PEER 10.9.0.3 at 203.0.113.23:1024", forwarded(epC, epA, ip1))
}

// TestRegisterAgain: a REGISTER over the channel that stands replaces what the last one
// said, costs no registration, and is answered as the first.
func TestRegisterAgain(t *testing.T) {
	s := newStage(t, Mixed, 2)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, reachable(1, ip1, nil, place("[2001:db8::1]:2", punch.Host, "")), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	client := s.reg.byVPN[ip1]

	again := reachable(2, ip1, nil, place("198.51.100.9:4", punch.Mapped, ""))
	again.NAT = nat.Behaviour{Known: true, Translated: true, Mapping: nat.AddressDependent}
	s.says(a, again, "alice"+registered+"203.0.113.21:49380")
	s.says(a, again, "alice"+registered+"203.0.113.21:49380") // its answer was lost
	if s.reg.byVPN[ip1] != client || s.reg.Len() != 2 {
		t.Error("the registration is another one")
	}
	const peer, intro = "bob PEER 10.9.0.1 at 203.0.113.21:49380 authentic", "alice INTRODUCE 10.9.0.2 at 203.0.113.22:39538 authentic"
	s.says(b, askFor(2, ip1), peer+" or mapped 198.51.100.9:4  mapping address-dependent", intro)

	// Another channel of the same client goes on with it until it says something else.
	a = s.join(epA, alice)
	s.says(b, askFor(3, ip1), peer+" or mapped 198.51.100.9:4  mapping address-dependent", intro)
	s.says(a, register(3, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, askFor(4, ip1), peer, intro)
	if a.told != nil {
		t.Error("nothing takes memory")
	}
}

// TestHostilePlaces: a member that names as many strange places as fit a message makes
// nobody learn of those where no host is, and every message can be sent.
func TestHostilePlaces(t *testing.T) {
	scope := strings.Repeat("s", punch.MaxScope)
	scopes := []string{scope}
	for i := range 7 {
		scopes = append(scopes, fmt.Sprint(i, scope[1:]))
	}
	var many []punch.Candidate
	for _, bad := range []string{"127.0.0.1:1", "224.0.0.1:1", "0.0.0.0:1", "255.255.255.255:1", "[::1]:1", "[fe80::1]:1", "[ff02::1]:1"} {
		many = append(many, place(bad, punch.Host, ""), place(bad, punch.Configured, scope))
	}
	for i := range 16 {
		many = append(many, place(fmt.Sprintf("[2001:db8::%x]:1", i+1), punch.Configured, scope))
	}
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, reachable(1, ip1, scopes, many...), "alice"+registered+"203.0.113.21:49380")
	s.says(b, reachable(1, ip2, scopes), "bob"+registered+"203.0.113.22:39538")
	if len(a.told) > channel.MaxSize {
		t.Errorf("%d bytes are kept of a member", len(a.told))
	}
	out := s.reg.Handle(s.time(), In{From: b.at, Local: b.server, Member: b, Request: &channel.Message{Type: channel.Ask, ID: 2, VPN: []netip.Addr{ip1}}}, nil)
	peer := out[0].Answer
	if n := len(peer.Append(nil)); n > channel.MaxSize {
		t.Errorf("a message of %d bytes", n)
	}
	if len(peer.Candidates) < 10 {
		t.Errorf("%d candidates are left, want those for which there is room", len(peer.Candidates))
	}
	for _, c := range peer.Candidates {
		if !strings.HasPrefix(c.Addr.String(), "[2001:db8::") {
			t.Errorf("bob learns of %v", c.Addr)
		}
	}
}

// TestPlacesAreSmall: what a usual member says takes little memory.
func TestPlacesAreSmall(t *testing.T) {
	m := new(Member)
	m.keep(&channel.Message{
		NAT:        nat.Behaviour{Known: true, Translated: true},
		Candidates: []punch.Candidate{place("192.168.1.2:40000", punch.Host, ""), place("[2001:db8::1]:40000", punch.Host, "")},
	})
	if n := cap(m.told); n > 64 {
		t.Errorf("%d bytes for two addresses and a NAT", n)
	}
	if got := m.said(); len(got.Candidates) != 2 || !got.NAT.Translated {
		t.Errorf("read back: %+v", got)
	}
	if got := (*Member)(nil).said(); !reflect.DeepEqual(got, channel.Message{}) {
		t.Errorf("a client in clear said %+v", got)
	}
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"203.0.113.1:1", "203.0.113.1:2", true},
		{"203.0.113.1:1", "203.0.113.2:1", false},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::1]:1", true},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		{"203.0.113.1:1", "[2001:db8::1]:1", false},
		{"[2001:db8::1]:1", "203.0.113.1:1", false},
	} {
		at := func(s string) *client { return &client{member: &Member{at: netip.MustParseAddrPort(s)}} }
		if got := near(at(c.a), at(c.b)); got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
