// Package punch finds a path for datagrams between two clients behind NATs.
//
// An [Attempt] is a machine without I/O: its owner feeds it the punches that
// arrive and the passing of time, and sends what it says. It never reads a
// clock, starts a goroutine or takes a lock. [Conn] is how datagrams reach the
// network.
package punch

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/rdv/wire"
)

// How an attempt spends its time. An original peer looks for a punch only once it
// waits for one, and gives up 3 s after it was introduced; it gets one every
// 200 ms for two seconds. The first few come sooner, since the first of all often
// reaches a NAT just before the peer has opened it.
const (
	firstInterval  = 20 * time.Millisecond  // between the first two volleys of punches; it doubles
	volleyInterval = 200 * time.Millisecond // up to this
	volleyCount    = 13                     // of them; then slowInterval
	slowInterval   = 500 * time.Millisecond
	patience       = 5 * time.Second // from the last introduction, before giving up

	// replyGap is how soon a punch from the same place is answered again. An
	// answer is as long as the question, so it amplifies nothing; maxReplies
	// bounds an attempt's answers all the same, since two NATs that use a new
	// port for each of the other's would make us answer for ever.
	replyGap   = 50 * time.Millisecond
	maxReplies = 64

	// A volley goes to the likeliest candidates at once, and to the others a little
	// later, a few at a time. Every second one leaves those others out, unless they
	// were heard: what the RDV names may not be the peer's.
	volleyFirst = 4
	volleyMore  = 2
	volleyGap   = 5 * time.Millisecond

	// holdTime is how long we wait for the ClientHello of a peer that asked at
	// the same time as we did and that we let go first.
	holdTime = 1500 * time.Millisecond
)

// A State is where an Attempt stands.
//
//	Punching ──a punch arrives──► Open ──Reject, none left──► Failed
//	    └──────────────patience──────────────────────────────► Failed
type State uint8

// The states of an Attempt.
const (
	Punching State = iota // looking for a path
	Open                  // a path carries datagrams from the peer to us
	Failed
)

func (s State) String() string { return [...]string{"punching", "open", "failed"}[s] }

// A Role says who speaks first in the DTLS handshake.
type Role uint8

// The roles.
const (
	Undecided Role = iota // no path yet
	Client                // we send the ClientHello
	Server                // the peer does
)

func (r Role) String() string { return [...]string{"undecided", "client", "server"}[r] }

// An Out is a message to send.
type Out struct {
	To  Endpoint
	Msg wire.Message
}

// A Config says what an Attempt is about.
type Config struct {
	Self, Peer netip.Addr // VPN addresses

	// Asked says that we asked the RDV for this path, which makes us the DTLS
	// client, unless the peer asked too.
	Asked bool
}

// An Attempt opens a path to one peer.
type Attempt struct {
	cfg        Config
	crossed    bool // the RDV says that the peer asked, too
	candidates []candidate
	path       Endpoint // of the chosen candidate, once Open
	state      State
	volleys    int       // begun since the last introduction
	rest       int       // of the volley that has begun: the next candidate; 0: it is complete
	began      time.Time // the last volley
	replies    int
	next       time.Time // volley; zero: none
	deadline   time.Time // while Punching
	hold       time.Time // until when we leave the first word to a peer that asked, too; zero: no longer
}

// A candidate is where the peer may be: an address as one of our sockets sees it. The
// same address by two sockets is two candidates.
type candidate struct {
	at        Endpoint
	kind      CandidateKind
	scope     string
	reflexive bool // known only as the source of a punch
	heard     bool // a punch came from there
	rejected  bool // no session came about on it
	marked    bool // the peer is one of ours
	mark      wire.Mark
	chosen    bool // it has been the path
	sent      bool // a punch went there
	replied   time.Time
}

// NewAttempt starts an attempt. The first volley is due at once.
func NewAttempt(now time.Time, cfg Config, candidates ...netip.AddrPort) *Attempt {
	a := &Attempt{cfg: cfg}
	a.Introduce(now, candidates...)
	return a
}

