package rdv

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// TestChannel has two clients from the first KNOCK to the end, with the log of -v.
func TestChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial()
		y := a.client(t, epB, "bob", "10.9.0.2").dial()
		x.register(ip1)
		y.register(ip2)
		a.wantLog(
			"Server listening on port 57888",
			"Authenticated channel with alice at 203.0.113.21:49380",
			"Authenticated channel with bob at 203.0.113.22:39538",
			"Adding new client [203.0.113.21/49380] 10.9.0.1",
			"Adding new client [203.0.113.22/39538] 10.9.0.2")

		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		if m := x.wants(channel.Peer); !m.Authentic || len(m.Endpoints) != 1 || m.Endpoints[0] != epB {
			t.Errorf("PEER %+v", m)
		}
		m := y.wants(channel.Introduce)
		if again := y.wants2(500*time.Millisecond, channel.Introduce); again.ID != m.ID {
			t.Errorf("repeated with id %d, not %d", again.ID, m.ID)
		}
		y.say(channel.Message{Type: channel.Done, ID: m.ID})
		y.silence()
		a.wantLog("New connection from 10.9.0.1 to 10.9.0.2")
		x.pings(wire.Pong)
		x.say(channel.Message{Type: channel.Finished, VPN: []netip.Addr{ip2}})
		x.wants(channel.Done)
		a.wantLog("Remove connection from 10.9.0.1 to 10.9.0.2")

		x.say(channel.Message{Type: channel.Bye})
		x.pings(wire.Reconnect)
		y.record(record.Alert, []byte{1, 0}) // close_notify
		y.pings(wire.Reconnect)
		a.wantLog(
			"Deleting the client [203.0.113.21/49380] 10.9.0.1",
			"Channel with alice at 203.0.113.21:49380 is over: it leaves",
			"Deleting the client [203.0.113.22/39538] 10.9.0.2",
			"Channel with bob at 203.0.113.22:39538 is over: its client has closed it")
		s := a.Stats()
		if s.Channels != 0 || s.HalfOpen != 0 || s.Established != 2 || s.Handshakes != 2 || s.Failed != 0 || s.Knocks != 2 || s.Dropped.Forged != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestHandshakeRefused has those who get no channel, and what the log says of it.
func TestHandshakeRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		leaf func(t *testing.T, a *authority) *pkitest.Leaf
		edit func(*handshake.Config)
		want string // in the log
	}{
		{"another authority", func(t *testing.T, a *authority) *pkitest.Leaf {
			return pkitest.NewCA(t, "other", time.Now()).Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
		}, nil, "issuer"},
		{"an authority of the same name", func(t *testing.T, a *authority) *pkitest.Leaf {
			return pkitest.NewCA(t, "ca", time.Now()).Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
		}, nil, "not its key"},
		{"self-signed", func(t *testing.T, a *authority) *pkitest.Leaf {
			return pkitest.SelfSigned(t, "alice", time.Now(), pkitest.Addrs("10.9.0.1"))
		}, nil, "self-signed"},
		{"expired", func(t *testing.T, a *authority) *pkitest.Leaf {
			return a.ca.Issue(t, "alice", pkitest.Valid(time.Now().AddDate(0, 0, -2), time.Now().AddDate(0, 0, -1)))
		}, nil, "expired"},
		{"not yet valid", func(t *testing.T, a *authority) *pkitest.Leaf {
			return a.ca.Issue(t, "alice", pkitest.Valid(time.Now().AddDate(0, 0, 1), time.Now().AddDate(0, 0, 2)))
		}, nil, "not valid before"},
		{"revoked", func(t *testing.T, a *authority) *pkitest.Leaf {
			l := a.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
			a.SetTrust(a.trust(t, l.Cert))
			return l
		}, nil, "revoked"},
		{"for servers only", func(t *testing.T, a *authority) *pkitest.Leaf {
			return a.ca.Issue(t, "alice", pkitest.ExtUsage(x509.ExtKeyUsageServerAuth))
		}, nil, "clientAuth"},
		{"a rendezvous server's", func(t *testing.T, a *authority) *pkitest.Leaf { return a.rdv },
			nil, "one for a rendezvous server"},
		{"another protocol", nil, func(c *handshake.Config) { c.Protocols = []string{"campagnol/1"} }, "handshake with"},
		{"no protocol", nil, func(c *handshake.Config) { c.Protocols = nil }, "campagnol-rdv/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := serve(t, Mixed)
				defer a.end()
				d := a.client(t, epA, "alice", "10.9.0.1")
				if c.leaf != nil {
					d.leaf = c.leaf(t, a)
				}
				synctest.Wait()
				d.knock()
				err := d.shake(c.edit)
				a.wantLine(c.want)
				if s := a.Stats(); s.Established != 0 || s.Failed == 0 || s.Channels != 0 || s.HalfOpen != 0 {
					t.Errorf("client: %v; stats %+v", err, s)
				}
				if err == nil { // it has learnt of it from nobody: its records go nowhere
					d.say(channel.Message{Type: channel.Register, VPN: []netip.Addr{ip1}})
					d.silence()
				}
				d.pings(wire.Reconnect)
			})
		})
	}
}

