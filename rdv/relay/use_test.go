package relay

import (
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
)

// TestFlows: the relay knows over which channels something went, to whom and when; a
// channel that is renewed is the same one, and one over which nothing went is none.
func TestFlows(t *testing.T) {
	w := newTestbed(Config{})
	now := w.begin.Add(time.Hour)
	if got := w.Flows(w.begin); len(got) > 0 {
		t.Errorf("before anything was relayed: %+v", got)
	}
	send := func(number uint16) {
		t.Helper()
		data := append(make([]byte, channeldata.Head), "data"...)
		channeldata.Put(data, number, 4)
		w.Door(0).Forward(now, punch.Datagram{Addr: clientA, Local: serverA, Data: data})
		w.Door(0).Flush()
	}
	send(0x4001)
	got := w.Flows(w.begin)
	if len(got) != 1 || got[0] != (Flow{User: clientA.String(), Peer: w.b.relayed, PeerUser: clientB.String(), Last: now}) {
		t.Errorf("between two members: %+v", got)
	}
	now = now.Add(time.Minute)
	send(0x4000)
	w.a.bind(0x4000, peerAB, true) // renewed
	got = w.Flows(now)
	if len(got) != 1 || got[0] != (Flow{User: clientA.String(), Peer: peerAB, Last: now}) {
		t.Errorf("to a peer elsewhere: %+v", got)
	}
	if got = w.Flows(w.begin); len(got) != 2 {
		t.Errorf("in all: %+v, want two", got)
	}
	if got = w.Flows(now.Add(time.Second)); len(got) > 0 {
		t.Errorf("since a second later: %+v", got)
	}
	w.a.bind(0x4000, clientB, true) // the number is another peer's now
	if got = w.Flows(now); len(got) > 0 {
		t.Errorf("of a channel that has just been bound: %+v", got)
	}
	w.a.bind(0x4001, w.b.relayed, false)
	if got = w.Flows(w.begin); len(got) > 0 {
		t.Errorf("of a channel that is no more: %+v", got)
	}
}
