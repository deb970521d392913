package turn

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
)

const (
	// arenaCount is how many goroutines put headers in front at the same time; others
	// wait until one of these has sent.
	arenaCount = 2

	// arenaSize is how much a batch has before it is sent, at most; one run is longer
	// never.
	arenaSize = 1 << 17

	// maxRun is the length of the longest run, and maxCount of how many datagrams: what
	// the kernel takes.
	maxRun   = 65000
	maxCount = 64
)

// An arena is what a goroutine that sends needs while it does.
type arena struct {
	buf []byte
	out []punch.Datagram
}

// Send sends datagrams to peers, from the relayed address. Local is of no meaning. To a
// peer that is not known yet the first ones go in another form, behind requests to let
// them through: if these are lost, so are those.
func (c *Conn) Send(ds []punch.Datagram) error {
	select {
	case <-c.done:
		return c.Err()
	default:
	}
	now := c.since(time.Now())
	var a *arena
	select {
	case a = <-c.arenas:
	case <-c.done:
		return c.Err()
	}
	defer func() { c.arenas <- a }()
	var failed error
	note := func(err error) {
		if err != nil && failed == nil {
			failed = err
		}
	}
	t := c.table.Load()
	for i := range ds {
		h, ok := t.hops[ds[i].Addr]
		if !ok {
			if err := c.meet(a, ds[i].Addr); err != nil {
				note(err)
				continue
			}
			t = c.table.Load()
			h = t.hops[ds[i].Addr]
		}
		if h.refused {
			c.stats.refused.Add(1)
			note(ErrForbidden)
			continue
		}
		if h.route != nil && h.used.Load() < now {
			h.used.Store(now)
		}
		note(c.frame(a, &ds[i], h))
	}
	c.sent.Store(now)
	note(c.flush(a))
	if c.owed.Load() == 0 {
		c.owed.CompareAndSwap(0, now)
	}
	if c.asleep.Load() && c.asleep.CompareAndSwap(true, false) {
		c.wake()
	}
	return failed
}

// meet has a peer permitted and a channel bound for it, ahead of what is sent to it.
func (c *Conn) meet(a *arena, peer netip.AddrPort) (err error) {
	requests := c.locked(func(m *machine, now time.Time, out [][]byte) [][]byte {
		out, err = m.reach(now, peer, false, out)
		return out
	})
	for _, b := range requests {
		a.out = append(a.out, punch.Datagram{Addr: c.to, Data: b})
	}
	if len(requests) > 0 {
		c.wake()
	}
	return err
}

// frame adds a datagram or a run to an arena, in one form or the other.
func (c *Conn) frame(a *arena, d *punch.Datagram, h hop) error {
	size := len(d.Data)
	if d.Segment > 0 && d.Segment < size {
		size = d.Segment
	}
	whole := c.framed(d.Addr, size, h.bound)
	if whole > maxRun {
		return ErrTooLong
	}
	per := min(maxRun/whole, maxCount)
	var failed error
	for b := d.Data; ; {
		n := min(len(b), per*size)
		if err := c.frameRun(a, d, b[:n], size, whole, h); failed == nil {
			failed = err
		}
		if b = b[n:]; len(b) == 0 {
			return failed
		}
	}
}

// framed returns how long n bytes are with what is put around them.
func (c *Conn) framed(peer netip.AddrPort, n int, bound bool) int {
	switch {
	case !bound:
		return sendSize(peer, n)
	case c.cfg.Reliable:
		return channeldata.Head + (n+3)&^3
	default:
		return channeldata.Head + n
	}
}

// frameRun adds a run of payloads of size bytes, of which the last may be shorter. If
// there is no room for it, what is there is sent before, and the error is that of this.
func (c *Conn) frameRun(a *arena, d *punch.Datagram, b []byte, size, whole int, h hop) (failed error) {
	if count := len(b)/max(size, 1) + 1; len(a.buf)+count*whole > arenaSize {
		failed = c.flush(a)
	}
	start, count := len(a.buf), 0
	for {
		n := min(size, len(b))
		if h.bound {
			a.buf = appendChannel(a.buf, h.number, b[:n], c.cfg.Reliable)
		} else {
			a.buf = appendSend(a.buf, drawID(), d.Addr, b[:n])
		}
		count++
		if b = b[n:]; len(b) == 0 {
			break
		}
	}
	out := punch.Datagram{Addr: c.to, Data: a.buf[start:], ECN: d.ECN}
	if count > 1 {
		out.Segment = whole
	}
	a.out = append(a.out, out)
	c.stats.sent.Add(uint64(count))
	return failed
}

// drawID returns the ID of an indication. Nobody answers it, so anybody may guess it.
func drawID() (id transactionID) {
	binary.LittleEndian.PutUint64(id[:], rand.Uint64())
	binary.LittleEndian.PutUint32(id[8:], rand.Uint32())
	return id
}

// flush sends what is in an arena.
func (c *Conn) flush(a *arena) error {
	if len(a.out) == 0 {
		return nil
	}
	err := c.cfg.Conn.Send(a.out)
	if err != nil {
		c.stats.failed.Add(1)
	}
	clear(a.out)
	a.buf, a.out = a.buf[:0], a.out[:0]
	return err
}
