package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"campagnol/punch"
)

// A script is a connection from which pieces are read, and then an error.
type script struct {
	net.Conn
	pieces [][]byte
	end    error
	most   int // the largest buffer that was offered
}

func (s *script) Read(b []byte) (int, error) {
	s.most = max(s.most, len(b))
	if len(s.pieces) == 0 {
		return 0, s.end
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// reading returns a reader of pieces.
func reading(pieces ...[]byte) (*reader, *script) {
	s := &script{pieces: pieces, end: io.EOF}
	return &reader{conn: s, addr: netip.MustParseAddrPort("192.0.2.1:443")}, s
}

// channelOf returns ChannelData with n bytes of data.
func channelOf(number uint16, n int, fill byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	return append(b, bytes.Repeat([]byte{fill}, n)...)
}

// framed returns datagrams as frames.
func framed(t testing.TB, ds ...[]byte) (b []byte) {
	t.Helper()
	for _, d := range ds {
		var ok bool
		if b, ok = appendFrame(b, d); !ok {
			t.Fatalf("%d bytes make no frame", len(d))
		}
	}
	return b
}

// payloads returns all payloads of datagrams, cut to what ChannelData has.
func payloads(ds []punch.Datagram) (all [][]byte) {
	for _, d := range ds {
		for p := range d.Segments {
			if n, is := channelData(p); is {
				p = p[:channelHead+n]
			}
			all = append(all, bytes.Clone(p))
		}
	}
	return all
}

// readAll reads until there is an error.
func readAll(r *reader) (all [][]byte, err error) {
	for {
		ds, err := r.receive()
		if err != nil {
			return all, err
		}
		all = append(all, payloads(ds)...)
	}
}

// TestReaderPieces: wherever the stream is cut, the datagrams are the same.
func TestReaderPieces(t *testing.T) {
	ds := [][]byte{
		{15, 1, 2}, unhex(t, binding), channelOf(0x4000, 5, 'a'), channelOf(0x4000, 5, 'b'), channelOf(0x4000, 3, 'c'),
		{}, channelOf(0x4001, 9, 'd'), bytes.Repeat([]byte{23}, 5000), channelOf(0x4001, 1, 'e'),
	}
	b := framed(t, ds...)
	for _, size := range []int{1, 2, 3, 4, 5, 7, 64, 1000, 4096, len(b)} {
		r, _ := reading(slices.Collect(slices.Chunk(b, size))...)
		got, err := readAll(r)
		if err != io.EOF || !slices.EqualFunc(got, ds, bytes.Equal) {
			t.Errorf("in pieces of %d bytes: %d datagrams, %v, want %d", size, len(got), err, len(ds))
		}
	}
}

// TestReaderRuns: ChannelData of one size is handed over in one piece, as long as
// UDP_SEGMENT could send it.
func TestReaderRuns(t *testing.T) {
	type shape struct{ length, segment int }
	repeat := func(n int, d []byte) (ds [][]byte) { return slices.Repeat([][]byte{d}, n) }
	for _, c := range []struct {
		name string
		ds   [][]byte
		want []shape
	}{
		{"one", repeat(1, channelOf(0x4000, 100, 1)), []shape{{104, 0}}},
		{"two", repeat(2, channelOf(0x4000, 100, 1)), []shape{{208, 104}}},
		{"with padding", repeat(3, channelOf(0x4000, 97, 1)), []shape{{312, 104}}},
		{"of two channels", append(repeat(2, channelOf(0x4000, 100, 1)), channelOf(0x4001, 100, 2)), []shape{{312, 104}}},
		{"a shorter one ends it", append(append(repeat(2, channelOf(0x4000, 100, 1)), channelOf(0x4000, 50, 2)), repeat(2, channelOf(0x4000, 100, 3))...),
			[]shape{{208 + 56, 104}, {208, 104}}},
		{"a longer one begins another", append(repeat(2, channelOf(0x4000, 50, 1)), repeat(2, channelOf(0x4000, 100, 1))...),
			[]shape{{112, 56}, {208, 104}}},
		{"something between", append(append(repeat(2, channelOf(0x4000, 50, 1)), []byte{20, 1}), channelOf(0x4000, 50, 1)),
			[]shape{{112, 56}, {2, 0}, {56, 0}}},
		{"no more than 64", repeat(70, channelOf(0x4000, 4, 1)), []shape{{64 * 8, 8}, {6 * 8, 8}}},
	} {
		r, _ := reading(framed(t, c.ds...))
		ds, err := r.receive()
		var got []shape
		for _, d := range ds {
			got = append(got, shape{len(d.Data), d.Segment})
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
		if all := payloads(ds); !slices.EqualFunc(all, c.ds, bytes.Equal) {
			t.Errorf("%s: the data is another", c.name)
		}
		for _, d := range ds {
			if d.Addr != r.addr || cap(d.Data) != len(d.Data) {
				t.Errorf("%s: %v, %d bytes of %d", c.name, d.Addr, len(d.Data), cap(d.Data))
			}
		}
	}
}

// TestReaderNonsense: what came before it counts, what comes behind it does not.
func TestReaderNonsense(t *testing.T) {
	b := framed(t, []byte{20, 1}, channelOf(0x4000, 3, 9))
	b = append(b, 0x23, 1, 2, 3)
	b = append(b, framed(t, []byte{20, 2})...)
	r, _ := reading(b)
	all, err := readAll(r)
	if len(all) != 2 || !errors.Is(err, errFrame) {
		t.Errorf("%x, %v, want two datagrams and %v", all, err, errFrame)
	}
	if _, err := r.receive(); !errors.Is(err, errFrame) {
		t.Errorf("and then %v", err)
	}
}

// TestReaderBounds: a promise of much costs nothing, a batch is bounded, and the buffer
// grows to what comes and no further.
func TestReaderBounds(t *testing.T) {
	r, _ := reading([]byte{0x7F, 0xFF, 0xFF, 0xFF}, []byte{1})
	if _, err := readAll(r); err != io.EOF || len(r.buf) != firstBuffer {
		t.Errorf("a promise of 64 KiB: a buffer of %d, %v", len(r.buf), err)
	}
	r, s := reading(framed(t, bytes.Repeat([]byte{20}, maxPayload), []byte{21}))
	all, err := readAll(r)
	if err != io.EOF || len(all) != 2 || len(all[0]) != maxPayload || len(r.buf) > maxBuffer || s.most > maxBuffer {
		t.Errorf("the longest: %d datagrams, a buffer of %d, %v", len(all), len(r.buf), err)
	}
	var tiny []byte
	for range 1000 {
		tiny = append(tiny, framed(t, []byte{})...)
	}
	r, _ = reading(tiny)
	for total := 0; total < 1000; {
		ds, err := r.receive()
		if err != nil || len(ds) > maxFrames {
			t.Fatalf("%d datagrams at a time, %v", len(ds), err)
		}
		total += len(ds)
	}
	var channels []byte
	for range 1000 {
		channels = append(channels, framed(t, channelOf(0x4000, 0, 0))...)
	}
	r, _ = reading(channels)
	ds, err := r.receive()
	if n := len(payloads(ds)); err != nil || n > maxFrames {
		t.Errorf("%d pieces of ChannelData at a time, %v", n, err)
	}
}

// FuzzReader: whatever comes, cut anywhere, the reader ends, and what it hands over is
// the same as without cuts.
func FuzzReader(f *testing.F) {
	f.Add(framed(f, unhex(f, binding), channelOf(0x4000, 5, 1), channelOf(0x4000, 5, 1), []byte{20}), uint8(3))
	f.Add([]byte{0x7F, 0xFF, 0, 1, 2, 3}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		whole, _ := reading(bytes.Clone(b))
		want, wantErr := readAll(whole)
		parts, _ := reading(slices.Collect(slices.Chunk(b, 1+int(cut)))...)
		got, err := readAll(parts)
		if !slices.EqualFunc(got, want, bytes.Equal) || err != wantErr {
			t.Fatalf("%d datagrams and %v, want %d and %v", len(got), err, len(want), wantErr)
		}
	})
}

// TestReaderAllocs: reading allocates nothing once the buffer is there.
func TestReaderAllocs(t *testing.T) {
	b := framed(t, channelOf(0x4000, 1200, 1), channelOf(0x4000, 1200, 1), unhex(t, binding))
	s := &script{}
	r := &reader{conn: s}
	pieces := [][]byte{b}
	got := testing.AllocsPerRun(100, func() {
		s.pieces, pieces[0] = pieces, b
		if ds, err := r.receive(); err != nil || len(ds) != 2 {
			t.Fatalf("%d, %v", len(ds), err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
