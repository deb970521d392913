package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"campagnol/internal/lab/scenario"
)

// An MDB is what a kernel's bridge knows about multicast: which of its ports
// want which groups, and behind which there are routers.
type MDB struct {
	Entries []MDBEntry
	Routers []MDBRouter
}

// An MDBEntry says that a port wants a group, from anybody or from one source.
// The kernel keeps an entry per source besides the entry of the group, and
// forwards by the most specific one.
type MDBEntry struct {
	Bridge, Port uint32 // numbers of interfaces; a bridge that is a member itself is its own port
	VID          uint16
	Group        netip.Addr
	GroupMAC     net.HardwareAddr // of a group that is no IP address
	Source       netip.Addr       // zero: from anybody

	Include bool // the filter mode of the group is INCLUDE, else EXCLUDE
	Timer   time.Duration
	Sources []MDBSource // of an entry without Source

	Permanent bool // no timer
	FastLeave bool
	StarEx    bool // the port wants the source because it wants the group from anybody
	Blocked   bool // the port does not want the source
}

// An MDBSource is a source in the entry of a group. In mode EXCLUDE one whose
// timer ran out is not wanted, and the others are wanted until then (RFC 3376
// section 6.2.3).
type MDBSource struct {
	Addr  netip.Addr
	Timer time.Duration
}

// An MDBRouter is a port with a multicast router behind it.
type MDBRouter struct {
	Bridge, Port uint32
	Timer        time.Duration // until it is forgotten; zero if configured
}

// clockTick is the unit of the kernel's times towards programs (USER_HZ).
const clockTick = 10 * time.Millisecond

// Attributes of the kernel's answer, and flags of an entry (linux/if_bridge.h).
const (
	mdbaMDB    = 1
	mdbaRouter = 2

	mdbaEntry     = 1 // in mdbaMDB
	mdbaEntryInfo = 1 // in mdbaEntry

	mdbaEntryTimer     = 1 // in mdbaEntryInfo, behind the fixed part
	mdbaEntrySources   = 2
	mdbaEntryMode      = 3
	mdbaEntrySource    = 4
	mdbaSourceEntry    = 1 // in mdbaEntrySources
	mdbaSourceAddress  = 1 // in mdbaSourceEntry
	mdbaSourceTimer    = 2
	mdbaRouterPort     = 1 // in mdbaRouter
	mdbaRouterTimer    = 1 // in mdbaRouterPort, behind the number
	mdbFlagFastLeave   = 1 << 1
	mdbFlagStarExclude = 1 << 2
	mdbFlagBlocked     = 1 << 3

	mdbModeInclude = 1
)

// Sizes of the fixed parts: struct br_port_msg and struct br_mdb_entry.
const (
	mdbHeaderSize = 8
	mdbEntrySize  = 28
)

// errMDB is for what no kernel answers.
var errMDB = errors.New("malformed multicast database")

// parseMDB adds a message of the kernel's answer to m: a header, then
// attributes. Numbers are in the machine's byte order, addresses are not.
func (m *MDB) parse(b []byte) error {
	if len(b) < mdbHeaderSize {
		return errMDB
	}
	bridge := binary.NativeEndian.Uint32(b[4:])
	return eachAttr(b[mdbHeaderSize:], func(kind uint16, v []byte) error {
		switch kind {
		case mdbaMDB:
			return eachNested(v, mdbaEntry, mdbaEntryInfo, func(v []byte) error {
				e, err := parseMDBEntry(v)
				e.Bridge = bridge
				m.Entries = append(m.Entries, e)
				return err
			})
		case mdbaRouter:
			return eachAttr(v, func(kind uint16, v []byte) error {
				if kind != mdbaRouterPort {
					return nil
				}
				r, err := parseMDBRouter(v)
				r.Bridge = bridge
				m.Routers = append(m.Routers, r)
				return err
			})
		}
		return nil
	})
}

