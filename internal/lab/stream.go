package lab

import (
	"encoding/binary"
	"math/rand/v2"
)

// A stream is the content of a transfer: the same for the same seed, and
// without repetition, so that a receiver finds out about every byte that is
// lost, doubled or out of place. It is a reader without end.
//
// It consists of copies of one block of random bytes, with the number of the
// copy in the first eight bytes. That costs hardly more than copying, which
// matters where sender and receiver share a processor with what they measure.
type stream struct {
	block []byte
	at    int    // next byte of the block
	count uint64 // number of the block
}

const streamBlock = 256 << 10

// newStream returns the stream of a seed.
func newStream(seed uint64) *stream {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	s := &stream{block: make([]byte, streamBlock)}
	rand.NewChaCha8(key).Read(s.block) // never fails
	binary.BigEndian.PutUint64(s.block, 0)
	return s
}

// Read fills b.
func (s *stream) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if s.at == len(s.block) {
			s.at = 0
			s.count++
			binary.BigEndian.PutUint64(s.block, s.count)
		}
		c := copy(b[n:], s.block[s.at:])
		s.at += c
		n += c
	}
	return len(b), nil
}
