package rdv

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// publish gives a stage's registry objects.
func (s *stage) publish(items ...item) *catalog {
	c := s.reg.push.catalog.with(items)
	s.reg.SetObjects(s.time(), c)
	return c
}

// notice is the NOTICE of what was published last.
func (s *stage) notice() channel.Message { return *s.reg.push.notice }

// fetches has a member fetch a piece, and returns what it is told.
func (s *stage) fetches(m *Member, o channel.Object, offset uint32) *channel.Message {
	s.t.Helper()
	req := channel.Message{Type: channel.Fetch, ID: 77, Objects: []channel.Object{o}, Offset: offset}
	out := s.reg.Handle(s.time(), In{From: m.at, Local: m.server, Member: m, Request: &req}, nil)
	if len(out) != 1 || out[0].Member != m || out[0].Answer.ID != req.ID {
		s.t.Fatalf("a FETCH is answered with %v", s.told(out))
	}
	return out[0].Answer
}

// TestNotice: a member is told until it answers, or has been told three times.
func TestNotice(t *testing.T) {
	s := newStage(t, Strict, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	c := s.join(epC, carol)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob REGISTERED at 203.0.113.22:39538")
	s.publish(bulletinOf(1, 100))
	s.want("at once", s.at(0), []string{"alice NOTICE", "bob NOTICE"}) // carol has not registered
	s.says(a, channel.Message{Type: channel.Done, ID: s.notice().ID})
	s.says(b, channel.Message{Type: channel.Done, ID: s.notice().ID + 1}) // of something else
	s.want("before it is time", s.at(999*ms), nil)
	s.want("again", s.at(1000*ms), []string{"bob NOTICE"})
	s.want("before it is time", s.at(2999*ms), nil)
	s.want("for the last time", s.at(3000*ms), []string{"bob NOTICE"})
	s.want("given up", s.at(5000*ms), nil)
	if s.reg.push.active || s.reg.counters.Unheard != 1 || s.reg.counters.Notices != 4 {
		t.Errorf("active %v, counters %+v", s.reg.push.active, s.reg.counters)
	}
	// Who registers is told in REGISTERED, and need not be told again.
	out := s.reg.Handle(s.time(), In{From: c.at, Member: c, Request: &channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{ip9}}}, nil)
	if len(out) != 1 || len(out[0].Answer.Objects) != 1 || out[0].Answer.Objects[0] != bulletinOf(1, 100).Object {
		t.Errorf("REGISTERED %+v", out)
	}
	s.publish(bulletinOf(1, 100))
	s.want("the same objects", s.at(6*sec), nil)
	s.publish(bulletinOf(2, 100))
	s.want("all", s.at(6*sec), []string{"alice NOTICE", "bob NOTICE", "carol NOTICE"})
	for _, m := range []*Member{a, b, c} {
		s.says(m, channel.Message{Type: channel.Done, ID: s.notice().ID})
	}
	s.want("all know", s.at(9*sec), nil)
	if s.reg.push.active || s.reg.push.queue != nil {
		t.Error("the server goes on although all know")
	}
}

// TestNoticeChanges: a change while members are told of the one before reaches all,
// and objects that come and go quickly cost no more than one round each quarter of
// a second.
func TestNoticeChanges(t *testing.T) {
	s := newStage(t, Strict, 0)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	s.now = sec
	s.publish(bulletinOf(1, 100))
	s.want("the first", s.at(1*sec), []string{"alice NOTICE"})
	first := s.notice().ID
	for i := range byte(20) {
		s.publish(bulletinOf(2+i, 100))
		s.want("too early", s.at(1*sec+time.Duration(i)*10*ms), nil)
	}
	s.says(a, channel.Message{Type: channel.Done, ID: first}) // of what is old already
	s.want("the last of them", s.at(1250*ms), []string{"alice NOTICE"})
	if n := s.notice(); n.Objects[0] != bulletinOf(21, 100).Object || n.ID == first {
		t.Errorf("NOTICE %+v", n)
	}
	s.publish()
	s.want("nothing to tell", s.at(4*sec), nil)
	if got := s.fetches(a, bulletinOf(21, 100).Object, 0); got.Type != channel.Chunk {
		t.Errorf("an object that is withdrawn cannot be fetched to the end: %+v", got)
	}
}

