package mcast

import (
	"net/netip"
	"time"
)

// A MAC is an Ethernet address.
type MAC = [6]byte

// A Policy says where packets for groups go that nobody has joined.
type Policy uint8

// The policies.
const (
	// Routers: to the nodes that have a multicast router.
	Routers Policy = iota
	// Flood: to all nodes.
	Flood
	// Drop: nowhere.
	Drop
)

// Config is how a [Snooper] works. Zero means the default. It must not be changed
// after it has been passed on.
type Config struct {
	// MAC is the address of the TAP's node, from which queries come.
	MAC MAC

	Robustness       int           // packets that may be lost, plus one; 2 (RFC 3376 section 8.1)
	QueryInterval    time.Duration // between general queries; 125 s (section 8.2)
	ResponseInterval time.Duration // in which hosts answer them; 10 s (section 8.3)
	LastMember       time.Duration // in which hosts answer to specific ones; 1 s (section 8.8)
	LastMemberCount  int           // of specific queries before a group ends; Robustness (section 8.9)

	// FastLeave ends a membership without asking, if all its hosts are known and
	// the last of them has left. It works for hosts of the newest versions.
	FastLeave bool
	// Mrouter says that there is a multicast router behind the TAP, heard or not.
	Mrouter bool
	// Report tells what the mesh wants to the TAP even if nobody there asks for it.
	Report bool
	// Unregistered is where packets go that nobody has joined.
	Unregistered Policy
	// VLANs are those to query from the beginning on; others are learned.
	VLANs []uint16

	MaxGroups  int // that our hosts may join, and each peer; 1,024
	MaxSources int // of a group at our TAP; 64, which is also the most
	MaxHosts   int // of a group that are known one by one; 64
	MaxQueries int // groups that are asked about at the same time; 256
	MaxVLANs   int // 256

	// Seed makes the delays of answers differ between nodes.
	Seed uint64
}

func orElse[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.Robustness = min(orElse(c.Robustness, 2), 7)
	c.QueryInterval = max(orElse(c.QueryInterval, 125*time.Second), time.Second)
	c.ResponseInterval = min(orElse(c.ResponseInterval, 10*time.Second), c.QueryInterval)
	c.LastMember = orElse(c.LastMember, time.Second)
	c.LastMemberCount = orElse(c.LastMemberCount, c.Robustness)
	c.MaxGroups = orElse(c.MaxGroups, 1024)
	c.MaxSources = min(orElse(c.MaxSources, maxEntrySources), maxEntrySources)
	c.MaxHosts = orElse(c.MaxHosts, 64)
	c.MaxQueries = orElse(c.MaxQueries, 256)
	c.MaxVLANs = orElse(c.MaxVLANs, 256)
	return c
}

// membership is how long a report is good for (RFC 3376 section 8.4).
func (c *Config) membership() time.Duration {
	return time.Duration(c.Robustness)*c.QueryInterval + c.ResponseInterval
}

// leaveTime is how long hosts have to say that they stay (RFC 3376 section 8.10).
func (c *Config) leaveTime() time.Duration {
	return time.Duration(c.LastMemberCount) * c.LastMember
}

// linkLocal is the address from which we query in MLD. It is above those that
// routers have, so that a router wins every election (RFC 3810 section 7.6.2).
func (c *Config) linkLocal() netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: 0xff, 9: 0xff}
	copy(a[10:], c.MAC[:])
	return netip.AddrFrom16(a)
}

// An OutKind says what is to be done.
type OutKind uint8

// The kinds.
const (
	ToTAP   OutKind = iota + 1 // write Packet to the TAP, in VID, to Dst
	ToPeer                     // send Packet to the peer Port
	Happens                    // log Event
)

// An Out is what a [Snooper] wants done. Who does it owns it.
type Out struct {
	Kind   OutKind
	VID    uint16 // of the TAP's frame; 0: without a tag
	Dst    MAC    // likewise; its source is Config.MAC
	Packet []byte // an IP packet, or an update
	Port   uint32
	Event  Event
}

// An EventKind says what has happened.
type EventKind uint8

// The kinds.
const (
	// QuerierHere and QuerierGone: a querier of its own is on the link behind
	// our TAP, or not any more.
	QuerierHere EventKind = iota + 1
	QuerierGone
	// RouterHere and RouterGone: likewise, a multicast router.
	RouterHere
	RouterGone
	// RefusedGroup: a host joined more than MaxGroups groups, and gets nothing of
	// this one; RefusedSource: more sources of it than MaxSources.
	RefusedGroup
	RefusedSource
	// RefusedHost: a group has so many hosts that its leaves are not fast.
	RefusedHost
	// RefusedQuery: so much is asked that somebody who has left is fed on.
	RefusedQuery
	// RefusedVLAN: there are too many VLANs.
	RefusedVLAN
	// RefusedPeer: a peer wants more than MaxGroups groups.
	RefusedPeer
	// BadUpdate: a peer sends what we do not understand.
	BadUpdate
)

var eventNames = [...]string{QuerierHere: "querier here", QuerierGone: "querier gone", RouterHere: "router here",
	RouterGone: "router gone", RefusedGroup: "group refused", RefusedSource: "source refused", RefusedHost: "host not tracked",
	RefusedQuery: "query refused", RefusedVLAN: "VLAN refused", RefusedPeer: "group of peer refused", BadUpdate: "bad update"}

func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return "unknown"
}

// An Event is something that somebody should know. One kind of them comes once a
// second at most, those of refusals once a minute; [Stats] counts the latter all.
type Event struct {
	Kind  EventKind
	VID   uint16
	Group netip.Addr
	Addr  netip.Addr // of a querier or router
	MAC   MAC        // of a host
	Port  uint32     // of a peer
}

// quiet is how long a refusal that was told is not told again.
const quiet = time.Minute

// Stats count what has happened.
type Stats struct {
	Reports, Queries, Routers uint64 // messages of hosts, queriers and routers at the TAP
	Malformed, Checksum       uint64 // messages that nobody obeys
	Refused                   uint64 // groups, sources, queries and VLANs of our hosts
	PeerRefused               uint64 // groups and sources of peers
	UpdatesIn, UpdatesOut     uint64
	UpdatesBad, UpdatesAgain  uint64 // malformed ones; repeated ones
}
