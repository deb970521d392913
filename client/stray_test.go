package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/tunnel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// idOf returns the connection ID of the peer at peerAt(i).
func idOf(i int) record.ID {
	var id record.ID
	binary.BigEndian.PutUint32(id[:], uint32(i)*2654435761)
	return id
}

// loopID is loop for records with a connection ID.
func loopID(t testing.TB, id record.ID) *handshake.Result {
	t.Helper()
	r := loop(t)
	r.Protocol, r.ConnectionID = tunnel.ProtocolName, &id
	r.Open.Expect(id)
	if err := r.Seal.Identify(id[:]); err != nil {
		t.Fatal(err)
	}
	return r
}

// newPathID is newPath for sessions with connection IDs.
func newPathID(t testing.TB, n int) *path {
	t.Helper()
	p := newPath(t, 0)
	for i := range n {
		vpn, addr := peerAt(i)
		s := tunnel.NewSession(began, vpn, loopID(t, idOf(i)))
		p.tab = p.tab.withRoute(vpn, &route{session: s, addr: addr})
		p.tab = p.tab.withSource(addr, &source{sessions: []*tunnel.Session{s}}).withID(s)
	}
	return p
}

// elsewhere is an address that is no source.
var elsewhere = netip.MustParseAddrPort("198.51.100.77:7777")

// datagrams seals n packets of peer i, each a datagram.
func (p *path) datagrams(i, n int) []punch.Datagram {
	vpn, _ := peerAt(i)
	r, _ := p.tab.route(vpn)
	var ds []punch.Datagram
	for range n {
		rec, _ := r.session.Seal(1, nil, packetTo(vpn, vpn, "stray"), new(record.Scratch))
		ds = append(ds, punch.Datagram{Addr: elsewhere, Data: rec})
	}
	return ds
}

// session returns that of peer i.
func (p *path) session(i int) *tunnel.Session {
	vpn, _ := peerAt(i)
	r, _ := p.tab.route(vpn)
	return r.session
}

// events returns what has been handed to control about sessions.
func (p *path) events() (es []event) {
	for {
		select {
		case e := <-p.in.c.inner:
			es = append(es, e)
		default:
			return es
		}
	}
}

// TestStraySources: where a record with an ID comes from does not matter for its
// delivery. Control is told of what comes from where the session has no source.
func TestStraySources(t *testing.T) {
	_, other := peerAt(1)
	_, own := peerAt(0)
	for _, c := range []struct {
		name   string
		from   netip.AddrPort
		source *source
		report bool
	}{
		{"its own address", own, nil, false},
		{"an unknown address", elsewhere, nil, true},
		{"an IPv6 address", netip.MustParseAddrPort("[2001:db8::7]:7"), nil, true},
		{"that of another peer", other, nil, true},
		{"where a handshake runs", elsewhere, &source{handshaking: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPathID(t, 2)
			if c.source != nil {
				p.tab = p.tab.withSource(c.from, c.source)
			}
			ds := p.datagrams(0, 3)
			ds[0].Data = append(ds[0].Data, p.datagrams(0, 1)[0].Data...) // two records in one
			for i := range ds {
				ds[i].Addr = c.from
			}
			p.in.batch(began.Add(time.Second), p.tab, ds)
			if p.dev.packets != 4 {
				t.Errorf("%d packets delivered, want 4; drops %v", p.dev.packets, p.in.c.drops.Snapshot())
			}
			es := p.events()
			if !c.report {
				if len(es) != 0 {
					t.Errorf("events %+v, want none", es)
				}
				return
			}
			if len(es) != 1 || !es[0].stray || es[0].addr != c.from || es[0].session != p.session(0) || es[0].data != nil {
				t.Errorf("events %+v, want one about %v", es, c.from)
			}
			if n := len(p.in.c.records); n != 0 {
				t.Errorf("%d datagrams for handshakes", n)
			}
		})
	}
}

// TestStrayControl: what is not data is control's, with its kind and where it came from,
// also from elsewhere.
func TestStrayControl(t *testing.T) {
	p := newPathID(t, 1)
	for _, b := range [][]byte{p.session(0).CloseNotify(nil)[0], p.session(0).SealChallenge(7, 0, new(record.Scratch))} {
		p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{{Addr: elsewhere, Data: b}})
	}
	es := p.events()
	if len(es) != 3 || !es[0].stray {
		t.Fatalf("events %+v, want a stray, an alert and a challenge", es)
	}
	for i, want := range []record.ContentType{record.Alert, record.ApplicationData} {
		if e := es[i+1]; e.stray || e.typ != want || e.addr != elsewhere || len(e.data) == 0 {
			t.Errorf("event %+v, want content of type %d from %v", e, want, elsewhere)
		}
	}
}

