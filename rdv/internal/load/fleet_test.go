package load

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv"
	"campagnol/rdv/wire"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// A world has a fleet and a registry in virtual time, which goes on in steps of
// a millisecond. Answers take half of one.
type world struct {
	t     *testing.T
	start time.Time
	now   time.Time
	fleet *Fleet
	reg   *rdv.Registry

	lose func(to netip.Addr, m wire.Message) bool // an answer of the server
	sent func(o Out)
}

func newWorld(t *testing.T, cfg FleetConfig) *world {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return &world{
		t: t, start: start, now: start,
		fleet: NewFleet(cfg),
		reg:   rdv.NewRegistry(rdv.RegistryConfig{}),
		lose:  func(netip.Addr, wire.Message) bool { return false },
		sent:  func(Out) {},
	}
}

// port is that of all clients.
const port = 5000

// step lets a millisecond pass.
func (w *world) step() {
	w.now = w.now.Add(ms)
	for out := w.fleet.Advance(w.now, nil); len(out) > 0; {
		out = w.exchange(out)
	}
	if f := w.fleet; f.waits < 0 || f.registered > len(f.clients) {
		w.t.Fatalf("%d answers to come, %d of %d clients registered", f.waits, f.registered, len(f.clients))
	}
}

// exchange hands messages to the server, and its answers to the fleet. It
// returns what the fleet says to these.
func (w *world) exchange(out []Out) (more []Out) {
	for _, o := range out {
		w.sent(o)
		from := netip.AddrPortFrom(clientAddr(o.Client), port)
		for _, a := range w.reg.Handle(w.now, rdv.In{From: from, Msg: o.Msg}, nil) {
			if !w.lose(a.To.Addr(), a.Msg) {
				more = w.fleet.Handle(w.now.Add(ms/2), a.To.Addr(), a.Msg, more)
			}
		}
	}
	return more
}

// run goes on until the fleet is done.
func (w *world) run() Result {
	w.t.Helper()
	for !w.fleet.Done() {
		if w.step(); w.now.Sub(w.start) > time.Hour {
			w.t.Fatal("the fleet is not done after an hour")
		}
	}
	return w.fleet.Result()
}

// TestFleet checks who says what and when, and what is measured.
func TestFleet(t *testing.T) {
	const clients = 1000
	w := newWorld(t, FleetConfig{Clients: clients, Asks: 100, Duration: 10 * sec})
	hellos, last, perTick := 0, map[int]time.Time{}, map[time.Time]int{}
	w.sent = func(o Out) {
		switch o.Msg.Type {
		case wire.Hello:
			hellos++
			if got, want := o.Msg, (wire.Message{Type: wire.Hello, IP1: vpnAddr(o.Client)}); got != want {
				t.Fatalf("HELLO %v, want %v", got, want)
			}
		case wire.Ping:
			perTick[w.now]++
			// A client's PINGs come every 3 s, as far as a step allows.
			if before, ok := last[o.Client]; ok && w.now.Sub(before).Round(10*ms) != 3*sec {
				t.Errorf("client %d PINGs after %v", o.Client, w.now.Sub(before))
			}
			last[o.Client] = w.now
		}
	}
	r := w.run()
	if hellos != clients || len(last) != clients {
		t.Errorf("%d HELLOs, %d clients have sent PINGs, want %d", hellos, len(last), clients)
	}
	for at, n := range perTick {
		if n > 1 { // one every 3 ms
			t.Errorf("%d PINGs at %v", n, at.Sub(w.start))
		}
	}
	if r.Pings != 3333 || r.Pong.Len() != 3333 || r.Lost != 0 {
		t.Errorf("%d PINGs, %d PONGs, %d lost, want 3333 and none lost", r.Pings, r.Pong.Len(), r.Lost)
	}
	if r.Asks != 1000 || r.Answer.Len() != 1000 || r.Forward.Len() != 1000 || r.Unanswered() != 0 {
		t.Errorf("%d ASKs, %d ANSs, %d FWDs, want 1000 of each", r.Asks, r.Answer.Len(), r.Forward.Len())
	}
	for name, l := range map[string]*Latencies{"PONG": r.Pong, "ANS": r.Answer, "FWD": r.Forward} {
		if l.Quantile(0) != ms/2 || l.Quantile(1) != ms/2 {
			t.Errorf("%s after %v, want %v", name, l, ms/2)
		}
	}
	if r.Rejects != 0 || r.Reconnects != 0 || r.Unexpected != 0 || r.HellosLost != 0 {
		t.Errorf("result %v, want nothing out of the ordinary", r)
	}
	if r.Late > ms {
		t.Errorf("late by %v, in steps of %v", r.Late, ms)
	}
	// 256 HELLOs are answered before the next 256 are sent.
	if want := 3*ms + ms/2 + 1; r.Register != want {
		t.Errorf("registered after %v, want %v", r.Register, want)
	}
}

