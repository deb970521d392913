package stream

import (
	"bytes"
	"testing"
	"time"

	"campagnol/punch"
)

// A bin is a queue with a clock.
type bin struct {
	*queue
	t   *testing.T
	now time.Time
	out []byte
}

func newBin(t *testing.T) *bin {
	return &bin{queue: newQueue(&counters{}), t: t, now: time.Unix(1e9, 0)}
}

func (b *bin) add(payloads ...[]byte) {
	b.t.Helper()
	for _, p := range payloads {
		if err := b.put(b.now, &punch.Datagram{Data: p}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// wants takes so much, and wants these datagrams.
func (b *bin) wants(limit int, want ...[]byte) {
	b.t.Helper()
	got := b.take(b.now, nil, limit)
	if all := framed(b.t, want...); !bytes.Equal(got, all) {
		b.t.Errorf("took %d bytes, %.40x…, want %d, %.40x…", len(got), got, len(all), all)
	}
}

var (
	data       = channelOf(0x4000, 100, 1)
	control    = []byte{20, 254, 253, 0}
	channelBig = channelOf(0x4000, 1200, 1)
)

// TestQueueStale: data is of no use after 200 ms, all else after two seconds; the order
// stays.
func TestQueueStale(t *testing.T) {
	b := newBin(t)
	b.add(data, control, data)
	b.wants(1<<20, data, control, data)
	b.wants(1 << 20)
	b.add(data, control)
	b.now = b.now.Add(dataAge)
	b.wants(1<<20, data, control)
	b.add(data, control, data)
	b.now = b.now.Add(dataAge + 1)
	b.add(data)
	b.wants(1<<20, control, data)
	b.add(control)
	b.now = b.now.Add(controlAge + 1)
	b.wants(1 << 20)
	if s := b.counts.stats(); s.Stale != 3 || s.Sent != 7 || b.waiting != [2]int{} || len(b.frames) > 0 {
		t.Errorf("counted %+v, waiting %v", s, b.waiting)
	}
}

// TestQueueLimit: so much is taken at a time, but never nothing.
func TestQueueLimit(t *testing.T) {
	b := newBin(t)
	b.add(data, data, data, control)
	size := len(framed(t, data))
	b.wants(2*size, data, data)
	b.wants(1, data)
	b.wants(1, control)
	b.wants(1)
}

// TestQueueFull: data takes the place of nothing else, nor the other way round, and what
// is too old gives way.
func TestQueueFull(t *testing.T) {
	b := newBin(t)
	for range 2 * maxData / len(data) {
		b.add(data)
	}
	full := b.counts.stats().Full
	if b.waiting[0] > maxData || b.waiting[0] < maxData-2*len(data) || full == 0 {
		t.Errorf("%d bytes of data wait, %d were dropped", b.waiting[0], full)
	}
	b.add(control)
	if b.waiting[1] == 0 || b.counts.stats().Full != full {
		t.Error("there is no room for control")
	}
	b.now = b.now.Add(dataAge + 1)
	b.add(data)
	if b.counts.stats().Full != full || b.counts.stats().Stale == 0 {
		t.Errorf("what is too old keeps others out: %+v", b.counts.stats())
	}
	b.wants(1<<20, control, data)
	for range 2 * maxControl / 8 {
		b.add(control)
	}
	b.add(data)
	if b.waiting[1] > maxControl || b.waiting[0] == 0 {
		t.Errorf("waiting %v", b.waiting)
	}
}

// TestQueueRuns: a run is as many datagrams, each filled up.
func TestQueueRuns(t *testing.T) {
	b := newBin(t)
	odd := channelOf(0x4000, 97, 3)
	run := append(append(bytes.Clone(odd), odd...), channelOf(0x4000, 5, 3)...)
	if err := b.put(b.now, &punch.Datagram{Data: run, Segment: len(odd)}); err != nil {
		t.Fatal(err)
	}
	b.wants(1<<20, odd, odd, channelOf(0x4000, 5, 3))
	long := &punch.Datagram{Data: append([]byte{20}, make([]byte, 1<<16)...)}
	if err := b.put(b.now, long); err != errLong && b.counts.stats().Full == 0 {
		t.Errorf("65537 bytes: %v", err)
	}
}

// TestQueueMemory: an idle queue keeps little, whatever went through it.
func TestQueueMemory(t *testing.T) {
	b := newBin(t)
	for range maxData / len(data) {
		b.add(data)
	}
	for len(b.take(b.now, nil, writeSize)) > 0 {
	}
	if cap(b.buf) > keptBuffer || cap(b.frames) > keptFrames {
		t.Errorf("an empty queue has %d bytes, and room for %d frames", cap(b.buf), cap(b.frames))
	}
	b.add(data)
	b.wants(1<<20, data)
	allocated := testing.AllocsPerRun(100, func() {
		for range 20 { // more than it keeps
			b.put(b.now, &punch.Datagram{Data: channelBig})
		}
		b.out = b.take(b.now, b.out[:0], 1<<20)
	})
	if allocated > 2 && !raceEnabled { // the detector makes pools forget
		t.Errorf("%v allocations", allocated)
	}
}
