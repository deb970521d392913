package rdv

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// What a step of FuzzChannels's input does with the bytes that follow its head.
const (
	fuzzDatagram  = iota // sends them as they are
	fuzzAdmit            // in an ADMIT with a good cookie
	fuzzMessage          // as a message over a channel
	fuzzAlert            // as an alert over a channel
	fuzzHandshake        // as a handshake message over a channel
	fuzzTouched          // as a message over a channel, of which one bit is wrong
	fuzzLeave            // another handshake takes the place of a channel
	fuzzApply            // as a request to the authority, with a good cookie
	fuzzChange           // there is another bulletin
	fuzzKinds
)

// FuzzChannels sends whole datagrams to a server with channels: anything, and what
// only its clients can send. The length of a step is in its head, with what it
// does, from which of four endpoints, and after how much time.
func FuzzChannels(f *testing.F) {
	step := func(kind, from, delay byte, b []byte) []byte {
		return append([]byte{kind, from, delay, byte(len(b))}, b...)
	}
	msg := func(m channel.Message) []byte { return m.Append(nil) }
	join := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	reg := func(n int) []byte {
		return msg(channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{nthVPN(n)}})
	}
	f.Add(join(
		step(fuzzMessage, 0, 0, reg(0)), step(fuzzMessage, 1, 0, reg(1)),
		step(fuzzMessage, 0, 1, msg(askFor(2, nthVPN(1)))), step(fuzzMessage, 1, 1, msg(channel.Message{Type: channel.Done, ID: 1})),
		step(fuzzTouched, 0, 1, msg(askFor(3, nthVPN(1)))),
		step(fuzzMessage, 1, 1, msg(channel.Message{Type: channel.Finished, ID: 4, VPN: []netip.Addr{nthVPN(0)}})),
		step(fuzzMessage, 0, 1, msg(channel.Message{Type: channel.Bye, ID: 5})), step(fuzzAlert, 1, 0, []byte{1, 0})))
	f.Add(join(
		step(fuzzDatagram, 2, 0, hello(ip1).Append(nil)), step(fuzzMessage, 0, 0, reg(0)),
		step(fuzzDatagram, 2, 200, ask(nthVPN(0)).Append(nil)), step(fuzzDatagram, 0, 9, bye.Append(nil)),
		step(fuzzLeave, 0, 9, nil), step(fuzzDatagram, 3, 0, wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil)),
		step(fuzzHandshake, 0, 0, []byte{20, 0, 0, 12}), step(fuzzHandshake, 0, 0, []byte{1}),
		step(fuzzMessage, 1, 0, []byte{2, 1, 0, 0, 0, 1}), step(fuzzMessage, 1, 0, []byte{1, 1})))
	f.Add(join(
		step(fuzzAdmit, 2, 0, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4}),
		step(fuzzAdmit, 0, 0, []byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4})))
	reach := channel.Message{Type: channel.Register, ID: 9, VPN: []netip.Addr{nthVPN(0)}, Scopes: []string{"lab"}, Candidates: []punch.Candidate{
		{Addr: netip.MustParseAddrPort("10.0.0.1:1"), Kind: punch.Host}, {Addr: netip.MustParseAddrPort("[fd00::1]:1"), Kind: punch.Configured, Scope: "lab"}}}
	f.Add(join(
		step(fuzzMessage, 0, 0, msg(reach)), step(fuzzMessage, 1, 0, reg(1)), step(fuzzMessage, 1, 1, msg(askFor(2, nthVPN(0)))),
		step(fuzzMessage, 0, 1, msg(askFor(3, nthVPN(1)))), step(fuzzMessage, 0, 1, msg(reach)), step(fuzzLeave, 0, 1, nil)))
	small := bulletinOf(1, 20)
	offer := msg(channel.Message{Type: channel.Notice, ID: 6, Objects: []channel.Object{small.Object, listOf(1, 1, 40000).Object}})
	f.Add(join(
		step(fuzzMessage, 2, 0, msg(channel.Message{Type: channel.Register, ID: 1})), step(fuzzMessage, 0, 0, reg(0)),
		step(fuzzApply, 3, 1, []byte{0, 0, 0, 7, 'x'}), step(fuzzMessage, 0, 1, msg(over(8, "y"))),
		step(fuzzMessage, 2, 1, msg(channel.Message{Type: channel.Answer, ID: 1, Data: []byte("z")})),
		step(fuzzMessage, 0, 1, msg(channel.Message{Type: channel.Answer, ID: 2, Data: []byte("z")})),
		step(fuzzMessage, 2, 1, msg(channel.Message{Type: channel.Refused, ID: 2, Reason: channel.Busy})), step(fuzzLeave, 2, 1, nil)))
	f.Add(join(
		step(fuzzMessage, 2, 0, msg(channel.Message{Type: channel.Register, ID: 1})), step(fuzzMessage, 0, 0, reg(0)),
		step(fuzzMessage, 2, 1, offer), step(fuzzMessage, 0, 1, offer),
		step(fuzzMessage, 2, 1, msg(channel.Message{Type: channel.Chunk, ID: 1, Data: small.data})),
		step(fuzzMessage, 2, 1, msg(channel.Message{Type: channel.Chunk, ID: 2, Data: small.data})),
		step(fuzzChange, 0, 50, small.data), step(fuzzMessage, 0, 100, msg(channel.Message{Type: channel.Fetch, ID: 2, Objects: []channel.Object{small.Object}})),
		step(fuzzMessage, 2, 60, offer), step(fuzzChange, 0, 50, []byte{7}), step(fuzzMessage, 2, 1, msg(channel.Message{Type: channel.Bye}))))
	list := func(after ...netip.Addr) []byte { return msg(channel.Message{Type: channel.List, ID: 9, VPN: after}) }
	f.Add(join(
		step(fuzzMessage, 0, 0, list()), step(fuzzMessage, 0, 0, reg(0)), step(fuzzMessage, 1, 0, reg(1)), step(fuzzMessage, 0, 100, list()),
		step(fuzzMessage, 0, 0, list(nthVPN(0))), step(fuzzMessage, 1, 0, list(nthVPN(9))), step(fuzzMessage, 1, 0, list(netip.IPv6Unspecified())),
		step(fuzzMessage, 1, 0, list(nthVPN(0), nthVPN(1))), step(fuzzLeave, 0, 1, nil), step(fuzzMessage, 1, 0, list()),
		step(fuzzMessage, 1, 0, msg(channel.Message{Type: channel.Listed, ID: 9, Data: []byte{4}})), step(fuzzTouched, 1, 1, list())))
	ca := pkitest.NewCA(f, "ca", time.Now())
	leaf := ca.Issue(f, "leaf")
	trust := (&authority{ca: ca, rdv: ca.Issue(f, "rdv", rendezvous)}).trust(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(Config{Conn: nullConn{newMemConn()}, Mode: Mixed, Trust: trust, MaxClients: 3})
		w := &fuzzWorld{t: t, s: s, ca: ca, leaf: leaf, now: time.Now(), in: &batch{}}
		w.play(b)
	})
}

