package client

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"campagnol/punch"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
)

// raceDelay is the head start of each way to an RDV before the next one (RFC 8305
// section 5). A way that is broken costs no more.
const raceDelay = 250 * time.Millisecond

// Bounds on the RDVs of a client.
const (
	maxServers = 8 // that are used, of those given
	maxWays    = 8 // to each of them
)

// A Server is a rendezvous server.
type Server struct {
	// Name is what it is remembered by; "" stands for its first address.
	Name string

	// Addrs all lead to it, the best first. There is at least one.
	Addrs []netip.AddrPort

	// TLSPort is the port at these addresses where it takes connections by TCP or TLS,
	// see Config.OpenStream; 0: none is opened.
	TLSPort uint16
}

// At returns servers that have one address each.
func At(addrs ...netip.AddrPort) (list []Server) {
	for _, a := range addrs {
		list = append(list, Server{Addrs: []netip.AddrPort{a}})
	}
	return list
}

// usableServers reports whether there are RDVs, each with addresses.
func usableServers(list []Server) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(s Server) bool {
		return len(s.Addrs) == 0 || slices.ContainsFunc(s.Addrs, func(a netip.AddrPort) bool { return !a.IsValid() })
	})
}

// withNames returns those of list that are used, each with a name of its own.
func withNames(list []Server) (used []Server) {
	for _, s := range list {
		s.Addrs = s.Addrs[:min(len(s.Addrs), maxWays)]
		if s.Name == "" {
			s.Name = s.Addrs[0].String()
		}
		if len(used) < maxServers && !slices.ContainsFunc(used, func(o Server) bool { return o.Name == s.Name }) {
			used = append(used, s)
		}
	}
	return used
}

