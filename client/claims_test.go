package client

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
	"campagnol/tunnel/device"
)

// A claimModel is a client without any I/O, and who has claimed what, told simply.
type claimModel struct {
	t     *testing.T
	c     *Client
	order []*peer // with sessions, in the order in which they were opened
	under map[netip.Addr]int
}

func newClaimModel(t *testing.T) *claimModel {
	p := newPath(t, 0)
	c := p.out.c
	c.set.AcceptRoutes = true
	return &claimModel{t: t, c: c, under: map[netip.Addr]int{
		c.set.Servers[0].Addrs[0].Addr(): 1,
	}}
}

// Few addresses and networks, so that they meet.
var (
	modelAddrs = []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.3"), netip.MustParseAddr("10.1.0.4")}
	modelNets  = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/16"), netip.MustParsePrefix("172.16.1.0/24"), netip.MustParsePrefix("172.16.1.128/25"),
		netip.MustParsePrefix("172.16.1.7/32"), netip.MustParsePrefix("fd00:7::/32"), netip.MustParsePrefix("fd00:7:1::/48")}
	modelPaths = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("172.16.1.200"), netip.MustParseAddr("172.16.2.9")}
	modelDests = []netip.Addr{netip.MustParseAddr("172.16.1.7"), netip.MustParseAddr("172.16.1.9"), netip.MustParseAddr("172.16.1.130"), netip.MustParseAddr("172.16.9.9"),
		netip.MustParseAddr("fd00:7:1::1"), netip.MustParseAddr("fd00:7:2::1"), netip.MustParseAddr("192.0.2.1")}
)

// open opens a session, as establish does.
func (m *claimModel) open(rnd *rand.Rand) {
	vpn := modelAddrs[rnd.IntN(len(modelAddrs))]
	id := Identity{Key: [32]byte{byte(rnd.IntN(1000))}, Issued: began.Add(time.Duration(rnd.IntN(3)) * time.Hour), Addrs: []netip.Addr{vpn}}
	for _, a := range modelAddrs {
		if a != vpn && rnd.IntN(3) == 0 {
			id.Addrs = append(id.Addrs, a)
		}
	}
	for _, n := range modelNets {
		if rnd.IntN(2) == 0 {
			id.Routes = append(id.Routes, n)
		}
	}
	c := m.c
	p := &peer{vpn: vpn, slot: -1, at: punch.Endpoint{Addr: netip.AddrPortFrom(modelPaths[rnd.IntN(len(modelPaths))], 1)}}
	if c.peers[vpn] != nil || c.claims.before(p, &id) != nil {
		return
	}
	c.peers[vpn] = p
	c.absorb(began, p, &id)
	m.forgetClosed()
	p.session = tunnel.NewSession(began, vpn, loop(m.t))
	p.way = &route{session: p.session, addr: p.at.Addr}
	c.publish(c.moveTo(c.claim(c.table.Load(), p, id), p, p.at.Addr.Addr()))
	m.order = append(m.order, p)
	m.under[p.at.Addr.Addr()]++
	c.closeLosers(began)
	m.forgetClosed()
}

// forgetClosed takes note of sessions that the client has closed.
func (m *claimModel) forgetClosed() {
	m.order = slices.DeleteFunc(m.order, func(p *peer) bool {
		if p.session == nil {
			m.under[p.at.Addr.Addr()]--
		}
		return p.session == nil
	})
}

// holder says who is to hold k.
func (m *claimModel) holder(k netip.Prefix) (holder *peer) {
	network := slices.Contains(modelNets, k)
	for a, n := range m.under {
		if network && n > 0 && k.Contains(a) {
			return nil
		}
	}
	for _, p := range m.order {
		claims := slices.Contains(p.id.Routes, k) || slices.Contains(p.id.Addrs, k.Addr()) && k.IsSingleIP()
		if claims && (holder == nil || p.id.beats(&holder.id)) {
			holder = p
		}
	}
	return holder
}

// compare checks that table and sessions say what the model does.
func (m *claimModel) compare() {
	tab := m.c.table.Load()
	m.t.Helper()
	for _, a := range modelAddrs {
		r, ok := tab.route(a)
		h := m.holder(single(a))
		if ok != (h != nil) || ok && r != h.way {
			m.t.Fatalf("%v leads to %v, want %v", a, r, h)
		}
	}
	for _, dst := range modelDests {
		var want *peer
		best := -1
		for _, n := range modelNets {
			if h := m.holder(n); n.Contains(dst) && n.Bits() > best && h != nil {
				want, best = h, n.Bits()
			}
		}
		r, gateway := tab.lookup(dst)
		// A network that waits for its gateway may be in front.
		if r != nil && (want == nil || r != want.way) || r == nil && want != nil && !gateway.IsValid() {
			m.t.Fatalf("%v leads to %+v, want %+v", dst, r, want)
		}
	}
	for _, p := range m.order {
		if m.holder(single(p.vpn)) != p {
			m.t.Fatalf("%v has a session and not its address", p.vpn)
		}
		for _, k := range slices.Concat(m.keys(p)) {
			if got, want := m.c.claims.holds(p, k), m.holder(k) == p; got != want {
				m.t.Fatalf("%v holds %v: %v, want %v", p.vpn, k, got, want)
			}
		}
	}
}

