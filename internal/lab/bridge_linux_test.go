package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"campagnol/internal/lab/frame"
	"campagnol/internal/lab/program"
	"campagnol/internal/lab/scenario"

	"golang.org/x/sys/unix"
)

// TestBridgeAttrs checks what the kernel is asked for.
func TestBridgeAttrs(t *testing.T) {
	t.Parallel()
	if got := (BridgeOptions{}).attrs(); got != nil {
		t.Errorf("nothing is set, and the kernel is asked for %v", got)
	}
	o := BridgeOptions{
		Snooping: On, Querier: Off, QueryUseAddress: On, VLANFiltering: Off, IGMPVersion: 3, MLDVersion: 2,
		QueryInterval: time.Second, QueryResponseInterval: 2 * time.Second, StartupQueryInterval: 3 * time.Second, StartupQueryCount: 4,
		LastMemberInterval: 50 * ms, LastMemberCount: 6, MembershipInterval: 7 * time.Second, QuerierInterval: 8 * time.Second,
	}
	want := map[int]uint64{
		unix.IFLA_BR_MCAST_SNOOPING: 1, unix.IFLA_BR_MCAST_QUERIER: 0, unix.IFLA_BR_MCAST_QUERY_USE_IFADDR: 1,
		unix.IFLA_BR_VLAN_FILTERING: 0, unix.IFLA_BR_MCAST_IGMP_VERSION: 3, unix.IFLA_BR_MCAST_MLD_VERSION: 2,
		unix.IFLA_BR_MCAST_QUERY_INTVL: 100, unix.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL: 200,
		unix.IFLA_BR_MCAST_STARTUP_QUERY_INTVL: 300, unix.IFLA_BR_MCAST_STARTUP_QUERY_CNT: 4,
		unix.IFLA_BR_MCAST_LAST_MEMBER_INTVL: 5, unix.IFLA_BR_MCAST_LAST_MEMBER_CNT: 6,
		unix.IFLA_BR_MCAST_MEMBERSHIP_INTVL: 700, unix.IFLA_BR_MCAST_QUERIER_INTVL: 800,
	}
	got := o.attrs()
	for _, a := range got {
		var value uint64
		switch len(a.value) {
		case 1:
			value = uint64(a.value[0])
		case 4:
			value = uint64(binary.NativeEndian.Uint32(a.value))
		case 8:
			value = binary.NativeEndian.Uint64(a.value)
		}
		if w, ok := want[a.kind]; !ok || w != value {
			t.Errorf("attribute %d is %d, want %d (%v)", a.kind, value, w, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d attributes, want %d", len(got), len(want))
	}
}

func TestBridgeErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	n := addNode(t, l, "n")
	b, err := n.AddBridge("br0", BridgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.AddBridge("br0", BridgeOptions{})
	wantError(t, "a second br0", err, "file exists")
	wantError(t, "IGMPv9", b.Set(BridgeOptions{IGMPVersion: 9}), "set options of bridge br0")
	wantError(t, "a port that is not there", b.AddPort("eth5"), "eth5")
	if err := b.Set(BridgeOptions{VLANFiltering: On}); err != nil {
		// A kernel without the driver.
		var h interface{ Hint() string }
		if !errors.As(err, &h) || !strings.Contains(h.Hint(), "CONFIG_BRIDGE_VLAN_FILTERING") {
			t.Errorf("VLANs: error %v without a hint", err)
		}
	}
	m, err := b.MDB()
	if err != nil || len(m.Routers) != 0 {
		t.Errorf("an empty bridge knows %+v (%v)", m, err)
	}
	if b.Name() != "br0" || b.Index() == 0 {
		t.Errorf("the bridge is %s with number %d", b.Name(), b.Index())
	}
}

// TestFastLeave gives up a group without asking, and takes a port away.
func TestFastLeave(t *testing.T) {
	t.Parallel()
	o := OracleOptions(false)
	o.LastMemberInterval = time.Minute // nobody could wait for it
	f := newFabric(t, o)
	if err := f.Bridge.SetFastLeave("p1", true); err != nil {
		t.Fatal(err)
	}
	var old scenario.Scenario
	for _, s := range scenario.All() {
		if s.Name == "IGMP version 2: report and leave" {
			old = s
		}
	}
	old.Steps = old.Steps[:3]
	if err := scenario.Run(testContext(t), f, old, scenario.Options{}); err != nil {
		t.Fatal(err)
	}
	any := scenario.State{Mode: scenario.Exclude}
	old.Steps = []scenario.Step{
		{Name: "leave", Port: 1, Report: frame.Message{Kind: frame.Leave, Version: 2, Group: old.Group}, Want: map[int]scenario.State{1: {}, 2: any}},
		{Name: "another report", Port: 2, Report: old.Steps[2].Report},
	}
	if err := scenario.Run(testContext(t), f, old, scenario.Options{}); err != nil {
		t.Error(err)
	}
	if err := f.Bridge.RemovePort("p2"); err != nil {
		t.Fatal(err)
	}
	m, err := f.Bridge.MDB()
	if got := m.Of(f.ports[2], old.Group); err != nil || len(got) != 0 {
		t.Errorf("a port that is gone wants %v (%v)", got, err)
	}
}

// TestStarExclude checks the kernel's entries, with their flags, where one port
// wants all of a group and another one source of it.
func TestStarExclude(t *testing.T) {
	t.Parallel()
	f := newFabric(t, OracleOptions(false))
	group, source := netip.MustParseAddr("239.10.10.10"), netip.MustParseAddr("192.0.2.1")
	report := func(kind frame.RecordType, sources ...netip.Addr) frame.Message {
		return frame.Message{Kind: frame.Report, Version: 3, Records: []frame.Record{{Type: kind, Group: group, Sources: sources}}}
	}
	all, one := scenario.State{Mode: scenario.Exclude}, scenario.State{Mode: scenario.Include, Wanted: []netip.Addr{source}}
	err := scenario.Run(testContext(t), f, scenario.Scenario{Name: "star exclude", Group: group, Sources: []netip.Addr{source}, Steps: []scenario.Step{
		{Name: "all", Port: 1, Report: report(frame.IsEx), Want: map[int]scenario.State{1: all}},
		{Name: "one", Port: 2, Report: report(frame.Allow, source), Want: map[int]scenario.State{2: one}},
		{Name: "all but one", Port: 3, Report: report(frame.IsEx, source), Want: map[int]scenario.State{3: {Mode: scenario.Exclude, Refused: one.Wanted}}},
	}}, scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Bridge.MDB()
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[int]struct{ starEx, blocked bool }{1: {true, false}, 2: {false, false}, 3: {false, true}} {
		entries := m.Of(f.ports[port], group)
		if len(entries) != 2 || entries[1].Source != source || entries[1].StarEx != want.starEx || entries[1].Blocked != want.blocked {
			t.Errorf("of port %d there is %v, want an entry of the source with %+v", port, entries, want)
		}
		if len(entries) > 0 && port != 2 && (entries[0].Timer < 200*time.Second || entries[0].Timer > 260*time.Second) {
			t.Errorf("of port %d the group's timer is %v, want nearly 4m10s", port, entries[0].Timer)
		}
	}
}

// TestInterface changes what an interface has.
func TestInterface(t *testing.T) {
	t.Parallel()
	_, a, b, k := newCable(t)
	i := a.Interface("eth0")
	mac := net.HardwareAddr{2, 0, 0, 7, 7, 7}
	if err := i.SetMAC(mac); err != nil {
		t.Fatal(err)
	}
	if got, err := i.MAC(); err != nil || got.String() != mac.String() {
		t.Errorf("the address is %v (%v), want %v", got, err, mac)
	}
	for n, addr := range map[*Node]string{a: "fd00::1/64", b: "fd00::2/64"} {
		if err := n.Interface("eth0").AddAddress(netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
		if err := n.Interface("eth0").AwaitUp(); err != nil {
			t.Fatal(err)
		}
	}
	ping := func(want int) {
		t.Helper()
		patience := 10 * time.Second // several tries to find the neighbour
		if want == 0 {
			patience = 300 * ms
		}
		r, err := a.Ping(testContext(t), netip.MustParseAddr("fd00::2"), PingOptions{Count: 2, Interval: 5 * ms, Patience: patience, Size: 1300})
		if err != nil || r.Received() != want {
			t.Errorf("%v answers (%v), want %d", r, err, want)
		}
	}
	ping(2)
	if err := b.Interface("eth0").SetMTU(1280); err != nil {
		t.Fatal(err)
	}
	ping(0)
	if err := k.SetMTU(1500); err != nil {
		t.Fatal(err)
	}
	ping(2)
	if err := i.SetIPv6(false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(testContext(t), netip.MustParseAddr("fd00::2"), PingOptions{Count: 1, Patience: 300 * ms}); err == nil {
		t.Error("without IPv6, a ping leaves")
	}
	if err := i.AddAddress(netip.MustParsePrefix("10.9.0.1/24")); err != nil {
		t.Fatal(err)
	}
	if err := i.AddRoute(netip.MustParsePrefix("10.10.0.0/16"), netip.MustParseAddr("10.9.0.2")); err != nil {
		t.Error(err)
	}
	if err := i.AddRoute(netip.MustParsePrefix("224.0.0.0/4"), netip.Addr{}); err != nil {
		t.Error(err)
	}
	wantError(t, "a route through nobody", i.AddRoute(netip.MustParsePrefix("10.11.0.0/16"), netip.MustParseAddr("172.16.0.1")), "add a route to 10.11.0.0/16")
	wantError(t, "an interface that is not there", a.Interface("eth8").SetUp(true), "eth8")
	if err := i.ForceVersions(2, 1); err != nil {
		t.Fatal(err)
	}
	err := a.Do(func() error {
		for path, want := range map[string]string{"ipv4/conf/eth0/force_igmp_version": "2", "ipv6/conf/eth0/force_mld_version": "1"} {
			if got, err := os.ReadFile("/proc/sys/net/" + path); err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s is %q (%v), want %s", path, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.StartSender(testContext(t), "down", program.SenderOptions{Interface: "eth0", Groups: []netip.Addr{testGroup}, Port: 1, Rate: 1}); err != nil {
		t.Errorf("a sender on an interface that is down has to wait for it: %v", err)
	}
}
