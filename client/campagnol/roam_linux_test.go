package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/internal/lab"
)

// A flow is a TCP connection through the VPN over which 200 Mbit/s are sent.
type flow struct {
	t        *testing.T
	stop     context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	arrivals []time.Time // of what was read
	bytes    int
	sent     int
	failed   error // the connection did not survive
}

// How a flow sends: 250,000 bytes every 10 ms.
const (
	flowTick  = 10 * time.Millisecond
	flowBytes = 250_000
)

// newFlow begins to send from one peer to another.
func newFlow(from, to *meshPeer) *flow { return newFlowOf(from, to, flowBytes) }

// newFlowOf is newFlow with so many bytes in each tick.
func newFlowOf(from, to *meshPeer, bytes int) *flow {
	t := from.m.t
	t.Helper()
	ln, err := to.ListenTCP(netip.AddrPortFrom(to.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	out, err := from.DialTCP(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	ctx, stop := context.WithCancel(t.Context())
	f := &flow{t: t, stop: stop}
	f.wg.Go(func() {
		b := make([]byte, 1<<20)
		for {
			n, err := in.Read(b)
			f.mu.Lock()
			if f.bytes += n; n > 0 {
				f.arrivals = append(f.arrivals, time.Now())
			}
			if err != nil && ctx.Err() == nil {
				f.failed = err
			}
			f.mu.Unlock()
			if err != nil {
				in.Close()
				return
			}
		}
	})
	f.wg.Go(func() {
		defer out.Close()
		tick := time.NewTicker(flowTick)
		defer tick.Stop()
		b := make([]byte, bytes)
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			n, err := out.Write(b)
			f.mu.Lock()
			if f.sent += n; err != nil {
				f.failed = err
			}
			f.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	return f
}

// end ends the flow, and returns the longest time in which nothing arrived.
func (f *flow) end() (gap time.Duration) {
	f.t.Helper()
	f.stop()
	f.wg.Wait()
	if f.failed != nil {
		f.t.Errorf("the TCP connection did not survive: %v", f.failed)
	}
	if f.bytes != f.sent {
		f.t.Errorf("%d bytes were sent, and %d arrived", f.sent, f.bytes)
	}
	for i := 1; i < len(f.arrivals); i++ {
		gap = max(gap, f.arrivals[i].Sub(f.arrivals[i-1]))
	}
	return gap
}

// TestRoam: addresses change below a tunnel through which 200 Mbit/s flow. The TCP
// connection inside survives, the tunnel keeps its session, and the pause is short.
func TestRoam(t *testing.T) {
	renumber := func(p *meshPeer) {
		if _, err := p.nat.Renumber(); err != nil {
			p.m.t.Error(err)
		}
	}
	for _, c := range []struct {
		name  string
		nats  [2]lab.Kind
		limit time.Duration
		event func(m *mesh, args []string, a, b *meshPeer)
	}{
		{"NAT of the sender", [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}, time.Second, func(_ *mesh, _ []string, a, _ *meshPeer) { renumber(a) }},
		{"NAT of the receiver", [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}, time.Second, func(_ *mesh, _ []string, _, b *meshPeer) { renumber(b) }},
		{"full cone", [2]lab.Kind{lab.FullCone, lab.FullCone}, time.Second, func(_ *mesh, _ []string, a, _ *meshPeer) { renumber(a) }},
		{"symmetric to restricted", [2]lab.Kind{lab.Symmetric, lab.Restricted}, time.Second, func(_ *mesh, _ []string, a, _ *meshPeer) { renumber(a) }},
		{"local address", [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}, time.Second, func(_ *mesh, _ []string, a, _ *meshPeer) {
			if _, err := a.Link().Renumber(); err != nil {
				a.m.t.Error(err)
			}
		}},
		{"NAT, and the RDV restarted", [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}, 3 * time.Second, func(m *mesh, args []string, a, _ *meshPeer) {
			renumber(a)
			m.restartServer(args...)
		}},
		{"both NATs", [2]lab.Kind{lab.PortRestricted, lab.PortRestricted}, 5 * time.Second, func(_ *mesh, _ []string, a, b *meshPeer) { renumber(a); renumber(b) }},
	} {
		for _, mode := range roamModes {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				// TCP repeats after 0.2, 0.6 and 1.4 s: on a machine that is busy for
				// a moment, 0.6 may be too early.
				for range 3 {
					if roam(t, mode, c.nats, c.limit, c.event) {
						return
					}
				}
				t.Errorf("nothing arrived for more than %v, three times in a row", c.limit)
			})
		}
	}
}

// roamModes are the modes of the server in which it is tried.
var roamModes = []string{"strict"}

// roam plays one case, and reports whether the pause was short enough.
func roam(t *testing.T, mode string, nats [2]lab.Kind, limit time.Duration, event func(m *mesh, args []string, a, b *meshPeer)) bool {
	t.Helper()
	m := newMesh(t, nats[:]...)
	var args []string // of the server
	clear := mode == "open"
	if clear {
		// Before it believes a HELLO from elsewhere, the server asks who has the
		// address, for a second: anybody can say HELLO.
		limit += time.Second
	} else {
		args = m.modeOf(mode)
		m.restartServer(args...)
	}
	a, b := m.peers[0], m.peers[1]
	a.start()
	b.start()
	a.ping(b, 3)
	f := newFlow(a, b)
	time.Sleep(1200 * time.Millisecond) // nobody registers twice in a second
	event(m, args, a, b)
	time.Sleep(limit + time.Second)
	gap := f.end()
	t.Logf("%s: nothing arrived for %v", t.Name(), gap.Round(time.Millisecond))
	late := gap > limit
	for _, p := range m.peers {
		if n := p.count("New DTLS connection opened with peer"); n != 1 && !clear {
			t.Errorf("%s has opened %d sessions, want the first to live on:\n%s", p.Name(), n, p.process.Tail())
		}
	}
	return !late
}

// roamRounds is how often TestRoamStatistics moves.
var roamRounds = 3

// TestRoamStatistics moves one end many times, and looks at the slowest.
func TestRoamStatistics(t *testing.T) {
	rounds := roamRounds
	m := newMesh(t, lab.PortRestricted, lab.PortRestricted)
	m.restartServer(m.modeOf("strict")...)
	a, b := m.peers[0], m.peers[1]
	a.start()
	b.start()
	a.ping(b, 3)
	var gaps []time.Duration
	for i := range rounds {
		type end struct {
			r   lab.PingResult
			err error
		}
		done := make(chan end, 1)
		const interval = 10 * time.Millisecond
		go func() {
			r, err := a.Ping(t.Context(), b.vpn, lab.PingOptions{Count: 250, Interval: interval, Patience: time.Second})
			done <- end{r, err}
		}()
		time.Sleep(500 * time.Millisecond)
		if _, err := m.peers[i%2].nat.Renumber(); err != nil {
			t.Fatal(err)
		}
		e := <-done
		if e.err != nil {
			t.Fatal(e.err)
		}
		gap := e.r.Gap(interval)
		if gap == lab.Lost || gap > time.Second {
			t.Errorf("round %d: no answer for %v", i, gap)
		}
		gaps = append(gaps, gap)
	}
	slices.Sort(gaps)
	t.Logf("after a change of a NAT's address no answer for %v at the median, %v at most", gaps[rounds/2], gaps[rounds-1])
}
