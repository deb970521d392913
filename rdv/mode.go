package rdv

import (
	"fmt"
	"net/netip"
	"time"
)

// A Mode says who may register in clear, without a channel.
type Mode uint8

// The modes.
const (
	// Open is the mode without a certificate: there are no channels, and
	// everybody may register, as with Campagnol 0.3.5.
	Open Mode = iota

	// Mixed lets everybody register in clear, but not with an address that a
	// client with a channel holds, or has held within a day.
	Mixed

	// Strict refuses those who register in clear.
	Strict
)

var modeNames = [...]string{Open: "open", Mixed: "mixed", Strict: "strict"}

// String returns the name of a mode, as it is written on the command line.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode returns the mode with a name.
func ParseMode(name string) (Mode, error) {
	for m, n := range modeNames {
		if n == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("%q is not a mode: it is open, mixed or strict", name)
}

// denies reports whether nobody may register v in clear.
func (r *Registry) denies(v netip.Addr, in In) bool {
	switch r.cfg.Mode {
	case Strict:
		r.trace(Event{Kind: Denied, Endpoint: in.From, VPN: v, Code: codeDenied})
		return true
	case Mixed:
	default:
		return false
	}
	var warned *time.Duration
	if c := r.byVPN[v]; c != nil && c.member != nil {
		warned = &c.warned
	} else if o := r.owners.find(r.now, v); o != nil {
		warned = &o.warned
	} else {
		return false
	}
	if r.now-*warned >= warnInterval {
		*warned = r.now
		r.trace(Event{Kind: Downgraded, Endpoint: in.From, VPN: v})
	} else {
		r.trace(Event{Kind: Conflict, Endpoint: in.From, VPN: v, Code: codeTaken})
	}
	return true
}
