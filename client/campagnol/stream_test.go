package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/wire"
)

// A toldConn is a Conn whose other end answers each datagram at once.
type toldConn struct {
	answer func(d punch.Datagram) []punch.Datagram
	in     chan []punch.Datagram
	closed chan struct{}
	end    func() // closes that, once
}

func newToldConn(answer func(d punch.Datagram) []punch.Datagram) *toldConn {
	closed := make(chan struct{})
	return &toldConn{answer: answer, in: make(chan []punch.Datagram, 16), closed: closed, end: sync.OnceFunc(func() { close(closed) })}
}

func (c *toldConn) Receive() ([]punch.Datagram, error) {
	select {
	case ds := <-c.in:
		return ds, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *toldConn) Send(ds []punch.Datagram) error {
	for _, d := range ds {
		if out := c.answer(d); len(out) > 0 {
			c.in <- out
		}
	}
	return nil
}

func (c *toldConn) LocalAddr() netip.AddrPort { return netip.AddrPort{} }
func (c *toldConn) Close() error              { c.end(); return nil }

// setDialStream makes streams be opened by dial while the test runs. Tests that call it
// must not be parallel.
func setDialStream(t *testing.T, dial func(ctx context.Context, cfg stream.Config) (punch.Conn, error)) {
	t.Helper()
	before := dialStream
	dialStream = dial
	t.Cleanup(func() { dialStream = before })
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// TestStreamTLS: over a stream the server shows who it is, as over the channel, and so do
// we; nobody else is believed.
func TestStreamTLS(t *testing.T) {
	ca := pkitest.NewCA(t, "test CA", time.Now())
	policy, err := pki.NewPolicy([]*x509.Certificate{ca.Cert}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.LoadIdentity(ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1")).WriteFiles(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	tr := &trust{policy: policy, identity: own, log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
		max  uint16
		want string // in the error; "": none
	}{
		{"the server", ca.Issue(t, "rdv", serverURI), tls.VersionTLS13, ""},
		{"a member", ca.Issue(t, "bob", pkitest.Addrs("10.9.0.2")), tls.VersionTLS13, "not one for a rendezvous server"},
		{"another VPN's server", pkitest.NewCA(t, "another CA", time.Now()).Issue(t, "rdv", serverURI), tls.VersionTLS13, "CA"},
		{"TLS 1.2", ca.Issue(t, "rdv", serverURI), tls.VersionTLS12, "version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, theirs := tcpPair(t)
			server := tls.Server(theirs, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: c.leaf.Raw(), PrivateKey: c.leaf.Key}},
				ClientAuth:   tls.RequestClientCert, MaxVersion: c.max,
			})
			served := make(chan error, 1)
			go func() {
				served <- server.HandshakeContext(t.Context())
				server.Close()
			}()
			err := tls.Client(ours, tr.streamTLS()).HandshakeContext(t.Context())
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := <-served; err != nil {
					t.Fatal(err)
				}
				if got := server.ConnectionState().PeerCertificates; len(got) == 0 || got[0].Subject.CommonName != "alice" {
					t.Errorf("we have shown %v, want alice's certificate", got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			ours.Close()
			<-served
		})
	}
}

// TestStreamConn: what comes over a stream comes from the endpoint that it stands for,
// and what is said there goes over it.
func TestStreamConn(t *testing.T) {
	at, tcp := netip.MustParseAddrPort("198.51.100.1:57888"), netip.MustParseAddrPort("198.51.100.1:443")
	other := netip.MustParseAddrPort("192.0.2.1:1")
	var sent []netip.AddrPort
	setDialStream(t, func(_ context.Context, cfg stream.Config) (punch.Conn, error) {
		return newToldConn(func(d punch.Datagram) []punch.Datagram {
			sent = append(sent, d.Addr)
			return []punch.Datagram{{Addr: cfg.Addr, Data: d.Data}, {Addr: other, Data: d.Data}}
		}), nil
	})
	conn, err := openStream(t.Context(), stream.Config{Addr: tcp}, at)
	if err != nil {
		t.Fatal(err)
	}
	said := []punch.Datagram{{Addr: at, Data: []byte("hello")}}
	if err := conn.Send(said); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent[0] != tcp || said[0].Addr != at {
		t.Errorf("sent to %v, and the caller's datagram is to %v; want %v and %v", sent, said[0].Addr, tcp, at)
	}
	ds, err := conn.Receive()
	if err != nil || len(ds) != 2 || ds[0].Addr != at || ds[1].Addr != other || string(ds[0].Data) != "hello" {
		t.Errorf("received %v, %v; want what was said from %v", ds, err, at)
	}
	conn.Close()
	if _, err := conn.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v, want net.ErrClosed", err)
	}
}

