//go:build long

package main

import (
	"testing"
	"time"

	play "campagnol/internal/lab/program"
	"campagnol/internal/lab/scenario"
)

// The long forms of what takes long: a member that nobody but its own node asks stays
// longer than a report is good for (260 s), and two of an old kind, for whom the
// timers are those of RFC 2236.
func init() {
	steadyTime = 5 * time.Minute
	oldTime, oldTimers = 10*time.Minute, play.QuerierOptions{Version: 2}
}

// TestTAPOracleLong is TestTAPOracle with what takes as long as a report is good for.
func TestTAPOracleLong(t *testing.T) {
	t.Parallel()
	playOracle(t, true, scenario.Options{Patience: 5 * time.Minute})
}
