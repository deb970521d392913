package mcast

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Dump is what a node knows about multicast, for people and programs.
type Dump struct {
	VLANs  []DumpVLAN  `json:"vlans"`
	Groups []DumpGroup `json:"groups"`
	Peers  []DumpPeer  `json:"peers"`
	Stats  Stats       `json:"stats"`
}

// A DumpVLAN is one VLAN at our TAP.
type DumpVLAN struct {
	VID  uint16   `json:"vid"`
	IPv4 DumpSide `json:"ipv4"`
	IPv6 DumpSide `json:"ipv6"`
}

// A DumpSide is one VLAN at our TAP, for one of IPv4 and IPv6.
type DumpSide struct {
	Querier    netip.Addr    `json:"querier,omitzero"`    // on the link; invalid: we are
	QuerierFor time.Duration `json:"querierFor,omitzero"` // it is believed to be there
	Version    uint8         `json:"version"`             // that it speaks
	Router     bool          `json:"router"`              // a multicast router is there
	RouterFor  time.Duration `json:"routerFor,omitzero"`  // likewise; 0: configured, or none
	Routers    []uint32      `json:"routers,omitempty"`   // peers with routers
	Reporting  bool          `json:"reporting"`           // what peers want is told to the TAP
}

// A DumpGroup is one group in a VLAN.
type DumpGroup struct {
	VID     uint16        `json:"vid"`
	Group   netip.Addr    `json:"group"`
	Mode    string        `json:"mode,omitempty"` // of our hosts: include or exclude; empty: none joined
	Version uint8         `json:"version,omitzero"`
	For     time.Duration `json:"for,omitzero"` // time of the group in exclude mode
	Sources []DumpSource  `json:"sources,omitempty"`
	Hosts   []string      `json:"hosts,omitempty"` // their MAC addresses, of those that are known
	Peers   []DumpMember  `json:"peers,omitempty"`
}

// A DumpSource is a source of a group.
type DumpSource struct {
	Addr    netip.Addr    `json:"addr"`
	For     time.Duration `json:"for,omitzero"`
	Blocked bool          `json:"blocked"`
}

// A DumpMember is a peer that wants a group.
type DumpMember struct {
	Port    uint32       `json:"port"`
	Mode    string       `json:"mode"`
	Sources []netip.Addr `json:"sources,omitempty"`
}

// A DumpPeer is a peer.
type DumpPeer struct {
	Port    uint32 `json:"port"`
	Groups  int    `json:"groups"`
	Refused uint64 `json:"refused"` // of what it wants
	Flooded bool   `json:"flooded"` // it has not told yet what it wants
	Pending int    `json:"pending"` // updates that it has not acknowledged
}

func (m mode) String() string { return [...]string{"", "include", "exclude"}[m] }

// Groups returns how many groups our hosts or peers want.
func (s *Snooper) Groups() int {
	n := len(s.groups)
	for k := range s.mesh {
		if s.groups[k] == nil {
			n++
		}
	}
	return n
}

// MaxGroups returns how many groups our hosts may want, and each peer.
func (s *Snooper) MaxGroups() int { return s.cfg.MaxGroups }

// Dump returns what is known at a time.
func (s *Snooper) Dump(now time.Time) Dump {
	d := Dump{VLANs: []DumpVLAN{}, Groups: []DumpGroup{}, Peers: []DumpPeer{}, Stats: s.stats}
	links := make([]*link, 0, len(s.links))
	for _, l := range s.links {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b *link) int { return comparePorts(a.port, b.port) })
	for _, v := range s.sorted() {
		d.VLANs = append(d.VLANs, DumpVLAN{v.vid, v.sides[0].dump(s, now, links), v.sides[1].dump(s, now, links)})
	}
	keys := sortedKeys(s.groups)
	for k := range s.mesh {
		if s.groups[k] == nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, key.compare)
	for _, k := range keys {
		d.Groups = append(d.Groups, s.dumpGroup(now, k))
	}
	for _, l := range links {
		d.Peers = append(d.Peers, DumpPeer{l.port, len(l.entries), l.refused, l.inDoubt(now), len(l.flight)})
	}
	return d
}

func comparePorts(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (sd *side) dump(s *Snooper, now time.Time, links []*link) DumpSide {
	d := DumpSide{Querier: sd.other.addr, QuerierFor: left(now, sd.other.until), Version: sd.version(now),
		Router: s.cfg.Mrouter || !sd.router.IsZero(), RouterFor: left(now, sd.router), Reporting: sd.proxy.active}
	f := uint8(family6)
	if sd.v4 {
		f = family4
	}
	for _, l := range links {
		if l.routes(sd.vid, f) {
			d.Routers = append(d.Routers, l.port)
		}
	}
	return d
}

func (s *Snooper) dumpGroup(now time.Time, k key) DumpGroup {
	d := DumpGroup{VID: k.vid, Group: k.group}
	if g := s.groups[k]; g != nil {
		d.Mode, d.Version, d.For = g.want().mode.String(), g.version(now), left(now, g.timer)
		for _, a := range union(g.wanted(), g.blocked()) {
			timer := g.sources[a].timer
			d.Sources = append(d.Sources, DumpSource{a, left(now, timer), timer.IsZero()})
		}
		for mac, h := range g.hosts.by {
			if now.Before(h.until) {
				d.Hosts = append(d.Hosts, net.HardwareAddr(mac[:]).String())
			}
		}
		slices.SortFunc(d.Hosts, strings.Compare)
	}
	if m := s.mesh[k]; m != nil {
		for _, x := range m.members {
			d.Peers = append(d.Peers, DumpMember{x.port, x.mode.String(), slices.Clone(x.sources)})
		}
	}
	return d
}

// left returns how long it is until a time.
func left(now, until time.Time) time.Duration {
	if until.After(now) {
		return until.Sub(now)
	}
	return 0
}
