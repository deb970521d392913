package client

import (
	"crypto/x509"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
)

// TestRekeyRevoked: whoever has been revoked meanwhile gets no fresh keys, and
// loses the session.
func TestRekeyRevoked(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				leaf := v.ca.Issue(v.t, "mallory", pkitest.Addrs("10.9.0.2"))
				var policy atomic.Pointer[pki.Policy]
				policy.Store(v.policy)
				alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", func(c *Config) {
					c.RekeyTime = 20 * time.Second
					c.Verify = func(now time.Time, _ netip.Addr, chain [][]byte, server bool) error {
						role := pki.Client
						if server {
							role = pki.Server
						}
						_, err := policy.Load().Verify(now, chain, role)
						return err
					}
				})
				mallory := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", func(c *Config) {
					use(leaf)(c)
					c.RekeyTime = -1
				})
				pass(time.Second)
				first, second := mallory, alice
				if who == "server" {
					first, second = alice, mallory
				}
				first.ping(second, 5*time.Second)

				crl := v.ca.CRL(v.t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), leaf.Cert)
				revoking, err := pki.NewPolicy([]*x509.Certificate{v.ca.Cert}, [][]byte{crl}, 0)
				if err != nil {
					v.t.Fatal(err)
				}
				policy.Store(revoking)
				for range 18 {
					alice.send(mallory.vpn, "before")
					pass(time.Second)
				}
				if s := alice.state(mallory); s != "ESTABLISHED" {
					v.t.Fatalf("%s before it was time for fresh keys", s)
				}
				for range 10 {
					alice.send(mallory.vpn, "after")
					pass(time.Second)
				}
				if a, m := alice.state(mallory), mallory.state(alice); a == "ESTABLISHED" || m == "ESTABLISHED" {
					v.t.Errorf("the revoked peer is %s, and sees us %s", a, m)
				}
				if alice.logged("the peer is refused fresh keys") != 1 || alice.logged("revoked") == 0 {
					v.t.Error("the log does not say why")
				}
				if fs := alice.status().Failures; len(fs) != 1 || !strings.Contains(fs[0].Reason, "revoked") {
					v.t.Errorf("failures %+v, want the revoked peer", fs)
				}
			})
		})
	}
}

// TestRekeyUnderAttack: somebody writes the peer's address on ClientHellos and on
// garbage all the time. The keys change undisturbed.
func TestRekeyUnderAttack(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(10 * time.Second))
		alice.ping(bob, 5*time.Second)
		atAlice, atBob := bob.publicAddr(alice), alice.publicAddr(bob)
		rng := rand.New(rand.NewPCG(3, 3))
		hello := func() []byte {
			b := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1, 0, 0, 88, 0, 0, 0, 0, 0, 0, 0, 0, 88, 0xfe, 0xfd}, make([]byte, 86)...)
			for i := range 32 {
				b[28+i] = byte(rng.Uint32())
			}
			return b
		}
		finished := append([]byte{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 60}, make([]byte, 60)...)
		signal := append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0xff, 9, 0, 60}, make([]byte, 60)...)
		to, back := newStream(alice, bob), newStream(bob, alice)
		for i := range 6000 {
			to.step()
			back.step()
			if i%10 == 0 {
				for _, b := range [][]byte{hello(), finished, signal} {
					alice.arrive(atAlice, b)
					bob.arrive(atBob, b)
				}
			}
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		to.take()
		back.take()
		to.wantAll(0)
		back.wantAll(0)
		a, b := alice.peer(bob), bob.peer(alice)
		if a.Rekeys != b.Rekeys || a.Rekeys < 5 || a.RekeyFailures+b.RekeyFailures != 0 {
			v.t.Errorf("fresh keys %d and %d times in a minute, failures %d and %d", a.Rekeys, b.Rekeys, a.RekeyFailures, b.RekeyFailures)
		}
		if n := alice.logged("New DTLS connection"); n != 1 {
			v.t.Errorf("%d connections, want one", n)
		}
	})
}

