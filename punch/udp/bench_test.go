package udp

import (
	"fmt"
	"testing"

	"campagnol/punch"
)

// benchmark sends and receives datagrams of 1,400 bytes, count to a call, in
// messages of per payloads.
func benchmark(b *testing.B, open opener, count, per int) {
	round := roundTrip(b, open, "127.0.0.1", count, per)
	b.SetBytes(int64(count * benchSize))
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
}

// benchSize is the size of a payload.
const benchSize = 1400

// roundTrip returns a function that sends count payloads from one socket to another,
// in one call, and receives them.
func roundTrip(b *testing.B, open opener, addr string, count, per int) func() {
	src, dst := mustOpen(b, open, addr), mustOpen(b, open, addr)
	ds := make([]punch.Datagram, count/per)
	for i := range ds {
		ds[i] = punch.Datagram{Addr: at(dst), Data: make([]byte, per*benchSize)}
		if per > 1 {
			ds[i].Segment = benchSize
		}
	}
	return func() {
		if err := src.Send(ds); err != nil {
			b.Fatal(err)
		}
		for left := count * benchSize; left > 0; {
			got, err := dst.Receive()
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range got {
				left -= len(d.Data)
			}
		}
	}
}

func BenchmarkConn(b *testing.B) {
	for _, c := range []struct {
		name string
		open opener
	}{{"Listen", openListen}, {"Portable", openPortable}} {
		for _, per := range []int{1, 40} {
			b.Run(fmt.Sprintf("%s/segments=%d", c.name, per), func(b *testing.B) { benchmark(b, c.open, 40, per) })
		}
	}
}
