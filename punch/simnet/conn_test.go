package simnet

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"campagnol/punch"
)

func TestSendCopiesAndDoesNotChange(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		buf := []byte("first")
		ds := []punch.Datagram{{Addr: b.LocalAddr(), Data: buf}}
		if err := a.Send(ds); err != nil {
			t.Fatal(err)
		}
		if string(buf) != "first" {
			t.Errorf("Send changed its argument to %q", buf)
		}
		copy(buf, "XXXXX")
		expect(t, "after the buffer was reused", b, a.LocalAddr(), "first")
	})
}

func TestSendSplitsSegments(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		for _, c := range []struct {
			data    string
			segment int
			want    []string
		}{
			{"aaabbbcc", 3, []string{"aaa", "bbb", "cc"}},
			{"aaabbb", 3, []string{"aaa", "bbb"}},
			{"aaa", 3, []string{"aaa"}},
			{"aa", 3, []string{"aa"}},
			{"aaabbb", 0, []string{"aaabbb"}},
			{"", 0, []string{""}},
		} {
			if err := a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: []byte(c.data), Segment: c.segment}}); err != nil {
				t.Fatal(err)
			}
			if got := texts(drain(b)); !slices.Equal(got, c.want) {
				t.Errorf("%q in segments of %d arrived as %q, want %q", c.data, c.segment, got, c.want)
			}
		}
	})
}

// TestReceiveTakesBack checks that borrowed bytes are overwritten, and that the
// receiver may write to them until then.
func TestReceiveTakesBack(t *testing.T) {
	for _, coalesced := range []bool{false, true} {
		bubble(t, 1, func(t *testing.T, n *Net) {
			a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
			b.SetCoalesce(coalesced)
			send(t, a, b.LocalAddr(), "one", "two")
			rest()
			send(t, a, b.LocalAddr(), "end")
			ds, err := b.Receive()
			if err != nil {
				t.Fatal(err)
			}
			kept := ds[0].Data
			kept[0] = '!'
			if _, err := b.Receive(); err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{poison}, len(kept)); !bytes.Equal(kept, want) {
				t.Errorf("coalesced %v: kept bytes are %q after the next Receive, want poison", coalesced, kept)
			}
		})
	}
}

func TestReceiveOneByOne(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		send(t, a, b.LocalAddr(), "one", "two", "six")
		for _, want := range []string{"one", "two", "six"} {
			ds, err := b.Receive()
			if err != nil || len(ds) != 1 {
				t.Fatalf("Receive = %v, %v, want one datagram", ds, err)
			}
			if string(ds[0].Data) != want || ds[0].Segment != 0 || ds[0].Addr != a.LocalAddr() {
				t.Errorf("got %q, segment %d, from %v; want %q, 0, from %v", ds[0].Data, ds[0].Segment, ds[0].Addr, want, a.LocalAddr())
			}
		}
	})
}

func TestReceiveCoalesced(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		b.SetCoalesce(true)
		send(t, a, b.LocalAddr(), "aaa", "bbb", "cc", "dd", "ddd", "", "e")
		ds, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		type joined struct {
			data    string
			segment int
		}
		var got []joined
		for _, d := range ds {
			got = append(got, joined{string(d.Data), d.Segment})
		}
		want := []joined{{"aaabbbcc", 3}, {"dd", 0}, {"ddd", 0}, {"", 0}, {"e", 0}}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestECN: what is sent with an ECN field arrives with it.
func TestECN(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		for ecn := uint8(0); ecn < 4; ecn++ {
			if err := a.Send([]punch.Datagram{{Addr: b.LocalAddr(), Data: []byte("x"), ECN: ecn}}); err != nil {
				t.Fatal(err)
			}
			if ds, err := b.Receive(); err != nil || len(ds) != 1 || ds[0].ECN != ecn {
				t.Errorf("received %+v, %v, want ECN %d", ds, err, ecn)
			}
		}
	})
}

func TestCoalesceLimits(t *testing.T) {
	x, y := ap("192.0.2.1:1"), ap("192.0.2.2:1")
	many := func(k, size int) (as []arrival) {
		for range k {
			as = append(as, arrival{from: x, data: make([]byte, size)})
		}
		return as
	}
	for _, c := range []struct {
		name string
		in   []arrival
		want []int // segments in each datagram
	}{
		{"none", nil, nil},
		{"64", many(64, 10), []int{64}},
		{"65", many(65, 10), []int{64, 1}},
		{"64 KB", many(50, 1400), []int{46, 4}},
		{"two sources", append(many(2, 10), arrival{from: y, data: make([]byte, 10)}), []int{2, 1}},
		{"two ECN fields", append(many(2, 10), arrival{from: x, ecn: 3, data: make([]byte, 10)}), []int{2, 1}},
		{"two local addresses", append(many(2, 10), arrival{from: x, local: addr("192.0.2.9"), data: make([]byte, 10)}), []int{2, 1}},
	} {
		var got []int
		for _, d := range coalesce(nil, c.in) {
			k := 0
			for range d.Segments {
				k++
			}
			got = append(got, k)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v segments, want %v", c.name, got, c.want)
		}
	}
}

