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

// TestRateLimit measures a limited connection on the wire, while another peer is
// pinged: the rate holds to 2 %, and nobody else feels it.
func TestRateLimit(t *testing.T) {
	const rate = 500e3 // bytes a second
	m := newMesh(t, lab.None, lab.None, lab.None)
	a, b, c := m.peers[0], m.peers[1], m.peers[2]
	a.configure("connection_max_rate = 500\n")
	for _, p := range m.peers {
		p.start()
	}
	a.ping(b, 3)
	a.ping(c, 3)

	// What the limit counts: UDP payload and 8 bytes, which is the IP packet
	// without its header of 20.
	counter, err := b.Link().Count(lab.ToNode, lab.Match{Protocol: unix.IPPROTO_UDP, Src: netip.PrefixFrom(a.Addr(), 32)})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var flood sync.WaitGroup
	conn, err := a.ListenUDP(netip.AddrPortFrom(a.vpn, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	flood.Go(func() {
		packet := make([]byte, 1200)
		for {
			select {
			case <-stop:
				return
			default:
			}
			conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(b.vpn, 9))
			time.Sleep(time.Millisecond) // 1.2 MB/s
		}
	})
	time.Sleep(2 * time.Second) // the bucket is empty
	packets0, bytes0, err := counter.Hits()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	pings, err := a.Ping(t.Context(), c.vpn, lab.PingOptions{Count: 500, Interval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	packets, bytes, err := counter.Hits()
	took := time.Since(began)
	close(stop)
	flood.Wait()
	if err != nil {
		t.Fatal(err)
	}
	got := float64(bytes-bytes0-20*(packets-packets0)) / took.Seconds()
	var rtts []time.Duration
	for _, r := range pings.RTT {
		if r == lab.Lost {
			t.Error("a ping to the other peer was lost")
		}
		rtts = append(rtts, r)
	}
	slices.Sort(rtts)
	p99 := rtts[len(rtts)*99/100]
	t.Logf("%.0f bytes a second in %v, wanted %.0f; the other peer's ping: median %v, p99 %v", got, took, float64(rate), rtts[len(rtts)/2], p99)
	if math.Abs(got-rate) > 0.02*rate {
		t.Errorf("%.0f bytes a second, want %.0f within 2 %%", got, float64(rate))
	}
	if p99 > 5*time.Millisecond {
		t.Errorf("p99 of the other peer's ping %v, want at most 5 ms", p99)
	}
}
