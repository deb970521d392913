package punch

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

var (
	low   = netip.MustParseAddr("10.9.0.1")
	high  = netip.MustParseAddr("10.9.0.2")
	there = netip.MustParseAddrPort("203.0.113.22:39538")
	lan   = netip.MustParseAddrPort("192.168.1.3:46252")
	odd   = netip.MustParseAddrPort("203.0.113.22:51000")
	start = time.Unix(0, 0) // any value: the machine never reads a clock
)

// at returns where a peer is, by the primary socket.
func at(addr netip.AddrPort) Endpoint { return Endpoint{Addr: addr} }

func asker() Config { return Config{Self: low, Peer: high, Asked: true} }
func asked() Config { return Config{Self: low, Peer: high} }

// theirs is a punch of the peer with address vpn.
func theirs(vpn netip.Addr, m wire.Mark) wire.Message { return wire.NewPunch(vpn, m) }

// original is a punch of the original program.
func original(vpn netip.Addr) wire.Message { return wire.Message{Type: wire.Punch, IP1: vpn} }

// sends renders what is to be sent.
func sends(out []Out) string {
	var s []string
	for _, o := range out {
		m, _ := o.Msg.Mark()
		text := o.To.String()
		if m.Heard {
			text += " heard"
		}
		s = append(s, text)
	}
	return strings.Join(s, ", ")
}

// run advances a until the time given after start and returns what was sent,
// with times in milliseconds.
func run(a *Attempt, from, until time.Duration) []string {
	var log []string
	for {
		next := a.Timeout()
		if next.IsZero() || next.Sub(start) > until {
			return log
		}
		now := next
		if d := now.Sub(start); d < from {
			now = start.Add(from)
		}
		if out := a.Advance(now, nil); len(out) > 0 {
			log = append(log, fmt.Sprintf("%d: %s", now.Sub(start).Milliseconds(), sends(out)))
		}
	}
}

func wantState(t *testing.T, a *Attempt, state State, path Endpoint, role Role) {
	t.Helper()
	s, p := a.State()
	if s != state || p != path || a.Role() != role {
		t.Errorf("%v on %v as %v, want %v on %v as %v", s, p, a.Role(), state, path, role)
	}
}

// TestGivesUp checks the volleys of an attempt that hears nothing.
func TestGivesUp(t *testing.T) {
	a := NewAttempt(start, asker(), there, lan)
	log := run(a, 0, time.Hour)
	if len(log) != 19 {
		t.Errorf("%d volleys, want 13 in two seconds and 6 after: %v", len(log), log)
	}
	for i, want := range map[int]string{
		0:  "0: 203.0.113.22:39538, 192.168.1.3:46252",
		1:  "20: 203.0.113.22:39538, 192.168.1.3:46252",
		2:  "60: 203.0.113.22:39538, 192.168.1.3:46252",
		3:  "140: 203.0.113.22:39538, 192.168.1.3:46252",
		4:  "300: 203.0.113.22:39538, 192.168.1.3:46252",
		12: "1900: 203.0.113.22:39538, 192.168.1.3:46252",
		13: "2400: 203.0.113.22:39538, 192.168.1.3:46252",
		18: "4900: 203.0.113.22:39538, 192.168.1.3:46252",
	} {
		if i < len(log) && log[i] != want {
			t.Errorf("volley %d = %q, want %q", i, log[i], want)
		}
	}
	wantState(t, a, Failed, Endpoint{}, Undecided)
	if out := a.Handle(start, at(there), original(high), nil); out != nil || !a.Timeout().IsZero() {
		t.Error("a failed attempt still acts")
	}
	a.Introduce(start, lan)
	a.Reject(start, at(there))
	wantState(t, a, Failed, Endpoint{}, Undecided)
}

// TestOriginalPeer: an original looks for a punch only while it waits for one,
// so it gets all of them, and the first of its own is answered at once.
func TestOriginalPeer(t *testing.T) {
	a := NewAttempt(start, asker(), there)
	a.Advance(start, nil)
	out := a.Handle(start.Add(100*time.Millisecond), at(there), original(high), nil)
	if got, want := sends(out), "203.0.113.22:39538 heard"; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	wantState(t, a, Open, at(there), Client)
	if a.PeerIsOurs() {
		t.Error("an original is taken for one of ours")
	}
	if log := run(a, 0, time.Hour); len(log) != 12 || log[11] != "1900: 203.0.113.22:39538 heard" {
		t.Errorf("volleys after opening: %v, want twelve more", log)
	}
	wantState(t, a, Open, at(there), Client)
}

