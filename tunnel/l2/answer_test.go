package l2

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/tunnel/l2/ether"
)

// TestARPSuppression: a question whose answer has come by is answered here.
func TestARPSuppression(t *testing.T) {
	x := newNode(t, Config{}, 2)
	none := netip.IPv4Unspecified()
	other := netip.MustParseAddr("10.77.0.99")
	ask := whoHas(macL, ipL, ipB)
	foreign := whoHas(macL, ipL, ipB)
	copy(foreign[6:12], macC.Append(nil)) // sent by another station than it says
	x.run([]step{
		{what: "nobody has answered yet", frame: ask, want: "1 2"},
		{what: "B does", from: 2, frame: isAt(macL, macB, ipB, ipL), want: "tap"},
		{what: "known", frame: ask, want: "answered"},
		{what: "for another station too", frame: whoHas(macTAP, ipA, ipB), want: "answered"},
		{what: "in another VLAN it is not", frame: tagged(ask, 10), want: "1 2"},
		{what: "another address", frame: whoHas(macL, ipL, other), want: "1 2"},
		{what: "is it free?", frame: whoHas(macL, none, ipB), want: "1 2"},
		{what: "I have it", frame: whoHas(macL, ipB, ipB), want: "1 2"},
		{what: "a strange question", frame: foreign, want: "1 2"},
		{what: "from outside it goes to the TAP", from: 1, frame: whoHas(macA, ipA, ipB), want: "tap"},
		{what: "to one station: is it still there?", frame: arp(macB, ether.ARPPacket{Op: ether.ARPRequest, Sender: macL, SenderIP: ipL, TargetIP: ipB}), want: "2"},
		{after: 100 * time.Second, what: "said again, unasked", from: 2, frame: whoHas(macB, ipB, ipB), want: "tap"},
		{after: 120 * time.Second, what: "still known", frame: ask, want: "answered"},
		{after: 2 * time.Second, what: "too old", frame: ask, want: "1 2"},
		{what: "from the TAP nothing is learned", frame: isAt(macA, macL, ipL, ipA), want: "1"},
		{what: "nor is it answered", frame: whoHas(macTAP, ipA, ipL), want: "1 2"},
	})
	if n := x.sw.view.neighbours.n; n != 0 {
		t.Errorf("%d pairs are left", n)
	}
}

// TestARPAnswer: the answer is the one that B would give, with the tags of the
// question.
func TestARPAnswer(t *testing.T) {
	for _, vids := range [][]ether.VID{nil, {10}, {10, 20}, {0}} {
		x := newNode(t, Config{}, 1)
		x.frame(1, tagged(isAt(macL, macB, ipB, ipL), vids...))
		ask := tagged(whoHas(macL, ipL, ipB), vids...)
		if got := x.outcome(TAP, append(ask, make([]byte, 18)...)); got != "answered" {
			t.Fatalf("VLANs %v: %s", vids, got)
		}
		got := x.d.AppendAnswer([]byte{7}, ask)
		want := append([]byte{7}, tagged(isAt(macL, macB, ipB, ipL), vids...)...)
		if !bytes.Equal(got, want) {
			t.Errorf("VLANs %v: %x, want %x", vids, got, want)
		}
	}
	var d Decision
	if got := d.AppendAnswer([]byte{7}, nil); !bytes.Equal(got, []byte{7}) {
		t.Errorf("no answer: %x", got)
	}
}

// TestNeighbourBelief: only a peer at which the MAC is says which address it has, and
// what two say differently nobody has said.
func TestNeighbourBelief(t *testing.T) {
	ask := whoHas(macL, ipL, ipB)
	lie := isAt(macL, macB, ipB, ipL)
	copy(lie[6:12], macA.Append(nil)) // A says that B is at macB
	x := newNode(t, Config{}, 3)
	x.run([]step{
		{what: "hearsay", from: 1, frame: lie, want: "tap"},
		{what: "is not believed", frame: ask, want: "1 2 3"},
		{what: "B itself", from: 2, frame: isAt(macL, macB, ipB, ipL), want: "tap"},
		{what: "is", frame: ask, want: "answered"},
		{what: "A claims it", from: 1, frame: isAt(macL, macA, ipB, ipL), want: "tap", event: "conflict 1"},
		{what: "so nobody knows", frame: ask, want: "1 2 3"},
		{what: "B answers", from: 2, frame: isAt(macL, macB, ipB, ipL), want: "tap"},
		{what: "known again", frame: ask, want: "answered"},
		{what: "B has another card", from: 2, frame: whoHas(macC, ipB, ipB), want: "tap"},
		{what: "at the same port: believed", do: func(x *node) {
			if got := x.outcome(TAP, ask); got != "answered" || x.d.answer.mac != macC {
				t.Errorf("%s, %+v", got, x.d.answer)
			}
		}},
		{what: "its MAC moves", from: 3, frame: plain(macL, macC), want: "tap"},
		{what: "what it said there counts no more", frame: ask, want: "1 2 3"},
		{what: "it says so again", from: 3, frame: isAt(macL, macC, ipB, ipL), want: "tap"},
		{what: "known there", frame: ask, want: "answered"},
		{what: "the tunnel ends", do: func(x *node) { x.sw.PortDown(3) }, frame: ask, want: "1 2"},
	})
}

