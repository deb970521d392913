package rdv

import "time"

const (
	// sessionLifetime is how long an introduction is remembered after the
	// last ASK. It ends earlier with CLOSE or with either client's
	// registration. A CLOSE can get lost, and a session says CLOSE after two
	// idle minutes by default, so that what lasts longer than a day is most
	// likely no session any more.
	sessionLifetime = 24 * time.Hour

	// How many introductions are remembered: so many for each registered
	// client, but no less than minSessions. Beyond it the oldest is
	// forgotten.
	sessionsPerClient = 16
	minSessions       = 1024
)

// sessions remembers who was introduced to whom. It is an account for the log,
// as in the original: nothing that is sent depends on it.
type sessions struct {
	byPair map[pair]*session
	byAge  list[session] // by time of the last ASK
	free   *session      // unused ones, linked by age.next
}

// A pair is the asker and the asked. A session ends with the registration of
// either.
type pair struct{ asker, asked *client }

func pairOf(asker, asked *client) pair { return pair{asker, asked} }

// A session is one introduction. It is in the list of sessions by age, and in
// one list of each of its clients.
type session struct {
	clients [2]*client // asker, asked
	asked   time.Duration
	relayed bool // one of both was given credentials for the relay, for the other
	age     links[session]
	of      [2]links[session] // in the lists of the asker and of the asked
}

func newSessions() sessions {
	return sessions{
		byPair: map[pair]*session{},
		byAge:  list[session]{links: func(s *session) *links[session] { return &s.age }},
	}
}

// openSession remembers that asker asked for asked.
func (r *Registry) openSession(asker, asked *client) {
	ss := &r.sessions
	asker.asks[0]++
	asked.asks[1]++
	if s := ss.byPair[pairOf(asker, asked)]; s != nil {
		s.asked = r.now
		ss.byAge.remove(s)
		ss.byAge.push(s)
		return
	}
	r.closeSession(asked, asker)
	for limit := max(minSessions, sessionsPerClient*r.Len()); len(ss.byPair) >= limit; {
		r.dropSession(ss.byAge.first)
	}
	s := ss.alloc()
	s.clients = [2]*client{asker, asked}
	s.asked = r.now
	ss.byPair[pairOf(asker, asked)] = s
	ss.byAge.push(s)
	for role, c := range s.clients {
		s.of[role] = links[session]{next: c.sessions[role]}
		if next := c.sessions[role]; next != nil {
			next.of[role].prev = s
		}
		c.sessions[role] = s
	}
	r.trace(Event{Kind: SessionAdded, VPN: asker.vpn, Peer: asked.vpn})
}

// noteRelayed remembers that what m and peer send each other may be relayed.
func (r *Registry) noteRelayed(m *Member, peer *client) {
	c := m.as(peer.vpn)
	for _, p := range [...]pair{pairOf(c, peer), pairOf(peer, c)} {
		if s := r.sessions.byPair[p]; s != nil {
			s.relayed = true
		}
	}
}

// closeSession forgets that asker asked for asked, if it did.
func (r *Registry) closeSession(asker, asked *client) {
	if s := r.sessions.byPair[pairOf(asker, asked)]; s != nil {
		r.dropSession(s)
	}
}

// dropSession removes s, which must not be used any more.
func (r *Registry) dropSession(s *session) {
	asker, asked := s.clients[0], s.clients[1]
	for role, c := range s.clients {
		prev, next := s.of[role].prev, s.of[role].next
		if prev == nil {
			c.sessions[role] = next
		} else {
			prev.of[role].next = next
		}
		if next != nil {
			next.of[role].prev = prev
		}
	}
	delete(r.sessions.byPair, pairOf(asker, asked))
	r.sessions.byAge.remove(s)
	r.sessions.release(s)
	r.trace(Event{Kind: SessionRemoved, VPN: asker.vpn, Peer: asked.vpn})
}

// alloc returns an empty session. They are made in blocks and used again, so
// that ASK does not allocate.
func (ss *sessions) alloc() *session {
	if ss.free == nil {
		block := make([]session, 64)
		for i := range block {
			ss.release(&block[i])
		}
	}
	s := ss.free
	ss.free = s.age.next
	*s = session{}
	return s
}

func (ss *sessions) release(s *session) {
	*s = session{age: links[session]{next: ss.free}}
	ss.free = s
}
