package simnet

// step does the next thing to b on its way. It returns false when b waits or
// has ended. n.mu must be held.
//
//	atSource ─ host's link ─▶ inSite ─ up: gate, its link ─▶ inSite (parent)
//	                            │
//	                            ├─ medium, at the top ─▶ toHost ─ host's link ─▶ atHost
//	                            └─ medium, at the top ─▶ toGate ─ gate's link ─▶ atGate ─▶ inSite (child)
func (n *Net) step(b *burst, now int64) bool {
	switch b.stage {
	case atSource:
		return n.leaveHost(now, b)
	case inSite:
		return n.findWay(now, b)
	case toHost:
		b.stage = atHost
		return n.cross(now, b, &b.host.in)
	case toGate:
		b.stage = atGate
		return n.cross(now, b, &b.gate.in)
	case atGate:
		return n.enterGate(now, b)
	}
	n.deliver(now, b)
	return false
}

// leaveHost starts b on its way.
func (n *Net) leaveHost(now int64, b *burst) bool {
	n.noteAll(now, b, Sent)
	if f := n.drop; f != nil {
		n.remove(now, b, Dropped, func(p *packet) bool {
			seen := n.packet(now, b, p)
			n.mu.Unlock()
			defer n.mu.Lock()
			return f(seen)
		})
	}
	if len(b.packets) == 0 {
		return false
	}
	b.stage = inSite
	return n.cross(now, b, &b.host.out)
}

// findWay sends b to where its destination is from b.site.
func (n *Net) findWay(now int64, b *burst) bool {
	s := b.site
	to, ok := s.places[b.dst.Addr()]
	if !ok {
		if b.down || s.parent == nil {
			return n.end(now, b, Unreachable)
		}
		return n.leaveGate(now, b)
	}
	b.stage, b.host, b.gate = toHost, to.host, to.gate
	if to.host == nil {
		b.stage = toGate
	}
	if b.down {
		return true
	}
	b.down = true
	return n.cross(now, b, &s.medium)
}

// leaveGate sends b from b.site to the parent, or back.
func (n *Net) leaveGate(now int64, b *burst) bool {
	s := b.site
	if s.nat != nil && b.dst.Addr() == s.nat.public {
		return n.hairpin(now, b)
	}
	if s.stops(b.dst.Addr()) {
		return n.end(now, b, Blocked)
	}
	if s.nat != nil && b.src.Addr().Is4() {
		public, ok := s.nat.outbound(now, b.src, b.dst)
		if !ok {
			return n.end(now, b, TableFull)
		}
		b.src = public
		n.noteAll(now, b, Translated)
	} else if s.fire != nil {
		s.fire.outbound(now, b.src, b.dst)
	}
	b.site = s.parent
	return n.cross(now, b, &s.out)
}

// hairpin sends b back to where it comes from.
func (n *Net) hairpin(now int64, b *burst) bool {
	s := b.site
	if s.nat.cfg.Hairpin == NoHairpinning {
		return n.end(now, b, NoHairpin)
	}
	public, ok := s.nat.outbound(now, b.src, b.dst)
	if !ok {
		return n.end(now, b, TableFull)
	}
	inside, v := s.nat.inbound(now, public, b.dst.Port())
	if v != Translated {
		return n.end(now, b, v)
	}
	b.dst = inside
	if s.nat.cfg.Hairpin == ExternalSource {
		b.src = public
	}
	n.noteAll(now, b, Translated)
	b.down = true
	return n.cross(now, b, &s.medium)
}

// enterGate lets b into the site b.gate.
func (n *Net) enterGate(now int64, b *burst) bool {
	s := b.gate
	if s.stops(b.dst.Addr()) {
		return n.end(now, b, Blocked)
	}
	if s.nat != nil && b.dst.Addr().Is4() {
		if b.dst.Addr() != s.nat.public { // it changed while b was on the way
			return n.end(now, b, Unreachable)
		}
		inside, v := s.nat.inbound(now, b.src, b.dst.Port())
		if v != Translated {
			return n.end(now, b, v)
		}
		b.dst = inside
		n.noteAll(now, b, Translated)
	} else if s.fire != nil && !s.fire.inbound(now, b.src, b.dst) {
		return n.end(now, b, Refused)
	}
	b.site, b.stage = s, inSite
	return true
}

// deliver puts b's packets into a socket of b.host.
func (n *Net) deliver(now int64, b *burst) {
	h := b.host
	if at, ok := b.site.places[b.dst.Addr()]; !ok || at.host != h {
		n.end(now, b, Unreachable) // it moved while b was on the way
		return
	}
	c := h.socket(b.dst)
	if c == nil {
		n.end(now, b, NoSocket)
		return
	}
	over := b.cut(c.limit - c.waiting())
	c.overflows += len(over)
	for i := range over {
		n.note(now, b, &over[i], Overflow)
	}
	if len(b.packets) == 0 {
		return
	}
	// Noted first: what is in the queue belongs to the receiver.
	n.noteAll(now, b, Delivered)
	n.deliveredAt = now
	c.put(b)
}
