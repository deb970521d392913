package handshake

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/record"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

// The connection IDs of the two ends of a link.
var (
	clientID = &record.ID{0xc1, 1, 1, 1}
	serverID = &record.ID{0x5e, 2, 2, 2}
)

// TestConnectionIDs: IDs are used if both ends know them, with every suite, and who
// knows none is served as ever.
func TestConnectionIDs(t *testing.T) {
	for _, suite := range record.Suites() {
		for _, c := range []struct {
			name           string
			client, server *record.ID
			both           bool
		}{
			{"both", clientID, serverID, true},
			{"only the client", clientID, nil, false},
			{"only the server", nil, serverID, false},
			{"neither", nil, nil, false},
		} {
			t.Run(fmt.Sprintf("%v/%s", suite, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cl, s := newLink(t,
						Config{Suites: []record.Suite{suite}, ConnectionID: c.client},
						Config{Certificate: identity(t, kindOf(suite)), ConnectionID: c.server}).mustRun()
					overhead := suite.Overhead()
					if c.both {
						overhead += record.IDLen + 1
					}
					for _, end := range []struct {
						name string
						r    *Result
						id   *record.ID
					}{{"client", cl, c.client}, {"server", s, c.server}} {
						if c.both && (end.r.ConnectionID == nil || *end.r.ConnectionID != *end.id) || !c.both && end.r.ConnectionID != nil {
							t.Errorf("%s: ID %x of %x", end.name, end.r.ConnectionID, end.id)
						}
						if got := end.r.Seal.Overhead(); got != overhead {
							t.Errorf("%s: overhead of %d, want %d", end.name, got, overhead)
						}
					}
					exchange(t, cl, s, "from the client")
					exchange(t, s, cl, "from the server")
				})
			})
		}
	}
}

// clearServer does what a session of a server with IDs does: it sends its last flight
// again when the client repeats its own, which its ChangeCipherSpec shows.
func (l *link) clearServer(s *Result) {
	for _, b := range s.LastFlight {
		l.carry(false, b)
	}
}

// changesCipher reports whether a datagram has a ChangeCipherSpec.
func changesCipher(b []byte) bool {
	for len(b) > 0 {
		h, ok := record.Peek(b)
		if ok && h.Type == record.ChangeCipherSpec {
			return true
		}
		_, _, rest, err := record.Split(b)
		if err != nil {
			return false
		}
		b = rest
	}
	return false
}

// repaired runs both ends of a link whose filter lose thins out, and repeats the
// server's last flight as a session would.
func (l *link) repaired(lose func(d datagram) bool) (client, server *Result) {
	l.t.Helper()
	var mu sync.Mutex
	repeats := 0
	l.filter = func(d datagram) [][]byte {
		if lose(d) {
			return nil
		}
		if d.toServer && changesCipher(d.data) {
			mu.Lock()
			repeats++
			mu.Unlock()
		}
		return [][]byte{d.data}
	}
	var cerr error
	done := make(chan struct{})
	go func() {
		client, cerr = l.client.Run(l.t.Context())
		close(done)
	}()
	server, err := l.server.Run(l.t.Context())
	if err != nil {
		l.t.Fatalf("server: %v", err)
	}
	for answered := 1; ; {
		select {
		case <-done:
			l.wg.Wait()
			if cerr != nil {
				l.t.Fatalf("client: %v", cerr)
			}
			return client, server
		case <-time.After(10 * time.Millisecond):
			mu.Lock()
			again := repeats > answered
			answered = max(answered, repeats)
			mu.Unlock()
			if again {
				l.clearServer(server)
			}
		}
	}
}

// TestConnectionIDLoss drops each datagram of a handshake in turn; it still completes.
func TestConnectionIDLoss(t *testing.T) {
	for _, toServer := range []bool{true, false} {
		for n := range 3 {
			t.Run(fmt.Sprintf("toServer=%v/%d", toServer, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLink(t, Config{ConnectionID: clientID}, Config{ConnectionID: serverID})
					c, s := l.repaired(func(d datagram) bool { return d.toServer == toServer && d.n == n })
					exchange(t, c, s, "from the client")
					exchange(t, s, c, "from the server")
				})
			})
		}
	}
}

// TestConnectionIDNumbers watches every protected record that leaves, through a
// handshake with retransmissions and a session after it: no number carries two
// different ciphertexts. The last flight of the server is among them, byte for byte.
func TestConnectionIDNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{ConnectionID: clientID}, Config{ConnectionID: serverID})
		drops := 0
		c, s := l.repaired(func(d datagram) bool {
			if !d.toServer && changesCipher(d.data) && drops < 3 {
				drops++
				return true
			}
			return false
		})
		if len(s.LastFlight) != 1 || !changesCipher(s.LastFlight[0]) {
			t.Fatalf("last flight %x", s.LastFlight)
		}
		flights := 0
		for _, d := range l.log {
			if bytes.Equal(d.data, s.LastFlight[0]) {
				flights++
			}
		}
		if flights != 4 {
			t.Errorf("the last flight was sent %d times, want 4", flights)
		}
		for i := range 2000 {
			from, to := s, i%2 == 0
			if to {
				from = c
			}
			rec, err := from.Seal.Seal(nil, []byte("data"), record.ApplicationData, new(record.Scratch))
			if err != nil {
				t.Fatal(err)
			}
			l.log = append(l.log, datagram{toServer: to, data: rec})
		}
		checkNumbers(t, l.log)
	})
}

