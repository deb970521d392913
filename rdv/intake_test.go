package rdv

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/rdv/channel"
)

// Identities of the VPN's authority, and of another one of it.
var (
	trent = Identity{Key: pki.KeyID{9}, Name: "trent", Authority: true}
	tom   = Identity{Key: pki.KeyID{8}, Name: "tom", Authority: true}
)

// A source is a stage with the authority, and what has been fetched from it.
type source struct {
	*stage
	m     *Member
	taken []Offered
}

func newSource(t *testing.T) *source {
	s := &source{stage: newStage(t, Strict, 0)}
	s.reg.cfg.Offer = func(o Offered) { s.taken = append(s.taken, o) }
	s.m = s.join(epD, trent)
	s.says(s.m, channel.Message{Type: channel.Register, ID: 1}, "trent REGISTERED at "+epD.String())
	return s
}

// hears has a member say something, and returns what is said to it.
func (s *stage) hears(m *Member, msg channel.Message) []Out {
	s.t.Helper()
	out := s.reg.Handle(s.time(), In{From: m.at, Local: m.server, Member: m, Request: &msg}, nil)
	s.check()
	return out
}

// offer has the authority name objects, and returns the FETCHes that follow.
func (s *source) offer(items ...item) []channel.Message {
	s.t.Helper()
	msg := channel.Message{Type: channel.Notice, ID: 5}
	for _, i := range items {
		msg.Objects = append(msg.Objects, i.Object)
	}
	out := s.hears(s.m, msg)
	if len(out) == 0 || out[0].Answer.Type != channel.Done || out[0].Answer.ID != 5 {
		s.t.Fatalf("NOTICE is answered with %v", s.told(out))
	}
	return s.fetchesOf(out[1:])
}

// fetchesOf expects that messages are FETCHes to the authority.
func (s *source) fetchesOf(out []Out) []channel.Message {
	s.t.Helper()
	var list []channel.Message
	for _, o := range out {
		if o.Member != s.m || o.Answer.Type != channel.Fetch || len(o.Answer.Objects) != 1 {
			s.t.Fatalf("%v, want FETCHes to the authority", s.told(out))
		}
		list = append(list, *o.Answer)
	}
	return list
}

// sends has the authority send the piece that a FETCH asks for.
func (s *source) sends(f channel.Message, i item) []channel.Message {
	s.t.Helper()
	if f.Objects[0] != i.Object {
		s.t.Fatalf("%x is asked for, want %x", f.Objects[0].Hash[:4], i.Hash[:4])
	}
	return s.fetchesOf(s.hears(s.m, channel.Message{Type: channel.Chunk, ID: f.ID, Offset: f.Offset, Data: i.piece(f.Offset)}))
}

// TestIntake fetches objects in pieces: a few are under way, in any order.
func TestIntake(t *testing.T) {
	s := newSource(t)
	big, small := bulletinOf(1, 20*channel.MaxData+1), listOf(2, 2, 10)
	open := s.offer(big, small)
	if len(open) != intakeWindow || open[0].Offset != 0 || open[7].Offset != 7*channel.MaxData {
		t.Fatalf("%d FETCHes, from %+v", len(open), open)
	}
	rounds := 0
	for ; len(open) > 0; rounds++ {
		n := rounds * 5 % len(open)
		f := open[n]
		open = append(open[:n:n], open[n+1:]...)
		if f.Objects[0] == small.Object {
			open = append(open, s.sends(f, small)...)
		} else {
			open = append(open, s.sends(f, big)...)
		}
		if len(open) > intakeWindow {
			t.Fatalf("%d FETCHes are under way", len(open))
		}
	}
	if rounds != 22 || len(s.taken) != 2 || !bytes.Equal(s.taken[0].Content, big.data) || s.taken[0].Object != big.Object ||
		!bytes.Equal(s.taken[1].Content, small.data) || s.taken[1].From != "trent" {
		t.Errorf("%d pieces, %d objects", rounds, len(s.taken))
	}
	if s.reg.intake.from != nil || s.reg.intake.data != nil {
		t.Error("what was fetched is kept")
	}
	if again := s.offer(big, small); len(again) != 0 {
		t.Errorf("objects that were fetched a moment ago: %d FETCHes", len(again))
	}
	s.publish(small)
	s.alive(intakeAgain)
	if again := s.offer(big, small); len(again) != intakeWindow || again[0].Objects[0] != big.Object {
		t.Errorf("a minute later: %d FETCHes, want those of what the server has not got", len(again))
	}
}

// alive lets time pass, in which the authority PINGs.
func (s *source) alive(d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.now = min(s.now+5*time.Second, end)
		s.reg.Handle(s.time(), In{From: s.m.at, Local: here, Msg: ping}, nil)
	}
}

