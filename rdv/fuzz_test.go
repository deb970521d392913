package rdv

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"campagnol/rdv/wire"
)

// fuzzRecord is how many bytes of fuzz input make a step: a delay (2), a sender
// (1), a type (1), an address (1) and a local address (1).
const fuzzRecord = 6

// FuzzRegistry sends random messages at random times from a small world, so
// that they meet, and checks after each what must always hold.
func FuzzRegistry(f *testing.F) {
	step := func(delay uint16, from, typ, vpn, local byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, delay), from, typ, vpn, local)
	}
	var seed []byte
	for _, s := range [][]byte{
		step(0, 0, byte(wire.Hello), 1, 1), step(0, 1, byte(wire.Hello), 2, 2),
		step(100, 0, byte(wire.Ask), 2, 0), step(100, 1, byte(wire.Ask), 1, 0),
		step(600, 2, byte(wire.Hello), 1, 0), step(100, 2, byte(wire.Hello), 1, 0),
		step(500, 0, byte(wire.Hello), 2, 0), step(0, 1, byte(wire.Close), 1, 0),
		step(0, 1, byte(wire.Bye), 0, 0), step(1200, 3, byte(wire.Ping), 0, 0),
	} {
		seed = append(seed, s...)
	}
	f.Add(uint8(0), seed)
	f.Add(uint8(2), seed)
	f.Fuzz(func(t *testing.T, maxClients uint8, b []byte) {
		r := NewRegistry(RegistryConfig{MaxClients: int(maxClients % 8)})
		world := newWorld(r)
		b = b[:min(len(b), 300*fuzzRecord)]
		for ; len(b) >= fuzzRecord; b = b[fuzzRecord:] {
			world.step(t, b[:fuzzRecord])
		}
	})
}

// A world remembers what a correct registry may answer.
type world struct {
	r      *Registry
	now    time.Time
	heard  map[netip.AddrPort]time.Time // last datagram of any kind
	alive  map[netip.AddrPort]time.Time // last HELLO with OK, or PING with PONG
	probed map[netip.Addr]time.Time     // last probe for a VPN address with a holder
}

func newWorld(r *Registry) *world {
	now := time.Unix(1_000_000_000, 0)
	r.Advance(now, nil) // the start of its time
	return &world{
		r: r, now: now,
		heard:  map[netip.AddrPort]time.Time{},
		alive:  map[netip.AddrPort]time.Time{},
		probed: map[netip.Addr]time.Time{},
	}
}

func (w *world) step(t *testing.T, b []byte) {
	delay := time.Duration(int16(binary.BigEndian.Uint16(b))) * 10 * time.Millisecond
	now := w.now.Add(delay) // may be earlier
	if now.After(w.now) {
		w.now = now
	}
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, b[2] & 3}), 1000+uint16(b[2]>>2&3))
	m := wire.Message{Type: wire.Type(b[3] % 20), IP1: netip.AddrFrom4([4]byte{10, 0, 0, b[4] & 7})}
	if b[5] > 0 {
		m.Port, m.IP2 = uint16(b[5]), netip.AddrFrom4([4]byte{172, 16, 0, b[5]})
	}

	w.r.Advance(now, nil)
	if at := w.r.Timeout(); !at.IsZero() && !at.After(w.now) {
		t.Fatalf("after Advance(%v), Timeout = %v", w.now, at)
	}
	if w.r.byVPN[vpnOf(m.IP1)] == nil {
		delete(w.probed, m.IP1) // forgotten with the registration
	}
	old := state{alive: w.alive[from], holder: w.holder(m.IP1)}
	old.vpn, old.known = w.r.VPN(from, 0)
	out := w.r.Handle(now, In{From: from, Msg: m}, nil)
	if err := check(w.r); err != nil {
		t.Fatal(err)
	}
	if len(out) > 2 {
		t.Fatalf("%v from %v is answered with %d messages", m, from, len(out))
	}
	if !old.known && m.Type != wire.Hello {
		w.checkStranger(t, from, m, out)
	} else {
		w.checkAnswers(t, from, m, out)
	}
	if m.Type == wire.Hello {
		w.checkHello(t, from, m.IP1, old)
	}
	w.heard[from] = w.now
}

// holder returns the endpoint at which a VPN address is registered.
func (w *world) holder(v netip.Addr) netip.AddrPort {
	if c := w.r.byVPN[vpnOf(v)]; c != nil {
		return c.endpoint.addrPort()
	}
	return netip.AddrPort{}
}

// checkStranger checks that an unregistered endpoint gets RECONNECT or nothing.
func (w *world) checkStranger(t *testing.T, from netip.AddrPort, m wire.Message, out []Out) {
	switch m.Type {
	case wire.Ping, wire.Ask, wire.Close, wire.Bye:
		if len(out) != 1 || out[0] != to(from, wire.Reconnect) {
			t.Errorf("%v from a stranger is answered with %s", m, describe(out))
		}
	default:
		if len(out) > 0 {
			t.Errorf("%v from a stranger is not met with silence but with %s", m, describe(out))
		}
	}
}

// checkAnswers checks that each message is one that m may cause, and notes what
// it means for the future.
func (w *world) checkAnswers(t *testing.T, from netip.AddrPort, m wire.Message, out []Out) {
	for _, o := range out {
		var ok bool
		switch o.Msg.Type {
		case wire.OK:
			ok = m.Type == wire.Hello && o.To == from && w.holder(m.IP1) == from
			w.alive[from] = w.now
		case wire.NOK:
			ok = m.Type == wire.Hello && o.To == from && w.holder(m.IP1) != from
		case wire.Pong:
			ok = m.Type == wire.Ping && o.To == from
			w.alive[from] = w.now
		case wire.Answer, wire.Reject:
			ok = m.Type == wire.Ask && o.To == from
		case wire.Forward:
			ok = m.Type == wire.Ask && o.To == w.holder(m.IP1)
		case wire.Reconnect: // a probe: the sender said HELLO or is known
			ok = m.Type == wire.Hello && o.To != from && o.To == w.holder(m.IP1)
			if last, probed := w.probed[m.IP1]; probed && w.now.Sub(last) < probeInterval {
				t.Errorf("%v: second probe after %v", m, w.now.Sub(last))
			}
			w.probed[m.IP1] = w.now
		}
		if !ok {
			t.Errorf("%v from %v is answered with %s", m, from, describe(out))
		}
	}
}

// A state is what matters about the sender of a HELLO before it is handled.
type state struct {
	known  bool           // registered
	vpn    netip.Addr     // as which
	alive  time.Time      // last sign of life
	holder netip.AddrPort // of the address in the HELLO
}

// checkHello checks what a HELLO for address v may change: v may have been
// taken only from a holder that had been silent for 1 s or without sign of life for
// 5 s, and the sender may have got another address only after 5 s without one.
func (w *world) checkHello(t *testing.T, from netip.AddrPort, v netip.Addr, old state) {
	if w.holder(v) != from {
		return
	}
	if old.holder.IsValid() && old.holder != from {
		silent, stale := w.now.Sub(w.heard[old.holder]), w.now.Sub(w.alive[old.holder]) > staleAfter
		if silent < probeWait && !stale {
			t.Errorf("%v took %v from %v, which was heard %v ago", from, v, old.holder, silent)
		}
	}
	if silent := w.now.Sub(old.alive); old.known && old.vpn != v && silent <= staleAfter {
		t.Errorf("%v changed its address from %v to %v, %v after its last sign of life", from, old.vpn, v, silent)
	}
}
