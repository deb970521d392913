package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"campagnol/internal/testenv"
)

// TestDHCP has a host ask for an address with the programs that people use.
func TestDHCP(t *testing.T) {
	t.Parallel()
	server := testenv.Tool(t, "dnsmasq", "dnsmasq-base")
	client := testenv.Tool(t, "udhcpc", "udhcpc")
	n := newLAN(t, quickBridge)
	guest := addNode(t, n.lab, "guest")
	if _, err := n.lab.Join(n.sw, "p9", guest, "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := n.bridge.AddPort("p9"); err != nil {
		t.Fatal(err)
	}
	o := DHCPServerOptions{Interface: "eth0", First: netip.MustParseAddr("10.77.0.100"), Last: netip.MustParseAddr("10.77.0.120"), Bits: 24}
	if _, err := n.hosts[0].StartDHCPServer(testContext(t), server, o); err != nil {
		t.Fatal(err)
	}
	got, err := guest.RunDHCPClient(testContext(t), client, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	if got.Addr().Less(o.First) || o.Last.Less(got.Addr()) || got.Bits() != 24 {
		t.Errorf("the host got %v, want an address from %v to %v in a /24", got, o.First, o.Last)
	}
	r, err := guest.Ping(testContext(t), netip.MustParseAddr("10.77.0.12"), PingOptions{Count: 2, Interval: 5 * ms, Patience: 10 * time.Second})
	if err != nil || r.Received() != 2 {
		t.Errorf("with its new address: %v (%v), want 2 answers", r, err)
	}
}

// TestDHCPPrograms has stand-ins for the programs, which do what lies between
// them and the lab: their arguments, their words, their end.
func TestDHCPPrograms(t *testing.T) {
	t.Parallel()
	_, a, b, _ := newCable(t)
	program := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bound := program("udhcpc", `for a; do case $last in -s) script=$a;; -i) dev=$a;; esac; last=$a; done
[ "$dev" = eth0 ] || exit 5
$script deconfig
ip=10.1.2.3 subnet=255.255.252.0 $script bound
`)
	got, err := a.RunDHCPClient(testContext(t), bound, "eth0")
	if err != nil || got.String() != "10.1.2.3/22" {
		t.Errorf("the client got %v (%v), want 10.1.2.3/22", got, err)
	}
	if err := b.Interface("eth0").AddAddress(netip.MustParsePrefix("10.1.2.4/22")); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Ping(testContext(t), got.Addr(), PingOptions{Count: 1, Patience: 10 * time.Second}); err != nil || r.Received() != 1 {
		t.Errorf("the interface does not have the address: %v (%v)", r, err)
	}
	_, err = b.RunDHCPClient(testContext(t), program("fails", "echo no lease, failing\nexit 1\n"), "eth0")
	wantError(t, "a client that gets nothing", err, "no lease, failing")
	o := DHCPServerOptions{Interface: "eth0", First: netip.MustParseAddr("10.1.2.10"), Last: netip.MustParseAddr("10.1.2.20"), Bits: 22}
	server := program("dnsmasq", `echo "dnsmasq: $*" >&2
echo "dnsmasq-dhcp: DHCP, IP range 10.1.2.10 -- 10.1.2.20, lease time 10m" >&2
exec sleep 1000
`)
	p, err := a.StartDHCPServer(testContext(t), server, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--interface=eth0", "--dhcp-range=10.1.2.10,10.1.2.20,255.255.252.0,10m", "--port=0"} {
		if !strings.Contains(p.Tail(), want) {
			t.Errorf("the server is started with %s, want %s", p.Tail(), want)
		}
	}
	_, err = b.StartDHCPServer(testContext(t), program("fails", "echo unknown interface >&2\nexit 2\n"), o)
	wantError(t, "a server that ends", err, "ended (exit status 2)")
}

func TestParseLease(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"lease deconfig":                         "says nothing",
		"lease bound 10.0.0.9 255.255.255.0":     "10.0.0.9/24",
		"lease bound 10.0.0.9 255.0.255.0":       "no mask",
		"lease bound 10.0.0.9 ffff::":            "no mask",
		"lease bound nonsense 255.255.255.0":     "unable to parse",
		"lease bound 10.0.0.9 nonsense":          "unable to parse",
		"lease renew 10.0.0.9 255.255.255.0":     "says nothing",
		"lease bound 10.0.0.9 255.255.255.0 and": "says nothing",
	} {
		got, err := parseLease([]LogLine{{Message: "udhcpc: started"}, {Message: text}})
		if err == nil && got.String() != want || err != nil && !errorHas(err, want) {
			t.Errorf("%q: got %v (%v), want %s", text, got, err, want)
		}
	}
}
