package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"campagnol/internal/lab"
)

// A meter reads what processes use. Owned by one goroutine.
type meter struct {
	daemons, others []*lab.Process
	kernel          map[int]bool // whether a process is the kernel's, of those that were seen

	// What the kernel's threads had done at the last reading, and the sum of
	// it all: threads come and go, and what those did that are gone remains.
	threads map[int]time.Duration
	sum     time.Duration
}

// newMeter returns a meter for a tunnel.
func newMeter(t *tunnel) *meter {
	return &meter{daemons: t.daemons, others: t.others, kernel: map[int]bool{}, threads: map[int]time.Duration{}}
}

// read returns what the processors have done so far.
func (m *meter) read() (reading, error) {
	var r reading
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return r, fmt.Errorf("bench: what we use ourselves: %w", err)
	}
	daemons, err := ranFor(m.daemons)
	if err != nil {
		return r, err
	}
	others, err := ranFor(m.others)
	if err != nil {
		return r, err
	}
	r.daemons = daemons
	r.own = daemons + others + time.Duration(self.Utime.Nano()+self.Stime.Nano())
	if r.kernel, err = m.kernelRanFor(); err != nil {
		return r, err
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	r.at = time.Now()
	r.machine, err = parseStat(b)
	return r, err
}

// ranFor returns for how long all threads of some processes have run.
func ranFor(processes []*lab.Process) (sum time.Duration, err error) {
	for _, p := range processes {
		threads := fmt.Sprintf("/proc/%d/task", p.PID())
		entries, err := os.ReadDir(threads)
		if err != nil {
			return 0, fmt.Errorf("bench: threads of %v: %w", p, err)
		}
		for _, e := range entries {
			d, err := threadRanFor(filepath.Join(threads, e.Name()))
			if err != nil {
				return 0, err
			}
			sum += d
		}
	}
	return sum, nil
}

// threadRanFor returns for how long the thread of a folder has run. One that has
// ended has not run at all: what it did is lost, but Go's threads rarely end.
func threadRanFor(dir string) (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if gone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return parseSchedstat(b)
}

// gone reports whether a file is no more because its process has ended.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// kernelRanFor returns for how long the kernel's threads have run: what they do
// is mostly done for the traffic.
func (m *meter) kernelRanFor() (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("bench: list processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !m.isKernel(pid) {
			continue
		}
		d, err := threadRanFor(filepath.Join("/proc", e.Name()))
		if err != nil {
			return 0, err
		}
		m.sum += max(0, d-m.threads[pid])
		m.threads[pid] = d
	}
	return m.sum, nil
}

// isKernel reports whether a process is one of the kernel's. One that has ended
// is not.
func (m *meter) isKernel(pid int) bool {
	is, seen := m.kernel[pid]
	if !seen {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		is, err = parseIsKernel(b)
		m.kernel[pid] = is && err == nil
	}
	return is
}

// during returns what was used while fn ran.
func (m *meter) during(fn func() error) (usage, error) {
	before, err := m.read()
	if err != nil {
		return usage{}, err
	}
	if err := fn(); err != nil {
		return usage{}, err
	}
	after, err := m.read()
	return before.until(after), err
}

// memoryOf returns the resident memory of a process in bytes.
func memoryOf(p *lab.Process) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("bench: memory of %v: %w", p, err)
	}
	return parseRSS(b)
}
