package client

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/rdv"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// A town is a VPN with several RDVs. The first is that of the VPN.
type town struct {
	*vpn
	addrs []netip.AddrPort
	rdvs  []*vpn // each has the server and stop of one
	cfg   func(i int) rdv.Config
}

// inTown runs f in a bubble with n RDVs, of which the first authentic ones have
// certificates. Of a name more than n servers may be given to clients.
func inTown(t *testing.T, n, authentic int, f func(w *town)) {
	t.Helper()
	inBubble(t, func(v *vpn) {
		w := &town{vpn: v}
		var id *pki.Identity
		if authentic > 0 {
			cert, key := v.ca.Issue(v.t, "rdv", asRendezvous).WriteFiles(v.t, v.t.TempDir())
			var err error
			if id, err = pki.LoadIdentity(cert, key); err != nil {
				t.Fatal(err)
			}
		}
		w.cfg = func(i int) rdv.Config {
			if i < authentic {
				return rdv.Config{Mode: rdv.Mixed, Trust: rdv.NewTrust(id, v.policy)}
			}
			return rdv.Config{}
		}
		v.stop()
		for i := range n {
			at := netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:57888", i+1))
			w.addrs = append(w.addrs, at)
			w.rdvs = append(w.rdvs, &vpn{t: v.t, net: v.net, server: at, ca: v.ca, policy: v.policy, stop: func() {}})
			w.start(i)
		}
		v.stop = func() {
			for i := range w.rdvs {
				w.kill(i)
			}
		}
		f(w)
	})
}

// start runs an RDV, which knows nobody.
func (w *town) start(i int) { w.rdvs[i].startServer(w.cfg(i)) }

// kill ends an RDV.
func (w *town) kill(i int) {
	w.rdvs[i].stop()
	w.rdvs[i].stop = func() {}
}

// replace puts an RDV that can do wrong in the place of one.
func (w *town) replace(i int, edit func(*testRDV)) *testRDV { return w.rdvs[i].startTestRDV(edit) }

// house starts a client with all RDVs.
func (w *town) house(i int, edit func(*Config)) *node {
	w.t.Helper()
	return w.node(w.home(i, portRestricted), "192.168.1.2:5000", fmt.Sprintf("10.9.0.%d", i), func(c *Config) {
		c.Servers = At(w.addrs...)
		if edit != nil {
			edit(c)
		}
	})
}

// registered renders where a node is registered: + in clear, * over a channel, - not
// though it tries to be, and . for a spare.
func (n *node) registered() (text string) {
	for _, r := range n.status().RDVs {
		switch {
		case !r.Used:
			text += "."
		case !r.Registered || r.Silent:
			text += "-"
		case r.Authenticated:
			text += "*"
		default:
			text += "+"
		}
	}
	return text
}

// wantsRegistered checks where a node is registered.
func (n *node) wantsRegistered(when, want string) {
	n.t.Helper()
	if got := n.registered(); got != want {
		n.t.Errorf("%s: %v is registered at %s, want %s", when, n.vpn, got, want)
	}
}

// kinds are mixtures of RDVs with and without certificates.
var kinds = []struct {
	name      string
	authentic int
	auth      Auth
	all       string
}{
	{"in clear", 0, AuthNo, "+++"},
	{"authenticated", 3, AuthYes, "***"},
	{"one in clear", 2, AuthAuto, "**+"},
}

// TestServerDies: when one of three RDVs ends without a word, tunnels open as ever
// from the same moment on; when it is back, clients register there again.
func TestServerDies(t *testing.T) {
	for _, k := range kinds {
		for dead := range 3 {
			t.Run(fmt.Sprintf("%s, number %d", k.name, dead+1), func(t *testing.T) {
				inTown(t, 3, k.authentic, func(w *town) {
					edit := w.authentic(k.auth, nil)
					alice, bob, carol := w.house(1, edit), w.house(2, edit), w.house(3, edit)
					pass(2 * time.Second)
					alice.wantsRegistered("at first", k.all)
					w.kill(dead)
					if took := alice.ping(bob, 5*time.Second); took > 150*time.Millisecond {
						t.Errorf("the first reply took %v", took)
					}
					pass(20 * time.Second)
					want := k.all[:dead] + "-" + k.all[dead+1:]
					alice.wantsRegistered("after 20 s", want)
					if took := carol.ping(alice, 5*time.Second); took > 150*time.Millisecond {
						t.Errorf("with two RDVs the first reply took %v", took)
					}
					w.start(dead)
					pass(50 * time.Second)
					alice.wantsRegistered("when it is back", k.all)
					carol.ping(bob, 5*time.Second)
				})
			})
		}
	}
}

