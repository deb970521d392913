package pki

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPinsModel lets two users of one file, and a person who removes it, do
// things at random, and compares with a map from addresses to keys.
func TestPinsModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pins")
			m := &pinModel{
				t: t, rng: rand.New(rand.NewPCG(seed, 1)), path: path, owner: map[netip.Addr]KeyID{},
				users: []*Pins{openPins(t, path), openPins(t, path)},
			}
			peers := newPinPeers(t)
			for i := range 4 {
				m.peers = append(m.peers, peers.peer(fmt.Sprint("plain", i)))
				m.peers = append(m.peers, peers.peer(fmt.Sprint("san", i), fmt.Sprint("10.9.0.", i+1), fmt.Sprint("10.9.0.", i+2)))
			}
			for range 100 {
				m.step()
			}
			m.compare()
		})
	}
}

type pinModel struct {
	t     *testing.T
	rng   *rand.Rand
	path  string
	users []*Pins
	peers []*Peer
	owner map[netip.Addr]KeyID
}

func (m *pinModel) step() {
	m.t.Helper()
	user := m.users[m.rng.IntN(len(m.users))]
	addr := ip(fmt.Sprint("10.9.0.", 1+m.rng.IntN(6)))
	switch n := m.rng.IntN(20); {
	case n < 14:
		m.check(user, addr, m.peers[m.rng.IntN(len(m.peers))], n == 0)
	case n < 17:
		_, want := m.owner[addr]
		if got, err := user.Forget(addr); got != want || err != nil {
			m.t.Fatalf("forget %v = %t, %v, want %t", addr, got, err, want)
		}
		delete(m.owner, addr)
	case n < 18:
		if err := os.Remove(m.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			m.t.Fatal(err)
		}
		clear(m.owner)
	case n < 19:
		m.users[m.rng.IntN(len(m.users))] = openPins(m.t, m.path) // it restarts
	default:
		m.compare()
	}
}

// check asks user about peer at addr, and compares with the rules.
func (m *pinModel) check(user *Pins, addr netip.Addr, peer *Peer, requireSAN bool) {
	m.t.Helper()
	hasSAN, inSAN := len(peer.Addrs) > 0, false
	for _, a := range peer.Addrs {
		inSAN = inSAN || a == addr
	}
	owner, owned := m.owner[addr]
	var want Reason
	switch {
	case hasSAN && !inSAN:
		want = AddressMismatch
	case hasSAN:
	case requireSAN:
		want = NoAddress
	case owned && owner != peer.Key:
		want = OtherKey
	}
	err := user.Check(now, addr, peer, requireSAN)
	user.Flush() // the other user is to see it
	var r *Refusal
	if want == 0 && err != nil || want != 0 && (!errors.As(err, &r) || r.Reason != want) {
		m.t.Fatalf("%s at %v (owner %v): %v, want %v", peer.Name, addr, owner, err, want)
	}
	if want == 0 && !requireSAN {
		m.owner[addr] = peer.Key
	}
}

// compare checks that all users see the pins of the model.
func (m *pinModel) compare() {
	m.t.Helper()
	for i, user := range m.users {
		list := user.List()
		if len(list) != len(m.owner) {
			m.t.Fatalf("user %d sees %d pins, want %d", i, len(list), len(m.owner))
		}
		for _, pin := range list {
			if m.owner[pin.Addr] != pin.Key {
				m.t.Fatalf("user %d: %v belongs to %v, want %v", i, pin.Addr, pin.Key, m.owner[pin.Addr])
			}
		}
		for _, w := range user.Warnings() {
			if !strings.Contains(w, "belongs to key") { // of another certificate with the address, now
				m.t.Fatalf("user %d: warning %q", i, w)
			}
		}
	}
}
