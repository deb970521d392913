package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// TestDial: datagrams of all kinds go both ways, by TCP and by TLS.
func TestDial(t *testing.T) {
	server, client := serverTLS(t)
	for _, c := range []struct {
		name           string
		server, client *tls.Config
	}{{"TCP", nil, nil}, {"TLS", server, client}} {
		t.Run(c.name, func(t *testing.T) {
			s := echoing(t, listenTCP(t), ListenConfig{TLS: c.server})
			conn := dialTo(t, s, Config{Name: "rdv.example.org", TLS: c.client})
			for range 20 {
				exchange(t, conn, s.LocalAddr(), mixed...)
			}
			run := bytes.Repeat(channelOf(0x4000, 1196, 5), 10)
			if err := conn.Send([]punch.Datagram{{Addr: s.LocalAddr(), Data: run, Segment: 1200}}); err != nil {
				t.Fatal(err)
			}
			n := 0
			for n < 10 {
				ds, err := conn.Receive()
				if err != nil {
					t.Fatal(err)
				}
				n += len(payloads(ds))
			}
			if n != 10 {
				t.Errorf("a run of 10 comes back as %d", n)
			}
			if err := conn.Send([]punch.Datagram{{Addr: netip.MustParseAddrPort("192.0.2.1:1"), Data: hello}}); err != errOther {
				t.Errorf("a datagram to somebody else: %v", err)
			}
			if conn.LocalAddr().Addr() != s.LocalAddr().Addr() || conn.LocalAddr().Port() == 0 {
				t.Errorf("we are at %v", conn.LocalAddr())
			}
			if st := conn.Stats(); st.Sent < 130 || st.Received == 0 || st.Full+st.Stale > 0 {
				t.Errorf("counted %+v", st)
			}
		})
	}
}

// TestTLS: the server has to prove its name, in TLS 1.3, and lets in who offers other
// protocols, or none.
func TestTLS(t *testing.T) {
	server, trusting := serverTLS(t)
	_, distrusting := serverTLS(t)
	s := echoing(t, listenTCP(t), ListenConfig{TLS: server})
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"another authority", Config{Name: "rdv.example.org", TLS: distrusting}, "unknown authority"},
		{"another name", Config{Name: "other.example.org", TLS: trusting}, "not other.example.org"},
	} {
		c.cfg.Addr = s.LocalAddr()
		_, err := Dial(t.Context(), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.cfg.Name) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for _, protos := range [][]string{nil, {Protocol}, {"stun.turn"}, {"http/1.1", "h2"}} {
		cfg := trusting.Clone()
		cfg.ServerName, cfg.NextProtos = "rdv.example.org", protos
		conn, err := tls.Dial("tcp", s.LocalAddr().String(), cfg)
		if err != nil {
			t.Errorf("who offers %q is refused: %v", protos, err)
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; len(protos) == 1 && got != protos[0] {
			t.Errorf("who offers %q gets %q", protos, got)
		}
		conn.Close()
	}
	old := trusting.Clone()
	old.ServerName, old.MaxVersion = "rdv.example.org", tls.VersionTLS12
	if conn, err := tls.Dial("tcp", s.LocalAddr().String(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
}

// TestDialRefused: errors say where, and ctx bounds all of it.
func TestDialRefused(t *testing.T) {
	l := listenTCP(t)
	closed := addrPort(l.Addr())
	l.Close()
	if _, err := Dial(t.Context(), Config{Addr: closed, Name: "rdv"}); err == nil || !strings.Contains(err.Error(), "stream: rdv ("+closed.String()+"): ") {
		t.Errorf("nobody listens: %v", err)
	}
	mute := listenTCP(t) // takes connections, and says nothing
	_, client := serverTLS(t)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := Dial(ctx, Config{Addr: addrPort(mute.Addr()), Name: "rdv.example.org", TLS: client})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that says nothing: %v", err)
	}
}

// alone returns a Conn over a connection in memory, and the server's end of that.
func alone(t *testing.T) (*Conn, *talker) {
	t.Helper()
	near, far := net.Pipe()
	c, err := Dial(t.Context(), Config{
		Addr:        netip.MustParseAddrPort("192.0.2.1:443"),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, &talker{far, t}
}

// TestConnEnds: what the server does to a connection ends Receive, with the reason, and
// our own Close with net.ErrClosed.
func TestConnEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(c *Conn, k *talker)
		want string // "": net.ErrClosed
	}{
		{"closed by us", func(c *Conn, _ *talker) { go c.Close() }, ""},
		{"closed by the server", func(_ *Conn, k *talker) { k.Close() }, "stream: 192.0.2.1:443: the other end has closed the connection"},
		{"nonsense", func(_ *Conn, k *talker) { go k.Write([]byte("\x16\x03\x01")) }, "stream: 192.0.2.1:443: what comes makes no sense"},
		{"takes nothing", func(c *Conn, _ *talker) {
			c.Send([]punch.Datagram{{Addr: c.cfg.Addr, Data: hello}})
		}, "stream: 192.0.2.1:443: the other end takes nothing any more, or says nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, k := alone(t)
				defer k.Close()
				begin := time.Now()
				c.do(conn, k)
				_, err := conn.Receive()
				switch {
				case c.want == "" && err != net.ErrClosed:
					t.Errorf("%v, want %v", err, net.ErrClosed)
				case c.want != "" && (err == nil || err.Error() != c.want || errors.Is(err, net.ErrClosed)):
					t.Errorf("%v, want %s", err, c.want)
				}
				if took := time.Since(begin); took > writeTime {
					t.Errorf("it takes %v", took)
				}
				if err := conn.Send([]punch.Datagram{{Addr: conn.cfg.Addr, Data: hello}}); err != net.ErrClosed {
					t.Errorf("Send afterwards: %v", err)
				}
				conn.Close()
				if _, again := conn.Receive(); again == nil {
					t.Error("Receive goes on")
				}
			})
		})
	}
}

