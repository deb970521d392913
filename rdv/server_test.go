package rdv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/logging"
	"campagnol/punch"
	"campagnol/rdv/wire"
)

// A memConn is a socket in memory.
type memConn struct {
	in   chan []punch.Datagram
	done chan struct{}

	mu   sync.Mutex
	err  error // of Receive after done
	sent []punch.Datagram
}

func newMemConn() *memConn {
	return &memConn{in: make(chan []punch.Datagram), done: make(chan struct{}), err: net.ErrClosed}
}

func (c *memConn) Receive() ([]punch.Datagram, error) {
	select {
	case ds := <-c.in:
		return ds, nil
	case <-c.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.err
	}
}

var errNoRoute = errors.New("no route")

// Send keeps a copy, and says that networks beginning with 240 do not exist.
func (c *memConn) Send(ds []punch.Datagram) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		if a := d.Addr.Addr(); a.Is4() && a.As4()[0] == 240 {
			err = errNoRoute
			continue
		}
		d.Data = bytes.Clone(d.Data)
		c.sent = append(c.sent, d)
	}
	return err
}

func (c *memConn) LocalAddr() netip.AddrPort { return netip.MustParseAddrPort("0.0.0.0:57888") }

func (c *memConn) Close() error {
	c.fail(net.ErrClosed)
	return nil
}

// fail ends Receive with err, unless it has ended already.
func (c *memConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
	default:
		c.err = err
		close(c.done)
	}
}

// take returns what was sent since the last time.
func (c *memConn) take() []punch.Datagram {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := c.sent
	c.sent = nil
	return sent
}

// datagram returns message m from an endpoint.
func datagram(from netip.AddrPort, m wire.Message) punch.Datagram {
	return punch.Datagram{Addr: from, Data: m.Append(nil)}
}

// A running server in a bubble.
type running struct {
	*Server
	t    *testing.T
	conn *memConn
	log  *syncBuffer
	stop context.CancelFunc
	err  chan error
}

// run starts a server that logs from level up, as the program does.
func run(t *testing.T, verbose bool, debug, maxClients int) *running {
	r := &running{t: t, conn: newMemConn(), log: &syncBuffer{}, err: make(chan error, 1)}
	r.Server = New(Config{
		Conn:        r.conn,
		MaxClients:  maxClients,
		LogMessages: debug > 0,
		Log:         logging.New(logging.Options{Level: logging.Level(verbose, debug), Stdout: r.log, Stderr: r.log}),
	})
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.err <- r.Run(ctx) }()
	return r
}

// exchange sends messages in one batch and checks what they are answered.
func (r *running) exchange(ds []punch.Datagram, want ...Out) {
	r.t.Helper()
	r.conn.in <- ds
	var got []Out
	for _, d := range r.conn.take() {
		m, err := wire.Parse(d.Data)
		if err != nil {
			r.t.Errorf("the server sends %x: %v", d.Data, err)
		}
		got = append(got, Out{To: d.Addr, Local: d.Local, Msg: m})
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("answers:\n got %s\nwant %s", describe(got), describe(want))
	}
}

// end stops the server and checks that it ends well.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.err; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// wantLog compares the log since the last time.
func (r *running) wantLog(want ...string) {
	r.t.Helper()
	synctest.Wait()
	got := strings.Split(strings.TrimSuffix(r.log.take(), "\n"), "\n")
	if !slices.Equal(got, want) {
		r.t.Errorf("log:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// A syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}

// TestServer has a session from start to end, with the log of -v: the lines are
// those that scripts search for.
func TestServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, true, 0, 0)
		r.exchange([]punch.Datagram{datagram(epA, hello(ip1)), datagram(epB, hello(ip2))}, to(epA, wire.OK), to(epB, wire.OK))
		r.wantLog(
			"Server listening on port 57888",
			"Adding new client [203.0.113.21/49380] 10.9.0.1",
			"Adding new client [203.0.113.22/39538] 10.9.0.2")
		r.exchange([]punch.Datagram{datagram(epA, ask(ip2))}, introduced(epA, ip1, epB, ip2)...)
		r.wantLog("New connection from 10.9.0.1 to 10.9.0.2")
		r.exchange([]punch.Datagram{datagram(epB, closing(ip1))})
		r.wantLog("Remove connection from 10.9.0.1 to 10.9.0.2")
		time.Sleep(3 * time.Second)
		r.exchange([]punch.Datagram{datagram(epA, ping)}, to(epA, wire.Pong))
		time.Sleep(7*time.Second - 1)
		if got, want := r.Stats().Clients, 2; got != want {
			t.Errorf("%d clients, want %d", got, want)
		}
		time.Sleep(time.Nanosecond) // without any datagram
		r.wantLog("Deleting the client [203.0.113.22/39538] 10.9.0.2")
		r.exchange([]punch.Datagram{datagram(epA, bye)})
		r.wantLog("Deleting the client [203.0.113.21/49380] 10.9.0.1")
		r.end()
		want := Stats{Received: 6, Sent: 5, IntroducedClear: 1, Pings: 1}
		if got := r.Stats(); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	})
}

