package rdv

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/stream"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

const (
	// maxApplies is how many requests to the authority are under way, half of them
	// for members and half for those without certificate, and applyTime how long.
	maxApplies = 1024
	applyTime  = 5 * time.Second

	// How many requests of one network are passed on: 10 a second, and 100 at once,
	// for the office that puts all its hosts on the VPN in one afternoon.
	applyInterval = 100 * time.Millisecond
	applyBurst    = 10 * time.Second

	// How many of all members, and of all others, are passed on: 100 a second each,
	// and 200 at once. The authority signs in less than a millisecond. Who has no
	// certificate cannot use up what members have.
	appliesInterval = 10 * time.Millisecond
	appliesBurst    = 2 * time.Second

	// minApplyWait and maxApplyWait bound the WAIT of those over the limits.
	minApplyWait = time.Second
	maxApplyWait = 4 * time.Second

	// maxAuthorities is how many members with a certificate for the authority are
	// registered. Beyond it the oldest is forgotten.
	maxAuthorities = 4
)

// A desk passes requests to the VPN's authority, and its answers back. The authority
// is in this process ([Authority]), or else the member that has registered last with
// a certificate for it. A request is not understood here, and not kept: who asks
// repeats it, and each repetition is passed on.
type desk struct {
	authorities []*Member // the last is used

	pending map[uint32]*application
	byAsker map[asker]*application
	byAge   list[application]
	clear   int // of them, those without certificate

	networks [2]limiter // of others, and of members: neither can spend the other's
	all      [2]bucket
}

// An asker is who has said an APPLY, and the id that it gave it.
type asker struct {
	at     spot
	id     uint32
	member *Member // nil: through the gate, without certificate
}

// An application is a request that has not been answered.
type application struct {
	id    uint32 // towards the authority
	asker asker
	local netip.Addr // address of this host that the asker uses
	to    *Member    // nil: in this process
	since time.Duration
	age   links[application]
}

func newDesk() desk {
	return desk{
		pending: map[uint32]*application{},
		byAsker: map[asker]*application{},
		byAge:   list[application]{links: func(a *application) *links[application] { return &a.age }},
		networks: [2]limiter{
			{interval: applyInterval, burst: applyBurst},
			{interval: applyInterval, burst: applyBurst},
		},
	}
}

// enlist makes m, which has registered with a certificate for it, the authority.
func (r *Registry) enlist(m *Member) {
	d := &r.desk
	if n := len(d.authorities); n > 0 && d.authorities[n-1] == m {
		return
	}
	d.dismiss(m)
	if len(d.authorities) >= maxAuthorities {
		d.authorities = slices.Delete(d.authorities, 0, 1)
	}
	d.authorities = append(d.authorities, m)
	r.trace(m.event(AuthorityHere))
}

// dismiss forgets m as an authority. What it was asked gets its answer from another
// one, when the asker repeats it, or none.
func (d *desk) dismiss(m *Member) {
	d.authorities = slices.DeleteFunc(d.authorities, func(o *Member) bool { return o == m })
}

// authority returns who answers: a member, or nil for the authority in this process.
func (r *Registry) authority() (to *Member, ok bool) {
	if r.cfg.Serve != nil {
		return nil, true
	}
	if n := len(r.desk.authorities); n > 0 {
		return r.desk.authorities[n-1], true
	}
	return nil, false
}

// applyOver takes an APPLY of a member.
func (r *Registry) applyOver(m *Member, req *channel.Message, out []Out) []Out {
	switch {
	case m.id.Authority:
		return m.refuse(req, channel.Denied, "the authority itself has nobody to ask", out)
	case !r.registered(m):
		return m.refuse(req, channel.Strangers, "", out)
	case len(req.Data) == 0:
		return m.refuse(req, channel.Malformed, "", out)
	}
	if r.mayApply(m, m.at.Addr()) {
		if out, ok := r.pass(asker{at: m.spot(), id: req.ID, member: m}, m.server, req.Data, out); ok {
			return out
		}
	}
	r.counters.Deferred++
	return m.refuse(req, channel.Busy, "", out)
}

// Apply takes an APPLY that has come through the gate as in says, and whose cookie is
// good. What it says is borrowed.
func (r *Registry) Apply(now time.Time, in In, msg wire.GateMessage, out []Out) []Out {
	r.advance(now)
	if r.mayApply(nil, in.From.Addr()) {
		if out, ok := r.pass(asker{at: in.spot(), id: msg.ID}, in.Local, msg.Data, out); ok {
			return out
		}
	}
	r.counters.Deferred++
	wait := minApplyWait + time.Duration(r.cfg.jitter()*float64(maxApplyWait-minApplyWait))
	return append(out, Out{To: in.From, Local: in.Local, Socket: in.Socket, Gate: &wire.GateMessage{Type: wire.Wait, Cookie: msg.Cookie, Millis: uint16(wait.Milliseconds())}})
}

