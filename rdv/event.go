package rdv

import "net/netip"

// An EventKind says what has changed.
type EventKind uint8

// The kinds of event.
const (
	ClientAdded    EventKind = iota + 1 // Endpoint has registered VPN
	ClientRemoved                       // Endpoint with VPN said BYE, has expired or was replaced
	SessionAdded                        // VPN was introduced to Peer
	SessionRemoved                      // and that is over, or so long ago that it is forgotten
	TableFull                           // Endpoint could not register VPN: MaxClients are registered
	ChannelOpened                       // Name has a channel at Endpoint
	ChannelClosed                       // and that is over: Why
	Downgraded                          // Endpoint wants VPN in clear, which belongs to a client with a channel
	Forbidden                           // the policy does not let VPN open a tunnel to Peer: Why
	Refused                             // Name, at Endpoint, does not get VPN: Why
	AuthorityHere                       // Name, at Endpoint, is the VPN's authority from now on
	AuthorityGone                       // and is not any more
	NotRelayed                          // the policy does not let this server relay between VPN and Peer: Why
	ObjectLost                          // an object of Name, at Endpoint, could not be fetched: Why
)

// An Event is a change in the registry, for the log. Addresses that its Kind
// does not name are zero.
type Event struct {
	Kind     EventKind
	Endpoint netip.AddrPort
	VPN      netip.Addr // zero for 0.0.0.0
	Peer     netip.Addr // zero for 0.0.0.0
	Name     string     // of the holder of a certificate
	Why      string
}
