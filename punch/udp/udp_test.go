package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"campagnol/punch"
)

// testConns runs the tests that every kind of socket must pass.
func testConns(t *testing.T, open opener) {
	for _, addr := range loopback {
		for _, c := range []struct {
			name string
			run  func(*testing.T, opener, string)
		}{
			{"sizes", testSizes},
			{"order", testOrder},
			{"segments", testSegments},
			{"concurrent", testConcurrent},
			{"errors", testErrors},
			{"close", testClose},
			{"unspecified", testUnspecified},
			{"local", testLocal},
			{"allocations", testAllocations},
		} {
			t.Run(c.name+"/"+addr, func(t *testing.T) { c.run(t, open, addr) })
		}
	}
}

func TestListen(t *testing.T)   { testConns(t, openListen) }
func TestPortable(t *testing.T) { testConns(t, openPortable) }

func testSizes(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	largest := maxPayload
	if at(a).Addr().Is6() {
		largest = 65536 - 40 - 8 // the MTU of lo without the headers: nothing is fragmented
	}
	for _, size := range []int{0, 1, 11, 1472, 9000, 16384, largest - 1, largest} {
		want := fill(size, size)
		send(t, a, punch.Datagram{Addr: at(b), Data: want})
		got := receive(t, b, 1)
		if !bytes.Equal(got[0].data, want) {
			t.Errorf("%d bytes arrived as %d others", size, len(got[0].data))
		}
		if got[0].from != at(a) {
			t.Errorf("%d bytes from %v, want %v", size, got[0].from, at(a))
		}
	}
	if st := b.Stats(); st.Received != 8 || st.Truncated != 0 {
		t.Errorf("stats of the receiver %+v, want 8 received and none truncated", st)
	}
	if st := a.Stats(); st.Sent != 8 || st.Unsent != 0 {
		t.Errorf("stats of the sender %+v, want 8 sent and none unsent", st)
	}
}

func testOrder(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	const n = 500 // several batches; the buffer holds them all
	ds := make([]punch.Datagram, n)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: at(b), Data: binary.BigEndian.AppendUint32(fill(i%700, i), uint32(i))}
	}
	send(t, a, ds...)
	for i, p := range receive(t, b, n) {
		if !bytes.Equal(p.data, ds[i].Data) {
			t.Fatalf("datagram %d arrived as % x, want % x", i, p.data, ds[i].Data)
		}
	}
}

func testSegments(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	for _, c := range []struct {
		name      string
		len, size int
		want      int
	}{
		{"one payload, not cut", 100, 0, 1},
		{"one payload, shorter than the size", 100, 1200, 1},
		{"one payload of the size", 1200, 1200, 1},
		{"two", 2400, 1200, 2},
		{"short last", 2401, 1200, 3},
		{"64", 64 * 100, 100, 64},
		{"65, more than a call takes", 65 * 100, 100, 65},
		{"more bytes than a call takes", 200_000, 1472, 136},
		{"huge size", 100_000, 60_000, 2},
		{"single bytes", 200, 1, 200},
		{"empty", 0, 1200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := fill(c.len, c.size)
			// The neighbours show that order is kept across fallbacks.
			send(t, a,
				punch.Datagram{Addr: at(b), Data: []byte("before")},
				punch.Datagram{Addr: at(b), Data: data, Segment: c.size},
				punch.Datagram{Addr: at(b), Data: []byte("after")})
			got := receive(t, b, c.want+2)
			if string(got[0].data) != "before" || string(got[c.want+1].data) != "after" {
				t.Fatalf("%q … %q arrived, want %d payloads between before and after", got[0].data, got[c.want+1].data, c.want)
			}
			var joined []byte
			for i, p := range got[1 : c.want+1] {
				joined = append(joined, p.data...)
				if i < c.want-1 && len(p.data) != c.size {
					t.Errorf("payload %d has %d bytes, want %d", i, len(p.data), c.size)
				}
			}
			if !bytes.Equal(joined, data) {
				t.Error("the payloads are not what was sent")
			}
		})
	}
}

func testConcurrent(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	const senders, rounds, size = 4, 50, 40
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range rounds {
				data := bytes.Repeat([]byte{byte(s), byte(i)}, size/2*3)
				err := a.Send([]punch.Datagram{
					{Addr: at(b), Data: data[:size]},
					{Addr: at(b), Data: data, Segment: size},
				})
				if err != nil {
					t.Errorf("Send: %v", err)
				}
			}
		})
	}
	got := receive(t, b, senders*rounds*4)
	wg.Wait()
	next := make([]int, senders)
	for _, p := range got {
		if len(p.data) != size || !bytes.Equal(p.data, bytes.Repeat(p.data[:2], size/2)) {
			t.Fatalf("payload % x is mixed from several", p.data)
		}
		s, i := p.data[0], int(p.data[1])
		if want := next[s] / 4; i != want {
			t.Fatalf("sender %d: round %d arrived, want %d", s, i, want)
		}
		next[s]++
	}
}

