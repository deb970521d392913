package device

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"campagnol/tunnel/segment"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestTraffic(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	program := listen(t, "0.0.0.0:500")

	sendTo(t, program, netip.AddrPortFrom(peer, 600), "question")
	// Also checks that nothing came before, such as a router solicitation.
	if got, want := readOne(t, k), `10.9.0.1 > 10.9.0.2 "question"`; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	from := netip.AddrPortFrom(peer, 600)
	answer := udpPacket(from, netip.AddrPortFrom(vpnAddr, 500), "answer")
	if err := k.Write([]Packet{{Data: answer}}); err != nil {
		t.Fatal(err)
	}
	if got, src := datagram(t, program); got != "answer" || src != from {
		t.Errorf("the program got %q from %v, want the answer from %v", got, src, from)
	}
	if got, want := k.Stats(), (Stats{Read: 1, Reads: 1, Written: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// TestBroadcastTraffic checks that the interface takes part in the VPN's
// broadcasts, though its address has no network around it.
func TestBroadcastTraffic(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	everybody := usual.Broadcast()
	program := listen(t, "0.0.0.0:500")

	in := udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(everybody, 500), "from a peer")
	if err := k.Write([]Packet{{Data: in}}); err != nil {
		t.Fatal(err)
	}
	if got, src := datagram(t, program); got != "from a peer" || src.Addr() != peer {
		t.Errorf("the program got %q from %v, want the peer's broadcast", got, src)
	}
	sendTo(t, program, netip.AddrPortFrom(everybody, 600), "to everybody")
	if got, want := readOne(t, k), `10.9.0.1 > 10.9.0.255 "to everybody"`; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
}

// TestChecksumCompleted: the checksum of a small packet, which the kernel leaves
// to a device with offloads, is right when it is read.
func TestChecksumCompleted(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	program := listen(t, "0.0.0.0:500")
	for n := range 40 {
		sendTo(t, program, netip.AddrPortFrom(peer, 600), strings.Repeat("x", n))
		ps, err := k.Read()
		if err != nil || len(ps) != 1 {
			t.Fatal(len(ps), err)
		}
		if j := (segment.Joiner{UDP: true}); n > 0 { // it joins nothing that is damaged
			j.Add(bytes.Clone(ps[0].Data))
			j.Add(bytes.Clone(ps[0].Data))
			if got := len(j.Flush()); got != 1 {
				t.Errorf("%d bytes: the checksum is wrong", n)
			}
		}
	}
}

// TestAcceptBroadcast has an interface that somebody else has configured as the
// original's default commands do: without a broadcast address.
func TestAcceptBroadcast(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := mustOpen(t, Config{})
	if err := nl.AddrAdd(k.ref(), &netlink.Addr{IPNet: ipNet(single(vpnAddr)), Broadcast: net.IPv4zero}); err != nil {
		t.Fatal(err)
	}
	everybody := usual.Broadcast()
	if err := k.AcceptBroadcast(everybody); err == nil {
		t.Error("it worked on an interface that is down")
	}
	if err := nl.LinkSetUp(k.ref()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again does no harm
		if err := k.AcceptBroadcast(everybody); err != nil {
			t.Fatal(err)
		}
	}
	program := listen(t, "0.0.0.0:500")
	in := udpPacket(netip.AddrPortFrom(vpnAddr.Next(), 600), netip.AddrPortFrom(everybody, 500), "from a peer")
	route := &netlink.Route{LinkIndex: k.index, Dst: ipNet(usual.Network), Scope: unix.RT_SCOPE_LINK}
	if err := nl.RouteAdd(route); err != nil { // who sends must be reachable this way
		t.Fatal(err)
	}
	if err := k.Write([]Packet{{Data: in}}); err != nil {
		t.Fatal(err)
	}
	if got, _ := datagram(t, program); got != "from a peer" {
		t.Errorf("the program got %q", got)
	}
}

// TestRefused writes what is not IP: the original died of it.
func TestRefused(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	program := listen(t, "0.0.0.0:500")
	good := func(s string) Packet {
		return Packet{Data: udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), s)}
	}
	for _, bad := range [][]byte{nil, {0}, {0x50, 0, 0, 20}, bytes.Repeat([]byte{0xff}, 1500), []byte("refused")} {
		err := k.Write([]Packet{good("before"), {Data: bad}, good("after")})
		if err != ErrRefused {
			t.Errorf("% .8x: %v, want ErrRefused", bad, err)
		}
		for _, want := range []string{"before", "after"} {
			if got, _ := datagram(t, program); got != want {
				t.Errorf("% .8x: %q arrived, want %q", bad, got, want)
			}
		}
	}
	// The kernel takes these and drops them later.
	if err := k.Write([]Packet{{Data: []byte{0x45}}, {Data: make20(0x45)}, {Data: make20(0x60)}}); err != nil {
		t.Errorf("malformed packets: %v", err)
	}
	if got, want := k.Stats(), (Stats{Written: 13, Refused: 5}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func make20(first byte) []byte { return append([]byte{first}, make([]byte, 19)...) }

// TestDown switches the interface off and on.
func TestDown(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	if err := nl.LinkSetDown(k.ref()); err != nil {
		t.Fatal(err)
	}
	p := func() Packet {
		return Packet{Data: udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), "x")}
	}
	if err := k.Write([]Packet{p(), p(), p()}); err != ErrDown {
		t.Errorf("Write: %v, want ErrDown", err)
	}
	if got := k.Stats().Down; got != 3 {
		t.Errorf("%d packets lost, want 3", got)
	}
	if err := k.Configure(usual); err != nil {
		t.Fatal(err)
	}
	program := listen(t, "0.0.0.0:500")
	if err := k.Write([]Packet{p()}); err != nil {
		t.Errorf("up again: Write: %v", err)
	}
	datagram(t, program)
	sendTo(t, program, netip.AddrPortFrom(peer, 1), "still read")
	if got := readOne(t, k); !strings.Contains(got, "still read") {
		t.Errorf("read %s", got)
	}
}

