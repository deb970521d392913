//go:build unix

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeEnv is the environment variable that tells the second process the number
// of its end of the pipe.
const pipeEnv = "CAMPAGNOL_DAEMON_PIPE"

// Background continues in the background. In the process that the user has
// started it returns a nil *Child when the other process is ready, with a nil
// error, or has failed to start; the caller then exits. In the other process it
// returns a Child at once, whose Ready has to be called when the program has
// started or could not.
//
// The other process has the same arguments, environment and working directory,
// a session of its own, and /dev/null for standard input, output and error. If
// ctx is done while Background waits for it, it is told to terminate.
func Background(ctx context.Context, o Options) (*Child, error) {
	if c := inherited(); c != nil {
		return c, nil
	}
	// Writing to a closed pipe fails while we have asked for the signal.
	sigpipe := make(chan os.Signal, 1)
	signal.Notify(sigpipe, syscall.SIGPIPE)
	defer signal.Stop(sigpipe)
	announce(o.Stdout)

	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("go to the background: %w", err)
	}
	defer r.Close()
	cmd, err := command(w)
	if err == nil {
		err = cmd.Start()
	}
	w.Close() // so that its death is the end of the file
	if err != nil {
		return nil, fmt.Errorf("go to the background: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	switch err = await(r, o.Warn); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		cmd.Process.Signal(syscall.SIGTERM)
		return nil, ctx.Err()
	case errors.Is(err, errSilent):
		return nil, &StartError{
			msg:  fmt.Sprintf("%v: %v", errSilent, outcome(cmd)),
			hint: "without the option for the background it shows what it says",
		}
	}
	cmd.Process.Release() // it outlives us, or ends by itself
	return nil, err
}

// inherited returns the end of the pipe that a first process has left us, or
// nil in a first process.
func inherited() *Child {
	fd, err := strconv.Atoi(os.Getenv(pipeEnv))
	if err != nil || fd <= 2 {
		return nil
	}
	// Not for the programs that we start.
	os.Unsetenv(pipeEnv)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil // somebody else's variable
	}
	unix.CloseOnExec(fd)
	return &Child{pipe: os.NewFile(uintptr(fd), "readiness pipe")}
}

// command returns this program, to be started again with w as its end of the
// pipe.
func command(w *os.File) (*exec.Cmd, error) {
	path, err := executable()
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path:        path,
		Args:        os.Args,
		Env:         append(os.Environ(), pipeEnv+"=3"), // the first of ExtraFiles
		ExtraFiles:  []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}, nil
}

// executable returns a path of the program that is running: the one that gives
// the new process the right name if that still leads to it, else the kernel's
// reference, since the file may have been replaced.
func executable() (string, error) {
	const self = "/proc/self/exe"
	path, err := os.Executable()
	running, serr := os.Stat(self)
	if serr != nil {
		return path, err // not Linux, or no /proc
	}
	if err == nil {
		if named, nerr := os.Stat(path); nerr == nil && os.SameFile(named, running) {
			return path, nil
		}
	}
	return self, nil
}

// outcome says how a process has ended that closed the pipe without a word.
func outcome(cmd *exec.Cmd) string {
	if err := cmd.Wait(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}
