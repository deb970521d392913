package tunnel

import (
	"testing"

	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// pathSignal returns what to makes of a datagram of path signals.
func pathSignal(t *testing.T, to *Session, b []byte) *PathSignal {
	t.Helper()
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
		t.Errorf("%d answers, closed %v", len(out), ev.Closed)
	}
	return ev.Path
}

func TestChallenge(t *testing.T) {
	for _, protocol := range []string{ProtocolName, FrameProtocolName} {
		t.Run(protocol, func(t *testing.T) {
			a, b := sessionsOf(t, func(r *handshake.Result) { r.Protocol = protocol })
			tmp := new(record.Scratch)
			for _, size := range []int{0, a.ChallengeSize(), a.ChallengeSize() + 1, 1400} {
				challenge := a.SealChallenge(1<<63+5, size, tmp)
				if want := max(size, a.ChallengeSize()); len(challenge) != want {
					t.Errorf("a challenge of %d bytes, want %d", len(challenge), want)
				}
				if got := pathSignal(t, b, challenge); got == nil || *got != (PathSignal{Number: 1<<63 + 5}) {
					t.Errorf("the challenge arrives as %+v", got)
				}
			}
			response := b.SealResponse(7, tmp)
			if len(response) > a.ChallengeSize() {
				t.Errorf("a response of %d bytes is larger than a challenge of %d", len(response), a.ChallengeSize())
			}
			if got := pathSignal(t, a, response); got == nil || *got != (PathSignal{Response: true, Number: 7}) {
				t.Errorf("the response arrives as %+v", got)
			}
			if a.LastIn() != 0 || a.LastOut() != 0 || b.LastIn() != 0 || b.LastOut() != 0 {
				t.Error("a challenge is use of the session")
			}
		})
	}
}

func TestShortChallenge(t *testing.T) {
	a, b := sessions(t)
	for _, payload := range [][]byte{{0, 6}, {0, 6, 1, 2, 3, 4, 5, 6, 7}, {0, 7}, {0, 7, 1}} {
		rec, err := a.seal.Seal(nil, payload, record.ApplicationData, new(record.Scratch))
		if err != nil {
			t.Fatal(err)
		}
		if got := pathSignal(t, b, rec); got != nil {
			t.Errorf("%x is taken for %+v", payload, got)
		}
	}
}
