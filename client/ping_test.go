package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pings asks a node to ping an address, and returns what has come of it.
func (n *node) pings(addr string, wait time.Duration) (Pong, error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return n.client.Ping(ctx, netip.MustParseAddr(addr))
}

// TestPing measures the round trip inside the tunnel, and of the path.
func TestPing(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", identifying)
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		if _, err := alice.pings("10.9.0.2", time.Second); !errors.Is(err, ErrNoSession) {
			v.t.Errorf("without a session: %v", err)
		}
		alice.ping(bob, 5*time.Second)
		pass(2 * time.Second)
		got, err := alice.pings("10.9.0.2", time.Second)
		if err != nil || !got.Answered || got.VPNAddr != bob.vpn || got.Name != "host 10.9.0.2" || got.Addr != alice.pathTo(bob) || got.Path != "wan" {
			v.t.Fatalf("got %+v, %v", got, err)
		}
		rtt := alice.peer(bob).RTT
		if rtt == 0 || got.RTT < rtt/2 || got.RTT > 2*rtt || got.PathRTT < rtt/2 || got.PathRTT > got.RTT {
			v.t.Errorf("round trips %v and %v, of the path %v", got.RTT, got.PathRTT, rtt)
		}
		// One that nobody answers is no error, takes its time, and leaves nothing.
		bob.kill()
		began := time.Now()
		got, err = alice.pings("10.9.0.2", 300*time.Millisecond)
		if took := time.Since(began); err != nil || got.Answered || got.RTT != 0 || took != 300*time.Millisecond {
			v.t.Errorf("of a dead peer %+v, %v, after %v", got, err, took)
		}
		if n := alice.waitingPings(); n != 0 {
			v.t.Errorf("%d pings are remembered", n)
		}
	})
}

// waitingPings returns how many pings are under way.
func (n *node) waitingPings() (count int) {
	n.t.Helper()
	if err := n.client.do(context.Background(), func(time.Time) { count = len(n.client.pings) }); err != nil {
		n.t.Fatal(err)
	}
	return count
}

// TestPingsAreBounded: there are so many at a time, and no more.
func TestPingsAreBounded(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", nil)
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		bob.kill()
		var wg sync.WaitGroup
		for range maxPings {
			wg.Go(func() { _, _ = alice.pings("10.9.0.2", time.Second) })
		}
		pass(100 * time.Millisecond)
		if _, err := alice.pings("10.9.0.2", time.Second); !errors.Is(err, ErrTooManyPings) {
			v.t.Errorf("one more than %d: %v", maxPings, err)
		}
		wg.Wait()
		if n := alice.waitingPings(); n != 0 {
			v.t.Errorf("%d pings are remembered", n)
		}
	})
}

// TestPingsOfOthers: an answer counts only if it is that of the peer that was asked.
func TestPingsOfOthers(t *testing.T) {
	c := &Client{}
	now := time.Now()
	p, other := &peer{vpn: netip.MustParseAddr("10.9.0.2")}, &peer{vpn: netip.MustParseAddr("10.9.0.3")}
	w := &ping{peer: p.vpn, challenge: 8, sent: now, answered: make(chan struct{})}
	c.pings = pingTable{7: w}
	c.echoed(now.Add(time.Second), other, 7)
	c.echoed(now.Add(time.Second), p, 6)
	if c.answeredPing(now, other, 8) || c.answeredPing(now, p, 7) || w.pong != (Pong{}) {
		t.Errorf("somebody else's answer counts: %+v", w.pong)
	}
	if !c.answeredPing(now.Add(time.Millisecond), p, 8) || !c.answeredPing(now.Add(time.Second), p, 8) || w.pong.PathRTT != time.Millisecond {
		t.Errorf("of the path %v, want the first response", w.pong.PathRTT)
	}
	for range 3 { // a copy of the echo changes nothing
		c.echoed(now.Add(2*time.Millisecond), p, 7)
		now = now.Add(time.Second)
	}
	if !w.pong.Answered || w.pong.RTT != 2*time.Millisecond {
		t.Errorf("got %+v", w.pong)
	}
}

