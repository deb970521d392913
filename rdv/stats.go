package rdv

import (
	"sync/atomic"

	"campagnol/rdv/relay"
)

// Stats is what a Server has done since its start, and what it knows now.
type Stats struct {
	Clients  int // registered now
	Clear    int // of them, those without a channel
	Sessions int // introductions that are remembered now
	Channels int // authenticated channels now
	HalfOpen int // handshakes under way now

	Authorities int // that are registered now, or in this process
	Busy        int // batches of datagrams that control has not handled yet

	Received uint64 // datagrams of any kind
	Sent     uint64 // datagrams

	Knocks      uint64 // that were answered with a cookie
	Handshakes  uint64 // begun
	Established uint64 // of them, those that made a channel
	Failed      uint64 // and those that did not
	PutOff      uint64 // clients that were told to wait

	Introduced      uint64 // answers that tell a client where another one is, over a channel
	IntroducedClear uint64 // likewise, in clear
	Pings           uint64 // that were answered
	Refused         Refusals

	Notices        uint64 // of objects, sent to clients
	Chunks         uint64 // of objects, sent to clients
	ObjectsTaken   uint64 // from the authority
	ObjectsRefused uint64 // from the authority: something is wrong with them
	Applied        uint64 // requests that were passed to the authority
	Answered       uint64 // and its answers
	Lists          uint64 // pieces of the list of members, sent to clients
	Bindings       uint64 // requests of STUN that were answered
	Grants         uint64 // credentials for the relay

	Relay relay.Stats // zero without one

	Dropped Drops
}

// Drops counts what was received or to be sent in vain, by reason.
type Drops struct {
	Malformed     uint64 // datagrams of no protocol
	OtherProtocol uint64 // datagrams of protocols that this server does not speak
	Address       uint64 // messages from an endpoint that nothing can be sent to
	Unexpected    uint64 // messages that are not for a server
	Limited       uint64 // answers to strangers, of which one network got too many
	Bindings      uint64 // answers to STUN, likewise
	Relaying      uint64 // requests to the relay, likewise
	BadCookie     uint64 // ADMITs whose cookie is wrong or too old
	Stray         uint64 // datagrams with records that belong to no channel and no handshake
	Forged        uint64 // records of a channel that are not its client's
	Replayed      uint64 // records of a channel that came before
	Clear         uint64 // messages in clear from an endpoint with a channel
	ClearStream   uint64 // messages in clear over TCP: nobody registers so
	Denied        uint64 // HELLOs that the mode refuses
	Unheard       uint64 // INTRODUCEs and NOTICEs that were never answered
	Greedy        uint64 // FETCHes beyond a client's share
	Deferred      uint64 // requests to the authority over a limit
	Unanswered    uint64 // requests to the authority that got no answer
	ObjectsLost   uint64 // objects of the authority that came too fast
	SendFailed    uint64 // batches of which something could not be sent
}

// stats are the counters behind Stats: those of the two goroutines, and a copy
// of the registry's.
type stats struct {
	received, malformed, otherProtocol  atomic.Uint64 // receive
	knocks, badCookie                   atomic.Uint64 // receive
	sent, sendFailed                    atomic.Uint64 // all
	handshakes, established, failed     atomic.Uint64 // control
	putOff, stray, forged, replayed     atomic.Uint64 // control
	clients, clearClients, authorities  atomic.Int64
	sessions                            atomic.Int64
	said                                said // control
	channels, halfOpen                  atomic.Int64
	address, unexpected, limitedAnswers atomic.Uint64
	clear, denied, unheard              atomic.Uint64
	greedy, deferred, unanswered        atomic.Uint64
	notices, chunks, applied, answered  atomic.Uint64
	lists, grants                       atomic.Uint64
	limitedRelaying, clearStream        atomic.Uint64 // receive
	objectsTaken, objectsRefused        atomic.Uint64 // clerk
	objectsLost                         atomic.Uint64 // control
	stunStats                                         // receive, serveOther
}