// TestServersAllDie: open tunnels outlive all RDVs, and when those are back, everything
// is as before.
func TestServersAllDie(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			inTown(t, 3, k.authentic, func(w *town) {
				edit := w.authentic(k.auth, nil)
				alice, bob, carol := w.house(1, edit), w.house(2, edit), w.house(3, edit)
				pass(2 * time.Second)
				alice.ping(bob, 5*time.Second)
				for i := range 3 {
					w.kill(i)
				}
				pass(60 * time.Second)
				carol.wantsRegistered("without RDVs", "---")
				if took := alice.ping(bob, 5*time.Second); took > 50*time.Millisecond {
					t.Errorf("over the open tunnel it took %v", took)
				}
				for i := range 3 {
					w.start(i)
				}
				pass(60 * time.Second)
				carol.wantsRegistered("when they are back", k.all)
				carol.ping(bob, 5*time.Second)
			})
		})
	}
}

// TestServerSpare: of five RDVs three are used; for one that does not answer, the next
// takes its place, and leaves when the first is back for a while.
func TestServerSpare(t *testing.T) {
	inTown(t, 5, 0, func(w *town) {
		alice := w.house(1, nil)
		bob := w.house(2, nil)
		pass(2 * time.Second)
		alice.wantsRegistered("at first", "+++..")
		w.kill(1)
		pass(15 * time.Second)
		alice.wantsRegistered("without the second", "+-++.")
		w.kill(0)
		pass(15 * time.Second)
		alice.wantsRegistered("without two", "--+++")
		alice.ping(bob, 5*time.Second)
		w.start(1)
		pass(50 * time.Second)
		alice.wantsRegistered("the second is back", "-++++")
		pass(spareLife)
		alice.wantsRegistered("a minute later", "-+++.")
		w.start(0)
		pass(40*time.Second + spareLife)
		alice.wantsRegistered("both are back", "+++..")
	})
}

// TestServerRefuses: an RDV that refuses us, for whatever reason, is that one's matter.
func TestServerRefuses(t *testing.T) {
	for _, reason := range []channel.Reason{channel.Taken, channel.NotYours, channel.Full, channel.Denied} {
		t.Run(reason.String(), func(t *testing.T) {
			inTown(t, 4, 4, func(w *town) {
				r := w.replace(1, func(r *testRDV) {
					r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
						if m.Type == channel.Register {
							r.answer(c, m, channel.Message{Type: channel.Refused, Reason: reason})
						}
						return m.Type == channel.Register
					}
				})
				edit := w.authentic(AuthYes, nil)
				alice, bob := w.house(1, edit), w.house(2, edit)
				pass(5 * time.Second)
				alice.wantsRegistered("one refuses", "*-**")
				alice.ping(bob, 5*time.Second)
				if got := alice.status().RDVs[1].Refusal; !strings.Contains(got, reason.String()) {
					t.Errorf("the status says %q, want %q", got, reason)
				}
				if n := r.count("ASK"); n != 0 {
					t.Errorf("%d ASKs to the one that refuses", n)
				}
			})
		})
	}
}

// TestServerLiar: an RDV that names wrong places, that says that nobody is there, or
// that says nothing, keeps nobody from being found by another.
func TestServerLiar(t *testing.T) {
	places := func(from byte) (list []netip.AddrPort) {
		for i := range byte(12) {
			list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, from + i}), 7))
		}
		return list
	}
	for name, answer := range map[string]channel.Message{
		"wrong places": {Type: channel.Peer, Endpoints: places(1)},
		"unknown":      {Type: channel.Refused, Reason: channel.Unknown},
		"forbidden":    {Type: channel.Refused, Reason: channel.Forbidden},
		"nothing":      {},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, 2, 2, func(w *town) {
				w.replace(0, func(r *testRDV) {
					r.hook = func(r *testRDV, c *testChannel, m channel.Message) bool {
						if m.Type != channel.Ask {
							return false
						}
						if a := answer; a.Type != 0 {
							if a.Type == channel.Peer {
								a.VPN = m.VPN
							}
							r.answer(c, m, a)
						}
						return true
					}
				})
				edit := w.authentic(AuthYes, nil)
				alice, bob := w.house(1, edit), w.house(2, edit)
				pass(2 * time.Second)
				alice.wantsRegistered("at first", "**")
				if took := alice.ping(bob, 5*time.Second); took > time.Second {
					t.Errorf("the first reply took %v", took)
				}
			})
		})
	}
}

