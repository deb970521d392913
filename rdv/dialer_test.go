package rdv

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/internal/logging"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// A hub is a socket of the server in memory, to which any number of clients are
// connected. It is the network: it loses nothing and takes no time.
type hub struct {
	*memConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*dialer
	others  []punch.Datagram // to endpoints where nobody is
}

func newHub() *hub {
	h := &hub{memConn: newMemConn(), clients: map[netip.AddrPort]*dialer{}}
	h.in = make(chan []punch.Datagram, 4096) // nobody waits for the server, or it for them
	return h
}

func (h *hub) Send(ds []punch.Datagram) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		d.Data = bytes.Clone(d.Data)
		if c := h.clients[d.Addr]; c != nil {
			c.inbox <- d.Data
		} else {
			h.others = append(h.others, d)
		}
	}
	return nil
}

// from sends a datagram to the server in the name of an endpoint.
func (h *hub) from(at netip.AddrPort, b []byte) {
	h.in <- []punch.Datagram{{Addr: at, Local: here, Data: bytes.Clone(b)}}
}

// An authority has a CA, a server with channels, and its clients.
type authority struct {
	*running
	hub *hub
	ca  *pkitest.CA
	rdv *pkitest.Leaf
}

// rendezvous makes a certificate one for a rendezvous server.
func rendezvous(c *x509.Certificate) { c.URIs = append(c.URIs, pki.RendezvousURI()) }

// serve starts a server that authenticates its clients, with the log of -v.
func serve(t *testing.T, mode Mode) *authority {
	t.Helper()
	return serveLogging(t, mode, 0)
}

// serveLogging is serve with the log of so many -d.
func serveLogging(t *testing.T, mode Mode, debug int) *authority {
	t.Helper()
	return serveWith(t, mode, debug, nil)
}

// serveWith is serveLogging with a configuration that edit has changed.
func serveWith(t *testing.T, mode Mode, debug int, edit func(*Config)) *authority {
	t.Helper()
	a := &authority{hub: newHub(), ca: pkitest.NewCA(t, "ca", time.Now())}
	a.rdv = a.ca.Issue(t, "rdv", rendezvous)
	a.running = &running{t: t, conn: a.hub.memConn, log: &syncBuffer{}, err: make(chan error, 1)}
	cfg := Config{
		Conn: a.hub, Mode: mode, Trust: a.trust(t), Software: "test",
		LogMessages: debug > 0,
		Log:         logging.New(logging.Options{Level: logging.Level(true, debug), Stdout: a.log, Stderr: a.log}),
	}
	if edit != nil {
		edit(&cfg)
	}
	a.Server = New(cfg)
	ctx, stop := context.WithCancel(t.Context())
	a.stop = stop
	go func() { a.err <- a.Run(ctx) }()
	return a
}