// testErrors checks that a datagram that cannot be sent neither holds up its
// neighbours nor harms the socket.
func testErrors(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	other := netip.MustParseAddrPort("[::1]:9")
	if at(a).Addr().Is6() {
		other = netip.MustParseAddrPort("127.0.0.1:9")
	}
	good := func(s string) punch.Datagram { return punch.Datagram{Addr: at(b), Data: []byte(s)} }
	for name, bad := range map[string]punch.Datagram{
		"too large":    {Addr: at(b), Data: make([]byte, 65536)},
		"other family": {Addr: other, Data: []byte("x")},
		"no address":   {Data: []byte("x")},
	} {
		err := a.Send([]punch.Datagram{good("1"), bad, good("2"), bad, good("3")})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		var got []string
		for _, p := range receive(t, b, 3) {
			got = append(got, string(p.data))
		}
		if want := []string{"1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q arrived, want %q", name, got, want)
		}
	}
	if got := a.Stats().Unsent; got != 6 {
		t.Errorf("%d unsent, want 6", got)
	}

	// A closed port answers with ICMP; both directions go on.
	gone := mustOpen(t, open, addr)
	closed := at(gone)
	gone.Close()
	for range 3 {
		_ = a.Send([]punch.Datagram{{Addr: closed, Data: []byte("anybody?")}})
		send(t, a, good("still here"))
		send(t, b, punch.Datagram{Addr: at(a), Data: []byte("so am I")})
		if got := receive(t, b, 1); string(got[0].data) != "still here" {
			t.Fatalf("%q arrived", got[0].data)
		}
		if got := receive(t, a, 1); string(got[0].data) != "so am I" {
			t.Fatalf("%q arrived", got[0].data)
		}
	}
	send(t, a) // no datagrams, no error
}

func testClose(t *testing.T, open opener, addr string) {
	c := mustOpen(t, open, addr)
	done := make(chan error)
	go func() {
		_, err := c.Receive()
		done <- err
	}()
	// Datagrams to itself show that Receive runs before the socket is closed.
	send(t, c, punch.Datagram{Addr: at(c), Data: []byte("x")})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := c.Receive()
		done <- err
	}()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-done; err != net.ErrClosed {
		t.Errorf("Receive during Close: %v, want net.ErrClosed", err)
	}
	if _, err := c.Receive(); err != net.ErrClosed {
		t.Errorf("Receive after Close: %v, want net.ErrClosed", err)
	}
	if err := c.Send([]punch.Datagram{{Addr: at(c)}}); err != net.ErrClosed {
		t.Errorf("Send after Close: %v, want net.ErrClosed", err)
	}
	c.Stats() // of a closed socket: the last ones, and no panic
	c.Features()
}

// testUnspecified checks that a socket for all addresses serves its family
// only and never shows an IPv4-mapped address.
func testUnspecified(t *testing.T, open opener, addr string) {
	all := unspecified(netip.MustParseAddr(addr))
	a, b := mustOpen(t, open, addr), mustOpen(t, open, all.String())
	if got := b.LocalAddr().Addr(); got != all {
		t.Errorf("LocalAddr %v, want %v", got, all)
	}
	send(t, a, punch.Datagram{Addr: at(b), Data: []byte("x")})
	got := receive(t, b, 1)
	if got[0].from != at(a) {
		t.Errorf("from %v, want %v", got[0].from, at(a))
	}
	// The other family can have the same port, unless another program has it.
	two := netip.IPv6Unspecified()
	if all.Is6() {
		two = netip.IPv4Unspecified()
	}
	for try := 1; ; try++ {
		one := mustOpen(t, open, all.String())
		c, err := open(Config{Addr: netip.AddrPortFrom(two, one.LocalAddr().Port())})
		if err == nil {
			c.Close()
			break
		}
		if try == 5 {
			t.Fatalf("the other family: %v", err)
		}
	}
	if at(a).Addr().Is4() {
		// A mapped address is taken for what it means.
		to := netip.AddrPortFrom(netip.AddrFrom16(at(b).Addr().As16()), at(b).Port())
		send(t, a, punch.Datagram{Addr: to, Data: []byte("mapped")})
		if got := receive(t, b, 1); string(got[0].data) != "mapped" {
			t.Errorf("%q arrived, want mapped", got[0].data)
		}
	}
}

