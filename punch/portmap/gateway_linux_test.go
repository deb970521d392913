package portmap

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lastGateway is the last part of the address of the latest fake gateway. Each has one
// of 127.5.0.0/16 of its own, so that all have the ports that gateways have.
var lastGateway atomic.Uint32

// A fakeGateway answers on this host what a test wants.
type fakeGateway struct {
	t   *testing.T
	way Way
}

func newFakeGateway(t *testing.T) *fakeGateway {
	n := lastGateway.Add(1)
	return &fakeGateway{t: t, way: Way{
		Gateway:   netip.AddrFrom4([4]byte{127, 5, byte(n >> 8), byte(n)}),
		Local:     netip.MustParseAddr("127.0.0.1"),
		Interface: "lo",
	}}
}

// serve answers datagrams to a port with what answer returns, until the test ends. The
// number of a datagram counts from 1.
func (g *fakeGateway) serve(port uint16, answer func(n int, in []byte) [][]byte) {
	g.t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(g.way.Gateway, port)))
	if err != nil {
		g.t.Fatal(err)
	}
	done := make(chan struct{})
	g.t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for i := 1; ; i++ {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for _, out := range answer(i, buf[:n]) {
				conn.WriteToUDPAddrPort(out, from)
			}
		}
	}()
}

// within returns a context for one question.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// answerPCP returns what a server of PCP that gives everything answers.
func answerPCP(in []byte, epoch uint32) []byte {
	out := append([]byte(nil), in...)
	out[1] |= pcpResponse
	binary.BigEndian.PutUint32(out[8:], epoch)
	clear(out[12:24])
	if in[1] == opMap {
		ip := testOuter.Addr().As16()
		copy(out[44:], ip[:])
	}
	return out
}

// TestPCPExchange: questions are repeated, and only answers to them count.
func TestPCPExchange(t *testing.T) {
	t.Parallel()
	g := newFakeGateway(t)
	g.serve(pcpPort, func(n int, in []byte) [][]byte {
		switch {
		case n == 1:
			return nil // lost
		case in[1] == opAnnounce:
			return [][]byte{answerPCP(in, 9)}
		}
		good := answerPCP(in, 7)
		foreign := answerPCP(in, 9)
		foreign[24] ^= 1 // the nonce
		return [][]byte{nil, {1, 2, 3}, in, foreign, answerPCP(append([]byte{2, 0}, in[2:24]...), 8), good}
	})
	s := &pcpSpeaker{way: g.way, nonce: testNonce}
	got, err := s.ask(within(t, 10*time.Second), wish{port: 4501, lifetime: time.Hour})
	want := grant{testOuter, time.Hour, pulse{external: testOuter.Addr(), epoch: 7, counted: true}}
	if err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	p, err := s.check(within(t, 10*time.Second), testOuter)
	if err != nil || p.epoch != 9 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestPCPErrors: what is answered instead of yes.
func TestPCPErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer func(in []byte) []byte
		check  func(error) bool
	}{
		{"refused", func(in []byte) []byte { b := answerPCP(in, 1); b[3] = 2; return b },
			func(err error) bool { var r *Refusal; return errors.As(err, &r) && r.Code == 2 }},
		{"NAT-PMP only", func([]byte) []byte { return []byte{0, 0x81, 0, 1, 0, 0, 0, 0} },
			func(err error) bool { return errors.Is(err, errOldPCP) }},
		{"garbage", func([]byte) []byte { return []byte("what?") }, func(err error) bool { return errors.Is(err, errSilent) }},
		{"an address of nobody", func(in []byte) []byte { b := answerPCP(in, 1); clear(b[44:60]); return b }, func(err error) bool { return err != nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newFakeGateway(t)
			g.serve(pcpPort, func(_ int, in []byte) [][]byte { return [][]byte{c.answer(in)} })
			s := &pcpSpeaker{way: g.way, nonce: testNonce}
			if _, err := s.ask(within(t, 700*time.Millisecond), wish{port: 4501, lifetime: time.Hour}); err == nil || !c.check(err) {
				t.Error(err)
			}
		})
	}
}

