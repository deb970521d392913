package punch

import "campagnol/rdv/wire"

// Probe returns a punch for a place that is no candidate, where the peer may be all the
// same. If it is, its answer makes the place one.
func (a *Attempt) Probe() wire.Message { return a.punch(false) }

// PeerHasHeard reports whether the peer says that it has heard us on the path.
func (a *Attempt) PeerHasHeard() bool {
	c := a.find(a.path)
	return c != nil && c.marked && c.mark.Heard
}
