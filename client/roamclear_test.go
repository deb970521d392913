package client

import (
	"testing"
	"time"
)

// TestRoamClear: where there is no channel, the RDV holds the old endpoint until it has
// been silent for five seconds. The session is found again as soon as the RDV tells.
func TestRoamClear(t *testing.T) {
	for _, m := range moves[:5] {
		for kind := range flowKinds {
			t.Run(m.name+", "+flowKinds[kind].name, func(t *testing.T) {
				t.Parallel()
				inRoam(t, true, nil, func(r *roamers) {
					f := newFlow(r.vpn, r.alice, r.bob, kind)
					m.move(r)
					f.flowFor(15 * time.Second)
					f.wantGap(8 * time.Second)
					f.wantSame()
				})
			})
		}
	}
}
