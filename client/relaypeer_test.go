package client

import (
	"testing"
	"time"
)

// TestPeerRelay: two members without a path to each other talk through a third one, and
// directly as soon as they can; when that ends, through the third one again.
func TestPeerRelay(t *testing.T) {
	relayed(t, func(r *relayPlay) {
		if took := r.alice.ping(r.bob, 5*time.Second); took > 800*time.Millisecond {
			t.Errorf("the first reply took %v", took)
		}
		r.alice.path(r.bob, "relay")
		r.bob.path(r.alice, "relay")
		if took := r.alice.ping(r.bob, time.Second); took > 100*time.Millisecond {
			t.Errorf("the second reply took %v, want two round trips of 20 ms", took)
		}
		s := r.carol.status().Relayed
		if s == nil || len(s.Pairs) != 1 || !s.Pairs[0].Allowed || s.Pairs[0].A != r.alice.vpn || s.Pairs[0].B != r.bob.vpn ||
			s.Packets < 10 || s.Bytes < 1000 || s.Pairs[0].RelayCount != s.RelayCount {
			t.Fatalf("carol has relayed %+v", s)
		}
		if n := r.carol.peerOf(r.alice).PacketsIn; n != 0 {
			t.Errorf("carol counts %d packets of alice for herself", n)
		}
	})
}