// TestNeighbourQuota: the pairs of a peer are bounded.
func TestNeighbourQuota(t *testing.T) {
	x := newNode(t, Config{MaxNeighbours: 2, NeighbourAge: 10 * time.Second}, 2)
	say := func(i byte) []byte { return isAt(macL, macB, netip.AddrFrom4([4]byte{10, 77, 1, i}), ipL) }
	ask := func(i byte) []byte { return whoHas(macL, ipL, netip.AddrFrom4([4]byte{10, 77, 1, i})) }
	x.run([]step{
		{what: "first", from: 2, frame: say(1), want: "tap"},
		{what: "second", from: 2, frame: say(2), want: "tap"},
		{what: "third", from: 2, frame: say(3), want: "tap", event: "quota 2"},
		{what: "fourth: no further event", from: 2, frame: say(4), want: "tap"},
		{what: "the third is not known", frame: ask(3), want: "1 2"},
		{what: "the first is", frame: ask(1), want: "answered"},
		{after: 11 * time.Second, what: "room again", from: 2, frame: say(3), want: "tap"},
		{what: "known", frame: ask(3), want: "answered"},
	})
}

// TestNoSuppression: everybody hears every question.
func TestNoSuppression(t *testing.T) {
	x := newNode(t, Config{NoSuppression: true}, 2)
	x.run([]step{
		{what: "B answers", from: 2, frame: isAt(macL, macB, ipB, ipL), want: "tap"},
		{what: "the question goes out", frame: whoHas(macL, ipL, ipB), want: "1 2"},
	})
	if x.sw.view.neighbours.n != 0 {
		t.Error("remembered what is not used")
	}
}

var (
	llL = netip.MustParseAddr("fe80::c")
	llB = netip.MustParseAddr("fe80::b")
)

// solicit is the question of macL who has llB.
func solicit() ether.Neighbour {
	return ether.Neighbour{Src: llL, Dst: ether.SolicitedNode(llB), Target: llB, MAC: macL}
}

// advertise is the answer of macB.
func advertise(router bool) ether.Neighbour {
	return ether.Neighbour{Advertisement: true, Src: llB, Dst: llL, Target: llB, MAC: macB, Router: router, Solicited: true, Override: true}
}

// TestNDSuppression: likewise for IPv6.
func TestNDSuppression(t *testing.T) {
	group := ether.GroupMAC(ether.SolicitedNode(llB))
	ask := nd(group, macL, solicit())
	probe := solicit()
	probe.Src, probe.MAC = netip.IPv6Unspecified(), 0
	anonymous := solicit()
	anonymous.MAC = 0
	broken := nd(macL, macB, advertise(false))
	broken[len(broken)-1] ^= 1
	unasked := advertise(false)
	unasked.Dst, unasked.Solicited = netip.MustParseAddr("ff02::1"), false
	x := newNode(t, Config{}, 2)
	x.run([]step{
		{what: "nobody knows", frame: ask, want: "1 2"},
		{what: "a wrong checksum", from: 2, frame: broken, want: "tap"},
		{what: "is not believed", frame: ask, want: "1 2"},
		{what: "B answers", from: 2, frame: nd(macL, macB, advertise(false)), want: "tap"},
		{what: "known", frame: ask, want: "answered"},
		{what: "tagged: not", frame: tagged(ask, 5), want: "1 2"},
		{what: "is it free?", frame: nd(group, macL, probe), want: "1 2"},
		{what: "who asks does not say where it is", frame: nd(group, macL, anonymous), want: "1 2"},
		{what: "are you still there?", frame: nd(macB, macL, solicit()), want: "2"},
		{what: "our own advertisement", frame: nd(0x333300000001, macL, unasked), want: "1 2"},
		{after: 100 * time.Second, what: "unasked", from: 2, frame: nd(0x333300000001, macB, unasked), want: "tap"},
		{after: 100 * time.Second, what: "still known", frame: ask, want: "answered"},
		{after: 30 * time.Second, what: "too old", frame: ask, want: "1 2"},
	})
}

