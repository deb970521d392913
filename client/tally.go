package client

import (
	"maps"

	"campagnol/tunnel"
)

// A Tally is what a Client has counted since it was made. Its numbers only grow,
// while those of a [PeerStatus] end with the session.
type Tally struct {
	// Handshakes with peers, by how they have ended. One that is refused is one in
	// which a refusal was given or taken; one that fails was in vain otherwise.
	Handshakes        uint64
	HandshakesRefused uint64
	HandshakesFailed  uint64

	Rekeys       uint64 // fresh keys of sessions
	RekeysFailed uint64

	Refusals map[string]uint64 // of peers and RDVs, by code

	// Of all sessions, open ones included.
	Moves                uint64 // to other paths
	PacketsIn, BytesIn   uint64
	PacketsOut, BytesOut uint64
}

// maxCodes bounds the codes of refusals that are told apart. There are fewer; beyond
// it all are one.
const (
	maxCodes  = 128
	otherCode = "other"
)

// handshake counts the end of a handshake with a peer.
func (t *Tally) handshake(err error) {
	switch {
	case err == nil:
		t.Handshakes++
	case codeOf(err) != "":
		t.HandshakesRefused++
	default:
		t.HandshakesFailed++
	}
}

// refusal counts one.
func (t *Tally) refusal(code string) {
	if t.Refusals == nil {
		t.Refusals = map[string]uint64{}
	}
	if _, known := t.Refusals[code]; !known && len(t.Refusals) >= maxCodes {
		code = otherCode
	}
	t.Refusals[code]++
}

// end keeps the counters of p's session, and of the one before, which both are over.
func (t *Tally) end(p *peer) {
	t.leavePaths(p)
	t.add(p.session.Stats())
	t.endOld(p)
}

// endOld keeps the counters of the session before p's. If that goes on in the present
// one, they are its own.
func (t *Tally) endOld(p *peer) {
	if p.old != nil && p.old.Stats() != p.session.Stats() {
		t.add(p.old.Stats())
	}
}

// leavePaths counts the moves of a session that is about to have other paths, or none.
func (t *Tally) leavePaths(p *peer) {
	if p.paths != nil {
		t.Moves += uint64(p.paths.Moves())
	}
}

func (t *Tally) add(s *tunnel.Stats) {
	t.PacketsIn += s.PacketsIn.Load()
	t.BytesIn += s.BytesIn.Load()
	t.PacketsOut += s.PacketsOut.Load()
	t.BytesOut += s.BytesOut.Load()
}

// tallied returns the tally with what belongs to the sessions that are open. It must
// run on the control goroutine.
func (c *Client) tallied() Tally {
	t := c.tally
	t.Refusals = maps.Clone(t.Refusals)
	for _, p := range c.peers {
		if p.session != nil {
			t.end(p)
		}
	}
	return t
}
