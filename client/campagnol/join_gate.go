package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"campagnol/internal/cli"
	"campagnol/pki/enroll"
	"campagnol/rdv/wire"
)

// A joinGate carries an exchange with the authority through the gate of a
// rendezvous server (package rdv/wire), which passes it on:
//
//	          KNOCK to every address of the server
//	knocking ────────────────────────────────────▶ COOKIE ──▶ applying
//	    ▲                                                        │ APPLY, REPLY …
//	    └────────── silence, WAIT, a cookie that is old ─────────┘
//
// It does no I/O and reads no clock. It is owned by one goroutine.
type joinGate struct {
	ex      *enroll.Exchange
	servers []netip.AddrPort // the same one's
	rand    io.Reader
	began   time.Time

	server netip.AddrPort // that we apply to; zero: knocking
	cookie [wire.CookieSize]byte
	lost   int    // times that a server with a cookie has not answered what we apply for
	id     uint32 // of the request that waits for its answer
	apply  []byte // that request
	tries  int    // of what is being sent
	due    time.Time

	said gateEvidence
}

// gateEvidence is what tells why an exchange does not come to its end.
type gateEvidence struct {
	cookie   bool      // the gate has let us in once
	closed   int       // times that the server has said it has none
	original bool      // it answers as Campagnol 0.3.5 does
	waits    int       // times that it had too much to do
	away     time.Time // since when it says that it does not reach the authority; zero: it does
	unknown  int       // times that the invitation was said to be unknown
	answered bool      // the authority has answered
	sendErr  error     // of the last datagram that could not be sent

	deaf      bool  // no answer came for so long that streams are opened
	streaming bool  // one was
	streamErr error // why the last one was not, or why it has ended
}

// A joinDatagram is to be sent, or has come.
type joinDatagram struct {
	addr   netip.AddrPort
	data   []byte
	stream bool // it has come by TLS
}

// Times of an exchange.
const (
	joinLimit   = 2 * time.Minute  // for all of it
	joinSilence = time.Minute      // until the first answer of the server
	joinAway    = 30 * time.Second // for a server that does not reach the authority
	joinUnknown = 10 * time.Second // for an invitation that is said to be unknown
	joinClosed  = 3 * time.Second  // for a server that says it has no gate

	joinFirst    = 500 * time.Millisecond // until a datagram is sent again; twice as long after each
	joinLongest  = 4 * time.Second
	joinBackoff  = 8 * time.Second // the longest after an answer that was none
	joinUnheard  = 3               // times that a request is sent before streams are opened
	joinApplies  = 5               // times that a request is sent before we knock again
	joinMaxWait  = 30 * time.Second
	joinWitness  = 3 // answers that may be forged, before they are believed
	joinMaxSends = 8 // addresses of a server that are tried
)

// newJoinGate returns a gate for a server with the given addresses.
func newJoinGate(now time.Time, rand io.Reader, ex *enroll.Exchange, servers []netip.AddrPort) *joinGate {
	return &joinGate{ex: ex, servers: servers[:min(len(servers), joinMaxSends)], rand: rand, began: now, due: now}
}

// advance appends what is to be sent now. It is to be called again at due.
func (g *joinGate) advance(now time.Time, out []joinDatagram) []joinDatagram {
	if now.Before(g.due) {
		return out
	}
	if g.server.IsValid() && g.tries >= joinApplies {
		g.lost++
		g.knock(now) // the cookie is old, or the server has gone, or large datagrams are lost
	}
	g.due = now.Add(min(joinFirst<<min(g.tries, 8), joinLongest))
	g.tries++
	if !g.server.IsValid() {
		for _, s := range g.servers {
			out = append(out, joinDatagram{addr: s, data: wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil)})
		}
		return out
	}
	if g.apply == nil {
		g.apply = g.ex.Next()
		var id [4]byte
		if _, err := io.ReadFull(g.rand, id[:]); err != nil {
			g.said.sendErr = err
			return out
		}
		g.id = binary.BigEndian.Uint32(id[:])
	}
	return append(out, joinDatagram{addr: g.server, data: wire.GateMessage{Type: wire.Apply, Cookie: g.cookie, ID: g.id, Data: g.apply}.Append(nil)})
}

