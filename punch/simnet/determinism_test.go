package simnet

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// noise returns a datagram of the given first byte that differs from run to
// run in length and content, as handshakes do.
func noise(first byte) []byte {
	var b [33]byte
	rand.Read(b[:])
	return append([]byte{first}, bytes.Repeat(b[1:], 1+int(b[0]%4))...)
}

// A talker answers what it gets and says something now and then, from several
// goroutines.
type talker struct {
	conn  *Conn
	peers []netip.AddrPort
	quit  chan struct{}
	wg    sync.WaitGroup
}

func (k *talker) run(t *testing.T) {
	k.wg.Go(func() { k.listen(t) })
	for i, kind := range []byte{byte(KindHandshake), byte(KindData), byte(KindAlert)} {
		k.wg.Go(func() { k.talk(kind, time.Duration(i+1)*100*time.Millisecond) })
	}
}

// listen answers handshakes with data, and data with nothing.
func (k *talker) listen(t *testing.T) {
	for {
		ds, err := k.conn.Receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("Receive: %v", err)
			return
		}
		for _, d := range ds {
			for p := range d.Segments {
				if KindOf(p) == KindHandshake {
					_ = k.conn.Send([]punch.Datagram{{Addr: d.Addr, Data: noise(byte(KindData))}})
				}
			}
		}
	}
}

// talk sends to all peers, each time in one instant.
func (k *talker) talk(kind byte, every time.Duration) {
	for {
		for _, p := range k.peers {
			_ = k.conn.Send([]punch.Datagram{{Addr: p, Data: noise(kind)}, {Addr: p, Data: noise(byte(KindData))}})
		}
		select {
		case <-time.After(every):
		case <-k.quit:
			return
		}
	}
}

// sixNodes lets six nodes behind NATs of all kinds talk, while the network is
// as bad as it can be and changes, and returns the trace.
func sixNodes(t *testing.T, seed uint64) (sum uint64, events int, ran *Net) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(seed)
		provider := n.Internet().Behind("203.0.113.200", NAT{Ports: Overloading, Hairpin: ExternalSource})
		bad := Link{Loss: 0.05, Duplicate: 0.05, Reorder: 0.1, Jitter: 3 * time.Millisecond, Rate: 2000, Queue: 40}
		var ks []*talker
		for i := range 6 {
			in, public := n.Internet(), fmt.Sprintf("203.0.113.%d", i+1)
			if i%2 == 1 {
				in, public = provider, fmt.Sprintf("100.64.0.%d", i+1)
			}
			site := in.Behind(public, NAT{
				Mapping:   Dependence(i % 3),
				Filtering: Dependence(i / 2),
				Ports:     []PortChoice{Preserving, Overloading, Preserving, Overloading, Random, Sequential}[i],
				Lifetime:  time.Second,
			})
			site.SetLinks(bad, bad)
			k := &talker{conn: site.Listen(fmt.Sprintf("192.168.1.2:%d", 5000+i)), quit: make(chan struct{})}
			k.conn.SetCoalesce(i%2 == 0)
			k.conn.SetQueue(4)
			ks = append(ks, k)
		}
		for i, k := range ks {
			for j := range ks {
				// Those with preserved ports can be reached; the others reach
				// them.
				public := fmt.Sprintf("203.0.113.%d:%d", j+1, 5000+j)
				if j%2 == 1 {
					public = fmt.Sprintf("203.0.113.200:%d", 5000+j)
				}
				if i != j {
					k.peers = append(k.peers, ap(public))
				}
			}
			k.run(t)
		}
		// The talkers talk in the instants of these changes, too.
		time.Sleep(300 * time.Millisecond)
		ks[0].conn.Host().Site().SetPublic("203.0.113.99")
		ks[1].conn.Host().SetDown(true)
		time.Sleep(200 * time.Millisecond)
		provider.Restart()
		ks[1].conn.Host().SetDown(false)
		time.Sleep(250 * time.Millisecond) // not when they have something to say
		for _, k := range ks {
			close(k.quit)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		sum, events = n.Trace()
		n.Close()
		ran = n
		for _, k := range ks {
			k.wg.Wait()
		}
	})
	return sum, events, ran
}

// differ returns the first lines in which the dumps of two runs differ.
func differ(a, b *Net) string {
	var x, y bytes.Buffer
	if err := errors.Join(a.Dump(&x), b.Dump(&y)); err != nil {
		return err.Error()
	}
	xs, ys := strings.Split(x.String(), "\n"), strings.Split(y.String(), "\n")
	slices.Sort(xs) // the packets of a burst may be in any order
	slices.Sort(ys)
	for i := range min(len(xs), len(ys)) {
		if xs[i] != ys[i] {
			return fmt.Sprintf("\n\t%s\nand\n\t%s", xs[i], ys[i])
		}
	}
	return fmt.Sprintf("one has %d lines, the other %d", len(xs), len(ys))
}

