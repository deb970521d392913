package tunnel

import (
	"bytes"
	"slices"
	"testing"

	"campagnol/tunnel/record"
)

// frameSessions is sessions for Ethernet frames.
func frameSessions(t testing.TB) (a, b *Session) {
	t.Helper()
	c, s := results(t)
	c.Protocol, s.Protocol = FrameProtocolName, FrameProtocolName
	return NewSession(epoch, bob, c), NewSession(epoch, alice, s)
}

// TestFrames: whatever a frame holds and wherever it goes, it arrives as it was.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  Drop
	}{
		{"to an address that begins with 0", slices.Concat(make([]byte, 12), []byte{0x08, 0x06}, make([]byte, 28)), Kept},
		{"to a group", slices.Concat([]byte{1, 0, 0x5e, 0, 0, 1}, make([]byte, 6), []byte{8, 0, 0x45}), Kept},
		{"to bridges", slices.Concat([]byte{1, 0x80, 0xc2, 0, 0, 0}, make([]byte, 6), []byte{0, 4, 1, 2, 3, 4}), Kept},
		{"a header alone", make([]byte, frameLen), Kept},
		{"less than a header", make([]byte, frameLen-1), DropNotIP},
		{"nothing", nil, DropNotIP},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := frameSessions(t)
			rec, d := a.Seal(7, nil, c.frame, new(record.Scratch))
			if d != Kept {
				t.Fatalf("sealing: %v", d)
			}
			got, d := receive(b, rec)
			if d != c.want || d == Kept && !bytes.Equal(got, c.frame) {
				t.Errorf("%x, %v, want %x, %v", got, d, c.frame, c.want)
			}
			wantPackets, wantBytes := uint64(1), uint64(len(c.frame))
			if c.want != Kept {
				wantPackets, wantBytes = 0, 0
			}
			if s := b.Stats(); s.PacketsIn.Load() != wantPackets || s.BytesIn.Load() != wantBytes {
				t.Errorf("counted %d packets, %d bytes", s.PacketsIn.Load(), s.BytesIn.Load())
			}
			if b.LastIn() != 5 {
				t.Errorf("last packet at %v", b.LastIn())
			}
		})
	}
}

// quiet reports whether ev says nothing.
func quiet(ev Event) bool { return !ev.Closed && ev.Renewal == nil && ev.Groups == nil }

// control opens a record that is for Handle, and gives it to that.
func control(t *testing.T, s *Session, rec []byte) ([][]byte, Event) {
	t.Helper()
	h, rec, _, err := record.Split(rec)
	if err != nil {
		t.Fatal(err)
	}
	payload, isControl, d := s.Receive(5, h, rec, new(record.Scratch))
	if d != Kept || !isControl {
		t.Fatalf("%x: control %v, %v", payload, isControl, d)
	}
	return s.Handle(epoch, h.Type, payload, nil)
}

// TestFrameSignals: signals are told from frames, and mean what they mean among
// packets.
func TestFrameSignals(t *testing.T) {
	a, b := frameSessions(t)
	if !a.Frames() || !a.IsOurs() {
		t.Error("not a session of frames of ours")
	}
	probe := a.Probe(Abilities{ECN: true}, nil)
	echo, ev := control(t, b, probe[0])
	if len(echo) != 1 || !quiet(ev) || !b.PeerECN() {
		t.Fatalf("%d answers to a probe, %+v, ECN %v", len(echo), ev, b.PeerECN())
	}
	if out, ev := control(t, a, echo[0]); len(out) != 0 || !quiet(ev) {
		t.Errorf("an echo has led to %x, %+v", out, ev)
	}
	datagram := []byte("a datagram of a handshake")
	rec := a.SealRenewal(Renewal{Number: 7, Datagram: datagram}, new(record.Scratch))
	if got := len(rec) - len(datagram); got != a.RenewalOverhead() {
		t.Errorf("a renewal is %d bytes longer, and RenewalOverhead says %d", got, a.RenewalOverhead())
	}
	if _, ev := control(t, b, rec); ev.Renewal == nil || ev.Renewal.Number != 7 || !bytes.Equal(ev.Renewal.Datagram, datagram) {
		t.Errorf("renewal: %+v", ev)
	}
	update := []byte("an update")
	if _, ev := control(t, b, a.Groups(update, nil)[0]); !bytes.Equal(ev.Groups, update) {
		t.Errorf("groups: %+v", ev)
	}
	if b.Stats().PacketsIn.Load() != 0 {
		t.Error("signals count as frames")
	}
}

// TestGroupsAmongPackets: a peer that carries packets has nothing to say about groups.
func TestGroupsAmongPackets(t *testing.T) {
	a, b := sessions(t)
	if _, ev := control(t, b, a.Groups([]byte("an update"), nil)[0]); ev.Groups != nil {
		t.Errorf("groups: %+v", ev)
	}
}
