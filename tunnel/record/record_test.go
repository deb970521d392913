package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// keys returns a key and an IV that fit s and differ for each n.
func keys(s Suite, n byte) (key, iv []byte) {
	return bytes.Repeat([]byte{n}, s.KeyLen()), bytes.Repeat([]byte{n + 100}, s.IVLen())
}

func pair(t testing.TB, s Suite) (*Sealer, *Opener) {
	t.Helper()
	key, iv := keys(s, 7)
	sl, err := NewSealer(s, key, iv, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	op, err := NewOpener(s, key, iv, 1)
	if err != nil {
		t.Fatal(err)
	}
	return sl, op
}

func open(o *Opener, datagram []byte) ([]byte, Header, error) {
	h, rec, _, err := Split(datagram)
	if err != nil {
		return nil, h, err
	}
	b, err := o.Open(h, rec, new(Scratch))
	return b, h, err
}

func forEachSuite(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range Suites() {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

func TestRoundTrip(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pair(t, s)
		var tmp Scratch
		for i, size := range []int{0, 1, 60, 1400, 9000, MaxPayload} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			rec, err := sl.Seal([]byte("before"), want, ApplicationData, &tmp)
			if err != nil {
				t.Fatalf("Seal(%d bytes): %v", size, err)
			}
			if !bytes.HasPrefix(rec, []byte("before")) {
				t.Fatal("Seal changed what was in dst")
			}
			rec = rec[len("before"):]
			if got, want := len(rec), size+s.Overhead(); got != want {
				t.Errorf("record of %d bytes, want %d", got, want)
			}
			dup := bytes.Clone(rec)
			got, h, err := open(op, rec)
			if err != nil {
				t.Fatalf("Open(%d bytes): %v", size, err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("payload of %d bytes changed on the way", size)
			}
			if h.Type != ApplicationData || h.Epoch != 1 || h.Seq != uint64(i) {
				t.Errorf("header %+v, want application data, epoch 1, number %d", h, i)
			}
			if _, _, err := open(op, dup); !errors.Is(err, ErrReplay) {
				t.Errorf("Open of a duplicate: %v, want ErrReplay", err)
			}
		}
	})
}

// TestSealInPlace checks the one overlap that Seal permits, which lets the data
// path seal a packet where it was read.
func TestSealInPlace(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pair(t, s)
		head := s.Overhead() - tagLen
		buf := make([]byte, head+100+tagLen)
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

// reference seals a record as the RFCs say, without regard for speed.
func reference(s Suite, key, iv []byte, typ ContentType, epoch uint16, seq uint64, payload []byte) []byte {
	num := binary.BigEndian.AppendUint64(nil, uint64(epoch)<<48|seq)
	aad := append(bytes.Clone(num), byte(typ), 0xfe, 0xfd)
	aad = binary.BigEndian.AppendUint16(aad, uint16(len(payload)))
	var aead cipher.AEAD
	var nonce, explicit []byte
	if s.IVLen() == 4 { // RFC 5288 section 3
		block, _ := aes.NewCipher(key)
		aead, _ = cipher.NewGCM(block)
		nonce, explicit = append(bytes.Clone(iv), num...), num
	} else { // RFC 7905 section 2
		aead, _ = chacha20poly1305.New(key)
		nonce = append(make([]byte, 4), num...)
		for i := range nonce {
			nonce[i] ^= iv[i]
		}
	}
	body := append(bytes.Clone(explicit), aead.Seal(nil, nonce, payload, aad)...)
	rec := append([]byte{byte(typ), 0xfe, 0xfd}, num...)
	rec = binary.BigEndian.AppendUint16(rec, uint16(len(body)))
	return append(rec, body...)
}

func TestAgainstReference(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		key, iv := keys(s, 3)
		for _, seq := range []uint64{0, 1, 1 << 20, maxSeq} {
			for _, typ := range []ContentType{Alert, Handshake, ApplicationData} {
				sl, err := NewSealer(s, key, iv, 1, seq)
				if err != nil {
					t.Fatal(err)
				}
				payload := []byte("the quick brown fox")
				got, err := sl.Seal(nil, payload, typ, new(Scratch))
				if err != nil {
					t.Fatal(err)
				}
				want := reference(s, key, iv, typ, 1, seq, payload)
				if !bytes.Equal(got, want) {
					t.Errorf("type %d, number %d:\n got %x\nwant %x", typ, seq, got, want)
				}
			}
		}
	})
}

