package relay

import "sync/atomic"

// Stats is what a Server has done since its start, and what it has now.
type Stats struct {
	Allocations int    // now
	Allocated   uint64 // since the start
	Requests    uint64 // of clients
	Refused     uint64 // allocations, for one limit or another

	ToPeers   uint64 // datagrams of clients, relayed
	ToClients uint64 // datagrams of peers, relayed
	Bytes     uint64 // of data, both ways together

	Dropped Drops
}

// Drops counts what was not relayed, by reason.
type Drops struct {
	Denied    uint64 // requests whose credentials are none, or of the past
	Queue     uint64 // requests that came too fast
	Unbound   uint64 // data over no channel
	Forbidden uint64 // data, channels and permissions to where nothing is relayed
	Unwanted  uint64 // data of peers without a permission
	Limited   uint64 // data over the rate
	Failed    uint64 // batches of which something could not be sent
}

// stats are the counters behind Stats.
type stats struct {
	allocations                       atomic.Int64
	allocated, requests, refused      atomic.Uint64
	toPeers, toClients, bytes         atomic.Uint64
	denied, queue, unbound, forbidden atomic.Uint64
	unwanted, limited, failed         atomic.Uint64
}

// Stats returns the counters. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Allocations: int(c.allocations.Load()),
		Allocated:   c.allocated.Load(),
		Requests:    c.requests.Load(),
		Refused:     c.refused.Load(),
		ToPeers:     c.toPeers.Load(),
		ToClients:   c.toClients.Load(),
		Bytes:       c.bytes.Load(),
		Dropped: Drops{
			Denied:    c.denied.Load(),
			Queue:     c.queue.Load(),
			Unbound:   c.unbound.Load(),
			Forbidden: c.forbidden.Load(),
			Unwanted:  c.unwanted.Load(),
			Limited:   c.limited.Load(),
			Failed:    c.failed.Load(),
		},
	}
}
