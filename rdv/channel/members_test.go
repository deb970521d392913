package channel

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	list := []Member{
		{Addr: netip.MustParseAddr("10.9.0.1"), Name: "alice"},
		{Addr: netip.MustParseAddr("fd00::1"), Name: "gate", Gateway: true},
		{Addr: netip.MustParseAddr("10.9.0.3")},
	}
	var b []byte
	for _, m := range list {
		b = AppendMember(b, m)
	}
	want := unhex(t, "00000000000000000000ffff0a090001 00 05 616c696365 fd000000000000000000000000000001 01 04 67617465 00000000000000000000ffff0a090003 00 00")
	if !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	if got, ok := ParseMembers(b); !ok || !slices.Equal(got, list) {
		t.Errorf("%v, %v, want %v", got, ok, list)
	}
	for n := 1; n < 23; n++ {
		if got, ok := ParseMembers(b[:n]); ok {
			t.Errorf("%d bytes: %v", n, got)
		}
	}
	long := AppendMember(nil, Member{Addr: list[0].Addr, Name: strings.Repeat("x", MaxName+1)})
	if got, ok := ParseMembers(long); !ok || len(got) != 1 || got[0].Name != "" {
		t.Errorf("a name that is too long: %v, %v", got, ok)
	}
}

// TestNamedFlag: whether names are wanted is beside what else the flags say.
func TestNamedFlag(t *testing.T) {
	for _, m := range []Message{{Type: List, ID: 1, Named: true}, {Type: Register, ID: 1, Relays: true}, {Type: Register, ID: 1, Relays: true, Named: true}} {
		got, err := Parse(m.Append(nil))
		if err != nil || got.Named != m.Named || got.Relays != m.Relays {
			t.Errorf("%+v, %v; want %+v", got, err, m)
		}
	}
}

// FuzzMembers: what is read can be written, and read again.
func FuzzMembers(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendMember(AppendMember(nil, Member{Addr: netip.MustParseAddr("10.9.0.1"), Name: "alice"}), Member{Addr: netip.MustParseAddr("fd00::1"), Gateway: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, ok := ParseMembers(b)
		if !ok {
			return
		}
		var again []byte
		for _, m := range list {
			again = AppendMember(again, m)
		}
		if len(again) > MaxData {
			return // text that was not clean is longer now
		}
		if got, ok := ParseMembers(again); !ok || !slices.Equal(got, list) {
			t.Errorf("%v, %v, want %v", got, ok, list)
		}
	})
}
