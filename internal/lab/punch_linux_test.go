package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPunching compares theory with the kernel: for every pair of kinds, two
// hosts that know what a third party saw of each other punch, as simply as can
// be, and must get through exactly if [Direct] says so.
func TestPunching(t *testing.T) {
	t.Parallel()
	for a := None; a < kindCount; a++ {
		for b := a; b < kindCount; b++ {
			t.Run(fmt.Sprintf("%v and %v", a, b), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, Options{})
				server := addHost(t, l, "server", nil)
				var ends [2]*puncher
				for i, kind := range []Kind{a, b} {
					var nat *NAT
					if kind != None {
						nat = addNAT(t, l, fmt.Sprintf("nat%d", i), NATOptions{Kind: kind})
					}
					f := newFlow(t, addHost(t, l, fmt.Sprintf("h%d", i), nat), server)
					ends[i] = &puncher{conn: f.inner, seen: f.outer()}
				}
				if got, want := punch(t, ends[0], ends[1]), Direct(a, b); got != want {
					t.Errorf("a path opens between %v and %v: %v, want %v", a, b, got, want)
				}
			})
		}
	}
}

// A puncher is a socket behind a NAT, and its address as the server saw it.
type puncher struct {
	conn *net.UDPConn
	seen netip.AddrPort
}

// Times of punchers. Where there is no path they try for as long as patience
// lasts, so this is how long the test takes, and is far more than a path needs.
const (
	punchInterval = 20 * ms
	punchPatience = 3 * time.Second
)

// punch lets two hosts send to each other's announced address, and answer
// wherever something comes from. It reports whether both got an answer.
func punch(t *testing.T, a, b *puncher) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), punchPatience)
	defer cancel()
	answered := make(chan *puncher, 2)
	ended := make(chan struct{}, 2)
	for p, to := range map[*puncher]netip.AddrPort{a: b.seen, b: a.seen} {
		go func() {
			p.run(ctx, to, func() { answered <- p })
			ended <- struct{}{}
		}()
	}
	n := 0
	for n < 2 && ctx.Err() == nil {
		select {
		case <-answered:
			n++
		case <-ctx.Done():
		}
	}
	cancel()
	<-ended
	<-ended
	if n == 1 {
		t.Errorf("one side has a path and the other has none")
	}
	return n == 2
}

// run punches until the context ends, and calls answered at the first answer to
// a punch. It punches where the other side's punches come from, once there are
// any. Answers go on until the end: the other side may need them.
func (p *puncher) run(ctx context.Context, announced netip.AddrPort, answered func()) {
	var to atomic.Pointer[netip.AddrPort]
	to.Store(&announced)
	go func() {
		ticker := time.NewTicker(punchInterval)
		defer ticker.Stop()
		for {
			p.conn.WriteToUDPAddrPort([]byte("punch"), *to.Load())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer context.AfterFunc(ctx, func() { p.conn.SetReadDeadline(time.Unix(1, 0)) })()
	first := sync.OnceFunc(answered)
	b := make([]byte, 16)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(b)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // an ICMP error about a packet that a NAT refused
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		switch {
		case bytes.Equal(b[:n], []byte("punch")):
			to.Store(&from)
			p.conn.WriteToUDPAddrPort([]byte("answer"), from)
		case bytes.Equal(b[:n], []byte("answer")):
			first()
		}
	}
}