// TestFleetAsksAnybody checks that all clients ask and are asked, nobody
// himself, and that another seed has other pairs.
func TestFleetAsksAnybody(t *testing.T) {
	pairs := func(seed uint64) (of [][2]int) {
		w := newWorld(t, FleetConfig{Clients: 10, Asks: 50, Duration: 20 * sec, Seed: seed})
		w.sent = func(o Out) {
			if o.Msg.Type == wire.Ask {
				peer, ok := w.fleet.clientOfVPN(o.Msg.IP1)
				if !ok || peer == o.Client {
					t.Fatalf("client %d asks for %v", o.Client, o.Msg.IP1)
				}
				of = append(of, [2]int{o.Client, peer})
			}
		}
		w.run()
		return of
	}
	one := pairs(1)
	seen := map[[2]int]bool{}
	for _, p := range one {
		seen[p] = true
	}
	if want := 10 * 9; len(seen) != want {
		t.Errorf("%d pairs of 10 clients, want %d", len(seen), want)
	}
	if again := pairs(1); len(again) != len(one) || again[500] != one[500] {
		t.Error("the same seed has other pairs")
	}
	same := 0
	for i, p := range pairs(2) {
		if p == one[i] {
			same++
		}
	}
	if same > len(one)/10 {
		t.Errorf("another seed has %d of %d pairs in common", same, len(one))
	}
}

// TestFleetLoss loses answers, of which it keeps its own account.
func TestFleetLoss(t *testing.T) {
	w := newWorld(t, FleetConfig{Clients: 500, Asks: 200, Duration: 9 * sec})
	lots := rand.New(rand.NewPCG(1, 2))
	lost := map[wire.Type]int{}
	w.lose = func(_ netip.Addr, m wire.Message) bool {
		if lots.IntN(20) == 0 {
			lost[m.Type]++
			return true
		}
		return false
	}
	r := w.run()
	if r.Lost != lost[wire.Pong] || r.Lost == 0 {
		t.Errorf("%d PINGs lost, want %d", r.Lost, lost[wire.Pong])
	}
	if got, want := r.Asks-r.Answer.Len(), lost[wire.Answer]; got != want {
		t.Errorf("%d ANSs lost, want %d", got, want)
	}
	if got, want := r.Asks-r.Forward.Len(), lost[wire.Forward]; got != want {
		t.Errorf("%d FWDs lost, want %d", got, want)
	}
	if r.HellosLost != lost[wire.OK] || r.HellosLost == 0 {
		t.Errorf("%d HELLOs lost, want %d", r.HellosLost, lost[wire.OK])
	}
	if r.Register < helloWait || r.Register > 4*helloWait {
		t.Errorf("registered after %v, want some times %v", r.Register, helloWait)
	}
	if r.Asks >= 1800 || r.Asks < 1500 {
		t.Errorf("%d ASKs: those who wait for an answer do not ask", r.Asks)
	}
	if r.Unexpected != 0 {
		t.Errorf("%d unexpected", r.Unexpected)
	}
}

