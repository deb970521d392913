package pmtu

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Unix(1000, 0)

// A path answers probes that fit it.
type path struct {
	t        *testing.T
	s        *Search
	rng      *rand.Rand
	now      time.Time
	capacity int
	rtt      time.Duration
	loss     float64
	dead     bool
	used     bool

	probes, bytes int
	limits        []int // that the search went through
}

type answer struct {
	at     time.Time
	number uint64
}

func newPath(t *testing.T, capacity int, rtt time.Duration) *path {
	rng := rand.New(rand.NewPCG(1, uint64(capacity)))
	cfg := Config{Min: 576, Base: 1280, Max: 1500, Random: rng.Uint64}
	return &path{t: t, s: New(epoch, cfg), rng: rng, now: epoch, capacity: capacity, rtt: rtt, used: true, limits: []int{0}}
}

// run lets d pass, and returns when the limit was first one that fits.
func (p *path) run(d time.Duration) (first time.Duration) {
	p.t.Helper()
	start, end := p.now, p.now.Add(d)
	var answers []answer
	for steps := 0; ; steps++ {
		if steps > 100_000 {
			p.t.Fatal("the search does not rest")
		}
		next := end
		if t := p.s.Timeout(); !t.IsZero() && t.Before(next) {
			next = t
		}
		if len(answers) > 0 && answers[0].at.Before(next) {
			next = answers[0].at
		}
		if next.After(p.now) {
			p.now = next
		}
		if !p.now.Before(end) {
			return first
		}
		for len(answers) > 0 && !answers[0].at.After(p.now) {
			p.s.Responded(p.now, answers[0].number)
			answers = answers[1:]
		}
		for _, probe := range p.s.Advance(p.now, p.used, nil) {
			p.probes++
			p.bytes += probe.Size
			if !p.dead && probe.Size <= p.capacity && p.rng.Float64() >= p.loss {
				answers = append(answers, answer{p.now.Add(p.rtt), probe.Number})
			}
		}
		if l := p.s.Limit(); l != p.limits[len(p.limits)-1] {
			p.limits = append(p.limits, l)
			if fits := l <= p.capacity && (l != 0 || p.capacity >= 1500); fits && first == 0 {
				first = p.now.Sub(start)
			}
		}
	}
}

// check fails the test unless the limit suits the capacity.
func (p *path) check() {
	p.t.Helper()
	got := p.s.Limit()
	if p.capacity >= 1500 && got != 0 || p.capacity < 1500 && (got > p.capacity || got < p.capacity-precision) {
		p.t.Errorf("capacity %d: limit %d", p.capacity, got)
	}
}

// TestEveryCapacity: whatever the path carries is found; and soon nothing is sent that
// it does not carry.
func TestEveryCapacity(t *testing.T) {
	for capacity := 576; capacity <= 1510; capacity++ {
		for _, rtt := range []time.Duration{100 * time.Microsecond, 20 * time.Millisecond, 150 * time.Millisecond} {
			p := newPath(t, capacity, rtt)
			took := p.run(9 * time.Second)
			p.check()
			most := 250*time.Millisecond + 12*rtt
			if capacity < 1280 { // the first probes all get lost
				most += 500 * time.Millisecond
			}
			if took > most {
				t.Errorf("capacity %d, round trip %v: known after %v", capacity, rtt, took)
			}
			if capacity >= 1500 && p.probes != 2 {
				t.Errorf("a path that carries all got %d probes, want 2", p.probes)
			}
			if p.probes > 120 {
				t.Errorf("capacity %d: %d probes", capacity, p.probes)
			}
		}
	}
}

// TestHopOf1400 is what a client behind a PPP link or a tunnel sees.
func TestHopOf1400(t *testing.T) {
	p := newPath(t, 1400, time.Millisecond)
	took := p.run(5 * time.Second)
	if fmt.Sprint(p.limits) != "[0 1400]" || took > 300*time.Millisecond {
		t.Errorf("limits %v, the last after %v; want none but 1400, within 0.3 s", p.limits, took)
	}
}

func TestSlowPath(t *testing.T) {
	p := newPath(t, 1450, 900*time.Millisecond)
	p.run(30 * time.Second)
	p.check()
}

func TestLoss(t *testing.T) {
	wrong := 0
	for seed := range uint64(200) {
		p := newPath(t, 1420, 10*time.Millisecond)
		p.rng = rand.New(rand.NewPCG(7, seed))
		p.loss = 0.1
		p.run(9 * time.Second)
		if got := p.s.Limit(); got > 1420 || got != 0 && got < 1400 {
			wrong++
		}
	}
	if wrong > 6 { // too small for ten minutes, at worst
		t.Errorf("%d of 200 searches with 10%% loss ended wrong", wrong)
	}
}

func TestLossDoesNotShrink(t *testing.T) {
	shrunk := 0
	for seed := range uint64(300) {
		p := newPath(t, 1500, 10*time.Millisecond)
		p.rng, p.loss = rand.New(rand.NewPCG(9, seed)), 0.1
		p.run(time.Minute)
		if p.s.Limit() != 0 {
			shrunk++
		}
	}
	if shrunk > 9 {
		t.Errorf("%d of 300 good paths with 10%% loss count as small", shrunk)
	}
}

