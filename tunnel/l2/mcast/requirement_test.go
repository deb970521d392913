package mcast

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// Groups and sources of the tests.
const (
	wide, wide6     = "239.1.2.3", "ff15::1234"
	sender, sender6 = "10.0.0.99", "2001:db8::99"
)

// A family is one of IPv4 and IPv6, for tests that are the same for both (R9).
type familyOf struct {
	name          string
	v6            bool
	group, source string
	versions      []uint8
}

var families = []familyOf{
	{"IPv4", false, wide, sender, []uint8{2, 3}},
	{"IPv6", true, wide6, sender6, []uint8{2, 3}},
}

// each runs a test for both families and all versions with leaves.
func each(t *testing.T, test func(t *testing.T, f familyOf, version uint8)) {
	for _, f := range families {
		for _, v := range f.versions {
			t.Run(fmt.Sprintf("%s version %d", f.name, v), func(t *testing.T) { test(t, f, v) })
		}
	}
}

const settled = 5 * time.Second // when a mesh has come to rest

// TestJoin: the first packet comes 50 ms and a round trip after the join, and nobody
// else gets any.
func TestJoin(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 3, nil)
		b, c := m.nodes[1].host(0, f.v6, version), m.nodes[2].host(0, f.v6, version)
		m.run(settled)
		m.nodes[0].stream(0, f.group, f.source, 20*time.Second)
		m.run(10 * time.Second)
		if n := m.nodes[0].copies; n != 0 {
			t.Errorf("%d packets were sent before anybody joined", n)
		}
		b.join(f.group)
		joined := m.now
		m.run(20 * time.Second)
		if first := b.last[ip(f.group)].Add(-time.Duration(b.got[ip(f.group)]-1) * period).Sub(joined); b.got[ip(f.group)] < 190 || first > 100*time.Millisecond {
			t.Errorf("%d packets, the first after %v, want about 200 and at most 100ms", b.got[ip(f.group)], first)
		}
		m.run(21 * time.Second) // for what is on its way
		if c.other[ip(f.group)] != 0 || m.nodes[0].copies != b.got[ip(f.group)] {
			t.Errorf("%d packets to the other, %d copies for %d packets", c.other[ip(f.group)], m.nodes[0].copies, b.got[ip(f.group)])
		}
	})
}

// TestR6LeaveWithoutQuerier: a leaver is pruned within 3 s when nobody else queries.
func TestR6LeaveWithoutQuerier(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 3, nil)
		h := m.nodes[1].host(0, f.v6, version)
		m.run(settled)
		h.join(f.group)
		m.nodes[0].stream(0, f.group, f.source, 60*time.Second)
		m.run(20 * time.Second)
		h.leave(f.group)
		m.run(60 * time.Second)
		if fed := time.Duration(h.other[ip(f.group)]) * period; h.got[ip(f.group)] < 298 || fed < time.Second || fed > 2500*time.Millisecond {
			t.Errorf("%d packets, then fed for %v, want 300 and about 2s", h.got[ip(f.group)], fed)
		}
	})
}

// TestR14LeaveWithQuerier: likewise with a querier anywhere.
func TestR14LeaveWithQuerier(t *testing.T) {
	for where, name := range []string{"sender", "receiver", "elsewhere"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f familyOf, version uint8) {
				m := newMesh(t, 3, nil)
				h, q := m.nodes[1].host(0, f.v6, version), m.nodes[where].host(0, f.v6, version)
				m.run(settled)
				q.query(20 * time.Second)
				limit := 3 * time.Second
				if where == 0 {
					limit = 2500 * time.Millisecond
				}
				h.join(f.group)
				m.run(15 * time.Second)
				m.nodes[0].stream(0, f.group, f.source, 60*time.Second)
				m.run(20 * time.Second)
				h.leave(f.group)
				m.run(20*time.Second + limit)
				if m.nodes[0].s.mesh[key{0, ip(f.group)}] != nil {
					t.Errorf("the sender's node takes it for joined %v after the leave", limit)
				}
				if where == 1 {
					return // the querier may be a router, and gets everything
				}
				m.run(60 * time.Second)
				if fed := time.Duration(h.other[ip(f.group)]) * period; h.got[ip(f.group)] < 90 || fed < time.Second || fed > limit {
					t.Errorf("%d packets, then fed for %v, want 100 and at most %v", h.got[ip(f.group)], fed, limit)
				}
			})
		})
	}
}

