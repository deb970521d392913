package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
)

// A weather is what gets through between a node and its RDVs: UDP, and streams, which
// are sockets of another host here. Its fields may change while the node runs.
type weather struct {
	w       *town
	host    *simnet.Host
	udp     atomic.Pointer[simnet.Conn] // the node's
	public  netip.Addr                  // the node's
	noUDP   atomic.Bool
	refused atomic.Bool // streams are
	silent  atomic.Bool // streams open, and nothing passes
	large   atomic.Bool // datagrams of handshakes are lost, by UDP

	opened atomic.Int32 // streams
	tried  atomic.Int32 // openings
	last   atomic.Pointer[simnet.Conn]
	times  chan time.Duration // of openings, since began
	began  time.Time
}

// under starts node i of a town under a weather. edit may be nil.
func (w *town) under(i int, start func(*weather), edit func(*Config)) (*weather, *node) {
	w.t.Helper()
	spare := w.net.Internet().Listen(fmt.Sprintf("198.51.100.%d:9", 200+i))
	s := &weather{w: w, host: spare.Host(), public: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 20+i)), times: make(chan time.Duration, 100), began: time.Now()}
	w.t.Cleanup(func() { spare.Close() })
	w.net.Drop(s.drops)
	if start != nil {
		start(s)
	}
	auth := w.authentic(AuthYes, nil)
	n := w.house(i, func(c *Config) {
		auth(c)
		s.udp.Store(c.Conn.(*simnet.Conn))
		c.OpenStream = s.open
		for i := range c.Servers {
			c.Servers[i].TLSPort = 443
		}
		if edit != nil {
			edit(c)
		}
	})
	return s, n
}

// drops reports whether a datagram is lost.
func (s *weather) drops(p simnet.Packet) bool {
	mine := p.From == s.udp.Load() || p.Dst.Addr() == s.public
	switch {
	case mine && s.noUDP.Load():
		return true
	case mine && s.large.Load() && (p.Kind == simnet.KindHandshake || wire.KindOf(p.Data) == wire.KindGate && len(p.Data) > 100):
		return true
	}
	last := s.last.Load()
	return last != nil && s.silent.Load() && (p.From == last || p.Dst.Addr() == s.host.Addrs()[0])
}

// open is a Config.OpenStream.
func (s *weather) open(_ context.Context, server Server, at netip.AddrPort) (punch.Conn, error) {
	if server.TLSPort != 443 || server.Addrs[0] != at {
		s.w.t.Errorf("a stream to %v of %+v", at, server)
	}
	s.tried.Add(1)
	select {
	case s.times <- time.Since(s.began):
	default:
	}
	time.Sleep(60 * time.Millisecond) // TCP and TLS: three round trips
	if s.refused.Load() {
		return nil, errors.New("connection refused")
	}
	conn, err := s.host.Listen(netip.AddrPortFrom(anyAddr, 0))
	if err != nil {
		return nil, err
	}
	s.opened.Add(1)
	s.last.Store(conn)
	return conn, nil
}

// streams renders how a node is registered at each RDV: t by a stream, * by UDP, - not.
func (n *node) streams() (text string) {
	for _, r := range n.status().RDVs {
		switch {
		case !r.Registered:
			text += "-"
		case r.Stream:
			text += "t"
		default:
			text += "*"
		}
	}
	return text
}

// wantsStreams checks how a node is registered.
func (n *node) wantsStreams(when, want string) {
	n.t.Helper()
	if got := n.streams(); got != want {
		n.t.Errorf("%s: registered %s, want %s", when, got, want)
	}
}

// until lets time pass until a node is registered like that, and returns how long it took.
func (n *node) until(want string, within time.Duration) time.Duration {
	n.t.Helper()
	start := time.Now()
	for n.streams() != want {
		if pass(10 * time.Millisecond); time.Since(start) > within {
			n.t.Errorf("registered %s after %v, want %s", n.streams(), within, want)
			return within
		}
	}
	return time.Since(start)
}

