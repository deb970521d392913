package tunnel

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"campagnol/tunnel/record"
)

var carol = netip.MustParseAddr("10.9.0.3")

// relayedIn seals what passes a relay in a, and returns what b makes of it.
func relayedIn(t testing.TB, a, b *Session, payload []byte) (RelaySignal, bool) {
	t.Helper()
	rec, d := a.SealRelay(7, nil, payload, new(record.Scratch))
	if d != Kept {
		t.Fatalf("sealing: %v", d)
	}
	h, rec, _, err := record.Split(rec)
	if err != nil {
		t.Fatal(err)
	}
	got, control, d := b.Receive(5, h, rec, new(record.Scratch))
	if d != Kept || !control {
		t.Fatalf("%x: control %v, %v", got, control, d)
	}
	return b.Relay(5, got)
}

// TestRelaySignal: a datagram passes a relay with the address of the other end, among
// packets and among frames, and each signal is told from the other.
func TestRelaySignal(t *testing.T) {
	v6 := netip.MustParseAddr("fd00::3")
	for _, c := range []struct {
		name     string
		sessions func(testing.TB) (a, b *Session)
		head     func(*Session, []byte, netip.Addr) []byte
		other    netip.Addr
		relayed  bool
		hex      string // of the head
	}{
		{"to the relay", sessions, (*Session).RelayHead, carol, false, "0008040a090003"},
		{"from the relay", sessions, (*Session).RelayedHead, carol, true, "0009040a090003"},
		{"an IPv6 address", sessions, (*Session).RelayHead, v6, false, "000810fd000000000000000000000000000003"},
		{"an IPv4 address in IPv6", sessions, (*Session).RelayHead, netip.AddrFrom16(carol.As16()), false, "0008040a090003"},
		{"among frames", frameSessions, (*Session).RelayedHead, carol, true, "0180c200000109040a090003"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := c.sessions(t)
			head := c.head(a, nil, c.other)
			if got := hex.EncodeToString(head); got != c.hex {
				t.Errorf("head %s, want %s", got, c.hex)
			}
			if n := a.RelayHeadLen(c.other); n != len(head) || n > MaxRelayHead {
				t.Errorf("length of the head %d, want %d and at most %d", n, len(head), MaxRelayHead)
			}
			datagram := []byte{25, 254, 253, 1}
			got, ok := relayedIn(t, a, b, append(head, datagram...))
			if !ok || got.Relayed != c.relayed || got.Other != c.other.Unmap() || !bytes.Equal(got.Datagram, datagram) {
				t.Errorf("received %+v, %v", got, ok)
			}
			if a.LastOut() != 7 || b.LastIn() != 5 {
				t.Errorf("no use of the session: out at %v, in at %v", a.LastOut(), b.LastIn())
			}
			if p, q := a.Stats().PacketsOut.Load(), b.Stats().PacketsIn.Load(); p != 0 || q != 0 {
				t.Errorf("counted as %d and %d packets of the session", p, q)
			}
		})
	}
}

// TestRelaySignalBroken: what names nobody is a signal without an addressee, and what is
// none is left to others.
func TestRelaySignalBroken(t *testing.T) {
	_, b := sessions(t)
	for _, c := range []struct {
		name    string
		payload []byte
		signal  bool
	}{
		{"nothing in it", []byte{0, signalRelay}, true},
		{"an address cut short", []byte{0, signalRelay, 4, 10, 9, 0}, true},
		{"no datagram", []byte{0, signalRelay, 4, 10, 9, 0, 3}, true},
		{"an address of 5 bytes", []byte{0, signalRelayed, 5, 10, 9, 0, 3, 4, 25}, true},
		{"an address of no bytes", []byte{0, signalRelayed, 0, 25, 1, 2, 3}, true},
		{"longer than there is", []byte{0, signalRelay, 255, 1, 2}, true},
		{"a probe", []byte{0, signalProbe, 1}, false},
		{"a packet", ipv4(alice, bob, 3), false},
		{"nothing", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := b.Relay(5, c.payload)
			if ok != c.signal || got.Other.IsValid() || got.Datagram != nil {
				t.Errorf("%+v, %v, want a signal: %v, and nobody", got, ok, c.signal)
			}
		})
	}
}

