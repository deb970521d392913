package web

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch/nat"
	"campagnol/rdv"
	"campagnol/rdv/relay"
)

// noon is the time of the samples.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// NATs of the samples.
var (
	portRestricted = nat.Behaviour{Known: true, Translated: true, MappingExact: true, FilteringExact: true, Filtering: nat.AddressAndPortDependent}
	fullCone       = nat.Behaviour{Known: true, Translated: true, MappingExact: true, FilteringExact: true}
	symmetric      = nat.Behaviour{Known: true, Translated: true, MappingExact: true, FilteringExact: true, Mapping: nat.AddressAndPortDependent, Filtering: nat.AddressAndPortDependent, Ports: nat.Random}
	public         = nat.Behaviour{Known: true, FilteringExact: true}
)

// A fixed source always tells the same.
type fixed struct {
	o *rdv.Overview
	h *rdv.History
}

func (f fixed) Overview(context.Context) (*rdv.Overview, error) { return f.o, nil }
func (f fixed) History() *rdv.History                           { return f.h }

// sample returns what a server with so many members might tell.
func sample(t testing.TB, members int) fixed {
	t.Helper()
	o := &rdv.Overview{
		Time: noon, Started: noon.Add(-76 * time.Hour), Mode: rdv.Strict, Software: "campagnol_rdv 1.0.0", MaxClients: 2000, Relays: true,
		PaceInterval: 5 * time.Second, Pace: make([]uint32, 60),
	}
	names := []string{"alice", "backup", "cologne-gw", "dora", "erlangen-lab-2", "files"}
	nats := []nat.Behaviour{portRestricted, portRestricted, symmetric, fullCone, public, {}}
	for i := range members {
		c := rdv.ClientInfo{
			VPN:      []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i / 250), byte(i%250 + 1)})},
			Endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / 250), byte((i-i%10/8)%250 + 1)}), uint16(40000+i)), // two of ten are in one network
			Channel:  i%7 != 6, Since: noon.Add(-time.Duration(i) * 13 * time.Minute), Heard: noon.Add(-time.Duration(i%4) * time.Second),
		}
		if c.Channel {
			c.Name, c.NAT, c.Software, c.Candidates = fmt.Sprintf("%s-%d", names[i%len(names)], i), nats[i%len(nats)], "campagnol 1.0.0", i%4
			switch {
			case i < len(names):
				c.Name = names[i]
			case i == 12:
				c.Name = "a-host-with-a-name-as-long-as-a-name-can-be-" + strings.Repeat("n", 20)
			case i == 13:
				c.Endpoint = netip.MustParseAddrPort("[2001:db8:1234:5678:9abc:def0:1234:5678]:57888")
			}
			c.Expires = noon.Add(time.Duration(i*31+9) * 24 * time.Hour)
			c.VPN = append(c.VPN, netip.MustParseAddr(fmt.Sprintf("fd00:9::%x", i+1)))
			if i%11 == 2 {
				c.Relay = relay.Use{Allocations: 1, Bytes: uint64(i+1) << 20}
			}
		}
		o.Clients = append(o.Clients, c)
	}
	for i := range members * 2 {
		a, b := i*7%members, (i*i+3)%members
		if a != b {
			p := rdv.PairInfo{Asker: o.Clients[a].VPN[0], Asked: o.Clients[b].VPN[0], Time: noon.Add(-time.Duration(i) * time.Minute), Relayed: i%3 == 0}
			if i%9 == 0 {
				p.RelayedAt = noon.Add(-5 * time.Second)
			}
			o.Pairs = append(o.Pairs, p)
		}
	}
	for i := range o.Pace {
		o.Pace[i] = uint32(i * i % 13)
	}
	o.Stats.Sessions, o.Stats.Relay = len(o.Pairs), relay.Stats{Allocations: 3, Allocated: 17, Bytes: 734 << 20}
	h := rdv.NewHistory()
	for _, e := range []rdv.Event{
		{Kind: rdv.ClientAdded, Endpoint: netip.MustParseAddrPort("198.51.0.1:40000"), VPN: netip.MustParseAddr("10.9.0.1"), Name: "alice"},
		{Kind: rdv.SessionAdded, VPN: netip.MustParseAddr("10.9.0.1"), Peer: netip.MustParseAddr("10.9.0.3")},
		{Kind: rdv.Forbidden, VPN: netip.MustParseAddr("10.9.0.4"), Peer: netip.MustParseAddr("10.9.0.2"), Why: "deny guests: guests -> servers (line 7)"},
		{Kind: rdv.HandshakeFailed, Endpoint: netip.MustParseAddrPort("203.0.113.9:4711"), Why: "certificate CN=mallory (serial 1F) refused: revoked by CN=CA on 2026-02-03"},
	} {
		h.Add(noon, e)
	}
	o.Refusals = h.Refusals()
	return fixed{o, h}
}

// canceled returns a context that is done.
func canceled(t *testing.T) context.Context {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	return ctx
}
