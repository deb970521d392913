package record

// The replay window is far larger than the 64 that RFC 6347 section 4.1.2.6
// asks for: whatever is older than the window is lost, and at 500,000 records
// a second 64 of them are an eighth of a millisecond.
const (
	windowWords = 128
	windowBits  = windowWords * 64
)

// A Window remembers which of the latest sequence numbers were accepted. Its
// zero value has accepted none. It is not safe for concurrent use.
//
// Bit seq%windowBits stands for seq; the window covers the windowBits numbers
// below next.
type Window struct {
	next uint64 // one more than the highest accepted number
	bits [windowWords]uint64
}

// Check reports whether seq could be accepted: it is neither in the window
// already nor older than it.
func (w *Window) Check(seq uint64) bool {
	switch {
	case seq >= w.next:
		return true
	case w.next-seq > windowBits:
		return false
	}
	return w.bits[seq/64%windowWords]&(1<<(seq%64)) == 0
}

// Accept notes seq and reports whether it was acceptable.
func (w *Window) Accept(seq uint64) bool {
	if !w.Check(seq) {
		return false
	}
	if seq >= w.next {
		w.forget(w.next, seq)
		w.next = seq + 1
	}
	w.bits[seq/64%windowWords] |= 1 << (seq % 64)
	return true
}

// forget clears the bits that stand for from..to-1, word by word.
func (w *Window) forget(from, to uint64) {
	if to-from >= windowBits {
		clear(w.bits[:])
		return
	}
	for from < to {
		n := min(to-from, 64-from%64)
		mask := (^uint64(0) >> (64 - n)) << (from % 64)
		w.bits[from/64%windowWords] &^= mask
		from += n
	}
}