// TestStrayEvents: however much comes from elsewhere, control hears of it twenty times
// a second for each session.
func TestStrayEvents(t *testing.T) {
	p := newPathID(t, 2)
	for ms := range 500 {
		ds := append(p.datagrams(0, 4), p.datagrams(1, 4)...)
		for i := range ds {
			ds[i].Addr = netip.AddrPortFrom(elsewhere.Addr(), uint16(1+ms*8+i))
		}
		p.in.batch(began.Add(time.Second+time.Duration(ms)*time.Millisecond), p.tab, ds)
	}
	count := map[*tunnel.Session]int{}
	for _, e := range p.events() {
		count[e.session]++
	}
	for i := range 2 {
		if got, want := count[p.session(i)], int(500*time.Millisecond/tunnel.StrayGap); got != want {
			t.Errorf("%d events about session %d in half a second, want %d", got, i, want)
		}
	}
	if p.dev.packets != 500*8 {
		t.Errorf("%d packets delivered, want %d", p.dev.packets, 500*8)
	}
}

// TestStrayForged: a forged record with an ID that somebody has seen costs one
// decryption, however many more are in the datagram, and does nothing but to count.
func TestStrayForged(t *testing.T) {
	p := newPathID(t, 1)
	s := p.session(0)
	good := p.datagrams(0, 1)[0].Data
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	unknown := bytes.Clone(good)
	copy(unknown[11:], []byte{9, 9, 9, 9})
	plain := append([]byte{byte(record.ApplicationData)}, good[1:]...)
	clear := bytes.Clone(good)
	clear[4] = 0 // epoch
	for _, c := range []struct {
		name    string
		b       []byte
		drop    tunnel.Drop
		decrypt int
	}{
		{"forged", forged, tunnel.DropAuth, 1},
		{"forged, twenty times", bytes.Repeat(forged, 20), tunnel.DropAuth, 1},
		{"an ID that nobody has", unknown, tunnel.DropNoPeer, 0},
		{"without ID", plain, tunnel.DropNoPeer, 0},
		{"with an ID, in clear", clear, tunnel.DropEpoch, 0},
		{"cut in the ID", good[:13], tunnel.DropNoPeer, 0},
		{"cut", good[:len(good)-1], tunnel.DropNoPeer, 0},
	} {
		before, failed := p.in.c.drops.Get(c.drop), s.Stats().Drops.Get(tunnel.DropAuth)
		p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{{Addr: elsewhere, Data: bytes.Clone(c.b)}})
		if got := p.in.c.drops.Get(c.drop) - before; got != 1 {
			t.Errorf("%s: counted %d times as %v, want once; drops %v", c.name, got, c.drop, p.in.c.drops.Snapshot())
		}
		if got := s.Stats().Drops.Get(tunnel.DropAuth) - failed; got != uint64(c.decrypt) {
			t.Errorf("%s: %d decryptions, want %d", c.name, got, c.decrypt)
		}
	}
	if es := p.events(); len(es) != 0 || p.dev.packets != 0 {
		t.Errorf("%d packets delivered, events %+v", p.dev.packets, es)
	}
	p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{{Addr: elsewhere, Data: good}})
	if p.dev.packets != 1 {
		t.Error("the genuine record was not delivered afterwards")
	}
}

// TestStrayReplay: a record that comes a second time from elsewhere is a replay, and
// moves nothing: only what is new says where the peer may be.
func TestStrayReplay(t *testing.T) {
	p := newPathID(t, 1)
	_, own := peerAt(0)
	d := p.datagrams(0, 1)[0]
	copied := punch.Datagram{Addr: elsewhere, Data: bytes.Clone(d.Data)}
	d.Addr = own
	p.in.batch(began.Add(time.Second), p.tab, []punch.Datagram{d, copied})
	if p.dev.packets != 1 || p.in.c.drops.Get(tunnel.DropReplay) != 1 {
		t.Errorf("%d packets delivered, drops %v, want 1 and a replay", p.dev.packets, p.in.c.drops.Snapshot())
	}
	if es := p.events(); len(es) != 0 {
		t.Errorf("events %+v, want none", es)
	}
}

