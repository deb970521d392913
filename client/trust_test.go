package client

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch/simnet"
)

// use makes a node show a certificate.
func use(leaf *pkitest.Leaf) func(*Config) {
	return func(c *Config) {
		c.Certificate = tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
	}
}

// TestRefusedPeers: a peer whose certificate is not good gets no session,
// whichever side asks; both sides' logs say why, and other peers are not
// affected.
func TestRefusedPeers(t *testing.T) {
	for _, c := range []struct {
		name   string
		leaf   func(v *vpn) *pkitest.Leaf
		reason string // in the log of who refuses
	}{
		{"foreign CA", func(v *vpn) *pkitest.Leaf {
			return pkitest.NewCA(v.t, "another CA", time.Now()).Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"))
		}, "CA"},
		{"expired", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"),
				pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)))
		}, "expired"},
		{"not yet valid", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"),
				pkitest.Valid(time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)))
		}, "valid"},
		{"another member's address", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.7"))
		}, "10.9.0.66"},
		{"not made for this", func(v *vpn) *pkitest.Leaf {
			return v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"), pkitest.ExtUsage(x509.ExtKeyUsageCodeSigning))
		}, "usage"},
	} {
		for _, asks := range []string{"alice asks", "mallory asks"} {
			t.Run(c.name+", "+asks, func(t *testing.T) {
				inBubble(t, func(v *vpn) {
					alice, bob := v.pair(nil)
					mallory := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.66", use(c.leaf(v)))
					pass(time.Second)
					from, to := alice, mallory
					if asks == "mallory asks" {
						from, to = mallory, alice
					}
					from.send(to.vpn, "let me in")
					pass(20 * time.Second)
					if got := to.texts(); len(got) != 0 {
						v.t.Errorf("delivered %q", got)
					}
					if a, m := alice.state(mallory), mallory.state(alice); a == "ESTABLISHED" || m == "ESTABLISHED" {
						v.t.Errorf("states %s and %s", a, m)
					}
					if !strings.Contains(alice.log.String(), "Error during DTLS handshake") || !strings.Contains(alice.log.String(), c.reason) {
						v.t.Errorf("alice's log does not say %q", c.reason)
					}
					if mallory.logged("bad certificate") == 0 && mallory.logged("BadCertificate") == 0 {
						v.t.Error("mallory's log does not say that the certificate was refused")
					}
					alice.ping(bob, 5*time.Second)
				})
			})
		}
	}
}

// TestRoles: a certificate for one role only works in that role.
func TestRoles(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		leaf := v.ca.Issue(v.t, "asker", pkitest.Addrs("10.9.0.5"), pkitest.ExtUsage(x509.ExtKeyUsageClientAuth))
		asker := v.node(v.home(5, portRestricted), "192.168.1.2:5000", "10.9.0.5", use(leaf))
		pass(time.Second)
		asker.ping(alice, 5*time.Second)
		bob.send(asker.vpn, "be my server")
		pass(5 * time.Second)
		if got := asker.texts(); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
	})
}

// TestRevoked: who is on the CRL gets no session.
func TestRevoked(t *testing.T) {
	inBubble(t, func(v *vpn) {
		leaf := v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.66"))
		crl := v.ca.CRL(v.t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), leaf.Cert)
		var err error
		if v.policy, err = pki.NewPolicy([]*x509.Certificate{v.ca.Cert}, [][]byte{crl}, 0); err != nil {
			v.t.Fatal(err)
		}
		alice, bob := v.pair(nil)
		mallory := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.66", use(leaf))
		pass(time.Second)
		mallory.send(alice.vpn, "let me in")
		pass(5 * time.Second)
		if got := alice.texts(); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
		if alice.logged("revoked") == 0 {
			v.t.Error("the log does not say revoked")
		}
		alice.ping(bob, 5*time.Second)
	})
}

// TestPinned: a certificate without an IP SAN, as all of the original's are, is
// bound to the address by its key at first sight.
func TestPinned(t *testing.T) {
	inBubble(t, func(v *vpn) {
		noSAN := func(c *x509.Certificate) { c.IPAddresses = nil }
		alice, _ := v.pair(nil)
		old := v.node(v.home(7, portRestricted), "192.168.1.2:5000", "10.9.0.7", use(v.ca.Issue(v.t, "old", noSAN)))
		pass(time.Second)
		alice.ping(old, 5*time.Second)
		old.stop()
		pass(time.Second)
		thief := v.node(v.home(8, portRestricted), "192.168.1.2:5000", "10.9.0.7", use(v.ca.Issue(v.t, "thief", noSAN)))
		pass(time.Second)
		thief.send(alice.vpn, "I am the old one")
		pass(10 * time.Second)
		if got := alice.texts(); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
		if alice.logged("campagnol forget 10.9.0.7") == 0 {
			v.t.Error("the log does not say what to do")
		}
	})
}

