package client

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/punch/simnet"
	"campagnol/rdv/wire"
)

// originalHello is the ClientHello of Campagnol 0.3.5 as released, on OpenSSL
// 1.0.2: DTLS 1.0, and no suite of ours.
const originalHello = "16feff000000000000000000bf010000b300000000000000b3feff2077dbff7b37ca6c7630d00146cac958fffd2f" +
	"da71d63cab6ce237fa12a91d8600000058c014c00a00390038003700360088008700860085c00fc00500350084c013c009003300320031" +
	"0030009a0099009800970045004400430042c00ec004002f009600410007c012c008001600130010000dc00dc003000a00ff01000031" +
	"000b000403000102000a001c001a00170019001c001b0018001a0016000e000d000b000c0009000a00230000000f000101"

// handshakeFailure is what the same program answers to our ClientHello: a fatal
// alert in a record of DTLS 1.0.
const handshakeFailure = "15feff000000000000000000020228"

// protocolVersion is what it gets for its ClientHello, in a version that it takes.
const protocolVersion = "15feff000000000000000000020246"

// A released is a peer that does what Campagnol 0.3.5 as released does on the
// wire, as far as it gets with us.
type released struct {
	t      *testing.T
	conn   *simnet.Conn
	vpn    netip.Addr
	server netip.AddrPort
	wg     sync.WaitGroup

	mu     sync.Mutex
	alerts []string // in hex
}

// released starts a peer and registers it.
func (v *vpn) released(site *simnet.Site, udp, vpnAddr string) *released {
	r := &released{t: v.t, conn: site.Listen(udp), vpn: netip.MustParseAddr(vpnAddr), server: v.server}
	r.wg.Go(func() {
		for {
			ds, err := r.conn.Receive()
			if err != nil {
				return
			}
			for _, d := range ds {
				r.handle(d)
			}
		}
	})
	v.t.Cleanup(func() { r.conn.Close(); r.wg.Wait() })
	local := r.conn.LocalAddr()
	r.send(v.server, wire.Message{Type: wire.Hello, Port: local.Port(), IP1: r.vpn, IP2: local.Addr()}.Append(nil))
	return r
}

func (r *released) send(to netip.AddrPort, b []byte) {
	if err := r.conn.Send([]punch.Datagram{{Addr: to, Data: b}}); err != nil {
		r.t.Error(err)
	}
}

// handle answers what a peer or the RDV sends.
func (r *released) handle(d punch.Datagram) {
	const alert, handshake = 21, 22
	if d.Addr == r.server {
		switch m, _ := wire.Parse(d.Data); m.Type {
		case wire.Forward: // somebody asks for us
			r.punch(m.Endpoint())
		case wire.Answer: // we asked, so that we say hello
			r.punch(m.Endpoint())
			hello, _ := hex.DecodeString(originalHello)
			r.send(m.Endpoint(), hello)
		}
		return
	}
	switch d.Data[0] {
	case handshake:
		refusal, _ := hex.DecodeString(handshakeFailure)
		r.send(d.Addr, refusal)
	case alert:
		r.mu.Lock()
		r.alerts = append(r.alerts, hex.EncodeToString(d.Data))
		r.mu.Unlock()
	}
}

// heard returns the alerts that have come.
func (r *released) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.alerts, " ")
}

func (r *released) punch(to netip.AddrPort) {
	for range 3 {
		r.send(to, wire.Message{Type: wire.Punch, IP1: r.vpn}.Append(nil))
	}
}

// TestReleasedOriginal meets an original as it was released, which cannot do
// what we do: log and status say in a sentence what it is and what helps.
func TestReleasedOriginal(t *testing.T) {
	const sentence = "the peer speaks a version of DTLS before 1.2, as Campagnol 0.3.5 does as released"
	for _, c := range []struct {
		name  string
		ask   func(alice *node, r *released)
		alert string // that we send it
	}{
		{"we ask", func(alice *node, r *released) { alice.send(r.vpn, "anybody?") }, ""},
		{"it asks", func(alice *node, r *released) {
			r.send(r.server, wire.Message{Type: wire.Ask, IP1: alice.vpn}.Append(nil))
		}, protocolVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(v *vpn) {
				alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
				old := v.released(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2")
				pass(time.Second)
				c.ask(alice, old)
				pass(20 * time.Second)
				fs := alice.status().Failures
				if len(fs) != 1 || fs[0].VPNAddr != old.vpn || !fs[0].Legacy || !strings.Contains(fs[0].Reason, sentence) {
					t.Errorf("failures %+v, want one of %v that says: %s", fs, old.vpn, sentence)
				}
				if alice.logged(sentence) == 0 {
					t.Errorf("the log does not say: %s", sentence)
				}
				if got := old.heard(); got != c.alert {
					t.Errorf("the peer gets the alerts %q, want %q", got, c.alert)
				}
				if n := len(alice.status().Peers); n != 0 {
					t.Errorf("%d peers are left, want none", n)
				}
			})
		})
	}
}

// TestFailureForgotten: a peer that could not be reached and then is, is no
// failure any more.
func TestFailureForgotten(t *testing.T) {
	inBubble(t, func(v *vpn) {
		alice := v.node(v.home(1, portRestricted), "192.168.1.2:5000", "10.9.0.1", nil)
		pass(time.Second)
		vpn := netip.MustParseAddr("10.9.0.2")
		alice.send(vpn, "anybody?")
		pass(time.Second)
		if fs := alice.status().Failures; len(fs) != 1 || fs[0].Reason != "the RDV server does not know the peer" || fs[0].Legacy {
			t.Errorf("failures %+v, want that the RDV does not know %v", fs, vpn)
		}
		bob := v.node(v.home(2, portRestricted), "192.168.1.2:5000", "10.9.0.2", nil)
		pass(3 * time.Second)
		alice.ping(bob, 5*time.Second)
		if fs := alice.status().Failures; len(fs) != 0 {
			t.Errorf("failures %+v with a session, want none", fs)
		}
	})
}
