package rdv

import (
	"net/netip"
	"testing"
	"time"
)

func TestOwners(t *testing.T) {
	os := newOwners()
	os.note(0, ip1, never)
	os.note(0, netip.MustParseAddr("fd00::1"), never)
	os.note(time.Hour, ip2, time.Minute)
	for _, c := range []struct {
		at   time.Duration
		v    netip.Addr
		want bool
	}{
		{0, ip1, true},
		{0, ip3, false},
		{0, netip.MustParseAddr("fd00::1"), false}, // nobody can ask for it in clear
		{ownedFor - 1, ip1, true},
		{ownedFor, ip1, false},
		{ownedFor, ip2, true},
		{ownedFor + time.Hour, ip2, false},
	} {
		if got := os.find(c.at, c.v) != nil; got != c.want {
			t.Errorf("%v at %v: known %v, want %v", c.v, c.at, got, c.want)
		}
	}
	if len(os.byAddr) != 0 || os.byAge.first != nil {
		t.Errorf("%d addresses are left", len(os.byAddr))
	}
}

// TestOwnersBound: the oldest is forgotten first, and one that was held again is
// not old.
func TestOwnersBound(t *testing.T) {
	os := newOwners()
	for i := range maxOwners {
		os.note(time.Duration(i), nthVPN(i), never)
	}
	os.note(maxOwners, nthVPN(0), never)
	os.note(maxOwners+1, nthVPN(maxOwners), never)
	now := time.Duration(maxOwners + 1)
	if len(os.byAddr) != maxOwners {
		t.Errorf("%d addresses, want %d", len(os.byAddr), maxOwners)
	}
	if os.find(now, nthVPN(0)) == nil || os.find(now, nthVPN(maxOwners)) == nil || os.find(now, nthVPN(1)) != nil {
		t.Error("not the oldest is forgotten")
	}
}
