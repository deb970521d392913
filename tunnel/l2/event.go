package l2

import (
	"net/netip"

	"campagnol/tunnel/l2/ether"
)

// An EventKind says what has happened that people, or the client, should know.
type EventKind uint8

// The kinds.
const (
	NoEvent EventKind = iota
	// EventWanted: IP or MAC is asked for, and there is no tunnel that surely
	// leads there. Port is the peer's, if it is known; else it is the TAP.
	EventWanted
	// EventQuota: Port has as many addresses as are learned of it, and wants to
	// have MAC as well; with IP: as many pairs.
	EventQuota
	// EventFrozen: MAC has moved too often. It stays where it was, and Port is
	// the one that wanted it last.
	EventFrozen
	// EventConflict: Port says that IP is at MAC, and another has said otherwise.
	EventConflict
	// EventLoop: a frame from our own address has come in by Port.
	EventLoop
	// EventTheft: Port has sent from MAC, which is another's.
	EventTheft
	// EventUnbound: Port has sent from MAC or IP, which it has not been given.
	EventUnbound
	// EventStorm: Port sends more to all than the limits allow; Drop says what.
	EventStorm
	eventCount
)

var eventNames = [eventCount]string{"none", "wanted", "quota", "frozen", "conflict", "loop", "theft", "unbound", "storm"}

// String returns the name of the kind.
func (k EventKind) String() string {
	if k < eventCount {
		return eventNames[k]
	}
	return "invalid"
}

// An Event is something that has happened. There is one for the first of many
// that are alike and follow closely.
type Event struct {
	Kind EventKind
	Port Port
	VID  ether.VID
	MAC  ether.MAC
	IP   netip.Addr
	Drop Drop // what the frame was counted as; Kept: it was not dropped
}

// alarms says about which drops there is an event.
var alarms = [dropCount]EventKind{
	DropLoop:      EventLoop,
	DropPinned:    EventTheft,
	DropStolen:    EventTheft,
	DropUnbound:   EventUnbound,
	DropAddress:   EventUnbound,
	DropBroadcast: EventStorm,
	DropUnknown:   EventStorm,
	DropMulticast: EventStorm,
}

// An Ask is a set of what a Note says.
type Ask uint8

// What a Note says.
const (
	// AskLearn: a frame has come from MAC, which was not known to be at Port.
	AskLearn Ask = 1 << iota
	// AskNeighbour: MAC, at Port, has said that it has the address IP.
	AskNeighbour
	// AskWant: Wanted or WantedIP was asked for.
	AskWant
	// AskEvent: see Event.
	AskEvent
)

// A Note is what the data path has to tell control about a frame; Asks is 0 if
// there is nothing. It does not refer to the frame. It may be lost: the next frame
// brings it again.
type Note struct {
	Asks Ask
	Port Port
	VID  ether.VID
	MAC  ether.MAC // the frame's source

	IP     netip.Addr // with AskNeighbour; with AskEvent: the one that is not allowed
	Router bool       // with AskNeighbour: it says that it is a router

	Wanted     ether.MAC  // with AskWant
	WantedIP   netip.Addr // likewise
	WantedPort Port       // likewise: the peer's, if known

	Event EventKind // with AskEvent
	Drop  Drop      // likewise
}