// knock begins again.
func (g *joinGate) knock(at time.Time) {
	g.server, g.apply, g.tries, g.due = netip.AddrPort{}, nil, 0, at
}

// deaf reports whether the way to the server seems to be blocked: for a while there was no
// answer, or none to what is applied for, which takes larger datagrams.
func (g *joinGate) deaf(now time.Time) bool {
	unheard := g.server.IsValid() && g.apply != nil && g.tries >= joinUnheard
	if g.lost > 0 || unheard || !g.said.cookie && g.said.closed == 0 && now.Sub(g.began) >= joinPatience {
		g.said.deaf = true
		return true
	}
	return false
}

// reached takes that a server can be spoken to by TLS from now on, or why it cannot.
func (g *joinGate) reached(now time.Time, server netip.AddrPort, open bool, err error) {
	if open {
		g.said.streaming, g.lost = true, 0
	} else {
		g.said.streamErr = err
	}
	if open || server == g.server {
		g.knock(now) // what was said by the other way counts no more
	}
}

// receive takes a datagram. What is no answer is ignored.
func (g *joinGate) receive(now time.Time, d joinDatagram) {
	d.addr = netip.AddrPortFrom(d.addr.Addr().Unmap(), d.addr.Port())
	if !slices.Contains(g.servers, d.addr) {
		return
	}
	if wire.KindOf(d.data) == wire.KindRendezvous && !g.said.cookie {
		g.said.original = true // RECONNECT, in whatever words: it does not know KNOCK
		g.said.closed++
		return
	}
	m, err := wire.ParseGate(d.data)
	if err != nil {
		return
	}
	switch m.Type {
	case wire.Cookie:
		if m.Version == wire.GateVersion && !g.server.IsValid() {
			g.said.cookie = true
			g.server, g.cookie, g.apply, g.tries, g.due = d.addr, m.Cookie, nil, 0, now
		}
	case wire.Closed:
		g.said.closed++
	case wire.Wait:
		if d.addr == g.server && m.Cookie == g.cookie {
			g.said.waits++
			g.knock(now.Add(min(time.Duration(m.Millis)*time.Millisecond, joinMaxWait)))
		}
	case wire.Reply:
		if d.addr == g.server && m.ID == g.id && g.apply != nil {
			g.reply(now, m.Data)
		}
	}
}

// reply takes what the server has passed on from the authority.
func (g *joinGate) reply(now time.Time, data []byte) {
	if len(data) == 0 {
		if g.said.away.IsZero() {
			g.said.away = now
		}
		g.again(now)
		return
	}
	fetched, doubts := g.ex.Fetched(), g.ex.Doubts()
	_ = g.ex.Take(data) // Done tells, too
	switch {
	case g.ex.Done():
	case g.ex.Fetched() != fetched:
		g.said.answered, g.said.away = true, time.Time{}
		g.apply, g.tries, g.due = nil, 0, now
	case g.ex.Doubts() != doubts:
		g.said.answered, g.said.away = true, time.Time{}
		if errors.Is(g.ex.Doubt(), enroll.ErrUnknown) {
			g.said.unknown++
		}
		g.again(now)
	}
}

// again sends the next request after a while, longer each time.
func (g *joinGate) again(now time.Time) {
	g.apply = nil
	g.due = now.Add(min(2*joinFirst<<min(g.tries, 8), joinBackoff))
	g.tries = min(g.tries, joinApplies-1) // the server is there
}

// phase says what is going on, for people.
func (g *joinGate) phase() string {
	switch {
	case g.said.answered:
		return "the authority answers"
	case !g.said.away.IsZero():
		return "the rendezvous server does not reach the authority; trying again"
	case g.said.waits > 0:
		return "the rendezvous server has too much to do; waiting"
	case g.said.streaming:
		return "too little comes by UDP; asking the rendezvous server by TLS"
	case g.said.cookie:
		return "the rendezvous server answers; asking the authority"
	case g.said.closed > 0:
		return "the rendezvous server refuses; trying again"
	case g.said.deaf:
		return "no answer by UDP; trying TLS beside"
	}
	return "asking the rendezvous server"
}

