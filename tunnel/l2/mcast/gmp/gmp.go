// Package gmp is the format of the group management protocols: IGMP versions 1
// to 3 (RFC 1112, RFC 2236, RFC 3376) and MLD versions 1 and 2 (RFC 2710, RFC
// 3810), and as much of what multicast routers say as tells that they are there:
// multicast router discovery (RFC 4286), PIM hellos (RFC 7761 section 4.9.2) and
// probes of DVMRP.
//
// Input and output are IP packets. [Classify] is for the data path: it looks at the
// fewest bytes that tell what a packet is for. [Parse] checks everything, accepts any
// bytes, and brings all versions to one form: a report of the older versions, which
// knows no sources, becomes the record of the newest that means the same (RFC 3376
// section 7.3.2, RFC 3810 section 8.3.2).
package gmp

import (
	"errors"
	"net/netip"
	"time"
)

// A Kind says what a message is.
type Kind uint8

// The kinds.
const (
	None       Kind = iota // not a message of these protocols
	Query                  // who listens?
	Report                 // a host listens, or leaves
	RouterHere             // a multicast router is there
	RouterGone             // it is not any more
)

func (k Kind) String() string {
	names := [...]string{"none", "query", "report", "router here", "router gone"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// A RecordType says what a host does about a group (RFC 3376 section 4.2.12).
type RecordType uint8

// The types.
const (
	IsIn  RecordType = 1 // MODE_IS_INCLUDE
	IsEx  RecordType = 2 // MODE_IS_EXCLUDE
	ToIn  RecordType = 3 // CHANGE_TO_INCLUDE_MODE
	ToEx  RecordType = 4 // CHANGE_TO_EXCLUDE_MODE
	Allow RecordType = 5 // ALLOW_NEW_SOURCES
	Block RecordType = 6 // BLOCK_OLD_SOURCES
)

func (t RecordType) String() string {
	names := [...]string{"?", "IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"}
	if int(t) < len(names) {
		return names[t]
	}
	return "?"
}

// A Record is what a host says about one group.
type Record struct {
	Type    RecordType
	Group   netip.Addr
	Sources []netip.Addr
}

// A Message is one message of these protocols.
type Message struct {
	Kind     Kind
	Version  uint8 // of IGMP, 1 to 3, or of MLD, 1 and 2
	Src, Dst netip.Addr

	// Of a query. Group is invalid in a general one.
	Group      netip.Addr
	Sources    []netip.Addr
	MaxResp    time.Duration // 0 in version 1 of IGMP
	Suppress   bool          // the S flag: routers leave their timers alone
	Robustness uint8         // 0: not said
	Interval   time.Duration // between general queries; 0: not said

	// Of a report: Version 1 and 2 of IGMP, and 1 of MLD, have exactly one, of
	// type IsEx, or ToIn for a leave.
	Records []Record

	// Lifetime is how long the router that is here stays so; 0: not said.
	Lifetime time.Duration
}

// Newest reports whether the message is of the newest version: one that knows
// sources.
func (m *Message) Newest() bool { return m.Version >= newest(m.Src.Is4()) }

// newest returns the newest version of IGMP (v4) or MLD.
func newest(v4 bool) uint8 {
	if v4 {
		return 3
	}
	return 2
}

// Why a packet is not a message that anybody should obey.
var (
	ErrOther       = errors.New("not a group management message")
	ErrShort       = errors.New("packet is too short")
	ErrChecksum    = errors.New("wrong checksum")
	ErrHops        = errors.New("TTL or hop limit is not 1")
	ErrRouterAlert = errors.New("no router alert")
	ErrSource      = errors.New("source is not a link-local address")
	ErrGroup       = errors.New("not a multicast address")
	ErrMany        = errors.New("too many records or sources")
	ErrFragment    = errors.New("fragment")
)

// Protocol numbers and types of messages.
const (
	protoHopByHop = 0
	protoIGMP     = 2
	protoICMPv6   = 58
	protoPIM      = 103

	igmpQuery         = 0x11
	igmpV1Report      = 0x12
	igmpDVMRP         = 0x13
	igmpV2Report      = 0x16
	igmpLeave         = 0x17
	igmpV3Report      = 0x22
	igmpAdvertisement = 0x30 // RFC 4286 section 3.2.1
	igmpSolicitation  = 0x31
	igmpTermination   = 0x32

	mldQuery         = 130
	mldV1Report      = 131
	mldDone          = 132
	mldV2Report      = 143
	mldAdvertisement = 151
	mldSolicitation  = 152
	mldTermination   = 153

	dvmrpProbe = 1 // code of igmpDVMRP
	pimHello   = 0x20
)

// Lengths of headers, in bytes.
const (
	headerV4 = 20
	headerV6 = 40
)

// Bounds on one message. No host has reason to come near them: the longest report
// that fits a frame of 1,500 bytes has 184 records.
const (
	maxRecords = 512
	maxSources = 2048 // in all records
)

// A Class is what the data path does with a packet.
type Class uint8

// The classes.
const (
	// Data is forwarded as what it is.
	Data Class = iota
	// Member is for the snooper alone: queries, reports and leaves do not leave
	// the link that they are said on.
	Member
	// Router is for the snooper, and is forwarded too: routers talk to each other.
	Router
)

// Classify says what the data path does with an IP packet. It does not check that
// the message is good: a report with a wrong checksum is nothing to forward either.
// Messages of types that nobody knows are data (RFC 4541 section 2.1.1, rule 5).
func Classify(pkt []byte) Class {
	if len(pkt) < headerV4 {
		return Data
	}
	switch pkt[0] >> 4 {
	case 4:
		n := int(pkt[0]&15) * 4
		if n < headerV4 || len(pkt) <= n {
			return Data
		}
		return classify4(pkt[9], pkt[n:])
	case 6:
		if len(pkt) <= headerV6 {
			return Data
		}
		proto, body := pkt[6], pkt[headerV6:]
		if proto == protoHopByHop {
			n := hopByHopLen(body)
			if n == 0 || len(body) <= n {
				return Data
			}
			proto, body = body[0], body[n:]
		}
		return classify6(proto, body[0])
	}
	return Data
}

func classify4(proto byte, body []byte) Class {
	switch proto {
	case protoIGMP:
		switch body[0] {
		case igmpQuery, igmpV1Report, igmpV2Report, igmpLeave, igmpV3Report:
			return Member
		case igmpDVMRP, igmpAdvertisement, igmpTermination:
			return Router
		}
	case protoPIM:
		if body[0] == pimHello {
			return Router
		}
	}
	return Data
}

func classify6(proto, kind byte) Class {
	switch {
	case proto == protoPIM && kind == pimHello:
		return Router
	case proto != protoICMPv6:
		return Data
	}
	switch kind {
	case mldQuery, mldV1Report, mldDone, mldV2Report:
		return Member
	case mldAdvertisement, mldTermination:
		return Router
	}
	return Data
}

// MAC returns the Ethernet address of a multicast group (RFC 1112 section 6.4, RFC
// 2464 section 7).
func MAC(group netip.Addr) [6]byte {
	if group.Is4() {
		a := group.As4()
		return [6]byte{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return [6]byte{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// Where messages go.
var (
	AllHosts     = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	AllRouters   = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	AllIGMPv3    = netip.AddrFrom4([4]byte{224, 0, 0, 22})
	AllNodes6    = netip.MustParseAddr("ff02::1")
	AllRouters6  = netip.MustParseAddr("ff02::2")
	AllMLDv2     = netip.MustParseAddr("ff02::16")
	unspecified4 = netip.IPv4Unspecified()
	unspecified6 = netip.IPv6Unspecified()
)

// Scope is what is special about a group.
type Scope uint8

// The scopes.
const (
	// Wide is a group that hosts report and snooping is for.
	Wide Scope = iota
	// Link is a group of IPv6 on the link, of which hosts report that they
	// listen (RFC 4541 section 3), and which the link needs to work at all.
	Link
	// Always is one that everybody gets, as not everybody reports it:
	// 224.0.0.0/24 (RFC 4541 section 2.1.2, rule 2) and ff02::1.
	Always
	// Never is one that leaves no host: the scopes 0 and 1 of IPv6 (RFC 4291
	// section 2.7).
	Never
)

// ScopeOf returns the scope of a multicast group.
func ScopeOf(group netip.Addr) Scope {
	if group.Is4() {
		if a := group.As4(); a[0] == 224 && a[1] == 0 && a[2] == 0 {
			return Always
		}
		return Wide
	}
	a := group.As16()
	switch a[1] & 15 {
	case 0, 1:
		return Never
	case 2:
		if group == AllNodes6 {
			return Always
		}
		return Link
	}
	return Wide
}
