package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/tunnel/l2"
	"campagnol/tunnel/l2/ether"
	"campagnol/tunnel/l2/mcast"
)

// sampleMDB is the document of a client with everything that there can be.
func sampleMDB() *control.MDB {
	bob, source := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.9")
	film, all6 := netip.MustParseAddr("239.1.2.3"), netip.MustParseAddr("ff05::1:3")
	return &control.MDB{
		Version: "1.0.0", Time: noon, Interface: "tap0", VPNAddress: netip.MustParseAddr("10.9.0.1"), MaxGroups: 1024,
		VLANs: []control.MDBVLAN{{
			IPv4: control.MDBSide{Querier: netip.MustParseAddr("192.168.1.1"), QuerierSeconds: 200, QuerierVersion: 2, Router: true, RouterSeconds: 250,
				RouterMembers: []netip.Addr{bob}, Reporting: true},
			IPv6: control.MDBSide{QuerierVersion: 2, Router: true},
		}},
		Groups: []control.MDBGroup{
			{Group: film, Mode: "exclude", Version: 2, Seconds: 255.5, Hosts: []string{"52:54:00:00:00:01"},
				Sources: []control.MDBSource{{Address: source, Blocked: true}},
				Members: []control.MDBMember{{VPNAddress: bob, Name: "bob", Mode: "include", Sources: []netip.Addr{source}}}},
			{Group: film, VLAN: 7, Members: []control.MDBMember{{VPNAddress: bob, Mode: "exclude"}}},
			{Group: all6, Mode: "include", Version: 2, Sources: []control.MDBSource{{Address: netip.MustParseAddr("fd00::9"), Seconds: 9}}},
		},
		Members: []control.MDBPeer{
			{VPNAddress: bob, Name: "bob", Groups: 2, Refused: 1, PendingUpdates: 3},
			{VPNAddress: netip.MustParseAddr("10.9.0.3"), GetsAll: true},
		},
		Counters: map[string]uint64{"reports": 4, "refused": 0, "updates_in": 2},
	}
}

const sampleMDBText = `tap0 of 10.9.0.1

GROUP      VLAN  WANTED BY         FROM              ENDS IN  VERSION  HOSTS
239.1.2.3  -     this host         all but 10.9.0.9  4m15s    IGMPv2   52:54:00:00:00:01
239.1.2.3  -     10.9.0.2 ("bob")  10.9.0.9          -        -        -
239.1.2.3  7     10.9.0.2          all               -        -        -
ff05::1:3  -     this host         fd00::9 9s        -        MLDv2    -

queriers and routers:
VLAN  IP    QUERIER                VERSION  ROUTERS                        REPORTED
-     IPv4  192.168.1.1 for 3m20s  2        this host for 4m10s, 10.9.0.2  what members want
-     IPv6  this client            2        this host                      -

members:
WHO               GROUPS  REFUSED  UPDATES ON THE WAY  GETS
10.9.0.2 ("bob")  2       1        3                   what it wants
10.9.0.3          0       0        0                   everything: it has not told yet what it wants

counted: reports 4, updates_in 2
`