// over reports whether the exchange has ended, with the reason if it has failed.
func (g *joinGate) over(now time.Time) (bool, error) {
	age := now.Sub(g.began)
	s := &g.said
	switch {
	case g.ex.Done():
		_, err := g.ex.Result()
		return true, joinRefused(err)
	case !s.cookie && s.closed >= joinWitness && age >= joinClosed:
		return true, g.noGate()
	case !s.cookie && s.closed == 0 && age >= joinSilence:
		return true, g.silent()
	case !s.away.IsZero() && now.Sub(s.away) >= joinAway:
		return true, cli.WithHint(errors.New("join: the rendezvous server does not reach the authority of the VPN"),
			"the authority has to be served, by campagnol_rdv --authority or campagnol ca serve (docs/ca.md); then run the same command again")
	case s.unknown >= joinWitness && age >= joinUnknown:
		return true, cli.WithHint(fmt.Errorf("join: %w, as the answer says, which is not proved to come from it", enroll.ErrUnknown),
			"is the token from the authority that is served there, and recent? \"campagnol ca invitations\" lists what it knows")
	case age < joinLimit:
		return false, nil
	case g.ex.Doubt() != nil:
		return true, fmt.Errorf("join: no certificate after %v; the last answer, which may come from anybody, was: %w", joinLimit, g.ex.Doubt())
	case s.waits > 0:
		return true, cli.WithHint(errors.New("join: the rendezvous server has too much to do"), "run the same command again in a few minutes")
	case s.cookie:
		return true, cli.WithHint(errors.New("join: the rendezvous server answers, and the authority behind it does not"),
			"the server may be of a version without enrolment, or the path loses large packets; run the same command again")
	}
	return true, g.noGate()
}

// silent is the error when nothing at all has come.
func (g *joinGate) silent() error {
	text := fmt.Sprintf("join: the rendezvous server does not answer at %s", addrList(g.servers))
	if g.said.sendErr != nil {
		text += " (" + g.said.sendErr.Error() + ")"
	}
	switch {
	case g.said.streamErr != nil:
		text += ", nor by TLS (" + g.said.streamErr.Error() + ")"
	case g.said.streaming:
		text += ", nor by TLS"
	}
	return cli.WithHint(errors.New(text), "is it running, and do firewalls let UDP through to that port? --rdv HOST:PORT names another address of it, --fallback-port and --http-proxy another way by TLS (campagnol_rdv --tls-port)")
}

// noGate is the error when the server has no authenticated channel.
func (g *joinGate) noGate() error {
	if g.said.original {
		return cli.WithHint(errors.New("join: the rendezvous server answers as Campagnol 0.3.5 does, which knows nothing of enrolment"),
			"replace it, or bring the certificate by hand: campagnol ca issue")
	}
	return cli.WithHint(errors.New("join: the rendezvous server has no certificate, and passes nothing on to the authority"),
		"start it with --authority, or give it a certificate: campagnol ca issue NAME --rdv")
}

// joinRefused adds to the reason why an exchange has failed what can be done.
func joinRefused(err error) error {
	var refusal *enroll.Refusal
	if !errors.As(err, &refusal) {
		if err != nil {
			err = fmt.Errorf("join: %w", err)
		}
		return err
	}
	err = fmt.Errorf("join: the authority refuses: %w", err)
	switch refusal.Code {
	case enroll.Used:
		return cli.WithHint(err, "if it was not you, somebody else is in the VPN in your place: tell the administrator, who revokes that certificate (campagnol ca revoke) and invites you again")
	case enroll.Expired, enroll.Withdrawn, enroll.Superseded:
		return cli.WithHint(err, "ask for another token: campagnol ca invite NAME")
	case enroll.Revoked:
		return cli.WithHint(err, "ask the administrator; a new token is needed: campagnol ca invite NAME")
	}
	return cli.WithHint(err, "what has to be changed is on the authority's side; then the same token works")
}

// addrList lists addresses for people.
func addrList(addrs []netip.AddrPort) string {
	text := ""
	for i, a := range addrs {
		if i > 0 {
			text += ", "
		}
		text += a.String()
	}
	return text
}
