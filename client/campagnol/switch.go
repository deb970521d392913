package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/internal/human"
	"campagnol/internal/version"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/mcast"
)

// fdb answers a request for the table of hardware addresses.
func (n *node) fdb(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	f, err := v.client.FDB(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	d := fdbDocument(f)
	d.Version, d.Time, d.Interface, d.VPNAddress = version.String(), time.Now().UTC(), v.device.Name(), v.cfg.VPNIP
	d.HardwareAddress = macOf(v.cfg).String()
	return d, nil
}

// mdb answers a request for the table of multicast groups.
func (n *node) mdb(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	m, err := v.client.MDB(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	d := mdbDocument(m)
	d.Version, d.Time, d.Interface, d.VPNAddress = version.String(), time.Now().UTC(), v.device.Name(), v.cfg.VPNIP
	return d, nil
}

// unanswered returns what a request is told that the client has not answered with
// what was asked for.
func unanswered(err error) error {
	if errors.Is(err, client.ErrNoFrames) {
		return &control.Error{Status: http.StatusConflict, Err: err,
			Text:   "this client carries IP packets (mode = tun), so that it has no tables of hardware addresses and groups",
			Advice: "\"campagnol status\" shows its peers; with \"mode = tap\" in [NETWORK] of all members the VPN carries Ethernet frames"}
	}
	return &control.Error{Status: http.StatusServiceUnavailable, Err: err,
		Text: "the client is just being started or stopped", Advice: "ask again in a moment"}
}

// ethernetDocument returns what the status says of the switch; zero: there is none.
func ethernetDocument(e *client.EthernetStatus) control.Ethernet {
	if e == nil {
		return control.Ethernet{}
	}
	mesh := "demand"
	if e.FullMesh {
		mesh = "full"
	}
	return control.Ethernet{
		HardwareAddress: e.MAC.String(), Mesh: mesh, MembersKnown: e.Known, MembersConnected: e.Connected,
		MACs: e.MACs, Groups: e.Groups, Drops: e.Drops,
	}
}

// fdbDocument returns what the control socket tells of hardware addresses.
func fdbDocument(f client.FDB) *control.FDB {
	d := &control.FDB{
		MACs:       make([]control.FDBEntry, len(f.MACs)),
		Neighbours: make([]control.FDBNeighbour, len(f.Neighbours)),
		Ports:      make([]control.FDBPort, len(f.Ports)),
		Drops:      f.Drops,
	}
	for i, e := range f.MACs {
		at := f.Members[e.Port]
		d.MACs[i] = control.FDBEntry{
			MAC: e.MAC.String(), VLAN: uint16(e.VID), AllVLANs: e.All, Local: e.Port == l2.TAP, VPNAddress: at.VPNAddr, Name: at.Name,
			Kind: e.Kind.String(), AgeSeconds: e.Age.Seconds(), FrozenSeconds: e.Frozen.Seconds(),
		}
	}
	for i, e := range f.Neighbours {
		at := f.Members[e.Port]
		d.Neighbours[i] = control.FDBNeighbour{
			Address: e.IP, VLAN: uint16(e.VID), MAC: e.MAC.String(), Local: e.Port == l2.TAP, VPNAddress: at.VPNAddr, Name: at.Name,
			Router: e.Router, AgeSeconds: e.Age.Seconds(),
		}
	}
	for i, e := range f.Ports {
		at := f.Members[e.Port]
		d.Ports[i] = control.FDBPort{
			Local: e.Port == l2.TAP, VPNAddress: at.VPNAddr, Name: at.Name,
			MACs: e.MACs, UnlearnedFrames: e.Unlearned, Passed: e.Passed, Drops: e.Drops,
		}
	}
	return d
}

// mdbDocument returns what the control socket tells of multicast groups.
func mdbDocument(m client.MDB) *control.MDB {
	d := &control.MDB{
		MaxGroups: m.Limit,
		VLANs:     make([]control.MDBVLAN, len(m.VLANs)),
		Groups:    make([]control.MDBGroup, len(m.Groups)),
		Members:   make([]control.MDBPeer, len(m.Peers)),
		Counters:  groupCounters(&m.Stats),
	}
	for i, v := range m.VLANs {
		d.VLANs[i] = control.MDBVLAN{VLAN: v.VID, IPv4: sideDocument(v.IPv4, m.Members), IPv6: sideDocument(v.IPv6, m.Members)}
	}
	for i, g := range m.Groups {
		d.Groups[i] = groupDocument(g, m.Members)
	}
	for i, p := range m.Peers {
		at := m.Members[p.Port]
		d.Members[i] = control.MDBPeer{
			VPNAddress: at.VPNAddr, Name: at.Name, Groups: p.Groups, Refused: p.Refused, GetsAll: p.Flooded, PendingUpdates: p.Pending,
		}
	}
	return d
}

func sideDocument(s mcast.DumpSide, members map[l2.Port]client.Member) control.MDBSide {
	d := control.MDBSide{
		Querier: s.Querier, QuerierSeconds: s.QuerierFor.Seconds(), QuerierVersion: int(s.Version),
		Router: s.Router, RouterSeconds: s.RouterFor.Seconds(), RouterMembers: []netip.Addr{}, Reporting: s.Reporting,
	}
	for _, p := range s.Routers {
		d.RouterMembers = append(d.RouterMembers, members[p].VPNAddr)
	}
	return d
}

func groupDocument(g mcast.DumpGroup, members map[l2.Port]client.Member) control.MDBGroup {
	d := control.MDBGroup{
		Group: g.Group, VLAN: g.VID, Mode: g.Mode, Version: int(g.Version), Seconds: g.For.Seconds(),
		Sources: make([]control.MDBSource, len(g.Sources)), Hosts: append([]string{}, g.Hosts...), Members: make([]control.MDBMember, len(g.Peers)),
	}
	for i, s := range g.Sources {
		d.Sources[i] = control.MDBSource{Address: s.Addr, Blocked: s.Blocked, Seconds: s.For.Seconds()}
	}
	for i, p := range g.Peers {
		at := members[p.Port]
		d.Members[i] = control.MDBMember{VPNAddress: at.VPNAddr, Name: at.Name, Mode: p.Mode, Sources: append([]netip.Addr{}, p.Sources...)}
	}
	return d
}

// groupCounters returns what has happened about groups, by name; docs/control.md
// explains the names.
func groupCounters(s *mcast.Stats) map[string]uint64 {
	return occurred(map[string]uint64{
		"reports": s.Reports, "queries": s.Queries, "router_messages": s.Routers,
		"malformed": s.Malformed, "checksum": s.Checksum, "refused": s.Refused, "member_refused": s.PeerRefused,
		"updates_in": s.UpdatesIn, "updates_out": s.UpdatesOut, "updates_bad": s.UpdatesBad, "updates_again": s.UpdatesAgain,
	})
}

// counterText returns counters in a line, in order of their names.
func counterText(counters map[string]uint64) string {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		if n := counters[name]; n > 0 {
			if len(b) > 0 {
				b = append(b, ", "...)
			}
			b = append(b, reasonText(name, n)...)
		}
	}
	return string(b)
}

// statusEthernet says how the switch is, of a client that has one.
func statusEthernet(b *strings.Builder, s *control.Status, width int) {
	e := &s.Ethernet
	if s.Mode != conf.ModeTAP.String() {
		return
	}
	members := fmt.Sprintf("connected to %d members, as they are talked to (mesh = demand)", e.MembersConnected)
	if e.Mesh == "full" {
		members = fmt.Sprintf("connected to %d of %d other members that are there (mesh = full)", e.MembersConnected, e.MembersKnown)
	}
	wrap(b, fmt.Sprintf("carries Ethernet frames (mode = tap) from %s; %s; %d hardware addresses learned, %d multicast groups",
		human.OrDash(e.HardwareAddress), members, e.MACs, e.Groups), "", "  ", width)
}