// TestSilence: where nobody listens, all protocols say so at once or in time.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, m := range Methods() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			g := newFakeGateway(t)
			if _, err := speakerFor(m, g.way, testNonce).hello(within(t, helloTime)); !errors.Is(err, errSilent) {
				t.Errorf("%v, want %v", err, errSilent)
			}
			g = newFakeGateway(t)
			for _, port := range []uint16{pcpPort, ssdpPort} {
				g.serve(port, func(int, []byte) [][]byte { return nil })
			}
			began := time.Now()
			if _, err := speakerFor(m, g.way, testNonce).hello(within(t, 600*time.Millisecond)); !errors.Is(err, errSilent) {
				t.Errorf("%v, want %v", err, errSilent)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestCancelled: the end of a context is the end of a question.
func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, m := range []Method{PCP, UPnP} {
		g := newFakeGateway(t)
		for _, port := range []uint16{pcpPort, ssdpPort} {
			g.serve(port, func(int, []byte) [][]byte { return nil })
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if _, err := speakerFor(m, g.way, testNonce).hello(ctx); err == nil {
			t.Errorf("%v: an answer of nobody", m)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%v took %v", m, took)
		}
	}
}

// TestNATPMP: the library and what we make of it.
func TestNATPMP(t *testing.T) {
	t.Parallel()
	g := newFakeGateway(t)
	var removed atomic.Bool
	g.serve(pcpPort, func(_ int, in []byte) [][]byte {
		switch {
		case len(in) == 2:
			return [][]byte{{0, 0x80, 0, 0, 0, 0, 0, 9, 11, 0, 0, 1}}
		case in[8] == 0 && in[9] == 0 && in[10] == 0 && in[11] == 0:
			removed.Store(in[6] == 0 && in[7] == 0)
			return [][]byte{append([]byte{0, 0x81, 0, 0, 0, 0, 0, 9}, in[4:12]...)}
		}
		return [][]byte{append([]byte{0, 0x81, 0, 0, 0, 0, 0, 10}, in[4:12]...)}
	})
	s := pmpSpeaker{way: g.way}
	got, err := s.ask(within(t, 10*time.Second), wish{port: 4501, lifetime: time.Hour})
	want := grant{testOuter, time.Hour, pulse{external: testOuter.Addr(), epoch: 10, counted: true}}
	if err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	if p, err := s.check(within(t, 10*time.Second), testOuter); err != nil || p.epoch != 9 || p.external != testOuter.Addr() {
		t.Errorf("%+v, %v", p, err)
	}
	if err := s.remove(within(t, 10*time.Second), wish{port: 4501}, testOuter); err != nil || !removed.Load() {
		t.Errorf("removed %v, %v", removed.Load(), err)
	}
}

// TestNATPMPHostile: answers that are of no use.
func TestNATPMPHostile(t *testing.T) {
	t.Parallel()
	address := []byte{0, 0x80, 0, 0, 0, 0, 0, 9, 11, 0, 0, 1}
	for name, c := range map[string]struct{ address, mapping []byte }{
		"another port":  {address, []byte{0, 0x81, 0, 0, 0, 0, 0, 9, 0x11, 0x96, 0x11, 0x95, 0, 0, 0, 60}},
		"no time":       {address, []byte{0, 0x81, 0, 0, 0, 0, 0, 9, 0x11, 0x95, 0x11, 0x95, 0, 0, 0, 0}},
		"no outer port": {address, []byte{0, 0x81, 0, 0, 0, 0, 0, 9, 0x11, 0x95, 0, 0, 0, 0, 0, 60}},
		"no address":    {[]byte{0, 0x80, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0}, []byte{0, 0x81, 0, 0, 0, 0, 0, 9, 0x11, 0x95, 0x11, 0x95, 0, 0, 0, 60}},
		"refused":       {address, []byte{0, 0x81, 0, 2, 0, 0, 0, 9}},
		"half":          {address, []byte{0, 0x81, 0, 0, 0, 0}},
		"nothing":       {address, []byte{}},
		"half first":    {[]byte{0, 0x80, 0, 0, 0, 0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newFakeGateway(t)
			g.serve(pcpPort, func(_ int, in []byte) [][]byte {
				if len(in) == 2 {
					return [][]byte{c.address}
				}
				return [][]byte{c.mapping}
			})
			if got, err := (pmpSpeaker{way: g.way}).ask(within(t, 2*time.Second), wish{port: 4501, lifetime: time.Hour}); err == nil {
				t.Errorf("taken: %+v", got)
			}
		})
	}
}

// web serves HTTP at the gateway.
func (g *fakeGateway) web(h http.HandlerFunc) *httptest.Server {
	g.t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(g.way.Gateway, 0).String())
	if err != nil {
		g.t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	g.t.Cleanup(s.Close)
	return s
}

// announceAt answers searches with a place.
func (g *fakeGateway) announceAt(location string) {
	g.serve(ssdpPort, func(_ int, in []byte) [][]byte {
		if !strings.HasPrefix(string(in), "M-SEARCH * HTTP/1.1\r\n") || !strings.Contains(string(in), "\r\nST: "+gatewayDevice+"\r\n") {
			g.t.Errorf("a search is %q", in)
		}
		return [][]byte{[]byte(strings.Replace(ssdpAnswer, "http://127.0.0.1:5000/root.xml", location, 1))}
	})
}

// TestUPnPHostile: a gateway that means ill, or somebody in its name, makes us ask
// nobody else, and read no more than we want.
func TestUPnPHostile(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	victim := newFakeGateway(t).web(func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	var sent atomic.Int64
	for _, c := range []struct {
		name string
		at   string // "": at the gateway
		h    http.HandlerFunc
	}{
		{"a description elsewhere", victim.URL + "/root.xml", nil},
		{"a redirect", "", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, victim.URL, http.StatusFound) }},
		{"a service elsewhere", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(description("", victim.URL+"/ctl")))
		}},
		{"a base elsewhere", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(description("<URLBase>"+victim.URL+"</URLBase>", "/ctl")))
		}},
		{"a service that redirects", "", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.Write([]byte(description("", "/ctl")))
				return
			}
			http.Redirect(w, r, victim.URL, http.StatusTemporaryRedirect)
		}},
		{"no end", "", func(w http.ResponseWriter, _ *http.Request) {
			junk := []byte(strings.Repeat("<x>", 4096))
			for {
				n, err := w.Write(junk)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}},
		{"no answer", "", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"garbage", "", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("\x00\xff")) }},
		{"an error", "", http.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newFakeGateway(t)
			at := c.at
			if c.h != nil {
				at = g.web(c.h).URL + "/root.xml"
			}
			g.announceAt(at)
			began := time.Now()
			if p, err := newUPnP(g.way).hello(within(t, helloTime)); err == nil {
				t.Errorf("taken: %+v", p)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d visits elsewhere", n)
	}
	// What is in the kernel's buffers when we stop to read counts as sent.
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("%d bytes were read of an answer without end", n)
	}
}

