package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab"

	"golang.org/x/sys/unix"
)

// TestRelayOverTLS: all UDP of one side is lost from the beginning, and it is reached
// within five seconds of its start, over TLS on port 443.
func TestRelayOverTLS(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, easyPair, "--relay", "--tls-port", "443")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		dark, err := a.nat.LoseUDP()
		if err != nil {
			t.Fatal(err)
		}
		tls, err := m.server.Link().Count(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_TCP, DstPort: 443})
		if err != nil {
			t.Fatal(err)
		}
		b.start()
		since := time.Now()
		a.start()
		registered := time.Since(since)
		if _, err := a.PingUntil(soon(t, 30*time.Second), b.vpn, 50*time.Millisecond); err != nil {
			t.Fatalf("%s is registered, and does not reach the peer: %v", a.Name(), err)
		}
		took := time.Since(since)
		b.ping(a, 10)
		if relay, _ := a.opened(b, since); relay == "" {
			t.Error("the session is not relayed, and there is no other way")
		}
		lost, err := dark.Lost()
		if err != nil {
			t.Fatal(err)
		}
		packets, _, err := tls.Hits()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("registered after %v, the peer reached after %v; %d packets of UDP lost, %d of TLS", registered, took, lost, packets)
		if lost == 0 || packets == 0 {
			t.Errorf("%d packets of UDP were lost, and %d of TLS passed; want some of both", lost, packets)
		}
		const limit = 5 * time.Second
		if took > limit {
			return fmt.Sprintf("the peer was reached %v after the start, want at most %v", took, limit)
		}
		return ""
	})
}

// darkness is how long UDP is lost in the middle of a transfer.
var darkness = 12 * time.Second

// TestUDPLostForAWhile: all UDP of one side is lost in the middle of a transfer, and
// nobody is told. The session goes by a relay over TLS within five seconds, is direct
// again within ten seconds of healing, and a TCP connection inside survives.
func TestUDPLostForAWhile(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, easyPair, "--relay", "--tls-port", "443")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		m.startAll()
		a.ping(b, 5)
		a.awaitDirect(b)
		f := newFlowOf(a, b, flowBytes/20) // 10 Mbit/s: less than a relay carries
		const relayedWithin, directWithin, interval = 5 * time.Second, 10 * time.Second, 20 * time.Millisecond
		g := a.pings(b, interval, time.Second+darkness+directWithin+time.Second)
		time.Sleep(time.Second)
		dark, err := a.nat.LoseUDP()
		if err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		down, isDown := a.turns(b, true, since, darkness)
		time.Sleep(darkness - time.Since(since))
		if err := dark.End(); err != nil {
			t.Fatal(err)
		}
		healed := time.Now()
		up, isUp := a.turns(b, false, healed, directWithin)
		r := g.end()
		pause := f.end()
		gap := r.Gap(interval)
		t.Logf("relayed after %v, direct %v after healing; no answer to pings for %v, nothing by TCP for %v; the pings: %d of %d answered",
			down, up, gap, pause, r.Received(), len(r.RTT))
		if n := a.count(sessionOpen); n != 1 {
			t.Errorf("there were %d sessions, want the first to live on", n)
		}
		switch {
		case !isDown || down > relayedWithin || gap == lab.Lost || gap > relayedWithin:
			return fmt.Sprintf("relayed %v after %v, no answer for %v; want both within %v", isDown, down, gap, relayedWithin)
		case !isUp:
			return fmt.Sprintf("not direct within %v of healing", directWithin)
		}
		return ""
	})
}

// awaitDirect waits until the session with a peer is direct.
func (p *meshPeer) awaitDirect(to *meshPeer) {
	p.m.t.Helper()
	if relay, at := p.opened(to, time.Time{}); relay != "" {
		if _, ok := p.turns(to, false, at, 10*time.Second); !ok {
			p.m.t.Fatalf("the session of %s with %s stays on the relay %s", p.Name(), to.Name(), relay)
		}
	}
}

// TestRelayDies: the server that relays is killed, and there is a second one. Pings are
// answered again within three seconds, and a TCP connection inside survives.
func TestRelayDies(t *testing.T) {
	t.Parallel()
	inTime(t, func() string {
		m := relayed(t, hardPair, "--relay")
		defer m.close()
		a, b := m.peers[0], m.peers[1]
		second, host := m.addServer("--relay")
		for _, p := range m.peers {
			p.configure(fmt.Sprintf("server_host = %v:57888\n", host.Addr()))
		}
		m.startAll()
		for _, p := range m.peers {
			awaitRegistrations(t, p, 2)
		}
		a.ping(b, 5)
		relay, _ := a.opened(b, time.Time{})
		dying := m.rdv
		if strings.Contains(relay, host.Addr().String()) {
			dying = second
		}
		f := newFlowOf(a, b, flowBytes/20)
		const limit, interval = 3 * time.Second, 20 * time.Millisecond
		g := a.pings(b, interval, 2*limit+2*time.Second)
		time.Sleep(time.Second)
		if err := dying.Signal(os.Kill); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		r := g.end()
		pause := f.end()
		l, _ := a.logged(b, since, 0, pathChanged)
		gap := r.Gap(interval)
		t.Logf("no answer to pings for %v, nothing by TCP for %v; by %q, then by %q", gap, pause, relay, l.Attr(relayAttr))
		if next := l.Attr(relayAttr); relay == "" || next == relay {
			t.Errorf("the path was by the relay %q, and then by %q; want another", relay, next)
		}
		if gap == lab.Lost || gap > limit {
			return fmt.Sprintf("no answer for %v, want at most %v", gap, limit)
		}
		return ""
	})
}

// addServer starts a second server, with the certificate of the first.
func (m *mesh) addServer(more ...string) (*lab.Process, *lab.Host) {
	m.t.Helper()
	h, err := m.lab.AddHost("rdv2", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	args := append(append(append([]string{}, meshServerArgs...), m.modeOf("strict")...), more...)
	p, err := h.Start("campagnol_rdv.second", filepath.Join(binaries, "campagnol_rdv"), args...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.await(p, "Server listening")
	return p, h
}
