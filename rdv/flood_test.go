package rdv

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// helloOf returns the ClientHello of a client.
func helloOf(t testing.TB, leaf *pkitest.Leaf) []byte {
	t.Helper()
	cfg := handshake.Config{Protocols: []string{channel.Protocol}, Certificate: pkiTLS(t, leaf)}
	var first []byte
	hs, err := handshake.New(cfg, func(b []byte) {
		if first == nil {
			first = bytes.Clone(b)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	hs.Run(ctx)
	if _, ok := handshake.ClientHello(first); !ok {
		t.Fatalf("%x is not a ClientHello", first)
	}
	return first
}

// TestHandshakeFlood begins handshakes from everywhere, with good cookies, and ends
// none: how many there are at the same time is bounded, and with them goroutines
// and memory. All are told to wait, for different times. When it is over, nothing
// is left, and clients get through.
func TestHandshakeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		hello := helloOf(t, a.ca.Issue(t, "eve"))
		synctest.Wait()
		before, goroutines := heap(), runtime.NumGoroutine()
		const flood = 4 * maxHandshakes
		for i := range flood {
			at := netip.AddrPortFrom(nthNetwork(i), 1000)
			a.hub.from(at, wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil))
			synctest.Wait()
			a.hub.mu.Lock()
			var cookie wire.GateMessage
			for _, d := range a.hub.others {
				if m, err := wire.ParseGate(d.Data); err == nil && m.Type == wire.Cookie && d.Addr == at {
					cookie = m
				}
			}
			a.hub.others = a.hub.others[:0]
			a.hub.mu.Unlock()
			a.hub.from(at, wire.GateMessage{Type: wire.Admit, Cookie: cookie.Cookie, Data: hello}.Append(nil))
			synctest.Wait()
			if m, put := a.hub.putOff(at); put != (i >= maxHandshakes) {
				t.Fatalf("client %d: put off %v", i, put)
			} else if put && (m.Cookie != cookie.Cookie || m.Millis < uint16(minWait.Milliseconds()) || m.Millis > uint16(maxWait.Milliseconds())) {
				t.Fatalf("client %d: WAIT %+v", i, m)
			}
		}
		s := a.Stats()
		if s.HalfOpen != maxHandshakes || s.Handshakes != maxHandshakes || s.PutOff != flood-maxHandshakes {
			t.Errorf("stats %+v", s)
		}
		if each := float64(runtime.NumGoroutine()-goroutines) / maxHandshakes; each > 8 {
			t.Errorf("%.1f goroutines for each handshake", each)
		}
		late := a.client(t, epB, "bob", "10.9.0.2")
		late.knock()
		if err := late.shake(nil); err != errPutOff {
			t.Errorf("a client that comes meanwhile: %v, want WAIT", err)
		}
		each := (heap() - before) / maxHandshakes
		t.Logf("a handshake that does not go on takes %d bytes", each)
		if each > 64<<10 {
			t.Errorf("a handshake that does not go on takes %d bytes", each)
		}
		time.Sleep(handshakeTime + time.Second)
		synctest.Wait()
		if s := a.Stats(); s.HalfOpen != 0 || s.Failed != maxHandshakes {
			t.Errorf("stats %+v", s)
		}
		left := runtime.NumGoroutine() - goroutines
		for i := 0; left > 4 && i < 200_000; i++ { // those that have been told to end need the processor for it
			runtime.Gosched()
			left = runtime.NumGoroutine() - goroutines
		}
		if left > 4 { // timers of other tests may run
			t.Errorf("%d goroutines are left", left)
		}
		a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
	})
}

// putOff returns the WAIT that an endpoint was sent.
func (h *hub) putOff(at netip.AddrPort) (wire.GateMessage, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.others {
		if m, err := wire.ParseGate(d.Data); err == nil && m.Type == wire.Wait && d.Addr == at {
			return m, true
		}
	}
	return wire.GateMessage{}, false
}

