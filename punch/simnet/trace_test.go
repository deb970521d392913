package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

func TestDump(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:57888")
		c := n.Internet().Behind("203.0.113.1", NAT{}).Listen("192.168.1.2:5000")
		send(t, c, server.LocalAddr(), pingText)
		time.Sleep(2 * time.Second)
		send(t, server, ap("203.0.113.1:9"), pongText)
		rest()
		var b strings.Builder
		if err := n.Dump(&b); err != nil {
			t.Fatal(err)
		}
		sum, events := n.Trace()
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		want := []string{
			fmt.Sprintf("simnet: seed 1, 5 events, trace %016x", sum),
			"0.000000000s sent PING 192.168.1.2:5000 > 198.51.100.1:57888 at 203.0.113.1",
			"0.000000000s translated PING 203.0.113.1:5000 > 198.51.100.1:57888 at 203.0.113.1",
			"0.020 delivered PING 203.0.113.1:5000 > 198.51.100.1:57888 at internet",
			"2.000000000s sent PONG 198.51.100.1:57888 > 203.0.113.1:9 at internet",
			"2.020 no mapping PONG 198.51.100.1:57888 > 203.0.113.1:9 at internet",
		}
		if events != 5 || len(lines) != len(want) {
			t.Fatalf("%d events, %d lines, want 5 and 6:\n%s", events, len(lines), b.String())
		}
		for i, l := range lines {
			fields := strings.Fields(l)
			if strings.HasPrefix(fields[0], want[i][:5]) && strings.HasPrefix(want[i][5:], " ") {
				fields[0] = fields[0][:5] // the rest is a hash
			}
			if got := strings.Join(fields, " "); got != want[i] {
				t.Errorf("line %d: %q, want %q", i, got, want[i])
			}
		}
	}, Jitter(0))
}

func TestDumpForgetsTheOldest(t *testing.T) {
	for _, keep := range []int{0, 1, 4, 5, 6, 100} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			a := n.Internet().Listen("198.51.100.1:1")
			for i := range 5 {
				send(t, a, ap(fmt.Sprintf("198.51.100.9:%d", i+1)), "x")
				rest()
			}
			var b strings.Builder
			if err := n.Dump(&b); err != nil {
				t.Fatal(err)
			}
			shown := strings.Count(b.String(), " > ")
			if want := min(keep, 10); shown != want {
				t.Errorf("keep %d: %d of 10 events are shown, want %d", keep, shown, want)
			}
			hidden := fmt.Sprintf("the first %d events were not kept", 10-keep)
			if got := strings.Contains(b.String(), hidden); got != (keep < 10) {
				t.Errorf("keep %d: says that events are missing: %v\n%s", keep, got, b.String())
			}
			if keep > 0 && !strings.Contains(b.String(), "unreachable  other             198.51.100.1:1 > 198.51.100.9:5 ") {
				t.Errorf("keep %d: the latest event is not shown:\n%s", keep, b.String())
			}
			if keep == 4 && strings.Index(b.String(), "9:4") > strings.Index(b.String(), "9:5") {
				t.Errorf("the events are not in order:\n%s", b.String())
			}
		}, Keep(keep))
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestDumpError(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		if err := n.Dump(brokenWriter{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("error %v, want that of the writer", err)
		}
	})
}

// TestDropTheNth loses the second PUNCH of one host, and no other.
func TestDropTheNth(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		seen := 0
		start := time.Now()
		n.Drop(func(p Packet) bool {
			if p.From != a || p.Kind != Kind(wire.Punch) {
				return false
			}
			if p.Src != a.LocalAddr() || p.Dst != b.LocalAddr() || KindOf(p.Data) != p.Kind {
				t.Errorf("the function sees %v > %v, %x", p.Src, p.Dst, p.Data)
			}
			if want := start.Add(time.Duration(seen) * time.Second); !p.Time.Equal(want) {
				t.Errorf("the function sees the time %v, want %v", p.Time, want)
			}
			seen++
			return seen == 2
		})
		punch := func(id byte) string {
			return string(wire.NewPunch(addr(fmt.Sprintf("10.9.0.%d", id)), wire.Mark{}).Append(nil))
		}
		var want []string
		for i := range byte(4) {
			send(t, a, b.LocalAddr(), punch(i))
			send(t, a, b.LocalAddr(), pingText)
			send(t, b, a.LocalAddr(), punch(i))
			time.Sleep(time.Second)
			if i != 1 {
				want = append(want, punch(i))
			}
			want = append(want, pingText)
		}
		if got := texts(drain(b)); !slices.Equal(got, want) {
			t.Errorf("arrived: %q, want %q", got, want)
		}
		if got := len(drain(a)); got != 4 {
			t.Errorf("%d arrived on the way back, want 4", got)
		}
		counts(t, n, map[Verdict]int{Sent: 12, Dropped: 1, Delivered: 11})
		n.Drop(nil)
		send(t, a, b.LocalAddr(), punch(9))
		expect(t, "without function", b, a.LocalAddr(), punch(9))
	})
}

