package names

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestBook: a zone is made when somebody asks and it is old; who asks for what it has
// does not wait, and who asks for what it has not waits for the next one.
func TestBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		made, takes := 0, 100*time.Millisecond
		b := NewBook(zoneOf(), func(context.Context) *Zone {
			time.Sleep(takes)
			made++
			return zoneOf(entry(fmt.Sprintf("host%d", made), "10.9.0.2"))
		})
		done := make(chan struct{})
		go func() { b.Run(ctx); close(done) }()
		ask := func(name string) (z *Zone, took time.Duration) {
			began := time.Now()
			z = b.Zone(ctx, began, func(z *Zone) bool { return z.Resolve(name) != nil })
			return z, time.Since(began)
		}
		for _, c := range []struct {
			what  string
			after time.Duration
			ask   string
			takes time.Duration // of the source
			found bool
			took  time.Duration
			made  int // when all is quiet
		}{
			{"the first question waits", 0, "host1", 100 * time.Millisecond, true, 100 * time.Millisecond, 1},
			{"what is known is answered at once", 10 * time.Second, "host1", 0, true, 0, 1},
			{"what is not known waits for a newer zone", 0, "host2", 200 * time.Millisecond, true, 200 * time.Millisecond, 2},
			{"but not if that is new", time.Second, "host9", 0, false, 0, 2},
			{"what is known, and old, is renewed for the next", 40 * time.Second, "host2", 0, true, 0, 3},
			{"what is very old is waited for", time.Hour, "host3", 50 * time.Millisecond, false, 50 * time.Millisecond, 4},
			{"nobody waits for ever", time.Hour, "host5", time.Minute, false, bookPatience, 5},
		} {
			time.Sleep(c.after)
			takes = c.takes
			z, took := ask(c.ask)
			if found := z.Resolve(c.ask) != nil; found != c.found || took != c.took {
				t.Errorf("%s: found %v after %v, want %v after %v", c.what, found, took, c.found, c.took)
			}
			time.Sleep(2 * c.takes)
			synctest.Wait()
			if made != c.made {
				t.Errorf("%s: %d zones were made, want %d", c.what, made, c.made)
			}
		}
		cancel()
		<-done
	})
}

func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Unix(1e9, 0)
	allowed := func(from netip.Addr, count int) (yes int) {
		for range count {
			if l.allow(now, from) {
				yes++
			}
		}
		return yes
	}
	a, b := own[0], own[1]
	if got := allowed(a, 2*limitBurst); got != limitBurst {
		t.Errorf("%d at once, want %d", got, limitBurst)
	}
	if got := allowed(b, 1); got != 1 {
		t.Error("another host is held to what the first one did")
	}
	now = now.Add(100 * time.Millisecond)
	if got := allowed(a, limitBurst); got != limitRate/10 {
		t.Errorf("%d after a tenth of a second, want %d", got, limitRate/10)
	}
	var from netip.Addr = netip.MustParseAddr("fd09::1:0")
	for range 2 * maxHosts {
		from = from.Next()
		l.allow(now, from)
	}
	if len(l.hosts) > maxHosts {
		t.Errorf("%d hosts are remembered", len(l.hosts))
	}
	now = now.Add(time.Minute)
	if got := allowed(from.Next(), 1); got != 1 || len(l.hosts) > 2 {
		t.Errorf("a minute later: %d allowed, %d remembered", got, len(l.hosts))
	}
}