// TestGone deletes the interface under a Read that waits.
func TestGone(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	read := make(chan error)
	go func() {
		ps, err := k.Read()
		if err == nil {
			err = fmt.Errorf("read %s", describe(ps[0].Data))
		}
		read <- err
	}()
	if err := nl.LinkDel(k.ref()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != ErrGone {
		t.Errorf("Read that waits: %v, want ErrGone", err)
	}
	if _, err := k.Read(); err != ErrGone {
		t.Errorf("Read: %v, want ErrGone", err)
	}
	if err := k.Write([]Packet{{Data: make20(0x45)}, {Data: make20(0x45)}}); err != ErrGone {
		t.Errorf("Write: %v, want ErrGone", err)
	}
	if got := k.Stats().Down; got != 2 {
		t.Errorf("%d packets lost, want 2", got)
	}
	if err := k.Configure(usual); err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("Configure: %v, want that somebody has deleted it", err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := k.Read(); err != os.ErrClosed {
		t.Errorf("Read after Close: %v, want os.ErrClosed", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	k := configured(t, usual)
	name := k.Name()
	read := make(chan error)
	go func() {
		_, err := k.Read()
		read <- err
	}()
	for range 2 {
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := <-read; err != os.ErrClosed {
		t.Errorf("Read during Close: %v, want os.ErrClosed", err)
	}
	if _, err := k.Read(); err != os.ErrClosed {
		t.Errorf("Read after Close: %v, want os.ErrClosed", err)
	}
	if err := k.Write([]Packet{{Data: make20(0x45)}}); err != os.ErrClosed {
		t.Errorf("Write after Close: %v, want os.ErrClosed", err)
	}
	if err := k.Configure(usual); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Configure after Close: %v", err)
	}
	if _, err := nl.LinkByName(name); err == nil {
		t.Errorf("%s is still there", name)
	}
	if routes, err := nl.RouteList(nil, netlink.FAMILY_V4); err != nil || len(routes) != 0 {
		t.Errorf("routes %v are still there (%v)", routes, err)
	}
}

// TestBatch checks that one Read returns all that waits, within its limits.
func TestBatch(t *testing.T) {
	t.Parallel()
	enter(t)
	s := usual
	s.MTU = 65535
	k := configured(t, s)
	program := listen(t, "0.0.0.0:500")
	to := netip.AddrPortFrom(peer, 600)
	read := func() (sizes []int) {
		ps, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if describe(p.Data) == "" || p.Data[0] != 0x45 {
				t.Fatalf("read % .20x", p.Data)
			}
			if cap(p.Data) != len(p.Data) {
				t.Fatalf("appending to a packet of %d bytes would change the next", len(p.Data))
			}
			sizes = append(sizes, len(p.Data)-28)
		}
		return sizes
	}
	for range 100 {
		sendTo(t, program, to, strings.Repeat("x", 900))
	}
	if a, b := len(read()), len(read()); a != maxPackets || b != 100-maxPackets {
		t.Errorf("batches of %d and %d packets, want %d and %d", a, b, maxPackets, 100-maxPackets)
	}
	// Every size arrives whole, wherever in the batch it is.
	for _, n := range []int{0, 65507, 1, 65507, 30000, 30000, 30000, 30000, 65507, 100} {
		sendTo(t, program, to, strings.Repeat("x", n))
	}
	var batches []string
	for n := 0; n < 10; {
		sizes := read()
		n += len(sizes)
		batches = append(batches, fmt.Sprint(sizes))
	}
	if got, want := strings.Join(batches, " "), "[0 65507] [1 65507] [30000 30000 30000] [30000 65507] [100]"; got != want {
		t.Errorf("batches %s, want %s", got, want)
	}
}

func TestConcurrentWrites(t *testing.T) {
	t.Parallel()
	enter(t)
	k := configured(t, usual)
	program := listen(t, "0.0.0.0:500")
	const writers, each = 4, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				ps := make([]Packet, 3)
				for j := range ps {
					ps[j].Data = udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), fmt.Sprint(w, i, j))
				}
				if err := k.Write(ps); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var last [3]int
	for n := range writers * each * 3 {
		got, _ := datagram(t, program)
		var now [3]int
		if _, err := fmt.Sscan(got, &now[0], &now[1], &now[2]); err != nil {
			t.Fatal(err)
		}
		if n%3 != now[2] || n%3 > 0 && (now[0] != last[0] || now[1] != last[1]) {
			t.Fatalf("%v after %v: the packets of a Write are not together", now, last)
		}
		last = now
	}
}

func TestAllocations(t *testing.T) {
	enter(t)
	k := configured(t, usual)
	program := listen(t, "0.0.0.0:500")
	to := netip.AddrPortFrom(peer, 600)
	payload := make([]byte, 1000)
	ps := []Packet{
		{Data: udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 501), "in")},
		{Data: []byte("refused: this is not IP")},
	}
	n := testing.AllocsPerRun(200, func() {
		if err := k.Write(ps); err != ErrRefused {
			t.Fatal(err)
		}
		if _, err := program.WriteToUDPAddrPort(payload, to); err != nil {
			t.Fatal(err)
		}
		// The answer to the packet that nobody waits for (ICMP) is read too.
		if _, err := k.Read(); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("reading and writing allocates %.0f times, want 0", n)
	}
}

