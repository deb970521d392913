package client

import "net/netip"

// An EventKind is what has happened.
type EventKind string

// The kinds of events.
const (
	EventOpened       EventKind = "opened"       // a session, also in place of another
	EventClosed       EventKind = "closed"       // a session
	EventMoved        EventKind = "moved"        // a session, to another path
	EventFailed       EventKind = "failed"       // a peer was not reached
	EventRefused      EventKind = "refused"      // somebody was refused, or has refused us
	EventRegistered   EventKind = "registered"   // an RDV knows us
	EventUnregistered EventKind = "unregistered" // an RDV does not answer, or does not take us
	EventSpoofed      EventKind = "spoofed"      // a peer has sent packets from an address that is not its own
	EventFiltered     EventKind = "filtered"     // packets from or to a peer were dropped by the policy
)

// An Event is something that has happened, for people who watch.
type Event struct {
	Kind    EventKind
	VPNAddr netip.Addr     // of the peer; the zero Addr: it is about an RDV
	Name    string         // in the peer's, or the RDV's, certificate
	Key     [32]byte       // of the peer; zero: not known
	Serial  string         // of the peer's certificate
	Addr    netip.AddrPort // of the path, or of the RDV
	Before  netip.AddrPort // of the path that was left
	Code    string         // of a refusal; of a session that was closed, why its peer may have none any more
	Reason  string         // made for people; may be empty
	Err     error          // of a refusal
	Count   uint64         // of packets
	Out     bool           // they were to be sent
}

// notify tells who watches of an event.
func (c *Client) notify(e Event) {
	if c.cfg.Notify != nil {
		c.cfg.Notify(e)
	}
}

// notifyServer tells who watches what becomes of the registration at an RDV.
func (c *Client) notifyServer(r *rendezvous, ev regEvent) {
	e := Event{Kind: EventUnregistered, Addr: r.at}
	switch ev {
	case regDone, regBack:
		e.Kind = EventRegistered
	case regRefused:
		e.Reason = "the server rejects this host"
	case regFailed, regSilent:
		e.Reason = "the server does not answer"
	default:
		return
	}
	c.notify(e)
}
