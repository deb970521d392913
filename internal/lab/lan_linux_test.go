package lab

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
	"campagnol/internal/lab/program"
)

// gotFrom counts receptions by source.
func gotFrom(t testing.TB, r *Receiver, since clock.Instant) map[netip.Addr]int {
	t.Helper()
	got, err := r.Got(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	n := map[netip.Addr]int{}
	for _, g := range program.Between(got, since, 0) {
		n[g.Source]++
	}
	return n
}

// TestSources joins, blocks and leaves by source, with both kinds of socket
// options. What is not wanted does not even reach the host.
func TestSources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		group   string
		sources [2]string
		old     bool
	}{
		{"IPv4", "232.1.2.3", [2]string{"10.77.0.11", "10.77.0.13"}, false},
		{"IPv4, old options", "232.1.2.3", [2]string{"10.77.0.11", "10.77.0.13"}, true},
		{"IPv6", "ff35::1234", [2]string{"fd77::11", "fd77::13"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, quickBridge)
			group := netip.MustParseAddr(c.group)
			var sources [2]netip.Addr
			for i, s := range c.sources {
				sources[i] = netip.MustParseAddr(s)
				startSender(t, n.hosts[2*i], program.SenderOptions{Source: sources[i], Groups: []netip.Addr{group}, Rate: 50})
			}
			wire := watch(t, n.hosts[1], WatchOptions{Incoming: true, Filter: FilterUDP(testPort)})
			r := startReceiver(t, n.hosts[1])
			m := program.Membership{Interface: "eth0", Group: group, Source: sources[0], Old: c.old}
			joined := join(t, r, m)
			awaitReceived(t, r, group, joined.Add(500*ms))
			if got := gotFrom(t, r, 0); got[sources[0]] == 0 || got[sources[1]] != 0 {
				t.Errorf("of source 1 there are %d datagrams, of source 2 %d; want some and none", got[sources[0]], got[sources[1]])
			}
			if bad := wire.Count(func(s Sighting) bool { return s.Frame.SrcIP != sources[0] }); bad != 0 {
				t.Errorf("%d frames from another source reached the host", bad)
			}
			leave(t, r, m)
			awaitQuiet(t, wire, group)
			// All but one.
			any := program.Membership{Interface: "eth0", Group: group, Old: c.old}
			join(t, r, any)
			at := tell(t, func(p *program.Receiver) (clock.Instant, error) { return p.Block(testContext(t), m) }, r)
			awaitFrom(t, r, sources[1], at)
			if got := gotFrom(t, r, at.Add(200*ms)); got[sources[0]] != 0 {
				t.Errorf("%d datagrams of a blocked source", got[sources[0]])
			}
			at = tell(t, func(p *program.Receiver) (clock.Instant, error) { return p.Unblock(testContext(t), m) }, r)
			awaitFrom(t, r, sources[0], at)
		})
	}
}

// awaitFrom waits for a datagram of a source that was sent at since or later.
func awaitFrom(t testing.TB, r *Receiver, source netip.Addr, since clock.Instant) {
	t.Helper()
	_, err := r.AwaitReception(testContext(t), func(g program.Reception) bool { return g.Source == source && g.Sent >= since })
	if err != nil {
		t.Fatalf("from %v: %v", source, err)
	}
}

