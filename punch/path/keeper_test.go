package path

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
)

// TestBusy: nothing is asked of a path that carries packets both ways, but how long the
// round trip takes.
func TestBusy(t *testing.T) {
	p := newPlay(t)
	p.sends, p.hears = true, true
	p.play(20 * time.Second)
	p.wantActs()
	if n := p.challenge[wan]; n < 1 || n > 3 {
		t.Errorf("%d challenges in 20 s, want 1 to 3", n)
	}
	if got := p.k.View().RTT; got != 20*ms {
		t.Errorf("round trip %v, want 20 ms", got)
	}
}

// TestListener: a peer that only listens is asked, and never doubted for longer.
func TestListener(t *testing.T) {
	p := newPlay(t, lan)
	p.sends = true
	p.play(10 * time.Second)
	p.wantActs()
	if n := p.challenge[wan]; n < 20 || n > 80 {
		t.Errorf("%d challenges in 10 s, want a few each second", n)
	}
}

// TestStops: when the peer stops sending it is asked once, and then there is rest.
func TestStops(t *testing.T) {
	p := newPlay(t)
	p.hears = true
	p.k.Wake(p.now)
	p.play(5 * time.Second)
	p.hears = false
	p.forget()
	p.play(10 * time.Second)
	p.wantActs()
	if n := p.challenge[wan]; n != 1 {
		t.Errorf("%d challenges when it stops, want 1", n)
	}
	if at := p.k.look; !at.IsZero() {
		t.Errorf("an idle session is looked at in %v", at.Sub(p.now))
	}
}

// TestIdle: an idle session costs nothing, for a day and with candidates that nobody is
// at.
func TestIdle(t *testing.T) {
	p := newPlay(t, other, third, lan)
	p.play(time.Minute)
	p.forget()
	p.play(24 * time.Hour)
	p.wantActs()
	if n := len(p.challenge); n != 0 {
		t.Errorf("challenges of an idle session: %v", p.challenge)
	}
	if at := p.k.Timeout(); !at.IsZero() {
		t.Errorf("an idle session wakes in %v", at.Sub(p.now))
	}
}

// TestBreaks: the path breaks in the middle of what passes.
func TestBreaks(t *testing.T) {
	for _, c := range []struct {
		name         string
		sends, hears bool
	}{{"both ways", true, true}, {"we send", true, false}, {"the peer sends", false, true}} {
		for _, at := range []time.Duration{0, 30 * ms, 70 * ms, 111 * ms} {
			t.Run(fmt.Sprint(c.name, at), func(t *testing.T) {
				p := newPlay(t)
				p.sends, p.hears = c.sends, c.hears
				p.k.Wake(p.now)
				p.play(5*time.Second + at)
				delete(p.rtt, wan)
				broke := p.now
				for !p.k.Dark() {
					if p.play(10 * ms); p.now.Sub(broke) > time.Second {
						t.Fatal("not noticed in a second")
					}
				}
				// One way, the last word may have come in a moment before.
				if took := p.now.Sub(broke); took < 130*ms || took > 320*ms {
					t.Errorf("noticed after %v, want 150 to 310 ms", took)
				}
				p.play(700 * ms)
				p.wantActs("ask", "ask")
				p.play(time.Second)
				if n := p.count("revive"); (n > 0) != c.sends {
					t.Errorf("%d times revived, of which only who sends does any", n)
				}
				p.rtt[wan] = 20 * ms
				p.play(2 * time.Second)
				p.forget()
				p.play(2 * time.Second)
				p.wantActs() // all is well
				if p.k.Dark() || p.k.Path() != wan || p.k.Moves() != 0 {
					t.Errorf("dark %v, path %v, %d moves after the path is back", p.k.Dark(), p.k.Path(), p.k.Moves())
				}
			})
		}
	}
}

// TestIntroduced: what the server names in the dark is challenged at once, and the first
// that answers is the path.
func TestIntroduced(t *testing.T) {
	p := newPlay(t)
	p.sends, p.hears = true, true
	p.play(3 * time.Second)
	delete(p.rtt, wan)
	p.play(500 * ms)
	p.forget()
	p.rtt[third] = 30 * ms
	p.k.Introduce(p.now, named(other, lan, third))
	at := p.now
	for p.k.Path() == wan && p.now.Sub(at) < time.Second {
		p.play(ms)
	}
	if took := p.now.Sub(at); took > 50*ms {
		t.Errorf("moved after %v, want a round trip and two paces", took)
	}
	p.wantActs("move " + third.String() + ": " + whySilent)
	p.play(time.Minute)
	if p.k.Path() != third || p.k.Moves() != 1 || p.k.Dark() {
		t.Errorf("path %v, %d moves, want %v and 1", p.k.Path(), p.k.Moves(), third)
	}
	for _, a := range []punch.Endpoint{other, lan} {
		if n := p.challenge[a]; n < fastTries || n > fastTries+2 {
			t.Errorf("%d challenges in a minute to %v, where nobody is", n, a)
		}
	}
}

