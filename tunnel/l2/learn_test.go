package l2

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// TestLearning: a station is where its frames come from, in its VLAN, until it is
// silent for too long.
func TestLearning(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP}, 3)
	x.run([]step{
		{what: "nobody knows B", frame: plain(macB, macL), want: "1 2 3"},
		{what: "B speaks", from: 2, frame: plain(macL, macB), want: "tap"},
		{what: "B is known", frame: plain(macB, macL), want: "2"},
		{what: "not in another VLAN", frame: tagged(plain(macB, macL), 10), want: "1 2 3"},
		{what: "nor does it speak there for us", from: 2, frame: tagged(plain(macL, macB), 11), want: "tap"},
		{what: "the TAP's side is known too", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "and what is there does not go out", frame: plain(macL, macTAP), want: "local"},
		{what: "nor what is for our own", frame: plain(macTAP, macL), want: "local"},
		{what: "from outside it comes in", from: 1, frame: plain(macTAP, macA), want: "tap"},
		{what: "what is for B is not for us", from: 1, frame: plain(macB, macA), want: "elsewhere"},
		{what: "nor what goes back where it was", from: 2, frame: plain(macB, macB), want: "elsewhere"},
		{after: 200 * time.Second, what: "B speaks again", from: 2, frame: plain(macL, macB), want: "tap"},
		{after: 300 * time.Second, what: "at its last moment", frame: plain(macB, macTAP), want: "2"},
		{after: 1, what: "too late", frame: plain(macB, macTAP), want: "1 2 3"},
	})
	if got := x.sw.view.macs.n; got != 1 {
		t.Errorf("%d addresses are left, want our own", got)
	}
}

// TestAgeingConfigured: the time is that of the configuration, and what has aged
// makes Advance rest.
func TestAgeingConfigured(t *testing.T) {
	x := newNode(t, Config{Ageing: 10 * time.Second}, 1)
	x.frame(1, plain(macL, macA))
	if got, want := x.sw.Timeout(), x.now.Add(10*time.Second+1); !got.Equal(want) {
		t.Fatalf("Timeout %v, want %v", got, want)
	}
	x.wait(11 * time.Second)
	if got := x.sw.Timeout(); !got.IsZero() || x.sw.view.macs.n != 0 {
		t.Errorf("Timeout %v with %d addresses", got, x.sw.view.macs.n)
	}
}

// TestAgeingTogether: addresses that age one shortly after the other do not make
// Advance look at all of them for each.
func TestAgeingTogether(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 1000}, 1)
	for i := range 1000 {
		x.wait(time.Millisecond)
		x.frame(1, plain(macL, macA+ether.MAC(i)<<8))
	}
	sweeps := 0
	for at := x.sw.Timeout(); !at.IsZero(); at = x.sw.Timeout() {
		x.sw.Advance(at)
		sweeps++
	}
	if sweeps > 3 || x.sw.view.macs.n != 0 {
		t.Errorf("%d sweeps, %d addresses left", sweeps, x.sw.view.macs.n)
	}
}

// TestSourceSanity: no station has these addresses.
func TestSourceSanity(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP}, 2)
	x.run([]step{
		{what: "a group", from: 1, frame: plain(macL, 0x333300000001), want: "source_mac"},
		{what: "broadcast", from: 1, frame: plain(macL, ether.Broadcast), want: "source_mac"},
		{what: "zero", from: 1, frame: plain(macL, 0), want: "source_mac"},
		{what: "a group from the TAP", frame: plain(macA, 0x333300000001), want: "source_mac"},
		{what: "our own from outside", from: 1, frame: plain(ether.Broadcast, macTAP), want: "loop", event: "loop 1"},
		{after: 9 * time.Second, what: "again: no further event", from: 1, frame: tagged(plain(macL, macTAP), 7), want: "loop"},
		{what: "by another port", from: 2, frame: plain(macL, macTAP), want: "loop", event: "loop 2"},
		{after: 11 * time.Second, what: "after a while", from: 1, frame: plain(macL, macTAP), want: "loop", event: "loop 1"},
		{what: "our own from the TAP", frame: plain(macA, macTAP), want: "1 2"},
		{what: "a group is not learned", frame: plain(0x333300000001, macL), want: "1 2"},
	})
}