// publish copies what r has counted.
func (s *stats) publish(r *Registry, halfOpen int) {
	c := r.Counters()
	s.clients.Store(int64(r.Len()))
	s.clearClients.Store(int64(len(r.byEndpoint)))
	s.authorities.Store(int64(len(r.desk.authorities)))
	s.sessions.Store(int64(r.Sessions()))
	s.address.Store(c.Address)
	s.unexpected.Store(c.Unexpected)
	s.limitedAnswers.Store(c.Limited)
	s.clear.Store(c.Clear)
	s.denied.Store(c.Denied)
	s.unheard.Store(c.Unheard)
	s.greedy.Store(c.Greedy)
	s.deferred.Store(c.Deferred)
	s.unanswered.Store(c.Unanswered)
	s.notices.Store(c.Notices)
	s.chunks.Store(c.Chunks)
	s.applied.Store(c.Applied)
	s.answered.Store(c.Answered)
	s.lists.Store(c.Lists)
	s.grants.Store(c.Grants)
	s.channels.Store(int64(r.Members()))
	s.halfOpen.Store(int64(halfOpen))
}

// Batches returns how many batches of datagrams there are, and so the most that can be
// Busy. It is safe for concurrent use.
func (s *Server) Batches() int { return cap(s.empty) }

// Stats returns the counters. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	authorities := int(s.stats.authorities.Load())
	if s.cfg.Authority != nil {
		authorities++
	}
	return Stats{
		Clear:           int(s.stats.clearClients.Load()),
		Authorities:     authorities,
		Busy:            cap(s.empty) - len(s.empty),
		Introduced:      s.stats.said.introduced.Load(),
		IntroducedClear: s.stats.said.introducedClear.Load(),
		Pings:           s.stats.said.pongs.Load(),
		Refused:         s.stats.said.refusals(),

		Relay:    s.relayStats(),
		Clients:  int(s.stats.clients.Load()),
		Sessions: int(s.stats.sessions.Load()),
		Received: s.stats.received.Load(),
		Sent:     s.stats.sent.Load(),

		Channels:    int(s.stats.channels.Load()),
		HalfOpen:    int(s.stats.halfOpen.Load()),
		Knocks:      s.stats.knocks.Load(),
		Handshakes:  s.stats.handshakes.Load(),
		Established: s.stats.established.Load(),
		Failed:      s.stats.failed.Load(),
		PutOff:      s.stats.putOff.Load(),

		Notices:        s.stats.notices.Load(),
		Chunks:         s.stats.chunks.Load(),
		ObjectsTaken:   s.stats.objectsTaken.Load(),
		ObjectsRefused: s.stats.objectsRefused.Load(),
		Applied:        s.stats.applied.Load(),
		Answered:       s.stats.answered.Load(),
		Lists:          s.stats.lists.Load(),
		Bindings:       s.stats.bindings.Load(),
		Grants:         s.stats.grants.Load(),
		Dropped: Drops{
			Malformed:     s.stats.malformed.Load(),
			OtherProtocol: s.stats.otherProtocol.Load(),
			Address:       s.stats.address.Load(),
			Unexpected:    s.stats.unexpected.Load(),
			Limited:       s.stats.limitedAnswers.Load(),
			Bindings:      s.stats.limitedBindings.Load(),
			Relaying:      s.stats.limitedRelaying.Load(),
			BadCookie:     s.stats.badCookie.Load(),
			Stray:         s.stats.stray.Load(),
			Forged:        s.stats.forged.Load(),
			Replayed:      s.stats.replayed.Load(),
			Clear:         s.stats.clear.Load(),
			ClearStream:   s.stats.clearStream.Load(),
			Denied:        s.stats.denied.Load(),
			Unheard:       s.stats.unheard.Load(),
			Greedy:        s.stats.greedy.Load(),
			Deferred:      s.stats.deferred.Load(),
			Unanswered:    s.stats.unanswered.Load(),
			ObjectsLost:   s.stats.objectsLost.Load(),
			SendFailed:    s.stats.sendFailed.Load(),
		},
	}
}
