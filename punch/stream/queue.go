package stream

import (
	"sync"
	"time"

	"campagnol/punch"
)

const (
	// dataAge and controlAge are how long datagrams may wait until they are dropped.
	dataAge    = 200 * time.Millisecond
	controlAge = 2 * time.Second

	// maxData and maxControl are how much waits at a time, in bytes. What is more is
	// dropped. Data of channels cannot take the place of all else, nor the other way
	// round.
	maxData    = 256 << 10
	maxControl = 64 << 10

	// keptBuffer and keptFrames are what an idle queue keeps. What takes more has it from
	// spares as long as something waits.
	keptBuffer = 4 << 10
	keptFrames = 128

	// purgeInterval is how often a full queue is looked through for what is too old.
	purgeInterval = 20 * time.Millisecond
)

// A queue holds frames until the connection takes them. It is safe for concurrent use.
type queue struct {
	wake   chan struct{} // of capacity 1: there is something to take
	counts *counters

	mu      sync.Mutex // held for no longer than it takes to copy
	buf     []byte     // the frames
	frames  []frame    // of buf, in order
	waiting [2]int     // bytes of data and of control
	purged  time.Time  // the last time
}

// A frame is one that waits.
type frame struct {
	size    int
	control bool // it is no data of a channel
	since   time.Time
}

// stale reports whether f has waited too long.
func (f *frame) stale(now time.Time) bool {
	age := dataAge
	if f.control {
		age = controlAge
	}
	return now.Sub(f.since) > age
}

// class returns the index of waiting for f.
func (f *frame) class() int {
	if f.control {
		return 1
	}
	return 0
}

func newQueue(counts *counters) *queue {
	return &queue{wake: make(chan struct{}, 1), counts: counts}
}

// put appends the payloads of a datagram, of which it keeps copies. It returns errLong if
// one is too long; what there is no room for is counted only.
func (q *queue) put(now time.Time, d *punch.Datagram) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for payload := range d.Segments {
		_, data := channelData(payload)
		f := frame{control: !data, since: now}
		limit := maxData
		if f.control {
			limit = maxControl
		}
		// The bound on the length is rough: it is for the limit.
		if q.waiting[f.class()]+len(payload)+channelHead > limit && now.Sub(q.purged) >= purgeInterval {
			q.purgeLocked(now)
		}
		if q.waiting[f.class()]+len(payload)+channelHead > limit {
			q.counts.full.Add(1)
			continue
		}
		q.growLocked(len(payload) + channelHead + 3)
		before := len(q.buf)
		var ok bool
		if q.buf, ok = appendFrame(q.buf, payload); !ok {
			err = errLong
			continue
		}
		f.size = len(q.buf) - before
		q.frames = append(q.frames, f)
		q.waiting[f.class()] += f.size
	}
	return err
}

// signal tells whoever takes that there is something.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends to out, and takes away, the frames that have waited for longest, about
// limit bytes and at least one frame if there is any. Those that are too old it drops.
func (q *queue) take(now time.Time, out []byte, limit int) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	begin, at, taken := len(out), 0, 0
	for i := range q.frames {
		f := &q.frames[i]
		fresh := !f.stale(now)
		if fresh && len(out) > begin && len(out)-begin+f.size > limit {
			break
		}
		if fresh {
			out = append(out, q.buf[at:at+f.size]...)
			q.counts.sent.Add(1)
		} else {
			q.counts.stale.Add(1)
		}
		q.waiting[f.class()] -= f.size
		at += f.size
		taken++
	}
	q.buf = q.buf[:copy(q.buf, q.buf[at:])]
	q.frames = q.frames[:copy(q.frames, q.frames[taken:])]
	if len(q.frames) == 0 {
		q.releaseLocked()
	}
	return out
}

// spares are large buffers of queues that are empty.
var spares = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// growLocked makes room for n bytes, if that takes a large buffer.
func (q *queue) growLocked(n int) {
	if len(q.buf)+n <= keptBuffer || cap(q.buf) > keptBuffer {
		return
	}
	large := *spares.Get().(*[]byte)
	q.buf = append(large[:0], q.buf...)
}

// releaseLocked gives back what an empty queue does not keep.
func (q *queue) releaseLocked() {
	if cap(q.buf) > keptBuffer {
		large := q.buf
		spares.Put(&large)
		q.buf = nil
	}
	if cap(q.frames) > keptFrames {
		q.frames = nil
	}
}

// purgeLocked drops all that is too old.
func (q *queue) purgeLocked(now time.Time) {
	q.purged = now
	from, to := 0, 0
	frames := q.frames[:0]
	for _, f := range q.frames {
		if f.stale(now) {
			q.counts.stale.Add(1)
			q.waiting[f.class()] -= f.size
		} else {
			to += copy(q.buf[to:], q.buf[from:from+f.size])
			frames = append(frames, f)
		}
		from += f.size
	}
	q.frames, q.buf = frames, q.buf[:to]
}