// TestMoves: a station moves to where it speaks, but not for ever to and fro.
func TestMoves(t *testing.T) {
	x := newNode(t, Config{}, 3)
	steps := []step{{what: "A at 1", from: 1, frame: plain(macL, macA), want: "tap"}}
	for i := range moveLimit {
		p := Port(2 - i%2)
		steps = append(steps,
			step{after: time.Second, what: "moves", from: p, frame: plain(ether.Broadcast, macA), want: "tap"},
			step{what: "is there", frame: plain(macA, macL), want: ports([]Port{p})})
	}
	x.run(append(steps, []step{
		{what: "once too often: it is where it was at first", from: 3, frame: plain(ether.Broadcast, macA), want: "tap", event: "frozen 3"},
		{what: "and stays", from: 3, frame: plain(ether.Broadcast, macA), want: "frozen"},
		{what: "who else claims it", from: 2, frame: plain(ether.Broadcast, macA), want: "frozen"},
		{what: "frames go there", frame: plain(macA, macL), want: "1"},
		{what: "its frames pass", from: 1, frame: plain(ether.Broadcast, macA), want: "tap"},
		{what: "the TAP may not claim it either", frame: plain(ether.Broadcast, macA), want: "frozen"},
		{after: freezeTime - time.Second, what: "kept alive", from: 1, frame: plain(ether.Broadcast, macA), want: "tap"},
		{after: time.Second, what: "until it may move again", from: 2, frame: plain(ether.Broadcast, macA), want: "tap"},
		{what: "and has", frame: plain(macA, macL), want: "2"},
	}...))
}

// TestMovesInPeace: an address that moves now and then is nobody's worry.
func TestMovesInPeace(t *testing.T) {
	x := newNode(t, Config{}, 2)
	for i := range 40 {
		x.wait(61 * time.Second) // three in a window
		p := Port(1 + i%2)
		x.outcome(p, plain(ether.Broadcast, macA))
		if got := x.outcome(TAP, plain(macA, macL)); got != ports([]Port{p}) {
			t.Fatalf("move %d: %s, want %d", i, got, p)
		}
	}
	if got := x.happened(); got != "" {
		t.Errorf("events %q", got)
	}
}

// TestFreezeWithoutHome: the port where the address was at first has gone.
func TestFreezeWithoutHome(t *testing.T) {
	x := newNode(t, Config{}, 3)
	x.frame(1, plain(macL, macA))
	for i := range moveLimit {
		x.frame(Port(2+i%2), plain(macL, macA))
	}
	x.sw.PortDown(1)
	x.run([]step{
		{what: "once too often", from: 3, frame: plain(macL, macA), want: "tap", event: "frozen 3"},
		{what: "it stays where it is", frame: plain(macA, macL), want: "2"},
	})
}

// TestQuota: a peer has so many addresses; those that live are never cut.
func TestQuota(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 2, Ageing: 100 * time.Second}, 2)
	x.run([]step{
		{what: "first", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "second", from: 1, frame: plain(macL, macB), want: "tap"},
		{what: "third passes, is not learned", from: 1, frame: plain(macL, macC), want: "tap", event: "quota 1"},
		{what: "again: no further event", from: 1, frame: plain(macL, macC), want: "tap"},
		{what: "is reached as the unknown are", frame: plain(macC, macTAP), want: "1 2"},
		{what: "the first is still there", frame: plain(macA, macTAP), want: "1"},
		{what: "and the second", frame: plain(macB, macTAP), want: "1"},
		{what: "other peers have theirs", from: 2, frame: plain(macL, macC), want: "tap"},
		{after: 60 * time.Second, what: "the first lives", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "and so does C", from: 2, frame: plain(macL, macC), want: "tap"},
		{after: 60 * time.Second, what: "the second has aged: room", from: 1, frame: plain(macL, macB+0x100), want: "tap"},
		{what: "known", frame: plain(macB+0x100, macTAP), want: "1"},
		{what: "full again: an address at its limit does not move there", from: 1, frame: plain(macL, macC), want: "tap", event: "quota 1"},
		{what: "it is where it was", frame: plain(macC, macTAP), want: "2"},
	})
	if got := x.sw.Dump(x.now).Ports[1]; got.MACs != 2 || got.Unlearned != 1 {
		t.Errorf("%+v, want 2 addresses and 1 frame from others", got)
	}
}