// TestRelayAbilities: who relays says so, and who understands it, and takes it back.
func TestRelayAbilities(t *testing.T) {
	a, b := sessions(t)
	for _, c := range []Abilities{{}, {Relays: true}, {Relayed: true}, {ECN: true, Fragments: true}, {Relays: true, Relayed: true}, {}} {
		out, ev := control(t, b, a.Probe(c, nil)[0])
		if !ev.Probe || ev.Echo || len(out) != 1 {
			t.Fatalf("%+v: event %+v, %d answers", c, ev, len(out))
		}
		got := Abilities{ECN: b.PeerECN(), Fragments: b.PeerFragments(), Relays: b.PeerRelays(), Relayed: b.PeerTakesRelayed()}
		if got != c {
			t.Errorf("the peer can %+v, want %+v", got, c)
		}
		if more, ev := control(t, a, out[0]); !ev.Echo || ev.Probe || len(more) != 0 {
			t.Errorf("the echo: event %+v, %d answers", ev, len(more))
		}
	}
	next, _ := sessions(t)
	control(t, b, a.Probe(Abilities{Relays: true}, nil)[0])
	if next.Continue(b); !next.PeerRelays() {
		t.Error("fresh keys forget what the peer can do")
	}
}

// TestRelayWears: what passes a relay uses up the keys like any other data.
func TestRelayWears(t *testing.T) {
	a, b := sessions(t)
	payload := append(a.RelayHead(nil, carol), make([]byte, 1000)...)
	before := [...]float64{a.Worn(), b.Worn()}
	for range 1000 {
		relayedIn(t, a, b, payload)
	}
	for i, s := range []*Session{a, b} {
		if got, least := s.Worn()-before[i], 1000.*1000/16/float64(s.suite.Limits().Blocks); got < least {
			t.Errorf("session %d: used up %g more, want %g at least", i, got, least)
		}
	}
}

func TestRelayNoAllocs(t *testing.T) {
	a, b := sessions(t)
	datagram := make([]byte, 1400)
	datagram[0] = 25
	buf, part, tmp := make([]byte, 0, 2048), make([]byte, 0, 2048), new(record.Scratch)
	n := testing.AllocsPerRun(1000, func() {
		part = append(a.RelayHead(part[:0], carol), datagram...)
		rec, d := a.SealRelay(9, buf, part, tmp)
		if d != Kept {
			t.Fatal(d)
		}
		h, rec, _, err := record.Split(rec)
		if err != nil {
			t.Fatal(err)
		}
		payload, control, d := b.Receive(9, h, rec, tmp)
		if d != Kept || !control {
			t.Fatal(control, d)
		}
		if sig, ok := b.Relay(9, payload); !ok || sig.Other != carol {
			t.Fatal(sig, ok)
		}
	})
	if n != 0 {
		t.Errorf("a datagram allocates %.1f times, want 0", n)
	}
}

// FuzzRelaySignal: what a peer can send in place of a relay signal names at most one
// other end, and nothing beyond what was sent.
func FuzzRelaySignal(f *testing.F) {
	f.Add([]byte{0, signalRelay, 4, 10, 9, 0, 3, 25, 1}, false)
	f.Add([]byte{0, signalRelayed, 16, 1}, false)
	f.Add(append(frameMark[:], signalRelayed, 4, 10, 9, 0, 3, 25, 1), true)
	f.Fuzz(func(t *testing.T, payload []byte, frames bool) {
		_, b := sessions(t)
		if frames {
			_, b = frameSessions(t)
		}
		sig, ok := b.Relay(5, payload)
		switch {
		case !ok && (sig.Other.IsValid() || sig.Datagram != nil):
			t.Fatalf("no signal, but %+v", sig)
		case sig.Other.IsValid() != (len(sig.Datagram) > 0) || sig.Other.Is4In6():
			t.Fatalf("half a signal: %+v", sig)
		case sig.Other.IsValid() && !bytes.HasSuffix(payload, sig.Datagram):
			t.Fatalf("%x is not in %x", sig.Datagram, payload)
		case sig.Other.IsValid() && len(payload) != b.RelayHeadLen(sig.Other)+len(sig.Datagram) && payload[b.markLen()+1] == 4:
			t.Fatalf("%+v of %d bytes", sig, len(payload))
		}
	})
}
