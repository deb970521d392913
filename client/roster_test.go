package client

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/tunnel/device"
	"campagnol/tunnel/l2/ether"
)

// listing makes a testRDV answer LIST as answer says, given after which address it is
// asked.
func listing(answer func(c *testChannel, after netip.Addr) channel.Message) func(*testRDV) {
	return func(r *testRDV) {
		r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
			if m.Type != channel.List {
				return false
			}
			var after netip.Addr
			if len(m.VPN) == 1 {
				after = m.VPN[0]
			}
			r.answer(c, m, answer(c, after))
			return true
		}
	}
}

// listed returns an answer with addresses, behind which there are more if more is one.
func listed(more netip.Addr, addrs ...netip.Addr) channel.Message {
	m := channel.Message{Type: channel.Listed, Data: channel.AppendAddrs(nil, addrs...)}
	if more.IsValid() {
		m.VPN = []netip.Addr{more}
	}
	return m
}

// nthMember returns the address 10.9.0.0 + n.
func nthMember(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a090000+uint32(n))
	return netip.AddrFrom4(b)
}

// ask returns the frame in which the system of s asks all who has an address.
func (s *station) ask(vpn netip.Addr) []byte {
	q := ether.ARPPacket{Op: ether.ARPRequest, Sender: s.mac, SenderIP: s.vpn, TargetIP: vpn}
	return q.Append(append(s.mac.Append(ether.Broadcast.Append(nil)), 0x08, 0x06))
}

// known returns the members that the RDV has listed.
func (s *station) known() (list []netip.Addr) {
	s.t.Helper()
	if err := s.client.do(s.t.Context(), func(time.Time) { list = slices.Clone(s.client.eth.roster.members) }); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestRosterPieces: a list may come in several pieces, of which some are empty.
func TestRosterPieces(t *testing.T) {
	inBubble(t, func(v *vpn) {
		one, two, three := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3")
		v.startTestRDV(listing(func(_ *testChannel, after netip.Addr) channel.Message {
			switch after {
			case netip.Addr{}:
				return listed(one, one)
			case one:
				return listed(two) // a policy keeps all of this piece from us
			}
			return listed(netip.Addr{}, three, three, one)
		}))
		a := v.station(1, nil)
		c := v.station(3, nil)
		pass(8 * time.Second)
		if got := a.known(); !slices.Equal(got, []netip.Addr{one, three}) {
			t.Errorf("a knows %v, want each of both once", got)
		}
		if s := a.state(c.node); s != "ESTABLISHED" {
			t.Errorf("a and c: %s", s)
		}
	})
}

// TestRosterLiar: lists of an RDV that lies cost a bounded number of messages and a
// bounded memory, and tunnels that are open stay.
func TestRosterLiar(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(after netip.Addr) channel.Message
		lists  int // messages of both clients in half a minute, at most
		known  int
	}{
		{"thousands of members", func(after netip.Addr) channel.Message {
			first := 2
			if after.IsValid() {
				b := after.As4()
				first = int(binary.BigEndian.Uint32(b[:])) - 0x0a090000 + 1
			}
			var addrs []netip.Addr
			for i := range channel.MaxListed {
				addrs = append(addrs, nthMember(first+i))
			}
			return listed(addrs[len(addrs)-1], addrs...)
		}, 2 * 8 * (maxRoster/channel.MaxListed + 1), maxRoster},
		{"the same piece again and again", func(netip.Addr) channel.Message {
			return listed(nthMember(2), nthMember(2))
		}, 40, 1},
		{"empty pieces without end", func(after netip.Addr) channel.Message {
			if !after.IsValid() {
				after = nthMember(0)
			}
			return listed(after.Next())
		}, 4*maxPieces + 80, 0},
		{"ourselves, everybody and nobody", func(netip.Addr) channel.Message {
			return listed(netip.Addr{}, nthMember(1), nthMember(255), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("0.0.0.0"))
		}, 40, 5},
		{"what is no list", func(netip.Addr) channel.Message {
			return channel.Message{Type: channel.Listed, Data: []byte{1, 2, 3}}
		}, 40, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				var lying bool
				r := v.startTestRDV(listing(func(_ *testChannel, after netip.Addr) channel.Message {
					if lying {
						return c.answer(after)
					}
					return listed(netip.Addr{}, nthMember(1), nthMember(2))
				}))
				a := v.station(1, nil)
				b := v.station(2, nil)
				pass(8 * time.Second)
				before := 0
				r.with(func() { lying = true; before = len(r.heard) })
				pass(30 * time.Second)
				lists, asks := 0, 0
				r.with(func() {
					for _, m := range r.heard[before:] {
						if strings.HasPrefix(m, "LIST") {
							lists++
						}
						if strings.HasPrefix(m, "ASK") {
							asks++
						}
					}
				})
				if lists == 0 || lists > c.lists {
					t.Errorf("%d times LIST, want at most %d", lists, c.lists)
				}
				if limit := 20 * max(c.known, 2); asks > limit {
					t.Errorf("%d times ASK, want at most %d", asks, limit)
				}
				if got := len(a.known()); got > max(c.known, 2) {
					t.Errorf("a knows %d members, want at most %d", got, max(c.known, 2))
				}
				a.says(frameOf(b.mac, a.mac, "still-there"))
				want(t, "while the RDV lies", map[*station]string{b: "still-there"})
			})
		})
	}
}

