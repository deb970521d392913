package filter

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// A direction is where a packet goes.
type direction uint8

const (
	outward direction = iota // from our host to the peer
	inward
)

// A Verdict says whether a packet passes, and if not, why.
type Verdict uint8

// The verdicts. Their names appear in status and metrics.
const (
	Pass          Verdict = iota
	DropRule              // a rule denies it
	DropMalformed         // not an IP packet, or one made to be misread
	DropFragment          // a fragment whose first one did not pass just before
	DropFull              // there is no room for another flow
	verdictCount
)

var verdictNames = [verdictCount]string{"pass", "filter_rule", "filter_malformed", "filter_fragment", "filter_full"}

// String returns a name in snake case, fit for a counter.
func (v Verdict) String() string {
	if v < verdictCount {
		return verdictNames[v]
	}
	return "unknown"
}

// shardCount is how many locks a table has. Goroutines of the data path meet at
// one only if their flows do.
const shardCount = 8

// A Table is the filter of one peer with the flows that it let pass. It is safe
// for concurrent use. A nil Table lets everything pass.
type Table struct {
	pool  *Pool
	rules atomic.Pointer[ruleset]
	seed  maphash.Seed

	flows  atomic.Int32
	drops  [verdictCount]atomic.Uint64
	closed atomic.Bool
	index  int // in pool.tables, under pool.mu

	shards    [shardCount]shard
	fragments fragments
}

// A ruleset is a filter and its number, which grows with each.
type ruleset struct {
	filter *Filter
	number uint32
}

// Use sets the filter of a table that is not nil; a nil filter lets everything
// pass. Flows that it would not let begin end with their next packet.
func (t *Table) Use(f *Filter) {
	if f == nil {
		f = &Filter{}
	}
	for {
		old := t.rules.Load()
		next := &ruleset{filter: f}
		if old != nil {
			next.number = old.number + 1
		}
		if t.rules.CompareAndSwap(old, next) {
			return
		}
	}
}

// Out decides about a packet from our host to the peer, and In about one from
// the peer. packet is borrowed. A packet that the kernel will cut, or has joined
// from several, of up to 64 KiB, is one call.
func (t *Table) Out(now time.Time, packet []byte) Verdict {
	if t == nil {
		return Pass
	}
	return t.decide(now, packet, outward)
}

// In decides about a packet from the peer. See [Table.Out].
func (t *Table) In(now time.Time, packet []byte) Verdict {
	if t == nil {
		return Pass
	}
	return t.decide(now, packet, inward)
}

func (t *Table) decide(now time.Time, packet []byte, d direction) Verdict {
	var m meta
	v := Pass
	at := now.Sub(t.pool.start)
	switch {
	case !m.parse(packet, false):
		v = DropMalformed
	case m.fragment == laterFragment:
		if !t.fragments.passed(at, m.fragmentKey(d)) {
			v = DropFragment
		}
	default:
		v = t.judge(at, &m, d, len(packet))
		if v == Pass && m.fragment == firstFragment {
			t.fragments.pass(at, m.fragmentKey(d))
		}
	}
	if v != Pass {
		t.drops[v].Add(1)
		t.pool.drops[v].Add(1)
	}
	return v
}

// judge decides about a packet that is whole, or the first part of one.
func (t *Table) judge(at time.Duration, m *meta, d direction, size int) Verdict {
	set := t.rules.Load()
	if m.role == report && t.quotesFlow(at, m, d, set) {
		return Pass
	}
	k := keyOf(m, d)
	h := t.hash(&k)
	s := t.shard(h)
	if m.hasFlow() {
		s.mu.Lock()
		known := s.follow(at, h, &k, m, d, size, set)
		s.mu.Unlock()
		if known {
			return Pass
		}
	}
	if !allows(set.filter.rules(d), m) {
		return DropRule
	}
	if !m.begins() {
		return Pass
	}
	return t.insert(at, s, h, &k, m, d, size, set)
}

// hasFlow reports whether the packet can belong to a flow.
func (m *meta) hasFlow() bool {
	return m.role == query || m.role == answer || m.role == plain && !isICMP(m.proto)
}

// begins reports whether the packet may begin a flow. An answer that nobody
// asked for does not, or a question could pass as its reply.
func (m *meta) begins() bool {
	return m.hasFlow() && m.role != answer && m.tcp&flagRST == 0
}

