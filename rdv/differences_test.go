package rdv

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// TestDifferences has a case for each situation in which we answer differently
// from the original, on purpose.
func TestDifferences(t *testing.T) {
	const locA, locB, locB2 = "192.168.1.2:49380", "192.168.1.3:46252", "192.168.1.9:1111"
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"HELLO again, fresh: OK, new local address", []step{
			says(0, epA, helloLocal(ip1, locA), wire.OK),
			says(0, epA2, helloLocal(ip2, locB), wire.OK),
			says(2*sec, epA2, helloLocal(ip2, locB2), wire.OK),
			{3 * sec, epA, ask(ip2), introducedAt(epA, at(locA), ip1, epA2, at(locB2), ip2)},
			says(3*sec, epA2, hello(ip2), wire.OK), // none any more
			{4 * sec, epA, ask(ip2), introduced(epA, ip1, epA2, ip2)},
			says(11*sec, epA2, ping, wire.Pong), // HELLO was a sign of life
		}},
		{"HELLO again, stale: OK, new local address", []step{
			says(0, epA2, helloLocal(ip2, locB), wire.OK),
			says(7*sec, epA2, helloLocal(ip2, locB2), wire.OK),
			says(7*sec, epA, helloLocal(ip1, locA), wire.OK),
			{8 * sec, epA, ask(ip2), introducedAt(epA, at(locA), ip1, epA2, at(locB2), ip2)},
		}},
		{"stale endpoint wants the address of a live client: NOK", []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			says(4*sec, epB, ping, wire.Pong),
			{6 * sec, epA, hello(ip2), []Out{to(epB, wire.Reconnect), to(epA, wire.NOK)}},
			says(6*sec, epB, hello(ip2), wire.OK),
			says(6*sec, epA, bye, silence),
			says(7*sec, epC, hello(ip3), wire.OK),
			{7 * sec, epC, ask(ip2), introduced(epC, ip3, epB, ip2)},
		}},
		{"contested address, the holder is alive", []step{
			says(0, epA, hello(ip1), wire.OK),
			{1 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}},
			says(1*sec+20*time.Millisecond, epA, hello(ip1), wire.OK),
			says(2*sec, epB, hello(ip1), wire.NOK),
			says(3*sec, epB, hello(ip1), wire.NOK),
			says(4*sec, epB, hello(ip1), wire.NOK),
			{6 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}}, // not before 5 s
		}},
		{"contested address, the holder is silent", []step{
			says(0, epA, hello(ip1), wire.OK),
			{1 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}},
			says(2*sec-1, epB, hello(ip1), wire.NOK),
			says(2*sec, epB, hello(ip1), wire.OK),
			says(3*sec, epA, ping, wire.Reconnect),
			says(3*sec, epA, hello(ip1), wire.NOK), // no probe: the last is 2 s ago
			{6 * sec, epA, hello(ip1), []Out{to(epB, wire.Reconnect), to(epA, wire.NOK)}},
			says(6*sec, epB, hello(ip1), wire.OK),
		}},
		{"contested address, the holder says something else than HELLO", []step{
			says(0, epA, hello(ip1), wire.OK),
			{1 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}},
			{1500 * time.Millisecond, epA, ask(ip9), []Out{reject(epA, ip9)}},
			says(2*sec, epB, hello(ip1), wire.NOK),
		}},
		{"contested address, nobody comes back for it", []step{
			says(0, epA, hello(ip1), wire.OK),
			{1 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}},
			says(3*sec, epA, ping, wire.Pong),
			says(4*sec, epB, hello(ip1), wire.NOK),
		}},
		{"a NAT gives the client another port", []step{
			says(0, epB, hello(ip2), wire.OK),
			says(3*sec, epB2, ping, wire.Reconnect),
			{3 * sec, epB2, hello(ip2), []Out{to(epB, wire.Reconnect), to(epB2, wire.NOK)}},
			says(4*sec, epB2, hello(ip2), wire.OK), // the original client repeats after 1 s
		}},
		{"ASK for a client that is silent for 5 to 10 s", []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			says(6*sec, epA, ping, wire.Pong),
			{6 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			{10*sec - 1, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			{10 * sec, epA, ask(ip2), []Out{reject(epA, ip2)}},
		}},
		{"time that runs backwards stands still", []step{
			says(0, epA, hello(ip1), wire.OK),
			says(-time.Hour, epA, ping, wire.Pong),
			says(9*sec, epA, ping, wire.Pong),
			says(-time.Hour, epB, hello(ip2), wire.OK),
			{18 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(19*sec, epB, ping, wire.Reconnect),
		}},
	} {
		t.Run(c.name, func(t *testing.T) { newBench(t, 0).run(c.steps...) })
	}
}