// TestStreamOpener: whereto the client connects, and as whom.
func TestStreamOpener(t *testing.T) {
	n := &node{log: slog.New(slog.DiscardHandler)}
	var got stream.Config
	refused := errors.New("connection refused")
	setDialStream(t, func(_ context.Context, cfg stream.Config) (punch.Conn, error) {
		got = cfg
		return nil, refused
	})
	own, err := pki.LoadIdentity(pkitest.NewCA(t, "test CA", time.Now()).Issue(t, "alice").WriteFiles(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	n.view.Store(&view{cfg: &conf.Client{}, trust: &trust{identity: own}})
	at := netip.MustParseAddrPort("198.51.100.1:57888")
	list := withStreams(&conf.Client{FallbackPort: 443}, []client.Server{{Name: "rdv.example.org:57888", Addrs: []netip.AddrPort{at}}})
	if len(list) != 1 || list[0].TLSPort != 443 {
		t.Fatalf("the servers are %+v, want port 443", list)
	}
	if _, err := n.streamOpener()(t.Context(), list[0], at); !errors.Is(err, refused) {
		t.Errorf("got %v, want why there is no connection", err)
	}
	if want := netip.MustParseAddrPort("198.51.100.1:443"); got.Addr != want || got.Name != "rdv.example.org" || got.TLS == nil {
		t.Errorf("connects to %v (%q), want %v (rdv.example.org)", got.Addr, got.Name, want)
	}
}

func TestStreamName(t *testing.T) {
	for server, want := range map[string]string{
		"rdv.example.org:57888": "rdv.example.org", "198.51.100.1:57888": "", "[2001:db8::1]:57888": "", "rdv": "", "": "",
	} {
		if got := streamName(server); got != want {
			t.Errorf("%q: got %q, want %q", server, got, want)
		}
	}
}

// TestProbeStream: whether a server is there that answers over TLS only.
func TestProbeStream(t *testing.T) {
	at := netip.MustParseAddrPort("198.51.100.1:57888")
	cookie := func(d punch.Datagram) []punch.Datagram {
		if wire.KindOf(d.Data) != wire.KindGate {
			return nil
		}
		return []punch.Datagram{{Addr: d.Addr, Data: wire.GateMessage{Type: wire.Cookie, Version: wire.GateVersion}.Append(nil)}}
	}
	strange := func(d punch.Datagram) []punch.Datagram {
		return []punch.Datagram{{Addr: d.Addr, Data: []byte("HTTP/1.1 400 Bad Request")}}
	}
	for _, c := range []struct {
		name   string
		answer func(punch.Datagram) []punch.Datagram // nil: the connection is refused
		line   string
	}{
		{"it answers", cookie, "answers at port 443 in "},
		{"something else", strange, "port 443 does not help: what takes the connection is no rendezvous server"},
		{"refused", nil, "port 443 does not help: connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setDialStream(t, func(_ context.Context, cfg stream.Config) (punch.Conn, error) {
				if c.answer == nil {
					return nil, errors.New("connection refused")
				}
				return newToldConn(c.answer), nil
			})
			r := &rdvReport{Addr: at}
			if err := r.probeStream(t.Context(), &conf.Client{FallbackPort: 443}, "rdv.example.org:57888"); err != nil {
				t.Fatal(err)
			}
			if got := r.TLS.describe(); !strings.HasPrefix(got, c.line) || r.byTLS() != (c.name == "it answers") {
				t.Errorf("got %q, by TLS %v, want %q", got, r.byTLS(), c.line)
			}
		})
	}
	setDialStream(t, func(context.Context, stream.Config) (punch.Conn, error) {
		t.Error("a server that answers by UDP is asked over TLS")
		return nil, errors.New("no")
	})
	r := &rdvReport{Addr: at, Reachable: true}
	if err := r.probeStream(t.Context(), &conf.Client{FallbackPort: 443}, ""); err != nil || r.TLS != nil {
		t.Errorf("got %+v, %v, want nothing", r.TLS, err)
	}
}

// TestNetcheckBlocked: what netcheck says where UDP gets no answer and TLS does.
func TestNetcheckBlocked(t *testing.T) {
	byTLS := func(udp string) *familyReport {
		f := &familyReport{Family: "IPv4", UDP: udp, Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.2")}}
		f.RDV = &rdvReport{Addr: netip.MustParseAddrPort("198.51.100.1:57888"), Channel: "unknown", TLS: &streamReport{Port: 443, Reachable: true, RTT: 30}}
		f.judgeStream()
		return f
	}
	for _, c := range []struct{ udp, is, want string }{
		{"unknown", "blocked", "UDP over IPv4 gets no answer. UDP is blocked: the rendezvous server answers over TLS"},
		{"blocked", "blocked", "UDP over IPv4 gets no answer. UDP is blocked: the rendezvous server answers over TLS"},
		{"works", "works", "The rendezvous server answers over TLS only: its UDP port is blocked"},
	} {
		f := byTLS(c.udp)
		r := &netcheckReport{RDV: "rdv.example.org:57888", Families: []*familyReport{f}}
		if r.judge(); r.OK || f.UDP != c.is || !strings.Contains(r.Summary, c.want) {
			t.Errorf("UDP %s: ok %v, UDP %s, %q, want not ok, UDP %s, %q", c.udp, r.OK, f.UDP, r.Summary, c.is, c.want)
		}
		var b strings.Builder
		if _, err := r.WriteTo(&b); err != nil || !strings.Contains(b.String(), "over TLS         answers at port 443 in 30.0 ms") {
			t.Errorf("%v in\n%s", err, b.String())
		}
	}
}
