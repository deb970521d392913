package mcast

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"campagnol/tunnel/l2/mcast/gmp"
)

// budgetPerGroup is how many hosts and sources of hosts are noted for each group
// that may be, on average.
const budgetPerGroup = 64

// A Snooper is what one node knows about multicast. It is owned by one goroutine.
// Every method that takes now does first what was due before it.
type Snooper struct {
	cfg   Config
	stats Stats
	rand  *rand.Rand

	now time.Time // of the call
	out []Out     // likewise

	up      bool
	settled alarm // when our hosts have had time to report
	waking  alarms

	vlans  map[uint16]*vlan
	groups map[key]*group     // what our hosts want
	links  map[uint32]*link   // peers
	mesh   map[key]*meshGroup // what peers want
	dirty  map[*link]struct{} // links with something to send
	silent map[EventKind]time.Time

	asking  int // groups with queries to send
	budget  int // hosts, and sources of hosts, that may still be noted
	stream  uint64
	views   views
	reports []*side // with records to send
}

// New returns a snooper. Its TAP is not up.
func New(cfg Config) *Snooper {
	cfg = cfg.withDefaults()
	s := &Snooper{
		cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0x6d63617374)),
		vlans: map[uint16]*vlan{}, groups: map[key]*group{}, links: map[uint32]*link{}, mesh: map[key]*meshGroup{},
		dirty: map[*link]struct{}{}, silent: map[EventKind]time.Time{},
		budget: budgetPerGroup * cfg.MaxGroups,
	}
	s.settled = alarm{index: -1, owner: s}
	s.views.all = true
	return s
}

// begin starts a call.
func (s *Snooper) begin(now time.Time, out []Out) {
	if now.After(s.now) {
		s.now = now
	}
	s.out = out
	for len(s.waking) > 0 && !s.waking[0].at.After(s.now) {
		a := s.waking[0]
		s.waking.set(a, time.Time{})
		a.owner.due(s)
	}
}

// end ends a call: what it has changed is told to peers and to the TAP.
func (s *Snooper) end() []Out {
	for _, sd := range s.reports {
		sd.flush(s)
	}
	s.reports = s.reports[:0]
	links := make([]*link, 0, len(s.dirty))
	for l := range s.dirty {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b *link) int { return comparePorts(a.port, b.port) })
	for _, l := range links {
		l.send(s)
	}
	clear(s.dirty)
	out := s.out
	s.out = nil
	return out
}

// Advance does what is due.
func (s *Snooper) Advance(now time.Time, out []Out) []Out {
	s.begin(now, out)
	return s.end()
}

// Timeout returns when Advance must be called next, or zero for never.
func (s *Snooper) Timeout() time.Time {
	if len(s.waking) == 0 {
		return time.Time{}
	}
	return s.waking[0].at
}

// Stats returns the counters.
func (s *Snooper) Stats() Stats { return s.stats }

// settleTime is how long hosts have to answer the first query, and a while more. It
// is short, so that a restarted node soon knows them.
const (
	startupResponse = time.Second
	settleTime      = startupResponse + 500*time.Millisecond
)

// Up says that the TAP is up: hosts are asked at once.
func (s *Snooper) Up(now time.Time, out []Out) []Out {
	s.begin(now, out)
	s.waking.set(&s.settled, s.now.Add(settleTime))
	s.enter(0)
	for _, vid := range s.cfg.VLANs {
		if vid <= maxVID {
			s.enter(vid)
		}
	}
	s.up = true
	for _, v := range s.sorted() {
		for _, sd := range v.sides {
			sd.restart(s)
		}
	}
	return s.end()
}

// due is for the alarm of settling: peers need not flood to us any more.
func (s *Snooper) due(*Snooper) {
	for _, l := range s.links {
		l.news = true
		s.dirty[l] = struct{}{}
	}
}

// settling reports whether our hosts have not had the time to report yet.
func (s *Snooper) settling() bool { return !s.up || s.settled.index >= 0 }

// VLAN says that the TAP has sent a frame in a VLAN: hosts there may have joined
// groups long ago, and are asked.
func (s *Snooper) VLAN(now time.Time, vid uint16, out []Out) []Out {
	s.begin(now, out)
	if vid <= maxVID {
		s.enter(vid)
	}
	return s.end()
}

// Local takes an IP packet that came from the TAP, in a VLAN (0: without a tag) and
// from a host. Only packets that [gmp.Classify] does not take for data are of use.
func (s *Snooper) Local(now time.Time, vid uint16, mac MAC, pkt []byte, out []Out) []Out {
	if vid > maxVID || mac == s.cfg.MAC || mac[0]&1 != 0 {
		return out
	}
	m, err := gmp.Parse(pkt)
	switch {
	case err == nil:
	case errors.Is(err, gmp.ErrOther):
		return out
	case errors.Is(err, gmp.ErrChecksum):
		s.stats.Checksum++
		return out
	default:
		s.stats.Malformed++
		return out
	}
	s.begin(now, out)
	if v := s.enter(vid); v != nil {
		sd := v.sides[0]
		if !m.Src.Is4() {
			sd = v.sides[1]
		}
		s.message(sd, mac, &m)
	}
	return s.end()
}

func (s *Snooper) message(sd *side, mac MAC, m *gmp.Message) {
	switch m.Kind {
	case gmp.Query:
		s.stats.Queries++
		sd.query(s, m)
	case gmp.Report:
		s.stats.Reports++
		for _, r := range m.Records {
			s.record(sd, mac, m, r)
		}
	case gmp.RouterHere, gmp.RouterGone:
		s.stats.Routers++
		sd.routerSays(s, m)
	}
}

// happens tells an event, but not too often.
func (s *Snooper) happens(e Event) { s.tell(e, time.Second) }

func (s *Snooper) tell(e Event, quiet time.Duration) {
	if s.now.Before(s.silent[e.Kind]) {
		return
	}
	s.silent[e.Kind] = s.now.Add(quiet)
	s.out = append(s.out, Out{Kind: Happens, Event: e})
}

// refuse tells that something was refused.
func (s *Snooper) refuse(e Event) {
	if e.Kind == RefusedPeer || e.Kind == BadUpdate {
		s.stats.PeerRefused++
	} else {
		s.stats.Refused++
	}
	s.tell(e, quiet)
}

// emit sends a message of these protocols to the TAP.
func (s *Snooper) emit(vid uint16, m *gmp.Message) {
	if !m.Dst.IsValid() {
		m.Dst = m.To()
	}
	s.out = append(s.out, Out{Kind: ToTAP, VID: vid, Dst: gmp.MAC(m.Dst), Packet: m.Append(nil)})
}

// random returns a duration in (0, d].
func (s *Snooper) random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return 1 + time.Duration(s.rand.Int64N(int64(d)))
}
