package tunnel

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// The connection IDs of alice's and bob's sessions.
var (
	aliceID = record.ID{0xa1, 1, 2, 3}
	bobID   = record.ID{0xb0, 4, 5, 6}
)

// sessionsWithIDs is sessions with connection IDs both ways.
func sessionsWithIDs(t testing.TB) (a, b *Session) {
	t.Helper()
	c, s := results(t)
	for _, end := range []struct {
		r            *handshake.Result
		ours, theirs record.ID
	}{{c, aliceID, bobID}, {s, bobID, aliceID}} {
		end.r.ConnectionID = &end.ours
		end.r.Open.Expect(end.ours)
		if err := end.r.Seal.Identify(end.theirs[:]); err != nil {
			t.Fatal(err)
		}
	}
	return NewSession(epoch, bob, c), NewSession(epoch, alice, s)
}

func TestSessionID(t *testing.T) {
	a, b := sessionsWithIDs(t)
	plain, _ := sessions(t)
	for _, c := range []struct {
		name string
		s    *Session
		id   record.ID
		ok   bool
	}{{"alice", a, aliceID, true}, {"bob", b, bobID, true}, {"without", plain, record.ID{}, false}} {
		if id, ok := c.s.ConnectionID(); id != c.id || ok != c.ok {
			t.Errorf("%s: %x, %v, want %x, %v", c.name, id, ok, c.id, c.ok)
		}
		for _, id := range []record.ID{aliceID, bobID, {}} {
			if got, want := c.s.HasID(id), c.ok && id == c.id; got != want {
				t.Errorf("%s has ID %x: %v, want %v", c.name, id, got, want)
			}
		}
	}
	if got, want := a.Overhead(), plain.Overhead()+record.IDLen+1; got != want {
		t.Errorf("overhead of %d bytes, want %d", got, want)
	}
}

// TestSessionIDData: what a session with IDs seals is what its peer receives, of every
// kind, though the kind is encrypted.
func TestSessionIDData(t *testing.T) {
	a, b := sessionsWithIDs(t)
	pkt := ipv4(alice, bob, 100)
	tmp := new(record.Scratch)
	rec, d := a.Seal(7, nil, pkt, tmp)
	if d != Kept || len(rec) != len(pkt)+a.Overhead() {
		t.Fatalf("%v, record of %d bytes, want %d", d, len(rec), len(pkt)+a.Overhead())
	}
	dup := bytes.Clone(rec)
	if got, d := receive(b, rec); d != Kept || !bytes.Equal(got, pkt) {
		t.Errorf("received %x, %v", got, d)
	}
	if _, d := receive(b, dup); d != DropReplay {
		t.Errorf("a replayed record: %v, want replay", d)
	}
	for _, c := range []struct {
		name     string
		datagram []byte
		want     record.ContentType
		check    func(Event) bool
	}{
		{"close_notify", a.CloseNotify(nil)[0], record.Alert, func(e Event) bool { return e.Closed && e.Reason == nil }},
		{"a fatal alert", a.appendAlert(nil, alert.Fatal, alert.InternalError)[0], record.Alert, func(e Event) bool { return e.Closed && e.Reason != nil }},
		{"a challenge", a.SealChallenge(77, 0, tmp), record.ApplicationData, func(e Event) bool { return e.Path != nil && e.Path.Number == 77 }},
		{"a renewal", a.SealRenewal(Renewal{Number: 3, Datagram: []byte("x")}, tmp), record.ApplicationData, func(e Event) bool { return e.Renewal != nil && e.Renewal.Number == 3 }},
	} {
		h, rec, rest, err := record.Split(c.datagram)
		if err != nil || len(rest) != 0 || h.Type != record.WithID || h.ID != bobID {
			t.Fatalf("%s: header %+v, %d more bytes, %v", c.name, h, len(rest), err)
		}
		payload, control, d := b.Receive(8, h, rec, tmp)
		if d != Kept || !control || tmp.Type() != c.want {
			t.Errorf("%s: %v, control %v, type %d, want %d", c.name, d, control, tmp.Type(), c.want)
			continue
		}
		if _, ev := b.Handle(epoch, tmp.Type(), payload, nil); !c.check(ev) {
			t.Errorf("%s: event %+v", c.name, ev)
		}
	}
	if got, want := len(a.SealChallenge(1, 0, tmp)), a.ChallengeSize(); got != want {
		t.Errorf("a challenge of %d bytes, ChallengeSize says %d", got, want)
	}
	if got, want := len(a.SealChallenge(1, 1200, tmp)), 1200; got != want {
		t.Errorf("a padded challenge of %d bytes, want %d", got, want)
	}
	if got, want := len(a.SealRenewal(Renewal{Datagram: make([]byte, 100)}, tmp))-100, a.RenewalOverhead(); got != want {
		t.Errorf("a renewal is %d bytes longer, RenewalOverhead says %d", got, want)
	}
}

