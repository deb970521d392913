package client

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

// Bounds on what the RDV may make the VPN's authority do.
const (
	// maxJobs is how many requests are worked on at a time, and maxAnswers how many
	// are kept in mind, with their answers, for when they are repeated.
	maxJobs    = 16
	maxAnswers = 128

	// announceWait is how long after a NOTICE that nobody has heard there is the
	// next.
	announceWait = 10 * time.Second
)

// An Object is something that all members should have.
type Object struct {
	Kind channel.ObjectKind
	Data []byte
}

// name returns how an object is named in messages.
func (o *Object) name() channel.Object {
	return channel.Object{Kind: o.Kind, Size: uint32(len(o.Data)), Hash: sha256.Sum256(o.Data)}
}

// A duty is what the VPN's authority does for the RDV: it has objects for all
// members, and answers requests.
type duty struct {
	objects []published
	jobs    []*job    // requests of the RDV, oldest first
	again   time.Time // NOTICE; zero: it was heard, or is out
}

// A published is an object with its name.
type published struct {
	name channel.Object
	data []byte
}

// A job is a request to the authority.
type job struct {
	on     *link
	id     uint32
	answer *channel.Message // nil: it is being worked on
}

// publish makes these the objects for all members. Those that are too large are left
// out.
func (d *duty) publish(objects []Object) {
	d.objects = nil
	for _, o := range objects {
		if n := len(o.Data); n > 0 && n <= channel.MaxObject {
			d.objects = append(d.objects, published{o.name(), o.Data})
		}
	}
}

// timeout returns when announceAgain must be called; zero means never.
func (d *duty) timeout() time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.again
}

// unheard takes that the RDV has not heard our NOTICE, or did not want it.
func (d *duty) unheard(now time.Time) {
	if d != nil {
		d.again = now.Add(announceWait)
	}
}

// announce tells the RDV which objects there are.
func (m *serverChannel) announce(now time.Time, out []chanOut) []chanOut {
	if m.duty == nil || m.link == nil {
		return out
	}
	m.duty.again = time.Time{}
	m.requests = slices.DeleteFunc(m.requests, func(r *request) bool { return r.msg.Type == channel.Notice })
	msg := channel.Message{Type: channel.Notice}
	for _, o := range m.duty.objects {
		msg.Objects = append(msg.Objects, o.name)
	}
	return m.send(now, &request{msg: msg}, out)
}

// announceAgain does so if the time has come.
func (m *serverChannel) announceAgain(now time.Time, out []chanOut) []chanOut {
	if t := m.duty.timeout(); t.IsZero() || now.Before(t) {
		return out
	}
	m.duty.again = time.Time{} // without a link, the next one announces
	return m.announce(now, out)
}

// serve takes a request to the authority. To a client that is none it means nothing.
func (m *serverChannel) serve(l *link, msg *channel.Message, out []chanOut) []chanOut {
	switch {
	case m.duty == nil:
		return out
	case msg.Type == channel.Fetch:
		answer := m.duty.chunk(msg)
		return l.say(&answer, out)
	}
	d := m.duty
	working := 0
	for _, j := range d.jobs {
		switch {
		case j.on == l && j.id == msg.ID && j.answer != nil:
			return l.say(j.answer, out)
		case j.on == l && j.id == msg.ID:
			return out
		case j.answer == nil:
			working++
		}
	}
	if len(msg.Data) == 0 || working >= maxJobs {
		reason := channel.Busy
		if len(msg.Data) == 0 {
			reason = channel.Malformed
		}
		return l.say(&channel.Message{Type: channel.Refused, ID: msg.ID, Reason: reason}, out)
	}
	if len(d.jobs) >= maxAnswers {
		oldest := slices.IndexFunc(d.jobs, func(j *job) bool { return j.answer != nil })
		d.jobs = slices.Delete(d.jobs, oldest, oldest+1) // few are being worked on
	}
	d.jobs = append(d.jobs, &job{on: l, id: msg.ID})
	return append(out, chanOut{act: actServe, link: l, id: msg.ID, msg: *msg})
}

// chunk returns the answer to a FETCH.
func (d *duty) chunk(msg *channel.Message) channel.Message {
	refused := channel.Message{Type: channel.Refused, ID: msg.ID, Reason: channel.Malformed}
	if len(msg.Objects) != 1 {
		return refused
	}
	i := slices.IndexFunc(d.objects, func(o published) bool { return o.name == msg.Objects[0] })
	if i < 0 {
		refused.Reason = channel.Gone
		return refused
	}
	data := d.objects[i].data
	if int64(msg.Offset) >= int64(len(data)) {
		return refused
	}
	data = data[msg.Offset:]
	return channel.Message{Type: channel.Chunk, ID: msg.ID, Offset: msg.Offset, Data: data[:min(len(data), channel.MaxData)]}
}

// served answers a request to the authority; without data it is refused.
func (m *serverChannel) served(l *link, id uint32, data []byte, out []chanOut) []chanOut {
	answer := &channel.Message{Type: channel.Answer, ID: id, Data: bytes.Clone(data)}
	if len(data) == 0 || len(data) > channel.MaxData {
		answer = &channel.Message{Type: channel.Refused, ID: id, Reason: channel.Denied}
	}
	for _, j := range m.duty.jobs {
		if j.on == l && j.id == id {
			j.answer = answer
			return l.say(answer, out)
		}
	}
	return out
}
