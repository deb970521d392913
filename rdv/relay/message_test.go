package relay

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestIsTURN: what a relay takes, and what is for whoever answers STUN.
func TestIsTURN(t *testing.T) {
	for method, want := range map[stun.Method]bool{
		stun.MethodAllocate: true, stun.MethodRefresh: true, stun.MethodCreatePermission: true, stun.MethodChannelBind: true,
		stun.MethodBinding: false, stun.MethodConnect: false, stun.MethodConnectionBind: false, stun.MethodSend: false,
	} {
		m := stun.MustBuild(stun.TransactionID, stun.NewType(method, stun.ClassRequest))
		if IsTURN(m.Raw) != want {
			t.Errorf("%v: %v", method, !want)
		}
		if IsTURN(m.Raw[:stunHeader-1]) {
			t.Errorf("%v: a part is taken", method)
		}
	}
	send := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication))
	if !IsTURN(send.Raw) {
		t.Error("a Send indication is not taken")
	}
	send.Raw[4]++
	if IsTURN(send.Raw) {
		t.Error("without the magic cookie it is")
	}
}

// TestAttributes: what is read from a message is what pion writes.
func TestAttributes(t *testing.T) {
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodChannelBind, stun.ClassRequest),
		stun.NewSoftware("odd"), numbered(0x4abc), lasting(77*time.Second), peer("203.0.113.7:4711"), stun.NewUsername("x"))
	if d, ok := lifetimeOf(m.Raw); !ok || d != 77*time.Second {
		t.Errorf("lifetime %v, %v", d, ok)
	}
	if n := channelOf(m.Raw); n != 0x4abc {
		t.Errorf("channel %#x", n)
	}
	if n := peerPort(m.Raw); n != 4711 {
		t.Errorf("port %d", n)
	}
	for n := range len(m.Raw) { // of a part nothing is read beyond its end
		lifetimeOf(m.Raw[:n])
		channelOf(m.Raw[:n])
		peerPort(m.Raw[:n:n])
	}
}

// TestSecret: credentials count for an hour, for whom they were issued.
func TestSecret(t *testing.T) {
	s := NewSecret()
	now := time.Unix(1_800_000_000, 0)
	user, password := s.Issue(now, netip.MustParseAddr("::ffff:10.9.0.1"))
	if user != "1800003600:10.9.0.1" || len(password) != 43 {
		t.Errorf("%q, %q", user, password)
	}
	for _, c := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {Lifetime - time.Second, true}, {Lifetime, false}, {10 * Lifetime, false}} {
		vpn, p, ok := s.Check(now.Add(c.after), user)
		if ok != c.ok || ok && (vpn != alice || p != password) {
			t.Errorf("after %v: %v, %q, %v", c.after, vpn, p, ok)
		}
	}
	for _, bad := range []string{"", ":", "1800003600", "1800003600:", "1800003600:x", "x:10.9.0.1", ":10.9.0.1",
		"99999999999999999999:10.9.0.1", "1800003600:fe80::1%eth0", "1800003600:10.9.0.1:x", strings.Repeat("9", 70) + ":10.9.0.1"} {
		if vpn, _, ok := s.Check(now, bad); ok {
			t.Errorf("%q is %v", bad, vpn)
		}
	}
	if _, p, _ := NewSecret().Check(now, user); p == password {
		t.Error("two secrets make the same password")
	}
	six, _ := s.Issue(now, netip.MustParseAddr("fd09::1"))
	if vpn, _, ok := s.Check(now, six); !ok || vpn.String() != "fd09::1" {
		t.Errorf("%q is %v, %v", six, vpn, ok)
	}
}

// TestBrokenRequests: requests of which any byte is wrong, or the end is missing, of
// somebody with an allocation and of anybody, break nothing.
func TestBrokenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		c := w.raw("203.0.113.1:5000", alice)
		c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
		strange := netip.MustParseAddrPort("203.0.113.2:5000")
		sent := 0
		send := func(b []byte) {
			if !IsTURN(b) {
				return
			}
			for _, from := range []netip.AddrPort{at(c.conn.LocalAddr()), strange} {
				w.Door(0).Request(time.Now(), from, serverA, b)
			}
			if sent++; sent%50 == 0 {
				time.Sleep(time.Second) // more would be dropped unseen
			}
		}
		for _, m := range []*stun.Message{
			c.signed(stun.MethodAllocate, overUDP, lasting(time.Minute), attr{stun.AttrEvenPort, []byte{0}}),
			c.signed(stun.MethodRefresh, lasting(time.Minute)),
			c.signed(stun.MethodCreatePermission, peer("203.0.113.9:1"), peer("203.0.113.10:1")),
			c.signed(stun.MethodChannelBind, numbered(0x4000), peer("203.0.113.9:1")),
			stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer("203.0.113.9:1"), attr{stun.AttrData, []byte("x")}),
		} {
			for i := range m.Raw {
				for _, b := range []byte{0, 1, 0x7f, 0xff} {
					bad := slices.Clone(m.Raw)
					bad[i] ^= b
					send(bad)
				}
				send(m.Raw[:i])
			}
		}
		time.Sleep(time.Second)
		if sent < 1000 {
			t.Errorf("only %d messages were sent", sent)
		}
		d := w.raw("203.0.113.3:5000", bob)
		d.want("another", 0, d.ask(stun.MethodAllocate, overUDP))
	})
}

// FuzzRequest: whatever comes as a request, of somebody with an allocation and good
// credentials or of anybody, nothing breaks, and who is in goes on.
func FuzzRequest(f *testing.F) {
	id := stun.NewTransactionIDSetter([12]byte{1})
	for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		m := stun.MustBuild(id, stun.NewType(method, stun.ClassRequest), overUDP, lasting(time.Minute), numbered(0x4000), peer("203.0.113.9:1"),
			attr{stun.AttrEvenPort, []byte{0}}, attr{stun.AttrRequestedAddressFamily, []byte{1, 0, 0, 0}})
		f.Add(m.Raw, true)
		f.Add(m.Raw, false)
	}
	send := stun.MustBuild(id, stun.NewType(stun.MethodSend, stun.ClassIndication), peer("203.0.113.9:1"), attr{stun.AttrData, []byte("x")})
	f.Add(send.Raw, true)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			c := w.raw("203.0.113.1:5000", alice)
			c.want("allocate", 0, c.ask(stun.MethodAllocate, overUDP))
			c.want("permission", 0, c.ask(stun.MethodCreatePermission, peer("203.0.113.9:1")))
			if m := (&stun.Message{Raw: b}); signed && len(b) <= maxMessage && m.Decode() == nil {
				for _, s := range []stun.Setter{stun.NewUsername(c.user), c.nonce, c.realm, stun.NewLongTermIntegrity(c.user, c.realm.String(), c.password)} {
					if s.AddTo(m) != nil {
						return
					}
				}
				b = m.Raw
			}
			for _, from := range []string{"203.0.113.1:5000", "203.0.113.2:5000"} {
				w.Door(0).Request(time.Now(), netip.MustParseAddrPort(from), serverA, b)
			}
			time.Sleep(time.Minute)
			d := w.raw("203.0.113.3:5000", bob)
			d.want("another", 0, d.ask(stun.MethodAllocate, overUDP))
			if s := w.Stats(); s.Allocations > 3 {
				t.Errorf("counted %s", fmt.Sprintf("%+v", s))
			}
		})
	})
}
