package client

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/tunnel"
	"campagnol/tunnel/segment"
)

// narrowed starts a pair with devices of the original's MTU, of which alice's site has a
// way out that carries mtu bytes and answers nothing.
func narrowed(v *vpn, mtu int) (alice, bob *node, home *simnet.Site) {
	home = v.home(1, portRestricted)
	withMTU := func(cfg *Config) { cfg.MTU = 1419 }
	alice = v.node(home, "192.168.1.2:5000", "10.9.0.1", withMTU)
	bob = v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", withMTU)
	home.SetLinks(simnet.Link{MTU: mtu}, simnet.Link{MTU: mtu})
	pass(time.Second)
	return alice, bob, home
}

// sendsFull makes from send a packet of the device's size to the other, and returns
// what comes out there, in bytes.
func sendsFull(from, to *node) (sizes []int) {
	from.send(to.vpn, strings.Repeat("x", 1419-28))
	pass(time.Second)
	for _, text := range to.texts() {
		sizes = append(sizes, len(text)+28)
	}
	return sizes
}

// TestBlackHole: a hop carries 1400 bytes and says nothing about what it loses. Within
// half a second both ends know, and nothing is lost any more.
func TestBlackHole(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, _ := narrowed(v, 1400)
		alice.ping(bob, time.Second)
		pass(500 * time.Millisecond)
		for _, n := range []*node{alice, bob} {
			if got := n.status().Peers[0].PathMTU; got < 1396 || got > 1400 {
				t.Errorf("%v takes the path for one of %d bytes, want 1400", n.vpn, got)
			}
		}
		for range 5 {
			for _, way := range [][2]*node{{alice, bob}, {bob, alice}} {
				if got := sendsFull(way[0], way[1]); len(got) != 2 || slices.Max(got) > 1400-28 {
					t.Errorf("a full packet from %v comes in pieces of %v bytes, want two", way[0].vpn, got)
				}
			}
		}
		if alice.logged("carries smaller packets") != 1 {
			t.Error("it is not said, or more than once, that the path is small")
		}
	})
}

// TestBlackHoleLater: the path gets smaller under a session in use.
func TestBlackHoleLater(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, home := narrowed(v, 1500)
		alice.ping(bob, time.Second)
		if got := sendsFull(alice, bob); !slices.Equal(got, []int{1419}) {
			t.Fatalf("before: %v, want one packet of 1419", got)
		}
		home.SetLinks(simnet.Link{MTU: 1400}, simnet.Link{MTU: 1400})
		for range 15 {
			alice.send(bob.vpn, "small")
			pass(time.Second)
		}
		bob.texts()
		if got := sendsFull(alice, bob); len(got) != 2 {
			t.Errorf("after 15 s a full packet comes as %v, want two pieces", got)
		}
		home.SetLinks(simnet.Link{}, simnet.Link{})
		for range 64 {
			alice.ping(bob, time.Second)
			pass(10 * time.Second)
		}
		if got := sendsFull(alice, bob); !slices.Equal(got, []int{1419}) {
			t.Errorf("a path that is wide again carries %v after 10 min, want one packet of 1419", got)
		}
	})
}

// TestWidePath: to find out that a path is as it should be costs two datagrams.
func TestWidePath(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, _ := narrowed(v, 0)
		large := 0
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && len(p.Data) > 1200 {
				large++
			}
		})
		alice.ping(bob, time.Second)
		pass(time.Minute)
		if large > 4 {
			t.Errorf("%d large datagrams in an idle minute, want two from each end", large)
		}
		if got := alice.status().Peers[0].PathMTU; got != 0 {
			t.Errorf("the path counts as one of %d bytes", got)
		}
	})
}

// TestClampPacket: TCP asks for segments that fit a small path.
func TestClampPacket(t *testing.T) {
	s := tunnel.NewSession(time.Now(), netip.MustParseAddr("10.9.0.2"), loop(t))
	for _, c := range []struct {
		name  string
		limit int
		head  int // of IP
		want  uint16
	}{
		{"no limit", 0, 20, 1379},
		{"IPv4", 1372, 20, uint16(1372 - s.Overhead() - 40)},
		{"IPv6", 1372, 40, uint16(1372 - s.Overhead() - 60)},
	} {
		r := &route{session: s, limit: c.limit}
		b := make([]byte, c.head+24)
		tcp := b[c.head:]
		if c.head == 20 {
			b[0], b[9] = 0x45, 6
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		} else {
			b[0], b[6] = 0x60, 6
			binary.BigEndian.PutUint16(b[4:], 24)
		}
		tcp[12], tcp[13] = 6<<4, 2 // SYN
		copy(tcp[20:], []byte{2, 4, 1379 >> 8, 1379 & 0xff})
		sum := segment.Checksum(tcp)
		binary.BigEndian.PutUint16(tcp[16:], sum)
		r.clampPacket(b)
		if got := binary.BigEndian.Uint16(tcp[22:]); got != c.want {
			t.Errorf("%s: asks for %d, want %d", c.name, got, c.want)
		}
		if segment.Checksum(tcp) != 0 {
			t.Errorf("%s: the checksum is wrong", c.name)
		}
	}
}