// TestConnectionIDEarly lets data overtake the Finished: all of it is kept and opens,
// of whatever kind and length, and nothing of it disturbs the handshake.
func TestConnectionIDEarly(t *testing.T) {
	type message struct {
		typ  record.ContentType
		text string
	}
	early := []message{
		{record.ApplicationData, "early"},
		{record.ApplicationData, strings.Repeat("f", finishedLen-1)}, // as long as a Finished
		{record.ApplicationData, strings.Repeat("g", finishedLen-1)},
		{record.Alert, "\x01\x00"}, // close_notify, which would end pion's handshake
		{record.Handshake, "\x00\x00\x00\x00"},
		{record.ApplicationData, ""},
		{record.ApplicationData, strings.Repeat("x", 1400)},
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{ConnectionID: clientID}, Config{ConnectionID: serverID})
		var held [][]byte
		l.filter = func(d datagram) [][]byte {
			if !d.toServer && changesCipher(d.data) { // the server's last flight waits
				held = append(held, d.data)
				return nil
			}
			return [][]byte{d.data}
		}
		var c *Result
		var cerr error
		var wg sync.WaitGroup
		wg.Go(func() { c, cerr = l.client.Run(t.Context()) })
		s, err := l.server.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range early {
			rec, err := s.Seal.Seal(nil, []byte(m.text), m.typ, new(record.Scratch))
			if err != nil {
				t.Fatal(err)
			}
			l.client.Handle(rec)
		}
		synctest.Wait()
		for _, b := range held {
			l.client.Handle(b)
		}
		wg.Wait()
		if cerr != nil {
			t.Fatal(cerr)
		}
		var got []message
		for _, rec := range l.client.Early() {
			h, rec, _, err := record.Split(rec)
			if err != nil {
				t.Fatal(err)
			}
			var tmp record.Scratch
			b, err := c.Open.Open(h, rec, &tmp)
			if err != nil {
				t.Fatalf("number %d: %v", h.Seq, err)
			}
			got = append(got, message{tmp.Type(), string(b)})
		}
		if !slices.Equal(got, early) {
			t.Errorf("early records %q, want %q", got, early)
		}
		exchange(t, c, s, "and on")
		exchange(t, s, c, "and back")
		l.wg.Wait()
	})
}

// TestConnectionIDEarlyBounds: what cannot be told from a Finished is bounded, too,
// and a stranger who sends it does not keep the true one out.
func TestConnectionIDEarlyBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, Config{ConnectionID: clientID}, Config{ConnectionID: serverID})
		forged := append([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0}, clientID[:]...)
		forged = append(forged, 0, finishedLen+24)
		forged = append(forged, make([]byte, finishedLen+24)...)
		l.filter = func(d datagram) [][]byte {
			if d.toServer {
				return [][]byte{d.data}
			}
			return [][]byte{forged, d.data, forged}
		}
		for range maxEarly {
			l.client.Handle(forged[:len(forged):len(forged)])
		}
		if n := len(l.client.pipe.early); n != maxEarly {
			t.Errorf("%d early records, want %d", n, maxEarly)
		}
		if n := len(l.client.pipe.finished); n != maxFinished {
			t.Errorf("%d records like a Finished, want %d", n, maxFinished)
		}
		c, s := l.mustRun()
		exchange(t, c, s, "works")
	})
}

// TestConnectionIDOfPion holds sessions with pion itself, whose IDs may be of any
// length, in both roles.
func TestConnectionIDOfPion(t *testing.T) {
	for _, size := range []int{0, 1, 8, record.MaxIDLen, record.MaxIDLen + 1} {
		for _, server := range []bool{false, true} {
			t.Run(fmt.Sprintf("length=%d/server=%v", size, server), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { withPion(t, size, server) })
			})
		}
	}
}

