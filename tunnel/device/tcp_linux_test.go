package device

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/netip"
	"testing"

	"campagnol/tunnel/segment"
)

// transfer sends n bytes over TCP and compares what arrives.
func (c *cable) transfer(from, to *station, addr netip.Addr, n int) {
	c.t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef!"), n/17+1)[:n]
	client, server := c.tcp(from, to, addr)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(data)
		if err == nil {
			err = client.CloseWrite()
		}
		sent <- err
	}()
	h := sha256.New()
	if _, err := io.Copy(h, server); err != nil {
		c.t.Errorf("to %v: %v", addr, err)
	}
	if err := <-sent; err != nil {
		c.t.Errorf("to %v: %v", addr, err)
	}
	if [32]byte(h.Sum(nil)) != sha256.Sum256(data) {
		c.t.Errorf("to %v: other bytes arrived", addr)
	}
}

// bothWays sends n bytes in both directions, in both families.
func (c *cable) bothWays(n int) {
	c.t.Helper()
	c.transfer(c.a, c.b, c.b.ip4, n)
	c.transfer(c.a, c.b, c.b.ip6, n)
	c.transfer(c.b, c.a, c.a.ip4, n)
	c.transfer(c.b, c.a, c.a.ip6, n)
}

// TestOffloads checks that large packets really pass, both ways: a program's TCP
// data comes in packets that are larger than the MTU, and what is joined reaches
// the other program.
func TestOffloads(t *testing.T) {
	t.Parallel()
	for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
		t.Run(link.String(), func(t *testing.T) {
			t.Parallel()
			c := lay(t, Config{Link: link}, nil)
			if !c.a.dev.Offloads().Large {
				t.Fatal("this kernel has no offloads")
			}
			c.bothWays(3_000_000)
			if largest, joined := c.sizes(); largest < 10_000 || joined == 0 {
				t.Errorf("the largest packet read had %d bytes, %d large ones were written", largest, joined)
			}
			c.wantNoErrors()
		})
	}
}

// TestPlain is the device without offloads, as the library opens it.
func TestPlain(t *testing.T) {
	t.Parallel()
	for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
		t.Run(link.String(), func(t *testing.T) {
			t.Parallel()
			c := lay(t, Config{Link: link, Plain: true}, nil)
			if c.a.dev.Offloads() != (Offloads{}) {
				t.Errorf("offloads %+v", c.a.dev.Offloads())
			}
			c.bothWays(300_000)
			largest, joined := c.sizes()
			if link == segment.Ethernet {
				largest -= minFrame
			}
			if largest > usual.MTU || joined != 0 {
				t.Errorf("the largest packet read had %d bytes, %d were joined", largest, joined)
			}
			c.wantNoErrors()
		})
	}
}

// TestQueuesTCP has many connections at once through several queues.
func TestQueuesTCP(t *testing.T) {
	t.Parallel()
	for _, link := range []segment.Link{segment.IP, segment.Ethernet} {
		t.Run(link.String(), func(t *testing.T) {
			t.Parallel()
			const queues = 3
			c := lay(t, Config{Link: link, Queues: queues}, nil)
			if got := 1 + len(c.a.dev.More()); got != queues {
				t.Fatalf("%d queues, want %d", got, queues)
			}
			done := make(chan bool)
			for range 4 {
				go func() {
					defer func() { done <- true }() // Goexit, too
					c.bothWays(200_000)
				}()
			}
			for range 4 {
				<-done
			}
			c.wantNoErrors()
		})
	}
}
