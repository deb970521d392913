package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// asRendezvous makes a certificate one for a rendezvous server.
func asRendezvous(c *x509.Certificate) { c.URIs = []*url.URL{pki.RendezvousURI()} }

// A testRDV is a rendezvous server that speaks the channel, and can be made to do
// it wrong. Its fields up to hook must not change while it runs.
type testRDV struct {
	t        *testing.T
	net      *simnet.Net
	conn     *simnet.Conn
	cert     tls.Certificate
	protocol string
	kind     testKind
	hook     func(r *testRDV, c *testChannel, m channel.Message) bool // true: that was all

	wg  sync.WaitGroup
	ctx context.Context

	mu       sync.Mutex // guards the following
	shaking  map[netip.AddrPort]*testShaking
	channels map[netip.AddrPort]*testChannel
	where    map[netip.Addr]*testChannel
	clear    map[netip.AddrPort]bool // registered in clear
	waits    int                     // WAITs that are still to be said
	lastID   uint32
	heard    []string // messages of all channels, in order
	early    int      // records of epoch 0 that came without ADMIT

	objects testObjects
}

// A testKind is what a testRDV is.
type testKind uint8

const (
	withChannel testKind = iota
	anOriginal           // RECONNECT to a KNOCK, unless the client is registered
	deaf                 // a firewall swallows KNOCKs
	closed               // no certificate
)

type testShaking struct {
	hs     *handshake.Handshake
	random [32]byte
	cancel context.CancelFunc
}

// A testChannel is a client of a testRDV.
type testChannel struct {
	at   netip.AddrPort
	link *link
	leaf *x509.Certificate
	vpn  netip.Addr
	also []netip.Addr // its other VPN addresses
	last [][]byte     // flight of our handshake
}

// startTestRDV puts a testRDV in the place of the VPN's. edit may be nil.
func (v *vpn) startTestRDV(edit func(r *testRDV)) *testRDV {
	v.t.Helper()
	v.stop()
	r := &testRDV{
		t: v.t, net: v.net, protocol: channel.Protocol,
		shaking: map[netip.AddrPort]*testShaking{}, channels: map[netip.AddrPort]*testChannel{},
		where: map[netip.Addr]*testChannel{}, clear: map[netip.AddrPort]bool{},
	}
	leaf := v.ca.Issue(v.t, "rdv", asRendezvous)
	r.cert = tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
	if edit != nil {
		edit(r)
	}
	r.conn = v.listen()
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(context.Background())
	r.wg.Go(r.serve)
	v.stop = sync.OnceFunc(func() { cancel(); r.conn.Close(); r.wg.Wait() })
	return r
}

func (r *testRDV) serve() {
	for {
		ds, err := r.conn.Receive()
		if err != nil {
			return
		}
		r.mu.Lock()
		for _, d := range ds {
			for b := range d.Segments {
				r.receive(d.Addr, b)
			}
		}
		r.mu.Unlock()
	}
}

func (r *testRDV) send(to netip.AddrPort, b []byte) {
	r.conn.Send([]punch.Datagram{{Addr: to, Data: b}})
}

func (r *testRDV) receive(from netip.AddrPort, b []byte) {
	switch wire.KindOf(b) {
	case wire.KindRendezvous:
		r.receiveClear(from, b)
	case wire.KindGate:
		r.receiveGate(from, b)
	case wire.KindDTLS:
		h, rec, _, err := record.Split(b)
		c := r.channels[from]
		switch {
		case err != nil:
		case h.Epoch == 0:
			r.early++
		case c != nil:
			r.receiveRecord(c, h, rec)
		}
	}
}

func (r *testRDV) receiveClear(from netip.AddrPort, b []byte) {
	m, err := wire.Parse(b)
	if err != nil {
		r.t.Errorf("in clear: %x", b)
		return
	}
	answer := wire.Reconnect
	switch {
	case m.Type == wire.Ping && (r.channels[from] != nil || r.clear[from]):
		answer = wire.Pong
	case r.channels[from] != nil:
		return
	case m.Type == wire.Hello:
		r.clear[from] = true
		answer = wire.OK
	case m.Type == wire.Bye:
		delete(r.clear, from)
		return
	}
	r.send(from, wire.Message{Type: answer}.Append(nil))
}