// TestDeterministic runs one scenario many times, on one to eight processors.
func TestDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	want, events, first := sixNodes(t, 1)
	if events < 1000 {
		t.Errorf("only %d events", events)
	}
	for i := range 200 {
		runtime.GOMAXPROCS(1 << (i % 4))
		got, k, again := sixNodes(t, 1)
		if got != want || k != events {
			t.Fatalf("run %d has trace %x, %d events; the first had %x, %d: %s", i, got, k, want, events, differ(first, again))
		}
	}
	if other, _, _ := sixNodes(t, 2); other == want {
		t.Error("another seed has the same trace")
	}
	t.Logf("%d events a run", events)
}

// crowd makes many goroutines send in one instant, through sockets that they
// share, to destinations that they share, all of which are new to NATs whose
// ports depend on the order.
func crowd(t *testing.T, ports PortChoice, one bool) (sum uint64, ran *Net) {
	synctest.Test(t, func(t *testing.T) {
		n := New(5)
		home := n.Internet().Behind("203.0.113.1", NAT{Mapping: AddressAndPortDependent, Ports: ports, MaxMappings: 50})
		home.SetLinks(Link{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Rate: 10000, Queue: 400}, Link{})
		var conns, servers []*Conn
		for i := range 8 {
			conns = append(conns, home.Listen(fmt.Sprintf("192.168.1.%d:5000", i+2)))
			servers = append(servers, n.Internet().Listen(fmt.Sprintf("198.51.100.%d:1", i+1)))
			servers[i].SetQueue(40)
		}
		if one {
			conns = []*Conn{conns[0], conns[0], conns[0], conns[0], conns[0], conns[0], conns[0], conns[0]}
		}
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				// Twice: to open flows, and to open them again when the NAT
				// has forgotten them.
				for range 2 {
					time.Sleep(time.Minute)
					for i := range 3 {
						c, s := conns[g%8], servers[(g/8+i*i)%8]
						for range g%3 + 1 {
							_ = c.Send([]punch.Datagram{{Addr: s.LocalAddr(), Data: noise(byte(20 + (g+i)%6))}})
							runtime.Gosched()
						}
					}
				}
			})
		}
		wg.Wait()
		rest()
		sum, _ = n.Trace()
		n.Close()
		ran = n
	})
	return sum, ran
}

// TestCrowd checks that goroutines that send in the same instant leave one
// trace, whichever of them is first.
func TestCrowd(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for ports := Preserving; ports <= Overloading; ports++ {
		for _, one := range []bool{false, true} {
			want, first := crowd(t, ports, one)
			for i := range 30 {
				runtime.GOMAXPROCS(1 << (i % 4))
				if got, again := crowd(t, ports, one); got != want {
					t.Fatalf("%v ports, one socket %v: run %d has trace %x, the first had %x: %s", ports, one, i, got, want, differ(first, again))
				}
			}
		}
	}
}

// TestGoldenTrace pins the trace of a scenario that uses most of what the
// package does. It must be the same on every machine, and changes only when
// the behaviour of the network does.
func TestGoldenTrace(t *testing.T) {
	bubble(t, 2024, func(t *testing.T, n *Net) {
		bad := Link{Delay: 3 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Rate: 500, Queue: 8}
		server := n.Internet().Listen("198.51.100.1:1")
		six := n.Internet().Listen("[2001:db8::1]:1")
		for i, nat := range Grid() {
			site := n.Internet().Behind(fmt.Sprintf("203.0.113.%d", i+1), nat)
			site.SetLinks(bad, bad)
			site.SetFirewall(Firewall{Filtering: nat.Filtering})
			h := site.Host("192.168.1.2", fmt.Sprintf("2001:db8:%d::2", i+1))
			for range 3 {
				c, err := h.Listen(ap("0.0.0.0:0"))
				if err != nil {
					t.Fatal(err)
				}
				send(t, c, server.LocalAddr(), pingText, "x", pingText)
			}
			c, err := h.Listen(ap("[::]:0"))
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, six.LocalAddr(), pingText)
		}
		rest()
		sum, events := n.Trace()
		if want, k := uint64(0xca8de702870ebff), 3226; sum != want || events != k {
			t.Errorf("trace %#x, %d events, want %#x, %d", sum, events, want, k)
		}
	})
}
