package rdv

import (
	"fmt"
	"net/netip"

	"campagnol/punch/stream"
)

// Text says what has happened, in a sentence for people without its end. Names and
// reasons are as others have sent them.
func (e Event) Text() string {
	from := fmt.Sprint(" at ", shown(e.Endpoint))
	switch e.Kind {
	case ClientAdded:
		return "registered" + from
	case ClientRemoved:
		return "not registered any more" + from
	case SessionAdded:
		return fmt.Sprintf("introduced to %v", addr(e.Peer))
	case SessionRemoved:
		return fmt.Sprintf("its introduction to %v is over", addr(e.Peer))
	case TableFull:
		return "refused" + from + ": as many are registered as may be (--max-clients)"
	case ChannelOpened:
		return "authenticated" + from
	case ChannelClosed:
		return "channel closed" + from + ": " + e.Why
	case Downgraded:
		return "refused" + from + ": it asks without a certificate for an address of one who has one"
	case Forbidden:
		return fmt.Sprintf("not introduced to %v by the policy: %s", addr(e.Peer), e.Why)
	case NotRelayed:
		return fmt.Sprintf("not relayed to %v by the policy: %s", addr(e.Peer), e.Why)
	case Refused:
		return "refused the address" + from + ": " + e.Why
	case AuthorityHere:
		return "the VPN's authority is here" + from
	case AuthorityGone:
		return "the VPN's authority is gone" + from
	case ObjectLost:
		return "an object is not fetched" + from + ": " + e.Why
	case HandshakeFailed:
		return "no channel" + from + ": " + e.Why
	case Distrusted:
		return "its certificate is not accepted any more" + from + ": " + e.Why
	case Moved:
		return "registered anew" + from
	case Conflict:
		return "refused" + from + ": another client holds the address"
	case Denied:
		return "refused" + from + ": it has no certificate (--auth strict)"
	case RelayBegun:
		return "is relayed" + from + " " + e.Why
	case RelayEnded:
		return "is relayed no more" + from + " " + e.Why
	}
	return e.Kind.String()
}

// Who returns whom an event is about, for people: its VPN address, or else its name,
// or its endpoint.
func (e Event) Who() string {
	switch {
	case e.VPN.IsValid():
		return e.VPN.String()
	case e.Name != "":
		return e.Name
	}
	if at, ok := e.Address(); ok {
		return at.String()
	}
	return "-"
}

// Address returns the endpoint of an event as people know it, and whether there is one.
func (e Event) Address() (netip.AddrPort, bool) {
	return stream.Real(e.Endpoint), e.Endpoint.IsValid()
}
