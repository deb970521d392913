package rdv

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/wire"
	"campagnol/tunnel/record"
)

// forAuthority makes a certificate one for the VPN's authority.
func forAuthority(c *x509.Certificate) { c.URIs = append(c.URIs, pki.AuthorityURI()) }

// trent opens a channel as the VPN's authority, and registers.
func (a *authority) trent(t *testing.T) *dialer {
	t.Helper()
	d := a.clientWith(t, epD, a.ca.Issue(t, "trent", forAuthority)).dial()
	return d.register()
}

// offers has the authority offer an object, and sends what the server asks for.
func (d *dialer) offers(kind channel.ObjectKind, content []byte) {
	d.t.Helper()
	i := newItem(itemKey{kind: kind}, content)
	d.say(channel.Message{Type: channel.Notice, Objects: []channel.Object{i.Object}})
	d.wants(channel.Done)
	for range i.pieces() {
		f := d.wants(channel.Fetch)
		if len(f.Objects) != 1 || f.Objects[0] != i.Object {
			d.t.Fatalf("FETCH %+v", f)
		}
		d.say(channel.Message{Type: channel.Chunk, ID: f.ID, Offset: f.Offset, Data: i.piece(f.Offset)})
	}
	synctest.Wait()
}

// fetches gets an object.
func (d *dialer) fetches(o channel.Object) []byte {
	d.t.Helper()
	var content []byte
	for len(content) < int(o.Size) {
		d.say(channel.Message{Type: channel.Fetch, Objects: []channel.Object{o}, Offset: uint32(len(content))})
		m := d.wants(channel.Chunk)
		if int(m.Offset) != len(content) || len(m.Data) == 0 {
			d.t.Fatalf("CHUNK %+v", m)
		}
		content = append(content, m.Data...)
	}
	if sha256.Sum256(content) != o.Hash {
		d.t.Error("the object has another hash")
	}
	return content
}

// TestRevokedByAuthority: a list that the authority offers ends the channels of those
// on it at once, is with all others within seconds, and with those who come later.
func TestRevokedByAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		state, err := OpenState(dir)
		if err != nil {
			t.Fatal(err)
		}
		a := serveWith(t, Mixed, 0, func(c *Config) { c.State = state })
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		z := a.trent(t)
		a.wantLine("trent at 198.51.100.4:57888 is the VPN's authority")
		var gone []*pkitest.Leaf
		for range 60 { // more than one piece
			gone = append(gone, a.ca.Issue(t, "gone"))
		}
		list := crlOf(t, a.ca, 1, time.Now(), append(gone, x.leaf)...)
		began := time.Now()
		z.offers(channel.CRL, list)
		x.closed()
		x.pings(wire.Reconnect)
		if got := y.fetches(y.told(1)[0]); !bytes.Equal(got, list) {
			t.Error("bob gets another list")
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		a.wantLine("There is a new revocation list from trent: 1 of CN=ca")
		x.knock()
		x.shake(nil)
		late := a.client(t, epC, "carol", "10.9.0.3").dial()
		late.say(channel.Message{Type: channel.Register, VPN: []netip.Addr{ip3}})
		if m := late.wants(channel.Registered); len(m.Objects) != 1 || !bytes.Equal(late.fetches(m.Objects[0]), list) {
			t.Errorf("who comes later is told of %+v", m.Objects)
		}
		pieces := 2 * uint64((len(list)+channel.MaxData-1)/channel.MaxData) // bob's and carol's
		s := a.Stats()
		if pieces < 4 || s.Channels != 3 || s.Failed != 1 || s.ObjectsTaken != 1 || s.ObjectsRefused != 0 || s.Chunks != pieces {
			t.Errorf("stats %+v", s)
		}
		a.wantKept(t, dir, list)
	})
}

// wantKept expects that a server that starts anew has a list.
func (a *authority) wantKept(t *testing.T, dir string, list []byte) {
	t.Helper()
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Conn: nullConn{newMemConn()}, Mode: Mixed, Trust: a.trust(t), State: state})
	s.prepare(time.Now())
	if got := s.registry.push.catalog.all(); len(got) != 1 || got[0].Hash != sha256.Sum256(list) {
		t.Errorf("after a restart there are %+v", got)
	}
}

