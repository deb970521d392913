package client

import (
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/punch/nat"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// How registration spends its time. The original server forgets who has been
// silent for 5 s, and answers a HELLO within a round trip.
const (
	pingInterval = 3 * time.Second
	helloWait    = 2 * time.Second // for an answer
	helloFirst   = time.Second     // for the answer to the first HELLO of a round
	nokWait      = time.Second     // after a refusal
	helloTries   = 4               // a round; then the back-off
	backoffMin   = 2 * time.Second
	backoffMax   = 30 * time.Second

	// helloGap is how often RECONNECT, which anybody can send in the RDV's
	// name, makes us say HELLO.
	helloGap = time.Second

	// rdvPatience is how long the RDV may leave PINGs unanswered before we say
	// so: three of them.
	rdvPatience = 10 * time.Second
)

// A registration keeps us registered at the RDV. It is a machine: no I/O, no
// clock. It never gives up.
//
//	┌─► HELLO ──OK──► registered: PING every 3 s ──RECONNECT──┐
//	│     └─4 tries─► BYE, back-off ──┐                       │
//	└─────────────────────────────────┴───────────────────────┘
//
// It does nothing between hold and start.
type registration struct {
	server netip.AddrPort
	hello  wire.Message
	jitter func() float64 // 0 to 1

	state   regState
	tries   int       // HELLOs of this round
	refused bool      // by a NOK, in this round
	strange bool      // an answer of this round, and it was reported
	next    time.Time // HELLO or PING
	backoff time.Duration
	said    time.Time // the last HELLO
	heard   time.Time // the RDV, last
	silent  bool      // and it was reported
	doubt   time.Time // the last PING that inDoubt has said
	since   time.Time // registered
}

type regState uint8

const (
	regWaiting regState = iota // for a round's beginning
	regHello                   // a HELLO is out
	regRegistered
	regHeld // there is a better way, see serverChannel; nothing is said
)

// A regEvent is what registration has to report.
type regEvent uint8

const (
	regNothing regEvent = iota
	regTrying           // a round begins
	regDone             // registered
	regRefused          // a round failed, the RDV refuses us
	regFailed           // a round failed, nobody answers
	regStrange          // the RDV answers a HELLO with what no RDV says
	regSilent           // the RDV no longer answers PINGs
	regBack             // it does again
)

func newRegistration(now time.Time, server netip.AddrPort, hello wire.Message, jitter func() float64) *registration {
	return &registration{server: server, hello: hello, jitter: jitter, next: now, backoff: backoffMin}
}

// hello returns the HELLO that registers us.
func (c *Client) hello() wire.Message {
	return wire.Message{
		Type: wire.Hello,
		Port: c.set.LocalAddr.Port(),
		IP1:  c.cfg.VPNAddr,
		IP2:  c.set.LocalAddr.Addr(),
	}
}

// timeout returns when advance must be called next; zero means never.
func (r *registration) timeout() time.Time { return r.next }

func (r *registration) registered() bool { return r.state == regRegistered }

// held reports whether nothing is to be said in clear.
func (r *registration) held() bool { return r.state == regHeld }

// hold ends the registration in clear without a word.
func (r *registration) hold() { r.state, r.next, r.silent = regHeld, time.Time{}, false }

// start begins it anew.
func (r *registration) start(now time.Time) { r.state, r.next, r.backoff = regWaiting, now, backoffMin }

// advance takes the passing of time and appends what to send to out.
func (r *registration) advance(now time.Time, out []punch.Out) ([]punch.Out, regEvent) {
	if r.held() || now.Before(r.next) {
		return out, regNothing
	}
	switch {
	case r.state == regRegistered:
		r.next = now.Add(pingInterval)
		ev := regNothing
		if !r.silent && now.Sub(r.heard) > rdvPatience {
			r.silent, ev = true, regSilent
		}
		return append(out, punch.Out{To: punch.Endpoint{Addr: r.server}, Msg: wire.Message{Type: wire.Ping}}), ev
	case r.state == regHello && r.tries >= helloTries:
		return r.fail(now, out)
	}
	ev := regNothing
	if r.state == regWaiting {
		r.begin()
		ev = regTrying
	}
	return r.sayHello(now, out), ev
}

// inDoubt sees at once whether the RDV still knows us, since peers no longer answer.
func (r *registration) inDoubt(now time.Time, out []punch.Out) []punch.Out {
	if r.state != regRegistered || now.Sub(r.doubt) < doubtGap {
		return out
	}
	r.doubt = now
	return append(out, punch.Out{To: punch.Endpoint{Addr: r.server}, Msg: wire.Message{Type: wire.Ping}})
}

// begin begins a round.
func (r *registration) begin() { r.tries, r.refused, r.strange = 0, false, false }

func (r *registration) sayHello(now time.Time, out []punch.Out) []punch.Out {
	wait := helloWait
	if r.tries == 0 {
		wait = helloFirst
	}
	r.state, r.said = regHello, now
	r.tries++
	r.next = now.Add(wait)
	return append(out, punch.Out{To: punch.Endpoint{Addr: r.server}, Msg: r.hello})
}

// fail ends a round. Its BYE undoes a registration whose OK was lost, which an
// original server would refuse to repeat.
func (r *registration) fail(now time.Time, out []punch.Out) ([]punch.Out, regEvent) {
	r.state = regWaiting
	// A quarter more or less, so that clients do not come back in step.
	r.next = now.Add(time.Duration(float64(r.backoff) * (0.75 + r.jitter()/2)))
	r.backoff = min(2*r.backoff, backoffMax)
	ev := regFailed
	if r.refused {
		ev = regRefused
	}
	return append(out, r.bye()), ev
}

// bye returns the message that unregisters us.
func (r *registration) bye() punch.Out {
	return punch.Out{To: punch.Endpoint{Addr: r.server}, Msg: wire.Message{Type: wire.Bye, IP1: r.hello.IP1}}
}

// handle takes a message from the RDV's address and appends what to send to out.
func (r *registration) handle(now time.Time, m wire.Message, out []punch.Out) ([]punch.Out, regEvent) {
	if r.held() {
		return out, regNothing
	}
	r.heard = now
	switch {
	case m.Type == wire.OK && r.state == regHello:
		r.state, r.next, r.since = regRegistered, now.Add(pingInterval), now
		r.backoff, r.silent = backoffMin, false
		return out, regDone
	case m.Type == wire.NOK && r.state == regHello:
		r.refused = true
		r.next = now.Add(nokWait)
	case m.Type == wire.Reconnect && now.Sub(r.said) >= helloGap:
		r.begin()
		return r.sayHello(now, out), regTrying
	case r.state == regHello && !r.strange && !rdvSays(m.Type):
		r.strange = true
		return out, regStrange
	case r.silent && r.state == regRegistered:
		r.silent = false
		return out, regBack
	}
	return out, regNothing
}

// handleRDV takes a message from an RDV's address. Since anybody can write that
// address on a datagram, a message may start something only where we wait for it
// or as often as costs nothing.
func (c *Client) handleRDV(now time.Time, from netip.AddrPort, m wire.Message) {
	r := c.serverAt(from)
	if r == nil {
		c.drops.Add(tunnel.DropNoPeer)
		return
	}
	c.log.Debug("<< "+m.Type.String(), "from", from)
	r.heardBy(now, nil)
	if m.Type == wire.Pong || m.Type == wire.Reconnect {
		c.perform(now, r, r.handleClear(now, nil, from, m.Type))
	} else if r.reg.held() {
		c.drops.Add(tunnel.DropClear)
		return
	}
	if r.reg.state == regHello {
		r.found(from)
	}
	switch m.Type {
	case wire.Answer:
		c.handleAnswer(now, m.IP2, c.usableOf([]netip.AddrPort{m.Endpoint()}, nil))
		c.introducedBy(now, r, nat.Behaviour{}, m.IP2)
	case wire.Forward:
		c.handleForward(now, m.IP2, c.usableOf([]netip.AddrPort{m.Endpoint()}, nil))
		c.introducedBy(now, r, nat.Behaviour{}, m.IP2)
	case wire.Reject:
		c.handleAgainst(now, r, m.IP1, UnknownPeer)
	}
	var ev regEvent
	c.messages, ev = r.reg.handle(now, m, c.messages[:0])
	c.sayInClear(now, r, c.messages)
	if ev == regStrange {
		c.log.Warn("The RDV server replied with something strange... (message code is {code})", "code", uint8(m.Type),
			"server", from, "hint", "server_host and server_port may be those of something else")
	}
	c.reportRegistration(now, r, ev)
	c.lookForChannel(now, r, ev)
}

// rdvSays reports whether a message is one of those that an RDV sends. Others at
// its address mean that something else answers there.
func rdvSays(t wire.Type) bool {
	switch t {
	case wire.Pong, wire.OK, wire.NOK, wire.Forward, wire.Answer, wire.Reject, wire.Reconnect:
		return true
	}
	return false
}
