package rdv

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// checkDesk returns an error if the parts about objects and the authority contradict
// each other.
func checkDesk(r *Registry) error {
	d, n, clear := &r.desk, 0, 0
	since := never
	for a := d.byAge.first; a != nil; a = a.age.next {
		n++
		if d.pending[a.id] != a || d.byAsker[a.asker] != a || a.since < since {
			return fmt.Errorf("request %d is not in the tables, or has the wrong place in the list", a.id)
		}
		if since = a.since; a.asker.member == nil {
			clear++
		}
	}
	if n != len(d.pending) || n != len(d.byAsker) || clear != d.clear || n > maxApplies {
		return fmt.Errorf("%d requests in the list, %d and %d in the tables; %d of them without certificate, counted as %d", n, len(d.pending), len(d.byAsker), clear, d.clear)
	}
	for _, m := range d.authorities {
		if r.members[m.spot()] != m || !m.id.Authority || len(m.held) > 0 {
			return fmt.Errorf("%v is no authority", m.at)
		}
	}
	in := &r.intake
	switch {
	case len(d.authorities) > maxAuthorities || len(in.asked) > intakeWindow || len(in.past) > intakeMemory || len(in.wanted) > channel.MaxObjects:
		return fmt.Errorf("%d authorities, %d FETCHes, %d objects wanted, %d remembered", len(d.authorities), len(in.asked), len(in.wanted), len(in.past))
	case in.from != nil && (r.members[in.from.spot()] != in.from || !in.from.id.Authority):
		return fmt.Errorf("objects are fetched from %v, who is no authority", in.from.at)
	case in.from == nil && (in.data != nil || len(in.wanted)+len(in.asked) > 0):
		return fmt.Errorf("%d objects are wanted of nobody", len(in.wanted))
	case r.push.active && r.push.notice == nil:
		return fmt.Errorf("there is nothing to tell")
	}
	return nil
}

// applying is an APPLY of somebody without certificate.
func applying(id uint32, data string) wire.GateMessage {
	return wire.GateMessage{Type: wire.Apply, Cookie: [wire.CookieSize]byte{1, 2, 3}, ID: id, Data: []byte(data)}
}

// applies has somebody without certificate say APPLY.
func (s *stage) applies(from netip.AddrPort, msg wire.GateMessage) []Out {
	s.t.Helper()
	out := s.reg.Apply(s.time(), In{From: from, Local: here}, msg, nil)
	s.check()
	return out
}

// over returns an APPLY over a channel.
func over(id uint32, data string) channel.Message {
	return channel.Message{Type: channel.Apply, ID: id, Data: []byte(data)}
}

// passed expects that the authority alone is told of a request, and returns it.
func (s *source) passed(out []Out, from netip.AddrPort, data string) channel.Message {
	s.t.Helper()
	if len(out) != 1 || out[0].Member != s.m {
		s.t.Fatalf("%d messages, want one to the authority: %v", len(out), out)
	}
	m := *out[0].Answer
	if m.Type != channel.Apply || len(m.Endpoints) != 1 || m.Endpoints[0] != from || string(m.Data) != data {
		s.t.Errorf("the authority is told %+v", m)
	}
	return m
}

// replied expects one REPLY to an endpoint.
func (s *stage) replied(out []Out, to netip.AddrPort, id uint32, data string) {
	s.t.Helper()
	if len(out) != 1 || out[0].To != to || out[0].Local != here || out[0].Gate == nil || out[0].Member != nil {
		s.t.Fatalf("%+v, want one REPLY", out)
	}
	if g := out[0].Gate; g.Type != wire.Reply || g.ID != id || string(g.Data) != data {
		s.t.Errorf("%+v, want the REPLY %q to request %d", g, data, id)
	}
}

