package path

import (
	"net/netip"
	"slices"
	"time"

	"campagnol/punch"
)

// How doubts grow.
const (
	// inUse is how long after a packet a session counts as used.
	inUse = time.Second

	// quiet is how long nothing may be heard while we send, or after the peer has
	// sent, until the path is challenged, unless the round trip is long. Nothing is
	// heard of a mere listener, and so this is how often it is asked.
	quiet = 120 * time.Millisecond

	// patience is how long a challenge to the path may be without a response, unless
	// the round trip is long. With quiet and lookWait it is 300 ms at most.
	patience = 140 * time.Millisecond

	lookWait = 40 * time.Millisecond // between two looks whether there is silence, at least

	checkWait = 70 * time.Millisecond  // between the first two challenges in doubt; it doubles
	checkMax  = 250 * time.Millisecond // up to this
	checkSlow = time.Second            // after huntTime in the dark

	askWait  = 400 * time.Millisecond // between the first two askings of the server; it doubles
	lostTime = time.Second            // in the dark, until the owner is told that nothing helps
	lostWait = 500 * time.Millisecond // between two times that it is told

	// huntTime is how long a path is looked for when nobody wants to send.
	huntTime = 5 * time.Second
)

// An Act is something that the owner of a Keeper is to do.
type Act uint8

// The acts.
const (
	Challenge Act = iota + 1 // send a challenge with Number to At
	Move                     // the path is At from now on
	Ask                      // ask the rendezvous server to introduce the peer, and see whether it knows us
	Revive                   // make a new session, if that is not under way: there seems to be no path for this one
)

// An Out is what to do.
type Out struct {
	Do     Act
	At     punch.Endpoint
	Number uint64
	Why    string // of a Move, for people
}

// A Keeper keeps one session on the best path. It belongs to one goroutine.
type Keeper struct {
	number func() uint64

	path    punch.Endpoint
	list    []candidate // the path among them
	moves   int
	arrived time.Time // when the path became it; zero: at the beginning
	relayed time.Time // since when it has led through a relay, or over a connection; zero: it does not

	atRelays []netip.AddrPort // where the peer has been named to be at a relay

	// What the data path has seen.
	sent     time.Time // a packet for the peer
	received time.Time // a packet of the peer
	heard    time.Time // anything authentic
	since    time.Time // since when the session is used, after a pause

	look   time.Time // when to look whether there is silence; zero: when it is used again
	owed   time.Time // since when something should be heard; zero: it need not
	proved time.Time // the path has answered
	doubt  time.Time // since when it has not answered; zero: no doubt
	strict bool      // only an answer of the path itself ends the doubt
	checks int       // challenges to the path in this doubt
	check  time.Time // the next one
	dark   time.Time // since when; zero: not
	asks   int       // in this dark
	ask    time.Time // the next one
	revive time.Time // when to say it next

	settled time.Time // when a shorter round trip has last made it move

	pace   time.Time // the earliest next challenge to another address
	budget float64   // challenges
	filled time.Time // budget, last
}

// New returns the Keeper of a session whose path is at and has just carried a
// handshake; list is what the server has named, for the primary socket. number draws the numbers of challenges; whoever can guess them could
// pretend to be at an address where he is not.
func New(now time.Time, number func() uint64, at punch.Endpoint, list []punch.Candidate) *Keeper {
	k := &Keeper{number: number, path: at, heard: now, proved: now, since: now, look: now.Add(quiet), budget: budgetBurst, filled: now}
	k.list = []candidate{{Candidate: punch.Candidate{Addr: at.Addr, Kind: punch.Reflexive}, conn: at.Conn}}
	k.name(now, nil, list)
	k.current().next = now // to measure it
	k.noteRelay(now)
	k.pace = now.Add(calmPace)
	return k
}

// Introduce takes candidates of the peer that the server has named, in place of those
// before. They are challenged at once, by the primary socket.
func (k *Keeper) Introduce(now time.Time, list []punch.Candidate) { k.IntroduceBy(now, nil, list) }

// IntroduceBy is Introduce by another socket, such as one whose datagrams a relay passes
// on. What it is to try takes the place of what it was to try before; other sockets go on
// with theirs.
func (k *Keeper) IntroduceBy(now time.Time, conn punch.Conn, list []punch.Candidate) {
	k.name(now, conn, list)
	k.noteRelay(now)
	k.pace = now
	k.fill(now)
	if !k.doubt.IsZero() && k.budget >= 1 {
		// Perhaps it is we who were away, and are where the peer is told by now.
		k.budget--
		k.check, k.checks = later(now, k.current().last.Add(firstWait)), min(k.checks, 2)
	}
	if c := k.current(); now.Sub(c.last) >= inUse {
		c.next = now // to compare
	}
}