// TestR14SilentMember: a member that vanished without a word is pruned in time after
// a querier behind another node asked for it.
func TestR14SilentMember(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 3, nil)
		h, q := m.nodes[1].host(0, f.v6, version), m.nodes[2].host(0, f.v6, version)
		stays := m.nodes[0].host(0, f.v6, version)
		m.run(settled)
		h.join(f.group)
		stays.join(f.group)
		m.run(10 * time.Second)
		h.mute = true
		delete(h.joined, ip(f.group))
		m.nodes[0].stream(0, f.group, f.source, 30*time.Second)
		q.query(100 * time.Second)
		q.doubt(gmp.Record{Type: gmp.ToIn, Group: ip(f.group)}, false)
		m.run(30 * time.Second)
		if fed := time.Duration(h.other[ip(f.group)]) * period; fed < time.Second || fed > 3*time.Second {
			t.Errorf("fed for %v after the question, want 2s to 3s", fed)
		}
		if len(stays.n.s.groups) != 1 {
			t.Error("a member that answers has lost the group")
		}
	})
}

// TestR16SFlag: a question with the S flag changes nothing, wherever it is asked.
func TestR16SFlag(t *testing.T) {
	for where := range 3 {
		m := newMesh(t, 3, nil)
		h, q := m.nodes[1].host(0, false, 3), m.nodes[where].host(0, false, 3)
		m.run(settled)
		h.join(wide)
		m.run(10 * time.Second)
		h.mute = true // it would not answer
		m.nodes[0].stream(0, wide, sender, 20*time.Second)
		q.say(gmp.Message{Kind: gmp.Query, Version: 3, Group: ip(wide), MaxResp: time.Second, Suppress: true, Robustness: 2})
		m.run(20 * time.Second)
		if h.got[ip(wide)] < 195 {
			t.Errorf("asked at node %d: %d packets, want all 200", where, h.got[ip(wide)])
		}
	}
}

// TestR6SteadyMember: a member without any querier but ours is fed for good.
func TestR6SteadyMember(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 2, nil)
		h := m.nodes[1].host(0, f.v6, version)
		m.run(settled)
		h.join(f.group)
		m.run(10 * time.Second)
		m.nodes[0].stream(0, f.group, f.source, 910*time.Second)
		m.run(910 * time.Second)
		if h.gap > period+time.Millisecond || h.got[ip(f.group)] < 17900 {
			t.Errorf("%d packets, longest gap %v, want all", h.got[ip(f.group)], h.gap)
		}
	})
}

// TestR7NoSuppression: members of the older versions, at one TAP and at different ones,
// are fed without a gap for 10 minutes, with a querier at the sender.
func TestR7NoSuppression(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			m := newMesh(t, 3, nil)
			hosts := []*testHost{m.nodes[1].host(0, f.v6, 2), m.nodes[1].host(0, f.v6, 2), m.nodes[2].host(0, f.v6, 2), m.nodes[0].host(0, f.v6, 2)}
			q := m.nodes[0].host(0, f.v6, 2)
			m.run(settled)
			q.query(4 * time.Second)
			for _, h := range hosts {
				h.join(f.group)
			}
			m.run(10 * time.Second)
			m.nodes[0].stream(0, f.group, f.source, 610*time.Second)
			m.run(610 * time.Second)
			for i, h := range hosts[:3] {
				if h.gap > period+time.Millisecond || h.got[ip(f.group)] < 11900 {
					t.Errorf("host %d: %d packets, longest gap %v, want all", i, h.got[ip(f.group)], h.gap)
				}
			}
			if g := m.nodes[0].s.groups[key{0, ip(f.group)}]; g == nil {
				t.Error("the member at the querier's TAP was silenced by our own report")
			}
			for _, h := range hosts[:3] {
				for _, msg := range h.heard {
					if msg.Kind == gmp.Report && msg.Src != hosts[0].addr && msg.Src != hosts[1].addr {
						t.Fatalf("a report from another TAP was heard: %+v", msg)
					}
				}
			}
		})
	}
}

