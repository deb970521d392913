//go:build unix

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary plays the program: scenarioEnv says what happens in the
// background process, which writes what it sees to the file factsEnv.
const (
	scenarioEnv = "CAMPAGNOL_TEST_SCENARIO"
	factsEnv    = "CAMPAGNOL_TEST_FACTS"
)

func TestMain(m *testing.M) {
	if s := os.Getenv(scenarioEnv); s != "" {
		os.Exit(program(s))
	}
	os.Exit(m.Run())
}

// facts are what a background process sees of itself.
type facts struct {
	PID, Session int
	Dir          string
	Stdio        []string
	Args         []string
	Env          string // pipeEnv
	Inherited    string // what a program that it starts has of variable and pipe
}

// pipe is the kernel's name of the pipe of this process.
var pipe string

// hinted is an error with a hint, as package cli makes them.
type hinted struct{ error }

func (hinted) Hint() string { return "use another port" }

// program is the main function of a program with -D.
func program(scenario string) int {
	if scenario == "mlock" {
		return lockMain()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
	defer stop()
	child, err := Background(ctx, Options{Warn: func(msg string) { fmt.Fprintln(os.Stderr, "warning:", msg) }})
	if child == nil {
		if err == nil {
			return 0
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		var start *StartError
		if errors.As(err, &start) && start.Hint() != "" {
			fmt.Fprintln(os.Stderr, "hint:", start.Hint())
		}
		return 1
	}
	if pipe, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", child.pipe.Fd())); err != nil {
		child.Ready(err)
		return 1
	}
	switch scenario {
	case "ready":
		child.Warn("the first")
		child.Warn("the second\nin two lines")
		err := writeFacts()
		child.Ready(err)
		child.Ready(errors.New("too late"))
		child.Warn("too late")
	case "fail":
		child.Warn("it looks bad")
		child.Ready(fmt.Errorf("listen: %w", hinted{errors.New("port in use")}))
		return 1
	case "plain failure":
		child.Ready(errors.New("no such file"))
		return 1
	case "exit":
		return 7
	case "crash":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "nonsense":
		child.pipe.WriteString("panic: this is not JSON\n")
		child.pipe.Close()
		return 2
	case "slow":
		return slow(child)
	}
	return 0
}

// slow starts for ever. It says so, and whether it was told to terminate; when
// the first process is gone, it is ready.
func slow(child *Child) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGUSR1)
	child.Warn("slow " + strconv.Itoa(os.Getpid()))
	if s := <-term; s == syscall.SIGUSR1 {
		child.Ready(nil) // nobody listens
		child.Ready(nil)
	}
	if err := writeFacts(); err != nil {
		return 1
	}
	return 0
}

func writeFacts() error {
	f := facts{PID: os.Getpid(), Args: os.Args, Env: os.Getenv(pipeEnv)}
	var err error
	if f.Session, err = unix.Getsid(0); err != nil {
		return err
	}
	if f.Dir, err = os.Getwd(); err != nil {
		return err
	}
	for fd := range 3 {
		to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			return err
		}
		f.Stdio = append(f.Stdio, to)
	}
	script := `readlink /proc/$$/fd/* | grep -xF "$1"; echo "[$` + pipeEnv + `]"`
	out, err := exec.Command("/bin/sh", "-c", script, "sh", pipe).Output()
	if err != nil {
		return err
	}
	f.Inherited = strings.TrimSpace(string(out))
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	// Whoever waits for the file finds it whole.
	name := os.Getenv(factsEnv)
	if err := os.WriteFile(name+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}