// TestOurPeer: one of ours that has heard us needs no more punches.
func TestOurPeer(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	a.Advance(start, nil)
	out := a.Handle(start.Add(10*time.Millisecond), at(there), theirs(high, wire.Mark{Asked: true}), nil)
	if got, want := sends(out), "203.0.113.22:39538 heard"; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	wantState(t, a, Open, at(there), Server)
	if !a.PeerIsOurs() {
		t.Error("one of ours is taken for an original")
	}
	out = a.Handle(start.Add(20*time.Millisecond), at(there), theirs(high, wire.Mark{Asked: true, Heard: true}), nil)
	if len(out) != 0 {
		t.Errorf("answered a punch that says heard: %v", sends(out))
	}
	if log := run(a, 0, time.Hour); len(log) != 0 {
		t.Errorf("punches after both have heard: %v", log)
	}
}

func TestAnswersAreLimited(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	answers := 0
	for ms := range 1000 {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		answers += len(a.Handle(now, at(there), original(high), nil))
	}
	if answers != 20 {
		t.Errorf("%d answers to 1000 punches in a second, want 20", answers)
	}
}

// TestReflexive: a symmetric NAT punches from a port that nobody named.
func TestReflexive(t *testing.T) {
	a := NewAttempt(start, asker(), there)
	a.Advance(start, nil)
	out := a.Handle(start, at(odd), theirs(high, wire.Mark{}), nil)
	if got, want := sends(out), "203.0.113.22:51000 heard"; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	wantState(t, a, Open, at(odd), Client)
	if !a.Knows(at(odd)) || !a.Knows(at(there)) || a.Knows(at(lan)) {
		t.Errorf("candidates %v", a.Candidates())
	}
}

// TestReflexiveFlood: punches from many places neither grow the attempt without
// bound nor push out what the RDV named or the path.
func TestReflexiveFlood(t *testing.T) {
	a := NewAttempt(start, asked(), there, lan)
	a.Handle(start, at(odd), original(high), nil)
	for port := range 5000 {
		addr := netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(port+1))
		a.Handle(start, at(addr), original(high), nil)
	}
	if n := len(a.Candidates()); n != 2+maxReflexive {
		t.Errorf("%d candidates, want %d", n, 2+maxReflexive)
	}
	for _, addr := range []netip.AddrPort{there, lan, odd} {
		if !a.Knows(at(addr)) {
			t.Errorf("%v was pushed out", addr)
		}
	}
	wantState(t, a, Open, at(odd), Server)
}

func TestCandidatesBounded(t *testing.T) {
	a := NewAttempt(start, asked(), netip.AddrPort{}, netip.AddrPortFrom(there.Addr(), 0))
	if got := a.Candidates(); len(got) != 0 {
		t.Errorf("candidates %v, want none of the invalid ones", got)
	}
	for port := range 100 {
		a.Introduce(start, netip.AddrPortFrom(there.Addr(), uint16(port+1)))
	}
	if n := len(a.Candidates()); n != maxCandidates {
		t.Errorf("%d candidates, want %d", n, maxCandidates)
	}
}

// TestGlare is the table of who speaks first when both asked.
func TestGlare(t *testing.T) {
	for _, c := range []struct {
		name    string
		self    netip.Addr
		crossed bool // the RDV told us
		punch   func(peer netip.Addr) wire.Message
		want    Role
		later   Role // after holdTime of silence
	}{
		{"no glare, ours", high, false, func(p netip.Addr) wire.Message { return theirs(p, wire.Mark{}) }, Client, Client},
		{"no glare, original", high, false, original, Client, Client},
		{"both ours, we are lower", low, true, func(p netip.Addr) wire.Message { return theirs(p, wire.Mark{Asked: true}) }, Client, Client},
		{"both ours, we are higher", high, true, func(p netip.Addr) wire.Message { return theirs(p, wire.Mark{Asked: true}) }, Server, Client},
		{"both ours, we are higher and the RDV's word was lost", high, false, func(p netip.Addr) wire.Message { return theirs(p, wire.Mark{Asked: true}) }, Server, Client},
		{"the peer no longer asks", high, true, func(p netip.Addr) wire.Message { return theirs(p, wire.Mark{}) }, Client, Client},
		{"original, we are lower", low, true, original, Server, Client},
		{"original, we are higher", high, true, original, Server, Client},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer := low
			if c.self == low {
				peer = high
			}
			a := NewAttempt(start, Config{Self: c.self, Peer: peer, Asked: true}, there)
			if c.crossed {
				a.Cross()
			}
			a.Advance(start, nil)
			a.Handle(start, at(there), c.punch(peer), nil)
			if got := a.Role(); got != c.want {
				t.Errorf("role %v, want %v", got, c.want)
			}
			run(a, 0, holdTime-time.Millisecond)
			if got := a.Role(); got != c.want {
				t.Errorf("role %v before %v, want %v", got, holdTime, c.want)
			}
			run(a, 0, holdTime)
			if got := a.Role(); got != c.later {
				t.Errorf("role %v after %v, want %v", got, holdTime, c.later)
			}
		})
	}
}

