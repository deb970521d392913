package pki

import (
	"fmt"
	"net/netip"
)

// Forget removes the pin of a VPN address, so that the next key seen there gets
// it. It reports whether there was one.
func (p *Pins) Forget(addr netip.Addr) (bool, error) {
	addr = addr.Unmap()
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshLocked()
	if _, ok := p.unsaved[addr]; ok {
		delete(p.unsaved, addr)
		p.index(p.lines)
		if !hasPin(p.lines, addr) {
			return true, nil
		}
	}
	changed, err := p.updateLocked(func(lines []pinLine) []pinLine {
		if !hasPin(lines, addr) {
			return nil
		}
		return without(lines, addr)
	})
	if err != nil {
		return false, fmt.Errorf("pki: pin file: %w", err)
	}
	return changed, nil
}
