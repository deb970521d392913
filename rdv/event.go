package rdv

import (
	"fmt"
	"net/netip"

	"campagnol/pki"
)

// An EventKind says what has changed.
type EventKind uint8

// The kinds of event.
const (
	ClientAdded     EventKind = iota + 1 // Endpoint has registered VPN
	ClientRemoved                        // Endpoint with VPN said BYE, has expired or was replaced
	SessionAdded                         // VPN was introduced to Peer
	SessionRemoved                       // and that is over, or so long ago that it is forgotten
	TableFull                            // Endpoint could not register VPN: MaxClients are registered
	ChannelOpened                        // Name has a channel at Endpoint
	ChannelClosed                        // and that is over: Why
	Downgraded                           // Endpoint wants VPN in clear, which belongs to a client with a channel
	Forbidden                            // the policy does not let VPN open a tunnel to Peer: Why
	Refused                              // Name, at Endpoint, does not get VPN: Why
	AuthorityHere                        // Name, at Endpoint, is the VPN's authority from now on
	AuthorityGone                        // and is not any more
	NotRelayed                           // the policy does not let this server relay between VPN and Peer: Why
	ObjectLost                           // an object of Name, at Endpoint, could not be fetched: Why
	HandshakeFailed                      // who is at Endpoint did not get a channel: Why
	Distrusted                           // the certificate of Name, at Endpoint, is not accepted any more: Why
	RelayBegun                           // something is relayed for VPN, at Endpoint
	RelayEnded                           // and not any more

	// These are for Config.Notify alone.
	Moved    // Name, at Endpoint, has VPN, which it had elsewhere before
	Conflict // Endpoint wants VPN in clear, which another client holds
	Denied   // Endpoint wants VPN in clear, and nobody gets an address so
)

var kindNames = [...]string{
	ClientAdded: "registered", ClientRemoved: "left", SessionAdded: "introduced", SessionRemoved: "forgotten",
	TableFull: "full", ChannelOpened: "channel_opened", ChannelClosed: "channel_closed", Downgraded: "downgraded",
	Forbidden: "forbidden", Refused: "refused", AuthorityHere: "authority_here", AuthorityGone: "authority_gone",
	NotRelayed: "not_relayed", ObjectLost: "object_lost", HandshakeFailed: "handshake_failed",
	Distrusted: "distrusted", RelayBegun: "relay_begun", RelayEnded: "relay_ended",
	Moved: "moved", Conflict: "conflict", Denied: "denied",
}

// String returns a word for programs.
func (k EventKind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// IsRefusal reports whether somebody did not get what they wanted.
func (k EventKind) IsRefusal() bool {
	switch k {
	case TableFull, Downgraded, Forbidden, Refused, NotRelayed, HandshakeFailed, Distrusted, Conflict, Denied:
		return true
	}
	return false
}

// An Event is a change in the registry, for the log. Addresses that its Kind
// does not name are zero.
type Event struct {
	Kind     EventKind
	Endpoint netip.AddrPort
	VPN      netip.Addr // zero for 0.0.0.0
	Peer     netip.Addr // zero for 0.0.0.0
	Name     string     // of the holder of a certificate
	Key      pki.KeyID  // of the same; zero: not known
	Serial   string     // of the certificate
	Code     string     // of a refusal, as in docs/refusals.md; "": it is not there
	Why      string
}