// TestYields: whoever gets a ClientHello although it sent one itself.
func TestYields(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		m    *wire.Message
		want bool
	}{
		{"we did not ask", Config{Self: low, Peer: high}, ptr(theirs(high, wire.Mark{Asked: true})), true},
		{"original", Config{Self: low, Peer: high, Asked: true}, ptr(original(high)), true},
		{"not heard yet", Config{Self: low, Peer: high, Asked: true}, nil, true},
		{"both ours, we are lower", Config{Self: low, Peer: high, Asked: true}, ptr(theirs(high, wire.Mark{Asked: true})), false},
		{"both ours, we are higher", Config{Self: high, Peer: low, Asked: true}, ptr(theirs(low, wire.Mark{Asked: true})), true},
	} {
		a := NewAttempt(start, c.cfg, there)
		if c.m != nil {
			a.Handle(start, at(there), *c.m, nil)
		}
		if got := a.Yields(at(there)); got != c.want {
			t.Errorf("%s: Yields = %v, want %v", c.name, got, c.want)
		}
	}
}

func ptr(m wire.Message) *wire.Message { return &m }

// TestReject: a path on which no session came about makes way for another.
func TestReject(t *testing.T) {
	a := NewAttempt(start, asker(), there, lan)
	a.Advance(start, nil)
	a.Handle(start, at(odd), original(high), nil) // somebody else's punch was first
	a.Handle(start, at(there), original(high), nil)
	wantState(t, a, Open, at(odd), Client)
	a.Reject(start.Add(time.Second), at(lan)) // not the path: nothing changes
	wantState(t, a, Open, at(odd), Client)
	a.Reject(start.Add(time.Second), at(odd))
	wantState(t, a, Open, at(there), Client)
	a.Reject(start.Add(2*time.Second), at(there))
	wantState(t, a, Punching, Endpoint{}, Undecided)
	if out := a.Handle(start.Add(2*time.Second), at(there), original(high), nil); a.state != Punching {
		t.Errorf("a rejected path opened again, sent %v", sends(out))
	}
	a.Introduce(start.Add(3*time.Second), there) // the RDV names it anew
	a.Handle(start.Add(3*time.Second), at(there), original(high), nil)
	wantState(t, a, Open, at(there), Client)
	a.Reject(start.Add(time.Minute), at(there))
	wantState(t, a, Failed, Endpoint{}, Undecided)
}

// TestOpened: the ClientHello may overtake every punch.
func TestOpened(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	a.Opened(start, at(odd))
	wantState(t, a, Punching, Endpoint{}, Undecided)
	a.Opened(start, at(there))
	wantState(t, a, Open, at(there), Server)
	if log := run(a, 0, time.Hour); len(log) != volleyCount {
		t.Errorf("%d volleys, want 13: the peer may still wait for a punch", len(log))
	}
}

func TestIntroduceGivesTime(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	run(a, 0, 4*time.Second)
	a.Introduce(start.Add(4*time.Second), lan)
	log := run(a, 0, 8*time.Second)
	if len(log) == 0 || log[0] != "4000: 203.0.113.22:39538, 192.168.1.3:46252" {
		t.Errorf("after a new introduction: %v", log)
	}
	wantState(t, a, Punching, Endpoint{}, Undecided)
	run(a, 0, 9*time.Second)
	wantState(t, a, Failed, Endpoint{}, Undecided)
}

