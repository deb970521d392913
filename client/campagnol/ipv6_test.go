package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/pkitest"
)

// dualConf is a configuration with IPv6.
func dualConf(t *testing.T, more string) *conf.Client {
	t.Helper()
	cfg, problems, err := conf.ParseClient("/etc/c.conf", []byte("[NETWORK]\nserver_host = h\n"+more+"\n[VPN]\nvpn_ip = 10.9.0.1\nnetwork = 10.9.0.0/24\n"+
		"vpn_ip6 = fd09::1\nnetwork6 = fd09::/64\n[SECURITY]\ncertificate = c.pem\nkey = k.pem\nca_certificates = ca.pem\n"))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return cfg
}

// TestCheckIPv6: our certificate has to name both addresses, and else it is said
// where, which, and what to do.
func TestCheckIPv6(t *testing.T) {
	ca := pkitest.NewCA(t, "CA", time.Now())
	for _, c := range []struct {
		addrs []string
		more  string
		want  []string // nil: it is good
	}{
		{[]string{"10.9.0.1", "fd09::1"}, "", nil},
		{[]string{"fd09::2", "fd09::1", "10.9.0.1"}, "", nil},
		{[]string{"10.9.0.1"}, "", []string{"/etc/c.conf:7: ", "c.pem does not name vpn_ip6 fd09::1", "it names 10.9.0.1"}},
		{[]string{"10.9.0.1", "fd09::2"}, "", []string{"/etc/c.conf:7: ", "vpn_ip6 fd09::1", "10.9.0.1, fd09::2"}},
		{[]string{"fd09::1"}, "", []string{"/etc/c.conf:7: ", "c.pem does not name vpn_ip 10.9.0.1"}},
		{nil, "", []string{"/etc/c.conf:7: ", "it names no VPN address"}},
		{[]string{"10.9.0.1"}, "mode = tap", nil}, // a switch looks at no address
	} {
		leaf := ca.Issue(t, "alice", pkitest.Addrs(c.addrs...))
		cert, key := leaf.WriteFiles(t, t.TempDir())
		id, err := pki.LoadIdentity(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		err = checkIPv6(dualConf(t, c.more), id)
		if c.want == nil {
			if err != nil {
				t.Errorf("%v %s: %v", c.addrs, c.more, err)
			}
			continue
		}
		for _, part := range c.want {
			wantError(t, fmt.Sprint(c.addrs), err, part, "campagnol ca issue alice --renew --ip 10.9.0.1 --ip fd09::1")
		}
	}
}

// TestIdentifyIPv6: a peer has the IPv6 addresses that its certificate names, within
// the network, and that no newer certificate of somebody else names.
func TestIdentifyIPv6(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, "CA", now)
	file := pinFile(t.TempDir())
	pins, err := pki.OpenPins(file)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	tr := &trust{pins: pins, log: slog.New(slog.NewTextHandler(&log, nil)), network: netip.MustParsePrefix("10.9.0.0/24"), network6: netip.MustParsePrefix("fd09::/64")}
	vpn := netip.MustParseAddr("10.9.0.2")
	leaf := ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2", "fd09::2", "fd08::2", "fe80::2", "fd09::3"))
	want := []netip.Addr{netip.MustParseAddr("fd09::2"), netip.MustParseAddr("fd09::3")}
	if got := tr.identify(now, vpn, leaf.Raw()).Addrs; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// Another key comes with a newer certificate, and has fd09::3 from then on.
	newer := ca.Issue(t, "carol", pkitest.Addrs("10.9.0.3", "fd09::3"), pkitest.Valid(now.Add(time.Minute), now.Add(time.Hour)))
	if got := tr.identify(now, netip.MustParseAddr("10.9.0.3"), newer.Raw()).Addrs; !slices.Equal(got, want[1:]) {
		t.Errorf("a newer certificate: %v, want %v", got, want[1:])
	}
	if got := tr.identify(now, vpn, leaf.Raw()).Addrs; !slices.Equal(got, want[:1]) || !strings.Contains(log.String(), "Another address of the peer is not used") {
		t.Errorf("then: %v, want %v\n%s", got, want[:1], log.String())
	}
	// The pins outlive the process.
	pins.Flush()
	if tr.pins, err = pki.OpenPins(file); err != nil {
		t.Fatal(err)
	}
	if got := tr.identify(now, vpn, leaf.Raw()).Addrs; !slices.Equal(got, want[:1]) {
		t.Errorf("after a restart: %v, want %v", got, want[:1])
	}
	tr.network6 = netip.Prefix{}
	if got := tr.identify(now, vpn, leaf.Raw()).Addrs; len(got) != 0 {
		t.Errorf("without IPv6: %v", got)
	}
}