// cookieFor is as good as a test needs it.
func cookieFor(at netip.AddrPort) cookie {
	sum := sha256.Sum256([]byte("secret" + at.String()))
	return cookie(sum[:wire.CookieSize])
}

func (r *testRDV) receiveGate(from netip.AddrPort, b []byte) {
	g, err := wire.ParseGate(b)
	if err != nil {
		r.t.Errorf("gate: %x", b)
		return
	}
	switch {
	case r.kind == anOriginal && !r.clear[from]:
		r.send(from, wire.Message{Type: wire.Reconnect}.Append(nil))
	case r.kind == anOriginal, r.kind == deaf:
	case r.kind == closed && g.Type == wire.Knock:
		r.send(from, wire.GateMessage{Type: wire.Closed}.Append(nil))
	case g.Type == wire.Knock:
		r.send(from, wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion, Cookie: cookieFor(from)}.Append(nil))
	case g.Type == wire.Admit && g.Cookie == cookieFor(from):
		r.receiveAdmit(from, g)
	}
}

// receiveAdmit takes a datagram of a handshake.
func (r *testRDV) receiveAdmit(from netip.AddrPort, g wire.GateMessage) {
	random, hello := handshake.ClientHello(g.Data)
	s := r.shaking[from]
	switch {
	case hello && r.waits > 0:
		r.waits--
		r.send(from, wire.GateMessage{Type: wire.Wait, Cookie: g.Cookie, Millis: 1000}.Append(nil))
		return
	case hello && (s == nil || s.random != random):
		if s != nil {
			s.cancel()
		}
		s = r.shake(from)
		s.random = random
	case s == nil: // of a handshake that is over for us
		if c := r.channels[from]; c != nil {
			for b := g.Data; len(b) > 0; {
				h, rec, rest, err := record.Split(b)
				if err != nil {
					return
				}
				if h.Epoch > 0 {
					r.receiveRecord(c, h, rec)
				}
				b = rest
			}
		}
		return
	}
	s.hs.Handle(g.Data)
}