// TestLocalQuota: what is behind the TAP is bounded too.
func TestLocalQuota(t *testing.T) {
	x := newNode(t, Config{MaxLocal: 1}, 1)
	x.run([]step{
		{what: "first", frame: plain(macA, macL), want: "1"},
		{what: "second", frame: plain(macA, macC), want: "1", event: "quota 0"},
	})
}

// TestPinned: a pinned address is its peer's in every VLAN, and nobody else's.
func TestPinned(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP}, 2)
	x.frame(2, plain(macL, macA)) // before it is pinned
	x.run([]step{
		{what: "pinned", do: func(x *node) {
			if err := x.sw.Pin(macA, 1); err != nil {
				t.Error(err)
			}
		}, frame: plain(macA, macL), want: "1"},
		{what: "in every VLAN", frame: tagged(plain(macA, macL), 100), want: "1"},
		{what: "theft", from: 2, frame: plain(macL, macA), want: "pinned", event: "theft 2"},
		{what: "in another VLAN", from: 2, frame: tagged(plain(macL, macA), 5), want: "pinned"},
		{what: "by the TAP", frame: plain(ether.Broadcast, macA), want: "pinned", event: "theft 0"},
		{what: "the owner", from: 1, frame: tagged(plain(macL, macA), 5), want: "tap"},
		{after: time.Hour, what: "does not age", frame: plain(macA, macL), want: "1"},
		{what: "the tunnel ends", do: func(x *node) { x.sw.PortDown(1) }, frame: plain(macA, macL), want: "no_port"},
		{what: "still nobody else's", from: 2, frame: plain(macL, macA), want: "pinned", event: "theft 2"},
		{what: "and begins again", do: func(x *node) { x.up(1) }, frame: plain(macA, macL), want: "1"},
		{what: "unpinned", do: func(x *node) { x.sw.Unpin(macA) }, from: 2, frame: plain(macL, macA), want: "tap"},
		{what: "learned", frame: plain(macA, macL), want: "2"},
	})
	if x.sw.view.pins != 1 { // our own address
		t.Errorf("%d pins are left, want 1", x.sw.view.pins)
	}
}

// TestStatic: a static address is for one VLAN.
func TestStatic(t *testing.T) {
	x := newNode(t, Config{}, 2)
	if err := x.sw.AddStatic(10, macA, 1); err != nil {
		t.Fatal(err)
	}
	x.run([]step{
		{what: "there", frame: tagged(plain(macA, macL), 10), want: "1"},
		{what: "nowhere else", frame: plain(macA, macL), want: "1 2"},
		{what: "theft", from: 2, frame: tagged(plain(macL, macA), 10), want: "pinned", event: "theft 2"},
		{what: "elsewhere it is free", from: 2, frame: plain(macL, macA), want: "tap"},
		{after: time.Hour, what: "does not age", frame: tagged(plain(macA, macL), 10), want: "1"},
		{what: "removed", do: func(x *node) { x.sw.RemoveStatic(10, macA) }, frame: tagged(plain(macA, macL), 10), want: "1 2"},
	})
}

