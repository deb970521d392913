package rdv

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/pki/pkitest"
	"campagnol/pki/policy"
	"campagnol/punch"
	"campagnol/rdv/channel"
	"campagnol/rdv/relay"

	"github.com/pion/stun/v4"
)

// relayFor is a request for credentials.
func relayFor(id uint32, peer ...netip.Addr) channel.Message {
	return channel.Message{Type: channel.Relay, ID: id, VPN: peer}
}

// grants makes a registry issue credentials that name whose they are.
func (s *stage) grants() {
	s.reg.cfg.Grant = func(now time.Time, vpn netip.Addr) RelayGrant {
		return RelayGrant{User: now.Format(time.TimeOnly) + " " + vpn.String(), Password: "pw", Lifetime: time.Minute}
	}
}

// asksRelay returns the answer to a request for credentials, in words.
func (s *stage) asksRelay(m *Member, req channel.Message) string {
	s.t.Helper()
	out := s.hears(m, req)
	if len(out) != 1 || out[0].Member != m || out[0].Answer.ID != req.ID {
		s.t.Fatalf("answered %v", s.told(out))
	}
	a := out[0].Answer
	if a.Type == channel.Refused {
		return a.Reason.String()
	}
	return a.Type.String() + " " + a.User + " " + string(a.Password) + " " + time.Duration(a.Lease).String()
}

// TestGrant: who is registered gets credentials, always on the same account, for a
// peer that is there.
func TestGrant(t *testing.T) {
	s := newStage(t, Mixed, 0)
	a, b := s.join(epA, alice), s.join(epB, bob)
	granted := func(account string) string { return "RELAYED 00:00:10 " + account + " pw 60ns" }
	s.says(a, relayFor(1, ip2), "alice REFUSED: "+channel.Unsupported.String())
	s.grants()
	s.at(time.Second) // those who are silent for 10 s are forgotten
	s.says(a, register(2, ip6), "alice"+registered+"203.0.113.21:49380")
	s.at(9 * time.Second)
	s.says(b, register(2, ip2), "bob"+registered+"203.0.113.22:39538")
	s.now = 10 * time.Second
	for _, c := range []struct {
		name string
		m    *Member
		req  channel.Message
		want string
	}{
		{"alice, who has registered her IPv6 address", a, relayFor(3, ip2), granted("10.9.0.1")},
		{"bob", b, relayFor(4, ip6), granted("10.9.0.2")},
		{"for nobody", a, relayFor(5, ip9), channel.Unknown.String()},
		{"without saying for whom", a, relayFor(6), channel.Malformed.String()},
		{"for two", a, relayFor(7, ip2, ip6), channel.Malformed.String()},
	} {
		if got := s.asksRelay(c.m, c.req); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	s = newStage(t, Mixed, 0)
	s.grants()
	s.says(s.join(epA, alice), relayFor(1, ip2), "alice REFUSED: "+channel.Strangers.String())
	if got := s.asksRelay(s.join(epC, Identity{Key: [32]byte{9}, Name: "ca", Authority: true}), relayFor(1, ip2)); got != channel.Denied.String() {
		t.Errorf("the authority: %q", got)
	}
}

// TestGrantPolicy: a policy has to allow that this server relays for the pair; who may
// not talk with a peer is told of it what is told of nobody.
func TestGrantPolicy(t *testing.T) {
	ca := pkitest.NewCA(t, "CA", time.Now())
	certified := func(id Identity, addr string) Identity {
		id.Leaf = ca.Issue(t, id.Name, pkitest.Addrs(addr)).Cert.Raw
		return id
	}
	s := newStage(t, Mixed, 0)
	s.grants()
	a, b := s.join(epA, certified(alice, "10.9.0.1")), s.join(epB, certified(bob, "10.9.0.2"))
	s.says(a, register(1, ip1), "alice"+registered+"203.0.113.21:49380")
	s.says(b, register(1, ip2), "bob"+registered+"203.0.113.22:39538")
	for _, c := range []struct {
		name, rules, want string
	}{
		{"no word of relays", "default allow\n", channel.Forbidden.String()},
		{"through us", "default allow\nallow relay: all <-> all through rdv\n", "RELAYED"},
		{"through another", "default allow\nallow relay: all <-> all through hub\n", channel.Forbidden.String()},
		{"others", "default allow\nallow relay: carol <-> all through rdv\n", channel.Forbidden.String()},
		{"no talk", "default deny\nallow relay: all <-> all through rdv\n", channel.Unknown.String()},
	} {
		s.events = nil
		s.reg.SetRules(rules(t, c.rules))
		s.reg.SetVia(policy.Member{Names: []string{"rdv"}})
		if got := s.asksRelay(a, relayFor(2, ip2)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if (c.want == "RELAYED") != (len(s.events) == 0) {
			t.Errorf("%s: events %+v", c.name, s.events)
		}
	}
}

// A relaying is a server with a relay.
type relaying struct {
	*authority
	mu      sync.Mutex
	sockets []*memConn // of allocations
}

func serveRelay(t *testing.T) *relaying {
	t.Helper()
	r := &relaying{}
	r.authority = serveWith(t, Mixed, 0, func(cfg *Config) {
		cfg.RelaySecret = relay.NewSecret()
		cfg.RelayAddrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:57888")}
		cfg.Relay = relay.New(relay.Config{
			Links: []relay.Link{cfg.Conn}, Secret: cfg.RelaySecret, Log: cfg.Log,
			Own: func() []netip.Addr { return []netip.Addr{here} },
			Listen: func(netip.AddrPort) (punch.Conn, error) {
				c := newMemConn()
				r.mu.Lock()
				defer r.mu.Unlock()
				r.sockets = append(r.sockets, c)
				return c, nil
			},
		})
	})
	return r
}

// request sends a request of TURN in the name of an endpoint, and returns the answer.
func (r *relaying) request(d *dialer, method stun.Method, attrs ...stun.Setter) *stun.Message {
	d.t.Helper()
	q := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)...)
	r.hub.from(d.at, q.Raw)
	m := &stun.Message{Raw: d.next()}
	if err := m.Decode(); err != nil || m.TransactionID != q.TransactionID {
		d.t.Fatalf("%v is answered with %x: %v", method, m.Raw, err)
	}
	return m
}

