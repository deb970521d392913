package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
)

// pair returns two Internet hosts, of which the first has a link outwards.
func pair(n *Net, out Link) (a, b *Conn) {
	a, b = n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
	b.SetQueue(1 << 20)
	a.Host().SetLinks(out, Link{})
	return a, b
}

// arrivals makes n report the times since now at which texts arrive.
func arrivals(n *Net) map[string]time.Duration {
	start, at := time.Now(), map[string]time.Duration{}
	n.Observe(func(p Packet, v Verdict) {
		if v == Delivered {
			at[string(p.Data)] = p.Time.Sub(start)
		}
	})
	return at
}

// TestLinksAddUp checks that a way has the delay of each link along it.
func TestLinksAddUp(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		ms := func(k time.Duration) Link { return Link{Delay: k * time.Millisecond} }
		home := n.Internet().Behind("203.0.113.1", NAT{})
		away := n.Internet().Behind("203.0.113.2", NAT{})
		n.Internet().SetMedium(ms(1))
		home.SetLinks(ms(10), ms(20))
		away.SetLinks(ms(300), ms(100))
		home.SetMedium(ms(5000)) // not crossed
		a, b := home.Listen("192.168.1.2:5000"), away.Listen("192.168.1.2:5000")
		a.Host().SetLinks(ms(2), ms(4))
		b.Host().SetLinks(ms(60), ms(30))
		at := arrivals(n)
		send(t, b, ap("203.0.113.1:5000"), "opens the NAT")
		send(t, a, ap("203.0.113.2:5000"), "there")
		rest()
		start := time.Since(n.epoch)
		send(t, b, ap("203.0.113.1:5000"), "back")
		rest()
		const jitter = 5 * grain // of five links
		for text, want := range map[string]time.Duration{
			"there": 143 * time.Millisecond,
			"back":  start + 385*time.Millisecond,
		} {
			if got := at[text] - want; got <= 0 || got > jitter {
				t.Errorf("%s took %v, want %v and up to %v", text, at[text], want, jitter)
			}
		}
	})
}

// TestJitterKeepsOrder checks that jitter spreads delays, and that a flow stays
// in order all the same.
func TestJitterKeepsOrder(t *testing.T) {
	const packets = 500
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{})
		at := arrivals(n)
		var want []string
		for i := range packets {
			want = append(want, fmt.Sprint(i))
			send(t, a, b.LocalAddr(), want[i])
			time.Sleep(time.Millisecond)
		}
		if got := texts(drain(b)); !slices.Equal(got, want) {
			t.Fatalf("arrived out of order or incomplete: %v", got)
		}
		least, most := time.Hour, time.Duration(0)
		for i, text := range want {
			d := at[text] - time.Duration(i)*time.Millisecond
			least, most = min(least, d), max(most, d)
		}
		if least < 50*time.Millisecond || least > 52*time.Millisecond || most > 60*time.Millisecond || most < 58*time.Millisecond {
			t.Errorf("delays from %v to %v, want about 50ms to 60ms", least, most)
		}
	}, Delay(50*time.Millisecond), Jitter(10*time.Millisecond))
}

// TestBurstsStayTogether checks that what is sent at once arrives at once.
func TestBurstsStayTogether(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Jitter: 5 * time.Millisecond})
		at := arrivals(n)
		send(t, a, b.LocalAddr(), "one", "two")
		send(t, a, b.LocalAddr(), "six")
		expect(t, "a burst", b, a.LocalAddr(), "one", "two", "six")
		if at["one"] != at["two"] || at["two"] != at["six"] {
			t.Errorf("arrived at %v, want one instant", at)
		}
	})
}

// within checks that count of tries is about the chance p, within five standard
// deviations.
func within(t *testing.T, what string, count, tries int, p float64) {
	t.Helper()
	want, slack := p*float64(tries), 5*math.Sqrt(p*(1-p)*float64(tries))
	if math.Abs(float64(count)-want) > slack {
		t.Errorf("%s: %d of %d, want %.0f ± %.0f", what, count, tries, want, slack)
	}
}

