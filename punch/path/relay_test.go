package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
)

// A relayConn is a socket whose datagrams somebody passes on. Nothing is sent by it: the
// machine only names it.
type relayConn struct {
	punch.Conn
	name string
}

func (r *relayConn) Relay() string { return r.name }

// through returns an endpoint by a relay of ours.
func through(name string, at punch.Endpoint) punch.Endpoint {
	return punch.Endpoint{Addr: at.Addr, Conn: &relayConn{name: name}}
}

// newRelayed begins a play with a session in use over a relay of ours, at whose other end
// the peer has the address wan. The server has named wan, where the peer is not yet.
func newRelayed(t *testing.T) (p *play, relay punch.Endpoint) {
	p = newPlay(t)
	relay = through("relay", wan)
	p.k = New(start, p.k.number, relay, named(wan))
	p.rtt = map[punch.Endpoint]time.Duration{relay: 30 * ms}
	p.sends, p.hears = true, true
	return p, relay
}

// wantPath lets time pass until the path is at, and returns how long that took.
func (p *play) wantPath(at punch.Endpoint, within time.Duration) time.Duration {
	p.t.Helper()
	from := p.now
	for p.k.Path() != at {
		if p.now.Sub(from) > within {
			p.t.Fatalf("the path is %v after %v, want %v\n%s", p.k.Path(), within, at, p.acts)
		}
		p.play(ms)
	}
	return p.now.Sub(from)
}

// TestOneAddressTwice: the peer has the same address directly and by a relay. The two are
// different paths, of which the direct one takes over as soon as it has answered twice.
func TestOneAddressTwice(t *testing.T) {
	p, relay := newRelayed(t)
	if c := p.k.View().Class(); c != Relay || !p.k.Relayed(relay) || p.k.Relayed(wan) {
		t.Fatalf("the path is of class %v", c)
	}
	p.play(100 * ms)
	p.rtt[wan] = 20 * ms
	p.wantPath(wan, 500*ms)
	p.wantActs("move 203.0.113.1:5000: " + whyDirect)
	if n := len(p.k.Endpoints()); n != 2 {
		t.Errorf("%d endpoints, want two with one address", n)
	}
	if c := p.k.View().Class(); c != WAN {
		t.Errorf("the path is of class %v", c)
	}
}

// TestFallBack: a relay that stands is kept warm while the session has a direct path, and
// takes over well within a second of its death, whenever that is.
func TestFallBack(t *testing.T) {
	for i := range 40 {
		p, relay := newRelayed(t)
		p.rtt[wan] = 20 * ms
		p.wantPath(wan, 500*ms)
		p.forget()
		p.play(time.Minute)
		if n := p.challenge[relay]; n < 5 || n > 7 {
			t.Errorf("%d challenges to the relay in a minute of use, want one in 10 s", n)
		}
		p.k.Introduce(p.now, named(wan, other, third, lan)) // others that may be tried
		p.play(5*time.Second + time.Duration(i)*257*ms)
		delete(p.rtt, wan)
		p.forget()
		if took := p.wantPath(relay, time.Second); took > 400*ms {
			t.Errorf("back on the relay after %v", took)
		}
		if p.count("move") != 1 {
			t.Errorf("did %q", p.acts)
		}
	}
}

// TestFallBackAfterPause: the relay was not kept warm while nothing was sent.
func TestFallBackAfterPause(t *testing.T) {
	p, relay := newRelayed(t)
	p.rtt[wan] = 20 * ms
	p.wantPath(wan, 500*ms)
	p.sends, p.hears = false, false
	p.play(5 * time.Minute)
	p.forget()
	p.play(5 * time.Minute)
	if n := p.challenge[relay]; n != 0 {
		t.Errorf("%d challenges to the relay without use", n)
	}
	delete(p.rtt, wan)
	p.sends = true
	if took := p.wantPath(relay, time.Second); took > 500*ms {
		t.Errorf("back on the relay after %v", took)
	}
}

