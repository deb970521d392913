package local

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parse reads addresses of a host: "eth0 192.168.1.2 temporary", one each.
func parse(t *testing.T, lines ...string) (list []address) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		a := address{link: words[0], addr: netip.MustParseAddr(words[1]), up: true}
		for _, w := range words[2:] {
			switch w {
			case "down":
				a.up = false
			case "tentative":
				a.tentative = true
			case "deprecated":
				a.deprecated = true
			case "temporary":
				a.temporary = true
			default:
				t.Fatalf("%q is nothing that an address can be", w)
			}
		}
		list = append(list, a)
	}
	return list
}

func join(list []netip.Addr) string {
	var s []string
	for _, a := range list {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

func TestChoose(t *testing.T) {
	vpn := Filter{Device: "tun0", Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd09::/64")}}
	for _, c := range []struct {
		name    string
		filter  Filter
		sources string
		list    []string
		want    string
	}{
		{"nothing", vpn, "", nil, ""},
		{"usual", vpn, "192.168.1.2 2001:db8::1", []string{"eth0 192.168.1.2", "eth0 2001:db8::1", "eth0 fe80::1", "tun0 10.9.0.1", "lo 127.0.0.1 down"},
			"2001:db8::1 192.168.1.2"},
		{"the interface with the default route first", vpn, "172.16.0.2", []string{"br0 192.168.1.1", "wlan0 172.16.0.2", "wlan0 fd00::2"},
			"172.16.0.2 fd00::2 192.168.1.1"},
		{"global before private ones", vpn, "", []string{"eth0 fd00::2", "eth0 2001:db8::1", "eth1 192.168.1.2", "eth1 203.0.113.1"},
			"2001:db8::1 203.0.113.1 fd00::2 192.168.1.2"},
		{"temporary ones before others, but what the kernel uses first", vpn, "2001:db8::1",
			[]string{"eth0 2001:db8::3", "eth0 2001:db8::2 temporary", "eth0 2001:db8::1"}, "2001:db8::1 2001:db8::2"},
		{"as many as two of a family and interface", vpn, "2001:db8::2",
			[]string{"eth0 2001:db8::1", "eth0 2001:db8::2 temporary", "eth0 2001:db8::3 temporary", "eth0 10.0.0.1", "eth0 10.0.0.2", "eth0 10.0.0.3"},
			"2001:db8::2 2001:db8::3 10.0.0.1 10.0.0.2"},
		{"deprecated ones only without another", vpn, "", []string{"eth0 2001:db8::1 deprecated", "eth0 2001:db8::2", "eth1 2001:db8::3 deprecated", "eth1 10.0.0.1"},
			"2001:db8::2 2001:db8::3 10.0.0.1"},
		{"none that may be another's", vpn, "", []string{"eth0 2001:db8::1 tentative", "eth0 10.0.0.1 tentative"}, ""},
		{"none of an interface that is down", vpn, "", []string{"eth0 10.0.0.1 down", "eth1 10.0.0.2"}, "10.0.0.2"},
		{"none inside the VPN", vpn, "10.9.0.1", []string{"br0 10.9.0.1", "br0 fd09::1", "tun0 192.168.7.7", "eth0 192.168.1.2"}, "192.168.1.2"},
		{"one interface", Filter{Interface: "eth1"}, "10.0.0.1", []string{"eth0 10.0.0.1", "eth1 10.0.0.2"}, "10.0.0.2"},
		{"IPv4 only", Filter{OnlyIPv4: true}, "2001:db8::1", []string{"eth0 2001:db8::1", "eth0 10.0.0.2"}, "10.0.0.2"},
		{"on no account", Filter{}, "", []string{"eth0 127.0.0.1", "eth0 169.254.1.1", "eth0 224.0.0.1", "eth0 0.0.0.0", "eth0 ::", "eth0 ::1", "eth0 ff02::1"}, ""},
		{"the same address twice", Filter{}, "", []string{"eth0 10.0.0.1", "eth1 10.0.0.1"}, "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sources []netip.Addr
			for _, s := range strings.Fields(c.sources) {
				sources = append(sources, netip.MustParseAddr(s))
			}
			list := parse(t, c.list...)
			before := slices.Clone(list)
			if got := join(c.filter.choose(list, sources...)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !slices.Equal(list, before) {
				t.Error("the list was changed")
			}
		})
	}
}

// TestChooseIsBounded: a router with hundreds of addresses tells the first few.
func TestChooseIsBounded(t *testing.T) {
	var lines []string
	for i := range 300 {
		lines = append(lines, "eth"+strconv.Itoa(i)+" 10.0."+strconv.Itoa(i/200)+"."+strconv.Itoa(i%200+1))
	}
	source := netip.MustParseAddr("10.0.1.50")
	got := (&Filter{}).choose(parse(t, lines...), source)
	if len(got) != MaxAddrs || got[0] != source {
		t.Errorf("%d addresses, the first is %v; want %d, and %v first", len(got), got[0], MaxAddrs, source)
	}
}

// TestLookHere: this host, whatever it has, has no address that counts but those that
// the standard library knows, too.
func TestLookHere(t *testing.T) {
	s, err := Look(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	known := func(a netip.Addr) bool {
		return slices.ContainsFunc(all, func(n net.Addr) bool {
			p, err := netip.ParsePrefix(n.String())
			return err == nil && p.Addr().Unmap() == a
		})
	}
	for _, a := range append(slices.Clone(s.Addrs), s.Source4, s.Source6) {
		if a.IsValid() && !known(a) {
			t.Errorf("%v is no address of this host", a)
		}
		if a.IsValid() && !s.Contains(a) {
			t.Errorf("the state does not contain its own %v", a)
		}
	}
	if s.Contains(netip.Addr{}) || s.Contains(netip.MustParseAddr("203.0.113.200")) {
		t.Error("the state contains what the host has not")
	}
	if again, _ := Look(Filter{}); !again.Equal(s) {
		t.Logf("the host has changed meanwhile: %+v, %+v", s, again)
	}
}

// TestLookToward: on the way to ourselves the source is ourselves.
func TestLookToward(t *testing.T) {
	home := netip.MustParseAddr("127.0.0.1")
	s, err := Look(Filter{Toward: home})
	if err != nil || s.Source4 != home {
		t.Errorf("%+v, %v, want to send from %v", s, err, home)
	}
	s, err = Look(Filter{Toward: home, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, OnlyIPv4: true})
	if err != nil || s.Source4.IsValid() || s.Source6.IsValid() {
		t.Errorf("%+v, %v, want no way but through the VPN", s, err)
	}
}
