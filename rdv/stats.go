package rdv

import "sync/atomic"

// Stats is what a Server has done since its start, and what it knows now.
type Stats struct {
	Clients  int // registered now
	Sessions int // introductions that are remembered now
	Channels int // authenticated channels now
	HalfOpen int // handshakes under way now

	Received uint64 // datagrams of any kind
	Sent     uint64 // datagrams

	Knocks      uint64 // that were answered with a cookie
	Handshakes  uint64 // begun
	Established uint64 // of them, those that made a channel
	Failed      uint64 // and those that did not
	PutOff      uint64 // clients that were told to wait

	Dropped Drops
}

// Drops counts what was received or to be sent in vain, by reason.
type Drops struct {
	Malformed     uint64 // datagrams of no protocol
	OtherProtocol uint64 // datagrams of protocols that this server does not speak
	Address       uint64 // messages from an endpoint that no message can name
	Unexpected    uint64 // messages that are not for a server
	Limited       uint64 // answers to strangers, of which one network got too many
	BadCookie     uint64 // ADMITs whose cookie is wrong or too old
	Stray         uint64 // datagrams with records that belong to no channel and no handshake
	Forged        uint64 // records of a channel that are not its client's
	Replayed      uint64 // records of a channel that came before
	Clear         uint64 // messages in clear from an endpoint with a channel
	Denied        uint64 // HELLOs that the mode refuses
	Unheard       uint64 // INTRODUCEs that were never answered
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
	clients, sessions                   atomic.Int64
	channels, halfOpen                  atomic.Int64
	address, unexpected, limitedAnswers atomic.Uint64
	clear, denied, unheard              atomic.Uint64
}

// publish copies what r has counted.
func (s *stats) publish(r *Registry, halfOpen int) {
	c := r.Counters()
	s.clients.Store(int64(r.Len()))
	s.sessions.Store(int64(r.Sessions()))
	s.address.Store(c.Address)
	s.unexpected.Store(c.Unexpected)
	s.limitedAnswers.Store(c.Limited)
	s.clear.Store(c.Clear)
	s.denied.Store(c.Denied)
	s.unheard.Store(c.Unheard)
	s.channels.Store(int64(r.Members()))
	s.halfOpen.Store(int64(halfOpen))
}

// Stats returns the counters. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	return Stats{
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
		Dropped: Drops{
			Malformed:     s.stats.malformed.Load(),
			OtherProtocol: s.stats.otherProtocol.Load(),
			Address:       s.stats.address.Load(),
			Unexpected:    s.stats.unexpected.Load(),
			Limited:       s.stats.limitedAnswers.Load(),
			BadCookie:     s.stats.badCookie.Load(),
			Stray:         s.stats.stray.Load(),
			Forged:        s.stats.forged.Load(),
			Replayed:      s.stats.replayed.Load(),
			Clear:         s.stats.clear.Load(),
			Denied:        s.stats.denied.Load(),
			Unheard:       s.stats.unheard.Load(),
			SendFailed:    s.stats.sendFailed.Load(),
		},
	}
}
