package turn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/punch/turn/channeldata"
	"campagnol/rdv/relay"
)

// TestRelay: data goes both ways, by indications at first and then over a channel, and
// nothing of it is lost.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		if a := c.LocalAddr(); a.Addr().String() != worldAddr || a.Port() < relay.DefaultFirst {
			t.Errorf("relayed address %v", a)
		}
		if got := c.Mapped(); got != at("203.0.113.1:5000") {
			t.Errorf("mapped %v", got)
		}
		if got := c.Relay(); got != "198.51.100.1:57888 (udp)" {
			t.Errorf("relay %q", got)
		}
		for i := range 5 {
			text := strings.Repeat("x", 200*i)
			c.say(p.sock.LocalAddr(), text)
			p.expect(text, c.LocalAddr())
			p.say(c.LocalAddr(), "re: "+text)
			c.expect("re: "+text, p.sock.LocalAddr())
		}
		if h := c.table.Load().hops[p.sock.LocalAddr()]; !h.bound || h.number != channeldata.First {
			t.Errorf("no channel: %+v", h)
		}
		if d := c.RTT(); d < 20*time.Millisecond || d > 30*time.Millisecond {
			t.Errorf("round trip %v", d)
		}
		if s := c.Stats(); s.Sent != 5 || s.Received != 5 || s.Foreign+s.Strays+s.Garbage+s.Refused+s.Failed != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestFirstDatagram: what is sent first arrives after the one way that it takes: it
// does not wait for the relay's answers.
func TestFirstDatagram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		begin := time.Now()
		c, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		if d := time.Since(begin); d > 50*time.Millisecond { // 401, and the answer
			t.Errorf("allocated after %v", d)
		}
		begin = time.Now()
		c.say(p.sock.LocalAddr(), "hello")
		p.expect("hello", c.LocalAddr())
		if d := time.Since(begin); d > 25*time.Millisecond {
			t.Errorf("heard after %v", d)
		}
	})
}

// TestRun: a run is a run all the way, in both directions.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		for _, sock := range []punch.Conn{c.cfg.Conn, p.sock} {
			sock.(*simnet.Conn).SetCoalesce(true)
		}
		c.say(p.sock.LocalAddr(), "a channel, please")
		p.expect("a channel, please", c.LocalAddr())
		time.Sleep(time.Second)
		data := strings.Repeat("0123456789", 35)
		send := func(from, to *node, dst netip.AddrPort, src netip.AddrPort) {
			t.Helper()
			if err := from.sock.Send([]punch.Datagram{{Addr: dst, Data: []byte(data), Segment: 100, ECN: 2}}); err != nil {
				t.Fatal(err)
			}
			text, most := "", 0
			for len(text) < len(data) {
				d := <-to.heard
				text += string(d.Data)
				most = max(most, (len(d.Data)+99)/100)
				if d.Addr != src || d.ECN != 2 || len(d.Data) > 100 && d.Segment != 100 {
					t.Errorf("from %v, ecn %d, segment %d", d.Addr, d.ECN, d.Segment)
				}
			}
			if text != data || most < 2 {
				t.Errorf("got %q, %d at once at most", text, most)
			}
		}
		send(c, p, p.sock.LocalAddr(), c.LocalAddr())
		send(p, c, c.LocalAddr(), p.sock.LocalAddr())
	})
}

// TestTwo: two clients of a relay reach each other by their relayed addresses.
func TestTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		a, b := w.member("203.0.113.1:5000", alice), w.member("203.0.113.2:5000", bob)
		if err := b.Permit(a.LocalAddr().Addr()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.say(b.LocalAddr(), "hello")
		b.expect("hello", a.LocalAddr())
		for range 3 {
			time.Sleep(time.Second)
			b.say(a.LocalAddr(), "yes")
			a.expect("yes", b.LocalAddr())
			a.say(b.LocalAddr(), longText)
			b.expect(longText, a.LocalAddr())
		}
	})
}

// TestPermit: who is permitted may speak first, from any port, and is answered over a
// channel; others are not heard.
func TestPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p, other := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000"), w.peer("203.0.113.3:6000")
		if err := c.Permit(p.sock.LocalAddr().Addr(), netip.MustParseAddr("2001:db8::1")); !errors.Is(err, ErrFamily) {
			t.Errorf("the other family: %v", err)
		}
		time.Sleep(time.Second)
		other.say(c.LocalAddr(), "noise")
		p.say(c.LocalAddr(), "hello")
		c.expect("hello", p.sock.LocalAddr())
		time.Sleep(time.Second)
		c.silent()
		if h := c.table.Load().hops[p.sock.LocalAddr()]; !h.bound {
			t.Errorf("no channel for who has spoken first: %+v", h)
		}
		if n := len(c.table.Load().hops); n != 1 {
			t.Errorf("%d peers", n)
		}
	})
}

