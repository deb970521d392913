package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

// A raw client says what pion's would not.
type raw struct {
	t        testing.TB
	conn     *packetConn
	to       net.Addr
	user     string
	password string
	nonce    stun.Nonce
	realm    stun.Realm
	inbox    chan []byte // what the relay says
}

func (w *world) raw(addr string, vpn netip.Addr) *raw {
	c := &raw{t: w.t, conn: w.socket(addr), to: net.UDPAddrFromAddrPort(w.at), inbox: make(chan []byte, 64)}
	go func() {
		b := make([]byte, 2000)
		for {
			n, _, err := c.conn.ReadFrom(b)
			if err != nil {
				return
			}
			select {
			case c.inbox <- slices.Clone(b[:n]):
			default: // nobody looks
			}
		}
	}()
	c.user, c.password = w.cfg.Secret.Issue(time.Now(), vpn)
	return c
}

// ask sends a request with credentials and returns the answer; nil: there is none.
func (c *raw) ask(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	for range 2 {
		m := c.exchange(c.signed(method, attrs...))
		var code stun.ErrorCodeAttribute
		if m == nil || code.GetFrom(m) != nil || code.Code != stun.CodeUnauthorized && code.Code != stun.CodeStaleNonce {
			return m
		}
		if c.nonce.GetFrom(m) != nil || c.realm.GetFrom(m) != nil {
			c.t.Fatalf("no nonce in %v", m)
		}
	}
	c.t.Fatal("the nonce is not taken")
	return nil
}

func (c *raw) signed(method stun.Method, attrs ...stun.Setter) *stun.Message {
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
	if len(c.nonce) > 0 {
		all = append(all, stun.NewUsername(c.user), c.nonce, c.realm,
			stun.NewLongTermIntegrity(c.user, c.realm.String(), c.password))
	}
	return stun.MustBuild(all...)
}

// exchange sends a message and waits for its answer.
func (c *raw) exchange(q *stun.Message) *stun.Message {
	c.t.Helper()
	say(c.t, c.conn, c.to, string(q.Raw))
	late := time.After(3 * time.Second)
	for {
		select {
		case b := <-c.inbox:
			m := &stun.Message{Raw: b}
			if m.Decode() == nil && m.TransactionID == q.TransactionID {
				return m
			}
		case <-late:
			return nil
		}
	}
}

// codeOf returns the code of an error, 0 for a success, and -1 for no answer.
func codeOf(m *stun.Message) int {
	var code stun.ErrorCodeAttribute
	switch {
	case m == nil:
		return -1
	case code.GetFrom(m) != nil:
		return 0
	}
	return int(code.Code)
}

// attr is an attribute of any content.
type attr struct {
	typ   stun.AttrType
	value []byte
}

func (a attr) AddTo(m *stun.Message) error {
	m.Add(a.typ, a.value)
	return nil
}

var overUDP = attr{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

func lasting(d time.Duration) attr {
	return attr{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

// peerAt is an XOR-PEER-ADDRESS.
type peerAt netip.AddrPort

func (p peerAt) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func peer(s string) peerAt { return peerAt(netip.MustParseAddrPort(s)) }

func numbered(n uint16) attr {
	return attr{stun.AttrChannelNumber, binary.BigEndian.AppendUint32(nil, uint32(n)<<16)}
}

// want checks the code of an answer.
func (c *raw) want(what string, code int, m *stun.Message) *stun.Message {
	c.t.Helper()
	if got := codeOf(m); got != code {
		c.t.Errorf("%s: code %d, want %d", what, got, code)
	}
	return m
}

// TestRefreshed: a client that goes on keeps its address for hours, over new nonces,
// and data comes both ways.
func TestRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP, lasting(10*time.Minute)))
		p := w.socket("203.0.113.2:6000")
		stale := 0
		for i := range 30 {
			time.Sleep(9 * time.Minute)
			if i%6 == 5 { // credentials are good for an hour
				c.user, c.password = w.cfg.Secret.Issue(time.Now(), alice)
			}
			before := c.nonce.String()
			c.want("refresh", 0, c.ask(stun.MethodRefresh, lasting(10*time.Minute)))
			if c.nonce.String() != before {
				stale++
			}
			c.want("channel", 0, c.ask(stun.MethodChannelBind, numbered(0x4000), peer("203.0.113.2:6000")))
			say(t, c.conn, c.to, "\x40\x00\x00\x02hi")
			if got, _ := hear(t, p); got != "hi" {
				t.Errorf("heard %q", got)
			}
		}
		if stale < 4 { // in four hours and a half
			t.Errorf("%d nonces became stale", stale)
		}
	})
}

