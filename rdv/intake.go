package rdv

import (
	"slices"
	"time"

	"campagnol/rdv/channel"
)

const (
	// intakeWindow is how many FETCHes to the authority are under way.
	intakeWindow = 8

	// intakeAgain is how long an object is not fetched again: it was taken, or
	// there is something wrong with it.
	intakeAgain = time.Minute

	// intakeMemory is of how many objects that is remembered.
	intakeMemory = 2 * channel.MaxObjects
)

// intakeWaits are how long a FETCH may be without CHUNK until it is sent again, and
// at last the object is given up.
var intakeWaits = [...]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second}

// An Offered is an object that the authority has sent. Nothing about it has been
// checked, not even its hash.
type Offered struct {
	channel.Object
	Content []byte
	From    string // the name in the authority's certificate
}

// An intake fetches the objects that the authority offers: one after the other, in
// pieces of which a few are under way.
type intake struct {
	from   *Member          // nil: there is nothing to fetch
	wanted []channel.Object // the first is being fetched
	data   []byte           // of it; nil: nothing has arrived
	next   uint32           // offset of the next piece to ask for
	left   int              // bytes that have not arrived
	asked  []asked

	past []fetched // the last, oldest first
}

// An asked is a piece that has not arrived.
type asked struct {
	id     uint32
	offset uint32
	sent   int
	due    time.Duration
}

// A fetched is an object that was fetched, or could not be, and when.
type fetched struct {
	hash [32]byte
	at   time.Duration
}

// offered takes a NOTICE: the objects that the authority has.
func (r *Registry) offered(m *Member, req *channel.Message, out []Out) []Out {
	if !m.id.Authority {
		return m.refuse(req, channel.Denied, "only the VPN's authority offers objects", out)
	}
	if !r.registered(m) {
		return m.refuse(req, channel.Strangers, "", out)
	}
	out = m.answer(req, &channel.Message{Type: channel.Done}, out)
	in := &r.intake
	if r.cfg.Offer == nil {
		return out
	}
	var wanted []channel.Object
	for _, o := range req.Objects {
		if r.wants(o) && !slices.Contains(wanted, o) {
			wanted = append(wanted, o)
		}
	}
	wanted = bulletinsFirst(wanted, func(o channel.Object) channel.ObjectKind { return o.Kind })
	if in.from == m && len(wanted) > 0 && len(in.wanted) > 0 && slices.Contains(wanted, in.wanted[0]) {
		first := in.wanted[0] // goes on
		in.wanted = append([]channel.Object{first}, slices.DeleteFunc(wanted, func(o channel.Object) bool { return o == first })...)
		return out
	}
	in.stop()
	in.from, in.wanted = m, wanted
	return r.beginObject(out)
}

// wants reports whether an object is to be fetched.
func (r *Registry) wants(o channel.Object) bool {
	return (o.Kind == channel.CRL || o.Kind == channel.Bulletin) && o.Size > 0 && o.Size <= channel.MaxObject &&
		r.push.catalog.find(o) == nil &&
		!slices.ContainsFunc(r.intake.past, func(f fetched) bool { return f.hash == o.Hash && r.now-f.at < intakeAgain })
}

// stop forgets what is being fetched.
func (in *intake) stop() { *in = intake{past: in.past} }

// beginObject begins to fetch the first of the objects that are wanted.
func (r *Registry) beginObject(out []Out) []Out {
	in := &r.intake
	in.data, in.next, in.asked = nil, 0, nil
	if len(in.wanted) == 0 {
		in.stop()
		return out
	}
	in.left = int(in.wanted[0].Size)
	return r.askPieces(out)
}

// askPieces asks for as many pieces as may be under way.
func (r *Registry) askPieces(out []Out) []Out {
	in := &r.intake
	for len(in.asked) < intakeWindow && in.next < in.wanted[0].Size {
		r.introID++
		in.asked = append(in.asked, asked{id: r.introID, offset: in.next})
		in.next += channel.MaxData
		out = r.askPiece(&in.asked[len(in.asked)-1], out)
	}
	return out
}

// askPiece sends a FETCH, for the first time or again.
func (r *Registry) askPiece(a *asked, out []Out) []Out {
	in := &r.intake
	a.due = r.now + intakeWaits[a.sent]
	a.sent++
	return append(out, Out{To: in.from.at, Local: in.from.server, Socket: in.from.socket, Member: in.from, Answer: &channel.Message{
		Type: channel.Fetch, ID: a.id, Objects: []channel.Object{in.wanted[0]}, Offset: a.offset,
	}})
}

// fetchAgain repeats what was not answered in time.
func (r *Registry) fetchAgain(out []Out) []Out {
	in := &r.intake
	for n := range in.asked {
		a := &in.asked[n]
		switch {
		case r.now < a.due:
		case a.sent == len(intakeWaits):
			return r.endObject("the authority does not send it", out)
		default:
			out = r.askPiece(a, out)
		}
	}
	return out
}

// pieceOf returns which of the pieces that are asked of m has an id, or -1.
func (in *intake) pieceOf(m *Member, id uint32) int {
	if in.from != m {
		return -1
	}
	return slices.IndexFunc(in.asked, func(a asked) bool { return a.id == id })
}

// arrived takes a CHUNK.
func (r *Registry) arrived(m *Member, msg *channel.Message, out []Out) []Out {
	in := &r.intake
	n := in.pieceOf(m, msg.ID)
	if n < 0 {
		r.counters.Unexpected++ // a repetition, or nobody has asked
		return out
	}
	a, size := in.asked[n], int(in.wanted[0].Size)
	want := min(channel.MaxData, size-int(a.offset))
	if msg.Offset != a.offset || len(msg.Data) != want {
		return r.endObject("the authority sends another piece than was asked for", out)
	}
	if in.data == nil {
		in.data = make([]byte, size)
	}
	copy(in.data[a.offset:], msg.Data)
	in.left -= want
	in.asked = slices.Delete(in.asked, n, n+1)
	if in.left > 0 {
		return r.askPieces(out)
	}
	return r.endObject("", out)
}

// refused takes a REFUSED of the authority. If it is the answer to a FETCH, the
// authority may have too much to do: then the FETCH is repeated.
func (r *Registry) refused(m *Member, msg *channel.Message, out []Out) []Out {
	switch {
	case r.intake.pieceOf(m, msg.ID) < 0:
		return r.answerOver(m, msg, out)
	case msg.Reason == channel.Busy:
		return out
	}
	return r.endObject("the authority refuses it: "+msg.Reason.String(), out)
}

// endObject hands over the object that is there, or gives it up for a reason, and
// begins with the next one.
func (r *Registry) endObject(why string, out []Out) []Out {
	in := &r.intake
	o := in.wanted[0]
	if len(in.past) >= intakeMemory {
		in.past = slices.Delete(in.past, 0, 1)
	}
	in.past = append(in.past, fetched{o.Hash, r.now})
	switch {
	case why != "":
		e := in.from.event(ObjectLost)
		e.Why = why
		r.trace(e)
	default:
		r.cfg.Offer(Offered{Object: o, Content: in.data, From: in.from.id.Name})
	}
	in.wanted = in.wanted[1:]
	return r.beginObject(out)
}