// TestForgedFlood sends what anybody can send in anybody's name, and checks that
// the server keeps nothing of it.
func TestForgedFlood(t *testing.T) {
	s, ca := idleServer(t, Mixed)
	hello := helloOf(t, ca.Issue(t, "eve"))
	admit := wire.GateMessage{Type: wire.Admit, Data: hello}.Append(nil)
	protected := hexBytes(t, "17fefd0001000000000001 0020"+fmt.Sprintf("%064x", 7))
	knock := wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil)
	b := &batch{}
	now := time.Now()
	round := func(i int) {
		b.arrivals, b.data = b.arrivals[:0], b.data[:0]
		at := nthEndpoint(i)
		for _, data := range [][]byte{knock, hello, admit, protected, ask(ip1).Append(nil)} {
			s.receivers[0].sort(now, punch.Datagram{Addr: at, Local: here}, data, b)
		}
		s.receivers[0].gateBuf, s.receivers[0].gateOut = s.receivers[0].gateBuf[:0], s.receivers[0].gateOut[:0]
		s.handle(t.Context(), now, b)
		s.flush(t.Context())
	}
	for i := range 1000 {
		round(i)
	}
	before := heap()
	goroutines := runtime.NumGoroutine()
	const flood = 50_000
	for i := range flood {
		round(1000 + i)
	}
	if grown := heap() - before; grown > 64<<10 {
		t.Errorf("%d forged datagrams take %d bytes", 5*flood, grown)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines, before %d", got, goroutines)
	}
	st := s.Stats()
	if st.Handshakes != 0 || st.HalfOpen != 0 || st.Clients != 0 || st.Channels != 0 ||
		st.Knocks != flood+1000 || st.Dropped.BadCookie != flood+1000 || st.Dropped.Stray != flood+1000 || st.Dropped.OtherProtocol != flood+1000 {
		t.Errorf("stats %+v", st)
	}
}

// idleServer returns a server that does not run: the test does what its goroutines
// would.
func idleServer(t testing.TB, mode Mode) (*Server, *pkitest.CA) {
	t.Helper()
	a := &authority{ca: pkitest.NewCA(t, "ca", time.Now())}
	a.rdv = a.ca.Issue(t, "rdv", rendezvous)
	s := New(Config{Conn: nullConn{newMemConn()}, Mode: mode, Trust: a.trust(t)})
	s.prepare(time.Now())
	return s, a.ca
}

