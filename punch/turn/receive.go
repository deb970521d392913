package turn

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
)

// Stats counts what a Conn has done.
type Stats struct {
	Sent, Received uint64 // datagrams of ours and of peers

	Foreign uint64 // datagrams that have come from elsewhere than the relay
	Strays  uint64 // data over no channel of ours
	Garbage uint64 // what is neither data nor an answer to a request of ours
	Refused uint64 // datagrams to where the relay does not relay
	Failed  uint64 // batches of which something could not be sent
}

// stats are the counters behind Stats.
type stats struct {
	sent, received, foreign, strays, garbage, refused, failed atomic.Uint64
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	s := Stats{
		Sent: c.stats.sent.Load(), Received: c.stats.received.Load(),
		Foreign: c.stats.foreign.Load(), Strays: c.stats.strays.Load(), Garbage: c.stats.garbage.Load(),
		Refused: c.stats.refused.Load(), Failed: c.stats.failed.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Garbage += uint64(c.m.forged)
	return s
}

// Receive waits for datagrams of peers; see [punch.Conn]. When the allocation is lost
// it returns why.
func (c *Conn) Receive() ([]punch.Datagram, error) {
	for {
		ds, err := c.cfg.Conn.Receive()
		if err != nil {
			c.broken(err)
			return nil, c.Err()
		}
		if c.sort(time.Now(), ds); len(c.in) > 0 {
			return c.in, nil
		}
	}
}

// listen receives until it is known whether there is an allocation.
func (c *Conn) listen() {
	for {
		select {
		case <-c.ready:
			return
		default:
		}
		ds, err := c.cfg.Conn.Receive()
		if err != nil {
			c.broken(err)
			return
		}
		c.sort(time.Now(), ds)
	}
}

// sort takes what the relay has sent apart: data into c.in, answers to the machine.
func (c *Conn) sort(now time.Time, ds []punch.Datagram) {
	clear(c.in)
	c.in = c.in[:0]
	for i := range ds {
		if ds[i].Addr != c.to && plain(ds[i].Addr) != c.cfg.Server {
			c.stats.foreign.Add(1)
			continue
		}
		c.split(now, ds[i])
	}
	if len(c.in) > 0 && c.owed.Load() != 0 {
		c.owed.Store(0)
	}
}

// split takes a datagram apart.
func (c *Conn) split(now time.Time, d punch.Datagram) {
	t := c.table.Load()
	seg := d.Segment
	if seg <= 0 || seg > len(d.Data) {
		seg = len(d.Data)
	}
	for b := d.Data; len(b) > 0; {
		first := b[:min(seg, len(b))]
		if !channeldata.Is(first) {
			c.message(now, first, d.ECN)
			t = c.table.Load()
			b = b[len(first):]
			continue
		}
		number, n, ok := channeldata.Parse(first)
		r := t.from[number]
		if !ok || r == nil {
			c.stats.strays.Add(1)
			b = b[len(first):]
			continue
		}
		all := channeldata.RunOf(b, seg, number, n)
		b = b[len(all.Data):]
		c.deliver(now, r, all, d.ECN)
	}
}

// deliver hands a run over.
func (c *Conn) deliver(now time.Time, r *route, all channeldata.Run, ecn uint8) {
	if at := c.since(now); r.used.Load() < at {
		r.used.Store(at)
	}
	out := punch.Datagram{Addr: r.peer, Data: all.Strip(), ECN: ecn}
	if all.Count > 1 {
		out.Segment = all.Size
	}
	c.in = append(c.in, out)
	c.stats.received.Add(uint64(all.Count))
}

// message takes what is not data over a channel. It happens seldom.
func (c *Conn) message(now time.Time, b []byte, ecn uint8) {
	if peer, data, ok := parseData(b); ok {
		c.in = append(c.in, punch.Datagram{Addr: peer, Data: data, ECN: ecn})
		c.stats.received.Add(1)
		c.met(now, peer)
		return
	}
	if len(b) > maxControl || !wellFormed(b) || bytes.HasPrefix(b, []byte{typeData >> 8, typeData & 0xff}) {
		c.stats.garbage.Add(1)
		return
	}
	c.step(func(m *machine, now time.Time, out [][]byte) [][]byte { return m.handle(now, b, out) })
	c.wake()
}

// met has a channel bound for a peer that has sent.
func (c *Conn) met(now time.Time, peer netip.AddrPort) {
	if h, ok := c.table.Load().hops[peer]; ok {
		if at := c.since(now); h.used.Load() < at {
			h.used.Store(at)
		}
		return
	}
	asked := false
	c.step(func(m *machine, now time.Time, out [][]byte) [][]byte {
		if m.state == standing {
			out, _ = m.reach(now, peer, true, out) // without a channel it works, too
			asked = len(out) > 0
		}
		return out
	})
	if asked {
		c.wake()
	}
}
