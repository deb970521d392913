package filter

import (
	"math/bits"
	"sync"
	"time"

	"campagnol/pki/policy"
)

// A key identifies a flow. It is the same for packets of both directions.
type key struct {
	local, remote [16]byte
	lport, rport  uint16 // of ICMP: the identifier, and who asks
	proto         uint8
}

// Who asks, in the key of an ICMP query.
const (
	weAsk   = 1
	theyAsk = 2
)

func isICMP(proto uint8) bool { return proto == policy.ICMP || proto == policy.ICMPv6 }

// keyOf returns the key of the flow that a packet belongs to.
func keyOf(m *meta, d direction) key {
	k := key{m.src, m.dst, m.sport, m.dport, m.proto}
	if d == inward {
		k.local, k.remote, k.lport, k.rport = m.dst, m.src, m.dport, m.sport
	}
	if m.role == query || m.role == answer {
		k.lport, k.rport = m.sport, theyAsk
		if (m.role == query) == (d == outward) {
			k.rport = weAsk
		}
	}
	return k
}

// A state is what a flow is at.
type state uint8

const (
	opening state = iota // only the side that began it has spoken
	open
	closing // TCP: one side is through, or has given up
)

var stateNames = [...]string{"opening", "open", "closing"}

// How long a flow may be idle before it is forgotten. The times for TCP are
// those of RFC 5382 section 5 (REQ-5), for UDP of RFC 4787 section 4.3 (REQ-5:
// two minutes at least), for ICMP of RFC 5508 section 3.2 (REQ-2: 60 s).
const (
	tcpOpening  = 4 * time.Minute
	tcpOpen     = 2*time.Hour + 4*time.Minute
	tcpClosing  = 4 * time.Minute
	udpOpening  = 2 * time.Minute
	udpOpen     = 5 * time.Minute
	icmpTimeout = time.Minute
	otherFlow   = 10 * time.Minute
)

// none is no flow.
const none = -1

// A flow is an entry of a table.
type flow struct {
	key          key
	hash         uint64
	chain        int32 // next with the same bucket; next free entry
	newer, older int32
	rules        uint32 // number of the rules that allowed it
	begun        direction
	state        state
	since, seen  time.Duration
	bytes        [2]uint64 // by direction
}

// timeout returns how long the flow may be idle.
func (f *flow) timeout() time.Duration {
	switch {
	case f.key.proto == policy.TCP:
		return [...]time.Duration{tcpOpening, tcpOpen, tcpClosing}[f.state]
	case f.key.proto == policy.UDP && f.state == opening:
		return udpOpening
	case f.key.proto == policy.UDP:
		return udpOpen
	case isICMP(f.key.proto):
		return icmpTimeout
	}
	return otherFlow
}

func (f *flow) expired(at time.Duration) bool { return at-f.seen > f.timeout() }

// see notes a packet of the flow.
func (f *flow) see(at time.Duration, m *meta, d direction, size int) {
	// Goroutines read the clock each for itself.
	f.seen = max(f.seen, at)
	f.bytes[d] += uint64(size)
	if f.state == opening && (d != f.begun || m.tcp&(flagSYN|flagACK) == flagACK) {
		f.state = open
	}
	switch {
	case m.tcp&(flagFIN|flagRST) != 0:
		f.state = closing
	case m.tcp&(flagSYN|flagACK) == flagSYN && d == f.begun:
		f.state = opening // anew, perhaps
	}
}

// A shard is a part of the flows of a table, under a lock of its own. Methods
// other than reset want the lock held.
type shard struct {
	mu      sync.Mutex
	count   int
	flows   []flow  // entries that are in use, and free ones
	buckets []int32 // by hash: first of a chain; a power of two
	free    int32
	newest  int32 // the flows in the order of their last packets
	oldest  int32
	_       [48]byte // keeps the locks of two shards off one cache line
}

// reset forgets everything.
func (s *shard) reset() {
	s.count, s.flows, s.buckets = 0, nil, nil
	s.free, s.newest, s.oldest = none, none, none
}

