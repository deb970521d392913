package client

import (
	"errors"
	"testing"
	"time"

	"campagnol/punch/simnet"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// helloDone makes the registration in clear succeed.
func (p *chanPlay) helloDone() { p.t.Helper(); p.note(p.m.helloDone(p.now, nil)) }

// TestChannelInClear: a client that is registered in clear looks again when there is a
// reason, and leaves a server without channel alone.
func TestChannelInClear(t *testing.T) {
	inClear := func(p *chanPlay) { // of a server without channel
		p.run(12)
		p.inClear(wire.Reconnect)
		p.helloDone()
	}
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string
	}{
		{"RECONNECT to a PING, and another while it knocks, then a COOKIE", func(p *chanPlay) {
			inClear(p)
			p.run(60_000)
			p.inClear(wire.Reconnect)
			p.run(60_005)
			p.inClear(wire.Reconnect)
			p.helloDone()
			p.run(60_010)
			p.cookie(goodCookie)
			p.inClear(wire.Reconnect)
			p.run(60_020)
			p.shaken()
			p.answers(channel.Message{Type: channel.Registered, Lease: 10})
		}, []string{"0: KNOCK", "12: clear", "60000: KNOCK", "60010: begin 1", "60020: REGISTER on 0", "60020: quiet, up"}},
		{"the KNOCK is lost, and RECONNECT comes to a PING", func(p *chanPlay) {
			inClear(p)
			p.run(60_000)
			p.inClear(wire.Reconnect)
			p.inClear(wire.Reconnect)
			p.run(60_110)
			p.cookie(goodCookie)
		}, []string{"0: KNOCK", "12: clear", "60000: KNOCK", "60100: KNOCK", "60110: begin 1"}},
		{"RECONNECT soon after a round: the next is made up for", func(p *chanPlay) {
			inClear(p)
			p.run(4000)
			p.inClear(wire.Reconnect)
			p.helloDone()
			p.run(10_010)
			p.cookie(goodCookie)
		}, []string{"0: KNOCK", "12: clear", "10000: KNOCK", "10010: begin 1"}},
		{"an original that was restarted: KNOCKs of one round", func(p *chanPlay) {
			inClear(p)
			p.run(60_000)
			p.inClear(wire.Reconnect) // to PING
			p.run(60_010)
			p.inClear(wire.Reconnect) // to KNOCK
			p.helloDone()
			p.run(300_000)
		}, []string{"0: KNOCK", "12: clear", "60000: KNOCK", "60100: KNOCK", "60300: KNOCK"}},
		{"an original far away: RECONNECT to each KNOCK", func(p *chanPlay) {
			p.run(210)
			p.inClear(wire.Reconnect)
			p.run(310)
			p.inClear(wire.Reconnect)
			p.helloDone()
			p.run(200_000)
		}, []string{"0: KNOCK", "100: KNOCK", "210: clear"}},
		{"the server was away when it knocked", func(p *chanPlay) {
			p.run(5000)
			p.helloDone()
			p.run(10_010)
			p.cookie(goodCookie)
		}, []string{"0: KNOCK", "100: KNOCK", "300: KNOCK", "500: clear", "10000: KNOCK", "10010: begin 1"}},
		{"long away, then there", func(p *chanPlay) {
			p.run(60_000)
			p.helloDone()
		}, []string{"0: KNOCK", "100: KNOCK", "300: KNOCK", "500: clear", "60000: KNOCK"}},
		{"KNOCKs never arrive: it is tried once more, not for ever", func(p *chanPlay) {
			p.run(600)
			p.helloDone()
			p.run(200_000)
		}, []string{"0: KNOCK", "100: KNOCK", "300: KNOCK", "500: clear", "10000: KNOCK", "10100: KNOCK", "10300: KNOCK"}},
		{"CLOSED while it looks", func(p *chanPlay) {
			inClear(p)
			p.run(60_000)
			p.inClear(wire.Reconnect)
			p.gate(wire.GateMessage{Type: wire.Closed})
			p.helloDone()
			p.run(300_000)
		}, []string{"0: KNOCK", "12: clear", "60000: KNOCK"}},
		{"a WAIT is not cut short by RECONNECT", func(p *chanPlay) {
			inClear(p)
			p.run(60_000)
			p.inClear(wire.Reconnect)
			p.cookie(goodCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: goodCookie, Millis: 15_000})
			p.run(61_000)
			p.inClear(wire.Reconnect)
			p.run(75_000)
		}, []string{"0: KNOCK", "12: clear", "60000: KNOCK", "60000: begin 1", "60000: abandon", "75000: KNOCK"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newChanPlay(t, AuthAuto)
			c.play(p)
			p.wants(c.want...)
		})
	}
}

