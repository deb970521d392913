package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// ethernetState describes what is configured on the interface, without what the
// kernel does for IPv6 on every link.
func ethernetState(t *testing.T, nl *netlink.Handle, name string) string {
	t.Helper()
	head, rest, _ := strings.Cut(state(t, nl, name), "; ")
	parts := slices.DeleteFunc(strings.Split(rest, "; "), func(s string) bool {
		return s == "" || strings.HasPrefix(strings.TrimPrefix(s, "route "), "fe80::") || strings.Contains(s, "/128 src")
	})
	return strings.Join(append([]string{head}, parts...), "; ")
}

// TestReconfigureEthernet goes through settings, each of which has to leave nothing
// of the one before.
func TestReconfigureEthernet(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{Link: segment.Ethernet, TxQueue: 77})
	ip, network := netip.MustParseAddr, netip.MustParsePrefix
	for _, c := range []struct {
		name string
		s    Settings
		want string
	}{
		{"no address", Settings{}, "mtu 1500 up true"},
		{"MTU only", Settings{MTU: 1400, Network: network("10.9.0.0/24")}, "mtu 1400 up true"},
		{"usual", usual, "mtu 1419 up true; 10.9.0.1/24 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"},
		{"usual again", usual, "mtu 1419 up true; 10.9.0.1/24 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"},
		{"larger network", Settings{ip("10.9.0.1"), network("10.9.3.4/16"), 1300}, "mtu 1300 up true; 10.9.0.1/16 brd 10.9.255.255; route 10.9.0.0/16 src 10.9.0.1"},
		{"other address", Settings{ip("10.9.7.7"), network("10.9.0.0/16"), 1300}, "mtu 1300 up true; 10.9.7.7/16 brd 10.9.255.255; route 10.9.0.0/16 src 10.9.7.7"},
		{"network of two", Settings{ip("10.9.0.7"), network("10.9.0.6/31"), 1300}, "mtu 1300 up true; 10.9.0.7/31 brd <nil>; route 10.9.0.6/31 src 10.9.0.7"},
		{"network of one", Settings{ip("10.9.0.7"), network("10.9.0.7/32"), 1300}, "mtu 1300 up true; 10.9.0.7/32 brd <nil>"},
		{"no network", Settings{Addr: ip("10.9.0.8")}, "mtu 1300 up true; 10.9.0.8/32 brd <nil>"},
		{"IPv6", Settings{ip("fd09::1"), network("fd09::/64"), 1419}, "mtu 1419 up true; fd09::1/64 brd <nil>; route fd09::/64 src <nil>"},
		{"no address again", Settings{}, "mtu 1419 up true"},
	} {
		if err := k.Configure(c.s); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := ethernetState(t, nl, "tap0"); got != c.want {
			t.Errorf("%s: state %q, want %q", c.name, got, c.want)
		}
	}
	link, err := nl.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	if got := link.Attrs().TxQLen; got != 77 {
		t.Errorf("queue of %d packets, want 77", got)
	}
	if f := link.Attrs().Flags; f&net.FlagBroadcast == 0 || f&net.FlagPointToPoint != 0 {
		t.Errorf("the interface has flags %v, want those of a link with neighbours", f)
	}
}

// TestLinkLocal: the kernel may give an Ethernet interface a link-local address, and
// an IP interface must not get one.
func TestLinkLocal(t *testing.T) {
	t.Parallel()
	enter(t)
	for name, link := range map[string]segment.Link{"tun0": segment.IP, "tap0": segment.Ethernet} {
		mustOpen(t, Config{Link: link})
		b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/addr_gen_mode")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.TrimSpace(string(b)) == fmt.Sprint(addrGenModeNone), link == segment.IP; got != want {
			t.Errorf("%s: mode %q", name, b)
		}
	}
}