// TestStrayHandshaking: a record with an ID that no session has yet may be of the one
// whose handshake runs.
func TestStrayHandshaking(t *testing.T) {
	p := newPathID(t, 2)
	_, own := peerAt(1)
	src, _ := p.tab.source(own)
	early := p.datagrams(0, 2)
	for name, tab := range map[string]*table{
		"no session there": p.tab.withSource(elsewhere, &source{handshaking: true}).withoutID(p.session(0)),
		"a session there":  p.tab.withSource(elsewhere, &source{handshaking: true, sessions: src.sessions}).withoutID(p.session(0)),
	} {
		want := bytes.Clone(early[0].Data)
		p.in.batch(began.Add(time.Second), tab, []punch.Datagram{{Addr: elsewhere, Data: bytes.Clone(want)}})
		select {
		case e := <-p.in.c.records:
			if !bytes.Equal(e.data, want) || e.addr != elsewhere {
				t.Errorf("%s: %x from %v, want %x", name, e.data, e.addr, want)
			}
		default:
			t.Errorf("%s: control has not got the record", name)
		}
	}
	// Without a handshake, nobody wants it.
	p.in.batch(began.Add(time.Second), p.tab.withSource(elsewhere, src).withoutID(p.session(0)),
		[]punch.Datagram{{Addr: elsewhere, Data: early[1].Data}})
	if n := p.in.c.drops.Get(tunnel.DropNoPeer); n != 1 || len(p.in.c.records) != 0 {
		t.Errorf("%d dropped, %d handed to control, want 1 and none", n, len(p.in.c.records))
	}
}

// TestTableIDs: a session is found by its ID for as long as it is in the table.
func TestTableIDs(t *testing.T) {
	vpn, _ := peerAt(0)
	a, b := tunnel.NewSession(began, vpn, loopID(t, idOf(1))), tunnel.NewSession(began, vpn, loopID(t, idOf(1)))
	other, none := tunnel.NewSession(began, vpn, loopID(t, idOf(2))), tunnel.NewSession(began, vpn, loop(t))
	empty := &table{}
	if got := empty.withID(none); got != empty || got.withoutID(none) != empty {
		t.Error("a session without ID changes the table")
	}
	tab := empty.withID(a).withID(other)
	has := func(tab *table, id record.ID, want *tunnel.Session) {
		t.Helper()
		if got, ok := tab.session(id); got != want || ok != (want != nil) {
			t.Errorf("session %p, %v, want %p", got, ok, want)
		}
	}
	has(tab, idOf(1), a)
	has(tab, idOf(2), other)
	has(empty, idOf(1), nil)
	tab = tab.withoutID(b) // whose ID it is not
	has(tab, idOf(1), a)
	has(tab.withoutID(a), idOf(1), nil)
	has(tab.withoutID(a), idOf(2), other)
	tab = tab.withID(b) // the newer one has it
	has(tab.withoutID(a), idOf(1), b)
}

// TestNewID: IDs are new, and there are some while one is left.
func TestNewID(t *testing.T) {
	p := newPathID(t, 100)
	c := p.in.c
	c.publish(p.tab)
	seen := map[record.ID]bool{}
	for range 1000 {
		id := c.newID()
		if _, taken := p.tab.session(*id); taken {
			t.Errorf("%x is taken", id)
		}
		seen[*id] = true
	}
	if len(seen) < 990 {
		t.Errorf("%d different IDs of 1000", len(seen))
	}
}

// TestStrayNoAllocs: records with IDs cost no memory, wherever they come from.
func TestStrayNoAllocs(t *testing.T) {
	const runs = 100
	p := newPathID(t, 64)
	ps := packets(batchLen, 64, 1400)
	p.round(ps)
	if n := testing.AllocsPerRun(runs, func() { p.round(ps) }); n != 0 {
		t.Errorf("from their own addresses: %v allocations, want 0", n)
	}
	stray := func() {
		p.out.batch(began.Add(time.Second), p.tab, ps)
		for i := range p.conn.sent {
			p.conn.sent[i].Addr = elsewhere
		}
		p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
	}
	stray() // control is told
	if n := testing.AllocsPerRun(runs, stray); n != 0 {
		t.Errorf("from elsewhere: %v allocations, want 0", n)
	}
	if want := (1 + 1 + runs + 1 + 1 + runs) * batchLen; p.dev.packets != want {
		t.Errorf("%d packets delivered, want %d", p.dev.packets, want)
	}
}

// TestRecordSizesID: with an ID, a packet of the default tun_mtu fits what carries IPv4
// over PPPoE (1,492 bytes), and so does a frame with two tags.
func TestRecordSizesID(t *testing.T) {
	for size, want := range map[int]int{28: 70, 1403: 1445, 1419: 1461, 1392 + 14 + 8: 1456} {
		p := newPathID(t, 1)
		p.out.batch(began, p.tab, packets(1, 1, size))
		if len(p.conn.sent) != 1 || len(p.conn.sent[0].Data) != want {
			t.Errorf("a packet of %d bytes: %d datagrams, want one of %d bytes", size, len(p.conn.sent), want)
		}
		if want+28 > 1492 {
			t.Errorf("a packet of %d bytes makes one of %d", size, want+28)
		}
	}
}

