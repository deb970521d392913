package interop

import (
	"testing"
	"time"

	"campagnol/tunnel/record"
)

// endures opens a session over a bad path and talks.
func endures(t *testing.T, s setup) {
	s.timeout = patience
	s.args = []string{"-nbio"} // else it waits in a read for what comes after a datagram that it drops
	e, p := connect(t, openSSL{}, s)
	e.open()
	p.send("through")
	e.hears("through")
	deadline := time.Now().Add(patience)
	for i := 0; ; i++ {
		// What comes before OpenSSL's own end of the handshake may be dropped.
		e.say("and back")
		if p.within(time.Second, "and back") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("OpenSSL has got none of %d lines", i)
		}
	}
}

// TestOpenSSLLoss loses a fifth of the handshake's datagrams in each direction.
func TestOpenSSLLoss(t *testing.T) {
	t.Parallel()
	const seeds = 32
	together(t, 2*seeds, func(t *testing.T, i int) {
		endures(t, setup{server: i%2 == 0, suite: record.Suites()[i%6], filter: lose(uint64(i/2), 20)})
	})
}

// TestOpenSSLLossOfFragments does so with flights of a dozen datagrams, of which
// hardly one comes through whole.
func TestOpenSSLLossOfFragments(t *testing.T) {
	t.Parallel()
	together(t, 8, func(t *testing.T, i int) {
		endures(t, setup{server: i%2 == 0, cas: 3, mtu: 300, filter: lose(uint64(100+i/2), 60)})
	})
}

// TestOpenSSLDisorder delivers every datagram twice and in disorder, data
// included.
func TestOpenSSLDisorder(t *testing.T) {
	t.Parallel()
	together(t, 16, func(t *testing.T, i int) {
		seed := uint64(200 + i/2)
		s := setup{
			server: i%2 == 0,
			filter: func(d datagram) [][]byte { return [][]byte{d.data, d.data} },
			delay:  func(d datagram) time.Duration { return time.Duration(hash(seed, d.toPeer, d.n)%20) * time.Millisecond },
		}
		if i%4 < 2 {
			s.cas, s.mtu = 3, 300
		}
		endures(t, s)
	})
}