// TestLongTalk: permissions, channels and the allocation are renewed while they are
// used; unused ones go.
func TestLongTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p, q := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000"), w.peer("203.0.113.3:6000")
		c.say(q.sock.LocalAddr(), "once")
		q.expect("once", c.LocalAddr())
		for i := range 60 * 2 {
			if i == 60 { // credentials are good for an hour
				c.SetCredentials(w.secret.Issue(time.Now(), alice))
			}
			c.say(p.sock.LocalAddr(), "still here")
			p.expect("still here", c.LocalAddr())
			p.say(c.LocalAddr(), "so am I")
			c.expect("so am I", p.sock.LocalAddr())
			time.Sleep(55 * time.Second)
		}
		if err := c.Err(); err != nil {
			t.Errorf("lost: %v", err)
		}
		m := c.m
		if len(m.routes) != 1 || len(m.perms) != 1 || len(m.fading) != 0 {
			t.Errorf("%d routes, %d permissions, %d fading; want what is used", len(m.routes), len(m.perms), len(m.fading))
		}
		if s := w.Stats(); s.Dropped.Unwanted+s.Dropped.Unbound != 0 {
			t.Errorf("relay dropped %+v", s.Dropped)
		}
	})
}

// TestRestart: a relay that was started anew knows of no allocation, and says so badly
// if it has the secret of before. It is noticed within three seconds if data is sent,
// and before long if not.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name string
		talk bool
		same bool // secret
		most time.Duration
	}{
		{"while data is sent", true, true, 3 * time.Second},
		{"while nothing is", false, true, keepalive + 45*time.Second},
		{"with another secret", true, false, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, relay.Config{})
				n, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
				n.say(p.sock.LocalAddr(), "hello")
				time.Sleep(time.Minute)
				w.end()
				if !c.same {
					w.secret = nil
				}
				w.start(relay.Config{})
				var wg sync.WaitGroup
				if c.talk {
					wg.Go(func() {
						for n.Send([]punch.Datagram{{Addr: p.sock.LocalAddr(), Data: []byte("x")}}) == nil {
							time.Sleep(10 * time.Millisecond)
						}
					})
				}
				after, err := n.lostAfter(c.most)
				if c.same && !errors.Is(err, ErrSilent) {
					t.Errorf("lost by %v", err)
				}
				if !c.same {
					refusedWith(t, err, 400)
				}
				wg.Wait()
				t.Logf("noticed after %v", after)
			})
		})
	}
}

// TestGone: so is that a relay is not there any more. What it keeps, should it come
// back, counts for the member's limit for two minutes.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		n, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		n.say(p.sock.LocalAddr(), "hello")
		time.Sleep(10 * time.Second)
		w.host.SetDown(true)
		n.say(p.sock.LocalAddr(), "hello?")
		if after, err := n.lostAfter(3 * time.Second); !errors.Is(err, ErrSilent) {
			t.Errorf("lost after %v by %v", after, err)
		}
		if _, ok := <-n.heard; ok || !errors.Is(n.err, ErrSilent) {
			t.Errorf("Receive returned %v", n.err)
		}
		w.host.SetDown(false)
		if s := w.Stats(); s.Allocations != 1 {
			t.Errorf("%d allocations", s.Allocations)
		}
		time.Sleep(askLife)
		if s := w.Stats(); s.Allocations != 0 {
			t.Errorf("%d allocations after their time", s.Allocations)
		}
	})
}

// TestOneWay: a relay that is there is not given up because no peer answers, nor is one
// with much loss on the way.
func TestOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		lossy := simnet.Link{Loss: 0.2}
		w.host.SetLinks(lossy, lossy)
		for range 1000 {
			c.say(p.sock.LocalAddr(), "anybody?")
			time.Sleep(100 * time.Millisecond)
		}
		if err := c.Err(); err != nil {
			t.Errorf("given up: %v", err)
		}
	})
}

