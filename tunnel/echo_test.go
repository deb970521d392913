package tunnel

import (
	"testing"

	"campagnol/tunnel/record"
)

// TestProbeNumber: the number of a probe comes back, and only from a peer that was asked.
func TestProbeNumber(t *testing.T) {
	a, b := sessions(t)
	out := a.ProbeNumber(Abilities{ECN: true}, 0x1122334455667788, nil)
	if len(out) != 1 {
		t.Fatalf("%d datagrams, want one", len(out))
	}
	answer := passOn(t, b, out[0])
	if len(answer.out) != 1 || answer.ev.Echoed != 0 || !b.PeerECN() {
		t.Fatalf("the peer answers %+v, and knows of ECN: %v", answer, b.PeerECN())
	}
	if back := passOn(t, a, answer.out[0]); back.ev.Echoed != 0x1122334455667788 || len(back.out) != 0 {
		t.Errorf("the echo is taken as %+v", back)
	}
	// The echo of a probe without a number says nothing.
	answer = passOn(t, b, a.Probe(Abilities{}, nil)[0])
	if back := passOn(t, a, answer.out[0]); back.ev.Echoed != 0 || len(back.out) != 0 {
		t.Errorf("an echo without a number is taken as %+v", back)
	}
	// Nor do others that are too short or too long.
	for _, n := range []int{0, 1, 8, 10, 64} {
		rec := b.appendSignal(nil, signalEcho, make([]byte, n))[0]
		if back := passOn(t, a, rec); back.ev.Echoed != 0 || len(back.out) != 0 {
			t.Errorf("an echo of %d bytes is taken as %+v", n, back)
		}
	}
}

// taken is what a session makes of a datagram.
type taken struct {
	out [][]byte
	ev  Event
}

// passOn gives a session a datagram of its peer.
func passOn(t *testing.T, s *Session, b []byte) (got taken) {
	t.Helper()
	h, rec, _, err := record.Split(b)
	if err != nil {
		t.Fatal(err)
	}
	var tmp record.Scratch
	payload, control, d := s.Receive(1, h, rec, &tmp)
	if d != Kept || !control {
		t.Fatalf("the datagram is no control message: %v", d)
	}
	got.out, got.ev = s.Handle(epoch, tmp.Type(), payload, nil)
	return got
}
