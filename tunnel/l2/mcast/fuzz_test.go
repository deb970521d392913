package mcast

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// fuzzConfig has limits that are soon reached.
func fuzzConfig(b byte) Config {
	return Config{MAC: MAC{2, 0xff, 0, 0, 0, 1}, FastLeave: b&1 != 0, Mrouter: b&2 != 0, Report: b&4 != 0, Unregistered: Policy(b >> 3 % 3),
		MaxGroups: 4, MaxSources: 3, MaxHosts: 2, MaxQueries: 2, MaxVLANs: 4}
}

// A driver makes calls of bytes.
type driver struct {
	t     *testing.T
	s     *Snooper
	now   time.Time
	input []byte
}

func (d *driver) byte() byte {
	if len(d.input) == 0 {
		return 0
	}
	b := d.input[0]
	d.input = d.input[1:]
	return b
}

func (d *driver) bytes() []byte {
	n := min(int(d.byte()), len(d.input))
	b := d.input[:n]
	d.input = d.input[n:]
	return b
}

func (d *driver) addr(v4, multicast bool) netip.Addr {
	n := d.byte() % 6
	switch {
	case v4 && multicast:
		return netip.AddrFrom4([4]byte{239, 1, 2, n})
	case v4:
		return netip.AddrFrom4([4]byte{10, 0, 0, n})
	case multicast:
		return netip.AddrFrom16([16]byte{0: 0xff, 1: 2 + n, 15: n})
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n})
}

func (d *driver) sources(v4 bool) (list []netip.Addr) {
	for range d.byte() % 6 {
		list = append(list, d.addr(v4, false))
	}
	return list
}

// message is a message that is well formed.
func (d *driver) message() gmp.Message {
	b := d.byte()
	v4 := b&1 != 0
	m := gmp.Message{Kind: gmp.Query + gmp.Kind(b>>1&1), Version: 1 + b>>2%3, Src: d.addr(v4, false), Suppress: b&64 != 0,
		MaxResp: time.Duration(d.byte()) * 100 * time.Millisecond, Robustness: b >> 5, Interval: time.Duration(d.byte()) * time.Second}
	if !v4 {
		m.Version = min(m.Version, 2)
	}
	if m.Kind == gmp.Report {
		for range 1 + d.byte()%3 {
			m.Records = append(m.Records, gmp.Record{Type: gmp.IsIn + gmp.RecordType(d.byte()%6), Group: d.addr(v4, true), Sources: d.sources(v4)})
		}
	} else if d.byte()&1 != 0 {
		m.Group, m.Sources = d.addr(v4, true), d.sources(v4)
	}
	return m
}

// update is an update that is well formed.
func (d *driver) update(l *link) update {
	b := d.byte()
	u := update{stream: 1 + uint64(b&3), seq: uint32(d.byte()), complete: b&4 != 0, settling: b&8 != 0, gap: b&16 != 0}
	if b&32 != 0 {
		u.ackStream, u.ackNext = l.stream+uint64(b>>6), l.acked+uint32(d.byte()%12)
	}
	if b&128 != 0 && l != nil { // in order
		u.stream, u.seq = max(l.theirs, 1), l.have+1
	}
	v4 := d.byte()&1 != 0
	for range d.byte() % 5 {
		e := entry{key{uint16(d.byte() % 8), d.addr(v4, true)}, mode(d.byte() % 3), normal(d.sources(v4))}
		if e.mode == include && len(e.sources) == 0 {
			e.mode = gone
		}
		u.entries = append(u.entries, e)
	}
	if b&64 != 0 {
		u.routers = append(u.routers, router{uint16(d.byte() % 8), d.byte() & 3})
		u.questions = append(u.questions, question{key{0, d.addr(v4, true)}, d.sources(v4)})
	}
	return u
}

// step makes one call.
func (d *driver) step() []Out {
	s := d.s
	switch port := uint32(d.byte() % 3); d.byte() % 9 {
	case 0:
		return s.Local(d.now, uint16(d.byte()), MAC{2, d.byte() % 4}, d.bytes(), nil)
	case 1, 2:
		m := d.message()
		return s.Local(d.now, uint16(d.byte()%6), MAC{2, d.byte() % 4}, m.Append(nil), nil)
	case 3:
		return s.Peer(d.now, port, d.bytes(), nil)
	case 4:
		if l := s.links[port]; l != nil {
			u := d.update(l)
			return s.Peer(d.now, port, u.append(nil), nil)
		}
		return s.PeerUp(d.now, port, nil)
	case 5:
		if d.byte()%4 == 0 {
			return s.PeerDown(d.now, port, nil)
		}
		return s.PeerUp(d.now, port, nil)
	case 6:
		d.now = d.now.Add(time.Duration(binary.BigEndian.Uint16([]byte{d.byte(), d.byte()})) * 10 * time.Millisecond)
		return s.Advance(d.now, nil)
	case 7:
		return s.VLAN(d.now, uint16(d.byte()%8), nil)
	}
	return s.Up(d.now, nil)
}

