package mcast

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// numbered is one of many groups.
func numbered(i int) netip.Addr { return netip.AddrFrom4([4]byte{239, 7, byte(i >> 8), byte(i)}) }

// joins makes a host join groups, by as few reports as it takes.
func (n *node) joins(kind gmp.RecordType, from, to int) {
	m := gmp.Message{Kind: gmp.Report, Version: 3, Src: ip("10.0.0.7")}
	for i := from; i < to; i++ {
		m.Records = append(m.Records, gmp.Record{Type: kind, Group: numbered(i)})
	}
	for _, part := range gmp.Split(m) {
		n.do(n.s.Local(n.m.now, 0, MAC{2, 7}, part.Append(nil), nil))
	}
}

// same compares what a node knows of a peer with what the peer wants.
func same(t *testing.T, who, of *node) {
	t.Helper()
	l := who.s.links[uint32(of.id)]
	if len(l.entries) != len(of.s.groups) || !l.full {
		t.Errorf("node %d knows %d groups of node %d, full %v, want %d", who.id, len(l.entries), of.id, l.full, len(of.s.groups))
	}
	for k, g := range of.s.groups {
		if e := l.entries[k]; e == nil || !e.equal(g.want()) {
			t.Errorf("node %d does not know what node %d wants of %v", who.id, of.id, k)
		}
		if m := who.s.mesh[k]; m == nil {
			t.Errorf("node %d has no group %v", who.id, k)
		}
	}
	if len(who.s.mesh) > len(l.entries) {
		t.Errorf("node %d has %d groups of the mesh, want %d", who.id, len(who.s.mesh), len(l.entries))
	}
}

// TestLoss: whatever gets lost, everything is known in the end.
func TestLoss(t *testing.T) {
	for _, loss := range []int{0, 10, 50, 80} {
		m := newMesh(t, 2, nil)
		m.loss = loss
		a, b := m.nodes[0], m.nodes[1]
		for i := range 20 {
			m.at(time.Duration(i)*700*time.Millisecond, func() { b.joins(gmp.IsEx, i*50, i*50+50) })
			m.at(time.Duration(i)*900*time.Millisecond, func() { b.joins(gmp.ToIn, i*50+7, i*50+20) })
			m.at(time.Duration(i)*300*time.Millisecond, func() { a.joins(gmp.IsEx, i, i+3) })
		}
		m.run(240 * time.Second)
		if n := len(b.s.groups); n != 1000-20*13 {
			t.Fatalf("loss %d%%: node 1 has %d groups", loss, n)
		}
		la, lb := a.s.links[1], b.s.links[0]
		same(t, &node{id: 0, s: a.s}, b)
		if len(lb.entries) != len(a.s.groups) || len(la.flight)+len(lb.flight) != 0 {
			t.Errorf("loss %d%%: node 1 knows %d groups of %d; %d and %d updates on their way", loss, len(lb.entries), len(a.s.groups), len(la.flight), len(lb.flight))
		}
		if st := a.s.Stats(); loss == 0 && st.UpdatesAgain > 20 { // some, as they overtake each other
			t.Errorf("%d updates were repeated for nothing", st.UpdatesAgain)
		}
		before := a.s.Stats().UpdatesOut + b.s.Stats().UpdatesOut
		m.run(250 * time.Second)
		if after := a.s.Stats().UpdatesOut + b.s.Stats().UpdatesOut; after != before {
			t.Errorf("loss %d%%: %d updates when there is nothing to say", loss, after-before)
		}
	}
}

// TestGap: a lost update is asked for as soon as a later one comes.
func TestGap(t *testing.T) {
	m := newMesh(t, 2, nil)
	b := m.nodes[1]
	m.run(settled)
	m.loss = 100
	b.joins(gmp.IsEx, 0, 1)
	m.loss = 0
	b.joins(gmp.IsEx, 1, 2)
	m.run(settled + 40*time.Millisecond)
	same(t, m.nodes[0], b)
}

// TestReplay: updates that come twice, or late, change nothing.
func TestReplay(t *testing.T) {
	a := New(Config{})
	a.PeerUp(start, 1, nil)
	for i, c := range []struct {
		seq    uint32
		mode   mode
		want   bool   // joined afterwards
		next   uint32 // that is expected
		gap    bool
		stream uint64
	}{
		{1, exclude, true, 2, false, 5},
		{2, gone, false, 3, false, 5},
		{1, exclude, false, 3, false, 5},
		{5, exclude, false, 3, true, 5},
		{3, exclude, true, 4, false, 5},
		{1, gone, true, 4, false, 4}, // an older stream
		{2, gone, true, 1, true, 9},  // a newer one, whose beginning is missing
		{1, gone, false, 2, false, 9},
		{4, exclude, false, 2, true, 9},
	} {
		u := update{stream: c.stream, seq: c.seq, entries: []entry{{key{0, ip(wide)}, c.mode, nil}}}
		out := a.Peer(start, 1, u.append(nil), nil)
		if _, got := a.mesh[key{0, ip(wide)}]; got != c.want {
			t.Errorf("step %d: joined %v, want %v", i+1, got, c.want)
		}
		answer, err := parseUpdate(out[len(out)-1].Packet)
		if err != nil || answer.ackNext != c.next || answer.gap != c.gap {
			t.Errorf("step %d: answer %+v, %v, want %d, gap %v", i+1, answer, err, c.next, c.gap)
		}
	}
}