func TestLoss(t *testing.T) {
	const packets = 5000
	for _, p := range []float64{0, 0.01, 0.3, 1} {
		for _, burst := range []int{1, 10} { // one datagram an instant, or ten
			bubble(t, 1, func(t *testing.T, n *Net) {
				a, b := pair(n, Link{Loss: p})
				for range packets / burst {
					send(t, a, b.LocalAddr(), slices.Repeat([]string{"x"}, burst)...)
					time.Sleep(time.Millisecond)
				}
				rest()
				within(t, fmt.Sprintf("loss %v, bursts of %d", p, burst), n.Count(Lost), packets, p)
				counts(t, n, map[Verdict]int{Sent: packets, Delivered: packets - n.Count(Lost)})
			})
		}
	}
}

// TestLossDependsOnDirectionAndFlow checks that luck is not shared.
func TestLossDependsOnDirectionAndFlow(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		c := n.Internet().Listen("198.51.100.2:2")
		n.Internet().SetMedium(Link{Loss: 0.5})
		var sum [3]string
		for range 64 {
			send(t, a, b.LocalAddr(), "x")
			send(t, b, a.LocalAddr(), "x")
			send(t, a, c.LocalAddr(), "x")
			rest()
			for i, at := range []*Conn{b, a, c} {
				sum[i] += fmt.Sprint(len(waits(at)))
			}
		}
		if sum[0] == sum[1] || sum[0] == sum[2] || sum[1] == sum[2] {
			t.Errorf("flows share their luck: %q", sum)
		}
	})
}

// TestDrawsAreIndependent checks that what happens on one link, or by one of its
// chances, says nothing about the others.
func TestDrawsAreIndependent(t *testing.T) {
	const packets = 2000
	for _, c := range []struct {
		name    string
		out, in Link
		want    float64 // arrivals for each packet
	}{
		{"two links", Link{Loss: 0.5}, Link{Loss: 0.5}, 0.25},
		{"loss and copies", Link{Loss: 0.5, Duplicate: 0.5}, Link{}, 0.75},
	} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			a, b := pair(n, c.out)
			b.Host().SetLinks(Link{}, c.in)
			for range packets {
				send(t, a, b.LocalAddr(), "x")
				time.Sleep(time.Millisecond)
			}
			within(t, c.name, len(drain(b)), packets, c.want)
		})
	}
}

// TestReopenedSocketHasNewLuck checks that a socket at an old address is not
// doomed to lose the same datagrams again.
func TestReopenedSocketHasNewLuck(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		b := n.Internet().Listen("198.51.100.2:1")
		h := n.Internet().Host("198.51.100.1")
		h.SetLinks(Link{Loss: 0.5}, Link{})
		lucky := 0
		for range 200 {
			c, err := h.Listen(ap("198.51.100.1:1"))
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, b.LocalAddr(), "first")
			lucky += len(drain(b))
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		within(t, "first datagrams of new sockets", lucky, 200, 0.5)
	})
}

// TestLuckIgnoresContent sends other bytes of other lengths, and expects the
// same to be lost, copied and held back, at the same times.
func TestLuckIgnoresContent(t *testing.T) {
	run := func(content func(i int) string) (sum uint64) {
		bubble(t, 7, func(t *testing.T, n *Net) {
			a, b := pair(n, Link{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Jitter: time.Millisecond})
			for i := range 300 {
				send(t, a, b.LocalAddr(), content(i), content(i+1))
				time.Sleep(time.Millisecond)
			}
			rest()
			sum, _ = n.Trace()
		})
		return sum
	}
	want := run(func(int) string { return "text" })
	for name, content := range map[string]func(i int) string{
		"long":    func(int) string { return strings.Repeat("t", 1400) },
		"varying": func(i int) string { return fmt.Sprint("t", i*i*i*i) },
	} {
		if got := run(content); got != want {
			t.Errorf("%s content: trace %x, want %x", name, got, want)
		}
	}
	if got := run(func(i int) string { return pingText }); got == want {
		t.Error("the kind of the datagrams makes no difference to the trace")
	}
}