// BenchmarkDataPathID is BenchmarkDataPath with connection IDs; stray records come from
// elsewhere.
func BenchmarkDataPathID(b *testing.B) {
	for _, elsewhereToo := range []bool{false, true} {
		for _, peers := range []int{1, 10_000} {
			for _, size := range []int{64, 1400} {
				b.Run(fmt.Sprintf("stray=%v/peers=%d/size=%d", elsewhereToo, peers, size), func(b *testing.B) {
					p := newPathID(b, peers)
					ps := packets(batchLen, peers, size)
					b.ReportAllocs()
					b.SetBytes(int64(size * batchLen))
					for b.Loop() {
						p.out.batch(began.Add(time.Second), p.tab, ps)
						for i := range p.conn.sent {
							if elsewhereToo {
								p.conn.sent[i].Addr = elsewhere
							}
						}
						p.in.batch(began.Add(time.Second), p.tab, p.conn.sent)
					}
				})
			}
		}
	}
}

// fullCone is a NAT that lets in what comes from anywhere.
var fullCone = simnet.NAT{Ports: simnet.Random}

// ids returns the connection IDs by which a node knows sessions.
func (n *node) ids() map[record.ID]*tunnel.Session {
	all := map[record.ID]*tunnel.Session{}
	if parts := n.client.table.Load().ids.parts; parts != nil {
		for _, part := range parts {
			for id, s := range part {
				all[id] = s
			}
		}
	}
	return all
}

// TestNewAddressDelivers: the NAT of a client gets another public address in the middle
// of a transfer, and its packets go on to be delivered at the peer, whose NAT lets them
// in, without a gap and in the same session.
func TestNewAddressDelivers(t *testing.T) {
	inBubble(t, func(v *vpn) {
		home := v.home(1, portRestricted)
		alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, fullCone), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		since := bob.peer(alice).Since
		var want []string
		for i := range 60 { // of 10 ms each
			if i == 20 {
				home.SetPublic("203.0.113.99")
			}
			want = append(want, fmt.Sprint("packet ", i))
			alice.send(bob.vpn, want[i])
			pass(10 * time.Millisecond)
		}
		pass(20 * time.Millisecond)
		got := bob.texts()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("arrived: %q, want all %d", got, len(want))
		}
		if p := bob.peer(alice); p.Since != since {
			t.Errorf("the session is another: since %v, and %v before", p.Since, since)
		}
		if n := bob.client.drops.Get(tunnel.DropNoPeer); n != 0 {
			t.Errorf("%d datagrams were dropped for their address", n)
		}
	})
}

// TestNewAddressIsPath: the session goes on where such packets come from.
func TestNewAddressIsPath(t *testing.T) {
	inBubble(t, func(v *vpn) {
		home := v.home(1, portRestricted)
		alice := v.node(home, "192.168.1.2:5000", "10.9.0.1", nil)
		bob := v.node(v.home(2, fullCone), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(time.Second)
		alice.ping(bob, 5*time.Second)
		home.SetPublic("203.0.113.99")
		for range 20 { // within 20 ms: one report
			alice.send(bob.vpn, "on")
			pass(time.Millisecond)
		}
		pass(time.Second)
		if n := bob.logged("The path to the peer has changed"); n != 1 {
			t.Errorf("the path has changed %d times, want once", n)
		}
		if got := bob.peer(alice).Addr.Addr().String(); got != "203.0.113.99" {
			t.Errorf("the path leads to %s", got)
		}
	})
}

// TestIDsLive: each session has an ID of its own, fresh keys another, and what is over is
// known by none.
func TestIDsLive(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice, bob := v.pair(func(c *Config) { c.RekeyTime, c.Timeout = 20*time.Second, 2*time.Minute })
		alice.ping(bob, 5*time.Second)
		first := bob.ids()
		if len(first) != 1 || len(alice.ids()) != 1 {
			t.Fatalf("%d and %d IDs, want one each", len(alice.ids()), len(first))
		}
		for range 30 {
			alice.ping(bob, time.Second)
			pass(time.Second)
		}
		if n := bob.peer(alice).Rekeys; n == 0 {
			t.Fatal("no fresh keys")
		}
		pass(rekeyUse + oldKeysLife + 20*time.Second)
		for _, n := range v.nodes {
			ids := n.ids()
			if len(ids) != 1 {
				t.Errorf("%v: %d IDs with fresh keys, want one", n.vpn, len(ids))
			}
			for id, s := range ids {
				if !s.HasID(id) || first[id] != nil {
					t.Errorf("%v: ID %x is not that of the fresh keys", n.vpn, id)
				}
			}
		}
		pass(5 * time.Minute) // idle
		for _, n := range v.nodes {
			if ids := n.ids(); len(ids) != 0 {
				t.Errorf("%v: IDs %v of what is over", n.vpn, ids)
			}
		}
	})
}
