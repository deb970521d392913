package turn

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"campagnol/punch/turn/channeldata"
)

// reach has the machine make a route.
func (s *script) reach(peer netip.AddrPort, met bool) (err error) {
	s.t.Helper()
	s.do(func(out [][]byte) [][]byte {
		s.m.observe(s.sent, s.owed)
		out, err = s.m.reach(s.now, peer, met, out)
		return out
	})
	return err
}

// open has it permit an address.
func (s *script) open(ip netip.Addr) (err error) {
	s.t.Helper()
	s.do(func(out [][]byte) [][]byte {
		out, err = s.m.open(s.now, ip, out)
		return out
	})
	return err
}

// bindNext grants the next request for a channel, and returns its number.
func (s *script) bindNext() uint16 {
	s.t.Helper()
	q := s.request(stun.MethodChannelBind)
	v, err := q.Get(stun.AttrChannelNumber)
	if err != nil || len(v) != 4 || v[2] != 0 || v[3] != 0 {
		s.t.Fatalf("channel %x, %v", v, err)
	}
	s.answer(q, goodKey)
	return uint16(v[0])<<8 | uint16(v[1])
}

// keep lets d go by, in which all requests are granted, and returns those that are not
// for the allocation itself.
func (s *script) keep(d time.Duration) (granted []string) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); {
		s.wait(min(20*time.Millisecond, end.Sub(s.now)))
		for _, q := range s.out {
			peer, _ := address(q, stun.AttrXORPeerAddress)
			switch q.Type.Method {
			case stun.MethodCreatePermission:
				granted = append(granted, "permit "+peer.Addr().String())
			case stun.MethodChannelBind:
				granted = append(granted, "bind "+peer.String())
			}
			s.answer(q, goodKey, lifetime(10*time.Minute))
		}
		s.out = nil
	}
	return granted
}

// wants checks what keep has returned.
func (s *script) wants(got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("granted %q, want %q", got, want)
	}
}

// use marks a route as used.
func (s *script) use(peer netip.AddrPort) {
	s.m.routes[peer].used.Store(int64(s.now.Sub(s.m.cfg.epoch)))
	s.m.observe(s.sent, s.owed)
}

// host returns the address of one of many hosts.
func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + i)}), 6000)
}

// TestChannelLife: a channel is renewed after nine minutes and its permission after
// four, as long as the peer is talked with; then both end.
func TestChannelLife(t *testing.T) {
	s := allocatedScript(t, nil)
	if err := s.reach(peerA, false); err != nil {
		t.Fatal(err)
	}
	if h := s.m.table().hops[peerA]; h.route == nil || h.bound {
		t.Errorf("before the answer %+v", h)
	}
	number := s.bindNext()
	if h := s.m.table().hops[peerA]; !h.bound || h.number != number || s.m.table().from[number] != h.route {
		t.Errorf("after it %+v", h)
	}
	s.wants(s.keep(permissionRenew - time.Second))
	s.use(peerA)
	s.wants(s.keep(2*time.Second), "permit 203.0.113.2")
	s.wants(s.keep(permissionRenew), "permit 203.0.113.2")
	s.wants(s.keep(time.Minute), "bind 203.0.113.2:6000")
	if h := s.m.table().hops[peerA]; !h.bound || h.number != number {
		t.Errorf("renewed as %+v", h)
	}
	s.wants(s.keep(permissionRenew), "permit 203.0.113.2") // last used nine minutes ago
	s.wants(s.keep(3 * channelLife))
	if m := s.m.table(); len(m.hops)+len(m.from)+len(s.m.perms)+len(s.m.fading) != 0 {
		t.Errorf("left: %d hops, %d channels, %d permissions, %d fading", len(m.hops), len(m.from), len(s.m.perms), len(s.m.fading))
	}
}

// TestRefusedChannel: without a channel data goes by indications, and without a
// permission not at all; both are asked for again.
func TestRefusedChannel(t *testing.T) {
	s := allocatedScript(t, nil)
	s.reach(peerA, false)
	s.refuse(s.request(stun.MethodChannelBind), 403, goodKey)
	q := s.request(stun.MethodCreatePermission)
	s.answer(q, goodKey)
	if h := s.m.table().hops[peerA]; h.bound || h.refused {
		t.Errorf("without a channel %+v", h)
	}
	s.wants(s.keep(2*retry - time.Second))
	s.wants(s.keep(2*time.Second), "bind 203.0.113.2:6000")

	other := host(7)
	s.reach(other, false)
	s.refuse(s.request(stun.MethodChannelBind), 403, goodKey)
	s.refuse(s.request(stun.MethodCreatePermission), 403, goodKey)
	if h := s.m.table().hops[other]; !h.refused {
		t.Errorf("without a permission %+v", h)
	}
	s.wants(s.keep(retry+time.Second), "permit 203.0.113.8")
	if h := s.m.table().hops[other]; h.refused {
		t.Errorf("with a permission %+v", h)
	}
	s.reach(host(8), false)
	s.refuse(s.request(stun.MethodChannelBind), 437, goodKey)
	refusedWith(t, s.m.err, CodeMismatch)
}