// A fuzzWorld is a server with three channels, the last of which is the authority's.
type fuzzWorld struct {
	t       *testing.T
	s       *Server
	ca      *pkitest.CA
	number  uint64 // of the last bulletin
	leaf    *pkitest.Leaf
	now     time.Time
	in      *batch
	clients [3]*handshake.Result
	opened  int
	tmp     record.Scratch
}

// play does all steps, and ends what they began.
func (w *fuzzWorld) play(b []byte) {
	ctx, stop := context.WithCancel(w.t.Context())
	w.s.prepare(w.now)
	for i := range w.clients {
		w.connect(i)
	}
	for steps := 0; len(b) >= 4 && steps < 200; steps++ {
		n := min(int(b[3]), len(b)-4)
		w.now = w.now.Add(time.Duration(b[2]) * 20 * time.Millisecond)
		w.step(ctx, b[0]%fuzzKinds, int(b[1]%4), b[4:4+n])
		if err := check(w.s.registry); err != nil {
			w.t.Fatal(err)
		}
		if w.s.admission.open != len(w.s.attempts) || len(w.s.attempts) > maxHandshakes {
			w.t.Fatalf("%d handshakes, %d counted", len(w.s.attempts), w.s.admission.open)
		}
		b = b[4+n:]
	}
	stop()
	close(w.s.stopped)
	w.s.helpers.Wait()
}

