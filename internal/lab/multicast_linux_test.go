package lab

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"
	"campagnol/internal/lab/program"
)

// A testLAN is three hosts on a kernel's bridge.
type testLAN struct {
	lab    *Lab
	sw     *Node
	bridge *Bridge
	hosts  [3]*Node // 10.77.0.11 to .13, fd77::11 to ::13 on eth0
}

const testPort = 5004

// quickBridge asks often, so that tests take seconds.
var quickBridge = BridgeOptions{
	Snooping: On, Querier: On, IGMPVersion: 3, MLDVersion: 2,
	QueryInterval: 2 * time.Second, QueryResponseInterval: 200 * ms, StartupQueryInterval: time.Second,
	LastMemberInterval: 500 * ms, LastMemberCount: 2,
}

// newLAN makes the LAN and waits until its bridge does not flood any more.
func newLAN(t *testing.T, o BridgeOptions) *testLAN {
	t.Helper()
	n := newLANOf(t, o)
	n.awaitSnooping(t)
	return n
}

// newLANOf makes the LAN; it may flood for a while.
func newLANOf(t *testing.T, o BridgeOptions) *testLAN {
	t.Helper()
	n := &testLAN{lab: newLab(t, Options{})}
	n.sw = addNode(t, n.lab, "sw")
	var err error
	if n.bridge, err = n.sw.AddBridge("br0", o); err != nil {
		t.Fatal(err)
	}
	for i := range n.hosts {
		n.hosts[i] = addNode(t, n.lab, string(rune('a'+i)))
		n.plug(t, n.hosts[i], "eth0", fmt.Sprintf("p%d", i), i+11)
	}
	return n
}

