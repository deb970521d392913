package l2

import "time"

// When an address is frozen: it has moved more than moveLimit times in moveWindow
// (RFC 7432 section 15.1 has the same figures). Then it stays for freezeTime where it
// was when the window began.
const (
	moveLimit  = 5
	moveWindow = 180 * time.Second
	freezeTime = 300 * time.Second
)

// moves counts how often an address has moved.
type moves struct {
	since Stamp // of the first
	n     int
	home  Port // where it was before
}

// Handle handles a note of the data path and appends what has happened to out.
func (s *Switch) Handle(now time.Time, n Note, out []Event) []Event {
	at := s.view.Stamp(now)
	if n.Asks&AskEvent != 0 {
		out = append(out, Event{Kind: n.Event, Port: n.Port, VID: n.VID, MAC: n.MAC, IP: n.IP, Drop: n.Drop})
	}
	if p := s.view.port(n.Port); p != nil { // else it went down meanwhile
		if n.Asks&AskLearn != 0 {
			out = s.learn(at, p, &n, out)
		}
		if n.Asks&AskNeighbour != 0 {
			out = s.meet(at, p, &n, out)
		}
	}
	if n.Asks&AskWant != 0 {
		out = s.miss(at, &n, out)
	}
	return out
}

// learn learns that an address is at p, if it may be. The data path has seen an older
// view: what it has found is looked up again.
func (s *Switch) learn(at Stamp, p *port, n *Note, out []Event) []Event {
	v := s.view
	if !n.MAC.CanSend() || !n.VID.Valid() || v.Binding == BindStrict && p.id != TAP {
		return out
	}
	e := v.find(n.VID, n.MAC)
	switch {
	case e == nil:
		return s.settle(at, p, n, moves{}, out)
	case e.port == p.id || e.fixed():
		return out
	case aged(&e.seen, at, v.Ageing):
		return s.settle(at, p, n, moves{}, out)
	case e.frozen > at || v.Binding != BindOpen:
		return out
	}
	m := e.moves
	if m.n == 0 || at-m.since > Stamp(moveWindow) {
		m = moves{since: at, home: e.port}
	}
	if m.n++; m.n > moveLimit {
		return s.freeze(at, p, n, e, m, out)
	}
	return s.settle(at, p, n, m, out)
}

// settle enters an address at p, unless p has as many as it may have.
func (s *Switch) settle(at Stamp, p *port, n *Note, m moves, out []Event) []Event {
	if p.macs >= s.quota(p) {
		if !p.full.Swap(true) {
			out = p.report(at, Event{Kind: EventQuota, VID: n.VID, MAC: n.MAC}, out)
		}
		if e := s.view.find(n.VID, n.MAC); e != nil {
			e.leaving.Store(0) // it stays where it is
		}
		return out
	}
	kind := Learned
	if p.id == TAP {
		kind = Local
	}
	e := newEntry(at, p.id, kind)
	e.moves = m
	s.enter(at, keyOf(n.VID, n.MAC), e)
	return out
}

// enter puts an entry of a learned address into the table.
func (s *Switch) enter(at Stamp, k key, e *entry) {
	v := s.change()
	if old := v.macs.get(v.hasher.mac(k), k); old != nil {
		s.count(old, -1)
	}
	v.macs = v.macs.with(k, e)
	s.count(e, +1)
	s.wake(at, v.Ageing)
}

// freeze leaves an address that p wants, and which was at e, where it was before it
// began to move.
func (s *Switch) freeze(at Stamp, p *port, n *Note, e *entry, m moves, out []Event) []Event {
	home := s.view.port(m.home)
	if home == nil || home.id != e.port && home.macs >= s.quota(home) {
		home = s.view.port(e.port) // which is up: of others nothing is known
	}
	kind := Learned
	if home.id == TAP {
		kind = Local
	}
	f := newEntry(at, home.id, kind)
	f.frozen = at + Stamp(freezeTime)
	s.enter(at, keyOf(n.VID, n.MAC), f)
	return p.report(at, Event{Kind: EventFrozen, VID: n.VID, MAC: n.MAC}, out)
}