// TestIntroducedElsewhere: the peer is heard from where the server does not see it, as
// behind a NAT with a port for each destination, just before the server names it.
func TestIntroducedElsewhere(t *testing.T) {
	for _, dark := range []time.Duration{20 * ms, 500 * ms} {
		p := newPlay(t)
		p.sends, p.hears = true, true
		p.play(3 * time.Second)
		delete(p.rtt, wan)
		p.play(quiet + dark)
		p.rtt[other] = 30 * ms
		p.k.Stray(p.now, other)
		p.play(5 * ms)
		p.k.Introduce(p.now, named(third))
		at := p.now
		p.play(10 * ms)
		p.k.Introduce(p.now, named(third))
		for p.k.Path() == wan && p.now.Sub(at) < time.Second {
			p.play(ms)
		}
		if took := p.now.Sub(at); took > patience+30*ms {
			t.Errorf("after %v: moved after %v", dark, took)
		}
		p.play(30 * time.Second)
		p.k.Introduce(p.now, named(third))
		if n := len(p.k.Endpoints()); n != 2 {
			t.Errorf("after %v: %d addresses are known, want the path and the named one", dark, n)
		}
	}
}

// TestTakesOver: a better path takes over silently, and an equal one does not.
func TestTakesOver(t *testing.T) {
	for _, c := range []struct {
		name string
		addr punch.Endpoint
		rtt  time.Duration
		want string
	}{
		{"the same network", lan, 25 * ms, whyLAN},
		{"much faster", third, 8 * ms, whyFaster},
		{"a little faster", third, 18 * ms, ""},
		{"slower", other, 60 * ms, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(t, wan, c.addr)
			p.rtt[c.addr] = c.rtt
			p.sends, p.hears = true, true
			p.play(2 * time.Second)
			if c.want == "" {
				p.wantActs()
			} else {
				p.wantActs("move " + c.addr.String() + ": " + c.want)
			}
			moves := p.k.Moves()
			p.play(10 * time.Minute)
			if p.k.Moves() != moves {
				t.Errorf("it has moved again: %v", p.acts)
			}
			if n := p.challenge[wan] + p.challenge[c.addr]; n > 60 {
				t.Errorf("%d challenges in ten minutes", n)
			}
		})
	}
}

// TestLaterBetter: a path that comes to work later takes over when its turn comes.
func TestLaterBetter(t *testing.T) {
	p := newPlay(t, wan, lan)
	p.sends, p.hears = true, true
	p.play(time.Minute)
	p.rtt[lan] = ms
	p.play(5 * time.Minute)
	p.wantActs("move " + lan.String())
	// And when it ends, the one before is back, without anybody's help.
	p.forget()
	delete(p.rtt, lan)
	p.play(time.Second)
	p.wantActs("ask", "move "+wan.String()+": "+whySilent)
}

// TestFlap: round trips that vary, as under load, do not make the session move to and
// fro.
func TestFlap(t *testing.T) {
	p := newPlay(t, wan, third)
	p.rtt[third] = 20 * ms
	p.sends, p.hears = true, true
	for i := range 600 {
		p.rtt[wan], p.rtt[third] = time.Duration(15+(i*7)%13)*ms, time.Duration(15+(i*11)%13)*ms
		p.k.Introduce(p.now, named(wan, third)) // as often as may be
		p.play(time.Second)
	}
	if n := p.k.Moves(); n > 2 {
		t.Errorf("%d moves in ten minutes between equal paths", n)
	}
}

// TestStray: the peer's NAT has another address. The session follows when that has
// answered and the path has not; if both do, it stays.
func TestStray(t *testing.T) {
	for _, c := range []struct {
		name       string
		old, moved bool
	}{{"the old one is gone", false, true}, {"the old one answers", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(t)
			p.sends, p.hears = true, true
			p.play(3 * time.Second)
			if !c.old {
				delete(p.rtt, wan)
			}
			p.rtt[other] = 20 * ms
			at := p.now
			for range 50 { // data goes on, from there
				p.received, p.heard = p.now, p.now
				p.k.Stray(p.now, other)
				if p.k.Path() == other && p.now.Sub(at) < patience {
					t.Fatalf("moved after %v, before the old path could answer", p.now.Sub(at))
				}
				p.play(10 * ms)
			}
			if got := p.k.Path() == other; got != c.moved {
				t.Errorf("moved: %v, want %v", got, c.moved)
			}
			if n := p.challenge[other]; n > 12 {
				t.Errorf("%d challenges in half a second", n)
			}
			if c.moved && p.k.Kind() != punch.Reflexive {
				t.Errorf("the path is %v", p.k.Kind())
			}
		})
	}
}

