package path

import (
	"fmt"
	"testing"
	"time"

	"campagnol/punch"
)

// A streamConn is a connection by TCP. Nothing is sent by it: the machine only names it.
type streamConn struct{ punch.Conn }

func (*streamConn) Transport() string { return "tcp" }

// newStreamed begins a play with a session in use over a connection. The server has named
// wan, where the peer is not yet.
func newStreamed(t *testing.T) (p *play, tcp punch.Endpoint) {
	p = newPlay(t)
	tcp = punch.Endpoint{Addr: at("[::ffff:203.0.113.1%tcp]:443").Addr, Conn: &streamConn{}}
	p.k = New(start, p.k.number, tcp, named(wan))
	p.rtt = map[punch.Endpoint]time.Duration{tcp: 10 * ms}
	p.sends, p.hears = true, true
	return p, tcp
}

// TestStreamThenUDP: a session over a connection goes on looking for a path by UDP, moves
// there though a round trip takes longer, keeps the connection warm, and is back on it
// within a second when UDP dies.
func TestStreamThenUDP(t *testing.T) {
	p, tcp := newStreamed(t)
	if c := p.k.View().Class(); c != TCP || p.k.Relayed(tcp) {
		t.Fatalf("the path is of class %v", c)
	}
	p.play(10 * time.Minute)
	if n := p.challenge[wan]; n < 20 {
		t.Errorf("a path by UDP was looked for %d times in ten minutes", n)
	}
	p.rtt[wan] = 60 * ms
	p.wantPath(wan, 2*time.Minute)
	p.forget()
	p.play(time.Minute)
	if n := p.challenge[tcp]; n < 5 || n > 8 {
		t.Errorf("the connection was challenged %d times in a minute, want 6", n)
	}
	delete(p.rtt, wan)
	if took := p.wantPath(tcp, 2*time.Second); took > time.Second {
		t.Errorf("back on the connection after %v", took)
	}
}

// TestStreamBeforeRelay: a connection takes over from a relay, and not the other way round.
func TestStreamBeforeRelay(t *testing.T) {
	p, relay := newRelayed(t)
	tcp := punch.Endpoint{Addr: at("[::ffff:203.0.113.1%tcp]:443").Addr, Conn: &streamConn{}}
	p.play(time.Second)
	p.rtt[tcp] = 200 * ms
	p.k.IntroduceBy(p.now, tcp.Conn, []punch.Candidate{{Addr: tcp.Addr, Kind: punch.Stream}})
	p.wantPath(tcp, 2*time.Second)
	p.wantActs("move " + tcp.String() + ": " + whyStream)
	p.play(time.Minute)
	if p.k.Path() != tcp {
		t.Errorf("the path is %v", p.k.Path())
	}
	p.k.Lost(p.now, tcp.Conn)
	if took := p.wantPath(relay, 2*time.Second); took > time.Second {
		t.Errorf("back on the relay after %v", took)
	}
	if p.k.find(tcp) != nil {
		t.Error("a connection that is gone is still a path")
	}
}

// TestStreamHasRoom: however many places relays try, one connection has room for its own,
// and no more than that.
func TestStreamHasRoom(t *testing.T) {
	p, _ := newRelayed(t)
	var list []punch.Candidate
	for i := range 10 {
		list = append(list, punch.Candidate{Addr: at(fmt.Sprintf("203.0.113.9:%d", 1+i)).Addr, Kind: punch.Observed})
	}
	count := func(conn punch.Conn) (n int) {
		for i := range p.k.list {
			if p.k.list[i].conn == conn {
				n++
			}
		}
		return n
	}
	r, s := &relayConn{name: "another"}, &streamConn{}
	p.k.IntroduceBy(p.now, r, list)
	p.k.IntroduceBy(p.now, s, list)
	if count(r) != maxByOther || count(s) != maxByStream {
		t.Errorf("%d places by a relay, %d over a connection; want %d and %d", count(r), count(s), maxByOther, maxByStream)
	}
	p.k.IntroduceBy(p.now, r, list)
	if count(r) != maxByOther {
		t.Errorf("%d places by a relay when there is a connection, want %d", count(r), maxByOther)
	}
}