// TestChannelClearBackoff: where there is a channel, and a handshake gets no answer, it is
// tried again soon, and then more and more seldom; a server that refuses us is left alone.
func TestChannelClearBackoff(t *testing.T) {
	p := newChanPlay(t, AuthAuto)
	var waits []time.Duration
	for range 12 {
		for m := p.m; m.state != chanKnocking; {
			p.now = m.timeout()
			p.note(m.advance(p.now, nil))
		}
		p.cookie(goodCookie)
		p.now = p.m.timeout()
		p.note(p.m.advance(p.now, nil))
		waits = append(waits, p.m.next.Sub(p.now))
	}
	if waits[0] != backoffMin || waits[1] != 2*backoffMin || waits[11] != lookInterval || waits[6] != 64*backoffMin {
		t.Errorf("waits %v", waits)
	}
	p = newChanPlay(t, AuthAuto)
	p.run(1)
	p.cookie(goodCookie)
	p.shakeFails(errors.New("expired"))
	if got := p.m.next.Sub(p.now); got != lookInterval {
		t.Errorf("after a refusal: %v, want %v", got, lookInterval)
	}
	p.m.backoff = lookInterval
	p.m.link, _ = ends(t, 0) // and in a mode that is never in clear, not that seldom
	p.m.state = chanJoining
	p.note(p.m.fail(p.now, errNoJoin, nil))
	if got := p.m.next.Sub(p.now); got != backoffMax {
		t.Errorf("with a channel: %v, want %v", got, backoffMax)
	}
}

// TestChannelFromClearAtOnce: a server that comes back with a certificate has the channels
// of its clients within seconds, however soon that is after they looked last, and though
// they are in doubt and say PING over and over.
func TestChannelFromClearAtOnce(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after time.Duration // the restart; at most until the channel
	}{
		{"a second after the registration", time.Second, 10 * time.Second},
		{"five seconds after", 5 * time.Second, 6 * time.Second},
		{"a minute after", time.Minute, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				v.startTestRDV(func(r *testRDV) { r.kind = closed })
				alice, bob := v.pair(v.authentic(AuthAuto, new(memory)))
				pass(c.before)
				v.startTestRDV(nil)
				for range 4 { // PINGs in doubt, whose answers come while it knocks
					if err := alice.client.do(v.t.Context(), func(now time.Time) { alice.client.doubtServer(now) }); err != nil {
						v.t.Error(err)
					}
					pass(doubtGap)
				}
				pass(c.after)
				for _, n := range []*node{alice, bob} {
					if s := n.status(); !s.RDV().Authenticated {
						v.t.Errorf("%v: %+v", n.vpn, s.RDV())
					}
				}
			})
		})
	}
}

// TestChannelFirstAway: a client that was there before its server is on the channel
// within seconds, though it registers in clear first.
func TestChannelFirstAway(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.stop()
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthAuto, new(memory)))
		pass(1500 * time.Millisecond) // between two HELLOs
		v.startTestRDV(nil)
		pass(10 * time.Second)
		if s := alice.status(); !s.RDV().Authenticated {
			v.t.Errorf("%+v", s.RDV())
		}
	})
}

// TestChannelOriginalRestarted: an original that is restarted is asked for a channel
// once, by three KNOCKs, and is registered at by one HELLO.
func TestChannelOriginalRestarted(t *testing.T) {
	inBubble(t, func(v *vpn) {
		v.startTestRDV(func(r *testRDV) { r.kind = anOriginal })
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", v.authentic(AuthAuto, new(memory)))
		pass(20 * time.Second)
		sent := v.sent(alice)
		v.startTestRDV(func(r *testRDV) { r.kind = anOriginal })
		pass(3 * time.Minute)
		if got := sent(simnet.KindGate); got > 3 {
			v.t.Errorf("%d KNOCKs, want 3 at most", got)
		}
		if got := sent(simnet.Kind(wire.Hello)); got != 1 {
			v.t.Errorf("%d HELLOs, want 1", got)
		}
		if s := alice.status(); !s.Registered || s.RDV().Authenticated {
			v.t.Errorf("%+v", s.RDV())
		}
	})
}
