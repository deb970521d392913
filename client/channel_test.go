package client

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/record"
)

func TestChannel(t *testing.T) {
	for _, c := range []struct {
		name  string
		auth  Auth
		known bool
		play  func(p *chanPlay)
		want  []string
	}{
		{"no: nothing", AuthNo, false, func(p *chanPlay) {
			p.cookie(goodCookie)
			p.inClear(wire.Reconnect)
			p.run(600_000)
		}, nil},
		{"registered, and kept so", AuthAuto, false, func(p *chanPlay) {
			p.joins()
			p.run(3030)
			p.inClear(wire.Pong)
			p.run(6100)
		}, []string{"0: KNOCK", "10: trying, begin 1", "30: REGISTER on 0", "40: up", "3040: PING", "6040: PING"}},
		{"an original answers", AuthAuto, false, func(p *chanPlay) {
			p.run(12)
			p.inClear(wire.Reconnect)
			p.run(200_000)
		}, []string{"0: KNOCK", "12: clear"}},
		{"a server without a certificate answers", AuthAuto, false, func(p *chanPlay) {
			p.run(12)
			p.gate(wire.GateMessage{Type: wire.Closed})
			p.run(300_100) // and it is asked again after 5 minutes
		}, []string{"0: KNOCK", "12: clear", "300012: KNOCK"}},
		{"nobody answers: in clear after half a second", AuthAuto, false, func(p *chanPlay) { p.run(10_000) },
			[]string{"0: KNOCK", "100: KNOCK", "300: KNOCK", "500: clear"}},
		{"from clear to a channel", AuthAuto, false, func(p *chanPlay) {
			p.run(300_500) // 500 ms and 5 minutes
			p.joins()
		}, []string{"0: KNOCK", "100: KNOCK", "300: KNOCK", "500: clear",
			"300500: KNOCK", "300510: begin 1", "300530: REGISTER on 0", "300540: quiet, up"}},
		{"RECONNECT to a client in clear: it looks again", AuthAuto, false, func(p *chanPlay) {
			p.run(10)
			p.inClear(wire.Reconnect)
			p.run(60_000)
			p.inClear(wire.Reconnect)
			p.run(60_010)
			p.inClear(wire.Reconnect) // the answer to the KNOCK
			p.run(120_000)
		}, []string{"0: KNOCK", "10: clear", "60000: KNOCK", "60100: KNOCK", "60300: KNOCK"}},
		{"yes: nobody answers, for ever", AuthYes, false, func(p *chanPlay) { p.run(16_000) },
			[]string{"0: trying, KNOCK", "100: KNOCK", "300: KNOCK", "700: KNOCK", "1500: KNOCK", "3100: KNOCK", "6300: refused(no answer)",
				"8300: trying, KNOCK", "8400: KNOCK", "8600: KNOCK", "9000: KNOCK", "9800: KNOCK", "11400: KNOCK", "14600: refused(no answer)"}},
		{"yes: an original is no server", AuthYes, false, func(p *chanPlay) {
			p.run(12)
			p.inClear(wire.Reconnect)
			p.run(7000)
		}, []string{"0: trying, KNOCK", "100: KNOCK", "300: KNOCK", "700: KNOCK", "1500: KNOCK", "3100: KNOCK",
			"6300: refused(it has no authenticated channel)"}},
		{"known: never in clear again", AuthAuto, true, func(p *chanPlay) {
			p.run(12)
			p.gate(wire.GateMessage{Type: wire.Closed})
			p.run(7000)
		}, []string{"0: trying, KNOCK", "100: KNOCK", "300: KNOCK", "700: KNOCK", "1500: KNOCK", "3100: KNOCK",
			"6300: refused(it has no authenticated channel)"}},
		{"forgotten: in clear at the next try", AuthAuto, true, func(p *chanPlay) {
			p.run(6300)
			p.known = false
			p.run(8350)
			p.gate(wire.GateMessage{Type: wire.Closed})
		}, []string{"0: trying, KNOCK", "100: KNOCK", "300: KNOCK", "700: KNOCK", "1500: KNOCK", "3100: KNOCK",
			"6300: refused(no answer)", "8300: KNOCK", "8350: clear"}},
		{"WAIT is obeyed", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.run(20)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: goodCookie, Millis: 7000})
			p.run(7050)
		}, []string{"0: trying, KNOCK", "10: begin 1", "20: abandon", "7020: trying, KNOCK"}},
		{"WAIT is obeyed for 30 s at most", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: goodCookie, Millis: 65535})
			p.run(30_050)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: abandon", "30010: trying, KNOCK"}},
		{"WAIT with another cookie is forged", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: badCookie, Millis: 7000})
			p.cookie(goodCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: badCookie, Millis: 7000})
			p.shaken()
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0"}},
		{"WAIT with a forged cookie, before the true one", AuthYes, false, func(p *chanPlay) {
			p.run(5)
			p.cookie(badCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: badCookie, Millis: 7000})
			p.cookie(badCookie)
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
		}, []string{"0: trying, KNOCK", "5: begin 1", "5: abandon", "10: begin 1", "10: REGISTER on 0"}},
		{"WAIT with a forged cookie, beside the true one", AuthYes, false, func(p *chanPlay) {
			p.run(5)
			p.cookie(badCookie)
			p.run(10)
			p.cookie(goodCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: badCookie, Millis: 7000})
			p.cookie(badCookie)
			p.shaken()
		}, []string{"0: trying, KNOCK", "5: begin 1", "10: cookies 2", "10: cookies 1", "10: REGISTER on 0"}},
		{"WAIT with the true cookie, after a forged one", AuthYes, false, func(p *chanPlay) {
			p.run(5)
			p.cookie(badCookie)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: badCookie, Millis: 30_000})
			p.run(10)
			p.cookie(goodCookie)
			p.run(30)
			p.gate(wire.GateMessage{Type: wire.Wait, Cookie: goodCookie, Millis: 1000})
			p.cookie(goodCookie)
			p.run(1050)
		}, []string{"0: trying, KNOCK", "5: begin 1", "5: abandon", "10: begin 1", "30: abandon", "1030: trying, KNOCK"}},
		{"a forged cookie does not keep out the true one", AuthYes, false, func(p *chanPlay) {
			p.run(5)
			p.cookie(badCookie)
			p.run(10)
			p.cookie(goodCookie)
			p.cookie(goodCookie)
			p.run(30)
			p.shaken()
		}, []string{"0: trying, KNOCK", "5: begin 1", "10: cookies 2", "30: REGISTER on 0"}},
		{"a forged cookie alone", AuthYes, false, func(p *chanPlay) {
			p.run(5)
			p.cookie(badCookie)
			p.run(5100)
		}, []string{"0: trying, KNOCK", "5: begin 1", "3005: abandon, refused(it does not answer the handshake)", "5005: trying, KNOCK"}},
		{"a cookie of another version", AuthYes, false, func(p *chanPlay) {
			p.gate(wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion + 1})
		}, nil},
		{"a cookie that nobody asked for", AuthYes, false, func(p *chanPlay) {
			p.joins()
			p.cookie(badCookie)
			p.run(50)
		}, []string{"0: trying, KNOCK", "10: begin 1", "30: REGISTER on 0", "40: up"}},
		{"the handshake fails", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.run(20)
			p.shakeFails(errors.New("expired"))
			p.run(2100)
		}, []string{"0: trying, KNOCK", "10: begin 1", "20: refused(expired)", "2020: trying, KNOCK"}},
		{"the handshake fails with a server that we do not know: in clear", AuthAuto, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.run(20)
			p.shakeFails(errors.New("expired"))
			p.run(2100)
		}, []string{"0: KNOCK", "10: trying, begin 1", "20: refused(expired), clear"}},
		{"no answer to REGISTER", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
			p.run(5600)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0", "510: REGISTER on 0", "1510: REGISTER on 0", "3510: REGISTER on 0",
			"5510: refused(it does not answer the registration)"}},
		{"REGISTER is refused", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
			p.answers(channel.Message{Type: channel.Refused, Reason: channel.Taken, Text: "by bob"})
			p.run(2100)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0",
			"10: alert 0 on 0, refused(refused: a client with another key holds this VPN address: by bob)", "2010: trying, KNOCK"}},
		{"the server ends it before it stands", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
			p.alerts(0, 2, 42)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0", "10: refused(it has closed the channel)"}},
		{"an answer to something else does not register", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
			p.says(0, channel.Message{Type: channel.Registered, ID: p.last.ID + 1})
			p.answers(channel.Message{Type: channel.Done})
			p.answers(channel.Message{Type: channel.Peer, VPN: p.last.VPN})
			p.run(100)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0"}},
		{"a short lease", AuthYes, false, func(p *chanPlay) {
			p.run(10)
			p.cookie(goodCookie)
			p.shaken()
			p.answers(channel.Message{Type: channel.Registered, Lease: 1})
			p.run(2100)
		}, []string{"0: trying, KNOCK", "10: begin 1", "10: REGISTER on 0", "10: up", "1010: PING", "2010: PING"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newChanPlay(t, c.auth)
			p.known = c.known
			c.play(p)
			p.wants(c.want...)
		})
	}
}

