package mcast

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"
)

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

// packets of routers, each from an implementation of its own of the RFCs.
var routerPackets = []struct{ name, here, gone string }{
	{"PIM", "45c00026000000000167169bc0000209e000000d2000df7a0001000200690014000400000001", "45c0001e00000000016716a3c0000209e000000d2000dffc000100020000"},
	{"RFC 4286", "45c0001c00000000010216adc0000209e000006a3014cf6c007d0002", "45c0001800000000010216b1c0000209e000006a3200cdff"},
	{"RFC 4286, IPv6", "6000000000100001fe800000000000000000000000000009ff02000000000000000000000000006a3a0005020000010097146a33007d0002",
		"60000000000c0001fe800000000000000000000000000009ff02000000000000000000000000006a3a00050200000100990068ca"},
	{"DVMRP", "45c0001c0000000001021713c0000209e00000041301edf0000aff03", ""},
}

// TestRouterSays: a router is there from when it says so until it says that it goes, or
// nothing for as long as it has announced.
func TestRouterSays(t *testing.T) {
	for _, c := range routerPackets {
		p := newTap(t, Config{})
		say := func(packet string) {
			t.Helper()
			b, err := hex.DecodeString(packet)
			if err != nil {
				t.Fatal(err)
			}
			p.words(p.s.Local(p.now, 0, MAC{2, 9}, b, nil))
		}
		check := func(when string, want bool) {
			t.Helper()
			if got := p.s.families(0) != 0; got != want {
				t.Errorf("%s, %s: a router is there: %v, want %v", c.name, when, got, want)
			}
		}
		if c.gone != "" {
			say(c.gone)
			check("one goes that was not there", false)
		}
		say(c.here)
		check("it is here", true)
		p.reports(59 * time.Second)
		check("before its time", true)
		say(c.here)
		p.reports(110 * time.Second)
		check("it has said so again", true)
		p.reports(400 * time.Second)
		check("silence", false)
		if c.gone == "" {
			continue
		}
		say(c.here)
		say(c.gone)
		check("it goes", false)
		p.hears(query("10.0.0.9"))
		if n := p.kinds(); n[RouterHere] < 2 || n[RouterGone] != 2 {
			t.Errorf("%s: events %v", c.name, n)
		}
	}
	// A querier stays a router when another one goes.
	p := newTap(t, Config{})
	p.hears(query("10.0.0.9"))
	b, _ := hex.DecodeString(routerPackets[0].gone)
	p.words(p.s.Local(p.now, 0, MAC{2, 9}, b, nil))
	if p.s.families(0) != family4 {
		t.Error("the querier is no router any more")
	}
}
