package turn

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
	"campagnol/rdv/relay"
)

// A faulty is a socket that gets stuck, or breaks.
type faulty struct {
	punch.Conn
	stuck atomic.Bool // Send waits for Close
	end   chan struct{}
	once  sync.Once
}

func newFaulty(c punch.Conn) *faulty { return &faulty{Conn: c, end: make(chan struct{})} }

func (f *faulty) Send(ds []punch.Datagram) error {
	if f.stuck.Load() {
		<-f.end
		return net.ErrClosed
	}
	return f.Conn.Send(ds)
}

func (f *faulty) Close() error {
	f.once.Do(func() { close(f.end) })
	return f.Conn.Close()
}

// TestStuck: a way to the relay on which nothing moves any more is given up like one on
// which everything is lost, and holds up nobody after that.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		cfg := w.config("203.0.113.1:5000", alice)
		way := newFaulty(cfg.Conn)
		cfg.Conn, cfg.Reliable = way, true
		c := allocated(t, cfg)
		time.Sleep(time.Second)
		way.stuck.Store(true)
		c.owed.Store(c.since(time.Now())) // what was sent before stays without an answer
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for c.Send([]punch.Datagram{{Addr: host(1), Data: []byte("x")}}) == nil {
					time.Sleep(time.Millisecond)
				}
			})
		}
		after, err := c.lostAfter(30 * time.Second)
		if !errors.Is(err, ErrSilent) || after > 3*time.Second {
			t.Errorf("lost after %v by %v", after, err)
		}
		wg.Wait()
		c.Close()
	})
}

// TestCloseStuck: Close does not wait for such a way.
func TestCloseStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		cfg := w.config("203.0.113.1:5000", alice)
		way := newFaulty(cfg.Conn)
		cfg.Conn, cfg.Reliable = way, true
		c := allocated(t, cfg)
		way.stuck.Store(true)
		var wg sync.WaitGroup
		wg.Go(func() { c.Send([]punch.Datagram{{Addr: host(1), Data: []byte("x")}}) })
		synctest.Wait()
		begin := time.Now()
		c.Close()
		wg.Wait()
		if d := time.Since(begin); d != 0 {
			t.Errorf("closed after %v", d)
		}
	})
}

// TestWayEnds: when the socket to the relay ends, so does the allocation.
func TestWayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		cfg := w.config("203.0.113.1:5000", alice)
		c := allocated(t, cfg)
		cfg.Conn.Close()
		if _, err := c.lostAfter(time.Second); !errors.Is(err, net.ErrClosed) {
			t.Errorf("lost by %v", err)
		}
		if _, ok := <-c.heard; ok || c.err == nil {
			t.Errorf("Receive returned %v", c.err)
		}
		if err := c.Send([]punch.Datagram{{Addr: host(1), Data: []byte("x")}}); err == nil {
			t.Error("something was sent")
		}
	})
}

// TestWayBroken: a socket that is broken from the beginning ends Allocate at once.
func TestWayBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := Allocate(t.Context(), Config{Server: server, Conn: broken{}}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
}

// broken is a socket that cannot do anything.
type broken struct{}

func (broken) Receive() ([]punch.Datagram, error) { return nil, io.ErrUnexpectedEOF }
func (broken) Send([]punch.Datagram) error        { return io.ErrUnexpectedEOF }
func (broken) LocalAddr() netip.AddrPort          { return at("0.0.0.0:1") }
func (broken) Close() error                       { return nil }

// TestConcurrent: all methods at once, from many goroutines, until the end, after which
// no goroutine is left.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c := w.member("203.0.113.1:5000", alice)
		peers := []*node{w.peer("203.0.113.2:6000"), w.peer("203.0.113.3:6000")}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := 0; c.Err() == nil; n++ {
					c.Send([]punch.Datagram{{Addr: peers[i%2].sock.LocalAddr(), Data: []byte(longText), Segment: 100}, {Addr: host(n % 200), Data: []byte("x")}})
					peers[i%2].sock.Send([]punch.Datagram{{Addr: c.LocalAddr(), Data: []byte("x")}})
					c.Permit(host(n % 70).Addr())
					c.SetCredentials(w.secret.Issue(time.Now(), alice))
					_, _, _ = c.Stats(), c.RTT(), c.Mapped()
					time.Sleep(time.Duration(i+1) * 5 * time.Millisecond)
				}
			})
		}
		for _, p := range append(peers, c) {
			go func() {
				for range p.heard {
				}
			}()
		}
		time.Sleep(2 * time.Second)
		if err := c.Err(); err != nil {
			t.Errorf("lost: %v", err)
		}
		c.Close()
		wg.Wait()
		if s := c.Stats(); s.Received == 0 || s.Foreign+s.Strays != 0 {
			t.Errorf("counted %+v", s)
		}
		for _, p := range peers {
			p.sock.Close()
		}
	})
}

// TestStrangers: what others send to the socket, be it as data or as answers, has no
// effect.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p, thief := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000"), w.peer("203.0.113.66:6000")
		c.say(p.sock.LocalAddr(), "hello")
		p.expect("hello", c.LocalAddr())
		for _, b := range [][]byte{
			frames(channeldata.First, false, "forged"), dataFrom(p.sock.LocalAddr(), "forged"), c.m.release(),
		} {
			thief.say(at("203.0.113.1:5000"), string(b))
		}
		time.Sleep(time.Second)
		c.silent()
		if s := c.Stats(); s.Foreign != 3 || c.Err() != nil {
			t.Errorf("counted %+v; %v", s, c.Err())
		}
	})
}