// quotesFlow reports whether an ICMP error is about a flow: about a packet that
// its receiver has sent.
func (t *Table) quotesFlow(at time.Duration, m *meta, d direction, set *ruleset) bool {
	var inner meta
	if !inner.parse(m.quoted, true) || inner.src != m.dst || inner.fragment == laterFragment || !inner.hasFlow() {
		return false
	}
	k := keyOf(&inner, 1-d)
	h := t.hash(&k)
	s := t.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(h, &k)
	return i != none && s.valid(i, at, set)
}

// insert remembers a flow that the rules allow.
func (t *Table) insert(at time.Duration, s *shard, h uint64, k *key, m *meta, d direction, size int, set *ruleset) Verdict {
	if !t.pool.reserve(t) {
		return DropFull
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed.Load() {
		t.pool.release(1)
		return DropFull
	}
	i := s.find(h, k)
	switch {
	case i != none: // another goroutine was faster, or the flow begins anew
		t.pool.release(1)
	case s.count >= t.pool.perShard:
		t.pool.release(1)
		if s.flows[s.oldest].expired(at) {
			t.pool.expired.Add(1)
		} else {
			t.pool.evicted.Add(1)
		}
		s.remove(s.oldest)
		i = s.add(h, k)
	default:
		t.flows.Add(1)
		i = s.add(h, k)
	}
	f := &s.flows[i]
	*f = flow{key: *k, hash: h, chain: f.chain, newer: f.newer, older: f.older, begun: d, rules: set.number, since: at}
	f.see(at, m, d, size)
	s.refresh(i)
	return Pass
}

// Close gives back what the table holds. Packets that come later may still be
// asked about; new flows are dropped.
func (t *Table) Close() {
	if t == nil || t.closed.Swap(true) {
		return
	}
	t.pool.remove(t)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n := s.count
		s.reset()
		s.mu.Unlock()
		t.flows.Add(int32(-n))
		t.pool.release(n)
	}
}

// Drops returns how many packets were dropped, by reason.
func (t *Table) Drops() map[Verdict]uint64 {
	if t == nil {
		return nil
	}
	return snapshot(&t.drops)
}

func snapshot(drops *[verdictCount]atomic.Uint64) map[Verdict]uint64 {
	m := map[Verdict]uint64{}
	for v := range drops {
		if n := drops[v].Load(); n > 0 {
			m[Verdict(v)] = n
		}
	}
	return m
}

func (t *Table) hash(k *key) uint64 { return maphash.Comparable(t.seed, *k) }

func (t *Table) shard(h uint64) *shard { return &t.shards[h>>32%shardCount] }

// fragmentCount is how many datagrams in pieces a table knows, and fragmentTime
// for how long: the pieces of one leave their sender at once.
const (
	fragmentCount = 64
	fragmentTime  = 10 * time.Second
)

// A fragmentKey identifies a datagram in pieces (RFC 791 section 3.2, RFC 8200
// section 4.5).
type fragmentKey struct {
	src, dst [16]byte
	id       uint32
	proto    uint8
	d        direction
}

func (m *meta) fragmentKey(d direction) fragmentKey {
	k := fragmentKey{src: m.src, dst: m.dst, id: m.fragID, d: d}
	if isMapped(&m.src) {
		k.proto = m.proto // in IPv6 it may be that of a header between
	}
	return k
}

// fragments are the datagrams whose first fragment has passed, in a ring.
type fragments struct {
	mu   sync.Mutex
	ring []fragmentEntry
	next int
}

type fragmentEntry struct {
	key  fragmentKey
	seen time.Duration
}

// pass notes that the first fragment has passed.
func (f *fragments) pass(at time.Duration, k fragmentKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ring) < fragmentCount {
		f.ring = append(f.ring, fragmentEntry{k, at})
		return
	}
	f.ring[f.next] = fragmentEntry{k, at}
	f.next = (f.next + 1) % fragmentCount
}

// passed reports whether the first fragment has passed just before.
func (f *fragments) passed(at time.Duration, k fragmentKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.ring {
		if e := &f.ring[i]; e.key == k && at-e.seen <= fragmentTime {
			return true
		}
	}
	return false
}
