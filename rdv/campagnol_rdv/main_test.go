//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program, built from this directory.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "campagnol_rdv-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "campagnol_rdv")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// freePort returns a UDP port that nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// A process is a running server in the foreground.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	port   int
	stderr bytes.Buffer // to be read after wait
	ended  bool

	mu    sync.Mutex
	more  *sync.Cond
	lines []string
	eof   bool
}

// start runs the server on a free port and waits until it listens.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startIn(t, "", nil, args...)
}

// startIn is start in a directory, with more in the environment.
func startIn(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	return startAt(t, freePort(t), dir, env, args...)
}

// startAt is startIn on a port.
func startAt(t *testing.T, port int, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, port: port}
	p.more = sync.NewCond(&p.mu)
	p.cmd = exec.Command(binary, append([]string{"-p", fmt.Sprint(p.port), "--control-socket", "none"}, args...)...)
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stdout)
	t.Cleanup(func() {
		if !p.ended {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	p.waitLine("Server listening on port")
	return p
}

func (p *process) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
		p.more.Broadcast()
	}
	p.mu.Lock()
	p.eof = true
	p.mu.Unlock()
	p.more.Broadcast()
}

// waitLine returns the next line that contains text.
func (p *process) waitLine(text string) string {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		p.eof = true
		p.mu.Unlock()
		p.more.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	var skipped []string
	for {
		for len(p.lines) > 0 {
			l := p.lines[0]
			p.lines = p.lines[1:]
			if strings.Contains(l, text) {
				return l
			}
			skipped = append(skipped, l)
		}
		if p.eof {
			p.t.Fatalf("no line with %q in the output, but %q", text, skipped)
		}
		p.more.Wait()
	}
}

// wait waits for the end and returns the exit status, -1 after a signal.
func (p *process) wait() int {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	err := p.cmd.Wait()
	p.ended = true
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// A client is a UDP socket that takes datagrams only from the address of the
// server that it talks to, as a NAT would.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

// dial returns a client at address local (or any, if it is empty) of a server
// at server.
func dial(t *testing.T, local, server string, port int) *client {
	t.Helper()
	var from *net.UDPAddr
	if local != "" {
		from = &net.UDPAddr{IP: net.ParseIP(local)}
	}
	conn, err := net.DialUDP("udp", from, &net.UDPAddr{IP: net.ParseIP(server), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn}
}

// endpoint returns the client's address as messages contain it: port, IP.
func (c *client) endpoint() string {
	a := c.conn.LocalAddr().(*net.UDPAddr)
	return fmt.Sprintf("%04x%x", a.Port, []byte(a.IP.To4()))
}

// send sends a datagram, given in hex.
func (c *client) send(hex string) {
	c.t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(hex, "%x", &b); err != nil {
		c.t.Fatalf("%q: %v", hex, err)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive expects a datagram, given in hex.
func (c *client) receive(want string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	n, err := c.conn.Read(b)
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", want, err)
	}
	if got := fmt.Sprintf("%x", b[:n]); got != want {
		c.t.Errorf("received %s, want %s", got, want)
	}
}

// Messages.
const (
	zeros     = "00000000000000000000"
	ping      = "01" + zeros
	pong      = "03" + zeros
	ok        = "04" + zeros
	nok       = "05" + zeros
	bye       = "0b" + zeros
	reconnect = "0c" + zeros
	hello1    = "0000000a09000100000000"
	hello2    = "0000000a09000200000000"
	ask1      = "0200000a09000100000000"
	ask2      = "0200000a09000200000000"
)
