package client

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
)

var (
	bobVPN  = netip.MustParseAddr("10.9.0.2")
	bobVPN6 = netip.MustParseAddr("fd00:9::2")
)

func about(vpn netip.Addr) []netip.Addr { return []netip.Addr{vpn} }

// TestRequests: requests are repeated until their answer comes, and not for ever.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(p *chanPlay)
		want []string
	}{
		{"ASK, PEER", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Peer, VPN: about(bobVPN)})
			p.run(66_000)
		}, []string{"60000: ASK on 0", "60010: peer 10.9.0.2"}},
		{"no answer: 0.5, 1 and 2 s", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(69_000)
		}, []string{"60000: ASK on 0", "60500: ASK on 0", "61500: ASK on 0", "63500: ASK on 0"}},
		{"an answer to the second one", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_600)
			p.answers(channel.Message{Type: channel.Peer, VPN: about(bobVPN)})
			p.answers(channel.Message{Type: channel.Peer, VPN: about(bobVPN)}) // and to the first
			p.run(66_000)
		}, []string{"60000: ASK on 0", "60500: ASK on 0", "60600: peer 10.9.0.2"}},
		{"asked twice is asked once", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_100)
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_400)
		}, []string{"60000: ASK on 0"}},
		{"the answer is about another peer", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Peer, VPN: about(netip.MustParseAddr("10.9.0.3"))})
			p.answers(channel.Message{Type: channel.Peer})
			p.run(60_100)
		}, []string{"60000: ASK on 0"}},
		{"an answer to nothing", func(p *chanPlay) {
			p.says(0, channel.Message{Type: channel.Peer, ID: 2, VPN: about(bobVPN)})
			p.says(0, channel.Message{Type: channel.Registered, ID: 1})
			p.says(0, channel.Message{Type: channel.Refused, ID: 1})
			p.says(0, channel.Message{Type: channel.Bye, ID: 1})
			p.says(0, channel.Message{Type: 77, ID: 1})
		}, nil},
		{"ASK, REFUSED", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Refused, Reason: channel.Unknown})
			p.run(62_000)
		}, []string{"60000: ASK on 0", "60010: reject 10.9.0.2"}},
		{"REFUSED, since it has forgotten us", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Refused, Reason: channel.Strangers})
			p.run(60_020)
		}, []string{"60000: ASK on 0", "60010: reject 10.9.0.2, KNOCK"}},
		{"FINISHED, DONE", func(p *chanPlay) {
			p.m.ask(channel.Finished, bobVPN)
			p.run(60_510)
			p.answers(channel.Message{Type: channel.Done})
			p.run(66_000)
		}, []string{"60000: FINISHED on 0", "60500: FINISHED on 0"}},
		{"FINISHED, REFUSED", func(p *chanPlay) {
			p.m.ask(channel.Finished, bobVPN)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Refused, Reason: channel.Unsupported})
			p.run(66_000)
		}, []string{"60000: FINISHED on 0"}},
		{"INTRODUCE: taken once, answered always", func(p *chanPlay) {
			m := channel.Message{Type: channel.Introduce, ID: 1, VPN: about(bobVPN)}
			p.says(0, m)
			p.says(0, m)
			p.run(60_500)
			p.says(0, m)
			m.ID = 0
			p.says(0, m)
		}, []string{"60000: DONE on 0, introduce 10.9.0.2", "60000: DONE on 0", "60500: DONE on 0", "60500: DONE on 0, introduce 10.9.0.2"}},
		{"INTRODUCE of nobody", func(p *chanPlay) {
			p.says(0, channel.Message{Type: channel.Introduce, ID: 1})
		}, []string{"60000: DONE on 0"}},
		{"INTRODUCE of a peer with two addresses", func(p *chanPlay) {
			p.says(0, channel.Message{Type: channel.Introduce, ID: 1, VPN: []netip.Addr{bobVPN6, bobVPN}})
		}, []string{"60000: DONE on 0, introduce fd00:9::2"}},
		{"PEER with another address besides", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN6)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Peer, VPN: []netip.Addr{bobVPN6, bobVPN}})
		}, []string{"60000: ASK on 0", "60010: peer fd00:9::2"}},
		{"PEER of somebody else first", func(p *chanPlay) {
			p.m.ask(channel.Ask, bobVPN6)
			p.run(60_010)
			p.answers(channel.Message{Type: channel.Peer, VPN: []netip.Addr{bobVPN, bobVPN6}})
			p.run(60_020)
		}, []string{"60000: ASK on 0"}},
		{"INTRODUCE, replayed", func(p *chanPlay) {
			p.says(0, channel.Message{Type: channel.Introduce, ID: 1, VPN: about(bobVPN)})
			p.arrives(p.lastB)
		}, []string{"60000: DONE on 0, introduce 10.9.0.2"}},
		{"what was asked over the channel before is asked again over the next", func(p *chanPlay) {
			p.inClear(wire.Reconnect)
			p.run(60_010)
			p.cookie(goodCookie)
			p.shaken()
			p.m.ask(channel.Ask, bobVPN)
			p.run(60_020)
			p.says(1, channel.Message{Type: channel.Registered, ID: p.ids[slices.Index(p.ids, p.m.lastID)-1]})
			p.run(60_030)
		}, []string{"60000: KNOCK", "60010: begin 1", "60010: REGISTER on 1", "60010: ASK on 0", "60020: up again", "60020: ASK on 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := up(t, AuthYes)
			c.play(p)
			p.withoutPings()
			p.log = slices.DeleteFunc(p.log, func(s string) bool { return strings.Contains(s, "silent") })
			p.wants(c.want...)
		})
	}
}