// TestNewStream: what an older stream told holds until a newer one is complete, of a
// peer that has settled.
func TestNewStream(t *testing.T) {
	s := New(Config{})
	s.PeerUp(start, 1, nil)
	k1, k2 := key{0, ip(wide)}, key{0, ip("239.1.2.4")}
	tell := func(u update) { s.Peer(start, 1, u.append(nil), nil) }
	tell(update{stream: 1, seq: 1, complete: true, entries: []entry{{k1, exclude, nil}, {k2, exclude, nil}}, routers: []router{{5, family4}}})
	tell(update{stream: 2, seq: 1, settling: true, complete: true})
	if len(s.mesh) != 2 || !s.links[1].inDoubt(start) {
		t.Errorf("%d groups, in doubt %v: a peer that settles is believed", len(s.mesh), s.links[1].inDoubt(start))
	}
	tell(update{stream: 2, seq: 2, entries: []entry{{k2, exclude, nil}}})
	if len(s.mesh) != 2 {
		t.Errorf("%d groups in the middle of a full set, want 2", len(s.mesh))
	}
	tell(update{stream: 2, seq: 3, complete: true})
	if s.mesh[k1] != nil || s.mesh[k2] == nil || len(s.links[1].theirR) != 0 || s.links[1].inDoubt(start) {
		t.Errorf("mesh %v, routers %v after the full set", s.mesh, s.links[1].theirR)
	}
}

// TestClockBack: a node whose clock went back before its restart is heard.
func TestClockBack(t *testing.T) {
	a, b := New(Config{}), New(Config{})
	b.PeerUp(start.Add(-time.Hour), 0, nil)
	a.PeerUp(start, 1, nil)
	future := update{stream: uint64(start.UnixNano()), seq: 1, complete: true}
	a.Peer(start, 1, future.append(nil), nil) // what b said in its former life
	now := start.Add(-time.Hour)
	b.Local(now, 0, MAC{2, 7}, (&gmp.Message{Kind: gmp.Report, Version: 2, Src: ip("10.0.0.1"), Records: []gmp.Record{{Type: gmp.IsEx, Group: ip(wide)}}}).Append(nil), nil)
	for range 40 { // they talk
		now = now.Add(300 * time.Millisecond)
		for _, x := range b.Advance(now, nil) {
			if x.Kind != ToPeer {
				continue
			}
			for _, y := range a.Peer(start.Add(now.Sub(start.Add(-time.Hour))), 1, x.Packet, nil) {
				b.Peer(now, 0, y.Packet, nil)
			}
		}
	}
	if a.mesh[key{0, ip(wide)}] == nil {
		t.Error("the peer is not heard after 12 s")
	}
}

// TestDoubt: a peer that says nothing gets everything for one query interval.
func TestDoubt(t *testing.T) {
	s := New(Config{})
	s.PeerUp(start, 1, nil)
	for at := start; ; {
		p, _ := s.View().Ports(0, ip(wide), ip(sender))
		if want := at.Before(start.Add(125 * time.Second)); (len(p) == 1) != want {
			t.Fatalf("after %v: goes to %v", at.Sub(start), p)
		}
		if at.Sub(start) > 200*time.Second {
			break
		}
		at = s.Timeout()
		s.Advance(at, nil)
	}
	s.Advance(start.Add(300*time.Second), nil)
	if out := s.PeerDown(start.Add(300*time.Second), 1, nil); len(out) != 0 || len(s.links) != 0 || !s.Timeout().IsZero() {
		t.Errorf("after the peer is gone: %v, %d links, next at %v", out, len(s.links), s.Timeout())
	}
	s.PeerDown(start.Add(301*time.Second), 1, nil)
	if out := s.Peer(start.Add(301*time.Second), 1, []byte{1}, nil); len(out) != 0 {
		t.Errorf("a peer that is not there is answered: %v", out)
	}
}

