package simnet

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// wait is long enough for anything to arrive.
const wait = time.Second

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
func addr(s string) netip.Addr   { return netip.MustParseAddr(s) }

// bubble runs f in a bubble with a Net that it closes, and dumps the events if
// the test failed.
func bubble(t *testing.T, seed uint64, f func(t *testing.T, n *Net), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(seed, opts...)
		defer func() {
			n.Close()
			if t.Failed() {
				if err := n.Dump(t.Output()); err != nil {
					t.Errorf("Dump: %v", err)
				}
			}
		}()
		f(t, n)
	})
}

// send sends payloads to one address in one call.
func send(t testing.TB, c *Conn, to netip.AddrPort, payloads ...string) {
	t.Helper()
	var ds []punch.Datagram
	for _, p := range payloads {
		ds = append(ds, punch.Datagram{Addr: to, Data: []byte(p)})
	}
	if err := c.Send(ds); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// rest lets everything arrive, and everybody deal with it.
func rest() {
	time.Sleep(wait)
	synctest.Wait()
}

// A got is a datagram that arrived.
type got struct {
	from netip.AddrPort
	data string
}

// drain lets everything arrive and returns what waits at c.
func drain(c *Conn) []got {
	rest()
	return waits(c)
}

// waits empties the queue of c.
func waits(c *Conn) []got {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	var gs []got
	for _, a := range c.queue[c.head:] {
		gs = append(gs, got{a.from, string(a.data)})
	}
	c.head = len(c.queue)
	return gs
}

// queued returns how many datagrams wait at c.
func queued(c *Conn) int {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.waiting()
}

// texts returns the payloads of gs.
func texts(gs []got) []string {
	ts := []string{}
	for _, g := range gs {
		ts = append(ts, g.data)
	}
	return ts
}

// expect checks that exactly the given payloads arrive at c, all from one
// address, and lets time pass for that.
func expect(t testing.TB, what string, c *Conn, from netip.AddrPort, payloads ...string) {
	t.Helper()
	gs := drain(c)
	if len(gs) != len(payloads) {
		t.Fatalf("%s: %d datagrams arrived (%v), want %d (%q)", what, len(gs), gs, len(payloads), payloads)
	}
	for i, g := range gs {
		if g.data != payloads[i] || g.from != from {
			t.Errorf("%s: datagram %d is %q from %v, want %q from %v", what, i, g.data, g.from, payloads[i], from)
		}
	}
}

// learn lets c send to server and returns the endpoint that server sees, or the
// zero AddrPort.
func learn(t testing.TB, c, server *Conn) netip.AddrPort {
	t.Helper()
	send(t, c, server.LocalAddr(), "learn")
	gs := drain(server)
	if len(gs) == 0 {
		return netip.AddrPort{}
	}
	return gs[0].from
}

// counts checks how often verdicts happened.
func counts(t testing.TB, n *Net, want map[Verdict]int) {
	t.Helper()
	for v := range verdicts {
		if w, ok := want[v]; ok && n.Count(v) != w {
			t.Errorf("%v happened %d times, want %d", v, n.Count(v), w)
		}
	}
}

// panics checks that f panics.
func panics(t testing.TB, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestOneWayDelay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:57888")
		client := n.Internet().Behind("203.0.113.1", NAT{}).Listen("192.168.1.2:5000")
		sent := time.Now()
		send(t, client, server.LocalAddr(), "hi")
		ds, err := server.Receive()
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(sent)
		if took <= 30*time.Millisecond || took > 32*time.Millisecond {
			t.Errorf("the datagram took %v, want 30ms to 32ms, NAT or not", took)
		}
		if want := ap("203.0.113.1:5000"); ds[0].Addr != want {
			t.Errorf("it came from %v, want %v", ds[0].Addr, want)
		}
		if ds[0].Local != addr("198.51.100.1") {
			t.Errorf("Local = %v, want the server's address", ds[0].Local)
		}
	}, Delay(30*time.Millisecond), Jitter(2*time.Millisecond))
}

func TestDefaults(t *testing.T) {
	bubble(t, 3, func(t *testing.T, n *Net) {
		home := n.Internet().Behind("203.0.113.1", NAT{})
		a, b := home.Listen("192.168.1.2:1"), home.Listen("192.168.1.3:1")
		c := n.Internet().Listen("198.51.100.1:1")
		for _, x := range []struct {
			to       *Conn
			min, max time.Duration
		}{
			{b, 500 * time.Microsecond, 510 * time.Microsecond},
			{c, 20 * time.Millisecond, 22 * time.Millisecond},
		} {
			sent := time.Now()
			send(t, a, x.to.LocalAddr(), "hi")
			if _, err := x.to.Receive(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(sent); took <= x.min || took > x.max {
				t.Errorf("to %v: %v, want %v to %v", x.to.LocalAddr(), took, x.min, x.max)
			}
		}
	})
}

func TestCloseStopsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a := n.Internet().Listen("198.51.100.1:1")
		b := n.Internet().Behind("203.0.113.1", NAT{}).Listen("192.168.1.2:1")
		errs := make(chan error, 2)
		for _, c := range []*Conn{a, b} {
			go func() {
				_, err := c.Receive()
				errs <- err
			}()
		}
		send(t, a, b.LocalAddr(), "too late")
		n.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive after Close of the network: %v, want net.ErrClosed", err)
			}
		}
		if err := a.Send(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send: %v, want net.ErrClosed", err)
		}
		n.Close() // twice is fine
	})
}

// TestOneArrivalAnInstant checks that the network never wakes two hosts at once,
// even if all delays are equal.
func TestOneArrivalAnInstant(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		n.internet.medium.Jitter = 0 // against the rule, to provoke ties
		seen := map[int64]bool{}
		n.Observe(func(p Packet, v Verdict) {
			if v == Delivered {
				if at := p.Time.UnixNano(); seen[at] {
					t.Errorf("two arrivals at %v", p.Time)
				} else {
					seen[at] = true
				}
			}
		})
		from := n.Internet().Listen("198.51.100.1:1")
		for i := range 20 {
			to := n.Internet().Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 101, byte(i)}), 1).String())
			send(t, from, to.LocalAddr(), "hi")
		}
		rest()
		counts(t, n, map[Verdict]int{Sent: 20, Delivered: 20})
		if len(seen) != 20 {
			t.Errorf("%d instants, want 20", len(seen))
		}
	})
}
