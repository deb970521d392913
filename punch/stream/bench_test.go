package stream

import (
	"bytes"
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/punch"
)

// BenchmarkStream measures how fast ChannelData goes to a server that only counts, in
// runs as UDP_GRO hands them over. Nothing of it may be dropped.
func BenchmarkStream(b *testing.B) {
	server, client := serverTLS(b)
	for _, c := range []struct {
		name           string
		server, client *tls.Config
	}{{"TCP", nil, nil}, {"TLS", server, client}} {
		b.Run(c.name, func(b *testing.B) {
			s := Listen(listenTCP(b), ListenConfig{TLS: c.server})
			defer s.Close()
			var arrived atomic.Int64
			progress := make(chan struct{}, 1)
			go func() {
				for {
					ds, err := s.Receive()
					if err != nil {
						return
					}
					for i := range ds {
						arrived.Add(int64(len(ds[i].Data)))
					}
					select {
					case progress <- struct{}{}:
					default:
					}
				}
			}()
			conn := dialTo(b, s, Config{Name: "rdv.example.org", TLS: c.client})
			const segment, count = 1404, 40
			run := bytes.Repeat(channelOf(0x4000, segment-channelHead, 1), count)
			ds := []punch.Datagram{{Addr: s.LocalAddr(), Data: run, Segment: segment}}
			b.SetBytes(int64(len(run)))
			b.ReportAllocs()
			for i := range b.N {
				conn.Send(ds)
				for sent := int64(i+1) * int64(len(run)); sent-arrived.Load() > maxData/2; {
					select {
					case <-progress:
					case <-time.After(time.Second):
						b.Fatalf("something is lost: %+v", conn.Stats())
					}
				}
			}
		})
	}
}
