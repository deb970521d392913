package client

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
)

func TestFirstPacket(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		for _, n := range v.nodes {
			if !n.status().Registered {
				t.Fatalf("%v is not registered", n.vpn)
			}
		}
		took := alice.ping(bob, 5*time.Second)
		// ASK and FWD 2 delays, PUNCH and its answer 2, four flights, the
		// packet and its reply 2: 10 delays of 10 ms, and their jitter.
		if took > 120*time.Millisecond {
			t.Errorf("first reply after %v, want about 100 ms", took)
		}
		if a, b := alice.state(bob), bob.state(alice); a != "ESTABLISHED" || b != "ESTABLISHED" {
			t.Errorf("states %s and %s", a, b)
		}
		s := alice.status().Peers[0]
		if s.Server || s.Protocol != tunnel.ProtocolName || s.PacketsIn != 1 || s.PacketsOut != 1 {
			t.Errorf("alice's view of bob: %+v", s)
		}
		if took := alice.ping(bob, time.Second); took > 30*time.Millisecond {
			t.Errorf("second round trip %v, want about 20 ms", took)
		}
	})
}

// TestStaged: the packets that cause a session, up to the size of the queue,
// arrive, in order.
func TestStaged(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		var want []string
		for i := range 60 {
			text := fmt.Sprint("packet ", i)
			alice.send(bob.vpn, text)
			if i < defaultFIFOSize {
				want = append(want, text)
			}
		}
		pass(2 * time.Second)
		if got := bob.texts(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("arrived: %q, want the first %d", got, defaultFIFOSize)
		}
		if n := alice.status().Drops["queue"]; n != 60-defaultFIFOSize {
			t.Errorf("%d drops counted, want %d", n, 60-defaultFIFOSize)
		}
	})
}

// TestIdle: the DTLS client closes an idle session after the timeout, tells the
// RDV and then the peer.
func TestIdle(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.Timeout = 5 * time.Second })
		start := time.Now()
		alice.ping(bob, 5*time.Second)
		var order []string
		var ended time.Duration
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && (p.Kind == 13 || isAlert(p)) {
				order = append(order, wordFor(p))
				ended = p.Time.Sub(start)
			}
		})
		pass(30 * time.Second)
		if got := strings.Join(order, " "); got != "CLOSE_CONNECTION dtls-alert" {
			t.Errorf("alice sent %q", got)
		}
		if ended < 5*time.Second || ended > 5300*time.Millisecond {
			t.Errorf("closed after %v, want 5 s after the last packet", ended)
		}
		if a, b := alice.state(bob), bob.state(alice); a != "CLOSED" || b != "CLOSED" {
			t.Errorf("states %s and %s", a, b)
		}
		if bob.logged("DTLS connection closed by peer") != 1 {
			t.Error("bob did not notice")
		}
		alice.ping(bob, 5*time.Second) // and it opens again
	})
}

// TestIdleServer: should the client not close, the server does, 10 s later.
func TestIdleServer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.Timeout = 5 * time.Second })
		alice.ping(bob, 5*time.Second)
		v.net.Drop(func(p simnet.Packet) bool { return p.From == alice.conn })
		pass(14 * time.Second)
		if s := bob.state(alice); s != "ESTABLISHED" {
			t.Errorf("after 14 s: %s", s)
		}
		pass(2 * time.Second)
		if s := bob.state(alice); s != "CLOSED" {
			t.Errorf("after 16 s: %s", s)
		}
	})
}

// TestKeepAlive: an idle path is refreshed, so that NATs which forget after 15 s
// keep it.
func TestKeepAlive(t *testing.T) {
	inBubble(t, func(v *vpn) {
		short := portRestricted
		short.Lifetime = 15 * time.Second
		alice := v.node(v.home(1, short), "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, short), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		pass(100 * time.Second)
		if took := bob.ping(alice, time.Second); took > 30*time.Millisecond {
			t.Errorf("after 100 s of silence: %v, want about 20 ms on the same path", took)
		}
	})
}

func TestRDVRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		v.stop()
		pass(20 * time.Second)
		alice.ping(bob, time.Second) // the session needs no RDV
		if alice.logged("The RDV server no longer answers") != 1 {
			t.Error("nobody was told that the RDV is away")
		}
		v.startRDV()
		pass(4 * time.Second) // a PING every 3 s
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil)
		pass(time.Second)
		carol.ping(alice, 5*time.Second)
		carol.ping(bob, 5*time.Second)
		alice.ping(bob, time.Second)
	})
}

