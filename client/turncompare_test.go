package client

import (
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	rdvrelay "campagnol/rdv/relay"
)

// relaying replaces the RDVs of a town by such as relay. All that comes to the one with
// the number far, and leaves it, takes longer by detour.
func (w *town) relaying(far int, detour time.Duration) {
	w.t.Helper()
	base := w.cfg
	w.cfg = func(i int) rdv.Config {
		at := w.addrs[i]
		conn := w.net.Internet().Listen(at.String())
		host := conn.Host()
		if i == far {
			host.SetLinks(simnet.Link{Delay: detour}, simnet.Link{Delay: detour})
		}
		cfg := base(i)
		cfg.Conn, cfg.RelaySecret = conn, rdvrelay.NewSecret()
		cfg.Relay = rdvrelay.New(rdvrelay.Config{
			Links: []rdvrelay.Link{conn}, Secret: cfg.RelaySecret, Addrs: []netip.Addr{at.Addr()},
			Listen: func(a netip.AddrPort) (punch.Conn, error) {
				return host.Listen(netip.AddrPortFrom(at.Addr(), a.Port()))
			},
		})
		return cfg
	}
	for i := range w.rdvs {
		w.kill(i)
		w.start(i)
	}
}

// TestTURNNearer: of two relays at different distances the session ends up at the nearer
// one, whichever was the first, and stays there.
func TestTURNNearer(t *testing.T) {
	const detour, near = 60 * time.Millisecond, 60 * time.Millisecond // added; the round trip at most
	for far, name := range []string{"the first is far", "the second is far"} {
		t.Run(name, func(t *testing.T) {
			inTown(t, 2, 2, func(w *town) {
				w.relaying(far, detour)
				var ends []*node
				for i := 1; i <= 2; i++ {
					site := w.home(i, symmetric)
					edit := w.byTURN(site, func(c *Config) { c.Servers = At(w.addrs...) })
					ends = append(ends, w.node(site, "192.168.1.2:5000", netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}).String(), edit))
				}
				pass(3 * time.Second)
				alice, bob := ends[0], ends[1]
				first := alice.ping(bob, 5*time.Second)
				settled := w.settlesWithin(alice, bob, near, time.Minute)
				t.Logf("the first reply took %v; the nearer relay is used after %v", first, settled)
				moves := alice.peerOf(bob).Moves + bob.peerOf(alice).Moves
				for range 60 {
					pass(time.Second)
					alice.ping(bob, time.Second)
				}
				for i, n := range ends {
					if p := n.peerOf(ends[1-i]); p.Path != "relay" || p.RTT > near {
						t.Errorf("%v has a path of kind %q that takes %v, want %q and at most %v", n.vpn, p.Path, p.RTT, "relay", near)
					}
				}
				if got := alice.peerOf(bob).Moves + bob.peerOf(alice).Moves; got != moves {
					t.Errorf("moved %d times after it had the nearer relay, want 0", got-moves)
				}
			})
		})
	}
}

// settlesWithin uses the session of two nodes until the paths of both take rtt at most,
// and returns how long that was.
func (w *town) settlesWithin(a, b *node, rtt, within time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	for time.Since(start) < within {
		a.ping(b, time.Second)
		x, y := a.peerOf(b), b.peerOf(a)
		if x.RTT > 0 && x.RTT <= rtt && y.RTT > 0 && y.RTT <= rtt {
			return time.Since(start)
		}
		pass(200 * time.Millisecond)
	}
	w.t.Errorf("the paths take %v and %v after %v, want at most %v", a.peerOf(b).RTT, b.peerOf(a).RTT, within, rtt)
	return within
}