func TestOverflow(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		b.SetQueue(3)
		send(t, a, b.LocalAddr(), "1", "2")
		rest()
		send(t, a, b.LocalAddr(), "3", "4", "5")
		expect(t, "a queue of three", b, a.LocalAddr(), "1", "2", "3")
		if got := b.Overflows(); got != 2 {
			t.Errorf("%d overflows, want 2", got)
		}
		counts(t, n, map[Verdict]int{Sent: 5, Delivered: 3, Overflow: 2})
		send(t, a, b.LocalAddr(), "6")
		expect(t, "when there is room again", b, a.LocalAddr(), "6")
	})
}

// TestQueueIsFair checks the queue over many turns of filling and emptying.
func TestQueueIsFair(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		next := byte(0)
		for i := range 40 {
			for k := range i%5 + 1 {
				send(t, a, b.LocalAddr(), string([]byte{byte(i), byte(k)}))
			}
			rest()
			for queued(b) > i%3 {
				ds, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if ds[0].Data[1] == 0 {
					if ds[0].Data[0] != next {
						t.Fatalf("round %d came, want %d", ds[0].Data[0], next)
					}
					next++
				}
			}
		}
	})
}

func TestSendErrors(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		four := n.Internet().Listen("198.51.100.1:1")
		six := n.Internet().Listen("[2001:db8::1]:1")
		lone, err := n.Internet().Host("198.51.100.7").Listen(ap("[::]:1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			from *Conn
			to   netip.AddrPort
			want error
		}{
			{"IPv6 from IPv4", four, six.LocalAddr(), syscall.EAFNOSUPPORT},
			{"IPv4 from IPv6", six, four.LocalAddr(), syscall.EAFNOSUPPORT},
			{"no destination", four, netip.AddrPort{}, syscall.EAFNOSUPPORT},
			{"unspecified destination", four, ap("0.0.0.0:1"), syscall.EAFNOSUPPORT},
			{"port 0", four, ap("198.51.100.9:0"), errPort},
			{"a host without IPv6", lone, six.LocalAddr(), syscall.ENETUNREACH},
		} {
			if err := c.from.Send([]punch.Datagram{{Addr: c.to, Data: []byte("x")}}); !errors.Is(err, c.want) {
				t.Errorf("%s: error %v, want %v", c.name, err, c.want)
			}
		}
		huge := punch.Datagram{Addr: ap("198.51.100.9:1"), Data: make([]byte, 65508)}
		if err := four.Send([]punch.Datagram{huge}); !errors.Is(err, ErrTooBig) {
			t.Errorf("65508 bytes: error %v, want ErrTooBig", err)
		}
		rest()
		counts(t, n, map[Verdict]int{Sent: 0})
	})
}

// TestSendErrorDoesNotHoldUp checks that datagrams after a bad one are sent.
func TestSendErrorDoesNotHoldUp(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("198.51.100.2:1")
		err := a.Send([]punch.Datagram{
			{Addr: ap("[2001:db8::1]:1"), Data: []byte("bad")},
			{Addr: ap("198.51.100.9:0"), Data: []byte("bad")},
			{Addr: b.LocalAddr(), Data: []byte("good")},
		})
		if !errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Errorf("error %v, want that of the first bad datagram", err)
		}
		expect(t, "after two bad ones", b, a.LocalAddr(), "good")
	})
}

func TestMappedAddresses(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a, b := n.Internet().Listen("198.51.100.1:1"), n.Internet().Listen("[::ffff:198.51.100.2]:1")
		if got, want := b.LocalAddr(), ap("198.51.100.2:1"); got != want {
			t.Errorf("LocalAddr = %v, want %v", got, want)
		}
		send(t, a, ap("[::ffff:198.51.100.2]:1"), "hi")
		expect(t, "to a mapped address", b, a.LocalAddr(), "hi")
	})
}