// TestRosterLeaves: who has left is not listed any more, and is not looked for without
// end; who comes back is met again.
func TestRosterLeaves(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		a, b, c := all[0], all[1], all[2]
		b.stop()
		pass(2 * rosterInterval)
		if got := a.known(); slices.Contains(got, b.vpn) || !slices.Contains(got, c.vpn) {
			t.Errorf("a knows %v after b has left", got)
		}
		asked := a.logged("Asking the RDV server for peer")
		pass(5 * time.Minute)
		if n := a.logged("Asking the RDV server for peer"); n != asked {
			t.Errorf("a has asked %d times for who is not there", n-asked)
		}
		b = v.stationAt(b.site, 2, nil)
		pass(8 * time.Second)
		if s := a.state(b.node); s != "ESTABLISHED" {
			t.Errorf("a and b, which is back: %s", s)
		}
	})
}

// TestRosterAway: without the RDV open tunnels stay, though nothing goes through them.
func TestRosterAway(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		v.stop()
		v.stop = func() {}
		pass(10 * time.Minute)
		all[0].hears()
		all[1].hears()
		all[2].hears()
		all[0].says(frameOf(ether.Broadcast, all[0].mac, "anybody"))
		want(t, "ten minutes without the RDV", map[*station]string{all[1]: "anybody", all[2]: "anybody"})
		for i, s := range all {
			for _, o := range all[i+1:] {
				if got := s.state(o.node); got != "ESTABLISHED" {
					t.Errorf("%v and %v: %s", s.vpn, o.vpn, got)
				}
			}
		}
	})
}

// TestRosterInClear: a server without certificate lists nobody. The log says so, once
// and on what to do, and tunnels are opened to whom hosts look for.
func TestRosterInClear(t *testing.T) {
	inBubble(t, func(v *vpn) {
		var all []*station
		for n := 1; n <= 2; n++ {
			site, addr := v.home(n, portRestricted), nthMember(n)
			dev := device.NewMemoryEthernet("tap0", nil)
			s := &station{mac: HardwareAddr(addr), site: site}
			s.node = v.node(site, "192.168.1.2:5000", addr.String(), frames(dev, addr.String(), nil))
			s.node.dev = dev
			all = append(all, s)
		}
		a, b := all[0], all[1]
		pass(8 * time.Second)
		if s := a.state(b.node); s != "CLOSED" {
			t.Errorf("a and b, whom nobody has listed: %s", s)
		}
		question := a.ask(b.vpn)
		a.says(question)
		pass(time.Second)
		if s := a.state(b.node); s != "ESTABLISHED" {
			t.Errorf("a and b after a question: %s", s)
		}
		pass(5 * time.Minute)
		if s := a.state(b.node); s != "CLOSED" {
			t.Errorf("an idle tunnel, which nobody has listed: %s", s)
		}
		if n := a.logged("The RDV server does not list the members"); n != 1 || a.logged("campagnol ca issue NAME --rdv") != 1 {
			t.Errorf("said %d times, want once and what to do:\n%s", n, a.log)
		}
	})
}

// TestRosterRefused: likewise of a server that has a channel and lists nobody, until it
// does.
func TestRosterRefused(t *testing.T) {
	inBubble(t, func(v *vpn) {
		refuse := true
		r := v.startTestRDV(listing(func(*testChannel, netip.Addr) channel.Message {
			if refuse {
				return channel.Message{Type: channel.Refused, Reason: channel.Malformed}
			}
			return listed(netip.Addr{}, nthMember(1), nthMember(2))
		}))
		a := v.station(1, nil)
		b := v.station(2, nil)
		pass(2 * rosterInterval)
		if n := a.logged("The RDV server does not list the members"); n != 1 {
			t.Errorf("said %d times, want once", n)
		}
		a.says(a.ask(b.vpn))
		pass(time.Second)
		if s := a.state(b.node); s != "ESTABLISHED" {
			t.Errorf("a and b after a question: %s", s)
		}
		r.with(func() { refuse = false })
		pass(2 * rosterInterval)
		if got := a.known(); len(got) != 2 {
			t.Errorf("a knows %v", got)
		}
		pass(5 * time.Minute)
		if s := a.state(b.node); s != "ESTABLISHED" {
			t.Errorf("a and b, now listed: %s", s)
		}
	})
}

// TestRosterDemand: with mesh = demand nobody asks for the list.
func TestRosterDemand(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(listing(func(*testChannel, netip.Addr) channel.Message { return listed(netip.Addr{}, nthMember(2)) }))
		a := v.station(1, func(e *Ethernet) { e.FullMesh, e.Switch.OnDemand = false, true })
		pass(time.Minute)
		if n := r.count("LIST"); n != 0 || a.logged("does not list") != 0 {
			t.Errorf("%d times LIST, log:\n%s", n, a.log)
		}
	})
}