func (m *claimModel) keys(p *peer) (ks []netip.Prefix) {
	for _, a := range p.id.Addrs {
		ks = append(ks, single(a))
	}
	return append(ks, p.id.Routes...)
}

// TestClaimsModel opens and closes sessions at random, and compares.
func TestClaimsModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := newClaimModel(t)
		m.c.wg, m.c.ctx = nil, t.Context()
		m.c.enlist(began, nil)
		for range 300 {
			if n := len(m.order); n > 0 && rnd.IntN(3) == 0 {
				p := m.order[rnd.IntN(n)]
				m.c.dropSession(p)
				m.c.settle(p)
				m.forgetClosed()
			} else {
				m.open(rnd)
			}
			m.compare()
		}
		for _, p := range m.order {
			m.c.dropSession(p)
			m.c.settle(p)
		}
		m.c.publish(m.c.forgetAsleep(m.c.table.Load(), netip.Addr{}))
		cl, tab := &m.c.claims, m.c.table.Load()
		if len(cl.by)+len(cl.networks)+cl.asleep != 0 || tab.routes.len() != 0 || tab.networks != nil {
			t.Errorf("left of %d claims: %v, %v", len(cl.by), slices.Collect(maps.Keys(cl.by)), tab.networks)
		}
		if fmt.Sprint(cl.under) != fmt.Sprint(map[netip.Addr]int{m.c.set.Servers[0].Addrs[0].Addr(): 1}) {
			t.Errorf("addresses in use: %v, want the RDV's alone", cl.under)
		}
	}
}

// TestAsleepBounded: of networks without a tunnel so many are remembered, and no more.
func TestAsleepBounded(t *testing.T) {
	m := newClaimModel(t)
	m.c.wg, m.c.ctx = nil, t.Context()
	m.c.enlist(began, nil)
	for i := range 6 {
		vpn, addr := peerAt(i)
		id := Identity{Addrs: []netip.Addr{vpn}, Key: [32]byte{byte(i)}}
		for j := range maxPeerRoutes {
			id.Routes = append(id.Routes, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i), byte(j), 0}), 24))
		}
		p := &peer{vpn: vpn, slot: -1, at: punch.Endpoint{Addr: addr}, session: tunnel.NewSession(began, vpn, loop(t))}
		p.way = &route{session: p.session, addr: addr}
		m.c.peers[vpn] = p
		m.c.publish(m.c.claim(m.c.table.Load(), p, id))
		m.c.dropSession(p)
	}
	if n := len(m.c.claims.networks); n != maxAsleep || m.c.claims.asleep != maxAsleep {
		t.Errorf("%d networks remembered, %d counted, want %d", n, m.c.claims.asleep, maxAsleep)
	}
	if n := m.c.table.Load().networks.Size(); n != maxAsleep {
		t.Errorf("%d networks in the table, want %d", n, maxAsleep)
	}
}

// networked returns a path with one peer that has other addresses and networks.
func networked(t testing.TB, networks int) (*path, []device.Packet) {
	p := newPath(t, 1)
	vpn, _ := peerAt(0)
	r, _ := p.tab.route(vpn)
	var list []netip.Prefix
	for i := range networks {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24))
		p.tab = p.tab.withNetwork(list[i], r, vpn)
	}
	r.session.SetSources(tunnel.NewSources(list))
	a := list[len(list)/2].Addr().Next()
	var ps []device.Packet
	for range batchLen {
		ps = append(ps, device.Packet{Data: packetTo(a, a, string(make([]byte, 36)))})
	}
	return p, ps
}

// TestNetworkNoAllocs: packets of and for networks behind a peer allocate nothing.
func TestNetworkNoAllocs(t *testing.T) {
	p, ps := networked(t, 256)
	p.round(ps)
	if n := testing.AllocsPerRun(100, func() { p.round(ps) }); n != 0 {
		t.Errorf("%d packets allocate %.0f times, want 0", batchLen, n)
	}
	if want := 102 * batchLen; p.dev.packets != want {
		t.Errorf("%d packets delivered, want %d", p.dev.packets, want)
	}
}

// BenchmarkNetworks is BenchmarkDataPath for packets from and to networks behind a
// peer.
func BenchmarkNetworks(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("networks=%d/size=64", n), func(b *testing.B) {
			p, ps := networked(b, n)
			b.ReportAllocs()
			b.SetBytes(int64(64 * batchLen))
			for b.Loop() {
				p.round(ps)
			}
		})
	}
}