// TestD_R2_ReconnectReflection forges one datagram between two servers: each would answer the
// other for ever if an unknown endpoint's RECONNECT were answered.
func TestD_R2_ReconnectReflection(t *testing.T) {
	for typ := range 256 {
		typ := wire.Type(typ)
		switch typ {
		case wire.Hello, wire.Ping, wire.Ask, wire.Close, wire.Bye:
			continue
		}
		b := newBench(t, 0)
		b.run(says(0, epD, plain(typ), silence))
		if got := b.reg.Counters().Unexpected; got != 1 {
			t.Errorf("%v from an unknown endpoint: %d counted, want 1", typ, got)
		}
	}

	one, other := newBench(t, 0), newBench(t, 0)
	at1, at2 := epD, netip.MustParseAddrPort("198.51.100.5:57888")
	queue := one.reg.Handle(one.start, In{From: at2, Msg: ping}, nil) // the forged datagram
	n := 0
	for ; len(queue) > 0 && n < 100; n++ {
		to, m := queue[0].To, queue[0].Msg
		queue = queue[1:]
		if to == at2 {
			queue = append(queue, other.reg.Handle(other.start, In{From: at1, Msg: m}, nil)...)
		} else {
			queue = append(queue, one.reg.Handle(one.start, In{From: at2, Msg: m}, nil)...)
		}
	}
	if n != 1 {
		t.Errorf("two servers exchange %d datagrams after a forged one, want 1", n)
	}
}

// TestD_R3_AddressHijack tries to take a live client's VPN address by way of an endpoint
// that has gone stale, and then to make the client unknown.
func TestD_R3_AddressHijack(t *testing.T) {
	b := newBench(t, 0)
	b.run(
		says(0, epA, hello(ip1), wire.OK), // attacker
		says(0, epB, hello(ip2), wire.OK), // victim
		says(3*sec, epB, ping, wire.Pong),
		says(6*sec, epB, ping, wire.Pong),
		step{7 * sec, epA, hello(ip2), []Out{to(epB, wire.Reconnect), to(epA, wire.NOK)}},
		says(7*sec, epB, hello(ip2), wire.OK),
		says(7*sec, epA, bye, silence),
		says(7*sec, epC, hello(ip3), wire.OK),
		step{7 * sec, epC, ask(ip2), introduced(epC, ip3, epB, ip2)},
		says(8*sec, epD, hello(ip2), wire.NOK), // nor from elsewhere
		says(9*sec, epB, ping, wire.Pong),
	)
}

