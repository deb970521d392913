package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/punch/udp"

	"github.com/pion/turn/v5"
)

// startStreamRig runs a relay whose clients come by TCP.
func startStreamRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn := stream.Listen(l, stream.ListenConfig{})
	cfg.Listen, cfg.May = listenSmall, netip.Addr.IsLoopback
	cfg.Own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }
	r := startRig(t, conn, conn.LocalAddr(), cfg)
	conn.OnGone(r.Door(0).Gone)
	return r
}

// dialTCP returns the socket of a client as pion has it, over a connection of its own.
func (r *rig) dialTCP() net.PacketConn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.at.String())
	if err != nil {
		r.t.Fatal(err)
	}
	return turn.NewSTUNConn(conn)
}

// TestStream: pion's client over TCP, which knows nothing of ours, has data of any length
// relayed, with the padding that TCP wants.
func TestStream(t *testing.T) {
	r := startStreamRig(t, Config{})
	_, relayed := r.member(r.dialTCP(), alice)
	peer := socketAt(t, "127.0.0.3:0")
	for i := range 20 {
		text := string(bytes.Repeat([]byte{'a' + byte(i)}, 1+i))
		say(t, relayed, peer.LocalAddr(), text)
		expect(t, peer, text, relayed.LocalAddr())
		say(t, peer, relayed.LocalAddr(), "re: "+text)
		expect(t, relayed, "re: "+text, peer.LocalAddr())
		time.Sleep(10 * time.Millisecond) // for the binding
	}
	if s := r.Stats(); s.ToPeers != 20 || s.ToClients != 20 || s.Dropped != (Drops{}) {
		t.Errorf("counted %+v", s)
	}
	a := (*r.relayed.Load())[at(relayed.LocalAddr())]
	if a == nil || !stream.IsStream(a.client) || len(a.table.Load().numbers) != 1 {
		t.Errorf("the allocation is %+v", a)
	}
}

// TestStreamOurs: and so has a client that speaks by a stream.Conn, whose ChannelData
// comes and goes in runs.
func TestStreamOurs(t *testing.T) {
	r := startStreamRig(t, Config{})
	conn, err := stream.Dial(t.Context(), stream.Config{Addr: r.at})
	if err != nil {
		t.Fatal(err)
	}
	user, password := r.cfg.Secret.Issue(time.Now(), alice)
	client := r.dial(&packetConn{Conn: conn}, user, password)
	relayed, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relayed.Close()
	peer := socketAt(t, "127.0.0.3:0")
	for i := range 50 {
		text := fmt.Sprint("datagram ", i)
		say(t, relayed, peer.LocalAddr(), text)
		expect(t, peer, text, relayed.LocalAddr())
		say(t, peer, relayed.LocalAddr(), text)
		expect(t, relayed, text, peer.LocalAddr())
	}
}

// TestStreamBridge: a client by TCP and one by UDP that both use the relay.
func TestStreamBridge(t *testing.T) {
	udpConn, err := udp.Listen(udp.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcpConn := stream.Listen(l, stream.ListenConfig{})
	r := startRigs(t, []punch.Conn{udpConn, tcpConn}, Config{
		Listen: listenSmall, May: netip.Addr.IsLoopback,
		Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
	})
	r.at = tcpConn.LocalAddr()
	_, a := r.member(r.dialTCP(), alice)
	r.at = udpConn.LocalAddr()
	_, b := r.member(socketAt(t, "127.0.0.2:0"), bob)
	deadline := time.Now().Add(20 * time.Second)
	for !bothBound(r) { // permissions first, then channels
		if time.Now().After(deadline) {
			t.Fatal("no channels")
		}
		say(t, a, b.LocalAddr(), before)
		say(t, b, a.LocalAddr(), before)
		time.Sleep(20 * time.Millisecond)
	}
	for i := range 10 {
		// pion's client waits for more where a frame has fewer than nine bytes.
		want := string(bytes.Repeat([]byte{'A'}, 5+i))
		say(t, a, b.LocalAddr(), want)
		expectLater(t, b, want)
		say(t, b, a.LocalAddr(), want)
		expectLater(t, a, want)
	}
}

// before is what is said until there are channels.
const before = "before"

// bothBound reports whether both clients have a channel to the other.
func bothBound(r *rig) bool {
	n := 0
	for _, a := range *r.relayed.Load() {
		n += len(a.table.Load().numbers)
	}
	return n == 2
}

// expectLater hears a text, after what was said before.
func expectLater(t *testing.T, at net.PacketConn, want string) {
	t.Helper()
	for {
		got, _ := hear(t, at)
		if got == want {
			return
		}
		if got != before {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

// startRigs runs a relay with several links, of which it reads all.
func startRigs(t testing.TB, conns []punch.Conn, cfg Config) *rig {
	t.Helper()
	cfg.Secret = NewSecret()
	for _, conn := range conns {
		cfg.Links = append(cfg.Links, conn)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := New(cfg)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for i, conn := range conns {
		r := &rig{Server: s, t: t, conn: conn, at: conn.LocalAddr()}
		go r.readBy(s.Door(i))
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
	return &rig{Server: s, t: t}
}

// TestStreamGone: a connection that is over takes its relayed address with it, so that
// the client gets another one at once, whatever its quota.
func TestStreamGone(t *testing.T) {
	r := startStreamRig(t, Config{PerMember: 1})
	for range 3 {
		user, password := r.cfg.Secret.Issue(time.Now(), alice)
		conn := r.dialTCP()
		client, err := turn.NewClient(&turn.ClientConfig{
			TURNServerAddr: r.at.String(), Username: user, Password: password, Conn: conn, LoggerFactory: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Listen(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Allocate(); err != nil {
			t.Fatalf("Allocate: %v", err)
		}
		conn.Close()
		client.Close()
		deadline := time.Now().Add(20 * time.Second)
		for r.Stats().Allocations > 0 {
			if time.Now().After(deadline) {
				t.Fatal("the relayed address stays")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestStreamBroken: what no client says ends its connection, and nobody else's.
func TestStreamBroken(t *testing.T) {
	r := startStreamRig(t, Config{})
	_, relayed := r.member(r.dialTCP(), alice)
	for _, text := range []string{"\x16\x03\x01", "\x00\x03\x00\x01", "\xff\xff\xff\xff"} {
		conn, err := net.Dial("tcp", r.at.String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, text)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%q: %v", text, err)
		}
		conn.Close()
	}
	peer := socketAt(t, "127.0.0.3:0")
	say(t, relayed, peer.LocalAddr(), "hello")
	expect(t, peer, "hello", relayed.LocalAddr())
}
