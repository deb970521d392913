package rdv

import (
	"net/netip"
	"sync"
	"time"

	"campagnol/rdv/relay"
)

const (
	// maxHistory is how many events are remembered, and maxRefusals how many refusals
	// beside them: who comes and goes all the time must not make us forget those.
	maxHistory  = 1024
	maxRefusals = 128

	// maxWords bounds the words of an event, in bytes; what is longer is cut.
	maxWords = 256

	// Introductions are counted for so many intervals, the last of which goes on.
	paceInterval  = 5 * time.Second
	paceIntervals = 60
)

// An Entry is an event that is remembered.
type Entry struct {
	Number uint64 // the first event of a server has 1, the next one 2
	Time   time.Time
	Event
}

// A History is the last events of a server. It is safe for concurrent use.
type History struct {
	mu       sync.Mutex // held for no longer than it takes to copy
	events   ring
	refusals ring
	last     uint64        // number of the last event
	changed  chan struct{} // closed at the next event; nil: nobody waits
	pace     [paceIntervals]uint32
	paceAt   int64 // number of the interval that goes on, since 1970
}

// A ring holds the last few entries; the next one takes the place at.
type ring struct {
	entries []Entry
	at      int
	size    int
}

// NewHistory returns a History without events.
func NewHistory() *History {
	return &History{events: ring{size: maxHistory}, refusals: ring{size: maxRefusals}}
}

func (r *ring) add(e Entry) {
	if len(r.entries) < r.size {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.at] = e
	r.at = (r.at + 1) % r.size
}

// copyAfter returns what is newer than an event, the oldest first.
func (r *ring) copyAfter(number uint64) []Entry {
	var list []Entry
	for i := range r.entries {
		if e := r.entries[(r.at+i)%len(r.entries)]; e.Number > number {
			list = append(list, e)
		}
	}
	return list
}

// Add remembers an event.
func (h *History) Add(now time.Time, e Event) {
	e.Name, e.Why = bounded(e.Name, maxWords), bounded(e.Why, maxWords)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	entry := Entry{Number: h.last, Time: now, Event: e}
	h.events.add(entry)
	if e.Kind.IsRefusal() {
		h.refusals.add(entry)
	}
	if e.Kind == SessionAdded {
		h.advancePace(now)
		h.pace[paceIntervals-1]++
	}
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// advancePace moves the intervals to now. Time that runs backwards stands still.
func (h *History) advancePace(now time.Time) {
	n := now.UnixNano() / int64(paceInterval)
	gone := int(min(max(n-h.paceAt, 0), paceIntervals))
	copy(h.pace[:], h.pace[gone:])
	clear(h.pace[paceIntervals-gone:])
	h.paceAt = max(h.paceAt, n)
}

// After returns the events after one, the oldest first, and the number of the last one
// there was. Of more than limit, it returns the newest. If some are forgotten already,
// the first one has a number that is further away.
func (h *History) After(number uint64, limit int) (list []Entry, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list = h.events.copyAfter(number)
	return list[max(0, len(list)-limit):], h.last
}

// Refusals returns the last refusals, the oldest first.
func (h *History) Refusals() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusals.copyAfter(0)
}

// Changed returns a channel that is closed when there is an event after one.
func (h *History) Changed(number uint64) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last > number {
		now := make(chan struct{})
		close(now)
		return now
	}
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

// Pace returns how many pairs of clients were introduced in each of the last intervals,
// the oldest first; the last one goes on.
func (h *History) Pace(now time.Time) (counts []uint32, interval time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advancePace(now)
	return append(counts, h.pace[:]...), paceInterval
}

// bounded returns text, or as much of it as size bytes can hold.
func bounded(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && text[size]&0xc0 == 0x80 { // within a character
		size--
	}
	return text[:size]
}

// History returns the last events of the server.
func (s *Server) History() *History { return s.history }

// note takes an event of the registry.
func (s *Server) note(e Event) {
	s.tell(s.registry.clock, e)
	s.logEvent(e)
}

// noteRelay takes an event of the relay, in whatever goroutine.
func (s *Server) noteRelay(e relay.Event) {
	kind := RelayBegun
	if e.Ended {
		kind = RelayEnded
	}
	vpn, _ := netip.ParseAddr(e.User)
	s.tell(time.Now(), Event{Kind: kind, Endpoint: e.Client, VPN: vpn, Why: "by " + e.Relayed.String()})
}
