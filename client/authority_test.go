package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv/channel"
)

// A testAuthority is the VPN's authority on a host of its own.
type testAuthority struct {
	*Authority
	conn *simnet.Conn
	log  *syncBuffer
	stop func()

	mu      sync.Mutex
	objects []Object
}

// authority starts the VPN's authority. It answers by answer; nil: with "yes, " and
// the request.
func (v *vpn) authority(answer func(netip.AddrPort, []byte) []byte, objects ...Object) *testAuthority {
	v.t.Helper()
	if answer == nil {
		answer = func(_ netip.AddrPort, b []byte) []byte { return append([]byte("yes, "), b...) }
	}
	leaf := v.ca.Issue(v.t, "authority")
	a := &testAuthority{conn: v.net.Internet().Listen("198.51.100.99:4000"), log: new(syncBuffer), objects: objects}
	var err error
	a.Authority, err = NewAuthority(AuthorityConfig{
		Conn: a.conn, Servers: At(v.server), Software: "test 1.0",
		Certificate:  tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key},
		VerifyServer: v.verifyServer(v.policy),
		Answer:       func(_ time.Time, from netip.AddrPort, b []byte) []byte { return answer(from, b) },
		Objects: func() []Object {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.objects
		},
		Log:    slog.New(slog.NewTextHandler(a.log, nil)),
		Jitter: half,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			v.t.Errorf("authority: %v", err)
		}
	})
	a.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	v.t.Cleanup(a.stop)
	return a
}

// publish makes these the objects for all members.
func (a *testAuthority) publish(objects ...Object) {
	a.mu.Lock()
	a.objects = objects
	a.mu.Unlock()
	a.Changed()
}

// TestAuthority: what the authority publishes reaches all members, and their requests
// reach it.
func TestAuthority(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		first, second := blob(10_000, 1), blob(70_000, 2)
		var from atomic.Pointer[netip.AddrPort]
		a := v.authority(func(at netip.AddrPort, b []byte) []byte {
			from.Store(&at)
			return bytes.ToUpper(b)
		}, Object{channel.CRL, first})
		pass(2 * time.Second)
		store := newTestStore(t)
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil, store.stores))
		pass(2 * time.Second)
		if s := a.Status()[0]; !s.Authenticated || s.Server.Name != "rdv" || s.Since.IsZero() {
			t.Errorf("status %+v", s)
		}
		store.wants(first)
		a.publish(Object{channel.CRL, second})
		pass(5 * time.Second)
		if store.count() != 2 || !bytes.Equal(store.taken[1], second) {
			t.Errorf("%d objects came, want the second, too", store.count())
		}
		answer, err := alice.client.AskAuthority(v.t.Context(), []byte("more, please"))
		if err != nil || string(answer) != "MORE, PLEASE" {
			t.Errorf("answer %q, %v", answer, err)
		}
		if at := from.Load(); at == nil || at.Port() == 0 {
			t.Errorf("the request came from %v", at)
		}
		// A server that has forgotten everything gets it again.
		r.restart()
		r.with(func() { r.objects.has = nil })
		pass(10 * time.Second)
		r.with(func() {
			if len(r.objects.has) != 1 || !bytes.Equal(r.objects.has[0], second) {
				t.Errorf("after its restart the server has %d objects", len(r.objects.has))
			}
		})
		a.stop()
		pass(time.Second)
		if got := r.count("BYE"); got != 1 {
			t.Errorf("%d BYEs, want 1", got)
		}
		if n := strings.Count(a.log.String(), "Registration complete"); n < 1 || n > 2 {
			t.Errorf("logged %d times that it is registered:\n%s", n, a.log.String())
		}
	})
}

