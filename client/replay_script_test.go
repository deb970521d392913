package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// A moment is what happens at one time of a script: the client sends a datagram,
// is sent one, or something is done.
type moment struct {
	// at is the time since the start. What the client sends may be as early
	// as from, where it is quicker than the original.
	from, at time.Duration

	peer  netip.AddrPort // to or from whom
	sends bool           // the client does
	hex   string         // a * at the end: the rest is different in every run
	do    func(r *replay)
}

// sends returns the moment when the client has to send a datagram.
func sends(at time.Duration, to netip.AddrPort, hex string) moment {
	return moment{from: at, at: at, peer: to, sends: true, hex: hex}
}

// sendsFrom is sends for a datagram that the original sends at the time at, and
// ours may send earlier.
func sendsFrom(from, at time.Duration, to netip.AddrPort, hex string) moment {
	return moment{from: from, at: at, peer: to, sends: true, hex: hex}
}

// gets returns the moment when a datagram is sent to the client.
func gets(at time.Duration, from netip.AddrPort, hex string) moment {
	return moment{at: at, peer: from, hex: hex}
}

func does(at time.Duration, f func(r *replay)) moment { return moment{at: at, do: f} }

// every returns what happens several times.
func every(interval time.Duration, count int, at time.Duration, f func(at time.Duration) moment) []moment {
	var ms []moment
	for i := range count {
		ms = append(ms, f(at+time.Duration(i)*interval))
	}
	return ms
}

// join returns parts of a script as one.
func join(parts ...any) []moment {
	var ms []moment
	for _, p := range parts {
		switch p := p.(type) {
		case moment:
			ms = append(ms, p)
		case []moment:
			ms = append(ms, p...)
		default:
			panic(fmt.Sprintf("a %T is no part of a script", p))
		}
	}
	return ms
}

// matches reports whether b is what the moment says.
func (m moment) matches(b []byte) bool {
	got := hex.EncodeToString(b)
	if prefix, ok := strings.CutSuffix(m.hex, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return got == m.hex
}

// isHandshake reports whether a datagram in hex is one of a DTLS handshake.
// These come from a goroutine of their own, so that their order among those of
// the same instant is not defined.
func isHandshake(hex string) bool {
	return strings.HasPrefix(hex, "16") || strings.HasPrefix(hex, "14")
}

// A tap is the client's socket. It notes what is sent, when, and in which order,
// which the network does not keep between flows.
type tap struct {
	*simnet.Conn
	start time.Time

	mu   sync.Mutex
	sent []sentDatagram
}

type sentDatagram struct {
	at   time.Duration
	to   netip.AddrPort
	data []byte
}

func (p *tap) Send(ds []punch.Datagram) error {
	p.mu.Lock()
	for _, d := range ds {
		d.Segments(func(b []byte) bool {
			p.sent = append(p.sent, sentDatagram{time.Since(p.start), d.Addr, bytes.Clone(b)})
			return true
		})
	}
	p.mu.Unlock()
	return p.Conn.Send(ds)
}

// of returns what was sent: the datagrams of handshakes, or the others.
func (p *tap) of(handshakes bool) []sentDatagram {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.sent), func(d sentDatagram) bool {
		return isHandshake(hex.EncodeToString(d.data)) != handshakes
	})
}

// A replay is a client between the two ends that a script plays: the RDV and a
// peer.
type replay struct {
	t      *testing.T
	node   *node
	tap    *tap
	public netip.AddrPort // of the client
	rdv    *simnet.Conn
	peer   *original
	wg     sync.WaitGroup
}

// A side is one of the two clients of the golden vectors.
type side struct {
	vpn           string
	public, local netip.AddrPort
}

// replayTimeout is the idle time of sessions: not the default of 120 s, at which a
// keep-alive is due, too.
const replayTimeout = 115 * time.Second

// newReplay starts the client of side us. Its peer is them. edit may change its
// configuration.
func newReplay(t *testing.T, us, them side, edit func(*Config)) *replay {
	net := simnet.New(1, simnet.Delay(0)) // so that the times are the client's own
	v := &vpn{t: t, net: net, server: replayRDV, ca: pkitest.NewCA(t, "test CA", time.Now())}
	var err error
	if v.policy, err = pki.NewPolicy([]*x509.Certificate{v.ca.Cert}, nil, 0); err != nil {
		t.Fatal(err)
	}
	at := func(s side) *simnet.Conn {
		return net.Internet().Behind(s.public.Addr().String(), simnet.NAT{}).Listen(s.local.String())
	}
	r := &replay{t: t, public: us.public, rdv: net.Internet().Listen(replayRDV.String())}
	r.tap = &tap{Conn: at(us), start: time.Now()}
	r.peer = newOriginal(v, at(them), them.vpn, us)
	r.wg.Go(func() { drain(r.rdv, func([]byte) {}) })
	r.wg.Go(func() { drain(r.peer.conn, r.peer.take) })
	r.node = v.nodeOn(r.tap.Conn, us.vpn, func(c *Config) {
		c.Conn = r.tap
		c.Timeout = replayTimeout
		if edit != nil {
			edit(c)
		}
	})
	t.Cleanup(func() {
		r.node.stop()
		r.peer.end()
		r.rdv.Close()
		r.peer.conn.Close()
		r.wg.Wait()
		net.Close()
		if t.Failed() {
			fmt.Fprintf(t.Output(), "log of the client:\n%s", r.node.log.String())
		}
	})
	return r
}