func TestDuplicate(t *testing.T) {
	const packets = 2000
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Duplicate: 0.25, Hold: 3 * time.Millisecond})
		start := time.Now()
		first, copies := map[string]time.Time{}, 0
		n.Observe(func(p Packet, v Verdict) {
			if v != Delivered {
				return
			}
			text := string(p.Data)
			at, again := first[text]
			if !again {
				first[text] = p.Time
				return
			}
			copies++
			// The copy goes its own way through the jitter of the medium.
			if late := p.Time.Sub(at); late <= 0 || late > 3*time.Millisecond+grain {
				t.Errorf("the copy of %s came %v later, want up to 3ms", text, late)
			}
		})
		for i := range packets {
			send(t, a, b.LocalAddr(), fmt.Sprint(i))
			time.Sleep(5 * time.Millisecond)
		}
		gs := drain(b)
		within(t, "copies", copies, packets, 0.25)
		if len(gs) != packets+copies || len(first) != packets {
			t.Errorf("%d datagrams arrived, %d different, want %d and %d copies (%v)", len(gs), len(first), packets, copies, time.Since(start))
		}
	}, Jitter(0))
}

// TestCopiesAreCopies checks that a copy does not share its bytes.
func TestCopiesAreCopies(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Duplicate: 1})
		send(t, a, b.LocalAddr(), "hi")
		for range 2 {
			ds, err := b.Receive()
			if err != nil || string(ds[0].Data) != "hi" {
				t.Fatalf("Receive = %q, %v", ds[0].Data, err)
			}
			copy(ds[0].Data, "!!")
		}
	})
}

// TestCopiesHaveTheirOwnLuck sends through two links that duplicate everything
// and one that loses half.
func TestCopiesHaveTheirOwnLuck(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		all := Link{Duplicate: 1}
		home := n.Internet().Behind("203.0.113.1", NAT{})
		home.SetLinks(all, Link{})
		b := n.Internet().Listen("198.51.100.2:1")
		a := home.Listen("192.168.1.2:5000")
		a.Host().SetLinks(all, Link{})
		b.Host().SetLinks(Link{}, Link{Loss: 0.5})
		alike := 0
		for range 100 {
			send(t, a, b.LocalAddr(), "x")
			if k := len(drain(b)); k == 0 || k == 4 {
				alike++
			}
		}
		// Four independent halves are all alike one time in eight.
		within(t, "all four copies lost, or none", alike, 100, 0.125)
		counts(t, n, map[Verdict]int{Sent: 100, Lost: 400 - n.Count(Delivered)})
	})
}

func TestReorder(t *testing.T) {
	const packets = 2000
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Reorder: 0.2, Hold: 50 * time.Millisecond})
		at := arrivals(n)
		var want []string
		for i := range packets {
			want = append(want, fmt.Sprintf("%05d", i))
			send(t, a, b.LocalAddr(), want[i])
			time.Sleep(10 * time.Millisecond)
		}
		got := texts(drain(b))
		onTime := 0
		for i, text := range want {
			if at[text]-time.Duration(i)*10*time.Millisecond <= 20*time.Millisecond+grain {
				onTime++
			}
		}
		within(t, "packets that were not held back", onTime, packets, 0.8)
		late, high := 0, ""
		for _, text := range got {
			if text < high {
				late++
			}
			high = max(high, text)
		}
		// A packet that is held back for 0 to 50 ms is overtaken if it is for
		// more than 10, and the next was not held back as long.
		if late < packets/10 || late > packets/5 {
			t.Errorf("%d of %d packets were overtaken, want 10%% to 20%%", late, packets)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Error("reordering lost or copied something")
		}
	}, Jitter(0))
}