// TestServerQuiet checks that without -v only the first line is logged.
func TestServerQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 0, 0)
		r.exchange([]punch.Datagram{datagram(epA, hello(ip1)), datagram(epA, ask(ip1)), datagram(epA, bye)},
			append([]Out{to(epA, wire.OK)}, introduced(epA, ip1, epA, ip1)...)...)
		r.end()
		r.wantLog("Server listening on port 57888")
	})
}

// TestServerDebug has the log of -d and of -d -d.
func TestServerDebug(t *testing.T) {
	exchange := func(r *running) {
		r.exchange([]punch.Datagram{datagram(epA, ping)}, to(epA, wire.Reconnect))
		r.exchange([]punch.Datagram{datagram(epA, helloLocal(ip1, "192.168.1.2:49380"))}, to(epA, wire.OK))
		r.exchange([]punch.Datagram{datagram(epB, hello(ip2))}, to(epB, wire.NOK))
		r.exchange([]punch.Datagram{datagram(epA, bye)})
		r.end()
	}
	one := []string{
		"Server listening on port 57888",
		"<< PING received from 203.0.113.21:49380",
		">> RECONNECT sent to client 203.0.113.21:49380",
		"<< HELLO received from 203.0.113.21:49380",
		"Adding new client [203.0.113.21/49380] 10.9.0.1",
		">> OK sent to client 203.0.113.21:49380",
		"<< HELLO received from 203.0.113.22:39538",
		"Cannot register a new client: maximum number of clients reached addr=203.0.113.22:39538 vpn=10.9.0.2 max=1",
		">> NOK sent to client 203.0.113.22:39538",
		"<< BYE received from 203.0.113.21:49380 (10.9.0.1)",
		"Deleting the client [203.0.113.21/49380] 10.9.0.1",
	}
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 1, 1)
		exchange(r)
		r.wantLog(one...)
	})
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 2, 1)
		exchange(r)
		two := slices.Clone(one)
		for _, c := range []struct{ after, line string }{
			{one[9], "   0b00000000000000000000 type=11 port=0 ip1=0.0.0.0 ip2=0.0.0.0"},
			{one[8], "   0500000000000000000000 type=5 port=0 ip1=0.0.0.0 ip2=0.0.0.0"},
			{one[6], "   0000000a09000200000000 type=0 port=0 ip1=10.9.0.2 ip2=0.0.0.0"},
			{one[5], "   0400000000000000000000 type=4 port=0 ip1=0.0.0.0 ip2=0.0.0.0"},
			{one[3], "   00c0e40a090001c0a80102 type=0 port=49380 ip1=10.9.0.1 ip2=192.168.1.2"},
			{one[2], "   0c00000000000000000000 type=12 port=0 ip1=0.0.0.0 ip2=0.0.0.0"},
			{one[1], "   0100000000000000000000 type=1 port=0 ip1=0.0.0.0 ip2=0.0.0.0"},
		} {
			two = slices.Insert(two, slices.Index(two, c.after)+1, c.line)
		}
		r.wantLog(two...)
	})
}

// TestServerDrops sends what a server should not answer and looks at the
// counters.
func TestServerDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 2, 0)
		raw := func(b ...byte) punch.Datagram { return punch.Datagram{Addr: epA, Data: b} }
		r.exchange([]punch.Datagram{
			raw(), // malformed: 5
			raw(make([]byte, 10)...),
			raw(make([]byte, 12)...), // the original would take it for a HELLO
			raw(append([]byte{14}, make([]byte, 10)...)...),
			raw(bytes.Repeat([]byte{0xff}, 1400)...),
			raw(append([]byte{1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)...), // other protocols: 3
			raw(append([]byte{22}, make([]byte, 20)...)...),
			raw(0x40, 0, 0, 0),
			datagram(netip.MustParseAddrPort("[2001:db8::1]:0"), ping), // address
			datagram(epD, plain(wire.Reconnect)),                       // unexpected
		})
		// One datagram cannot be sent, the next is.
		bad := netip.MustParseAddrPort("240.0.0.1:5")
		r.exchange([]punch.Datagram{datagram(bad, ping), datagram(epA, ping)}, to(epA, wire.Reconnect))
		r.end()
		want := Stats{Received: 12, Sent: 2, Dropped: Drops{
			Malformed: 5, OtherProtocol: 3, Address: 1, Unexpected: 1, SendFailed: 1,
		}}
		if got := r.Stats(); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
		if log := r.log.take(); !strings.Contains(log, `Sending failed err="no route"`) {
			t.Errorf("the failure is not in the log: %s", log)
		}
	})
}

