package interop

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/internal/testenv"
)

// patience bounds each wait for the other end, on a loaded machine too.
const patience = 60 * time.Second

// A process is a program at the other end of a session: what it prints, and lines
// to make it send.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed when it has
	err   error         // valid then

	mu      sync.Mutex
	out     bytes.Buffer
	printed chan struct{} // something was added to out
}

// A command is what a process runs.
type command struct {
	program, debianPackage string
	args, env              []string
}

func start(t *testing.T, c command) *process {
	t.Helper()
	cmd := exec.Command(testenv.Tool(t, c.program, c.debianPackage), c.args...)
	cmd.Env = append(cmd.Environ(), c.env...)
	p := &process{t: t, cmd: cmd, ended: make(chan struct{}), printed: make(chan struct{}, 1)}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %s %s:\n%s", strings.Join(c.env, " "), c.program, strings.Join(c.args, " "), p.output())
		}
	})
	return p
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.printed <- struct{}{}:
	default:
	}
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// wait waits until what the process has printed is ok, for a time, and reports
// whether it is.
func (p *process) wait(d time.Duration, ok func(output string) bool) bool {
	timeout := time.After(d)
	for !ok(p.output()) {
		select {
		case <-p.printed:
		case <-p.ended:
			return ok(p.output()) // its last words are all there now
		case <-timeout:
			return false
		}
	}
	return true
}

// within waits until the process has printed text, for a time, and reports
// whether it has.
func (p *process) within(d time.Duration, text string) bool {
	return p.wait(d, func(output string) bool { return strings.Contains(output, text) })
}

// says waits until the process has printed text.
func (p *process) says(text string) {
	p.t.Helper()
	if !p.within(patience, text) {
		p.t.Fatalf("%s did not print %q", p.cmd.Path, text)
	}
}

// matches waits until what the process has printed matches, and returns what the
// pattern's groups hold.
func (p *process) matches(pattern *regexp.Regexp) []string {
	p.t.Helper()
	var groups []string
	if !p.wait(patience, func(output string) bool {
		groups = pattern.FindStringSubmatch(output)
		return groups != nil
	}) {
		p.t.Fatalf("%s did not print %v", p.cmd.Path, pattern)
	}
	return groups[1:]
}

// send makes the process send a line.
func (p *process) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits until the process has ended and returns how.
func (p *process) ends() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end", p.cmd.Path)
	}
	return p.err
}

// udpPort returns the port of the IPv4 UDP socket that the process has, by Linux's
// /proc. A port that we had tried ourselves and found free might not be: a child
// that another test is just starting has a copy of our socket until it executes.
func (p *process) udpPort() int {
	p.t.Helper()
	testenv.Require(p.t, runtime.GOOS == "linux", "Linux's /proc")
	dir := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	fds, err := filepath.Glob(dir + "/fd/*")
	if err != nil {
		p.t.Fatal(err)
	}
	var sockets []string
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			sockets = append(sockets, to)
		}
	}
	table, err := os.ReadFile(dir + "/net/udp")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		const local, inode = 1, 9
		f := strings.Fields(line)
		if len(f) <= inode || !slices.Contains(sockets, "socket:["+f[inode]+"]") {
			continue
		}
		_, hex, _ := strings.Cut(f[local], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			p.t.Fatalf("%q in the table of sockets: %v", f[local], err)
		}
		return int(port)
	}
	p.t.Fatalf("%s has no UDP socket", p.cmd.Path)
	return 0
}