// TestD_C11_LateRDV: a client that starts before its RDV registers when that comes.
func TestD_C11_LateRDV(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.stop()
		alice, bob := v.pair(nil)
		pass(time.Minute)
		v.startRDV()
		pass(40 * time.Second)
		alice.ping(bob, 5*time.Second)
		if alice.logged("The connection with the RDV server failed") == 0 {
			t.Error("nobody was told that the RDV does not answer")
		}
	})
}

func TestUnknownPeer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, _ := v.pair(nil)
		alice.send(netip.MustParseAddr("10.9.0.77"), "anybody?")
		pass(time.Second)
		if n := alice.logged("The RDV server does not know the peer"); n != 1 {
			t.Errorf("reported %d times, want once", n)
		}
		if len(alice.status().Peers) != 0 {
			t.Errorf("peers %+v, want none", alice.status().Peers)
		}
	})
}

// TestD_C5_RejectStorm: thousands of packets for unknown addresses do not become thousands
// of ASKs, and a peer that comes up meanwhile is reached.
func TestD_C5_RejectStorm(t *testing.T) {
	inBubble(t, func(v *vpn) {
		wide := func(c *Config) { c.Network = netip.MustParsePrefix("10.0.0.0/8") }
		alice, bob := v.pair(wide)
		asks := 0
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.Kind == 2 {
				asks++
			}
		})
		for i := range 10_000 { // in 5 s
			alice.send(netip.AddrFrom4([4]byte{10, 7, byte(i >> 8), byte(i)}), "scan")
			pass(500 * time.Microsecond)
		}
		if limit := askBurst + 6*askRate; asks > limit {
			t.Errorf("%d ASKs in 5 s, want at most %d", asks, limit)
		}
		asks = 0
		for range 4000 { // one address, in 2 s
			alice.send(netip.MustParseAddr("10.200.0.1"), "again")
			pass(500 * time.Microsecond)
		}
		if asks > 4 {
			t.Errorf("%d ASKs for one address in 2 s", asks)
		}
		pass(5 * time.Second)
		alice.ping(bob, 5*time.Second)
	})
}

// TestD_C10_NotForTheVPN: what the kernel sends into the device and no peer can have
// asks nobody.
func TestD_C10_NotForTheVPN(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, _ := v.pair(nil)
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.Kind == 2 {
				t.Errorf("an ASK for %v", p.Data)
			}
		})
		rs := append([]byte{0x60, 0, 0, 0, 0, 8, 58, 255}, make([]byte, 40)...) // IPv6 router solicitation
		for _, p := range [][]byte{
			rs, {}, {0x45}, bytes.Repeat([]byte{0xff}, 100),
			packetTo(alice.vpn, netip.MustParseAddr("224.0.0.251"), "mDNS"),
			packetTo(alice.vpn, netip.MustParseAddr("8.8.8.8"), "elsewhere"),
			packetTo(alice.vpn, alice.vpn, "myself"),
			packetTo(alice.vpn, netip.MustParseAddr("255.255.255.255"), "to all"),
			packetTo(alice.vpn, netip.MustParseAddr("10.9.0.255"), "to all of the subnet"),
		} {
			alice.dev.Inject(p)
		}
		pass(time.Second)
		if n := alice.status().Drops["dest"]; n != 7 {
			t.Errorf("%d drops, want 7", n)
		}
	})
}

// TestBroadcast: a broadcast goes over every open tunnel, opens none, and does
// not keep one open.
func TestBroadcast(t *testing.T) {
	inBubble(t, func(v *vpn) {
		short := func(c *Config) { c.Timeout = 5 * time.Second }
		alice, bob := v.pair(short)
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", short)
		dave := v.node(v.home(4, portRestricted), "192.168.1.2:5000", "10.9.0.4", short)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		carol.ping(alice, 5*time.Second)
		subnet, all := netip.MustParseAddr("10.9.0.255"), netip.MustParseAddr("255.255.255.255")
		alice.send(subnet, "to the subnet")
		for _, n := range []*node{bob, carol} {
			n.wants("to the subnet", time.Second)
		}
		for range 5 {
			pass(time.Second)
			alice.send(all, "to all")
		}
		pass(100 * time.Millisecond)
		if got := dave.texts(); len(got) != 0 {
			t.Errorf("dave, without a tunnel, received %q", got)
		}
		// Received data keeps a session, sending broadcasts does not.
		if a, b := alice.state(bob), bob.state(alice); a != "CLOSED" || b != "CLOSED" {
			t.Errorf("after 5 s of broadcasts: %s and %s", a, b)
		}
	})
}

