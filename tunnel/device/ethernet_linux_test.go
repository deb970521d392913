package device

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"campagnol/internal/lab"
	"campagnol/tunnel/segment"
)

// ping checks that all echo requests are answered.
func (c *cable) ping(from *station, to netip.Addr, size int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	r, err := from.Ping(ctx, to, lab.PingOptions{Count: 3, Size: size, Patience: patience})
	if err != nil || r.Received() != 3 {
		c.t.Errorf("%v with %d bytes: %d of 3 answers, %v", to, size, r.Received(), err)
	}
}

// TestNeighbours: hosts find each other by ARP and neighbour discovery, and the
// frames have the addresses of the devices.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := map[string]bool{}
			var a, b string // hardware addresses
			c := lay(t, Config{Link: segment.Ethernet, Plain: plain}, func(c *cable) {
				a, b = hardwareAddr(t, c.a), hardwareAddr(t, c.b)
				own := map[*station]string{c.a: a, c.b: b}
				c.watch = func(from *station, p []byte) {
					mu.Lock()
					defer mu.Unlock()
					seen[fmt.Sprintf("%s %x to %x", from.Name(), p[12:14], p[:6])] = true
					if got := fmt.Sprintf("%x", p[6:12]); got != own[from] {
						t.Errorf("%s sends from %s, its device has %s", from.Name(), got, own[from])
					}
				}
			})
			for _, size := range []int{0, 1, 56, 1300, 5000} { // the last in fragments
				c.ping(c.a, c.b.ip4, size)
				c.ping(c.b, c.a.ip6, size)
			}
			mu.Lock()
			for _, want := range []string{
				"a 0806 to ffffffffffff", "b 0806 to " + a, "a 0800 to " + b, "b 0800 to " + a,
				"a 86dd to 3333ff000002", "a 86dd to " + b, "b 86dd to " + a,
			} {
				if !seen[want] {
					t.Errorf("no frame %q", want)
				}
			}
			mu.Unlock()
			if got := neighbour(t, c.a, c.b.ip4); got != b {
				t.Errorf("a takes %v for %v, want %v", c.b.ip4, got, b)
			}
			if got := neighbour(t, c.b, c.a.ip6); got != a {
				t.Errorf("b takes %v for %v, want %v", c.a.ip6, got, a)
			}
			c.wantNoErrors()
		})
	}
}

// hardwareAddr returns the address of a station's device, in hexadecimal.
func hardwareAddr(t testing.TB, s *station) string {
	t.Helper()
	a, err := s.dev.HardwareAddr()
	if err != nil || len(a) != 6 {
		t.Fatalf("hardware address %v, %v", a, err)
	}
	return fmt.Sprintf("%x", []byte(a))
}

// neighbour returns whom a station takes for the owner of an address.
func neighbour(t testing.TB, s *station, ip netip.Addr) string {
	t.Helper()
	have, err := s.dev.nl.NeighList(s.dev.index, familyOf(ip))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range have {
		if addrOf(n.IP) == ip {
			return fmt.Sprintf("%x", []byte(n.HardwareAddr))
		}
	}
	return "nobody"
}

// TestTags sends TCP data in frames with VLAN tags, which the kernel puts into large
// frames, too. It takes large frames with tags in return.
func TestTags(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 8} {
		t.Run(fmt.Sprint("tags=", n), func(t *testing.T) {
			t.Parallel()
			var tagged, other atomic.Int64
			c := lay(t, Config{Link: segment.Ethernet}, func(c *cable) {
				c.tags = n
				c.watch = func(_ *station, p []byte) {
					switch {
					case len(p) < 1000: // perhaps sent before the tags were put in
					case len(tagsOf(p)) == n:
						tagged.Add(1)
					default:
						other.Add(1)
					}
				}
				for _, s := range []*station{c.a, c.b} {
					if err := pushTags(s.dev, n); err != nil {
						t.Fatal(err)
					}
				}
			})
			c.ping(c.a, c.b.ip4, 56)
			c.bothWays(2_000_000)
			for _, to := range []netip.Addr{c.b.ip4, c.b.ip6} {
				from, in := c.udp(to)
				sendSegments(t, from, in, 1200, 20)
			}
			largest, joined := c.sizes()
			t.Logf("the largest frame read had %d bytes, %d large ones were written", largest, joined)
			if joined == 0 {
				t.Error("no large frame was written")
			}
			if with, without := tagged.Load(), other.Load(); with == 0 || without != 0 {
				t.Errorf("%d frames with %d tags, %d with another number", with, n, without)
			}
			c.wantNoErrors()
		})
	}
}

// tagsOf returns the types of a frame's tags.
func tagsOf(p []byte) (tags []string) {
	for p = p[12:]; len(p) > 4; p = p[4:] {
		switch s := fmt.Sprintf("%x", p[:2]); s {
		case "8100", "88a8":
			tags = append(tags, s)
		default:
			return tags
		}
	}
	return tags
}

