package device

import (
	"io"
	"testing"
	"time"

	"campagnol/tunnel/segment"
)

// A bulk is a TCP connection over a cable that is never idle.
type bulk struct {
	server io.Reader
	buf    []byte
}

// newBulk lays a cable and begins to send.
func newBulk(t testing.TB, link segment.Link) *bulk {
	t.Helper()
	c := lay(t, Config{Link: link}, nil)
	client, server := c.tcp(c.a, c.b, c.b.ip4)
	client.SetDeadline(time.Time{})
	server.SetDeadline(time.Time{})
	go func() {
		for data := make([]byte, 1<<18); ; {
			if _, err := client.Write(data); err != nil {
				return // the test is over
			}
		}
	}()
	b := &bulk{server: server, buf: make([]byte, 1<<18)}
	b.receive(t, 10<<20) // the connection has found its speed
	return b
}

// receive takes n bytes, and returns how long that took.
func (b *bulk) receive(t testing.TB, n int) time.Duration {
	t.Helper()
	start := time.Now()
	for n > 0 {
		got, err := b.server.Read(b.buf[:min(n, len(b.buf))])
		if err != nil {
			t.Fatal(err)
		}
		n -= got
	}
	return time.Since(start)
}

// BenchmarkTCP is the speed of one TCP connection over a cable. One MB is an op.
func BenchmarkTCP(b *testing.B) {
	for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
		b.Run("link="+link.String(), func(b *testing.B) {
			conn := newBulk(b, link)
			b.SetBytes(1 << 20)
			for b.Loop() {
				conn.receive(b, 1<<20)
			}
		})
	}
}

// TestSpeed compares the speed of frames with that of IP packets. Without offloads
// they would have a tenth. What a machine does beside must not fail the test: the
// best of several rounds counts, and half the speed is enough to pass.
func TestSpeed(t *testing.T) {
	const rounds, size, good, enough = 8, 30 << 20, 0.8, 0.5
	best := 0.0
	for i := 0; i < rounds && best < good; i++ {
		var took [2]time.Duration
		for j, link := range []segment.Link{segment.IP, segment.Ethernet} {
			took[j] = speedRound(t, link, size)
		}
		ratio := took[0].Seconds() / took[1].Seconds()
		rate := func(d time.Duration) float64 { return size * 8 / d.Seconds() / 1e9 }
		t.Logf("TUN %.2f Gbit/s, TAP %.2f Gbit/s, ratio %.2f", rate(took[0]), rate(took[1]), ratio)
		best = max(best, ratio)
	}
	if best < enough {
		t.Errorf("frames have at best %.2f of the speed of IP packets", best)
	}
}

// speedRound returns how long size bytes take on a cable of their own.
func speedRound(t *testing.T, link segment.Link, size int) (d time.Duration) {
	t.Run(link.String(), func(t *testing.T) { d = newBulk(t, link).receive(t, size) })
	return d
}
