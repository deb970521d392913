package device

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"campagnol/tunnel/segment"
)

// state describes what is configured on the interface.
func state(t *testing.T, nl *netlink.Handle, name string) string {
	t.Helper()
	link, err := nl.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	addrs, err := nl.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		lines = append(lines, fmt.Sprintf("%v brd %v", a.IPNet, a.Broadcast))
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := nl.RouteList(link, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			lines = append(lines, fmt.Sprintf("route %v src %v", r.Dst, r.Src))
		}
	}
	slices.Sort(lines)
	attrs := link.Attrs()
	return fmt.Sprintf("mtu %d up %v; %s", attrs.MTU, attrs.Flags&net.FlagUp != 0, strings.Join(lines, "; "))
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{TxQueue: 77})
	want := "mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"
	for range 3 { // the second and the third change nothing
		if err := k.Configure(usual); err != nil {
			t.Fatal(err)
		}
		if got := state(t, nl, "tun0"); got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
	link, err := nl.LinkByName("tun0")
	if err != nil {
		t.Fatal(err)
	}
	if got := link.Attrs().TxQLen; got != 77 {
		t.Errorf("queue of %d packets, want 77", got)
	}
	if link.Attrs().Flags&net.FlagPointToPoint == 0 || link.Type() != "tuntap" {
		t.Errorf("the interface is a %s with flags %v", link.Type(), link.Attrs().Flags)
	}
}

