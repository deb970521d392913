package client

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/punch/simnet"
	"campagnol/rdv"
	"campagnol/rdv/wire"
)

// TestChannelNodes: two clients register over channels, find each other, and say
// nothing in clear but PING.
func TestChannelNodes(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		var odd []string
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.Dst == v.server && p.Kind < simnet.KindSTUN && p.Kind != simnet.Kind(wire.Ping) {
				odd = append(odd, p.Kind.String())
			}
		})
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		s := alice.status()
		if !s.Registered || !s.RDV().Authenticated || s.RDV().Server.Name != "rdv" || s.RDV().Since.IsZero() || s.RDV().Refusal != "" ||
			s.RDV().Cipher == "" || s.RDV().Endpoint.Addr() != netip.MustParseAddr("203.0.113.21") || time.Until(s.RDV().Server.Expires) < time.Hour {
			v.t.Errorf("status %+v", s.RDV())
		}
		if took := alice.ping(bob, 5*time.Second); took > 120*time.Millisecond {
			v.t.Errorf("the first reply took %v, want what it takes in clear: about 100 ms", took)
		}
		pass(30 * time.Second)
		alice.ping(bob, time.Second)
		if len(odd) > 0 {
			v.t.Errorf("in clear: %v", odd)
		}
		if got := r.count("ASK"); got != 1 {
			v.t.Errorf("%d ASKs, want 1", got)
		}
		if got := r.count("DONE"); got != 1 {
			v.t.Errorf("%d INTRODUCEs were answered, want 1", got)
		}
		r.with(func() {
			if r.early > 0 {
				v.t.Errorf("%d records of handshakes came without ADMIT", r.early)
			}
		})
		if n := alice.logged("Registration complete"); n != 1 {
			v.t.Errorf("logged %d times that the registration is complete", n)
		}
		// An idle tunnel is closed, and the server told.
		pass(3 * time.Minute)
		if got := r.count("FINISHED"); got != 1 {
			v.t.Errorf("%d FINISHEDs, want 1", got)
		}
		// A peer that is not there.
		alice.send(netip.MustParseAddr("10.9.0.77"), "anybody?")
		pass(time.Second)
		if n := alice.logged("The RDV server does not know the peer"); n != 1 {
			v.t.Errorf("reported %d times that there is no peer, want once", n)
		}
		alice.stop()
		bob.stop()
		pass(time.Second)
		if got := r.count("BYE"); got != 2 {
			v.t.Errorf("%d BYEs, want 2", got)
		}
	})
}

// ourServer puts the real server in the place of the VPN's, in a mode.
func (v *vpn) ourServer(mode rdv.Mode) {
	v.t.Helper()
	v.stop()
	cert, key := v.ca.Issue(v.t, "rdv", asRendezvous).WriteFiles(v.t, v.t.TempDir())
	id, err := pki.LoadIdentity(cert, key)
	if err != nil {
		v.t.Fatal(err)
	}
	v.startServer(rdv.Config{Mode: mode, Trust: rdv.NewTrust(id, v.policy)})
}

// TestChannelAtOurServer: client and server, which know nothing of each other's
// code, understand the specification alike.
func TestChannelAtOurServer(t *testing.T) {
	for _, mode := range []rdv.Mode{rdv.Mixed, rdv.Strict} {
		t.Run(mode.String(), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.ourServer(mode)
				mem := new(memory)
				alice, bob := v.pair(v.authentic(AuthAuto, mem))
				if !alice.status().RDV().Authenticated || !bob.status().RDV().Authenticated || !mem.known.Load() {
					v.t.Fatalf("alice %+v, bob %+v", alice.status().RDV(), bob.status().RDV())
				}
				if took := alice.ping(bob, 5*time.Second); took > 120*time.Millisecond {
					v.t.Errorf("the first reply took %v", took)
				}
				carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", nil) // in clear
				pass(time.Second)
				if in := carol.status().Registered; in != (mode == rdv.Mixed) {
					v.t.Errorf("carol is registered in clear: %v", in)
				}
				if mode == rdv.Mixed {
					carol.ping(alice, 5*time.Second)
					bob.ping(carol, 5*time.Second)
				}
				pass(time.Minute)
				// The server is restarted: everybody is back after the next PING.
				v.stop()
				v.ourServer(mode)
				pass(4 * time.Second)
				dave := v.node(v.home(4, portRestricted), "192.168.1.2:5000", "10.9.0.4", v.authentic(AuthYes, nil))
				pass(time.Second)
				dave.ping(alice, 5*time.Second)
				dave.ping(bob, 5*time.Second)
				// A client that leaves is gone at once.
				bob.stop()
				alice.send(bob.vpn, "are you there?")
				pass(3 * time.Minute)
				alice.send(bob.vpn, "are you there?")
				pass(time.Second)
				if alice.logged("The RDV server does not know the peer") == 0 {
					v.t.Error("the server still knows bob")
				}
			})
		})
	}
}

