package client

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
)

// An objectPlay is a chanPlay of a machine that is registered, and whose FETCHes the
// RDV answers, or not.
type objectPlay struct {
	*chanPlay
	have    map[channel.Object]bool
	objects map[channel.Object][]byte
	fetches []channel.Message // that are not answered yet, in order
	total   int               // FETCHes ever
	got     [][]byte          // objects
	useless int
}

func newObjectPlay(t testing.TB) *objectPlay {
	p := &objectPlay{chanPlay: newChanPlay(t, AuthYes), have: map[channel.Object]bool{}, objects: map[channel.Object][]byte{}}
	p.m.cfg.has = func(o channel.Object) bool { return p.have[o] || o.Kind != channel.CRL }
	p.joins()
	p.log = nil
	return p
}

// note takes what the machine does: FETCHes and objects are kept, the rest is noted.
func (p *objectPlay) take(outs []chanOut) {
	p.t.Helper()
	var rest []chanOut
	for _, o := range outs {
		switch o.act {
		case actObject:
			p.got = append(p.got, o.data)
		case actUseless:
			p.useless++
		case actSend:
			if p.read(o.data); p.last.Type == channel.Fetch && p.last.ID != 0 {
				p.fetches = append(p.fetches, p.last)
				p.total++
			}
			p.last = channel.Message{}
		default:
			rest = append(rest, o)
		}
	}
	p.note(rest)
}

// hear makes a message of the RDV arrive.
func (p *objectPlay) hear(m channel.Message) {
	p.t.Helper()
	outs, d := p.m.receive(p.now, p.links[len(p.links)-1].sealed(&m), true, nil)
	if d != 0 {
		p.t.Errorf("%v is dropped: %v", m.Type, d)
	}
	p.take(outs)
}