// TestGolden pins the bytes of one record of each kind of suite.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		s    Suite
		want string
	}{
		{ECDHE_ECDSA_AES128_GCM, "17fefd0001000000000005001d0001000000000005f3548e69f0ecfeee96d0f107d600daeb9d69c0becd"},
		{ECDHE_RSA_CHACHA20_POLY1305, "17fefd000100000000000500154952ec4f84eac70bc2a5ec2556c2e488611f181b22"},
	} {
		key, iv := keys(c.s, 1)
		sl, err := NewSealer(c.s, key, iv, 1, 5)
		if err != nil {
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

// TestOpenPeersNonce checks that the explicit nonce is taken from the record:
// other implementations need not use the sequence number.
func TestOpenPeersNonce(t *testing.T) {
	s := ECDHE_RSA_AES256_GCM
	key, iv := keys(s, 9)
	block, _ := aes.NewCipher(key)
	aead, _ := cipher.NewGCM(block)
	explicit := []byte{9, 8, 7, 6, 5, 4, 3, 2}
	h := Header{Type: ApplicationData, Version: Version12, Epoch: 1, Seq: 42, Length: 3}
	aad := binary.BigEndian.AppendUint64(nil, h.epochSeq())
	aad = append(aad, byte(h.Type), 0xfe, 0xfd, 0, 3)
	sealed := aead.Seal(nil, append(bytes.Clone(iv), explicit...), []byte("abc"), aad)
	h.Length = 8 + len(sealed)
	rec := make([]byte, HeaderLen)
	h.put(rec)
	rec = append(append(rec, explicit...), sealed...)
	op, err := NewOpener(s, key, iv, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := open(op, rec); err != nil || string(got) != "abc" {
		t.Errorf("Open = %q, %v, want abc", got, err)
	}
}

// TestTamper changes every bit of a record, one at a time: none opens, and none
// moves the window.
func TestTamper(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pair(t, s)
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

func TestRefusals(t *testing.T) {
	sl, op := pair(t, ECDHE_ECDSA_AES128_GCM)
	rec, err := sl.Seal(nil, []byte("x"), ApplicationData, new(Scratch))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(rec)) }
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"header only in part", rec[:12], ErrShort},
		{"body cut", rec[:len(rec)-1], ErrShort},
		{"no room for a tag", edit(func(b []byte) []byte { b[12] = 23; return b }), ErrShort},
		{"epoch 0", edit(func(b []byte) []byte { b[4] = 0; return b }), ErrEpoch},
		{"epoch 2", edit(func(b []byte) []byte { b[4] = 2; return b }), ErrEpoch},
		{"DTLS 1.0", edit(func(b []byte) []byte { b[2] = 0xff; return b }), ErrVersion},
		{"other type", edit(func(b []byte) []byte { b[0] = byte(Alert); return b }), ErrAuth},
	} {
		before := bytes.Clone(c.b)
		if _, _, err := open(op, c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != ErrAuth && !bytes.Equal(before, c.b) {
			t.Errorf("%s: Open changed the record", c.name)
		}
	}
	if dst, err := sl.Seal([]byte("d"), make([]byte, MaxPayload+1), ApplicationData, new(Scratch)); !errors.Is(err, ErrTooLong) || string(dst) != "d" {
		t.Errorf("Seal of too much = %q, %v, want ErrTooLong", dst, err)
	}
}

func TestNewRefuses(t *testing.T) {
	key, iv := keys(ECDHE_ECDSA_AES128_GCM, 1)
	if _, err := NewSealer(0x002f, key, iv, 1, 0); err == nil {
		t.Error("NewSealer took a suite without AEAD")
	}
	if _, err := NewOpener(ECDHE_ECDSA_AES256_GCM, key, iv, 1); err == nil {
		t.Error("NewOpener took a key that is too short")
	}
	if _, err := NewSealer(ECDHE_ECDSA_CHACHA20_POLY1305, bytes.Repeat(key, 2), iv, 1, 0); err == nil {
		t.Error("NewSealer took an IV that is too short")
	}
	if Suite(0x002f).Known() || !ECDHE_RSA_AES128_GCM.Known() {
		t.Error("Known is wrong")
	}
	if got := Suite(0x002f).String(); got != "cipher suite 0x002f" {
		t.Errorf("String = %q", got)
	}
}

// TestNumbersUnique seals from several goroutines and checks that no sequence
// number of the epoch is used twice, and none is left out.
func TestNumbersUnique(t *testing.T) {
	const workers, each = 8, 2000
	sl, _ := pair(t, ECDHE_ECDSA_AES128_GCM)
	var mu sync.Mutex
	seen := map[uint64]int{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var tmp Scratch
			buf := make([]byte, 0, 100)
			typ := []ContentType{ApplicationData, Alert}[w%2]
			for range each {
				rec, err := sl.Seal(buf, []byte("x"), typ, &tmp)
				if err != nil {
					t.Error(err)
					return
				}
				h, _ := ParseHeader(rec)
				mu.Lock()
				seen[h.Seq]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != workers*each {
		t.Errorf("%d numbers for %d records", len(seen), workers*each)
	}
	for seq, n := range seen {
		if n != 1 || seq >= workers*each {
			t.Errorf("number %d used %d times", seq, n)
		}
	}
	if got := sl.Sealed(); got != workers*each {
		t.Errorf("Sealed = %d, want %d", got, workers*each)
	}
}

// TestNumbersEnd checks that the counter stops at its end and never comes
// round.
func TestNumbersEnd(t *testing.T) {
	key, iv := keys(ECDHE_ECDSA_AES128_GCM, 1)
	sl, err := NewSealer(ECDHE_ECDSA_AES128_GCM, key, iv, 1, maxSeq-1)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for range 100 {
		rec, err := sl.Seal(nil, nil, Alert, new(Scratch))
		if err != nil {
			if !errors.Is(err, ErrSpent) {
				t.Fatal(err)
			}
			continue
		}
		h, _ := ParseHeader(rec)
		got = append(got, h.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint([]uint64{maxSeq - 1, maxSeq}) {
		t.Errorf("numbers %v, want the last two and then none", got)
	}
	if sl.Sealed() != maxSeq+1 {
		t.Errorf("Sealed = %d, want %d", sl.Sealed(), uint64(maxSeq)+1)
	}
}

func TestSplit(t *testing.T) {
	sl, op := pair(t, ECDHE_ECDSA_AES128_GCM)
	var datagram []byte
	for _, s := range []string{"one", "", "three"} {
		var err error
		if datagram, err = sl.Seal(datagram, []byte(s), ApplicationData, new(Scratch)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for rest := datagram; len(rest) > 0; {
		h, rec, r, err := Split(rest)
		if err != nil {
			t.Fatal(err)
		}
		b, err := op.Open(h, rec, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		got, rest = append(got, string(b)), r
	}
	if want := `["one" "" "three"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("payloads %q, want %s", got, want)
	}
}

func TestNoAllocs(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s Suite) {
		sl, op := pair(t, s)
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

// FuzzOpen throws bytes at an Opener: nothing but what its Sealer made opens.
func FuzzOpen(f *testing.F) {
	for _, s := range Suites() {
		sl, _ := pair(f, s)
		rec, _ := sl.Seal(nil, []byte("payload"), ApplicationData, new(Scratch))
		f.Add(uint16(s), rec)
		f.Add(uint16(s), append(rec, rec...))
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		s := Suites()[int(n)%len(Suites())]
		sl, op := pair(t, s)
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
	})
}
