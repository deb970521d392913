package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An oracle knows about certificates what their chains do not tell. It takes its
// time to learn it.
type oracle struct {
	takes time.Duration

	mu      sync.Mutex
	asked   int
	learnt  map[string]bool // by the DER form of leaves
	refused map[string]bool
}

var (
	errNotLearnt = errors.New("the oracle was not asked")
	errRefused   = errors.New("the oracle says no")
)

// on makes a node ask the oracle, and refuse those about whom it was not asked.
func (o *oracle) on(c *Config) {
	o.learnt, o.refused = map[string]bool{}, map[string]bool{}
	c.Inquire = func(ctx context.Context, chain [][]byte, _ bool) {
		select {
		case <-time.After(o.takes):
		case <-ctx.Done():
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.asked++
		o.learnt[string(chain[0])] = true
	}
	verify := c.Verify
	c.Verify = func(now time.Time, vpn netip.Addr, chain [][]byte, server bool) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch {
		case o.refused[string(chain[0])]:
			return errRefused
		case !o.learnt[string(chain[0])]:
			return errNotLearnt
		}
		return verify(now, vpn, chain, server)
	}
}

func (o *oracle) refuse(leaf []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused[string(leaf)] = true
}

func (o *oracle) questions() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// TestInquire: a handshake waits for what is asked about the peer, and nothing else
// does: neither packets of open tunnels nor the control goroutine.
func TestInquire(t *testing.T) {
	for _, who := range []string{"asker", "asked", "both"} {
		t.Run(who, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				fast, slow := &oracle{}, &oracle{}
				alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) {
					if who != "asked" {
						slow.on(c)
					}
				})
				bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", fast.on)
				carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", func(c *Config) {
					if who != "asker" {
						(&oracle{takes: 3 * time.Second}).on(c)
					}
				})
				pass(time.Second)
				alice.ping(bob, 5*time.Second)
				slow.mu.Lock()
				slow.takes = 3 * time.Second
				slow.mu.Unlock()

				began := time.Now()
				alice.send(carol.vpn, "wait for it")
				for time.Since(began) < 2500*time.Millisecond {
					alice.ping(bob, 200*time.Millisecond)
					if got := carol.texts(); len(got) > 0 {
						v.t.Fatalf("delivered %q after %v, before the answer", got, time.Since(began))
					}
					alice.status() // from the control goroutine
					pass(50 * time.Millisecond)
				}
				if took := carol.wants("wait for it", 8*time.Second); took > 8*time.Second {
					v.t.Errorf("the tunnel took %v", took)
				}
				carol.ping(alice, time.Second)
			})
		})
	}
}

// TestInquireForKeys: fresh keys are not had without asking, and packets go on
// while it is asked.
func TestInquireForKeys(t *testing.T) {
	inBubble(t, func(v *vpn) {
		o := &oracle{}
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) {
			o.on(c)
			c.RekeyTime = 20 * time.Second
		})
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) { c.RekeyTime = -1 })
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		o.mu.Lock()
		o.takes = 2 * time.Second
		o.mu.Unlock()
		for range 60 {
			alice.ping(bob, 200*time.Millisecond)
			pass(500 * time.Millisecond)
		}
		if p := alice.status().Peers[0]; p.Rekeys != 1 || p.RekeyFailures != 0 || o.questions() != 2 {
			v.t.Errorf("%d times fresh keys, %d failures, %d questions; want 1, 0 and 2", p.Rekeys, p.RekeyFailures, o.questions())
		}
	})
}

// TestRecheck: who is refused later loses the tunnel when certificates are checked
// again, and nobody else does.
func TestRecheck(t *testing.T) {
	inBubble(t, func(v *vpn) {
		o := &oracle{}
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", o.on)
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		carol.ping(alice, 5*time.Second)
		recheck := func() {
			v.t.Helper()
			if err := alice.client.Recheck(v.t.Context()); err != nil {
				v.t.Fatal(err)
			}
			pass(time.Second)
		}
		recheck()
		if a, b := alice.state(bob), alice.state(carol); a != "ESTABLISHED" || b != "ESTABLISHED" {
			v.t.Fatalf("bob is %s, carol %s after a check that changes nothing", a, b)
		}

		list, err := alice.client.Shown(v.t.Context())
		if err != nil || len(list) != 2 || list[0].VPNAddr != bob.vpn || !list[0].Server || list[1].VPNAddr != carol.vpn || list[1].Server {
			v.t.Fatalf("shown %+v, %v; want bob's as server and carol's as client", list, err)
		}
		o.refuse(list[0].Chain[0])
		pass(time.Minute)
		alice.ping(bob, time.Second) // nobody has looked
		recheck()
		alice.ping(carol, time.Second)
		if a, b := alice.state(bob), bob.state(alice); a != "CLOSED" || b != "CLOSED" {
			v.t.Errorf("bob is %s, and alice is for bob %s", a, b)
		}
		if alice.logged("Closing DTLS connection with peer") != 1 || alice.logged(errRefused.Error()) != 1 {
			v.t.Error("the log does not say why")
		}
		bob.send(alice.vpn, "let me in again")
		pass(20 * time.Second)
		if slices.Contains(alice.texts(), "let me in again") || alice.state(bob) == "ESTABLISHED" {
			v.t.Error("bob is in again")
		}
	})
}

// TestRecheckServer: a rendezvous server that is refused later loses its channel,
// and tunnels stay.
func TestRecheckServer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		var refused atomic.Bool
		edit := v.authentic(AuthYes, nil, func(c *Config) {
			verify := c.VerifyServer
			c.VerifyServer = func(now time.Time, chain [][]byte) (ServerIdentity, error) {
				if refused.Load() {
					return ServerIdentity{}, errRefused
				}
				return verify(now, chain)
			}
		})
		alice, bob := v.pair(edit)
		pass(5 * time.Second)
		alice.ping(bob, 5*time.Second)
		list, err := alice.client.Shown(v.t.Context())
		if err != nil || len(list) != 2 || list[1].VPNAddr.IsValid() || !list[1].Server || !slices.Equal(list[1].Chain[0], r.cert.Certificate[0]) {
			v.t.Fatalf("shown %d, %v; want bob's, and the server's", len(list), err)
		}
		refused.Store(true)
		if err := alice.client.Recheck(v.t.Context()); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if s := alice.status(); s.RDV().Authenticated || len(s.Peers) != 1 {
			v.t.Errorf("authenticated %v, %d peers; want no channel, and the tunnel", s.RDV().Authenticated, len(s.Peers))
		}
		alice.ping(bob, time.Second)
	})
}

// TestShownStopped: a client that does not run shows nothing.
func TestShownStopped(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, _ := v.pair(nil)
		alice.stop()
		if list, err := alice.client.Shown(v.t.Context()); !errors.Is(err, ErrStopped) || len(list) > 0 {
			v.t.Errorf("shown %v, %v", list, err)
		}
		if err := alice.client.Recheck(v.t.Context()); !errors.Is(err, ErrStopped) {
			v.t.Errorf("checked again: %v", err)
		}
	})
}