// let lets time pass.
func (p *objectPlay) let(d time.Duration) {
	p.t.Helper()
	for end := p.now.Add(d); ; {
		next := p.m.timeout()
		if next.IsZero() || next.After(end) {
			p.now = end
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		p.m.heard = p.now // somebody answers the PINGs
		p.take(p.m.advance(p.now, nil))
	}
}

// notice makes the RDV say what it has.
func (p *objectPlay) notice(id uint32, objects ...[]byte) {
	p.t.Helper()
	m := channel.Message{Type: channel.Notice, ID: id}
	for _, b := range objects {
		m.Objects = append(m.Objects, nameOf(b))
		p.objects[nameOf(b)] = b
	}
	p.hear(m)
}

// answer answers the oldest FETCH, with at most most bytes.
func (p *objectPlay) answer(most int) {
	p.t.Helper()
	f := p.fetches[0]
	p.fetches = p.fetches[1:]
	p.answerTo(f, most)
}

func (p *objectPlay) answerTo(f channel.Message, most int) {
	p.t.Helper()
	b := p.objects[f.Objects[0]]
	if int(f.Offset) >= len(b) {
		p.t.Fatalf("a FETCH of what nobody has: %+v", f)
	}
	piece := b[f.Offset:]
	p.hear(channel.Message{Type: channel.Chunk, ID: f.ID, Offset: f.Offset, Data: piece[:min(len(piece), most)]})
}

func (p *objectPlay) answerAll() {
	p.t.Helper()
	for len(p.fetches) > 0 {
		p.answer(channel.MaxData)
	}
}

// offsets returns those of the FETCHes that are not answered.
func (p *objectPlay) offsets() string {
	var s []string
	for _, f := range p.fetches {
		s = append(s, fmt.Sprint(f.Offset))
	}
	return strings.Join(s, " ")
}

func (p *objectPlay) wantsObject(want []byte) {
	p.t.Helper()
	if len(p.got) != 1 || !bytes.Equal(p.got[0], want) {
		p.t.Fatalf("%d objects, want one of %d bytes", len(p.got), len(want))
	}
	p.got = nil
}

// TestFetch: an object comes in pieces, whatever happens to them on the way.
func TestFetch(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		play func(p *objectPlay)
	}{
		{"one byte", 1, (*objectPlay).answerAll},
		{"one chunk", channel.MaxData, (*objectPlay).answerAll},
		{"one and a byte", channel.MaxData + 1, (*objectPlay).answerAll},
		{"many", 100_000, (*objectPlay).answerAll},
		{"the largest", channel.MaxObject, (*objectPlay).answerAll},
		{"the wrong way round", 5000, func(p *objectPlay) {
			for len(p.fetches) > 0 {
				last := len(p.fetches) - 1
				f := p.fetches[last]
				p.fetches = p.fetches[:last]
				p.answerTo(f, channel.MaxData)
			}
		}},
		{"every chunk twice", 30_000, func(p *objectPlay) {
			for len(p.fetches) > 0 {
				f := p.fetches[0]
				p.answer(channel.MaxData)
				p.answerTo(f, channel.MaxData)
			}
		}},
		{"small chunks", 5000, func(p *objectPlay) {
			for len(p.fetches) > 0 {
				p.answer(minChunk)
			}
		}},
		{"half of the FETCHes are lost", 20_000, func(p *objectPlay) {
			random := rand.New(rand.NewPCG(1, 2))
			for range 100 {
				for len(p.fetches) > 0 {
					if random.IntN(2) == 0 {
						p.fetches = p.fetches[1:]
						continue
					}
					p.answer(channel.MaxData)
				}
				p.let(500 * time.Millisecond)
			}
		}},
		{"nobody answers for a minute", 20_000, func(p *objectPlay) {
			p.answer(channel.MaxData)
			p.let(time.Minute)
			if got := p.m.fetcher.unheard; got > 6 {
				p.t.Errorf("%d pauses in a minute", got)
			}
			p.fetches = nil
			for range 40 { // at most half a minute until it is tried again
				p.let(time.Second)
				p.answerAll()
			}
		}},
		{"the server is busy again and again", 40_000, func(p *objectPlay) {
			for i := 0; i < 2000 && len(p.got) == 0; i++ {
				if len(p.fetches) == 0 {
					p.let(100 * time.Millisecond)
					continue
				}
				if i%4 < 3 {
					p.answer(channel.MaxData)
					continue
				}
				f := p.fetches[0]
				p.fetches = p.fetches[1:]
				p.hear(channel.Message{Type: channel.Refused, ID: f.ID, Reason: channel.Busy})
			}
		}},
		{"the channel ends and the next one stands", 20_000, func(p *objectPlay) {
			p.answer(channel.MaxData)
			p.answer(channel.MaxData)
			p.alerts(0, 1, 0)
			p.fetches = nil
			p.let(time.Minute)
			if len(p.fetches) > 0 {
				p.t.Error("FETCHes without a channel")
			}
			p.m.begin(p.now, nil)
			p.cookie(goodCookie)
			p.shaken()
			p.hear(channel.Message{Type: channel.Registered, ID: p.m.requests[len(p.m.requests)-1].msg.ID, Objects: slices.Collect(maps.Keys(p.objects))})
			if got, want := p.offsets(), "2048 3072 4096 5120 6144 7168 8192 9216"; got != want {
				p.t.Errorf("it is resumed with %s, want %s", got, want)
			}
			p.answerAll()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newObjectPlay(t)
			want := blob(c.size, 1)
			p.notice(1, want)
			c.play(p)
			p.wantsObject(want)
			if p.useless > 0 {
				t.Errorf("%d objects were of no use", p.useless)
			}
		})
	}
}

// TestFetchWindow: so many FETCHes are out, in the order of the object, and nothing is
// asked for far behind what was lost.
func TestFetchWindow(t *testing.T) {
	p := newObjectPlay(t)
	p.notice(1, blob(50_000, 1))
	if got, want := p.offsets(), "0 1024 2048 3072 4096 5120 6144 7168"; got != want {
		t.Fatalf("FETCHes of %s, want %s", got, want)
	}
	p.fetches = p.fetches[1:] // the first is lost
	p.answerAll()
	if p.total != fetchWindow {
		t.Errorf("%d FETCHes, want no more before the first has its answer", p.total)
	}
	p.let(500 * time.Millisecond)
	if got, want := p.offsets(), "0"; got != want {
		t.Fatalf("FETCHes of %s, want %s", got, want)
	}
	p.answer(channel.MaxData)
	if got, want := p.offsets(), "8192 9216 10240 11264 12288 13312 14336 15360"; got != want {
		t.Errorf("FETCHes of %s, want %s", got, want)
	}
}

// TestFetchOne: objects come one after the other; what is there, of another kind, empty
// or too large is left alone.
func TestFetchOne(t *testing.T) {
	p := newObjectPlay(t)
	a, b, there := blob(100, 1), blob(200, 2), blob(300, 3)
	p.have[nameOf(there)] = true
	p.objects = map[channel.Object][]byte{nameOf(a): a, nameOf(b): b}
	p.hear(channel.Message{Type: channel.Notice, ID: 1, Objects: []channel.Object{
		nameOf(there), {Kind: channel.Bulletin, Size: 10}, {Kind: 99, Size: 10}, {Kind: channel.CRL},
		{Kind: channel.CRL, Size: channel.MaxObject + 1}, nameOf(a), nameOf(b),
	}})
	for _, want := range [][]byte{a, b} {
		if len(p.fetches) != 1 || p.fetches[0].Objects[0] != nameOf(want) {
			t.Fatalf("FETCHes %+v", p.fetches)
		}
		p.answerAll()
		p.wantsObject(want)
		p.let(time.Minute)
		if len(p.fetches) > 0 {
			t.Fatal("the next is fetched while the store has this one")
		}
		p.have[nameOf(want)] = true
		p.take(p.m.taken(p.now, nameOf(want), nil, nil))
	}
	p.let(time.Hour)
	if p.total != 2 {
		t.Errorf("%d FETCHes, want 2", p.total)
	}
}