// trust returns the server's trust, with a list of revoked certificates if any are.
func (a *authority) trust(t testing.TB, revoked ...*x509.Certificate) *Trust {
	t.Helper()
	var lists [][]byte
	if len(revoked) > 0 {
		lists = [][]byte{a.ca.CRL(t, time.Now().Add(-time.Minute), time.Now().AddDate(10, 0, 0), revoked...)}
	}
	policy, err := pki.NewPolicy([]*x509.Certificate{a.ca.Cert}, lists, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.NewIdentity(a.rdv.Chain, a.rdv.Key)
	if err != nil {
		t.Fatal(err)
	}
	return NewTrust(id, policy)
}

// A dialer is a client at an endpoint, as far as the channel goes.
type dialer struct {
	t      *testing.T
	hub    *hub
	at     netip.AddrPort
	leaf   *pkitest.Leaf
	inbox  chan []byte
	cookie [wire.CookieSize]byte
	result *handshake.Result
	tmp    record.Scratch
	sent   [][]byte // the records that say has sent
	id     uint32
}

// client returns a client whose certificate names VPN addresses.
func (a *authority) client(t *testing.T, at netip.AddrPort, name string, addrs ...string) *dialer {
	return a.clientWith(t, at, a.ca.Issue(t, name, pkitest.Addrs(addrs...)))
}

func (a *authority) clientWith(t *testing.T, at netip.AddrPort, leaf *pkitest.Leaf) *dialer {
	d := &dialer{t: t, hub: a.hub, at: at, leaf: leaf, inbox: make(chan []byte, 1024)}
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.hub.clients[at] = d
	return d
}

// next returns the next datagram from the server, or nil if none comes.
func (d *dialer) next() []byte {
	select {
	case b := <-d.inbox:
		return b
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// knock gets a cookie.
func (d *dialer) knock() {
	d.t.Helper()
	d.hub.from(d.at, wire.GateMessage{Type: wire.Knock, Version: wire.GateVersion}.Append(nil))
	m, err := wire.ParseGate(d.next())
	if err != nil || m.Type != wire.Cookie {
		d.t.Fatalf("KNOCK is answered with %+v, %v", m, err)
	}
	d.cookie = m.Cookie
}

// admit sends a datagram in an ADMIT.
func (d *dialer) admit(b []byte) {
	d.hub.from(d.at, wire.GateMessage{Type: wire.Admit, Cookie: d.cookie, Data: b}.Append(nil))
}

// errPutOff is that the server says WAIT.
var errPutOff = errors.New("put off")

// shake performs a handshake. edit may change what the client does.
func (d *dialer) shake(edit func(*handshake.Config)) error {
	cfg := handshake.Config{
		Certificate: pkiTLS(d.t, d.leaf),
		Protocols:   []string{channel.Protocol},
		Timeout:     handshakeTime,
	}
	if edit != nil {
		edit(&cfg)
	}
	hs, err := handshake.New(cfg, d.admit)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(d.t.Context())
	defer cancel(nil)
	var pump sync.WaitGroup
	pump.Go(func() {
		for {
			select {
			case b := <-d.inbox:
				if m, err := wire.ParseGate(b); err == nil && m.Type == wire.Wait && m.Cookie == d.cookie {
					cancel(errPutOff)
					return
				}
				hs.Handle(b)
			case <-ctx.Done():
				return
			}
		}
	})
	d.result, err = hs.Run(ctx)
	if cause := context.Cause(ctx); cause == errPutOff {
		err = cause
	}
	cancel(nil)
	pump.Wait()
	return err
}

func pkiTLS(t testing.TB, leaf *pkitest.Leaf) tls.Certificate {
	t.Helper()
	id, err := pki.NewIdentity(leaf.Chain, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	return id.TLS()
}

// dial opens a channel.
func (d *dialer) dial() *dialer {
	d.t.Helper()
	d.knock()
	if err := d.shake(nil); err != nil {
		d.t.Fatalf("handshake: %v", err)
	}
	synctest.Wait() // until the server knows of it, too
	return d
}

// say says something over the channel.
func (d *dialer) say(m channel.Message) {
	d.t.Helper()
	d.id++
	if m.ID == 0 {
		m.ID = d.id
	}
	d.record(record.ApplicationData, m.Append(nil))
}

// record sends a record.
func (d *dialer) record(typ record.ContentType, payload []byte) {
	d.t.Helper()
	b, err := d.result.Seal.Seal(nil, payload, typ, &d.tmp)
	if err != nil {
		d.t.Fatal(err)
	}
	d.sent = append(d.sent, b)
	d.hub.from(d.at, b)
}

// hear returns what the server says next over the channel: the content of a record,
// and its type, which is 0 if nothing comes. Other datagrams are passed over.
func (d *dialer) hear() (record.ContentType, []byte) {
	d.t.Helper()
	for {
		b := d.next()
		if b == nil {
			return 0, nil
		}
		h, rec, _, err := record.Split(b)
		if err != nil || h.Epoch != 1 || h.Type == record.Handshake {
			continue
		}
		payload, err := d.result.Open.Open(h, rec, &d.tmp)
		if err != nil {
			d.t.Fatalf("a record of the server: %v", err)
		}
		return h.Type, payload
	}
}

// wants expects a message.
func (d *dialer) wants(want channel.Type) channel.Message {
	d.t.Helper()
	typ, b := d.hear()
	if typ == 0 {
		d.t.Fatalf("the server says nothing, want %v", want)
	}
	m, err := channel.Parse(b)
	if typ != record.ApplicationData || err != nil || m.Type != want {
		d.t.Fatalf("the server says %+v (record %d, %v), want %v", m, typ, err, want)
	}
	return m
}

// silence expects nothing.
func (d *dialer) silence() {
	d.t.Helper()
	if b := d.next(); b != nil {
		d.t.Errorf("the server says %x, want nothing", b)
	}
}

// register registers addresses.
func (d *dialer) register(vpn ...netip.Addr) *dialer {
	d.t.Helper()
	d.say(channel.Message{Type: channel.Register, VPN: vpn})
	if m := d.wants(channel.Registered); len(m.Endpoints) != 1 || m.Endpoints[0] != stream.Real(d.at) {
		d.t.Errorf("registered at %v, want %v", m.Endpoints, d.at)
	}
	return d
}

// pings says PING in clear, and expects an answer.
func (d *dialer) pings(want wire.Type) {
	d.t.Helper()
	d.hub.from(d.at, ping.Append(nil))
	b := d.next()
	for b != nil && wire.KindOf(b) != wire.KindRendezvous {
		b = d.next()
	}
	if m, err := wire.Parse(b); err != nil || m.Type != want {
		d.t.Errorf("PING is answered with %v, %v, want %v", m, err, want)
	}
}

// hexBytes returns the bytes of a text in hexadecimal, with spaces in it.
func hexBytes(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lines returns the log since the last time.
func (a *authority) lines() string {
	synctest.Wait()
	return a.log.take()
}

// wantLine expects a text in the log.
func (a *authority) wantLine(text string) {
	a.t.Helper()
	if got := a.lines(); !strings.Contains(got, text) {
		a.t.Errorf("%q is missing in the log:\n%s", text, got)
	}
}

// wants2 waits for a while, then expects a message.
func (d *dialer) wants2(after time.Duration, want channel.Type) channel.Message {
	d.t.Helper()
	time.Sleep(after)
	return d.wants(want)
}

// shakeThrough performs a handshake over a network that loses what keep refuses.
func (d *dialer) shakeThrough(keep func([]byte) bool) error {
	through := make(chan []byte, 1024)
	d.hub.mu.Lock()
	d.inbox, through = through, d.inbox
	d.hub.mu.Unlock()
	// What the server sends arrives in the new inbox; the filter moves it on.
	filter := d.inbox
	inner := *d
	inner.inbox = through
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for {
			select {
			case b := <-filter:
				if keep(b) {
					inner.inbox <- b
				}
			case <-stop:
				return
			}
		}
	})
	err := inner.shake(nil)
	close(stop)
	mover.Wait()
	d.result = inner.result
	return err
}
