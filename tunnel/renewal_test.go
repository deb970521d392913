package tunnel

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// renewed returns what the receiver of r makes of it.
func renewed(t testing.TB, from, to *Session, r Renewal) *Renewal {
	t.Helper()
	b := from.SealRenewal(r, new(record.Scratch))
	if len(b) != len(r.Datagram)+from.RenewalOverhead() {
		t.Errorf("%d bytes for a datagram of %d, want %d more", len(b), len(r.Datagram), from.RenewalOverhead())
	}
	h, rec, _, err := record.Split(b)
	if err != nil {
		t.Fatal(err)
	}
	payload, control, d := to.Receive(5, h, rec, new(record.Scratch))
	if d != Kept || !control {
		t.Fatalf("received %x, control %v, %v", payload, control, d)
	}
	out, ev := to.Handle(epoch, h.Type, payload, nil)
	if len(out) != 0 || ev.Closed {
		t.Errorf("%d answers, %+v", len(out), ev)
	}
	return ev.Renewal
}

func TestRenewal(t *testing.T) {
	a, b := sessions(t)
	for _, want := range []Renewal{
		{Number: 1, Datagram: []byte("hello")},
		{Number: 0xfffefdfc, Datagram: bytes.Repeat([]byte{22}, 1200)},
		{Number: 7, Datagram: []byte{}},
		{}, // please begin one
	} {
		got := renewed(t, a, b, want)
		if got == nil || got.Number != want.Number || !bytes.Equal(got.Datagram, want.Datagram) {
			t.Errorf("%+v arrived as %+v", want, got)
		}
	}
	if a.LastOut() != 0 || b.LastIn() != 0 || b.Heard() == 0 {
		t.Error("a renewal is use of the session, or no sign of life")
	}
}

// TestRenewalGolden holds the bytes, which must not change.
func TestRenewalGolden(t *testing.T) {
	a, b := sessions(t)
	rec := a.SealRenewal(Renewal{Number: 0x01020304, Datagram: []byte{22, 0xfe, 0xfd}}, new(record.Scratch))
	payload, d := receive(b, rec)
	if want := []byte{0, 3, 1, 2, 3, 4, 22, 0xfe, 0xfd}; d != Kept || !bytes.Equal(payload, want) {
		t.Errorf("%x, %v, want %x", payload, d, want)
	}
}

func TestNoRenewal(t *testing.T) {
	_, b := sessions(t)
	for _, payload := range [][]byte{nil, {0}, {0, 3}, {0, 3, 0, 0, 0}, {0, 1, 0, 0, 0, 1}, {0, 4, 0, 0, 0, 1}, {3, 0, 0, 0, 0, 1}} {
		if _, ev := b.Handle(epoch, record.ApplicationData, payload, nil); ev.Renewal != nil {
			t.Errorf("%x is taken for %+v", payload, ev.Renewal)
		}
	}
	if _, ev := b.Handle(epoch, record.Handshake, []byte{0, 3, 0, 0, 0, 1}, nil); ev.Renewal != nil {
		t.Error("a record of another type is taken for one")
	}
	c, _ := results(t)
	c.Protocol = ""
	if _, ev := NewSession(epoch, bob, c).Handle(epoch, record.ApplicationData, []byte{0, 3, 0, 0, 0, 1}, nil); ev.Renewal != nil {
		t.Error("that of an original is taken for one")
	}
}