// testLocal checks Datagram.Local of a socket that is bound to one address,
// where every kind of socket knows it.
func testLocal(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	send(t, a, punch.Datagram{Addr: at(b), Data: []byte("x"), Local: at(a).Addr()})
	if got := receive(t, b, 1)[0].local; got != at(b).Addr() {
		t.Errorf("Local %v, want %v", got, at(b).Addr())
	}
}

func testAllocations(t *testing.T, open opener, addr string) {
	a, b := mustOpen(t, open, addr), mustOpen(t, open, addr)
	ds := make([]punch.Datagram, 40)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: at(b), Data: make([]byte, 1200)}
		if i%4 == 0 {
			ds[i].Data, ds[i].Segment = make([]byte, 3000), 1200
		}
	}
	n := testing.AllocsPerRun(100, func() {
		if err := a.Send(ds); err != nil {
			t.Fatal(err)
		}
		for left := 60; left > 0; {
			got, err := b.Receive()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range got {
				left--
				if d.Segment > 0 {
					left -= (len(d.Data) - 1) / d.Segment
				}
			}
		}
	})
	if n != 0 {
		t.Errorf("sending and receiving allocates %.0f times, want 0", n)
	}
}

func TestListenErrors(t *testing.T) {
	for name, open := range map[string]opener{"Listen": openListen, "ListenPortable": openPortable} {
		t.Run(name, func(t *testing.T) {
			taken := mustOpen(t, open, "127.0.0.1")
			for _, c := range []struct {
				name string
				cfg  Config
				want []string
			}{
				{"no address", Config{}, []string{"no local address", "0.0.0.0"}},
				{"taken", Config{Addr: taken.LocalAddr()},
					[]string{taken.LocalAddr().String(), "another program", "another port"}},
				{"foreign address", Config{Addr: netip.MustParseAddrPort("192.0.2.1:0")},
					[]string{"no interface", "192.0.2.1", "0.0.0.0"}},
				{"no such interface", Config{Addr: taken.LocalAddr(), Device: "nosuch0"},
					[]string{"nosuch0"}},
			} {
				conn, err := open(c.cfg)
				if err == nil {
					conn.Close()
					t.Errorf("%s: no error", c.name)
					continue
				}
				if !strings.HasPrefix(err.Error(), "udp: listen") {
					t.Errorf("%s: %q does not begin with udp: listen", c.name, err)
				}
				for _, w := range c.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%s: %q does not mention %q", c.name, err, w)
					}
				}
			}
		})
	}
}

// TestListenErrorsUnwrap checks that callers can branch on the cause, also of
// errors that cannot be provoked everywhere.
func TestListenErrorsUnwrap(t *testing.T) {
	a := mustOpen(t, openListen, "127.0.0.1")
	_, err := Listen(Config{Addr: a.LocalAddr()})
	if !isAddrInUse(err) {
		t.Errorf("%v is not recognised as a port that is taken", err)
	}
	cfg := Config{Addr: netip.MustParseAddrPort("0.0.0.0:80")}
	err = explain(cfg, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", os.ErrPermission)})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "1024") {
		t.Errorf("%q does not tell about ports below 1024", err)
	}
	other := errors.New("something else")
	if err = explain(cfg, other); !errors.Is(err, other) || !strings.Contains(err.Error(), "0.0.0.0:80") {
		t.Errorf("%q hides cause or address", err)
	}
}

func TestFeatures(t *testing.T) {
	f := Features{GRO: true, GSO: true}
	if got, want := f.String(), "gro gso"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if got, want := f.Missing(), "recvmmsg sendmmsg pktinfo ecn errqueue df"; got != want {
		t.Errorf("Missing %q, want %q", got, want)
	}
}

func TestConfigDefaults(t *testing.T) {
	got := Config{Addr: netip.MustParseAddrPort("[::ffff:127.0.0.1]:80")}.withDefaults()
	if got.RcvBuf != 4<<20 || got.SndBuf != 4<<20 || got.Batch != 64 || got.Log == nil {
		t.Errorf("defaults %+v", got)
	}
	if want := netip.MustParseAddrPort("127.0.0.1:80"); got.Addr != want {
		t.Errorf("address %v, want %v", got.Addr, want)
	}
	if got := (Config{Batch: 1 << 20}).withDefaults().Batch; got != maxBatch {
		t.Errorf("batch %d, want %d", got, maxBatch)
	}
}

func TestPortableLimits(t *testing.T) {
	c := mustOpen(t, openPortable, "0.0.0.0")
	if f := c.Features(); f.GSO || f.GRO || f.PacketInfo || f.ErrorQueue {
		t.Errorf("features %v of a portable socket", f)
	}
	if c.Errors() != nil {
		t.Error("a portable socket has a channel of errors that nothing comes from")
	}
	_, err := ListenPortable(Config{Addr: c.LocalAddr(), Device: "lo"})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a device: %v, want ErrUnsupported", err)
	}
}
