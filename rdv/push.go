package rdv

import (
	"slices"
	"time"

	"campagnol/rdv/channel"
)

const (
	// noticeTick is the time between two bursts of NOTICEs, and noticeSpread how
	// long all of them take: so long may the last member wait. With fewer members
	// noticeRate is faster.
	noticeTick   = 10 * time.Millisecond
	noticeSpread = 2500 * time.Millisecond
	noticeRate   = 5000 // a second, at least

	// noticeGap is the least time between two beginnings.
	noticeGap = 250 * time.Millisecond
)

// noticeWaits are how long a NOTICE may be without DONE until it is sent again, and
// at last given up: who has missed it learns of objects when it registers next.
var noticeWaits = [...]time.Duration{time.Second, 2 * time.Second, 2 * time.Second}

const (
	// fetchWindow is the time in which a member may fetch all objects fetchTimes,
	// and no less than fetchLeast pieces.
	fetchWindow = time.Hour
	fetchTimes  = 3
	fetchLeast  = 64

	// pieceInterval and pieceBurst bound the CHUNKs to all members together:
	// 40,000 a second have 40 MB.
	pieceInterval = 25 * time.Microsecond
	pieceBurst    = time.Second
)

// A push tells all members of the objects that there are. It goes over all of them,
// a few at a time, as often as there are noticeWaits, and leaves out those who know.
//
//	objects change ──▶ pass 1 ──▶ pass 2 ──▶ pass 3 ──▶ idle
//	      ▲               │          │          │
//	      └─ change ──────┴──────────┴──────────┘   the pass goes on, and three follow
//
// A member that has answered has the generation in its noticed.
type push struct {
	catalog    *catalog
	notice     *channel.Message
	generation uint16 // of the catalog

	active bool
	queue  []*Member // those who are not told yet in this pass
	size   int       // of the queue when the pass began
	told   int       // of them
	passes int       // that have begun since the last change
	began  time.Duration
	due    time.Duration

	pieces bucket // of all members
}

// SetObjects makes c what members are told of and may fetch.
func (r *Registry) SetObjects(now time.Time, c *catalog) {
	r.advance(now)
	p := &r.push
	if p.catalog == c {
		return
	}
	p.catalog = c
	if p.generation++; p.generation == 0 {
		p.generation++ // 0 is who knows of none
	}
	p.passes = 0
	if len(c.all()) == 0 {
		p.active, p.queue = false, nil
		return
	}
	r.introID++
	p.notice = &channel.Message{Type: channel.Notice, ID: r.introID, Objects: c.all()}
	if len(p.queue) == 0 { // else the pass goes on, with the new ones
		p.due = max(r.now, p.began+noticeGap)
	}
	p.active = true
}

// lacks reports whether m has to be told of the objects.
func (r *Registry) lacks(m *Member) bool {
	return len(m.held) > 0 && m.noticed != r.push.generation
}

// notices tells those whose turn it is.
func (r *Registry) notices(out []Out) []Out {
	p := &r.push
	if !p.active || r.now < p.due {
		return out
	}
	if len(p.queue) == 0 && !r.nextPass() {
		return out
	}
	// Ahead of time by one tick, and not much more at once when we are late.
	rate := max(noticeRate, int(int64(p.size)*int64(time.Second)/int64(noticeSpread)))
	perTick := rate * int(noticeTick) / int(time.Second)
	target := int(int64(rate) * int64(min(r.now-p.began+noticeTick, time.Hour)) / int64(time.Second))
	n := min(max(target-p.told, perTick), 4*perTick, len(p.queue))
	for _, m := range p.queue[:n] {
		if r.members[m.spot()] == m && r.lacks(m) {
			r.counters.Notices++
			out = append(out, Out{To: m.at, Local: m.server, Socket: m.socket, Member: m, Answer: p.notice})
		}
	}
	clear(p.queue[:n]) // those who leave are not kept
	p.queue, p.told = p.queue[n:], p.told+n
	p.due = r.now + noticeTick
	if len(p.queue) == 0 {
		p.queue = nil
		p.due = max(p.due, p.began+noticeWaits[max(p.passes, 1)-1])
	}
	return out
}

// nextPass begins to go over those who do not know yet. It returns false if there
// are none, or they were told often enough.
func (r *Registry) nextPass() bool {
	p := &r.push
	for m := r.memberBy.first; m != nil; m = m.age.next {
		if r.lacks(m) {
			if p.passes == 0 {
				m.fetched = r.millis() // there is something new to fetch
			}
			p.queue = append(p.queue, m)
		}
	}
	if len(p.queue) == 0 || p.passes == len(noticeWaits) {
		r.counters.Unheard += uint64(len(p.queue))
		p.active, p.queue = false, nil
		return false
	}
	p.passes++
	p.size, p.told, p.began = len(p.queue), 0, r.now
	return true
}

// noticed takes a DONE, which may be the answer to a NOTICE.
func (r *Registry) noticed(m *Member, id uint32) {
	if n := r.push.notice; n != nil && n.ID == id {
		m.noticed = r.push.generation
	}
}

// fetch answers a FETCH from the catalog. Nothing is kept but what m has used of its
// share.
func (r *Registry) fetch(m *Member, req *channel.Message, out []Out) []Out {
	switch {
	case !r.registered(m):
		return m.refuse(req, channel.Strangers, "", out)
	case len(req.Objects) != 1:
		return m.refuse(req, channel.Malformed, "", out)
	}
	i := r.push.catalog.find(req.Objects[0])
	if i == nil {
		return m.refuse(req, channel.Gone, "", out)
	}
	data := i.piece(req.Offset)
	if data == nil {
		return m.refuse(req, channel.Malformed, "", out)
	}
	if !r.mayFetch(m) {
		r.counters.Greedy++
		return m.refuse(req, channel.Busy, "", out)
	}
	r.counters.Chunks++
	return m.answer(req, &channel.Message{Type: channel.Chunk, Offset: req.Offset, Data: data}, out)
}

// mayFetch reports whether m gets another piece now, and counts it if so.
func (r *Registry) mayFetch(m *Member) bool {
	share := max(fetchLeast, fetchTimes*r.push.catalog.pieces)
	cost := uint32(fetchWindow / time.Millisecond / time.Duration(share)) // at least 36 ms: 32 MB have 32,768 pieces
	now := r.millis()
	// m.fetched is when m would have used nothing: the algorithm of limiter, in
	// milliseconds modulo 2^32, so that what is not in the window to come is past.
	used := m.fetched - now
	if used > uint32(fetchWindow/time.Millisecond) {
		used = 0
	}
	if used+cost > uint32(fetchWindow/time.Millisecond) || !r.push.pieces.allow(r.now, pieceInterval, pieceBurst) {
		return false
	}
	m.fetched = now + used + cost
	return true
}

// millis returns the time in milliseconds, modulo 2^32.
func (r *Registry) millis() uint32 { return uint32(r.now / time.Millisecond) }

// registered reports whether m has registered, with addresses or as the authority.
func (r *Registry) registered(m *Member) bool {
	return len(m.held) > 0 || slices.Contains(r.desk.authorities, m)
}

// A bucket limits the rate of something, by the algorithm of [limiter].
type bucket struct{ due time.Duration }

// allow reports whether it may happen at now, once in an interval or as a burst that
// long, and counts it if so.
func (b *bucket) allow(now, interval, burst time.Duration) bool {
	next := max(b.due, now) + interval
	if next > now+burst {
		return false
	}
	b.due = next
	return true
}