// crowd has so many members registered.
func crowd(t *testing.T, s *stage, n int) []*Member {
	t.Helper()
	all := make([]*Member, n)
	for i := range all {
		id := Identity{Key: pki.KeyID([]byte(fmt.Sprintf("%032d", i))), Name: "x", Addrs: []netip.Addr{nthVPN(i)}}
		all[i] = s.reg.Join(s.time(), spot{AddrPort: nthEndpoint(i)}, here, id)
		req := register(1, nthVPN(i))
		s.reg.Handle(s.time(), In{From: all[i].at, Member: all[i], Request: &req}, nil)
	}
	if s.reg.Len() != n {
		t.Fatalf("%d registered, want %d", s.reg.Len(), n)
	}
	return all
}

// TestNoticeSpread tells many members: none waits longer than 3 s, none is left out,
// nobody is told twice who has answered, and no moment has to carry all.
func TestNoticeSpread(t *testing.T) {
	for _, c := range []struct {
		members int
		took    time.Duration // at most
		atOnce  int           // NOTICEs in one go, at most
	}{
		{50, 20 * ms, 50}, {1000, 250 * ms, 200}, {50_000, 2600 * ms, 800},
	} {
		s := newStage(t, Strict, 0)
		all := crowd(t, s, c.members)
		s.publish(bulletinOf(1, 1000))
		told := map[*Member]int{}
		reached := never // when all had been told
		for s.reg.push.active {
			s.now = max(s.now, s.reg.Timeout().Sub(s.start))
			if s.now > 9*sec {
				break // members expire
			}
			out := s.reg.Advance(s.time(), nil)
			if len(out) > c.atOnce {
				t.Fatalf("%d members: %d NOTICEs at once", c.members, len(out))
			}
			for _, o := range out {
				if told[o.Member]++; told[o.Member] == 1 && o.Member.at.Port()%2 == 0 {
					continue // half of them is lost
				}
				done := channel.Message{Type: channel.Done, ID: o.Answer.ID}
				s.reg.Handle(s.time(), In{From: o.Member.at, Member: o.Member, Request: &done}, nil)
			}
			if len(told) == c.members && reached == never {
				reached = s.now
			}
		}
		for i, m := range all {
			if want := 1 + int(m.at.Port()+1)%2; told[m] != want {
				t.Fatalf("%d members: member %d was told %d times, want %d", c.members, i, told[m], want)
			}
		}
		if len(told) != c.members || reached > c.took {
			t.Errorf("%d of %d members were told, the last one after %v", len(told), c.members, reached)
		}
	}
}

// TestNoticeLate: a server that was busy for a while does not send all at once then.
func TestNoticeLate(t *testing.T) {
	s := newStage(t, Strict, 0)
	crowd(t, s, 5000)
	s.publish(bulletinOf(1, 1000))
	s.at(0)
	if got := len(s.at(900 * ms)); got != 4*50 {
		t.Errorf("%d NOTICEs at once after a pause, want %d", got, 4*50)
	}
}

// TestNoticeLeavers: members that leave while they wait for their turn are told
// nothing, and others at their endpoints are.
func TestNoticeLeavers(t *testing.T) {
	s := newStage(t, Strict, 0)
	all := crowd(t, s, 200)
	s.publish(bulletinOf(1, 1000))
	s.at(0) // the first 50 or so
	gone := all[150]
	s.reg.Leave(s.time(), gone, "test")
	moved := s.join(all[151].at, bob)
	s.says(moved, register(1, ip2), fmt.Sprintf("bob REGISTERED at %v", moved.at))
	for s.now < 500*ms {
		s.now += 10 * ms
		for _, o := range s.reg.Advance(s.time(), nil) {
			if o.Member == gone || o.Member == all[151] || o.Member == moved {
				t.Errorf("%v is told", o.Member.at)
			}
		}
	}
	s.check()
}