// connect makes a channel with the client at endpoint n, with new keys.
func (w *fuzzWorld) connect(n int) {
	server, client := keysOf(w.t, 10+w.opened, w.leaf.Raw())
	w.opened++
	w.clients[n] = client
	peer := &pki.Peer{Key: pki.KeyID{byte(n + 1)}, Name: "client", Addrs: []netip.Addr{nthVPN(n), nthVPN(9)}}
	if n == 2 {
		peer = &pki.Peer{Key: pki.KeyID{byte(n + 1)}, Name: "trent", Leaf: &x509.Certificate{URIs: []*url.URL{pki.AuthorityURI()}}}
	}
	w.s.establish(w.now, &attempt{spot: spot{AddrPort: nthEndpoint(n)}, local: here, peer: peer}, server)
}

func (w *fuzzWorld) step(ctx context.Context, kind byte, n int, b []byte) {
	at := nthEndpoint(n)
	client := w.clients[n%len(w.clients)]
	switch kind {
	case fuzzAdmit:
		b = wire.GateMessage{Type: wire.Admit, Cookie: w.s.receivers[0].gate.cookie(w.now, at, here), Data: b}.Append(nil)
	case fuzzMessage:
		b = w.seal(client, record.ApplicationData, b)
	case fuzzAlert:
		b = w.seal(client, record.Alert, b)
	case fuzzHandshake:
		b = w.seal(client, record.Handshake, b)
	case fuzzTouched:
		b = w.seal(client, record.ApplicationData, b)
		b[len(b)-1] ^= 1
	case fuzzApply:
		b = append(b, 0, 0, 0, 0, 0)
		b = wire.GateMessage{Type: wire.Apply, Cookie: w.s.receivers[0].gate.cookie(w.now, at, here), ID: uint32(b[0]), Data: b[1:]}.Append(nil)
	case fuzzChange:
		w.number++
		content := signBulletin(w.t, w.now, w.number, fmt.Sprintf("# %x\n", b), 1, w.ca)
		if err := w.s.take(ctx, w.now, Object{channel.Bulletin, content}, "fuzz"); err != nil {
			w.t.Error(err)
		}
		w.s.renew(w.now)
		return
	case fuzzLeave:
		w.connect(n % len(w.clients))
		return
	}
	w.in.arrivals, w.in.data = w.in.arrivals[:0], w.in.data[:0]
	w.s.receivers[0].sort(w.now, punch.Datagram{Addr: at, Local: here}, b, w.in)
	for _, answer := range w.s.receivers[0].gateOut {
		if len(answer.Data) > len(b) {
			w.t.Errorf("%x is answered with more: %x", b, answer.Data)
		}
	}
	w.s.receivers[0].flushGate()
	w.s.handle(ctx, w.now, w.in)
	for _, o := range w.s.out {
		if o.Gate != nil && len(o.Gate.Append(nil)) > len(b) && o.Gate.Type != wire.Reply {
			w.t.Errorf("%x is answered with more: %+v", b, o.Gate)
		}
	}
	w.s.flush(ctx)
	for len(w.s.offers) > 0 { // the clerk's work
		w.s.receiveObject(ctx, w.now, <-w.s.offers)
		w.s.renew(w.now)
	}
	w.s.advance(w.now)
	w.s.flush(ctx)
}

func (w *fuzzWorld) seal(c *handshake.Result, typ record.ContentType, b []byte) []byte {
	rec, err := c.Seal.Seal(nil, b, typ, &w.tmp)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}