// TestChannelFallback: a server without channel costs no time.
func TestChannelFallback(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  testKind
		most  time.Duration
		after int // KNOCKs in the six minutes that follow
	}{
		{"an original says RECONNECT", anOriginal, 50 * time.Millisecond, 3},
		{"ours, without certificate, says CLOSED", closed, 50 * time.Millisecond, 1},
		{"nobody hears KNOCKs", deaf, 550 * time.Millisecond, 6}, // and after ten seconds
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.startTestRDV(func(r *testRDV) { r.kind = c.kind })
				alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthAuto, new(memory)))
				pass(c.most)
				s := alice.status()
				if !s.Registered || s.RDV().Authenticated || s.RDV().Since.IsZero() || s.RDV().Refusal != "" {
					v.t.Errorf("after %v: %+v, want a registration in clear", c.most, s.RDV())
				}
				sent := v.sent(alice)
				pass(6 * time.Minute)
				if got := sent(simnet.KindGate); got != c.after {
					v.t.Errorf("%d KNOCKs in six minutes, want %d", got, c.after)
				}
				if got := sent(simnet.Kind(wire.Hello)); got != 0 {
					v.t.Errorf("%d HELLOs of a client that is registered", got)
				}
				if n := alice.logged("Registering with the RDV server"); n != 1 {
					v.t.Errorf("logged %d times that it registers", n)
				}
				if n := alice.logged("level=WARN"); n != 0 {
					v.t.Errorf("%d warnings about a server that is as ever:\n%s", n, alice.log.String())
				}
			})
		})
	}
}

// TestChannelFromClear: a server that gets a certificate has its clients' channels
// within minutes, or at once if it is restarted for it.
func TestChannelFromClear(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) { r.kind = closed })
		alice, bob := v.pair(v.authentic(AuthAuto, new(memory)))
		pass(20 * time.Second)
		v.startTestRDV(nil)
		pass(5 * time.Second)
		for _, n := range []*node{alice, bob} {
			if s := n.status(); !s.RDV().Authenticated {
				v.t.Errorf("%v after the restart: %+v", n.vpn, s.RDV())
			}
		}
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", v.authentic(AuthYes, nil))
		pass(time.Second)
		carol.ping(alice, 5*time.Second)
		alice.ping(bob, 5*time.Second)
	})
}

// TestChannelDowngrade: a client that has had a channel does not register in clear
// at the same server, whoever says that there is none, until it is told to forget.
func TestChannelDowngrade(t *testing.T) {
	for _, kind := range []testKind{anOriginal, closed, deaf} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.startTestRDV(nil)
				mem := new(memory)
				alice, bob := v.pair(v.authentic(AuthAuto, mem))
				alice.ping(bob, 5*time.Second)
				sent := v.sent(alice)
				v.startTestRDV(func(r *testRDV) { r.kind = kind })
				pass(100 * time.Second)
				if n := sent(simnet.Kind(wire.Hello)); n != 0 {
					v.t.Errorf("%d HELLOs", n)
				}
				alice.ping(bob, time.Second)                                     // the tunnel needs no server
				if n := alice.logged("campagnol forget --rdv"); n < 1 || n > 2 { // no channel, or no answer
					v.t.Errorf("logged %d times what to do, want once for each reason", n)
				}
				if alice.status().Registered {
					v.t.Error("alice takes herself for registered")
				}
				// Nor does it after a restart.
				alice.stop()
				again := v.node(v.home(4, portRestricted), "192.168.1.2:5000", "10.9.0.4", v.authentic(AuthAuto, mem))
				pass(30 * time.Second)
				if s := again.status(); s.Registered || s.RDV().Refusal == "" {
					v.t.Errorf("a new client that remembers: %+v", s.RDV())
				}
				mem.known.Store(false)
				pass(time.Minute)
				if s := again.status(); !s.Registered || s.RDV().Authenticated {
					v.t.Errorf("after it was told to forget: %+v", s.RDV())
				}
			})
		})
	}
}

// TestChannelAuthNo: without being asked, nothing of the channel is said.
func TestChannelAuthNo(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthNo, nil))
		sent := v.sent(alice)
		pass(10 * time.Minute)
		if n := sent(simnet.KindGate) + sent(simnet.KindHandshake); n != 0 || len(r.channels) != 0 {
			v.t.Errorf("%d datagrams of a channel", n)
		}
		if s := alice.status(); !s.Registered || s.RDV().Authenticated {
			v.t.Errorf("status %+v", s.RDV())
		}
	})
}

// TestChannelRestart: a server that has forgotten everything has its clients back
// after a PING, and the tunnels stay.
func TestChannelRestart(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		pass(20 * time.Second)
		r.restart()
		pass(3500 * time.Millisecond)
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", v.authentic(AuthYes, nil))
		pass(time.Second)
		carol.ping(alice, 5*time.Second)
		alice.ping(bob, time.Second)
		if n := alice.logged("level=WARN"); n != 0 {
			v.t.Errorf("%d warnings:\n%s", n, alice.log.String())
		}
	})
}