// Introduce is [Attempt.Try] with addresses of which it is only known that the RDV
// has named them.
func (a *Attempt) Introduce(now time.Time, addrs ...netip.AddrPort) {
	var list []Candidate
	for _, addr := range addrs {
		list = append(list, Candidate{Addr: addr, Kind: Observed})
	}
	a.Try(now, list...)
}

// Cross notes that the RDV says that the peer asked for us as we asked for it.
func (a *Attempt) Cross() { a.crossed = true }

// Claim makes us one who has asked. If the peer does so, too, its ClientHello and ours
// may cross, see Yields.
func (a *Attempt) Claim() { a.cfg.Asked = true }

// State returns where the attempt stands and, once it is Open, the path.
func (a *Attempt) State() (State, Endpoint) { return a.state, a.path }

// Relayed reports whether the path leads through a relay, as far as is known: at our end
// or at the peer's.
func (a *Attempt) Relayed() bool {
	c := a.find(a.path)
	return c != nil && (c.kind == Relayed || c.at.Relayed())
}

// PeerIsOurs reports whether the peer on the path has marked its punches, as
// this program does and the original does not.
func (a *Attempt) PeerIsOurs() bool {
	c := a.find(a.path)
	return c != nil && c.marked
}

// Role returns who is to send the ClientHello. When both asked (glare), the one
// with the lower VPN address does, if both are ours. An original always does
// when it asked, so we let it go first; should it not speak for holdTime, we do.
func (a *Attempt) Role() Role {
	switch {
	case a.state != Open:
		return Undecided
	case !a.cfg.Asked || a.holding():
		return Server
	}
	return Client
}

// holding reports whether we asked but leave the first word to the peer.
func (a *Attempt) holding() bool {
	if a.state != Open || !a.cfg.Asked || a.hold.IsZero() {
		return false
	}
	if c := a.find(a.path); c.marked {
		return c.mark.Asked && a.cfg.Peer.Less(a.cfg.Self)
	}
	return a.crossed
}

// Yields reports whether we act as the DTLS server for a ClientHello that comes
// from the peer's endpoint at, although we may have sent one of our own.
func (a *Attempt) Yields(at Endpoint) bool {
	c := a.find(at)
	if c == nil {
		c = a.elsewhere(at)
	}
	switch {
	case !a.cfg.Asked || c == nil || !c.marked:
		return true
	}
	return a.cfg.Peer.Less(a.cfg.Self)
}

// Handle takes a punch of the peer that came from an endpoint and appends what to send
// to out. A punch proves nothing: who holds the path is for DTLS to find out.
func (a *Attempt) Handle(now time.Time, at Endpoint, m wire.Message, out []Out) []Out {
	if a.state == Failed || m.Type != wire.Punch {
		return out
	}
	c := a.find(at)
	if c == nil {
		c = a.addReflexive(at)
	}
	c.heard = true
	mark, marked := m.Mark()
	c.mark, c.marked = mark, marked
	if a.state == Punching && !c.rejected {
		a.open(now, c)
	}
	// Whoever has heard us needs no answer; but if we never sent there, what we
	// send may leave our NAT by a port that the peer has yet to learn.
	if mark.Heard && c.sent || now.Sub(c.replied) < replyGap || a.replies >= maxReplies {
		return out
	}
	a.replies++
	c.replied, c.sent = now, true
	return append(out, Out{at, a.punch(true)})
}

// Opened tells that an endpoint carries more than punches: a ClientHello arrived there
// before any punch did. It may be by another socket that the address is known.
func (a *Attempt) Opened(now time.Time, at Endpoint) {
	if a.state != Punching {
		return
	}
	c := a.find(at)
	if c == nil && a.elsewhere(at) != nil {
		c = a.addReflexive(at)
	}
	if c != nil {
		c.heard = true
		a.open(now, c)
	}
}

// Prefer makes an endpoint at which the peer was heard the path, in place of another
// one.
func (a *Attempt) Prefer(now time.Time, at Endpoint) {
	if c := a.find(at); c != nil && c.heard && !c.rejected && a.state == Open && a.path != at {
		a.open(now, c)
	}
}