// TestRequestsWithoutLink: what is asked while there is no channel is sent when
// there is one, if that is soon.
func TestRequestsWithoutLink(t *testing.T) {
	for _, c := range []struct {
		after int // ms
		want  bool
	}{{1000, true}, {5400, true}, {6000, false}} {
		p := newChanPlay(t, AuthYes)
		p.m.ask(channel.Ask, bobVPN)
		p.run(c.after)
		p.joins()
		p.run(int(p.now.Sub(began).Milliseconds()) + 10)
		log := strings.Join(p.log, "\n")
		if got := strings.Contains(log, ": ASK on 0"); got != c.want {
			t.Errorf("a channel after %d ms: asked %v, want %v:\n%s", c.after, got, c.want, log)
		}
	}
}

// TestRequestsAreBounded: neither requests nor what is remembered of the RDV's grow
// without an end.
func TestRequestsAreBounded(t *testing.T) {
	p := up(t, AuthYes)
	for i := range 5000 {
		vpn := netip.AddrFrom4([4]byte{10, 7, byte(i >> 8), byte(i)})
		p.m.ask(channel.Finished, vpn)
		p.says(0, channel.Message{Type: channel.Introduce, ID: uint32(i), VPN: about(vpn)})
	}
	if n := len(p.m.requests); n != maxRequests {
		t.Errorf("%d requests, want %d", n, maxRequests)
	}
	if n := len(p.m.link.seen); n != maxSeen {
		t.Errorf("%d requests of the RDV are remembered, want %d", n, maxSeen)
	}
	p.run(66_000)
	if n := len(p.m.requests); n != 0 {
		t.Errorf("%d requests after all their time", n)
	}
}

// TestChannelBye: BYE, then the end of the session.
func TestChannelBye(t *testing.T) {
	p := up(t, AuthYes)
	p.note(p.m.bye(nil))
	p.wants("60000: BYE on 0, alert 0 on 0")
	p = newChanPlay(t, AuthYes)
	p.note(p.m.bye(nil))
	p.wants()
}

// TestRegisterSays: REGISTER says what the settings do.
func TestRegisterSays(t *testing.T) {
	at := netip.MustParseAddrPort("192.168.1.2:5000")
	for _, c := range []struct {
		local netip.AddrPort
		want  []netip.AddrPort
	}{
		{at, []netip.AddrPort{at}},
		{netip.AddrPort{}, nil},
		{netip.AddrPortFrom(netip.IPv4Unspecified(), 5000), nil},
		{netip.AddrPortFrom(at.Addr(), 0), nil},
	} {
		client := &Client{cfg: Config{VPNAddr: bobVPN}}
		client.set = Settings{LocalAddr: c.local, Auth: AuthYes, Software: "campagnol 1"}
		got := client.channelConfig(new(rendezvous)).register
		client.cfg.VPNAddr6 = bobVPN6
		if both := client.channelConfig(new(rendezvous)).register.VPN; !slices.Equal(both, []netip.Addr{bobVPN, bobVPN6}) {
			t.Errorf("with an IPv6 address: %v", both)
		}
		if got.Type != channel.Register || !slices.Equal(got.VPN, about(bobVPN)) || got.Software != "campagnol 1" || !slices.Equal(got.Endpoints, c.want) {
			t.Errorf("local address %v: %+v, want %v", c.local, got, c.want)
		}
	}
}

func TestPingInterval(t *testing.T) {
	for _, c := range []struct{ lease, want time.Duration }{
		{0, 3 * time.Second}, {10 * time.Second, 3 * time.Second}, {6 * time.Second, 2 * time.Second},
		{time.Second, time.Second}, {time.Hour, 3 * time.Second},
	} {
		if got := (&link{lease: c.lease}).pingInterval(); got != c.want {
			t.Errorf("lease %v: PING every %v, want %v", c.lease, got, c.want)
		}
	}
}

func TestRefusedError(t *testing.T) {
	for _, c := range []struct {
		err  RefusedError
		want string
	}{
		{RefusedError{channel.Full, ""}, "refused: the server is full"},
		{RefusedError{channel.Full, channel.Full.String()}, "refused: the server is full"},
		{RefusedError{channel.Denied, "not on Sundays"}, "refused: denied: not on Sundays"},
		{RefusedError{99, ""}, "refused: reason 99"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.err, got, c.want)
		}
	}
	for a, want := range map[Auth]string{AuthNo: "no", AuthAuto: "auto", AuthYes: "yes", 9: "no"} {
		if got := a.String(); got != want {
			t.Errorf("Auth %d is %q, want %q", a, got, want)
		}
	}
}