// TestManyPeers: channels are bounded; the one that was unused for longest makes room,
// none that is in use does, and it can be had again.
func TestManyPeers(t *testing.T) {
	s := allocatedScript(t, nil)
	for i := range maxRoutes {
		if err := s.reach(host(i), false); err != nil {
			t.Fatal(err)
		}
		s.bindNext()
	}
	if err := s.reach(host(100), false); !errors.Is(err, ErrPeers) {
		t.Errorf("one too many, all in use: %v", err)
	}
	same := netip.AddrPortFrom(host(0).Addr(), 7)
	if err := s.reach(same, false); err != nil || s.m.routes[same] != nil { // by indications
		t.Errorf("another port of one: %v", err)
	}
	s.keep(spare)
	for i := range maxRoutes {
		if i != 5 {
			s.use(host(i))
		}
	}
	five := s.m.routes[host(5)].number
	if err := s.reach(same, false); err != nil || s.m.routes[same] == nil || s.m.routes[host(5)] != nil {
		t.Errorf("the unused one did not make room: %v", err)
	}
	if n := s.bindNext(); n == five {
		t.Error("its number means somebody else now")
	}
	if s.m.table().from[five] == nil {
		t.Error("what comes over its channel is not understood")
	}
	s.keep(spare)
	if err := s.reach(host(5), false); err != nil || s.bindNext() != five {
		t.Errorf("back again: %v", err)
	}
}

// TestStrangersTakeNoRoom: who is at a permitted address and sends from many ports gets
// few channels, and makes room for whom we send to.
func TestStrangersTakeNoRoom(t *testing.T) {
	s := allocatedScript(t, nil)
	s.reach(peerA, true)
	s.idle() // not permitted
	if err := s.open(peerA.Addr()); err != nil {
		t.Fatal(err)
	}
	s.answer(s.request(stun.MethodCreatePermission), goodKey)
	for port := range uint16(1000) {
		s.reach(netip.AddrPortFrom(peerA.Addr(), 1000+port), true)
	}
	if n := len(s.m.routes); n != maxMet || len(s.out) != maxMet {
		t.Errorf("%d routes, %d requests", n, len(s.out))
	}
	for range maxMet {
		s.bindNext()
	}
	for i := range maxRoutes - 1 {
		if err := s.reach(host(100+i), false); err != nil || s.m.routes[host(100+i)] == nil {
			t.Fatalf("peer %d: %v", i, err)
		}
	}
}

// TestOpen: a permission is asked for once, and renewed for as long as it was wanted.
func TestOpen(t *testing.T) {
	s := allocatedScript(t, nil)
	for range 3 {
		if err := s.open(peerA.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(s.keep(permissionRenew-time.Second), "permit 203.0.113.2")
	s.wants(s.keep(permissionRenew), "permit 203.0.113.2")
	s.wants(s.keep(permissionRenew), "permit 203.0.113.2") // wanted eight minutes ago
	s.wants(s.keep(2 * permissionLife))
	if len(s.m.perms) != 0 {
		t.Errorf("%d permissions", len(s.m.perms))
	}
	for i := range maxPermissions {
		if err := s.open(host(i).Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.open(host(200).Addr()); !errors.Is(err, ErrPeers) {
		t.Errorf("one too many: %v", err)
	}
}

// TestNumbers: the number of a channel is taken again late.
func TestNumbers(t *testing.T) {
	m := newMachine(Config{})
	first := m.draw()
	m.routes[peerA] = &route{peer: peerA, number: first + 1}
	if n := m.draw(); n != first+2 {
		t.Errorf("%#x after %#x", n, first)
	}
	for range channeldata.Last - channeldata.First - 2 {
		if n := m.draw(); n == first || n == first+1 || n < channeldata.First || n > channeldata.Last {
			t.Fatalf("number %#x", n)
		}
	}
	if n := m.draw(); n != first {
		t.Errorf("%#x at last", n)
	}
}
