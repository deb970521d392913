package rdv

import (
	"sync/atomic"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// maxReason is the greatest reason for a refusal over a channel.
const maxReason = channel.Busy

// reasonNames are the names of reasons in metrics.
var reasonNames = [maxReason + 1]string{
	0: "other", channel.Denied: "denied", channel.NotYours: "not_yours", channel.Taken: "taken", channel.Full: "full",
	channel.Unknown: "unknown_peer", channel.Forbidden: "policy", channel.Unsupported: "unsupported", channel.Malformed: "malformed",
	channel.Strangers: "not_registered", channel.Gone: "no_object", channel.Unreachable: "no_authority", channel.Busy: "busy",
}

// Names of what is refused in clear, where there are no reasons.
const (
	refusedHello = "clear_registration" // NOK
	refusedAsk   = "clear_unknown_peer" // REJECT
)

// said counts what clients were answered. Control counts, and anybody may look.
type said struct {
	introduced, introducedClear, pongs atomic.Uint64
	refused                            [maxReason + 1]atomic.Uint64
	nok, reject                        atomic.Uint64
}

// note counts a message that is being sent.
func (s *said) note(o *Out) {
	switch {
	case o.Gate != nil:
	case o.Member == nil:
		switch o.Msg.Type {
		case wire.Pong:
			s.pongs.Add(1)
		case wire.Answer:
			s.introducedClear.Add(1)
		case wire.NOK:
			s.nok.Add(1)
		case wire.Reject:
			s.reject.Add(1)
		}
	case o.Answer.Type == channel.Peer:
		s.introduced.Add(1)
	case o.Answer.Type == channel.Refused:
		why := o.Answer.Reason
		if why > maxReason {
			why = 0
		}
		s.refused[why].Add(1)
	}
}

// refusals returns what was refused.
func (s *said) refusals() (r Refusals) {
	for why := range s.refused {
		r.over[why] = s.refused[why].Load()
	}
	r.nok, r.reject = s.nok.Load(), s.reject.Load()
	return r
}

// Refusals are how many requests were refused, by reason.
type Refusals struct {
	over        [maxReason + 1]uint64 // channels
	nok, reject uint64
}

// ByReason returns them by the name of the reason; all are there, so that whoever
// watches sees them begin.
func (r Refusals) ByReason() map[string]uint64 {
	m := map[string]uint64{refusedHello: r.nok, refusedAsk: r.reject}
	for why, name := range reasonNames {
		m[name] = r.over[why]
	}
	return m
}