// TestFallbackAtStart: a host whose UDP is blocked from the start registers over a
// stream, well before three seconds, and knows why nobody reaches it.
func TestFallbackAtStart(t *testing.T) {
	for _, auth := range []Auth{AuthYes, AuthAuto} {
		t.Run(auth.String(), func(t *testing.T) {
			inTown(t, 1, 1, func(w *town) {
				s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, func(c *Config) { c.Auth = auth })
				if took := alice.until("t", 5*time.Second); took > 2500*time.Millisecond || took < startPatience {
					w.t.Errorf("registered after %v, want soon after %v", took, startPatience)
				}
				pass(time.Second)
				r := alice.status().RDV()
				if !r.Authenticated || r.Endpoint.IsValid() {
					w.t.Errorf("status %+v: want an authentic channel, and no endpoint of the stream", r)
				}
				if b, _ := alice.known(); b != (nat.Behaviour{Known: true, Blocked: true}) {
					w.t.Errorf("the NAT is taken for %+v, want blocked", b)
				}
				pass(5 * time.Minute)
				alice.wantsStreams("minutes later", "t")
				if n := s.opened.Load(); n != 1 {
					w.t.Errorf("%d streams were opened, want 1", n)
				}
				if n := alice.logged("over TLS: UDP gets no answer"); n != 1 {
					w.t.Errorf("logged %d times that UDP gets no answer, want once", n)
				}
			})
		})
	}
}

// TestFallbackIntroduces: over a stream a client is introduced to peers, as it is by UDP.
func TestFallbackIntroduces(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		_, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, nil)
		bob := w.house(2, w.authentic(AuthYes, nil))
		alice.until("t", 5*time.Second)
		alice.send(bob.vpn, "hello?")
		pass(time.Second)
		if got := bob.state(alice); got != "PUNCHING" {
			w.t.Errorf("bob sees alice %s, want PUNCHING: he was introduced", got)
		}
		if got := alice.state(bob); got != "PUNCHING" {
			w.t.Errorf("alice sees bob %s, want PUNCHING: she was told where he is", got)
		}
		alice.send(netip.MustParseAddr("10.9.0.77"), "anybody?")
		pass(time.Second)
		if n := alice.logged("The RDV server does not know the peer"); n != 1 {
			w.t.Errorf("reported %d times that there is no peer, want once", n)
		}
	})
}

// TestFallbackNotNeeded: where UDP works no stream is opened, be it slow or lossy.
func TestFallbackNotNeeded(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, nil, nil)
		if took := alice.until("*", time.Second); took > 200*time.Millisecond {
			w.t.Errorf("registered after %v", took)
		}
		n := 0
		w.net.Drop(func(p simnet.Packet) bool { // each third PING
			if p.Kind != simnet.Kind(wire.Ping) {
				return false
			}
			n++
			return n%3 == 0
		})
		pass(10 * time.Minute)
		alice.wantsStreams("after ten minutes", "*")
		if n := s.tried.Load(); n != 0 {
			w.t.Errorf("%d streams were opened, want none", n)
		}
	})
}

// TestFallbackLater: UDP that is blocked later is noticed within seconds, and the client
// stays registered all the time; when UDP works again, the channel moves back to it and
// the stream is closed.
func TestFallbackLater(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, nil, nil)
		alice.until("*", time.Second)
		pass(40 * time.Second)
		s.noUDP.Store(true)
		// The next PING is said within its interval, and has its time.
		if took := alice.until("t", 10*time.Second); took > pingInterval+streamPatience+time.Second {
			w.t.Errorf("over a stream after %v", took)
		}
		pass(45 * time.Second)
		alice.wantsStreams("in the dark", "t")
		s.noUDP.Store(false)
		if took := alice.until("*", 20*time.Second); took > probeGap+probeFirst+time.Second {
			w.t.Errorf("back after %v", took)
		}
		if b, _ := alice.known(); b.Blocked {
			w.t.Error("UDP is still taken for blocked")
		}
		before := alice.status().RDV().Since
		pass(linkLife + time.Second)
		if _, err := s.last.Load().Receive(); !errors.Is(err, net.ErrClosed) {
			w.t.Errorf("the stream is still open: %v", err)
		}
		pass(time.Minute)
		alice.wantsStreams("a minute later", "*")
		if got := alice.status().RDV().Since; got != before {
			w.t.Error("the channel is not the one that UDP came back with")
		}
		if s.tried.Load() != 1 || alice.logged("The channel to the RDV server has ended") != 0 {
			w.t.Errorf("%d streams, want 1; or a channel was lost:\n%s", s.tried.Load(), alice.log)
		}
	})
}

