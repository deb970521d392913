package client

import (
	"cmp"
	"crypto/sha256"
	"hash"
	"slices"
	"time"

	"campagnol/rdv/channel"
)

// How objects are fetched. The RDV is not to be believed: it can make us fetch what
// is of no use, but only so much of it.
const (
	// fetchWindow is how many FETCHes wait for their answer at a time. The chunks
	// of all fit the queue to control.
	fetchWindow = 8

	// minChunk is the size of the smallest chunk, but for the last of an object,
	// in bytes. It bounds the number of FETCHes for one.
	minChunk = 256

	// maxOffers is how many objects of the RDV are kept in mind.
	maxOffers = 16

	// fetchPause is how long fetching rests when it was in vain: when the RDV does
	// not answer, or what it has brought is of no use. It doubles up to
	// fetchPauseMax if it is in vain again.
	fetchPause    = 2 * time.Second
	fetchPauseMax = time.Minute

	// busyPause is how long we wait at first when the RDV has too much to do; it
	// doubles likewise, until the next chunk comes.
	busyPause = 250 * time.Millisecond

	// uselessFor is how long an object is left alone that has turned out to be of
	// no use; maxUseless is how many of them are kept in mind.
	uselessFor = 10 * time.Minute
	maxUseless = 64

	// Fetching an object costs tokens, one for each begun fetchUnit. There is one
	// more each second, and at most those for four of the largest objects.
	fetchUnit = 64 << 10

	// fetchLease is how long an object is fetched from one RDV alone, and fetchSlow
	// how much longer for each byte: an RDV that takes its time cannot keep others
	// from giving us the object. It is the time at 16 KiB a second.
	fetchLease = 10 * time.Second
	fetchSlow  = time.Second / (16 << 10)
	fetchRate  = 1
	fetchBurst = 4 * channel.MaxObject / fetchUnit
)

// An ObjectStore has what all members should have, such as revocation lists, and
// takes what is new from the RDV. It is safe for concurrent use.
type ObjectStore interface {
	// Has reports whether an object need not be fetched: because we have it, or
	// because nothing can be done with its kind. It must not take long.
	Has(channel.Object) bool

	// Take takes the content of an object, which it may keep. Its hash is right,
	// but the RDV may have made it up. An error says that it is of no use, and
	// Take has logged why; the RDV is not asked for it again for a while. The
	// client waits for Take when it ends, so that Take must not call it.
	Take(o channel.Object, data []byte) error
}

// A fetcher is what a serverChannel knows about objects: which the RDV has, and how
// far we are with the one that is being fetched.
type fetcher struct {
	offers   []channel.Object // of the RDV, the newest first
	fetch    *fetch           // under way; nil: none
	taking   bool             // an object is with the store:
	taken    channel.Object   // this one
	useless  []uselessObject  // oldest first
	vain     int              // how many objects in a row were of no use
	unheard  int              // how often in a row there was no answer
	notUntil time.Time        // a pause ends
	busy     time.Duration    // the last wait for an RDV that has too much to do
	busyTo   time.Time        // its end
	wake     time.Time        // when to look whether there is something to do; zero: never
	budget   bucket           // in units of fetchUnit
}

// A fetch is an object of which a part is there.
type fetch struct {
	object channel.Object
	data   []byte            // from the beginning on
	hash   hash.Hash         // of data
	lease  time.Time         // until when no other RDV is asked for it
	ahead  map[uint32][]byte // what came too early, by offset
	next   uint32            // the first byte that was not asked for
}

// A uselessObject is one that was fetched for nothing.
type uselessObject struct {
	hash  [sha256.Size]byte
	until time.Time
}

// noticed answers the RDV's NOTICE, also a repeated one, and obeys it once.
func (m *serverChannel) noticed(now time.Time, l *link, msg *channel.Message, out []chanOut) []chanOut {
	out = l.say(&channel.Message{Type: channel.Done, ID: msg.ID}, out)
	if l == m.joining || l.again(msg.ID) {
		return out
	}
	return m.offered(now, msg.Objects, out)
}

// offered takes which objects the RDV has. Those that it had before stay in mind,
// since a NOTICE may have been overtaken by the next: if they are gone, it says so.
func (m *serverChannel) offered(now time.Time, objects []channel.Object, out []chanOut) []chanOut {
	f := &m.fetcher
	f.offers = append(slices.Clone(objects), slices.DeleteFunc(f.offers, func(o channel.Object) bool {
		return slices.Contains(objects, o)
	})...)
	f.offers = f.offers[:min(len(f.offers), maxOffers)]
	// Bulletins first: one may name the authority that has signed a revocation list.
	slices.SortStableFunc(f.offers, func(a, b channel.Object) int {
		return cmp.Compare(rank(a.Kind), rank(b.Kind))
	})
	return m.fetchOn(now, out)
}

// rank is the place of a kind of objects in the order in which they are fetched.
func rank(k channel.ObjectKind) int {
	if k == channel.Bulletin {
		return 0
	}
	return 1
}