// up returns a play in which the machine has been registered for a while.
func up(t testing.TB, auth Auth) *chanPlay {
	t.Helper()
	p := newChanPlay(t, auth)
	p.joins()
	for at := 3000; at <= 60_000; at += 3000 {
		p.run(at)
		p.inClear(wire.Pong)
	}
	p.known = true
	p.log = nil
	return p
}

// withoutPings takes the PINGs out of the log.
func (p *chanPlay) withoutPings() {
	p.log = slices.DeleteFunc(p.log, func(s string) bool { return strings.HasSuffix(s, ": PING") })
}

// TestChannelAgain: what makes a client with a channel knock anew. The old channel
// stays until the new one stands.
func TestChannelAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string
	}{
		{"RECONNECT", func(p *chanPlay) {
			p.run(60_100)
			p.inClear(wire.Reconnect)
			p.joins()
		}, []string{"60100: KNOCK", "60110: begin 1", "60130: REGISTER on 1", "60140: up again"}},
		{"the RDV is silent", func(p *chanPlay) { p.run(73_200) },
			[]string{"72040: PING, silent, KNOCK", "72140: KNOCK", "72340: KNOCK", "72740: KNOCK"}},
		{"the RDV is silent for a while", func(p *chanPlay) {
			p.run(72_200)
			p.inClear(wire.Pong)
		}, []string{"72040: PING, silent, KNOCK", "72140: KNOCK", "72200: back"}},
		{"close_notify", func(p *chanPlay) {
			p.run(60_100)
			p.alerts(0, 1, 0)
			p.joins()
		}, []string{"60100: down(it has closed the channel), trying, KNOCK", "60110: begin 1", "60130: REGISTER on 1", "60140: up"}},
		{"a fatal alert", func(p *chanPlay) {
			p.run(60_100)
			p.alerts(0, 2, 80)
			p.run(60_101)
		}, []string{"60100: down(it has closed the channel), trying, KNOCK"}},
		{"a warning is none", func(p *chanPlay) { p.alerts(0, 1, 90) }, nil},
		{"other settings", func(p *chanPlay) {
			p.run(60_100)
			p.note(p.m.renew(p.now, p.config(AuthAuto), nil))
			p.joins()
		}, []string{"60100: abandon, KNOCK", "60110: begin 1", "60130: REGISTER on 1", "60140: up again"}},
		{"other settings twice", func(p *chanPlay) {
			p.run(60_100)
			p.note(p.m.renew(p.now, p.config(AuthAuto), nil))
			p.run(60_110)
			p.cookie(goodCookie)
			p.shaken()
			p.note(p.m.renew(p.now, p.config(AuthAuto), nil))
			p.joins()
		}, []string{"60100: abandon, KNOCK", "60110: begin 1", "60110: REGISTER on 1", "60110: abandon, KNOCK",
			"60120: begin 1", "60140: REGISTER on 2", "60150: up again"}},
		{"the next one fails: the old one stays", func(p *chanPlay) {
			p.run(60_100)
			p.inClear(wire.Reconnect)
			p.cookie(goodCookie)
			p.shakeFails(errors.New("expired"))
			p.run(60_200)
		}, []string{"60100: KNOCK", "60100: begin 1", "60100: refused(expired)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := up(t, AuthAuto)
			c.play(p)
			p.withoutPings()
			p.wants(c.want...)
			if lost := slices.ContainsFunc(c.want, func(s string) bool { return strings.Contains(s, "down(") }); !lost && !p.m.stands() {
				t.Error("the channel is gone")
			}
		})
	}
}