// TestFallbackInDoubt: a client whose peers no longer answer asks the RDV, and notices
// sooner.
func TestFallbackInDoubt(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, nil, nil)
		bob := w.house(2, w.authentic(AuthYes, nil))
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		pass(40 * time.Second)
		s.noUDP.Store(true)
		start := time.Now()
		for alice.streams() != "t" && time.Since(start) < 10*time.Second {
			alice.send(bob.vpn, "still there?")
			pass(10 * time.Millisecond)
		}
		if took := time.Since(start); took > 4*time.Second {
			w.t.Errorf("over a stream after %v, want within 4 s", took)
		}
	})
}

// TestFallbackRefused: where no stream is to be had, it is tried ever more seldom, and
// UDP as ever.
func TestFallbackRefused(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true); s.refused.Store(true) }, nil)
		pass(200 * time.Second)
		close(s.times)
		var gaps []time.Duration
		last := startPatience
		for at := range s.times {
			gaps = append(gaps, (at - last).Round(100*time.Millisecond))
			last = at
		}
		want := []time.Duration{0, 1100 * time.Millisecond, 2100 * time.Millisecond, 5100 * time.Millisecond, 15100 * time.Millisecond, 60100 * time.Millisecond, 60100 * time.Millisecond}
		if fmt.Sprint(gaps) != fmt.Sprint(want) {
			w.t.Errorf("streams were tried after pauses of %v, want %v", gaps, want)
		}
		if n := alice.logged("cannot be reached over TLS"); n != 1 {
			w.t.Errorf("logged %d times that there is no stream, want once", n)
		}
		s.times = make(chan time.Duration, 1)
		s.noUDP.Store(false)
		alice.until("*", backoffMax*5/4+2*time.Second)
	})
}

// TestFallbackDies: a stream that ends is followed by another, at once if it has carried
// a channel for a while; and so is one that says nothing any more.
func TestFallbackDies(t *testing.T) {
	for name, c := range map[string]struct {
		die    func(s *weather)
		moved  bool
		within time.Duration
	}{
		"closed":         {func(s *weather) { s.last.Load().Close() }, false, 2 * time.Second},
		"silent":         {func(s *weather) { s.silent.Store(true) }, false, rdvPatience + 2*pingInterval},
		"the host moved": {func(s *weather) { s.silent.Store(true) }, true, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, 1, 1, func(w *town) {
				s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, nil)
				alice.until("t", 5*time.Second)
				pass(time.Minute)
				before := alice.status().RDV().Since
				c.die(s)
				if c.moved {
					if err := alice.client.Moved(w.t.Context(), "a test"); err != nil {
						w.t.Fatal(err)
					}
				}
				start := time.Now()
				for s.opened.Load() < 2 && time.Since(start) < time.Minute {
					pass(10 * time.Millisecond)
				}
				s.silent.Store(false) // the next one is not
				for alice.status().RDV().Since == before || alice.streams() != "t" {
					if pass(10 * time.Millisecond); time.Since(start) > time.Minute {
						w.t.Fatal("not registered again after a minute")
					}
				}
				if took := time.Since(start); took > c.within {
					w.t.Errorf("registered again after %v, want within %v", took, c.within)
				}
			})
		})
	}
}

