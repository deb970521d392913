//go:build long

package main

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"campagnol/internal/lab"

	"golang.org/x/sys/unix"
)

// maxStall is how slow the 99th percentile of a ping may be beside a connection at
// its limit.
const maxStall = 5 * time.Millisecond

// TestRateLimit measures a limited connection on the wire, while another peer is
// pinged: the rate holds to 2 %, and nobody else feels it.
//
// A ping goes through both clients and, at each, twice through the scheduler. When
// this fails, how much of its time is the machine's, which may have other work,
// another client tells: it sends and pings the same at the same time, and has no
// limit.
func TestRateLimit(t *testing.T) {
	const rate = 500e3 // bytes a second
	m := newMesh(t, lab.None, lab.None, lab.None, lab.None)
	a, b, c, control := m.peers[0], m.peers[1], m.peers[2], m.peers[3]
	a.configure("connection_max_rate = 500\n")
	for _, p := range m.peers {
		p.start()
	}
	for _, p := range []*meshPeer{a, control} {
		p.ping(b, 3)
		p.ping(c, 3)
	}

	// What the limit counts: UDP payload and 8 bytes, which is the IP packet
	// without its header of 20.
	counter, err := b.Link().Count(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_UDP, Src: netip.PrefixFrom(a.Addr(), 32)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.flood(b)()
	defer control.flood(b)()
	time.Sleep(2 * time.Second) // the bucket is empty

	packets0, bytes0, err := counter.Hits()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var beside, usual []time.Duration
	var pings sync.WaitGroup
	pings.Go(func() { beside = a.rtts(c) })
	pings.Go(func() { usual = control.rtts(c) })
	pings.Wait()
	packets, bytes, err := counter.Hits()
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	got := float64(bytes-bytes0-20*(packets-packets0)) / took.Seconds()
	p99, normal := percentile(beside, 99), percentile(usual, 99)
	t.Logf("%.0f bytes a second in %v, wanted %.0f; a ping to the other peer: median %v, p99 %v; one without a limit: median %v, p99 %v",
		got, took, float64(rate), percentile(beside, 50), p99, percentile(usual, 50), normal)
	if math.Abs(got-rate) > 0.02*rate {
		t.Errorf("%.0f bytes a second, want %.0f within 2 %%", got, float64(rate))
	}
	if p99 > maxStall {
		t.Errorf("p99 of the other peer's ping is %v, want at most %v; without a limit it is %v", p99, maxStall, normal)
	}
}

// flood sends 1.2 MB a second to a peer, in packets that fit, until stop is called.
func (p *meshPeer) flood(to *meshPeer) (stop func()) {
	p.m.t.Helper()
	conn, err := p.ListenUDP(netip.AddrPortFrom(p.vpn, 0))
	if err != nil {
		p.m.t.Fatal(err)
	}
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		defer conn.Close()
		packet := make([]byte, 1200)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(to.vpn, 9))
			}
		}
	})
	return func() { close(done); sender.Wait() }
}

// rtts returns the times of pings to a peer in ten seconds, in order. None may be
// lost.
func (p *meshPeer) rtts(to *meshPeer) []time.Duration {
	r, err := p.Ping(p.m.t.Context(), to.vpn, lab.PingOptions{Count: 500, Interval: 20 * time.Millisecond})
	if err != nil {
		p.m.t.Error(err)
	}
	if n := r.Received(); n != 500 {
		p.m.t.Errorf("%d of 500 pings of %s to %s were answered", n, p.Name(), to.Name())
	}
	slices.Sort(r.RTT)
	return r.RTT
}