// TestPingOriginal: who runs the original does not answer, and is not sent a probe.
func TestPingOriginal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 1, 0, nil)
		vpn, _ := peerAt(0)
		if _, err := c.client.Ping(t.Context(), vpn); !errors.Is(err, ErrMute) {
			t.Errorf("got %v, want %v", err, ErrMute)
		}
		c.stop()
		if _, err := c.client.Ping(context.Background(), vpn); !errors.Is(err, ErrStopped) {
			t.Errorf("of a client that has ended: %v, want %v", err, ErrStopped)
		}
	})
}

// TestDisconnect closes a tunnel at both ends, and gives up opening one.
func TestDisconnect(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		events := new(eventLog)
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", func(c *Config) { c.Notify = events.add })
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		disconnect := func(addr string) string {
			was, any, err := alice.client.Disconnect(context.Background(), netip.MustParseAddr(addr))
			return fmt.Sprintf("%s %v %v", was.State, any, err)
		}
		if got := disconnect("10.9.0.2"); got != " false <nil>" {
			v.t.Errorf("nothing to close: %s", got)
		}
		alice.ping(bob, 5*time.Second)
		if got := disconnect("10.9.0.2"); got != "ESTABLISHED true <nil>" {
			v.t.Errorf("closing: %s", got)
		}
		pass(time.Second)
		if len(alice.status().Peers)+len(bob.status().Peers) != 0 {
			v.t.Errorf("peers after it: %+v, %+v", alice.status().Peers, bob.status().Peers)
		}
		alice.ping(bob, 5*time.Second) // the next packet opens another
		alice.reachesFor("10.9.0.3")
		if got := disconnect("10.9.0.3"); got != "NEW true <nil>" {
			v.t.Errorf("giving up: %s", got)
		}
		if got := len(alice.status().Peers); got != 1 {
			v.t.Errorf("%d peers after giving up", got)
		}
		want := "registered opened 10.9.0.2 closed 10.9.0.2 this host was asked to opened 10.9.0.2"
		if got := events.String(); got != want {
			v.t.Errorf("events: %s\nwant: %s", got, want)
		}
	})
}

// An eventLog remembers events.
type eventLog struct {
	mu   sync.Mutex
	list []string
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	words := []string{string(e.Kind)}
	if e.VPNAddr.IsValid() {
		words = append(words, e.VPNAddr.String())
	}
	if e.Code != "" {
		words = append(words, e.Code)
	}
	if e.Reason != "" {
		words = append(words, e.Reason)
	}
	l.list = append(l.list, strings.Join(words, " "))
}

func (l *eventLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.list, " ")
}

// TestEvents: what becomes of peers and of the registration is told.
func TestEvents(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		events := new(eventLog)
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", func(c *Config) {
			c.Notify = events.add
			c.Timeout = 30 * time.Second
		})
		home := v.home(2, portRestricted)
		bob := v.reachable(home.Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		alice.send(netip.MustParseAddr("10.9.0.77"), "anybody?")
		pass(2 * time.Second)
		alice.ping(bob, 5*time.Second)
		pass(2 * time.Minute)
		alice.ping(bob, 5*time.Second)
		bob.stop()
		pass(2 * time.Second)
		want := "registered failed 10.9.0.77 " + UnknownPeer + " opened 10.9.0.2 closed 10.9.0.2 it was not used opened 10.9.0.2 closed 10.9.0.2 by the peer"
		if got := events.String(); got != want {
			v.t.Errorf("events: %s\nwant: %s", got, want)
		}
	})
}

// TestRoster: who keeps tunnels to all knows who is there; others do not ask.
func TestRoster(t *testing.T) {
	inBubble(t, func(v *vpn) {
		all := v.mesh(3, nil)
		list, listed, err := all[0].client.Roster(context.Background())
		for _, s := range all[1:] {
			if !listed || err != nil || !slices.Contains(list, s.vpn) {
				v.t.Errorf("in a mesh: %v, %v, %v, want %v in it", list, listed, err, s.vpn)
			}
		}
	})
	reachVPN(t, func(v *vpn) {
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", nil)
		pass(time.Second)
		if list, listed, err := alice.client.Roster(context.Background()); listed || err != nil || len(list) != 0 {
			v.t.Errorf("without a mesh: %v, %v, %v", list, listed, err)
		}
	})
}