// TestIntakeLoss: what gets lost is asked for again, and given up after a while; then
// the next object has its turn.
func TestIntakeLoss(t *testing.T) {
	s := newSource(t)
	big, small := bulletinOf(1, 3*channel.MaxData), listOf(2, 2, 10)
	open := s.offer(big, small)
	s.sends(open[1], big)
	s.want("too early", s.at(499*ms), nil)
	again := s.fetchesOf(s.reg.Advance(s.start.Add(500*ms), nil))
	if len(again) != 2 || again[0].ID != open[0].ID || again[1].ID != open[2].ID || again[0].Offset != 0 {
		t.Fatalf("repeated: %+v", again)
	}
	s.sends(open[0], big)
	if out := s.hears(s.m, channel.Message{Type: channel.Chunk, ID: open[0].ID, Data: big.piece(0)}); len(out) != 0 { // twice
		t.Errorf("a repeated piece: %v", s.told(out))
	}
	s.hears(s.m, channel.Message{Type: channel.Refused, ID: open[2].ID, Reason: channel.Busy})
	var next []channel.Message
	for _, at := range []time.Duration{1500 * ms, 3500 * ms, 5500 * ms} {
		s.now = at
		next = s.fetchesOf(s.reg.Advance(s.time(), nil))
		if len(next) != 1 {
			t.Fatalf("at %v: %+v", at, next)
		}
	}
	if next[0].Objects[0] != small.Object {
		t.Fatalf("after the last try: %+v, want the next object", next[0])
	}
	s.sends(next[0], small)
	if len(s.taken) != 1 || s.taken[0].Kind != channel.CRL {
		t.Errorf("%d objects", len(s.taken))
	}
	s.wantLost("does not send it")
}

// wantLost expects one event about an object that was given up.
func (s *source) wantLost(text string) {
	s.t.Helper()
	var got []string
	for _, e := range s.events {
		if e.Kind == ObjectLost {
			got = append(got, e.Why)
		}
	}
	s.events = nil
	if len(got) != 1 || !bytes.Contains([]byte(got[0]), []byte(text)) {
		s.t.Errorf("objects given up: %q, want one because of %q", got, text)
	}
}

// TestIntakeRefuses has what an authority may send that is not what was asked for.
func TestIntakeRefuses(t *testing.T) {
	i := listOf(1, 1, 2*channel.MaxData)
	for _, c := range []struct {
		name string
		msg  channel.Message
		want string // "": it is ignored
	}{
		{"too little", channel.Message{Type: channel.Chunk, Data: i.data[:10]}, "another piece"},
		{"nothing", channel.Message{Type: channel.Chunk}, "another piece"},
		{"another piece", channel.Message{Type: channel.Chunk, Offset: channel.MaxData, Data: i.piece(0)}, "another piece"},
		{"gone", channel.Message{Type: channel.Refused, Reason: channel.Gone}, "no such object any more"},
		{"too busy", channel.Message{Type: channel.Refused, Reason: channel.Busy}, ""},
		{"another id", channel.Message{Type: channel.Chunk, ID: 1 << 31, Data: i.piece(0)}, ""},
		{"another kind of answer", channel.Message{Type: channel.Answer, Data: i.piece(0)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(t)
			f := s.offer(i)[0]
			if c.msg.ID == 0 {
				c.msg.ID = f.ID
			}
			if out := s.hears(s.m, c.msg); len(out) != 0 {
				t.Errorf("answered with %v", s.told(out))
			}
			if c.want != "" {
				s.wantLost(c.want)
				return
			}
			s.sends(f, i)
			s.sends(channel.Message{ID: s.reg.intake.asked[0].id, Objects: f.Objects, Offset: channel.MaxData}, i)
			if len(s.taken) != 1 {
				t.Error("the object is not taken")
			}
		})
	}
}