// TestContinue: a tunnel's counters, times and abilities go on under fresh keys,
// what belongs to the keys does not.
func TestContinue(t *testing.T) {
	a, b := sessions(t)
	send := func(from, to *Session, now Stamp) {
		t.Helper()
		rec, d := from.Seal(now, nil, ipv4(alice, bob, 80), new(record.Scratch))
		if d != Kept {
			t.Fatal(d)
		}
		if _, d := receive(to, rec); d != Kept {
			t.Fatal(d)
		}
	}
	send(a, b, 7)
	send(a, b, 8)
	renewed(t, a, b, Renewal{Number: 1})
	b.peerAbilities.Store(featureECN)
	b.FirstTime(DropNotIP)

	c, s := results(t)
	a2, b2 := NewSession(epoch.Add(time.Hour), bob, c), NewSession(epoch.Add(time.Hour), alice, s)
	a2.Continue(a)
	b2.Continue(b)
	if a2.LastOut() != 8 || b2.LastIn() != 5 || a2.Heard() != 0 || b2.Heard() != 0 {
		t.Errorf("last used %d and %d, heard %d and %d; want use as before, and nothing heard", a2.LastOut(), b2.LastIn(), a2.Heard(), b2.Heard())
	}
	if a2.Since() != epoch || a2.Opened() != epoch.Add(time.Hour) || a2.Renewals() != 1 || a.Renewals() != 0 {
		t.Errorf("since %v, keys of %v, %d renewals", a2.Since(), a2.Opened(), a2.Renewals())
	}
	if !a2.Continues(a) || a2.Continues(b) || !b2.PeerECN() || b2.FirstTime(DropNotIP) {
		t.Error("the session does not go on where the other was")
	}
	if a2.Records() >= a.Records() {
		t.Errorf("%d records with fresh keys, %d with the old", a2.Records(), a.Records())
	}

	send(a2, b2, 9)
	send(a, b, 9) // what was on its way
	if n := b2.Stats().PacketsIn.Load(); n != 4 || a2.Stats().PacketsOut.Load() != 4 {
		t.Errorf("%d packets in and %d out, want all four", n, a2.Stats().PacketsOut.Load())
	}
	if got := b2.LastFlight(epoch.Add(time.Hour)); len(got) != 0 {
		t.Errorf("the peer still misses %q, although it has used the keys", got)
	}
	c, _ = results(t)
	a3 := NewSession(epoch.Add(2*time.Hour), bob, c)
	a3.Continue(a2)
	if a3.Renewals() != 2 || a3.Since() != epoch || !a3.Continues(a2) {
		t.Errorf("%d renewals since %v, want 2 since the first session", a3.Renewals(), a3.Since())
	}
}

// TestLastFlightAfterContinue: that the tunnel has carried data does not mean that
// the peer has the fresh keys.
func TestLastFlightAfterContinue(t *testing.T) {
	a, b := sessions(t)
	rec, _ := a.Seal(7, nil, ipv4(alice, bob, 1), new(record.Scratch))
	receive(b, rec)
	_, s := results(t)
	b2 := NewSession(epoch, alice, s)
	b2.Continue(b)
	now := epoch.Add(time.Second)
	if got := b2.LastFlight(now); len(got) != 2 {
		t.Errorf("the peer misses %q, want all of the last flight", got)
	}
	if got := b2.LastFlight(now.Add(handshake.RepeatGap / 2)); len(got) != 0 {
		t.Errorf("%q twice at once", got)
	}
	if got := b2.LastFlight(now.Add(handshake.RepeatGap)); len(got) != 2 {
		t.Errorf("%q after a while, want it again", got)
	}
}

// wornSession returns a session whose next record has a given number.
func wornSession(t *testing.T, s record.Suite, next uint64) *Session {
	t.Helper()
	r, _ := results(t)
	r.Suite = s
	var err error
	if r.Seal, err = record.NewSealer(s, make([]byte, s.KeyLen()), make([]byte, s.IVLen()), 1, next); err != nil {
		t.Fatal(err)
	}
	return NewSession(epoch, bob, r)
}

