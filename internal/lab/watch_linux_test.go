package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"campagnol/internal/lab/clock"
	"campagnol/internal/lab/frame"

	"golang.org/x/sys/unix"
)

// newCable makes two nodes with a cable between their eth0.
func newCable(t *testing.T) (l *Lab, a, b *Node, k *Link) {
	t.Helper()
	l = newLab(t, Options{})
	a, b = addNode(t, l, "a"), addNode(t, l, "b")
	k, err := l.Join(a, "eth0", b, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	return l, a, b, k
}

// TestWatchTags sends frames with tags, without a driver for them, and checks
// that all of them are seen at the other end.
func TestWatchTags(t *testing.T) {
	t.Parallel()
	_, a, b, _ := newCable(t)
	out, in := watch(t, a, WatchOptions{}), watch(t, b, WatchOptions{})
	h := frame.Header{Src: frame.MAC{2, 0, 0, 0, 0, 1}, Dst: frame.MAC{2, 0, 0, 0, 0, 2}, SrcIP: netip.MustParseAddr("10.0.0.1"), DstIP: testGroup}
	for _, tags := range [][]frame.Tag{
		nil,
		{{TPID: frame.TPIDCustomer, VID: 42, Priority: 3}},
		{{TPID: frame.TPIDService, VID: 100}, {TPID: frame.TPIDCustomer, VID: 4094, Priority: 7}},
		{{TPID: frame.TPIDCustomer, Priority: 1}}, // a priority, no VLAN
	} {
		h.Tags = tags
		want := frame.UDP(h, 1, 2, []byte("tagged"))
		before := clock.Now()
		if err := out.Send(want); err != nil {
			t.Fatal(err)
		}
		got, err := in.Await(testContext(t), before, func(s Sighting) bool { return string(s.Raw) == string(want) })
		if err != nil {
			for _, s := range in.Seen() {
				t.Log(s)
			}
			t.Fatalf("tags %v: %v", tags, err)
		}
		if got.Outgoing || got.Err != nil || got.At < before || got.At > clock.Now() || len(got.Frame.Tags) != len(tags) {
			t.Errorf("tags %v: seen as %+v", tags, got)
		}
	}
}

// TestWatchDirection checks which frames a watch sees, and what it says of
// them.
func TestWatchDirection(t *testing.T) {
	t.Parallel()
	_, a, b, _ := newCable(t)
	for n, addr := range map[*Node]string{a: "10.0.0.1/24", b: "10.0.0.2/24"} {
		if err := n.Interface("eth0").AddAddress(netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
	}
	all := watch(t, a, WatchOptions{})
	incoming := watch(t, a, WatchOptions{Incoming: true})
	port := watch(t, a, WatchOptions{Filter: FilterUDP(7000)})
	conn, err := b.ListenUDP(netip.MustParseAddrPort("10.0.0.2:7000"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	own, err := a.ListenUDP(netip.MustParseAddrPort("10.0.0.1:7001"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	since := clock.Now()
	if _, err := own.WriteToUDPAddrPort([]byte("there"), netip.MustParseAddrPort("10.0.0.2:7000")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteToUDPAddrPort([]byte("back"), netip.MustParseAddrPort("10.0.0.1:7001")); err != nil {
		t.Fatal(err)
	}
	said := func(text string, outgoing bool) func(Sighting) bool {
		return func(s Sighting) bool { return string(s.Frame.Payload) == text && s.Outgoing == outgoing }
	}
	for _, w := range []*Watch{all, port} {
		for text, outgoing := range map[string]bool{"there": true, "back": false} {
			if _, err := w.Await(testContext(t), since, said(text, outgoing)); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	if _, err := incoming.Await(testContext(t), since, said("back", false)); err != nil {
		t.Error(err)
	}
	if n := incoming.Count(func(s Sighting) bool { return s.Outgoing }); n != 0 {
		t.Errorf("a watch on incoming frames saw %d outgoing ones", n)
	}
	if n := len(port.Seen()); n != 2 {
		t.Errorf("the watch on a port saw %d frames, want 2: %v", n, port.Seen())
	}
}

// TestWatchEnds checks what becomes of those who wait.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	_, a, b, k := newCable(t)
	w, err := a.Interface("eth0").Watch(WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	never := func(Sighting) bool { return false }
	ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
	defer cancel()
	if _, err := w.Await(ctx, 0, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
	// An interface that goes down does not end a watch.
	in := watch(t, b, WatchOptions{Incoming: true})
	if err := k.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if err := k.SetUp(true); err != nil {
		t.Fatal(err)
	}
	probe := frame.Raw(frame.Header{Dst: frame.Broadcast}, 0x88b5, make([]byte, 46))
	if err := w.Send(probe); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Await(testContext(t), 0, func(s Sighting) bool { return s.Frame.EtherType == 0x88b5 }); err != nil {
		t.Errorf("after the interface was down: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := w.Await(context.Background(), 0, never)
		ended <- err
	}()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("after the end: error %v, want %v", err, os.ErrClosed)
	}
	if err := w.Send(probe); !errors.Is(err, os.ErrClosed) {
		t.Errorf("send after the end: error %v, want %v", err, os.ErrClosed)
	}
	if _, err := a.Interface("eth7").Watch(WatchOptions{}); !errorHas(err, "eth7") {
		t.Errorf("watch an interface that is not there: error %v", err)
	}
}

// TestWatchStorm has a watch count what comes as fast as it can.
func TestWatchStorm(t *testing.T) {
	t.Parallel()
	_, a, b, _ := newCable(t)
	out := watch(t, a, WatchOptions{Incoming: true})
	in := watch(t, b, WatchOptions{Filter: FilterGroups()})
	const frames = 5000
	h := frame.Header{SrcIP: netip.MustParseAddr("10.0.0.1"), DstIP: netip.MustParseAddr("255.255.255.255")}
	for i := range frames {
		if err := out.Send(frame.UDP(h, 1, 2, []byte{byte(i >> 8), byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	h.Src = frame.MAC{2}
	last := frame.UDP(h, 1, 3, nil)
	// The queue on the way drops what does not fit; the end has to get through.
	ctx := testContext(t)
	for {
		if err := out.Send(last); err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(ctx, 50*ms)
		_, err := in.Await(soon, 0, func(s Sighting) bool { return s.Frame.DstPort == 3 })
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, s := range in.Seen() {
		if s.Frame.DstPort == 2 {
			seen[string(s.Frame.Payload)]++
		}
	}
	dropped, err := in.Dropped()
	if err != nil {
		t.Fatal(err)
	}
	for p, n := range seen {
		if n != 1 {
			t.Fatalf("frame %x was seen %d times", p, n)
		}
	}
	t.Logf("%d of %d frames were seen, and the watch dropped %d", len(seen), frames, dropped)
	if len(seen)+dropped < frames/10 {
		t.Errorf("%d of %d frames were seen, and %d dropped: most are nowhere", len(seen), frames, dropped)
	}
}

func TestParsePacketAux(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]byte{nil, {1}, make([]byte, unix.CmsgSpace(4))} {
		if got := parsePacketAux(bad); got.tagged || !got.stamp.IsZero() {
			t.Errorf("%x is read as %+v", bad, got)
		}
	}
	if s := newSighting([]byte("short"), nil, nil); !errors.Is(s.Err, frame.ErrShort) || time.Duration(clock.Now().Sub(s.At)) > time.Minute {
		t.Errorf("a short frame is seen as %+v", s)
	}
}