// TestOfferRefused has the offers that nobody follows: of members, of objects that
// are none, and of an authority that has not registered.
func TestOfferRefused(t *testing.T) {
	s := newSource(t)
	m := s.join(epA, alice)
	s.says(m, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	good := bulletinOf(1, 10)
	notice := channel.Message{Type: channel.Notice, ID: 2, Objects: []channel.Object{good.Object}}
	s.says(m, notice, "alice REFUSED: "+channel.Denied.String())
	other := s.join(epC, tom)
	s.says(other, notice, "tom REFUSED: "+channel.Strangers.String())
	huge, empty, strange := good, good, good
	huge.Size, empty.Size, strange.Kind = channel.MaxObject+1, 0, 99
	if f := s.offer(huge, empty, strange); len(f) != 0 {
		t.Errorf("%d FETCHes", len(f))
	}
	if f := s.offer(good, good, good); len(f) != 1 {
		t.Errorf("%d FETCHes for one object", len(f))
	}
	// A member answers in the authority's place.
	id := s.reg.intake.asked[0].id
	s.says(m, channel.Message{Type: channel.Chunk, ID: id, Data: good.data})
	s.says(m, channel.Message{Type: channel.Refused, ID: id, Reason: channel.Gone})
	if len(s.taken) != 0 || s.reg.intake.from != s.m {
		t.Error("a member serves objects")
	}
	// The authority leaves in the middle.
	s.reg.Leave(s.time(), s.m, "test")
	if s.reg.intake.from != nil || s.reg.intake.data != nil {
		t.Error("the server waits for who has left")
	}
	s.want("nothing is asked", s.at(5*sec), nil)
}

// TestIntakeChanges: objects that change while they are fetched.
func TestIntakeChanges(t *testing.T) {
	s := newSource(t)
	big, small := listOf(1, 1, 100*channel.MaxData), bulletinOf(2, 10)
	open := s.offer(big)
	for range 5 { // repeated: it goes on
		if f := s.offer(small, big); len(f) != 0 {
			t.Fatalf("the server begins anew: %+v", f)
		}
	}
	s.sends(open[0], big)
	if len(s.reg.intake.wanted) != 2 || s.reg.intake.wanted[0] != big.Object {
		t.Errorf("wanted: %+v", s.reg.intake.wanted)
	}
	if f := s.offer(small); len(f) != 1 || f[0].Objects[0] != small.Object { // the list is withdrawn
		t.Errorf("FETCHes: %+v", f)
	}
	// Another authority takes over.
	next := s.join(epC, tom)
	s.says(next, channel.Message{Type: channel.Register, ID: 1}, "tom REGISTERED at "+epC.String())
	out := s.hears(next, channel.Message{Type: channel.Notice, ID: 2, Objects: []channel.Object{small.Object}})
	if len(out) != 2 || out[1].Member != next {
		t.Errorf("the other authority offers: %v", s.told(out))
	}
	// What is remembered is bounded.
	for i := range 50 {
		o := newItem(itemKey{kind: channel.Bulletin}, fmt.Appendf(nil, "%d", i))
		f := s.hears(next, channel.Message{Type: channel.Notice, ID: 2, Objects: []channel.Object{o.Object}})
		s.hears(next, channel.Message{Type: channel.Chunk, ID: f[1].Answer.ID, Data: o.data})
	}
	if got := len(s.reg.intake.past); got > intakeMemory || len(s.taken) != 50 {
		t.Errorf("%d objects are remembered, %d taken", got, len(s.taken))
	}
}

// TestAuthorityRegisters: the authority gets no address, asks for nobody, and is
// introduced to nobody.
func TestAuthorityRegisters(t *testing.T) {
	s := newStage(t, Mixed, 1)
	m := s.join(epD, trent)
	s.says(m, register(1, ip1), "trent REFUSED: "+channel.NotYours.String())
	s.says(m, askFor(2, ip2), "trent REFUSED: "+channel.Denied.String())
	s.says(m, channel.Message{Type: channel.Register, ID: 3}, "trent REGISTERED at "+epD.String())
	s.says(m, register(4, ip1), "trent REFUSED: "+channel.NotYours.String())
	a := s.join(epA, alice)
	s.says(a, channel.Message{Type: channel.Register, ID: 5}, "alice REFUSED: "+channel.Malformed.String())
	s.says(a, register(5, ip1), "alice REGISTERED at 203.0.113.21:49380") // it takes no place
	s.says(m, askFor(7, ip1), "trent REFUSED: "+channel.Denied.String())
	if s.reg.Len() != 1 || len(s.reg.desk.authorities) != 1 {
		t.Errorf("%d clients, %d authorities", s.reg.Len(), len(s.reg.desk.authorities))
	}
	s.publish(bulletinOf(1, 10))
	s.want("the authority is told nothing", s.at(0), []string{"alice NOTICE"})
	var all []*Member
	for i := range maxAuthorities + 3 {
		next := s.join(nthEndpoint(i), tom)
		s.hears(next, channel.Message{Type: channel.Register, ID: 1})
		all = append(all, next)
	}
	if got := len(s.reg.desk.authorities); got != maxAuthorities || s.reg.desk.authorities[got-1] != all[len(all)-1] {
		t.Errorf("%d authorities are known", got)
	}
	s.says(all[1], channel.Message{Type: channel.Bye})
}
