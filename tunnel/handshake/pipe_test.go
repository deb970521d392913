package handshake

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// TestSpoofedAlert: a fatal alert in clear from somebody else does not end a
// handshake that goes on.
func TestSpoofedAlert(t *testing.T) {
	spoofed := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40}
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{}, Config{})
		l.filter = func(d datagram) [][]byte { return [][]byte{spoofed, d.data, spoofed} }
		c, s := l.mustRun()
		exchange(t, c, s, "works")
	})
	synctest.Test(t, func(t *testing.T) { // one that does not go on ends soon, with the reason
		h, err := New(Config{Certificate: identity(t, "ECDSA")}, func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		h.Handle(spoofed)
		start := time.Now()
		_, err = h.Run(t.Context())
		var a *AlertError
		if !errors.As(err, &a) || a.Description != alert.HandshakeFailure {
			t.Errorf("Run = %v, want handshake_failure", err)
		}
		if got := time.Since(start); got != doubtGrace {
			t.Errorf("took %v, want %v", got, doubtGrace)
		}
	})
}

// TestNoise mixes garbage into a handshake.
func TestNoise(t *testing.T) {
	noise := [][]byte{
		{}, {22}, bytes.Repeat([]byte{0xff}, 1400),
		{23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 'x'},                                               // data in clear
		{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 1},                                           // longer than it is
		{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4},                                        // epoch 1, not authentic
		{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4},                                        // connection ID that we have not
		{22, 0xfe, 0xfd, 0, 7, 0, 0, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4},                                        // epoch 7
		append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 40}, bytes.Repeat([]byte{0xee}, 40)...), // no such handshake message
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{}, Config{})
		l.filter = func(d datagram) [][]byte {
			return append(slices.Clone(noise[:len(noise)-1]), d.data)
		}
		c, s := l.mustRun()
		exchange(t, c, s, "works")
		exchange(t, s, c, "works")
	})
}

// FuzzDeliver throws datagrams at a pipe: what it keeps is bounded.
func FuzzDeliver(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1})
	f.Add([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1})
	f.Add([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40})
	f.Add(append([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 0, finishedLen + 16}, make([]byte, finishedLen+16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPipe(len(b)%2 == 0, record.Suites(), func([]byte) {})
		p.withID = len(b)%3 != 0
		for range 2 * maxEarly {
			p.deliver(b)
			p.watch(inClear(b))
		}
		if len(p.early) > maxEarly || len(p.finished) > maxFinished || len(p.in) > maxQueued {
			t.Errorf("kept %d, %d, %d", len(p.early), len(p.finished), len(p.in))
		}
		p.swallow()
		p.deliver(b)
		p.takeEarly()
	})
}
