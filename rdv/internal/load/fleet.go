package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"campagnol/rdv/wire"
)

const (
	// pingInterval, helloWait and askWait are what the original does.
	pingInterval = 3 * time.Second
	helloWait    = 2 * time.Second // for the answer to a HELLO
	askWait      = 3 * time.Second // for the answer to an ASK

	// helloWindow is how many HELLOs may be without answer: few enough for
	// the receive buffer that a process without privileges gets.
	helloWindow = 256

	// drainWait is how long answers may take at the end.
	drainWait = 2 * time.Second
)

// maxClients is how many addresses there are for clients: a /10 of 127.0.0.0/8,
// less the first.
const maxClients = 1<<22 - 1

// A FleetConfig says what a fleet does.
type FleetConfig struct {
	Clients  int           // 2 to 4 million
	Interval time.Duration // between two PINGs of a client; 0: 3 s
	Asks     int           // ASKs per second, of all clients
	Duration time.Duration // of PINGs and ASKs, once all are registered
	Seed     uint64        // of the random choice who asks for whom
}

// An Out is a message that a client sends.
type Out struct {
	Client int
	Msg    wire.Message
}

// A Fleet is a number of clients. One goroutine owns it. Time comes in with
// each call, and does not run backwards.
type Fleet struct {
	cfg     FleetConfig
	rand    *rand.Rand
	clients []simulated

	begin      time.Time // first Advance
	registered int
	hellos     []hello // without answer yet, the oldest first
	next       int     // the next client to say HELLO

	phase phase
	serve time.Duration // when the last client was registered
	drain time.Duration // when the last PING and ASK were sent

	pings, pingsTotal int // sent, and to be sent; the next is that of client pings % Clients
	asks, asksTotal   int
	waits             int // PONGs, ANSs and FWDs to come
	result            Result
}

// A phase is what a fleet is at.
type phase uint8

const (
	registering phase = iota
	serving
	draining
	done
)

// A simulated is one client. Its times are since the fleet's begin; 0 is none.
type simulated struct {
	pinged     time.Duration // the PING that has no PONG yet
	asked      time.Duration // the ASK that is not answered yet
	peer       int32         // whom it asked for
	registered bool
	answer     bool // waits for ANS or REJ
	forward    bool // its peer waits for FWD
}

// A hello is a HELLO that has not been answered.
type hello struct {
	client int
	at     time.Duration
}

// NewFleet returns a fleet that has not begun.
func NewFleet(cfg FleetConfig) *Fleet {
	if cfg.Interval == 0 {
		cfg.Interval = pingInterval
	}
	pings := int(float64(cfg.Clients) * cfg.Duration.Seconds() / cfg.Interval.Seconds())
	asks := int(float64(cfg.Asks) * cfg.Duration.Seconds())
	return &Fleet{
		cfg:        cfg,
		rand:       rand.New(rand.NewPCG(cfg.Seed, 0)),
		clients:    make([]simulated, cfg.Clients),
		pingsTotal: pings,
		asksTotal:  asks,
		result:     Result{Pong: newLatencies(pings), Answer: newLatencies(asks), Forward: newLatencies(asks)},
	}
}

// clientAddr returns the address of client i, and vpnAddr its VPN address.
func clientAddr(i int) netip.Addr { return addr4(127<<24 | 64<<16 + uint32(i) + 1) }
func vpnAddr(i int) netip.Addr    { return addr4(10<<24 + uint32(i) + 1) }

// clientOf returns the client that has an address, and clientOfVPN that which
// has a VPN address. They return false for addresses of nobody.
func (f *Fleet) clientOf(a netip.Addr) (int, bool)    { return f.index(a, clientAddr(0)) }
func (f *Fleet) clientOfVPN(a netip.Addr) (int, bool) { return f.index(a, vpnAddr(0)) }

func (f *Fleet) index(a, first netip.Addr) (int, bool) { return indexOf(a, first, len(f.clients)) }

// indexOf returns which of n addresses in a row a is.
func indexOf(a, first netip.Addr, n int) (int, bool) {
	if !a.Is4() {
		return 0, false
	}
	b, b0 := a.As4(), first.As4()
	i := int(binary.BigEndian.Uint32(b[:])) - int(binary.BigEndian.Uint32(b0[:]))
	return i, i >= 0 && i < n
}