// TestApply passes requests on, of members and of others with the same ids, and gives
// each its own answer.
func TestApply(t *testing.T) {
	s := newSource(t)
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, over(7, "early"), "alice REFUSED: "+channel.Strangers.String())
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob REGISTERED at 203.0.113.22:39538")
	msg := applying(7, "from nobody")
	out := s.applies(epC, msg)
	clear(msg.Data) // it was borrowed
	first := s.passed(out, epC, "from nobody")
	second := s.passed(s.hears(a, over(7, "from alice")), epA, "from alice")
	third := s.passed(s.hears(b, over(7, "from bob")), epB, "from bob")
	again := s.passed(s.hears(b, over(7, "from bob")), epB, "from bob") // repeated
	if again.ID != third.ID || first.ID == second.ID || second.ID == third.ID {
		t.Errorf("ids %d, %d, %d, %d", first.ID, second.ID, third.ID, again.ID)
	}
	answer := func(m *Member, id uint32, data string) []Out {
		return s.hears(m, channel.Message{Type: channel.Answer, ID: id, Data: []byte(data)})
	}
	// Members cannot answer in the authority's place.
	if out := append(answer(a, third.ID, "forged"), answer(b, third.ID, "forged")...); len(out) != 0 {
		t.Errorf("a member answers: %v", out)
	}
	if out := answer(s.m, 1<<30, "what?"); len(out) != 0 {
		t.Errorf("an answer to no request: %v", out)
	}
	out = answer(s.m, third.ID, "to bob")
	if len(out) != 1 || out[0].Member != b || out[0].Answer.Type != channel.Answer || out[0].Answer.ID != 7 || string(out[0].Answer.Data) != "to bob" {
		t.Errorf("bob is told %+v", out)
	}
	s.replied(answer(s.m, first.ID, "to nobody"), epC, 7, "to nobody")
	if out := answer(s.m, first.ID, "twice"); len(out) != 0 {
		t.Errorf("the second answer: %v", out)
	}
	s.says(a, channel.Message{Type: channel.Bye})
	if out := answer(s.m, second.ID, "to who has left"); len(out) != 0 {
		t.Errorf("an answer to who has left: %v", out)
	}
	if c := s.reg.counters; c.Applied != 4 || c.Answered != 2 || c.Unexpected != 4 || len(s.reg.desk.pending) != 0 {
		t.Errorf("counters %+v, %d requests left", c, len(s.reg.desk.pending))
	}
}

// TestApplyUnanswered: who asks learns when there is no answer.
func TestApplyUnanswered(t *testing.T) {
	s := newSource(t)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	first := s.passed(s.hears(a, over(1, "x")), epA, "x")
	s.passed(s.applies(epC, applying(2, "y")), epC, "y")
	s.now = applyTime - 1
	s.clear(epA, ping, clearly(epA, wire.Pong))
	if out := s.reg.Advance(s.time(), nil); len(out) != 0 {
		t.Errorf("too early: %v", out)
	}
	if at := s.reg.Timeout(); !at.Equal(s.start.Add(applyTime)) {
		t.Errorf("the server wakes up at %v", at.Sub(s.start))
	}
	s.now = applyTime
	out := s.reg.Advance(s.time(), nil)
	s.want("alice", s.told(out[:1]), []string{"alice REFUSED: " + channel.Unreachable.String()})
	s.replied(out[1:], epC, 2, "")
	if out := s.hears(s.m, channel.Message{Type: channel.Answer, ID: first.ID, Data: []byte("late")}); len(out) != 0 {
		t.Errorf("an answer that comes too late: %v", out)
	}
	// Refusals of the authority, and an empty answer.
	for _, c := range []struct {
		answer channel.Message
		want   channel.Reason
	}{
		{channel.Message{Type: channel.Refused, Reason: channel.Busy}, channel.Busy},
		{channel.Message{Type: channel.Refused, Reason: channel.Denied}, channel.Denied},
		{channel.Message{Type: channel.Answer}, channel.Unreachable},
	} {
		c.answer.ID = s.passed(s.hears(a, over(3, "x")), epA, "x").ID
		s.want("the authority says "+c.answer.Type.String(), s.told(s.hears(s.m, c.answer)), []string{"alice REFUSED: " + c.want.String()})
		c.answer.ID = s.passed(s.applies(epC, applying(4, "y")), epC, "y").ID
		s.replied(s.hears(s.m, c.answer), epC, 4, "")
	}
	// There is no authority (any more).
	s.passed(s.hears(a, over(5, "x")), epA, "x")
	s.says(s.m, channel.Message{Type: channel.Bye})
	s.says(a, over(5, "x"), "alice REFUSED: "+channel.Unreachable.String())
	s.says(a, over(6, "x"), "alice REFUSED: "+channel.Unreachable.String())
	s.replied(s.applies(epC, applying(6, "y")), epC, 6, "")
	s.says(a, over(6, ""), "alice REFUSED: "+channel.Malformed.String())
	if len(s.reg.desk.pending) != 0 {
		t.Errorf("%d requests left", len(s.reg.desk.pending))
	}
}