// waysTo returns the addresses of all servers, each once.
func waysTo(list []Server) (addrs []netip.AddrPort) {
	for _, s := range list {
		for _, a := range s.Addrs {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	return addrs
}

// A rendezvous is one RDV, and how we are registered there: in clear, or over a
// channel. Its owner, a Client or an Authority, calls it from one goroutine.
//
// The RDV may have several addresses. What looks for it, KNOCK and HELLO, goes to the
// first, and after each raceDelay without an answer to the next one, too; what follows
// goes where the answer came from.
type rendezvous struct {
	name  string
	ways  []netip.AddrPort // its addresses
	owner *owner

	on      bool // we are registered or try to be; else it is a spare
	reg     *registration
	server  *serverChannel // instead of reg
	shaking *shaking       // for server; nil: no handshake runs
	said    said           // why there was no channel, as far as it was logged

	at    netip.AddrPort // of ways: where we are registered, or look first
	race  race
	gates []gateway // newest last

	given Server // as the settings have it
	fall  fallback

	down time.Time // since when it is on and does not answer; zero: it does
	up   time.Time // since when it does

	seenAt netip.AddrPort // where it sees us; zero: it has not said

	roster rosterPart
}

// A race is a search for the RDV under way.
type race struct {
	rest []netip.AddrPort // ways that are not tried yet
	open []netip.AddrPort // those that are
	next time.Time        // when the first of rest is; zero: an answer has come
	call []byte           // KNOCK or HELLO
}

// A gateway is the way by which a cookie came: it is good for no other.
type gateway struct {
	cookie cookie
	way    netip.AddrPort
}

// An owner is what a rendezvous needs of whoever has it.
type owner struct {
	ctx   context.Context                                    // of Run
	wg    *sync.WaitGroup                                    // its goroutines
	send  func(conn punch.Conn, to netip.AddrPort, b []byte) // nil: by UDP
	shake func() shakeConfig
}

// registered reports whether the RDV knows us, as far as we know.
func (r *rendezvous) registered() bool { return r.on && (r.reg.registered() || r.server.stands()) }

// noteAnswers notes since when the RDV answers, or does not.
func (r *rendezvous) noteAnswers(now time.Time) {
	switch ok := r.answers(); {
	case ok && r.up.IsZero():
		r.up, r.down = now, time.Time{}
	case !ok && r.down.IsZero():
		r.up, r.down = time.Time{}, now
	}
}

// answers reports whether we are registered, and the RDV has not fallen silent.
func (r *rendezvous) answers() bool {
	return r.registered() && !r.server.silent && !(r.reg.registered() && r.reg.silent)
}

// leadsTo reports whether addr is one of the RDV's.
func (r *rendezvous) leadsTo(addr netip.AddrPort) bool { return slices.Contains(r.ways, addr) }

// setWays makes addrs the ways to the RDV. The one that is in use stays so if it is
// among them.
func (r *rendezvous) setWays(addrs []netip.AddrPort) {
	r.ways = addrs
	if !r.leadsTo(r.at) {
		r.at = addrs[0]
	}
	r.race = race{}
}

// call sends a KNOCK or HELLO on all ways that are tried. The first of a round begins
// with the best way.
func (r *rendezvous) call(now time.Time, b []byte, first bool) {
	rc := &r.race
	if first || len(rc.open) == 0 {
		*rc = race{open: []netip.AddrPort{r.at}}
		for _, a := range r.ways {
			if a != r.at {
				rc.rest = append(rc.rest, a)
			}
		}
		if len(rc.rest) > 0 {
			rc.next = now.Add(raceDelay)
		}
	}
	rc.call = b
	r.fall.ask(now)
	for _, a := range rc.open {
		r.owner.send(nil, a, b)
	}
}

// advanceRace tries the next way if the time has come.
func (r *rendezvous) advanceRace(now time.Time) {
	rc := &r.race
	if rc.next.IsZero() || now.Before(rc.next) {
		return
	}
	a := rc.rest[0]
	rc.open, rc.rest, rc.next = append(rc.open, a), rc.rest[1:], time.Time{}
	if len(rc.rest) > 0 {
		rc.next = now.Add(raceDelay)
	}
	r.owner.send(nil, a, rc.call)
}

// found ends the search: the RDV has answered on a way.
func (r *rendezvous) found(way netip.AddrPort) {
	r.at = way
	r.race = race{open: []netip.AddrPort{way}}
}

// patience is for how much longer the RDV may leave a search unanswered than one with
// a single way.
func (r *rendezvous) patience() time.Duration {
	return time.Duration(max(0, len(r.ways)-1)) * raceDelay
}

// send sends a datagram of a link or, if that is nil, of the attempt at the next one.
func (r *rendezvous) send(now time.Time, l *link, b []byte) {
	conn := r.server.by
	if l != nil {
		conn = l.conn
	}
	switch kind := wire.KindOf(b); {
	case conn != nil:
		r.owner.send(conn, r.fall.at, b)
	case kind == wire.KindGate:
		r.call(now, b, r.server.tries == 1)
	case l == r.server.joining:
		// By which way the handshake went only an authentic answer shows.
		for _, a := range r.tried() {
			r.owner.send(nil, a, b)
		}
	default:
		if kind == wire.KindRendezvous { // PING
			r.fall.ask(now)
		}
		r.owner.send(nil, r.at, b)
	}
}

// tried returns the way in use, and those by which cookies of this round have come.
func (r *rendezvous) tried() []netip.AddrPort {
	ways := []netip.AddrPort{r.at}
	for _, g := range r.gatesOf(r.server.cookies) {
		if !slices.Contains(ways, g.way) {
			ways = append(ways, g.way)
		}
	}
	return ways
}

// perform does what the channel's machine wants to be done, if that is no affair of
// the owner's. It appends what the machine wants then to more.
func (r *rendezvous) perform(now time.Time, o *chanOut, more []chanOut) (_ []chanOut, done bool) {
	switch o.act {
	case actSend:
		r.send(now, o.link, o.data)
	case actBegin:
		return r.shake(now, o.cookies, more), true
	case actCookies:
		if r.shaking != nil {
			r.shaking.admit(r.gatesOf(o.cookies))
		}
	case actShake:
		if r.shaking != nil {
			r.shaking.hs.Handle(o.data)
		}
	case actAbandon:
		r.abandon()
	default:
		return more, false
	}
	return more, true
}

// handleGate takes a gate message that came by a way: over a stream or, if conn is nil,
// by UDP.
func (r *rendezvous) handleGate(now time.Time, conn punch.Conn, way netip.AddrPort, g wire.GateMessage) []chanOut {
	r.heardBy(now, conn)
	switch {
	case conn != r.server.by: // the attempt goes another way
		return nil
	case g.Type == wire.Closed && r.server.state == chanKnocking && r.server.mayClear():
		r.found(way)
	case g.Type == wire.Cookie:
		r.gates = slices.DeleteFunc(r.gates, func(o gateway) bool { return o.cookie == g.Cookie })
		if len(r.gates) >= 2*maxCookies {
			r.gates = slices.Delete(r.gates, 0, 1)
		}
		r.gates = append(r.gates, gateway{g.Cookie, way})
	}
	return r.server.handleGate(now, g, nil)
}

// gatesOf returns the ways of cookies.
func (r *rendezvous) gatesOf(cookies []cookie) (list []gateway) {
	for _, g := range r.gates {
		if slices.Contains(cookies, g.cookie) {
			list = append(list, g)
		}
	}
	return list
}

// receive takes a datagram of records that came by a way, as handleGate does, and
// destroys its content.
func (r *rendezvous) receive(now time.Time, conn punch.Conn, way netip.AddrPort, b []byte) ([]chanOut, tunnel.Drop) {
	r.heardBy(now, conn)
	before, waiting := r.server.link, r.server.state == chanShaking && !r.server.answered
	out, d := r.server.receive(now, b, conn == r.server.by, nil)
	switch {
	case conn != nil:
	case r.server.link != nil && r.server.link != before:
		r.found(way)
	case waiting && r.server.answered:
		r.race.next = time.Time{}
	}
	return out, d
}

// handleClear takes a PONG or a RECONNECT that came by a way, as handleGate does.
func (r *rendezvous) handleClear(now time.Time, conn punch.Conn, way netip.AddrPort, t wire.Type) []chanOut {
	r.heardBy(now, conn)
	switch l := r.server.link; {
	case t == wire.Pong && l != nil && l.conn != conn: // it says nothing of the link
		return nil
	case t == wire.Reconnect && conn != r.server.by:
		return nil
	}
	if t == wire.Reconnect && r.server.state == chanKnocking && r.server.mayClear() {
		r.found(way)
	}
	return r.server.handleClear(now, t, nil)
}

// shake begins the handshake with the RDV.
func (r *rendezvous) shake(now time.Time, cookies []cookie, more []chanOut) []chanOut {
	r.abandon()
	cfg := r.owner.shake()
	if r.server.by != nil {
		cfg.conn = r.server.by
	} else {
		r.fall.ask(now)
	}
	s, err := startShaking(r.owner.ctx, r.owner.wg, cfg, r.gatesOf(cookies))
	if err != nil {
		cfg.log.Error("Cannot begin a DTLS handshake with the RDV server", "server", r.at, "err", err)
		return r.server.handshaken(now, nil, err, more)
	}
	s.by = r.server.by
	r.shaking = s
	return more
}

// abandon ends the handshake with the RDV, if one runs.
func (r *rendezvous) abandon() {
	if r.shaking != nil {
		r.shaking.cancel()
		r.shaking = nil
	}
}

// timeout returns when something is due; zero means never.
func (r *rendezvous) timeout() time.Time {
	var next time.Time
	for _, t := range [...]time.Time{r.reg.timeout(), r.server.timeout(), r.race.next} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// said is what was logged already. Its zero value is empty.
type said map[string]bool

// first reports whether a reason is new: it is logged then, and not with every try.
// Numbers in it, such as what the clock says, do not make it new.
func (s *said) first(why error) bool {
	const most = 16 // some texts come from the RDV
	text := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, why.Error())
	if (*s)[text] {
		return false
	}
	if *s == nil || len(*s) >= most {
		*s = said{}
	}
	(*s)[text] = true
	return true
}