// FuzzServerChannel drives the machine with whatever the RDV's address may send, at
// any time. It always knows what to do next, does a bounded number of things, and
// keeps a bounded number of others; and a channel still comes about.
func FuzzServerChannel(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 10, 4, 0, 20, 8, 0})
	f.Add([]byte{1, 2, 3, 0, 50, 1, 1, 9, 5, 5, 5, 200, 6, 6, 7, 7, 3, 3, 10, 10})
	f.Add([]byte{2, 1, 10, 4, 1, 8, 2, 9, 6, 3, 7, 1, 10, 255, 10, 255, 2, 0, 1, 0, 4, 0, 8, 1})
	f.Add([]byte{2, 1, 10, 4, 1, 7, 1, 11, 3, 12, 0, 0, 6, 11, 4, 10, 20, 12, 1, 10, 30, 11, 5, 1, 10, 4, 2, 11, 6, 7, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		p := newChanPlay(t, Auth(b[0]%3))
		b = b[1:]
		for steps := 0; len(b) >= 2 && steps < 500; steps++ {
			p.log, p.sent = nil, 0
			p.fuzzStep(b[0], b[1])
			p.check()
			b = b[2:]
		}
		if !p.m.on() {
			return
		}
		// From anywhere it finds to a channel, if the RDV plays its part.
		p.known, p.m.cfg.auth = true, AuthYes
		for range 200 {
			switch p.m.state {
			case chanKnocking:
				p.cookie(goodCookie)
				p.shaken()
				p.answers(channel.Message{Type: channel.Registered})
				if !p.m.stands() || p.m.state != chanUp {
					t.Errorf("no channel, but state %d:\n%s", p.m.state, strings.Join(p.log, "\n"))
				}
				return
			case chanShaking:
				p.shakeFails(fmt.Errorf("over"))
			}
			p.run(int(p.now.Sub(began).Milliseconds()) + 1000)
			p.inClear(wire.Reconnect)
		}
		t.Errorf("no round begins in state %d:\n%s", p.m.state, strings.Join(p.log, "\n"))
	})
}

// fuzzStep does one thing of the RDV, or of somebody in its name, or lets time pass.
func (p *chanPlay) fuzzStep(what, arg byte) {
	switch what % 13 {
	case 0:
		p.inClear(wire.Type(arg % 14))
	case 1:
		p.cookie(cookie{arg})
	case 2:
		p.gate(wire.GateMessage{Type: wire.Wait, Cookie: cookie{arg % 4}, Millis: uint16(arg) << 8})
	case 3:
		p.gate(wire.GateMessage{Type: wire.Gate(arg % 7), Version: arg % 3})
	case 4:
		if len(p.links) < 50 {
			p.shaken()
		}
	case 5:
		p.shakeFails(fmt.Errorf("error %d", arg))
	case 6:
		p.m.ask(channel.Type(4+arg%5), netip.AddrFrom4([4]byte{10, 9, 0, arg}))
	case 7, 8:
		if n := len(p.links); n > 0 {
			m := channel.Message{Type: channel.Type(arg % 12), ID: p.last.ID, VPN: p.last.VPN, Lease: uint32(arg), Reason: channel.Reason(arg % 11)}
			if what%13 == 8 {
				m.ID, m.VPN = uint32(arg), about(netip.AddrFrom4([4]byte{10, 9, 0, arg}))
			}
			p.says(int(arg)%n, m)
		}
	case 9:
		if n := len(p.links); n > 0 {
			p.alerts(int(arg)%n, arg%4, arg/4)
		} else {
			p.arrives([]byte{22, 0xfe, 0xfd, 0, arg % 2, 0, 0, 0, 0, 0, 0, 0, 1, 2})
		}
	case 10:
		p.run(int(p.now.Sub(began).Milliseconds()) + int(arg)*int(arg))
		p.sent = 0
	case 11:
		cfg := p.elsewhere(uint16(arg) + 1)
		cfg.auth = p.m.cfg.auth
		p.note(p.m.update(p.now, cfg, nil))
	case 12:
		p.note(p.m.moved(p.now, nil))
	}
}

// check checks what always holds.
func (p *chanPlay) check() {
	p.t.Helper()
	m := p.m
	switch {
	case p.sent > 4: // a step leads to an answer, and perhaps what was due
		p.t.Fatalf("%d datagrams in a step: %q", p.sent, p.log)
	case len(m.cookies) > maxCookies, len(m.putOff) > maxCookies, len(m.requests) > maxRequests:
		p.t.Fatalf("%d cookies, %d requests", len(m.cookies), len(m.requests))
	case m.on() && m.timeout().IsZero() && m.state != chanShaking:
		p.t.Fatalf("nothing is to happen in state %d", m.state)
	case m.state == chanUp && m.link == nil:
		p.t.Fatal("up without a channel")
	case (m.state == chanJoining) != (m.joining != nil):
		p.t.Fatalf("state %d, joining %v", m.state, m.joining)
	case m.clear && m.link != nil:
		p.t.Fatal("in clear and over a channel at once")
	}
}