// TestReconfigure goes through settings, each of which has to leave nothing of
// the one before.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{})
	ip, net := netip.MustParseAddr, netip.MustParsePrefix
	for _, c := range []struct {
		name string
		s    Settings
		want string
	}{
		{"first", usual,
			"mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"},
		{"MTU left as it is", Settings{Addr: ip("10.9.0.1"), Network: net("10.9.0.0/24")},
			"mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"},
		{"other address", Settings{ip("10.9.0.7"), net("10.9.0.0/24"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.7"},
		{"larger network", Settings{ip("10.9.0.7"), net("10.9.0.0/16"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd 10.9.255.255; route 10.9.0.0/16 src 10.9.0.7"},
		{"network with host bits", Settings{ip("10.9.0.7"), net("10.9.3.4/16"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd 10.9.255.255; route 10.9.0.0/16 src 10.9.0.7"},
		{"network elsewhere", Settings{ip("10.9.0.7"), net("192.168.9.0/24"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd 10.9.0.255; route 192.168.9.0/24 src 10.9.0.7"},
		{"network of two", Settings{ip("10.9.0.7"), net("10.9.0.6/31"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd <nil>; route 10.9.0.6/31 src 10.9.0.7"},
		{"network of one", Settings{ip("10.9.0.7"), net("10.9.0.7/32"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd <nil>; "},
		{"no network", Settings{Addr: ip("10.9.0.7")},
			"mtu 1300 up true; 10.9.0.7/32 brd <nil>; "},
		{"everything", Settings{ip("10.9.0.7"), net("0.0.0.0/0"), 1300},
			"mtu 1300 up true; 10.9.0.7/32 brd 255.255.255.255; route 0.0.0.0/0 src 10.9.0.7"},
		{"IPv6", Settings{ip("fd09::1"), net("fd09::/64"), 1419},
			"mtu 1419 up true; fd09::1/128 brd <nil>; route fd09::/64 src fd09::1"},
		{"first again", usual,
			"mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"},
	} {
		if err := k.Configure(c.s); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := state(t, nl, "tun0")
		// The kernel has routes of its own for IPv6.
		got = strings.ReplaceAll(got, "; route fd09::1/128 src <nil>", "")
		if got = strings.TrimSuffix(got, "; "); got != strings.TrimSuffix(c.want, "; ") {
			t.Errorf("%s: state %q, want %q", c.name, got, c.want)
		}
	}
}

func TestConfigureErrors(t *testing.T) {
	t.Parallel()
	enter(t)
	k := mustOpen(t, Config{})
	for _, c := range []struct {
		name string
		s    Settings
		want []string
	}{
		{"no address", Settings{}, []string{"no VPN address"}},
		{"families", Settings{Addr: vpnAddr, Network: netip.MustParsePrefix("fd09::/64")}, []string{"different families"}},
		{"small MTU", Settings{Addr: vpnAddr, MTU: 10}, []string{"set the MTU to 10", "68 to 65535"}},
		{"large MTU", Settings{Addr: vpnAddr, MTU: 70000}, []string{"set the MTU to 70000", "68 to 65535"}},
	} {
		err := k.Configure(c.s)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range append(c.want, "device: configure tun0: ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not mention %q", c.name, err, w)
			}
		}
	}
	if err := k.Configure(usual); err != nil {
		t.Errorf("after errors: %v", err)
	}
}

// TestRouteTaken has the VPN's network in use elsewhere: that must stay.
func TestRouteTaken(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	lan := &netlink.Veth{LinkAttrs: attrs, PeerName: "lan1"}
	if err := nl.LinkAdd(lan); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.9.0.77/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nl.AddrAdd(lan, addr), nl.LinkSetUp(lan)); err != nil {
		t.Fatal(err)
	}
	before := state(t, nl, "lan0")
	k := mustOpen(t, Config{})
	err = k.Configure(usual)
	if !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "interface lan0") || !strings.Contains(err.Error(), "10.9.0.0/24") {
		t.Errorf("Configure: %v, want that lan0 has the route to 10.9.0.0/24", err)
	}
	if got := state(t, nl, "lan0"); got != before {
		t.Errorf("state of lan0 %q, was %q", got, before)
	}
	if err := nl.LinkDel(lan); err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(usual); err != nil {
		t.Errorf("when it is free: %v", err)
	}
	// A route on the interface itself, from another source, is replaced.
	other := &netlink.Route{LinkIndex: k.index, Dst: ipNet(usual.Network), Scope: unix.RT_SCOPE_LINK}
	if err := errors.Join(nl.RouteDel(k.mine.routes[0]), nl.RouteAdd(other)); err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(usual); err != nil {
		t.Error(err)
	}
	if got, want := state(t, nl, "tun0"), "mtu 1419 up true; 10.9.0.1/32 brd 10.9.0.255; route 10.9.0.0/24 src 10.9.0.1"; got != want {
		t.Errorf("state %q, want %q", got, want)
	}
}

func TestOpenNames(t *testing.T) {
	t.Parallel()
	enter(t)
	for _, c := range []struct{ name, want string }{
		{"", "tun0"},
		{"", "tun1"},
		{"tun%d", "tun2"},
		{"vpn%d", "vpn0"},
		{"campagnol", "campagnol"},
		{"a-very-long-name-that-is-cut", "a-very-long-nam"},
		{"exactly15chars!", "exactly15chars!"},
	} {
		if got := mustOpen(t, Config{Name: c.name}).Name(); got != c.want {
			t.Errorf("%q became %q, want %q", c.name, got, c.want)
		}
	}
}

func TestInterfaceName(t *testing.T) {
	for _, bad := range []string{"a b", "a/b", "a:b", ".", "..", "a\n", "a\x00b", "100%", "%s", "%d%d", "%%d"} {
		if got, err := interfaceName(bad, "tun%d"); err == nil {
			t.Errorf("%q became %q, want an error", bad, got)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %q does not name it", bad, err)
		}
	}
}

func FuzzInterfaceName(f *testing.F) {
	for _, s := range []string{"", "tun%d", "a-very-long-name-that-is-cut", "%", "a/b", "0123456789abc%d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := interfaceName(s, "tun%d")
		if err != nil {
			return
		}
		if len(name) > maxName || name == "" || strings.ContainsAny(name, "/: \x00") || s != "" && !strings.HasPrefix(s, name) {
			t.Errorf("%q became %q", s, name)
		}
		if again, err := interfaceName(name, ""); err != nil || again != name {
			t.Errorf("%q became %q, and that %q, %v", s, name, again, err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	mustOpen(t, Config{Name: "taken"})
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	if err := nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "lan1"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want string
	}{
		{"taken", "another program"},
		{"lan0", "not a TUN device"},
		{"a/b", "cannot be the name"},
	} {
		k, err := Open(Config{Name: c.name})
		if err == nil {
			k.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) || !strings.HasPrefix(err.Error(), "device: ") {
			t.Errorf("%s: %q does not mention it and %q", c.name, err, c.want)
		}
	}
	if _, err := Open(Config{Name: "tun5", TxQueue: math.MaxInt32}); err == nil {
		t.Error("a queue of 2^31 packets: no error")
	} else if _, err := nl.LinkByName("tun5"); err == nil {
		t.Error("tun5 is left behind")
	}
}

func TestExplainOpen(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{unix.ENOENT, "modprobe tun"},
		{os.NewSyscallError("ioctl", unix.EPERM), "CAP_NET_ADMIN"},
		{os.NewSyscallError("ioctl", unix.EBUSY), "another program"},
		{os.NewSyscallError("ioctl", unix.EINVAL), "not a TUN device"},
		{os.NewSyscallError("ioctl", unix.ENFILE), "no number is free"},
		{errors.New("something else"), "something else"},
	} {
		err := kindOf(segment.IP).explain("tun%d", c.err)
		if !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) {
			t.Errorf("%v: %q, want %q in it", c.err, err, c.want)
		}
		// A TAP device has the same errors, in its own name.
		err = kindOf(segment.Ethernet).explain("tap%d", c.err)
		if want := strings.ReplaceAll(c.want, "TUN", "TAP"); !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `device: open TAP device "tap%d": `) {
			t.Errorf("%v: %q, want %q in it", c.err, err, want)
		}
	}
}

// TestUnprivileged opens and configures on a thread without privileges.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	enter(t)
	k := mustOpen(t, Config{})
	runtime.LockOSThread() // enter did; the thread does not outlive the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Configure": k.Configure(usual),
		"Open":      func() error { _, err := Open(Config{}); return err }(),
	} {
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "root or CAP_NET_ADMIN") {
			t.Errorf("%s: %v, want a hint at CAP_NET_ADMIN", name, err)
		}
	}
}

// TestPersistent takes a device that an administrator has made.
func TestPersistent(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	for name, flags := range map[string]netlink.TuntapFlag{
		"made0": netlink.TUNTAP_NO_PI,
		"made1": netlink.TUNTAP_MULTI_QUEUE_DEFAULTS,
	} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		made := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Flags: flags}
		if flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
			made.Queues = 1
		}
		if err := netlink.LinkAdd(made); err != nil {
			t.Fatal(err)
		}
		for _, fd := range made.Fds {
			fd.Close()
		}
		before := state(t, nl, name)
		for range 2 {
			k := mustOpen(t, Config{Name: name})
			if err := k.Configure(Settings{Addr: vpnAddr, Network: usual.Network}); err != nil {
				t.Fatal(err)
			}
			if got := state(t, nl, name); !strings.Contains(got, "10.9.0.1/32") {
				t.Errorf("%s: state %q after Configure", name, got)
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
			got := strings.Replace(state(t, nl, name), "up true", "up false", 1)
			if got != before {
				t.Errorf("%s: state %q after Close, want %q", name, got, before)
			}
		}
	}
}

// TestDescriptors checks that descriptors are neither leaked by failures nor
// inherited by programs. It does not run in parallel: it counts.
func TestDescriptors(t *testing.T) {
	enter(t)
	before := len(tunDescriptors())
	k := mustOpen(t, Config{Name: "only"})
	for range 5 {
		if _, err := Open(Config{Name: "only"}); err == nil {
			t.Fatal("opened twice")
		}
	}
	fds := tunDescriptors()
	if got := len(fds) - before; got != 1 {
		t.Errorf("%d descriptors are open, want 1", got)
	}
	for fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d has flags %#x (%v), want close-on-exec", fd, flags, err)
		}
	}
	out, err := exec.Command("/bin/ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "net/tun") {
		t.Errorf("a program inherits the device:\n%s", out)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if got := len(tunDescriptors()); got != before {
		t.Errorf("%d descriptors are open after Close, want %d", got, before)
	}
}

// TestOpenTogether opens devices while others cannot be opened by the library, whose
// leaks are tidied up: that must not hit the former.
func TestOpenTogether(t *testing.T) {
	enter(t)
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	mustOpen(t, Config{Name: "taken"})
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := netns.Set(ns)
		for i := 0; i < 100 && err == nil; i++ {
			if _, operr := Open(Config{Name: "taken"}); !errors.Is(operr, unix.EBUSY) {
				err = fmt.Errorf("opened twice: %v", operr)
			}
		}
		done <- err
	}()
	for i, running := 0, true; running; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			running = false
		default:
		}
		k := mustOpen(t, Config{Link: segment.Link(i % 2)})
		if err := k.Configure(Settings{Addr: vpnAddr}); err != nil {
			t.Errorf("device %d: %v", i, err)
			running = false
		}
		if err := k.Close(); err != nil {
			t.Errorf("device %d: close: %v", i, err)
			running = false
		}
	}
}
