package load

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CPUs returns the processors that this process may use.
func CPUs() ([]int, error) {
	set, err := affinity(0)
	if err != nil {
		return nil, err
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func affinity(tid int) (set unix.CPUSet, err error) {
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		return set, fmt.Errorf("load: which processors there are: %w", err)
	}
	return set, nil
}

// KeepOff moves all threads of this process away from a processor, if there is
// another one: those that run now, and those that they will start. The function
// that it returns lets them use it again.
func KeepOff(cpu int) (undo func() error, err error) {
	all, err := affinity(0)
	if err != nil {
		return nil, err
	}
	others := all
	others.Clear(cpu)
	if others.Count() == 0 {
		return func() error { return nil }, nil
	}
	if err := moveThreads(others); err != nil {
		return nil, err
	}
	return func() error { return moveThreads(all) }, nil
}

// moveThreads lets the threads of this process run on the processors of set.
func moveThreads(set unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("load: which threads there are: %w", err)
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return fmt.Errorf("load: thread %q: %w", t.Name(), err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH { // it may have ended
			return fmt.Errorf("load: move thread %d: %w", tid, err)
		}
	}
	return nil
}
