package channeldata

import (
	"bytes"
	"strings"
	"testing"
)

// frames returns messages of a channel, each padded to seg bytes, the last one not.
func frames(number uint16, seg int, texts ...string) (b []byte) {
	for i, text := range texts {
		head := make([]byte, Head)
		Put(head, number, len(text))
		b = append(append(b, head...), text...)
		if i < len(texts)-1 {
			b = append(b, strings.Repeat("\x00", seg-Head-len(text))...)
		}
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in     string
		number uint16
		n      int
		ok, is bool
	}{
		{"", 0, 0, false, false},
		{"\x40\x00\x00", 0, 0, false, true},
		{"\x40\x00\x00\x00", 0x4000, 0, true, true},
		{"\x40\x01\x00\x02ab", 0x4001, 2, true, true},
		{"\x40\x01\x00\x02ab\x00\x00", 0x4001, 2, true, true},
		{"\x40\x01\x00\x03ab", 0x4001, 3, false, true},
		{"\x7f\xff\x00\x01a", 0x7fff, 1, true, true},
		{"\x80\x00\x00\x01a", 0x8000, 1, false, false},
		{"\x3f\xff\x00\x01a", 0x3fff, 1, false, false},
		{"\x16\xfe\xfd\x00\x00", 0x16fe, 0xfd00, false, false},
	} {
		number, n, ok := Parse([]byte(c.in))
		if number != c.number || n != c.n || ok != c.ok || Is([]byte(c.in)) != c.is {
			t.Errorf("%q: %#x, %d, %v, is %v; want %#x, %d, %v, %v", c.in, number, n, ok, Is([]byte(c.in)), c.number, c.n, c.ok, c.is)
		}
	}
}

func TestRunOf(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		seg  int
		want string // what the run holds
		rest int    // bytes behind it
	}{
		{"one", frames(0x4000, 0, "abc"), 7, "abc", 0},
		{"one, padded", append(frames(0x4000, 0, "abc"), 0), 8, "abc", 0},
		{"empty, and more", append(frames(0x4000, 4, ""), frames(0x4000, 4, "", "")...), 4, "", 8},
		{"three", frames(0x4000, 7, "abc", "def", "ghi"), 7, "abcdefghi", 0},
		{"the last is shorter", frames(0x4000, 7, "abc", "def", "g"), 7, "abcdefg", 0},
		{"padded", frames(0x4000, 8, "abc", "def", "ghi"), 8, "abcdefghi", 0},
		{"a shorter one ends it", frames(0x4000, 7, "abc", "d", "efg"), 7, "abcd", 7},
		{"a longer one is another", frames(0x4000, 8, "abc", "defg"), 8, "abc", 8},
		{"another channel", append(frames(0x4000, 0, "abc"), frames(0x4001, 0, "def")...), 7, "abc", 7},
		{"an empty one", append(frames(0x4000, 0, "abc"), frames(0x4000, 0, "")...), 7, "abc", 4},
		{"half a header", append(frames(0x4000, 0, "abc"), 0x40, 0), 7, "abc", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			number, n, ok := Parse(c.in[:min(c.seg, len(c.in))])
			if !ok {
				t.Fatal("the first is none")
			}
			r := RunOf(bytes.Clone(c.in), c.seg, number, n)
			if rest := len(c.in) - len(r.Data); rest != c.rest || r.Bytes() != len(c.want) {
				t.Errorf("%+v: %d bytes, %d behind it, want %d and %d", r, r.Bytes(), rest, len(c.want), c.rest)
			}
			if got := string(r.Strip()); got != c.want {
				t.Errorf("it holds %q, want %q", got, c.want)
			}
		})
	}
}

func TestReaddress(t *testing.T) {
	in := append(frames(0x4000, 8, "abc", "def", "g"), 0, 0, 0)
	r := RunOf(in, 8, 0x4000, 3)
	if got, want := r.Readdress(0x4abc), frames(0x4abc, 8, "abc", "def", "g"); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeep(t *testing.T) {
	for n, want := range map[int]string{1: "abc", 2: "abcdef", 3: "abcdefg", 9: "abcdefg"} {
		r := RunOf(frames(0x4000, 7, "abc", "def", "g"), 7, 0x4000, 3)
		if r.Keep(n); string(r.Strip()) != want {
			t.Errorf("%d of them: %q, want %q", n, r.Strip(), want)
		}
	}
}

// FuzzRunOf: whatever comes, a run is made of whole segments of the input, holds what
// parsing them one by one finds, and is written back as it was.
func FuzzRunOf(f *testing.F) {
	f.Add(frames(0x4000, 7, "abc", "def", "g"), 7)
	f.Add(frames(0x4000, 8, "abc", "def", ""), 8)
	f.Fuzz(func(t *testing.T, in []byte, seg int) {
		if seg <= 0 || len(in) == 0 {
			return
		}
		number, n, ok := Parse(in[:min(seg, len(in))])
		if !ok {
			return
		}
		work := bytes.Clone(in)
		r := RunOf(work, seg, number, n)
		var want []byte
		for i := range r.Count {
			m, size, ok := Parse(r.Data[i*seg : min((i+1)*seg, len(r.Data))])
			if !ok || m != number || size != n && i < r.Count-1 {
				t.Fatalf("segment %d of %+v: %#x, %d, %v", i, r, m, size, ok)
			}
			want = append(want, r.Data[i*seg+Head:i*seg+Head+size]...)
		}
		if back := r.Readdress(number); !bytes.HasPrefix(in, back) {
			t.Errorf("readdressed to the same channel: %q of %q", back, in)
		}
		if got := r.Strip(); !bytes.Equal(got, want) {
			t.Errorf("it holds %q, want %q", got, want)
		}
	})
}
