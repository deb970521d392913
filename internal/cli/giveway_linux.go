package cli

import (
	"errors"
	"os"
	"strconv"
	"syscall"
)

// kernelNice is what the system call getpriority returns for the nice value 0; it counts
// backwards, so that no result is negative.
const kernelNice = 20

// lowerPriority raises the nice value of the process. Linux has one for each thread; those
// that are yet to come have that of the thread that makes them.
func lowerPriority(by int) error {
	threads, err := os.ReadDir("/proc/self/task")
	var problems []error
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		now, err := syscall.Getpriority(syscall.PRIO_PROCESS, id)
		if err == nil {
			err = syscall.Setpriority(syscall.PRIO_PROCESS, id, kernelNice-now+by) // 19 at most
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) { // it has ended
			problems = append(problems, err)
		}
	}
	return errors.Join(append(problems, err)...)
}