// TestFallbackTwo: of two RDVs, one has UDP only; the other is found by a stream. And of
// three that have both, two are enough.
func TestFallbackTwo(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		_, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, func(c *Config) { c.Servers[0].TLSPort = 0 })
		alice.until("-t", 5*time.Second)
		pass(time.Minute)
		alice.wantsStreams("a minute later", "-t")
	})
	inTown(t, 3, 3, func(w *town) {
		s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, nil)
		alice.until("tt-", 5*time.Second)
		pass(5 * time.Minute)
		alice.wantsStreams("minutes later", "tt-")
		if n := s.tried.Load(); n != maxStreams {
			w.t.Errorf("%d streams were opened, want %d", n, maxStreams)
		}
	})
}

// TestFallbackOneAnswers: while one RDV answers by UDP, UDP is not taken for blocked.
func TestFallbackOneAnswers(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		s, alice := w.under(1, nil, nil)
		w.net.Drop(func(p simnet.Packet) bool { return p.From == s.udp.Load() && p.Dst == w.addrs[0] })
		alice.until("t*", 5*time.Second)
		pass(10 * time.Second)
		if b, _ := alice.known(); b.Blocked {
			w.t.Error("UDP is taken for blocked")
		}
	})
}

// TestFallbackHandshakeLost: cookies come by UDP, and handshakes get lost, as behind who
// lets nothing through that looks like DTLS. The channel stands over a stream, and probes
// that are answered make it no worse.
func TestFallbackHandshakeLost(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, func(s *weather) { s.large.Store(true) }, nil)
		alice.until("t", 10*time.Second)
		since := alice.status().RDV().Since
		knocks := 0
		w.net.Observe(func(p simnet.Packet, v simnet.Verdict) {
			if v == simnet.Sent && p.From == s.udp.Load() {
				knocks++
			}
		})
		pass(20 * time.Minute)
		alice.wantsStreams("later", "t")
		if got := alice.status().RDV().Since; got != since {
			w.t.Error("the channel over the stream was given up")
		}
		if knocks > 200 {
			w.t.Errorf("%d datagrams by UDP in 20 minutes: probes in vain do not back off", knocks)
		}
		s.large.Store(false)
		alice.until("*", restMax+time.Minute)
	})
}

// TestFallbackClear: who registers in clear only opens no stream.
func TestFallbackClear(t *testing.T) {
	inTown(t, 1, 0, func(w *town) {
		s, alice := w.under(1, nil, func(c *Config) { c.Auth = AuthNo })
		alice.until("*", 5*time.Second)
		s.noUDP.Store(true)
		pass(5 * time.Minute)
		if n := s.tried.Load(); n != 0 {
			w.t.Errorf("%d streams were opened, want none", n)
		}
	})
}

// TestFallbackSettings: a stream ends with the settings that name it, and with the client.
func TestFallbackSettings(t *testing.T) {
	inTown(t, 1, 1, func(w *town) {
		s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, nil)
		alice.until("t", 5*time.Second)
		set := alice.client.set
		set.Servers = At(w.addrs...)
		if err := alice.client.Apply(w.t.Context(), set); err != nil {
			w.t.Fatal(err)
		}
		pass(time.Second)
		alice.wantsStreams("without a port", "-")
		set.Servers = []Server{{Addrs: w.addrs, TLSPort: 443}}
		if err := alice.client.Apply(w.t.Context(), set); err != nil {
			w.t.Fatal(err)
		}
		alice.until("t", 10*time.Second)
		last := s.last.Load()
		bye := false
		w.net.Observe(func(p simnet.Packet, v simnet.Verdict) { bye = bye || v == simnet.Sent && p.From == last })
		alice.stop()
		pass(time.Second)
		if !bye {
			w.t.Error("the RDV was not told good-bye over the stream")
		}
		if _, err := last.Receive(); !errors.Is(err, net.ErrClosed) {
			w.t.Errorf("the stream is still open: %v", err)
		}
	})
}
