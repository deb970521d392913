package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/punch/stream"
	"campagnol/rdv/wire"
)

// serveTLS serves a gate by TLS as well, and returns the port.
func (g *fakeGate) serveTLS(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	leaf := pkitest.SelfSigned(t, "rdv", time.Now())
	cert := tls.Certificate{Certificate: leaf.Raw(), PrivateKey: leaf.Key}
	s := stream.Listen(l, stream.ListenConfig{TLS: stream.ServerTLS(func() *tls.Certificate { return &cert }), Log: slog.New(slog.DiscardHandler)})
	var server sync.WaitGroup
	server.Go(func() {
		for {
			ds, err := s.Receive()
			for _, d := range ds {
				if out := g.reply(d.Addr, d.Data); out != nil {
					_ = s.Send([]punch.Datagram{{Addr: d.Addr, Data: out}})
				}
			}
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		s.Close()
		server.Wait()
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// TestJoinOverTLS: where no answer comes by UDP, or none to what is large, a host joins by
// TLS, maybe by a proxy, and its configuration says so.
func TestJoinOverTLS(t *testing.T) {
	t.Parallel()
	for name, hear := range map[string]func(m wire.GateMessage) bool{
		"nothing by UDP":         func(wire.GateMessage) bool { return false },
		"nothing large by UDP":   func(m wire.GateMessage) bool { return m.Type == wire.Knock },
		"nothing, and a proxy":   func(wire.GateMessage) bool { return false },
		"the server is restored": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newJoinWorld(t)
			port := w.gate.serveTLS(t)
			args := []string{"--fallback-port", port}
			if strings.Contains(name, "proxy") {
				args = append(args, "--http-proxy", connectProxy(t))
			}
			if hear == nil {
				began := time.Now() // the first datagrams are lost; then UDP answers first
				hear = func(wire.GateMessage) bool { return time.Since(began) > 300*time.Millisecond }
				args = []string{"--fallback-port", "0"}
			}
			w.gate.set(func() { w.gate.hear = hear })
			out, err := w.join(w.invite("bob").String(), args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			byTLS := !strings.Contains(name, "restored")
			if got := strings.Contains(out, "by TLS") || strings.Contains(out, "trying TLS"); got != byTLS {
				t.Errorf("it says %q; TLS: want %v", out, byTLS)
			}
			b, err := os.ReadFile(w.config())
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			if want := "\nfallback_port = " + args[1] + "\n"; !strings.Contains(text, want) {
				t.Errorf("the configuration is %q, want it to contain %q", text, want)
			}
			if len(args) > 2 && !strings.Contains(text, "\nhttp_proxy = "+quoteConf(args[3])+"\n") {
				t.Errorf("the configuration is %q, want it to contain the proxy", text)
			}
		})
	}
}

// connectProxy runs an HTTP proxy that connects to whatever is asked for.
func connectProxy(t *testing.T) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go func() {
			_, _ = io.Copy(to, buffered)
			to.Close()
		}()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// TestJoinNoTLS: that there is no way by TLS either is told.
func TestJoinNoTLS(t *testing.T) {
	r := newGateRun(t, joinRDV)
	r.advance(joinPatience - time.Millisecond)
	if r.g.deaf(r.now) {
		t.Errorf("deaf after %v", r.now.Sub(joinStart))
	}
	r.advance(time.Millisecond)
	if !r.g.deaf(r.now) || r.g.phase() != "no answer by UDP; trying TLS beside" {
		t.Errorf("after %v: %q, want to be deaf", r.now.Sub(joinStart), r.g.phase())
	}
	r.g.reached(r.now, joinRDV, false, errors.New("connection refused"))
	r.wantOver(2*joinSilence, "does not answer at 192.0.2.1:57888", "nor by TLS (connection refused)", "--http-proxy")
}

// TestJoinDeaf: an answer is one, but for a cookie that leads to nothing.
func TestJoinDeaf(t *testing.T) {
	r := newGateRun(t, joinRDV)
	r.letIn()
	r.advance(joinPatience)
	if r.g.deaf(r.now) {
		t.Error("deaf though the server has answered")
	}
	for range 60 {
		r.advance(time.Second)
	}
	if !r.g.deaf(r.now) {
		t.Error("not deaf though nothing has come of an application")
	}
	r.out = nil
	r.g.reached(r.now, joinRDV, true, nil)
	r.advance(0)
	if types, _ := r.sent(); !slices.Equal(types, []wire.Gate{wire.Knock}) {
		t.Errorf("by a stream %v is sent, want a KNOCK", types)
	}
	if r.g.deaf(r.now) {
		t.Error("deaf by a new way")
	}
}

// TestJoinStreamEnds: a stream that ends is given up, and opened again after a while.
func TestJoinStreamEnds(t *testing.T) {
	ended := make(chan struct{}, 10)
	opened := 0
	n, err := newJoinNet(func(context.Context, netip.AddrPort) (punch.Conn, error) {
		opened++
		return &endingConn{ended: ended}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	now := time.Now()
	n.open(now, []netip.AddrPort{joinRDV})
	if s := <-n.ends; !n.take(s) || !n.of(joinDatagram{addr: joinRDV, stream: true}) || n.of(joinDatagram{addr: joinRDV}) {
		t.Errorf("%+v does not open a stream that is used", s)
	}
	n.open(now.Add(joinOpenAgain), []netip.AddrPort{joinRDV}) // there is one
	ended <- struct{}{}
	if s := <-n.ends; n.take(s) || s.err == nil || !n.of(joinDatagram{addr: joinRDV}) {
		t.Errorf("%+v does not end it", s)
	}
	n.open(now.Add(joinOpenAgain), []netip.AddrPort{joinRDV}) // too early
	n.open(now.Add(2*joinOpenAgain), []netip.AddrPort{joinRDV})
	if s := <-n.ends; !n.take(s) || opened != 2 {
		t.Errorf("%d were opened, the last %+v; want two", opened, s)
	}
}

// An endingConn says nothing, and ends when it is told to.
type endingConn struct {
	punch.Conn
	ended chan struct{}
}

func (c *endingConn) Receive() ([]punch.Datagram, error) {
	<-c.ended
	return nil, io.EOF
}

func (c *endingConn) Close() error {
	select {
	case c.ended <- struct{}{}:
	default:
	}
	return nil
}

func TestProxyOption(t *testing.T) {
	var p proxyOption
	if err := p.Set("http://user:secret@proxy.example.org:" + strconv.Itoa(3128)); err != nil || strings.Contains(p.String(), "secret") {
		t.Errorf("%v, %q; want no password", err, p.String())
	}
	for _, bad := range []string{"", "proxy:3128", "ftp://proxy:21", "http://proxy"} {
		if err := p.Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