// TestOwnership: what is one's own is not given to another.
func TestOwnership(t *testing.T) {
	sw := New(time.Now(), Config{MAC: macTAP})
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"pinned", sw.Pin(macA, 1), nil},
		{"pinned again", sw.Pin(macA, 1), nil},
		{"for another", sw.Pin(macA, 2), ErrTaken},
		{"static there", sw.AddStatic(5, macA, 1), nil},
		{"static elsewhere", sw.AddStatic(6, macA, 2), ErrTaken},
		{"static", sw.AddStatic(5, macB, 2), nil},
		{"pinned against a static one", sw.Pin(macB, 1), ErrTaken},
		{"static behind the TAP", sw.AddStatic(5, macC, TAP), nil},
		{"our own", sw.Pin(macTAP, 1), ErrTaken},
		{"a group", sw.Pin(ether.Broadcast, 1), ErrAddress},
		{"zero", sw.AddStatic(0, 0, 1), ErrAddress},
		{"no VLAN", sw.AddStatic(4095, macC, 1), ErrAddress},
		{"the TAP", sw.Pin(macC, TAP), ErrPort},
		{"a large number", sw.Pin(macC, MaxPorts), ErrPort},
		{"likewise", sw.AddStatic(1, macC, MaxPorts), ErrPort},
		{"the TAP is up", sw.PortUp(TAP, PortOptions{}), ErrPort},
		{"a large port", sw.PortUp(MaxPorts, PortOptions{}), ErrPort},
		{"the largest", sw.PortUp(MaxPorts-1, PortOptions{}), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if sw.view.pins != 2 {
		t.Errorf("%d pins, want 2", sw.view.pins)
	}
	sw.RemoveStatic(5, macTAP)
	sw.Unpin(macTAP)
	if e := sw.view.find(5, macTAP); e == nil || e.kind != Own {
		t.Errorf("our own address is %+v", e)
	}
}

// TestBindFirst: an address is whose it was first, until he is silent or gone.
func TestBindFirst(t *testing.T) {
	x := newNode(t, Config{Binding: BindFirst, Ageing: 100 * time.Second}, 3)
	x.run([]step{
		{what: "first", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "another", from: 2, frame: plain(macL, macA), want: "stolen", event: "theft 2"},
		{what: "the TAP", frame: plain(macL, macA), want: "stolen", event: "theft 0"},
		{what: "it is where it was", frame: plain(macA, macL), want: "1"},
		{what: "what is behind the TAP, likewise", from: 2, frame: plain(macA, macL), want: "stolen"},
		{after: 101 * time.Second, what: "silent for too long", from: 2, frame: plain(macL, macA), want: "tap"},
		{what: "it has moved", frame: plain(macA, macL), want: "2"},
		{what: "the tunnel ends", do: func(x *node) { x.sw.PortDown(2) }, from: 3, frame: plain(macL, macA), want: "tap"},
		{what: "it has moved again", frame: plain(macA, macL), want: "3"},
	})
}

// TestBindStrict: peers have what is theirs, and nothing is learned of them.
func TestBindStrict(t *testing.T) {
	x := newNode(t, Config{Binding: BindStrict}, 2)
	if err := errors.Join(x.sw.Pin(macA, 1), x.sw.AddStatic(7, macB, 1)); err != nil {
		t.Fatal(err)
	}
	x.run([]step{
		{what: "its own", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "static, in its VLAN", from: 1, frame: tagged(plain(macL, macB), 7), want: "tap"},
		{what: "not in another", from: 1, frame: plain(macL, macB), want: "unbound", event: "unbound 1"},
		{what: "another's", from: 2, frame: plain(macL, macA), want: "pinned", event: "theft 2"},
		{what: "nobody's", from: 2, frame: plain(macL, macC), want: "unbound", event: "unbound 2"},
		{what: "the TAP's side is learned", frame: plain(macA, macL), want: "1"},
		{what: "and nobody else's", from: 1, frame: plain(macC, macL), want: "stolen", event: "theft 1"},
	})
	// A note that was made before everything changed.
	x.sw.Handle(x.now, Note{Asks: AskLearn, Port: 2, MAC: macC}, nil)
	if e := x.sw.view.find(0, macC); e != nil {
		t.Errorf("learned from a note: %+v", e)
	}
}

