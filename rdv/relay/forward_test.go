package relay

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
)

// A sink is a socket that keeps what is sent, or counts it.
type sink struct {
	mu     sync.Mutex
	sent   []punch.Datagram
	count  int // of payloads
	counts bool
}

func (k *sink) Send(ds []punch.Datagram) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range ds {
		_, n := shape(&d)
		k.count += n
		if !k.counts {
			d.Data = slices.Clone(d.Data)
			k.sent = append(k.sent, d)
		}
	}
	return nil
}

func (k *sink) take() []punch.Datagram {
	k.mu.Lock()
	defer k.mu.Unlock()
	sent := k.sent
	k.sent = nil
	return sent
}

func (k *sink) Receive() ([]punch.Datagram, error) { select {} }
func (k *sink) LocalAddr() netip.AddrPort          { return netip.MustParseAddrPort("198.51.100.1:57888") }
func (k *sink) Close() error                       { return nil }

var (
	clientA = netip.MustParseAddrPort("203.0.113.1:5000")
	clientB = netip.MustParseAddrPort("203.0.113.2:5000")
	peerAB  = netip.MustParseAddrPort("203.0.113.9:6000")
	serverA = netip.MustParseAddr("198.51.100.1")
)

// A testbed is a relay without pion/turn, with two allocations: that of clientA has
// channel 0x4000 to peerAB, and each has 0x4001 to the other's.
type testbed struct {
	*Server
	link  *sink
	peers *sink // sockets of both allocations
	a, b  *allocation
}

func newTestbed(cfg Config) *testbed {
	w := &testbed{link: &sink{}, peers: &sink{}}
	cfg.Links = []Link{w.link}
	cfg.Own = func() []netip.Addr { return []netip.Addr{serverA} }
	w.Server = New(cfg)
	w.a, w.b = w.allocate(clientA, 50000), w.allocate(clientB, 50001)
	for _, x := range []struct {
		a      *allocation
		number uint16
		peer   netip.AddrPort
	}{{w.a, 0x4000, peerAB}, {w.a, 0x4001, w.b.relayed}, {w.b, 0x4001, w.a.relayed}} {
		x.a.permit(x.peer.Addr(), true)
		x.a.bind(x.number, x.peer, true)
	}
	return w
}

func (w *testbed) allocate(client netip.AddrPort, port uint16) *allocation {
	u, err := w.join(client.String())
	if err != nil {
		panic(err)
	}
	a := &allocation{
		s: w.Server, door: w.Door(0), user: u, client: client, local: serverA, from: serverA, conn: w.peers,
		relayed: netip.AddrPortFrom(serverA, port), permitted: map[netip.Addr]bool{},
		strays: make(chan stray, strayQueue), closed: make(chan struct{}), gone: make(chan struct{}),
	}
	a.table.Store(&table{})
	publish(&w.relayed, a.relayed, a)
	publish(&w.Door(0).clients, client, a)
	return a
}

// forward hands a datagram of clientA to the door, and returns what went to peers and
// to clients, and what is left.
func (w *testbed) forward(data []byte, segment int) (peers, clients []punch.Datagram, rest []byte) {
	d := w.Door(0).Forward(time.Now(), punch.Datagram{Addr: clientA, Local: serverA, Data: slices.Clone(data), Segment: segment, ECN: 2})
	w.Door(0).Flush()
	return w.peers.take(), w.link.take(), d.Data
}

// describe tells datagrams with their payloads.
func describe(ds []punch.Datagram) (list []string) {
	for _, d := range ds {
		s := fmt.Sprintf("to %v from %v ecn %d:", d.Addr, d.Local, d.ECN)
		for b := range d.Segments {
			s += fmt.Sprintf(" %x", b)
		}
		list = append(list, s)
	}
	return list
}

