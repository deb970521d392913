package device

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AcceptBroadcast makes the kernel take packets to an address that come out of
// the interface for its own, and send those of local programs into it, as
// [Kernel.Configure] does with the broadcast address of the network. It is for an
// interface that somebody else configures. The interface must be up.
func (k *Kernel) AcceptBroadcast(a netip.Addr) error {
	err := k.nl.RouteReplace(&netlink.Route{
		LinkIndex: k.index,
		Dst:       ipNet(single(a)),
		Type:      unix.RTN_BROADCAST,
		Table:     unix.RT_TABLE_LOCAL,
		Scope:     unix.RT_SCOPE_LINK,
		Protocol:  unix.RTPROT_STATIC,
	})
	if err != nil {
		return fmt.Errorf("device: accept packets to %v: %w", a, err)
	}
	return nil
}
