package frame

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// A Kind says what a message about membership is.
type Kind uint8

// The kinds of messages.
const (
	NoMessage Kind = iota // not about membership
	Query
	Report
	Leave
)

// String returns the name.
func (k Kind) String() string {
	switch k {
	case Query:
		return "query"
	case Report:
		return "report"
	case Leave:
		return "leave"
	}
	return "no message"
}

// A RecordType says what a record of a report of version 3 means (RFC 3376
// section 4.2.12, RFC 3810 section 5.2.12).
type RecordType uint8

// The types of records, with their names in the state tables of the RFCs.
const (
	IsIn  RecordType = 1 + iota // these sources are wanted
	IsEx                        // all but these sources are wanted
	ToIn                        // from now on these are wanted
	ToEx                        // from now on all but these are wanted
	Allow                       // these are wanted, too
	Block                       // these are not wanted any more
)

// String returns the name in the RFCs.
func (t RecordType) String() string {
	names := [...]string{"", "IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"}
	if int(t) < len(names) && t > 0 {
		return names[t]
	}
	return fmt.Sprintf("record type %d", uint8(t))
}

// A Record is about one group.
type Record struct {
	Type    RecordType
	Group   netip.Addr
	Sources []netip.Addr
}

// A Message is a message of IGMP or MLD; see the package comment.
type Message struct {
	Kind    Kind
	Version uint8      // of IGMP, 1 to 3
	Group   netip.Addr // not with records; the unspecified address in a general query

	// Of queries.
	MaxResponse time.Duration
	Sources     []netip.Addr // version 3
	Suppress    bool         // version 3: the S flag
	Robustness  uint8        // version 3: QRV
	Interval    time.Duration

	Records []Record // of a report of version 3
}

// The types of messages on the wire.
const (
	igmpQuery    = 0x11
	igmpReportV1 = 0x12
	igmpReportV2 = 0x16
	igmpLeave    = 0x17
	igmpReportV3 = 0x22

	mldQuery    = 130
	mldReportV1 = 131
	mldDone     = 132
	mldReportV2 = 143
)

// is6 tells the family from the addresses in the message.
func (m Message) is6() bool {
	if len(m.Records) > 0 {
		return m.Records[0].Group.Is6()
	}
	return m.Group.Is6()
}

// wireType returns the type of the message on the wire.
func (m Message) wireType() byte {
	switch {
	case m.Kind == Query && m.is6():
		return mldQuery
	case m.Kind == Query:
		return igmpQuery
	case m.Kind == Leave && m.is6():
		return mldDone
	case m.Kind == Leave:
		return igmpLeave
	case m.Version == 3 && m.is6():
		return mldReportV2
	case m.Version == 3:
		return igmpReportV3
	case m.is6():
		return mldReportV1
	case m.Version == 1:
		return igmpReportV1
	}
	return igmpReportV2
}

// append adds the message to b, with a checksum of zero.
func (m Message) append(b []byte) []byte {
	switch {
	case m.Kind == Report && m.Version == 3:
		b = append(b, m.wireType(), 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.Records)))
		for _, r := range m.Records {
			b = append(b, byte(r.Type), 0)
			b = binary.BigEndian.AppendUint16(b, uint16(len(r.Sources)))
			b = append(b, r.Group.AsSlice()...)
			b = appendAddrs(b, r.Sources)
		}
		return b
	case m.is6():
		// RFC 3810 section 5.1.3: milliseconds, as a floating-point number
		// from 32768 on, which no experiment needs.
		b = append(b, m.wireType(), 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(min(m.MaxResponse.Milliseconds(), 0x7fff)))
		b = append(b, 0, 0)
	default:
		b = append(b, m.wireType(), byte(min(m.MaxResponse/(100*time.Millisecond), 0x7f)), 0, 0)
	}
	b = append(b, m.Group.AsSlice()...)
	if m.Kind != Query || m.Version < 3 {
		return b
	}
	flags := m.Robustness & 7
	if m.Suppress {
		flags |= 1 << 3
	}
	b = append(b, flags, byte(min(m.Interval/time.Second, 0x7f)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Sources)))
	return appendAddrs(b, m.Sources)
}

func appendAddrs(b []byte, addrs []netip.Addr) []byte {
	for _, a := range addrs {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// destination returns where the message goes by itself: a router reads reports
// of version 3 at an address of their own (RFC 3376 section 4.2.14, RFC 3810
// section 5.2.14), and leaves at that of all routers.
func (m Message) destination() netip.Addr {
	switch {
	case m.Kind == Report && m.Version == 3 && m.is6():
		return allMLDv2
	case m.Kind == Report && m.Version == 3:
		return allIGMPv3
	case m.Kind == Leave && m.is6():
		return allRouters6
	case m.Kind == Leave:
		return allRouters4
	case m.Kind == Query && m.Group.IsUnspecified() && m.is6():
		return allNodes6
	case m.Kind == Query && m.Group.IsUnspecified():
		return allNodes4
	}
	return m.Group
}

// Groups with a meaning of their own.
var (
	allNodes4   = netip.MustParseAddr("224.0.0.1")
	allNodes6   = netip.MustParseAddr("ff02::1")
	allRouters4 = netip.MustParseAddr("224.0.0.2")
	allRouters6 = netip.MustParseAddr("ff02::2")
	allIGMPv3   = netip.MustParseAddr("224.0.0.22")
	allMLDv2    = netip.MustParseAddr("ff02::16")
)