func TestConfigureEthernetErrors(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	lan := &netlink.Veth{LinkAttrs: attrs, PeerName: "lan1"}
	addr, err := netlink.ParseAddr("10.8.0.77/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nl.LinkAdd(lan), nl.AddrAdd(lan, addr), nl.LinkSetUp(lan)); err != nil {
		t.Fatal(err)
	}
	k := mustOpen(t, Config{Link: segment.Ethernet})
	ip, network := netip.MustParseAddr, netip.MustParsePrefix
	for _, c := range []struct {
		name string
		s    Settings
		want string
	}{
		{"elsewhere", Settings{Addr: vpnAddr, Network: network("192.168.9.0/24")}, "10.9.0.1 is not in the VPN's network 192.168.9.0/24"},
		{"families", Settings{Addr: vpnAddr, Network: network("fd09::/64")}, "different families"},
		{"negative MTU", Settings{MTU: -1}, "negative MTU"},
		{"large MTU", Settings{MTU: 65522}, "68 to 65521"},
		{"taken", Settings{Addr: ip("10.8.0.1"), Network: network("10.8.0.0/24")}, "interface lan0 has a route there already"},
	} {
		err := k.Configure(c.s)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "device: configure tap0: ") {
			t.Errorf("%s: %v, want that %s", c.name, err, c.want)
		}
	}
	// A route that is worse than ours does no harm.
	worse := &netlink.Route{LinkIndex: lan.Attrs().Index, Dst: ipNet(usual.Network), Scope: unix.RT_SCOPE_LINK, Priority: 600}
	if err := nl.RouteAdd(worse); err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(usual); err != nil {
		t.Errorf("after errors: %v", err)
	}
	k.Close()
	if err := k.Configure(usual); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestHardwareAddr(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	parse := func(s string) net.HardwareAddr {
		a, err := net.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	want := func(k *Kernel, what, want string) {
		t.Helper()
		if got, err := k.HardwareAddr(); err != nil || want != "" && got.String() != want || CheckHardwareAddr(got) != nil {
			t.Errorf("%s: hardware address %v, %v, want %s", what, got, err, want)
		}
	}
	for _, plain := range []bool{false, true} {
		made := mustOpen(t, Config{Link: segment.Ethernet, Plain: plain})
		want(made, "of the kernel", "")
		k := mustOpen(t, Config{Link: segment.Ethernet, Plain: plain, HardwareAddr: parse("02:12:34:56:78:9a")})
		want(k, "ours", "02:12:34:56:78:9a")
		if err := nl.LinkSetHardwareAddr(k.ref(), parse("06:00:00:00:00:01")); err != nil {
			t.Fatal(err)
		}
		want(k, "changed", "06:00:00:00:00:01")
		k.Close()
		if _, err := k.HardwareAddr(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := nl.LinkDel(made.ref()); err != nil {
			t.Fatal(err)
		}
		if _, err := made.HardwareAddr(); err == nil || !strings.Contains(err.Error(), "device: hardware address of ") {
			t.Errorf("when it is gone: %v", err)
		}
	}
	if a, err := mustOpen(t, Config{}).HardwareAddr(); err == nil {
		t.Errorf("a TUN device has the hardware address %v", a)
	}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Link: segment.Ethernet, HardwareAddr: parse("ff:ff:ff:ff:ff:ff")}, "a group"},
		{Config{HardwareAddr: parse("02:00:00:00:00:01")}, "has no hardware address"},
		{Config{Link: 7}, "no link number 7"},
	} {
		if k, err := Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
			if err == nil {
				k.Close()
			}
		}
	}
}

// TestPersistentEthernet takes a device that an administrator has made, and refuses
// one of the other kind.
func TestPersistentEthernet(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	mac := net.HardwareAddr{2, 9, 9, 9, 9, 9}
	for name, c := range map[string]struct {
		mode  netlink.TuntapMode
		flags netlink.TuntapFlag
	}{
		"madetap":  {netlink.TUNTAP_MODE_TAP, netlink.TUNTAP_NO_PI},
		"manytap":  {netlink.TUNTAP_MODE_TAP, netlink.TUNTAP_MULTI_QUEUE_DEFAULTS},
		"madetun":  {netlink.TUNTAP_MODE_TUN, netlink.TUNTAP_NO_PI},
		"manytun":  {netlink.TUNTAP_MODE_TUN, netlink.TUNTAP_MULTI_QUEUE_DEFAULTS},
		"tap-here": {netlink.TUNTAP_MODE_TAP, netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR},
	} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		made := &netlink.Tuntap{LinkAttrs: attrs, Mode: c.mode, Flags: c.flags}
		if c.flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
			made.Queues = 1
		}
		if err := nl.LinkAdd(made); err != nil {
			t.Fatal(err)
		}
		for _, fd := range made.Fds {
			fd.Close()
		}
		for _, plain := range []bool{false, true} {
			for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
				cfg := Config{Name: name, Link: link, Plain: plain, Queues: 2}
				if (link == segment.Ethernet) != (c.mode == netlink.TUNTAP_MODE_TAP) {
					wantOtherKind(t, cfg)
					continue
				}
				before := ethernetState(t, nl, name)
				if link == segment.Ethernet {
					cfg.HardwareAddr = mac
				}
				k := mustOpen(t, cfg)
				if got, want := len(k.More()) > 0, !plain && strings.HasPrefix(name, "many"); got != want {
					t.Errorf("%s: more queues: %v, want %v", name, got, want)
				}
				if err := k.Configure(Settings{Addr: vpnAddr, Network: usual.Network}); err != nil {
					t.Fatal(err)
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
				got := strings.Replace(ethernetState(t, nl, name), "up true", "up false", 1)
				if before = strings.Replace(before, "up true", "up false", 1); got != before {
					t.Errorf("%s: state %q after Close, want %q", name, got, before)
				}
			}
		}
		link, err := nl.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := link.Attrs().HardwareAddr; c.mode == netlink.TUNTAP_MODE_TAP && !bytes.Equal(got, mac) {
			t.Errorf("%s: hardware address %v, want the one it was given", name, got)
		}
	}
}

