package client

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"campagnol/rdv/channel"
)

// testObjects is what a testRDV has for all members, and what it does with the VPN's
// authority.
type testObjects struct {
	has       [][]byte // revocation lists
	authority *testChannel
	passed    map[uint32]testPassed // requests to the authority, by ID
	wanted    []channel.Object      // of the authority; the first is being fetched
	part      []byte
	fetched   [][]byte
}

// A testPassed is a request that was passed on to the authority.
type testPassed struct {
	from *testChannel
	msg  channel.Message
}

// nameOf returns the name of a revocation list.
func nameOf(b []byte) channel.Object {
	return channel.Object{Kind: channel.CRL, Size: uint32(len(b)), Hash: sha256.Sum256(b)}
}

func (o *testObjects) names() (names []channel.Object) {
	for _, b := range o.has {
		names = append(names, nameOf(b))
	}
	return names
}

// publish makes these the objects that the server has, and tells everybody.
func (r *testRDV) publish(objects ...[]byte) {
	r.with(func() { r.publishLocked(objects...) })
}

func (r *testRDV) publishLocked(objects ...[]byte) {
	r.objects.has = objects
	for _, c := range r.channels {
		if c != r.objects.authority {
			r.lastID++
			r.say(c, channel.Message{Type: channel.Notice, ID: r.lastID, Objects: r.objects.names()})
		}
	}
}

// receiveAboutObjects is what an honest server does.
func (r *testRDV) receiveAboutObjects(c *testChannel, m channel.Message) {
	o := &r.objects
	switch m.Type {
	case channel.Fetch:
		for _, b := range o.has {
			if nameOf(b) == m.Objects[0] {
				piece := b[m.Offset:]
				r.answer(c, m, channel.Message{Type: channel.Chunk, Offset: m.Offset, Data: piece[:min(len(piece), channel.MaxData)]})
				return
			}
		}
		r.answer(c, m, channel.Message{Type: channel.Refused, Reason: channel.Gone})
	case channel.Apply:
		if o.authority == nil {
			r.answer(c, m, channel.Message{Type: channel.Refused, Reason: channel.Unreachable})
			return
		}
		if o.passed == nil {
			o.passed = map[uint32]testPassed{}
		}
		for _, p := range o.passed {
			if p.from == c && p.msg.ID == m.ID {
				return // repeated
			}
		}
		r.lastID++
		o.passed[r.lastID] = testPassed{c, m}
		r.say(o.authority, channel.Message{Type: channel.Apply, ID: r.lastID, Data: m.Data, Endpoints: []netip.AddrPort{c.at}})
	case channel.Answer, channel.Refused:
		if p, ok := o.passed[m.ID]; ok {
			delete(o.passed, m.ID)
			r.answer(p.from, p.msg, m)
		}
	case channel.Notice:
		r.answer(c, m, channel.Message{Type: channel.Done})
		o.wanted, o.part, o.fetched = m.Objects, nil, nil
		r.fetchFrom(c)
	case channel.Chunk:
		if len(o.wanted) > 0 && int(m.Offset) == len(o.part) {
			o.part = append(o.part, m.Data...)
			r.fetchFrom(c)
		}
	}
}

// fetchFrom asks the authority for what is missing.
func (r *testRDV) fetchFrom(c *testChannel) {
	o := &r.objects
	if len(o.wanted) > 0 && len(o.part) == int(o.wanted[0].Size) {
		if nameOf(o.part) != o.wanted[0] {
			r.t.Errorf("the authority has sent something else than %v", o.wanted[0])
		}
		o.fetched, o.part, o.wanted = append(o.fetched, o.part), nil, o.wanted[1:]
	}
	if len(o.wanted) == 0 {
		r.publishLocked(o.fetched...)
		return
	}
	r.lastID++
	r.say(c, channel.Message{Type: channel.Fetch, ID: r.lastID, Objects: o.wanted[:1], Offset: uint32(len(o.part))})
}

// A testStore keeps what it gets.
type testStore struct {
	t testing.TB

	mu    sync.Mutex
	has   map[channel.Object]bool
	taken [][]byte
	bad   bool // Take refuses
	busy  atomic.Int32
}

func newTestStore(t testing.TB) *testStore { return &testStore{t: t, has: map[channel.Object]bool{}} }

func (s *testStore) Has(o channel.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return o.Kind != channel.CRL || s.has[o]
}

func (s *testStore) Take(o channel.Object, data []byte) error {
	if s.busy.Add(1) > 1 {
		s.t.Error("Take is called twice at a time")
	}
	defer s.busy.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if nameOf(data) != o {
		s.t.Errorf("%d bytes that are not the object with %d", len(data), o.Size)
	}
	s.taken = append(s.taken, data)
	if s.bad {
		return errors.New("of no use")
	}
	s.has[o] = true
	return nil
}

// count returns how many objects came.
func (s *testStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// wants checks that the store has got one object, which is this.
func (s *testStore) wants(want []byte) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taken) != 1 || !bytes.Equal(s.taken[0], want) {
		s.t.Errorf("%d objects came, want 1 of %d bytes", len(s.taken), len(want))
	}
}

// refuse makes the store refuse what comes, or not.
func (s *testStore) refuse(bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = bad
}

// blob returns n bytes that are like no other.
func blob(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16) ^ seed
	}
	return b
}

// stores makes a node keep what it gets.
func (s *testStore) stores(c *Config) { c.Objects = s }
