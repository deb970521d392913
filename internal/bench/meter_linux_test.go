package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// TestMeter checks that the work of a daemon is seen as the daemon's, and ours as
// ours. How much it is depends on the machine.
func TestMeter(t *testing.T) {
	t.Parallel()
	at := newTestPlace(t, pathVeth)
	worker, err := at.a.Start("sh", "/bin/sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	m := newMeter(at.inside([]*lab.Process{worker}))
	before, err := m.read()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon has worked for 50 ms", func() bool {
		now, err := m.read()
		return err == nil && now.daemons-before.daemons >= 50*time.Millisecond
	})
	after, err := m.read()
	if err != nil {
		t.Fatal(err)
	}
	u := before.until(after)
	if u.daemons < 50*time.Millisecond || u.daemons > u.wall+10*time.Millisecond || u.foreign < 0 {
		t.Errorf("a thread that works all the time: usage %+v", u)
	}
	if ours := after.own - before.own; ours < u.daemons {
		t.Errorf("what is ours, %v, has less than the daemon, %v", ours, u.daemons)
	}
	if after.kernel < before.kernel || after.machine.count < 1 {
		t.Errorf("readings %+v and %+v", before, after)
	}
	if got, err := memoryOf(worker); err != nil || got < 1<<16 || got > 1<<30 {
		t.Errorf("the memory of a shell is %d bytes (%v)", got, err)
	}
}

func TestMeterDuring(t *testing.T) {
	t.Parallel()
	m := newMeter(&tunnel{})
	u, err := m.during(func() error { return wait(t.Context(), 20*time.Millisecond) })
	if err != nil || u.wall < 20*time.Millisecond || u.daemons != 0 {
		t.Errorf("without a daemon, the usage is %+v (%v)", u, err)
	}
	broken := errors.New("broken")
	if _, err := m.during(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("something that fails: error %v, want %v", err, broken)
	}
}

// TestMeterGone checks that a daemon that is no more is an error, not a zero.
func TestMeterGone(t *testing.T) {
	t.Parallel()
	at := newTestPlace(t, pathVeth)
	p, err := at.a.Start("true", "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if got, err := newMeter(at.inside([]*lab.Process{p})).read(); err == nil {
		t.Errorf("the reading of a process that has ended is %+v", got)
	}
	if got, err := memoryOf(p); err == nil {
		t.Errorf("the memory of a process that has ended is %d", got)
	}
	if got, err := threadRanFor("/proc/self/task/none"); got != 0 || err != nil {
		t.Errorf("a thread that has ended has run for %v (%v)", got, err)
	}
}

func TestIsKernel(t *testing.T) {
	t.Parallel()
	m := newMeter(&tunnel{})
	for range 2 { // the second time from memory
		if m.isKernel(os.Getpid()) {
			t.Error("this test is a thread of the kernel")
		}
	}
	if m.isKernel(-1) || m.kernel[-1] {
		t.Error("a process that does not exist is the kernel's")
	}
}