// TestPeerLimits: a hostile peer costs a bounded amount, and loses nothing that it has.
func TestPeerLimits(t *testing.T) {
	s := New(Config{MaxGroups: 100})
	s.PeerUp(start, 1, nil)
	var events []Event
	tell := func(seq uint32, es ...entry) {
		u := update{stream: 1, seq: seq, complete: true, entries: es}
		for _, x := range s.Peer(start, 1, u.append(nil), nil) {
			if x.Kind == Happens {
				events = append(events, x.Event)
			}
		}
	}
	var many []netip.Addr
	for i := range maxEntrySources {
		many = append(many, netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}))
	}
	seq := uint32(0)
	for i := range 200 {
		seq++
		tell(seq, entry{key{0, numbered(i)}, include, many})
	}
	l := s.links[1]
	if len(l.entries) != 100 || len(s.mesh) != 100 || l.sources > 800 {
		t.Errorf("%d entries, %d groups, %d sources, want 100, 100, at most 800", len(l.entries), len(s.mesh), l.sources)
	}
	if len(events) != 1 || events[0].Kind != RefusedPeer || events[0].Port != 1 || s.Stats().PeerRefused < 180 || l.refused < 180 {
		t.Errorf("events %v, stats %+v, want one event and 188 counted", events, s.Stats())
	}
	if p, _ := s.View().Ports(0, numbered(50), ip("192.0.2.77")); len(p) != 1 {
		t.Error("a peer that names too many sources does not get all")
	}
	seq++
	tell(seq, entry{key{0, numbered(3)}, gone, nil}, entry{key{0, numbered(150)}, exclude, nil})
	if len(l.entries) != 100 || s.mesh[key{0, numbered(150)}] == nil {
		t.Error("there is room again, and a group is refused")
	}
	if len(s.vlans) > 1 {
		t.Errorf("%d VLANs", len(s.vlans))
	}
	for vid := range uint16(maxVID) {
		seq++
		tell(seq, entry{key{vid, numbered(10)}, gone, nil}, entry{key{vid, numbered(10)}, exclude, nil}, entry{key{vid, numbered(10)}, gone, nil})
	}
	if len(s.vlans) > 128 {
		t.Errorf("a peer has made %d VLANs, want at most half of 256", len(s.vlans))
	}
	s.PeerDown(start, 1, nil)
	if len(s.mesh) != 0 {
		t.Errorf("%d groups are left of a peer that is gone", len(s.mesh))
	}
}

// TestHostileAck: lies about what has arrived do no harm.
func TestHostileAck(t *testing.T) {
	s := New(Config{})
	s.PeerUp(start, 1, nil)
	l := s.links[1]
	sent := s.Stats().UpdatesOut
	for i := range 1000 {
		for _, u := range []update{
			{ackStream: l.stream, ackNext: 1000}, {ackStream: l.stream, ackNext: math.MaxUint32}, {ackStream: l.stream, ackNext: 1, gap: true},
			{ackStream: math.MaxUint64, ackNext: 1}, {ackStream: l.stream + 5, ackNext: 1}, {ackStream: 1, ackNext: 1},
		} {
			s.Peer(start.Add(time.Duration(i)*time.Millisecond), 1, u.append(nil), nil)
		}
	}
	if l.acked != 0 || len(l.flight) != 1 {
		t.Errorf("%d acknowledged, %d on their way, want 0 and 1", l.acked, len(l.flight))
	}
	if n := s.Stats().UpdatesOut - sent; n > 30 {
		t.Errorf("6000 lies in a second make us send %d updates", n)
	}
	for _, b := range [][]byte{nil, {2}, {1, 3, 0}} {
		s.Peer(start.Add(time.Minute), 1, b, nil)
	}
	if st := s.Stats(); st.UpdatesBad != 3 {
		t.Errorf("%d bad updates, want 3", st.UpdatesBad)
	}
}

// TestChurn: groups that come and go faster than a peer hears of it do not pile up.
func TestChurn(t *testing.T) {
	s := New(Config{MaxGroups: 10, FastLeave: true})
	s.PeerUp(start, 1, nil) // it never answers
	for i := range 5000 {
		for _, kind := range []gmp.RecordType{gmp.ToEx, gmp.ToIn} {
			m := gmp.Message{Kind: gmp.Report, Version: 3, Src: ip("10.0.0.7"), Records: []gmp.Record{{Type: kind, Group: numbered(i)}}}
			s.Local(start, 0, MAC{2, 7}, m.Append(nil), nil)
		}
		if l := s.links[1]; len(l.todo) > 50 || len(l.queued) > 50 || len(l.flight) > window {
			t.Fatalf("%d groups to tell, %d updates on their way", len(l.todo), len(l.flight))
		}
	}
	if len(s.groups) != 0 || s.budget != budgetPerGroup*10 || s.asking != 0 {
		t.Errorf("%d groups, budget %d, %d asked about", len(s.groups), s.budget, s.asking)
	}
}

// TestSettling: a node that has just started says that its set is not all.
func TestSettling(t *testing.T) {
	s := New(Config{})
	var seen []string
	note := func(out []Out) {
		for _, x := range out {
			if x.Kind == ToPeer {
				u, _ := parseUpdate(x.Packet)
				seen = append(seen, fmt.Sprintf("%v settling %v complete %v", s.now.Sub(start), u.settling, u.complete))
				s.Peer(s.now, 1, (&update{ackStream: u.stream, ackNext: u.seq + 1}).append(nil), nil)
			}
		}
	}
	note(s.Up(start, nil))
	note(s.PeerUp(start, 1, nil))
	for s.now.Sub(start) < 10*time.Second {
		note(s.Advance(s.Timeout(), nil))
	}
	if want := []string{"0s settling true complete true", "1.5s settling false complete true"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}