func parseMDBEntry(b []byte) (e MDBEntry, err error) {
	if len(b) < mdbEntrySize {
		return e, errMDB
	}
	e.Port = binary.NativeEndian.Uint32(b)
	e.Permanent = b[4] == 1
	e.FastLeave = b[5]&mdbFlagFastLeave != 0
	e.StarEx = b[5]&mdbFlagStarExclude != 0
	e.Blocked = b[5]&mdbFlagBlocked != 0
	e.VID = binary.NativeEndian.Uint16(b[6:])
	const etherTypeIPv4, etherTypeIPv6 = 0x0800, 0x86dd
	switch binary.BigEndian.Uint16(b[24:]) {
	case etherTypeIPv4:
		e.Group, _ = netip.AddrFromSlice(b[8:12])
	case etherTypeIPv6:
		e.Group, _ = netip.AddrFromSlice(b[8:24])
	default:
		e.GroupMAC = slices.Clone(b[8:14])
	}
	err = eachAttr(b[mdbEntrySize:], func(kind uint16, v []byte) error {
		switch kind {
		case mdbaEntryTimer:
			e.Timer, err = attrTime(v)
		case mdbaEntryMode:
			e.Include = len(v) > 0 && v[0] == mdbModeInclude
		case mdbaEntrySource:
			e.Source, err = attrAddr(v)
		case mdbaEntrySources:
			err = eachNested(v, mdbaSourceEntry, 0, func(v []byte) error {
				s, err := parseMDBSource(v)
				e.Sources = append(e.Sources, s)
				return err
			})
		}
		return err
	})
	return e, err
}

func parseMDBSource(b []byte) (s MDBSource, err error) {
	err = eachAttr(b, func(kind uint16, v []byte) (err error) {
		switch kind {
		case mdbaSourceAddress:
			s.Addr, err = attrAddr(v)
		case mdbaSourceTimer:
			s.Timer, err = attrTime(v)
		}
		return err
	})
	return s, err
}

func parseMDBRouter(b []byte) (r MDBRouter, err error) {
	if len(b) < 4 {
		return r, errMDB
	}
	r.Port = binary.NativeEndian.Uint32(b)
	err = eachAttr(b[4:], func(kind uint16, v []byte) (err error) {
		if kind == mdbaRouterTimer {
			r.Timer, err = attrTime(v)
		}
		return err
	})
	return r, err
}

func attrTime(v []byte) (time.Duration, error) {
	if len(v) < 4 {
		return 0, errMDB
	}
	return time.Duration(binary.NativeEndian.Uint32(v)) * clockTick, nil
}

func attrAddr(v []byte) (netip.Addr, error) {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return a, errMDB
	}
	return a, nil
}

// eachAttr calls fn with each netlink attribute of b, without its header.
func eachAttr(b []byte, fn func(kind uint16, value []byte) error) error {
	const header, typeMask = 4, 0x3fff // two bits of the type are flags
	for len(b) >= header {
		n := int(binary.NativeEndian.Uint16(b))
		if n < header || n > len(b) {
			return errMDB
		}
		if err := fn(binary.NativeEndian.Uint16(b[2:])&typeMask, b[header:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// eachNested calls fn with each attribute of type inner in each attribute of
// type outer; with inner zero, with the latter themselves.
func eachNested(b []byte, outer, inner uint16, fn func(value []byte) error) error {
	return eachAttr(b, func(kind uint16, v []byte) error {
		switch {
		case kind != outer:
			return nil
		case inner == 0:
			return fn(v)
		}
		return eachNested(v, inner, 0, fn)
	})
}

// Of returns the entries of a port for a group: that of the group first, those
// of its sources after.
func (m MDB) Of(port uint32, group netip.Addr) []MDBEntry {
	var all []MDBEntry
	for _, e := range m.Entries {
		if e.Port == port && e.Group == group {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b MDBEntry) int { return a.Source.Compare(b.Source) })
	return all
}

// String describes the entry in a line.
func (e MDBEntry) String() string {
	source, mode, flags := "*", "exclude", ""
	if e.Source.IsValid() {
		source = e.Source.String()
	}
	if e.Include {
		mode = "include"
	}
	for _, f := range []struct {
		set  bool
		name string
	}{{e.Permanent, "permanent"}, {e.FastLeave, "fast_leave"}, {e.StarEx, "added_by_star_ex"}, {e.Blocked, "blocked"}} {
		if f.set {
			flags += " " + f.name
		}
	}
	group := e.Group.String()
	if !e.Group.IsValid() {
		group = e.GroupMAC.String()
	}
	return fmt.Sprintf("port %d vid %d (%s, %s) %s %v %v%s", e.Port, e.VID, source, group, mode, e.Sources, e.Timer, flags)
}

// state returns the entry of a group as a state.
func (e MDBEntry) state() scenario.State {
	s := scenario.State{Mode: scenario.Exclude}
	if e.Include {
		s.Mode = scenario.Include
	}
	for _, source := range e.Sources {
		switch {
		case source.Timer > 0:
			s.Wanted = append(s.Wanted, source.Addr)
		case !e.Include:
			s.Refused = append(s.Refused, source.Addr)
		}
	}
	return s
}