type setAttr struct {
	typ   stun.AttrType
	value []byte
}

func (a setAttr) AddTo(m *stun.Message) error {
	m.Add(a.typ, a.value)
	return nil
}

// channelTo is what binds channel 0x4000 to an address.
type channelTo netip.AddrPort

func (c channelTo) AddTo(m *stun.Message) error {
	a := netip.AddrPort(c)
	m.Add(stun.AttrChannelNumber, []byte{0x40, 0, 0, 0})
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// allocates gets credentials over the channel and a relayed address with them, and
// returns what signs further requests.
func (r *relaying) allocates(d *dialer, peer netip.Addr) []stun.Setter {
	d.t.Helper()
	d.say(relayFor(0, peer))
	g := d.wants(channel.Relayed)
	if len(g.Endpoints) != 1 || g.Endpoints[0].Addr() != here || g.Lease != uint32(relay.Lifetime/time.Second) {
		d.t.Errorf("RELAYED %+v", g)
	}
	udp := setAttr{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	m := r.request(d, stun.MethodAllocate, udp)
	var nonce stun.Nonce
	var realm stun.Realm
	if nonce.GetFrom(m) != nil || realm.GetFrom(m) != nil {
		d.t.Fatalf("a stranger is answered %v", m)
	}
	sign := []stun.Setter{stun.NewUsername(g.User), nonce, realm, stun.NewLongTermIntegrity(g.User, realm.String(), string(g.Password))}
	m = r.request(d, stun.MethodAllocate, append([]stun.Setter{udp}, sign...)...)
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil || relayed.IP.String() != here.String() {
		d.t.Fatalf("allocate: %v, %v", m, err)
	}
	return sign
}

// TestRelaying: a member gets credentials over its channel, a relayed address with
// them, and has data relayed; when it is revoked, that is over.
func TestRelaying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRelay(t)
		defer r.end()
		x := r.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		r.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		sign := r.allocates(x, ip2)
		peer := netip.MustParseAddrPort("203.0.113.99:7000")
		if m := r.request(x, stun.MethodChannelBind, append([]stun.Setter{channelTo(peer)}, sign...)...); m.Type.Class != stun.ClassSuccessResponse {
			t.Fatalf("channel: %v", m)
		}
		socket := r.sockets[0]
		// In one batch with another protocol, cut by the kernel.
		r.hub.in <- []punch.Datagram{{Addr: epA, Local: here, Segment: 6, Data: []byte("\x40\x00\x00\x02hi\x40\x00\x00\x02ho\xffbcdef\x40\x00\x00\x01!")}}
		synctest.Wait()
		socket.mu.Lock()
		sent := socket.sent
		socket.mu.Unlock()
		if len(sent) != 2 || string(sent[0].Data) != "hiho" || sent[0].Segment != 2 || sent[0].Addr != peer || string(sent[1].Data) != "!" {
			t.Errorf("sent to the peer %+v", sent)
		}
		socket.in <- []punch.Datagram{{Addr: peer, Data: []byte("yes")}}
		if b := x.next(); string(b) != "\x40\x00\x00\x03yes" {
			t.Errorf("sent to the client %q", b)
		}
		s := r.Stats()
		if s.Grants != 1 || s.Relay.Allocations != 1 || s.Relay.ToPeers != 3 || s.Relay.ToClients != 1 || s.Dropped.Malformed != 1 {
			t.Errorf("stats %+v", s)
		}
		r.wantLine("10.9.0.1 relays by ")

		r.SetTrust(r.trust(t, x.leaf.Cert))
		synctest.Wait()
		if s := r.Stats(); s.Relay.Allocations != 0 || s.Channels != 1 {
			t.Errorf("after the revocation %+v", s)
		}
		r.wantLine("10.9.0.1 relays no more by ")
	})
}

// TestRelayFlood: who floods the relay from one network takes nothing from members, who
// come from others, and answers to strangers are bounded.
func TestRelayFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRelay(t)
		defer r.end()
		x := r.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		r.client(t, epB, "bob", "10.9.0.2").dial().register(ip2)
		q := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
		for i := range 20 {
			var ds []punch.Datagram
			for j := range 500 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 200, byte(i)}), uint16(1+j))
				ds = append(ds, punch.Datagram{Addr: from, Local: here, Data: q.Raw})
			}
			r.hub.in <- ds
		}
		synctest.Wait()
		r.allocates(x, ip2)
		s := r.Stats()
		if s.Dropped.Relaying < 9000 || s.Relay.Requests > 1000 || s.Relay.Allocations != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestNoRelay: without a relay there is none: its messages are counted as what they
// were.
func TestNoRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, Mixed)
		defer a.end()
		x := a.client(t, epA, "alice", "10.9.0.1").dial().register(ip1)
		x.say(relayFor(0, ip1))
		if m := x.wants(channel.Refused); m.Reason != channel.Unsupported {
			t.Errorf("REFUSED %+v", m)
		}
		q := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
		a.hub.from(epA, q.Raw)
		a.hub.from(epA, []byte("\x40\x00\x00\x01x"))
		if b := x.next(); b != nil {
			t.Errorf("answered %x", b)
		}
		if s := a.Stats(); s.Dropped.OtherProtocol != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}