// TestServersReject: nobody is given up while an RDV may still know the peer. If all
// say no, that is soon; if one does not answer, it is after a short time.
func TestServersReject(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			inTown(t, 3, k.authentic, func(w *town) {
				edit := w.authentic(k.auth, nil)
				alice := w.house(1, edit)
				bob := w.house(2, func(c *Config) { // only the last one knows bob
					edit(c)
					c.Servers = At(w.addrs[2])
				})
				pass(2 * time.Second)
				if took := alice.ping(bob, 5*time.Second); took > 150*time.Millisecond {
					t.Errorf("the first reply took %v", took)
				}
				absent := netip.MustParseAddr("10.9.0.77")
				alice.send(absent, "?")
				pass(100 * time.Millisecond)
				if n := len(alice.status().Failures); n != 1 {
					t.Errorf("%d failures after all have said no", n)
				}
				w.kill(0)
				alice.send(netip.MustParseAddr("10.9.0.78"), "?")
				pass(rejectPatience - 100*time.Millisecond)
				if n := len(alice.status().Failures); n != 1 {
					t.Errorf("%d failures before one had its time", n)
				}
				pass(200 * time.Millisecond)
				if n := len(alice.status().Failures); n != 2 {
					t.Errorf("%d failures after it had", n)
				}
			})
		})
	}
}

// TestServersTold: the end of a tunnel is told to those RDVs that have introduced us,
// and to no others.
func TestServersTold(t *testing.T) {
	inTown(t, 3, 3, func(w *town) {
		var rs []*testRDV
		for i := range 3 {
			rs = append(rs, w.replace(i, nil))
		}
		edit := w.authentic(AuthYes, nil)
		alice := w.house(1, edit)
		w.house(2, func(c *Config) {
			edit(c)
			c.Servers = At(w.addrs[1:]...)
			c.Timeout = 5 * time.Second
		})
		pass(2 * time.Second)
		alice.ping(w.nodes[1], 5*time.Second)
		pass(30 * time.Second)
		for i, want := range []bool{false, true, true} {
			if got := rs[i].count("FINISHED"); (got > 0) != want {
				t.Errorf("RDV %d was told %d times that the tunnel has ended, want some: %v", i+1, got, want)
			}
		}
	})
}

// TestServersReload: other RDVs in the settings do not touch the registration at those
// that stay.
func TestServersReload(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			inTown(t, 3, k.authentic, func(w *town) {
				edit := w.authentic(k.auth, nil)
				alice := w.house(1, func(c *Config) { edit(c); c.Servers = At(w.addrs[:2]...) })
				bob := w.house(2, edit)
				pass(2 * time.Second)
				alice.ping(bob, 5*time.Second)
				since := alice.status().RDVs[1].Since
				pass(3 * time.Second)
				s := alice.client.set
				s.Servers = At(w.addrs[2], w.addrs[1])
				if err := alice.client.Apply(w.t.Context(), s); err != nil {
					t.Fatal(err)
				}
				pass(2 * time.Second)
				alice.wantsRegistered("with others", k.all[2:]+k.all[1:2])
				if got := alice.status().RDVs[1].Since; !got.Equal(since) {
					t.Errorf("registered at the second since %v, want %v", got, since)
				}
				if alice.state(bob) != "ESTABLISHED" {
					t.Error("the tunnel has not stayed")
				}
			})
		})
	}
}

// TestServerMemory: what is known about one RDV says nothing about another: one that
// had a channel is never registered at in clear, the other is.
func TestServerMemory(t *testing.T) {
	inTown(t, 2, 0, func(w *town) {
		known := w.addrs[0].String()
		alice := w.house(1, w.authentic(AuthAuto, nil, func(c *Config) {
			c.ServerKnown = func(name string) bool { return name == known }
		}))
		pass(5 * time.Second)
		alice.wantsRegistered("one had a channel", "-+")
	})
}