// meet learns that an IP address is at a MAC, if that is at p. When two disagree,
// neither is believed: the next question goes to all, and who has the address
// answers.
func (s *Switch) meet(at Stamp, p *port, n *Note, out []Event) []Event {
	e := s.view.find(n.VID, n.MAC)
	if p.id == TAP || e == nil || e.port != p.id || !n.IP.IsValid() {
		return out
	}
	k := ipKeyOf(n.VID, n.IP)
	if old := s.view.neighbours.get(s.view.hasher.ip(k), k); old != nil {
		s.part(k, old)
		if old.port != p.id && old.mac != n.MAC && !aged(&old.seen, at, s.view.NeighbourAge) {
			return p.report(at, Event{Kind: EventConflict, VID: n.VID, MAC: n.MAC, IP: n.IP}, out)
		}
	}
	if p.neighbours >= s.view.MaxNeighbours {
		if !p.neighboursFull.Swap(true) {
			out = p.report(at, Event{Kind: EventQuota, VID: n.VID, MAC: n.MAC, IP: n.IP}, out)
		}
		return out
	}
	met := &neighbour{mac: n.MAC, port: p.id, router: n.Router}
	met.seen.Store(int64(at))
	v := s.change()
	v.neighbours = v.neighbours.with(k, met)
	p.neighbours++
	s.wake(at, v.NeighbourAge)
	return out
}

// part forgets a pair of IP address and MAC.
func (s *Switch) part(k ipKey, n *neighbour) {
	v := s.change()
	v.neighbours = v.neighbours.without(k)
	if p := v.port(n.port); p != nil {
		p.neighbours--
		p.neighboursFull.Store(false)
	}
}

// A want is whom somebody behind the TAP asks for.
type want struct {
	key key
	ip  ipKey
}

// How often the same one is reported as wanted, and how many are remembered. What the
// client does about it has limits of its own.
const (
	wantAgain = time.Second
	maxWants  = 1024
)

// miss reports who is wanted, unless it has been reported just now.
func (s *Switch) miss(at Stamp, n *Note, out []Event) []Event {
	w := want{key: keyOf(n.VID, n.Wanted)}
	if n.WantedIP.IsValid() {
		w.ip = ipKeyOf(n.VID, n.WantedIP)
	}
	if last, ok := s.wants[w]; ok && at-last < Stamp(wantAgain) {
		return out
	}
	if len(s.wants) >= maxWants {
		s.forgetWants(at)
	}
	if len(s.wants) >= maxWants {
		return out
	}
	s.wants[w] = at
	s.wake(at, wantAgain)
	return append(out, Event{Kind: EventWanted, Port: n.WantedPort, VID: n.VID, MAC: n.Wanted, IP: n.WantedIP})
}

func (s *Switch) forgetWants(at Stamp) {
	for w, last := range s.wants {
		if at-last >= Stamp(wantAgain) {
			delete(s.wants, w)
		}
	}
}

// wake makes Advance look again after d at the latest.
func (s *Switch) wake(at Stamp, d time.Duration) {
	// Aged is what has not been seen for longer than d.
	if t := s.view.time(at).Add(d + 1); s.next.IsZero() || t.Before(s.next) {
		s.next = t
	}
}

// Timeout returns when Advance is to be called, or the zero time for never.
func (s *Switch) Timeout() time.Time { return s.next }

// sweep is how long Advance rests at least: many addresses that age one after the
// other are forgotten together.
const sweep = time.Second

// Advance forgets what has aged.
func (s *Switch) Advance(now time.Time) {
	if s.next.IsZero() || now.Before(s.next) {
		return
	}
	at := s.view.Stamp(now)
	s.next = time.Time{}
	s.age(at)
	s.ageNeighbours(at)
	s.forgetWants(at)
	for _, last := range s.wants {
		s.wake(last, wantAgain)
	}
	if !s.next.IsZero() && s.next.Before(now.Add(sweep)) {
		s.next = now.Add(sweep)
	}
}

// age forgets the addresses that have aged.
func (s *Switch) age(at Stamp) {
	limit := s.view.Ageing
	old, oldest, live := 0, at, false
	for _, e := range s.view.macs.all() {
		switch {
		case e.fixed():
		case aged(&e.seen, at, limit):
			old++
		default:
			oldest, live = min(oldest, Stamp(e.seen.Load())), true
		}
	}
	if old > 0 && s.forget(func(_ key, e *entry) bool { return !e.fixed() && aged(&e.seen, at, limit) }) < old {
		live = true // the data path has seen one meanwhile
	}
	if live {
		s.wake(oldest, limit)
	}
}

// ageNeighbours forgets the pairs of IP address and MAC that have aged.
func (s *Switch) ageNeighbours(at Stamp) {
	limit := s.view.NeighbourAge
	for k, n := range s.view.neighbours.all() {
		if aged(&n.seen, at, limit) {
			s.part(k, n)
		} else {
			s.wake(Stamp(n.seen.Load()), limit)
		}
	}
}
