package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
)

// TestFallbackDue: when a stream is opened.
func TestFallbackDue(t *testing.T) {
	at := func(d time.Duration) time.Time { return began.Add(d) }
	asked := fallback{usable: true}
	asked.ask(at(0))
	asked.ask(at(time.Second)) // the first counts
	answered := asked
	answered.heard(at(time.Second))
	off, open, busy, late, broken := asked, asked, asked, asked, answered
	off.usable, open.conn, busy.opening = false, new(deadConn), new(opening)
	late.next = at(time.Minute)
	broken.broken = at(2 * time.Second)
	for _, c := range []struct {
		name   string
		f      fallback
		linked bool
		want   time.Time
	}{
		{"nothing was said", fallback{usable: true}, false, time.Time{}},
		{"no answer at the start", asked, false, at(startPatience)},
		{"no answer any more", asked, true, at(streamPatience)},
		{"an answer", answered, false, time.Time{}},
		{"answers, and no channel", broken, false, at(2 * time.Second)},
		{"answers, and a channel", broken, true, time.Time{}},
		{"there may be none", off, false, time.Time{}},
		{"there is one", open, false, time.Time{}},
		{"one is being opened", busy, false, time.Time{}},
		{"the last was of no use", late, false, at(time.Minute)},
	} {
		if got := c.f.due(c.linked); !got.Equal(c.want) {
			t.Errorf("%s: due at %v, want %v", c.name, got, c.want)
		}
	}
}

// A deadConn is a Conn that is closed.
type deadConn struct{}

func (*deadConn) Receive() ([]punch.Datagram, error) { return nil, net.ErrClosed }
func (*deadConn) Send([]punch.Datagram) error        { return net.ErrClosed }
func (*deadConn) LocalAddr() netip.AddrPort          { return netip.AddrPort{} }
func (*deadConn) Close() error                       { return nil }

// TestFallbackProbes: UDP works when it has answered two probes in a row, and what else
// comes meanwhile does not count.
func TestFallbackProbes(t *testing.T) {
	f := fallback{usable: true}
	now := began
	steps := func(text string) {
		for _, s := range text {
			switch now = now.Add(time.Second); s {
			case 'p':
				f.sayProbe(now)
			case 'h':
				f.heard(now)
			}
		}
	}
	for _, c := range []struct {
		steps string
		works bool
	}{
		{"h", false}, {"hhh", false}, {"p", false}, {"ph", false}, {"phh", false}, {"phph", true},
		{"phpph", false}, {"pphph", true}, {"phpphph", true}, {"phpppphpp", false},
	} {
		f = fallback{usable: true}
		if steps(c.steps); f.works() != c.works {
			t.Errorf("%s: works %v, want %v", c.steps, f.works(), c.works)
		}
	}
	f = fallback{usable: true}
	var rests []time.Duration
	for range 8 {
		steps("phph")
		f.vain(now)
		rests = append(rests, f.probe.Sub(now))
		if f.works() {
			t.Error("it works after a move in vain")
		}
	}
	if want := "[10s 20s 40s 1m20s 2m40s 5m0s 5m0s 5m0s]"; fmt.Sprint(rests) != want {
		t.Errorf("probes rest for %v, want %s", rests, want)
	}
}

