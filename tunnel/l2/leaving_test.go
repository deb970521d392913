package l2

import (
	"testing"

	"campagnol/tunnel/l2/ether"
)

// losing makes the data path's notes get lost, or not any more.
func losing(on bool) func(*node) { return func(x *node) { x.losing = on } }

// TestMovesUnlearned: between the first frame of an address from elsewhere and the
// moment in which control has learned of it, nothing for it is sent to where it was,
// or dropped because of that.
func TestMovesUnlearned(t *testing.T) {
	newNode(t, Config{}, 3).run([]step{
		{what: "A at 1", from: 1, frame: plain(macL, macA), want: "tap"},
		{what: "B at 2", from: 2, frame: plain(macL, macB), want: "tap"},
		{what: "L at the TAP", frame: plain(macA, macL), want: "1"},

		{what: "A moves to 2, which is not learned", do: losing(true), from: 2, frame: plain(ether.Broadcast, macA), want: "tap"},
		{what: "an answer goes to all", frame: plain(macA, macL), want: "1 2 3"},
		{what: "to others it does not", frame: plain(macB, macL), want: "2"},
		{after: leaveTime, what: "until that is long ago", frame: plain(macA, macL), want: "1"},
		{what: "and now it is learned", do: losing(false), from: 2, frame: plain(ether.Broadcast, macA), want: "tap"},
		{what: "an answer goes there", frame: plain(macA, macL), want: "2"},

		{what: "A moves behind the TAP", do: losing(true), frame: plain(ether.Broadcast, macA), want: "1 2 3"},
		{what: "an answer arrives", from: 3, frame: plain(macA, macC), want: "tap"},
		{after: leaveTime, what: "until that is long ago", from: 3, frame: plain(macA, macC), want: "elsewhere"},

		{what: "L moves to 3", from: 3, frame: plain(ether.Broadcast, macL), want: "tap"},
		{what: "an answer leaves", frame: plain(macL, macB), want: "1 2 3"},
		{after: leaveTime, what: "until that is long ago", frame: plain(macL, macB), want: "local"},
	})
}

// TestLeavingLimited: what goes to all because its address moves is limited as
// everything is that does.
func TestLeavingLimited(t *testing.T) {
	x := newNode(t, Config{Limits: Limits{Unknown: 100}}, 2)
	x.frame(1, plain(macL, macA))
	x.losing = true
	x.frame(2, plain(ether.Broadcast, macA))
	passed := 0
	for range 200 {
		if x.frame(TAP, plain(macA, macL)) == Kept {
			passed++
		}
	}
	if want := 100 / 4; passed != want {
		t.Errorf("%d frames pass at once, want %d", passed, want)
	}
}

// TestPinnedNeverLeaves: nobody draws frames for an address that is another's own, or
// one that does not move any more.
func TestPinnedNeverLeaves(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		pin  bool
		want string
	}{
		{"pinned", Config{}, true, "pinned"},
		{"the first one's", Config{Binding: BindFirst}, false, "stolen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newNode(t, c.cfg, 3)
			if c.pin {
				if err := x.sw.Pin(macA, 1); err != nil {
					t.Fatal(err)
				}
			} else {
				x.frame(1, plain(macL, macA))
			}
			x.losing = true
			if got := x.outcome(2, plain(ether.Broadcast, macA)); got != c.want {
				t.Errorf("who claims it: %s, want %s", got, c.want)
			}
			if got := x.outcome(TAP, plain(macA, macL)); got != "1" {
				t.Errorf("frames for it go to %s, want 1", got)
			}
		})
	}
}
