package mcast

import (
	"net/netip"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// A testHost is a host behind a TAP: a listener as RFC 2236, RFC 3376, RFC 2710 and
// RFC 3810 describe it. One with an interval is a querier too.
type testHost struct {
	n       *node
	mac     MAC
	vid     uint16
	v6      bool
	addr    netip.Addr
	version uint8 // 1 to 3 of IGMP; 2 is version 1 of MLD, 3 is 2
	mute    bool  // says nothing any more

	joined  map[netip.Addr]want
	pending map[netip.Addr]int // answers to come: number, 0: none
	serial  int

	got   map[netip.Addr]int       // wanted packets, by group
	other map[netip.Addr]int       // unwanted ones
	last  map[netip.Addr]time.Time // wanted packet
	gap   time.Duration            // the longest between two of them
	heard []gmp.Message

	interval time.Duration // of its general queries
}

// host adds a host.
func (n *node) host(vid uint16, v6 bool, version uint8) *testHost {
	id := byte(len(n.hosts) + 1)
	h := &testHost{n: n, mac: MAC{2, 0, 0, 0, byte(n.id), id}, vid: vid, v6: v6, version: version,
		addr:   netip.AddrFrom4([4]byte{10, 0, byte(n.id), id}),
		joined: map[netip.Addr]want{}, pending: map[netip.Addr]int{},
		got: map[netip.Addr]int{}, other: map[netip.Addr]int{}, last: map[netip.Addr]time.Time{}}
	if v6 {
		h.addr = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(n.id), 15: id})
	}
	n.hosts = append(n.hosts, h)
	return h
}

// wire returns the version in messages.
func (h *testHost) wire(v uint8) uint8 {
	if h.v6 {
		return max(v, 2) - 1
	}
	return v
}

// say sends a message on the link.
func (h *testHost) say(m gmp.Message) {
	if h.mute {
		return
	}
	m.Src = h.addr
	b := m.Append(nil)
	m.Dst = m.To()
	h.n.toHosts(h, h.vid, m)
	if gmp.Classify(b) != gmp.Data {
		epoch := h.n.epoch
		h.n.m.after(tapDelay, func() {
			if h.n.epoch == epoch {
				h.n.do(h.n.s.Local(h.n.m.now, h.vid, h.mac, b, nil))
			}
		})
	}
}

// report sends a record, in the host's version.
func (h *testHost) report(kind gmp.RecordType, group netip.Addr, sources []netip.Addr) {
	if h.version == 1 && kind == gmp.ToIn {
		return
	}
	h.say(gmp.Message{Kind: gmp.Report, Version: h.wire(h.version), Records: []gmp.Record{{Type: kind, Group: group, Sources: sources}}})
}

// join joins a group: for all sources, or for some.
func (h *testHost) join(group string, sources ...netip.Addr) {
	g := ip(group)
	h.joined[g] = want{exclude, nil}
	kind := gmp.ToEx
	if len(sources) > 0 {
		h.joined[g], kind = want{include, normal(sources)}, gmp.Allow
	}
	if h.version < 3 {
		kind = gmp.IsEx
	}
	for _, d := range []time.Duration{0, 700 * time.Millisecond} { // once more
		h.n.m.after(d, func() {
			if h.joined[g].mode != gone {
				h.report(kind, g, h.joined[g].sources)
			}
		})
	}
}

// leave leaves a group.
func (h *testHost) leave(group string) {
	g := ip(group)
	was := h.joined[g]
	delete(h.joined, g)
	h.pending[g] = 0
	for _, d := range []time.Duration{0, 300 * time.Millisecond} {
		h.n.m.after(d, func() {
			if h.version == 3 && was.mode == include {
				h.report(gmp.Block, g, was.sources)
			} else {
				h.report(gmp.ToIn, g, nil)
			}
		})
	}
}

// hear hears a message on the link.
func (h *testHost) hear(m gmp.Message) {
	h.heard = append(h.heard, m)
	switch m.Kind {
	case gmp.Query:
		for g := range h.joined {
			if (!m.Group.IsValid() || m.Group == g) && h.pending[g] == 0 {
				h.answer(g, m)
			}
		}
	case gmp.Report:
		for _, r := range m.Records {
			if h.version < 3 && !m.Newest() && r.Type == gmp.IsEx {
				h.pending[r.Group] = 0 // somebody has said it
			}
			if h.interval > 0 && (r.Type == gmp.ToIn || r.Type == gmp.Block) {
				h.doubt(r, m.Newest())
			}
		}
	}
}

// answer reports a group after a while.
func (h *testHost) answer(g netip.Addr, q gmp.Message) {
	maxResp := q.MaxResp
	if maxResp == 0 {
		maxResp = 10 * time.Second
	}
	h.serial++
	mine := h.serial
	h.pending[g] = mine
	h.n.m.after(time.Duration(h.n.m.rand.Int64N(int64(maxResp))), func() {
		if h.pending[g] != mine {
			return
		}
		h.pending[g] = 0
		switch w := h.joined[g]; w.mode {
		case include:
			h.report(gmp.IsIn, g, w.sources)
		case exclude:
			h.report(gmp.IsEx, g, nil)
		}
	})
}

// query makes the host a querier.
func (h *testHost) query(interval time.Duration) {
	h.interval = interval
	var next func()
	next = func() {
		h.say(gmp.Message{Kind: gmp.Query, Version: h.wire(h.version), MaxResp: min(10*time.Second, interval/2), Robustness: 2, Interval: interval})
		h.n.m.after(interval, next)
	}
	next()
}

// doubt asks whether somebody is left.
func (h *testHost) doubt(r gmp.Record, newest bool) {
	m := gmp.Message{Kind: gmp.Query, Version: h.wire(h.version), Group: r.Group, MaxResp: time.Second, Robustness: 2}
	if newest && r.Type == gmp.Block && h.version == 3 {
		m.Sources = r.Sources
	}
	for _, d := range []time.Duration{0, time.Second} {
		h.n.m.after(d, func() { h.say(m) })
	}
}

// packet is a packet of a group that reaches the host.
func (h *testHost) packet(group, source netip.Addr) {
	if !h.joined[group].takes(source) {
		h.other[group]++
		return
	}
	if last := h.last[group]; !last.IsZero() {
		h.gap = max(h.gap, h.n.m.now.Sub(last))
	}
	h.got[group]++
	h.last[group] = h.n.m.now
}

// since returns how long after a time the last wanted packet came, and forgets gaps.
func (h *testHost) forget() {
	h.gap, h.last = 0, map[netip.Addr]time.Time{}
	h.got, h.other = map[netip.Addr]int{}, map[netip.Addr]int{}
}
