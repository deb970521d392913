package client

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/tunnel/device"
)

// pieces is how many FETCHes an object takes.
func pieces(b []byte) int { return (len(b) + channel.MaxData - 1) / channel.MaxData }

// TestServersObject: an object that several RDVs have is fetched once, and if one does
// not give it, from another.
func TestServersObject(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(r *testRDV) // the first RDV
		most time.Duration
		less int // pieces that the first gives
	}{
		{"both give it", nil, 3 * time.Second, 0},
		{"one has nothing to say", func(r *testRDV) {
			r.hook = func(_ *testRDV, _ *testChannel, m channel.Message) bool { return m.Type == channel.Fetch }
		}, 12 * time.Second, 0},
		{"one says that it is gone", func(r *testRDV) {
			r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
				if m.Type == channel.Fetch {
					r.answer(c, m, channel.Message{Type: channel.Refused, Reason: channel.Gone})
				}
				return m.Type == channel.Fetch
			}
		}, 6 * time.Second, 0},
		{"one sends something else", func(r *testRDV) {
			r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
				if m.Type == channel.Fetch {
					r.answer(c, m, channel.Message{Type: channel.Chunk, Offset: m.Offset, Data: make([]byte, channel.MaxData)})
				}
				return m.Type == channel.Fetch
			}
		}, 6 * time.Second, 0},
		{"one is slow without end", func(r *testRDV) {
			r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
				if m.Type == channel.Fetch {
					r.wg.Go(func() {
						time.Sleep(4 * time.Second)
						r.with(func() {
							r.answer(c, m, channel.Message{Type: channel.Chunk, Offset: m.Offset, Data: make([]byte, minChunk)})
						})
					})
				}
				return m.Type == channel.Fetch
			}
		}, fetchLease + 8*time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTown(t, 2, 2, func(w *town) {
				want := blob(50_000, 1)
				first, second := w.replace(0, c.edit), w.replace(1, nil)
				first.publish(want)
				second.publish(want)
				store := newTestStore(w.t)
				start := time.Now()
				w.house(1, w.authentic(AuthYes, nil, store.stores))
				for store.count() == 0 && time.Since(start) < time.Minute {
					pass(100 * time.Millisecond)
				}
				if took := time.Since(start); took > c.most {
					t.Errorf("it took %v, want at most %v", took, c.most)
				}
				pass(time.Minute)
				store.wants(want)
				total := first.count("FETCH") + second.count("FETCH")
				if c.edit == nil && total != pieces(want) {
					t.Errorf("%d FETCHes, want %d", total, pieces(want))
				}
				if got := second.count("FETCH"); c.edit != nil && got != pieces(want) {
					t.Errorf("%d FETCHes to the good one, want %d", got, pieces(want))
				}
			})
		})
	}
}

// TestServersObjectDies: when the RDV ends that was giving an object, another gives it.
func TestServersObjectDies(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		want := blob(400_000, 1)
		for i := range 2 {
			w.replace(i, nil).publish(want)
		}
		store := newTestStore(w.t)
		w.house(1, w.authentic(AuthYes, nil, store.stores))
		pass(500 * time.Millisecond)
		w.kill(0)
		if store.count() != 0 {
			t.Fatal("the object came too soon for this test")
		}
		pass(20 * time.Second)
		store.wants(want)
	})
}

// TestServersObjectOfNoUse: what one RDV has brought for nothing is not fetched from
// the others.
func TestServersObjectOfNoUse(t *testing.T) {
	inTown(t, 3, 3, func(w *town) {
		bad := blob(3000, 1)
		var rs []*testRDV
		for i := range 3 {
			rs = append(rs, w.replace(i, nil))
			rs[i].publish(bad)
		}
		store := newTestStore(w.t)
		store.refuse(true)
		w.house(1, w.authentic(AuthYes, nil, store.stores))
		pass(5 * time.Minute)
		if store.count() != 1 {
			t.Errorf("the store was given %d objects, want one", store.count())
		}
	})
}