// TestD_C8_RestartedPeer: a peer that was killed and comes back asks for us while we
// still hold its session; the new session takes over.
func TestD_C8_RestartedPeer(t *testing.T) {
	for _, port := range []string{"5000", "5001"} {
		t.Run("port "+port, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(nil)
				site := bob.conn.Host().Site()
				alice.ping(bob, 5*time.Second)
				bob.kill()
				pass(100 * time.Millisecond)
				bob2 := v.node(site, "192.168.1.2:"+port, "10.9.0.2", nil)
				pass(4 * time.Second) // its old registration is freed
				bob2.send(alice.vpn, "I am back")
				alice.wants("I am back", 2*time.Second)
				alice.ping(bob2, time.Second)
				if n := alice.logged("New DTLS connection"); n != 2 {
					v.t.Errorf("alice opened %d sessions, want 2", n)
				}
				pass(oldKeysLife + time.Second)
				alice.ping(bob2, time.Second)
				if n := alice.client.table.Load().routes.len(); n != 1 {
					v.t.Errorf("%d routes, want 1", n)
				}
			})
		})
	}
}

// TestD_C8_LostPeer: a peer that was killed and comes back is found while we keep
// sending to it, without waiting for the session to be idle.
func TestD_C8_LostPeer(t *testing.T) {
	for _, away := range []time.Duration{100 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice, bob := v.pair(nil)
				site := bob.conn.Host().Site()
				alice.ping(bob, 5*time.Second)
				pass(10 * time.Second) // a pause
				bob.kill()
				sendFor := func(d time.Duration, until func() bool) {
					for end := time.Now().Add(d); time.Now().Before(end) && !until(); {
						alice.send(bob.vpn, "are you there?")
						pass(100 * time.Millisecond)
					}
				}
				sendFor(away, func() bool { return false })
				bob2 := v.node(site, "192.168.1.2:5001", "10.9.0.2", nil)
				start := time.Now()
				got := false
				sendFor(20*time.Second, func() bool { got = len(bob2.texts()) > 0; return got })
				limit := 3 * time.Second
				if away > 10*time.Second {
					limit += away / 4
				}
				if took := time.Since(start); !got || took > limit {
					v.t.Errorf("reached after %v, want at most %v", took, limit)
				}
				alice.ping(bob2, time.Second)
			})
		})
	}
}

// TestD_C8_DeadPeer: the session with a peer that does not come back is closed,
// although we keep sending.
func TestD_C8_DeadPeer(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		bob.kill()
		asks := 0
		v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
			if verdict == simnet.Sent && p.From == alice.conn && p.Kind == 2 {
				asks++
			}
		})
		for range 500 {
			alice.send(bob.vpn, "are you there?")
			pass(100 * time.Millisecond)
		}
		if s := alice.state(bob); s == "ESTABLISHED" {
			v.t.Errorf("after 50 s of silence: %s", s)
		}
		if asks > 30 {
			v.t.Errorf("%d ASKs in 50 s", asks)
		}
	})
}

// TestListener: a peer that only listens is not taken for a dead one.
func TestListener(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		for i := range 600 {
			alice.send(bob.vpn, "listen")
			pass(100 * time.Millisecond)
			if got := bob.texts(); len(got) != 1 {
				v.t.Fatalf("packet %d: received %q", i, got)
			}
		}
		if n := alice.logged("no longer answers"); n != 0 {
			v.t.Errorf("a listener was called missing %d times", n)
		}
	})
}

// TestOutage: a path that is dark for a while carries the session on.
func TestOutage(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(nil)
		alice.ping(bob, 5*time.Second)
		v.net.Drop(func(p simnet.Packet) bool { return true })
		for range 100 {
			alice.send(bob.vpn, "into the dark")
			pass(100 * time.Millisecond)
		}
		v.net.Drop(nil)
		pass(time.Second)
		alice.ping(bob, time.Second)
		if n := alice.logged("New DTLS connection"); n > 2 {
			v.t.Errorf("%d sessions", n)
		}
	})
}

// TestD_C4_StuckLinked: somebody registers as bob, asks for alice and only punches. The
// true bob is reached all the same, and reaches alice.
func TestD_C4_StuckLinked(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		leaf := v.ca.Issue(v.t, "squatter", pkitest.Addrs("10.9.0.66"))
		squatter := v.node(v.home(6, portRestricted), "192.168.1.2:5000", "10.9.0.2", use(leaf))
		pass(time.Second)
		squatter.send(alice.vpn, "I am bob")
		pass(100 * time.Millisecond)
		squatter.kill() // in the middle of it
		pass(2 * time.Second)
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(5 * time.Second)
		bob.ping(alice, 3*time.Second)
	})
}