// shake begins a handshake.
func (r *testRDV) shake(from netip.AddrPort) *testShaking {
	hs, err := handshake.New(handshake.Config{Server: true, Certificate: r.cert, Protocols: []string{r.protocol}},
		func(b []byte) { r.send(from, b) })
	if err != nil {
		r.t.Fatal(err)
	}
	s := &testShaking{hs: hs}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(r.ctx)
	r.shaking[from] = s
	r.wg.Go(func() {
		result, err := hs.Run(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.shaking[from] == s {
			delete(r.shaking, from)
		}
		if err != nil {
			return
		}
		leaf, err := x509.ParseCertificate(result.Certificates[0])
		if err != nil {
			r.t.Error(err)
			return
		}
		c := &testChannel{at: from, leaf: leaf, last: result.LastFlight, link: &link{seal: result.Seal, open: result.Open}}
		r.channels[from] = c
		for _, b := range hs.Early() {
			if h, rec, _, err := record.Split(b); err == nil {
				r.receiveRecord(c, h, rec)
			}
		}
	})
	return s
}

func (r *testRDV) receiveRecord(c *testChannel, h record.Header, rec []byte) {
	payload, err := c.link.open.Open(h, rec, &c.link.tmp)
	if err != nil {
		return
	}
	switch h.Type {
	case record.Handshake: // it has not got our last flight
		for _, b := range c.last {
			r.send(c.at, b)
		}
	case record.Alert:
		r.heard = append(r.heard, "alert")
		r.forget(c)
	case record.ApplicationData:
		m, err := channel.Parse(payload)
		if err != nil {
			r.t.Errorf("message %x: %v", payload, err)
			return
		}
		r.heard = append(r.heard, m.Type.String())
		if r.hook == nil || !r.hook(r, c, m) {
			r.receiveMessage(c, m)
		}
	}
}

func (r *testRDV) forget(c *testChannel) {
	if r.channels[c.at] == c {
		delete(r.channels, c.at)
	}
	for _, v := range append([]netip.Addr{c.vpn}, c.also...) {
		if r.where[v] == c {
			delete(r.where, v)
		}
	}
}

// say says something to a client.
func (r *testRDV) say(c *testChannel, m channel.Message) { r.send(c.at, c.link.sealed(&m)) }

// answer answers a request.
func (r *testRDV) answer(c *testChannel, to, m channel.Message) {
	m.ID = to.ID
	r.say(c, m)
}

// introduce tells a client who asks for it, and where that is.
func (r *testRDV) introduce(c *testChannel, vpn netip.Addr, at ...netip.AddrPort) {
	r.lastID++
	r.say(c, channel.Message{Type: channel.Introduce, ID: r.lastID, VPN: []netip.Addr{vpn}, Endpoints: at, Authentic: true})
}

// receiveMessage is what an honest server does.
func (r *testRDV) receiveMessage(c *testChannel, m channel.Message) {
	switch m.Type {
	case channel.Register:
		if len(m.VPN) == 0 {
			r.objects.authority = c
			r.answer(c, m, channel.Message{Type: channel.Registered, Lease: 10})
			return
		}
		c.vpn, c.also = m.VPN[0], m.VPN[1:]
		if old := r.where[c.vpn]; old != nil && old.at != c.at {
			delete(r.channels, old.at)
		}
		for _, v := range m.VPN {
			r.where[v] = c
		}
		r.answer(c, m, channel.Message{Type: channel.Registered, Endpoints: []netip.AddrPort{c.at}, Lease: 10, Objects: r.objects.names()})
	case channel.Ask:
		peer := r.where[m.VPN[0]]
		if peer == nil {
			r.answer(c, m, channel.Message{Type: channel.Refused, Reason: channel.Unknown})
			return
		}
		names := m.VPN
		for _, v := range append([]netip.Addr{peer.vpn}, peer.also...) {
			if v != names[0] {
				names = append(names, v)
			}
		}
		r.answer(c, m, channel.Message{Type: channel.Peer, VPN: names, Endpoints: []netip.AddrPort{peer.at}, Authentic: true})
		r.introduce(peer, c.vpn, c.at)
	case channel.Finished:
		r.answer(c, m, channel.Message{Type: channel.Done})
	case channel.Bye:
		r.forget(c)
	default:
		r.receiveAboutObjects(c, m)
	}
}

// with runs f while the server does nothing else.
func (r *testRDV) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// restart makes the server forget everything.
func (r *testRDV) restart() {
	r.with(func() {
		clear(r.channels)
		clear(r.where)
		clear(r.clear)
		r.objects.authority = nil
		for at, s := range r.shaking {
			s.cancel()
			delete(r.shaking, at)
		}
	})
}

// count returns how often clients said something.
func (r *testRDV) count(what string) (n int) {
	r.with(func() {
		for _, m := range r.heard {
			if m == what {
				n++
			}
		}
	})
	return n
}

var errNoRendezvous = errors.New("the certificate is not one for a rendezvous server")

// A memory remembers whether a channel has stood.
type memory struct{ known atomic.Bool }

// authentic makes a node register in the given way, and remember what it learns.
func (v *vpn) authentic(auth Auth, mem *memory, more ...func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Auth = auth
		c.VerifyServer = v.verifyServer(v.policy)
		if mem != nil {
			c.ServerKnown = func(string) bool { return mem.known.Load() }
			c.RememberServer = func(string, ServerIdentity) { mem.known.Store(true) }
		}
		for _, edit := range more {
			edit(c)
		}
	}
}

func (v *vpn) verifyServer(policy *pki.Policy) func(time.Time, [][]byte) (ServerIdentity, error) {
	return func(now time.Time, chain [][]byte) (ServerIdentity, error) {
		peer, err := policy.Verify(now, chain, pki.Server)
		if err != nil {
			return ServerIdentity{}, err
		}
		if !pki.IsRendezvous(peer.Leaf) {
			return ServerIdentity{}, errNoRendezvous
		}
		return ServerIdentity{Name: peer.Name, Expires: peer.Leaf.NotAfter}, nil
	}
}

// sent counts what goes from a node's network to the RDV, by kind, from now on.
func (v *vpn) sent(n *node) func(simnet.Kind) int {
	var mu sync.Mutex
	counts := map[simnet.Kind]int{}
	v.net.Observe(func(p simnet.Packet, verdict simnet.Verdict) {
		if verdict == simnet.Sent && p.From == n.conn {
			mu.Lock()
			defer mu.Unlock()
			counts[p.Kind]++
		}
	})
	return func(k simnet.Kind) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[k]
	}
}

// use makes the server show a certificate.
func (r *testRDV) use(leaf *pkitest.Leaf) {
	r.cert = tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
}
