package client

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

// elsewhere is the configuration of a play whose client can be reached at a port.
func (p *chanPlay) elsewhere(port uint16) channelConfig {
	cfg := p.config(AuthAuto)
	cfg.register.Candidates = []punch.Candidate{{Addr: netip.AddrPortFrom(netip.MustParseAddr("192.168.1.2"), port), Kind: punch.Host}}
	return cfg
}

// updates makes the machine say that its client can be reached at a port.
func (p *chanPlay) updates(port uint16) {
	p.t.Helper()
	p.note(p.m.update(p.now, p.elsewhere(port), nil))
}

// saysPort checks where the machine's last message says that the client can be reached.
func (p *chanPlay) saysPort(want uint16) {
	p.t.Helper()
	if l := p.last.Candidates; p.last.Type != channel.Register || len(l) != 1 || l[0].Addr.Port() != want {
		p.t.Errorf("the last message is %v with %v, want REGISTER with port %d", p.last.Type, l, want)
	}
}

// TestChannelUpdate: what has changed about us is told over the channel that stands,
// until the RDV has answered.
func TestChannelUpdate(t *testing.T) {
	registered := channel.Message{Type: channel.Registered, Lease: 6, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:9")}}
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string
	}{
		{"answered", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			p.saysPort(5)
			p.answers(registered)
			p.run(66_000)
			if l := p.m.link; l.lease != 6*time.Second || l.endpoint != registered.Endpoints[0] {
				p.t.Errorf("lease %v, endpoint %v", l.lease, l.endpoint)
			}
		}, []string{"60100: REGISTER on 0"}},
		{"repeated until it is answered", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			p.run(61_700)
			p.answers(registered)
			p.run(70_000)
		}, []string{"60100: REGISTER on 0", "60600: REGISTER on 0", "61600: REGISTER on 0"}},
		{"never answered", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			p.run(69_000)
		}, []string{"60100: REGISTER on 0", "60600: REGISTER on 0", "61600: REGISTER on 0", "63600: REGISTER on 0"}},
		{"the same again", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			p.answers(registered)
			p.updates(5)
			p.run(61_000)
		}, []string{"60100: REGISTER on 0"}},
		{"another before the answer", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			first := p.last
			p.updates(6)
			p.saysPort(6)
			p.says(0, channel.Message{Type: channel.Registered, ID: first.ID, Lease: 10}) // late
			p.run(60_700)
			p.saysPort(6)
		}, []string{"60100: REGISTER on 0", "60100: REGISTER on 0", "60600: REGISTER on 0"}},
		{"refused, as the server has forgotten us", func(p *chanPlay) {
			p.run(60_100)
			p.updates(5)
			p.answers(channel.Message{Type: channel.Refused, Reason: channel.Strangers})
			p.run(60_150)
		}, []string{"60100: REGISTER on 0", "60100: KNOCK"}},
		{"while the next channel is made", func(p *chanPlay) {
			p.run(60_100)
			p.inClear(wire.Reconnect)
			p.cookie(goodCookie)
			p.updates(5)
			p.answers(registered)
			p.shaken()
			p.saysPort(5)
		}, []string{"60100: KNOCK", "60100: begin 1", "60100: REGISTER on 0", "60100: REGISTER on 1"}},
		{"while the next channel is joined", func(p *chanPlay) {
			p.run(60_100)
			p.inClear(wire.Reconnect)
			p.cookie(goodCookie)
			p.shaken()
			p.updates(5)
			p.saysPort(5)
			p.answers(registered)
			p.run(70_000)
		}, []string{"60100: KNOCK", "60100: begin 1", "60100: REGISTER on 1", "60100: REGISTER on 0, REGISTER on 1", "60100: up again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := up(t, AuthAuto)
			c.play(p)
			p.withoutPings()
			p.wants(c.want...)
			if !p.m.stands() {
				t.Error("the channel is gone")
			}
		})
	}
}

// TestChannelUpdateBefore: without a channel the next one's REGISTER says it.
func TestChannelUpdateBefore(t *testing.T) {
	p := newChanPlay(t, AuthAuto)
	p.updates(5)
	p.joins()
	p.saysPort(5)
	p.wants("0: KNOCK", "10: trying, begin 1", "30: REGISTER on 0", "40: up")

	off := newChanPlay(t, AuthNo)
	off.updates(5)
	off.run(100_000)
	off.wants()
}