// TestForward: what becomes of runs of ChannelData.
func TestForward(t *testing.T) {
	toPeer := "to 203.0.113.9:6000 from 198.51.100.1 ecn 2: "
	toB := "to 203.0.113.2:5000 from 198.51.100.1 ecn 2: "
	for _, c := range []struct {
		name    string
		hex     string
		segment int
		peers   []string
		clients []string
		rest    string
	}{
		{"one", "4000000201 02", 0, []string{toPeer + "0102"}, nil, ""},
		{"padded", "40000002 01020000", 0, []string{toPeer + "0102"}, nil, ""},
		{"empty", "40000000", 0, []string{toPeer}, nil, ""},
		{"a run", "40000002 0102 40000002 0304 40000001 05", 6, []string{toPeer + "0102 0304 05"}, nil, ""},
		{"a padded run", "40000001 01000000 40000001 02000000 40000001 03", 8, []string{toPeer + "01 02 03"}, nil, ""},
		{"shorter within", "40000002 0102 40000001 0300 40000002 0405", 6, []string{toPeer + "0102 03", toPeer + "0405"}, nil, ""},
		{"longer within", "40000001 0100 40000002 0203", 6, []string{toPeer + "01", toPeer + "0203"}, nil, ""},
		{"empty within", "40000001 01 40000000 00 40000001 02", 5, []string{toPeer + "01", toPeer, toPeer + "02"}, nil, ""},
		{"two channels", "40000001 01 40010001 02 40000001 03", 5, []string{toPeer + "01", toPeer + "03"}, []string{toB + "4001000102"}, ""},
		{"to the other", "40010002 0102 40010002 0304", 6, nil, []string{toB + "400100020102 400100020304"}, ""},
		{"to the other, padded", "40010001 01000000", 0, nil, []string{toB + "4001000101"}, ""},
		{"no such channel", "40020001 01 40000001 02", 5, []string{toPeer + "02"}, nil, ""},
		{"too long", "40000009 01 40000001 02", 5, []string{toPeer + "02"}, nil, ""},
		{"cut", "40000001 01 4000", 5, []string{toPeer + "01"}, nil, ""},
		{"another protocol behind", "40000001 01 17fefd0001", 5, []string{toPeer + "01"}, nil, "17fefd0001"},
		{"another protocol", "17fefd0001", 0, nil, nil, "17fefd0001"},
	} {
		w := newTestbed(Config{})
		peers, clients, rest := w.forward(unhex(t, c.hex), c.segment)
		if got := describe(peers); !slices.Equal(got, c.peers) {
			t.Errorf("%s: to peers\n%q, want\n%q", c.name, got, c.peers)
		}
		if got := describe(clients); !slices.Equal(got, c.clients) {
			t.Errorf("%s: to clients\n%q, want\n%q", c.name, got, c.clients)
		}
		if !bytes.Equal(rest, unhex(t, c.rest)) {
			t.Errorf("%s: left %x, want %s", c.name, rest, c.rest)
		}
	}
}

// TestForwardStrangers: who has no allocation has nothing relayed.
func TestForwardStrangers(t *testing.T) {
	w := newTestbed(Config{})
	d := w.Door(0).Forward(time.Now(), punch.Datagram{Addr: peerAB, Data: framed(0x4000, 5, 10), Segment: 14})
	w.Door(0).Flush()
	if s := w.Stats(); len(d.Data) > 0 || w.peers.count+w.link.count > 0 || s.Dropped.Unbound != 5 {
		t.Errorf("relayed %d, left %d bytes, counted %+v", w.peers.count+w.link.count, len(d.Data), s)
	}
}

// TestBack: what becomes of what peers send.
func TestBack(t *testing.T) {
	stranger := netip.MustParseAddrPort("203.0.113.77:1")
	sibling := netip.MustParseAddrPort("203.0.113.9:6001") // of peerAB: permission, but no channel
	for _, c := range []struct {
		name    string
		from    netip.AddrPort
		hex     string
		segment int
		clients []string
		strays  int
		drops   uint64
	}{
		{"one", peerAB, "0102", 0, []string{"400000020102"}, 0, 0},
		{"empty", peerAB, "", 0, []string{"40000000"}, 0, 0},
		{"a run", peerAB, "0102 0304 05", 2, []string{"400000020102 400000020304 4000000105"}, 0, 0},
		{"without a permission", stranger, "0102", 1, nil, 0, 1},
		{"without a channel", sibling, "0102", 1, nil, 2, 0},
	} {
		w := newTestbed(Config{})
		arena := <-w.arenas
		w.a.back(time.Now(), arena, []punch.Datagram{{Addr: c.from, Data: unhex(t, c.hex), Segment: c.segment, ECN: 3}})
		var want []string
		for _, x := range c.clients {
			want = append(want, "to 203.0.113.1:5000 from 198.51.100.1 ecn 3: "+x)
		}
		if got := describe(w.link.take()); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if n := len(w.a.strays); n != c.strays || w.Stats().Dropped.Unwanted != c.drops {
			t.Errorf("%s: %d for pion, want %d; counted %+v", c.name, n, c.strays, w.Stats())
		}
	}
}

// TestBackLarge: a batch that is larger than the arena goes in several.
func TestBackLarge(t *testing.T) {
	w := newTestbed(Config{})
	var ds []punch.Datagram
	for range 8 {
		ds = append(ds, punch.Datagram{Addr: peerAB, Data: make([]byte, 46*1400), Segment: 1400})
	}
	ds = append(ds, punch.Datagram{Addr: peerAB, Data: make([]byte, 60000), Segment: 1}) // 300 kB with headers
	w.a.back(time.Now(), <-w.arenas, ds)
	if s := w.Stats(); w.link.count != 8*46 || s.ToClients != 8*46 || s.Dropped.Failed != 1 {
		t.Errorf("%d datagrams, counted %+v", w.link.count, s)
	}
}