// TestReplay: what was recorded and is sent again does nothing.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		x.wants(channel.Refused)
		for _, b := range x.sent {
			x.hub.from(x.at, b)
		}
		x.silence()
		if got := a.Stats().Dropped.Replayed; got != 2 {
			t.Errorf("%d replayed records counted, want 2", got)
		}
		for _, b := range x.sent { // from elsewhere
			x.hub.from(epB, b)
		}
		synctest.Wait()
		if got := a.Stats().Dropped.Stray; got != 2 {
			t.Errorf("%d stray records counted, want 2", got)
		}
		// A REGISTER of an older channel, after the client has left.
		old := x.sent[0]
		x.say(channel.Message{Type: channel.Bye})
		x.hub.from(x.at, old)
		x.silence()
		x.dial()
		x.hub.from(x.at, old)
		x.silence()
		if s := a.Stats(); s.Clients != 0 || s.Dropped.Forged != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestForged: whoever writes the endpoint of a client on a datagram gets nowhere.
func TestForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		for _, m := range []wire.Message{hello(ip1), hello(ip9), ask(ip2), closing(ip2), bye} {
			a.hub.from(epA, m.Append(nil))
		}
		for i := range 100 {
			b := bytes.Clone(x.sent[0])
			b[3+7] = byte(100 + i) // another number
			a.hub.from(epA, b)
		}
		a.hub.from(epA, y.sent[0])                        // another client's
		a.hub.from(epA, bytes.Repeat(x.sent[0][:29], 40)) // many in one datagram
		for _, b := range [][]byte{
			hexBytes(t, "15fefd0000000000000001 0002 0100"), // close_notify in clear
			hexBytes(t, "15fefd0000000000000001 0002 0228"), // handshake_failure in clear
			hexBytes(t, "16fefd0000000000000000 0000"),
			{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0xff, 0xff},
		} {
			a.hub.from(epA, b)
		}
		x.silence()
		s := a.Stats()
		if s.Clients != 2 || s.Channels != 2 || s.Dropped.Clear != 5 || s.Dropped.Forged < 100 || s.Dropped.Forged > 110 {
			t.Errorf("stats %+v", s)
		}
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
		x.wants(channel.Peer)
	})
}

// TestShadow: a handshake at the endpoint of a client replaces its channel only
// when it succeeds.
func TestShadow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		first := *x
		var hellos [][]byte

		// Forged: in clear, or with a cookie that is none. Nothing begins.
		hs, err := handshake.New(handshake.Config{Certificate: pkiTLS(t, x.leaf)}, func(b []byte) { hellos = append(hellos, bytes.Clone(b)) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		hs.Run(ctx)
		cancel()
		a.hub.from(epA, hellos[0])
		a.hub.from(epA, wire.GateMessage{Type: wire.Admit, Data: hellos[0]}.Append(nil))
		y := a.client(t, epB, "bob", "10.9.0.2")
		y.knock()
		a.hub.from(epA, wire.GateMessage{Type: wire.Admit, Cookie: y.cookie, Data: hellos[0]}.Append(nil)) // another's
		x.silence()
		if s := a.Stats(); s.Handshakes != 1 || s.Dropped.BadCookie != 2 {
			t.Errorf("stats %+v", s)
		}

		// Somebody else at the endpoint, who cannot authenticate.
		stranger := a.clientWith(t, epA, pkitest.SelfSigned(t, "eve", time.Now(), pkitest.Addrs("10.9.0.1")))
		stranger.knock()
		stranger.shake(nil)
		if s := a.Stats(); s.Failed != 1 || s.Channels != 1 || s.Clients != 1 {
			t.Errorf("stats %+v", s)
		}
		a.hub.mu.Lock()
		a.hub.clients[epA] = x
		a.hub.mu.Unlock()
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip9}})
		x.wants(channel.Refused)

		// The client itself: the registration goes on over the new channel.
		x.dial()
		if s := a.Stats(); s.Channels != 1 || s.Clients != 1 || s.Established != 2 {
			t.Errorf("stats %+v", s)
		}
		x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip9}})
		x.wants(channel.Refused)
		first.say(channel.Message{Type: channel.Bye}) // under the keys that are gone
		x.silence()
		x.register(ip1)
	})
}

// TestRepeatedLastFlight: a client that does not get the end of the handshake is
// told again.
func TestRepeatedLastFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1")
		x.knock()
		lost := 0
		err := x.shakeThrough(func(b []byte) bool {
			if h, err := record.ParseHeader(b); err == nil && h.Type == record.ChangeCipherSpec && lost < 2 {
				lost++
				return false
			}
			return true
		})
		if err != nil || lost != 2 {
			t.Fatalf("handshake: %v; lost %d times", err, lost)
		}
		x.register(ip1)
		if s := a.Stats(); s.Handshakes != 1 || s.Established != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestEarlyRegister: what a client says before control knows that its handshake is