// TestEnvironmentIPv6: commands find the IPv6 address in their environment, and no
// per cent sign stands for it.
func TestEnvironmentIPv6(t *testing.T) {
	v := variables{vpnIP: netip.MustParseAddr("10.9.0.1"), prefix: netip.MustParsePrefix("10.9.0.0/24")}
	if got := v.environment(); !slices.Contains(got, "CAMPAGNOL_VPN_IP6=") || !slices.Contains(got, "CAMPAGNOL_NETWORK6=") {
		t.Errorf("without IPv6: %q", got)
	}
	v.vpnIP6, v.prefix6 = netip.MustParseAddr("fd09::1"), netip.MustParsePrefix("fd09::/64")
	if got := v.environment(); !slices.Contains(got, "CAMPAGNOL_VPN_IP6=fd09::1") || !slices.Contains(got, "CAMPAGNOL_NETWORK6=fd09::/64") {
		t.Errorf("with IPv6: %q", got)
	}
}

// TestStatusIPv6: the status names both addresses.
func TestStatusIPv6(t *testing.T) {
	s := sampleStatus()
	s.VPNAddress6, s.Network6 = netip.MustParseAddr("fd09::1"), netip.MustParsePrefix("fd09::/64")
	const want = "10.9.0.1 in 10.9.0.0/24 and fd09::1 in fd09::/64 on tun0, configured in /etc/campagnol.conf\n"
	if got := statusText(s, nil, 0); !strings.Contains(got, want) {
		t.Errorf("status\n%s\nwant in it\n%s", got, want)
	}
	var none control.Status
	if none.VPNAddress6.IsValid() {
		t.Error("a status has IPv6 by itself")
	}
}

// TestMustBeReplacedIPv6: another IPv6 address, or network, takes another interface.
func TestMustBeReplacedIPv6(t *testing.T) {
	p := &parts{cfg: dualConf(t, "")}
	for name, c := range map[string]struct {
		change func(*conf.Client)
		want   bool
	}{
		"nothing":         {func(*conf.Client) {}, false},
		"another place":   {func(c *conf.Client) { c.VPNIP6Pos.Line++ }, false},
		"another address": {func(c *conf.Client) { c.VPNIP6 = netip.MustParseAddr("fd09::2") }, true},
		"another network": {func(c *conf.Client) { c.Network6 = netip.MustParsePrefix("fd09::/48") }, true},
		"none":            {func(c *conf.Client) { c.VPNIP6, c.Network6 = netip.Addr{}, netip.Prefix{} }, true},
	} {
		next := *p.cfg
		c.change(&next)
		if got := p.mustBeReplaced(&next); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestJoinIPv6: a host that joins a VPN with IPv6 gets the two lines that it takes.
func TestJoinIPv6(t *testing.T) {
	r := joinResult(t, pkitest.NewCA(t, "A", joinStart))
	f, err := newJoinFiles("/tmp/c", "/tmp/a", enroll.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.configuration(joinStart, r, "h:1", "")
	if err != nil || strings.Contains(plain, "6 =") || networksText(r) != "10.9.0.0/24" {
		t.Errorf("without IPv6: %v\n%s", err, plain)
	}
	r.Addrs, r.Network6 = append(r.Addrs, netip.MustParseAddr("fd09::7")), netip.MustParsePrefix("fd09::/64")
	text, err := f.configuration(joinStart, r, "h:1", "")
	if err != nil {
		t.Fatal(err)
	}
	cfg, problems, err := conf.ParseClient("c", []byte(text))
	if err != nil || len(problems) > 0 || cfg.VPNIP6.String() != "fd09::7" || cfg.Network6 != r.Network6 || cfg.VPNIP.String() != "10.9.0.1" {
		t.Errorf("%v, %v:\n%s", err, problems, text)
	}
	if got := networksText(r); got != "10.9.0.0/24 and fd09::/64" {
		t.Errorf("networks %q", got)
	}
	r.Network6 = netip.MustParsePrefix("fe80::/64")
	r.Addrs[len(r.Addrs)-1] = netip.MustParseAddr("fe80::7")
	if _, err := f.configuration(joinStart, r, "h:1", ""); err == nil {
		t.Error("a link-local network is written")
	}
}

// TestCAIPv6: the tool takes, shows and uses an IPv6 network.
func TestCAIPv6(t *testing.T) {
	r := newCARun(t)
	r.run("init", "--rdv", "rdv.example.org", "--network", "10.9.0.0/24", "--network6", "fd09::/64")
	r.want(r.run("settings"), "IPv6 network:", "fd09::/64")
	r.want(r.run("invite", "alice"), "invited alice (10.9.0.1, fd09::1)")
	r.want(r.run("invite", "bob", "--json"), `"network6": "fd09::/64"`, `"fd09::2"`)
	r.want(r.run("settings", "--network6", "fd08::/64", "--json"), `"network6": "fd08::/64"`, `"network": "10.9.0.0/24"`)
	r.want(r.run("issue", "carol", "--ip", "10.9.0.9", "--ip", "fd08::9"), "fd08::9")
	r.wantError([]string{"settings", "--network6", "10.9.0.0/24"}, "not an IPv6 network")
	r.wantError([]string{"settings", "--network6", "fe80::/64"}, "not one in which hosts have addresses", "fd09::/64")
}
