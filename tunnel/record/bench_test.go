package record

import (
	"bytes"
	"fmt"
	"testing"
)

// benchSizes are the payloads of the benchmarks, in bytes: a small packet, and what
// fits into a datagram on Ethernet.
var benchSizes = []int{64, 1400}

// benchSuites are the suites of the benchmarks, one for each cipher.
var benchSuites = []Suite{ECDHE_ECDSA_AES128_GCM, ECDHE_ECDSA_AES256_GCM, ECDHE_ECDSA_CHACHA20_POLY1305}

// forEachRecord runs a benchmark for each suite and size. Bytes are of payload.
func forEachRecord(b *testing.B, f func(b *testing.B, s Suite, size int)) {
	for _, s := range benchSuites {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("suite=%s/size=%d", s, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				f(b, s, size)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	forEachRecord(b, func(b *testing.B, s Suite, size int) {
		sl, _ := pair(b, s)
		tmp := new(Scratch)
		payload, buf := make([]byte, size), make([]byte, 0, size+sl.Overhead())
		for b.Loop() {
			if _, err := sl.Seal(buf, payload, ApplicationData, tmp); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen opens a batch of records one after the other. What restores it, a
// copy and an empty window, is a small part of it.
func BenchmarkOpen(b *testing.B) {
	const batch = 64
	forEachRecord(b, func(b *testing.B, s Suite, size int) {
		sl, op := pair(b, s)
		tmp := new(Scratch)
		payload := make([]byte, size)
		var sealed []byte
		for range batch {
			var err error
			if sealed, err = sl.Seal(sealed, payload, ApplicationData, tmp); err != nil {
				b.Fatal(err)
			}
		}
		work := bytes.Clone(sealed)
		var rest []byte
		for b.Loop() {
			if len(rest) == 0 {
				copy(work, sealed)
				rest, op.window = work, Window{}
			}
			h, rec, next, err := Split(rest)
			if err == nil {
				_, err = op.Open(h, rec, tmp)
			}
			if err != nil {
				b.Fatal(err)
			}
			rest = next
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	var w Window
	b.ReportAllocs()
	var seq uint64
	for b.Loop() {
		w.Check(seq)
		w.Accept(seq)
		seq++
	}
}