// TestPortDown: what was behind a tunnel that ends is looked for everywhere.
func TestPortDown(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 1}, 2)
	x.run([]step{
		{what: "A at 1", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "1 is full", from: 1, frame: plain(macL, macC), want: "tap", event: "quota 1"},
		{what: "down", do: func(x *node) { x.sw.PortDown(1) }, frame: plain(macA, macL), want: "2"},
		{what: "a late frame", from: 1, frame: plain(macL, macA), want: "no_port"},
		{what: "a port that never was", from: 77, frame: plain(macL, macA), want: "no_port"},
		{what: "a late note", do: func(x *node) {
			x.events = x.sw.Handle(x.now, Note{Asks: AskLearn | AskNeighbour, Port: 1, MAC: macA, IP: ipA}, nil)
		}, frame: plain(macA, macL), want: "2"},
		{what: "again up, with room", do: func(x *node) { x.up(1) }, from: 1, frame: plain(macL, macC), want: "tap"},
		{what: "all is flooded again", frame: plain(macA, macL), want: "2 1"},
		{what: "the TAP does not go down", do: func(x *node) { x.sw.PortDown(TAP) }, from: 1, frame: plain(macL, macC), want: "tap"},
	})
}

// TestPortUpAgain: new options leave the rest as it is.
func TestPortUpAgain(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 1, Limits: Limits{Broadcast: 10}}, 1)
	x.frame(1, plain(macL, macA))
	x.frame(1, plain(macL, macC))
	for range 20 {
		x.frame(1, plain(ether.Broadcast, macA))
	}
	x.happened()
	before := x.sw.Dump(x.now)
	x.up(1)
	if got, want := x.sw.Dump(x.now).Ports[1], before.Ports[1]; got.MACs != want.MACs || got.Unlearned != want.Unlearned ||
		got.Drops["storm_broadcast"] != want.Drops["storm_broadcast"] || got.Passed["broadcast"] != 16 {
		t.Errorf("%+v, want %+v", got, want)
	}
	x.run([]step{
		{what: "its limit is still reached", from: 1, frame: plain(ether.Broadcast, macA), want: "storm_broadcast"},
		{what: "its quota too", from: 1, frame: plain(macL, macC), want: "tap"},
		{what: "there is one of it", frame: plain(ether.Broadcast, macL), want: "1"},
	})
}

// TestFreezeAtHome: an address behind the TAP that a peer keeps claiming stays there,
// whichever ports are full meanwhile.
func TestFreezeAtHome(t *testing.T) {
	for _, full := range []bool{false, true} {
		x := newNode(t, Config{MaxLocal: 1}, 2)
		x.frame(TAP, plain(macA, macL))
		for i := range moveLimit - 1 {
			x.frame([]Port{1, TAP}[i%2], plain(ether.Broadcast, macL))
		}
		x.frame(1, plain(ether.Broadcast, macL))
		if full {
			x.frame(TAP, plain(macA, macC))
		}
		x.frame(2, plain(ether.Broadcast, macL))
		if got := x.happened(); got != "frozen 2" {
			t.Errorf("full %v: events %q", full, got)
		}
		want := Port(TAP)
		if full {
			want = 1
		}
		if e := x.sw.view.find(0, macL); e.port != want || (e.kind == Local) != (want == TAP) {
			t.Errorf("full %v: at %d, kind %v, want %d", full, e.port, e.kind, want)
		}
	}
}

// TestEventsBounded: a peer that quarrels all the time does not fill the log.
func TestEventsBounded(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 3, MaxNeighbours: 1}, 2)
	for i := range 1000 {
		x.wait(time.Millisecond)
		for p := range Port(2) {
			x.frame(p+1, isAt(macL, macA+ether.MAC(p), ipB, ipL))     // two for one address
			x.frame(p+1, isAt(macL, macA+ether.MAC(p), ipA, ipL))     // more than one
			x.frame(p+1, plain(macL, macC+ether.MAC(i%200)<<8))       // many, to and fro
			x.frame(p+1, plain(macTAP, macC+ether.MAC(i/7%200)<<8+1)) // and some
		}
	}
	kinds := map[EventKind]int{}
	for _, e := range x.events {
		kinds[e.Kind]++
		if kinds[e.Kind] > 2 { // one of each port
			t.Fatalf("a third event like %+v", e)
		}
	}
	if kinds[EventConflict] == 0 || kinds[EventQuota] == 0 {
		t.Errorf("events %v", kinds)
	}
}

