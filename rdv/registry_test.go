package rdv

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

const sec = time.Second

// TestRegistry has a case for each statement about the original's server that
// still holds. Where we differ is in TestDifferences.
func TestRegistry(t *testing.T) {
	cases := []struct {
		name       string
		maxClients int
		steps      []step
		log        []string // events of the whole case
	}{
		{"register, ping, leave", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(3*sec, epA, ping, wire.Pong),
			says(6*sec, epA, ping, wire.Pong),
			says(7*sec, epA, bye, silence),
			says(8*sec, epA, ping, wire.Reconnect),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "delete 203.0.113.21:49380 10.9.0.1"}},

		{"unknown endpoint, client's messages", 0, []step{
			says(0, epA, ping, wire.Reconnect),
			says(0, epA, ask(ip2), wire.Reconnect),
			says(0, epA, closing(ip2), wire.Reconnect),
			says(0, epA, bye, wire.Reconnect),
		}, nil},

		{"registered client, server's and peers' messages", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epA, plain(wire.Pong), silence),
			says(0, epA, plain(wire.OK), silence),
			says(0, epA, plain(wire.NOK), silence),
			says(0, epA, plain(wire.Forward), silence),
			says(0, epA, plain(wire.Answer), silence),
			says(0, epA, plain(wire.Reject), silence),
			says(0, epA, plain(wire.Punch), silence),
			says(0, epA, plain(wire.KeepAlive), silence),
			says(0, epA, plain(wire.Reconnect), silence),
			says(0, epA, plain(14), silence),
			says(0, epA, plain(255), silence),
		}, []string{"add 203.0.113.21:49380 10.9.0.1"}},

		{"address of a stale client goes to the next", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(5*sec+1, epB, hello(ip1), wire.OK),
			says(5*sec+2, epA, ping, wire.Reconnect),
			says(5*sec+3, epB, ping, wire.Pong),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "delete 203.0.113.21:49380 10.9.0.1",
			"add 203.0.113.22:39538 10.9.0.1"}},

		{"address of a live client does not", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(3*sec, epA, ping, wire.Pong),
			{8 * sec, epB, hello(ip1), []Out{to(epA, wire.Reconnect), to(epB, wire.NOK)}},
		}, []string{"add 203.0.113.21:49380 10.9.0.1"}},

		{"full", 2, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(1*sec, epB, hello(ip2), wire.OK),
			says(2*sec, epC, hello(ip3), wire.NOK),
			says(9*sec, epB, ping, wire.Pong),
			says(10*sec-1, epC, hello(ip3), wire.NOK),
			says(10*sec, epC, hello(ip3), wire.OK), // A is dead
			says(11*sec, epC, bye, silence),
			says(11*sec, epA, hello(ip1), wire.OK),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"full 203.0.113.23:1024 10.9.0.3", "full 203.0.113.23:1024 10.9.0.3",
			"delete 203.0.113.21:49380 10.9.0.1", "add 203.0.113.23:1024 10.9.0.3",
			"delete 203.0.113.23:1024 10.9.0.3", "add 203.0.113.21:49380 10.9.0.1"}},

		{"full, but the address is free to take over", 1, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(6*sec, epB, hello(ip1), wire.OK),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "delete 203.0.113.21:49380 10.9.0.1",
			"add 203.0.113.22:39538 10.9.0.1"}},

		{"no check of the VPN address", 0, []step{
			says(0, epA, hello(netip.Addr{}), wire.OK), // 0.0.0.0
			says(0, epB, hello(netip.MustParseAddr("255.255.255.255")), wire.OK),
			{0, epB, ask(netip.Addr{}), introduced(epB, netip.MustParseAddr("255.255.255.255"), epA, netip.Addr{})},
		}, []string{"add 203.0.113.21:49380 invalid IP", "add 203.0.113.22:39538 255.255.255.255",
			"new 255.255.255.255 invalid IP"}},

		{"known endpoint, other VPN address, fresh", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(4*sec, epA, hello(ip2), wire.NOK),
			says(5*sec, epA, hello(ip2), wire.NOK),  // a refused HELLO is no sign of life
			says(5*sec+1, epA, hello(ip2), wire.OK), // so that it is stale now
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "delete 203.0.113.21:49380 10.9.0.1",
			"add 203.0.113.21:49380 10.9.0.2"}},

		{"known endpoint, other VPN address, which is stale", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			says(6*sec, epA, hello(ip2), wire.OK),
			says(6*sec, epB, ping, wire.Reconnect),
			says(6*sec, epB, hello(ip1), wire.OK), // which is free now
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"delete 203.0.113.22:39538 10.9.0.2", "delete 203.0.113.21:49380 10.9.0.1",
			"add 203.0.113.21:49380 10.9.0.2", "add 203.0.113.22:39538 10.9.0.1"}},

		{"only HELLO and PING are signs of life", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			{4 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(5*sec, epA, closing(ip2), silence),
			says(9*sec, epB, ping, wire.Pong),
			{9 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(10*sec, epA, ping, wire.Reconnect),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"new 10.9.0.1 10.9.0.2", "remove 10.9.0.1 10.9.0.2", "new 10.9.0.1 10.9.0.2",
			"delete 203.0.113.21:49380 10.9.0.1", "remove 10.9.0.1 10.9.0.2"}},

		{"a silent client's PING is answered until it is dead", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(10*sec-1, epA, ping, wire.Pong),
			says(20*sec-1, epA, ping, wire.Reconnect),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "delete 203.0.113.21:49380 10.9.0.1"}},

		{"ask", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			{1 * sec, epA, ask(ip9), []Out{reject(epA, ip9)}},
			{1 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			{2 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)}, // again
			{3 * sec, epB, ask(ip1), introduced(epB, ip2, epA, ip1)}, // reverse
			{4 * sec, epA, wire.Message{Type: wire.Ask, Port: 7, IP1: ip2, IP2: ip9}, introduced(epA, ip1, epB, ip2)},
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"new 10.9.0.1 10.9.0.2",
			"remove 10.9.0.1 10.9.0.2", "new 10.9.0.2 10.9.0.1",
			"remove 10.9.0.2 10.9.0.1", "new 10.9.0.1 10.9.0.2"}},

		{"ask oneself", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			{0, epA, ask(ip1), introduced(epA, ip1, epA, ip1)},
			{0, epA, ask(ip1), introduced(epA, ip1, epA, ip1)},
			says(0, epA, closing(ip1), silence),
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "new 10.9.0.1 10.9.0.1", "remove 10.9.0.1 10.9.0.1"}},

		{"ask for one who left", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			{0, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(1*sec, epB, wire.Message{Type: wire.Bye, IP1: ip9}, silence), // ip1 of BYE is ignored
			{1 * sec, epA, ask(ip2), []Out{reject(epA, ip2)}},
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"new 10.9.0.1 10.9.0.2", "delete 203.0.113.22:39538 10.9.0.2", "remove 10.9.0.1 10.9.0.2"}},

		{"close, by either side", 0, []step{
			says(0, epA, hello(ip1), wire.OK),
			says(0, epB, hello(ip2), wire.OK),
			{0, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(1*sec, epB, closing(ip1), silence),
			{1 * sec, epA, ask(ip2), introduced(epA, ip1, epB, ip2)},
			says(1*sec, epA, closing(ip2), silence),
			says(1*sec, epA, closing(ip2), silence), // there is none
			says(1*sec, epA, closing(ip9), silence), // unknown
		}, []string{"add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
			"new 10.9.0.1 10.9.0.2", "remove 10.9.0.1 10.9.0.2",
			"new 10.9.0.1 10.9.0.2", "remove 10.9.0.1 10.9.0.2"}},

		{"restart of the server", 0, []step{
			says(0, epA, ping, wire.Reconnect),
			says(0, epA, hello(ip1), wire.OK),
			says(3*sec, epA, ping, wire.Pong),
		}, []string{"add 203.0.113.21:49380 10.9.0.1"}},

		{"senders that cannot be answered", 0, []step{
			{0, netip.MustParseAddrPort("[2001:db8::1]:0"), hello(ip1), nil},
			{0, netip.MustParseAddrPort("[::]:5"), hello(ip1), nil},
			{0, netip.MustParseAddrPort("203.0.113.21:0"), hello(ip1), nil},
			{0, netip.MustParseAddrPort("0.0.0.0:5"), hello(ip1), nil},
			{0, netip.AddrPort{}, hello(ip1), nil},
			{0, netip.MustParseAddrPort("[::ffff:203.0.113.21]:5"), ping, nil}, // a Conn does not deliver these
		}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.maxClients)
			b.run(c.steps...)
			b.wantLog(c.log...)
		})
	}
}

