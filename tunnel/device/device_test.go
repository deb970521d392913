package device

import (
	"net/netip"
	"strings"
	"testing"
)

func TestBroadcast(t *testing.T) {
	for _, c := range []struct{ addr, network, want string }{
		{"10.9.0.1", "10.9.0.0/24", "10.9.0.255"},
		{"10.9.0.1", "192.168.0.0/24", "10.9.0.255"}, // the address part does not count
		{"10.9.0.1", "10.9.0.77/24", "10.9.0.255"},
		{"10.9.5.1", "10.9.0.0/16", "10.9.255.255"},
		{"10.9.5.1", "10.9.4.0/23", "10.9.5.255"},
		{"10.9.0.1", "10.8.0.0/13", "10.15.255.255"},
		{"10.9.0.1", "10.9.0.0/30", "10.9.0.3"},
		{"10.9.0.1", "10.9.0.0/25", "10.9.0.127"},
		{"10.9.0.1", "0.0.0.0/0", "255.255.255.255"},
		{"10.9.0.1", "10.9.0.0/31", ""},
		{"10.9.0.1", "10.9.0.1/32", ""},
		{"fd00::1", "fd00::/64", ""},
		{"10.9.0.1", "fd00::/24", ""},
	} {
		s := Settings{Addr: netip.MustParseAddr(c.addr), Network: netip.MustParsePrefix(c.network)}
		var want netip.Addr
		if c.want != "" {
			want = netip.MustParseAddr(c.want)
		}
		if got := s.Broadcast(); got != want {
			t.Errorf("%s in %s: broadcast %v, want %v", c.addr, c.network, got, want)
		}
	}
	if got := (Settings{}).Broadcast(); got.IsValid() {
		t.Errorf("no settings: broadcast %v, want none", got)
	}
	if got := (Settings{Addr: netip.MustParseAddr("10.9.0.1")}).Broadcast(); got.IsValid() {
		t.Errorf("no network: broadcast %v, want none", got)
	}
}

func TestSettingsCheck(t *testing.T) {
	a4, n4 := netip.MustParseAddr("10.9.0.1"), netip.MustParsePrefix("10.9.0.0/24")
	for _, c := range []struct {
		name string
		s    Settings
		want string // in the error; empty for none
	}{
		{"usual", Settings{Addr: a4, Network: n4, MTU: 1419}, ""},
		{"address only", Settings{Addr: a4}, ""},
		{"mapped", Settings{Addr: netip.AddrFrom16(a4.As16()), Network: n4}, ""},
		{"none", Settings{Network: n4}, "no VPN address"},
		{"families", Settings{Addr: netip.MustParseAddr("fd00::1"), Network: n4}, "different families"},
		{"MTU", Settings{Addr: a4, MTU: -1}, "negative MTU"},
	} {
		err := c.s.normal().check()
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want one that mentions %q", c.name, err, c.want)
		}
	}
}

func TestValid(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want bool
	}{
		{nil, false}, {[]byte{0}, false}, {[]byte{0x45}, true}, {[]byte{0x60, 1}, true}, {[]byte{0x50}, false}, {[]byte{0xff}, false},
	} {
		if got := valid(c.b); got != c.want {
			t.Errorf("valid(% x) = %v, want %v", c.b, got, c.want)
		}
	}
}