// TestChannelAway: a server that is away for minutes.
func TestChannelAway(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		alice.ping(bob, 5*time.Second)
		v.stop()
		pass(100 * time.Second)
		alice.ping(bob, time.Second)
		if alice.status().Registered {
			v.t.Error("alice takes herself for registered")
		}
		if n := alice.logged("The RDV server no longer answers"); n != 1 {
			v.t.Errorf("logged %d times that the server is away", n)
		}
		v.startTestRDV(nil)
		pass(40 * time.Second)
		carol := v.node(v.home(3, portRestricted), "192.168.1.2:5000", "10.9.0.3", v.authentic(AuthYes, nil))
		pass(time.Second)
		carol.ping(alice, 5*time.Second)
	})
}

// TestChannelWait: a server that has too much to do puts clients off.
func TestChannelWait(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) { r.waits = 3 })
		start := time.Now()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthAuto, new(memory)))
		for !alice.status().RDV().Authenticated && time.Since(start) < time.Minute {
			pass(50 * time.Millisecond)
		}
		if took := time.Since(start); took < 3*time.Second || took > 3500*time.Millisecond {
			v.t.Errorf("registered after %v, want a little more than 3 s", took)
		}
	})
}

// TestChannelLoss: with every third datagram lost, a client registers, stays so, and
// finds peers.
func TestChannelLoss(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.startTestRDV(nil)
				luck := rand.New(rand.NewPCG(seed, 1))
				v.net.Drop(func(p simnet.Packet) bool {
					return (p.Dst == v.server || p.Src == v.server) && luck.Float64() < 0.3
				})
				alice, bob := v.pair(v.authentic(AuthYes, nil))
				start := time.Now()
				for !(alice.status().Registered && bob.status().Registered) {
					if pass(100 * time.Millisecond); time.Since(start) > 2*time.Minute {
						v.t.Fatal("not registered after two minutes")
					}
				}
				pass(time.Minute)
				if !alice.status().Registered || !bob.status().Registered {
					v.t.Error("the registration was lost")
				}
				alice.send(bob.vpn, "first")
				for i := 0; len(bob.texts()) == 0; i++ {
					if pass(time.Second); i == 30 {
						v.t.Fatal("nothing arrives")
					}
					alice.send(bob.vpn, "again")
				}
			})
		})
	}
}

// TestChannelSettings: another way to register, and another server, begin anew.
func TestChannelSettings(t *testing.T) {
	inBubble(t, func(v *vpn) {
		r := v.startTestRDV(nil)
		alice, bob := v.pair(v.authentic(AuthYes, nil))
		apply := func(edit func(*Settings)) {
			v.t.Helper()
			s := alice.client.set
			edit(&s)
			if err := alice.client.Apply(v.t.Context(), s); err != nil {
				v.t.Fatal(err)
			}
			pass(time.Second)
		}
		apply(func(s *Settings) { s.Auth = AuthNo })
		if s := alice.status(); !s.Registered || s.RDV().Authenticated || r.count("BYE") != 1 {
			v.t.Errorf("in clear: %+v, %d BYEs", s.RDV(), r.count("BYE"))
		}
		apply(func(s *Settings) { s.Auth = AuthYes })
		if s := alice.status(); !s.RDV().Authenticated {
			v.t.Errorf("over a channel again: %+v", s.RDV())
		}
		before := r.count("REGISTER")
		apply(func(s *Settings) { s.LocalAddr = netip.MustParseAddrPort("192.168.1.77:5000") })
		if n := r.count("REGISTER") - before; n != 1 || !alice.status().RDV().Authenticated {
			v.t.Errorf("%d REGISTERs after a change of the local address, want 1", n)
		}
		apply(func(s *Settings) { s.Servers = At(netip.MustParseAddrPort("198.51.100.99:57888")) })
		if s := alice.status(); s.Registered || r.count("BYE") != 2 {
			v.t.Errorf("at a server that does not exist: %+v, %d BYEs", s.RDV(), r.count("BYE"))
		}
		apply(func(s *Settings) { s.Servers = At(v.server) })
		alice.ping(bob, 5*time.Second)
		if err := alice.client.Restart(v.t.Context(), alice.client.set); err != nil {
			v.t.Fatal(err)
		}
		pass(time.Second)
		if s := alice.status(); !s.RDV().Authenticated || r.count("BYE") != 3 {
			v.t.Errorf("after a restart: %+v, %d BYEs", s.RDV(), r.count("BYE"))
		}
		alice.ping(bob, 5*time.Second)
		if err := alice.client.Apply(v.t.Context(), Settings{Servers: At(v.server), Verify: believe, Auth: AuthAuto}); err == nil {
			v.t.Error("settings without VerifyServer are taken")
		}
	})
}
