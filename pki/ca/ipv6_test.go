package ca

import (
	"crypto/rand"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"campagnol/pki/pkitest"
)

var vpn6 = netip.MustParsePrefix("fd09::/64")

// newDualVPN makes a CA of a VPN with IPv6.
func newDualVPN(t testing.TB) *CA {
	t.Helper()
	c, err := Init(filepath.Join(t.TempDir(), "CA"), InitOptions{Settings: Settings{Server: "rdv.example.org:57888", Network: vpn, Network6: vpn6}}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestInviteIPv6 promises an address of each network.
func TestInviteIPv6(t *testing.T) {
	c := newDualVPN(t)
	issue(t, c, "one", "10.9.0.1", "fd09::1")
	issue(t, c, "old", "10.9.0.9")
	issue(t, c, "kept", "10.9.0.50", "fd09::50")
	issue(t, c, "gone", "10.9.0.2", "fd09::2")
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name string
		o    InviteOptions
		want []netip.Addr
	}{
		{"a", InviteOptions{}, addrs("10.9.0.3", "fd09::3")},
		{"b", InviteOptions{}, addrs("10.9.0.4", "fd09::4")},
		{"c", InviteOptions{Addrs: addrs("10.9.0.20")}, addrs("10.9.0.20", "fd09::5")},
		{"d", InviteOptions{Addrs: addrs("fd09::20")}, addrs("10.9.0.5", "fd09::20")},
		{"e", InviteOptions{Addrs: addrs("10.9.0.21", "fd09::21", "fd09::22")}, addrs("10.9.0.21", "fd09::21", "fd09::22")},
		{"f", InviteOptions{Pool: netip.MustParsePrefix("10.9.0.128/25")}, addrs("10.9.0.128", "fd09::6")},
		{"one", InviteOptions{Renew: true}, addrs("10.9.0.1", "fd09::1")},
		{"old", InviteOptions{Renew: true}, addrs("10.9.0.9", "fd09::7")}, // it gets what it lacks
	} {
		s.o.Name = s.name
		i, _ := invite(t, c, s.o)
		if !slices.Equal(i.Addrs, s.want) || i.Network6 != vpn6 {
			t.Errorf("%s: %v in %v, want %v", s.name, i.Addrs, i.Network6, s.want)
		}
	}
	for name, o := range map[string]InviteOptions{
		"promised to":                     {Name: "x", Addrs: addrs("10.9.0.30", "fd09::21")},
		"belongs to":                      {Name: "x", Addrs: addrs("10.9.0.30", "fd09::50")},
		"cannot be the address of a host": {Name: "x", Addrs: addrs("10.9.0.30", "fd09::")},
	} {
		_, _, err := c.Invite(now, rand.Reader, o)
		wantError(t, err, name)
	}
	later := now.Add(2 * time.Hour)
	if i, _, err := c.Invite(later, rand.Reader, InviteOptions{Name: "g"}); err != nil || i.Addrs[1].String() != "fd09::3" {
		t.Errorf("after the others have expired: %+v, %v, want fd09::3", i, err)
	}
}

// TestInviteIPv6Full: when no address is free, it is said of which network, and those
// of revoked certificates are taken first.
func TestInviteIPv6Full(t *testing.T) {
	c := newDualVPN(t)
	if _, err := c.ChangeSettings(func(s *Settings) { s.Network6 = netip.MustParsePrefix("fd09::/126") }); err != nil {
		t.Fatal(err)
	}
	issue(t, c, "gone", "10.9.0.77", "fd09::1")
	if _, err := c.Revoke(now, "gone", ""); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"fd09::2", "fd09::3", "fd09::1"} {
		if i, _ := invite(t, c, InviteOptions{Name: string(rune('a' + n))}); i.Addrs[1].String() != want {
			t.Errorf("address %v, want %s", i.Addrs, want)
		}
	}
	_, _, err := c.Invite(now, rand.Reader, InviteOptions{Name: "x"})
	wantError(t, err, "no free address in fd09::/126")
}

// TestServiceIPv6: a host learns its IPv6 network, and its certificate names the
// address.
func TestServiceIPv6(t *testing.T) {
	c := newDualVPN(t)
	s, _ := newService(t, c)
	_, token := invite(t, c, InviteOptions{Name: "alice"})
	r, err := enrol(t, s, now, token, pkitest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := addrs("10.9.0.1", "fd09::1"); !slices.Equal(r.Addrs, want) || r.Network != vpn || r.Network6 != vpn6 || !slices.Equal(addrsOf(r.Chain[0]), want) {
		t.Errorf("%v in %v and %v, and the certificate names %v", r.Addrs, r.Network, r.Network6, addrsOf(r.Chain[0]))
	}
}

func TestNetwork6(t *testing.T) {
	for text, good := range map[string]bool{
		"fd09::/64": true, "fc00::/16": true, "2001:db8::/48": true, "fd09::/126": true,
		"fd09::1/64": false, "fd09::/127": false, "fd00::/8": false, "10.9.0.0/24": false, "::ffff:10.9.0.0/120": false,
		"fe80::/64": false, "ff02::/16": false, "::/64": false, "4000::/64": false,
	} {
		c := newVPN(t)
		_, err := c.ChangeSettings(func(s *Settings) { s.Network6 = netip.MustParsePrefix(text) })
		if (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
		if s, err := reopen(t, c).Settings(); err != nil || s.Network6.IsValid() != good || s.Network != vpn {
			t.Errorf("%s: afterwards %+v, %v", text, s, err)
		}
	}
}
