//go:build unix

package main

import (
	"syscall"
	"testing"
)

// TestFamilies: one server serves both families on one port. From IPv6 nobody
// registers in clear, and is told so, while IPv4 is as ever.
func TestFamilies(t *testing.T) {
	t.Parallel()
	p := start(t, "-v")
	six, a, b := dial(t, "", "::1", p.port), dial(t, "", "127.0.0.1", p.port), dial(t, "", "127.0.0.5", p.port)
	six.send(hello1)
	six.receive(nok)
	six.send(ping)
	six.receive(reconnect)

	// Nobody holds the address: IPv4 clients register and meet, each at the address
	// of the server that it uses.
	a.send(hello1)
	a.receive(ok)
	b.send(hello2)
	b.receive(ok)
	a.send(ask2)
	a.receive("07" + b.endpoint() + "0a090002")
	b.receive("06" + a.endpoint() + "0a090001")
	six.send(ask1)
	six.receive(reconnect)

	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit status %d, standard error %q, want 0 and nothing", code, &p.stderr)
	}
}