// mayApply reports whether a request of m, or if it is nil of somebody without
// certificate, at a, may be passed on, and counts it if so.
func (r *Registry) mayApply(m *Member, a netip.Addr) bool {
	d, n, kind := &r.desk, networkOf(a), 0
	room := d.clear < maxApplies/2
	if m != nil {
		kind, room = 1, len(d.pending)-d.clear < maxApplies/2
	}
	return room && d.networks[kind].allowNetwork(r.now, n.fold()) && d.all[kind].allow(r.now, appliesInterval, appliesBurst)
}

// pass passes a request on. It returns false, and no message, if the authority has
// too much to do.
func (r *Registry) pass(from asker, local netip.Addr, data []byte, out []Out) ([]Out, bool) {
	d := &r.desk
	to, ok := r.authority()
	a := d.byAsker[from]
	switch {
	case a != nil && !ok: // nobody is there any more
		return r.unanswered(a, out), true
	case !ok:
		return r.settle(&application{asker: from, local: local}, nil, channel.Unreachable, out), true
	case a == nil:
		r.introID++
		a = &application{id: r.introID, asker: from, local: local, to: to, since: r.now}
		if to == nil && !r.cfg.Serve(a.id, stream.Real(from.at.AddrPort), bytes.Clone(data)) {
			return out, false
		}
		d.add(a)
	case to == nil:
		return out, true // a repetition: it is being answered
	}
	r.counters.Applied++
	a.to = to
	if to == nil {
		return out, true
	}
	return append(out, Out{To: to.at, Local: to.server, Socket: to.socket, Member: to, Answer: &channel.Message{
		Type: channel.Apply, ID: a.id, Endpoints: []netip.AddrPort{stream.Real(from.at.AddrPort)}, Data: bytes.Clone(data),
	}}), true
}

func (d *desk) add(a *application) {
	d.pending[a.id], d.byAsker[a.asker] = a, a
	d.byAge.push(a)
	if a.asker.member == nil {
		d.clear++
	}
}

func (d *desk) remove(a *application) {
	delete(d.pending, a.id)
	delete(d.byAsker, a.asker)
	d.byAge.remove(a)
	if a.asker.member == nil {
		d.clear--
	}
}

// Answered takes an answer of the authority in this process; an empty one is none.
func (r *Registry) Answered(now time.Time, id uint32, answer []byte, out []Out) []Out {
	r.advance(now)
	return r.answered(nil, id, answer, channel.Unreachable, out)
}

// answerOver takes an ANSWER, and a REFUSED that may be one to an APPLY.
func (r *Registry) answerOver(m *Member, msg *channel.Message, out []Out) []Out {
	if !m.id.Authority { // nobody was asked, so nobody has an answer
		r.counters.Unexpected++
		return out
	}
	why := channel.Unreachable
	if msg.Type == channel.Refused {
		why, msg.Data = msg.Reason, nil
	}
	return r.answered(m, msg.ID, msg.Data, why, out)
}

// answered gives the answer of an authority, or why there is none, to who has asked.
func (r *Registry) answered(from *Member, id uint32, answer []byte, why channel.Reason, out []Out) []Out {
	a := r.desk.pending[id]
	if a == nil || a.to != from {
		r.counters.Unexpected++ // too late, or another's
		return out
	}
	r.desk.remove(a)
	if len(answer) > wire.MaxApply {
		answer = nil
	}
	return r.settle(a, answer, why, out)
}

// settle tells the asker the answer, or why there is none.
func (r *Registry) settle(a *application, answer []byte, why channel.Reason, out []Out) []Out {
	m := a.asker.member
	req := &channel.Message{ID: a.asker.id}
	switch {
	case m == nil: // of the reasons a REPLY can say none
		r.countAnswer(answer)
		return append(out, Out{To: a.asker.at.AddrPort, Local: a.local, Socket: a.asker.at.socket, Gate: &wire.GateMessage{Type: wire.Reply, ID: a.asker.id, Data: answer}})
	case r.members[m.spot()] != m:
		return out // it has left
	case len(answer) == 0:
		r.countAnswer(nil)
		return m.refuse(req, why, "", out)
	}
	r.countAnswer(answer)
	return m.answer(req, &channel.Message{Type: channel.Answer, Data: answer}, out)
}

func (r *Registry) countAnswer(answer []byte) {
	if len(answer) == 0 {
		r.counters.Unanswered++
		return
	}
	r.counters.Answered++
}

// unanswered gives up a request.
func (r *Registry) unanswered(a *application, out []Out) []Out {
	r.desk.remove(a)
	return r.settle(a, nil, channel.Unreachable, out)
}

// applyExpired gives up requests that were not answered in time.
func (r *Registry) applyExpired(out []Out) []Out {
	for a := r.desk.byAge.first; a != nil && r.now-a.since >= applyTime; a = r.desk.byAge.first {
		out = r.unanswered(a, out)
	}
	return out
}