// TestAuthorityLies has what an authority, or who has stolen its certificate, offers
// in vain: the lists have to be signed by the CA.
func TestAuthorityLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		z := a.trent(t)
		now := time.Now()
		forged := pkitest.NewCA(t, "ca", now)
		for _, c := range []struct {
			content []byte
			log     string
		}{
			{crlOf(t, forged, 1, now, x.leaf), "not signed by it"},
			{crlOf(t, pkitest.NewCA(t, "other", now), 1, now), "not one of ours"},
			{crlOf(t, a.ca, 1, now.Add(time.Hour), x.leaf), "from the future"},
			{[]byte("no list"), "malformed"},
		} {
			z.offers(channel.CRL, c.content)
			a.wantLine(c.log)
		}
		// Another object than was named.
		i := newItem(itemKey{kind: channel.CRL}, crlOf(t, a.ca, 1, now))
		z.say(channel.Message{Type: channel.Notice, Objects: []channel.Object{i.Object}})
		z.wants(channel.Done)
		f := z.wants(channel.Fetch)
		z.say(channel.Message{Type: channel.Chunk, ID: f.ID, Data: bytes.Repeat([]byte{1}, int(i.Size))})
		a.wantLine("its hash is another")
		// Neither its own certificate nor a member's has a say.
		m := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		m.say(channel.Message{Type: channel.Notice, Objects: []channel.Object{i.Object}})
		if r := m.wants(channel.Refused); r.Reason != channel.Denied {
			t.Errorf("a member's offer: %+v", r)
		}
		x.silence()
		x.pings(wire.Pong)
		if s := a.Stats(); s.ObjectsTaken != 0 || s.ObjectsRefused != 5 || s.Channels != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

// asks has a host without certificate ask the authority.
func (d *dialer) asks(id uint32, data string) {
	d.hub.from(d.at, wire.GateMessage{Type: wire.Apply, Cookie: d.cookie, ID: id, Data: []byte(data)}.Append(nil))
}

// gets expects a gate message.
func (d *dialer) gets(want wire.Gate) wire.GateMessage {
	d.t.Helper()
	m, err := wire.ParseGate(d.next())
	if err != nil || m.Type != want {
		d.t.Fatalf("%+v, %v, want %v", m, err, want)
	}
	return m
}

// TestApplyOverServer: a member, and a host without certificate, ask the authority, and
// each gets its answer.
func TestApplyOverServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serveLogging(t, Strict, 1)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		nobody := a.client(t, epB, "nobody")
		nobody.knock()
		nobody.asks(1, "no authority")
		if m := nobody.gets(wire.Reply); m.ID != 1 || len(m.Data) != 0 {
			t.Errorf("REPLY %+v", m)
		}
		z := a.trent(t)
		nobody.asks(2, "let me in")
		x.say(channel.Message{Type: channel.Apply, ID: 2, Data: []byte("renew")})
		for range 2 {
			m := z.wants(channel.Apply)
			if len(m.Endpoints) != 1 {
				t.Fatalf("APPLY %+v", m)
			}
			z.say(channel.Message{Type: channel.Answer, ID: m.ID, Data: append([]byte("answer to "), m.Data...)})
		}
		if m := nobody.gets(wire.Reply); m.ID != 2 || string(m.Data) != "answer to let me in" {
			t.Errorf("REPLY %+v", m)
		}
		if m := x.wants(channel.Answer); m.ID != 2 || string(m.Data) != "answer to renew" {
			t.Errorf("ANSWER %+v", m)
		}
		// Who has not shown its address gets nothing, not even an answer.
		nobody.cookie[5] ^= 1
		nobody.asks(3, "forged")
		nobody.silence()
		z.silence()
		// What was recorded is sent again.
		for _, b := range append(x.sent, z.sent...) {
			a.hub.from(x.at, b)
			a.hub.from(z.at, b)
		}
		x.silence()
		z.silence()
		s := a.Stats()
		if s.Applied != 2 || s.Answered != 2 || s.Dropped.Unanswered != 1 || s.Dropped.BadCookie != 1 || s.HalfOpen != 0 {
			t.Errorf("stats %+v", s)
		}
		a.wantLine(">> REPLY sent to 203.0.113.22:39538")
	})
}

// TestApplyClosed: a server without certificate has no authority.
func TestApplyClosed(t *testing.T) {
	s := New(Config{Conn: nullConn{newMemConn()}, Mode: Open})
	s.prepare(time.Now())
	apply := wire.GateMessage{Type: wire.Apply, ID: 1, Data: []byte("x")}.Append(nil)
	s.receivers[0].sort(time.Now(), punch.Datagram{Addr: epA, Local: here}, apply, &batch{})
	if len(s.receivers[0].gateOut) != 1 || len(s.receivers[0].gateOut[0].Data) > len(apply) || s.receivers[0].gateOut[0].Data[1] != byte(wire.Closed) {
		t.Errorf("APPLY is answered with %x", s.receivers[0].gateOut)
	}
}

// A fakeAuthority answers with what it was asked, and has objects.
type fakeAuthority struct {
	mu      sync.Mutex
	objects []Object
	err     error
	asked   int
	hold    chan struct{} // nil: it answers at once
}

func (f *fakeAuthority) Answer(_ time.Time, from netip.AddrPort, request []byte) []byte {
	f.mu.Lock()
	f.asked++
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return append([]byte(from.String()+" "), request...)
}

func (f *fakeAuthority) Objects(time.Time) ([]Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects, f.err
}

func (f *fakeAuthority) set(err error, objects ...Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects, f.err = objects, err
}