// TestNDAnswer: the answer is the one that B would give; a router stays one.
func TestNDAnswer(t *testing.T) {
	for _, router := range []bool{false, true} {
		x := newNode(t, Config{}, 1)
		x.frame(1, tagged(nd(macL, macB, advertise(!router)), 7))
		x.frame(1, tagged(nd(macL, macB, advertise(router)), 7)) // it has changed its mind
		ask := tagged(nd(ether.GroupMAC(ether.SolicitedNode(llB)), macL, solicit()), 7)
		if got := x.outcome(TAP, ask); got != "answered" {
			t.Fatal(got)
		}
		want := tagged(nd(macL, macB, advertise(router)), 7)
		if got := x.d.AppendAnswer(nil, ask); !bytes.Equal(got, want) {
			t.Errorf("router %v: %x, want %x", router, got, want)
		}
	}
}

// TestOnDemand: who is asked for and has no tunnel is reported, not too often.
func TestOnDemand(t *testing.T) {
	x := newNode(t, Config{OnDemand: true}, 1)
	if err := x.sw.Pin(macC, 2); err != nil {
		t.Fatal(err)
	}
	ask := whoHas(macL, ipL, ipB)
	ll := nd(ether.GroupMAC(ether.SolicitedNode(llB)), macL, solicit())
	for i, c := range []struct {
		after time.Duration
		what  string
		frame []byte
		want  string
	}{
		{0, "ARP", ask, "wanted 0 00:00:00:00:00:00 10.77.0.12"},
		{0, "at once again", ask, ""},
		{time.Second, "later", ask, "wanted 0 00:00:00:00:00:00 10.77.0.12"},
		{0, "neighbour discovery", ll, "wanted 0 00:00:00:00:00:00 fe80::b"},
		{0, "unknown station", udp4(macA, macL, ipL, ipA), "wanted 0 02:00:00:00:00:0a 10.77.0.11"},
		{0, "unknown station, not IP", plain(macB, macL), "wanted 0 02:00:00:00:00:0b invalid IP"},
		{0, "a pinned one", plain(macC, macL), "wanted 2 02:00:00:00:00:cc invalid IP"},
		{0, "is an address free?", whoHas(macL, netip.IPv4Unspecified(), ipA), ""},
		{0, "broadcast", plain(ether.Broadcast, macL), ""},
		{0, "known", plain(macL, macL), ""},
	} {
		x.wait(c.after)
		x.frame(TAP, c.frame)
		got := ""
		for _, e := range x.events {
			got += fmt.Sprint(e.Kind, " ", e.Port, " ", e.MAC, " ", e.IP)
		}
		x.events = nil
		if got != c.want {
			t.Errorf("%d, %s: %q, want %q", i, c.what, got, c.want)
		}
	}
	// A question from outside is not ours to answer.
	x.frame(1, whoHas(macA, ipA, ipB))
	if got := x.happened(); got != "" {
		t.Errorf("from outside: %q", got)
	}
	x.wait(10 * time.Second)
	if len(x.sw.wants) != 0 {
		t.Errorf("%d wants are remembered", len(x.sw.wants))
	}
}

// TestOnDemandBounded: a scan of all addresses is bounded in events and memory.
func TestOnDemandBounded(t *testing.T) {
	x := newNode(t, Config{OnDemand: true, Limits: Limits{Broadcast: -1}}, 1)
	for i := range 10000 {
		x.frame(TAP, whoHas(macL, ipL, netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})))
	}
	if n := len(x.events); n != wantRate/4 {
		t.Errorf("%d events at once, want %d", n, wantRate/4)
	}
	// Even if the data path had no limit.
	for i := range 2000 {
		x.events = x.sw.Handle(x.now, Note{Asks: AskWant, WantedIP: netip.AddrFrom4([4]byte{10, 78, byte(i >> 8), byte(i)})}, x.events)
	}
	if n := len(x.sw.wants); n != maxWants {
		t.Errorf("%d wants are remembered, want %d", n, maxWants)
	}
	x.wait(2 * time.Second)
	if got := x.sw.Handle(x.now, Note{Asks: AskWant, WantedIP: ipB}, nil); len(got) != 1 {
		t.Errorf("after a pause: %v", got)
	}
}

// TestNotOnDemand: a mesh with all tunnels wants nobody.
func TestNotOnDemand(t *testing.T) {
	x := newNode(t, Config{}, 1)
	x.run([]step{
		{what: "ARP", frame: whoHas(macL, ipL, ipB), want: "1"},
		{what: "unknown", frame: plain(macB, macL), want: "1"},
	})
}

// TestSetOnDemand: whether anybody is wanted can change, and the counters go on.
func TestSetOnDemand(t *testing.T) {
	x := newNode(t, Config{}, 1)
	x.run([]step{{what: "a mesh", frame: whoHas(macL, ipL, ipB), want: "1"}})
	x.sw.SetOnDemand(true)
	x.run([]step{{what: "on demand", frame: whoHas(macL, ipL, ipB), want: "1", event: "wanted 0"}})
	x.sw.SetOnDemand(false)
	x.run([]step{{what: "a mesh again", frame: whoHas(macL, ipL, ipB), want: "1"}})
}