// TestD_R4_OneLostPing loses one PING and asks in the gap.
func TestD_R4_OneLostPing(t *testing.T) {
	b := newBench(t, 0)
	b.run(
		says(0, epA, hello(ip1), wire.OK),
		says(0, epB, hello(ip2), wire.OK),
		says(3*sec, epA, ping, wire.Pong), // that of B is lost
		says(6*sec-1, epA, ping, wire.Pong),
		step{6*sec - 1, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
		says(6*sec, epB, ping, wire.Pong), // still registered
	)
}

// TestD_R5_LostOK loses the OK of a starting client, which says HELLO every 2 s and
// gives up after the fourth.
func TestD_R5_LostOK(t *testing.T) {
	b := newBench(t, 0)
	b.run(
		says(0, epA, hello(ip1), wire.OK),
		says(2*sec, epA, hello(ip1), wire.OK),
		says(4*sec, epA, hello(ip1), wire.OK),
	)
	b.wantLog("add 203.0.113.21:49380 10.9.0.1")
}

// TestD_R6_StaleRegistration moves a client to another local network while the server keeps its
// registration, and checks that sessions end.
func TestD_R6_StaleRegistration(t *testing.T) {
	at := netip.MustParseAddrPort
	b := newBench(t, 0)
	b.run(
		says(0, epA, helloLocal(ip1, "192.168.1.2:1"), wire.OK),
		says(0, epA2, helloLocal(ip2, "192.168.1.3:1"), wire.OK),
		says(6*sec, epA2, helloLocal(ip2, "192.168.1.4:1"), wire.OK),
		step{6 * sec, epA, ask(ip2), introducedAt(epA, at("192.168.1.2:1"), ip1, epA2, at("192.168.1.4:1"), ip2)},
	)
	b.wantLog("add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.21:50000 10.9.0.2", "new 10.9.0.1 10.9.0.2")
	// A day of PINGs, and one more ASK.
	asked := 2 * time.Hour
	for now := 9 * sec; now < asked+sessionLifetime; now += 9 * sec {
		if now == asked {
			b.reg.Handle(b.start.Add(now), In{From: epA, Msg: ask(ip2)}, nil)
		}
		b.reg.Handle(b.start.Add(now), In{From: epA, Msg: ping}, nil)
		b.reg.Handle(b.start.Add(now), In{From: epA2, Msg: ping}, nil)
	}
	b.wantLog()
	if got, want := b.reg.Timeout(), b.start.Add(asked+sessionLifetime); !got.Equal(want) {
		t.Errorf("Timeout = %v, want %v, when the session expires", got, want)
	}
	b.reg.Advance(b.start.Add(asked+sessionLifetime-1), nil)
	b.wantLog()
	b.reg.Advance(b.start.Add(asked+sessionLifetime), nil)
	b.wantLog("remove 10.9.0.1 10.9.0.2")
	if got := b.reg.Len(); got != 2 {
		t.Errorf("%d clients, want 2", got)
	}
}

// TestSessionsAreBounded lets a client ask for everybody.
func TestSessionsAreBounded(t *testing.T) {
	b := newBench(t, 0)
	const clients = 1500
	for i := range clients {
		b.reg.Handle(b.start, In{From: nthEndpoint(i), Msg: hello(nthVPN(i))}, nil)
	}
	b.events = nil
	for i := range 20 {
		for j := range clients {
			b.reg.Handle(b.start, In{From: nthEndpoint(i), Msg: ask(nthVPN(j))}, nil)
		}
	}
	if got, want := b.reg.Sessions(), sessionsPerClient*clients; got != want {
		t.Errorf("%d sessions, want %d", got, want)
	}
	if err := check(b.reg); err != nil {
		t.Error(err)
	}
	removed := 0
	for _, e := range b.events {
		if e.Kind == SessionRemoved {
			removed++
		}
	}
	if want := 20*clients - sessionsPerClient*clients; removed != want {
		t.Errorf("%d sessions were reported as removed, want %d", removed, want)
	}
	// The first to have asked are the first to be forgotten.
	first, last := b.reg.byVPN[vpnOf(nthVPN(0))], b.reg.byVPN[vpnOf(nthVPN(19))]
	if first.sessions[0] != nil || last.sessions[0] == nil {
		t.Error("the newest sessions were forgotten instead of the oldest")
	}
}

// nthEndpoint returns an endpoint of its own /24 network for each small n.
func nthEndpoint(n int) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x10000001+uint32(n)<<8)
	return netip.AddrPortFrom(netip.AddrFrom4(b), 5000)
}

func nthVPN(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0A000001+uint32(n))
	return netip.AddrFrom4(b)
}