// TestRekeyHostileMember: a member begins handshake after handshake in its session,
// and asks for more. It gets one a second at most, and harms nobody.
func TestRekeyHostileMember(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob, mallory := members(v)
		goroutines := runtime.NumGoroutine()
		for i := range 500 {
			hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 61, 1, 0, 0, 49, 0, 0, 0, 0, 0, 0, 0, 0, 49, 0xfe, 0xfd}, make([]byte, 47)...)
			number := byte(i + 1)
			rogue(mallory, alice,
				append([]byte{0, 3, 0, 0, byte(i >> 8), number}, hello...), // begins another
				append([]byte{0, 3, 0, 0, 0, 1}, hello...),                 // begins an old one again
				[]byte{0, 3, 0, 0, 0, 0},                                   // asks
				[]byte{0, 3, 0xff, 0xff, 0xff, 0xff}, []byte{0, 3, 1}, []byte{0, 3})
			pass(10 * time.Millisecond)
		}
		if got := runtime.NumGoroutine(); got > goroutines+30 {
			v.t.Errorf("%d goroutines, %d before", got, goroutines)
		}
		if got := alice.texts(); len(got) != 0 {
			v.t.Errorf("delivered %q", got)
		}
		bob.ping(alice, 100*time.Millisecond)
		mallory.ping(alice, 100*time.Millisecond)
		pass(20 * time.Second)
		mallory.ping(alice, 100*time.Millisecond)
	})
}

// TestRekeyTooOften: a member that wants fresh keys all the time gets them once a
// second.
func TestRekeyTooOften(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(rekeyEvery(-1))
		alice.ping(bob, 5*time.Second)
		for range 200 { // in 10 s
			err := alice.client.do(v.t.Context(), func(now time.Time) {
				for _, p := range alice.client.peers {
					if p.rekey.run == nil && p.rekey.look.IsZero() {
						p.rekey.since = now
						alice.client.seekKeys(now, p)
					}
				}
			})
			if err != nil {
				v.t.Fatal(err)
			}
			pass(50 * time.Millisecond)
		}
		if n := bob.peer(alice).Rekeys; n < 5 || n > 10 {
			v.t.Errorf("fresh keys %d times in 10 s, want at most 10", n)
		}
		alice.ping(bob, time.Second)
	})
}

// TestEndsHandshake checks which datagrams of a handshake a server holds back.
func TestEndsHandshake(t *testing.T) {
	rec := func(typ byte, epoch byte, n byte) []byte {
		return append([]byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, n}, make([]byte, n)...)
	}
	join := func(bs ...[]byte) (all []byte) {
		for _, b := range bs {
			all = append(all, b...)
		}
		return all
	}
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"nothing", nil, false},
		{"hello", rec(22, 0, 40), false},
		{"alert", rec(21, 0, 2), false},
		{"two messages in clear", join(rec(22, 0, 40), rec(22, 0, 9)), false},
		{"change", rec(20, 0, 1), true},
		{"change behind a message", join(rec(22, 0, 40), rec(20, 0, 1)), true},
		{"protected", rec(22, 1, 60), true},
		{"cut", rec(22, 1, 60)[:20], false},
		{"protected, with an ID of some length", rec(25, 1, 60)[:30], true},
		{"such a one behind a message", join(rec(22, 0, 40), rec(25, 1, 9)), true},
	} {
		if got := endsHandshake(c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// FuzzRenewal lets a member say anything about fresh keys in its session: it stays
// open, carries packets, and gets fresh keys when it is time.
func FuzzRenewal(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, []byte{0, 0, 0, 1, 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3}, false)
	f.Add([]byte{0, 0, 0, 9, 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, []byte{0, 0, 0, 9, 20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, true)
	f.Fuzz(func(t *testing.T, one, two []byte, server bool) {
		if len(one)+len(two) > 2400 {
			return
		}
		inBubble(t, func(v *vpn) {
			alice, bob := v.pair(rekeyEvery(20 * time.Second))
			alice.ping(bob, 5*time.Second)
			from, to := alice, bob
			if server {
				from, to = bob, alice
			}
			for _, b := range [][]byte{one, two} {
				rogue(from, to, append([]byte{0, 3}, b...))
				pass(50 * time.Millisecond)
			}
			alice.ping(bob, time.Second)
			for range 60 {
				pass(time.Second)
				alice.send(bob.vpn, "on")
			}
			pass(time.Second)
			bob.texts()
			alice.ping(bob, time.Second)
			if len(one) >= 4 && len(two) >= 4 {
				return // whoever claims the highest number gets no further handshake in this session
			}
			if n := bob.peer(alice).Rekeys; n == 0 {
				v.t.Error("no fresh keys")
			}
		})
	})
}