// TestServersMany: more RDVs than are used, the same one twice, and none.
func TestServersMany(t *testing.T) {
	var all []netip.AddrPort
	for i := range byte(20) {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, i / 2}), 57888))
	}
	got := withNames(At(all...))
	if len(got) != maxServers || got[0].Name != "198.51.100.0:57888" || got[7].Name != "198.51.100.7:57888" {
		t.Errorf("%d servers are used: %v", len(got), got)
	}
	if got := withNames([]Server{{Name: "a", Addrs: all}}); len(got) != 1 || len(got[0].Addrs) != maxWays {
		t.Errorf("%v, want %d addresses", got, maxWays)
	}
	for _, list := range [][]Server{nil, {{Name: "a"}}, {{Addrs: []netip.AddrPort{{}}}}} {
		if usableServers(list) {
			t.Errorf("%v can be used", list)
		}
	}
	if got := len(waysTo([]Server{{Addrs: all}})); got != 10 {
		t.Errorf("%d different addresses, want 10", got)
	}
}

// TestServerWays: of an RDV with several addresses that one is used which answers; one
// that does not costs a quarter of a second.
func TestServerWays(t *testing.T) {
	broken := netip.MustParseAddrPort("198.51.100.77:57888")
	for _, k := range kinds[:2] {
		for _, c := range []struct {
			name string
			ways func(good netip.AddrPort) []netip.AddrPort
			most time.Duration
		}{
			{"the first is good", func(good netip.AddrPort) []netip.AddrPort { return []netip.AddrPort{good, broken} }, 0},
			{"the second is good", func(good netip.AddrPort) []netip.AddrPort { return []netip.AddrPort{broken, good} }, raceDelay},
		} {
			t.Run(k.name+", "+c.name, func(t *testing.T) {
				inTown(t, 1, k.authentic, func(w *town) {
					var registered time.Time
					edit := w.authentic(k.auth, nil, func(cfg *Config) { cfg.Servers = []Server{{Name: "rdv", Addrs: c.ways(w.addrs[0])}} })
					start := time.Now()
					alice := w.house(1, edit)
					for registered.IsZero() && time.Since(start) < 5*time.Second {
						pass(5 * time.Millisecond)
						if alice.status().Registered {
							registered = time.Now()
						}
					}
					// Three round trips for a channel, and what it takes to look.
					if took := registered.Sub(start); took < c.most || took > c.most+100*time.Millisecond {
						t.Errorf("registered after %v, want %v and a little", took, c.most)
					}
					bob := w.house(2, edit)
					pass(time.Second)
					alice.ping(bob, 5*time.Second)
					if r := alice.status().RDV(); r.Addr != w.addrs[0] || r.Name != "rdv" {
						t.Errorf("registered at %v as %q", r.Addr, r.Name)
					}
				})
			})
		}
	}
}

// TestServerWayBreaks: when the way in use breaks, we register by another one.
func TestServerWayBreaks(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			inTown(t, 2, k.authentic, func(w *town) { // two RDVs, as two addresses of one
				edit := w.authentic(k.auth, nil, func(cfg *Config) { cfg.Servers = []Server{{Name: "rdv", Addrs: w.addrs}} })
				alice := w.house(1, edit)
				pass(time.Second)
				if r := alice.status().RDV(); !r.Registered || r.Addr != w.addrs[0] {
					t.Fatalf("at first: %+v", r)
				}
				w.kill(0)
				pass(20 * time.Second)
				if r := alice.status().RDV(); !r.Registered || r.Silent || r.Addr != w.addrs[1] {
					t.Errorf("later: %+v", r)
				}
			})
		})
	}
}

// TestServerForgedCookies: cookies of somebody who writes the RDV's other address on
// datagrams do not keep us away.
func TestServerForgedCookies(t *testing.T) {
	broken := netip.MustParseAddrPort("198.51.100.77:57888")
	inTown(t, 1, 1, func(w *town) {
		alice := w.house(1, w.authentic(AuthYes, nil, func(cfg *Config) {
			cfg.Servers = []Server{{Name: "rdv", Addrs: []netip.AddrPort{broken, w.addrs[0]}}}
		}))
		pass(time.Millisecond)
		for range 5 {
			alice.arrive(broken, knockAnswer(broken))
			pass(20 * time.Millisecond)
		}
		pass(2 * time.Second)
		if r := alice.status().RDV(); !r.Authenticated || r.Addr != w.addrs[0] {
			t.Errorf("not registered by the good way: %+v", r)
		}
	})
}

// knockAnswer returns a COOKIE that is good for nothing.
func knockAnswer(seed netip.AddrPort) []byte {
	return wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: cookieFor(seed)}.Append(nil)
}
