package lab

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"campagnol/tunnel/device"
	ethernet "campagnol/tunnel/segment"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prefix returns the network of a single address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func TestDropAndCount(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{IPv6: true})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	c := addHost(t, l, "c", nil)
	for _, v := range []struct {
		name string
		d    Direction
		m    Match
		hit  bool // a ping from a to b, over IPv4
		hit6 bool // the same over IPv6
	}{
		{"everything from a", FromNode, Match{}, true, true},
		{"everything to a", ToNode, Match{}, true, true},
		{"ICMP", FromNode, Match{Protocol: unix.IPPROTO_ICMP}, true, false},
		{"ICMPv6", ToNode, Match{Protocol: unix.IPPROTO_ICMPV6}, false, true},
		{"to b", FromNode, Match{Dst: single(b.Addr())}, true, false},
		{"to b over IPv6", FromNode, Match{Dst: single(b.Addr6())}, false, true},
		{"from b", ToNode, Match{Src: single(b.Addr()), Protocol: unix.IPPROTO_ICMP}, true, false},
		{"from the network of b", ToNode, Match{Src: internet4}, true, false},
		{"to c", FromNode, Match{Dst: single(c.Addr())}, false, false},
		{"between others", FromNode, Match{Src: single(c.Addr()), Dst: single(b.Addr())}, false, false},
		{"UDP", FromNode, Match{Protocol: unix.IPPROTO_UDP, DstPort: 53}, false, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			wantPing(t, a, b.Addr(), true)
			wantPing(t, a, b.Addr6(), true)
			r, err := a.Link().Drop(v.d, v.m)
			if err != nil {
				t.Fatal(err)
			}
			wantPing(t, a, b.Addr(), !v.hit)
			wantPing(t, a, b.Addr6(), !v.hit6)
			packets, bytes, err := r.Hits()
			if err != nil {
				t.Fatal(err)
			}
			if hit := v.hit || v.hit6; hit != (packets > 0) || hit != (bytes > 0) {
				t.Errorf("the rule dropped %d packets of %d bytes, want some: %v", packets, bytes, hit)
			}
			if err := r.Remove(); err != nil {
				t.Fatal(err)
			}
			if err := r.Remove(); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("removing a rule twice: error %v, want %v", err, os.ErrNotExist)
			}
			if _, _, err := r.Hits(); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("hits of a removed rule: error %v, want %v", err, os.ErrNotExist)
			}
			wantPing(t, a, b.Addr(), true)
		})
	}
}

// TestCountIsExact counts echo requests and answers of a known size.
func TestCountIsExact(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	echo := Match{Protocol: unix.IPPROTO_ICMP}
	var rules []*Rule
	for _, h := range []*Host{a, b} {
		for _, d := range []Direction{FromNode, ToNode} {
			r, err := h.Link().Count(d, echo)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, r)
		}
	}
	before, err := a.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Ping(testContext(t), b.Addr(), PingOptions{Count: 20, Interval: ms, Size: 1000})
	if err != nil || r.Received() != 20 {
		t.Fatalf("ping: %v, %v, want 20 answers", r, err)
	}
	after, err := a.Link().Traffic()
	if err != nil {
		t.Fatal(err)
	}
	const size = 20 + 8 + 1000
	for _, r := range rules {
		packets, bytes, err := r.Hits()
		if err != nil || packets != 20 || bytes != 20*size {
			t.Errorf("%s counted %d packets, %d bytes (%v), want 20, %d", r.tag, packets, bytes, err, 20*size)
		}
	}
	// The interface counts all frames, with their headers.
	delta := after.Sub(before)
	if delta.RxPackets < 20 || delta.TxPackets < 20 || delta.RxBytes < 20*(14+size) || delta.Bytes() > 60*(14+size) {
		t.Errorf("the interface counted %+v for 20 packets of %d bytes both ways", delta, size)
	}
}

// TestLossStaysOutside checks that what a cable loses has passed the NAT before:
// the mapping is there although the packet never arrived.
func TestLossStaysOutside(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server := addHost(t, l, "server", nil)
	nat := addNAT(t, l, "nat", NATOptions{Kind: PortRestricted})
	f := newFlow(t, addHost(t, l, "h", nat), server)
	r, err := nat.Link().Drop(FromNode, Match{Protocol: unix.IPPROTO_UDP})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.inner.WriteToUDPAddrPort([]byte("lost"), f.serverAddr); err != nil {
		t.Fatal(err)
	}
	if packets, _, err := r.Hits(); err != nil || packets != 1 {
		t.Errorf("the cable lost %d packets (%v), want 1", packets, err)
	}
	f.wantBack(netip.AddrPortFrom(nat.Addr(), portOf(f.inner)), true)
}

