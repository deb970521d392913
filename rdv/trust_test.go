package rdv

import (
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// closed expects that the server ends the channel. It may tell of a new list before.
func (d *dialer) closed() {
	d.t.Helper()
	typ, b := d.hear()
	for typ == record.ApplicationData {
		if m, err := channel.Parse(b); err != nil || m.Type != channel.Notice {
			break
		}
		typ, b = d.hear()
	}
	if typ != record.Alert || len(b) != 2 || b[1] != 0 {
		d.t.Errorf("the server says %x (record %d), want close_notify", b, typ)
	}
}

// TestRevokedLater: a new revocation list ends the channels of those on it, and of
// nobody else.
func TestRevokedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		a.SetTrust(a.trust(t))
		x.silence()
		y.silence()
		a.SetTrust(a.trust(t, x.leaf.Cert))
		x.closed()
		y.told(1) // the list is for the clients, too
		x.pings(wire.Reconnect)
		y.pings(wire.Pong)
		a.wantLine("Channel with alice at 203.0.113.21:49380 is over: ")
		x.knock()
		x.shake(nil)
		if s := a.Stats(); s.Channels != 1 || s.Failed != 1 {
			t.Errorf("stats %+v", s)
		}
		// The lists are gone: she may come back.
		a.SetTrust(a.trust(t))
		x.dial().register(ip1)
	})
}

// TestSuspectsFirst: of many members those whom a new list names are checked first.
func TestSuspectsFirst(t *testing.T) {
	s, ca := idleServer(t, Mixed)
	now := time.Now()
	gone := ca.Issue(t, "gone", pkitest.Addrs("10.9.0.1"))
	foreign := pkitest.NewCA(t, "other", now).Issue(t, "x") // refused as well
	const members = 200
	for i := range members {
		leaf := foreign
		if i == 77 {
			leaf = gone
		}
		connect(t, s, now, i, leaf, nthVPN(i))
	}
	s.SetTrust(trustOf(t, ca.Issue(t, "rdv", rendezvous), []*x509.Certificate{ca.Cert}, [][]byte{crlOf(t, ca, 1, now.Add(-time.Minute), gone)}))
	s.renew(now)
	if v := <-s.verdicts; v.member == nil || v.member.at != nthEndpoint(77) || v.err == nil {
		t.Errorf("the first verdict: %+v", v)
	}
	others := 0
	for v := <-s.verdicts; v.member != nil; v = <-s.verdicts {
		others++
	}
	if others != members-1 {
		t.Errorf("%d other verdicts, want %d", others, members-1)
	}
	suspect := s.trust.Load()
	if !suspect.suspects(gone.Cert.Raw) || suspect.suspects(ca.Cert.Raw) || suspect.suspects([]byte("x")) || (*Trust)(nil).suspects(gone.Cert.Raw) {
		t.Error("the wrong ones are suspects")
	}
	close(s.stopped)
	s.helpers.Wait()
}

// TestRenewedDuringAHandshake: who was accepted under settings that do not hold any
// more is checked under those that do.
func TestRenewedDuringAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1")
		x.knock()
		// The new list comes when the certificate has been checked already: the
		// server's last flight is what the client hears next.
		revoked := a.trust(t, x.leaf.Cert)
		x.shakeThrough(func(b []byte) bool {
			if h, err := record.ParseHeader(b); err == nil && h.Type == record.ChangeCipherSpec {
				a.SetTrust(revoked)
			}
			return true
		})
		synctest.Wait()
		if s := a.Stats(); s.Channels != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestExpiresLater: a certificate that expires ends its channel within an hour,
// although its client goes on to PING.
func TestExpiresLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		leaf := a.ca.Issue(t, "alice", pkitest.Addrs("10.9.0.1"), pkitest.Valid(time.Now(), time.Now().Add(90*time.Minute)))
		x := a.clientWith(t, epA, leaf).dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		began := time.Now()
		over := func() bool {
			y.pings(wire.Pong)
			x.hub.from(x.at, ping.Append(nil))
			b := x.next()
			return b == nil || wire.KindOf(b) != wire.KindRendezvous
		}
		for !over() {
			time.Sleep(5 * time.Second)
			if time.Since(began) > 3*time.Hour {
				t.Fatal("the channel outlives its certificate")
			}
		}
		if at := time.Since(began); at < 90*time.Minute || at > 90*time.Minute+recheckInterval {
			t.Errorf("the channel ends after %v", at)
		}
		a.wantLine("expired")
		if s := a.Stats(); s.Channels != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestRecheckAgain: settings that change while certificates are checked are
// applied, too.
func TestRecheckAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		a.SetTrust(a.trust(t, y.leaf.Cert))
		a.SetTrust(a.trust(t, x.leaf.Cert, y.leaf.Cert))
		x.closed()
		y.closed()
	})
}

// TestOpenHasNoChannels: without a certificate there are none, whatever comes.
func TestOpenHasNoChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Open)
		defer a.end()
		a.SetTrust(a.trust(t)) // has no effect
		x := a.client(t, epA, "alice", "10.9.0.1")
		x.hub.from(x.at, wire.GateMessage{Type: wire.Knock, Version: 1}.Append(nil))
		if m, err := wire.ParseGate(x.next()); err != nil || m.Type != wire.Closed {
			t.Errorf("KNOCK is answered with %+v, %v", m, err)
		}
		x.admit(make([]byte, 200))
		x.hub.from(x.at, hexBytes(t, "17fefd0001000000000001 0001 00"))
		x.silence()
		x.hub.from(x.at, hello(ip1).Append(nil))
		if m, err := wire.Parse(x.next()); err != nil || m.Type != wire.OK {
			t.Errorf("HELLO is answered with %+v, %v", m, err)
		}
		if s := a.Stats(); s.Handshakes != 0 || s.Knocks != 0 || s.Dropped.OtherProtocol != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestDowngradeIsLogged once an hour, as a warning.
func TestDowngradeIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		e := a.client(t, epC, "eve", "10.9.0.9")
		a.lines()
		for range 3 {
			e.hub.from(e.at, hello(ip1).Append(nil))
			if m, err := wire.Parse(e.next()); err != nil || m.Type != wire.NOK {
				t.Errorf("HELLO is answered with %v, %v", m, err)
			}
		}
		a.wantLog("warning: 203.0.113.23:1024 asks without authentication for the VPN address 10.9.0.1, which belongs to a client with a certificate; refused")
		x.pings(wire.Pong)
		if got := a.Stats().Dropped.Denied; got != 3 {
			t.Errorf("%d counted, want 3", got)
		}
	})
}
