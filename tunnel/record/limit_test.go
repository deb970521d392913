package record

import (
	"bytes"
	"errors"
	"testing"
)

// TestLimits: the limits of RFC 9147 section 4.5.3, with some room to end a
// session.
func TestLimits(t *testing.T) {
	for _, s := range Suites() {
		l := s.Limits()
		if l.Records >= maxSeq || l.Records < maxSeq-1<<20 {
			t.Errorf("%v: %d records, want nearly all numbers, but not all", s, l.Records)
		}
		if l.Forgeries != 1<<36 {
			t.Errorf("%v: %d forgeries, want 2^36", s, l.Forgeries)
		}
		chacha := s == ECDHE_RSA_CHACHA20_POLY1305 || s == ECDHE_ECDSA_CHACHA20_POLY1305
		// 2^24.5 records of 2^14 bytes, of 2^10 blocks each.
		if full := uint64(23_726_566) << 10; !chacha && (l.Blocks > full || l.Blocks < full/2) {
			t.Errorf("%v: %d blocks, want at most %d", s, l.Blocks, full)
		}
		if chacha && l.Blocks < 1<<62 {
			t.Errorf("%v: %d blocks, want no limit", s, l.Blocks)
		}
	}
}

// TestOpenerCounts: what was opened and what was forged is counted, and nothing
// else.
func TestOpenerCounts(t *testing.T) {
	const s = ECDHE_ECDSA_AES128_GCM
	key, iv := bytes.Repeat([]byte{1}, s.KeyLen()), bytes.Repeat([]byte{2}, s.IVLen())
	seal, err := NewSealer(s, key, iv, 1, 41)
	if err != nil {
		t.Fatal(err)
	}
	open, err := NewOpener(s, key, iv, 1)
	if err != nil {
		t.Fatal(err)
	}
	try := func(rec []byte) error {
		h, rec, _, err := Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = open.Open(h, bytes.Clone(rec), new(Scratch))
		return err
	}
	if open.Opened() != 0 || open.Failed() != 0 {
		t.Errorf("new: %d opened, %d failed", open.Opened(), open.Failed())
	}
	rec, err := seal.Seal(nil, []byte("packet"), ApplicationData, new(Scratch))
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(rec)
	forged[len(forged)-1] ^= 1
	for range 3 {
		if err := try(forged); !errors.Is(err, ErrAuth) {
			t.Fatalf("a forged record: %v", err)
		}
	}
	if err := try(rec); err != nil {
		t.Fatal(err)
	}
	if err := try(rec); !errors.Is(err, ErrReplay) {
		t.Fatalf("a replayed record: %v", err)
	}
	other := bytes.Clone(rec)
	other[4] = 2
	if err := try(other); !errors.Is(err, ErrEpoch) {
		t.Fatalf("a record of another epoch: %v", err)
	}
	if open.Opened() != 42 || open.Failed() != 3 {
		t.Errorf("%d opened and %d failed, want 42, the number behind the last, and 3", open.Opened(), open.Failed())
	}
}
