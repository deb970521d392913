package relay

import (
	"net/netip"
	"time"
)

// An Event is that an allocation begins or ends.
type Event struct {
	User    string         // the VPN address of the member
	Client  netip.AddrPort // where it comes from
	Relayed netip.AddrPort
	Ended   bool
}

// Watch makes the server call f with every event. It must be called before Run; f is
// called by several goroutines, and must not take long.
func (s *Server) Watch(f func(Event)) { s.watch = f }

// tell tells whoever watches that a begins, or ends.
func (a *allocation) tell(ended bool) {
	if a.s.watch != nil {
		a.s.watch(Event{User: a.user.name, Client: a.client, Relayed: a.relayed, Ended: ended})
	}
}

// A Use is what a member has of the relay now.
type Use struct {
	Allocations int
	Bytes       uint64 // of data, both ways together, since its first allocation of now
}

// Uses returns what members have, by VPN address. It is safe for concurrent use.
func (s *Server) Uses() map[string]Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	uses := make(map[string]Use, len(s.users))
	for name, u := range s.users {
		if u.allocations > 0 {
			uses[name] = Use{Allocations: u.allocations, Bytes: u.bytes.Load()}
		}
	}
	return uses
}

// A Flow is that something is relayed from a member to a peer, over a channel.
type Flow struct {
	User     string         // the VPN address of the member
	Peer     netip.AddrPort // whereto
	PeerUser string         // whose relayed address of this server that is; "": it is none
	Last     time.Time      // when something was relayed last
}

// Flows returns over which channels something was relayed since a time. It is safe for
// concurrent use.
func (s *Server) Flows(since time.Time) (list []Flow) {
	relayed := *s.relayed.Load()
	for _, a := range relayed {
		for _, b := range a.table.Load().peers {
			used := time.Duration(b.used.Load())
			f := Flow{User: a.user.name, Peer: b.peer, Last: s.begin.Add(used)}
			if used == 0 || f.Last.Before(since) {
				continue
			}
			if target := relayed[b.peer]; target != nil {
				f.PeerUser = target.user.name
			}
			list = append(list, f)
		}
	}
	return list
}

// count counts data that is relayed.
func (a *allocation) count(bytes int) {
	a.s.stats.bytes.Add(uint64(bytes))
	a.user.bytes.Add(uint64(bytes))
}