// TestBlackHole: the path changes under a session and nobody says so.
func TestBlackHole(t *testing.T) {
	p := newPath(t, 1500, 5*time.Millisecond)
	p.run(5 * time.Second)
	p.capacity = 1400
	if took := p.run(20 * time.Second); took > confirmInterval+2*time.Second {
		t.Errorf("known after %v", took)
	}
	p.check()
	p.capacity = 1500
	p.run(raiseInterval + 20*time.Second)
	p.check()
}

// TestDead: a path that carries nothing is not a small one.
func TestDead(t *testing.T) {
	p := newPath(t, 1500, 5*time.Millisecond)
	p.run(time.Second)
	p.dead = true
	p.run(5 * time.Minute)
	if got := p.s.Limit(); got != 0 {
		t.Errorf("limit %d on a dead path", got)
	}
	if p.probes > 200 {
		t.Errorf("%d probes on a path that was dead for 5 min", p.probes)
	}
	p.dead = false
	p.run(30 * time.Second)
	p.check()

	born := newPath(t, 1300, time.Millisecond)
	born.dead = true
	born.run(time.Minute)
	if born.probes > 40 {
		t.Errorf("%d probes in a minute on a path that never answered", born.probes)
	}
	born.dead = false
	born.run(20 * time.Second)
	born.check()
}

func TestIdle(t *testing.T) {
	p := newPath(t, 1500, time.Millisecond)
	p.run(time.Second)
	p.used = false
	p.run(time.Minute)
	before := p.probes
	if !p.s.Timeout().IsZero() {
		t.Errorf("an idle search wants to be woken at %v", p.s.Timeout())
	}
	p.used = true
	p.s.Wake(p.now)
	p.run(time.Second)
	if p.probes == before {
		t.Error("a path that is used again is not looked at")
	}
	p.s.Wake(p.now)
	if p.s.Timeout().Before(p.now) {
		t.Error("waking a search that is awake makes it hurry")
	}
}

func TestTooBig(t *testing.T) {
	p := newPath(t, 1400, time.Millisecond)
	p.s.TooBig(p.now, 1400)
	if got := p.s.Limit(); got != 1400 {
		t.Errorf("limit %d at once, want 1400", got)
	}
	p.run(time.Second)
	p.check()
	for _, size := range []int{1400, 1450, 1500, 9000} {
		if p.s.TooBig(p.now, size); p.s.Limit() != 1400 {
			t.Errorf("after hearing of %d the limit is %d", size, p.s.Limit())
		}
	}
	p.s.TooBig(p.now, 68) // forged
	if got := p.s.Limit(); got != 576 {
		t.Errorf("limit %d after a message of 68, want 576", got)
	}
	p.run(raiseInterval + time.Minute)
	p.check()
}

func TestStrangeAnswers(t *testing.T) {
	p := newPath(t, 1400, time.Millisecond)
	if p.s.Responded(p.now, 1) {
		t.Error("an answer before any probe counts")
	}
	probes := p.s.Advance(p.now, true, nil)
	if len(probes) != 2 {
		t.Fatalf("%d probes, want 2", len(probes))
	}
	for range 2 {
		if !p.s.Responded(p.now, probes[0].Number) {
			t.Error("a repeated answer is unknown")
		}
	}
	if p.s.Responded(p.now, probes[0].Number^probes[1].Number) {
		t.Error("a number that nobody has drawn counts")
	}
	if s := New(epoch, Config{Min: 1280, Base: 1200, Max: 1000, Random: p.rng.Uint64}); s.cfg.Max != 1280 || s.cfg.Base != 1280 {
		t.Errorf("sizes that cross each other become %+v", s.cfg)
	}
}

// TestPassive: to a peer that answers no probes none are sent.
func TestPassive(t *testing.T) {
	s := New(epoch, Config{Min: 576, Base: 1280, Max: 1500, Passive: true})
	s.Wake(epoch)
	if !s.Timeout().IsZero() || s.Limit() != 0 {
		t.Fatalf("at first: next at %v, limit %d", s.Timeout(), s.Limit())
	}
	for _, step := range []struct{ size, want int }{{1400, 1400}, {1450, 1400}, {1300, 1300}, {20, 576}} {
		if s.TooBig(epoch, step.size); s.Limit() != step.want {
			t.Errorf("after hearing of %d the limit is %d, want %d", step.size, s.Limit(), step.want)
		}
	}
	if got := s.Timeout(); got != epoch.Add(raiseInterval) {
		t.Errorf("it is forgotten at %v", got)
	}
	if out := s.Advance(epoch.Add(raiseInterval), true, nil); len(out) != 0 || s.Limit() != 0 || !s.Timeout().IsZero() {
		t.Errorf("after a while: %d probes, limit %d", len(out), s.Limit())
	}
}
