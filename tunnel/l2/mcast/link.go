package mcast

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// Repetition of updates.
const (
	window       = 8                      // updates that are not acknowledged
	firstRepeat  = 250 * time.Millisecond // doubles to
	lastRepeat   = 4 * time.Second
	gapRepeat    = 100 * time.Millisecond // between repetitions that a peer asks for
	streamPause  = time.Second            // between streams to one peer
	sourceBudget = 8                      // sources that a peer may name for each group it may name
)

// A link is what we tell a peer, and what it has told us.
type link struct {
	port  uint32
	alarm alarm

	// What we tell.
	stream  uint64
	began   time.Time // the stream
	acked   uint32    // updates that the peer has
	flight  []*update // those after
	todo    []key     // entries to tell, each once
	queued  map[key]struct{}
	routers []uint16 // VLANs whose routers to tell, each once
	news    bool     // there is something to tell, if only a flag
	done    bool     // everything was told once
	again   time.Time
	pause   time.Duration // until the next repetition
	last    time.Time     // repetition
	ack     bool          // an acknowledgement is due
	gap     bool          // likewise, because an update is missing

	// What the peer tells.
	theirs  uint64    // stream; 0: none
	have    uint32    // updates of it
	full    bool      // everything was told, by a peer that knows its hosts
	doubt   time.Time // until when it gets everything if it was not; zero: over
	entries map[key]*told
	sources int // in entries
	theirR  map[uint16]*toldRouter
	refused uint64
}

// told is what a peer has told about a group.
type told struct {
	want
	stream uint64
}

type toldRouter struct {
	families uint8
	stream   uint64
}

// PeerUp says that a peer can be reached at a port: over a new session with it, if
// there was one. It is told everything, and gets everything until it has told what
// it wants.
func (s *Snooper) PeerUp(now time.Time, port uint32, out []Out) []Out {
	s.begin(now, out)
	if l := s.links[port]; l != nil {
		s.unlink(l)
	}
	l := &link{port: port, queued: map[key]struct{}{}, entries: map[key]*told{}, theirR: map[uint16]*toldRouter{}}
	l.alarm = alarm{index: -1, owner: l}
	l.doubt = s.now.Add(s.cfg.QueryInterval)
	s.links[port] = l
	s.views.all = true
	l.restart(s, 0)
	l.wake(s)
	return s.end()
}

// PeerDown says that a peer cannot be reached any more.
func (s *Snooper) PeerDown(now time.Time, port uint32, out []Out) []Out {
	s.begin(now, out)
	if l := s.links[port]; l != nil {
		s.unlink(l)
	}
	return s.end()
}

// unlink forgets a peer.
func (s *Snooper) unlink(l *link) {
	delete(s.links, l.port)
	delete(s.dirty, l)
	s.waking.set(&l.alarm, time.Time{})
	s.views.all = true
	for _, k := range sortedKeys(l.entries) {
		s.peerWants(l.port, k, want{})
	}
}

func sortedKeys[V any](m map[key]V) []key {
	out := make([]key, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, key.compare)
	return out
}

// restart begins a stream with a number above another: everything is told anew.
func (l *link) restart(s *Snooper, above uint64) {
	s.stream = max(s.stream+1, above+1, uint64(max(s.now.UnixNano(), 1)))
	l.stream, l.began, l.acked, l.flight, l.done = s.stream, s.now, 0, nil, false
	l.todo, l.routers = l.todo[:0], l.routers[:0]
	clear(l.queued)
	for _, k := range sortedKeys(s.groups) {
		l.mark(s, k)
	}
	for _, v := range s.sorted() {
		if s.families(v.vid) != 0 {
			l.markRouter(s, v.vid)
		}
	}
	if s.cfg.Mrouter {
		l.markRouter(s, allVLANs)
	}
	l.news = true
	s.dirty[l] = struct{}{}
}

// mark says that the peer has to be told about a group.
func (l *link) mark(s *Snooper, k key) {
	if _, ok := l.queued[k]; ok {
		return
	}
	// Groups that came and went, faster than the peer can hear of it, must not
	// fill our memory: what there is now is told anew.
	if len(l.todo) > 4*s.cfg.MaxGroups {
		l.restart(s, l.stream)
		return
	}
	l.queued[k] = struct{}{}
	l.todo = append(l.todo, k)
	s.dirty[l] = struct{}{}
}

