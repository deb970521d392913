package client

import (
	"bytes"
	"fmt"
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

// ends returns the two ends of a link. Links of different numbers have different
// keys.
func ends(t testing.TB, n byte) (ours, theirs *link) {
	t.Helper()
	const suite = record.ECDHE_ECDSA_AES128_GCM
	half := func(n byte) (*record.Sealer, *record.Opener) {
		key, iv := bytes.Repeat([]byte{n}, suite.KeyLen()), bytes.Repeat([]byte{n + 1}, suite.IVLen())
		seal, err := record.NewSealer(suite, key, iv, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		open, err := record.NewOpener(suite, key, iv, 1)
		if err != nil {
			t.Fatal(err)
		}
		return seal, open
	}
	aSeal, bOpen := half(4 * n)
	bSeal, aOpen := half(4*n + 2)
	return &link{seal: aSeal, open: aOpen, suite: suite, server: ServerIdentity{Name: fmt.Sprint("link ", n)}},
		&link{seal: bSeal, open: bOpen, suite: suite}
}

// A chanPlay plays the RDV for a machine, and notes what that does.
type chanPlay struct {
	t     testing.TB
	m     *serverChannel
	now   time.Time
	known bool
	log   []string
	links []*link // the RDV's ends, in order
	ids   []uint32
	last  channel.Message // that the machine has sent
	lastB []byte          // the last datagram of the RDV
	sent  int             // datagrams of the machine
}

var chanActNames = map[chanAct]string{
	actBegin: "begin", actCookies: "cookies", actShake: "shake", actAbandon: "abandon", actClear: "clear", actQuiet: "quiet",
	actTrying: "trying", actUp: "up", actDown: "down", actRefused: "refused", actSilent: "silent", actBack: "back",
	actPeer: "peer", actReject: "reject", actIntroduce: "introduce",
}

func newChanPlay(t testing.TB, auth Auth) *chanPlay {
	p := &chanPlay{t: t, now: began}
	p.m = newServerChannel(began, p.config(auth))
	return p
}

func (p *chanPlay) config(auth Auth) channelConfig {
	return channelConfig{
		auth: auth, known: func() bool { return p.known }, jitter: half,
		register: channel.Message{Type: channel.Register, VPN: []netip.Addr{netip.MustParseAddr("10.9.0.1")}},
	}
}

// note notes what the machine does.
func (p *chanPlay) note(outs []chanOut) {
	p.t.Helper()
	var words []string
	for _, o := range outs {
		word := chanActNames[o.act]
		switch {
		case o.act == actSend:
			p.sent++
			word = p.read(o.data)
		case o.act == actBegin, o.act == actCookies:
			word += fmt.Sprint(" ", len(o.cookies))
		case o.act == actRefused, o.act == actDown:
			word += fmt.Sprintf("(%v)", o.err)
		case o.act == actUp && !o.fresh:
			word += " again"
		case o.vpn.IsValid():
			word += " " + o.vpn.String()
		}
		words = append(words, word)
	}
	if len(words) > 0 {
		p.log = append(p.log, fmt.Sprintf("%d: %s", p.now.Sub(began).Milliseconds(), strings.Join(words, ", ")))
	}
}

// read returns the name of a datagram of the machine.
func (p *chanPlay) read(b []byte) string {
	p.t.Helper()
	switch wire.KindOf(b) {
	case wire.KindGate:
		g, err := wire.ParseGate(b)
		if err != nil || g.Type != wire.Knock || g.Version != wire.GateVersion || len(b) != wire.KnockSize {
			p.t.Errorf("gate message %x", b)
		}
		return "KNOCK"
	case wire.KindRendezvous:
		m, err := wire.Parse(b)
		if err != nil {
			p.t.Errorf("message %x: %v", b, err)
		}
		return m.Type.String()
	}
	for i, l := range p.links {
		h, rec, _, err := record.Split(bytes.Clone(b))
		if err != nil {
			p.t.Fatalf("record %x: %v", b, err)
		}
		payload, err := l.open.Open(h, rec, &l.tmp)
		if err != nil {
			continue
		}
		if h.Type == record.Alert {
			return fmt.Sprintf("alert %d on %d", payload[1], i)
		}
		m, err := channel.Parse(payload)
		if err != nil {
			p.t.Fatalf("message %x: %v", payload, err)
		}
		p.last = m
		p.ids = append(p.ids, m.ID)
		return fmt.Sprintf("%v on %d", m.Type, i)
	}
	p.t.Errorf("nobody can open %x", b)
	return "?"
}

// run lets time pass until the given moment, in milliseconds.
func (p *chanPlay) run(until int) {
	p.t.Helper()
	end := began.Add(time.Duration(until) * time.Millisecond)
	for {
		next := p.m.timeout()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(p.now) {
			p.now = next
		}
		before := p.m.timeout()
		p.note(p.m.advance(p.now, nil))
		if p.m.timeout().Equal(before) && !before.After(p.now) {
			p.t.Fatalf("at %v the machine asks for the same moment again", p.now.Sub(began))
		}
	}
	p.now = end
}

// What the RDV does.

var goodCookie, badCookie = cookie{1, 2, 3}, cookie{9, 9, 9}

func (p *chanPlay) gate(g wire.GateMessage) { p.t.Helper(); p.note(p.m.handleGate(p.now, g, nil)) }

func (p *chanPlay) cookie(c cookie) {
	p.t.Helper()
	p.gate(wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: c})
}

func (p *chanPlay) inClear(typ wire.Type) { p.t.Helper(); p.note(p.m.handleClear(p.now, typ, nil)) }

// shaken ends the handshake well.
func (p *chanPlay) shaken() {
	p.t.Helper()
	ours, theirs := ends(p.t, byte(len(p.links)+1))
	p.links = append(p.links, theirs)
	p.note(p.m.handshaken(p.now, ours, nil, nil))
}

func (p *chanPlay) shakeFails(err error) { p.t.Helper(); p.note(p.m.handshaken(p.now, nil, err, nil)) }

// says makes the RDV say something on its n-th link.
func (p *chanPlay) says(n int, m channel.Message) {
	p.t.Helper()
	p.arrives(p.links[n].sealed(&m))
}

func (p *chanPlay) alerts(n int, level, description byte) {
	p.t.Helper()
	p.arrives(p.links[n].sealRecord([]byte{level, description}, record.Alert))
}

// arrives makes a datagram with records arrive.
func (p *chanPlay) arrives(b []byte) tunnel.Drop {
	p.t.Helper()
	p.lastB = bytes.Clone(b)
	outs, d := p.m.receive(p.now, bytes.Clone(b), true, nil)
	p.note(outs)
	return d
}

// answers makes the RDV answer the machine's last request on its newest link.
func (p *chanPlay) answers(m channel.Message) {
	p.t.Helper()
	m.ID = p.last.ID
	p.says(len(p.links)-1, m)
}

// joins brings the machine to where it is registered, 40 ms after its round began.
func (p *chanPlay) joins() {
	p.t.Helper()
	at := func(ms time.Duration) { p.run(int(p.now.Sub(began).Milliseconds() + int64(ms))) }
	at(10)
	p.cookie(goodCookie)
	at(20)
	p.shaken()
	at(10)
	p.answers(channel.Message{Type: channel.Registered, Lease: 10})
}

func (p *chanPlay) wants(want ...string) {
	p.t.Helper()
	if !slices.Equal(p.log, want) {
		p.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(p.log, "\n\t"), strings.Join(want, "\n\t"))
	}
	p.log = nil
}
