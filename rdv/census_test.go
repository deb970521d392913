package rdv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// TestCensus: members whose certificates end at various times, some of which have
// ended; of one it is not known.
func TestCensus(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := New(Config{Conn: newMemConn()})
	var left float64
	for i, d := range []time.Duration{-time.Hour, 0, time.Second, day, 2 * day, 10 * day, 400 * day} {
		id := Identity{Key: pki.KeyID{byte(i)}, Name: fmt.Sprint(i), Expires: now.Add(d).Unix()}
		s.registry.Join(now, spot{AddrPort: netip.AddrPortFrom(ip1, uint16(i+1))}, here, id)
		left += d.Seconds()
	}
	s.registry.Join(now, spot{AddrPort: netip.AddrPortFrom(ip1, 99)}, here, carol)
	c := s.census(now)
	want := Census{Members: 7, Left: left, First: now.Add(-time.Hour)}
	want.Within = [len(CensusBounds)]int{2, 4, 5, 5, 6, 6, 6, 6} // 0, 1, 3, 7, 14, 30, 90, 365 days
	if c.Members != want.Members || c.Within != want.Within || c.Left != want.Left || !c.First.Equal(want.First) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c := New(Config{Conn: newMemConn()}).census(now); c != (Census{}) {
		t.Errorf("of nobody: %+v", c)
	}
}

// TestCensusAsked: a server that serves answers, one that has ended or has not begun
// does not, and nobody waits for ever.
func TestCensusAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		c, err := a.Census(t.Context())
		if err != nil || c.Members != 1 || !c.First.Equal(x.leaf.Cert.NotAfter) {
			t.Errorf("%+v, %v; want a certificate until %v", c, err, x.leaf.Cert.NotAfter)
		}
		a.end()
		if _, err := a.Census(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := New(Config{Conn: newMemConn()}).Census(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the beginning: %v", err)
		}
	})
}

// TestCensusCrowd: with 20,000 members control is held for less than 5 ms.
func TestCensusCrowd(t *testing.T) {
	const n, limit = 20_000, 5 * time.Millisecond
	now := time.Now()
	s := New(Config{Conn: newMemConn()})
	for i := range n {
		id := Identity{Key: pki.KeyID{byte(i >> 8), byte(i)}, Expires: now.Unix() + int64(i)}
		s.registry.Join(now, spot{AddrPort: netip.AddrPortFrom(nthVPN(i), 1)}, here, id)
	}
	best := time.Hour // others may have the processor meanwhile
	for range 10 {
		start := time.Now()
		if c := s.census(now); c.Members != n {
			t.Fatalf("%d members", c.Members)
		}
		best = min(best, time.Since(start))
	}
	t.Logf("%v", best)
	if best > limit {
		t.Errorf("control is held for %v, want less than %v", best, limit)
	}
}

// TestExpiries: the certificates and lists are those of the trust in use; a server
// without one depends on none.
func TestExpiries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := New(Config{Conn: newMemConn()})
		if e, r := open.Expiries(), open.Revocations(time.Now()); e != nil || r != nil {
			t.Errorf("without certificate: %v, %v", e, r)
		}
		a := serve(t, Mixed)
		defer a.end()
		e := a.Expiries()
		if len(e) != 2 || e[0].CA || !e[0].At.Equal(a.rdv.Cert.NotAfter) || !e[1].CA || !e[1].At.Equal(a.ca.Cert.NotAfter) {
			t.Errorf("%+v", e)
		}
		if r := a.Revocations(time.Now()); len(r) != 0 {
			t.Errorf("lists: %+v", r)
		}
		a.SetTrust(a.trust(t, a.ca.Issue(t, "mallory", pkitest.Addrs("10.9.0.66")).Cert))
		if r := a.Revocations(time.Now()); len(r) != 1 || r[0].Certificates != 1 {
			t.Errorf("with a list: %+v", r)
		}
		if len(a.Expiries()) != 2 {
			t.Errorf("%+v", a.Expiries())
		}
	})
}

// TestSaid: what clients are answered counts, over channels and in clear.
func TestSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		x.wants(channel.Peer)
		y.say(channel.Message{Type: channel.Done, ID: y.wants(channel.Introduce).ID})
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip3}})
		x.wants(channel.Refused)
		x.say(channel.Message{Type: channel.Relay, VPN: []netip.Addr{ip2}})
		x.wants(channel.Refused)
		x.pings(wire.Pong)
		synctest.Wait()
		st := a.Stats()
		refused := st.Refused.ByReason()
		if st.Introduced != 1 || st.IntroducedClear != 0 || st.Pings != 1 || refused["unknown_peer"] != 1 || refused["unsupported"] != 1 {
			t.Errorf("%+v, refused %v", st, refused)
		}
		if st.Clients != 2 || st.Clear != 0 || st.Channels != 2 || st.Authorities != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestSaidInClear: the same in clear, where clients are told no reason.
func TestSaidInClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, false, 0, 1)
		r.exchange([]punch.Datagram{datagram(epA, hello(ip1))}, to(epA, wire.OK))
		r.exchange([]punch.Datagram{datagram(epB, hello(ip2))}, to(epB, wire.NOK))
		r.exchange([]punch.Datagram{datagram(epA, ask(ip2))}, Out{To: epA, Msg: wire.Message{Type: wire.Reject, IP1: ip2}})
		r.exchange([]punch.Datagram{datagram(epA, ping)}, to(epA, wire.Pong))
		st := r.Stats()
		refused := st.Refused.ByReason()
		if st.Clear != 1 || st.Clients != 1 || refused[refusedHello] != 1 || refused[refusedAsk] != 1 || st.Pings != 1 {
			t.Errorf("%+v, refused %v", st, refused)
		}
		if r.Batches() != 2 || st.Busy < 0 || st.Busy > r.Batches() {
			t.Errorf("%d of %d batches are busy", st.Busy, r.Batches())
		}
		r.end()
	})
}

// TestReasons: every reason has a name of its own, and one that is not known counts as
// another.
func TestReasons(t *testing.T) {
	var s said
	seen := map[string]bool{}
	for why := range channel.Reason(maxReason + 1) {
		if name := reasonNames[why]; name == "" || seen[name] {
			t.Errorf("reason %d is %q", why, name)
		}
		seen[reasonNames[why]] = true
		s.note(&Out{Member: &Member{}, Answer: &channel.Message{Type: channel.Refused, Reason: why}})
	}
	if (maxReason + 1).String() == maxReason.String() {
		t.Error("there are more reasons")
	}
	s.note(&Out{Member: &Member{}, Answer: &channel.Message{Type: channel.Refused, Reason: 0xffff}})
	s.note(&Out{Gate: &wire.GateMessage{Type: wire.Closed}})
	for name, n := range s.refusals().ByReason() {
		want := uint64(1)
		switch name {
		case "other":
			want = 2
		case refusedHello, refusedAsk:
			want = 0
		}
		if n != want {
			t.Errorf("%s: %d, want %d", name, n, want)
		}
	}
}
