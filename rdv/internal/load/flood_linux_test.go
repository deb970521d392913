package load

import (
	"testing"

	"campagnol/rdv/wire"
)

// TestForged: the flood has one of each kind that anybody can send, and nothing
// that a server drops before it looks.
func TestForged(t *testing.T) {
	kinds := map[wire.Kind]int{}
	for _, b := range forged() {
		kinds[wire.KindOf(b)]++
	}
	if kinds[wire.KindGate] != 2 || kinds[wire.KindDTLS] != 1 || kinds[wire.KindRendezvous] != 2 || len(kinds) != 3 {
		t.Errorf("kinds %v", kinds)
	}
}
