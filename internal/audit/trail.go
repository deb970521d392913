package audit

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueSize is how many records wait to be written, at most.
	queueSize = 1024

	// dueInterval is how often it is looked for counted records that are due.
	dueInterval = time.Second

	// closeTime is how long the end of a program waits for its last records.
	closeTime = 2 * time.Second

	// complainInterval is the least time between two complaints in the log that records
	// cannot be written.
	complainInterval = time.Minute
)

// A Trail is a program's audit trail. It is safe for concurrent use; a nil Trail takes
// records and writes nothing.
type Trail struct {
	program string
	log     atomic.Pointer[slog.Logger]
	open    atomic.Bool // somebody wants records
	queue   chan item
	again   chan struct{} // look for the file anew; has room for one
	ending  chan struct{} // closed by Close
	ended   chan struct{} // closed when Run has
	close   sync.Once

	written, lost atomic.Uint64

	mu     sync.Mutex // held for no longer than it takes to count
	limits limiter

	// Owned by Run.
	to         sink   // nil: nowhere
	told       uint64 // of lost, in the trail
	complained time.Time
	buf        []byte
}

// An item is what Run is handed: a record, or another place.
type item struct {
	record Record
	move   bool
	to     sink // nil: nowhere
}

// A sink is where records are written.
type sink interface {
	// write writes a record, of which text is the line. It may wait for a moment.
	write(r *Record, text []byte) error

	// renew looks whether records are to go to another file of the same name.
	renew() error

	close() error
}

// New returns a Trail of a program, which is not open.
func New(program string) *Trail {
	return &Trail{
		program: program, queue: make(chan item, queueSize), limits: newLimiter(),
		again: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Record adds a record. It never waits.
func (t *Trail) Record(r Record) {
	if t == nil || !t.open.Load() {
		return
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	t.mu.Lock()
	now := t.limits.admit(&r)
	t.mu.Unlock()
	if now {
		t.put(r)
	}
}

// put queues a record, or loses it.
func (t *Trail) put(r Record) {
	select {
	case t.queue <- item{record: r}:
	default:
		t.lost.Add(1)
	}
}

// Written returns how many records were written.
func (t *Trail) Written() uint64 {
	if t == nil {
		return 0
	}
	return t.written.Load()
}

// Lost returns how many records were not written, for want of time or since they could
// not be.
func (t *Trail) Lost() uint64 {
	if t == nil {
		return 0
	}
	return t.lost.Load()
}

// Renew has a file that was moved away made anew before the next record is written. That
// happens by itself, too.
func (t *Trail) Renew() {
	if t == nil {
		return
	}
	select {
	case t.again <- struct{}{}:
	default:
	}
}

// errBusy is that the trail is not done with its present place.
var errBusy = &Error{Text: "the present one does not answer", Advice: "see whether its disk works, and try again"}

// use writes records to a sink from now on; nil: nowhere. What was told before is written
// to the present one.
func (t *Trail) use(to sink, log *slog.Logger) error {
	t.log.Store(log)
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case t.queue <- item{move: true, to: to}:
		t.open.Store(to != nil)
		return nil
	case <-t.ending:
	case <-timer.C:
	}
	if to != nil {
		to.close()
	}
	return errBusy
}

// Run writes records until Close is called. It can be called once.
func (t *Trail) Run() {
	defer close(t.ended)
	ticker := time.NewTicker(dueInterval)
	defer ticker.Stop()
	for {
		select {
		case i := <-t.queue:
			t.handle(i)
		case <-t.again:
			t.renew()
		case <-ticker.C:
			t.tellDue(time.Now())
		case <-t.ending:
			t.finish()
			return
		}
	}
}

// handle writes a record, or moves to another place.
func (t *Trail) handle(i item) {
	if !i.move {
		t.write(i.record)
		return
	}
	t.leave()
	t.to = i.to
}

// leave closes the place.
func (t *Trail) leave() {
	if t.to == nil {
		return
	}
	t.tellLost(time.Now())
	if err := t.to.close(); err != nil {
		t.complain(err)
	}
	t.to = nil
}

// finish writes what there is to write, and closes the place.
func (t *Trail) finish() {
	for n := len(t.queue); n > 0; n-- {
		t.handle(<-t.queue)
	}
	t.mu.Lock()
	rest := t.limits.due(time.Now(), true, nil)
	t.mu.Unlock()
	for _, r := range rest {
		t.write(r)
	}
	t.leave()
}

// tellDue queues the records about what was counted.
func (t *Trail) tellDue(now time.Time) {
	t.mu.Lock()
	list := t.limits.due(now, false, nil)
	t.mu.Unlock()
	for _, r := range list {
		t.put(r)
	}
	t.tellLost(now)
}

// write writes a record, after one about those that were lost before it.
func (t *Trail) write(r Record) {
	if t.to == nil {
		return
	}
	t.tellLost(r.Time)
	if !t.writeLine(&r) {
		t.lost.Add(1)
	}
}

// tellLost writes how many records were lost since it was written last. If that cannot be
// written either, it is told later.
func (t *Trail) tellLost(now time.Time) {
	lost := t.lost.Load()
	if lost == t.told || t.to == nil {
		return
	}
	if t.writeLine(&Record{Time: now, Event: RecordsLost, Outcome: Failed, Count: lost - t.told}) {
		t.told = lost
	}
}

// writeLine reports whether a record is written, to the file that has the name by now.
func (t *Trail) writeLine(r *Record) bool {
	t.buf = r.Append(t.buf[:0], t.program)
	t.renew()
	if err := t.to.write(r, t.buf); err != nil {
		t.complain(err)
		return false
	}
	t.written.Add(1)
	return true
}

// renew looks for the file anew.
func (t *Trail) renew() {
	if t.to == nil {
		return
	}
	if err := t.to.renew(); err != nil {
		t.complain(err)
	}
}

// complain tells the log that records cannot be written, now and then.
func (t *Trail) complain(err error) {
	now := time.Now()
	if log := t.log.Load(); log != nil && (t.complained.IsZero() || now.Sub(t.complained) >= complainInterval) {
		t.complained = now
		attrs := []any{"err", err}
		var own interface{ Hint() string }
		if errors.As(err, &own) && own.Hint() != "" {
			attrs = append(attrs, "hint", own.Hint())
		}
		log.Error("The audit log cannot be written as it should be", attrs...)
	}
}

// Close writes what is left, for two seconds at most, and ends Run. Records that come
// later are not written.
func (t *Trail) Close() {
	if t == nil {
		return
	}
	t.close.Do(func() { close(t.ending) })
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-t.ended:
	case <-timer.C: // a disk that does not answer, for example
	}
	t.open.Store(false)
}
