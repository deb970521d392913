package rdv

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/rdv/wire"
)

// An oracle says which clients are good. It takes its time to learn it.
type oracle struct {
	mu      sync.Mutex
	takes   time.Duration
	says    map[string]bool // by name; good ones are true
	learnt  map[string]bool // what it has said of those about whom it was asked
	asked   int
	stopped int // questions that ended with the server
}

func newOracle(good ...string) *oracle {
	o := &oracle{says: map[string]bool{}, learnt: map[string]bool{}}
	for _, name := range good {
		o.says[name] = true
	}
	return o
}

// Inquire learns about a client.
func (o *oracle) Inquire(ctx context.Context, peer *pki.Peer) {
	o.mu.Lock()
	takes := o.takes
	o.asked++
	o.mu.Unlock()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		o.mu.Lock()
		o.stopped++
		o.mu.Unlock()
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.learnt[peer.Name] = o.says[peer.Name]
}

// Check refuses who is not known to be good.
func (o *oracle) Check(_ time.Time, peer *pki.Peer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.learnt[peer.Name] {
		return errors.New("the oracle says no")
	}
	return nil
}

func (o *oracle) set(name string, good bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.says[name] = good
}

// TestOnline: who is not good gets no channel, who is not good any more loses it within
// minutes, and nobody else does.
func TestOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		o := newOracle("alice", "bob")
		a.SetTrust(a.trust(t).WithOnline(o))
		synctest.Wait()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		z := a.client(t, epC, "carol", "10.9.0.3")
		z.knock()
		z.shake(nil)
		synctest.Wait()
		if s := a.Stats(); s.Channels != 2 || s.Failed != 1 {
			t.Errorf("channels %d, failed %d; want 2 and 1", s.Channels, s.Failed)
		}
		a.wantLine("the oracle says no")

		o.set("alice", false)
		began := time.Now()
		for a.Stats().Channels == 2 {
			x.hub.from(x.at, ping.Append(nil))
			y.pings(wire.Pong)
			time.Sleep(5 * time.Second)
			if time.Since(began) > time.Hour {
				t.Fatal("alice keeps her channel")
			}
		}
		if took := time.Since(began); took > onlineInterval+10*time.Second {
			t.Errorf("it took %v", took)
		}
		a.wantLine("Channel with alice at 203.0.113.21:49380 is over: the oracle says no")
		y.pings(wire.Pong)
	})
}

// TestOnlineIsNoBurden: while a client waits for the answer about its certificate
// the others are served.
func TestOnlineIsNoBurden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		o := newOracle("alice", "bob")
		a.SetTrust(a.trust(t).WithOnline(o))
		synctest.Wait()
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		o.mu.Lock()
		o.takes = 3 * time.Second
		o.mu.Unlock()
		x := a.client(t, epA, "alice", "10.9.0.1")
		x.knock()
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := x.shake(nil); err != nil {
				t.Error(err)
			}
		})
		for time.Since(began) < 2500*time.Millisecond {
			time.Sleep(100 * time.Millisecond)
			sent := time.Now()
			y.pings(wire.Pong)
			if took := time.Since(sent); took > time.Second {
				t.Errorf("bob waits %v for his answer", took)
			}
			if s := a.Stats(); s.HalfOpen != 1 || s.Channels != 1 {
				t.Errorf("after %v: %d handshakes, %d channels; want 1 and 1", time.Since(began), s.HalfOpen, s.Channels)
			}
		}
		wg.Wait()
		if took := time.Since(began); took < 3*time.Second || took > handshakeTime {
			t.Errorf("the handshake took %v", took)
		}
		synctest.Wait()
		x.register(ip1)
	})
}

// TestOnlineLater: settings that ask responders ask about those who have a channel
// already, before they decide about them.
func TestOnlineLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		o := newOracle("bob")
		o.takes = time.Second
		a.SetTrust(a.trust(t).WithOnline(o))
		synctest.Wait()
		x.pings(wire.Pong) // it has not answered yet
		time.Sleep(3 * time.Second)
		x.closed()
		y.pings(wire.Pong)
		if s := a.Stats(); s.Channels != 1 || o.asked != 2 {
			t.Errorf("%d channels, %d questions; want 1 and 2", s.Channels, o.asked)
		}
		a.SetTrust(a.trust(t)) // which asks nobody
		synctest.Wait()
		x.dial().register(ip1)
	})
}

// TestOnlineStops: the end of the server does not wait for answers.
func TestOnlineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		o := newOracle("alice", "bob")
		o.takes = time.Hour
		a.SetTrust(a.trust(t).WithOnline(o))
		y := a.client(t, epB, "bob", "10.9.0.2")
		y.knock()
		var wg sync.WaitGroup
		wg.Go(func() { y.shake(nil) })
		time.Sleep(time.Second)
		began := time.Now()
		a.end()
		o.mu.Lock()
		defer o.mu.Unlock()
		if took := time.Since(began); took > 0 || o.stopped != 2 {
			t.Errorf("the end took %v, and ended %d questions; want 0 and 2", took, o.stopped)
		}
		wg.Wait()
	})
}

// TestOnlineInterval: certificates are checked more often if responders are asked.
func TestOnlineInterval(t *testing.T) {
	var none *Trust
	with := (&Trust{}).WithOnline(newOracle())
	for _, c := range []struct {
		trust *Trust
		want  time.Duration
	}{{none, recheckInterval}, {&Trust{}, recheckInterval}, {with, onlineInterval}, {with.WithOnline(nil), recheckInterval}} {
		if got := c.trust.interval(); got != c.want {
			t.Errorf("every %v, want %v", got, c.want)
		}
		c.trust.inquire(t.Context(), nil) // asks nobody, and does not fail
	}
}
