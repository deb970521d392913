package natcheck

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"campagnol/punch/stun"
)

const (
	// MaxServers is how many servers a check asks at most, MaxFresh how many
	// fresh sockets it uses, and GoodFresh how many it wants: enough that random
	// ports do not look sequential.
	MaxServers = 4
	MaxFresh   = 6
	GoodFresh  = 4

	// firstTry is how long the first request to a server waits before it is
	// repeated; the time doubles, and the check gives up sooner than RFC 8489
	// section 6.2.1 (39.5 s) since a person or a tunnel waits for it.
	firstTry     = 300 * time.Millisecond
	firstTries   = 4
	firstGiveUp  = 3500 * time.Millisecond
	enough       = 300 * time.Millisecond // after the first answer, for one of a better server
	stragglers   = time.Second            // after the first answer, for those of the others
	laterTries   = 3
	minRetry     = 150 * time.Millisecond
	maxRetry     = 600 * time.Millisecond
	minLastWait  = 300 * time.Millisecond
	hairpinRetry = 200 * time.Millisecond
)

// An Out is a datagram to send.
type Out struct {
	Socket int // of the owner's: 0 is the primary one
	To     netip.AddrPort
	Data   []byte
}

// A Config says what a check is about.
type Config struct {
	// Servers are asked, in order of preference; all are of one family. Those
	// beyond MaxServers are not.
	Servers []netip.AddrPort

	// Ports are the local ports of the sockets, the primary's first. Fresh ones
	// beyond MaxFresh are not used.
	Ports []uint16

	// HostAddrs are this host's addresses: a public endpoint with one of them, and
	// the port of its socket, is not translated. If there are none, it is.
	HostAddrs []netip.Addr

	// Reached says that UDP is known to get out and back. Without an answer,
	// nothing is known then; else UDP is blocked.
	Reached bool

	Software string // our name in requests; empty: they have none

	ID func() stun.ID // of transactions; nil: random
}

// A Check is one examination. It is not safe for concurrent use.
type Check struct {
	cfg    Config
	codec  stun.Codec
	phase  phase
	main   *exchange // the first request to the server that is examined with; nil: none answers
	first  time.Time // answer of any server
	asked  []*exchange
	byPort *exchange // from the primary to the other port of main
	byAddr *exchange // and to its other address
	fresh  []*exchange
	// filterPort and filterBoth ask main to answer from its other port, and from
	// its other address and port.
	filterPort, filterBoth *exchange
	hairpins               []*exchange
	all                    []*exchange
	sent                   int
}

type phase uint8

const (
	asking    phase = iota // all servers
	comparing              // what main's places see; ports
	knocking               // filtering, hairpin
	done
)

// An exchange is a request, and what came of it.
type exchange struct {
	socket int
	to     netip.AddrPort
	from   netip.AddrPort // where the answer has to come from; of a hairpin: nowhere
	id     stun.ID
	data   []byte

	tries, maxTries int
	retry, last     time.Duration // between tries; it doubles; and after the last
	sentAt, next    time.Time
	answered, over  bool
	rtt             time.Duration
	answer          stun.Response
}

// Start begins a check and appends what to send to out.
func Start(now time.Time, cfg Config, out []Out) (*Check, []Out) {
	if cfg.ID == nil {
		cfg.ID = randomID
	}
	cfg.Servers = cfg.Servers[:min(len(cfg.Servers), MaxServers)]
	cfg.Ports = cfg.Ports[:min(len(cfg.Ports), 1+MaxFresh)]
	c := &Check{cfg: cfg}
	for _, s := range cfg.Servers {
		if s.IsValid() && s.Port() != 0 && !slices.ContainsFunc(c.asked, func(x *exchange) bool { return x.to == s }) {
			c.asked = append(c.asked, c.begin(stun.Request{}, exchange{
				to: s, from: s, maxTries: firstTries, retry: firstTry, last: firstGiveUp - 7*firstTry}))
		}
	}
	if len(c.asked) == 0 {
		c.phase = done
	}
	return c, c.Advance(now, out)
}

func randomID() (id stun.ID) {
	rand.Read(id[:]) // never fails
	return id
}

// begin makes an exchange, which Advance will start.
func (c *Check) begin(r stun.Request, x exchange) *exchange {
	r.ID = c.cfg.ID()
	x.id = r.ID
	x.data = c.codec.AppendRequest(nil, r, c.cfg.Software)
	c.all = append(c.all, &x)
	return &x
}