// TestFetch has the pieces of an object, of the one before, and what is refused.
func TestFetch(t *testing.T) {
	s := newStage(t, Strict, 0)
	m, stranger := s.join(epA, alice), s.join(epB, bob)
	s.says(m, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	big, small := listOf(1, 1, 3000), bulletinOf(9, 10)
	s.publish(big, small)
	fetched := func(i item) []byte {
		var b []byte
		for n := range i.pieces() {
			msg := s.fetches(m, i.Object, uint32(n*channel.MaxData))
			if msg.Type != channel.Chunk || msg.Offset != uint32(n*channel.MaxData) {
				t.Fatalf("piece %d: %+v", n, msg)
			}
			b = append(b, msg.Data...)
		}
		return b
	}
	if !bytes.Equal(fetched(big), big.data) || !bytes.Equal(fetched(small), small.data) {
		t.Error("the pieces are not the object")
	}
	s.publish(listOf(1, 2, 3000), small)
	if !bytes.Equal(fetched(big), big.data) {
		t.Error("who is in the middle of fetching cannot go on")
	}
	s.publish(listOf(1, 3, 3000), small)
	wrong := big.Object
	wrong.Size++
	for _, c := range []struct {
		name   string
		from   *Member
		object channel.Object
		offset uint32
		want   channel.Reason
	}{
		{"long gone", m, big.Object, 0, channel.Gone},
		{"another size", m, wrong, 0, channel.Gone},
		{"behind the end", m, small.Object, 10, channel.Malformed},
		{"far behind the end", m, small.Object, 1<<32 - 1, channel.Malformed},
		{"no member", stranger, small.Object, 0, channel.Strangers},
	} {
		if msg := s.fetches(c.from, c.object, c.offset); msg.Type != channel.Refused || msg.Reason != c.want {
			t.Errorf("%s: %+v, want %v", c.name, msg, c.want)
		}
	}
	s.says(m, channel.Message{Type: channel.Fetch, ID: 3}, "alice REFUSED: "+channel.Malformed.String())
	s.says(m, channel.Message{Type: channel.Fetch, ID: 3, Objects: []channel.Object{big.Object, small.Object}}, "alice REFUSED: "+channel.Malformed.String())
}

// TestFetchShare: a member gets each object a few times, and after a while, or when
// there is something new, again; all together get so much in a second.
func TestFetchShare(t *testing.T) {
	s := newStage(t, Strict, 0)
	m := s.join(epA, alice)
	s.says(m, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	big := listOf(1, 1, 100*channel.MaxData)
	s.publish(big)
	s.at(0)
	take := func(m *Member) (n int) {
		for s.fetches(m, big.Object, 0).Type == channel.Chunk {
			if n++; n > 1000 {
				t.Fatal("a member gets as much as it likes")
			}
		}
		return n
	}
	if got := take(m); got != 300 {
		t.Errorf("%d pieces of 100, want each three times", got)
	}
	if got := s.reg.counters.Greedy; got != 1 {
		t.Errorf("%d counted, want 1", got)
	}
	// A new channel of the same client does not start anew.
	again := s.join(epA, alice)
	s.says(again, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	if got := take(again); got != 0 {
		t.Errorf("%d pieces after a new handshake, want none", got)
	}
	for s.now < fetchWindow/2 {
		s.now += 5 * time.Second
		s.clear(epA, ping, clearly(epA, wire.Pong))
	}
	if got := take(again); got < 149 || got > 150 {
		t.Errorf("%d pieces after half of the time, want half", got)
	}
	s.publish(big, bulletinOf(1, 10))
	s.at(s.now)
	if got := take(again); got < 300 {
		t.Errorf("%d pieces when there is something new, want all", got)
	}
}

// TestFetchTogether bounds what all members get in a second.
func TestFetchTogether(t *testing.T) {
	s := newStage(t, Strict, 0)
	all := crowd(t, s, 1000)
	o := listOf(1, 1, 100*channel.MaxData)
	s.publish(o)
	got := 0
	for _, m := range all {
		for n := range 100 {
			req := channel.Message{Type: channel.Fetch, ID: 1, Objects: []channel.Object{o.Object}, Offset: uint32(n * channel.MaxData)}
			if out := s.reg.Handle(s.time(), In{From: m.at, Member: m, Request: &req}, nil); out[0].Answer.Type == channel.Chunk {
				got++
			}
		}
	}
	if want := int(pieceBurst / pieceInterval); got != want {
		t.Errorf("%d of 100,000 pieces in one moment, want %d", got, want)
	}
}
