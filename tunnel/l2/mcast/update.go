package mcast

import (
	"errors"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
)

// Limits of an update.
const (
	// MaxUpdate is the length of the longest update, in bytes.
	MaxUpdate = 1200

	// maxEntrySources is the number of sources in one entry: an entry of IPv6 with
	// as many fits an update with all its other fields.
	maxEntrySources = 64
)

// updateVersion is the version of the updates of this package.
const updateVersion = 1

// Tags of the fields of an update.
const (
	tagData   = 1
	tagAck    = 2
	tagEntry  = 3
	tagRouter = 4
	tagQuery  = 5
)

// Flags of tagData and tagAck.
const (
	flagComplete = 1
	flagSettling = 2
	flagGap      = 1
)

// A mode says what an entry wants of a group.
type mode uint8

const (
	gone    mode = 0 // nothing any more
	include mode = 1 // the sources, and no other
	exclude mode = 2 // all but the sources
)

// A key is a group in a VLAN. VLAN 0 is that of frames without a tag.
type key struct {
	vid   uint16
	group netip.Addr
}

// compare is an order of keys.
func (k key) compare(o key) int {
	if k.vid != o.vid {
		return int(k.vid) - int(o.vid)
	}
	return k.group.Compare(o.group)
}

// allVLANs is the VLAN of routers that belong to all of them.
const allVLANs uint16 = 0xffff

// maxVID is the last VLAN (IEEE 802.1Q section 9.6).
const maxVID = 4094

// An entry is what a node wants of a group.
type entry struct {
	key
	mode    mode
	sources []netip.Addr // sorted, each once
}

// Families of addresses, as bits.
const (
	family4 = 1
	family6 = 2
)

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return family4
	}
	return family6
}

// A router says for which families a node has multicast routers in a VLAN; 0: for
// none any more.
type router struct {
	vid      uint16
	families uint8
}

// A question asks whether somebody listens to a group, or to some of its sources.
type question struct {
	key
	sources []netip.Addr
}

// An update is a message between two nodes.
type update struct {
	stream   uint64
	seq      uint32 // 0: there is only an acknowledgement or a question
	complete bool   // everything has been said once
	settling bool   // the sender does not know its hosts yet

	ackStream uint64
	ackNext   uint32 // number of the update that is expected next; 0: no acknowledgement
	gap       bool   // because a later one has come

	entries   []entry
	routers   []router
	questions []question
}

// Errors of updates.
var (
	errVersion   = errors.New("mcast: update of another version")
	errMalformed = errors.New("mcast: malformed update")
)

// append appends the update in its form on the wire.
func (u *update) append(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	w.AddUint8(updateVersion)
	if u.seq != 0 {
		field(w, tagData, func(w *cryptobyte.Builder) {
			w.AddUint64(u.stream)
			w.AddUint32(u.seq)
			w.AddUint8(flag(u.complete, flagComplete) | flag(u.settling, flagSettling))
		})
	}
	if u.ackNext != 0 {
		field(w, tagAck, func(w *cryptobyte.Builder) {
			w.AddUint64(u.ackStream)
			w.AddUint32(u.ackNext)
			w.AddUint8(flag(u.gap, flagGap))
		})
	}
	for _, e := range u.entries {
		field(w, tagEntry, func(w *cryptobyte.Builder) {
			w.AddUint16(e.vid)
			w.AddUint8(uint8(e.mode))
			addGroup(w, e.group, e.sources)
		})
	}
	for _, r := range u.routers {
		field(w, tagRouter, func(w *cryptobyte.Builder) {
			w.AddUint16(r.vid)
			w.AddUint8(r.families)
		})
	}
	for _, q := range u.questions {
		field(w, tagQuery, func(w *cryptobyte.Builder) {
			w.AddUint16(q.vid)
			addGroup(w, q.group, q.sources)
		})
	}
	return w.BytesOrPanic() // fields are far shorter than their lengths can say
}

func flag(on bool, f uint8) uint8 {
	if on {
		return f
	}
	return 0
}