// TestChannelForgedReconnects: RECONNECTs in the RDV's name make us knock every ten
// seconds at most, and lose nothing.
func TestChannelForgedReconnects(t *testing.T) {
	p := up(t, AuthAuto)
	for at := 60_000; at < 100_000; at += 10 {
		p.run(at)
		p.inClear(wire.Reconnect)
		if at%1000 == 0 {
			p.inClear(wire.Pong)
		}
	}
	// The RDV does not answer them here, so that each round has all its KNOCKs.
	const rounds = 5
	if n := strings.Count(strings.Join(p.log, "\n"), "KNOCK"); n > rounds*knockTries {
		t.Errorf("%d KNOCKs in 40 s, want %d at most:\n%s", n, rounds*knockTries, strings.Join(p.log, "\n"))
	}
	if !p.m.stands() {
		t.Error("the channel is gone")
	}
}

// TestChannelTakenInTurns: two clients with one key take the address from each
// other, but not without a pause.
func TestChannelTakenInTurns(t *testing.T) {
	p := newChanPlay(t, AuthYes)
	ups := 0
	for p.now.Sub(began) < 5*time.Minute {
		if p.m.state == chanKnocking {
			p.joins()
			ups++
			p.run(int(p.now.Sub(began).Milliseconds()) + 100)
			p.alerts(len(p.links)-1, 1, 0)
		}
		p.run(int(p.now.Sub(began).Milliseconds()) + 50)
	}
	if ups < 5 || ups > 20 {
		t.Errorf("%d channels in 5 minutes, want about 12", ups)
	}
}

