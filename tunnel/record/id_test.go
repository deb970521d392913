package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// ours is the ID that the openers of these tests expect.
var ours = ID{0xc1, 0xd0, 0x00, 0x01}

// pairID is pair for records with an ID.
func pairID(t testing.TB, s Suite) (*Sealer, *Opener) {
	t.Helper()
	sl, op := pair(t, s)
	if err := sl.Identify(ours[:]); err != nil {
		t.Fatal(err)
	}
	op.Expect(ours)
	return sl, op
}

// sealInner seals a plaintext with an ID as it is: content, type and padding.
func sealInner(sl *Sealer, seq uint64, inner []byte) []byte {
	tmp := new(Scratch)
	h := Header{Type: WithID, Version: Version12, Epoch: 1, Seq: seq, Length: len(inner)}
	aad := sl.fillID(tmp, h, sl.id)
	h.Length += sl.explicit + tagLen
	rec := make([]byte, HeaderLen+len(sl.id))
	h.putID(rec, sl.id)
	rec = append(rec, tmp.nonce[len(tmp.nonce)-sl.explicit:]...)
	return sl.aead.Seal(rec, tmp.nonce[:], inner, aad)
}

func TestIDRoundTrip(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pairID(t, s)
		if got, want := sl.Overhead(), s.Overhead()+IDLen+1; got != want {
			t.Errorf("Overhead = %d, want %d", got, want)
		}
		var tmp Scratch
		for i, size := range []int{0, 1, 60, 1400, 9000, MaxPayload} {
			typ := []ContentType{ApplicationData, Handshake, Alert}[i%3]
			want := bytes.Repeat([]byte{byte(size)}, size) // also of zeros, which are no padding
			rec, err := sl.Seal([]byte("before"), want, typ, &tmp)
			if err != nil {
				t.Fatalf("Seal(%d bytes): %v", size, err)
			}
			if !bytes.HasPrefix(rec, []byte("before")) {
				t.Fatal("Seal changed what was in dst")
			}
			rec = rec[len("before"):]
			if len(rec) != size+sl.Overhead() {
				t.Errorf("record of %d bytes, want %d", len(rec), size+sl.Overhead())
			}
			dup := bytes.Clone(rec)
			h, rec, rest, err := Split(rec)
			if err != nil || len(rest) != 0 || h.Type != WithID || h.ID != ours || h.Epoch != 1 || h.Seq != uint64(i) {
				t.Fatalf("Split: %+v, %d more bytes, %v", h, len(rest), err)
			}
			got, err := op.Open(h, rec, &tmp)
			if err != nil || !bytes.Equal(got, want) || tmp.Type() != typ {
				t.Errorf("%d bytes of type %d: opened %d bytes of type %d, %v", size, typ, len(got), tmp.Type(), err)
			}
			if _, _, err := open(op, dup); !errors.Is(err, ErrReplay) {
				t.Errorf("Open of a duplicate: %v, want ErrReplay", err)
			}
		}
	})
}

// TestIDGolden pins the bytes of one record of each kind of suite.
func TestIDGolden(t *testing.T) {
	for _, c := range []struct {
		s    Suite
		want string
	}{
		{ECDHE_ECDSA_AES128_GCM, "19fefd0001000000000005c1d00001001e0001000000000005f3548e69f0fff1759517f937f998407c1acd9cdd3361"},
		{ECDHE_RSA_CHACHA20_POLY1305, "19fefd0001000000000005c1d0000100164952ec4f84cee662e65e19ed34582a134b24a6bc2675"},
	} {
		key, iv := keys(c.s, 1)
		sl, err := NewSealer(c.s, key, iv, 1, 5)
		if err != nil {
			t.Fatal(err)
		}
		if err := sl.Identify(ours[:]); err != nil {
			t.Fatal(err)
		}
		got, err := sl.Seal(nil, []byte("hello"), ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%v:\n got %x\nwant %s", c.s, got, c.want)
		}
	}
}