// TestExpiry: who does not go on loses address, permissions and channels when their
// time is over, and others can have the place.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Clients: 1})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP, lasting(20*time.Minute)))
		c.want("permission", 0, c.ask(stun.MethodCreatePermission, peer("203.0.113.2:1")))
		c.want("channel", 0, c.ask(stun.MethodChannelBind, numbered(0x4001), peer("203.0.113.3:6000")))
		a := (*w.Door(0).clients.Load())[netip.MustParseAddrPort("203.0.113.1:5000")]
		counts := func(permitted, numbers, peers int) {
			t.Helper()
			synctest.Wait()
			x := a.table.Load()
			if len(x.permitted) != permitted || len(x.numbers) != numbers || len(x.peers) != peers {
				t.Errorf("%d permissions, %d channels of peers, %d numbers, want %d, %d, %d",
					len(x.permitted), len(x.numbers), len(x.peers), permitted, numbers, peers)
			}
		}
		counts(2, 1, 1)
		time.Sleep(5*time.Minute + time.Second) // RFC 8656 section 9
		counts(0, 0, 1)
		time.Sleep(5 * time.Minute) // section 12
		counts(0, 0, 0)

		other := w.raw("203.0.113.9:5000", bob)
		other.want("no place", 508, other.ask(stun.MethodAllocate, overUDP))
		time.Sleep(10 * time.Minute)
		if s := w.Stats(); s.Allocations != 0 {
			t.Errorf("%d allocations after their time", s.Allocations)
		}
		other.want("a place", 0, other.ask(stun.MethodAllocate, overUDP, lasting(time.Second)))
		time.Sleep(time.Second)
		c.want("another", 0, c.ask(stun.MethodAllocate, overUDP))
	})
}

// TestAnew: a client that leaves and comes back at once waits a moment.
func TestAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		c.want("twice", 437, c.ask(stun.MethodAllocate, overUDP))
		c.want("leave", 0, c.ask(stun.MethodRefresh, lasting(0)))
		c.want("at once", -1, c.exchange(c.signed(stun.MethodAllocate, overUDP)))
		c.want("later", 0, c.ask(stun.MethodAllocate, overUDP))
		if s := w.Stats(); s.Allocations != 1 || s.Allocated != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestEvenPort: who wants an even port gets one, and the one behind it if it says so in
// time and it is free.
func TestEvenPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{First: 50000, Last: 50099, PerMember: 10})
		var relayed stun.XORMappedAddress
		for i := range 5 {
			c := w.raw(netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(5000+i)).String(), alice)
			m := c.want("even port", 0, c.ask(stun.MethodAllocate, overUDP, attr{stun.AttrEvenPort, []byte{0x80}}))
			if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil || relayed.Port%2 != 0 || relayed.Port < 50000 || relayed.Port > 50099 {
				t.Errorf("relayed address %v, %v", relayed, err)
			}
			token, err := m.Get(stun.AttrReservationToken)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				continue
			}
			port := relayed.Port
			d := w.raw("203.0.113.2:5000", bob)
			m = d.want("the next", 0, d.ask(stun.MethodAllocate, overUDP, attr{stun.AttrReservationToken, token}))
			if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil || relayed.Port != port+1 {
				t.Errorf("behind port %d came %v, %v", port, relayed, err)
			}
			e := w.raw("203.0.113.3:5000", bob)
			e.want("again", 508, e.ask(stun.MethodAllocate, overUDP, attr{stun.AttrReservationToken, token}))
		}
	})
}