// over is not lost, and who forges more of it gets nowhere.
func TestEarlyRegister(t *testing.T) {
	s, ca := idleServer(t, Mixed)
	leaf := ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"))
	now, at := time.Now(), nthEndpoint(0)
	server, client := keysOf(t, 1, leaf.Raw())
	hs, err := handshake.New(handshake.Config{Server: true, Certificate: pkiTLS(t, leaf)}, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	running := &attempt{hs: hs, spot: spot{AddrPort: at}, local: here, trust: s.trust.Load(), cancel: func() {},
		peer: &pki.Peer{Name: "alice", Addrs: []netip.Addr{ip1}}}
	s.attempts[spot{AddrPort: at}] = running
	s.admission.admit(now, at.Addr())
	msg := register(1, ip1)
	rec, err := client.Seal.Seal(nil, msg.Append(nil), record.ApplicationData, new(record.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	b := &batch{}
	arrive(t, s, now, b, at, append(bytes.Clone(rec), make([]byte, maxRecordLen)...)) // too long
	arrive(t, s, now, b, at, rec)
	clear(b.data) // the buffer is used again
	for range 100 {
		arrive(t, s, now, b, at, hexBytes(t, "17fefd0001000000000009 0001 00"))
	}
	if len(running.early) != maxEarly {
		t.Errorf("%d datagrams are kept, want %d", len(running.early), maxEarly)
	}
	s.handleEnd(t.Context(), now, attemptEnd{running, server, nil})
	if s.registry.Len() != 1 || s.admission.open != 0 || len(s.attempts) != 0 {
		t.Errorf("%d clients, %d and %d handshakes", s.registry.Len(), s.admission.open, len(s.attempts))
	}
	s.handleEnd(t.Context(), now, attemptEnd{running, server, nil}) // it is over already
	if got := s.Stats().Established; got != 1 {
		t.Errorf("%d established", got)
	}
}

// TestTaken: what a client can say in a handshake is bounded.
func TestTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1")
		x.knock()
		x.admit(helloOf(t, x.leaf))
		for range 200 { // fragments of a Certificate that never ends
			b := hexBytes(t, "16fefd0000000000000005 03f4 0b0f0000 0001 000100 0003e8")
			x.admit(append(b, make([]byte, 1000)...))
		}
		synctest.Wait()
		time.Sleep(handshakeTime + time.Second)
		synctest.Wait()
		if s := a.Stats(); s.HalfOpen != 0 || s.Failed != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestUnreadableMessages has what a client may say that is no message. It is told
// so, but for what could be an answer to that.
func TestUnreadableMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		for _, c := range []struct {
			name, hex string
			want      channel.Reason // 0: no answer
		}{
			{"another version", "02 01 00000007 0001", channel.Unsupported},
			{"half a field", "01 01 00000007 0001", channel.Malformed},
			{"an address of five bytes", "01 04 00000007 0001 0005 0102030405", channel.Malformed},
			{"nothing", "", 0},
			{"half an id", "01 01 0000", 0},
			{"a refusal of another version", "02 03 00000007", 0},
			{"a refusal that is cut", "01 03 00000007 0004", 0},
		} {
			x.record(record.ApplicationData, hexBytes(t, c.hex))
			if c.want == 0 {
				x.silence()
				continue
			}
			if m := x.wants(channel.Refused); m.ID != 7 || m.Reason != c.want {
				t.Errorf("%s is answered with %+v", c.name, m)
			}
		}
		if got := a.Stats().Dropped.Malformed; got != 7 {
			t.Errorf("%d counted, want 7", got)
		}
		for _, alert := range [][]byte{{}, {1}, {1, 90}, {1, 100}} { // warnings, or nothing
			x.record(record.Alert, alert)
		}
		x.record(record.Handshake, []byte{20, 0, 0, 12})
		x.silence()
		x.record(record.Alert, []byte{2, 40})
		x.pings(wire.Reconnect)
		a.wantLine("its client reports an error")
	})
}

// TestRenegotiation: within a channel there is none (RFC 5246 section 7.2.2). Once
// it has said something, a client is not even told.
func TestRenegotiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial()
		synctest.Wait()
		x.record(record.Handshake, []byte{1, 0, 0, 0})
		if typ, b := x.hear(); typ != record.Alert || len(b) != 2 || b[0] != 1 || b[1] != 100 {
			t.Errorf("the server says %x (record %d), want no_renegotiation", b, typ)
		}
		x.register(ip1)
		time.Sleep(time.Second)
		x.record(record.Handshake, []byte{1, 0, 0, 0})
		x.silence()
	})
}

// TestChannelDebug has the lines of -d and -d -d.
func TestChannelDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serveLogging(t, Mixed, 2)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		x.record(record.ApplicationData, []byte{1})
		x.silence()
		x.pings(wire.Pong)
		got := a.lines()
		for _, want := range []string{
			"<< REGISTER received from 203.0.113.21:49380 (alice)",
			"VPN:[10.9.0.1]",
			">> REGISTERED sent to client 203.0.113.21:49380 (alice)",
			"<< message that cannot be read received from 203.0.113.21:49380 (alice)",
			"<< PING received from 203.0.113.21:49380 (10.9.0.1)",
			">> PONG sent to client 203.0.113.21:49380",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in the log:\n%s", want, got)
			}
		}
	})
}
