package pki

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki/safefile"
)

// TestPinsNobodyWaits holds the file while peers come whose certificates settle
// the matter: they are let in at once, and are in the file afterwards. One whom
// only the file can let in waits.
func TestPinsNobodyWaits(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	p := openPins(t, path)
	unlock, err := safefile.Lock(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	addr := ip("10.9.0.1")
	for i := range 50 {
		name := fmt.Sprintf("san%d", i)
		if err := p.Check(now, addr, peers.peer(name, addr.String()), false); err != nil {
			t.Fatal(err)
		}
		want = append(want, addr.String()+" "+name)
		addr = addr.Next()
	}
	wantPins(t, p, strings.Join(want, ", "))
	wantRefusal(t, p.Check(now, ip("10.9.0.1"), peers.peer("intruder"), false), OtherKey)
	wantPins(t, openPins(t, path), "")

	plain := make(chan error, 1)
	go func() { plain <- p.Check(now, addr, peers.peer("plain"), false) }()
	select {
	case err := <-plain:
		t.Errorf("a peer without address is decided about (%v) while the file is locked", err)
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	if err := <-plain; err != nil {
		t.Error(err)
	}
	p.Flush()
	wantPins(t, openPins(t, path), strings.Join(append(want, addr.String()+" plain"), ", "))
}

// TestPinsConcurrentFile is TestPinsConcurrent with a file, and somebody who
// forgets now and then.
func TestPinsConcurrentFile(t *testing.T) {
	peers := newPinPeers(t)
	path := filepath.Join(t.TempDir(), "pins")
	p := openPins(t, path)
	a, b := peers.peer("a", "10.9.0.1", "10.9.0.3"), peers.peer("b")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				for _, addr := range []string{"10.9.0.1", "10.9.0.3"} {
					if err := p.Check(now, ip(addr), a, false); err != nil {
						t.Error(err)
					}
				}
				if err := p.Check(now, ip("10.9.0.2"), b, false); err != nil {
					t.Error(err)
				}
				if i == 0 && j%5 == 4 {
					if _, err := p.Forget(ip("10.9.0.2")); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := p.Check(now, ip("10.9.0.2"), b, false); err != nil {
		t.Error(err)
	}
	p.Flush()
	wantPins(t, openPins(t, path), "10.9.0.1 a, 10.9.0.2 b, 10.9.0.3 a")
}

func TestPinsConcurrent(t *testing.T) {
	peers := newPinPeers(t)
	p := openPins(t, "")
	a, b := peers.peer("a"), peers.peer("b", "10.9.0.2")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := p.Check(now, ip("10.9.0.1"), a, false); err != nil {
					t.Error(err)
				}
				if err := p.Check(now, ip("10.9.0.2"), b, false); err != nil {
					t.Error(err)
				}
				p.List()
				p.Warnings()
			}
		})
	}
	wg.Wait()
	wantPins(t, p, "10.9.0.1 a, 10.9.0.2 b")
}

// Many warnings that nobody asks for do not fill the memory.
func TestPinsWarningsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := len(openPins(t, path).Warnings()); got != 100 {
		t.Errorf("%d warnings, want 100", got)
	}
}

func FuzzPins(f *testing.F) {
	f.Add([]byte(pinHeader))
	f.Add([]byte("10.9.0.1 " + strings.Repeat("ab", 32) + " 2026-01-01T00:00:00Z \"a\\n\"\r\n\r\nfd00::1"))
	f.Add([]byte("10.9.0.1 " + strings.Repeat("ab", 32) + " 2026-01-01T00:00:00Z \"a\" 2026-02-01T00:00:00+01:00\n"))
	f.Add([]byte("::ffff:1.2.3.4 " + strings.Repeat("AB", 32) + " 0000-01-01T00:00:00+23:59 `x`"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, errs := parsePins(data)
		written := appendPins(nil, lines)
		again, errs2 := parsePins(written)
		if len(again) != len(lines) || len(errs2) != len(errs) {
			t.Fatalf("%d lines and %d errors became %d and %d:\n%q\n%q", len(lines), len(errs), len(again), len(errs2), data, written)
		}
		for i := range lines {
			a, b := lines[i], again[i]
			if (a.pin == nil) != (b.pin == nil) || a.pin != nil && *a.pin != *b.pin {
				t.Fatalf("line %d: pin %v became %v", i, a.pin, b.pin)
			}
		}
		if !bytes.Equal(appendPins(nil, again), written) {
			t.Fatalf("%q is not stable", written)
		}
	})
}
