package stream

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// A talker is a client of frames over a connection in memory.
type talker struct {
	net.Conn
	t *testing.T
}

// says sends datagrams as frames, or reports that the connection is over.
func (k *talker) says(ds ...[]byte) bool {
	k.t.Helper()
	_, err := k.Write(framed(k.t, ds...))
	return err == nil
}

// hears wants these datagrams.
func (k *talker) hears(ds ...[]byte) {
	k.t.Helper()
	want := framed(k.t, ds...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(k, got); err != nil || !bytes.Equal(got, want) {
		k.t.Fatalf("heard %.40x, %v, want %.40x", got, err, want)
	}
}

// lasts returns how long it takes until the server ends the connection.
func (k *talker) lasts() time.Duration {
	k.t.Helper()
	begin := time.Now()
	k.SetReadDeadline(begin.Add(time.Hour))
	if n, err := k.Read(make([]byte, 1)); err == nil || n > 0 {
		k.t.Errorf("the server says something")
	}
	return time.Since(begin)
}

// inMemory runs a test with a Listener in memory that sends everything back.
func inMemory(t *testing.T, cfg ListenConfig, test func(t *testing.T, s *Listener, dial func(from string) *talker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newMemListener()
		s := echoing(t, l, cfg)
		test(t, s, func(from string) *talker {
			k := &talker{l.dial(from), t}
			t.Cleanup(func() { k.Close() })
			return k
		})
	})
}

// TestListener: clients are told apart by their addresses, also such that come from one
// host, and each hears its own.
func TestListener(t *testing.T) {
	inMemory(t, ListenConfig{}, func(t *testing.T, s *Listener, dial func(string) *talker) {
		a, b, c := dial("192.0.2.1:1000"), dial("192.0.2.1:1001"), dial("[2001:db8::1]:1000")
		for i, k := range []*talker{a, b, c} {
			if !k.says([]byte{20, byte(i)}) {
				t.Fatal("refused")
			}
		}
		c.hears([]byte{20, 2})
		b.hears([]byte{20, 1})
		a.hears([]byte{20, 0})
		if st := s.Stats(); st.Conns != 3 || st.Accepted != 3 || st.Received != 3 || st.Sent != 3 {
			t.Errorf("counted %+v", st)
		}
		for _, at := range []string{"192.0.2.1:1000", "[2001:db8::2]:1", "[::ffff:192.0.2.1]:1000"} {
			if err := s.Send([]punch.Datagram{{Addr: netip.MustParseAddrPort(at), Data: hello}}); err != errUnknown {
				t.Errorf("a datagram to %s: %v", at, err)
			}
		}
		err := s.Send([]punch.Datagram{{Addr: netip.MustParseAddrPort("192.0.2.1:1"), Data: hello}, {Addr: Zone(netip.MustParseAddrPort("192.0.2.1:1000")), Data: hello}})
		if err != errUnknown {
			t.Errorf("two datagrams, one to nobody: %v", err)
		}
		a.hears(hello)
		if s.LocalAddr() != netip.MustParseAddrPort("198.51.100.1:443") {
			t.Errorf("at %v", s.LocalAddr())
		}
		s.Close()
		if err := s.Send([]punch.Datagram{{Addr: Zone(netip.MustParseAddrPort("192.0.2.1:1000")), Data: hello}}); err == nil {
			t.Error("something is sent after Close")
		}
	})
}

// TestListenerAddresses: Datagram.Addr has the zone, and Local is of this host.
func TestListenerAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemListener()
		s := Listen(l, ListenConfig{})
		defer s.Close()
		k := &talker{l.dial("192.0.2.1:1000"), t}
		go k.says(hello)
		ds, err := s.Receive()
		if err != nil || len(ds) != 1 || ds[0].Addr.String() != "[::ffff:192.0.2.1%tcp]:1000" || ds[0].Local.String() != "198.51.100.1" {
			t.Errorf("received %+v, %v", ds, err)
		}
	})
}