// fetchOn asks for the next pieces of an object, if there is one to fetch.
func (m *serverChannel) fetchOn(now time.Time, out []chanOut) []chanOut {
	f := &m.fetcher
	f.wake = time.Time{}
	switch {
	case m.link == nil, m.cfg.has == nil, f.taking:
		return out // what ends this state calls again
	case now.Before(f.notUntil):
		f.wake = f.notUntil
		return out
	}
	waiting := m.fetching()
	if waiting == 0 && f.fetch != nil { // it may be elsewhere, or here, by now
		if m.cfg.has(f.fetch.object) {
			f.fetch = nil
		} else if m.isElsewhere(now, f.fetch.object) {
			f.wake = now.Add(fetchPause)
			return out
		}
	}
	if f.fetch == nil && !m.choose(now) {
		return out
	}
	x := f.fetch
	// Nothing is asked for that would lie far behind a piece that was lost: what
	// comes too early takes memory.
	for horizon := uint32(len(x.data)) + fetchWindow*channel.MaxData; waiting < fetchWindow && x.next < min(x.object.Size, horizon); waiting++ {
		end := min(x.next+channel.MaxData, x.object.Size)
		out = m.sendFetch(now, x.next, end, out)
		x.next = end
	}
	return out
}

// fetching returns how many FETCHes wait for their answer.
func (m *serverChannel) fetching() (n int) {
	for _, r := range m.requests {
		if r.msg.Type == channel.Fetch {
			n++
		}
	}
	return n
}

// isFetching reports whether an object is being fetched, or with the store, so that it
// need not be fetched from another RDV.
func (m *serverChannel) isFetching(now time.Time, o channel.Object) bool {
	f := &m.fetcher
	return f.taking && f.taken == o ||
		f.fetch != nil && f.fetch.object == o && now.Before(f.fetch.lease) && m.fetching() > 0
}

// isElsewhere reports whether an object is being fetched from another RDV.
func (m *serverChannel) isElsewhere(now time.Time, o channel.Object) bool {
	return m.cfg.elsewhere != nil && m.cfg.elsewhere(now, o)
}

// sendFetch asks for a piece of the object.
func (m *serverChannel) sendFetch(now time.Time, from, until uint32, out []chanOut) []chanOut {
	msg := channel.Message{Type: channel.Fetch, Objects: []channel.Object{m.fetcher.fetch.object}, Offset: from}
	return m.send(now, &request{msg: msg, until: until}, out)
}

// choose begins with an object that the RDV has and we have not, and reports whether
// there is one.
func (m *serverChannel) choose(now time.Time) bool {
	f := &m.fetcher
	f.useless = slices.DeleteFunc(f.useless, func(u uselessObject) bool { return !now.Before(u.until) })
	for _, o := range f.offers {
		if o.Size == 0 || o.Size > channel.MaxObject || m.cfg.has(o) {
			continue
		}
		if i := slices.IndexFunc(f.useless, func(u uselessObject) bool { return u.hash == o.Hash }); i >= 0 {
			f.wakeBy(f.useless[i].until)
			continue
		}
		if m.isElsewhere(now, o) {
			f.wakeBy(now.Add(fetchPause))
			continue
		}
		if price := 1 + (o.Size-1)/fetchUnit; !f.budget.takeMany(now, float64(price), fetchRate, fetchBurst) {
			f.wakeBy(now.Add(fetchPause))
			continue
		}
		f.wake = time.Time{}
		f.fetch = &fetch{object: o, hash: sha256.New(), ahead: map[uint32][]byte{},
			lease: now.Add(fetchLease + time.Duration(o.Size)*fetchSlow)}
		return true
	}
	return false
}

// wakeBy makes fetchOn be called at t at the latest.
func (f *fetcher) wakeBy(t time.Time) {
	if f.wake.IsZero() || t.Before(f.wake) {
		f.wake = t
	}
}

// chunk takes a piece of the object.
func (m *serverChannel) chunk(now time.Time, r *request, data []byte, out []chanOut) []chanOut {
	f := &m.fetcher
	x := f.fetch
	f.busy, f.unheard = 0, 0
	from := r.msg.Offset
	data = data[:min(uint32(len(data)), r.until-from)]
	end := from + uint32(len(data))
	if end < r.until && len(data) < minChunk {
		return m.useless(now, out)
	}
	x.ahead[from] = data
	for next, ok := x.ahead[uint32(len(x.data))]; ok; next, ok = x.ahead[uint32(len(x.data))] {
		delete(x.ahead, uint32(len(x.data)))
		x.data = append(x.data, next...)
		x.hash.Write(next)
	}
	if uint32(len(x.data)) == x.object.Size {
		return m.fetched(now, out)
	}
	if end < r.until {
		out = m.sendFetch(now, end, r.until, out)
	}
	return m.fetchOn(now, out)
}