// TestBounded: answers are cut.
func TestBounded(t *testing.T) {
	t.Parallel()
	g := newFakeGateway(t)
	s := g.web(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2*maxDescription)) })
	r, err := gatewayHTTP(g.way).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	n := 0
	for buf := make([]byte, 4096); err == nil; {
		var m int
		m, err = r.Body.Read(buf)
		n += m
	}
	if n != maxDescription {
		t.Errorf("%d bytes, want %d", n, maxDescription)
	}
	if _, err := gatewayHTTP(testWay).Get(s.URL); err == nil {
		t.Error("another than the gateway was asked")
	}
}

// TestStrangersAnswer: a search hears nobody but the gateway, and not for ever.
func TestStrangersAnswer(t *testing.T) {
	t.Parallel()
	g, liar := newFakeGateway(t), newFakeGateway(t)
	out, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(liar.way.Gateway, ssdpPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(g.way.Gateway, ssdpPort)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { conn.Close(); <-done }()
	go func() { // the liar sees the search, and answers
		defer close(done)
		buf := make([]byte, 2048)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			lie := strings.Replace(ssdpAnswer, "127.0.0.1:5000", g.way.Gateway.String()+":5000", 1)
			for range 2 * searchLimit {
				out.WriteToUDPAddrPort([]byte(lie), from)
			}
		}
	}()
	if loc, err := (finder{g.way}).find(within(t, time.Second)); !errors.Is(err, errSilent) {
		t.Errorf("found %v (%v)", loc, err)
	}
}