// TestAuthorityInProcess: the authority is in the server's process.
func TestAuthorityInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuthority{}
		a := serveWith(t, Strict, 0, func(c *Config) { c.Authority = f })
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		x.say(channel.Message{Type: channel.Apply, Data: []byte("renew")})
		if m := x.wants(channel.Answer); string(m.Data) != epA.String()+" renew" {
			t.Errorf("ANSWER %+v", m)
		}
		nobody := a.client(t, epB, "nobody")
		nobody.knock()
		nobody.asks(9, "let me in")
		if m := nobody.gets(wire.Reply); m.ID != 9 || string(m.Data) != epB.String()+" let me in" {
			t.Errorf("REPLY %+v", m)
		}
		began := time.Now()
		list := crlOf(t, a.ca, 3, began)
		news := signBulletin(t, began, 1, "", 1, a.ca)
		f.set(nil, Object{channel.CRL, list}, Object{channel.Bulletin, news}, Object{44, []byte("strange")})
		time.Sleep(objectsInterval)
		var names []channel.Object
		for len(names) < 2 { // the first NOTICE may come when only one of them was taken
			m := x.wants(channel.Notice)
			x.say(channel.Message{Type: channel.Done, ID: m.ID})
			names = m.Objects
			time.Sleep(noticeGap)
		}
		if !bytes.Equal(x.fetches(names[0]), list) || !bytes.Equal(x.fetches(names[1]), news) {
			t.Error("other objects are handed out")
		}
		// A list of another CA is taken when the files name that.
		other := pkitest.NewCA(t, "other", began)
		f.set(nil, Object{channel.CRL, crlOf(t, other, 1, began)}, Object{44, []byte("strange")})
		time.Sleep(2 * objectsInterval)
		x.pings(wire.Pong)
		a.SetTrust(trustOf(t, a.rdv, []*x509.Certificate{a.ca.Cert, other.Cert}, nil))
		time.Sleep(2 * objectsInterval)
		if m := x.wants(channel.Notice); len(m.Objects) != 3 {
			t.Errorf("NOTICE %+v", m)
		}
		x.pings(wire.Pong)
		f.set(errors.New("the disk is full"))
		time.Sleep(3 * objectsInterval)
		x.pings(wire.Pong)
		if got := a.lines(); strings.Count(got, "the disk is full") != 1 || strings.Count(got, errKind.Error()) != 1 || strings.Count(got, "not one of ours") != 1 {
			t.Errorf("what is wrong is not said once:\n%s", got)
		}
	})
}

// TestAuthorityHangs: an authority that does not answer holds up nobody but those who
// wait for it, of whom there is a bounded number.
func TestAuthorityHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuthority{hold: make(chan struct{})}
		a := serveWith(t, Strict, 0, func(c *Config) { c.Authority = f })
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		busy := 0
		for n := range 90 {
			x.say(channel.Message{Type: channel.Apply, ID: uint32(1000 + n), Data: []byte("x")})
			synctest.Wait()
			select {
			case b := <-x.inbox:
				h, rec, _, err := record.Split(b)
				if err != nil {
					t.Fatal(err)
				}
				payload, err := x.result.Open.Open(h, rec, &x.tmp)
				if err != nil {
					t.Fatal(err)
				}
				if m, _ := channel.Parse(payload); m.Type != channel.Refused || m.Reason != channel.Busy {
					t.Fatalf("%+v", m)
				}
				busy++
			default:
			}
		}
		if want := 90 - maxRequests - 1; busy != want { // one is being answered
			t.Errorf("%d requests were refused, want %d", busy, want)
		}
		x.pings(wire.Pong)
		time.Sleep(applyTime)
		for range 90 - busy {
			if m := x.wants(channel.Refused); m.Reason != channel.Unreachable {
				t.Errorf("%+v", m)
			}
		}
		close(f.hold)
		synctest.Wait()
		x.silence() // the answers come too late
	})
}

// TestApplyFloodServer: hosts without certificate that ask as much as they can do not
// disturb clients, and the authority gets a bounded number.
func TestApplyFloodServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Strict)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		y := a.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		z := a.trent(t)
		mallory := a.client(t, epC, "mallory")
		mallory.knock()
		const seconds, rate = 5, 1000
		asked := 0
		for n := range seconds * rate {
			mallory.asks(uint32(n), "x")
			time.Sleep(time.Second / rate)
			for len(mallory.inbox) > 0 { // WAIT, or an empty REPLY
				<-mallory.inbox
			}
			for len(z.inbox) > 0 { // it answers nothing
				<-z.inbox
				asked++
			}
			if n%rate == 0 {
				z.hub.from(z.at, ping.Append(nil))
				y.pings(wire.Pong)
				x.pings(wire.Pong)
				x.say(channel.Message{Type: channel.Ask, VPN: []netip.Addr{ip2}})
				x.wants(channel.Peer)
				m := y.wants(channel.Introduce)
				y.say(channel.Message{Type: channel.Done, ID: m.ID})
			}
		}
		if most := int(applyBurst/applyInterval) + 15*seconds + 2*seconds; asked > most || asked < 100 {
			t.Errorf("the authority was asked %d times in %d s, want 100 to %d", asked, seconds, most)
		}
		if s := a.Stats(); s.Dropped.Deferred < seconds*rate/2 || s.Channels != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}