// TestBridgeWithoutChannel: what has a permission but no channel goes to pion/turn, and
// without a permission nowhere.
func TestBridgeWithoutChannel(t *testing.T) {
	w := newTestbed(Config{})
	w.b.bind(0x4001, w.a.relayed, false)
	w.forward(framed(0x4001, 3, 10), 14)
	if n := len(w.b.strays); n != 3 {
		t.Errorf("%d for pion, want 3", n)
	}
	w.b.permit(serverA, false)
	w.forward(framed(0x4001, 3, 10), 14)
	if n := len(w.b.strays); n != 3 || w.Stats().Dropped.Unwanted != 3 || w.link.count != 0 {
		t.Errorf("%d for pion, counted %+v", n, w.Stats())
	}
	for range 2 * strayQueue { // the queue is bounded
		w.b.offer(w.a.relayed, make([]byte, 100))
	}
	w.b.offer(w.a.relayed, make([]byte, maxMessage+1))
	if n := len(w.b.strays); n != strayQueue {
		t.Errorf("%d for pion, want %d", n, strayQueue)
	}
}

// TestLimited: over the rate a run loses its end, both ways.
func TestLimited(t *testing.T) {
	w := newTestbed(Config{Rate: 1000})
	peers, _, _ := w.forward(framed(0x4000, 46, 1400), 1404)
	if n := len(peers[0].Data); len(peers) != 1 || n%1400 != 0 || n == 0 {
		t.Errorf("%d bytes were sent at once", n)
	}
	peers, _, _ = w.forward(framed(0x4000, 46, 1400), 1404)
	w.a.back(time.Now(), <-w.arenas, []punch.Datagram{{Addr: peerAB, Data: make([]byte, 1400)}})
	if s := w.Stats(); len(peers) > 0 || w.link.count > 0 || s.Dropped.Limited < 47 {
		t.Errorf("sent %d and %d, counted %+v", len(peers), w.link.count, s)
	}
}

// TestNoAllocations: relaying allocates nothing.
func TestNoAllocations(t *testing.T) {
	w := newTestbed(Config{Rate: 1 << 40, Total: 1 << 40})
	w.link.counts, w.peers.counts = true, true
	now := time.Now()
	arena := <-w.arenas
	out, back := framed(0x4000, 46, 1400), []punch.Datagram{{Addr: peerAB, Data: make([]byte, 46*1400), Segment: 1400}}
	across, scratch := framed(0x4001, 46, 1400), make([]byte, len(out))
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"to a peer", func() {
			copy(scratch, out)
			w.Door(0).Forward(now, punch.Datagram{Addr: clientA, Data: scratch, Segment: 1404})
			w.Door(0).Flush()
		}},
		{"to another client", func() {
			copy(scratch, across)
			w.Door(0).Forward(now, punch.Datagram{Addr: clientA, Data: scratch, Segment: 1404})
			w.Door(0).Flush()
		}},
		{"to the client", func() { w.a.back(now, arena, back) }},
	} {
		if n := testing.AllocsPerRun(100, c.do); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	if w.link.count == 0 || w.peers.count == 0 {
		t.Error("nothing was relayed")
	}
}

// FuzzForward: whatever comes as relayed data, all of it is looked at, and what is sent
// to a peer is what a simple reader finds in it.
func FuzzForward(f *testing.F) {
	for _, s := range []string{"4000000201024000000203044000000105", "40010001010000004001000102000000", "40000009014000", "17fefd0001"} {
		f.Add(unhex(f, s), 6)
	}
	f.Fuzz(func(t *testing.T, b []byte, segment int) {
		if segment < 0 || segment > 1<<16 || len(b) > 1<<16 {
			return
		}
		w := newTestbed(Config{Rate: 1 << 40})
		var want [][]byte
		for x := range (punch.Datagram{Data: b, Segment: segment}).Segments {
			if !channeldata.Is(x) {
				break
			}
			if number, n, ok := channeldata.Parse(x); ok && (number == 0x4000 || number == 0x4001) {
				want = append(want, x[channeldata.Head:channeldata.Head+n])
			}
		}
		peers, clients, _ := w.forward(b, segment)
		var got [][]byte
		for _, d := range peers {
			for x := range d.Segments {
				got = append(got, x)
			}
		}
		for _, d := range clients {
			for x := range d.Segments {
				number, n, ok := channeldata.Parse(x)
				if !ok || number != 0x4001 {
					t.Fatalf("bridged %x", x)
				}
				got = append(got, x[channeldata.Head:channeldata.Head+n])
			}
		}
		order := func(a, b []byte) int { return bytes.Compare(a, b) } // of two destinations
		slices.SortFunc(want, order)
		slices.SortFunc(got, order)
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("relayed %x, want %x", got, want)
		}
	})
}