// TestRelayedPeer: it is the peer that has a relay, says the server.
func TestRelayedPeer(t *testing.T) {
	p := newPlay(t)
	list := []punch.Candidate{{Addr: wan.Addr, Kind: punch.Observed}, {Addr: other.Addr, Kind: punch.Relayed}}
	p.k = New(start, p.k.number, other, list)
	p.rtt = map[punch.Endpoint]time.Duration{other: 30 * ms}
	p.sends, p.hears = true, true
	if c := p.k.View().Class(); c != Relay || !p.k.Relayed(other) {
		t.Fatalf("the path is of class %v", c)
	}
	p.play(time.Second)
	p.rtt[wan] = 60 * ms // slower, and direct
	p.wantPath(wan, 6*time.Second)
	p.play(20 * time.Second)
	delete(p.rtt, wan)
	p.wantPath(other, 700*ms)
}

// TestHeals: a direct path that was lost for a while is taken again soon after it is back.
func TestHeals(t *testing.T) {
	for _, away := range []time.Duration{3 * time.Second, 45 * time.Second, 70 * time.Second} {
		p, relay := newRelayed(t)
		p.rtt[wan] = 20 * ms
		p.play(30 * time.Second)
		delete(p.rtt, wan)
		p.wantPath(relay, time.Second)
		p.play(away)
		p.rtt[wan] = 20 * ms
		if took := p.wantPath(wan, time.Minute); took > 10*time.Second {
			t.Errorf("after %v without it, the direct path is taken %v after it is back", away, took)
		}
	}
}

// TestHopeless: a session that stays on its relay for ever looks for a direct path less
// and less.
func TestHopeless(t *testing.T) {
	p, _ := newRelayed(t)
	p.play(time.Minute)
	p.forget()
	p.play(time.Hour)
	if n := p.challenge[wan]; n < 10 || n > 50 {
		t.Errorf("%d challenges in an hour to where the peer is not, want 10 to 50", n)
	}
	p.forget()
	p.sends, p.hears = false, false
	p.play(time.Hour)
	if n := p.challenge[wan]; n > 1 {
		t.Errorf("%d challenges in an hour without use", n)
	}
}

// TestNotBackAndForth: a direct path that always dies soon after it was taken is tried
// more and more rarely.
func TestNotBackAndForth(t *testing.T) {
	p, relay := newRelayed(t)
	var ups []time.Duration
	for p.now.Sub(start) < 20*time.Minute {
		p.rtt[wan] = 20 * ms
		p.wantPath(wan, 15*time.Minute)
		ups = append(ups, p.now.Sub(start))
		p.play(2 * time.Second)
		delete(p.rtt, wan)
		p.wantPath(relay, time.Second)
	}
	for i, least := 1, barMin; i < len(ups); i, least = i+1, min(2*least, barMax) {
		if gap := ups[i] - ups[i-1]; gap < least || gap > 2*least+20*time.Second {
			t.Errorf("move %d to the direct path is %v after the one before, want %v and a little", i, gap, least)
		}
	}
	if len(ups) > 7 {
		t.Errorf("%d moves in 20 minutes", len(ups))
	}
	// Once it has carried the session for long enough, it is trusted again.
	p.rtt[wan] = 20 * ms
	p.wantPath(wan, 30*time.Minute)
	p.play(time.Minute)
	delete(p.rtt, wan)
	p.wantPath(relay, time.Second)
	p.play(time.Second)
	p.rtt[wan] = 20 * ms
	if took := p.wantPath(wan, time.Minute); took > 10*time.Second {
		t.Errorf("taken again after %v, want at once", took)
	}
}

// TestBarredInTheDark: a path that is barred is better than none.
func TestBarredInTheDark(t *testing.T) {
	p, relay := newRelayed(t)
	p.rtt[wan] = 20 * ms
	p.wantPath(wan, time.Second)
	p.play(2 * time.Second)
	delete(p.rtt, wan)
	p.wantPath(relay, time.Second)
	p.rtt[wan] = 20 * ms
	p.play(20 * time.Second)
	if p.k.Path() != relay {
		t.Fatal("moved to a path that has just died")
	}
	if why := p.k.Report(p.now)[1].Why; why != "has broken soon after the session had moved there" {
		t.Errorf("it is said that it %s", why)
	}
	delete(p.rtt, relay)
	p.wantPath(wan, time.Second)
}

// A plainConn is an extra socket.
type plainConn struct{ punch.Conn }