// TestSlowloris: who says nothing, or never comes to an end, does not stay.
func TestSlowloris(t *testing.T) {
	for _, c := range []struct {
		name  string
		first [][]byte
		drip  []byte // a byte of it each second
		want  time.Duration
	}{
		{"nothing", nil, nil, 5 * time.Second},
		{"a frame, byte by byte", nil, append([]byte{0x7F, 0xFF, 0x01, 0x00}, make([]byte, 256)...), 5 * time.Second},
		{"one frame", [][]byte{hello}, nil, time.Minute},
		{"one frame, and another byte by byte", [][]byte{hello}, append([]byte{0x7F, 0xFF, 0x01, 0x00}, make([]byte, 256)...), time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, ListenConfig{}, func(t *testing.T, s *Listener, dial func(string) *talker) {
				k := dial("192.0.2.1:1000")
				for _, d := range c.first {
					k.says(d)
					k.hears(d)
				}
				var dripping sync.WaitGroup
				defer dripping.Wait()
				dripping.Go(func() {
					for _, x := range c.drip {
						if _, err := k.Write([]byte{x}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				if got := k.lasts(); got != c.want {
					t.Errorf("it lasts %v, want %v", got, c.want)
				}
				synctest.Wait()
				if n := s.Stats().Conns; n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

// TestListenerNonsense: a connection over which something else is spoken ends at once, or
// when it should have been a frame.
func TestListenerNonsense(t *testing.T) {
	inMemory(t, ListenConfig{}, func(t *testing.T, _ *Listener, dial func(string) *talker) {
		for _, c := range []struct {
			text string
			want time.Duration
		}{
			{"\x16\x03\x01\x02\x00\x01", 0},         // TLS
			{"\x00\x01\x00\x01", 0},                 // nearly STUN
			{"GET / HTTP/1.1\r\n", 5 * time.Second}, // ChannelData, of 8239 bytes
		} {
			k := dial("192.0.2.1:1000")
			if _, err := k.Write([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
			if got := k.lasts(); got != c.want {
				t.Errorf("%q lasts %v, want %v", c.text, got, c.want)
			}
		}
	})
}

// TestListenerBounds: who is over a limit is let in when somebody has left.
func TestListenerBounds(t *testing.T) {
	inMemory(t, ListenConfig{MaxConns: 3, MaxOfNetwork: 2}, func(t *testing.T, s *Listener, dial func(string) *talker) {
		greets := func(from string, want bool) *talker {
			t.Helper()
			k := dial(from)
			if ok := k.says(hello); ok != want {
				t.Errorf("%s is let in: %v, want %v", from, ok, want)
			}
			if want {
				k.hears(hello)
			}
			return k
		}
		greets("192.0.2.1:1", true)
		a := greets("192.0.2.1:2", true)
		greets("192.0.2.1:3", false)
		greets("[2001:db8::1]:1", true)
		greets("192.0.2.2:1", false)
		a.Close()
		synctest.Wait()
		greets("192.0.2.2:1", true)
		greets("[2001:db8::2]:1", false)
		if st := s.Stats(); st.Conns != 3 || st.Accepted != 4 || st.Refused != 3 {
			t.Errorf("counted %+v", st)
		}
	})
}

// TestListenerReplaced: a connection from the address of one that is over, as the kernel
// knows and we do not yet, is the one that counts; and OnGone tells of those that went.
func TestListenerReplaced(t *testing.T) {
	inMemory(t, ListenConfig{}, func(t *testing.T, s *Listener, dial func(string) *talker) {
		var mu sync.Mutex
		var gone []netip.AddrPort
		s.OnGone(func(at netip.AddrPort) {
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, at)
		})
		told := func(want int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(gone) != want || gone[want-1].String() != "[::ffff:192.0.2.1%tcp]:1000" {
				t.Errorf("gone are %v, want %d", gone, want)
			}
		}
		old := dial("192.0.2.1:1000")
		old.says(hello)
		old.hears(hello)
		k := dial("192.0.2.1:1000")
		k.says(hello)
		k.hears(hello)
		if old.lasts() != 0 {
			t.Error("the old one goes on")
		}
		told(1)
		k.says(hello)
		k.hears(hello)
		k.Close()
		told(2)
	})
}

// TestSlowReader: a client that reads nothing loses what is old, is given up, and keeps
// nobody waiting.
func TestSlowReader(t *testing.T) {
	inMemory(t, ListenConfig{}, func(t *testing.T, s *Listener, dial func(string) *talker) {
		slow, quick := dial("192.0.2.1:1"), dial("192.0.2.2:1")
		for _, k := range []*talker{slow, quick} {
			k.says(hello)
			k.hears(hello)
		}
		at := func(k string) netip.AddrPort { return Zone(netip.MustParseAddrPort(k)) }
		begin := time.Now()
		big := channelOf(0x4000, 1000, 7)
		for range 100 {
			for range 10 {
				s.Send([]punch.Datagram{{Addr: at("192.0.2.1:1"), Data: big}, {Addr: at("192.0.2.2:1"), Data: big}})
				quick.hears(big)
			}
			if time.Since(begin) != 0 {
				t.Fatalf("the quick one waits %v for the slow one", time.Since(begin))
			}
		}
		time.Sleep(3 * time.Second)
		s.Send([]punch.Datagram{{Addr: at("192.0.2.1:1"), Data: channelOf(0x4000, 4, 8)}})
		synctest.Wait()
		// It wakes up: what was being written comes, then only what is new.
		b := make([]byte, 1<<20)
		n := 0
		for !bytes.Contains(b[:n], []byte{8, 8, 8, 8}) {
			m, err := slow.Read(b[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		if n > writeSize+8 {
			t.Errorf("it gets %d bytes, of which most are old", n)
		}
		if st := s.Stats(); st.Stale == 0 || st.Full == 0 {
			t.Errorf("counted %+v", st)
		}
		s.Send([]punch.Datagram{{Addr: at("192.0.2.1:1"), Data: big}})
		synctest.Wait()
		time.Sleep(writeTime + time.Second)
		if _, err := slow.Write([]byte{1}); err == nil {
			t.Error("who takes nothing for ten seconds is still served")
		}
	})
}

// TestListenerClose: what was sent before leaves, and nobody waits for who does not read.
func TestListenerClose(t *testing.T) {
	inMemory(t, ListenConfig{}, func(t *testing.T, s *Listener, dial func(string) *talker) {
		quick, slow, mute := dial("192.0.2.1:1"), dial("192.0.2.2:1"), dial("192.0.2.3:1")
		for _, k := range []*talker{quick, slow} {
			k.says(hello)
			k.hears(hello)
		}
		for _, from := range []string{"192.0.2.1:1", "192.0.2.2:1"} {
			s.Send([]punch.Datagram{{Addr: Zone(netip.MustParseAddrPort(from)), Data: hello}})
		}
		begin := time.Now()
		ended := make(chan struct{})
		go func() {
			s.Close()
			close(ended)
		}()
		quick.hears(hello)
		<-ended
		if took := time.Since(begin); took != lastWords {
			t.Errorf("closing takes %v, want %v", took, lastWords)
		}
		if mute.lasts() != 0 || quick.lasts() != 0 {
			t.Error("a connection goes on")
		}
	})
}

// TestAcceptErrors: where there are too many open files others get their turn, and the
// log has one line.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := newMemListener()
		echoing(t, l, ListenConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
		begin := time.Now()
		for range 20 {
			l.conns <- nil
		}
		if took := time.Since(begin); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("20 errors take %v", took)
		}
		k := &talker{l.dial("192.0.2.1:1"), t}
		k.says(hello)
		k.hears(hello)
		k.Close()
		if n := strings.Count(log.String(), "too many open files"); n != 1 {
			t.Errorf("%d lines in the log:\n%s", n, &log)
		}
	})
}
