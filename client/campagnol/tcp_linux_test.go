package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"

	"golang.org/x/sys/unix"
)

// tcpPort is where a peer takes connections in tests.
const tcpPort = 8443

// TestPeerOverTCP: all UDP of one side is lost from the beginning, the server is no relay,
// and the peer takes connections: it is reached over TCP within five seconds of the start,
// and by UDP when that passes again, in the same session.
func TestPeerOverTCP(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, []lab.Kind{lab.PortRestricted, lab.None}, "--tls-port", "443")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		b.configure(fmt.Sprintf("tcp_port = %d\n", tcpPort))
		dark, err := a.nat.LoseUDP()
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := b.Link().Count(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_TCP, DstPort: tcpPort})
		if err != nil {
			t.Fatal(err)
		}
		b.start()
		m.await(b.process, "The way to the Internet was examined")
		since := time.Now()
		a.start()
		if _, err := a.PingUntil(soon(t, 30*time.Second), b.vpn, 50*time.Millisecond); err != nil {
			t.Fatalf("the peer is not reached: %v", err)
		}
		took := time.Since(since)
		a.ping(b, 20)
		b.ping(a, 20)
		l, ok := a.logged(b, since, time.Second, sessionOpen)
		if want := fmt.Sprintf(":%d", tcpPort); !ok || l.Attr(relayAttr) != "" || !strings.HasSuffix(l.Attr("addr"), want) {
			t.Errorf("the session is at %q, by the relay %q; want %s, and none", l.Attr("addr"), l.Attr(relayAttr), want)
		}
		packets, _, err := tcp.Hits()
		if err != nil || packets < 40 {
			t.Errorf("%d packets of TCP, %v", packets, err)
		}
		if err := dark.End(); err != nil {
			t.Fatal(err)
		}
		healed := time.Now()
		up, isUp := a.leavesTCP(b, healed, 30*time.Second)
		a.ping(b, 20)
		t.Logf("reached after %v with %d packets of TCP, by UDP %v after healing", took, packets, up)
		if n := a.count(sessionOpen); n != 1 {
			t.Errorf("there were %d sessions, want the first to live on", n)
		}
		const limit = 5 * time.Second
		switch {
		case took > limit:
			return fmt.Sprintf("the peer was reached %v after the start, want at most %v", took, limit)
		case !isUp || up > 15*time.Second:
			return fmt.Sprintf("by UDP %v, %v after healing", isUp, up)
		}
		return ""
	})
}

// leavesTCP waits until the session with a peer has moved to another address than that of
// its connection, and returns how long after since it has; false: it has not in time.
func (p *meshPeer) leavesTCP(to *meshPeer, since time.Time, within time.Duration) (time.Duration, bool) {
	p.m.t.Helper()
	for from, deadline := since, since.Add(within); ; {
		// The session has to be used, or nobody looks for a better path.
		if _, err := p.Ping(p.m.t.Context(), to.vpn, lab.PingOptions{Count: 5, Interval: 100 * time.Millisecond, Patience: time.Second}); err != nil {
			p.m.t.Fatal(err)
		}
		l, ok := p.logged(to, from, 100*time.Millisecond, pathChanged)
		switch {
		case ok && !strings.HasSuffix(l.Attr("addr"), fmt.Sprintf(":%d", tcpPort)):
			return l.Time.Sub(since), true
		case ok:
			from = l.Time.Add(1)
		case time.Now().After(deadline):
			return 0, false
		}
	}
}