// TestStaleNotes: the data path has seen another view than control has now.
func TestStaleNotes(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP, Binding: BindFirst}, 3)
	x.frame(1, plain(macL, macA))
	if err := x.sw.Pin(macB, 1); err != nil {
		t.Fatal(err)
	}
	before := x.sw.Dump(x.now)
	for _, n := range []Note{
		{Asks: AskLearn, Port: 2, MAC: macA},   // somebody was faster
		{Asks: AskLearn, Port: 1, MAC: macA},   // already learned
		{Asks: AskLearn, Port: 2, MAC: macB},   // pinned meanwhile
		{Asks: AskLearn, Port: 1, MAC: macB},   // likewise
		{Asks: AskLearn, Port: 2, MAC: macTAP}, // our own
		{Asks: AskLearn, Port: 9, MAC: macC},   // the tunnel has ended
		{Asks: AskLearn, Port: 2, MAC: 0},      // not what the data path says
		{Asks: AskLearn, Port: 2, MAC: macC, VID: anyVID},
		{Asks: AskNeighbour, Port: 2, MAC: macA, IP: ipA},
		{Asks: AskNeighbour, Port: 1, MAC: macA},
		{Asks: AskNeighbour, Port: TAP, MAC: macTAP, IP: ipA},
		{},
	} {
		if got := x.sw.Handle(x.now, n, nil); len(got) != 0 {
			t.Errorf("%+v: %v", n, got)
		}
	}
	if got := x.sw.Dump(x.now); !reflect.DeepEqual(got, before) {
		t.Errorf("%+v, want %+v", got, before)
	}
}

// TestConcurrent has the data path and control at work together.
func TestConcurrent(t *testing.T) {
	x := newNode(t, Config{MAC: macTAP, OnDemand: true, MaxMACs: 64, Ageing: time.Second}, 4)
	var view atomic.Pointer[View]
	view.Store(x.sw.View())
	notes := make(chan Note, 64)
	var wg sync.WaitGroup
	var frames atomic.Uint64
	for from := range Port(4) {
		wg.Go(func() {
			var d Decision
			for i := range 5000 {
				v := view.Load()
				at := v.Stamp(x.now.Add(time.Duration(i) * time.Millisecond))
				m := macA + ether.MAC(i%80)<<8
				if from == TAP {
					v.FromTAP(at, whoHas(macTAP, ipL, ipB), &d)
				} else {
					v.FromPeer(at, from, isAt(macTAP, m, ipB, ipL), &d)
				}
				frames.Add(1)
				if d.Note.Asks != 0 {
					select {
					case notes <- d.Note:
					default:
					}
				}
			}
		})
	}
	go func() { wg.Wait(); close(notes) }()
	i := 0
	for n := range notes {
		now := x.now.Add(time.Duration(i) * 5 * time.Millisecond)
		x.sw.Handle(now, n, nil)
		x.sw.Advance(now)
		switch i++; {
		case i%100 == 50:
			x.sw.PortDown(1)
		case i%100 == 0:
			x.up(1)
		}
		view.Store(x.sw.View())
		x.sw.Dump(now)
	}
	if frames.Load() != 20000 || i == 0 {
		t.Errorf("%d frames, %d notes", frames.Load(), i)
	}
	for _, p := range x.sw.Dump(x.now).Ports {
		if p.MACs > 64 {
			t.Errorf("port %d has %d addresses", p.Port, p.MACs)
		}
	}
}

// TestLostNotes: what the queue had no room for comes with the next frame.
func TestLostNotes(t *testing.T) {
	x := newNode(t, Config{}, 2)
	x.run([]step{
		{what: "lost", do: func(x *node) { x.losing = true }, from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "unknown", frame: plain(macA, macL), want: "1 2"},
		{what: "again", do: func(x *node) { x.losing = false }, from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "known", frame: plain(macA, macL), want: "1"},
	})
}

// TestLearnRate: who makes up addresses does not keep control busy.
func TestLearnRate(t *testing.T) {
	x := newNode(t, Config{MaxMACs: 1 << 20}, 1)
	x.losing = true
	notes := 0
	for i := range 10000 {
		x.frame(1, plain(macL, macA+ether.MAC(i)<<8))
		if x.d.Note.Asks&AskLearn != 0 {
			notes++
		}
	}
	if notes != learnRate/4 {
		t.Errorf("%d notes at once, want %d", notes, learnRate/4)
	}
}
