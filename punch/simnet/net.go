package simnet

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// A Net is one simulated Internet.
type Net struct {
	seed  uint64
	base  uint64 // where this Net's hashes begin
	epoch time.Time

	mu       sync.Mutex
	internet *Site
	lan      Link     // medium of new sites
	batches  []*batch // what was sent and does not move yet, oldest first
	queue    queue    // what moves, or waits for its time

	wakeAt      int64 // when the mover looks next
	deliveredAt int64 // when a host last got something
	trace       trace
	drop        func(Packet) bool
	observe     func(Packet, Verdict)

	wake    chan struct{}
	done    chan struct{}
	stopped chan struct{}
	close   sync.Once
}

// never is an instant that does not come.
const never = math.MaxInt64

// grain is the least jitter of a medium, so that arrivals do not fall together
// with timers of hosts or with each other.
const grain = 10 * time.Microsecond

// An Option is an option of [New].
type Option func(*options)

type options struct {
	internet, lan Link
	jittered      bool
	keep          int
}

// Delay sets the one-way delay between any two sites of the Internet; the
// default is 20 ms. [Site.SetMedium] changes it later.
func Delay(d time.Duration) Option { return func(o *options) { o.internet.Delay = d } }

// Jitter sets by how much the delay of the Internet varies: from 0 to j, and
// never less than 10 µs. The default is a tenth of the delay.
func Jitter(j time.Duration) Option {
	return func(o *options) { o.internet.Jitter, o.jittered = j, true }
}

// LAN sets the one-way delay between two hosts of one site other than the
// Internet; the default is 500 µs. [Site.SetMedium] changes it later.
func LAN(d time.Duration) Option { return func(o *options) { o.lan.Delay = d } }

// Keep sets how many events are kept for [Net.Dump]; the default is 16384. The
// oldest are forgotten first.
func Keep(events int) Option { return func(o *options) { o.keep = events } }

// New returns an Internet without hosts and starts the goroutine that moves
// its packets. In a synctest bubble, it must be called inside the bubble.
func New(seed uint64, opts ...Option) *Net {
	o := options{
		internet: Link{Delay: 20 * time.Millisecond},
		lan:      Link{Delay: 500 * time.Microsecond},
		keep:     1 << 14,
	}
	for _, opt := range opts {
		opt(&o)
	}
	if !o.jittered {
		o.internet.Jitter = o.internet.Delay / 10
	}
	n := &Net{
		seed:        seed,
		base:        mix(start, seed),
		epoch:       time.Now(),
		lan:         o.lan,
		wakeAt:      never,
		deliveredAt: -1,
		trace:       trace{sum: start, keep: max(o.keep, 0)},
		wake:        make(chan struct{}, 1),
		done:        make(chan struct{}),
		stopped:     make(chan struct{}),
	}
	n.internet = n.newSite(nil, "internet")
	n.internet.medium.set(o.internet, true)
	go n.move()
	return n
}

// Close stops the network, waits until it stands still, and closes its
// sockets. What is on its way is lost. Do not call it from the functions of
// [Net.Drop] and [Net.Observe].
func (n *Net) Close() {
	n.close.Do(func() { close(n.done) })
	<-n.stopped
	n.mu.Lock()
	defer n.mu.Unlock()
	n.internet.closeSockets()
}

// Internet returns the site that all others are in. Its hosts have public
// addresses.
func (n *Net) Internet() *Site { return n.internet }

// now returns the time since the start of n, in nanoseconds.
func (n *Net) now() int64 { return int64(time.Since(n.epoch)) }

// A Packet is a datagram at one moment of its way, as [Net.Drop] and
// [Net.Observe] see it.
type Packet struct {
	Time     time.Time
	From     *Conn          // the socket that sent it
	Src, Dst netip.AddrPort // as they are at this place
	Kind     Kind
	Data     []byte // borrowed: not to be changed, nor kept
}

// Drop makes f decide over every datagram as it leaves its host, before any
// NAT: it is lost when f returns true. f is called by one goroutine, in the
// order in which things happen, and with Packet.Time when it was sent. A nil f
// ends it. The rest is as with [Net.Observe].
func (n *Net) Drop(f func(p Packet) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = f
}

// Observe makes f see every event of the trace. f is called by one goroutine,
// in the order in which things happen. A nil f ends it.
//
// f may change the network. What f writes can be read after synctest.Wait or
// any method of n.
func (n *Net) Observe(f func(p Packet, v Verdict)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observe = f
}

// packet returns what the functions of a test see of p.
func (n *Net) packet(now int64, b *burst, p *packet) Packet {
	return Packet{
		Time: n.epoch.Add(time.Duration(now)),
		From: b.flow.conn,
		Src:  b.src,
		Dst:  b.dst,
		Kind: p.kind,
		Data: p.data,
	}
}

// move is the goroutine that moves packets.
func (n *Net) move() {
	defer close(n.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		next := n.advance(n.now())
		n.wakeAt = next
		n.mu.Unlock()
		if next == never {
			// Without a timer, a bubble in which nothing can happen any more
			// is found to be deadlocked.
			timer.Stop()
		} else {
			timer.Reset(time.Duration(next - n.now()))
		}
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.done:
			return
		}
	}
}

// advance does what is due at now, and returns when to call it again, or
// never. n.mu must be held; it is given up while functions of the test run.
func (n *Net) advance(now int64) int64 {
	for {
		next := int64(never)
		if len(n.queue) > 0 {
			next = max(n.queue[0].at, n.deliveredAt+1)
		}
		// What was sent at an instant moves after what arrived at it. It is
		// complete as soon as the clock has moved on.
		if len(n.batches) > 0 && n.batches[0].at < next {
			b := n.batches[0]
			if b.at >= now {
				return b.at + 1
			}
			n.batches[0], n.batches = nil, n.batches[1:]
			for _, burst := range b.order() {
				n.turn(burst, b.at)
			}
			continue
		}
		if next > now {
			return next
		}
		n.turn(n.queue.pop(), now)
	}
}

// turn moves b as far as it gets at now.
func (n *Net) turn(b *burst, now int64) {
	for n.step(b, now) {
	}
	n.trace.fold()
}

// expect makes sure that the mover looks at instant at. n.mu must be held.
func (n *Net) expect(at int64) {
	if n.wakeAt <= at {
		return
	}
	n.wakeAt = at
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// lot returns the hash that decides about p, or about all of b if p is nil,
// at the place with the given key. Each what is another draw.
func (n *Net) lot(key, what uint64, b *burst, p *packet) uint64 {
	h := mix(mix(mix(mix(n.base, key), what), b.flow.key), b.number)
	if p != nil {
		h = mix(h, 1+p.lot())
	}
	return h
}

// check panics with a message of this package if err is not nil.
func check(err error) {
	if err != nil {
		panic("simnet: " + err.Error())
	}
}

// must returns v, or panics if err is not nil.
func must[T any](v T, err error) T {
	check(err)
	return v
}