// TestObserve checks that a tap sees every event, with the addresses of the
// place.
func TestObserve(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		c := n.Internet().Behind("203.0.113.1", NAT{}).Listen("192.168.1.2:5000")
		var seen []string
		n.Observe(func(p Packet, v Verdict) {
			if p.From != c || string(p.Data) != "hi" || p.Kind != KindOther {
				t.Errorf("a tap sees %+v", p)
			}
			seen = append(seen, fmt.Sprint(v, " ", p.Src))
		})
		send(t, c, server.LocalAddr(), "hi")
		rest()
		want := []string{"sent 192.168.1.2:5000", "translated 203.0.113.1:5000", "delivered 203.0.113.1:5000"}
		if !slices.Equal(seen, want) {
			t.Errorf("a tap saw %q, want %q", seen, want)
		}
		n.Observe(nil)
		send(t, c, server.LocalAddr(), "unseen")
		rest()
		if len(seen) != 3 {
			t.Errorf("a tap that was removed saw %q", seen[3:])
		}
	})
}

// TestTapsMayChangeTheNetwork cuts a link from within, when the second datagram
// passes.
func TestTapsMayChangeTheNetwork(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		n.Observe(func(p Packet, v Verdict) {
			if v == Delivered && string(p.Data) == "2" {
				a.Host().SetDown(true)
			}
		})
		for i := range 4 {
			send(t, a, b.LocalAddr(), fmt.Sprint(i+1))
			rest()
		}
		if got, want := texts(drain(b)), []string{"1", "2"}; !slices.Equal(got, want) {
			t.Errorf("arrived: %q, want %q", got, want)
		}
		n.Drop(func(p Packet) bool {
			a.Host().SetDown(false)
			return false
		})
		send(t, a, b.LocalAddr(), "5")
		expect(t, "mended by a function of Drop", b, a.LocalAddr(), "5")
	})
}

// TestTraceDistinguishes checks that each part of an event is in the sum.
func TestTraceDistinguishes(t *testing.T) {
	base := event{at: 1, src: ap("192.0.2.1:1"), dst: ap("192.0.2.2:1"), kind: 1, verdict: 1}
	sum := func(e event, key uint64) uint64 {
		tr := trace{sum: start}
		tr.add(e, key)
		tr.fold()
		return tr.sum
	}
	seen := map[uint64]string{sum(base, 1): "base"}
	for name, change := range map[string]func(e *event){
		"time":        func(e *event) { e.at++ },
		"source":      func(e *event) { e.src = ap("192.0.2.3:1") },
		"source port": func(e *event) { e.src = ap("192.0.2.1:2") },
		"destination": func(e *event) { e.dst = ap("192.0.2.3:1") },
		"kind":        func(e *event) { e.kind++ },
		"verdict":     func(e *event) { e.verdict++ },
		"swapped":     func(e *event) { e.src, e.dst = e.dst, e.src },
	} {
		e := base
		change(&e)
		s := sum(e, 1)
		if other, dup := seen[s]; dup {
			t.Errorf("%s: the same sum as %s", name, other)
		}
		seen[s] = name
	}
	if _, dup := seen[sum(base, 2)]; dup {
		t.Error("the place makes no difference")
	}
}

// TestTraceOrder checks that events of one turn commute, and turns do not.
func TestTraceOrder(t *testing.T) {
	one, two := event{at: 1}, event{at: 2}
	sum := func(folds bool, es ...event) uint64 {
		tr := trace{sum: start}
		for _, e := range es {
			tr.add(e, 1)
			if folds {
				tr.fold()
			}
		}
		tr.fold()
		return tr.sum
	}
	if sum(false, one, two) != sum(false, two, one) {
		t.Error("the order within a turn makes a difference")
	}
	if sum(true, one, two) == sum(true, two, one) {
		t.Error("the order of turns makes no difference")
	}
	if sum(false, one, two) == sum(true, one, two) {
		t.Error("two turns are one")
	}
}

func TestSeedsDiffer(t *testing.T) {
	sums := map[uint64]uint64{}
	for seed := range uint64(50) {
		bubble(t, seed, func(t *testing.T, n *Net) {
			a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
			send(t, a, b.LocalAddr(), "hi")
			rest()
			sum, events := n.Trace()
			if events != 2 {
				t.Errorf("seed %d: %d events, want 2", seed, events)
			}
			if other, dup := sums[sum]; dup {
				t.Errorf("seeds %d and %d have one trace", seed, other)
			}
			sums[sum] = seed
		})
	}
}

// TestDumpIsDeterministic compares whole texts, which tell more than sums.
func TestDumpIsDeterministic(t *testing.T) {
	var first []byte
	for i := range 5 {
		var b bytes.Buffer
		bubble(t, 9, func(t *testing.T, n *Net) {
			home := n.Internet().Behind("203.0.113.1", NAT{Ports: Random})
			server := n.Internet().Listen("198.51.100.1:1")
			for k := range 5 {
				learn(t, home.Listen(fmt.Sprintf("192.168.1.%d:5000", k+2)), server)
			}
			if err := n.Dump(&b); err != nil {
				t.Fatal(err)
			}
		})
		if i == 0 {
			first = b.Bytes()
		} else if !bytes.Equal(b.Bytes(), first) {
			t.Fatalf("run %d differs:\n%s\nfrom\n%s", i, b.Bytes(), first)
		}
	}
}