func TestLose(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	const sent = 1000
	for _, c := range []struct {
		part     float64
		min, max int // answers; six standard deviations of the binomial distribution
	}{
		{0, sent, sent},
		{0.1, 843, 957},
		{0.5, 405, 595},
		{1, 0, 0},
	} {
		r, err := a.Link().Lose(ToNode, Match{Protocol: unix.IPPROTO_ICMP}, c.part)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Ping(testContext(t), b.Addr(), PingOptions{Count: sent, Interval: ms / 10, Patience: 200 * ms})
		if err != nil {
			t.Fatal(err)
		}
		if n := got.Received(); n < c.min || n > c.max {
			t.Errorf("with a loss of %v, %d of %d were answered, want %d to %d", c.part, n, sent, c.min, c.max)
		}
		if packets, _, err := r.Hits(); err != nil || int(packets) != sent-got.Received() {
			t.Errorf("with a loss of %v, the rule counted %d (%v), want %d", c.part, packets, err, sent-got.Received())
		}
		if err := r.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []float64{-0.1, 1.1} {
		if _, err := a.Link().Lose(ToNode, Match{}, part); err == nil {
			t.Errorf("a loss of %v is accepted", part)
		}
	}
}

func TestMatchNeedsProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m  Match
		ok bool
	}{
		{Match{DstPort: 53}, false},
		{Match{SrcPort: 53, Protocol: unix.IPPROTO_ICMP}, false},
		{Match{SrcPort: 53, Protocol: unix.IPPROTO_UDP}, true},
		{Match{DstPort: 80, Protocol: unix.IPPROTO_TCP}, true},
	} {
		if _, err := c.m.exprs(); (err == nil) != c.ok {
			t.Errorf("%+v: error %v, want none: %v", c.m, err, c.ok)
		}
	}
}

// TestDropByPort drops one of two UDP flows.
func TestDropByPort(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	server, h := addHost(t, l, "server", nil), addHost(t, l, "h", nil)
	one, two := newFlow(t, h, server), newFlow(t, h, server)
	if _, err := h.Link().Drop(ToNode, Match{
		Protocol: unix.IPPROTO_UDP, SrcPort: one.serverAddr.Port(), DstPort: portOf(one.inner),
	}); err != nil {
		t.Fatal(err)
	}
	one.wantBack(one.outer(), false)
	two.wantBack(two.outer(), true)
}

func TestMTU(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	const mtu, headers = 1300, 28
	if err := b.Link().SetMTU(mtu); err != nil {
		t.Fatal(err)
	}
	const tag = 4 // Ethernet interfaces leave room for a VLAN tag
	for size, want := range map[int]int{mtu - headers: 1, mtu - headers + tag + 1: 0} {
		r, err := a.Ping(testContext(t), b.Addr(), PingOptions{Count: 1, Size: size, Patience: 200 * ms})
		if err != nil || r.Received() != want {
			t.Errorf("%d bytes towards an MTU of %d: %v (%v), want %d answers", size+headers, mtu, r, err, want)
		}
	}
	if err := b.Link().SetMTU(1); err == nil {
		t.Error("an MTU of 1 is accepted")
	}
}

func TestSetUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, Options{})
	a, b := addHost(t, l, "a", nil), addHost(t, l, "b", nil)
	wantPing(t, a, b.Addr(), true)
	for _, up := range []bool{false, true} {
		if err := b.Link().SetUp(up); err != nil {
			t.Fatal(err)
		}
		wantPing(t, a, b.Addr(), up)
	}
}

// TestAwaitVirtual: an interface of a program is up while the program has it, and not
// before it was brought up.
func TestAwaitVirtual(t *testing.T) {
	t.Parallel()
	n := addNode(t, newLab(t, Options{}), "n")
	var dev *device.Kernel
	if err := n.Do(func() (err error) {
		dev, err = device.Open(device.Config{Name: "tap9", Link: ethernet.Ethernet})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	up := func(want bool) {
		t.Helper()
		err := n.Interface("tap9").with(func(_ *netlink.Handle, link netlink.Link) error {
			if got := carries(link); got != want {
				t.Errorf("it carries packets: %v, want %v", got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	up(false)
	if err := n.Interface("tap9").SetUp(true); err != nil {
		t.Fatal(err)
	}
	up(true)
	if err := n.Interface("tap9").AwaitUp(); err != nil {
		t.Error(err)
	}
}