// Wake tells that the session is used after a pause.
func (k *Keeper) Wake(now time.Time) {
	if !k.look.IsZero() {
		return
	}
	k.since, k.look = now, now.Add(quiet)
	for i := range k.list {
		if c := &k.list[i]; c.next.IsZero() {
			c.next = now.Add(inUse)
		}
	}
}

// Observe takes when a packet was last sent to and received from the peer, and when
// anything authentic was last received, by whichever path.
func (k *Keeper) Observe(sent, received, heard time.Time) {
	k.sent, k.received = later(k.sent, sent), later(k.received, received)
	k.heard = later(k.heard, heard)
}

// Doubt tells that there is a reason to think that the path has broken, such as another
// network at our end.
func (k *Keeper) Doubt(now time.Time) { k.suspect(now, true) }

// Challenged takes that an authentic challenge of the peer has come from an endpoint.
// The owner has answered it. One that is not the path is challenged in turn,
// since at least one direction works by now (RFC 8445 section 7.3.1.4).
func (k *Keeper) Challenged(now time.Time, from punch.Endpoint) {
	if from == k.path {
		k.Wake(now)
		return
	}
	k.Stray(now, from)
}

// Stray takes that something authentic, and not old, has come from an endpoint that is
// not the path: the peer, or its NAT, may have another address.
//
// Both are challenged, and the session moves only if the path does not answer: who
// passes records on from a place of his own, faster than they come from the peer, must
// not become the path by it (RFC 9853 section 5).
func (k *Keeper) Stray(now time.Time, from punch.Endpoint) {
	if from == k.path {
		return
	}
	c := k.reflexive(now, from)
	c.seen = now
	// Two ends that challenge each other because they are challenged must not go on for
	// ever.
	if now.Sub(c.answered) >= leftLife && now.Sub(c.last) >= firstWait {
		c.hope(now)
	}
	if now.Sub(k.proved) >= quiet {
		k.suspect(now, true)
		k.pace = now // it is likelier than those that are only named
	}
}

// Responded takes a response of the peer, and reports whether it proves a path: the one
// over which its number went, wherever it comes from (RFC 9000 section 8.2.3). Who passes
// on records faster than they come themselves could else make a path look dark.
func (k *Keeper) Responded(now time.Time, number uint64) bool {
	var c *candidate
	for i := range k.list {
		if k.list[i].take(now, number) {
			c = &k.list[i]
			break
		}
	}
	if c == nil {
		return false
	}
	if c.at() == k.path {
		k.proved = now
		k.sure()
	} else if !k.doubt.IsZero() {
		k.strict = true // that something is heard says nothing of the path
	}
	// One more measurement, where the first one promises something.
	if c.answers == 1 && c.at() != k.path {
		c.tries, c.next = 1, now.Add(firstWait)
	} else if c.tries < fastTries {
		c.tries = fastTries
		c.next = now.Add(k.slow(now, c))
	} else if c.warm(now) {
		c.next = now.Add(warmWait)
	}
	return true
}

// Path returns where the session is sent.
func (k *Keeper) Path() punch.Endpoint { return k.path }

// View returns what is known of the path.
func (k *Keeper) View() View { return k.current().view() }

// Kind returns how the path was found.
func (k *Keeper) Kind() punch.CandidateKind { return k.current().Kind }

// Moves returns how often the session has moved.
func (k *Keeper) Moves() int { return k.moves }

// Challenges returns how many challenges were sent by the path, and how many of them were
// answered, as long as it is known.
func (k *Keeper) Challenges() (sent, answered int) {
	c := k.current()
	return c.sent, c.answers
}

// Dark reports whether the path does not answer.
func (k *Keeper) Dark() bool { return !k.dark.IsZero() }

// Endpoints returns where records may come from: the path, and all that may become it.
func (k *Keeper) Endpoints() []punch.Endpoint {
	list := make([]punch.Endpoint, 0, len(k.list))
	for i := range k.list {
		list = append(list, k.list[i].at())
	}
	return list
}

// Forget forgets the endpoints that a socket leads to, which is not the primary one. The
// path stays.
func (k *Keeper) Forget(conn punch.Conn) {
	if conn != nil {
		k.list = slices.DeleteFunc(k.list, func(c candidate) bool { return c.conn == conn && c.at() != k.path })
	}
}

// Lost tells that a socket, which is not the primary one, is gone, and with it all
// endpoints that it leads to. If the path is one of them, it is dark at once, until
// another one answers.
func (k *Keeper) Lost(now time.Time, conn punch.Conn) {
	k.Forget(conn)
	if conn != nil && k.path.Conn == conn {
		k.current().gone = true
		k.suspect(now, true)
		k.doubt = now.Add(-k.patience())
	}
}

// AskAgain tells that the server can be asked anew: we have just registered.
func (k *Keeper) AskAgain(now time.Time) {
	if k.Dark() {
		k.asks, k.ask = 0, now
	}
}

// later returns the later of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