// TestGoodbye: a client that ends tells the RDV first and then its peers.
func TestGoodbye(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		var order []string
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn {
				order = append(order, wordFor(p))
			}
		})
		alice.stop()
		pass(time.Second)
		if got := strings.Join(order, " "); got != "BYE dtls-alert" {
			t.Errorf("alice sent %q", got)
		}
		if s := bob.state(alice); s != "CLOSED" {
			t.Errorf("bob still sees alice %s", s)
		}
		bob.send(alice.vpn, "are you there?")
		pass(time.Second)
		if bob.logged("The RDV server does not know the peer") != 1 {
			t.Error("the RDV still knows alice")
		}
		if _, err := alice.client.Status(context.Background()); err != ErrStopped {
			t.Errorf("Status after Run: %v, want ErrStopped", err)
		}
	})
}

// TestD_C9_Glare: both ask at once; one session comes of it, without a lost packet.
func TestD_C9_Glare(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.send(bob.vpn, "from alice")
		bob.send(alice.vpn, "from bob")
		a := alice.wants("from bob", 5*time.Second)
		b := bob.wants("from alice", time.Second)
		if a > 150*time.Millisecond {
			t.Errorf("took %v and %v, want one handshake", a, b)
		}
		sa, sb := alice.status().Peers[0], bob.status().Peers[0]
		if sa.Server || !sb.Server {
			t.Errorf("DTLS server: alice %v, bob %v; want bob", sa.Server, sb.Server)
		}
		pass(5 * time.Second)
		if n := alice.logged("New DTLS connection") + bob.logged("New DTLS connection"); n != 2 {
			t.Errorf("%d sessions opened, want one on each side", n)
		}
	})
}

// TestDeviceFails: the client ends with the reason when its device is taken away.
func TestDeviceFails(t *testing.T) {
	inBubble(t, func(v *vpn) {
		conn := v.net.Internet().Listen("198.51.100.2:5000")
		dev := device.NewMemory("tun0")
		c, err := New(Config{
			VPNAddr: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
			Conn: conn, Device: dev, Settings: Settings{Servers: At(v.server), Verify: believe},
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Run(v.t.Context()) }()
		pass(time.Second)
		dev.Remove()
		if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("Run = %v, want the device's error", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := Config{
		VPNAddr: netip.MustParseAddr("10.9.0.1"), Network: netip.MustParsePrefix("10.9.0.0/24"),
		Conn: new(simnet.Conn), Device: new(device.Memory),
		Settings: Settings{Servers: At(rdvAddr), Verify: believe},
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no VPN address":          func(c *Config) { c.VPNAddr = netip.Addr{} },
		"an IPv6 VPN address":     func(c *Config) { c.VPNAddr = netip.MustParseAddr("fd00::1") },
		"address outside the VPN": func(c *Config) { c.VPNAddr = netip.MustParseAddr("10.8.0.1") },
		"no server":               func(c *Config) { c.Servers = nil },
		"no socket":               func(c *Config) { c.Conn = nil },
		"no device":               func(c *Config) { c.Device = nil },
		"nobody to verify a peer": func(c *Config) { c.Verify = nil },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestMulticast: with the setting, multicast goes over every open tunnel.
func TestMulticast(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.Multicast = true })
		alice.ping(bob, 5*time.Second)
		alice.send(netip.MustParseAddr("224.0.0.251"), "mDNS")
		bob.wants("mDNS", time.Second)
		s := alice.client.set
		s.Multicast = false
		if err := alice.client.Apply(v.t.Context(), s); err != nil {
			v.t.Fatal(err)
		}
		alice.send(netip.MustParseAddr("224.0.0.251"), "mDNS")
		pass(time.Second)
		if got := bob.texts(); len(got) != 0 {
			v.t.Errorf("received %q without the setting", got)
		}
	})
}