func TestMDBText(t *testing.T) {
	if got := mdbText(sampleMDB()); got != sampleMDBText {
		t.Errorf("got\n%s\nwant\n%s", got, sampleMDBText)
	}
	const want = "tap1 of 10.9.0.7\n\nnobody wants a group\n\nqueriers and routers:\nVLAN  IP  QUERIER  VERSION  ROUTERS  REPORTED\n"
	if got := mdbText(&control.MDB{Interface: "tap1", VPNAddress: netip.MustParseAddr("10.9.0.7")}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestFDBDocument: the tables of the client in the words of the document.
func TestFDBDocument(t *testing.T) {
	bob := netip.MustParseAddr("10.9.0.2")
	members := map[l2.Port]client.Member{1: {VPNAddr: bob, Name: "bob"}}
	got := compact(t, fdbDocument(client.FDB{Members: members, Dump: l2.Dump{
		MACs: []l2.MACEntry{
			{All: true, MAC: 0x02ca_0a09_0001, Kind: l2.Own},
			{VID: ether.VID(7), MAC: 0x5254_0000_0002, Port: 1, Age: 1500 * time.Millisecond, Frozen: time.Second},
		},
		Neighbours: []l2.NeighbourEntry{{VID: 7, IP: bob, MAC: 0x5254_0000_0002, Port: 1, Router: true, Age: 2 * time.Second}},
		Ports:      []l2.PortEntry{{MACs: 1, Passed: map[string]uint64{"unicast": 2}}, {Port: 1, Unlearned: 3, Drops: map[string]uint64{"vlan": 4}}},
		Drops:      map[string]uint64{"vlan": 5},
	}}))
	const want = `{"version":"","time":"0001-01-01T00:00:00Z","interface":"","vpn_address":"","hardware_address":"",` +
		`"macs":[{"mac":"02:ca:0a:09:00:01","vlan":0,"all_vlans":true,"local":true,"kind":"own","age_seconds":0},` +
		`{"mac":"52:54:00:00:00:02","vlan":7,"all_vlans":false,"local":false,"vpn_address":"10.9.0.2","name":"bob","kind":"learned","age_seconds":1.5,"frozen_seconds":1}],` +
		`"neighbours":[{"address":"10.9.0.2","vlan":7,"mac":"52:54:00:00:00:02","local":false,"vpn_address":"10.9.0.2","name":"bob","router":true,"age_seconds":2}],` +
		`"ports":[{"local":true,"macs":1,"unlearned_frames":0,"passed":{"unicast":2},"drops":null},` +
		`{"local":false,"vpn_address":"10.9.0.2","name":"bob","macs":0,"unlearned_frames":3,"passed":null,"drops":{"vlan":4}}],"drops":{"vlan":5}}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMDBDocument: likewise, for groups.
func TestMDBDocument(t *testing.T) {
	bob, group, source := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("239.1.2.3"), netip.MustParseAddr("10.9.0.9")
	got := compact(t, mdbDocument(client.MDB{Limit: 7, Members: map[l2.Port]client.Member{1: {VPNAddr: bob, Name: "bob"}}, Dump: mcast.Dump{
		VLANs: []mcast.DumpVLAN{{VID: 7, IPv4: mcast.DumpSide{Querier: source, QuerierFor: time.Second, Version: 3, Routers: []uint32{1}, Reporting: true},
			IPv6: mcast.DumpSide{Version: 2, Router: true, RouterFor: time.Minute}}},
		Groups: []mcast.DumpGroup{{VID: 7, Group: group, Mode: "include", Version: 3, Sources: []mcast.DumpSource{{Addr: source, For: time.Second}},
			Hosts: []string{"52:54:00:00:00:01"}, Peers: []mcast.DumpMember{{Port: 1, Mode: "exclude"}}}},
		Peers: []mcast.DumpPeer{{Port: 1, Groups: 1, Refused: 2, Flooded: true, Pending: 3}},
		Stats: mcast.Stats{Reports: 1},
	}}))
	const want = `{"version":"","time":"0001-01-01T00:00:00Z","interface":"","vpn_address":"","max_groups":7,` +
		`"vlans":[{"vlan":7,"ipv4":{"querier":"10.9.0.9","querier_seconds":1,"querier_version":3,"router":false,"router_members":["10.9.0.2"],"reporting":true},` +
		`"ipv6":{"querier_version":2,"router":true,"router_seconds":60,"router_members":[],"reporting":false}}],` +
		`"groups":[{"group":"239.1.2.3","vlan":7,"mode":"include","version":3,"sources":[{"address":"10.9.0.9","blocked":false,"seconds":1}],` +
		`"hosts":["52:54:00:00:00:01"],"members":[{"vpn_address":"10.9.0.2","name":"bob","mode":"exclude","sources":[]}]}],` +
		`"members":[{"vpn_address":"10.9.0.2","name":"bob","groups":1,"refused":2,"gets_all":true,"pending_updates":3}],"counters":{"reports":1}}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := compact(t, mdbDocument(client.MDB{})), `{"version":"","time":"0001-01-01T00:00:00Z","interface":"","vpn_address":"","max_groups":0,`+
		`"vlans":[],"groups":[],"members":[],"counters":{}}`; got != want {
		t.Errorf("nothing becomes\n%s\nwant\n%s", got, want)
	}
}

// TestStatusEthernet: what the status says of the switch.
func TestStatusEthernet(t *testing.T) {
	s := sampleStatus()
	s.Mode = "tap"
	s.Ethernet = ethernetDocument(&client.EthernetStatus{
		MAC: 0x02ca_0a09_0001, FullMesh: true, Known: 3, Connected: 2, MACs: 12, Groups: 4, Drops: map[string]uint64{"vlan": 5},
	})
	for _, c := range []struct {
		edit func()
		want string
	}{
		{func() {}, "carries Ethernet frames (mode = tap) from 02:ca:0a:09:00:01; connected to 2 of 3 other members that are there (mesh = full); " +
			"12 hardware addresses learned, 4 multicast groups\n"},
		{func() {}, "\n  of that, by the switch: vlan 5\n"},
		{func() { s.Ethernet.Mesh = "demand" }, "connected to 2 members, as they are talked to (mesh = demand)"},
	} {
		c.edit()
		if got := statusText(s, nil, 0); !strings.Contains(got, c.want) {
			t.Errorf("%s\nis missing in\n%s", c.want, got)
		}
	}
	s.Mode, s.Ethernet = "tun", ethernetDocument(nil)
	if got := statusText(s, nil, 0); got != sampleText {
		t.Errorf("of a client with packets:\n%s\nwant\n%s", got, sampleText)
	}
}