// TestChannelMoved: a client that may be elsewhere finds out at once whether the RDV
// still knows it.
func TestChannelMoved(t *testing.T) {
	moves := func(p *chanPlay) { p.t.Helper(); p.note(p.m.moved(p.now, nil)) }
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string
	}{
		{"it does", func(p *chanPlay) {
			moves(p)
			p.run(60_120)
			p.inClear(wire.Pong)
			p.run(63_400)
		}, []string{"60100: PING", "60350: PING", "63350: PING"}},
		{"it does not", func(p *chanPlay) {
			moves(p)
			p.run(60_120)
			p.inClear(wire.Reconnect)
			p.joins()
		}, []string{"60100: PING", "60120: KNOCK", "60130: begin 1", "60150: REGISTER on 1", "60160: up again"}},
		{"nobody answers", func(p *chanPlay) {
			moves(p)
			p.run(61_000)
		}, []string{"60100: PING", "60350: PING", "60600: PING", "60850: KNOCK", "60950: KNOCK"}},
		{"twice", func(p *chanPlay) {
			moves(p)
			p.run(60_200)
			moves(p)
			p.run(60_210)
			p.inClear(wire.Pong)
			p.run(60_500)
		}, []string{"60100: PING", "60200: PING", "60450: PING"}},
		{"while the next channel is made", func(p *chanPlay) {
			p.inClear(wire.Reconnect)
			p.cookie(goodCookie)
			moves(p)
			p.joins()
		}, []string{"60100: KNOCK", "60100: begin 1", "60100: abandon, KNOCK", "60110: begin 1", "60130: REGISTER on 1", "60140: up again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := up(t, AuthAuto)
			p.run(60_100)
			p.inClear(wire.Pong)
			p.log = nil
			c.play(p)
			p.wants(c.want...)
			if !p.m.stands() {
				t.Error("the channel is gone")
			}
		})
	}
}

// TestChannelMovedWithout: a back-off ends when the host is elsewhere, since the server
// may be reached from there.
func TestChannelMovedWithout(t *testing.T) {
	p := newChanPlay(t, AuthYes)
	p.run(7000)
	p.log = nil
	p.note(p.m.moved(p.now, nil))
	p.wants("7000: abandon, trying, KNOCK")

	off := newChanPlay(t, AuthNo)
	off.note(off.m.moved(off.now, nil))
	off.wants()
}

// TestChannelMovedForged: after the doubt is over, RECONNECTs, which anybody can send,
// do no more than before.
func TestChannelMovedForged(t *testing.T) {
	p := up(t, AuthAuto)
	p.run(60_100)
	p.note(p.m.moved(p.now, nil))
	for range 100 {
		p.inClear(wire.Reconnect)
	}
	p.joins()
	for range 100 {
		p.inClear(wire.Reconnect)
	}
	p.run(69_000)
	knocks := 0
	for _, s := range p.log {
		if s[len(s)-5:] == "KNOCK" {
			knocks++
		}
	}
	if knocks != 1 || !p.m.stands() {
		t.Errorf("%d KNOCKs for 200 RECONNECTs, want 1: %q", knocks, p.log)
	}
}

// TestRegistrationMoved: a client in clear asks by PING, and ends a back-off.
func TestRegistrationMoved(t *testing.T) {
	hello := wire.Message{Type: wire.Hello, IP1: netip.MustParseAddr("10.9.0.1")}
	r := newRegistration(began, rdvAddr, hello, half)
	r.advance(began, nil)
	r.handle(began, wire.Message{Type: wire.OK}, nil)
	if !r.registered() {
		t.Fatal("not registered")
	}
	now := began.Add(time.Second)
	r.moved(now)
	out, _ := r.advance(now, nil)
	if len(out) != 1 || out[0].Msg.Type != wire.Ping {
		t.Errorf("says %v, want PING at once", out)
	}
	out, _ = r.handle(now, wire.Message{Type: wire.Reconnect}, nil)
	more, _ := r.advance(now, nil)
	if out = append(out, more...); !slices.ContainsFunc(out, func(o punch.Out) bool { return o.Msg.Type == wire.Hello }) {
		t.Errorf("says %v to RECONNECT, want HELLO", out)
	}
	r.hold()
	r.moved(now)
	if !r.held() || !r.timeout().IsZero() {
		t.Error("a registration that is held says something")
	}
}
