package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab/frame"
	"campagnol/internal/lab/program"
)

// An iptv is a LAN with a multicast router, and a source behind it.
type iptv struct {
	*testLAN
	router *Router
	source *Node // 10.99.0.2 on eth0
}

// newIPTV puts a router on the LAN, whose own bridge does not ask.
func newIPTV(t *testing.T, version uint8) *iptv {
	t.Helper()
	o := quickBridge
	o.Querier = Off
	n := &iptv{testLAN: newLANOf(t, o)}
	r := addNode(t, n.lab, "router")
	n.source = addNode(t, n.lab, "source")
	n.plug(t, r, "eth0", "p9", 1)
	if _, err := n.lab.Join(r, "up0", n.source, "eth0"); err != nil {
		t.Fatal(err)
	}
	for ifname, node := range map[string]*Node{"up0": r, "eth0": n.source} {
		number := 1
		if node == n.source {
			number = 2
		}
		if err := node.Interface(ifname).AddAddress(netip.MustParsePrefix(fmt.Sprintf("10.99.0.%d/24", number))); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	n.router, err = r.StartRouter(testContext(t), "router", program.RouterOptions{
		Upstream: "up0", Downstream: []string{"eth0"},
		Querier: program.QuerierOptions{Version: version, QueryInterval: 2 * time.Second, ResponseInterval: 400 * ms, LastMemberInterval: 500 * ms},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitRoute waits until the router sends the stream to the given interfaces.
func (n *iptv) awaitRoute(t *testing.T, group netip.Addr, want ...string) {
	t.Helper()
	ctx := testContext(t)
	for {
		routes, err := n.router.Routes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(routes, func(r program.Route) bool { return r.Group == group })
		if i >= 0 && slices.Equal(routes[i].To, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the routes are %v, want one of %v to %v\n%s", routes, group, want, n.router.Tail())
		case <-time.After(20 * ms):
		}
	}
}

// TestIPTV has a member behind the bridge get a stream from behind the router,
// as long as it is a member and no longer; the router finds the members out by
// its own queries, which also tell the bridge where it is.
func TestIPTV(t *testing.T) {
	t.Parallel()
	for _, version := range []uint8{2, 3} {
		t.Run(fmt.Sprintf("IGMPv%d", version), func(t *testing.T) {
			t.Parallel()
			n := newIPTV(t, version)
			wire := watch(t, n.hosts[1], WatchOptions{Incoming: true})
			isQuery := func(s Sighting) bool {
				m := s.Frame.Message
				return m.Kind == frame.Query && m.Version == version && s.Frame.SrcIP.String() == "10.77.0.1" && s.Frame.TTL == 1
			}
			query, err := wire.Await(testContext(t), 0, isQuery)
			if err != nil {
				t.Fatal(err)
			}
			if got := query.Frame.Message.MaxResponse; got != 400*ms {
				t.Errorf("the query asks for answers within %v, want 400ms", got)
			}
			other := netip.MustParseAddr("239.1.2.4")
			startSender(t, n.source, program.SenderOptions{Groups: []netip.Addr{testGroup, other}, Rate: 50, TTL: 4})
			n.awaitRoute(t, testGroup) // known, and wanted by nobody
			r := startReceiver(t, n.hosts[1])
			m := program.Membership{Interface: "eth0", Group: testGroup}
			joined := join(t, r, m)
			got := awaitReceived(t, r, testGroup, joined)
			t.Logf("first datagram %v after the join", got.At.Sub(joined))
			if got.Source.String() != "10.99.0.2" {
				t.Errorf("the stream comes from %v, want 10.99.0.2", got.Source)
			}
			n.awaitRoute(t, testGroup, "eth0")
			n.awaitRoute(t, other)
			// It goes on: queries are answered.
			awaitReceived(t, r, testGroup, joined.Add(6*time.Second))
			left := leave(t, r, m)
			n.awaitRoute(t, testGroup)
			last := awaitQuiet(t, wire, testGroup)
			t.Logf("last frame %v after the leave", last.Sub(left))
			if c := wire.Count(func(s Sighting) bool { return s.Frame.DstIP == other }); c != 0 {
				t.Errorf("%d frames of a group that nobody joined crossed the router", c)
			}
			db, err := n.bridge.MDB()
			if err != nil {
				t.Fatal(err)
			}
			port, err := n.sw.Interface("p9").Index()
			if err != nil {
				t.Fatal(err)
			}
			if len(db.Routers) != 1 || db.Routers[0].Port != uint32(port) || db.Routers[0].Timer <= 0 {
				t.Errorf("the bridge's routers are %+v, want one on port %d, with a timer", db.Routers, port)
			}
			if err := n.router.Stop(); err != nil {
				t.Error(err)
			}
			if err := n.router.Wait(testContext(t)); err != nil {
				t.Errorf("the router ended with %v:\n%s", err, n.router.Tail())
			}
		})
	}
}

// TestIPTVSources has the router send a member those sources only that it asked
// for.
func TestIPTVSources(t *testing.T) {
	t.Parallel()
	n := newIPTV(t, 3)
	ssm := netip.MustParseAddr("232.1.2.3")
	if err := n.source.Interface("eth0").AddAddress(netip.MustParsePrefix("10.99.0.3/24")); err != nil {
		t.Fatal(err)
	}
	wire := watch(t, n.hosts[1], WatchOptions{Incoming: true, Filter: FilterUDP(testPort)})
	r := startReceiver(t, n.hosts[1])
	for i := range 2 {
		_, err := n.source.StartSender(testContext(t), fmt.Sprintf("sender%d", i), program.SenderOptions{
			Interface: "eth0", Source: netip.AddrFrom4([4]byte{10, 99, 0, byte(2 + i)}), Groups: []netip.Addr{ssm}, Port: testPort, Rate: 50, TTL: 4,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m := program.Membership{Interface: "eth0", Group: ssm, Source: netip.MustParseAddr("10.99.0.3")}
	awaitReceived(t, r, ssm, join(t, r, m).Add(time.Second))
	for _, s := range wire.Seen() {
		if s.Frame.SrcIP != m.Source {
			t.Fatalf("a frame from another source reached the member: %v", s)
		}
	}
	routes, err := n.router.Routes(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(routes), "[{10.99.0.2 232.1.2.3 []} {10.99.0.3 232.1.2.3 [eth0]}]"; got != want {
		t.Errorf("the routes are %s, want %s", got, want)
	}
}

// TestSecondRouter checks that a namespace has one multicast router, and says
// so.
func TestSecondRouter(t *testing.T) {
	t.Parallel()
	n := newIPTV(t, 3)
	_, err := n.router.node.StartRouter(testContext(t), "second", program.RouterOptions{Upstream: "up0", Downstream: []string{"eth0"}})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second router: error %v, want address already in use", err)
	}
}
