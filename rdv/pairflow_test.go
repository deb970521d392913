package rdv

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/relay"
)

// TestMarkRelayed: of what is relayed the server names two members only if it knows that
// it was for them.
func TestMarkRelayed(t *testing.T) {
	began := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	var clients []ClientInfo
	for i, endpoint := range []string{"203.0.113.1:1000", "203.0.113.2:1000", "203.0.113.3:1000", "203.0.113.3:1001", "203.0.113.9:7"} {
		vpn := netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})
		clients = append(clients, ClientInfo{VPN: []netip.Addr{vpn}, Endpoint: netip.MustParseAddrPort(endpoint), account: vpn})
	}
	clients[4].Stream = true
	const a, b, c, d, e = "10.9.0.0", "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"
	for _, x := range []struct {
		name        string
		flows       []relay.Flow
		asker, peer string
		want        time.Time
	}{
		{"nothing", nil, a, b, time.Time{}},
		{"by its endpoint", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.2:1000"), Last: at(1)}}, a, b, at(1)},
		{"as well if the other one has asked", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.2:1000"), Last: at(1)}}, b, a, at(1)},
		{"written as IPv6", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("[::ffff:203.0.113.2]:1000"), Last: at(1)}}, a, b, at(1)},
		{"from another port of a host with one member", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.2:4711"), Last: at(2)}}, a, b, at(2)},
		{"from another port of a host with two members", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.3:4711"), Last: at(2)}}, a, c, time.Time{}},
		{"from one of them", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.3:1001"), Last: at(2)}}, a, d, at(2)},
		{"not from the other one", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.3:1001"), Last: at(2)}}, a, c, time.Time{}},
		{"from the host of one that comes by TCP", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.9:7"), Last: at(2)}}, a, e, at(2)},
		{"by the relayed addresses of both, the latest", []relay.Flow{
			{User: a, Peer: netip.MustParseAddrPort("198.51.100.1:50000"), PeerUser: c, Last: at(3)},
			{User: c, Peer: netip.MustParseAddrPort("198.51.100.1:50001"), PeerUser: a, Last: at(5)},
			{User: a, Peer: netip.MustParseAddrPort("198.51.100.1:50000"), PeerUser: c, Last: at(4)},
		}, a, c, at(5)},
		{"another pair", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("198.51.100.1:50000"), PeerUser: c, Last: at(3)}}, a, b, time.Time{}},
		{"of one who has left", []relay.Flow{{User: "10.9.0.77", Peer: netip.MustParseAddrPort("203.0.113.2:1000"), Last: at(3)}}, a, b, time.Time{}},
		{"to one who has left", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("198.51.100.1:50000"), PeerUser: "10.9.0.77", Last: at(3)}}, a, b, time.Time{}},
		{"to somebody else", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("192.0.2.7:1"), Last: at(3)}}, a, b, time.Time{}},
		{"to itself", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.1:9"), Last: at(3)}}, a, a, time.Time{}},
		{"introduced to one who has left", []relay.Flow{{User: a, Peer: netip.MustParseAddrPort("203.0.113.2:1000"), Last: at(1)}}, a, "10.9.0.77", time.Time{}},
	} {
		pairs := []PairInfo{{Asker: netip.MustParseAddr(x.asker), Asked: netip.MustParseAddr(x.peer)}}
		markRelayed(pairs, clients, x.flows)
		if got := pairs[0].RelayedAt; !got.Equal(x.want) {
			t.Errorf("%s: relayed at %v, want %v", x.name, got, x.want)
		}
	}
}