// rawSocket opens a socket for all frames of a station's interface.
func rawSocket(t testing.TB, s *station) int {
	t.Helper()
	all := unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	var fd int
	err := s.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: s.dev.index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestOddFrames sends what is neither TCP nor UDP: it arrives as it is.
func TestOddFrames(t *testing.T) {
	t.Parallel()
	to, number := []byte{2, 0, 0, 0, 9}, byte(0)
	frame := func(head []byte, zeros int) []byte {
		number++
		return slices.Concat(to, []byte{number, 2, 0, 0, 0, 0, 2}, head, make([]byte, zeros))
	}
	udp := udpPacket(netip.AddrPortFrom(vpnAddr, 1), netip.AddrPortFrom(peer, 2), "x")
	frames := map[string][]byte{
		"a header only":       frame([]byte{0x88, 0xb5}, 0),
		"a known type only":   frame([]byte{0x08, 0x00}, 0),
		"a tag only":          frame([]byte{0x81, 0x00}, 0),
		"a cut tag":           frame([]byte{0x81, 0x00, 0}, 0),
		"ARP":                 frame([]byte{0x08, 0x06}, 28),
		"LLC":                 frame([]byte{0, 3, 0x42, 0x42, 3}, 43),
		"unknown type":        frame([]byte{0x88, 0xb5, 1, 2, 3}, 1200),
		"many tags":           frame([]byte{0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x81, 0, 0, 4, 0x81, 0, 0, 5, 0x88, 0xb5}, 40),
		"IPv4 of version 7":   frame([]byte{0x08, 0x00, 0x75}, 50),
		"IPv4 longer than it": frame([]byte{0x08, 0x00, 0x45, 0, 0xff, 0xff}, 50),
		"UDP, padded":         frame(append([]byte{0x08, 0x00}, udp...), 17),
		"UDP with a trailer":  frame(append([]byte{0x08, 0x00}, udp...), 200),
	}
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			t.Parallel()
			onCable := make(chan []byte, 100)
			c := lay(t, Config{Link: segment.Ethernet, Plain: plain}, func(c *cable) {
				c.tags = 5
				c.watch = func(_ *station, p []byte) {
					if bytes.HasPrefix(p, to) {
						onCable <- bytes.Clone(p)
					}
				}
			})
			out, in := rawSocket(t, c.a), rawSocket(t, c.b)
			for name, f := range frames {
				if _, err := unix.Write(out, f); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				select {
				case got := <-onCable:
					if !bytes.Equal(got, f) {
						t.Errorf("%s, on the cable:\n got % .80x\nwant % .80x", name, got, f)
					}
				case <-time.After(patience):
					t.Fatalf("%s: it does not come out of the device", name)
				}
				if f[12] == 0x81 || f[12] == 0x88 && f[13] == 0xa8 {
					continue // the kernel takes the tag out, or the frame for damaged
				}
				if got := readRaw(t, in, f[:6]); !bytes.Equal(got, f) {
					t.Errorf("%s:\n got % .80x\nwant % .80x", name, got, f)
				}
			}
			c.wantNoErrors()
		})
	}
}

// readRaw returns the next frame for a hardware address that arrives.
func readRaw(t testing.TB, fd int, to []byte) []byte {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(buf[:n], to) {
			return buf[:n]
		}
	}
}

// TestFrameSizes: what the kernel takes for a frame, and the longest that it sends.
func TestFrameSizes(t *testing.T) {
	t.Parallel()
	nl := enter(t)
	for _, plain := range []bool{false, true} {
		k := mustOpen(t, Config{Link: segment.Ethernet, Plain: plain})
		if err := k.Configure(Settings{MTU: 65521}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 13} {
			if err := k.Write([]Packet{{Data: make([]byte, n)}}); err != ErrRefused {
				t.Errorf("%d bytes: %v, want ErrRefused", n, err)
			}
		}
		if err := k.Write([]Packet{{Data: make([]byte, 14)}, {Data: make([]byte, 65535)}}); err != nil {
			t.Errorf("frames: %v", err)
		}
		if got, want := k.Stats(), (Stats{Written: 2, Refused: 2}); got.Written != want.Written || got.Refused != want.Refused {
			t.Errorf("stats %+v, want %+v", got, want)
		}
		if err := k.Configure(Settings{MTU: 65522}); err == nil {
			t.Error("an MTU of 65522 bytes: no error")
		}
		if err := nl.LinkDel(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: k.Name(), Index: k.index}}); err != nil {
			t.Error(err)
		}
	}
}

// TestLongestFrame reads a frame that is longer than any IP packet, whole.
func TestLongestFrame(t *testing.T) {
	t.Parallel()
	enter(t)
	const mtu, tags = 65521, 2
	k := mustOpen(t, Config{Link: segment.Ethernet})
	if err := pushTags(k, tags); err != nil {
		t.Fatal(err)
	}
	if err := k.Configure(Settings{Addr: vpnAddr, Network: usual.Network, MTU: mtu}); err != nil {
		t.Fatal(err)
	}
	program := listen(t, "0.0.0.0:500")
	allowBroadcast(t, program)
	sendTo(t, program, netip.AddrPortFrom(usual.Broadcast(), 600), strings.Repeat("x", mtu-20-8))
	for {
		ps, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps { // the kernel says other things, too
			pkt, ok := segment.Ethernet.Packet(p.Data)
			if !ok || pkt[0]>>4 != 4 || pkt[9] != unix.IPPROTO_UDP {
				continue
			}
			if got, want := len(p.Data), mtu+minFrame+4*tags; got != want || len(pkt) != mtu {
				t.Errorf("read %d bytes with a packet of %d, want %d with one of %d", got, len(pkt), want, mtu)
			}
			return
		}
	}
}

// allowBroadcast lets a socket send to everybody.
func allowBroadcast(t testing.TB, c *net.UDPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
	if err != nil {
		t.Fatal(err)
	}
}