func TestMTU(t *testing.T) {
	for _, c := range []struct {
		name   string
		report bool
		six    bool
	}{{"silent", false, false}, {"silent, IPv6", false, true}, {"reported", true, false}, {"reported, IPv6", true, true}} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			inside, server, headers := "192.168.1.2:5000", "198.51.100.1:1", 28
			if c.six {
				inside, server, headers = "[2001:db8:1::2]:5000", "[2001:db8:2::1]:1", 48
			}
			home := n.Internet().Behind("203.0.113.1", NAT{})
			home.SetLinks(Link{MTU: 1400, Report: c.report}, Link{})
			a, b := home.Listen(inside), n.Internet().Listen(server)
			fits, big := make([]byte, 1400-headers), make([]byte, 1401-headers)
			try := func(data []byte) error {
				return a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: data}})
			}
			for _, data := range [][]byte{fits, big} {
				if err := try(data); err != nil {
					t.Errorf("%s: the first of %d bytes: %v", c.name, len(data), err)
				}
			}
			if got := drain(b); len(got) != 1 || len(got[0].data) != len(fits) {
				t.Errorf("%s: %d datagrams arrived, want the one that fits", c.name, len(got))
			}
			counts(t, n, map[Verdict]int{TooBig: 1})
			want := error(nil)
			if c.report {
				want = ErrTooBig
			}
			if err := try(big); !errors.Is(err, want) {
				t.Errorf("%s: the second that is too big: error %v, want %v", c.name, err, want)
			}
			if err := try(fits); err != nil {
				t.Errorf("%s: one that fits, afterwards: %v", c.name, err)
			}
			if got := drain(b); len(got) != 1 {
				t.Errorf("%s: %d datagrams arrived, want 1", c.name, len(got))
			}
		})
	}
}

// TestMTUOfOwnLink checks that a host knows the MTU of its own link, for each
// segment of what it sends.
func TestMTUOfOwnLink(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{MTU: 128, Report: true})
		data := append(bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("b"), 100)...)
		if err := a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: data, Segment: 100}}); err != nil {
			t.Errorf("segments that fit: %v", err)
		}
		if err := a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: data, Segment: 101}}); !errors.Is(err, ErrTooBig) {
			t.Errorf("a segment that does not: error %v, want ErrTooBig", err)
		}
		gs := drain(b)
		if len(gs) != 3 || len(gs[2].data) != 99 {
			t.Errorf("%d datagrams arrived, want two of 100 bytes and the rest of the refused one's call", len(gs))
		}
	})
}

func TestRate(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Rate: 100, Queue: 5}) // 10 ms each
		at := arrivals(n)
		for i := range 8 {
			send(t, a, b.LocalAddr(), fmt.Sprint(i))
			time.Sleep(time.Millisecond)
		}
		rest()
		// Number 0 passes in 10 ms; when 5 comes, 0 to 4 fill the queue.
		counts(t, n, map[Verdict]int{Congested: 3, Delivered: 5})
		for i := range 5 {
			want := time.Duration(i+1)*10*time.Millisecond + 20*time.Millisecond
			if got := at[fmt.Sprint(i)] - want; got <= 0 || got > 2*grain {
				t.Errorf("number %d arrived after %v, want %v", i, at[fmt.Sprint(i)], want)
			}
		}
		at = arrivals(n)
		send(t, a, b.LocalAddr(), "x", "y", "z")
		rest()
		if got := at["x"] - 50*time.Millisecond; at["x"] != at["z"] || got <= 0 || got > 2*grain {
			t.Errorf("a burst of three arrived after %v and %v, want 50ms: together, at its end", at["x"], at["z"])
		}
	}, Jitter(0))
}

func TestRateQueueDefault(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Rate: 1000})
		for range 150 {
			send(t, a, b.LocalAddr(), "x")
			time.Sleep(time.Microsecond)
		}
		rest()
		counts(t, n, map[Verdict]int{Congested: 50, Delivered: 100})
		send(t, a, b.LocalAddr(), "x")
		rest()
		counts(t, n, map[Verdict]int{Congested: 50, Delivered: 101})
	})
}

// TestRateIsShared checks that a link has one rate for all flows.
func TestRateIsShared(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := pair(n, Link{Rate: 100})
		c := n.Internet().Listen("198.51.100.3:1")
		at := arrivals(n)
		send(t, a, b.LocalAddr(), "one")
		send(t, a, c.LocalAddr(), "two")
		rest()
		if got := (at["two"] - at["one"]).Abs(); got < 9*time.Millisecond || got > 11*time.Millisecond {
			t.Errorf("two flows arrived %v apart, want 10ms", got)
		}
	}, Jitter(0))
}
