package path

import (
	"net/netip"
	"testing"
	"time"
)

const ms = time.Millisecond

func view(addr string, rtt time.Duration) View {
	return View{Addr: netip.MustParseAddrPort(addr), RTT: rtt}
}

func relay(addr string, rtt time.Duration) View {
	v := view(addr, rtt)
	v.Relay = true
	return v
}

func byTCP(addr string, rtt time.Duration) View {
	v := view(addr, rtt)
	v.Stream = true
	return v
}

func TestClass(t *testing.T) {
	for _, c := range []struct {
		view View
		want Class
	}{
		{view("192.168.1.2:5000", 0), LAN},
		{view("10.0.0.1:5000", 0), LAN},
		{view("172.16.0.1:5000", 0), LAN},
		{view("[::ffff:172.31.0.1]:5000", 0), LAN},
		{view("[fd00::1]:5000", 0), LAN},
		{view("[fe80::1]:5000", 0), LAN},
		{view("127.0.0.1:5000", 0), LAN},
		{view("100.64.0.1:5000", 0), WAN}, // of a provider, for many
		{view("203.0.113.1:5000", 0), WAN},
		{view("[2001:db8::1]:5000", 0), WAN},
		{byTCP("192.168.1.2:5000", 0), TCP},
		{byTCP("[::ffff:203.0.113.1%tcp]:5000", 0), TCP},
		{View{Stream: true, Relay: true}, Relay},
		{relay("192.168.1.2:5000", 0), Relay},
		{relay("203.0.113.1:5000", ms), Relay},
	} {
		if got := c.view.Class(); got != c.want {
			t.Errorf("%v, relay %v: %v, want %v", c.view.Addr, c.view.Relay, got, c.want)
		}
	}
}

// TestBetter has pairs of which the first is the better one, and says whether it is worth
// a move from the second.
func TestBetter(t *testing.T) {
	for _, c := range []struct {
		name         string
		better, than View
		worth        bool
	}{
		{"a LAN before the Internet", view("192.168.1.2:5000", 80*ms), view("203.0.113.1:5000", 5*ms), true},
		{"and before a relay", view("192.168.1.2:5000", 80*ms), relay("203.0.113.1:5000", 5*ms), true},
		{"direct before a relay", view("203.0.113.1:5000", 300*ms), relay("203.0.113.9:5000", 5*ms), true},
		{"by UDP before TCP", view("203.0.113.1:5000", 300*ms), byTCP("203.0.113.1:443", 5*ms), true},
		{"over TCP before a relay", byTCP("203.0.113.1:443", 300*ms), relay("203.0.113.9:5000", 5*ms), true},
		{"over TCP, much faster", byTCP("203.0.113.1:443", 20*ms), byTCP("203.0.113.9:443", 40*ms), true},
		{"over TCP, a little faster", byTCP("203.0.113.1:443", 19*ms), byTCP("203.0.113.9:443", 20*ms), false},
		{"also if its time is not known", view("203.0.113.1:5000", 0), relay("203.0.113.9:5000", 5*ms), true},
		{"IPv6, which is faster", view("[2001:db8::1]:5000", 20*ms), view("203.0.113.1:5000", 40*ms), true},
		{"IPv4, which is faster", view("203.0.113.1:5000", 20*ms), view("[2001:db8::1]:5000", 40*ms), true},
		{"a relay that is faster", relay("203.0.113.1:5000", 20*ms), relay("203.0.113.9:5000", 40*ms), true},
		{"a little faster", view("[2001:db8::1]:5000", 19*ms), view("203.0.113.1:5000", 20*ms), false},
		{"a little faster, of much", view("[2001:db8::1]:5000", 160*ms), view("203.0.113.1:5000", 200*ms), false},
		{"much faster, of little", view("192.168.1.2:5000", ms), view("192.168.7.2:5000", 4*ms), false},
		{"known before unknown", view("203.0.113.1:5000", time.Hour), view("203.0.113.2:5000", 0), false},
	} {
		if !Better(c.better, c.than) || Better(c.than, c.better) {
			t.Errorf("%s: not better, or in both directions", c.name)
		}
		if got := Worth(c.than, c.better); got != c.worth {
			t.Errorf("%s: worth a move: %v, want %v", c.name, got, c.worth)
		}
		if Worth(c.better, c.than) {
			t.Errorf("%s: worth a move back", c.name)
		}
	}
	a, b := view("203.0.113.1:5000", 20*ms), view("[2001:db8::1]:5000", 20*ms)
	if Better(a, b) || Better(b, a) || Worth(a, b) || Worth(b, a) {
		t.Error("one of two equal paths is better")
	}
}

// views returns views of all kinds, many of them equal in something.
func views() []View {
	var list []View
	for _, addr := range []string{"192.168.1.2:5000", "[fd00::2]:5000", "203.0.113.1:5000", "[2001:db8::1]:5000"} {
		for _, rtt := range []time.Duration{0, time.Microsecond, 4 * ms, 5 * ms, 19 * ms, 20 * ms, 21 * ms, 25 * ms, 27 * ms, time.Hour} {
			list = append(list, view(addr, rtt), relay(addr, rtt))
		}
	}
	return list
}

// TestBetterOrder: Better is a strict weak order: nothing is better than itself, or in
// both directions; better than what is better is better; and equal to what is equal is
// equal.
func TestBetterOrder(t *testing.T) {
	list := views()
	equal := func(a, b View) bool { return !Better(a, b) && !Better(b, a) }
	for _, a := range list {
		if Better(a, a) {
			t.Fatalf("%v is better than itself", a)
		}
		for _, b := range list {
			if Better(a, b) && Better(b, a) {
				t.Fatalf("%v and %v are better than each other", a, b)
			}
			for _, c := range list {
				if Better(a, b) && Better(b, c) && !Better(a, c) {
					t.Fatalf("%v, %v, %v: not transitive", a, b, c)
				}
				if equal(a, b) && equal(b, c) && !equal(a, c) {
					t.Fatalf("%v, %v, %v: equality is not transitive", a, b, c)
				}
			}
		}
	}
}

// TestWorthCircle: a session that always takes the next path that is worth it comes to
// an end, wherever it begins: what is worth a move is better, and Better has no circles.
func TestWorthCircle(t *testing.T) {
	for _, from := range views() {
		for _, to := range views() {
			if Worth(from, to) && !Better(to, from) {
				t.Fatalf("a move from %v to %v is worth it, which is not better", from, to)
			}
		}
	}
}