// TestR10Restart: a stream goes on within 2 s after a restart of either node.
func TestR10Restart(t *testing.T) {
	for who, name := range []string{"sender", "receiver"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f familyOf, version uint8) {
				m := newMesh(t, 3, nil)
				m.loss = 20
				h := m.nodes[1].host(0, f.v6, version)
				other := m.nodes[2].host(0, f.v6, version)
				m.run(settled)
				h.join(f.group)
				m.run(20 * time.Second)
				m.nodes[0].stream(0, f.group, f.source, 60*time.Second)
				m.run(30 * time.Second)
				m.nodes[who].start()
				m.run(33 * time.Second)
				other.forget()
				m.run(60 * time.Second)
				if h.gap > 2*time.Second || h.got[ip(f.group)] < 700 {
					t.Errorf("%d packets, longest gap %v, want at most 2s", h.got[ip(f.group)], h.gap)
				}
				if n := other.other[ip(f.group)]; n != 0 {
					t.Errorf("%d packets to somebody who has not joined", n)
				}
			})
		})
	}
}

// TestR1OneCopy and R2: groups that share an Ethernet address are different groups,
// and each packet comes once.
func TestR1OneCopy(t *testing.T) {
	for _, groups := range [][]string{{"239.1.2.3", "224.1.2.3", "239.129.2.3"}, {"ff15::1:0:1", "ff15::2:0:1", "ff15::3:0:1"}} {
		v6 := ip(groups[0]).Is6()
		source := sender
		if v6 {
			source = sender6
		}
		m := newMesh(t, 3, nil)
		h, one := m.nodes[1].host(0, v6, 3), m.nodes[2].host(0, v6, 3)
		m.run(settled)
		for _, g := range groups {
			h.join(g)
		}
		one.join(groups[1])
		m.run(10 * time.Second)
		for _, g := range groups {
			m.nodes[0].stream(0, g, source, 20*time.Second)
		}
		m.run(25 * time.Second)
		for i, g := range groups {
			if h.got[ip(g)] != 201 {
				t.Errorf("%s: %d packets, want 201", g, h.got[ip(g)])
			}
			want := 0
			if i == 1 {
				want = 201
			}
			if got := one.got[ip(g)] + one.other[ip(g)]; got != want {
				t.Errorf("%s: %d packets to who has joined %s, want %d", g, got, groups[1], want)
			}
		}
	}
}

// TestR3SourceSpecific: a source-specific join works at once, and no other source
// comes; blocking ends it.
func TestR3SourceSpecific(t *testing.T) {
	for _, f := range families {
		m := newMesh(t, 3, nil)
		h := m.nodes[1].host(0, f.v6, 3)
		wrong := "10.0.0.98"
		if f.v6 {
			wrong = "2001:db8::98"
		}
		m.run(settled)
		m.nodes[0].stream(0, f.group, f.source, 60*time.Second)
		m.nodes[0].stream(0, f.group, wrong, 60*time.Second)
		m.run(10 * time.Second)
		h.join(f.group, ip(f.source))
		m.run(20 * time.Second)
		if got := h.got[ip(f.group)]; got < 198 || h.other[ip(f.group)] != 0 {
			t.Errorf("%s: %d packets, %d of the wrong source, want 200 and 0", f.name, got, h.other[ip(f.group)])
		}
		h.leave(f.group)
		m.run(60 * time.Second)
		if got := h.other[ip(f.group)]; got < 30 || got > 60 {
			t.Errorf("%s: fed for %v after BLOCK, want 2s", f.name, time.Duration(got)*period)
		}
	}
}

// TestR3OldestVersion: IGMPv1 knows no leave; its members end in silence.
func TestR3OldestVersion(t *testing.T) {
	m := newMesh(t, 2, nil)
	h := m.nodes[1].host(0, false, 1)
	m.run(settled)
	h.join(wide)
	m.nodes[0].stream(0, wide, sender, 600*time.Second)
	m.run(300 * time.Second)
	if h.got[ip(wide)] < 5800 {
		t.Errorf("%d packets in 295 s, want all", h.got[ip(wide)])
	}
	h.leave(wide)
	m.run(600 * time.Second)
	if fed := time.Duration(h.other[ip(wide)]) * period; fed > 261*time.Second || fed < 100*time.Second {
		t.Errorf("fed for %v after the end, want the rest of 260s", fed)
	}
}

