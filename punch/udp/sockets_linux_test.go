package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"campagnol/punch"
)

// TestSockets: several sockets at one address share the peers. Each peer's
// datagrams arrive at one of them, and what any of them sends comes from the same
// address. Close ends all.
func TestSockets(t *testing.T) {
	const sockets, peers, rounds = 4, 32, 3
	c, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: sockets})
	if err != nil {
		t.Fatal(err)
	}
	all := append([]*Conn{c}, c.More()...)
	if len(all) != sockets {
		t.Fatalf("%d sockets, want %d", len(all), sockets)
	}
	type sighting struct {
		socket int
		from   netip.AddrPort
	}
	seen := make(chan sighting, peers)
	var ended sync.WaitGroup
	for i, s := range all {
		if s.LocalAddr() != c.LocalAddr() {
			t.Errorf("socket %d is at %v, the first at %v", i, s.LocalAddr(), c.LocalAddr())
		}
		ended.Go(func() {
			for {
				ds, err := s.Receive()
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("socket %d: %v", i, err)
					}
					return
				}
				for _, d := range ds {
					seen <- sighting{i, d.Addr}
				}
			}
		})
	}
	var from [peers]testConn
	for i := range from {
		from[i] = mustOpen(t, openListen, "127.0.0.1")
	}
	var where [peers]int
	used := map[int]bool{}
	for round := range rounds {
		for i, p := range from {
			send(t, p, punch.Datagram{Addr: c.LocalAddr(), Data: []byte("x")})
			s := <-seen
			if s.from != at(p) {
				t.Fatalf("a datagram from %v, want %v", s.from, at(p))
			}
			if round > 0 && where[i] != s.socket {
				t.Errorf("%v arrives at socket %d, before at %d", s.from, s.socket, where[i])
			}
			where[i], used[s.socket] = s.socket, true
		}
	}
	if len(used) < 2 {
		t.Errorf("%d peers arrive at %d socket", peers, len(used))
	}
	for _, s := range all {
		if err := s.Send([]punch.Datagram{{Addr: at(from[0]), Data: []byte("answer")}}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, from[0], 1)[0].from; got != c.LocalAddr() {
			t.Errorf("an answer from %v, want %v", got, c.LocalAddr())
		}
	}
	if st := c.Stats(); st.Received != peers*rounds || st.Sent != sockets {
		t.Errorf("stats %+v, want those of all sockets", st)
	}
	c.Close()
	ended.Wait()
}

// TestECN: every value crosses, with one payload and with many, beside a local
// address and without.
func TestECN(t *testing.T) {
	for _, addr := range loopback {
		a, b := mustOpen(t, openListen, addr), mustOpen(t, openListen, addr)
		for ecn := uint8(0); ecn < 4; ecn++ {
			for _, d := range []punch.Datagram{
				{Addr: at(b), Data: fill(100, 1), ECN: ecn},
				{Addr: at(b), Data: fill(5000, 1), Segment: 1000, ECN: ecn},
				{Addr: at(b), Data: fill(100, 1), ECN: ecn, Local: at(a).Addr()},
			} {
				send(t, a, d)
				ds, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if len(ds) != 1 || ds[0].ECN != ecn {
					t.Errorf("%s: %d datagrams, the first with ECN %d, want one with %d", addr, len(ds), ds[0].ECN, ecn)
				}
			}
		}
		// Only equal ones are joined.
		send(t, a, punch.Datagram{Addr: at(b), Data: fill(100, 1), ECN: 2}, punch.Datagram{Addr: at(b), Data: fill(100, 1), ECN: 3})
		var got []uint8
		for len(got) < 2 {
			ds, err := b.Receive()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				got = append(got, d.ECN)
			}
		}
		if got[0] != 2 || got[1] != 3 {
			t.Errorf("%s: ECN %d, want 2 and 3", addr, got)
		}
	}
}