func TestConnClose(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		a := n.Internet().Listen("198.51.100.1:1")
		b := n.Internet().Listen("198.51.100.2:1")
		errs := make(chan error)
		go func() {
			_, err := b.Receive()
			errs <- err
		}()
		rest()
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-errs; err != net.ErrClosed {
			t.Errorf("the waiting Receive: %v, want net.ErrClosed", err)
		}
		if _, err := b.Receive(); err != net.ErrClosed {
			t.Errorf("Receive: %v, want net.ErrClosed", err)
		}
		if err := b.Send([]punch.Datagram{{Addr: a.LocalAddr()}}); err != net.ErrClosed {
			t.Errorf("Send: %v, want net.ErrClosed", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		send(t, a, b.LocalAddr(), "hi")
		rest()
		counts(t, n, map[Verdict]int{NoSocket: 1, Delivered: 0})

		// The port is free again, and what was sent before Close still leaves.
		c := n.Internet().Listen("198.51.100.2:1")
		send(t, c, a.LocalAddr(), "last words")
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		expect(t, "sent before Close", a, c.LocalAddr(), "last words")
	})
}

func TestListen(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		h := n.Internet().Host("198.51.100.1", "198.51.100.2", "2001:db8::1")
		open := func(s string) error { _, err := h.Listen(ap(s)); return err }
		for _, c := range []struct {
			bind string
			want error
		}{
			{"198.51.100.1:1", nil},
			{"198.51.100.1:1", syscall.EADDRINUSE},
			{"198.51.100.2:1", nil},
			{"0.0.0.0:1", syscall.EADDRINUSE},
			{"[::]:1", nil}, // the other family
			{"[2001:db8::1]:1", syscall.EADDRINUSE},
			{"0.0.0.0:2", nil},
			{"198.51.100.1:2", syscall.EADDRINUSE},
			{"198.51.100.3:3", syscall.EADDRNOTAVAIL},
		} {
			if err := open(c.bind); !errors.Is(err, c.want) {
				t.Errorf("%s: error %v, want %v", c.bind, err, c.want)
			}
		}
		if _, err := h.Listen(netip.AddrPort{}); err == nil {
			t.Error("an invalid address: no error")
		}
		panics(t, "Site.Listen at a taken port", func() { n.Internet().Listen("198.51.100.1:1") })
		panics(t, "Site.Listen at nonsense", func() { n.Internet().Listen("nonsense") })
	})
}

func TestEphemeralPorts(t *testing.T) {
	ports := func(seed uint64) (got []uint16) {
		bubble(t, seed, func(t *testing.T, n *Net) {
			h := n.Internet().Host("198.51.100.1")
			seen := map[uint16]bool{}
			for range 50 {
				c, err := h.Listen(ap("0.0.0.0:0"))
				if err != nil {
					t.Fatal(err)
				}
				p := c.LocalAddr().Port()
				if p < firstEphemeral || p > lastEphemeral || seen[p] {
					t.Errorf("port %d, want a new one from %d to %d", p, firstEphemeral, lastEphemeral)
				}
				seen[p] = true
				got = append(got, p)
			}
		})
		return got
	}
	one := ports(1)
	if again := ports(1); !slices.Equal(one, again) {
		t.Errorf("two runs with one seed gave %v and %v", one, again)
	}
	if other := ports(2); slices.Equal(one, other) {
		t.Error("another seed gave the same ports")
	}
}

// TestWildcardAnswersFromWhereItWasReached checks Datagram.Local.
func TestWildcardAnswersFromWhereItWasReached(t *testing.T) {
	bubble(t, 1, func(t *testing.T, n *Net) {
		server, err := n.Internet().Host("198.51.100.1", "198.51.100.2").Listen(ap("0.0.0.0:53"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := server.LocalAddr(), ap("0.0.0.0:53"); got != want {
			t.Errorf("LocalAddr = %v, want %v", got, want)
		}
		client := n.Internet().Listen("198.51.100.9:1")
		for _, c := range []struct {
			to, local string
			answer    string
		}{
			{"198.51.100.2:53", "198.51.100.2", "198.51.100.2:53"},
			{"198.51.100.1:53", "198.51.100.1", "198.51.100.1:53"},
			{"198.51.100.2:53", "", "198.51.100.1:53"},            // the kernel chooses
			{"198.51.100.2:53", "203.0.113.9", "198.51.100.1:53"}, // lost meanwhile
		} {
			send(t, client, ap(c.to), "ask")
			ds, err := server.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if want := ap(c.to).Addr(); ds[0].Local != want {
				t.Errorf("sent to %s: Local = %v", c.to, ds[0].Local)
			}
			answer := punch.Datagram{Addr: ds[0].Addr, Data: []byte("answer")}
			if c.local != "" {
				answer.Local = addr(c.local)
			}
			if err := server.Send([]punch.Datagram{answer}); err != nil {
				t.Fatal(err)
			}
			expect(t, "answer with Local "+c.local, client, ap(c.answer), "answer")
		}
	})
}