// drain reads c until it is closed.
func drain(c *simnet.Conn, take func(b []byte)) {
	for {
		ds, err := c.Receive()
		if err != nil {
			return
		}
		for _, d := range ds {
			take(d.Data)
		}
	}
}

// play does what a script does to the client, and lets the time until end pass.
func (r *replay) play(script []moment, end time.Duration) {
	r.t.Helper()
	deeds := slices.DeleteFunc(slices.Clone(script), func(m moment) bool { return m.sends })
	slices.SortStableFunc(deeds, func(a, b moment) int { return int(a.at - b.at) })
	for _, m := range deeds {
		pass(m.at - time.Since(r.tap.start))
		if m.do != nil {
			m.do(r)
			continue
		}
		b, err := hex.DecodeString(m.hex)
		if err != nil {
			r.t.Fatal(err)
		}
		conn := r.rdv
		if m.peer != replayRDV {
			conn = r.peer.conn
		}
		if err := conn.Send([]punch.Datagram{{Addr: r.public, Data: b}}); err != nil {
			r.t.Fatal(err)
		}
	}
	pass(end - time.Since(r.tap.start))
}

// wayTime is how long the datagrams of a script may be on their way: the network
// has some jitter at least, and a handshake several flights.
const wayTime = 2 * time.Millisecond

// check compares everything that the client has sent with a script: content,
// order and time.
func (r *replay) check(script []moment) {
	r.t.Helper()
	for _, handshakes := range []bool{false, true} {
		want := slices.DeleteFunc(slices.Clone(script), func(m moment) bool {
			return !m.sends || isHandshake(m.hex) != handshakes
		})
		slices.SortStableFunc(want, func(a, b moment) int { return int(a.from - b.from) })
		got := r.tap.of(handshakes)
		for i := range max(len(got), len(want)) {
			switch {
			case i >= len(want):
				r.t.Errorf("at %v the client sends %x to %v, which is not in the script", got[i].at, got[i].data, got[i].to)
			case i >= len(got):
				r.t.Errorf("the client does not send %s to %v, which is due at %v", want[i].hex, want[i].peer, want[i].at)
			case !want[i].matches(got[i].data) || got[i].to != want[i].peer:
				r.t.Fatalf("at %v the client sends %x to %v, want %s to %v at %v",
					got[i].at, got[i].data, got[i].to, want[i].hex, want[i].peer, want[i].at)
			case got[i].at < want[i].from || got[i].at > want[i].at+wayTime:
				r.t.Errorf("the client sends %x to %v at %v, want it from %v to %v",
					got[i].data, got[i].to, got[i].at, want[i].from, want[i].at)
			}
		}
	}
}

// An original is the scripted peer: its punches are in the script, and its DTLS is
// that of a build of Campagnol 0.3.5 with DTLS 1.2 and ECDHE: no ALPN, no cookie,
// and what comes before it is ready is lost.
type original struct {
	t    *testing.T
	conn *simnet.Conn
	at   netip.AddrPort // the client
	vpn  netip.Addr     // the client's
	cert tls.Certificate
	ctx  context.Context
	end  func()

	mu      sync.Mutex
	hs      *handshake.Handshake // nil: records are dropped
	session *tunnel.Session
	seal    *record.Sealer // the session's
	wg      sync.WaitGroup
}

func newOriginal(v *vpn, conn *simnet.Conn, vpnAddr string, client side) *original {
	leaf := v.ca.Issue(v.t, "host "+vpnAddr, pkitest.Addrs(vpnAddr))
	o := &original{
		t: v.t, conn: conn, at: client.public, vpn: netip.MustParseAddr(client.vpn),
		cert: tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key},
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.ctx = ctx
	o.end = func() { cancel(); o.wg.Wait() }
	return o
}

func (o *original) send(b []byte) {
	o.conn.Send([]punch.Datagram{{Addr: o.at, Data: b}})
}

// take takes what the client sends.
func (o *original) take(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hs != nil && wire.KindOf(b) == wire.KindDTLS {
		o.hs.Handle(b)
	}
}

// shake makes the peer begin its part of the handshake.
func (o *original) shake(server bool) {
	hs, err := handshake.New(handshake.Config{Server: server, Certificate: o.cert}, o.send)
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	o.hs = hs
	o.mu.Unlock()
	o.wg.Go(func() {
		result, err := hs.Run(o.ctx)
		if err != nil {
			if o.ctx.Err() == nil {
				o.t.Errorf("the handshake of the peer: %v", err)
			}
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.session, o.seal = tunnel.NewSession(time.Now(), o.vpn, result), result.Seal
	})
}

// close ends the session with a close_notify.
func (o *original) close() {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.session == nil {
		o.t.Fatal("the peer has no session to close")
	}
	for _, b := range o.session.CloseNotify(nil) {
		o.send(b)
	}
}

// fail ends the session with a fatal alert.
func (o *original) fail() {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seal == nil {
		o.t.Fatal("the peer has no session to end")
	}
	const fatal, internalError = 2, 80 // RFC 5246 section 7.2
	b, err := o.seal.Seal(nil, []byte{fatal, internalError}, record.Alert, new(record.Scratch))
	if err != nil {
		o.t.Fatal(err)
	}
	o.send(b)
}
