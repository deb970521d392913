package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A Method is a protocol by which a gateway is asked.
type Method uint8

// The methods, in the order of preference: PCP tells when the gateway has forgotten,
// and cannot be answered by a stranger; UPnP is the slowest.
const (
	PCP Method = iota + 1
	NATPMP
	UPnP
)

// Methods returns all methods, the preferred one first.
func Methods() []Method { return []Method{PCP, NATPMP, UPnP} }

// String returns the name of the protocol.
func (m Method) String() string {
	switch m {
	case PCP:
		return "PCP"
	case NATPMP:
		return "NAT-PMP"
	case UPnP:
		return "UPnP"
	}
	return fmt.Sprintf("method %d", uint8(m))
}

// A Way leads out of the local network.
type Way struct {
	Gateway   netip.Addr // may have a zone
	Local     netip.Addr // our address towards it, that of our packets
	Interface string     // "": not known
}

// A wish is what we ask for.
type wish struct {
	port     uint16         // of our socket
	external netip.AddrPort // that we had before; the zero AddrPort: our own port, if it is free
	lifetime time.Duration
}

// suggested returns the outer port to ask for.
func (w wish) suggested() uint16 {
	if p := w.external.Port(); p != 0 {
		return p
	}
	return w.port
}

// A grant is what the gateway has given.
type grant struct {
	external netip.AddrPort
	lifetime time.Duration // 0: for ever
	pulse    pulse
}

// A pulse is a sign of life of the gateway.
type pulse struct {
	external netip.Addr // its outer address, if it was told
	epoch    uint32     // seconds since it has forgotten everything
	counted  bool       // epoch is set
	lost     bool       // it knows nothing of our mapping
}

// A speaker asks one gateway by one method. It is owned by one goroutine.
type speaker interface {
	// hello finds out whether the gateway speaks the protocol, without any effect.
	hello(ctx context.Context) (pulse, error)
	// ask has the port forwarded, for the first time or once more.
	ask(ctx context.Context, w wish) (grant, error)
	// check finds out whether the gateway may have forgotten.
	check(ctx context.Context, external netip.AddrPort) (pulse, error)
	// remove ends the forwarding.
	remove(ctx context.Context, w wish, external netip.AddrPort) error
}

// A Refusal is an answer of the gateway that it does not do what we ask for.
type Refusal struct {
	Method Method
	Code   int           // of the protocol
	Text   string        // what it means, or what the gateway says
	Retry  time.Duration // how long to wait before the next try, if it says so
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the gateway refuses by %v: %s (code %d)", r.Method, r.Text, r.Code)
}

// errSilent is why there is no answer.
var errSilent = errors.New("no answer")

// usable reports whether an address can be the outer one of a gateway. A private one
// can: of a gateway behind another.
func usable(a netip.AddrPort) bool {
	return a.Port() != 0 && usableAddr(a.Addr())
}

func usableAddr(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.Is4In6() && a.Zone() == ""
}

// shared is for hosts behind carrier-grade NATs (RFC 6598), reserved what nobody has
// (RFC 1112 section 4), and here is this network (RFC 1122 section 3.2.1.3).
var (
	shared   = netip.MustParsePrefix("100.64.0.0/10")
	reserved = netip.MustParsePrefix("240.0.0.0/4")
	here     = netip.MustParsePrefix("0.0.0.0/8")
)

// isPrivate reports whether an outer address is one that the Internet does not reach,
// so that there is another NAT in front of the gateway.
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || shared.Contains(a) || reserved.Contains(a) || here.Contains(a)
}
