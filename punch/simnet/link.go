package simnet

import (
	"bytes"
	"fmt"
	"time"
)

// A Link describes one direction of a link, or a medium. The zero Link is
// perfect: it has no delay and loses nothing.
type Link struct {
	Delay  time.Duration // of every packet
	Jitter time.Duration // up to this much more, drawn for each burst; keeps the order of a flow

	Loss      float64 // chance that a packet is lost, from 0 to 1
	Duplicate float64 // chance that a packet is followed by a copy
	Reorder   float64 // chance that a packet is held back, so that later ones overtake it

	// Hold is how much later than its original a copy may come, and how long
	// a packet is held back at most. 0 means Delay, or 1 ms if that is 0 too.
	Hold time.Duration

	// MTU is the size of the largest IP packet that passes, in bytes: a UDP
	// payload and 28 bytes of headers, 48 with IPv6. 0 means no limit. All
	// packets have the DF bit.
	MTU int
	// Report says what becomes of larger ones. If it is false, they vanish, as
	// behind a router that sends no ICMP messages. If it is true, they vanish,
	// and from then on Send refuses what is too big for the same flow, with
	// ErrTooBig; on the sender's own link it does so from the first.
	Report bool

	// Rate is how many packets pass in a second; 0 means any number. It does
	// not count bytes, because times must not depend on the length of
	// signatures. Packets that were sent together leave together, when the
	// last of them has its turn.
	Rate int
	// Queue is how many packets wait for their turn before more are dropped.
	// 0 means 100.
	Queue int
}

// check returns what is wrong with l.
func (l Link) check() error {
	for _, p := range []float64{l.Loss, l.Duplicate, l.Reorder} {
		if !(p >= 0 && p <= 1) { // written so that NaN fails
			return fmt.Errorf("a chance in the Link is not from 0 to 1: %+v", l)
		}
	}
	if l.Delay < 0 || l.Jitter < 0 || l.Hold < 0 || l.MTU < 0 || l.Rate < 0 || l.Queue < 0 {
		return fmt.Errorf("a field of the Link is negative: %+v", l)
	}
	return nil
}

// A link is a Link at work.
type link struct {
	Link
	key     uint64
	down    bool
	perfect bool  // nothing happens on it
	free    int64 // when the packets that wait for their turn have passed
}

// set changes what l does. What delays at all has a jitter of at least grain.
func (l *link) set(cfg Link, medium bool) {
	if err := cfg.check(); err != nil {
		panic("simnet: " + err.Error())
	}
	l.perfect = cfg == Link{} && !medium
	if medium || cfg.Delay > 0 || cfg.Rate > 0 {
		cfg.Jitter = max(cfg.Jitter, grain)
	}
	l.Link = cfg
	l.free = 0
}

// What is drawn on a link.
const (
	drawJitter = iota
	drawLoss
	drawDuplicate
	drawDuplicateHold
	drawReorder
	drawReorderHold
)

// cross sends b over l. It returns true if b goes on at once, and false if it
// waits for its time or has ended.
func (n *Net) cross(now int64, b *burst, l *link) bool {
	switch {
	case l.down:
		return n.end(now, b, Down)
	case l.perfect:
		return true
	}
	n.thin(now, b, l)
	wait := n.rate(now, b, l)
	if len(b.packets) == 0 {
		return false
	}
	wait += int64(l.Delay)
	if l.Jitter > 0 {
		wait += upTo(n.lot(l.key, drawJitter, b, nil), int64(l.Jitter))
	}
	n.scatter(now+wait, b, l)
	if wait == 0 {
		return len(b.packets) > 0
	}
	b.at = now + wait
	b.keepOrder()
	if len(b.packets) > 0 {
		n.queue.push(b)
	}
	return false
}

// keepOrder delays b until after the earlier bursts of its flow on this link.
func (b *burst) keepOrder() {
	if b.loose {
		return
	}
	if f, i := b.flow, int(b.hop); i < len(f.last) {
		b.at = max(b.at, f.last[i]+1)
		f.last[i] = b.at
	} else {
		f.last = append(f.last, b.at)
	}
	b.hop++
}

// remove takes the packets out of b that v happens to.
func (n *Net) remove(now int64, b *burst, v Verdict, happens func(*packet) bool) {
	kept := b.packets[:0]
	for i := range b.packets {
		p := &b.packets[i]
		if happens(p) {
			n.note(now, b, p, v)
		} else {
			kept = append(kept, *p)
		}
	}
	b.packets = kept
}

// thin takes out what l does not let through.
func (n *Net) thin(now int64, b *burst, l *link) {
	if l.MTU > 0 {
		n.remove(now, b, TooBig, func(p *packet) bool {
			if ipSize(b.dst.Addr(), len(p.data)) <= l.MTU {
				return false
			}
			if l.Report && (b.flow.mtu == 0 || l.MTU < b.flow.mtu) {
				b.flow.mtu = l.MTU
			}
			return true
		})
	}
	if l.Loss > 0 {
		n.remove(now, b, Lost, func(p *packet) bool {
			return chance(n.lot(l.key, drawLoss, b, p)) < l.Loss
		})
	}
}

// rate makes b wait for its turn, and returns how long.
func (n *Net) rate(now int64, b *burst, l *link) (wait int64) {
	if l.Rate == 0 || len(b.packets) == 0 {
		return 0
	}
	each := int64(time.Second) / int64(l.Rate)
	begin := max(now, l.free)
	waiting := int((begin - now + each - 1) / max(each, 1))
	limit := l.Queue
	if limit == 0 {
		limit = 100
	}
	for _, p := range b.cut(limit - waiting) {
		n.note(now, b, &p, Congested)
	}
	if len(b.packets) == 0 {
		return 0
	}
	l.free = begin + each*int64(len(b.packets))
	return l.free - now
}

// scatter takes copies out of b, and packets that l holds back. at is when b
// is at the other end of l.
func (n *Net) scatter(at int64, b *burst, l *link) {
	if l.Duplicate == 0 && l.Reorder == 0 {
		return
	}
	hold := int64(l.Hold)
	if hold == 0 {
		hold = int64(l.Delay)
	}
	if hold == 0 {
		hold = int64(time.Millisecond)
	}
	kept := b.packets[:0:0]
	for _, p := range b.packets {
		if chance(n.lot(l.key, drawDuplicate, b, &p)) < l.Duplicate {
			c := p
			c.data = bytes.Clone(p.data)
			c.copy = mix(mix(start, l.key), p.copy)
			extra := b.alone(c)
			extra.at = at + upTo(n.lot(l.key, drawDuplicateHold, b, &p), hold)
			n.queue.push(extra)
		}
		if chance(n.lot(l.key, drawReorder, b, &p)) < l.Reorder {
			late := b.alone(p)
			late.at = at + upTo(n.lot(l.key, drawReorderHold, b, &p), hold)
			n.queue.push(late)
			continue
		}
		kept = append(kept, p)
	}
	b.packets = kept
}
