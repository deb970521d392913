package punch

import (
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// TestProbe: a guess is a punch like the first one to a candidate; only when it is
// answered does its place become one.
func TestProbe(t *testing.T) {
	a := NewAttempt(start, asker(), there)
	first := a.Advance(start, nil)[0].Msg
	if got := a.Probe(); got != first {
		t.Errorf("a probe is %+v, want %+v", got, first)
	}
	if a.Knows(at(odd)) {
		t.Error("a place is a candidate before anything came from there")
	}
	out := a.Handle(start, at(odd), theirs(high, wire.Mark{}), nil)
	if got, want := sends(out), odd.String()+" heard"; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
	wantState(t, a, Open, at(odd), Client)
}

// TestPeerHasHeard follows what the peer says on the path.
func TestPeerHasHeard(t *testing.T) {
	a := NewAttempt(start, asker(), there)
	if a.PeerHasHeard() {
		t.Error("the peer has heard us before there is a path")
	}
	a.Handle(start, at(there), theirs(high, wire.Mark{}), nil)
	a.Handle(start, at(odd), theirs(high, wire.Mark{Heard: true}), nil)
	if a.PeerHasHeard() {
		t.Error("the peer has heard us on the path, though it says so of another place")
	}
	a.Handle(start.Add(time.Millisecond), at(there), theirs(high, wire.Mark{Heard: true}), nil)
	if !a.PeerHasHeard() {
		t.Error("the peer has not heard us, though it says so")
	}
	b := NewAttempt(start, asker(), there)
	b.Handle(start, at(there), original(high), nil)
	if b.PeerHasHeard() {
		t.Error("an original says that it has heard us, which it cannot")
	}
}