// TestHint: where a punch was heard, a challenge goes, and the session, if it is answered.
func TestHint(t *testing.T) {
	p, _ := newRelayed(t)
	p.play(5 * time.Second)
	extra := punch.Endpoint{Addr: wan.Addr, Conn: &plainConn{}}
	p.rtt[extra] = 20 * ms
	p.k.Hint(p.now, extra)
	p.wantPath(extra, 300*ms)
	p.k.Hint(p.now, extra) // the path itself: nothing
	if n := len(p.k.Endpoints()); n != 3 {
		t.Errorf("%d endpoints, want the relay, the address that was named, and the path", n)
	}
}

// TestHintFlood: anybody can send punches. They cost neither what is known nor many
// challenges.
func TestHintFlood(t *testing.T) {
	p, relay := newRelayed(t)
	p.k.Stray(p.now, other)
	p.play(5 * time.Second)
	p.forget()
	const seconds = 30
	for i := range seconds * 100 {
		at := third
		at.Addr = netip.AddrPortFrom(at.Addr.Addr(), uint16(1+i%1000))
		p.k.Hint(p.now, at)
		p.k.Hint(p.now, wan)
		p.play(10 * ms)
		if n := len(p.k.Endpoints()); n > 3+maxHinted {
			t.Fatalf("%d endpoints are remembered", n)
		}
	}
	for _, at := range []punch.Endpoint{relay, wan, other} {
		if !slices.Contains(p.k.Endpoints(), at) {
			t.Errorf("%v is forgotten", at)
		}
	}
	total := 0
	for _, n := range p.challenge {
		total += n
	}
	if limit := budgetBurst + seconds*budgetRate + 30; total > limit {
		t.Errorf("%d challenges in %d s, want %d at most", total, seconds, limit)
	}
	// One of them may be true all the same, and what is authentic counts more.
	at := third
	p.rtt[at] = 20 * ms
	p.k.Hint(p.now, at)
	p.wantPath(at, time.Second)
	for i := range 20 {
		at.Addr = netip.AddrPortFrom(at.Addr.Addr(), uint16(2000+i))
		p.k.Hint(p.now, at)
		p.k.Stray(p.now, at)
		if n := len(p.k.Endpoints()); n > 3+maxHinted+maxReflexive {
			t.Fatalf("%d endpoints are remembered", n)
		}
	}
}

// TestLost: with its socket the path is gone; the session goes to the next one at once,
// and never back. What is lost beside the path is forgotten.
func TestLost(t *testing.T) {
	p, relay := newRelayed(t)
	second := through("second", wan)
	p.k.IntroduceBy(p.now, second.Conn, named(wan))
	p.rtt[second] = 40 * ms
	p.play(time.Minute)
	if p.k.Path() != relay {
		t.Fatalf("the path is %v", p.k.Path())
	}
	delete(p.rtt, relay)
	p.k.Lost(p.now, relay.Conn)
	if took := p.wantPath(second, time.Second); took > 100*ms {
		t.Errorf("on the other relay after %v", took)
	}
	if slices.Contains(p.k.Endpoints(), relay) {
		t.Error("what is gone is a candidate")
	}
	third := through("third", wan)
	p.k.IntroduceBy(p.now, third.Conn, named(wan))
	p.k.Lost(p.now, third.Conn)
	p.k.Lost(p.now, nil)
	if p.k.Dark() || len(p.k.Endpoints()) != 2 {
		t.Errorf("dark %v, %d endpoints, want the path and the address that was named", p.k.Dark(), len(p.k.Endpoints()))
	}
}

// TestManyRelays: what other sockets are to try is bounded, and does not replace what the
// primary one tries, nor what one of them does what others do.
func TestManyRelays(t *testing.T) {
	p, relay := newRelayed(t)
	for i := range 10 {
		conn := &relayConn{name: "another"}
		p.k.IntroduceBy(p.now, conn, named(wan, other, third))
		if n := len(p.k.Endpoints()); n > 2+maxByOther {
			t.Fatalf("%d endpoints after %d relays", n, i+1)
		}
	}
	if !slices.Contains(p.k.Endpoints(), wan) || !slices.Contains(p.k.Endpoints(), relay) {
		t.Errorf("of those of the beginning there are %v", p.k.Endpoints())
	}
	p.k.Introduce(p.now, named(lan))
	if n := len(p.k.Endpoints()); n != 2+maxByOther {
		t.Errorf("%d endpoints after another introduction, want the path, the named one and %d", n, maxByOther)
	}
}
