package client

import (
	"context"
	"sync"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
)

// Rate limits, as the original has them: what a datagram costs, and how much may
// be sent at once.
const (
	datagramCost = 8 // bytes beside the UDP payload

	// A bucket holds burstTime of its rate, and at least burstPackets of the
	// largest packets with burstExtra bytes each.
	burstTime    = 500 * time.Millisecond
	burstPackets = 3
	burstExtra   = 200

	// waitTime is how long a packet waits behind a limit before it is stale,
	// unless it is among the last waitPackets. The sender's TCP learns the rate
	// from what is dropped; keeping everything would only make it late.
	waitTime    = 250 * time.Millisecond
	waitPackets = 8
	maxWaiting  = 512 // packets of one peer

	// quantum is how many bytes more a peer may send each time that its turn
	// comes (deficit round robin). The largest packet fits.
	quantum = 2000
)

// A Rate limits what is sent, in bytes a second; 0 is no limit.
type Rate float64

// A pool is a token bucket of bytes.
type pool struct {
	rate   float64 // bytes a second; 0: bottomless
	size   float64 // bytes
	tokens float64
	filled time.Time
}

func newPool(now time.Time, r Rate, mtu int) pool {
	size := max(float64(burstPackets*(mtu+burstExtra)), float64(r)*burstTime.Seconds())
	return pool{rate: float64(r), size: size, tokens: size, filled: now}
}

// fill adds what time has brought.
func (p *pool) fill(now time.Time) {
	if d := now.Sub(p.filled); d > 0 {
		p.tokens = min(p.size, p.tokens+p.rate*d.Seconds())
		p.filled = now
	}
}

// wait returns how long it takes until cost can be taken. A cost over the size
// is let through a full pool.
func (p *pool) wait(cost float64) time.Duration {
	lack := min(cost, p.size) - p.tokens
	if p.rate == 0 || lack <= 0 {
		return 0
	}
	return time.Duration(lack/p.rate*float64(time.Second)) + 1
}

// take takes cost, whether it is there or not.
func (p *pool) take(cost float64) {
	if p.rate != 0 {
		p.tokens -= cost
	}
}

// A shaper delays datagrams so that rates are not exceeded: each peer's own rate
// first, then that of all together. It has a queue for each peer, so that one
// peer at its limit holds up no other; at the common limit they take turns, and
// who has not sent for a while comes first. A client without limits has no
// shaper.
//
// It is safe for concurrent use: the data path puts datagrams in, its own
// goroutine takes them out.
type shaper struct {
	conn  punch.Conn
	drops *tunnel.Drops
	each  Rate
	mtu   int

	mu    sync.Mutex
	all   pool
	fresh []*lane // that had nothing waiting when their turn came last
	busy  []*lane // the others that have something waiting, in turn
	wake  chan struct{}
	batch []punch.Datagram
	conns []punch.Conn // by which the batch goes
	spent [][]byte     // buffers of the batch, for their lanes
	owner []*lane
}

// A lane is the queue of one session. Its fields are guarded by the shaper's mu.
type lane struct {
	pool    pool
	deficit float64 // bytes that it may still send in its turn
	waiting []waiting
	free    [][]byte // buffers
	queued  bool     // in fresh or busy
}

// A waiting is a datagram in a lane.
type waiting struct {
	conn punch.Conn // nil: the primary socket
	punch.Datagram
	since time.Time
}

// newShaper returns a shaper for the given rates, of all and of each peer, or nil
// if there are none.
func newShaper(now time.Time, conn punch.Conn, drops *tunnel.Drops, all, each Rate, mtu int) *shaper {
	if all <= 0 && each <= 0 {
		return nil
	}
	return &shaper{
		conn: conn, drops: drops, each: each, mtu: mtu,
		all:  newPool(now, all, mtu),
		wake: make(chan struct{}, 1),
	}
}

// lane returns a queue for a session; a nil shaper has none.
func (s *shaper) lane(now time.Time) *lane {
	if s == nil {
		return nil
	}
	return &lane{pool: newPool(now, s.each, s.mtu)}
}

func costOf(b []byte) float64 { return float64(len(b) + datagramCost) }

// pass reports whether a datagram may be sent at once, by conn or, if that is nil, by the
// primary socket. If not, the shaper has
// copied it and sends it later, or has dropped it.
func (s *shaper) pass(now time.Time, l *lane, conn punch.Conn, d punch.Datagram) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cost := costOf(d.Data)
	l.pool.fill(now)
	s.all.fill(now)
	// Nobody overtakes those who wait at the common limit.
	inTurn := s.all.rate == 0 || len(s.fresh)+len(s.busy) == 0
	if inTurn && len(l.waiting) == 0 && l.pool.wait(cost) == 0 && s.all.wait(cost) == 0 {
		l.pool.take(cost)
		s.all.take(cost)
		return true
	}
	if len(l.waiting) >= maxWaiting {
		s.drop(l, 0)
	}
	l.push(now, conn, d)
	if !l.queued {
		l.queued, l.deficit = true, quantum
		s.fresh = append(s.fresh, l)
		// For a lane that is queued already, run knows when it may send: what
		// comes behind the first datagram changes nothing about that.
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return false
}

