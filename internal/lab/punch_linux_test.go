package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
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

// How often and how fast punchers send.
const (
	punches       = 10
	punchInterval = 20 * ms
)

// punch lets two hosts send to each other's announced address, and answer
// wherever something comes from. It reports whether both got an answer.
func punch(t *testing.T, a, b *puncher) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), (punches+10)*punchInterval)
	defer cancel()
	done := make(chan bool, 2)
	go func() { done <- a.run(ctx, b.seen) }()
	go func() { done <- b.run(ctx, a.seen) }()
	one, other := <-done, <-done
	if one != other {
		t.Errorf("one side has a path and the other has none")
	}
	return one && other
}

// run punches until the context ends, and reports whether there was an answer
// to a punch. It punches where the other side's punches come from, once there
// are any. Answers go on until the end: the other side may need them.
func (p *puncher) run(ctx context.Context, announced netip.AddrPort) (answered bool) {
	var to atomic.Pointer[netip.AddrPort]
	to.Store(&announced)
	go func() {
		ticker := time.NewTicker(punchInterval)
		defer ticker.Stop()
		for range punches {
			p.conn.WriteToUDPAddrPort([]byte("punch"), *to.Load())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	deadline, _ := ctx.Deadline()
	p.conn.SetReadDeadline(deadline)
	b := make([]byte, 16)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return answered
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		switch {
		case bytes.Equal(b[:n], []byte("punch")):
			to.Store(&from)
			p.conn.WriteToUDPAddrPort([]byte("answer"), from)
		case bytes.Equal(b[:n], []byte("answer")):
			answered = true
		}
	}
}