// TestServerLimits counts answers that are kept back.
func TestServerLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 0, 0)
		var flood []punch.Datagram
		for range 8010 {
			flood = append(flood, datagram(epA, ping))
		}
		r.conn.in <- flood
		if got, want := len(r.conn.take()), 8000; got != want {
			t.Errorf("%d answers, want %d", got, want)
		}
		r.end()
		if got, want := r.Stats().Dropped.Limited, uint64(10); got != want {
			t.Errorf("%d counted as limited, want %d", got, want)
		}
	})
}

// TestServerSegments sends messages of several clients' NAT as one run of
// segments, as the kernel's offload delivers them, to one of our addresses.
func TestServerSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 0, 0)
		local := netip.MustParseAddr("198.51.100.1")
		data := ping.Append(hello(ip1).Append(nil))
		data = append(data, 1, 2, 3) // the last segment may be shorter
		r.exchange([]punch.Datagram{{Addr: epA, Local: local, Segment: wire.Size, Data: data}},
			Out{To: epA, Local: local, Msg: plain(wire.OK)}, Out{To: epA, Local: local, Msg: plain(wire.Pong)})
		r.end()
		if got, want := r.Stats(), (Stats{Clients: 1, Clear: 1, Pings: 1, Received: 3, Sent: 2, Dropped: Drops{Malformed: 1}}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	})
}

// TestServerSocketFails checks that a broken socket ends the server, with the
// reason.
func TestServerSocketFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 0, 0)
		synctest.Wait()
		r.conn.fail(io.ErrUnexpectedEOF)
		if err := <-r.err; !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "rdv: ") {
			t.Errorf("Run: %v, want the socket's error", err)
		}
		r.stop()
	})
}

// TestServerStopsWhileBusy ends the server between any two datagrams of a
// stream: it must not hang, and the bubble checks that no goroutine is left.
func TestServerStopsWhileBusy(t *testing.T) {
	for n := range 8 {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, false, 0, 0)
			var sender sync.WaitGroup
			sender.Go(func() {
				for {
					select {
					case r.conn.in <- []punch.Datagram{datagram(epA, ping)}:
					case <-r.conn.done:
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
			time.Sleep(time.Duration(n) * time.Millisecond / 2)
			r.end()
			sender.Wait()
		})
	}
}

// TestServerAllocations counts those of a batch through the whole server, after
// the first has made the buffers.
func TestServerAllocations(t *testing.T) {
	conn := newMemConn()
	s := New(Config{Conn: nullConn{conn}})
	now := time.Now()
	b := &batch{}
	if got := testing.AllocsPerRun(100, func() {
		b.arrivals = b.arrivals[:0]
		for i := range 64 {
			for _, m := range []wire.Message{hello(nthVPN(i)), ping} {
				var raw [wire.Size]byte
				s.receivers[0].sort(now, punch.Datagram{Addr: nthEndpoint(i)}, m.Append(raw[:0]), b)
			}
		}
		s.handle(t.Context(), now, b)
		s.flush(t.Context())
	}); got != 0 {
		t.Errorf("a batch allocates %.0f times, want 0", got)
	}
}

// A nullConn sends into the void.
type nullConn struct{ *memConn }

func (nullConn) Send([]punch.Datagram) error { return nil }

// FuzzServer feeds any datagram to the first sorting, of a server without channels:
// each is handed over as what it is, or counted as dropped.
func FuzzServer(f *testing.F) {
	f.Add(hello(ip1).Append(nil))
	f.Add([]byte{})
	f.Add(append([]byte{22}, make([]byte, 20)...))
	f.Add(wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil))
	s := New(Config{Conn: nullConn{newMemConn()}})
	s.prepare(time.Now())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := s.Stats()
		in := &batch{}
		s.receivers[0].sort(time.Now(), punch.Datagram{Addr: epA}, b, in)
		after := s.Stats()
		dropped := after.Dropped.Malformed + after.Dropped.OtherProtocol - before.Dropped.Malformed - before.Dropped.OtherProtocol
		answered := len(s.receivers[0].gateOut) // that there are no channels
		answered += len(s.receivers[0].stun.out) + int(after.Dropped.Bindings-before.Dropped.Bindings)
		s.receivers[0].flushGate()
		s.receivers[0].stun.flush()
		if len(in.arrivals)+int(dropped)+answered != 1 || after.Received != before.Received+1 {
			t.Errorf("%x: %d messages, %d dropped, %d answered", b, len(in.arrivals), dropped, answered)
		}
		if len(in.arrivals) == 1 && (in.arrivals[0].kind != wire.KindRendezvous || !bytes.Equal(in.arrivals[0].Msg.Append(nil), b)) {
			t.Errorf("%x was read as %v", b, in.arrivals[0].Msg)
		}
	})
}