// plug connects an interface of a node to the bridge.
func (n *testLAN) plug(t *testing.T, to *Node, ifname, port string, number int) {
	t.Helper()
	if _, err := n.lab.Join(n.sw, port, to, ifname); err != nil {
		t.Fatal(err)
	}
	if err := n.bridge.AddPort(port); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{fmt.Sprintf("10.77.0.%d/24", number), fmt.Sprintf("fd77::%d/64", number)} {
		if err := to.Interface(ifname).AddAddress(netip.MustParsePrefix(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Interface(ifname).AwaitUp(); err != nil {
		t.Fatal(err)
	}
}

// awaitSnooping waits until a frame to an unknown group is kept back, of both
// families. A bridge floods while its querier is young.
func (n *testLAN) awaitSnooping(t *testing.T) {
	t.Helper()
	in, out := watch(t, n.hosts[1], WatchOptions{}), watch(t, n.hosts[0], WatchOptions{})
	h := frame.Header{Src: frame.MAC{2, 0, 0, 0, 0, 1}}
	for tries := 0; ; tries++ {
		mark := func(s string) []byte { return fmt.Appendf(nil, "%s %d", s, tries) }
		since := clock.Now()
		for _, addrs := range [][2]string{{"10.77.0.11", "239.255.0.9"}, {"fd77::11", "ff15::9999"}, {"10.77.0.11", "255.255.255.255"}} {
			h.SrcIP, h.DstIP = netip.MustParseAddr(addrs[0]), netip.MustParseAddr(addrs[1])
			if err := out.Send(frame.UDP(h, 9, 9, mark("snooping"))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := in.Await(testContext(t), since, isPayload(mark("snooping"), h.DstIP)); err != nil {
			t.Fatal(err)
		}
		leaked := in.Count(func(s Sighting) bool {
			return s.Frame.DstIP != h.DstIP && isPayload(mark("snooping"), s.Frame.DstIP)(s)
		})
		if leaked == 0 {
			return
		}
		time.Sleep(20 * ms)
	}
}

func isPayload(payload []byte, dst netip.Addr) func(Sighting) bool {
	return func(s Sighting) bool { return s.Frame.DstIP == dst && string(s.Frame.Payload) == string(payload) }
}

func addNode(t testing.TB, l *Lab, name string) *Node {
	t.Helper()
	n, err := l.AddNode(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// watch watches eth0 of a node until the end of the test.
func watch(t testing.TB, n *Node, o WatchOptions) *Watch {
	t.Helper()
	w, err := n.Interface("eth0").Watch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil && !t.Failed() {
			t.Errorf("close the watch: %v", err)
		}
	})
	return w
}

func startSender(t testing.TB, n *Node, o program.SenderOptions) *Sender {
	t.Helper()
	if o.Interface == "" {
		o.Interface = "eth0"
	}
	o.Port = testPort
	s, err := n.StartSender(testContext(t), "sender", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startReceiver(t testing.TB, n *Node) *Receiver {
	t.Helper()
	r, err := n.StartReceiver(testContext(t), "receiver", program.ReceiverOptions{Port: testPort})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tell does one of a receiver's verbs, or fails the test.
func tell(t testing.TB, verb func(*program.Receiver) (clock.Instant, error), r *Receiver) clock.Instant {
	t.Helper()
	at, err := verb(r.Receiver)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func join(t testing.TB, r *Receiver, m program.Membership) clock.Instant {
	t.Helper()
	return tell(t, func(r *program.Receiver) (clock.Instant, error) { return r.Join(testContext(t), m) }, r)
}

func leave(t testing.TB, r *Receiver, m program.Membership) clock.Instant {
	t.Helper()
	return tell(t, func(r *program.Receiver) (clock.Instant, error) { return r.Leave(testContext(t), m) }, r)
}

// awaitReceived waits for a datagram to a group that was sent at since or
// later.
func awaitReceived(t testing.TB, r *Receiver, group netip.Addr, since clock.Instant) program.Reception {
	t.Helper()
	g, err := r.AwaitReception(testContext(t), func(g program.Reception) bool { return g.Group == group && g.Sent >= since })
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestMulticastMembers is the experiment that everything else varies: a member
// gets the stream at once, others get nothing at all, and after the leave the
// stream ends.
func TestMulticastMembers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		group      string
		old        bool
		igmp, mld  int
		wantKind   frame.Kind
		wantLeaver frame.Kind
		version    uint8
	}{
		{"IGMPv3", "239.1.2.3", false, 0, 0, frame.Report, frame.Report, 3},
		{"IGMPv2, old options", "239.1.2.3", true, 2, 0, frame.Report, frame.Leave, 2},
		{"MLDv2", "ff15::1234", false, 0, 0, frame.Report, frame.Report, 3},
		{"MLDv1, old options", "ff15::1234", true, 0, 1, frame.Report, frame.Leave, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, quickBridge)
			group := netip.MustParseAddr(c.group)
			for _, h := range n.hosts {
				if err := h.Interface("eth0").ForceVersions(c.igmp, c.mld); err != nil {
					t.Fatal(err)
				}
			}
			wire := watch(t, n.hosts[1], WatchOptions{})
			bystander := watch(t, n.hosts[2], WatchOptions{Incoming: true, Filter: FilterUDP(testPort)})
			s := startSender(t, n.hosts[0], program.SenderOptions{Groups: []netip.Addr{group}, Rate: 50})
			r := startReceiver(t, n.hosts[1])
			m := program.Membership{Interface: "eth0", Group: group, Old: c.old}
			joined := join(t, r, m)
			first := awaitReceived(t, r, group, joined)
			t.Logf("first datagram %v after the join", first.At.Sub(joined))
			isMessage := func(k frame.Kind) func(Sighting) bool {
				return func(s Sighting) bool {
					g := s.Frame.Message
					return s.Outgoing && g.Kind == k && g.Version == c.version && s.Frame.RouterAlert &&
						(g.Group == group || len(g.Records) > 0 && g.Records[0].Group == group)
				}
			}
			if _, err := wire.Await(testContext(t), joined, isMessage(c.wantKind)); err != nil {
				t.Errorf("the report: %v", err)
			}
			left := leave(t, r, m)
			if _, err := wire.Await(testContext(t), left, isMessage(c.wantLeaver)); err != nil {
				t.Errorf("the leave: %v", err)
			}
			last := awaitQuiet(t, wire, group)
			t.Logf("last frame %v after the leave", last.Sub(left))
			if last.Sub(left) > 10*time.Second {
				t.Errorf("the stream went on for %v after the leave", last.Sub(left))
			}
			sent, err := s.Pause(testContext(t))
			if err != nil || sent.Failed != 0 || sent.Count == 0 {
				t.Errorf("the sender sent %+v (%v)", sent, err)
			}
			if n := len(bystander.Seen()); n != 0 {
				t.Errorf("somebody who joined nothing got %d frames, want 0; the first is %v", n, bystander.Seen()[0])
			}
			for _, w := range []*Watch{wire, bystander} {
				if n, err := w.Dropped(); n != 0 || err != nil {
					t.Errorf("the watch missed %d frames (%v)", n, err)
				}
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if err := s.Wait(testContext(t)); err != nil {
				t.Errorf("the sender ended with %v:\n%s", err, s.Tail())
			}
		})
	}
}

// awaitQuiet waits until no frame to a group has come in for a second, and
// returns when the last one came.
func awaitQuiet(t testing.TB, w *Watch, group netip.Addr) clock.Instant {
	t.Helper()
	const quiet = time.Second
	deadline := clock.Now().Add(30 * time.Second)
	for {
		last := clock.Instant(0)
		for _, s := range w.Seen() {
			if !s.Outgoing && s.Frame.DstIP == group && s.Frame.DstPort == testPort {
				last = s.At
			}
		}
		now := clock.Now()
		switch {
		case now.Sub(last) > quiet:
			return last
		case now > deadline:
			t.Fatalf("the stream to %v does not end", group)
		}
		time.Sleep(20 * ms)
	}
}

func TestProgramErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	n := addNode(t, l, "n")
	_, err := n.StartSender(testContext(t), "sender", program.SenderOptions{Interface: "eth9", Rate: 1, Groups: []netip.Addr{testGroup}})
	wantError(t, "a sender on no interface", err, "no such network interface")
	_, err = n.StartSender(testContext(t), "idle", program.SenderOptions{Interface: "lo"})
	wantError(t, "a sender without a group", err, "needs groups and a rate")
	_, err = n.StartRouter(testContext(t), "router", program.RouterOptions{Upstream: "lo"})
	wantError(t, "a router to nowhere", err, "1 to 31 downstream interfaces, not 0")
	r := startReceiver(t, n)
	for _, c := range []struct {
		m    program.Membership
		want string
	}{
		{program.Membership{Interface: "lo", Group: netip.MustParseAddr("10.0.0.1")}, "not a group"},
		{program.Membership{Interface: "eth9", Group: testGroup}, "no such network interface"},
	} {
		_, err := r.Join(testContext(t), c.m)
		wantError(t, fmt.Sprintf("join %v", c.m), err, c.want)
	}
	_, err = r.Block(testContext(t), program.Membership{Interface: "lo", Group: testGroup})
	wantError(t, "block everybody", err, "needs a source")
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(n.controlPath("receiver")); err == nil {
		t.Error("the socket of a receiver that was stopped is left")
	}
}

func wantError(t testing.TB, what string, err error, want string) {
	t.Helper()
	if !errorHas(err, want) {
		t.Errorf("%s: error %v, want one with %q", what, err, want)
	}
}

func errorHas(err error, part string) bool {
	return err != nil && strings.Contains(err.Error(), part)
}