// A pionSuite is pion's protection of records, for both directions of one key.
type pionSuite interface {
	Encrypt(*recordlayer.RecordLayer, []byte) ([]byte, error)
	Decrypt(recordlayer.Header, []byte) ([]byte, error)
}

func newPionSuite(t *testing.T, s Suite, key, iv []byte) pionSuite {
	t.Helper()
	var p pionSuite
	var err error
	if s.IVLen() == 4 {
		p, err = ciphersuite.NewGCM(key, iv, key, iv)
	} else {
		p, err = ciphersuite.NewChaCha20Poly1305(key, iv, key, iv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestIDFromPion opens what pion's record layer seals, with padding, too.
func TestIDFromPion(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		key, iv := keys(s, 7)
		_, op := pairID(t, s)
		pion := newPionSuite(t, s, key, iv)
		for seq, padding := range []uint{0, 1, 15, 400} {
			inner, err := (&recordlayer.InnerPlaintext{Content: []byte("from pion"), RealType: protocol.ContentTypeApplicationData, Zeros: padding}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			h := recordlayer.Header{
				ContentType: protocol.ContentTypeConnectionID, Version: protocol.Version1_2, Epoch: 1, SequenceNumber: uint64(seq),
				ConnectionID: ours[:], ContentLen: uint16(len(inner)),
			}
			raw, err := h.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			rec, err := pion.Encrypt(&recordlayer.RecordLayer{Header: h}, append(raw, inner...))
			if err != nil {
				t.Fatal(err)
			}
			var tmp Scratch
			hd, rec, rest, err := Split(rec)
			if err != nil || len(rest) != 0 {
				t.Fatalf("Split: %d more bytes, %v", len(rest), err)
			}
			if got, err := op.Open(hd, rec, &tmp); err != nil || string(got) != "from pion" || tmp.Type() != ApplicationData {
				t.Errorf("padding of %d: %q of type %d, %v", padding, got, tmp.Type(), err)
			}
		}
	})
}

// TestIDToPion lets pion's record layer open what we seal, with IDs of all lengths.
func TestIDToPion(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		key, iv := keys(s, 7)
		pion := newPionSuite(t, s, key, iv)
		for n := range MaxIDLen + 1 {
			id := bytes.Repeat([]byte{byte(n)}, n)
			sl, _ := pair(t, s)
			if err := sl.Identify(id); err != nil {
				t.Fatal(err)
			}
			rec, err := sl.Seal(nil, []byte("to pion"), Alert, new(Scratch))
			if err != nil {
				t.Fatal(err)
			}
			if len(rec) != len("to pion")+sl.Overhead() {
				t.Errorf("ID of %d bytes: record of %d, Overhead says %d", n, len(rec), sl.Overhead())
			}
			pkts, err := recordlayer.ContentAwareUnpackDatagram(append(bytes.Clone(rec), rec...), n)
			if err != nil || len(pkts) != 2 {
				t.Fatalf("ID of %d bytes: pion finds %d records, %v", n, len(pkts), err)
			}
			plain, err := pion.Decrypt(recordlayer.Header{ConnectionID: make([]byte, n)}, bytes.Clone(rec))
			if err != nil {
				t.Errorf("ID of %d bytes: %v", n, err)
				continue
			}
			content := plain[HeaderLen+n:]
			if n > 0 {
				var inner recordlayer.InnerPlaintext
				if err := inner.Unmarshal(content); err != nil || inner.RealType != protocol.ContentTypeAlert || !bytes.Equal(rec[idAt:idAt+n], id) {
					t.Errorf("ID of %d bytes: type %d, %v, in %x", n, inner.RealType, err, rec)
				}
				content = inner.Content
			}
			if string(content) != "to pion" {
				t.Errorf("ID of %d bytes: pion opens %q", n, content)
			}
		}
	})
}