// fetched ends with the whole object.
func (m *serverChannel) fetched(now time.Time, out []chanOut) []chanOut {
	f := &m.fetcher
	x := f.fetch
	if [sha256.Size]byte(x.hash.Sum(nil)) != x.object.Hash {
		return m.useless(now, out)
	}
	f.fetch, f.taking, f.taken = nil, true, x.object
	return append(out, chanOut{act: actObject, object: x.object, data: x.data})
}

// taken takes what the store says about an object.
func (m *serverChannel) taken(now time.Time, o channel.Object, err error, out []chanOut) []chanOut {
	f := &m.fetcher
	f.taking = false
	if err != nil {
		return m.dismiss(now, o, out)
	}
	f.vain = 0
	f.withdraw(o)
	return m.fetchOn(now, out)
}

// useless ends the fetch under way: what came is not the object.
func (m *serverChannel) useless(now time.Time, out []chanOut) []chanOut {
	o := m.fetcher.fetch.object
	m.suspendFetch()
	m.fetcher.fetch = nil
	return m.dismiss(now, o, append(out, chanOut{act: actUseless, object: o}))
}

// dismiss leaves an object alone that is of no use, and fetches another after a
// pause.
func (m *serverChannel) dismiss(now time.Time, o channel.Object, out []chanOut) []chanOut {
	m.shun(now, o)
	m.pauseFetch(now, &m.fetcher.vain)
	return m.fetchOn(now, out)
}

// shun leaves an object alone that is of no use.
func (m *serverChannel) shun(now time.Time, o channel.Object) {
	f := &m.fetcher
	if len(f.useless) == maxUseless {
		f.useless = slices.Delete(f.useless, 0, 1)
	}
	f.useless = append(f.useless, uselessObject{o.Hash, now.Add(uselessFor)})
}

// fetchRefused takes that the RDV refuses a FETCH.
func (m *serverChannel) fetchRefused(now time.Time, r *request, why channel.Reason, out []chanOut) []chanOut {
	f := &m.fetcher
	switch why {
	case channel.Busy:
		m.fetchLater(now, r)
		return out
	case channel.Strangers:
		m.pauseFetch(now, &f.unheard)
		return out
	case channel.Gone:
		m.suspendFetch()
		f.withdraw(r.msg.Objects[0])
		f.fetch = nil
		return m.fetchOn(now, out)
	}
	return m.useless(now, out)
}

// fetchLater repeats a FETCH when the RDV may have less to do. Until then it keeps
// its place among those that are out, which is what slows us down.
func (m *serverChannel) fetchLater(now time.Time, r *request) {
	f := &m.fetcher
	if !now.Before(f.busyTo) {
		f.busy = min(max(2*f.busy, busyPause), fetchPauseMax)
		f.busyTo = now.Add(f.busy)
	}
	r.next, r.sent = f.busyTo.Add(time.Duration(float64(f.busy)*m.cfg.jitter())), 1
	m.requests = append(m.requests, r)
}

// withdraw forgets that the RDV has an object.
func (f *fetcher) withdraw(o channel.Object) {
	f.offers = slices.DeleteFunc(f.offers, func(q channel.Object) bool { return q == o })
}

// suspendFetch makes the FETCHes that are out count for nothing. Pieces that are
// complete from the beginning on stay.
func (m *serverChannel) suspendFetch() {
	m.requests = slices.DeleteFunc(m.requests, func(r *request) bool { return r.msg.Type == channel.Fetch })
	f := &m.fetcher
	f.wake = time.Time{}
	if x := f.fetch; x != nil {
		clear(x.ahead)
		x.next = uint32(len(x.data))
	}
}

// resumeFetch makes fetching go on over another link: that the RDV did not answer over
// the last one means nothing any more.
func (m *serverChannel) resumeFetch() {
	m.suspendFetch()
	f := &m.fetcher
	if f.unheard > 0 && f.vain == 0 {
		f.notUntil = time.Time{}
	}
	f.unheard = 0
}

// pauseFetch makes fetching rest for a while, and longer if that was not the first
// time in a row, which times counts: no two clients do so equally long, lest they come
// back in step.
func (m *serverChannel) pauseFetch(now time.Time, times *int) {
	m.suspendFetch()
	d := min(fetchPause<<*times, fetchPauseMax)
	*times = min(*times+1, 10)
	f := &m.fetcher
	f.notUntil = now.Add(time.Duration(float64(d) * (0.75 + m.cfg.jitter()/2)))
	f.wake = f.notUntil
}

// reconsider takes that the store may judge otherwise from now on.
func (m *serverChannel) reconsider(now time.Time, out []chanOut) []chanOut {
	m.fetcher.useless = nil
	return m.fetchOn(now, out)
}

// kindName returns what an object is, for people.
func kindName(k channel.ObjectKind) string {
	switch k {
	case channel.CRL:
		return "revocation list"
	case channel.Bulletin:
		return "bulletin"
	}
	return "unknown"
}