// TestNotice: a NOTICE is answered each time, and obeyed once; one that was overtaken
// does not undo the one that came first.
func TestNotice(t *testing.T) {
	p := newObjectPlay(t)
	older, newer := blob(100, 1), blob(100, 2)
	p.notice(2, newer)
	p.notice(2, newer)
	p.notice(1, older)
	p.answerAll()
	p.wantsObject(newer)
	p.have[nameOf(newer)] = true
	p.take(p.m.taken(p.now, nameOf(newer), nil, nil))
	f := p.fetches[0]
	if f.Objects[0] != nameOf(older) {
		t.Fatalf("a FETCH of %v", f.Objects)
	}
	p.fetches = nil
	p.hear(channel.Message{Type: channel.Refused, ID: f.ID, Reason: channel.Gone})
	p.let(time.Hour)
	if len(p.got) > 0 || len(p.fetches) > 0 || p.m.fetcher.fetch != nil || len(p.m.fetcher.offers) > 0 {
		t.Errorf("what is gone is fetched on: %+v", p.m.fetcher)
	}
	dones := 0
	for _, o := range [][]chanOut{p.m.offered(p.now, nil, nil), nil} {
		dones += len(o)
	}
	if dones != 0 {
		t.Errorf("a NOTICE of nothing makes the machine do %d things", dones)
	}
}

// TestNoticeIsAnswered: also on a channel that is about to be replaced.
func TestNoticeIsAnswered(t *testing.T) {
	p := newChanPlay(t, AuthYes)
	p.joins()
	p.log = nil
	p.says(0, channel.Message{Type: channel.Notice, ID: 7, Objects: []channel.Object{nameOf(blob(9, 9))}})
	p.says(0, channel.Message{Type: channel.Notice, ID: 7})
	p.wants("40: DONE on 0", "40: DONE on 0") // and no FETCH: nothing is wanted here
	if p.last.ID != 7 {
		t.Errorf("DONE %d, want 7", p.last.ID)
	}
}

// TestFetchLies: what a server can waste by lying is bounded.
func TestFetchLies(t *testing.T) {
	big := blob(channel.MaxObject, 7)
	bigName := nameOf(big)
	for _, c := range []struct {
		name   string
		object func(i int) channel.Object
		answer func(f channel.Message) channel.Message
		most   int // FETCHes in an hour; of large ones in five minutes
	}{
		{"another content", func(int) channel.Object { return nameOf(blob(100, 1)) },
			func(channel.Message) channel.Message { return channel.Message{Type: channel.Chunk, Data: blob(100, 2)} }, 7},
		{"always another object", func(i int) channel.Object {
			return channel.Object{Kind: channel.CRL, Size: 100, Hash: sha256.Sum256([]byte(fmt.Sprint(i)))}
		}, func(channel.Message) channel.Message { return channel.Message{Type: channel.Chunk, Data: blob(100, 2)} }, 80},
		{"large ones", func(i int) channel.Object {
			return channel.Object{Kind: channel.CRL, Size: channel.MaxObject, Hash: sha256.Sum256([]byte(fmt.Sprint(i)))}
		}, func(f channel.Message) channel.Message {
			return channel.Message{Type: channel.Chunk, Offset: f.Offset, Data: big[f.Offset:min(int(f.Offset)+channel.MaxData, len(big))]}
		}, 9 * 4096},
		{"a byte at a time", func(int) channel.Object { return bigName }, func(f channel.Message) channel.Message {
			return channel.Message{Type: channel.Chunk, Offset: f.Offset, Data: big[f.Offset : f.Offset+1]}
		}, 8 * 7},
		{"nothing", func(int) channel.Object { return bigName }, func(f channel.Message) channel.Message {
			return channel.Message{Type: channel.Chunk, Offset: f.Offset}
		}, 8 * 7},
		{"it refuses", func(i int) channel.Object { return nameOf(blob(100, byte(i))) }, func(channel.Message) channel.Message {
			return channel.Message{Type: channel.Refused, Reason: channel.Denied}
		}, 80},
		{"it is busy", func(int) channel.Object { return bigName }, func(channel.Message) channel.Message {
			return channel.Message{Type: channel.Refused, Reason: channel.Busy}
		}, 8 * 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newObjectPlay(t)
			id := uint32(0)
			rounds := 360 // of 10 s
			if c.name == "large ones" {
				rounds /= 12
			}
			for i := range rounds {
				id++
				p.hear(channel.Message{Type: channel.Notice, ID: id, Objects: []channel.Object{c.object(i)}})
				for len(p.fetches) > 0 {
					f := p.fetches[0]
					p.fetches = p.fetches[1:]
					m := c.answer(f)
					m.ID = f.ID
					p.hear(m)
				}
				p.let(10 * time.Second)
			}
			if len(p.got) > 0 {
				t.Errorf("%d objects, want none", len(p.got))
			}
			if p.total == 0 || p.total > c.most {
				t.Errorf("%d FETCHes, want 1 to %d", p.total, c.most)
			}
			if f := &p.m.fetcher; len(f.offers) > maxOffers || len(f.useless) > maxUseless || len(p.m.requests) > 2*fetchWindow {
				t.Errorf("%d offers, %d useless objects, %d requests are kept in mind", len(f.offers), len(f.useless), len(p.m.requests))
			}
		})
	}
}