func TestIgnoresOtherMessages(t *testing.T) {
	a := NewAttempt(start, asked(), there)
	if out := a.Handle(start, at(there), wire.Message{Type: wire.KeepAlive}, nil); out != nil {
		t.Errorf("sent %v", sends(out))
	}
	wantState(t, a, Punching, Endpoint{}, Undecided)
}

// TestPair lets two attempts talk, with and without each single message lost,
// and checks that both open and agree who speaks first.
func TestPair(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, askers := range []string{"low", "high", "both"} {
		for lost := range 6 {
			t.Run(fmt.Sprintf("%s asked, message %d lost", askers, lost), func(t *testing.T) {
				pairOpens(t, askers, lost, delay)
			})
		}
	}
}

func pairOpens(t *testing.T, askers string, lost int, delay time.Duration) {
	addrs := [2]netip.AddrPort{lan, there}
	as := [2]*Attempt{
		NewAttempt(start, Config{Self: low, Peer: high, Asked: askers != "high"}, addrs[1]),
		NewAttempt(start.Add(delay), Config{Self: high, Peer: low, Asked: askers != "low"}, addrs[0]),
	}
	type flying struct {
		at   time.Time
		from int
		msg  wire.Message
	}
	var air []flying
	sent := 0
	send := func(now time.Time, from int, out []Out) {
		for _, o := range out {
			if sent != lost && o.To == at(addrs[1-from]) {
				air = append(air, flying{now.Add(delay), from, o.Msg})
			}
			sent++
		}
	}
	for now := start; now.Sub(start) < 3*time.Second; now = now.Add(time.Millisecond) {
		for len(air) > 0 && !now.Before(air[0].at) {
			f := air[0]
			air = air[1:]
			send(now, 1-f.from, as[1-f.from].Handle(now, at(addrs[f.from]), f.msg, nil))
		}
		for i, a := range as {
			if next := a.Timeout(); !next.IsZero() && !now.Before(next) {
				send(now, i, a.Advance(now, nil))
			}
		}
		if now.Sub(start) == time.Second { // well before anybody's patience ends
			want := [2]Role{Client, Server}
			if askers == "high" {
				want = [2]Role{Server, Client}
			}
			wantState(t, as[0], Open, at(addrs[1]), want[0])
			wantState(t, as[1], Open, at(addrs[0]), want[1])
		}
	}
	if sent > 20 {
		t.Errorf("%d punches between two of ours, want a handful", sent)
	}
}

// FuzzAttempt drives an attempt with anything and checks its bounds.
func FuzzAttempt(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		a := NewAttempt(start, Config{Self: high, Peer: low, Asked: len(steps)%2 == 0}, there)
		now := start
		conns := []Conn{nil, &fakeConn{}, &fakeRelay{}}
		for i, s := range steps {
			addr := netip.AddrPortFrom(there.Addr(), uint16(s>>3)+1)
			from := Endpoint{addr, conns[int(s>>3)%len(conns)]}
			var out []Out
			switch s & 7 {
			case 0, 1:
				now = now.Add(time.Duration(s>>3) * 10 * time.Millisecond)
				out = a.Advance(now, nil)
			case 2:
				out = a.Handle(now, from, original(low), nil)
			case 3:
				out = a.Handle(now, from, theirs(low, wire.Mark{Asked: s>>3&1 != 0, Heard: s>>4&1 != 0}), nil)
			case 4:
				a.Introduce(now, addr)
			case 5:
				a.Reject(now, from)
			case 6:
				a.Opened(now, from)
			case 7:
				switch i % 4 {
				case 0:
					a.Cross()
				case 1:
					a.TryBy(now, from.Conn, Candidate{Addr: addr, Kind: Observed})
				case 2:
					a.Lost(now, from.Conn)
				case 3:
					a.Prefer(now, from)
				}
			}
			if len(out) > maxCandidates+maxByOther+maxReflexive || len(a.Candidates()) > maxCandidates+maxByOther+maxReflexive {
				t.Fatalf("%d messages, %d candidates", len(out), len(a.Candidates()))
			}
			state, path := a.State()
			if (state == Open) != path.Addr.IsValid() || (state == Open) != (a.Role() != Undecided) {
				t.Fatalf("%v on %v as %v", state, path, a.Role())
			}
			if state == Open && !a.Knows(path) {
				t.Fatalf("the path %v is no candidate", path)
			}
		}
	})
}