// charge takes the cost of what is sent without waiting: handshakes, alerts.
func (s *shaper) charge(now time.Time, b []byte) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.fill(now)
	s.all.take(costOf(b))
}

func (l *lane) push(now time.Time, conn punch.Conn, d punch.Datagram) {
	var buf []byte
	if n := len(l.free); n > 0 {
		buf, l.free = l.free[n-1][:0], l.free[:n-1]
	}
	d.Data = append(buf, d.Data...)
	l.waiting = append(l.waiting, waiting{conn, d, now})
}

// pop takes out the i-th datagram that waits.
func (l *lane) pop(i int) waiting {
	w := l.waiting[i]
	l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
	return w
}

func (s *shaper) drop(l *lane, i int) {
	l.free = append(l.free, l.pop(i).Data)
	s.drops.Add(tunnel.DropRate)
}

// run sends what waits until ctx is done.
func (s *shaper) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := s.send(time.Now())
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
			// Not before the tokens are there, whoever else has come.
		}
	}
}

// send sends what may be sent now and returns how long to wait for the rest.
func (s *shaper) send(now time.Time) time.Duration {
	s.mu.Lock()
	wait := s.collect(now)
	s.mu.Unlock()
	if len(s.batch) == 0 {
		return wait
	}
	s.sendBatch()
	s.mu.Lock()
	for i, l := range s.owner {
		l.free = append(l.free, s.spent[i])
	}
	s.mu.Unlock()
	return wait
}

// sendBatch sends the batch, in runs that leave by one socket.
func (s *shaper) sendBatch() {
	for from := 0; from < len(s.batch); {
		conn, to := s.conns[from], from+1
		for to < len(s.batch) && s.conns[to] == conn {
			to++
		}
		if conn == nil {
			conn = s.conn
		}
		if err := conn.Send(s.batch[from:to]); err != nil {
			s.drops.Add(tunnel.DropSend)
		}
		from = to
	}
}

// collect fills the batch. s.mu is held.
func (s *shaper) collect(now time.Time) time.Duration {
	clear(s.batch)
	clear(s.conns)
	s.batch, s.conns, s.spent, s.owner = s.batch[:0], s.conns[:0], s.spent[:0], s.owner[:0]
	s.all.fill(now)
	wait := time.Hour
	// A lane at its own limit goes to the end of the line; when all have, or the
	// common limit is reached, that is all for now.
	for held := 0; held < len(s.fresh)+len(s.busy); {
		l, fresh := s.turn()
		s.expire(now, l)
		if len(l.waiting) == 0 {
			l.queued, l.deficit = false, 0
			continue
		}
		l.pool.fill(now)
		cost := costOf(l.waiting[0].Data)
		if w := l.pool.wait(cost); w > 0 {
			wait = min(wait, w)
			s.busy = append(s.busy, l)
			held++
			continue
		}
		if w := s.all.wait(cost); w > 0 {
			s.again(l, fresh)
			return min(wait, w)
		}
		held = 0
		if l.deficit < cost {
			l.deficit += quantum
			s.busy = append(s.busy, l)
			continue
		}
		l.deficit -= cost
		l.pool.take(cost)
		s.all.take(cost)
		w := l.pop(0)
		s.batch, s.conns = append(s.batch, w.Datagram), append(s.conns, w.conn)
		s.spent, s.owner = append(s.spent, w.Data), append(s.owner, l)
		s.again(l, fresh)
	}
	return wait
}

// again leaves l the turn.
func (s *shaper) again(l *lane, fresh bool) {
	line := &s.busy
	if fresh {
		line = &s.fresh
	}
	*line = append(*line, nil)
	copy((*line)[1:], *line)
	(*line)[0] = l
}

// turn takes out the lane whose turn it is.
func (s *shaper) turn() (l *lane, fresh bool) {
	if len(s.fresh) > 0 {
		l = s.fresh[0]
		s.fresh = append(s.fresh[:0], s.fresh[1:]...)
		return l, true
	}
	l = s.busy[0]
	s.busy = append(s.busy[:0], s.busy[1:]...)
	return l, false
}

// expire drops what has waited too long.
func (s *shaper) expire(now time.Time, l *lane) {
	for len(l.waiting) > waitPackets && now.Sub(l.waiting[0].since) > waitTime {
		s.drop(l, 0)
	}
}