// TestFetchRefusedByStore: an object that the store refuses is left alone for a while,
// and looked at again when the store may judge otherwise.
func TestFetchRefusedByStore(t *testing.T) {
	p := newObjectPlay(t)
	bad, good := blob(100, 1), blob(100, 2)
	p.notice(1, bad, good)
	p.answerAll()
	p.wantsObject(bad)
	p.take(p.m.taken(p.now, nameOf(bad), errors.New("signed by nobody"), nil))
	if p.let(fetchPause / 2); len(p.fetches) > 0 {
		t.Error("no pause after an object of no use")
	}
	p.let(2 * fetchPause)
	p.answerAll()
	p.wantsObject(good)
	p.have[nameOf(good)] = true
	p.take(p.m.taken(p.now, nameOf(good), nil, nil))
	before := p.total
	if p.let(uselessFor / 2); p.total != before {
		t.Error("an object of no use is fetched again after five minutes")
	}
	p.take(p.m.reconsider(p.now, nil))
	if p.total != before+1 {
		t.Error("new settings do not make the object be fetched again")
	}
	p.answerAll()
	p.wantsObject(bad)
	p.take(p.m.taken(p.now, nameOf(bad), errors.New("signed by nobody"), nil))
	if p.let(uselessFor + 100*time.Millisecond); p.total != before+2 {
		t.Errorf("%d FETCHes, want that it is tried again after a while", p.total-before)
	}
}

// FuzzFetch: whatever the server answers, the machine does not panic, gives up nothing
// but what has the right hash, and holds little.
func FuzzFetch(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0})
	f.Add([]byte{200, 1, 9, 1, 2, 3, 250, 0, 4, 77})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newObjectPlay(t)
		want := blob(10_000, 1)
		p.notice(1, want, blob(500, 2))
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		for len(script) > 0 {
			op := next()
			if len(p.fetches) == 0 || op > 250 {
				p.let(time.Duration(next()) * time.Second / 8)
				continue
			}
			i := int(next()) % len(p.fetches)
			q := p.fetches[i]
			p.fetches = slices.Delete(p.fetches, i, i+1)
			switch {
			case op < 100:
				p.answerTo(q, channel.MaxData)
			case op < 150:
				p.answerTo(q, int(next())*4)
			case op < 200:
				p.hear(channel.Message{Type: channel.Refused, ID: q.ID, Reason: channel.Reason(next() % 14)})
			default:
				p.hear(channel.Message{Type: channel.Chunk, ID: q.ID, Offset: uint32(next()) * 16, Data: blob(int(next())*5, op)})
			}
			for _, got := range p.got {
				if n := nameOf(got); n != nameOf(want) && n != nameOf(blob(500, 2)) {
					t.Fatalf("%d bytes that nobody has offered", len(got))
				}
				p.have[nameOf(got)] = true
				p.take(p.m.taken(p.now, nameOf(got), nil, nil))
			}
			p.got = nil
			if x := p.m.fetcher.fetch; x != nil && (len(x.ahead) > 4*fetchWindow || len(x.data) > int(x.object.Size)) {
				t.Fatalf("%d pieces and %d bytes are held", len(x.ahead), len(x.data))
			}
		}
	})
}