func addr4(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// Advance appends to out what is to be sent at now.
func (f *Fleet) Advance(now time.Time, out []Out) []Out {
	at := f.since(now)
	switch f.phase {
	case registering:
		out = f.register(at, out)
	case serving:
		out = f.ping(at, out)
		out = f.ask(at, out)
		if f.pings == f.pingsTotal && f.asks == f.asksTotal {
			f.phase, f.drain = draining, at
		}
	}
	if f.phase == draining && (f.waits == 0 || at-f.drain >= drainWait) {
		f.phase = done
		f.result.Lost = f.result.Pings - f.result.Pong.Len()
	}
	return out
}

// since returns the time since the begin, which is never 0.
func (f *Fleet) since(now time.Time) time.Duration {
	if f.begin.IsZero() {
		f.begin = now
	}
	return now.Sub(f.begin) + 1
}

// Registered reports whether all clients have been registered.
func (f *Fleet) Registered() bool { return f.phase > registering }

// Done reports whether the fleet has done all that it was to do.
func (f *Fleet) Done() bool { return f.phase == done }

// Sent reports whether there is nothing left to send but to wait for.
func (f *Fleet) Sent() bool { return f.phase >= draining }

// Result returns what was measured until now.
func (f *Fleet) Result() Result { return f.result }

// register says HELLO for the clients whose turn it is, and again for those
// that were not answered.
func (f *Fleet) register(at time.Duration, out []Out) []Out {
	for len(f.hellos) > 0 {
		h := f.hellos[0]
		if !f.clients[h.client].registered {
			if at-h.at < helloWait {
				break
			}
			f.result.HellosLost++
			out = f.hello(at, h.client, out)
		}
		f.hellos = f.hellos[1:]
	}
	for ; f.next < len(f.clients) && f.next-f.registered < helloWindow; f.next++ {
		out = f.hello(at, f.next, out)
	}
	return out
}

func (f *Fleet) hello(at time.Duration, client int, out []Out) []Out {
	f.hellos = append(f.hellos, hello{client, at})
	return append(out, Out{client, helloOf(client)})
}

// helloOf is the HELLO of a client without local address: those of one public
// address do not exist here.
func helloOf(client int) wire.Message { return wire.Message{Type: wire.Hello, IP1: vpnAddr(client)} }

// ping sends the PINGs that are due. They are at equal distances, so that each
// client's come in equal intervals.
func (f *Fleet) ping(at time.Duration, out []Out) []Out {
	step := float64(f.cfg.Interval) / float64(len(f.clients))
	for f.pings < f.pingsTotal {
		due := f.serve + time.Duration(float64(f.pings)*step)
		if due > at {
			break
		}
		client := f.pings % len(f.clients)
		f.result.Late = max(f.result.Late, at-due)
		f.result.Pings++
		f.pings++
		c := &f.clients[client]
		if c.pinged == 0 {
			f.waits++
		}
		c.pinged = at
		out = append(out, Out{client, wire.Message{Type: wire.Ping}})
	}
	return out
}

// ask sends the ASKs that are due. A client asks for one other at a time.
func (f *Fleet) ask(at time.Duration, out []Out) []Out {
	for f.asks < f.asksTotal && at-f.serve >= time.Duration(f.asks)*time.Second/time.Duration(f.cfg.Asks) {
		f.asks++
		client := f.rand.IntN(len(f.clients))
		c := &f.clients[client]
		if c.asked != 0 && at-c.asked < askWait {
			continue // as the original, which is not in a hurry
		}
		f.giveUp(c)
		peer := f.rand.IntN(len(f.clients) - 1)
		if peer >= client {
			peer++ // anybody else
		}
		c.asked, c.peer, c.answer, c.forward = at, int32(peer), true, true
		f.waits += 2
		f.result.Asks++
		out = append(out, Out{client, wire.Message{Type: wire.Ask, IP1: vpnAddr(peer)}})
	}
	return out
}

// giveUp forgets an ASK.
func (f *Fleet) giveUp(c *simulated) {
	for _, waits := range []*bool{&c.answer, &c.forward} {
		if *waits {
			*waits = false
			f.waits--
		}
	}
	c.asked = 0
}

// Handle takes a message that has come from the server to an address, and
// appends what is to be sent at once to out.
func (f *Fleet) Handle(now time.Time, to netip.Addr, m wire.Message, out []Out) []Out {
	at := f.since(now)
	client, ok := f.clientOf(to)
	if !ok {
		f.result.Unexpected++
		return out
	}
	c := &f.clients[client]
	switch {
	case m.Type == wire.OK:
		f.ok(at, c)
	case m.Type == wire.Pong && c.pinged != 0:
		f.result.Pong.add(at - c.pinged)
		c.pinged = 0
		f.waits--
	case m.Type == wire.Answer && c.answer:
		f.answered(at, c, m)
	case m.Type == wire.Forward:
		f.forwarded(at, client, m)
	case m.Type == wire.Reject && c.answer:
		f.result.Rejects++
		f.giveUp(c)
	case m.Type == wire.Reconnect:
		f.result.Reconnects++
		out = append(out, Out{client, helloOf(client)})
	default:
		f.result.Unexpected++
	}
	return out
}

// ok notes that a client is registered.
func (f *Fleet) ok(at time.Duration, c *simulated) {
	if c.registered {
		return // again, after RECONNECT
	}
	c.registered = true
	if f.registered++; f.registered == len(f.clients) {
		f.phase, f.serve = serving, at
		f.result.Register = at
		f.hellos = nil
	}
}

// answered notes an ANS, which has to tell where the peer is.
func (f *Fleet) answered(at time.Duration, c *simulated, m wire.Message) {
	if peer, ok := f.clientOfVPN(m.IP2); !ok || peer != int(c.peer) || m.IP1 != clientAddr(peer) {
		f.result.Unexpected++
		return
	}
	f.result.Answer.add(at - c.asked)
	c.answer = false
	f.settle(c)
}

// forwarded notes a FWD to client, which has to tell where the asker is.
func (f *Fleet) forwarded(at time.Duration, client int, m wire.Message) {
	asker, ok := f.clientOfVPN(m.IP2)
	if !ok || m.IP1 != clientAddr(asker) || !f.clients[asker].forward || int(f.clients[asker].peer) != client {
		f.result.Unexpected++
		return
	}
	c := &f.clients[asker]
	f.result.Forward.add(at - c.asked)
	c.forward = false
	f.settle(c)
}

// settle counts one answer to an ASK.
func (f *Fleet) settle(c *simulated) {
	f.waits--
	if !c.answer && !c.forward {
		c.asked = 0
	}
}