// TestTwoOldMembers has two hosts that speak IGMPv2, where one may keep its
// report back because it hears the other's. Neither may miss anything.
func TestTwoOldMembers(t *testing.T) {
	t.Parallel()
	n := newLAN(t, quickBridge)
	s := startSender(t, n.hosts[0], program.SenderOptions{Groups: []netip.Addr{testGroup}, Rate: 20})
	var receivers []*Receiver
	var joined clock.Instant
	for _, h := range n.hosts[1:] {
		if err := h.Interface("eth0").ForceVersions(2, 1); err != nil {
			t.Fatal(err)
		}
		r := startReceiver(t, h)
		joined = join(t, r, program.Membership{Interface: "eth0", Group: testGroup})
		receivers = append(receivers, r)
	}
	for _, r := range receivers {
		awaitReceived(t, r, testGroup, joined.Add(7*time.Second)) // three general queries
	}
	sent, err := s.Pause(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range receivers {
		last, err := r.AwaitReception(testContext(t), func(g program.Reception) bool { return g.Seq == sent.Count-1 })
		if err != nil {
			t.Fatalf("member %d does not get the last datagram: %v", i, err)
		}
		if last.Sent != sent.Last || last.Run != sent.Run {
			t.Errorf("the last datagram is %+v, and was sent as %+v", last, sent)
		}
		got, err := r.Got(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		flows := program.ByFlow(program.Between(got, joined.Add(time.Second), 0))
		if len(flows) != 1 {
			t.Errorf("member %d gets %d flows, want 1", i, len(flows))
		}
		for _, all := range flows {
			if sum := program.Summarise(all, 5*time.Second); sum.Lost != 0 || sum.Duplicates != 0 || len(sum.Gaps) != 0 {
				t.Errorf("member %d: %+v, want nothing lost, doubled, or late", i, sum)
			}
		}
	}
}

// TestOneAddressThreeGroups has groups whose frames go to one MAC: a member of
// one of them gets that one, once.
func TestOneAddressThreeGroups(t *testing.T) {
	t.Parallel()
	n := newLAN(t, quickBridge)
	groups := []netip.Addr{testGroup, netip.MustParseAddr("224.1.2.3"), netip.MustParseAddr("239.129.2.3")}
	for _, g := range groups {
		if got, want := frame.GroupMAC(g), frame.GroupMAC(testGroup); got != want {
			t.Fatalf("the MAC of %v is %v, want %v", g, got, want)
		}
	}
	wire := watch(t, n.hosts[1], WatchOptions{Incoming: true, Filter: FilterUDP(testPort)})
	startSender(t, n.hosts[0], program.SenderOptions{Groups: groups, Rate: 50, Size: 600})
	r := startReceiver(t, n.hosts[1])
	joined := join(t, r, program.Membership{Interface: "eth0", Group: groups[1]})
	awaitReceived(t, r, groups[1], joined.Add(time.Second))
	seqs := map[string]int{}
	for _, s := range wire.Seen() {
		if s.Frame.DstIP != groups[1] {
			t.Fatalf("a frame of another group reached the host: %v", s)
		}
		if len(s.Frame.Payload) != 600 {
			t.Fatalf("a datagram has %d bytes, want 600", len(s.Frame.Payload))
		}
		seqs[string(s.Frame.Payload[:program.PayloadSize])]++
	}
	for p, copies := range seqs {
		if copies != 1 {
			t.Errorf("datagram %x came %d times", p, copies)
		}
	}
}

// TestLinkLocalGroups has groups that nobody reports: what is for all hosts of
// the link arrives.
func TestLinkLocalGroups(t *testing.T) {
	t.Parallel()
	n := newLAN(t, quickBridge)
	for _, h := range n.hosts {
		if err := h.SetSysctl("net/ipv4/igmp_link_local_mcast_reports", "0"); err != nil {
			t.Fatal(err)
		}
	}
	wire := watch(t, n.hosts[1], WatchOptions{})
	groups := []netip.Addr{netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("224.0.0.251")}
	startSender(t, n.hosts[0], program.SenderOptions{Groups: groups, Rate: 20})
	r := startReceiver(t, n.hosts[1])
	for _, g := range groups {
		at := join(t, r, program.Membership{Interface: "eth0", Group: g})
		awaitReceived(t, r, g, at)
	}
	reports := wire.Count(func(s Sighting) bool {
		m := s.Frame.Message
		return s.Outgoing && m.Kind == frame.Report && s.Frame.DstIP.Is4()
	})
	if reports != 0 {
		t.Errorf("the host reported %d times, and should not", reports)
	}
}

// TestTwoBridges joins two bridges by a cable, with the querier on the far side
// of the member: the shape of a mesh that joins two networks.
func TestTwoBridges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		querier [2]*bool
	}{
		{"querier at the sender", [2]*bool{On, Off}},
		{"querier at the member", [2]*bool{Off, On}},
		{"two queriers", [2]*bool{On, On}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			near := quickBridge
			near.Querier, near.QueryUseAddress = c.querier[0], Off
			far := near
			far.Querier = c.querier[1]
			n := newLANOf(t, near)
			sw := addNode(t, n.lab, "sw2")
			second, err := sw.AddBridge("br0", far)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.lab.Join(n.sw, "trunk", sw, "trunk"); err != nil {
				t.Fatal(err)
			}
			for _, b := range []*Bridge{n.bridge, second} {
				if err := b.AddPort("trunk"); err != nil {
					t.Fatal(err)
				}
			}
			d := addNode(t, n.lab, "d")
			(&testLAN{lab: n.lab, sw: sw, bridge: second}).plug(t, d, "eth0", "p0", 14)
			startSender(t, n.hosts[0], program.SenderOptions{Groups: []netip.Addr{testGroup}, Rate: 50})
			wire := watch(t, d, WatchOptions{Incoming: true})
			r := startReceiver(t, d)
			m := program.Membership{Interface: "eth0", Group: testGroup}
			joined := join(t, r, m)
			awaitReceived(t, r, testGroup, joined.Add(5*time.Second))
			left := leave(t, r, m)
			t.Logf("last frame %v after the leave", awaitQuiet(t, wire, testGroup).Sub(left))
			// A second time, as the bridges have state by now.
			awaitReceived(t, r, testGroup, join(t, r, m))
		})
	}
}