// TestLocalAddresses has the rule by which clients are told each other's
// public or local addresses.
func TestLocalAddresses(t *testing.T) {
	const locA, locB = "192.168.1.2:49380", "192.168.1.3:46252"
	at := netip.MustParseAddrPort
	withoutIP := wire.Message{Type: wire.Hello, Port: 4444, IP1: ip2}
	withoutPort := wire.Message{Type: wire.Hello, IP1: ip2, IP2: netip.MustParseAddr("192.168.1.3")}
	for _, c := range []struct {
		name   string
		other  netip.AddrPort
		msg    wire.Message
		inside bool
	}{
		{"one NAT", epA2, helloLocal(ip2, locB), true},
		{"one NAT, one does not publish", epA2, hello(ip2), false},
		{"one NAT, address without port", epA2, withoutPort, false},
		{"one NAT, port without address", epA2, withoutIP, false},
		{"two NATs", epB, helloLocal(ip2, locB), false},
		{"two NATs, one private network", epB, helloLocal(ip2, locA), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, 0)
			want := introduced(epA, ip1, c.other, ip2)
			back := introduced(c.other, ip2, epA, ip1)
			if c.inside {
				want = introducedAt(epA, at(locA), ip1, c.other, at(locB), ip2)
				back = introducedAt(c.other, at(locB), ip2, epA, at(locA), ip1)
			}
			b.run(
				says(0, epA, helloLocal(ip1, locA), wire.OK),
				says(0, c.other, c.msg, wire.OK),
				step{0, epA, ask(ip2), want},
				step{0, c.other, ask(ip1), back},
			)
		})
	}
}

