//go:build !unix

package relay

import (
	"testing"
	"time"
)

// used would return the processor time of this process, which systems without getrusage
// tell otherwise: nothing is measured there.
func used(testing.TB) time.Duration { return 0 }