// markRouter says that the peer has to be told about the routers in a VLAN.
func (l *link) markRouter(s *Snooper, vid uint16) {
	if !slices.Contains(l.routers, vid) {
		l.routers = append(l.routers, vid)
	}
	s.dirty[l] = struct{}{}
}

// send sends what is to be told, as far as the window allows, and what is to be
// acknowledged.
func (l *link) send(s *Snooper) {
	for len(l.flight) < window && (len(l.todo) > 0 || len(l.routers) > 0 || l.news) {
		u := l.fill(s)
		l.flight = append(l.flight, u)
		l.emit(s, u)
		l.pause, l.again = firstRepeat, s.now.Add(firstRepeat)
	}
	if l.ack {
		l.emit(s, &update{})
	}
	l.wake(s)
}

// fill returns the next update of the stream.
func (l *link) fill(s *Snooper) *update {
	u := &update{stream: l.stream, seq: l.acked + uint32(len(l.flight)) + 1}
	room := MaxUpdate - versionSize - dataSize - ackSize
	n := min(len(l.routers), room/2/routerSize)
	for _, vid := range l.routers[:n] {
		u.routers = append(u.routers, router{vid, s.families(vid)})
	}
	l.routers = slices.Delete(l.routers, 0, n)
	room -= n * routerSize
	used := 0
	for _, k := range l.todo {
		e := entry{key: k}
		if g := s.groups[k]; g != nil {
			e.mode, e.sources = g.told.mode, g.told.sources
		}
		if room -= e.size(); room < 0 {
			break
		}
		u.entries = append(u.entries, e)
		delete(l.queued, k)
		used++
	}
	l.todo = slices.Delete(l.todo, 0, used)
	l.news = false
	if len(l.todo) == 0 && len(l.routers) == 0 {
		l.done = true
	}
	u.complete = l.done
	return u
}

// emit sends an update with what is to be acknowledged.
func (l *link) emit(s *Snooper, u *update) {
	o := *u
	o.settling = s.settling()
	if l.theirs != 0 {
		o.ackStream, o.ackNext, o.gap = l.theirs, l.have+1, l.gap
	}
	l.ack, l.gap = false, false
	s.stats.UpdatesOut++
	s.out = append(s.out, Out{Kind: ToPeer, Port: l.port, Packet: o.append(nil)})
}

// wake sets the alarm.
func (l *link) wake(s *Snooper) {
	var at time.Time
	if len(l.flight) > 0 {
		at = l.again
	}
	if l.inDoubt(s.now) {
		at = earlier(at, l.doubt)
	}
	s.waking.set(&l.alarm, at)
}

// due repeats what is not acknowledged, and ends doubts.
func (l *link) due(s *Snooper) {
	if !l.doubt.IsZero() && !s.now.Before(l.doubt) {
		l.doubt = time.Time{}
		s.views.all = true
	}
	if len(l.flight) > 0 && !s.now.Before(l.again) {
		l.repeat(s)
		l.pause = min(2*l.pause, lastRepeat)
		l.again = s.now.Add(l.pause)
	}
	l.wake(s)
}

func (l *link) repeat(s *Snooper) {
	l.last = s.now
	for _, u := range l.flight {
		s.stats.UpdatesAgain++
		l.emit(s, u)
	}
}

// inDoubt reports whether the peer gets everything because we do not know what it
// wants.
func (l *link) inDoubt(now time.Time) bool {
	return now.Before(l.doubt) && !l.full
}

// Peer takes an update from the peer at a port.
func (s *Snooper) Peer(now time.Time, port uint32, b []byte, out []Out) []Out {
	l := s.links[port]
	if l == nil {
		return out
	}
	s.begin(now, out)
	s.stats.UpdatesIn++
	u, err := parseUpdate(b)
	if err != nil {
		s.stats.UpdatesBad++
		s.refuse(Event{Kind: BadUpdate, Port: port})
		return s.end()
	}
	if u.ackNext != 0 {
		l.acknowledged(s, u)
	}
	for _, q := range u.questions {
		s.peerAsks(q)
	}
	if u.seq != 0 {
		l.receive(s, u)
	}
	return s.end()
}

// peerAsks asks our hosts what a querier behind a peer asks.
func (s *Snooper) peerAsks(q question) {
	if g := s.groups[q.key]; g != nil {
		s.ask(g, ask{len(q.sources) == 0, q.sources})
		s.update(g)
	}
}