// TestExpel: who is no member any more relays nothing any more.
func TestExpel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, b := w.raw("203.0.113.1:5000", alice), w.raw("203.0.113.2:5000", bob)
		a.want("allocate", 0, a.ask(stun.MethodAllocate, overUDP))
		b.want("allocate", 0, b.ask(stun.MethodAllocate, overUDP))
		w.Expel(alice)
		synctest.Wait()
		if w.Door(0).Knows(netip.MustParseAddrPort("203.0.113.1:5000")) || !w.Door(0).Knows(netip.MustParseAddrPort("203.0.113.2:5000")) {
			t.Error("the wrong one was expelled, or nobody")
		}
	})
}

// TestBrokenSocket: an allocation whose socket fails ends.
func TestBrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		for _, a := range *w.relayed.Load() {
			a.conn.Close()
		}
		synctest.Wait()
		if s := w.Stats(); s.Allocations != 0 {
			t.Errorf("%d allocations", s.Allocations)
		}
	})
}

// TestRepeated: a request that is repeated gets the same answer.
func TestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("first", 401, c.exchange(c.signed(stun.MethodAllocate, overUDP)))
		c.ask(stun.MethodRefresh) // for the nonce
		q := c.signed(stun.MethodAllocate, overUDP)
		var relayed [2]stun.XORMappedAddress
		for i := range relayed {
			m := c.want("allocate", 0, c.exchange(q))
			if err := relayed[i].GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
				t.Fatal(err)
			}
		}
		if relayed[0].String() != relayed[1].String() {
			t.Errorf("relayed address %v, then %v", relayed[0], relayed[1])
		}
	})
}

// TestClose: nothing is left after the end.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		for i := range 5 {
			c := w.raw(netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(5000+i)).String(), netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}))
			c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		}
		w.end()
		synctest.Wait()
		if s := w.Stats(); s.Allocations != 0 || len(*w.relayed.Load()) != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}

// TestMemory: what an allocation takes, of memory and of the processor, is bounded, and so
// is what 2,000 do. What the clients and the network between take counts with it.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector multiplies memory: the bounds are ten times as wide")
	}
	synctest.Test(t, func(t *testing.T) {
		count := 2000
		if raceEnabled {
			count = 500
		}
		w := newWorld(t, Config{Clients: count, PerMember: count, First: 1024, Last: uint16(1024 + count - 1)})
		var clients []*raw
		for i := range count {
			a := netip.AddrFrom4([4]byte{203, 0, byte(113 + i/250), byte(1 + i%250)})
			clients = append(clients, w.raw(netip.AddrPortFrom(a, 5000).String(), alice))
		}
		before, goroutines, busy := memory(), runtime.NumGoroutine(), used(t)
		for _, c := range clients {
			c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP, lasting(time.Hour-time.Second)))
		}
		took := (used(t) - busy) / time.Duration(count)
		limit, most := 32<<10, 5*time.Millisecond // bytes; of the processor
		if raceEnabled {
			limit, most = 10*limit, 10*most
		}
		t.Logf("an allocation among %d takes %v of the processor", count, took)
		if took > most {
			t.Errorf("an allocation takes %v of the processor, want %v at most", took, most)
		}
		if each := (memory() - before) / count; each > limit {
			t.Errorf("an allocation takes %d bytes, want %d at most", each, limit)
		} else {
			t.Logf("an allocation takes %d bytes, without its socket", each)
		}
		if n := (runtime.NumGoroutine() - goroutines) / count; n > 2 {
			t.Errorf("%d goroutines for each allocation", n)
		}
	})
}

// memory returns how many bytes are in use, stacks included.
func memory() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