// TestFleetServerRestarts has the server forget everybody.
func TestFleetServerRestarts(t *testing.T) {
	const clients = 300
	w := newWorld(t, FleetConfig{Clients: clients, Asks: 100, Duration: 9 * sec})
	for range 4000 {
		w.step()
	}
	w.reg = rdv.NewRegistry(rdv.RegistryConfig{})
	r := w.run()
	// One each, or two if PING and ASK are on their way together.
	if r.Reconnects < clients || r.Reconnects > clients+clients/10 {
		t.Errorf("%d RECONNECTs, want %d", r.Reconnects, clients)
	}
	if w.reg.Len() != clients {
		t.Errorf("%d clients registered again, want %d", w.reg.Len(), clients)
	}
	if r.Rejects == 0 {
		t.Error("nobody asked for a client that was not back yet")
	}
	// A RECONNECT is the answer to a PING, or to an ASK.
	if r.Lost == 0 || r.Lost > clients {
		t.Errorf("%d PINGs lost, want some of %d", r.Lost, clients)
	}
	if r.Unexpected != 0 {
		t.Errorf("%d unexpected", r.Unexpected)
	}
}

// TestFleetDeadServer checks that a fleet ends although nobody answers.
func TestFleetDeadServer(t *testing.T) {
	w := newWorld(t, FleetConfig{Clients: 10, Asks: 5, Duration: 5 * sec})
	for !w.fleet.Registered() {
		w.step()
	}
	w.lose = func(netip.Addr, wire.Message) bool { return true }
	begin := w.now
	r := w.run()
	if r.Lost != r.Pings || r.Unanswered() != 2*r.Asks || r.Pings == 0 || r.Asks == 0 {
		t.Errorf("%v, want all lost", r)
	}
	// The last ASK is sent after 24 of 25 intervals.
	if got, want := w.now.Sub(begin), 4800*ms+drainWait; got < want || got > want+10*ms {
		t.Errorf("the end came after %v, want %v", got, want)
	}
}

// TestFleetUnexpected has answers to nothing, and false ones.
func TestFleetUnexpected(t *testing.T) {
	introduction := func(typ wire.Type, at, vpn netip.Addr) wire.Message {
		return wire.Message{Type: typ, Port: port, IP1: at, IP2: vpn}
	}
	for _, c := range []struct {
		name string
		to   netip.Addr
		msg  wire.Message
	}{
		{"to nobody", clientAddr(100), wire.Message{Type: wire.Pong}},
		{"to a neighbour of the first", netip.MustParseAddr("127.64.0.0"), wire.Message{Type: wire.Pong}},
		{"IPv6", netip.IPv6Loopback(), wire.Message{Type: wire.Pong}},
		{"NOK", clientAddr(0), wire.Message{Type: wire.NOK}},
		{"second PONG", clientAddr(5), wire.Message{Type: wire.Pong}},
		{"PUNCH", clientAddr(0), wire.Message{Type: wire.Punch}},
		{"ANS with another peer", clientAddr(0), introduction(wire.Answer, clientAddr(2), vpnAddr(2))},
		{"ANS with another address", clientAddr(0), introduction(wire.Answer, clientAddr(2), vpnAddr(1))},
		{"ANS for nobody", clientAddr(0), introduction(wire.Answer, clientAddr(1), netip.Addr{})},
		{"ANS to one who has not asked", clientAddr(1), introduction(wire.Answer, clientAddr(0), vpnAddr(0))},
		{"REJ to one who has not asked", clientAddr(1), wire.Message{Type: wire.Reject}},
		{"FWD to another", clientAddr(2), introduction(wire.Forward, clientAddr(0), vpnAddr(0))},
		{"FWD of one who has not asked", clientAddr(1), introduction(wire.Forward, clientAddr(2), vpnAddr(2))},
		{"FWD with another address", clientAddr(1), introduction(wire.Forward, clientAddr(2), vpnAddr(0))},
		{"FWD of nobody", clientAddr(1), introduction(wire.Forward, clientAddr(0), netip.Addr{})},
	} {
		w := newWorld(t, FleetConfig{Clients: 10, Duration: sec})
		for !w.fleet.Registered() {
			w.step()
		}
		// Client 0 has asked for client 1.
		w.fleet.clients[0] = simulated{asked: 1, peer: 1, registered: true, answer: true, forward: true}
		w.fleet.waits += 2
		before := w.fleet.waits
		if out := w.fleet.Handle(w.now, c.to, c.msg, nil); len(out) != 0 {
			t.Errorf("%s: the fleet says %v", c.name, out)
		}
		if r := w.fleet.Result(); r.Unexpected != 1 || w.fleet.waits != before {
			t.Errorf("%s: %d unexpected, %d answers to come, want 1 and %d", c.name, r.Unexpected, w.fleet.waits, before)
		}
	}
}