// TestR4Always: what is not always reported goes everywhere.
func TestR4Always(t *testing.T) {
	m := newMesh(t, 3, nil)
	m.run(settled)
	for _, c := range []struct {
		group string
		want  int
	}{
		{"224.0.0.1", 2}, {"224.0.0.251", 2}, {"224.0.0.9", 2}, {"ff02::1", 2}, {"ff02::fb", 2}, {"ff02::1:ff00:1", 2},
		{"239.255.255.250", 0}, {"ff05::c", 0}, {"ff01::1", 0}, {"224.0.1.1", 0},
	} {
		n := m.nodes[0]
		before := n.copies
		n.data(0, ip(c.group), ip(map[bool]string{false: sender, true: sender6}[ip(c.group).Is6()]))
		if got := n.copies - before; got != c.want {
			t.Errorf("%s goes to %d peers, want %d", c.group, got, c.want)
		}
	}
	h := m.nodes[1].host(0, true, 3)
	h.join("ff02::1:ff00:1")
	m.run(10 * time.Second)
	before := m.nodes[0].copies
	m.nodes[0].data(0, ip("ff02::1:ff00:1"), ip(sender6))
	if got := m.nodes[0].copies - before; got != 1 {
		t.Errorf("a solicited-node group with one member goes to %d peers", got)
	}
	ssdp := m.nodes[2].host(0, false, 3)
	ssdp.join("239.255.255.250")
	m.run(20 * time.Second)
	m.nodes[0].data(0, ip("239.255.255.250"), ip(sender))
	m.run(21 * time.Second)
	if got := ssdp.got[ip("239.255.255.250")]; got != 1 {
		t.Errorf("SSDP: %d packets, want 1", got)
	}
}

// TestR8VLANs: a join in one VLAN says nothing about another.
func TestR8VLANs(t *testing.T) {
	each(t, func(t *testing.T, f familyOf, version uint8) {
		m := newMesh(t, 2, nil)
		var hosts []*testHost
		for _, vid := range []uint16{0, 5, 6} {
			hosts = append(hosts, m.nodes[1].host(vid, f.v6, version))
		}
		m.run(settled)
		hosts[1].join(f.group)
		m.run(10 * time.Second)
		for _, vid := range []uint16{0, 5, 6} {
			m.nodes[0].stream(vid, f.group, f.source, 400*time.Second)
		}
		m.run(401 * time.Second)
		if got := hosts[1].got[ip(f.group)]; got < 7790 {
			t.Errorf("%d packets in the VLAN, want all 7,800", got)
		}
		if got := hosts[0].other[ip(f.group)] + hosts[2].other[ip(f.group)]; got != 0 || m.nodes[0].copies != hosts[1].got[ip(f.group)] {
			t.Errorf("%d packets in other VLANs, %d copies", got, m.nodes[0].copies)
		}
	})
}

// TestR8VLANRestart: members in a VLAN are found again after a restart, as the frames
// of their VLAN say that it is there.
func TestR8VLANRestart(t *testing.T) {
	m := newMesh(t, 2, nil)
	h := m.nodes[1].host(5, false, 3)
	m.run(settled)
	h.join(wide)
	m.run(10 * time.Second)
	m.nodes[0].stream(5, wide, sender, 30*time.Second)
	m.run(15 * time.Second)
	m.nodes[1].start()
	m.nodes[1].do(m.nodes[1].s.VLAN(m.now, 5, nil))
	m.run(30 * time.Second)
	if h.gap > 2*time.Second || h.got[ip(wide)] < 270 {
		t.Errorf("%d packets, longest gap %v, want at most 2s", h.got[ip(wide)], h.gap)
	}
}

