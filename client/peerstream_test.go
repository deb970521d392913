package client

import (
	"slices"
	"testing"
	"time"
)

// TestPeerStream: a peer to which no UDP gets is reached over TCP, directly by UDP as soon
// as that works, at once over TCP again when it does no longer, and the session is the
// same all the time. A connection that is not wanted any more is closed.
func TestPeerStream(t *testing.T) {
	byTCP(t, nil, func(p *tcpPlay) {
		took := p.reaches("tcp", 5*time.Second)
		t.Logf("reached after %v", took)
		if took > 1500*time.Millisecond {
			t.Errorf("reached after %v, want a second and a little more", took)
		}
		s := p.alice.peerOf(p.bob)
		if s.Addr.String() != bobDoor || s.Relay != "" || s.Found != "stream" {
			t.Errorf("reached at %v (%s) by %q, want %s, and nobody between", s.Addr, s.Found, s.Relay, bobDoor)
		}
		p.cut.Store(false)
		if took := p.reaches("wan", time.Minute); took > 10*time.Second {
			t.Errorf("by UDP after %v", took)
		}
		p.cut.Store(true)
		if took := p.reaches("tcp", time.Minute); took > time.Second {
			t.Errorf("over TCP again after %v", took)
		}
		p.cut.Store(false)
		p.reaches("wan", 2*time.Minute)
		pass(streamHold + 2*streamLook)
		if n := p.accept.Stats().Conns; n != 0 {
			t.Errorf("%d connections are open a minute later, want none", n)
		}
		p.alice.ping(p.bob, time.Second)
		if got := p.alice.peerOf(p.bob).Since; !got.Equal(s.Since) {
			t.Errorf("the session is of %v, want that of %v", got, s.Since)
		}
	})
}

// TestPeerStreamEnds: when the connection dies, the session lives, and goes on over the next
// one; a peer whose connections die is not dialled all the time.
func TestPeerStreamEnds(t *testing.T) {
	byTCP(t, nil, func(p *tcpPlay) {
		p.reaches("tcp", 5*time.Second)
		since := p.alice.peerOf(p.bob).Since
		start := time.Now()
		for time.Since(start) < streamHold {
			p.alice.ping(p.bob, time.Second)
			pass(time.Second)
		}
		cut := time.Now()
		p.wires.cut()
		p.alice.send(p.bob.vpn, "lost")
		pass(10 * time.Second)
		p.bob.texts()
		if got := p.dialled(cut); len(got) != 1 {
			t.Errorf("dialled %v after the end of a connection that was of use, want once", got)
		}
		p.alice.ping(p.bob, time.Second)
		if s := p.alice.peerOf(p.bob); s.Path != "tcp" {
			t.Errorf("the path is of kind %q, want %q", s.Path, "tcp")
		}
		if got := p.alice.peerOf(p.bob).Since; !got.Equal(since) {
			t.Errorf("the session is of %v, want that of %v", got, since)
		}
		again := time.Now()
		p.wires.cut()
		for time.Since(again) < 3*time.Minute {
			p.alice.send(p.bob.vpn, "waits")
			pass(time.Second)
			p.bob.texts()
		}
		if got := p.dialled(again); len(got) != 1 || got[0] != time.Minute {
			t.Errorf("dialled after %v when one had lasted for seconds, want once, after a minute", got)
		}
	})
}

// TestPeerStreamBackOff: a peer that takes no connections, though it says so, is dialled
// less and less often, however often somebody wants to reach it.
func TestPeerStreamBackOff(t *testing.T) {
	byTCP(t, nil, func(p *tcpPlay) {
		p.accept.Close()
		p.wires.mu.Lock()
		clear(p.doors)
		p.wires.mu.Unlock()
		start := time.Now()
		for time.Since(start) < time.Hour {
			p.alice.send(p.bob.vpn, "waits")
			pass(500 * time.Millisecond)
		}
		got := p.dialled(start)
		t.Logf("dialled after %v", got)
		if len(got) < 5 || len(got) > 7 {
			t.Fatalf("dialled %d times in an hour, want about 6", len(got))
		}
		for i := range got[1:] {
			wait, least := got[i+1]-got[i], streamRests[min(i, len(streamRests)-1)]
			if wait < least || wait > least+time.Minute {
				t.Errorf("dialled again after %v, want %v, and the next try", wait, least)
			}
		}
		if !slices.IsSorted(got) {
			t.Errorf("dialled at %v", got)
		}
	})
}

// TestPeerStreamNotRelayOnly: where peers are to be reached by relays alone, they are not
// dialled; and where no relays are to be used, they are.
func TestPeerStreamNotRelayOnly(t *testing.T) {
	for _, only := range []bool{true, false} {
		byTCP(t, func(c *Config) { c.RelayOnly, c.RelayNever = only, !only }, func(p *tcpPlay) {
			start := time.Now()
			p.alice.send(p.bob.vpn, "first")
			pass(10 * time.Second)
			if got := p.dialled(start); (len(got) > 0) == only {
				t.Errorf("relays alone %v: dialled %v", only, got)
			}
			if got := p.alice.peerOf(p.bob).Path; (got == "tcp") == only {
				t.Errorf("relays alone %v: reached by a path of kind %q", only, got)
			}
		})
	}
}