// wantOtherKind checks that a device of the other kind is refused in clear words.
func wantOtherKind(t *testing.T, cfg Config) {
	t.Helper()
	k, err := Open(cfg)
	if err == nil {
		k.Close()
		t.Errorf("%s was opened as a device of %v", cfg.Name, cfg.Link)
		return
	}
	is, mode := "is a TUN device, which carries IP packets", "mode tap"
	if cfg.Link == segment.IP {
		is, mode = "is a TAP device, which carries Ethernet frames", "mode tun"
	}
	for _, want := range []string{is, mode, cfg.Name, "device: open "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s as a device of %v: %q does not mention %q", cfg.Name, cfg.Link, err, want)
		}
	}
}

// TestOpenEthernetErrors: a device that is in use, or none.
func TestOpenEthernetErrors(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	taken := mustOpen(t, Config{Name: "taken%d", Link: segment.Ethernet})
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	if err := nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "lan1"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{taken.Name(), "another program"},
		{"lan0", "not a TAP device"},
		{"a/b", "cannot be the name"},
	} {
		k, err := Open(Config{Name: c.name, Link: segment.Ethernet})
		if err == nil {
			k.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %q does not mention it and %q", c.name, err, c.want)
		}
	}
	if k, err := Open(Config{Name: taken.Name()}); err == nil || !strings.Contains(err.Error(), "is a TAP device") {
		t.Errorf("a TAP device that is in use, as TUN: %v, %v", k, err)
	}
	for _, want := range []string{"tap0", "tap1"} {
		k := mustOpen(t, Config{Link: segment.Ethernet})
		if k.Name() != want || k.Link() != segment.Ethernet {
			t.Errorf("%s of %v, want %s", k.Name(), k.Link(), want)
		}
	}
}

// TestBridgePort has a device without address as the port of a bridge, which answers
// for its own address.
func TestBridgePort(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{Link: segment.Ethernet})
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = "br0", net.HardwareAddr{2, 0, 0, 0, 0, 0xbb}
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	addr, err := netlink.ParseAddr("10.9.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nl.LinkAdd(bridge), nl.AddrAdd(bridge, addr), nl.LinkSetUp(bridge), nl.LinkSetMaster(k.ref(), bridge)); err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(Settings{MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	me := []byte{2, 0, 0, 0, 0, 7}
	ask := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, me, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
		me, peer.AsSlice(), make([]byte, 6), vpnAddr.AsSlice())
	done := make(chan struct{})
	defer close(done)
	go func() { // until the port forwards, which takes its time
		for tick := time.Tick(20 * time.Millisecond); ; {
			k.Write([]Packet{{Data: bytes.Clone(ask)}})
			select {
			case <-tick:
			case <-done:
				return
			}
		}
	}()
	for { // the bridge says other things, too
		ps, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if binary.BigEndian.Uint16(p.Data[12:]) != unix.ETH_P_ARP {
				continue
			}
			if got, want := p.Data[:28], slices.Concat(me, bridge.HardwareAddr, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, bridge.HardwareAddr); !bytes.Equal(got, want) {
				t.Errorf("read % x, want the answer % x", got, want)
			}
			return
		}
	}
}