// TestServersAuthority: a request goes to another RDV if one does not reach the
// authority; what the authority has said is not asked for again.
func TestServersAuthority(t *testing.T) {
	swallow := func(r *testRDV) {
		r.hook = func(_ *testRDV, _ *testChannel, m channel.Message) bool { return m.Type == channel.Apply }
	}
	refuse := func(reason channel.Reason) func(*testRDV) {
		return func(r *testRDV) {
			r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
				if m.Type == channel.Apply {
					r.answer(c, m, channel.Message{Type: channel.Refused, Reason: reason})
				}
				return m.Type == channel.Apply
			}
		}
	}
	for _, c := range []struct {
		name  string
		first func(*testRDV)
		want  error // nil: an answer
		most  time.Duration
	}{
		{"both reach it", nil, nil, 100 * time.Millisecond},
		{"the first does not answer", swallow, nil, 6 * time.Second},
		{"the first does not reach it", refuse(channel.Unreachable), nil, 200 * time.Millisecond},
		{"the first has too much to do", refuse(channel.Busy), nil, 200 * time.Millisecond},
		{"the first passes on a refusal", refuse(channel.Denied), &RefusedError{Reason: channel.Denied}, 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTown(t, 2, 2, func(w *town) {
				w.replace(0, c.first)
				second := w.replace(1, nil)
				w.authorityAt(w.addrs...)
				alice := w.house(1, w.authentic(AuthYes, nil))
				pass(2 * time.Second)
				start := time.Now()
				answer, err := alice.client.AskAuthority(w.t.Context(), []byte("please"))
				took := time.Since(start)
				if c.want == nil && (err != nil || string(answer) != "yes, please") {
					t.Errorf("%q, %v", answer, err)
				}
				var refused *RefusedError
				if c.want != nil && (!errors.As(err, &refused) || refused.Error() != c.want.Error()) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if took > c.most {
					t.Errorf("it took %v, want at most %v", took, c.most)
				}
				if n := second.count("APPLY"); (n > 0) != (c.first != nil && c.want == nil) {
					t.Errorf("the second RDV was asked %d times", n)
				}
			})
		})
	}
}

// TestServersAuthorityLeft: a request that is under way when its RDV is taken out of
// the settings goes to another; with no other it ends.
func TestServersAuthorityLeft(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		w.replace(0, func(r *testRDV) {
			r.hook = func(_ *testRDV, _ *testChannel, m channel.Message) bool { return m.Type == channel.Apply }
		})
		w.replace(1, nil)
		w.authorityAt(w.addrs...)
		alice := w.house(1, w.authentic(AuthYes, nil))
		pass(2 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() {
			if answer, err := alice.client.AskAuthority(w.t.Context(), []byte("please")); err != nil || string(answer) != "yes, please" {
				t.Errorf("%q, %v", answer, err)
			}
		})
		pass(100 * time.Millisecond)
		s := alice.client.set
		s.Servers = At(w.addrs[1])
		if err := alice.client.Apply(w.t.Context(), s); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// authorityAt starts the VPN's authority at several RDVs.
func (w *town) authorityAt(addrs ...netip.AddrPort) *testAuthority {
	w.t.Helper()
	a := w.authority(nil)
	a.stop()
	cfg := a.cfg
	cfg.Conn, cfg.Servers = w.net.Internet().Listen("198.51.100.98:4000"), At(addrs...)
	var err error
	if a.Authority, err = NewAuthority(cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			w.t.Errorf("authority: %v", err)
		}
	})
	a.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	w.t.Cleanup(a.stop)
	return a
}

// TestAuthorityAtServers: the authority is registered at all RDVs at a time, gives each
// its objects, and one that fails does not touch the others.
func TestAuthorityAtServers(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		var rs []*testRDV
		for i := range 2 {
			rs = append(rs, w.replace(i, nil))
		}
		a := w.authorityAt(w.addrs...)
		list := blob(5000, 1)
		a.publish(Object{channel.CRL, list})
		pass(2 * time.Second)
		if s := a.Status(); len(s) != 2 || !s[0].Authenticated || !s[1].Authenticated {
			t.Errorf("status %+v", s)
		}
		for i, r := range rs {
			r.with(func() {
				if len(r.objects.has) != 1 || !bytes.Equal(r.objects.has[0], list) {
					t.Errorf("RDV %d has %d objects", i+1, len(r.objects.has))
				}
			})
		}
		w.kill(0)
		pass(time.Minute)
		if s := a.Status(); s[0].Authenticated || !s[1].Authenticated {
			t.Errorf("after the first has died: %+v", s)
		}
		a.publish(Object{channel.CRL, blob(6000, 2)})
		pass(2 * time.Second)
		rs[1].with(func() {
			if !bytes.Equal(rs[1].objects.has[0], blob(6000, 2)) {
				t.Error("the second RDV has not got the new list")
			}
		})
	})
}

// TestServersRoster: the members are those that any RDV lists.
func TestServersRoster(t *testing.T) {
	inTown(t, 2, 2, func(w *town) {
		for i := range 2 {
			w.replace(i, listing(func(*testChannel, netip.Addr) channel.Message {
				return listed(netip.Addr{}, nthMember(50), nthMember(60+i))
			}))
		}
		dev := device.NewMemoryEthernet("tap0", nil)
		a := &station{node: w.house(1, w.authentic(AuthYes, nil, frames(dev, "10.9.0.1", nil)))}
		pass(3 * time.Second)
		want := []netip.Addr{nthMember(50), nthMember(60), nthMember(61)}
		if got := a.known(); !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
	})
}