// TestClose: the address is given back, and nothing waits any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c := w.member("203.0.113.1:5000", alice)
		c.Close()
		time.Sleep(time.Second)
		if s := w.Stats(); s.Allocations != 0 {
			t.Errorf("the relay has %d allocations", s.Allocations)
		}
		if d, ok := <-c.heard; ok || !errors.Is(c.err, net.ErrClosed) {
			t.Errorf("received %q, %v", d.Data, c.err)
		}
		err := c.Send([]punch.Datagram{{Addr: at("203.0.113.2:6000"), Data: []byte("x")}})
		if !errors.Is(err, net.ErrClosed) || !errors.Is(c.Err(), net.ErrClosed) {
			t.Errorf("send: %v; %v", err, c.Err())
		}
		if c.Close() != nil || c.Permit(bob) != nil {
			t.Error("closed twice")
		}
	})
}

// TestRefusals: what relays refuse is told, and so is where nobody answers.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{PerMember: 1, Clients: 2})
		try := func(addr string, change func(*Config)) error {
			cfg := w.config(addr, alice)
			change(&cfg)
			ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			c, err := Allocate(ctx, cfg)
			if err == nil {
				c.Close()
			}
			return err
		}
		refusedWith(t, try("203.0.113.1:1", func(cfg *Config) { cfg.Password += "x" }), 400)
		refusedWith(t, try("203.0.113.1:2", func(cfg *Config) { cfg.User = "nobody" }), 400)
		w.member("203.0.113.1:3", alice)
		refusedWith(t, try("203.0.113.1:4", func(*Config) {}), CodeQuota)
		w.member("203.0.113.1:5", bob)
		refusedWith(t, try("203.0.113.1:6", func(cfg *Config) { cfg.User, cfg.Password = w.secret.Issue(time.Now(), w.at.Addr()) }), CodeCapacity)
		begin := time.Now()
		err := try("203.0.113.1:7", func(cfg *Config) { cfg.Server = at("203.0.113.99:1") })
		if d := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || d != 5*time.Second {
			t.Errorf("nobody there: %v after %v", err, d)
		}
	})
}

// TestForbidden: Send tells of peers to which nothing is relayed, and others go on.
func TestForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		c, p := w.member("203.0.113.1:5000", alice), w.peer("203.0.113.2:6000")
		inside := at("192.168.1.1:5000")
		c.say(inside, "x")
		time.Sleep(time.Second)
		err := c.Send([]punch.Datagram{{Addr: inside, Data: []byte("x")}, {Addr: p.sock.LocalAddr(), Data: []byte("hello")}})
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("got %v", err)
		}
		p.expect("hello", c.LocalAddr())
		for _, a := range []string{"[2001:db8::1]:5", "[::ffff:203.0.113.2]:6000"} {
			if err := c.Send([]punch.Datagram{{Addr: at(a), Data: []byte("x")}}); !errors.Is(err, ErrFamily) {
				t.Errorf("to %s: %v", a, err)
			}
		}
		if err := c.Err(); err != nil {
			t.Errorf("lost: %v", err)
		}
	})
}

// TestIPv6: a relayed address of the other family than the client's.
func TestIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		cfg := w.config("203.0.113.1:5000", alice)
		cfg.Family = IPv6
		c, p := allocated(t, cfg), w.peer("[2001:db8:2::2]:6000")
		for range 3 {
			c.say(p.sock.LocalAddr(), longText)
			p.expect(longText, c.LocalAddr())
			p.say(c.LocalAddr(), "yes")
			c.expect("yes", p.sock.LocalAddr())
		}
		if !c.LocalAddr().Addr().Is6() {
			t.Errorf("relayed address %v", c.LocalAddr())
		}
	})
}

// TestRebound: a NAT that takes another port for us cuts us off from the allocation,
// which is noticed like a relay that is gone.
func TestRebound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Config{})
		home := w.net.Internet().Behind("203.0.113.1", simnet.NAT{})
		cfg := w.config("203.0.113.9:1", alice)
		cfg.Conn.Close()
		cfg.Conn = home.Listen("192.168.1.2:5000")
		n, p := allocated(t, cfg), w.peer("203.0.113.2:6000")
		if n.Mapped().Addr() != home.Public() {
			t.Errorf("mapped %v", n.Mapped())
		}
		n.say(p.sock.LocalAddr(), "hello")
		p.expect("hello", n.LocalAddr())
		home.SetPublic("203.0.113.3")
		n.say(p.sock.LocalAddr(), "hello?")
		if after, err := n.lostAfter(3 * time.Second); !errors.Is(err, ErrSilent) {
			t.Errorf("lost after %v by %v", after, err)
		}
	})
}
