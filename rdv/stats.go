package rdv

import "sync/atomic"

// Stats is what a Server has done since its start, and what it knows now.
type Stats struct {
	Clients  int // registered now
	Sessions int // introductions that are remembered now

	Received uint64 // datagrams of any kind
	Sent     uint64 // datagrams
	Dropped  Drops
}

// Drops counts what was received or to be sent in vain, by reason.
type Drops struct {
	Malformed     uint64 // datagrams of no protocol
	OtherProtocol uint64 // datagrams of protocols that this server does not speak
	Address       uint64 // messages from an endpoint that no message can name
	Unexpected    uint64 // messages that are not for a server
	Limited       uint64 // answers to strangers, of which one network got too many
	SendFailed    uint64 // batches of which something could not be sent
}

// stats are the counters behind Stats: those of the two goroutines, and a copy
// of the registry's.
type stats struct {
	received, malformed, otherProtocol  atomic.Uint64 // receive
	sent, sendFailed                    atomic.Uint64 // control
	clients, sessions                   atomic.Int64
	address, unexpected, limitedAnswers atomic.Uint64
}

// publish copies what r has counted.
func (s *stats) publish(r *Registry) {
	c := r.Counters()
	s.clients.Store(int64(r.Len()))
	s.sessions.Store(int64(r.Sessions()))
	s.address.Store(c.Address)
	s.unexpected.Store(c.Unexpected)
	s.limitedAnswers.Store(c.Limited)
}

// Stats returns the counters. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	return Stats{
		Clients:  int(s.stats.clients.Load()),
		Sessions: int(s.stats.sessions.Load()),
		Received: s.stats.received.Load(),
		Sent:     s.stats.sent.Load(),
		Dropped: Drops{
			Malformed:     s.stats.malformed.Load(),
			OtherProtocol: s.stats.otherProtocol.Load(),
			Address:       s.stats.address.Load(),
			Unexpected:    s.stats.unexpected.Load(),
			Limited:       s.stats.limitedAnswers.Load(),
			SendFailed:    s.stats.sendFailed.Load(),
		},
	}
}
