package pki

// Watch has f told of each pin that is set: before is the one that the address had with
// another key, or nil. f is called with locks held: it must not wait, and not use p. It
// must be set before p is used.
func (p *Pins) Watch(f func(before *Pin, now Pin)) { p.watch = f }

// tellLocked tells who watches that pin takes the place of have, which may be nil.
func (p *Pins) tellLocked(have *Pin, pin Pin) {
	if p.watch != nil && (have == nil || have.Key != pin.Key) {
		p.watch(have, pin)
	}
}