// TestGoldenIntroduction checks ANS and FWD against captured datagrams.
func TestGoldenIntroduction(t *testing.T) {
	b := newBench(t, 0)
	b.run(says(0, epA, helloLocal(ip1, "192.168.1.2:49380"), wire.OK), says(0, epB, helloLocal(ip2, "192.168.2.2:39538"), wire.OK))
	out := b.reg.Handle(b.start, In{From: epA, Msg: ask(ip2)}, nil)
	if len(out) != 2 {
		t.Fatalf("ASK is answered with %s", describe(out))
	}
	for i, want := range []string{
		"\x07\x9a\x72\xcb\x00\x71\x16\x0a\x09\x00\x02",
		"\x06\xc0\xe4\xcb\x00\x71\x15\x0a\x09\x00\x01",
	} {
		if got := string(out[i].Msg.Append(nil)); got != want {
			t.Errorf("message %d is %x, want %x", i, got, want)
		}
	}
}

// TestTimeout follows what Advance has to do and when.
func TestTimeout(t *testing.T) {
	b := newBench(t, 0)
	want := func(d time.Duration) {
		t.Helper()
		if got, want := b.reg.Timeout(), b.start.Add(d); !got.Equal(want) {
			t.Errorf("Timeout = start + %v, want start + %v", got.Sub(b.start), d)
		}
	}
	if got := b.reg.Timeout(); !got.IsZero() {
		t.Errorf("Timeout of an empty registry = %v, want zero", got)
	}
	b.run(says(0, epA, hello(ip1), wire.OK))
	want(10 * sec)
	b.run(says(2*sec, epB, hello(ip2), wire.OK))
	want(10 * sec)
	b.run(says(3*sec, epA, ping, wire.Pong))
	want(12 * sec)
	b.reg.Advance(b.start.Add(12*sec-1), nil)
	if got := b.reg.Len(); got != 2 {
		t.Errorf("%d clients just before the time, want 2", got)
	}
	if out := b.reg.Advance(b.start.Add(12*sec), nil); len(out) > 0 {
		t.Errorf("Advance sends %s", describe(out))
	}
	want(13 * sec)
	b.reg.Advance(b.start.Add(time.Hour), nil)
	if got := b.reg.Timeout(); !got.IsZero() || b.reg.Len() != 0 {
		t.Errorf("Timeout = %v with %d clients, want zero and none", got, b.reg.Len())
	}
	b.wantLog("add 203.0.113.21:49380 10.9.0.1", "add 203.0.113.22:39538 10.9.0.2",
		"delete 203.0.113.22:39538 10.9.0.2", "delete 203.0.113.21:49380 10.9.0.1")
}

// TestVPN looks clients up for the log.
func TestVPN(t *testing.T) {
	b := newBench(t, 0)
	b.run(says(0, epA, hello(ip1), wire.OK), says(0, epB, hello(netip.Addr{}), wire.OK))
	for _, c := range []struct {
		from netip.AddrPort
		want netip.Addr
		ok   bool
	}{
		{epA, ip1, true}, {epB, netip.Addr{}, true}, {epC, netip.Addr{}, false}, {netip.AddrPort{}, netip.Addr{}, false},
	} {
		if got, ok := b.reg.VPN(c.from, 0); got != c.want || ok != c.ok {
			t.Errorf("VPN(%v) = %v, %v, want %v, %v", c.from, got, ok, c.want, c.ok)
		}
	}
}

// TestMultihomed checks that each client is sent everything from the address of
// the server that it uses.
func TestMultihomed(t *testing.T) {
	s1, s2, s3 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")
	r := NewRegistry(RegistryConfig{})
	start := time.Unix(1_000_000_000, 0)
	for i, c := range []struct {
		at    time.Duration
		from  netip.AddrPort
		local netip.Addr
		msg   wire.Message
		want  []netip.Addr
	}{
		{0, epA, s1, ping, []netip.Addr{s1}}, // RECONNECT
		{0, epA, s1, hello(ip1), []netip.Addr{s1}},
		{0, epB, s2, hello(ip2), []netip.Addr{s2}},
		{0, epA, s1, ask(ip2), []netip.Addr{s1, s2}},
		{0, epA, s1, ask(ip9), []netip.Addr{s1}},
		{1 * sec, epA, s3, ping, []netip.Addr{s3}}, // it has changed its mind
		{1 * sec, epB, s2, ask(ip1), []netip.Addr{s2, s3}},
		{1 * sec, epC, s1, hello(ip2), []netip.Addr{s2, s1}}, // probe and NOK
		{1 * sec, epA, netip.Addr{}, ping, []netip.Addr{{}}}, // not known: the kernel chooses
		{1 * sec, epB, s2, ask(ip1), []netip.Addr{s2, {}}},
	} {
		var got []netip.Addr
		for _, o := range r.Handle(start.Add(c.at), In{From: c.from, Local: c.local, Msg: c.msg}, nil) {
			got = append(got, o.Local)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("step %d: answers from %v, want %v", i, got, c.want)
		}
	}
}
