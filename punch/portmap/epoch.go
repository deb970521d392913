package portmap

import "time"

// An epoch watches the seconds that a server counts since it has forgotten all
// mappings (RFC 6887 section 8.5, RFC 6886 section 3.6). The zero value has seen none.
type epoch struct {
	seconds uint32
	at      time.Time // when that was heard
}

// forgotten takes what the server says now, and reports whether it has lost its
// state since it was heard last: its count has gone back, or has not kept up with our
// clock, or has run ahead of it.
func (e *epoch) forgotten(now time.Time, seconds uint32) bool {
	before := *e
	e.seconds, e.at = seconds, now
	if before.at.IsZero() {
		return false
	}
	ours := int64(now.Sub(before.at) / time.Second)
	theirs := int64(seconds) - int64(before.seconds)
	// Answers may overtake each other by a second, and clocks be wrong by 1/16.
	return theirs < -1 || ours+2 < theirs-theirs/16 || theirs+2 < ours-ours/16
}
