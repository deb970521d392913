package lab

import (
	"bytes"
	"io"
	"testing"
)

// take reads n bytes of a stream in pieces of the given size.
func take(t *testing.T, s io.Reader, n, piece int) []byte {
	t.Helper()
	all := make([]byte, n)
	for at := 0; at < n; at += piece {
		b := all[at:min(n, at+piece)]
		if got, err := s.Read(b); got != len(b) || err != nil {
			t.Fatalf("Read = %d, %v, want %d", got, err, len(b))
		}
	}
	return all
}

func TestStreamIsDeterministic(t *testing.T) {
	const size = 3*streamBlock + 77
	want := take(t, newStream(1), size, size)
	for _, piece := range []int{1 << 16, 4093, streamBlock, streamBlock + 1} {
		if got := take(t, newStream(1), size, piece); !bytes.Equal(got, want) {
			t.Errorf("read in pieces of %d the stream is another", piece)
		}
	}
	if got := take(t, newStream(2), size, size); bytes.Equal(got[8:], want[8:]) {
		t.Error("another seed gives the same stream")
	}
}

// TestStreamDoesNotRepeat checks that no block equals an earlier one.
func TestStreamDoesNotRepeat(t *testing.T) {
	s := newStream(1)
	seen := map[string]int{}
	for i := range 300 {
		b := string(take(t, s, streamBlock, streamBlock)[:64])
		if j, ok := seen[b]; ok {
			t.Fatalf("block %d begins as block %d", i, j)
		}
		seen[b] = i
	}
}

func BenchmarkStream(b *testing.B) {
	s := newStream(1)
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		s.Read(buf)
	}
}
