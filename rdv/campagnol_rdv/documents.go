package main

import (
	"maps"

	"campagnol/internal/control"
	"campagnol/internal/version"
	"campagnol/rdv"
)

// statusOf returns the status of a server.
func statusOf(o *rdv.Overview) *control.RDVStatus {
	s := &control.RDVStatus{
		Version: version.Version, Time: o.Time, Mode: o.Mode.String(), MaxClients: o.MaxClients,
		Clients: len(o.Clients), Channels: o.Stats.Channels, Pairs: o.Stats.Sessions, Handshakes: o.Stats.HalfOpen,
		Relaying: o.Relays, Allocations: o.Stats.Relay.Allocations, RelayBytes: o.Stats.Relay.Bytes,
		Counters: countersOf(&o.Stats), Dropped: happened(dropsOf(&o.Stats.Dropped)), NATs: map[string]int{},
	}
	for i := range o.Clients {
		c := &o.Clients[i]
		if !c.Channel {
			s.NATs["in clear"]++
			continue
		}
		s.NATs[c.NAT.Class()]++
		if !c.Expires.IsZero() && (s.NextExpiry.IsZero() || c.Expires.Before(s.NextExpiry)) {
			s.NextExpiry, s.NextExpiryName = c.Expires, c.Name
		}
	}
	return s
}

// countersOf returns what a server has done, by the names of docs/control.md.
func countersOf(s *rdv.Stats) map[string]uint64 {
	return map[string]uint64{
		"received": s.Received, "sent": s.Sent, "knocks": s.Knocks, "handshakes": s.Handshakes,
		"established": s.Established, "failed": s.Failed, "put_off": s.PutOff, "introductions": s.Introduced + s.IntroducedClear,
		"lists": s.Lists, "stun": s.Bindings, "notices": s.Notices, "chunks": s.Chunks,
		"objects_taken": s.ObjectsTaken, "objects_refused": s.ObjectsRefused, "applied": s.Applied, "answered": s.Answered,
		"relay_grants": s.Grants, "relay_allocated": s.Relay.Allocated, "relay_refused": s.Relay.Refused,
	}
}

// happened returns those of counters that have counted anything.
func happened(counters map[string]uint64) map[string]uint64 {
	maps.DeleteFunc(counters, func(_ string, n uint64) bool { return n == 0 })
	return counters
}

// clientOf returns the document of a client.
func clientOf(c *rdv.ClientInfo) control.RDVClient {
	d := control.RDVClient{
		VPNAddresses: c.VPN, Name: c.Name, Endpoint: c.Endpoint, Transport: "udp", Registration: control.RegisteredInClear,
		Since: c.Since, Heard: c.Heard, Candidates: c.Candidates, Software: c.Software, Expires: c.Expires,
		Relays: c.Relaying, RelayAllocations: c.Relay.Allocations, RelayBytes: c.Relay.Bytes, Asked: c.Asked, Wanted: c.Wanted,
	}
	if c.Stream {
		d.Transport = "tcp"
	}
	if c.Channel {
		d.Registration = control.RegisteredAuthenticated
		d.NAT = c.NAT.Class()
	}
	return d
}

// eventOf returns the document of an event.
func eventOf(e rdv.Entry) control.RDVEvent {
	d := control.RDVEvent{
		Number: e.Number, Time: e.Time, Kind: e.Kind.String(), VPN: e.VPN, Peer: e.Peer,
		Name: e.Name, Reason: e.Why, Text: e.Text(),
	}
	if at, ok := e.Address(); ok {
		d.Endpoint = at
	}
	return d
}
