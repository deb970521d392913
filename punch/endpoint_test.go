package punch

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// A fakeConn is a socket that the machine only names, and a fakeRelay one whose datagrams
// somebody passes on.
type (
	fakeConn  struct{ Conn }
	fakeRelay struct{ Conn }
)

func (*fakeConn) LocalAddr() netip.AddrPort { return netip.MustParseAddrPort("10.0.0.1:7") }
func (*fakeRelay) Relay() string            { return "rdv.example.org" }

// by returns where a peer is, by a socket.
func by(addr netip.AddrPort, conn Conn) Endpoint { return Endpoint{addr, conn} }

// TestEndpoint: what an endpoint says of itself.
func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		at      Endpoint
		relayed bool
		want    string
	}{
		{at(there), false, "203.0.113.22:39538"},
		{by(there, &fakeConn{}), false, "203.0.113.22:39538 from 10.0.0.1:7"},
		{by(there, &fakeRelay{}), true, "203.0.113.22:39538 through rdv.example.org"},
	} {
		if got := c.at.String(); got != c.want || c.at.Relayed() != c.relayed {
			t.Errorf("%q, relayed %v; want %q, %v", got, c.at.Relayed(), c.want, c.relayed)
		}
	}
	relay := &fakeRelay{}
	o := Outcome{Candidate: Candidate{Addr: there, Kind: Observed}, Conn: relay, Tried: true}
	if got, want := o.String(), "203.0.113.22:39538 through rdv.example.org (observed): silent"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestOneAddressTwice: an address by two sockets is two candidates. Each gets punches by
// its own, and what comes by one opens that one.
func TestOneAddressTwice(t *testing.T) {
	relay := &fakeRelay{}
	a := NewAttempt(start, asked(), there)
	a.TryBy(start, relay, Candidate{Addr: there, Kind: Observed})
	sent := map[Endpoint]int{}
	for _, o := range a.Advance(start, nil) {
		sent[o.To]++
	}
	if len(sent) != 2 || sent[at(there)] != 1 || sent[by(there, relay)] != 1 {
		t.Errorf("sent %v, want one by each socket", sent)
	}
	out := a.Handle(start.Add(time.Millisecond), by(there, relay), theirs(high, wire.Mark{}), nil)
	if len(out) != 1 || out[0].To != by(there, relay) {
		t.Errorf("answered %v", out)
	}
	wantState(t, a, Open, by(there, relay), Server)
	if !a.Relayed() {
		t.Error("the path does not count as relayed")
	}
	a.Reject(start.Add(time.Second), by(there, relay))
	a.Handle(start.Add(time.Second), at(there), theirs(high, wire.Mark{}), nil)
	wantState(t, a, Open, at(there), Server)
	if a.Relayed() {
		t.Error("a direct path counts as relayed")
	}
	for i, o := range a.Report() {
		if want := []Conn{nil, relay}[i]; o.Conn != want || !o.Chosen || o.Rejected != (want != nil) {
			t.Errorf("outcome %d is %+v", i, o)
		}
	}
}

// TestRelayedPeer: that the peer's address is at a relay, the server says.
func TestRelayedPeer(t *testing.T) {
	a := NewAttempt(start, asked())
	a.Try(start, Candidate{Addr: there, Kind: Relayed}, Candidate{Addr: lan, Kind: Host})
	if a.Relayed() {
		t.Error("no path counts as relayed")
	}
	a.Handle(start, at(there), theirs(high, wire.Mark{}), nil)
	if !a.Relayed() {
		t.Error("the path does not count as relayed")
	}
}

// TestPrefer: another socket by which the peer was heard takes over, and none by which it
// was not.
func TestPrefer(t *testing.T) {
	extra := &fakeConn{}
	a := NewAttempt(start, asked(), there)
	a.Prefer(start, at(there)) // there is no path yet
	wantState(t, a, Punching, Endpoint{}, Undecided)
	a.Handle(start, at(there), theirs(high, wire.Mark{Heard: true}), nil)
	a.Prefer(start, by(there, extra))
	wantState(t, a, Open, at(there), Server)
	a.Handle(start, by(there, extra), theirs(high, wire.Mark{}), nil)
	wantState(t, a, Open, at(there), Server)
	a.Prefer(start, by(there, extra))
	wantState(t, a, Open, by(there, extra), Server)
	if a.PeerHasHeard() {
		t.Error("the peer has heard us by another socket than this one")
	}
}

// TestOpenedByAnother: the peer may speak first where another socket of ours knows it, and
// nowhere else.
func TestOpenedByAnother(t *testing.T) {
	extra := &fakeConn{}
	a := NewAttempt(start, asked(), there)
	a.Opened(start, by(odd, extra))
	wantState(t, a, Punching, Endpoint{}, Undecided)
	if !a.Yields(by(there, extra)) {
		t.Error("we do not yield to a peer that has marked nothing")
	}
	a.Opened(start, by(there, extra))
	wantState(t, a, Open, by(there, extra), Server)
}

// TestSocketLost: with a socket its candidates are gone, and another one becomes the path
// if that was one of them.
func TestSocketLost(t *testing.T) {
	extra, relay := &fakeConn{}, &fakeRelay{}
	a := NewAttempt(start, asked(), there)
	a.TryBy(start, relay, Candidate{Addr: there, Kind: Observed}, Candidate{Addr: odd, Kind: Observed})
	a.TryBy(start, extra, Candidate{Addr: there, Kind: Observed})
	a.Lost(start, nil)
	if n := len(a.Candidates()); n != 4 {
		t.Errorf("%d candidates, want 4", n)
	}
	a.Handle(start, by(there, relay), theirs(high, wire.Mark{}), nil)
	a.Handle(start, by(there, extra), theirs(high, wire.Mark{}), nil)
	a.Lost(start, relay)
	wantState(t, a, Open, by(there, extra), Server)
	a.Lost(start, extra)
	wantState(t, a, Punching, Endpoint{}, Undecided)
	if list := a.Candidates(); len(list) != 1 || list[0] != at(there) {
		t.Errorf("candidates %v, want the first one", list)
	}
	for now := start; now.Before(start.Add(time.Second)); now = now.Add(10 * time.Millisecond) {
		for _, o := range a.Advance(now, nil) {
			if o.To != at(there) {
				t.Fatalf("a punch to %v", o.To)
			}
		}
	}
}

// TestOthersAreBounded: what other sockets are to try is bounded, and takes no room of
// what the primary one tries.
func TestOthersAreBounded(t *testing.T) {
	a := NewAttempt(start, asked())
	var list []Candidate
	for port := range maxCandidates {
		list = append(list, Candidate{Addr: netip.AddrPortFrom(there.Addr(), uint16(port+1)), Kind: Host})
	}
	a.Try(start, list...)
	for range 5 {
		a.TryBy(start, &fakeRelay{}, list...)
		if n := len(a.Candidates()); n != maxCandidates+maxByOther {
			t.Fatalf("%d candidates, want %d and %d", n, maxCandidates, maxByOther)
		}
	}
	for _, c := range list {
		if !a.Knows(at(c.Addr)) {
			t.Errorf("%v is forgotten", c.Addr)
		}
	}
	for i := range 100 {
		a.Handle(start, by(there, &fakeConn{}), original(high), nil)
		if n := len(a.Candidates()); n > maxCandidates+maxByOther+maxReflexive {
			t.Fatalf("%d candidates after %d punches by sockets", n, i)
		}
	}
}