// TestAuthorities: the one that has registered last is asked, and when it is gone the
// one before; what a repeated request was asked of the first goes to the next.
func TestAuthorities(t *testing.T) {
	s := newSource(t)
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	s.says(s.m, over(1, "itself"), "trent REFUSED: "+channel.Denied.String())
	old := s.passed(s.hears(a, over(1, "x")), epA, "x")
	first := s.m
	s.m = s.join(epC, tom)
	s.passedTo(first, s.hears(a, over(2, "x"))) // tom has not registered
	s.says(s.m, channel.Message{Type: channel.Register, ID: 1}, "tom REGISTERED at "+epC.String())
	again := s.passed(s.hears(a, over(1, "x")), epA, "x")
	if again.ID != old.ID {
		t.Errorf("a repeated request has another id, %d and %d", old.ID, again.ID)
	}
	if out := s.hears(first, channel.Message{Type: channel.Answer, ID: old.ID, Data: []byte("y")}); len(out) != 0 {
		t.Errorf("an answer of who is not asked any more: %v", out)
	}
	s.says(s.m, channel.Message{Type: channel.Bye})
	s.passedTo(first, s.hears(a, over(3, "x")))
	// A new channel of the same authority.
	next := s.join(epD, trent)
	if len(s.reg.desk.authorities) != 0 {
		t.Error("the old channel is still asked")
	}
	s.hears(next, channel.Message{Type: channel.Register, ID: 1})
	s.passedTo(next, s.hears(a, over(4, "x")))
	var got []EventKind
	for _, e := range s.events {
		if e.Kind == AuthorityHere || e.Kind == AuthorityGone {
			got = append(got, e.Kind)
		}
	}
	if want := []EventKind{AuthorityHere, AuthorityHere, AuthorityGone, AuthorityGone, AuthorityHere}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func (s *stage) passedTo(m *Member, out []Out) {
	s.t.Helper()
	if len(out) != 1 || out[0].Member != m || out[0].Answer.Type != channel.Apply {
		s.t.Errorf("%v, want an APPLY to %s", out, m.id.Name)
	}
}

// TestApplyFlood: whoever asks, the authority gets a bounded number of requests in a
// second, a network its share of them, and members theirs beside all others.
func TestApplyFlood(t *testing.T) {
	s := newSource(t)
	s.reg.cfg.Jitter = func() float64 { return 0.5 }
	const seconds = 10
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	passed := map[string]int{}
	count := func(kind string, out []Out) {
		if len(out) != 1 {
			t.Fatalf("%d messages", len(out))
		}
		switch o := out[0]; {
		case o.Member == s.m:
			passed[kind]++
		case o.Gate != nil && (o.Gate.Type != wire.Wait || o.Gate.Cookie != applying(0, "").Cookie || o.Gate.Millis != 2500):
			t.Fatalf("over the limit: %+v", o.Gate)
		case o.Gate == nil && (o.Answer.Type != channel.Refused || o.Answer.Reason != channel.Busy):
			t.Fatalf("over the limit: %+v", o.Answer)
		}
	}
	for n := range 2000 * seconds {
		s.now = time.Duration(n) * 500 * time.Microsecond
		s.reg.Advance(s.time(), nil) // those without answer
		id := uint32(n)
		count("one host", s.reg.Apply(s.time(), In{From: epB, Local: here}, applying(id, "x"), nil))
		count("many networks", s.reg.Apply(s.time(), In{From: netip.AddrPortFrom(nthNetwork(n), 1), Local: here}, applying(id, "x"), nil))
		if n%100 == 0 { // 20 a second
			s.reg.Handle(s.time(), In{From: epA, Local: here, Msg: ping}, nil)
			s.reg.Handle(s.time(), In{From: epD, Local: here, Msg: ping}, nil)
		}
		if n%400 == 0 { // 5 a second
			req := over(id, "x")
			count("alice", s.reg.Handle(s.time(), In{From: epA, Local: here, Member: a, Request: &req}, nil))
		}
	}
	s.check()
	if got, most := passed["one host"]+passed["many networks"], int(appliesBurst/appliesInterval)+100*seconds; got > most || got < most/2 {
		t.Errorf("%d requests of others were passed on in %d s, want at most %d", got, seconds, most)
	}
	if got, most := passed["one host"], int(applyBurst/applyInterval)+10*seconds; got > most {
		t.Errorf("%d requests of one host were passed on, want at most %d", got, most)
	}
	if got, want := passed["alice"], 5*seconds; got != want {
		t.Errorf("%d requests of a member were passed on, want all %d", got, want)
	}
	t.Logf("passed on: %v; deferred %d", passed, s.reg.counters.Deferred)
}

// TestApplyBounded: requests that are not answered take a bounded number of places.
func TestApplyBounded(t *testing.T) {
	s := newSource(t)
	for n := range 100_000 {
		if n%100 == 0 {
			s.now += 10 * ms
		}
		s.reg.Apply(s.time(), In{From: netip.AddrPortFrom(nthNetwork(n), 1), Local: here}, applying(uint32(n), "x"), nil)
		if len(s.reg.desk.pending) > maxApplies/2 {
			t.Fatalf("%d requests", len(s.reg.desk.pending))
		}
	}
	s.alive(applyTime)
	s.check()
	if s.at(s.now); len(s.reg.desk.pending) != 0 || s.reg.counters.Unanswered == 0 {
		t.Errorf("%d requests left", len(s.reg.desk.pending))
	}
}

// TestServe: the authority is in this process.
func TestServe(t *testing.T) {
	s := newSource(t) // there is a member, too, which is not asked
	type served struct {
		id   uint32
		from netip.AddrPort
		data []byte
	}
	var got []served
	busy := false
	s.reg.cfg.Serve = func(id uint32, from netip.AddrPort, data []byte) bool {
		got = append(got, served{id, from, data})
		return !busy
	}
	a := s.join(epA, alice)
	s.says(a, register(1, ip1), "alice REGISTERED at 203.0.113.21:49380")
	s.says(a, over(2, "x"))
	s.says(a, over(2, "x")) // repeated: it is at work
	if out := s.applies(epC, applying(2, "y")); len(out) != 0 {
		t.Errorf("%v", out)
	}
	if len(got) != 2 || got[0].from != epA || got[1].from != epC || string(got[1].data) != "y" {
		t.Fatalf("served: %v", got)
	}
	answered := func(n int, data []byte) []Out { return s.reg.Answered(s.time(), got[n].id, data, nil) }
	s.replied(answered(1, []byte("z")), epC, 2, "z")
	s.want("alice", s.told(answered(0, bytes.Repeat([]byte{1}, wire.MaxApply+1))), []string{"alice REFUSED: " + channel.Unreachable.String()})
	if out := append(answered(0, []byte("z")), s.hears(s.m, channel.Message{Type: channel.Answer, ID: got[0].id, Data: []byte("z")})...); len(out) != 0 {
		t.Errorf("answers to nothing: %v", out)
	}
	busy = true
	s.says(a, over(3, "x"), "alice REFUSED: "+channel.Busy.String())
	if out := s.applies(epC, applying(3, "y")); len(out) != 1 || out[0].Gate.Type != wire.Wait {
		t.Errorf("%v, want WAIT", out)
	}
	s.check()
}
