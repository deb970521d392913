package client

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
)

// newDutyPlay returns a play in which the machine is the VPN's authority, registered.
func newDutyPlay(t testing.TB, objects ...Object) *chanPlay {
	p := newChanPlay(t, AuthYes)
	p.m.duty = new(duty)
	p.m.duty.publish(objects)
	p.joins()
	return p
}

// hears makes the RDV say something on link n, and returns what the machine wants a
// worker to do.
func (p *chanPlay) hears(n int, m channel.Message) (jobs []chanOut) {
	p.t.Helper()
	outs, _ := p.m.receive(p.now, p.links[n].sealed(&m), true, nil)
	var rest []chanOut
	for _, o := range outs {
		if o.act == actServe {
			jobs = append(jobs, o)
		} else {
			rest = append(rest, o)
		}
	}
	p.note(rest)
	return jobs
}

// TestDutyAnnounces: the authority tells what it has when it is registered, and when
// that changes, until the RDV has heard it.
func TestDutyAnnounces(t *testing.T) {
	one, two := blob(3000, 1), blob(10, 2)
	p := newDutyPlay(t, Object{channel.CRL, one}, Object{channel.Bulletin, nil}, Object{channel.CRL, make([]byte, channel.MaxObject+1)})
	if want := []channel.Object{nameOf(one)}; !slices.Equal(p.last.Objects, want) {
		t.Errorf("announced: %v, want %v: not what is empty or too large", p.last.Objects, want)
	}
	p.run(2000)
	p.answers(channel.Message{Type: channel.Done})
	p.m.duty.publish([]Object{{channel.CRL, one}, {channel.Bulletin, two}})
	p.note(p.m.announce(p.now, nil))
	if got := len(p.last.Objects); got != 2 || p.last.Objects[1].Kind != channel.Bulletin || p.last.Objects[1].Size != 10 {
		t.Errorf("announced: %v", p.last.Objects)
	}
	p.run(2600)
	p.answers(channel.Message{Type: channel.Done})
	p.run(3000)
	p.wants("0: trying, KNOCK", "10: begin 1", "30: REGISTER on 0", "40: up, NOTICE on 0", "540: NOTICE on 0", "1540: NOTICE on 0",
		"2000: NOTICE on 0", "2500: NOTICE on 0")
}

// TestDutyAnnouncesAgain: a NOTICE that nobody hears, or wants, is said again after a
// while.
func TestDutyAnnouncesAgain(t *testing.T) {
	p := newDutyPlay(t)
	p.log = nil
	deaf := func(ms int) {
		p.t.Helper()
		for at := int(p.now.Sub(began).Milliseconds()); at < ms; at += 100 {
			p.m.heard = p.now // but PINGs are answered
			p.run(at + 100)
		}
		p.log = slices.DeleteFunc(p.log, func(line string) bool { return strings.HasSuffix(line, "PING") })
	}
	deaf(15_900)
	p.wants("540: NOTICE on 0", "1540: NOTICE on 0", "3540: NOTICE on 0", "15540: NOTICE on 0")
	p.answers(channel.Message{Type: channel.Refused, Reason: channel.Busy})
	deaf(26_100)
	p.wants("25940: NOTICE on 0")
}

