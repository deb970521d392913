package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// FDBPath is where a client that carries frames tells its [FDB].
const FDBPath = "/v1/fdb"

// MDBPath is where a client that carries frames tells its [MDB].
const MDBPath = "/v1/mdb"

// An Ethernet is the part of a [Status] that is about the switch.
type Ethernet struct {
	HardwareAddress  string            `json:"hardware_address"`
	Mesh             string            `json:"mesh"`
	MembersKnown     int               `json:"members_known"`
	MembersConnected int               `json:"members_connected"`
	MACs             int               `json:"macs"`
	Groups           int               `json:"groups"`
	Drops            map[string]uint64 `json:"drops"`
}

// An FDB is the document that tells where hardware addresses are: the forwarding
// database of the switch. docs/control.md explains its fields.
type FDB struct {
	Version         string            `json:"version"`
	Time            time.Time         `json:"time"`
	Interface       string            `json:"interface"`
	VPNAddress      netip.Addr        `json:"vpn_address"`
	HardwareAddress string            `json:"hardware_address"`
	MACs            []FDBEntry        `json:"macs"`
	Neighbours      []FDBNeighbour    `json:"neighbours"`
	Ports           []FDBPort         `json:"ports"`
	Drops           map[string]uint64 `json:"drops"`
}

// An FDBEntry says where a hardware address is.
type FDBEntry struct {
	MAC           string     `json:"mac"`
	VLAN          uint16     `json:"vlan"`
	AllVLANs      bool       `json:"all_vlans"`
	Local         bool       `json:"local"`
	VPNAddress    netip.Addr `json:"vpn_address,omitzero"`
	Name          string     `json:"name,omitempty"`
	Kind          string     `json:"kind"`
	AgeSeconds    float64    `json:"age_seconds"`
	FrozenSeconds float64    `json:"frozen_seconds,omitzero"`
}

// An FDBNeighbour says which hardware address an IP address has.
type FDBNeighbour struct {
	Address    netip.Addr `json:"address"`
	VLAN       uint16     `json:"vlan"`
	MAC        string     `json:"mac"`
	Local      bool       `json:"local"`
	VPNAddress netip.Addr `json:"vpn_address,omitzero"`
	Name       string     `json:"name,omitempty"`
	Router     bool       `json:"router"`
	AgeSeconds float64    `json:"age_seconds"`
}

// An FDBPort says what has come from this host, or from a member.
type FDBPort struct {
	Local           bool              `json:"local"`
	VPNAddress      netip.Addr        `json:"vpn_address,omitzero"`
	Name            string            `json:"name,omitempty"`
	MACs            int               `json:"macs"`
	UnlearnedFrames uint64            `json:"unlearned_frames"`
	Passed          map[string]uint64 `json:"passed"`
	Drops           map[string]uint64 `json:"drops"`
}

// An MDB is the document that tells who wants which multicast groups.
// docs/control.md explains its fields.
type MDB struct {
	Version    string            `json:"version"`
	Time       time.Time         `json:"time"`
	Interface  string            `json:"interface"`
	VPNAddress netip.Addr        `json:"vpn_address"`
	MaxGroups  int               `json:"max_groups"`
	VLANs      []MDBVLAN         `json:"vlans"`
	Groups     []MDBGroup        `json:"groups"`
	Members    []MDBPeer         `json:"members"`
	Counters   map[string]uint64 `json:"counters"`
}

// An MDBVLAN is who asks about groups in a VLAN, and where routers are.
type MDBVLAN struct {
	VLAN uint16  `json:"vlan"`
	IPv4 MDBSide `json:"ipv4"`
	IPv6 MDBSide `json:"ipv6"`
}

// An MDBSide is a VLAN for one of IPv4 and IPv6.
type MDBSide struct {
	Querier        netip.Addr   `json:"querier,omitzero"`
	QuerierSeconds float64      `json:"querier_seconds,omitzero"`
	QuerierVersion int          `json:"querier_version"`
	Router         bool         `json:"router"`
	RouterSeconds  float64      `json:"router_seconds,omitzero"`
	RouterMembers  []netip.Addr `json:"router_members"`
	Reporting      bool         `json:"reporting"`
}

// An MDBGroup is a group in a VLAN, and who wants it.
type MDBGroup struct {
	Group   netip.Addr  `json:"group"`
	VLAN    uint16      `json:"vlan"`
	Mode    string      `json:"mode,omitempty"`
	Version int         `json:"version,omitzero"`
	Seconds float64     `json:"seconds,omitzero"`
	Sources []MDBSource `json:"sources"`
	Hosts   []string    `json:"hosts"`
	Members []MDBMember `json:"members"`
}

// An MDBSource is a source of a group, for hosts behind our virtual interface.
type MDBSource struct {
	Address netip.Addr `json:"address"`
	Blocked bool       `json:"blocked"`
	Seconds float64    `json:"seconds,omitzero"`
}

// An MDBMember is a member that wants a group.
type MDBMember struct {
	VPNAddress netip.Addr   `json:"vpn_address"`
	Name       string       `json:"name,omitempty"`
	Mode       string       `json:"mode"`
	Sources    []netip.Addr `json:"sources"`
}

// An MDBPeer is what a member has told about groups.
type MDBPeer struct {
	VPNAddress     netip.Addr `json:"vpn_address"`
	Name           string     `json:"name,omitempty"`
	Groups         int        `json:"groups"`
	Refused        uint64     `json:"refused"`
	GetsAll        bool       `json:"gets_all"`
	PendingUpdates int        `json:"pending_updates"`
}

// FDB asks a client where hardware addresses are. It returns the document as it was
// sent, too.
func (c *Client) FDB(ctx context.Context) (*FDB, []byte, error) {
	f := new(FDB)
	body, err := c.document(ctx, FDBPath, f, func() bool { return f.Version != "" && !f.Time.IsZero() })
	if err != nil {
		return nil, nil, err
	}
	return f, body, nil
}

// MDB asks a client who wants which multicast groups. It returns the document as it
// was sent, too.
func (c *Client) MDB(ctx context.Context) (*MDB, []byte, error) {
	m := new(MDB)
	body, err := c.document(ctx, MDBPath, m, func() bool { return m.Version != "" && !m.Time.IsZero() })
	if err != nil {
		return nil, nil, err
	}
	return m, body, nil
}

// document asks for the document at a path of the server. whole reports whether it
// has what it must have.
func (c *Client) document(ctx context.Context, path string, doc any, whole func() bool) ([]byte, error) {
	return c.documentWithin(ctx, path, askTime, doc, whole)
}

// documentWithin is document with another time for the answer.
func (c *Client) documentWithin(ctx context.Context, path string, limit time.Duration, doc any, whole func() bool) ([]byte, error) {
	body, program, err := c.ask(ctx, http.MethodGet, path, limit)
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(body, doc); err == nil && !whole() {
		err = errors.New("version or time is missing")
	}
	if err != nil {
		return nil, c.strange(program, err)
	}
	return body, nil
}
