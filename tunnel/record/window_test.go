package record

import "testing"

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []uint64
		want  []bool
	}{
		{"in order", []uint64{0, 1, 2}, []bool{true, true, true}},
		{"duplicate", []uint64{0, 0, 1, 1, 0}, []bool{true, false, true, false, false}},
		{"reordered", []uint64{5, 3, 4, 3, 0}, []bool{true, true, true, false, true}},
		{"edge of the window", []uint64{windowBits - 1, 1, 0}, []bool{true, true, true}},
		{"beyond the window", []uint64{windowBits, 1, 0}, []bool{true, true, false}},
		{"far jump forgets", []uint64{1, 10 * windowBits, 1, 10*windowBits - 1}, []bool{true, true, false, true}},
		{"jump over one word", []uint64{10, 100, 73, 74, 73, 10}, []bool{true, true, true, true, false, false}},
		{"the last number", []uint64{maxSeq, maxSeq, maxSeq - 1}, []bool{true, false, true}},
	} {
		var w Window
		for i, seq := range c.steps {
			if got := w.Check(seq); got != c.want[i] {
				t.Errorf("%s: step %d: Check(%d) = %v, want %v", c.name, i, seq, got, c.want[i])
			}
			if got := w.Accept(seq); got != c.want[i] {
				t.Errorf("%s: step %d: Accept(%d) = %v, want %v", c.name, i, seq, got, c.want[i])
			}
		}
	}
}

// FuzzWindow checks Window against the obvious implementation. Each byte moves
// the sequence number forwards or backwards, by a little or by a lot.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 2, 250, 1})
	f.Add([]byte{127, 127, 127, 0, 128, 255, 127, 200, 1})
	f.Add([]byte{127, 254, 254, 254, 1, 1, 1, 254})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var w Window
		seen := map[uint64]bool{}
		var seq, top uint64
		for _, s := range steps {
			if s < 128 {
				seq += uint64(s) * uint64(s)
			} else if d := uint64(s - 127); d*d <= seq {
				seq -= d * d
			}
			want := !seen[seq] && (seq >= top || top-seq <= windowBits)
			if got := w.Check(seq); got != want {
				t.Fatalf("Check(%d) = %v, want %v (top %d)", seq, got, want, top)
			}
			if got := w.Accept(seq); got != want {
				t.Fatalf("Accept(%d) = %v, want %v (top %d)", seq, got, want, top)
			}
			if want {
				seen[seq] = true
				top = max(top, seq+1)
			}
		}
	})
}
