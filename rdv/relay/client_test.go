package relay

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/punch/udp"
)

// expect hears a text from an address.
func expect(t *testing.T, at net.PacketConn, text string, from net.Addr) {
	t.Helper()
	got, who := hear(t, at)
	if got != text || who.String() != from.String() {
		t.Errorf("heard %q from %v, want %q from %v", got, who, text, from)
	}
}

// converse sends texts both ways, until they go over a channel: pion's client binds it
// when it first sends.
func converse(t *testing.T, r *rig, relayed, peer net.PacketConn) {
	t.Helper()
	for i := range 4 {
		text := strings.Repeat("x", 100*i+1)
		say(t, relayed, peer.LocalAddr(), text)
		expect(t, peer, text, relayed.LocalAddr())
		say(t, peer, relayed.LocalAddr(), "re: "+text)
		expect(t, relayed, "re: "+text, peer.LocalAddr())
		time.Sleep(100 * time.Millisecond) // of the test's clock: for the binding
	}
	if s := r.Stats(); s.ToPeers != 4 || s.ToClients != 4 || s.Bytes == 0 || s.Dropped != (Drops{}) {
		t.Errorf("counted %+v", s)
	}
}

// TestClient: what a client needs works, over a network with a delay.
func TestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		_, relayed := w.member(w.socket("203.0.113.1:5000"), alice)
		if a := at(relayed.LocalAddr()); a.Addr().String() != worldAddr || a.Port() < DefaultFirst || a.Port() > DefaultLast {
			t.Errorf("relayed address %v", a)
		}
		converse(t, w.rig, relayed, w.socket("203.0.113.2:6000"))
		a := (*w.relayed.Load())[at(relayed.LocalAddr())]
		if n := len(a.table.Load().numbers); n != 1 {
			t.Errorf("%d channels", n)
		}
		relayed.Close()
		time.Sleep(time.Second)
		if s := w.Stats(); s.Allocations != 0 || s.Allocated != 1 {
			t.Errorf("after the end %+v", s)
		}
	})
}

// TestSockets: and over the kernel's sockets.
func TestSockets(t *testing.T) {
	conn, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, conn, conn.LocalAddr(), Config{
		Listen: listenSmall, May: netip.Addr.IsLoopback,
		Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
	})
	_, relayed := r.member(socketAt(t, "127.0.0.2:0"), alice)
	converse(t, r, relayed, socketAt(t, "127.0.0.3:0"))
}

func listenSmall(at netip.AddrPort) (punch.Conn, error) {
	return udp.Listen(udp.Config{Addr: at, RcvBuf: 256 << 10, SndBuf: 256 << 10, Batch: 2})
}

func socketAt(t testing.TB, addr string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestBridge: two clients of one relay reach each other by their relayed addresses, and
// no datagram leaves the host for it.
func TestBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		_, a := w.member(w.socket("203.0.113.1:5000"), alice)
		_, b := w.member(w.socket("203.0.113.2:5000"), bob)
		for _, x := range [][2]net.PacketConn{{a, b}, {b, a}} { // a permission each
			say(t, x[0], x[1].LocalAddr(), "first")
			time.Sleep(time.Second)
		}
		expect(t, a, "first", b.LocalAddr())
		w.net.Observe(func(p simnet.Packet, _ simnet.Verdict) {
			if p.Src.Port() != w.at.Port() && p.Src.Addr() == w.at.Addr() {
				t.Errorf("%v sends to %v", p.Src, p.Dst)
			}
		})
		for range 3 {
			say(t, a, b.LocalAddr(), "hello")
			expect(t, b, "hello", a.LocalAddr())
			say(t, b, a.LocalAddr(), "yes")
			expect(t, a, "yes", b.LocalAddr())
			time.Sleep(time.Second)
		}
		for _, x := range *w.relayed.Load() {
			if c := x.conn; c == nil || len(x.table.Load().numbers) != 1 {
				t.Errorf("%v has no channel", x.relayed)
			}
		}
	})
}

// TestCredentials: without good ones there is nothing.
func TestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		secret := w.cfg.Secret
		user, password := secret.Issue(time.Now(), alice)
		old, oldPassword := secret.Issue(time.Now().Add(-Lifetime), alice)
		_, forged := NewSecret().Issue(time.Now(), alice)
		for i, c := range []struct{ name, user, password string }{
			{"wrong password", user, password[1:] + "x"},
			{"of another server", user, forged},
			{"expired", old, oldPassword},
			{"with a later end", "9" + user, password},
			{"another's", strings.Replace(user, alice.String(), bob.String(), 1), password},
			{"no user", "x", password},
			{"nobody's", "9999999999:", secret.password("9999999999:")},
		} {
			client := w.dial(w.socket(netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), uint16(5000+i)).String()), c.user, c.password)
			if relayed, err := client.Allocate(); err == nil {
				t.Errorf("%s: got %v", c.name, relayed.LocalAddr())
			}
		}
		if s := w.Stats(); s.Allocated != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}
