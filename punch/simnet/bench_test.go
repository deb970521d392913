package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"campagnol/punch"
)

// inBubble runs f in a bubble once per iteration and reports its events.
func inBubble(b *testing.B, f func(t *testing.T, n *Net)) {
	b.Helper()
	b.ReportAllocs()
	t := new(testing.T)
	events := 0
	for b.Loop() {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			f(t, n)
			_, k := n.Trace()
			events += k
			n.Close()
		})
	}
	if t.Failed() {
		b.Error("the scenario failed")
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// twoHomes returns a socket behind each of two NATs that preserve ports.
func twoHomes(n *Net, nat NAT) (x, y *Conn) {
	x = n.Internet().Behind("203.0.113.1", nat).Listen("192.168.1.2:5000")
	y = n.Internet().Behind("203.0.113.2", nat).Listen("192.168.1.2:5000")
	return x, y
}

// BenchmarkScenario is a small scenario, as the tests of punching play
// thousands of: two nodes learn their public endpoints, and punch for two
// seconds.
func BenchmarkScenario(b *testing.B) {
	inBubble(b, func(t *testing.T, n *Net) {
		server := n.Internet().Listen("198.51.100.1:1")
		x, y := twoHomes(n, NAT{Filtering: AddressDependent})
		toX, toY := learn(t, x, server), learn(t, y, server)
		for range 10 {
			send(t, x, toY, pingText)
			send(t, y, toX, pingText)
			time.Sleep(200 * time.Millisecond)
		}
		if len(waits(x)) < 9 || len(waits(y)) < 9 {
			t.Error("not punched")
		}
	})
}

// BenchmarkPingPong sends single datagrams back and forth, through two NATs, by
// the goroutines of two nodes.
func BenchmarkPingPong(b *testing.B) {
	const rounds = 1000
	inBubble(b, func(t *testing.T, n *Net) {
		x, y := twoHomes(n, NAT{})
		send(t, y, ap("203.0.113.1:5000"), "opens the NAT")
		go func() {
			for {
				ds, err := y.Receive()
				if err != nil {
					return
				}
				_ = y.Send(ds)
			}
		}()
		for range rounds {
			send(t, x, ap("203.0.113.2:5000"), pingText)
			if _, err := x.Receive(); err != nil {
				t.Error(err)
			}
		}
	})
}

// BenchmarkBursts sends 40 datagrams at a time, as a data path does.
func BenchmarkBursts(b *testing.B) {
	data := make([]byte, 40*1400)
	inBubble(b, func(t *testing.T, n *Net) {
		x, y := twoHomes(n, NAT{})
		y.SetCoalesce(true)
		send(t, y, ap("203.0.113.1:5000"), "opens the NAT")
		for range 100 {
			if err := x.Send([]punch.Datagram{{Addr: ap("203.0.113.2:5000"), Data: data, Segment: 1400}}); err != nil {
				t.Error(err)
			}
			if ds, err := y.Receive(); err != nil || len(ds) != 1 || len(ds[0].Data) != len(data) {
				t.Errorf("Receive = %d datagrams, %v", len(ds), err)
			}
		}
	})
}