// TestR5Routers: a node with a router gets all multicast of the VLAN, by what the
// router says or by configuration, until it says nothing more.
func TestR5Routers(t *testing.T) {
	pim := []byte("\x45\xc0\x00\x26\x00\x00\x00\x00\x01\x67\x16\x9b\xc0\x00\x02\x09\xe0\x00\x00\x0d\x20\x00\xdf\x7a\x00\x01\x00\x02\x00\x69\x00\x14\x00\x04\x00\x00\x00\x01")
	for _, c := range []struct {
		name string
		mr   bool
		make func(n *node)
		ends bool
	}{
		{"querier", false, func(n *node) { n.host(0, false, 3).say(query("10.0.2.9")) }, true},
		{"PIM", false, func(n *node) { n.do(n.s.Local(n.m.now, 0, MAC{2, 9}, pim, nil)) }, true},
		{"configured", true, func(*node) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t, 3, func(i int, cfg *Config) { cfg.Mrouter = c.mr && i == 2 })
			m.run(settled)
			c.make(m.nodes[2])
			m.run(10 * time.Second)
			to := func(vid uint16, group string) []uint32 {
				p, _ := m.nodes[0].s.View().Ports(vid, ip(group), ip(sender))
				return p
			}
			m.nodes[1].host(0, false, 3).join(wide)
			m.run(20 * time.Second)
			if got := to(0, "239.9.9.9"); !slices.Equal(got, []uint32{2}) {
				t.Errorf("nobody has joined: goes to %v, want the router's node", got)
			}
			if got := to(0, wide); !slices.Equal(got, []uint32{1, 2}) {
				t.Errorf("one has joined: goes to %v, want him and the router's node", got)
			}
			if got := to(7, "239.9.9.9"); (len(got) == 1) != c.mr {
				t.Errorf("another VLAN: goes to %v", got)
			}
			if p, _ := m.nodes[0].s.View().Ports(0, ip(wide6), ip(sender6)); (len(p) == 1) != c.mr {
				t.Errorf("IPv6: goes to %v", p)
			}
			m.run(400 * time.Second)
			if got := to(0, "239.9.9.9"); (len(got) == 0) != c.ends {
				t.Errorf("long after: goes to %v", got)
			}
		})
	}
}

// query is a general query of a router.
func query(from string) gmp.Message {
	return gmp.Message{Kind: gmp.Query, Version: 3, Src: ip(from), MaxResp: 10 * time.Second, Robustness: 2, Interval: 125 * time.Second}
}

// TestR11Checksums: what is damaged makes nobody a member, and is counted.
func TestR11Checksums(t *testing.T) {
	for _, f := range families {
		s := New(Config{})
		m := gmp.Message{Kind: gmp.Report, Version: 1, Src: ip("fe80::1"), Records: []gmp.Record{{Type: gmp.IsEx, Group: ip(f.group)}}}
		if !f.v6 {
			m.Version, m.Src = 2, ip("10.0.0.1")
		}
		b := m.Append(nil)
		for i := range b {
			bad := slices.Clone(b)
			bad[i] ^= 0x40
			s.Local(start, 0, MAC{2, 1}, bad, nil)
		}
		for k := range s.groups { // traffic class and flow label say nothing
			if !f.v6 || k.group != ip(f.group) {
				t.Errorf("%s: group %v by a damaged report", f.name, k.group)
			}
		}
		if st := s.Stats(); st.Checksum == 0 || st.Malformed == 0 {
			t.Errorf("%s: %+v, want some counted", f.name, st)
		}
	}
}

// TestR13Forged: what comes from a peer counts for that peer, and makes nobody else
// join or leave; sources of frames that are groups make nobody anything.
func TestR13Forged(t *testing.T) {
	m := newMesh(t, 3, nil)
	h := m.nodes[1].host(0, false, 3)
	m.run(settled)
	h.join(wide)
	m.run(10 * time.Second)
	a := m.nodes[0]
	u := update{stream: 1 << 63, seq: 1, complete: true, entries: []entry{{key{0, ip(wide)}, gone, nil}}}
	a.do(a.s.Peer(m.now, 2, u.append(nil), nil))
	a.do(a.s.Peer(m.now, 77, u.append(nil), nil))
	if p, _ := a.s.View().Ports(0, ip(wide), ip(sender)); !slices.Equal(p, []uint32{1}) {
		t.Errorf("goes to %v, want [1]", p)
	}
	b := (&gmp.Message{Kind: gmp.Report, Version: 2, Src: ip("10.0.0.1"), Records: []gmp.Record{{Type: gmp.IsEx, Group: ip("239.7.7.7")}}}).Append(nil)
	for _, mac := range []MAC{{0x33, 0x33, 0, 0, 0, 1}, a.cfg.MAC} {
		a.do(a.s.Local(m.now, 0, mac, b, nil))
	}
	if len(a.s.groups) != 0 {
		t.Error("a report from a group address, or from ourselves, was taken")
	}
}