// TestSessionIDRefuses: a session with IDs takes no record without, nor with another's,
// and the other way round.
func TestSessionIDRefuses(t *testing.T) {
	a, b := sessionsWithIDs(t)
	plainA, plainB := sessions(t)
	seal := func(s *Session) []byte {
		rec, d := s.Seal(7, nil, ipv4(alice, bob, 10), new(record.Scratch))
		if d != Kept {
			t.Fatal(d)
		}
		return rec
	}
	for _, c := range []struct {
		name string
		to   *Session
		rec  []byte
	}{
		{"without ID", b, seal(plainA)},
		{"with ID, unexpected", plainB, seal(a)},
		{"sent back to its sender", a, seal(a)},
	} {
		before := bytes.Clone(c.rec)
		if _, d := receive(c.to, c.rec); d != DropAuth {
			t.Errorf("%s: %v, want auth", c.name, d)
		}
		if !bytes.Equal(before, c.rec) {
			t.Errorf("%s: the record was changed, which another session may open", c.name)
		}
		if n := c.to.open.Failed(); n != 0 {
			t.Errorf("%s: %d decryptions were tried", c.name, n)
		}
	}
}

// TestSessionIDContinue: fresh keys have an ID of their own.
func TestSessionIDContinue(t *testing.T) {
	a, _ := sessionsWithIDs(t)
	_, next := sessionsWithIDs(t)
	next.Continue(a)
	if id, ok := next.ConnectionID(); !ok || id != bobID {
		t.Errorf("ID %x, %v, want %x", id, ok, bobID)
	}
}

// TestStray: control hears at once that a peer sends from elsewhere, and then now and
// again, however many ask at the same time.
func TestStray(t *testing.T) {
	a, _ := sessionsWithIDs(t)
	clock := NewClock(epoch)
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {0, false}, {StrayGap - 1, false}, {StrayGap, true}, {StrayGap + 1, false}, {time.Hour, true},
	} {
		if got := a.Stray(clock.Stamp(epoch.Add(c.at))); got != c.want {
			t.Errorf("after %v: %v, want %v", c.at, got, c.want)
		}
	}
	var reports atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if a.Stray(clock.Stamp(epoch.Add(2 * time.Hour))) {
					reports.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := reports.Load(); n != 1 {
		t.Errorf("%d reports at the same moment, want 1", n)
	}
}

// TestRepeatsFlight: with IDs, a ChangeCipherSpec in clear says that the peer misses our
// last flight, which it then gets as often as one whose Finished opens.
func TestRepeatsFlight(t *testing.T) {
	_, b := sessionsWithIDs(t)
	_, plain := sessions(t)
	for _, c := range []struct {
		s    *Session
		typ  record.ContentType
		n    uint16
		want bool
	}{
		{b, record.ChangeCipherSpec, 0, true},
		{b, record.ChangeCipherSpec, 1, false},
		{b, record.Handshake, 0, false},
		{plain, record.ChangeCipherSpec, 0, false}, // its Finished says so
	} {
		if got := c.s.RepeatsFlight(record.Header{Type: c.typ, Epoch: c.n}); got != c.want {
			t.Errorf("type %d of epoch %d: %v, want %v", c.typ, c.n, got, c.want)
		}
	}
	sent := 0
	for i := range 100 { // in a second
		sent += len(b.LastFlight(epoch.Add(time.Duration(i) * 10 * time.Millisecond)))
	}
	if want := 2 * 10; sent != want {
		t.Errorf("%d datagrams in a second, want %d", sent, want)
	}
	if out := b.LastFlight(epoch.Add(handshake.RepeatLife + time.Second)); len(out) != 0 {
		t.Error("the last flight is repeated for ever")
	}
}

// TestSessionIDNoAllocs: IDs cost no memory.
func TestSessionIDNoAllocs(t *testing.T) {
	a, b := sessionsWithIDs(t)
	tmp, pkt, buf := new(record.Scratch), ipv4(alice, bob, 1000), make([]byte, 0, 2048)
	now := Stamp(1)
	n := testing.AllocsPerRun(1000, func() {
		rec, d := a.Seal(now, buf, pkt, tmp)
		if d != Kept {
			t.Fatal(d)
		}
		h, rec, _, err := record.Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, d := b.Receive(now, h, rec, tmp); d != Kept {
			t.Fatal(d)
		}
		b.Stray(now)
		now++
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if got := fmt.Sprint(b.Stats().PacketsIn.Load()); got != "1001" {
		t.Errorf("%s packets received, want 1001", got)
	}
}

// TestBlocksOf: what is counted for the limits of a key is no less than what its cipher
// works on, for records of any size, with a connection ID and without.
func TestBlocksOf(t *testing.T) {
	const block, tag, plainAAD, idAAD = 16, 1, 13, 23 + record.IDLen
	up := func(n int) uint64 { return uint64((n + block - 1) / block) }
	for size := range 1500 {
		plain := up(size) + up(plainAAD) + tag
		withID := up(size+1) + up(idAAD) + tag
		if got := blocksOf(uint64(size), 1, false); got < plain {
			t.Errorf("a record of %d bytes: %d blocks, want at least %d", size, got, plain)
		}
		if got := blocksOf(uint64(size), 1, true); got < withID {
			t.Errorf("a record of %d bytes with an ID: %d blocks, want at least %d", size, got, withID)
		}
	}
}