// TestAuthorityOneAtATime: requests of many members are answered one after the other,
// each with its answer.
func TestAuthorityOneAtATime(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(nil)
		var busy atomic.Int32
		v.authority(func(_ netip.AddrPort, b []byte) []byte {
			if busy.Add(1) != 1 {
				t.Error("two requests at a time")
			}
			time.Sleep(100 * time.Millisecond)
			busy.Add(-1)
			return b
		})
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		var wg sync.WaitGroup
		for i := range 14 {
			n := []*node{alice, bob}[i%2]
			wg.Go(func() {
				ask := fmt.Sprint("request ", i)
				answer, err := n.client.AskAuthority(v.t.Context(), []byte(ask))
				if err != nil || string(answer) != ask {
					t.Errorf("%s: %q, %v", ask, answer, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestAuthorityRefused: a server that does not want it is asked again, and the status
// says why.
func TestAuthorityRefused(t *testing.T) {
	inBubble(t, func(v *vpn) {
		var refuse atomic.Bool
		refuse.Store(true)
		v.startTestRDV(func(r *testRDV) {
			r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
				if m.Type == channel.Register && refuse.Load() {
					r.answer(c, m, channel.Message{Type: channel.Refused, Reason: channel.NotYours})
					return true
				}
				return false
			}
		})
		a := v.authority(nil)
		pass(10 * time.Second)
		if s := a.Status()[0]; s.Authenticated || !strings.Contains(s.Refusal, channel.NotYours.String()) || s.RefusedAt.IsZero() {
			t.Errorf("status %+v", s)
		}
		if n := strings.Count(a.log.String(), "No authenticated channel"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		refuse.Store(false)
		pass(time.Minute)
		if s := a.Status()[0]; !s.Authenticated || s.Refusal != "" {
			t.Errorf("after all: %+v", s)
		}
	})
}

// TestAuthoritySocketFails: an authority whose socket fails ends with the reason.
func TestAuthoritySocketFails(t *testing.T) {
	inBubble(t, func(v *vpn) {
		conn := v.net.Internet().Listen("198.51.100.99:4000")
		leaf := v.ca.Issue(t, "authority")
		a, err := NewAuthority(AuthorityConfig{Conn: conn, Servers: At(v.server), VerifyServer: v.verifyServer(v.policy),
			Certificate: tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key},
			Answer:      func(time.Time, netip.AddrPort, []byte) []byte { return nil }, Objects: func() []Object { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- a.Run(v.t.Context()) }()
		pass(time.Second)
		conn.Close()
		if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "client: authority: ") {
			t.Errorf("Run = %v, want the socket's error", err)
		}
	})
	if _, err := NewAuthority(AuthorityConfig{}); err == nil {
		t.Error("an authority of nothing")
	}
}

// TestAskAuthority: every way in which there is no answer.
func TestAskAuthority(t *testing.T) {
	inBubble(t, func(v *vpn) {
		var silent atomic.Bool
		r := v.startTestRDV(func(r *testRDV) {
			r.hook = func(_ *testRDV, _ *testChannel, m channel.Message) bool {
				return m.Type == channel.Apply && silent.Load()
			}
		})
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthYes, nil))
		ask := func(ctx context.Context) error {
			_, err := alice.client.AskAuthority(ctx, []byte("please"))
			return err
		}
		if err := ask(v.t.Context()); !errors.Is(err, ErrNoChannel) {
			t.Errorf("before there is a channel: %v", err)
		}
		pass(time.Second)
		var refused *RefusedError
		if err := ask(v.t.Context()); !errors.As(err, &refused) || refused.Reason != channel.Unreachable {
			t.Errorf("without authority: %v", err)
		}
		for _, n := range []int{0, channel.MaxData + 1} {
			if _, err := alice.client.AskAuthority(v.t.Context(), make([]byte, n)); err == nil {
				t.Errorf("a request of %d bytes was taken", n)
			}
		}
		silent.Store(true)
		start := time.Now()
		if err := ask(v.t.Context()); !errors.Is(err, ErrNoAnswer) || time.Since(start) != 5500*time.Millisecond {
			t.Errorf("nobody answers: %v after %v", err, time.Since(start))
		}
		if got := r.count("APPLY"); got != 1+4 {
			t.Errorf("%d APPLYs, want 1 and 4", got)
		}
		ctx, cancel := context.WithTimeout(v.t.Context(), time.Second)
		defer cancel()
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the asker has no time: %v", err)
		}
		pass(10 * time.Second)
		if got := r.count("APPLY"); got != 5+2 {
			t.Errorf("%d APPLYs, want none after the asker has gone", got-5)
		}
		var wg sync.WaitGroup
		var many atomic.Int32
		for range maxAsking + 3 {
			wg.Go(func() {
				if errors.Is(ask(v.t.Context()), ErrTooMany) {
					many.Add(1)
				}
			})
		}
		wg.Wait()
		if many.Load() != 3 {
			t.Errorf("%d requests were too many, want 3", many.Load())
		}
		wg.Go(func() {
			if err := ask(v.t.Context()); !errors.Is(err, ErrNoChannel) {
				t.Errorf("the client begins anew: %v", err)
			}
		})
		pass(100 * time.Millisecond)
		if err := alice.client.Restart(v.t.Context(), alice.client.set); err != nil {
			t.Error(err)
		}
		wg.Wait()
		pass(time.Second)
		wg.Go(func() {
			if err := ask(v.t.Context()); !errors.Is(err, ErrStopped) {
				t.Errorf("the client ends: %v", err)
			}
		})
		pass(100 * time.Millisecond)
		alice.stop()
		wg.Wait()
	})
}
