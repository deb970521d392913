package filter

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound the flows that are remembered. Zero means the default.
type Limits struct {
	PerPeer int // default 4096
	Total   int // default 65536
}

// Defaults of [Limits]. A flow takes about 110 bytes.
const (
	defaultPerPeer = 4096
	defaultTotal   = 65536
)

// A Pool is what the tables of all peers share: the bound on their flows
// together, and counters. It is safe for concurrent use.
type Pool struct {
	start    time.Time // times are counted from here
	perShard int
	total    int64

	flows            atomic.Int64
	evicted, expired atomic.Uint64
	drops            [verdictCount]atomic.Uint64

	mu     sync.Mutex
	tables []*Table
	turn   int    // where the search for a victim goes on
	most   *Table // the table with the most flows that the search has met; may be nil
}

// NewPool returns a pool. Times before now are none of which it is asked.
func NewPool(now time.Time, l Limits) *Pool {
	if l.PerPeer == 0 {
		l.PerPeer = defaultPerPeer
	}
	if l.Total == 0 {
		l.Total = defaultTotal
	}
	return &Pool{start: now, perShard: max(1, l.PerPeer/shardCount), total: int64(max(1, l.Total))}
}

// NewTable returns the table of a peer with filter f, which may be nil: then the
// table is nil too, and lets everything pass.
func (p *Pool) NewTable(f *Filter) *Table {
	if f == nil {
		return nil
	}
	t := &Table{pool: p, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].reset()
	}
	t.Use(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	t.index = len(p.tables)
	p.tables = append(p.tables, t)
	return t
}

// remove takes t out of the pool.
func (p *Pool) remove(t *Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.tables) - 1
	p.tables[t.index] = p.tables[last]
	p.tables[t.index].index = t.index
	p.tables[last] = nil
	p.tables = p.tables[:last]
	if p.most == t {
		p.most = nil
	}
}

// reserve makes room for one more flow of t. At the bound, the oldest flow of
// one of the tables with the most of them goes. No lock of a shard may be held.
func (p *Pool) reserve(t *Table) bool {
	if p.flows.Add(1) <= p.total || p.evict(p.victim(t)) || p.evictAny() {
		return true
	}
	p.release(1)
	return false
}

func (p *Pool) release(n int) { p.flows.Add(int64(-n)) }

// victims is how many tables victim looks at.
const victims = 8

// victim returns the table with the most flows among t, the last victim and a
// few others, in turn. To look at all of them for each new flow would be work
// that a flood of flows can ask for.
func (p *Pool) victim(t *Table) *Table {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.most != nil && p.most.flows.Load() > t.flows.Load() {
		t = p.most
	}
	for range min(victims, len(p.tables)) {
		p.turn = (p.turn + 1) % len(p.tables)
		if other := p.tables[p.turn]; other.flows.Load() > t.flows.Load() {
			t = other
		}
	}
	if !t.closed.Load() {
		p.most = t
	}
	return t
}

// evictAny is for the case that few tables have flows, and none of those that
// were looked at.
func (p *Pool) evictAny() bool {
	p.mu.Lock()
	var most *Table
	for _, t := range p.tables {
		if most == nil || t.flows.Load() > most.flows.Load() {
			most = t
		}
	}
	p.mu.Unlock()
	return most != nil && p.evict(most)
}

// evict forgets the flow of t that is idle for the longest time.
func (p *Pool) evict(t *Table) bool {
	at, oldest := none, time.Duration(0)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if s.oldest != none && (at == none || s.flows[s.oldest].seen < oldest) {
			at, oldest = i, s.flows[s.oldest].seen
		}
		s.mu.Unlock()
	}
	if at == none {
		return false
	}
	s := &t.shards[at]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oldest == none {
		return false // forgotten meanwhile
	}
	s.remove(s.oldest)
	t.flows.Add(-1)
	p.release(1)
	p.evicted.Add(1)
	return true
}

// Sweep forgets the flows that were idle for too long. Nothing depends on it but
// memory and the count; once a minute is often enough.
func (p *Pool) Sweep(now time.Time) {
	at := now.Sub(p.start)
	p.mu.Lock()
	tables := append([]*Table(nil), p.tables...)
	p.mu.Unlock()
	for _, t := range tables {
		for i := range t.shards {
			n := t.shards[i].sweep(at)
			t.flows.Add(int32(-n))
			p.release(n)
			p.expired.Add(uint64(n))
		}
	}
}

// sweep forgets what is expired, and gives the memory back if nothing is left.
func (s *shard) sweep(at time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.oldest; i != none; {
		newer := s.flows[i].newer
		if s.flows[i].expired(at) {
			s.remove(i)
			n++
		}
		i = newer
	}
	if s.count == 0 {
		s.reset()
	}
	return n
}

// Counters are what a pool has counted.
type Counters struct {
	Flows   int    // that are remembered now
	Evicted uint64 // flows that had to go for others
	Expired uint64 // flows that were idle for too long
	Drops   map[Verdict]uint64
}

// Counters returns what was counted so far.
func (p *Pool) Counters() Counters {
	return Counters{int(p.flows.Load()), p.evicted.Load(), p.expired.Load(), snapshot(&p.drops)}
}

// A Flow is a flow of a table, for status.
type Flow struct {
	Proto         uint8
	Local, Remote netip.AddrPort // ports are 0 if the protocol has none; of ICMP the local one is the identifier
	Ours          bool           // our side has begun it
	State         string
	Age, Idle     time.Duration
	Out, In       uint64 // bytes, with IP headers
}

// Dump returns the flows of the table, in no order.
func (t *Table) Dump(now time.Time) []Flow {
	if t == nil {
		return nil
	}
	at := now.Sub(t.pool.start)
	var list []Flow
	for i := range t.shards {
		list = t.shards[i].dump(at, list)
	}
	return list
}

func (s *shard) dump(at time.Duration, list []Flow) []Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.newest; i != none; i = s.flows[i].older {
		f := &s.flows[i]
		if f.expired(at) {
			continue
		}
		k := f.key
		if isICMP(k.proto) {
			k.rport = 0
		}
		list = append(list, Flow{
			Proto:  k.proto,
			Local:  netip.AddrPortFrom(netip.AddrFrom16(k.local).Unmap(), k.lport),
			Remote: netip.AddrPortFrom(netip.AddrFrom16(k.remote).Unmap(), k.rport),
			Ours:   f.begun == outward,
			State:  stateNames[f.state],
			Age:    max(0, at-f.since), Idle: max(0, at-f.seen),
			Out: f.bytes[outward], In: f.bytes[inward],
		})
	}
	return list
}