// heap returns the bytes that are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// keysOf returns the keys of a channel that no handshake has made, for the server
// and for the client. They are those of the client's number n.
func keysOf(t testing.TB, n int, chain [][]byte) (server, client *handshake.Result) {
	t.Helper()
	suite := record.ECDHE_ECDSA_AES128_GCM
	key := func(n int) []byte { return fmt.Appendf(nil, "%016d", n) }
	end := func(ours, theirs int) *handshake.Result {
		seal, err := record.NewSealer(suite, key(ours), key(ours)[12:], 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		open, err := record.NewOpener(suite, key(theirs), key(theirs)[12:], 1)
		if err != nil {
			t.Fatal(err)
		}
		r := &handshake.Result{Suite: suite, Protocol: channel.Protocol, Seal: seal, Open: open}
		for _, c := range chain {
			r.Certificates = append(r.Certificates, bytes.Clone(c))
		}
		return r
	}
	return end(2*n, 2*n+1), end(2*n+1, 2*n)
}

// connect makes a channel of a client at an endpoint, without a handshake.
func connect(t testing.TB, s *Server, now time.Time, n int, leaf *pkitest.Leaf, addrs ...netip.Addr) *handshake.Result {
	t.Helper()
	server, client := keysOf(t, n, leaf.Raw())
	server.LastFlight = [][]byte{make([]byte, 14), make([]byte, 61)}
	peer := &pki.Peer{Key: pki.KeyID(fmt.Appendf(nil, "%032d", n)), Name: strings.Clone(leaf.Cert.Subject.CommonName), Addrs: slices.Clone(addrs)}
	s.establish(now, &attempt{spot: spot{AddrPort: nthEndpoint(n)}, local: here, peer: peer}, server)
	return client
}

// arrive has the server handle a datagram.
func arrive(t testing.TB, s *Server, now time.Time, b *batch, at netip.AddrPort, data []byte) {
	b.arrivals, b.data = b.arrivals[:0], b.data[:0]
	s.receivers[0].sort(now, punch.Datagram{Addr: at, Local: here}, data, b)
	s.handle(t.Context(), now, b)
	s.flush(t.Context())
}

// TestMemoryOfChannels: 50,000 clients with channels take at most 4 KiB each, and
// no goroutine.
func TestMemoryOfChannels(t *testing.T) {
	const clients, limit = 50_000, 4 << 10
	s, ca := idleServer(t, Mixed)
	leaf := ca.Issue(t, "a-host-with-some-name", pkitest.Addrs("10.9.0.1"))
	now := time.Now()
	b := &batch{}
	var tmp record.Scratch
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range clients {
		client := connect(t, s, now, i, leaf, nthVPN(i))
		msg := channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{nthVPN(i)},
			Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:57888")}, Software: "campagnol 1.0.0"}
		rec, err := client.Seal.Seal(nil, msg.Append(nil), record.ApplicationData, &tmp)
		if err != nil {
			t.Fatal(err)
		}
		arrive(t, s, now, b, nthEndpoint(i), rec)
	}
	each := (heap() - before) / clients
	if s.registry.Len() != clients || s.registry.Members() != clients {
		t.Fatalf("%d clients, %d channels", s.registry.Len(), s.registry.Members())
	}
	t.Logf("a client with a channel takes %d bytes", each)
	if each > limit {
		t.Errorf("a client with a channel takes %d bytes, more than %d", each, limit)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines, before %d", got, goroutines)
	}
	runtime.KeepAlive(s)
}

// BenchmarkChannel is what control does for an ASK over a channel, without the
// kernel: it opens one record and seals two.
func BenchmarkChannel(b *testing.B) {
	s, ca := idleServer(b, Mixed)
	leaf := ca.Issue(b, "host")
	now, in := time.Now(), &batch{}
	var tmp record.Scratch
	seal := func(c *handshake.Result, m channel.Message) []byte {
		rec, err := c.Seal.Seal(nil, m.Append(nil), record.ApplicationData, &tmp)
		if err != nil {
			b.Fatal(err)
		}
		return rec
	}
	var clients [2]*handshake.Result
	for i := range clients {
		clients[i] = connect(b, s, now, i, leaf, nthVPN(i))
		arrive(b, s, now, in, nthEndpoint(i), seal(clients[i], channel.Message{Type: channel.Register, ID: 1, VPN: []netip.Addr{nthVPN(i)}}))
	}
	b.Run("ASK", func(b *testing.B) {
		asks := make([][]byte, b.N)
		for i := range asks {
			asks[i] = seal(clients[0], channel.Message{Type: channel.Ask, ID: uint32(i), VPN: []netip.Addr{nthVPN(1)}})
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range asks {
			arrive(b, s, now, in, nthEndpoint(0), asks[i])
		}
	})
	b.Run("forged record", func(b *testing.B) {
		forged := bytes.Clone(seal(clients[0], channel.Message{Type: channel.Ask, ID: 1, VPN: []netip.Addr{nthVPN(1)}}))
		forged[5] ^= 0x40 // its number is far ahead
		b.ReportAllocs()
		for b.Loop() {
			arrive(b, s, now, in, nthEndpoint(0), forged)
		}
	})
	b.Run("KNOCK", func(b *testing.B) {
		knock := wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil)
		b.ReportAllocs()
		for b.Loop() {
			arrive(b, s, now, in, nthEndpoint(7), knock)
			s.receivers[0].gateBuf, s.receivers[0].gateOut = s.receivers[0].gateBuf[:0], s.receivers[0].gateOut[:0]
		}
	})
	b.Run("ADMIT with a wrong cookie", func(b *testing.B) {
		admit := wire.GateMessage{Type: wire.Admit, Data: make([]byte, 200)}.Append(nil)
		b.ReportAllocs()
		for b.Loop() {
			arrive(b, s, now, in, nthEndpoint(7), admit)
		}
	})
}