// TestSenderPauses stops and goes on, and keeps its rate.
func TestSenderPauses(t *testing.T) {
	t.Parallel()
	_, a, b, _ := newCable(t)
	for n, addr := range map[*Node]string{a: "fd00::1/64", b: "fd00::2/64"} {
		if err := n.Interface("eth0").AddAddress(netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
		if err := n.Interface("eth0").AwaitUp(); err != nil {
			t.Fatal(err)
		}
	}
	group := netip.MustParseAddr("ff15::77")
	s := startSender(t, a, program.SenderOptions{Groups: []netip.Addr{group}, Rate: 200, Source: netip.MustParseAddr("fd00::1"), TTL: 3})
	r := startReceiver(t, b)
	joined := join(t, r, program.Membership{Interface: "eth0", Group: group})
	awaitReceived(t, r, group, joined.Add(time.Second))
	paused, err := s.Pause(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Sent(testContext(t))
	if err != nil || again != paused {
		t.Errorf("while it pauses, the sender has sent %+v (%v), want %+v", again, err, paused)
	}
	took := paused.Last.Sub(paused.First)
	if got, most := paused.Count, uint64(took.Seconds()*200)+2; got > most {
		t.Errorf("in %v it sent %d datagrams, want %d at most", took, got, most)
	}
	if err := s.Resume(testContext(t)); err != nil {
		t.Fatal(err)
	}
	got := awaitReceived(t, r, group, paused.Last+1)
	if got.Seq != paused.Count || got.Source.String() != "fd00::1" || got.At < got.Sent {
		t.Errorf("after the pause comes %+v, want number %d from fd00::1", got, paused.Count)
	}
}

// TestProgramsAreInside checks that a program is in the namespace of its node,
// and ends with the lab at the latest.
func TestProgramsAreInside(t *testing.T) {
	t.Parallel()
	l, a, _, _ := newCable(t)
	r := startReceiver(t, a)
	inside, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", r.PID()))
	if err != nil {
		t.Fatal(err)
	}
	named, err := inodeOf(a.Namespace())
	if err != nil || inside.ino != named.ino {
		t.Errorf("the program is in namespace %v, the node in %v (%v)", inside, named, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", r.PID())); err == nil {
		t.Error("the program outlives the lab")
	}
	if _, err := r.Got(testContext(t)); err == nil {
		t.Error("a program that has ended answers")
	}
}

// TestRestart has the receiver and then the sender start again, each as another
// process, and tells the streams apart.
func TestRestart(t *testing.T) {
	t.Parallel()
	n := newLAN(t, quickBridge)
	group := netip.MustParseAddr("ff15::5678")
	o := program.SenderOptions{Interface: "eth0", Groups: []netip.Addr{group}, Port: testPort, Rate: 50}
	s := startSender(t, n.hosts[0], o)
	r := startReceiver(t, n.hosts[1])
	m := program.Membership{Interface: "eth0", Group: group}
	first := awaitReceived(t, r, group, join(t, r, m))
	// Killed, a receiver does not leave by itself, but its kernel does.
	if err := r.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-r.Exited()
	again, err := n.hosts[1].StartReceiver(testContext(t), "again", program.ReceiverOptions{Port: testPort})
	if err != nil {
		t.Fatal(err)
	}
	if got := awaitReceived(t, again, group, join(t, again, m)); got.Run != first.Run || got.Seq <= first.Seq {
		t.Errorf("after the receiver's restart it gets %+v, want a later one of the stream of %+v", got, first)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := clock.Now()
	if _, err := n.hosts[0].StartSender(testContext(t), "again", o); err != nil {
		t.Fatal(err)
	}
	if got := awaitReceived(t, again, group, stopped); got.Run == first.Run {
		t.Errorf("after the sender's restart comes %+v, of the old stream", got)
	}
}

// TestStorm has a sender that sends broadcasts as fast as it is told, and
// counts at the other hosts: each has the same, and nothing twice.
func TestStorm(t *testing.T) {
	t.Parallel()
	n := newLAN(t, quickBridge)
	var watches []*Watch
	for _, h := range n.hosts[1:] {
		watches = append(watches, watch(t, h, WatchOptions{Incoming: true, Filter: FilterUDP(testPort)}))
	}
	s := startSender(t, n.hosts[0], program.SenderOptions{Groups: []netip.Addr{netip.MustParseAddr("255.255.255.255")}, Rate: 2000})
	enough := func(s Sighting) bool {
		p, err := program.ParsePayload(s.Frame.Payload)
		return err == nil && p.Seq >= 1000
	}
	for _, w := range watches {
		if _, err := w.Await(testContext(t), 0, enough); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := s.Pause(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range watches {
		last := func(s Sighting) bool {
			p, err := program.ParsePayload(s.Frame.Payload)
			return err == nil && p.Seq == sent.Count-1
		}
		if _, err := w.Await(testContext(t), 0, last); err != nil {
			t.Fatal(err)
		}
		seqs := map[uint64]bool{}
		for _, s := range w.Seen() {
			p, err := program.ParsePayload(s.Frame.Payload)
			if err != nil || p.Run != sent.Run || seqs[p.Seq] || s.Frame.Dst != frame.Broadcast {
				t.Fatalf("host %d saw %v, which is twice or of somebody else (%v)", i, s, err)
			}
			seqs[p.Seq] = true
		}
		if dropped, err := w.Dropped(); err != nil || uint64(len(seqs)+dropped)+sent.Failed < sent.Count {
			t.Errorf("host %d saw %d of %d frames, and %d were dropped (%v)", i, len(seqs), sent.Count, dropped, err)
		}
	}
}