func TestWorn(t *testing.T) {
	const gcm, chacha = record.ECDHE_ECDSA_AES128_GCM, record.ECDHE_ECDSA_CHACHA20_POLY1305
	for _, c := range []struct {
		name        string
		suite       record.Suite
		next        uint64 // number
		out, in     uint64 // bytes
		before      uint64 // of both, protected by other keys
		least, most float64
	}{
		{"new", gcm, 1, 0, 0, 0, 0, 1e-9},
		{"some packets", gcm, 1 << 20, 1 << 30, 1 << 30, 0, 0.003, 0.005},
		{"half of the blocks sent", gcm, 1 << 20, 1 << 37, 0, 0, 0.5, 0.501},
		{"half of the blocks received", gcm, 1, 0, 1 << 37, 0, 0.5, 0.501},
		{"small packets: each has a header and a tag", gcm, 1 << 32, 1 << 32, 0, 0, 0.75, 0.79},
		{"all blocks", gcm, 1 << 20, 1 << 38, 0, 0, 1, 1.001},
		{"bytes under other keys do not count", gcm, 1 << 20, 1 << 38, 1 << 38, 1 << 38, 0, 0.001},
		{"ChaCha20 counts no blocks", chacha, 1 << 20, 1 << 50, 1 << 50, 0, 0, 1e-5},
		{"half of the numbers", chacha, 1 << 47, 0, 0, 0, 0.5, 0.501},
		{"all numbers but those for the end", chacha, chacha.Limits().Records, 0, 0, 0, 1, 1},
		{"one before", chacha, chacha.Limits().Records - 1, 0, 0, 0, 0.999, math.Nextafter(1, 0)},
	} {
		s := wornSession(t, c.suite, c.next)
		s.stats.BytesOut.Store(c.before)
		s.stats.BytesIn.Store(c.before)
		if c.before != 0 {
			s = wornSession(t, c.suite, c.next)
			old, _ := sessions(t)
			old.stats.BytesOut.Store(c.before)
			old.stats.BytesIn.Store(c.before)
			s.Continue(old)
		}
		s.stats.BytesOut.Store(max(c.before, c.out))
		s.stats.BytesIn.Store(max(c.before, c.in))
		if got := s.Worn(); got < c.least || got > c.most {
			t.Errorf("%s: worn %v, want %v to %v", c.name, got, c.least, c.most)
		}
	}
}

// TestSpentSession: behind the last number nothing is sealed, whoever tries.
func TestSpentSession(t *testing.T) {
	s := wornSession(t, record.ECDHE_ECDSA_AES128_GCM, 1<<48-2)
	var kept []string
	for range 10 {
		if rec, d := s.Seal(1, nil, ipv4(alice, bob, 1), new(record.Scratch)); d == Kept {
			h, _, _, err := record.Split(rec)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, fmt.Sprint(h.Seq))
		}
		if b := s.SealRenewal(Renewal{}, new(record.Scratch)); b != nil {
			h, _, _, err := record.Split(b)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, fmt.Sprint(h.Seq))
		}
	}
	if want := []string{"281474976710654", "281474976710655"}; fmt.Sprint(kept) != fmt.Sprint(want) {
		t.Errorf("sealed with the numbers %v, want %v and no other", kept, want)
	}
	if out := s.CloseNotify(nil); len(out) != 0 {
		t.Error("an alert was sealed behind the last number")
	}
}

// FuzzRenewal gives a session any signal: a renewal is what SealRenewal would make
// of it, and nothing else is one.
func FuzzRenewal(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0, 0, 1, 22})
	f.Add([]byte{0, 3, 0, 0, 0, 0})
	f.Add([]byte{0, 3, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 2000 {
			return
		}
		a, b := sessions(t)
		_, ev := b.Handle(epoch, record.ApplicationData, payload, nil)
		if ev.Renewal == nil {
			if bytes.HasPrefix(payload, []byte{0, 3}) && len(payload) >= 6 {
				t.Errorf("%x is not taken for a renewal", payload)
			}
			return
		}
		again, d := receive(b, a.SealRenewal(*ev.Renewal, new(record.Scratch)))
		if d != Kept || !bytes.Equal(again, payload) {
			t.Errorf("%x comes back as %x, %v", payload, again, d)
		}
	})
}
