package client

import (
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// doubts has the machine doubt whether the RDV knows it.
func (p *chanPlay) doubts() {
	p.t.Helper()
	p.note(p.m.inDoubt(p.now, nil))
}

// TestDoubt: a RECONNECT makes a client with a channel knock at once only when it has
// asked, having a reason to doubt; and again not before a while has passed.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string // after the channel stands, at 40
	}{
		{"no doubts: the RECONNECT may be forged", func(p *chanPlay) {
			p.run(2000)
			p.inClear(wire.Reconnect)
			p.run(2500)
		}, nil},
		{"it does not know us", func(p *chanPlay) {
			p.run(2000)
			p.doubts()
			p.run(2020)
			p.inClear(wire.Reconnect)
		}, []string{"2000: PING", "2020: KNOCK"}},
		{"it knows us", func(p *chanPlay) {
			p.run(2000)
			p.doubts()
			p.inClear(wire.Pong)
			p.run(2500)
		}, []string{"2000: PING"}},
		{"an answer that comes late is none", func(p *chanPlay) {
			p.run(1500)
			p.doubts()
			p.run(2510)
			p.inClear(wire.Reconnect)
		}, []string{"1500: PING"}},
		{"a hundred doubts at once", func(p *chanPlay) {
			p.run(2000)
			for range 100 {
				p.doubts()
			}
			p.run(2100)
			p.doubts()
		}, []string{"2000: PING", "2100: PING"}},
		{"forged answers to doubts that do not end", func(p *chanPlay) {
			for ms := 100; ms <= 2900; ms += 100 {
				p.run(ms)
				p.doubts()
				p.inClear(wire.Reconnect)
				if p.m.state == chanKnocking { // the RDV answers, and knows us
					p.cookie(goodCookie)
					p.shaken()
					p.answers(channel.Message{Type: channel.Registered, Lease: 10})
				}
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newChanPlay(t, AuthYes)
			p.joins()
			p.log = nil
			c.play(p)
			if c.name == "forged answers to doubts that do not end" {
				knocks := strings.Count(strings.Join(p.log, " "), "KNOCK")
				if knocks < 1 || knocks > 3 {
					t.Errorf("%d KNOCKs in three seconds, want one a second: %q", knocks, p.log)
				}
				return
			}
			if !slices.Equal(p.log, c.want) {
				t.Errorf("did %q, want %q", p.log, c.want)
			}
		})
	}
	p := newChanPlay(t, AuthYes)
	p.doubts()
	if len(p.log) != 0 {
		t.Errorf("without a channel: %q", p.log)
	}
}

// TestDoubtInClear: a client in clear asks, too, and only when it is registered.
func TestDoubtInClear(t *testing.T) {
	r := newReg()
	if out := r.inDoubt(began, nil); len(out) != 0 {
		t.Errorf("before it is registered: %v", out)
	}
	play(t, r, 30*time.Millisecond, map[int]wire.Type{20: wire.OK})
	now := began.Add(time.Second)
	for range 10 {
		out := r.inDoubt(now, nil)
		if got, want := line(t, out, regNothing), "PING"; got != want {
			t.Errorf("in doubt: %q, want %q", got, want)
		}
		if out := r.inDoubt(now.Add(doubtGap/2), nil); len(out) != 0 {
			t.Errorf("again, too soon: %v", out)
		}
		now = now.Add(doubtGap)
	}
	r.hold()
	if out := r.inDoubt(now.Add(time.Second), nil); len(out) != 0 {
		t.Errorf("held: %v", out)
	}
}
