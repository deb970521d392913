package main

import (
	"net"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
	"campagnol/tunnel/segment"
)

// linkOf returns what the virtual interface carries, and its hardware address if it
// has one.
func linkOf(cfg *conf.Client) (segment.Link, net.HardwareAddr) {
	if cfg.Mode != conf.ModeTAP {
		return segment.IP, nil
	}
	mac := macOf(cfg).Bytes()
	return segment.Ethernet, mac[:]
}

// macOf returns the hardware address of the virtual interface.
func macOf(cfg *conf.Client) ether.MAC {
	if a := cfg.Ethernet.HardwareAddr; len(a) == 6 {
		return ether.MACFrom([6]byte(a))
	}
	return client.HardwareAddr(cfg.VPNIP)
}

// ethernetOf returns what a configuration says of the switch; nil: there is none.
func ethernetOf(cfg *conf.Client) *client.Ethernet {
	if cfg.Mode != conf.ModeTAP {
		return nil
	}
	e, mac := &cfg.Ethernet, macOf(cfg)
	c := &client.Ethernet{
		Switch: l2.Config{
			MAC: mac, STP: e.STP, MaxMACs: e.MaxMACs, OnDemand: !e.FullMesh,
			Limits: l2.Limits{Broadcast: e.StormRate, Unknown: e.StormRate, Multicast: e.StormRate},
		},
		Groups: mcast.Config{
			MAC: client.QuerierAddr(mac).Bytes(), FastLeave: e.FastLeave, Mrouter: e.Router, MaxGroups: e.MaxGroups,
			VLANs: e.VLANs, Seed: uint64(mac),
		},
		FullMesh: e.FullMesh,
		Fragment: e.Fragment,
	}
	if e.StormRate == 0 {
		c.Switch.Limits = l2.Limits{Broadcast: -1, Unknown: -1, Multicast: -1}
	}
	if e.PinMACs {
		c.Switch.Binding = l2.BindStrict
	}
	if e.VLANs != nil {
		c.Switch.VLANs = new(ether.VIDSet)
		for _, v := range e.VLANs {
			c.Switch.VLANs.Add(ether.VID(v), ether.VID(v))
		}
	}
	switch e.Unregistered {
	case "flood":
		c.Groups.Unregistered = mcast.Flood
	case "drop":
		c.Groups.Unregistered = mcast.Drop
	}
	return c
}
