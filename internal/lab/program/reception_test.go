package program

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"campagnol/internal/lab/clock"
)

const ms = time.Millisecond

func TestPayload(t *testing.T) {
	t.Parallel()
	p := Payload{Run: 0x01020304, Seq: 5, Sent: clock.Instant(6)}
	b := p.Append([]byte("x"))
	if got, want := hex.EncodeToString(b), "78"+"634c6162"+"01020304"+"0000000000000005"+"0000000000000006"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(b)-1 != PayloadSize {
		t.Errorf("it has %d bytes, want %d", len(b)-1, PayloadSize)
	}
	got, err := ParsePayload(append(b[1:], "what follows"...))
	if err != nil || got != p {
		t.Errorf("read as %+v (%v), want %+v", got, err, p)
	}
	for _, bad := range [][]byte{nil, b[1:PayloadSize], b} {
		if _, err := ParsePayload(bad); !errors.Is(err, ErrPayload) {
			t.Errorf("%x is a payload (%v)", bad, err)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(Payload{Run: 1, Seq: 2, Sent: 3}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePayload(b)
		if err != nil {
			return
		}
		if got := p.Append(nil); string(got) != string(b[:PayloadSize]) {
			t.Errorf("%x is built as %x", b, got)
		}
	})
}

// receptions makes receptions from pairs: when, and which.
func receptions(pairs ...int) (all []Reception) {
	for i := 0; i < len(pairs); i += 2 {
		at := clock.Instant(0).Add(time.Duration(pairs[i]) * ms)
		all = append(all, Reception{At: at, Payload: Payload{Seq: uint64(pairs[i+1]), Sent: at.Add(-time.Duration(pairs[i+1]) * ms)}})
	}
	return all
}

func TestSummarise(t *testing.T) {
	t.Parallel()
	at := func(n int) clock.Instant { return clock.Instant(0).Add(time.Duration(n) * ms) }
	for _, c := range []struct {
		name string
		in   []Reception
		want Summary
	}{
		{"nothing", nil, Summary{}},
		{"one", receptions(100, 7), Summary{Received: 1, First: at(100), Last: at(100), Slowest: 7 * ms}},
		{"steady", receptions(100, 0, 150, 1, 200, 2), Summary{Received: 3, First: at(100), Last: at(200), Slowest: 2 * ms}},
		{"two lost", receptions(100, 4, 150, 5, 250, 8), Summary{Received: 3, Lost: 2, First: at(100), Last: at(250), Slowest: 8 * ms, Gaps: []Gap{{at(150), at(250)}}}},
		{"twice", receptions(100, 4, 101, 4, 150, 5, 151, 5, 152, 5), Summary{Received: 2, Duplicates: 3, First: at(100), Last: at(152), Slowest: 5 * ms}},
		{"overtaken", receptions(100, 4, 101, 6, 102, 5), Summary{Received: 3, Overtaken: 1, First: at(100), Last: at(102), Slowest: 6 * ms}},
		{"the first comes last", receptions(100, 6, 101, 5), Summary{Received: 2, Overtaken: 1, First: at(100), Last: at(101), Slowest: 6 * ms}},
		{"the sender rests", receptions(0, 0, 50, 1, 151, 2, 300, 3), Summary{Received: 4, First: at(0), Last: at(300), Slowest: 3 * ms}},
		{"late", []Reception{{At: at(0), Payload: Payload{Sent: at(0)}}, {At: at(200), Payload: Payload{Seq: 1, Sent: at(20)}}, {At: at(251), Payload: Payload{Seq: 2, Sent: at(70)}}},
			Summary{Received: 3, First: at(0), Last: at(251), Slowest: 181 * ms, Gaps: []Gap{{at(0), at(200)}, {at(200), at(251)}}}},
		{"two gaps with losses", receptions(0, 0, 50, 1, 101, 3, 200, 5), Summary{Received: 4, Lost: 2, First: at(0), Last: at(200), Slowest: 5 * ms, Gaps: []Gap{{at(50), at(101)}, {at(101), at(200)}}}},
	} {
		if got := Summarise(c.in, 50*ms); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestByFlow(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	g := netip.MustParseAddr("239.1.2.3")
	var all []Reception
	for i, f := range []Flow{{1, a, g}, {1, b, g}, {2, a, g}, {1, a, g}} {
		all = append(all, Reception{Source: f.Source, Group: f.Group, Payload: Payload{Run: f.Run, Seq: uint64(i)}})
	}
	flows := ByFlow(all)
	for f, want := range map[Flow]string{{1, a, g}: "[0 3]", {1, b, g}: "[1]", {2, a, g}: "[2]", {2, b, g}: "[]"} {
		seqs := []uint64{}
		for _, r := range flows[f] {
			seqs = append(seqs, r.Seq)
		}
		if got := fmt.Sprint(seqs); got != want {
			t.Errorf("of %v there are %s, want %s", f, got, want)
		}
	}
	if len(flows) != 3 {
		t.Errorf("there are %d flows, want 3", len(flows))
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	all := []Reception{{Payload: Payload{Sent: 10}}, {Payload: Payload{Sent: 20}}, {Payload: Payload{Sent: 30}}}
	for _, c := range []struct{ from, to, want clock.Instant }{{0, 0, 3}, {10, 30, 2}, {11, 30, 1}, {30, 0, 1}, {31, 0, 0}} {
		if got := Between(all, c.from, c.to); clock.Instant(len(got)) != c.want {
			t.Errorf("between %v and %v there are %v, want %d", c.from, c.to, got, c.want)
		}
	}
	if len(all) != 3 || all[2].Sent != 30 {
		t.Error("what was asked about has changed")
	}
}
