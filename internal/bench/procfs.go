package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kernel counts the processors' time in ticks of this length, whatever its
// own clock does (USER_HZ).
const tick = 10 * time.Millisecond

// tickBits is the size of a number of ticks: two of them together are no more
// than a time.Duration holds, and one is 87 years.
const tickBits = 38

// cpuTimes is how the processors of the machine have spent their time since it
// was started.
type cpuTimes struct {
	count int           // processors
	idle  time.Duration // of all of them, waiting for a disk included
	steal time.Duration // taken by the machine that this one is a guest of
}

// parseStat reads /proc/stat.
func parseStat(b []byte) (cpuTimes, error) {
	var t cpuTimes
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || !strings.HasPrefix(fields[0], "cpu"):
		case fields[0] != "cpu":
			t.count++
		default:
			var err error
			if t.idle, t.steal, err = parseTotals(fields[1:]); err != nil {
				return cpuTimes{}, fmt.Errorf("bench: /proc/stat: %w", err)
			}
		}
	}
	if t.count == 0 || t.idle == 0 {
		return cpuTimes{}, errors.New("bench: /proc/stat has no times of processors")
	}
	return t, nil
}

// parseTotals reads the times of all processors together: user, nice, system,
// idle, iowait, irq, softirq, steal.
func parseTotals(fields []string) (idle, steal time.Duration, err error) {
	if len(fields) < 8 {
		return 0, 0, fmt.Errorf("%d times, want 8 at least", len(fields))
	}
	var ticks [8]uint64
	for i := range ticks {
		if ticks[i], err = strconv.ParseUint(fields[i], 10, tickBits); err != nil {
			return 0, 0, err
		}
	}
	return time.Duration(ticks[3]+ticks[4]) * tick, time.Duration(ticks[7]) * tick, nil
}

// parseSchedstat reads the schedstat file of a thread and returns how long the
// thread has run.
func parseSchedstat(b []byte) (time.Duration, error) {
	first, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte(" "))
	ns, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil || ns < 0 {
		return 0, fmt.Errorf("bench: %.40q is no schedstat of a thread", b)
	}
	return time.Duration(ns), nil
}

// parseRSS reads the status file of a process and returns its resident memory
// in bytes. The threads of the kernel have none.
func parseRSS(b []byte) (int64, error) {
	for line := range strings.Lines(string(b)) {
		value, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 48)
		if err != nil || kb < 0 {
			return 0, fmt.Errorf("bench: %.40q is no amount of memory", line)
		}
		return kb * 1024, nil
	}
	return 0, errors.New("bench: the status of the process has no VmRSS: it has ended")
}

// kernelThread is the flag of the kernel's own threads (PF_KTHREAD).
const kernelThread = 0x0020_0000

// parseIsKernel reads the stat file of a process and reports whether it is a
// thread of the kernel. The name of the process, in parentheses, may be
// anything.
func parseIsKernel(b []byte) (bool, error) {
	if i := bytes.LastIndexByte(b, ')'); i >= 0 {
		// state, parent, group, session, terminal, its group, flags
		if fields := strings.Fields(string(b[i+1:])); len(fields) >= 7 {
			flags, err := strconv.ParseUint(fields[6], 10, 32)
			return flags&kernelThread != 0, err
		}
	}
	return false, fmt.Errorf("bench: %.40q is no stat of a process", b)
}

// parseModel reads /proc/cpuinfo and returns what the first processor is
// called, and "" if it has no name.
func parseModel(b []byte) string {
	for line := range strings.Lines(string(b)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
