package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"campagnol/client"
	"campagnol/internal/control"
)

// vpnAddr returns a VPN address for tests.
func vpnAddr(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, n}) }

// sampleRoll returns a roll with two hosts whose certificates were seen, one with a name
// that another one has, too, and those whom a server lists.
func sampleRoll(domain string) *roll {
	r := &roll{domain: domain}
	r.see("alice", vpnAddr(1))
	r.see("Bob.vpn.example", vpnAddr(2))
	r.see("twin", vpnAddr(3))
	r.see("twin", vpnAddr(4))
	r.see("", vpnAddr(9))
	r.hear([]client.ListedMember{
		{Name: "mallory", Addrs: []netip.Addr{vpnAddr(2)}},                               // the address of another host
		{Name: "ALICE", Addrs: []netip.Addr{vpnAddr(6)}},                                 // the name of another host
		{Name: "carol", Addrs: []netip.Addr{vpnAddr(5), netip.MustParseAddr("fd09::5")}}, // one host, two addresses
		{Name: "dave", Addrs: []netip.Addr{vpnAddr(7)}},
		{Name: "Dave", Addrs: []netip.Addr{vpnAddr(8)}},
		{Name: "", Addrs: []netip.Addr{vpnAddr(10)}},
		{Name: "nowhere"},
	})
	return r
}

// TestRoll: a name is found without regard to case, with and without the domain, and
// certificates come before what servers say.
func TestRoll(t *testing.T) {
	for _, c := range []struct{ domain, name, want, advice string }{
		{"", "alice", "10.9.0.1", ""},
		{"", "Alice.", "10.9.0.1", ""},
		{"", "bob.VPN.example", "10.9.0.2", ""},
		{"vpn.example", "bob", "10.9.0.2", ""},
		{"VPN.example.", "alice.vpn.example", "10.9.0.1", ""},
		{"", "carol", "10.9.0.5", ""},
		{"vpn.example", "carol.vpn.example.", "10.9.0.5", ""},
		{"", "carol.elsewhere.org", `no peer is known by the name "carol.elsewhere.org"`, "peers --all"},
		{"", "mallory", `no peer is known by the name "mallory"`, "peers --all"},
		{"", "allice", `no peer is known by the name "allice"`, `did you mean "alice"?`},
		{"vpn.example", "carrol.vpn.example", "no peer is known", `did you mean "carol"?`},
		{"", "nowhere", "no peer is known", "peers --all"},
		{"", "twin", `several peers have the name "twin": 10.9.0.3, 10.9.0.4`, "by its VPN address"},
		{"", "DAVE", `several peers have the name "DAVE": 10.9.0.7, 10.9.0.8`, "by its VPN address"},
		{"", "\x1b[31m", "no peer is known", "peers --all"},
	} {
		addr, err := sampleRoll(c.domain).choose(c.name)
		if c.advice == "" {
			if err != nil || addr.String() != c.want {
				t.Errorf("%q in %q: %v, %v, want %s", c.name, c.domain, addr, err, c.want)
			}
			continue
		}
		var refused *control.Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Text, c.want) || !strings.Contains(refused.Advice, c.advice) {
			t.Errorf("%q in %q: %v, %v, want %q and the advice %q", c.name, c.domain, addr, err, c.want, c.advice)
		}
	}
}

// TestRollLarge: among a thousand members a name is found, and one that is not there
// makes no noise.
func TestRollLarge(t *testing.T) {
	r := new(roll)
	var list []client.ListedMember
	for i := range 1000 {
		list = append(list, client.ListedMember{Name: fmt.Sprintf("member%04d", i), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}})
	}
	r.hear(list)
	if got, err := r.choose("member0999"); err != nil || got != netip.MustParseAddr("10.9.3.231") {
		t.Errorf("got %v, %v, want 10.9.3.231", got, err)
	}
	if _, err := r.choose("somebody else altogether"); err == nil || len(err.Error()) > 200 {
		t.Errorf("got %v, want a short error", err)
	}
}
