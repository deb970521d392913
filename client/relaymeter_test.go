package client

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/tunnel"
)

// TestMeter: a meter lets through its burst, and then its rate.
func TestMeter(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  int64 // bytes a second
		size  int   // of a datagram
		burst int   // bytes at once
		later int   // bytes in the 10 s after that
	}{
		{"12,500 kB/s", 12_500_000, 1400, 3_125_000, 125_000_000},
		{"the burst is not less than eight packets", 1000, 1000, 12_000, 10_000},
		{"small datagrams", 100_000, 60, 25_000, 1_000_000},
		{"a datagram larger than the burst", 1000, 20_000, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMeter(c.rate)
			now := tunnel.Stamp(time.Hour)
			taken := func() (n int) {
				for m.take(now, c.size) {
					n += c.size
				}
				return n
			}
			if got := taken(); got > c.burst || got < c.burst-c.size {
				t.Errorf("%d bytes at once, want %d", got, c.burst)
			}
			later := 0
			for range 10_000 {
				now += tunnel.Stamp(time.Millisecond)
				later += taken()
			}
			if later > c.later+c.size || later < c.later*99/100-c.size {
				t.Errorf("%d bytes in 10 s, want %d", later, c.later)
			}
		})
	}
}

// TestMeterSpare: who takes what is to spare leaves half of what can be taken at once.
func TestMeterSpare(t *testing.T) {
	m, now := newMeter(1_000_000), tunnel.Stamp(time.Hour)
	count := func(take func(tunnel.Stamp, int) bool) (n int) {
		for take(now, 1000) {
			n++
		}
		return n
	}
	if spare, rest := count(m.takeSpare), count(m.take); spare != 125 || rest != 125 {
		t.Errorf("%d and %d kB, want half of 250 each", spare, rest)
	}
	now += tunnel.Stamp(100 * time.Millisecond)
	if spare, rest := count(m.takeSpare), count(m.take); spare != 0 || rest != 100 {
		t.Errorf("100 ms later %d and %d kB, want 0 and 100", spare, rest)
	}
}

// TestMeterUnlimited: without a rate everything passes, also at odd times.
func TestMeterUnlimited(t *testing.T) {
	m := newMeter(0)
	for i := range 100_000 {
		if !m.take(tunnel.Stamp(i%7), 65_507) {
			t.Fatalf("datagram %d does not pass", i)
		}
	}
}

// TestMeterShared: several goroutines take no more than there is.
func TestMeterShared(t *testing.T) {
	m := newMeter(1_000_000)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10_000 {
				if m.take(1, 100) {
					taken.Add(100)
				}
			}
		})
	}
	wg.Wait()
	if got := taken.Load(); got != 250_000 {
		t.Errorf("%d bytes, want 250,000", got)
	}
}

func TestMeterNoAllocs(t *testing.T) {
	m, now := newMeter(1_000_000), tunnel.Stamp(0)
	if n := testing.AllocsPerRun(1000, func() { now += 1000; m.take(now, 1400) }); n != 0 {
		t.Errorf("%.1f allocations, want 0", n)
	}
}
