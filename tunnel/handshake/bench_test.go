package handshake

import (
	"bytes"
	"sync"
	"testing"
)

// BenchmarkHandshake is a whole handshake between two ends that are side by side,
// both ends' work included.
func BenchmarkHandshake(b *testing.B) {
	for _, kind := range []string{"ECDSA", "RSA"} {
		b.Run("key="+kind, func(b *testing.B) {
			id := identity(b, kind)
			b.ReportAllocs()
			for b.Loop() {
				var ends [2]*Handshake
				for i := range ends {
					var err error
					ends[i], err = New(Config{Server: i == 1, Certificate: id}, func(d []byte) {
						ends[1-i].Handle(bytes.Clone(d))
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				var wg sync.WaitGroup
				for _, h := range ends {
					wg.Go(func() {
						if _, err := h.Run(b.Context()); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}