// TestAddresses checks that the addresses of the first and of the last client
// are in their networks, and lead back to them.
func TestAddresses(t *testing.T) {
	f := NewFleet(FleetConfig{Clients: maxClients, Duration: sec, Interval: time.Hour})
	at, vpn := netip.MustParsePrefix("127.64.0.0/10"), netip.MustParsePrefix("10.0.0.0/8")
	for _, i := range []int{0, 255, 256, maxClients - 1} {
		if a := clientAddr(i); !at.Contains(a) {
			t.Errorf("client %d is at %v, want it in %v", i, a, at)
		}
		if a := vpnAddr(i); !vpn.Contains(a) {
			t.Errorf("client %d has VPN address %v, want it in %v", i, a, vpn)
		}
		if got, ok := f.clientOf(clientAddr(i)); !ok || got != i {
			t.Errorf("the address of client %d is that of %d, %v", i, got, ok)
		}
		if got, ok := f.clientOfVPN(vpnAddr(i)); !ok || got != i {
			t.Errorf("the VPN address of client %d is that of %d, %v", i, got, ok)
		}
	}
	if _, ok := f.clientOf(clientAddr(maxClients)); ok {
		t.Error("there is one client too many")
	}
}

// TestFleetAllocations counts those of a fleet at work, which has to be quick.
func TestFleetAllocations(t *testing.T) {
	w := newWorld(t, FleetConfig{Clients: 1000, Asks: 1000, Duration: time.Minute})
	for !w.fleet.Registered() {
		w.step()
	}
	out := make([]Out, 0, 64)
	if got := testing.AllocsPerRun(1000, func() {
		w.now = w.now.Add(ms)
		out = w.fleet.Advance(w.now, out[:0])
		for i := range out {
			to := clientAddr(out[i].Client)
			if w.fleet.Handle(w.now, to, wire.Message{Type: wire.Pong}, nil) != nil {
				t.Fatal("a PONG is answered")
			}
		}
	}); got != 0 {
		t.Errorf("a step allocates %.0f times, want 0", got)
	}
}

// FuzzFleet gives a fleet any messages from the server, at any time.
func FuzzFleet(f *testing.F) {
	f.Add([]byte{0, 1, 4, 0, 1, 1, 4, 1, 1, 3, 5, 2})
	f.Add([]byte{0, 7, 3, 1, 1, 6, 3, 1, 9, 8, 2, 2, 200, 12, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		const clients = 4
		w := newWorld(t, FleetConfig{Clients: clients, Asks: 100, Duration: 5 * sec})
		for ; len(b) >= 4; b = b[4:] {
			w.now = w.now.Add(time.Duration(b[0]) * 10 * ms)
			w.fleet.Advance(w.now, nil)
			m := wire.Message{Type: wire.Type(b[1] % 16), Port: port, IP1: clientAddr(int(b[3] % 8)), IP2: vpnAddr(int(b[3] % 8))}
			if out := w.fleet.Handle(w.now, clientAddr(int(b[2]%8)), m, nil); len(out) > 1 {
				t.Fatalf("%d messages in answer to one", len(out))
			}
			f := w.fleet
			if f.waits < 0 || f.registered > clients || f.result.Lost < 0 || f.result.Unanswered() < 0 {
				t.Fatalf("after %v: %d answers to come, %d registered, %v", m, f.waits, f.registered, f.result)
			}
		}
	})
}