func (a *Attempt) open(now time.Time, c *candidate) {
	a.state, a.path, a.rest = Open, c.at, 0
	c.chosen = true
	a.hold = now.Add(holdTime)
}

// Heard reports whether any punch of the peer has arrived.
func (a *Attempt) Heard() bool {
	return slices.ContainsFunc(a.candidates, func(c candidate) bool { return c.heard })
}

// HasOther reports whether the peer was heard at another endpoint than at, on which a
// session may still come about.
func (a *Attempt) HasOther(at Endpoint) bool {
	return slices.ContainsFunc(a.candidates, func(c candidate) bool {
		return c.at != at && c.heard && !c.rejected
	})
}

// Reject tells that no session came about at an endpoint. If that was the path, another
// one on which the peer was heard becomes it; if there is none, the attempt goes
// on looking for as long as it has time.
func (a *Attempt) Reject(now time.Time, at Endpoint) {
	c := a.find(at)
	if c == nil || a.state == Failed {
		return
	}
	c.rejected = true
	if a.state == Open && a.path == at {
		a.reopen(now)
	}
}

// reopen makes another candidate the path, or looks for one.
func (a *Attempt) reopen(now time.Time) {
	a.state, a.path, a.next = Punching, Endpoint{}, now
	for i := range a.candidates {
		if c := &a.candidates[i]; c.heard && !c.rejected {
			a.open(now, c)
			return
		}
	}
	if !now.Before(a.deadline) {
		a.state = Failed
	}
}

// Timeout returns when Advance must be called next, or zero for never.
func (a *Attempt) Timeout() time.Time {
	switch a.state {
	case Punching:
		return earlier(a.next, a.deadline)
	case Open:
		if a.holding() {
			return earlier(a.next, a.hold)
		}
		return a.next
	}
	return time.Time{}
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Advance takes the passing of time and appends what to send to out.
func (a *Attempt) Advance(now time.Time, out []Out) []Out {
	if a.state == Punching && !now.Before(a.deadline) {
		a.state = Failed
	}
	if a.state == Open && !now.Before(a.hold) {
		a.hold = time.Time{}
	}
	if a.state == Failed || a.next.IsZero() || now.Before(a.next) {
		return out
	}
	if a.rest == 0 {
		a.began = now
		a.volleys++
	}
	if a.state == Punching {
		return a.volley(now, out)
	}
	a.next = a.nextVolley(now)
	if a.volleys >= volleyCount { // the peer has had every chance to hear us
		a.next = time.Time{}
	}
	c := a.find(a.path)
	if c.marked && c.mark.Heard { // one of ours has heard us: it needs no more
		a.next = time.Time{}
		return out
	}
	return append(out, Out{a.path, a.punch(true)})
}

// nextVolley returns when the volley after the one that has begun is due.
func (a *Attempt) nextVolley(now time.Time) time.Time {
	wait := min(firstInterval<<min(a.volleys-1, 8), volleyInterval)
	if a.volleys >= volleyCount {
		wait = slowInterval
	}
	if next := a.began.Add(wait); next.After(now) {
		return next
	}
	return now.Add(volleyGap)
}

// volley appends the next punches of a volley to out.
func (a *Attempt) volley(now time.Time, out []Out) []Out {
	for room := volleyRoom(a.rest); a.rest < len(a.candidates); a.rest++ {
		c := &a.candidates[a.rest]
		if a.rest >= volleyFirst && !c.heard && a.volleys%2 == 0 {
			continue
		}
		if room == 0 {
			a.next = now.Add(volleyGap)
			return out
		}
		room--
		c.sent = true
		out = append(out, Out{c.at, a.punch(c.heard)})
	}
	a.rest, a.next = 0, a.nextVolley(now)
	return out
}

// volleyRoom returns how many punches of a volley leave at once, the first of them to
// candidate i.
func volleyRoom(i int) int {
	if i == 0 {
		return volleyFirst
	}
	return volleyMore
}

func (a *Attempt) punch(heard bool) wire.Message {
	return wire.NewPunch(a.cfg.Self, wire.Mark{Asked: a.cfg.Asked, Heard: heard})
}