// TestDutyChunks: the authority sends pieces of what it has.
func TestDutyChunks(t *testing.T) {
	data := blob(2500, 1)
	p := newDutyPlay(t, Object{channel.CRL, data})
	name := nameOf(data)
	for _, c := range []struct {
		name    string
		objects []channel.Object
		offset  uint32
		want    string
	}{
		{"the first", []channel.Object{name}, 0, "CHUNK 0 1024"},
		{"any", []channel.Object{name}, 77, "CHUNK 77 1024"},
		{"the last", []channel.Object{name}, 2048, "CHUNK 2048 452"},
		{"the last byte", []channel.Object{name}, 2499, "CHUNK 2499 1"},
		{"behind the end", []channel.Object{name}, 2500, "REFUSED 0 0 " + channel.Malformed.String()},
		{"far behind the end", []channel.Object{name}, 1<<32 - 1, "REFUSED 0 0 " + channel.Malformed.String()},
		{"of what is not there", []channel.Object{nameOf(blob(2500, 2))}, 0, "REFUSED 0 0 " + channel.Gone.String()},
		{"of nothing", nil, 0, "REFUSED 0 0 " + channel.Malformed.String()},
		{"of two", []channel.Object{name, name}, 0, "REFUSED 0 0 " + channel.Malformed.String()},
	} {
		p.hears(0, channel.Message{Type: channel.Fetch, ID: 9, Objects: c.objects, Offset: c.offset})
		m := p.last
		got := fmt.Sprintf("%v %d %d", m.Type, m.Offset, len(m.Data))
		if m.Type == channel.Refused {
			got += " " + m.Reason.String()
		}
		if got != c.want || m.ID != 9 || m.Type == channel.Chunk && !bytes.HasPrefix(data[m.Offset:], m.Data) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestDutyAnswers: a request is worked on once, however often it comes, and its answer
// repeated.
func TestDutyAnswers(t *testing.T) {
	p := newDutyPlay(t)
	p.log = nil
	ask := channel.Message{Type: channel.Apply, ID: 5, Data: []byte("a certificate, please")}
	jobs := p.hears(0, ask)
	if len(jobs) != 1 || string(jobs[0].msg.Data) != string(ask.Data) || jobs[0].id != 5 {
		t.Fatalf("jobs %+v", jobs)
	}
	if again := p.hears(0, ask); len(again) > 0 || len(p.log) > 0 {
		t.Errorf("a repeated request: %v, %v", again, p.log)
	}
	p.note(p.m.served(jobs[0].link, 5, []byte("here it is"), nil))
	if p.last.Type != channel.Answer || p.last.ID != 5 || string(p.last.Data) != "here it is" {
		t.Errorf("answer %+v", p.last)
	}
	p.hears(0, ask)
	p.wants("40: ANSWER on 0", "40: ANSWER on 0")

	for _, c := range []struct {
		name   string
		answer []byte
	}{{"none", nil}, {"too long", make([]byte, channel.MaxData+1)}} {
		ask.ID++
		jobs := p.hears(0, ask)
		p.note(p.m.served(jobs[0].link, ask.ID, c.answer, nil))
		if p.last.Type != channel.Refused || p.last.Reason != channel.Denied {
			t.Errorf("%s: %+v", c.name, p.last)
		}
	}
	if jobs := p.hears(0, channel.Message{Type: channel.Apply, ID: 99}); len(jobs) > 0 || p.last.Reason != channel.Malformed {
		t.Errorf("an empty request: %v, %+v", jobs, p.last)
	}
}

// TestDutyBusy: a server that asks for too much is told so, and what is kept in mind is
// bounded.
func TestDutyBusy(t *testing.T) {
	p := newDutyPlay(t)
	var jobs []chanOut
	for id := uint32(1); id <= 2*maxJobs; id++ {
		jobs = append(jobs, p.hears(0, channel.Message{Type: channel.Apply, ID: id, Data: []byte("x")})...)
	}
	if len(jobs) != maxJobs || p.last.Type != channel.Refused || p.last.Reason != channel.Busy {
		t.Fatalf("%d jobs at a time, want %d; then %+v", len(jobs), maxJobs, p.last)
	}
	for id := uint32(1000); id < 3000; id++ {
		p.note(p.m.served(jobs[0].link, jobs[0].id, []byte("y"), nil))
		jobs = append(jobs[1:], p.hears(0, channel.Message{Type: channel.Apply, ID: id, Data: []byte("x")})...)
		if len(jobs) != maxJobs {
			t.Fatalf("%d jobs after %d", len(jobs), id)
		}
	}
	if n := len(p.m.duty.jobs); n > maxAnswers {
		t.Errorf("%d requests are kept in mind", n)
	}
	// One that nobody remembers does nothing.
	if outs := p.m.served(jobs[0].link, 77777, []byte("y"), nil); len(outs) > 0 {
		t.Errorf("an answer to nothing: %v", outs)
	}
}

// TestNoDuty: a client that is not the authority does nothing for it.
func TestNoDuty(t *testing.T) {
	p := newChanPlay(t, AuthYes)
	p.joins()
	p.log = nil
	for _, typ := range []channel.Type{channel.Fetch, channel.Apply} {
		p.hears(0, channel.Message{Type: typ, ID: 3, Data: []byte("x"), Objects: []channel.Object{nameOf(blob(5, 5))}})
	}
	p.run(2000)
	p.wants()
	if outs := p.m.announce(p.now.Add(time.Hour), nil); len(outs) > 0 {
		t.Errorf("it announces %v", outs)
	}
}
