package l2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// random returns n bytes that depend on seed only.
func random(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// split returns the fragments of a frame.
func split(t testing.TB, s *Splitter, frame []byte, limit int) (all [][]byte) {
	t.Helper()
	if err := s.Begin(frame, limit); err != nil {
		t.Fatalf("%d bytes in fragments of %d: %v", len(frame), limit, err)
	}
	for {
		b, ok := s.Next(nil)
		if !ok {
			return all
		}
		if len(b) > limit || len(b) <= FragmentHeaderLen {
			t.Fatalf("%d bytes in fragments of %d: one of %d", len(frame), limit, len(b))
		}
		all = append(all, b)
	}
}

// join gives fragments to a and returns the frames that become whole.
func join(t testing.TB, a *Assembler, at Stamp, fragments ...[]byte) (whole [][]byte) {
	t.Helper()
	for _, b := range fragments {
		f, err := a.Add(at, bytes.Clone(b))
		if err != nil {
			t.Fatalf("fragment %x: %v", b[:FragmentHeaderLen], err)
		}
		if f != nil {
			whole = append(whole, bytes.Clone(f))
		}
	}
	return whole
}

// TestFragmentGolden has the bytes on the wire.
func TestFragmentGolden(t *testing.T) {
	s := Splitter{number: 0x01020303}
	got := split(t, &s, []byte("campagnol"), FragmentHeaderLen+4)
	want := [][]byte{
		unhex(t, "01020304 00 03 0009 63616d"),
		unhex(t, "01020304 01 03 0009 706167"),
		unhex(t, "01020304 02 03 0009 6e6f6c"),
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestFragments: every size of frame and fragment, in every order.
func TestFragments(t *testing.T) {
	var s Splitter
	a := NewAssembler(1 << 20)
	for size := 1; size < 200; size += 7 {
		for limit := FragmentHeaderLen + 1 + size/maxFragments*2; limit < size+30; limit += 5 {
			frame := random(size, uint64(size))
			parts := split(t, &s, frame, max(limit, FragmentHeaderLen+(size+maxFragments-1)/maxFragments))
			slices.Reverse(parts)
			if got := join(t, a, 1, parts...); len(got) != 1 || !bytes.Equal(got[0], frame) {
				t.Fatalf("%d bytes in fragments of %d: %x, want %x", size, limit, got, frame)
			}
		}
	}
	if a.Lost() != 0 {
		t.Errorf("%d are lost", a.Lost())
	}
}

func TestSplitterRefuses(t *testing.T) {
	var s Splitter
	for _, c := range []struct {
		name        string
		size, limit int
		ok          bool
	}{
		{"nothing", 0, 100, false},
		{"no room", 100, FragmentHeaderLen, false},
		{"negative", 100, -1, false},
		{"one too many fragments", 65, FragmentHeaderLen + 1, false},
		{"as many as there may be", 64, FragmentHeaderLen + 1, true},
		{"too large", 1 << 16, 1 << 16, false},
		{"largest", 1<<16 - 1, 1 << 11, true},
	} {
		err := s.Begin(make([]byte, c.size), c.limit)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, ok := s.Next(nil); ok != c.ok {
			t.Errorf("%s: a fragment: %v", c.name, ok)
		}
	}
}

func TestAssemblerRefuses(t *testing.T) {
	for _, c := range []struct{ name, fragment string }{
		{"nothing", ""},
		{"header only", "00000001 00 02 0004"},
		{"no parts", "00000001 00 00 0004 0102"},
		{"65 parts", "00000001 00 41 0041 01"},
		{"index beyond the parts", "00000001 02 02 0004 0102"},
		{"longer than its place", "00000001 00 02 0004 010203"},
		{"shorter than its place", "00000001 00 02 0004 01"},
		{"last one too long", "00000001 01 02 0003 0102"},
		{"no length", "00000001 00 01 0000 01"},
		{"larger than is allowed", "00000001 00 02 0803 01"},
		{"a part beyond the end", "00000001 03 04 0005 01"}, // the third has the last byte
	} {
		a := NewAssembler(2048)
		if f, err := a.Add(1, unhex(t, c.fragment)); f != nil || !errors.Is(err, ErrFragment) {
			t.Errorf("%s: %x, %v", c.name, f, err)
		}
		if a.partial[0].buf != nil {
			t.Errorf("%s: has taken memory", c.name)
		}
	}
}

// TestAssemblerMixed: fragments of several frames come mixed and twice; those with the
// number of one and the shape of another do no harm.
func TestAssemblerMixed(t *testing.T) {
	var s Splitter
	a := NewAssembler(2048)
	one, two := random(1000, 1), random(1001, 2)
	p, q := split(t, &s, one, 400), split(t, &s, two, 400)
	if got := join(t, a, 1, p[0], q[2], q[2], p[2], q[0], p[0]); got != nil {
		t.Fatalf("whole too early: %x", got)
	}
	fake := bytes.Clone(q[1])
	fake[3] = 1 // of the first frame
	if _, err := a.Add(1, fake); !errors.Is(err, ErrFragment) {
		t.Errorf("a part of another shape: %v", err)
	}
	if got := join(t, a, 1, q[1]); len(got) != 1 || !bytes.Equal(got[0], two) {
		t.Errorf("the second: %x", got)
	}
	if got := join(t, a, 1, p[1]); len(got) != 1 || !bytes.Equal(got[0], one) {
		t.Errorf("the first: %x", got)
	}
}

// TestAssemblerBounds: what does not become whole is given up, by time and by number,
// and memory is used again.
func TestAssemblerBounds(t *testing.T) {
	var s Splitter
	a := NewAssembler(2048)
	frame := random(1000, 1)
	late := split(t, &s, frame, 600)
	join(t, a, 1, late[0])
	if got := join(t, a, 2+reassemblyTime, late[1]); got != nil || a.Lost() != 1 {
		t.Errorf("too late: %x, %d lost", got, a.Lost())
	}
	now := 2 + 3*reassemblyTime
	var parts [][][]byte
	for i := range maxPartial + 1 {
		parts = append(parts, split(t, &s, frame, 600))
		join(t, a, now+Stamp(i), parts[i][0])
	}
	if a.Lost() != 3 { // the rest of the late one, and the oldest
		t.Errorf("%d lost, want 3", a.Lost())
	}
	if got := join(t, a, now+Stamp(time.Millisecond), parts[1][1]); len(got) != 1 {
		t.Error("the second oldest is gone")
	}
	memory := 0
	for i := range 2000 {
		join(t, a, now+Stamp(i), split(t, &s, random(100+i%1900, 1), 60+i%1900)[:1]...)
	}
	for _, p := range a.partial {
		memory += cap(p.buf)
	}
	if memory > maxPartial*2048 {
		t.Errorf("%d bytes of memory, want %d at most", memory, maxPartial*2048)
	}
}

// TestFragmentAllocs: neither half allocates for each frame.
func TestFragmentAllocs(t *testing.T) {
	var s Splitter
	a := NewAssembler(2048)
	frame, buf := random(2000, 1), make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(1000, func() {
		if s.Begin(frame, 1400) != nil {
			t.Fatal("refused")
		}
		for {
			b, ok := s.Next(buf)
			if !ok {
				return
			}
			if _, err := a.Add(1, b); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%.0f allocations, want 0", n)
	}
}

// FuzzAssembler gives any bytes to an Assembler: it stays within its bounds, and
// frames that are sent whole come whole in between.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("\x0b\x00\x00\x00\x01\x00\x02\x00\x04ab\x0b\x00\x00\x00\x01\x01\x02\x00\x04cd"), uint16(300))
	f.Add([]byte("\x09\x00\x00\x00\x01\x00\x01\x00\x01a"), uint16(1))
	// Fragments with the numbers of those that are to come are for their own sender's loss.
	f.Add([]byte("\x0b\x40\x00\x00\x01\x01\x02\x00\x04cd"), uint16(531))
	f.Fuzz(func(t *testing.T, script []byte, size uint16) {
		a, all := NewAssembler(4096), script
		at := Stamp(1)
		for len(script) > 0 {
			n := min(int(script[0]), len(script)-1)
			frame, err := a.Add(at, script[1:1+n])
			if err == nil && len(frame) > 4096 || err != nil && frame != nil {
				t.Fatalf("%d bytes, %v", len(frame), err)
			}
			script = script[1+n:]
			at += Stamp(100 * time.Millisecond)
		}
		s := Splitter{number: 1 << 30}
		for bytes.Contains(all, binary.BigEndian.AppendUint32(nil, s.number+1)) {
			s.number += 1 << 20
		}
		frame := random(1+int(size)%4096, uint64(size))
		got := join(t, a, at, split(t, &s, frame, 200)...)
		if len(got) != 1 || !bytes.Equal(got[0], frame) {
			t.Errorf("a frame of %d bytes did not come", len(frame))
		}
		memory := 0
		for _, p := range a.partial {
			memory += cap(p.buf)
		}
		if memory > maxPartial*4096 {
			t.Errorf("%d bytes of memory", memory)
		}
	})
}