// find returns the entry of k.
func (s *shard) find(h uint64, k *key) int32 {
	if len(s.buckets) == 0 {
		return none
	}
	for i := s.buckets[h&uint64(len(s.buckets)-1)]; i != none; i = s.flows[i].chain {
		if f := &s.flows[i]; f.hash == h && f.key == *k {
			return i
		}
	}
	return none
}

// follow reports whether a packet passes as one of a known flow, and notes it.
func (s *shard) follow(at time.Duration, h uint64, k *key, m *meta, d direction, size int, set *ruleset) bool {
	i := s.find(h, k)
	if i == none || !s.valid(i, at, set) {
		return false
	}
	f := &s.flows[i]
	if m.tcp&(flagSYN|flagACK) == flagSYN && d != f.begun {
		// The other side opens a connection between the same ports. That is no
		// reply: the rules for its direction have to allow it.
		return false
	}
	f.see(at, m, d, size)
	s.refresh(i)
	return true
}

// valid reports whether entry i is still one that packets belong to: not idle
// for too long, and allowed by the rules as they are now.
func (s *shard) valid(i int32, at time.Duration, set *ruleset) bool {
	f := &s.flows[i]
	if f.expired(at) {
		return false // the next packet that begins a flow takes the entry
	}
	if f.rules == set.number {
		return true
	}
	first := meta{src: f.key.local, dst: f.key.remote, proto: f.key.proto, dport: f.key.rport}
	if f.begun == inward {
		first.src, first.dst, first.dport = f.key.remote, f.key.local, f.key.lport
	}
	if !allows(set.filter.rules(f.begun), &first) {
		return false
	}
	f.rules = set.number
	return true
}

// add returns a new entry for k, the newest.
func (s *shard) add(h uint64, k *key) int32 {
	if s.free == none {
		s.grow()
	}
	i := s.free
	f := &s.flows[i]
	s.free = f.chain
	b := &s.buckets[h&uint64(len(s.buckets)-1)]
	*f = flow{key: *k, hash: h, chain: *b, newer: none, older: s.newest}
	*b = i
	if s.newest != none {
		s.flows[s.newest].newer = i
	} else {
		s.oldest = i
	}
	s.newest = i
	s.count++
	return i
}

// grow doubles the entries and makes as many buckets.
func (s *shard) grow() {
	n := max(8, 2*len(s.flows))
	old := s.flows
	s.flows = make([]flow, n)
	copy(s.flows, old)
	for i := n - 1; i >= len(old); i-- {
		s.flows[i].chain = s.free
		s.free = int32(i)
	}
	s.buckets = make([]int32, 1<<bits.Len(uint(n-1)))
	for i := range s.buckets {
		s.buckets[i] = none
	}
	for i := s.newest; i != none; i = s.flows[i].older {
		f := &s.flows[i]
		b := &s.buckets[f.hash&uint64(len(s.buckets)-1)]
		f.chain, *b = *b, i
	}
}

// remove forgets entry i.
func (s *shard) remove(i int32) {
	f := &s.flows[i]
	at := &s.buckets[f.hash&uint64(len(s.buckets)-1)]
	for *at != i {
		at = &s.flows[*at].chain
	}
	*at = f.chain
	s.unlink(i)
	*f = flow{chain: s.free}
	s.free = i
	s.count--
}

// unlink takes entry i out of the order.
func (s *shard) unlink(i int32) {
	f := &s.flows[i]
	if f.newer != none {
		s.flows[f.newer].older = f.older
	} else {
		s.newest = f.older
	}
	if f.older != none {
		s.flows[f.older].newer = f.newer
	} else {
		s.oldest = f.newer
	}
}

// refresh makes entry i the newest.
func (s *shard) refresh(i int32) {
	if s.newest == i {
		return
	}
	s.unlink(i)
	f := &s.flows[i]
	f.newer, f.older = none, s.newest
	s.flows[s.newest].newer = i
	s.newest = i
}
