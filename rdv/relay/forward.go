package relay

import (
	"time"

	"campagnol/punch"
	"campagnol/punch/turn/channeldata"
)

const (
	// arenaSize holds the largest run that a socket joins, with 4 bytes for each of
	// its datagrams: the kernel joins 64 at most, and others 64 KiB of any size.
	arenaSize = 1 << 17

	// arenaCount is how many goroutines put headers in front at the same time. Each
	// socket has one; what memory they take does not grow with their number.
	arenaCount = 8
)

// An arena is what a goroutine that relays to clients needs while it does.
type arena struct {
	buf []byte
	out []punch.Datagram
}

// Forward relays the ChannelData at the beginning of a datagram, and returns the rest
// of it, which begins with a payload that is something else. What is relayed leaves
// with Flush; until then d must not change. d is changed in place.
func (d *Door) Forward(now time.Time, dg punch.Datagram) (rest punch.Datagram) {
	a := (*d.clients.Load())[dg.Addr]
	var t *table
	if a != nil {
		t = a.table.Load()
	}
	seg := dg.Segment
	if seg <= 0 || seg > len(dg.Data) {
		seg = len(dg.Data)
	}
	for channeldata.Is(dg.Data) {
		first := dg.Data[:min(seg, len(dg.Data))]
		number, n, ok := channeldata.Parse(first)
		var over *binding
		if ok && t != nil {
			over, ok = t.peers[number]
		}
		if !ok || t == nil {
			d.s.stats.unbound.Add(1)
			dg.Data = dg.Data[len(first):]
			continue
		}
		r := channeldata.RunOf(dg.Data, seg, number, n)
		d.relay(now, a, over, r, dg.ECN)
		dg.Data = dg.Data[len(r.Data):]
	}
	return dg
}

// relay queues a run for the peer of a channel.
func (d *Door) relay(now time.Time, a *allocation, over *binding, whole channeldata.Run, ecn uint8) {
	peer := over.peer
	target, ok := d.s.targetOf(peer)
	if !ok {
		d.s.stats.forbidden.Add(uint64(whole.Count))
		return
	}
	r := whole
	at := d.s.since(now)
	granted := a.charge(at, r.Size, r.Count)
	if granted == 0 {
		return
	}
	over.used.Store(int64(at))
	r.Keep(granted)
	d.s.stats.toPeers.Add(uint64(r.Count))
	a.count(r.Bytes())
	if target != nil {
		d.bridge(a, target, r, ecn)
		return
	}
	if len(a.out) == 0 {
		d.dirty = append(d.dirty, a)
	}
	out := punch.Datagram{Addr: peer, Local: a.from, Data: r.Strip(), ECN: ecn}
	if r.Count > 1 {
		out.Segment = r.Size
	}
	a.out = append(a.out, out)
}

// bridge queues a run for the client of another allocation.
func (d *Door) bridge(a, target *allocation, r channeldata.Run, ecn uint8) {
	t := target.table.Load()
	number, ok := t.numbers[a.relayed]
	if !ok {
		for i := range r.Count {
			b := r.Data[i*r.Segment:]
			n := r.Size
			if i == r.Count-1 {
				n = r.Last
			}
			target.accept(t, a.relayed, b[channeldata.Head:channeldata.Head+n])
		}
		return
	}
	if d.across != target.door.link {
		d.flushBridged()
		d.across = target.door.link
	}
	out := punch.Datagram{Addr: target.client, Local: target.local, Data: r.Readdress(number), ECN: ecn}
	if r.Count > 1 {
		out.Segment = r.Segment
	}
	d.bridged = append(d.bridged, out)
	d.s.stats.toClients.Add(uint64(r.Count))
}

// Flush sends what Forward has queued.
func (d *Door) Flush() {
	for _, a := range d.dirty {
		if a.conn.Send(a.out) != nil {
			d.s.stats.failed.Add(1)
		}
		clear(a.out) // an idle allocation holds on to no batch
		a.out = a.out[:0]
	}
	clear(d.dirty)
	d.dirty = d.dirty[:0]
	d.flushBridged()
}

func (d *Door) flushBridged() {
	if len(d.bridged) == 0 {
		return
	}
	if d.across.Send(d.bridged) != nil {
		d.s.stats.failed.Add(1)
	}
	clear(d.bridged)
	d.bridged = d.bridged[:0]
}

// receive relays what comes to the relayed address, until the allocation ends.
func (a *allocation) receive() {
	for {
		ds, err := a.conn.Receive()
		if err != nil {
			// Close has done it, or the socket is broken: then the door ends it.
			a.expelled.Store(true)
			a.door.wake()
			return
		}
		var w *arena
		select {
		case w = <-a.s.arenas:
		case <-a.s.ending:
			return
		}
		a.back(time.Now(), w, ds)
		a.s.arenas <- w
	}
}

// back relays a batch to the client.
func (a *allocation) back(now time.Time, w *arena, ds []punch.Datagram) {
	t := a.table.Load()
	at := a.s.since(now)
	for i := range ds {
		d := &ds[i]
		if !t.permitted[d.Addr.Addr()] {
			a.s.stats.unwanted.Add(1)
			continue
		}
		size, count := shape(d)
		granted := a.charge(at, size, count)
		if granted == 0 {
			continue
		}
		if granted < count {
			d.Data = d.Data[:granted*size]
		}
		number, ok := t.numbers[d.Addr]
		if !ok {
			for b := range d.Segments {
				a.offer(d.Addr, b)
			}
			continue
		}
		if len(w.buf)+len(d.Data)+granted*channeldata.Head > cap(w.buf) {
			a.send(w)
		}
		a.frame(w, d, number, size, granted)
	}
	a.send(w)
}

// shape returns how many payloads a datagram has, and of which size.
func shape(d *punch.Datagram) (size, count int) {
	if d.Segment <= 0 || len(d.Data) <= d.Segment {
		return len(d.Data), 1
	}
	return d.Segment, (len(d.Data) + d.Segment - 1) / d.Segment
}

// frame adds the payloads of a datagram to an arena, each with a header.
func (a *allocation) frame(w *arena, d *punch.Datagram, number uint16, size, count int) {
	if len(w.buf)+len(d.Data)+count*channeldata.Head > cap(w.buf) { // thousands of tiny ones
		a.s.stats.failed.Add(1)
		return
	}
	start := len(w.buf)
	for b, i := d.Data, 0; i < count; i++ {
		n := min(size, len(b))
		head := len(w.buf)
		w.buf = w.buf[:head+channeldata.Head]
		channeldata.Put(w.buf[head:], number, n)
		w.buf = append(w.buf, b[:n]...)
		b = b[n:]
	}
	out := punch.Datagram{Addr: a.client, Local: a.local, Data: w.buf[start:], ECN: d.ECN}
	if count > 1 {
		out.Segment = size + channeldata.Head
	}
	w.out = append(w.out, out)
	a.s.stats.toClients.Add(uint64(count))
	a.count(len(d.Data))
}

// send sends what is in an arena.
func (a *allocation) send(w *arena) {
	if len(w.out) > 0 && a.door.link.Send(w.out) != nil {
		a.s.stats.failed.Add(1)
	}
	clear(w.out)
	w.buf, w.out = w.buf[:0], w.out[:0]
}
