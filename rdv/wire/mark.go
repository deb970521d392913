package wire

import "net/netip"

// A Mark tells the receiver of a [Punch] that its sender is this program and
// not the original, which leaves ip2 zero and never looks at it:
//
//	offset  size  field
//	7       2     'C' 'G'
//	9       1     version, 1
//	10      1     flags
//
// A Mark is not authenticated. It may change who speaks first, never who is
// believed.
type Mark struct {
	// Asked says that the sender asked the RDV for this path. Two senders
	// that both asked see from it that their requests crossed (glare).
	Asked bool
	// Heard says that the sender has had a Punch on this path, so that there
	// is no need to answer this one.
	Heard bool
}

const (
	markVersion = 1
	flagAsked   = 1 << 0
	flagHeard   = 1 << 1
)

// NewPunch returns the Punch of the client with the given VPN address.
func NewPunch(vpn netip.Addr, m Mark) Message {
	b := [4]byte{'C', 'G', markVersion}
	if m.Asked {
		b[3] |= flagAsked
	}
	if m.Heard {
		b[3] |= flagHeard
	}
	return Message{Type: Punch, IP1: vpn, IP2: netip.AddrFrom4(b)}
}

// Mark returns the mark of a Punch, and false for the original's.
// Later versions keep the meaning of the flags that are defined here.
func (m Message) Mark() (Mark, bool) {
	if m.Type != Punch || !m.IP2.Is4() {
		return Mark{}, false
	}
	b := m.IP2.As4()
	if b[0] != 'C' || b[1] != 'G' || b[2] < markVersion {
		return Mark{}, false
	}
	return Mark{Asked: b[3]&flagAsked != 0, Heard: b[3]&flagHeard != 0}, true
}
