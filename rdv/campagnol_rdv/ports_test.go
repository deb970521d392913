//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"campagnol/punch/stun"
)

// TestPorts: a server on several ports is one server, to each client at the port that it
// uses: these take datagrams from there only.
func TestPorts(t *testing.T) {
	t.Parallel()
	second, third := freePort(t), freePort(t)
	p := start(t, "-v", "--port", fmt.Sprint(second), "-p", fmt.Sprint(third), "-p", fmt.Sprint(second))
	p.waitLine(fmt.Sprintf("Server listening on port %d", second))
	p.waitLine(fmt.Sprintf("Server listening on port %d", third))
	a, b, c := dial(t, "", "127.0.0.1", p.port), dial(t, "", "127.0.0.1", second), dial(t, "", "::1", third)
	a.send(hello1)
	a.receive(ok)
	b.send(hello2)
	b.receive(ok)
	a.send(ask2)
	a.receive("07" + b.endpoint() + "0a090002")
	b.receive("06" + a.endpoint() + "0a090001")
	b.send(ask1)
	b.receive("07" + a.endpoint() + "0a090001")
	a.receive("06" + b.endpoint() + "0a090002")
	c.send(ping)
	c.receive(reconnect)

	s := newSTUNClient(t)
	for _, port := range []int{p.port, second, third} {
		if _, from := s.ask(port, stun.Request{}); int(from.Port()) != port {
			t.Errorf("STUN at port %d is answered from %v", port, from)
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit status %d, standard error %q, want 0 and nothing", code, &p.stderr)
	}
}

// TestPortsRefused: a port that is taken, and too many of them, are errors.
func TestPortsRefused(t *testing.T) {
	t.Parallel()
	many := []string{}
	for i := range 17 {
		many = append(many, "-p", fmt.Sprint(40000+i))
	}
	free := fmt.Sprint(freePort(t))
	taken := takenPort(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{many, "--port is given 17 times"},
		{[]string{"-p", free, "-p", fmt.Sprint(taken)}, fmt.Sprintf(":%d", taken)},
		{[]string{"-p", free, "-p", "70000"}, `"70000" is not a port number`},
		{[]string{"-p", free, "-p", "443", "--stun-port", "443"}, "443 is the port of --port"},
	} {
		cmd := exec.Command(binary, c.args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%q: %v, %q, want %q", c.args, err, stderr.String(), c.want)
		}
	}
}