// TestForgedResponse: a response counts if its number was sent to where it comes from,
// once, and lately.
func TestForgedResponse(t *testing.T) {
	p := newPlay(t, other, lan)
	var out []Out
	p.k.Introduce(p.now, named(other, lan))
	for range 400 {
		p.now = p.now.Add(5 * ms)
		out = p.k.Advance(p.now, out)
	}
	numbers := map[punch.Endpoint][]uint64{}
	for _, o := range out {
		if o.Do == Challenge {
			numbers[o.At] = append(numbers[o.At], o.Number)
		}
	}
	if len(numbers[other]) <= pending || len(numbers[lan]) <= pending {
		t.Fatalf("challenges %v", numbers)
	}
	last := numbers[other][len(numbers[other])-1]
	for name, number := range map[string]uint64{
		"a wrong number":  last + 1,
		"zero":            0,
		"one of long ago": numbers[other][0],
	} {
		if p.k.Responded(p.now, number) {
			t.Errorf("%s: taken", name)
		}
	}
	if !p.k.Responded(p.now, last) {
		t.Error("the true one is not taken")
	}
	if p.k.Responded(p.now, last) {
		t.Error("the true one is taken twice")
	}
}

// TestBounds: neither server nor peer can make it remember or send much.
func TestBounds(t *testing.T) {
	p := newPlay(t)
	p.sends = true
	delete(p.rtt, wan)
	const seconds = 60
	for i := range seconds * 100 {
		addr := func(n int) punch.Endpoint {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], 0x08000000+uint32(n))
			return punch.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4(b), 5000)}
		}
		p.k.Stray(p.now, addr(i))
		p.k.Challenged(p.now, addr(i+1_000_000))
		if i%10 == 0 {
			var list []punch.Endpoint
			for j := range 20 {
				list = append(list, addr(2_000_000+20*i+j))
			}
			p.k.Introduce(p.now, named(list...))
		}
		p.play(10 * ms)
		if n := len(p.k.Endpoints()); n > maxNamed+maxReflexive+1 {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
	total := 0
	for _, n := range p.challenge {
		total += n
	}
	// Beside the budget, one a second to the path, and more when the doubt began.
	if limit := budgetBurst + seconds*budgetRate + seconds + 30; total > limit {
		t.Errorf("%d challenges in %d s, want at most %d", total, seconds, limit)
	}
	if n := p.count("ask"); n > 2+seconds/10 {
		t.Errorf("the server was asked %d times in %d s", n, seconds)
	}
}

// TestPace: challenges to different addresses are not sent at once.
func TestPace(t *testing.T) {
	p := newPlay(t, other, third, lan)
	p.play(5 * time.Second)
	var all []time.Duration
	for _, list := range p.when {
		all = append(all, list...)
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if gap := all[i] - all[i-1]; gap < calmPace {
			t.Errorf("two challenges within %v, want %v", gap, calmPace)
		}
	}
	if len(all) < 3*fastTries {
		t.Errorf("%d challenges, want %d to each of three", len(all), fastTries)
	}
}

// TestNoLoop: two ends that challenge where they are challenged from come to rest.
func TestNoLoop(t *testing.T) {
	a, b := newPlay(t), newPlay(t)
	for _, p := range []*play{a, b} {
		p.rtt[other] = 80 * ms
	}
	a.k.Stray(a.now, other)
	total := 0
	for range 2000 {
		an, bn := a.challenge[other], b.challenge[other]
		a.play(5 * ms)
		b.play(5 * ms)
		if a.challenge[other] > an {
			b.k.Challenged(b.now, other)
			total++
		}
		if b.challenge[other] > bn {
			a.k.Challenged(a.now, other)
			total++
		}
	}
	if total > 10 {
		t.Errorf("%d challenges of each other in ten seconds", total)
	}
}

// TestRests: a path that is dark while nobody wants to send is left alone after a while,
// and looked for again with the next packet.
func TestRests(t *testing.T) {
	p := newPlay(t, other)
	p.sends = true
	p.play(2 * time.Second)
	delete(p.rtt, wan)
	p.play(2 * time.Second)
	p.sends = false
	p.play(20 * time.Second)
	p.forget()
	p.play(time.Hour)
	p.wantActs()
	if n := len(p.challenge); n != 0 {
		t.Errorf("challenges without use: %v", p.challenge)
	}
	p.sends = true
	p.rtt[wan] = 20 * ms
	p.play(500 * ms)
	if p.k.Dark() {
		t.Error("still dark half a second after the next packet, though the path is back")
	}
}

// TestDoubt: another network at our end is reason enough to ask, at once.
func TestDoubt(t *testing.T) {
	p := newPlay(t)
	p.play(time.Minute)
	p.forget()
	delete(p.rtt, wan)
	p.k.Doubt(p.now)
	p.play(200 * ms)
	p.wantActs("ask")
	p.rtt[wan] = 20 * ms
	p.play(time.Second)
	if p.k.Dark() {
		t.Error("the doubt does not end")
	}
}

// TestAskAgain: who has just registered asks at once.
func TestAskAgain(t *testing.T) {
	p := newPlay(t)
	p.sends = true
	p.k.AskAgain(p.now) // there is nothing to ask
	p.play(time.Second)
	p.wantActs()
	delete(p.rtt, wan)
	p.play(500 * ms)
	p.forget()
	p.k.AskAgain(p.now)
	p.play(ms)
	p.wantActs("ask")
}
