package device

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"campagnol/tunnel/segment"
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
		err := c.s.normal().check(segment.IP)
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
		b         []byte
		ip, frame bool
	}{
		{nil, false, false},
		{[]byte{0}, false, false},
		{[]byte{0x45}, true, false},
		{[]byte{0x60, 1}, true, false},
		{[]byte{0x50}, false, false},
		{[]byte{0xff}, false, false},
		{make([]byte, 13), false, false},
		{make([]byte, 14), false, true},
		{append([]byte{0x45}, make([]byte, 19)...), true, true},
	} {
		if got := valid(segment.IP, c.b); got != c.ip {
			t.Errorf("packet % x: %v, want %v", c.b, got, c.ip)
		}
		if got := valid(segment.Ethernet, c.b); got != c.frame {
			t.Errorf("frame % x: %v, want %v", c.b, got, c.frame)
		}
	}
}

func TestSettingsCheckEthernet(t *testing.T) {
	a4, n4 := netip.MustParseAddr("10.9.0.1"), netip.MustParsePrefix("10.9.0.0/24")
	for _, c := range []struct {
		name   string
		s      Settings
		prefix string
		want   string // in the error; empty for none
	}{
		{"usual", Settings{Addr: a4, Network: n4, MTU: 1419}, "10.9.0.1/24", ""},
		{"none", Settings{}, "invalid Prefix", ""},
		{"network only", Settings{Network: n4}, "invalid Prefix", ""},
		{"address only", Settings{Addr: a4}, "10.9.0.1/32", ""},
		{"mapped", Settings{Addr: netip.AddrFrom16(a4.As16()), Network: n4}, "10.9.0.1/24", ""},
		{"host bits", Settings{Addr: a4, Network: netip.MustParsePrefix("10.9.7.7/16")}, "10.9.0.1/16", ""},
		{"IPv6", Settings{Addr: netip.MustParseAddr("fd00::1"), Network: netip.MustParsePrefix("fd00::/64")}, "fd00::1/64", ""},
		{"families", Settings{Addr: netip.MustParseAddr("fd00::1"), Network: n4}, "", "different families"},
		{"elsewhere", Settings{Addr: a4, Network: netip.MustParsePrefix("10.8.0.0/24")}, "", "not in the VPN's network"},
		{"MTU", Settings{MTU: -1}, "", "negative MTU"},
	} {
		s := c.s.normal()
		err := s.check(segment.Ethernet)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want one that mentions %q", c.name, err, c.want)
		}
		if got := s.prefix(segment.Ethernet).String(); c.want == "" && got != c.prefix {
			t.Errorf("%s: address %s, want %s", c.name, got, c.prefix)
		}
		if got := s.prefix(segment.IP); got.IsValid() && !got.IsSingleIP() {
			t.Errorf("%s: address %v of an IP device", c.name, got)
		}
	}
}

func TestCheckHardwareAddr(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"02:00:00:00:00:01", ""},
		{"fe:ff:ff:ff:ff:ff", ""},
		{"52:54:00:12:34:56", ""},
		{"01:00:5e:00:00:01", "a group"},
		{"33:33:00:00:00:01", "a group"},
		{"ff:ff:ff:ff:ff:ff", "a group"},
		{"00:16:3e:00:00:01", "a manufacturer"},
		{"00:00:00:00:00:00", "a manufacturer"},
		{"02:00:00:00:00:00:00:01", "has 8 bytes"},
	} {
		a, err := net.ParseMAC(c.addr)
		if err != nil {
			t.Fatal(err)
		}
		err = CheckHardwareAddr(a)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.addr, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.addr)) {
			t.Errorf("%s: %v, want that it is %s", c.addr, err, c.want)
		}
	}
	if err := CheckHardwareAddr(nil); err == nil {
		t.Error("no address: no error")
	}
}
