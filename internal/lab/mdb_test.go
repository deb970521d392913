package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// attr returns a netlink attribute.
func attr(kind uint16, content ...[]byte) []byte {
	n := 4
	for _, c := range content {
		n += len(c)
	}
	b := binary.NativeEndian.AppendUint16(nil, uint16(n))
	b = binary.NativeEndian.AppendUint16(b, kind)
	for _, c := range content {
		b = append(b, c...)
	}
	return append(b, make([]byte, (4-n%4)%4)...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// mdbEntry returns the fixed part of an entry.
func mdbEntry(port uint32, state, flags byte, vid uint16, group []byte, proto uint16) []byte {
	b := append(u32(port), state, flags)
	b = binary.NativeEndian.AppendUint16(b, vid)
	b = append(b, group...)
	b = append(b, make([]byte, 16-len(group))...)
	return append(binary.BigEndian.AppendUint16(b, proto), 0, 0)
}

// mdbMessage is what a kernel tells about a bridge with number 9.
func mdbMessage() []byte {
	g4, g6 := netip.MustParseAddr("239.1.2.3"), netip.MustParseAddr("ff15::1")
	s1, s2 := netip.MustParseAddr("10.0.0.1").AsSlice(), netip.MustParseAddr("10.0.0.2").AsSlice()
	source := func(addr []byte, timer uint32) []byte {
		return attr(mdbaSourceEntry, attr(mdbaSourceAddress, addr), attr(mdbaSourceTimer, u32(timer)))
	}
	const nested = 1 << 15
	b := append(make([]byte, 4), u32(9)...)
	b = append(b, attr(mdbaMDB|nested,
		attr(mdbaEntry|nested,
			attr(mdbaEntryInfo, mdbEntry(3, 0, 0, 0, g4.AsSlice(), 0x0800),
				attr(mdbaEntrySources|nested, source(s1, 250), source(s2, 0)),
				attr(mdbaEntryMode, []byte{0}),
				attr(mdbaEntryTimer, u32(26000))),
			attr(mdbaEntryInfo, mdbEntry(3, 0, mdbFlagStarExclude|mdbFlagBlocked, 0, g4.AsSlice(), 0x0800),
				attr(mdbaEntrySource, s2), attr(mdbaEntryMode, []byte{1}))),
		attr(mdbaEntry|nested,
			attr(mdbaEntryInfo, mdbEntry(4, 1, mdbFlagFastLeave, 42, g6.AsSlice(), 0x86dd))),
		attr(mdbaEntry|nested,
			attr(mdbaEntryInfo, mdbEntry(5, 1, 0, 0, []byte{1, 2, 3, 4, 5, 6}, 0))))...)
	return append(b, attr(mdbaRouter|nested, attr(mdbaRouterPort|nested, u32(3), attr(mdbaRouterTimer, u32(100)), attr(2, []byte{1})))...)
}

func TestParseMDB(t *testing.T) {
	t.Parallel()
	var m MDB
	if err := m.parse(mdbMessage()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"port 3 vid 0 (*, 239.1.2.3) exclude [{10.0.0.1 2.5s} {10.0.0.2 0s}] 4m20s",
		"port 3 vid 0 (10.0.0.2, 239.1.2.3) include [] 0s added_by_star_ex blocked",
		"port 4 vid 42 (*, ff15::1) exclude [] 0s permanent fast_leave",
		"port 5 vid 0 (*, 01:02:03:04:05:06) exclude [] 0s permanent",
	}
	if len(m.Entries) != len(want) {
		t.Fatalf("there are %d entries, want %d", len(m.Entries), len(want))
	}
	for i, e := range m.Entries {
		if e.String() != want[i] || e.Bridge != 9 {
			t.Errorf("entry %d is %v of bridge %d, want %s of bridge 9", i, e, e.Bridge, want[i])
		}
	}
	if got, want := len(m.Routers), 1; got != want {
		t.Fatalf("there are %d routers, want %d", got, want)
	}
	if got, want := m.Routers[0], (MDBRouter{Bridge: 9, Port: 3, Timer: time.Second}); got != want {
		t.Errorf("the router is %+v, want %+v", got, want)
	}
	of := m.Of(3, netip.MustParseAddr("239.1.2.3"))
	if len(of) != 2 || of[0].Source.IsValid() || !of[1].Source.IsValid() {
		t.Errorf("of port 3 there are %v, want the group and then its source", of)
	}
	if got := of[0].state().String(); got != "EXCLUDE(10.0.0.1; 10.0.0.2)" {
		t.Errorf("as a state, it is %s", got)
	}
	if got := m.Of(4, netip.MustParseAddr("239.1.2.3")); got != nil {
		t.Errorf("of port 4 there are %v, want none", got)
	}
}

// TestParseMDBShort cuts the message off at every byte.
func TestParseMDBShort(t *testing.T) {
	t.Parallel()
	b := mdbMessage()
	for i := range b {
		var m MDB
		// Between two attributes, the rest is not missed.
		if err := m.parse(b[:i]); err == nil && len(m.Entries)+len(m.Routers) == 5 {
			t.Errorf("the first %d of %d bytes are read as all of them", i, len(b))
		} else if err != nil && !errors.Is(err, errMDB) {
			t.Errorf("the first %d bytes: error %v, want %v", i, err, errMDB)
		}
	}
}

func FuzzParseMDB(f *testing.F) {
	f.Add(mdbMessage())
	f.Fuzz(func(t *testing.T, b []byte) {
		var m MDB
		err := m.parse(b)
		if err != nil && !errors.Is(err, errMDB) {
			t.Errorf("error %v, want %v", err, errMDB)
		}
		for _, e := range m.Entries {
			_ = e.String()
			if len(m.Of(e.Port, e.Group)) == 0 {
				t.Errorf("%v is not found again", e)
			}
		}
	})
}
