package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// directTunnel returns two hosts with nothing but their cable.
func directTunnel(t testing.TB) (place, *tunnel) {
	t.Helper()
	at := newTestPlace(t, pathVeth)
	tun, err := direct{}.start(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return at, tun
}

func newTestDatagrams(t testing.TB, tun *tunnel, size int) *datagrams {
	t.Helper()
	d, err := newDatagrams(tun.a, tun.b, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// TestTrial checks what a trial counts, on cables with and without loss. The rate
// is low enough for any machine.
func TestTrial(t *testing.T) {
	t.Parallel()
	const rate, long = 2000, 300 * time.Millisecond
	at, tun := directTunnel(t)
	for _, size := range []int{64, 1200} {
		got, err := newTestDatagrams(t, tun, size).trial(t.Context(), rate, long)
		if err != nil {
			t.Fatal(err)
		}
		// A machine with other work to do may make the sender late, but not
		// send more, nor lose anything.
		if got.offered <= 0 || got.offered > rate*1.01 || got.loss != 0 || got.delivered != got.offered {
			t.Errorf("%d bytes: %+v, want %d packets per second at most, all of them delivered", size, got, rate)
		}
		if got.took < long.Seconds() {
			t.Errorf("%d bytes: took %v s, want %v at least", size, got.took, long)
		}
	}
	if _, err := at.a.Link().Drop(lab.FromNode, lab.Match{Protocol: 17}); err != nil {
		t.Fatal(err)
	}
	got, err := newTestDatagrams(t, tun, 64).trial(t.Context(), rate, long)
	if err != nil {
		t.Fatal(err)
	}
	if got.offered <= 0 || got.delivered != 0 || got.loss != 1 {
		t.Errorf("on a dead cable: %+v, want a loss of all", got)
	}
}

// TestTrialsApart checks that what an earlier trial left on its way does not count
// for the next.
func TestTrialsApart(t *testing.T) {
	t.Parallel()
	_, tun := directTunnel(t)
	d := newTestDatagrams(t, tun, 64)
	for range 3 {
		got, err := d.trial(t.Context(), 2000, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if got.loss != 0 {
			t.Errorf("%+v, want no loss, and nothing that was not sent", got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := d.trial(ctx, 2000, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %+v, error %v, want %v", got, err, context.Canceled)
	}
}

// TestFlood checks that streams send what arrives, in both directions, and end
// when they are told to.
func TestFlood(t *testing.T) {
	t.Parallel()
	_, tun := directTunnel(t)
	f := new(flood)
	defer f.stop()
	for _, err := range []error{f.add(tun.a, tun.b, 3), f.add(tun.b, tun.a, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.received(); n != 0 || err != nil {
		t.Errorf("before the start %d bytes have arrived (%v)", n, err)
	}
	f.start()
	streams := f.streams
	eventually(t, "all streams deliver", func() bool {
		for _, s := range streams {
			if s.received.Load() < 1<<20 {
				return false
			}
		}
		return true
	})
	f.stop()
	if _, err := f.received(); err != nil || len(f.streams) != 0 {
		t.Errorf("after the end there are %d streams (%v)", len(f.streams), err)
	}
	for _, s := range streams {
		if failed := s.failure.Load(); failed != nil {
			t.Errorf("a stream that was ended has failed: %v", *failed)
		}
	}
}

// TestFloodFails checks that a stream that ends by itself is an error.
func TestFloodFails(t *testing.T) {
	t.Parallel()
	_, tun := directTunnel(t)
	f := new(flood)
	defer f.stop()
	if err := f.add(tun.a, tun.b, 1); err != nil {
		t.Fatal(err)
	}
	f.start()
	eventually(t, "the stream delivers", func() bool { return f.streams[0].received.Load() > 0 })
	f.streams[0].shut()
	eventually(t, "the end of the stream is noticed", func() bool {
		_, err := f.received()
		return err != nil && strings.Contains(err.Error(), "TCP stream")
	})
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s it is not so that %s", what)
		}
	}
}