// TestIDSealInPlace: the payload may stand where it will in the record.
func TestIDSealInPlace(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pairID(t, s)
		head := sl.Overhead() - tagLen - typeLen
		buf := make([]byte, head+100+typeLen+tagLen)
		payload := buf[head : head+100]
		for i := range payload {
			payload[i] = byte(i)
		}
		want := bytes.Clone(payload)
		rec, err := sl.Seal(buf[:0], payload, ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		if &rec[0] != &buf[0] {
			t.Error("Seal moved the record")
		}
		if got, _, err := open(op, rec); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Open = %x, %v", got, err)
		}
	})
}

// TestIDTamper changes every bit of a record, one at a time: none opens, and none
// moves the window.
func TestIDTamper(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pairID(t, s)
		rec, err := sl.Seal(nil, []byte("payload"), ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(rec) * 8 {
			bad := bytes.Clone(rec)
			bad[i/8] ^= 1 << (i % 8)
			if _, _, err := open(op, bad); err == nil {
				t.Errorf("opened with bit %d changed", i)
			}
		}
		if _, _, err := open(op, bytes.Clone(rec)); err != nil {
			t.Errorf("the record itself, afterwards: %v", err)
		}
	})
}

func TestIDRefusals(t *testing.T) {
	const s = ECDHE_ECDSA_AES128_GCM
	seal := func(id []byte) []byte {
		sl, _ := pair(t, s)
		if err := sl.Identify(id); err != nil {
			t.Fatal(err)
		}
		rec, err := sl.Seal(nil, []byte("x"), ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	good := seal(ours[:])
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for _, c := range []struct {
		name   string
		expect bool
		b      []byte
		want   error
	}{
		{"the ID", true, good, nil},
		{"another ID", true, seal([]byte{1, 2, 3, 4}), ErrID},
		{"without ID, to one who wants it", true, seal(nil), ErrID},
		{"with ID, to one who wants none", false, good, ErrID},
		{"with an ID of zeros, to one who wants none", false, seal(make([]byte, IDLen)), ErrID},
		{"without ID, to one who wants none", false, seal(nil), nil},
		{"epoch 2", true, edit(func(b []byte) []byte { b[4] = 2; return b }), ErrEpoch},
		{"DTLS 1.0", true, edit(func(b []byte) []byte { b[2] = 0xff; return b }), ErrVersion},
		{"no room for a tag", true, edit(func(b []byte) []byte { b[16] = 23; return b }), ErrShort},
		{"cut in the ID", true, good[:14], ErrShort},
		{"cut in the length", true, good[:16], ErrShort},
		{"body cut", true, good[:len(good)-1], ErrShort},
		{"its type in clear", true, edit(func(b []byte) []byte { b[0] = byte(ApplicationData); return b }), ErrShort},
		{"nothing inside", true, sealInner(must(pairID(t, s)), 1, nil), ErrNoType},
		{"nothing but padding", true, sealInner(must(pairID(t, s)), 1, make([]byte, 100)), ErrNoType},
	} {
		_, op := pair(t, s)
		if c.expect {
			op.Expect(ours)
		}
		before := bytes.Clone(c.b)
		if _, _, err := open(op, c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && c.want != ErrNoType && !bytes.Equal(before, c.b) {
			t.Errorf("%s: Open changed the record", c.name)
		}
	}
	sl, _ := pair(t, s)
	if err := sl.Identify(make([]byte, MaxIDLen+1)); err == nil {
		t.Error("Identify took an ID that is too long")
	}
}

// must returns the first of a pair.
func must(sl *Sealer, _ *Opener) *Sealer { return sl }

// TestIDAndNone: keys are not for both kinds of records. What is sealed with an ID
// does not open as one without, whose additional data is another.
func TestIDAndNone(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pairID(t, s)
		rec, err := sl.Seal(nil, []byte("payload"), ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		plain := append([]byte{byte(ApplicationData)}, rec[1:idAt]...) // the ID is taken out
		plain = append(plain, rec[idAt+IDLen:]...)
		op.withID, op.id = false, ID{}
		if _, _, err := open(op, plain); !errors.Is(err, ErrAuth) {
			t.Errorf("Open = %v, want ErrAuth", err)
		}
	})
}

// TestIDSplit: records with and without ID may share a datagram.
func TestIDSplit(t *testing.T) {
	sl, op := pairID(t, ECDHE_ECDSA_AES128_GCM)
	other, opOther := pair(t, ECDHE_ECDSA_CHACHA20_POLY1305)
	var datagram []byte
	for i, s := range []string{"one", "two", "", "four"} {
		from := []*Sealer{sl, other}[i%2]
		var err error
		if datagram, err = from.Seal(datagram, []byte(s), ApplicationData, new(Scratch)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for rest := datagram; len(rest) > 0; {
		h, rec, r, err := Split(rest)
		if err != nil {
			t.Fatal(err)
		}
		if peeked, ok := Peek(rest); !ok || peeked.Type != h.Type || peeked.Version != h.Version || peeked.Epoch != h.Epoch || peeked.Seq != h.Seq {
			t.Errorf("Peek = %+v, %v, want %+v", peeked, ok, h)
		}
		to := opOther
		if h.Type == WithID {
			to = op
		}
		b, err := to.Open(h, rec, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		got, rest = append(got, string(b)), r
	}
	if want := `["one" "two" "" "four"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("payloads %q, want %s", got, want)
	}
	if _, ok := Peek(datagram[:HeaderLen-1]); ok {
		t.Error("Peek read a header that is cut")
	}
}

func TestIDNoAllocs(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pairID(t, s)
		tmp := new(Scratch)
		payload := make([]byte, 1400)
		buf := make([]byte, 0, 2048)
		n := testing.AllocsPerRun(1000, func() {
			rec, err := sl.Seal(buf, payload, ApplicationData, tmp)
			if err != nil {
				t.Fatal(err)
			}
			h, rec, _, err := Split(rec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := op.Open(h, rec, tmp); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("seal and open allocate %.1f times, want 0", n)
		}
	})
}

// FuzzOpenID throws bytes at an Opener that wants an ID, as records, and as what an
// authentic peer has put into one.
func FuzzOpenID(f *testing.F) {
	for _, s := range Suites() {
		sl, _ := pairID(f, s)
		rec, _ := sl.Seal(nil, []byte("payload"), ApplicationData, new(Scratch))
		f.Add(uint16(s), rec)
		f.Add(uint16(s), []byte{1, 2, 3, 23, 0, 0})
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		s := Suites()[int(n)%len(Suites())]
		sl, op := pairID(t, s)
		good, err := sl.Seal(nil, []byte("payload"), ApplicationData, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		for rest := bytes.Clone(b); len(rest) > 0; {
			h, rec, r, err := Split(rest)
			if err != nil {
				break
			}
			known := bytes.Equal(rec, good)
			if _, err := op.Open(h, rec, new(Scratch)); err == nil && !known {
				t.Fatalf("opened %x", rec)
			}
			rest = r
		}
		if len(b) > MaxPayload {
			return
		}
		var tmp Scratch
		h, rec, _, err := Split(sealInner(sl, 1<<20, b))
		if err != nil {
			t.Fatal(err)
		}
		got, err := op.Open(h, rec, &tmp)
		inner := bytes.TrimRight(b, "\x00")
		switch {
		case len(inner) == 0:
			if !errors.Is(err, ErrNoType) {
				t.Errorf("opened %q, %v, want ErrNoType", got, err)
			}
		case err != nil || !bytes.Equal(got, inner[:len(inner)-1]) || byte(tmp.Type()) != inner[len(inner)-1]:
			t.Errorf("of %x: %x of type %d, %v", b, got, tmp.Type(), err)
		}
	})
}

func BenchmarkSealID(b *testing.B) {
	forEachRecord(b, func(b *testing.B, s Suite, size int) {
		sl, _ := pairID(b, s)
		tmp := new(Scratch)
		payload, buf := make([]byte, size), make([]byte, 0, size+sl.Overhead())
		for b.Loop() {
			if _, err := sl.Seal(buf, payload, ApplicationData, tmp); err != nil {
				b.Fatal(err)
			}
		}
	})
}
