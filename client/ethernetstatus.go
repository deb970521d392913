package client

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
)

// An EthernetStatus is a snapshot of the switch of a client that carries frames.
type EthernetStatus struct {
	MAC       ether.MAC // of our device
	FullMesh  bool
	Known     int // members that the RDV has listed; with FullMesh only
	Connected int // members with a tunnel
	MACs      int // hardware addresses that are learned
	Groups    int // multicast groups that somebody wants
	Drops     map[string]uint64
	Multicast mcast.Stats
}

// A Member is who is at a port of the switch.
type Member struct {
	VPNAddr netip.Addr
	Name    string // in its certificate; empty without a tunnel
}

// An FDB is what the switch knows of hardware addresses. Ports that Members does not
// name are our own device's.
type FDB struct {
	l2.Dump
	Members map[l2.Port]Member
}

// An MDB is what is known about multicast groups.
type MDB struct {
	mcast.Dump
	Limit   int // groups that our hosts may ask for, and each peer
	Members map[l2.Port]Member
}

// ErrNoFrames is returned by a Client that carries IP packets.
var ErrNoFrames = errors.New("client: IP packets are carried, not Ethernet frames")

// FDB returns what the switch knows of hardware addresses.
func (c *Client) FDB(ctx context.Context) (f FDB, err error) {
	err = c.ofSwitch(ctx, func(now time.Time, e *ethernet) {
		f = FDB{Dump: e.sw.Dump(now), Members: e.members()}
	})
	return f, err
}

// MDB returns what is known about multicast groups.
func (c *Client) MDB(ctx context.Context) (m MDB, err error) {
	err = c.ofSwitch(ctx, func(now time.Time, e *ethernet) {
		m = MDB{Dump: e.groups.Dump(now), Limit: e.groups.MaxGroups(), Members: e.members()}
	})
	return m, err
}

// ofSwitch has the control goroutine look at the switch.
func (c *Client) ofSwitch(ctx context.Context, look func(time.Time, *ethernet)) error {
	if c.cfg.Ethernet == nil {
		return ErrNoFrames
	}
	return c.do(ctx, func(now time.Time) { look(now, c.eth) })
}

// members returns who is at which port. A member without a tunnel has one, too, as
// long as its number is remembered.
func (e *ethernet) members() map[l2.Port]Member {
	all := make(map[l2.Port]Member, len(e.numbered))
	for port, vpn := range e.numbered {
		m := Member{VPNAddr: vpn}
		if p := e.peers[port]; p != nil {
			m.Name = p.id.Name
		}
		all[port] = m
	}
	return all
}

// ethernetStatus must run on the control goroutine; nil: packets are carried.
func (c *Client) ethernetStatus() *EthernetStatus {
	e := c.eth
	if e == nil {
		return nil
	}
	s := &EthernetStatus{
		MAC: e.cfg.Switch.MAC, FullMesh: e.cfg.FullMesh, Connected: len(e.peers),
		MACs: e.sw.Learned(), Groups: e.groups.Groups(), Drops: e.sw.Drops(),
		Multicast: e.groups.Stats(),
	}
	for _, vpn := range e.roster.members {
		if c.isMember(vpn) {
			s.Known++
		}
	}
	return s
}