// TestConnSaysGoodbye: what was sent before Close leaves.
func TestConnSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, k := alone(t)
		conn.Send([]punch.Datagram{{Addr: conn.cfg.Addr, Data: hello}})
		go conn.Close()
		k.hears(hello)
		if k.lasts() != 0 {
			t.Error("it is not closed")
		}
	})
}

// TestConnStale: what the kernel does not take in time is dropped, and the connection
// goes on.
func TestConnStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, k := alone(t)
		defer k.Close()
		defer conn.Close()
		first, second, third := channelOf(0x4000, 4, 1), channelOf(0x4000, 4, 2), channelOf(0x4000, 4, 3)
		say := func(d []byte) {
			t.Helper()
			if err := conn.Send([]punch.Datagram{{Addr: conn.cfg.Addr, Data: d}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		say(first) // is being written
		say(second)
		say(hello)
		time.Sleep(time.Second)
		say(third)
		k.hears(first, hello, third)
		if st := conn.Stats(); st.Stale != 1 || st.Sent != 3 {
			t.Errorf("counted %+v", st)
		}
	})
}

// TestConnBatch: a Send of many is one write.
func TestConnBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		counted := &writeCounter{Conn: near}
		conn, err := Dial(t.Context(), Config{
			Addr:        netip.MustParseAddrPort("192.0.2.1:443"),
			DialContext: func(context.Context, string, string) (net.Conn, error) { return counted, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var ds []punch.Datagram
		for range 12 {
			ds = append(ds, punch.Datagram{Addr: conn.cfg.Addr, Data: channelOf(0x4000, 1200, 1)})
		}
		conn.Send(ds)
		if _, err := io.ReadFull(far, make([]byte, 12*1204)); err != nil || counted.writes != 1 {
			t.Errorf("%d writes, %v", counted.writes, err)
		}
	})
}

type writeCounter struct {
	net.Conn
	writes int
}

func (c *writeCounter) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}

// TestMemory: what a connection that says little costs a server, with TLS: it is in the
// manual.
func TestMemory(t *testing.T) {
	const conns = 60
	server, client := serverTLS(t)
	s := echoing(t, listenTCP(t), ListenConfig{TLS: server})
	var clients []*Conn
	measure := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before := measure()
	for range conns {
		c := dialTo(t, s, Config{Name: "rdv.example.org", TLS: client})
		exchange(t, c, s.LocalAddr(), hello)
		clients = append(clients, c)
	}
	// Both ends are here: what is measured is more than what the server has.
	each := (measure() - before) / conns
	t.Logf("%d bytes for both ends of a connection", each)
	if each > 150<<10 {
		t.Errorf("a connection takes %d bytes", each)
	}
	runtime.KeepAlive(clients)
}

// TestParallel: many clients at the same time, none of which gets another's.
func TestParallel(t *testing.T) {
	s := echoing(t, listenTCP(t), ListenConfig{})
	var wg sync.WaitGroup
	for i := range 20 {
		c := dialTo(t, s, Config{})
		wg.Go(func() {
			for j := range 50 {
				want := bytes.Repeat([]byte{20, byte(i), byte(j)}, 1+j)
				if c.Send([]punch.Datagram{{Addr: s.LocalAddr(), Data: want}}) != nil {
					t.Error("Send fails")
				}
				ds, err := c.Receive()
				if err != nil || len(ds) != 1 || !bytes.Equal(ds[0].Data, want) {
					t.Errorf("client %d, datagram %d: %d, %v", i, j, len(ds), err)
					return
				}
			}
		})
	}
	wg.Wait()
}