// check looks at what is sent, and at what must always hold.
func (d *driver) check(out []Out) {
	t, s := d.t, d.s
	t.Helper()
	for _, x := range out {
		switch x.Kind {
		case ToTAP:
			if _, err := gmp.Parse(x.Packet); err != nil || x.VID > maxVID || gmp.Classify(x.Packet) != gmp.Member {
				t.Fatalf("sends %x to the TAP: %v", x.Packet, err)
			}
		case ToPeer:
			if _, err := parseUpdate(x.Packet); err != nil || s.links[x.Port] == nil {
				t.Fatalf("sends %x to peer %d: %v", x.Packet, x.Port, err)
			}
		}
	}
	if at := s.Timeout(); !at.IsZero() && !at.After(d.now) {
		t.Fatalf("%T wants to be called at once", s.waking[0].owner)
	}
	asking, used := 0, 0
	for k, g := range s.groups {
		if g.empty() || len(g.sources) > s.cfg.MaxSources || !g.told.equal(g.want()) || g.alarm.index < 0 {
			t.Fatalf("group %v: %+v", k, g)
		}
		if !g.next.IsZero() {
			asking++
		}
		for _, h := range g.hosts.by {
			used += 1 + len(h.sources)
		}
	}
	if len(s.groups) > s.cfg.MaxGroups || asking != s.asking || asking > s.cfg.MaxQueries || used+s.budget != budgetPerGroup*s.cfg.MaxGroups || s.budget < 0 {
		t.Fatalf("%d groups, asking %d and %d, budget %d and %d", len(s.groups), asking, s.asking, used, s.budget)
	}
	if len(s.vlans) > s.cfg.MaxVLANs+1 {
		t.Fatalf("%d VLANs", len(s.vlans))
	}
	d.checkLinks()
}

// checkLinks compares what peers have told, what is made of it, and the view.
func (d *driver) checkLinks() {
	t, s := d.t, d.s
	t.Helper()
	for port, l := range s.links {
		sources := 0
		for k, e := range l.entries {
			sources += len(e.sources)
			m := s.mesh[k]
			if m == nil {
				t.Fatalf("peer %d wants %v, and nobody knows", port, k)
			}
			if i, ok := m.find(port); !ok || !m.members[i].equal(e.want) {
				t.Fatalf("peer %d wants %v of %v, known is %+v", port, e.want.mode, k, m)
			}
		}
		if sources != l.sources || len(l.entries) > s.cfg.MaxGroups || len(l.flight) > window || len(l.todo) != len(l.queued) {
			t.Fatalf("peer %d: %d sources and %d, %d entries, %d on their way, %d and %d to tell",
				port, sources, l.sources, len(l.entries), len(l.flight), len(l.todo), len(l.queued))
		}
	}
	v := s.View()
	for k, m := range s.mesh {
		if len(m.members) == 0 && m.left == 0 {
			t.Fatalf("group %v is wanted by nobody", k)
		}
		for n := range byte(7) {
			source := netip.AddrFrom4([4]byte{10, 0, 0, n})
			if k.group.Is6() {
				source = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n})
			}
			got, flood := v.Ports(k.vid, k.group, source)
			for _, x := range m.members {
				if !flood && x.takes(source) && !slices.Contains(got, x.port) && gmp.ScopeOf(k.group) != gmp.Never {
					t.Fatalf("%v from %v goes to %v, not to %d, which wants it", k, source, got, x.port)
				}
			}
			for _, p := range got {
				i, ok := m.find(p)
				if l := s.links[p]; l == nil || !(ok && m.members[i].takes(source)) && !l.inDoubt(s.now) && !l.routes(k.vid, family(k.group)) {
					t.Fatalf("%v from %v goes to %d, which does not want it", k, source, p)
				}
			}
		}
	}
}

// FuzzSnooper makes any calls with any bytes: from hosts, from peers, and in time.
func FuzzSnooper(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	for _, c := range goldenUpdates {
		b, _ := hex.DecodeString(c.hex)
		f.Add(append([]byte{0, 1, 5, 1, 3, byte(len(b))}, b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4000 {
			return
		}
		d := &driver{t: t, now: start, input: b}
		d.s = New(fuzzConfig(d.byte()))
		for len(d.input) > 0 {
			d.check(d.step())
		}
		d.s.Dump(d.now)
		for port := range uint32(3) {
			d.check(d.s.PeerDown(d.now, port, nil))
		}
		for range 100 { // in the end, nothing is left of hosts and peers
			d.now = d.now.Add(10 * time.Second)
			d.check(d.s.Advance(d.now, nil))
		}
		if len(d.s.groups) != 0 || len(d.s.mesh) != 0 || d.s.asking != 0 {
			t.Fatalf("%d groups, %d of the mesh, %d asked about are left", len(d.s.groups), len(d.s.mesh), d.s.asking)
		}
	})
}

// TestLong drives a snooper for long with what a fuzzer would try first.
func TestLong(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for run := range 8 {
		b := make([]byte, 20000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		d := &driver{t: t, now: start, input: b}
		d.s = New(fuzzConfig(byte(run)))
		for len(d.input) > 0 {
			d.check(d.step())
		}
	}
}