// TestWayFailed: which failures a stream may help against.
func TestWayFailed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{errNoKnock, true}, {errNoAdmit, true}, {errNoJoin, true}, {errNoChannel, true},
		{handshake.ErrTimeout, true}, {&handshake.AlertError{}, true}, {fmt.Errorf("x: %w", errNoAdmit), true},
		{&RefusedError{channel.Taken, ""}, false}, {errClosed, false},
	} {
		if got := wayFailed(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

// TestOpenFirst: which of several ways a stream takes, and when.
func TestOpenFirst(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1"), netip.MustParseAddrPort("192.0.2.3:1")
	type way struct {
		takes time.Duration
		err   error
	}
	errA, errB := errors.New("a is down"), errors.New("b is down")
	for _, k := range []struct {
		name string
		ways map[netip.AddrPort]way
		want netip.AddrPort
		err  error
		took time.Duration
	}{
		{"the first", map[netip.AddrPort]way{a: {100 * time.Millisecond, nil}, b: {0, nil}}, a, nil, 100 * time.Millisecond},
		{"the first is refused", map[netip.AddrPort]way{a: {10 * time.Millisecond, errA}, b: {10 * time.Millisecond, nil}}, b, nil, 20 * time.Millisecond},
		{"the first is slow", map[netip.AddrPort]way{a: {time.Hour, errA}, b: {10 * time.Millisecond, nil}}, b, nil, raceDelay + 10*time.Millisecond},
		{"two are slow", map[netip.AddrPort]way{a: {time.Hour, errA}, b: {time.Hour, errB}, c: {0, nil}}, c, nil, 2 * raceDelay},
		{"none", map[netip.AddrPort]way{a: {time.Millisecond, errA}, b: {time.Millisecond, errB}}, netip.AddrPort{}, errA, 2 * time.Millisecond},
		{"no end", map[netip.AddrPort]way{a: {time.Hour, errA}, b: {time.Hour, errB}}, netip.AddrPort{}, context.DeadlineExceeded, openPatience},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), openPatience)
				defer cancel()
				var ways []netip.AddrPort
				for _, at := range []netip.AddrPort{a, b, c} {
					if _, ok := k.ways[at]; ok {
						ways = append(ways, at)
					}
				}
				start := time.Now()
				e := openFirst(ctx, ways, func(ctx context.Context, at netip.AddrPort) (punch.Conn, error) {
					w := k.ways[at]
					select {
					case <-time.After(w.takes):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					if w.err != nil {
						return nil, w.err
					}
					return new(deadConn), nil
				})
				switch took := time.Since(start); {
				case k.err != nil && (e.conn != nil || !errors.Is(e.err, k.err)):
					t.Errorf("got %v, %v, want %v", e.conn, e.err, k.err)
				case k.err == nil && (e.conn == nil || e.err != nil || e.at != k.want):
					t.Errorf("got %v at %v, %v, want one at %v", e.conn, e.at, e.err, k.want)
				case took != k.took:
					t.Errorf("took %v, want %v", took, k.took)
				}
			})
		})
	}
}

// TestFallbackBeside: what comes another way than the attempt at the next channel does not
// get into its handshake, whatever it is; over the channel that stands it counts.
func TestFallbackBeside(t *testing.T) {
	p := newChanPlay(t, AuthYes)
	ours, theirs := ends(t, 1)
	p.m.link, p.m.state = ours, chanShaking
	hello := []byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2}
	if out, d := p.m.receive(p.now, bytes.Clone(hello), false, nil); len(out) != 0 || d != tunnel.DropEpoch || p.m.answered {
		t.Errorf("a record of epoch 0: %d outs, drop %v, answered %v; want none, dropped", len(out), d, p.m.answered)
	}
	_, strangers := ends(t, 2)
	msg := channel.Message{Type: channel.Done, ID: 1}
	if out, d := p.m.receive(p.now, strangers.sealed(&msg), false, nil); len(out) != 0 || d != tunnel.DropAuth {
		t.Errorf("a record of other keys: %d outs, drop %v; want none, dropped", len(out), d)
	}
	if _, d := p.m.receive(p.now, theirs.sealed(&msg), false, nil); d != tunnel.Kept {
		t.Errorf("a record of the channel that stands was dropped: %v", d)
	}
}

// TestFallbackForged: whoever writes datagrams in the RDV's name by UDP neither keeps a
// client from a stream, nor takes it from one, nor makes it work much.
func TestFallbackForged(t *testing.T) {
	forged := [][]byte{
		wire.Message{Type: wire.Pong}.Append(nil), wire.Message{Type: wire.Reconnect}.Append(nil), wire.Message{Type: wire.OK}.Append(nil),
		wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: cookie{1}}.Append(nil),
		wire.GateMessage{Type: wire.Wait, Cookie: cookie{1}, Millis: 30_000}.Append(nil),
		wire.GateMessage{Type: wire.Closed}.Append(nil),
		{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40}, {23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30},
	}
	for i, b := range forged {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			inTown(t, 1, 1, func(w *town) {
				s, alice := w.under(1, func(s *weather) { s.noUDP.Store(true) }, nil)
				arrive := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); pass(100 * time.Millisecond) {
						alice.arrive(w.addrs[0], bytes.Clone(b))
					}
				}
				for start := time.Now(); alice.streams() != "t"; {
					if arrive(time.Second); time.Since(start) > 2*time.Minute {
						w.t.Fatal("no stream after two minutes")
					}
				}
				since, tried := alice.status().RDV().Since, s.tried.Load()
				arrive(5 * time.Minute)
				if got := alice.status().RDV(); got.Since != since || !got.Stream {
					w.t.Errorf("the channel over the stream was given up: %+v", got)
				}
				if n := s.tried.Load() - tried; n != 0 {
					w.t.Errorf("%d more streams were opened, want none", n)
				}
			})
		})
	}
}