func field(w *cryptobyte.Builder, tag uint8, value func(*cryptobyte.Builder)) {
	w.AddUint8(tag)
	w.AddUint16LengthPrefixed(value)
}

func addGroup(w *cryptobyte.Builder, group netip.Addr, sources []netip.Addr) {
	w.AddUint8LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(group.AsSlice()) })
	for _, s := range sources {
		w.AddBytes(s.AsSlice())
	}
}

// Lengths of fields, in bytes.
const (
	versionSize = 1
	fieldSize   = 3
	dataSize    = fieldSize + 13
	ackSize     = fieldSize + 13
	routerSize  = fieldSize + 3
)

// size returns the length of e on the wire.
func (e *entry) size() int {
	n := len(e.group.AsSlice())
	return fieldSize + 2 + 1 + 1 + n*(1+len(e.sources))
}

// parseUpdate reads an update. It copies what it keeps.
func parseUpdate(b []byte) (*update, error) {
	if len(b) > MaxUpdate {
		return nil, errMalformed
	}
	s := cryptobyte.String(b)
	var version uint8
	if !s.ReadUint8(&version) {
		return nil, errMalformed
	}
	if version != updateVersion {
		return nil, errVersion
	}
	u := &update{}
	for !s.Empty() {
		var tag uint8
		var value cryptobyte.String
		if !s.ReadUint8(&tag) || !s.ReadUint16LengthPrefixed(&value) || !u.field(tag, value) {
			return nil, errMalformed
		}
	}
	if u.seq == 0 && (u.entries != nil || u.routers != nil) {
		return nil, errMalformed // what is to be kept has a number
	}
	return u, nil
}

// field reads one field. What follows what we know of it is for later versions.
func (u *update) field(tag uint8, v cryptobyte.String) bool {
	var flags uint8
	switch tag {
	case tagData:
		ok := v.ReadUint64(&u.stream) && v.ReadUint32(&u.seq) && v.ReadUint8(&flags)
		u.complete, u.settling = flags&flagComplete != 0, flags&flagSettling != 0
		return ok && u.seq != 0 && u.stream != 0
	case tagAck:
		ok := v.ReadUint64(&u.ackStream) && v.ReadUint32(&u.ackNext) && v.ReadUint8(&flags)
		u.gap = flags&flagGap != 0
		return ok && u.ackNext != 0
	case tagEntry:
		var e entry
		if !v.ReadUint16(&e.vid) || !v.ReadUint8((*uint8)(&e.mode)) || e.vid > maxVID || e.mode > exclude {
			return false
		}
		var ok bool
		e.group, e.sources, ok = readGroup(&v)
		u.entries = append(u.entries, e)
		return ok && (e.mode != include || len(e.sources) > 0)
	case tagRouter:
		var r router
		ok := v.ReadUint16(&r.vid) && v.ReadUint8(&r.families)
		r.families &= family4 | family6
		u.routers = append(u.routers, r)
		return ok && (r.vid <= maxVID || r.vid == allVLANs)
	case tagQuery:
		var q question
		var ok bool
		if !v.ReadUint16(&q.vid) || q.vid > maxVID {
			return false
		}
		q.group, q.sources, ok = readGroup(&v)
		u.questions = append(u.questions, q)
		return ok
	}
	return true
}

// readGroup reads a group and sources of its family, to the end of the field.
func readGroup(v *cryptobyte.String) (group netip.Addr, sources []netip.Addr, ok bool) {
	var b cryptobyte.String
	if !v.ReadUint8LengthPrefixed(&b) {
		return
	}
	if group, ok = netip.AddrFromSlice(b); !ok || !group.IsMulticast() || len(*v)%len(b) != 0 {
		return group, nil, false
	}
	if len(*v)/len(b) > maxEntrySources {
		return group, nil, false
	}
	for !v.Empty() {
		var raw []byte
		v.ReadBytes(&raw, len(b))
		a, _ := netip.AddrFromSlice(raw)
		if a.IsMulticast() || a.IsUnspecified() {
			return group, nil, false
		}
		sources = append(sources, a)
	}
	return group, normal(sources), true
}
