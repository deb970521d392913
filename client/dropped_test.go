package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// A dropLog remembers what is told of drops, and of sessions.
type dropLog struct {
	mu    sync.Mutex
	words []string
}

func (l *dropLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case EventSpoofed, EventFiltered:
		l.words = append(l.words, fmt.Sprintf("%s %v out=%v *%d", e.Kind, e.VPNAddr, e.Out, e.Count))
	case EventOpened, EventClosed:
		l.words = append(l.words, string(e.Kind))
	}
}

// take returns what was told since it was asked for last.
func (l *dropLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.words, ", ")
	l.words = nil
	return text
}

// sendAs makes the node's host send a packet from an address that is not its own.
func (n *node) sendAs(from, to netip.Addr) {
	n.t.Helper()
	b := packetTo(n.vpn, to, "spoofed")
	copy(b[12:16], from.AsSlice())
	binary.BigEndian.PutUint16(b[10:], 0)
	if !n.dev.Inject(b) {
		n.t.Fatal("the device took no packet")
	}
}

// TestDropsAreTold: packets of a peer with another's address are told at once and then once
// a minute with their number, each exactly once, and what is left when the session ends.
func TestDropsAreTold(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		log := new(dropLog)
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", func(c *Config) { c.Notify = log.add })
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		if got := log.take(); got != "opened" {
			v.t.Errorf("before any drop: %s", got)
		}
		spoof := func(n int) {
			for range n {
				bob.sendAs(netip.MustParseAddr("10.9.0.77"), alice.vpn)
			}
			pass(time.Second)
		}
		spoof(1)
		if got, want := log.take(), "spoofed 10.9.0.2 out=false *1"; got != want {
			v.t.Errorf("at once: %s, want %s", got, want)
		}
		spoof(5)
		if got := log.take(); got != "" {
			v.t.Errorf("within the minute: %s", got)
		}
		for range 7 { // so that the tunnel stays
			alice.ping(bob, time.Second)
			pass(10 * time.Second)
		}
		if got, want := log.take(), "spoofed 10.9.0.2 out=false *5"; got != want {
			v.t.Errorf("a minute later: %s, want %s", got, want)
		}
		spoof(3)
		if _, _, err := alice.client.Disconnect(context.Background(), bob.vpn); err != nil {
			v.t.Fatal(err)
		}
		if got, want := log.take(), "spoofed 10.9.0.2 out=false *3, closed"; got != want {
			v.t.Errorf("at the end: %s, want %s", got, want)
		}
	})
}

// TestFilteredAreTold: what the policy drops is told in either direction, by who obeys it.
func TestFilteredAreTold(t *testing.T) {
	reachVPN(t, func(v *vpn) {
		log := new(dropLog)
		rules := "filter 10.9.0.2 -> 10.9.0.1: allow udp/53\nfilter 10.9.0.2 -> 10.9.0.1: deny\nfilter 10.9.0.1 -> 10.9.0.2: deny\n"
		alice := v.reachable(v.home(1, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.1", func(c *Config) {
			c.Notify = log.add
			obeying(v.t, rules)(c)
		})
		bob := v.reachable(v.home(2, portRestricted).Listen("192.168.1.2:5000"), "10.9.0.2", nil)
		pass(time.Second)
		if !bob.arrives(alice, 1000, 53) || bob.arrives(alice, 1000, 54) || alice.arrives(bob, 1000, 53) {
			v.t.Error("the policy does not hold")
		}
		for range 3 { // a keep-alive makes alice look
			bob.sendUDP(alice.vpn, 1000, 53, "hello")
			pass(5 * time.Second)
		}
		got := log.take()
		for _, want := range []string{"filtered 10.9.0.2 out=false *1", "filtered 10.9.0.2 out=true *1"} {
			if strings.Count(got, want) != 1 {
				v.t.Errorf("%q is not told once: %s", want, got)
			}
		}
	})
}
