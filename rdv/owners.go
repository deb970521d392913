package rdv

import (
	"net/netip"
	"time"
)

const (
	// ownedFor is how long an address that was held over a channel is refused to
	// those in clear. Whoever can keep its owner from the server for a while must
	// not get the address by that.
	ownedFor = 24 * time.Hour

	// maxOwners is how many addresses are remembered: more than a server has
	// clients. Beyond it the oldest is forgotten.
	maxOwners = 1 << 16

	// warnInterval is the least time between two warnings about one address.
	warnInterval = time.Hour
)

// owners remembers which VPN addresses were held over a channel, and are not any
// more. Only IPv4 ones are of interest, since nobody can register others in clear.
type owners struct {
	byAddr map[netip.Addr]*owner
	byAge  list[owner] // by time of held
}

// An owner is an address with the time at which it was held last.
type owner struct {
	vpn    netip.Addr
	held   time.Duration
	warned time.Duration // or never
	age    links[owner]
}

func newOwners() owners {
	return owners{
		byAddr: map[netip.Addr]*owner{},
		byAge:  list[owner]{links: func(o *owner) *links[owner] { return &o.age }},
	}
}

// note notes that v was held over a channel until now. Of the warnings about it,
// the last was at warned, or never.
func (os *owners) note(now time.Duration, v netip.Addr, warned time.Duration) {
	if !v.Is4() {
		return
	}
	o := os.byAddr[v]
	if o != nil {
		os.byAge.remove(o)
	} else {
		if len(os.byAddr) >= maxOwners {
			os.forget(os.byAge.first)
		}
		o = &owner{vpn: v}
		os.byAddr[v] = o
	}
	o.held, o.warned = now, warned
	os.byAge.push(o)
}

// find returns the note about v, or nil if there is none that still counts.
func (os *owners) find(now time.Duration, v netip.Addr) *owner {
	for o := os.byAge.first; o != nil && now-o.held >= ownedFor; o = os.byAge.first {
		os.forget(o)
	}
	return os.byAddr[v]
}

func (os *owners) forget(o *owner) {
	os.byAge.remove(o)
	delete(os.byAddr, o.vpn)
}