// Awaits reports whether the primary socket waits for datagrams of STUN from addr.
func (c *Check) Awaits(addr netip.AddrPort) bool { return slices.Contains(c.Sources(), addr) }

// Sources returns the endpoints from which the primary socket waits for STUN.
func (c *Check) Sources() (list []netip.AddrPort) {
	for _, x := range c.all {
		if x.socket == 0 && x.from.IsValid() && !x.over && !slices.Contains(list, x.from) {
			list = append(list, x.from)
		}
	}
	if c.listensForHairpin() {
		list = append(list, c.primaries()...)
	}
	return list
}

// listensForHairpin reports whether the primary is one of the sockets of hairpins.
func (c *Check) listensForHairpin() bool {
	return slices.ContainsFunc(c.hairpins, func(x *exchange) bool { return x.socket == 0 && !x.over })
}

// primaries returns the public endpoints of the sockets that send to each other: a
// packet that comes back comes from one of them, if the NAT keeps to its mappings.
func (c *Check) primaries() (list []netip.AddrPort) {
	for _, x := range c.hairpins {
		list = append(list, x.to)
	}
	return list
}

// Done reports whether the check is over.
func (c *Check) Done() bool { return c.phase == done }

// Sent returns how many datagrams there were to send.
func (c *Check) Sent() int { return c.sent }

// Timeout returns when Advance has to be called next; zero: never, the check is over.
func (c *Check) Timeout() (next time.Time) {
	if c.Done() {
		return next
	}
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	waits := false // for anything but the other servers
	for _, x := range c.all {
		if !x.over {
			consider(x.next)
			waits = waits || !slices.Contains(c.asked, x)
		}
	}
	switch {
	case c.first.IsZero():
	case c.phase == asking:
		consider(c.first.Add(enough))
	case !waits:
		consider(c.first.Add(stragglers))
	}
	return next
}

// Handle takes a datagram that has come to a socket, which it borrows, and appends
// what to send to out. What is not an answer to a request of this check is ignored.
func (c *Check) Handle(now time.Time, socket int, from netip.AddrPort, data []byte, out []Out) []Out {
	id := stun.IDOf(data)
	for _, x := range c.all {
		if x.id != id || x.answered || x.tries == 0 {
			continue
		}
		if slices.Contains(c.hairpins, x) {
			if _, err := c.codec.ParseRequest(data); err == nil && socket != x.socket {
				x.answered, x.over = true, true
			}
			break
		}
		if socket != x.socket || from != x.from {
			break
		}
		r, err := c.codec.ParseResponse(data)
		if err != nil || r.Mapped.IsValid() && r.Mapped.Addr().Is4() != from.Addr().Is4() {
			break
		}
		x.over, x.answer = true, r
		if x.answered = r.Code == 0; x.answered {
			x.rtt = now.Sub(x.sentAt)
			if c.first.IsZero() {
				c.first = now
			}
		}
		break
	}
	return c.Advance(now, out)
}

// Advance takes the passing of time and appends what to send to out.
func (c *Check) Advance(now time.Time, out []Out) []Out {
	for !c.Done() {
		out = c.repeat(now, out)
		if !c.proceed(now) {
			break
		}
	}
	return out
}

// repeat sends what is due.
func (c *Check) repeat(now time.Time, out []Out) []Out {
	before := len(out)
	for _, x := range c.all {
		out = x.repeat(now, out)
	}
	c.sent += len(out) - before
	return out
}

// repeat sends the request if that is due, and gives up when it was sent in vain as
// often as it may be. A nil exchange does nothing.
func (x *exchange) repeat(now time.Time, out []Out) []Out {
	switch {
	case x == nil || x.over || x.tries > 0 && now.Before(x.next):
		return out
	case x.tries == x.maxTries:
		x.over = true
		return out
	}
	wait := x.retry << x.tries
	x.tries++
	if x.tries == x.maxTries {
		wait = x.last
	}
	x.sentAt, x.next = now, now.Add(wait)
	return append(out, Out{Socket: x.socket, To: x.to, Data: x.data})
}

// proceed goes on to the next phase if the time has come, and reports whether it did.
func (c *Check) proceed(now time.Time) bool {
	switch {
	case c.phase == asking && c.choose(now):
		c.phase = done // unless somebody answers
		if c.main != nil {
			c.phase = comparing
			c.compare()
		}
	case c.phase == comparing && over(append(c.fresh, c.byPort, c.byAddr)...):
		c.phase = knocking
		c.knock()
	case c.phase == knocking && over(append(c.hairpins, c.filterPort, c.filterBoth)...) &&
		(over(c.asked...) || !now.Before(c.first.Add(stragglers))):
		c.phase = done
	default:
		return false
	}
	return true
}