// withPion holds a session with pion, whose ID has size bytes. server says who we are.
func withPion(t *testing.T, size int, server bool) {
	toPion := newPipe(!server, nil, nil) // its queue, as the network
	var h *Handshake
	cfg := Config{Server: server, Certificate: identity(t, "ECDSA"), ConnectionID: clientID}
	h, err := New(cfg, func(b []byte) { toPion.in <- bytes.Clone(b) })
	if err != nil {
		t.Fatal(err)
	}
	toPion.send = func(b []byte) { h.Handle(b) }
	id := bytes.Repeat([]byte{9}, size)
	options := []dtls.Option{
		dtls.WithCertificates(identity(t, "ECDSA")), dtls.WithInsecureSkipVerify(true),
		dtls.WithConnectionIDGenerator(func() []byte { return id }),
	}
	pion := pionConn(t, toPion, !server, options)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- pion.HandshakeContext(ctx) }()
	r, err := h.Run(t.Context())
	if size > record.MaxIDLen {
		if err == nil {
			t.Error("an ID that is too long was accepted")
		}
		cancel()
		<-ended
		pion.Close()
		return
	}
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	if got, want := r.Seal.Overhead(), r.Suite.Overhead()+min(1, size)+size; got != want {
		t.Errorf("overhead of %d, want %d", got, want)
	}
	rec, err := r.Seal.Seal(nil, []byte("to pion"), record.ApplicationData, new(record.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	toPion.in <- rec
	b := make([]byte, 100)
	if n, err := pion.Read(b); err != nil || string(b[:n]) != "to pion" {
		t.Errorf("pion opens %q, %v", b[:n], err)
	}
	var got []byte
	toPion.send = func(b []byte) { got = bytes.Clone(b) }
	if _, err := pion.Write([]byte("from pion")); err != nil {
		t.Fatal(err)
	}
	if got, err := openRecord(r.Open, got); err != nil || string(got) != "from pion" {
		t.Errorf("opened %q, %v", got, err)
	}
	pion.Close()
}

// pionConn returns pion's end of a session.
func pionConn(t *testing.T, p *pipe, server bool, options []dtls.Option) *dtls.Conn {
	t.Helper()
	var conn *dtls.Conn
	var err error
	if server {
		all := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true)}
		for _, o := range options {
			all = append(all, o)
		}
		conn, err = dtls.ServerWithOptions(p, p.RemoteAddr(), all...)
	} else {
		var all []dtls.ClientOption
		for _, o := range options {
			all = append(all, o)
		}
		conn, err = dtls.ClientWithOptions(p, p.RemoteAddr(), all...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestConnectionIDOffered: a client of ours offers its ID, and the ClientHello of one
// without is what it was.
func TestConnectionIDOffered(t *testing.T) {
	for _, id := range []*record.ID{nil, clientID} {
		synctest.Test(t, func(t *testing.T) {
			l := newLink(t, Config{ConnectionID: id}, Config{})
			l.mustRun()
			_, rec, _, err := record.Split(l.log[0].data)
			if err != nil {
				t.Fatal(err)
			}
			var hello handshake.MessageClientHello
			if err := hello.Unmarshal(rec[record.HeaderLen+12:]); err != nil {
				t.Fatal(err)
			}
			var offered []byte
			for _, e := range hello.Extensions {
				if e, ok := e.(*extension.ConnectionID); ok {
					offered = e.CID
				}
			}
			if id == nil && offered != nil || id != nil && !bytes.Equal(offered, id[:]) {
				t.Errorf("offered %x, want %x", offered, id)
			}
		})
	}
}

// TestConnectionIDRefusal: who is refused in a handshake with IDs learns why.
func TestConnectionIDRefusal(t *testing.T) {
	refusal := errors.New("we do not know this one")
	refuse := func([][]byte) error { return refusal }
	for _, server := range []bool{false, true} {
		t.Run(fmt.Sprintf("server=%v", server), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, other := Config{ConnectionID: clientID}, Config{ConnectionID: serverID}
				if server {
					other.Verify = refuse
				} else {
					client.Verify = refuse
				}
				l := newLink(t, client, other)
				_, _, ours, theirs := l.run()
				if server {
					ours, theirs = theirs, ours
				}
				if !errors.Is(ours, refusal) {
					t.Errorf("our error: %v, want the refusal", ours)
				}
				var a *AlertError
				if !errors.As(theirs, &a) || a.Description != alert.BadCertificate {
					t.Errorf("the peer's error: %v, want bad_certificate", theirs)
				}
				for _, d := range l.log {
					if h, ok := record.Peek(d.data); ok && h.Epoch == 0 && h.Type == record.WithID {
						t.Errorf("an ID in clear: %x", d.data)
					}
				}
			})
		})
	}
}

func TestInClear(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct{ name, b, want string }{
		{"an alert", "15fefd 0000 000000000007 0002 0228", ""},
		{"an alert with an ID", "19fefd 0000 000000000007 01020304 0003 022a15", "15fefd 0000 000000000007 0002 022a"},
		{"with one of a byte", "19fefd 0000 000000000007 09 0003 022a15", "15fefd 0000 000000000007 0002 022a"},
		{"protected", "19fefd 0001 000000000007 01020304 0003 022a15", ""},
		{"cut", "19fefd 0000 000000000007 0003 02", ""},
		{"nothing", "", ""},
	} {
		if c.want == "" {
			c.want = c.b
		}
		if got := inClear(unhex(c.b)); !bytes.Equal(got, unhex(c.want)) {
			t.Errorf("%s: %x, want %s", c.name, got, c.want)
		}
	}
}
