package main

import (
	"net/netip"
	"regexp"
	"testing"
	"time"

	"campagnol/internal/lab"
	play "campagnol/internal/lab/program"
	"campagnol/internal/testenv/guide"
)

// videoSize is the length of a datagram with seven packets of a transport stream, and the
// header of RTP.
const videoSize = 12 + 7*188

// provider makes a host the router of a provider: it asks at eth0 who wants what, and
// passes on films from a source on its other side.
func (v *village) provider(name string, channels ...string) {
	v.t.Helper()
	router := v.hosts[name].Node
	source, err := v.lab.AddNode("source")
	v.must(err)
	_, err = v.lab.Join(router, "up0", source, "eth0")
	v.must(err)
	v.must(router.Interface("up0").AddAddress(netip.MustParsePrefix("10.99.0.1/24")))
	v.must(source.Interface("eth0").AddAddress(netip.MustParsePrefix("10.99.0.2/24")))
	v.must(router.Interface("eth0").AddAddress(netip.MustParsePrefix("10.64.0.1/24")))
	_, err = router.StartRouter(v.soon(), "iptv", play.RouterOptions{Upstream: "up0", Downstream: []string{"eth0"}})
	v.must(err)
	var groups []netip.Addr
	for _, c := range channels {
		groups = append(groups, mustAddr(c))
	}
	_, err = source.StartSender(v.soon(), "films", play.SenderOptions{Interface: "eth0", TTL: 4, Groups: groups, Port: filmPort, Size: videoSize, Rate: filmRate})
	v.must(err)
}

// tellsWhatItWants waits until a member is known to have told what its hosts want: before,
// it is sent everything.
func (v *village) tellsWhatItWants(to, member string) {
	v.t.Helper()
	line := regexp.MustCompile(`"` + member + `"\)( +[0-9]+){3} +what it wants\n`)
	for end := time.Now().Add(tapPatience); ; time.Sleep(100 * time.Millisecond) {
		out, err := v.shells[to].Run(v.soon(), "campagnol mdb")
		v.must(err)
		if line.MatchString(out) {
			return
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s has not told %s what it wants:\n%s", member, to, out)
		}
	}
}

// TestIPTV does what docs/iptv.md says: a TV in another home gets the channel that was
// chosen, and no other; and a member who watches nothing gets nothing.
func TestIPTV(t *testing.T) {
	t.Parallel()
	const channel, other = "239.1.2.3", "239.1.2.4"
	g := guide.Open(t, "docs/iptv.md")
	v := newParty(t, g.Text(t, "ini", 0))
	v.node("router", "alice", "eth1")
	tv := v.node("tv", "bob", "eth1")
	v.must(tv.Interface("eth0").AddAddress(netip.MustParsePrefix("10.64.0.9/24")))
	r := readIn(v, g)
	for range 2 {
		r.through("ip link set br0 up")
	}
	v.provider("router", channel, other)
	v.pings("tv", "10.64.0.1")
	v.pings("carol", "10.9.0.1")
	full, err := tv.Ping(v.soon(), mustAddr("10.64.0.1"), lab.PingOptions{Count: 5, Size: 1500 - 28})
	if err != nil || full.Received() != 5 {
		t.Errorf("the TV pings the router with full frames: %v, %v", full, err)
	}
	v.tellsWhatItWants("alice", "bob")
	v.tellsWhatItWants("alice", "carol")
	carol, err := v.hosts["carol"].Interface("tap0").Watch(lab.WatchOptions{Incoming: true})
	v.must(err)
	defer carol.Close()
	screen, err := tv.Interface("eth0").Watch(lab.WatchOptions{Incoming: true})
	v.must(err)
	defer screen.Close()

	viewer, err := tv.StartReceiver(v.soon(), "viewer", play.ReceiverOptions{Port: filmPort})
	v.must(err)
	m := play.Membership{Interface: "eth0", Group: mustAddr(channel)}
	_, err = viewer.Join(v.soon(), m)
	v.must(err)
	_, err = screen.Await(v.soon(), 0, isFilm(channel))
	v.must(err)
	r.all()
	if n := screen.Count(isFilm(other)); n != 0 {
		t.Errorf("%d frames of a channel that nobody has chosen", n)
	}

	_, err = viewer.Leave(v.soon(), m)
	v.must(err)
	m.Group = mustAddr(other)
	_, err = viewer.Join(v.soon(), m)
	v.must(err)
	_, err = screen.Await(v.soon(), 0, isFilm(other))
	v.must(err)
	(&tapNet{mesh: &mesh{t: t}}).ends(screen, channel)
	for _, c := range []string{channel, other} {
		if n := carol.Count(isFilm(c)); n != 0 {
			t.Errorf("%d frames of %s have come to a member that watches nothing", n, c)
		}
	}
}