// over reports whether all exchanges are over. Those that there are not are.
func over(xs ...*exchange) bool {
	return !slices.ContainsFunc(xs, func(x *exchange) bool { return x != nil && !x.over })
}

// choose reports whether it is clear with which server to go on, and sets main to the
// first request to it: of those that have answered, the one with the most places.
func (c *Check) choose(now time.Time) bool {
	for _, x := range c.asked {
		if x.answered && (c.main == nil || places(x) > places(c.main)) {
			c.main = x
		}
	}
	switch {
	case over(c.asked...), c.main != nil && places(c.main) == 2:
		return true
	case c.main != nil && !now.Before(c.first.Add(enough)):
		return true
	}
	c.main = nil
	return false
}

// places says how much of a server there is beside the place that was asked: 2, an
// address and a port; 1, a port; 0, nothing.
func places(x *exchange) int {
	a, o := x.to, x.answer.Other
	switch {
	case o.IsValid() && o.Addr() != a.Addr() && o.Addr().Is4() == a.Addr().Is4() && o.Port() != a.Port():
		return 2
	case x.answer.OtherPort != 0 && x.answer.OtherPort != a.Port():
		return 1
	}
	return 0
}

// otherPort returns the endpoint at main's other port; it needs places > 0.
func (c *Check) otherPort() netip.AddrPort {
	port := c.main.answer.OtherPort
	if places(c.main) == 2 {
		port = c.main.answer.Other.Port()
	}
	return netip.AddrPortFrom(c.main.to.Addr(), port)
}

// later returns an exchange of the later phases, whose pace follows from the round
// trip to main.
func (c *Check) later(socket int, to, from netip.AddrPort) exchange {
	retry := min(max(c.main.rtt*3/2, minRetry), maxRetry)
	return exchange{socket: socket, to: to, from: from, maxTries: laterTries, retry: retry, last: max(retry, minLastWait)}
}

// compare begins to ask what main's other places see of the primary, and what main
// sees of fresh sockets. These are asked last, and all together: between the ports
// that they get, there are only those that others behind the NAT take.
func (c *Check) compare() {
	if places(c.main) > 0 {
		to := c.otherPort()
		c.byPort = c.begin(stun.Request{}, c.later(0, to, to))
	}
	if places(c.main) == 2 {
		to := netip.AddrPortFrom(c.main.answer.Other.Addr(), c.main.to.Port())
		c.byAddr = c.begin(stun.Request{}, c.later(0, to, to))
	}
	for i := range max(len(c.cfg.Ports), 1) - 1 {
		c.fresh = append(c.fresh, c.begin(stun.Request{}, c.later(1+i, c.main.to, c.main.to)))
	}
}

// knock begins to find out who may send to us. Places of main that do not answer when
// they are asked prove nothing by their silence.
func (c *Check) knock() {
	if len(c.fresh) > 0 && c.fresh[0].answered {
		if x := c.byAddr; x != nil && x.answered {
			c.filterBoth = c.begin(stun.Request{ChangeAddr: true, ChangePort: true},
				c.later(1, c.main.to, c.main.answer.Other))
		}
		if x := c.byPort; x != nil && x.answered {
			c.filterPort = c.begin(stun.Request{ChangePort: true}, c.later(1, c.main.to, x.to))
		}
	}
	if !c.translated() {
		return
	}
	pair := c.answeredFresh()
	if len(pair) == 1 {
		pair = append(pair, c.main)
	}
	if len(pair) < 2 {
		return
	}
	a, b := pair[len(pair)-1], pair[len(pair)-2]
	for _, x := range [][2]*exchange{{a, b}, {b, a}} {
		h := c.later(x[0].socket, x[1].answer.Mapped, netip.AddrPort{})
		h.retry = hairpinRetry
		c.hairpins = append(c.hairpins, c.begin(stun.Request{}, h))
	}
}

// answeredFresh returns the exchanges of fresh sockets that were answered.
func (c *Check) answeredFresh() (list []*exchange) {
	for _, x := range c.fresh {
		if x.answered {
			list = append(list, x)
		}
	}
	return list
}
