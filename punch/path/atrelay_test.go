package path

import (
	"fmt"
	"testing"
	"time"

	"campagnol/punch"
)

// TestAtRelayRemembered: an address at a relay of the peer's, which is named once, stays
// one after it has been forgotten: what comes from there again is no direct path.
func TestAtRelayRemembered(t *testing.T) {
	for _, how := range []string{"record", "punch"} {
		p := newPlay(t)
		p.k.Introduce(p.now, []punch.Candidate{{Addr: other.Addr, Kind: punch.Relayed}})
		p.play(time.Second)
		p.k.Introduce(p.now, named(wan))
		p.play(time.Minute)
		p.k.Introduce(p.now, named(wan))
		if p.k.find(other) != nil {
			t.Fatalf("%s: an address is remembered that was of no use for a minute", how)
		}
		if how == "record" {
			p.k.Stray(p.now, other)
		} else {
			p.k.Hint(p.now, other)
		}
		if !p.k.Relayed(other) {
			t.Errorf("%s: what comes from an address at a relay is taken for a direct path", how)
		}
		p.k.Stray(p.now, third)
		if p.k.Relayed(third) {
			t.Errorf("%s: another address is taken for one at a relay", how)
		}
	}
}

// TestAtRelayBounded: of how many addresses it is remembered that they are at a relay does
// not depend on how many are named, and the server can take its word back.
func TestAtRelayBounded(t *testing.T) {
	p := newPlay(t)
	var last punch.Endpoint
	for i := range 1000 {
		last = at(fmt.Sprintf("198.51.100.9:%d", 1000+i))
		p.k.Introduce(p.now, []punch.Candidate{{Addr: last.Addr, Kind: punch.Relayed}})
	}
	if n := len(p.k.atRelays); n != maxKnownRelayed {
		t.Errorf("%d addresses are remembered, want %d", n, maxKnownRelayed)
	}
	if !p.k.Relayed(last) {
		t.Error("the last one is not remembered")
	}
	p.k.Introduce(p.now, named(last))
	if p.k.Relayed(last) {
		t.Error("an address stays one at a relay, though it is named as a direct one")
	}
}
