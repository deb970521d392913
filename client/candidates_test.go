package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/tunnel"
)

// boundTo is a socket that is bound somewhere, and nothing else.
type boundTo struct {
	deafConn
	at netip.AddrPort
}

func (b *boundTo) LocalAddr() netip.AddrPort { return b.at }

// still returns a client whose control is the test.
func still(t *testing.T, bound string, edit func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		VPNAddr: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
		VPNAddr6: netip.MustParseAddr("fd09::1"), Network6: netip.MustParsePrefix("fd09::/64"),
		Conn: &boundTo{at: netip.MustParseAddrPort(bound)}, Device: &sink{},
		Settings: Settings{Servers: At(rdvAddr), Certificate: testCertificate(t), Verify: believe},
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.ctx, c.clock = t.Context(), tunnel.NewClock(began)
	return c
}

// TestOwnCandidates: what the sources offer, each place once, the most useful first.
func TestOwnCandidates(t *testing.T) {
	c := still(t, "0.0.0.0:5000", func(cfg *Config) {
		cfg.Configured = []punch.Candidate{configuredAt("10.1.2.3:4", "office"), configuredAt("192.0.2.1:1", "")}
	})
	mapped := punch.Candidate{Addr: netip.MustParseAddrPort("203.0.113.1:1"), Kind: punch.Mapped}
	seen := punch.Candidate{Addr: netip.MustParseAddrPort("203.0.113.1:9"), Kind: punch.Observed}
	odd := punch.Candidate{Addr: netip.MustParseAddrPort("203.0.113.1:7"), Kind: 99}
	c.offers = map[string][]punch.Candidate{
		"a": {seen, odd, hostAt("192.168.1.2:5000")},
		"b": {mapped, hostAt("192.168.1.3:5000"), hostAt("192.168.1.2:5000"), configuredAt("10.1.2.3:4", "lab")},
	}
	want := []punch.Candidate{configuredAt("10.1.2.3:4", "office"), configuredAt("192.0.2.1:1", ""), configuredAt("10.1.2.3:4", "lab"),
		mapped, hostAt("192.168.1.2:5000"), hostAt("192.168.1.3:5000"), seen, odd}
	if got := c.candidates(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestUsableOf: what a peer's candidates have to be like for us to try them.
func TestUsableOf(t *testing.T) {
	scoped := func(c *Config) { c.Scopes = []string{"lab"} }
	for _, c := range []struct {
		name, bound string
		edit        func(*Config)
		endpoints   string
		list        []punch.Candidate
		want        string
	}{
		{"nothing", "0.0.0.0:5000", nil, "", nil, ""},
		{"the RDV sees it", "0.0.0.0:5000", nil, "203.0.113.9:1", nil, "observed 203.0.113.9:1"},
		{"and it says where it is inside", "0.0.0.0:5000", nil, "192.168.1.9:1 203.0.113.9:1", nil, "host 192.168.1.9:1, observed 203.0.113.9:1"},
		{"the same from both", "0.0.0.0:5000", nil, "192.168.1.9:1 203.0.113.9:1", []punch.Candidate{hostAt("192.168.1.9:1"), hostAt("203.0.113.9:1")},
			"host 192.168.1.9:1, host 203.0.113.9:1"},
		{"IPv4 sockets", "0.0.0.0:5000", nil, "203.0.113.9:1", []punch.Candidate{hostAt("[2001:db8::9]:1"), hostAt("192.168.1.9:1")},
			"host 192.168.1.9:1, observed 203.0.113.9:1"},
		{"IPv6 sockets bound to an address", "[2001:db8::1]:5000", nil, "[2001:db8::8]:1", []punch.Candidate{hostAt("[2001:db8::9]:1"), hostAt("192.168.1.9:1")},
			"host [2001:db8::9]:1, observed [2001:db8::8]:1"},
		{"sockets of both families", "[::]:5000", nil, "203.0.113.9:1", []punch.Candidate{hostAt("[2001:db8::9]:1"), hostAt("192.168.1.9:1")},
			"host 192.168.1.9:1, host [2001:db8::9]:1, observed 203.0.113.9:1"},
		{"scopes", "0.0.0.0:5000", scoped, "203.0.113.9:1",
			[]punch.Candidate{configuredAt("10.1.2.3:4", "office"), configuredAt("10.1.2.3:5", ""), configuredAt("10.1.2.3:6", "lab")},
			"configured 10.1.2.3:6, observed 203.0.113.9:1, configured 10.1.2.3:5"},
		{"no scopes", "0.0.0.0:5000", nil, "203.0.113.9:1", []punch.Candidate{configuredAt("10.1.2.3:6", "lab")}, "observed 203.0.113.9:1"},
		{"inside the VPN", "[::]:5000", nil, "203.0.113.9:1", []punch.Candidate{hostAt("10.9.0.77:1"), hostAt("[fd09::77]:1"), hostAt("[::ffff:10.9.0.77]:1")},
			"observed 203.0.113.9:1"},
		{"no host is there", "[::]:5000", nil, "127.0.0.1:1 224.0.0.1:1 0.0.0.0:1 255.255.255.255:1 203.0.113.9:1",
			[]punch.Candidate{hostAt("127.0.0.1:1"), hostAt("[::1]:1"), hostAt("224.0.0.1:1"), hostAt("[ff02::1]:1"), hostAt("[fe80::1]:1"), hostAt("169.254.0.1:1"),
				hostAt("0.0.0.0:1"), hostAt("[::]:1"), hostAt("192.168.1.1:0"), {}}, "observed 203.0.113.9:1"},
		{"the RDV itself", "0.0.0.0:5000", nil, "203.0.113.9:1", []punch.Candidate{{Addr: rdvAddr, Kind: punch.Mapped}}, "observed 203.0.113.9:1"},
		{"ourselves", "0.0.0.0:5000", func(c *Config) { c.LocalAddr = netip.MustParseAddrPort("192.168.1.2:5000") },
			"192.168.1.2:5000 203.0.113.9:1", []punch.Candidate{hostAt("192.168.1.2:5000"), hostAt("192.168.1.2:5001")},
			"host 192.168.1.2:5001, observed 203.0.113.9:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var endpoints []netip.AddrPort
			for _, e := range strings.Fields(c.endpoints) {
				endpoints = append(endpoints, netip.MustParseAddrPort(e))
			}
			var got []string
			for _, n := range still(t, c.bound, c.edit).usableOf(endpoints, c.list) {
				got = append(got, fmt.Sprintf("%v %v", n.Kind, n.Addr))
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}

// TestUsableOfRouted: what would be asked for through a tunnel is not a way to make one.
func TestUsableOfRouted(t *testing.T) {
	c := still(t, "0.0.0.0:5000", nil)
	c.publish(c.table.Load().withNetwork(netip.MustParsePrefix("192.168.5.0/24"), nil, netip.MustParseAddr("10.9.0.7")))
	got := c.usableOf([]netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:1")}, []punch.Candidate{hostAt("192.168.5.9:1"), hostAt("192.168.6.9:1")})
	if len(got) != 2 || got[0].Addr.String() != "192.168.6.9:1" {
		t.Errorf("tries %v", got)
	}
}

// TestTriedIsBounded: of each peer the last try is kept, and of the peers the last ones.
func TestTriedIsBounded(t *testing.T) {
	var l trials
	ended := func(i, port int) {
		at := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), uint16(port))
		l.note(peerNumber(i), &try{quest: quest{attempt: punch.NewAttempt(began, punch.Config{}, at)}})
	}
	l.note(peerNumber(0), &try{}) // nothing was tried
	if _, ok := l.find(peerNumber(0)); ok {
		t.Error("a try that did not begin is kept")
	}
	ended(0, 1)
	ended(0, 2)
	if got, _ := l.find(peerNumber(0)); len(l.list) != 1 || got.Outcomes[0].Addr.Port() != 2 {
		t.Errorf("kept %+v, want the second try", l.list)
	}
	for i := range 3 * maxTried {
		ended(i, 1)
	}
	if _, ok := l.find(peerNumber(0)); ok || len(l.list) != maxTried {
		t.Errorf("%d tries are kept, want the last %d", len(l.list), maxTried)
	}
	if _, ok := l.find(peerNumber(3*maxTried - 1)); !ok {
		t.Error("the last try was forgotten")
	}
}

func peerNumber(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

// TestTried: what was tried can be read while it is, and when it has failed.
func TestTried(t *testing.T) {
	inBubble(t, func(v *vpn) {
		hard := simnet.NAT{Mapping: simnet.AddressAndPortDependent, Filtering: simnet.AddressAndPortDependent, Ports: simnet.Random}
		alice := v.node(v.home(1, hard), "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, hard), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		if got := alice.tried(bob); got != "nothing" {
			v.t.Errorf("tried %s before anything was", got)
		}
		alice.send(bob.vpn, "anybody?")
		pass(time.Second)
		during, ok, err := alice.client.Tried(context.Background(), bob.vpn)
		if err != nil || !ok || !during.Running || !during.Asked || during.VPNAddr != bob.vpn || len(during.Outcomes) != 1 {
			v.t.Errorf("during the try: %+v, %v, %v", during, ok, err)
		}
		pass(10 * time.Second)
		after, _, _ := alice.client.Tried(context.Background(), bob.vpn)
		if got := alice.tried(bob); after.Running || !strings.HasSuffix(got, " (observed): silent") {
			v.t.Errorf("after the try: %s, %+v", got, after)
		}
		alice.stop()
		if _, _, err := alice.client.Tried(context.Background(), bob.vpn); err != ErrStopped {
			v.t.Errorf("after the end: %v, want ErrStopped", err)
		}
	})
}