// TestChannelOldLink: what the RDV has sent over the channel before is still taken,
// for ten seconds.
func TestChannelOldLink(t *testing.T) {
	p := up(t, AuthYes)
	p.inClear(wire.Reconnect)
	p.joins()
	p.log = nil
	asker := []netip.Addr{netip.MustParseAddr("10.9.0.7")}
	p.says(0, channel.Message{Type: channel.Introduce, ID: 5, VPN: asker})
	p.alerts(0, 1, 0)
	p.says(0, channel.Message{Type: channel.Introduce, ID: 6, VPN: asker}) // after its end
	p.wants("60040: DONE on 0, introduce 10.9.0.7")
	if !p.m.stands() {
		t.Error("the end of the old channel has ended the new one")
	}
	p = up(t, AuthYes)
	p.inClear(wire.Reconnect)
	p.joins()
	p.run(75_000)
	p.log = nil
	p.says(0, channel.Message{Type: channel.Introduce, ID: 5, VPN: asker})
	p.wants()
}

// TestChannelRecords: records that are not of the channel are dropped, and why.
func TestChannelRecords(t *testing.T) {
	p := up(t, AuthYes)
	good := p.links[0].sealed(&channel.Message{Type: channel.Done, ID: 99})
	forged := bytes.Clone(good)
	forged[len(forged)-1]++
	clear := bytes.Clone(good)
	clear[3], clear[4] = 0, 0
	other := bytes.Clone(good)
	other[4] = 2
	for _, c := range []struct {
		name string
		b    []byte
		want tunnel.Drop
	}{
		{"forged", forged, tunnel.DropAuth},
		{"epoch 0", clear, tunnel.DropEpoch},
		{"epoch 2", other, tunnel.DropEpoch},
		{"cut", good[:len(good)-1], tunnel.DropShort},
		{"good", good, tunnel.Kept},
		{"again", good, tunnel.DropReplay},
		{"good, and garbage", append(p.links[0].sealed(&channel.Message{Type: channel.Done}), 1), tunnel.DropShort},
		{"no message", p.links[0].sealRecord([]byte("what?"), record.ApplicationData), tunnel.Kept},
		{"no alert", p.links[0].sealRecord([]byte{1}, record.Alert), tunnel.Kept},
		{"a handshake within", p.links[0].sealRecord([]byte{0, 0, 0, 0}, record.Handshake), tunnel.Kept},
		{"nothing", nil, tunnel.Kept},
	} {
		if got := p.arrives(c.b); got != c.want {
			t.Errorf("%s: dropped as %v, want %v", c.name, got, c.want)
		}
	}
	if p.wants(); !p.m.stands() {
		t.Error("the channel is gone")
	}
}

// TestChannelShakeGetsRecords: while a handshake runs, records of epoch 0 and such
// of epoch 1 as no link opens are its.
func TestChannelShakeGetsRecords(t *testing.T) {
	p := up(t, AuthYes)
	p.inClear(wire.Reconnect)
	p.cookie(goodCookie)
	_, stranger := ends(t, 50)
	finished := stranger.sealRecord([]byte{20}, record.Handshake)
	hello := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2}
	p.log = nil
	p.arrives(append(bytes.Clone(hello), finished...))
	p.arrives(finished)
	p.says(0, channel.Message{Type: channel.Introduce, ID: 3, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.7")}})
	p.run(64_000) // it was answered: no time-out of the gate's
	p.withoutPings()
	p.wants("60000: shake", "60000: shake", "60000: DONE on 0, introduce 10.9.0.7")
}