// TestAllocationsEthernet reads frames to everybody, which need no neighbour, and
// writes some.
func TestAllocationsEthernet(t *testing.T) {
	enter(t)
	k := mustOpen(t, Config{Link: segment.Ethernet})
	if err := k.Configure(usual); err != nil {
		t.Fatal(err)
	}
	program := listen(t, "0.0.0.0:500")
	allowBroadcast(t, program)
	to := netip.AddrPortFrom(usual.Broadcast(), 600)
	payload := make([]byte, 1000)
	ps := []Packet{{Data: append(bytes.Repeat([]byte{2}, 12), make([]byte, 50)...)}, {Data: []byte("no frame")}}
	n := testing.AllocsPerRun(200, func() {
		if err := k.Write(ps); err != ErrRefused {
			t.Fatal(err)
		}
		if _, err := program.WriteToUDPAddrPort(payload, to); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Read(); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("reading and writing allocates %.0f times, want 0", n)
	}
}

func BenchmarkKernel(b *testing.B) {
	enter(b)
	k := configured(b, usual)
	b.Run("write", func(b *testing.B) {
		p := []Packet{{Data: udpPacket(netip.AddrPortFrom(peer, 600), netip.AddrPortFrom(vpnAddr, 500), strings.Repeat("x", 1300))}}
		b.SetBytes(int64(len(p[0].Data)))
		b.ReportAllocs()
		for b.Loop() {
			if err := k.Write(p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
