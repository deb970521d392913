package rdv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// TestOverview: a server tells who is registered, how, and who was introduced to whom.
func TestOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1", "fd00:9::1").dial()
		x.say(channel.Message{
			Type: channel.Register, VPN: []netip.Addr{ip6, ip1}, Software: "campagnol 9.9", NAT: nat.Behaviour{Known: true, Translated: true},
			Candidates: []punch.Candidate{place("198.51.100.9:4", punch.Mapped, "")}, Relays: true,
		})
		x.wants(channel.Registered)
		a.hub.from(epC, hello(ip3).Append(nil))
		time.Sleep(2 * time.Second)
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip3}})
		x.wants(channel.Peer)

		o, err := a.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Clients) != 2 || o.Mode != Mixed || o.Software != "test" || o.Relays || o.Time.Sub(o.Started) != 2*time.Second {
			t.Fatalf("%+v", o)
		}
		c := o.Clients[0]
		if c.Name != "alice" || !c.Channel || c.Stream || c.Endpoint != epA || fmt.Sprint(c.VPN) != "[10.9.0.1 fd00:9::1]" {
			t.Errorf("the member is %+v", c)
		}
		if c.Software != "campagnol 9.9" || !c.NAT.Translated || c.Candidates != 1 || !c.Relaying || c.Expires.Before(o.Time) || c.Asked != 1 || c.Wanted != 0 {
			t.Errorf("of the member is known %+v", c)
		}
		if o.Time.Sub(c.Since) != 2*time.Second || !c.Heard.Equal(o.Time) {
			t.Errorf("registered at %v, heard at %v, now it is %v", c.Since, c.Heard, o.Time)
		}
		if c = o.Clients[1]; c.Channel || c.Name != "" || c.VPN[0] != ip3 || c.Endpoint != epC || c.Wanted != 1 || o.Time.Sub(c.Heard) != 2*time.Second {
			t.Errorf("the client in clear is %+v", c)
		}
		if len(o.Pairs) != 1 || o.Pairs[0].Asker != ip1 || o.Pairs[0].Asked != ip3 || !o.Pairs[0].Time.Equal(o.Time) || o.Pairs[0].Relayed {
			t.Errorf("introduced: %+v", o.Pairs)
		}
		if o.Pace[len(o.Pace)-1] != 1 || o.Stats.Introduced+o.Stats.IntroducedClear != 1 {
			t.Errorf("introductions: %v, %d in all", o.Pace, o.Stats.Introduced+o.Stats.IntroducedClear)
		}
	})
}

// TestOverviewOfMany: those who are looked at in several pieces are all there, once, in
// order, while the server goes on.
func TestOverviewOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serveWith(t, Mixed, 0, func(cfg *Config) { cfg.Log = nil })
		defer a.end()
		const many = 3*lookAtOnce + 7
		for i := range many {
			at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1024)
			a.hub.from(at, hello(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})).Append(nil))
		}
		synctest.Wait()
		o, err := a.Overview(t.Context())
		if err != nil || len(o.Clients) != many {
			t.Fatalf("%d clients, %v, want %d", len(o.Clients), err, many)
		}
		for i := 1; i < many; i++ {
			if !o.Clients[i-1].VPN[0].Less(o.Clients[i].VPN[0]) {
				t.Fatalf("%v comes before %v", o.Clients[i-1].VPN, o.Clients[i].VPN)
			}
		}
	})
}

// TestOverviewStops: who looks at a server that ends, or has not begun, does not wait for
// ever.
func TestOverviewStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := New(Config{Conn: newMemConn()}).Overview(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: %v", err)
		}
		a := serve(t, Mixed)
		a.end()
		if _, err := a.Overview(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("after Run: %v", err)
		}
	})
}

// TestDistrusted: whose certificate is revoked is among the refusals.
func TestDistrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Strict)
		defer a.end()
		x := a.client(t, epA, "mallory", "10.9.0.1").dial()
		x.register(ip1)
		a.hub.from(epC, wire.Message{Type: wire.Hello, IP1: ip3}.Append(nil)) // refused, without a word
		a.SetTrust(a.trust(t, x.leaf.Cert))
		synctest.Wait()
		o, err := a.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Clients) != 0 || len(o.Refusals) != 1 || o.Refusals[0].Kind != Distrusted || o.Refusals[0].Name != "mallory" {
			t.Errorf("clients %v, refusals %+v, want one of mallory", o.Clients, o.Refusals)
		}
	})
}

// TestRelayedPair: who asks for the relay for a peer is shown so.
func TestRelayedPair(t *testing.T) {
	s := newStage(t, Mixed, 0)
	s.reg.cfg.Grant = func(time.Time, netip.Addr) RelayGrant { return RelayGrant{User: "u", Lifetime: time.Hour} }
	a, b := s.join(epA, alice), s.join(epB, bob)
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	s.says(a, askFor(2, ip2), "alice PEER 10.9.0.2 at 203.0.113.22:39538 authentic", "bob INTRODUCE 10.9.0.1 at 203.0.113.21:49380 authentic")
	if p := s.reg.pairs(); len(p) != 1 || p[0].Relayed {
		t.Errorf("before: %+v", p)
	}
	s.reg.Handle(s.time(), In{From: epB, Member: b, Request: &channel.Message{Type: channel.Relay, ID: 3, VPN: []netip.Addr{ip1}}}, nil)
	if p := s.reg.pairs(); len(p) != 1 || !p[0].Relayed {
		t.Errorf("after: %+v", p)
	}
}