// relay passes a question on to the peers that want the group.
func (s *Snooper) relay(k key, sources []netip.Addr) {
	m := s.mesh[k]
	if m == nil {
		return
	}
	if len(sources) > maxEntrySources {
		sources = sources[:maxEntrySources]
	}
	for _, x := range m.members {
		if l := s.links[x.port]; l != nil {
			l.emit(s, &update{questions: []question{{k, sources}}})
		}
	}
}

// acknowledged notes which updates the peer has.
func (l *link) acknowledged(s *Snooper, u *update) {
	if u.ackStream != l.stream {
		// It knows a later stream than ours: of before a restart of ours.
		if u.ackStream > l.stream && u.ackStream < math.MaxUint64 && !s.now.Before(l.began.Add(streamPause)) {
			l.restart(s, u.ackStream)
		}
		return
	}
	n := u.ackNext - 1 - l.acked
	if u.ackNext-1 < l.acked || int64(n) > int64(len(l.flight)) {
		return // late, or a lie
	}
	l.acked += n
	l.flight = slices.Delete(l.flight, 0, int(n))
	if n > 0 {
		l.pause, l.again = firstRepeat, s.now.Add(firstRepeat)
	}
	if u.gap && len(l.flight) > 0 && !s.now.Before(l.last.Add(gapRepeat)) {
		l.repeat(s)
	}
	s.dirty[l] = struct{}{}
}

// receive takes an update of the peer's stream, if it is the next one.
func (l *link) receive(s *Snooper, u *update) {
	l.ack = true
	s.dirty[l] = struct{}{}
	if u.stream < l.theirs {
		return // of before; our acknowledgement tells it which we know
	}
	if u.stream > l.theirs {
		// What the stream before told holds until this one has told everything.
		l.theirs, l.have, l.full = u.stream, 0, false
	}
	switch {
	case u.seq == l.have+1:
	case u.seq > l.have:
		l.gap = true
		return
	default:
		return // again
	}
	l.have++
	for _, r := range u.routers {
		l.heardRouter(s, r)
	}
	for _, e := range u.entries {
		l.heardEntry(s, e)
	}
	doubt := l.inDoubt(s.now)
	if u.complete && !u.settling && !l.full {
		l.full = true
		l.sweep(s)
	}
	if doubt != l.inDoubt(s.now) {
		s.views.all = true
	}
}

// heardRouter notes routers behind the peer.
func (l *link) heardRouter(s *Snooper, r router) {
	was := l.theirR[r.vid]
	if was == nil && r.families != 0 || was != nil && was.families != r.families {
		s.views.all = true
	}
	if r.families == 0 {
		delete(l.theirR, r.vid)
		return
	}
	l.theirR[r.vid] = &toldRouter{r.families, l.theirs}
}

// heardEntry notes what the peer wants of a group.
func (l *link) heardEntry(s *Snooper, e entry) {
	was := l.entries[e.key]
	if was != nil {
		l.sources -= len(was.sources)
	}
	if e.mode == gone {
		delete(l.entries, e.key)
		s.peerWants(l.port, e.key, want{})
		return
	}
	if was == nil && len(l.entries) >= s.cfg.MaxGroups {
		l.refuse(s, e)
		return
	}
	w := want{e.mode, e.sources}
	if l.sources+len(w.sources) > sourceBudget*s.cfg.MaxGroups {
		l.refuse(s, e)
		w = want{mode: exclude} // it gets more than it wants, rather than nothing
	}
	l.sources += len(w.sources)
	l.entries[e.key] = &told{w, l.theirs}
	if s.vlans[e.vid] == nil && len(s.vlans) < s.cfg.MaxVLANs/2 {
		s.enter(e.vid) // perhaps our hosts use it too
	}
	if was == nil || !was.equal(w) {
		s.peerWants(l.port, e.key, w)
	}
}

func (l *link) refuse(s *Snooper, e entry) {
	l.refused++
	s.refuse(Event{Kind: RefusedPeer, VID: e.vid, Group: e.group, Port: l.port})
}

// sweep forgets what the peer has told before this stream, and not again in it.
func (l *link) sweep(s *Snooper) {
	for _, k := range sortedKeys(l.entries) {
		if e := l.entries[k]; e.stream != l.theirs {
			l.sources -= len(e.sources)
			delete(l.entries, k)
			s.peerWants(l.port, k, want{})
		}
	}
	for vid, r := range l.theirR {
		if r.stream != l.theirs {
			delete(l.theirR, vid)
			s.views.all = true
		}
	}
}
